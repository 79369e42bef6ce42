//! A node on a host of its own: the real program, on the test's bitcoind, with the built-in miner beside it.

use super::world::{HOME, World};
use crate::node::process::Process;
use crate::support::bitcoind::BitcoinD;
use commonwork::address::address_of;
use serde_json::Value;
use sharechain::owner::Owner;
use sharechain::params::ChainParams;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_commonwork");
/// Where nodes listen for each other.
const PORT: u16 = 3338;
const STRATUM: &str = "127.0.0.1:3333";

/// What the hosts of one test have in common.
pub(crate) struct Site {
    pub(crate) world: World,
    daemon: Option<BitcoinD>,
    pub(crate) params: ChainParams,
    folder: tempfile::TempDir,
}

/// A host with its node.
pub(crate) struct Host {
    pub(crate) number: u32,
    pub(crate) process: Process,
    miner: Option<Child>,
}

impl Site {
    /// Without a daemon the chain must be the embedded one.
    pub(crate) fn new(world: World, daemon: Option<BitcoinD>, params: ChainParams) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let site = Self { world, daemon, params, folder };
        std::fs::write(site.chain_file(), crate::support::chain_file::chain_toml(&site.params))
            .expect("written");
        site
    }

    fn chain_file(&self) -> PathBuf {
        self.folder.path().join("chain.toml")
    }

    /// The data folder of a host's node.
    pub(crate) fn data(&self, host: u32) -> PathBuf {
        self.folder.path().join(format!("host{host}"))
    }

    /// Starts the node of a host, which is to find these others. What it left when it ran before is there.
    pub(crate) fn node(&self, number: u32, peers: &[u32]) -> Host {
        let mut command = self.world.on(number, PROGRAM);
        command.args(["run", "--log-format", "json", "--stratum", STRATUM, "--api", "127.0.0.1:3380"]);
        if let Some(daemon) = &self.daemon {
            command.arg("--bitcoind").arg(format!("http://{HOME}:{}", daemon.rpc_port()));
            command.arg("--rpc-cookie").arg(daemon.cookie_file());
        }
        command.arg("--listen").arg(format!("{}:{PORT}", self.world.address(number)));
        for peer in peers {
            command.arg("--peer").arg(format!("{}:{PORT}", self.world.address(*peer)));
        }
        command.arg("--chain").arg(self.chain_file()).arg("--data-dir").arg(self.data(number));
        Host { number, process: Process::spawn(command), miner: None }
    }

    /// Has a host mine for this owner, for so many per cent of a processor.
    pub(crate) fn mine(&self, host: &mut Host, owner: &Owner, per_cent: u32) {
        let mut command = self.world.on(host.number, PROGRAM);
        command.args(["mine", "--url", STRATUM, "--threads", "1", "--shares-per-second", "100"]);
        command.arg("--load").arg(per_cent.to_string());
        command.arg("--user").arg(format!("{}.test", address_of(owner, self.params.network)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        host.miner = Some(command.spawn().expect("the miner starts"));
    }

    /// Waits until a host's node serves miners.
    pub(crate) fn wait_for_stratum(&self, host: &mut Host) {
        host.process.stratum();
    }

    /// What a host's node says to a question on the command line.
    pub(crate) fn ask(&self, host: &Host, question: &[&str]) -> Value {
        let mut command = self.world.on(host.number, PROGRAM);
        command.args(question).arg("--json").arg("--chain").arg(self.chain_file());
        command.arg("--data-dir").arg(self.data(host.number));
        let output = command.output().expect("the program starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{question:?}: {errors}"))
    }

    pub(crate) fn height(&self, host: &Host) -> u64 {
        self.ask(host, &["chain", "tip"])["tip"]["height"].as_u64().unwrap_or(0)
    }

    pub(crate) fn tip(&self, host: &Host) -> String {
        self.ask(host, &["chain", "tip"])["tip"]["id"].as_str().unwrap_or("none").to_owned()
    }

    /// Waits until a host's node is at this height or above.
    pub(crate) fn reach(&self, host: &Host, height: u64) {
        until(&format!("height {height} on host {}", host.number), || {
            (self.height(host) >= height).then_some(())
        });
    }

    /// Waits until all of them have the same tip, and gives it.
    pub(crate) fn agree(&self, hosts: &[&Host]) -> String {
        until("the nodes to agree", || {
            let tips: Vec<String> = hosts.iter().map(|host| self.tip(host)).collect();
            tips.windows(2).all(|pair| pair[0] == pair[1]).then(|| tips[0].clone())
        })
    }

    /// The blocks of a host's node by height.
    pub(crate) fn chain(&self, host: &Host) -> BTreeMap<u64, Block> {
        let mut command = self.world.on(host.number, PROGRAM);
        command.args(["chain", "export", "--chain"]).arg(self.chain_file());
        command.arg("--data-dir").arg(self.data(host.number));
        let output = command.output().expect("the program starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("text");
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        lines
            .filter_map(|line| line.get("block").map(Block::read))
            .map(|block| (block.own.height, block))
            .collect()
    }

    /// The chain's id, as shares name it that have no older base.
    pub(crate) fn chain_id(&self) -> String {
        self.params.chain_id().as_block().to_string()
    }

    /// An owner as exports name it.
    pub(crate) fn owner(&self, owner: &Owner) -> String {
        owner.script().to_hex_string()
    }
}

/// Asks again and again until there is an answer, for as long as some dozen share blocks take on a busy machine.
fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(300);
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < end, "waiting for {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// A share of an export.
#[derive(Clone, Debug)]
pub(crate) struct Share {
    pub(crate) id: String,
    pub(crate) height: u64,
    pub(crate) base: String,
    pub(crate) owner: String,
}

/// A block of an export.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) own: Share,
    pub(crate) listed: Vec<Share>,
}

impl Share {
    fn read(share: &Value) -> Self {
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let commitment = &share["commitment"];
        Self {
            id: text(&share["id"]),
            height: commitment["height"].as_u64().expect("a height"),
            base: text(&commitment["base"]),
            owner: text(&commitment["owner"]),
        }
    }
}

impl Block {
    fn read(block: &Value) -> Self {
        let listed = block["listed"].as_array().expect("a list").iter().map(Share::read).collect();
        Self { own: Share::read(&block["share"]), listed }
    }
}

impl Host {
    fn stop_miner(&mut self) {
        if let Some(mut miner) = self.miner.take() {
            let _ = miner.kill();
            let _ = miner.wait();
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop_miner();
    }
}
