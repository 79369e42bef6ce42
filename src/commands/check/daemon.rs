//! What is looked at of one bitcoind: that it answers, is synced, is on the right chain, and gives templates.

use super::Finding;
use crate::bitcoin::rpc::{BitcoindRpc, Patience};
use crate::bitcoin::{Backend, BackendError, ChainInfo};
use crate::commands::init::{Publisher, publisher};
use crate::config::{Bitcoind, CookieFrom, RpcAuth, ZmqUrl, zmq_advice, zmq_line};
use indicatif::HumanDuration;
use sharechain::params::{ChainParams, Network};
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// How long a ZMQ publisher may take to greet.
const ZMQ_PATIENCE: Duration = Duration::from_secs(5);
/// The first byte of every ZMQ greeting (ZMTP 2 and 3).
const ZMQ_SIGNATURE: u8 = 0xff;
/// What ends it that bitcoind takes itself to be fetching old blocks.
const IN_INITIAL_DOWNLOAD: &str = "bitcoind says so until its newest block is less than a day old: on a public network wait until it has connections and has fetched them; on a private one (regtest, a signet of your own) one mined block ends it, so start the node and a miner all the same";

pub(super) async fn look(daemon: &Bitcoind, params: &ChainParams) -> Vec<Finding> {
    let check = format!("bitcoind {daemon}");
    let rpc = BitcoindRpc::new(daemon.endpoint(), daemon.credentials(), Patience::default());
    let mut findings = match rpc.chain_info().await {
        Err(error) => vec![unanswered(check, &error, daemon)],
        Ok(info) => {
            let mut findings = vec![chain(&check, &info, params.network)];
            if findings[0].ok {
                findings.push(synced(&check, &rpc, &info).await);
                findings.push(first_block(&check, &rpc, &info, params).await);
                findings.push(template(&check, &rpc).await);
                findings.extend(knots(&check, &rpc).await);
            }
            if daemon.zmq.is_none() {
                findings.push(new_blocks(&check, &rpc, daemon).await);
            }
            findings
        }
    };
    if let Some(zmq) = &daemon.zmq {
        findings.push(publishes(zmq).await);
    }
    findings
}

fn unanswered(check: String, error: &BackendError, daemon: &Bitcoind) -> Finding {
    let cure = match (error, &daemon.auth) {
        (BackendError::Unauthorized { .. }, RpcAuth::Cookie(path, _)) => format!(
            "see that {} is the cookie of this bitcoind and that this user may read it (bitcoind's rpccookieperms), or give --rpc-user and --rpc-password",
            path.display()
        ),
        (BackendError::Unauthorized { .. }, RpcAuth::Password { .. }) => {
            "see that --rpc-user and --rpc-password are those of bitcoind.conf (rpcauth or rpcuser and rpcpassword), and that rpcallowip admits this machine".into()
        }
        (BackendError::Syncing { .. }, _) => "wait until bitcoind has loaded and synced".into(),
        (_, RpcAuth::Cookie(path, CookieFrom::Default)) if !path.exists() => format!(
            "start bitcoind with server=1; if it runs elsewhere or with a folder of its own, say so with --bitcoind URL and --rpc-cookie FILE (there is none at {})",
            path.display()
        ),
        _ => "start bitcoind with server=1, and see that --bitcoind names its host and rpcport".into(),
    };
    let lines: &[&str] = match (error, &daemon.auth) {
        (BackendError::Unreachable { .. }, _) => &["server=1"],
        (BackendError::Unauthorized { .. }, RpcAuth::Cookie(..)) => &["rpccookieperms=group"],
        _ => &[],
    };
    Finding::bad(check, error.to_string(), cure).with_lines(lines)
}

fn chain(check: &str, info: &ChainInfo, network: Network) -> Finding {
    let check = format!("{check}: chain");
    if info.chain != network.name() {
        let cure = format!(
            "start bitcoind with chain={}, or this program with --network {}",
            network.name(),
            info.chain
        );
        return Finding::bad(check, format!("it is on {}, not on {}", info.chain, network.name()), cure);
    }
    if !info.is_minable() {
        return Finding::bad(
            check,
            "the public signet cannot be mined: its blocks need the signature of its operators",
            "use testnet4 for trying out in public, or a signet of your own: bitcoind with signetchallenge=51",
        );
    }
    Finding::good(check, info.chain.clone())
}

async fn synced(check: &str, rpc: &BitcoindRpc, info: &ChainInfo) -> Finding {
    let check = format!("{check}: synced");
    let (blocks, headers) = (info.blocks.0, info.headers.0);
    if blocks < headers {
        let seen = format!("it has {blocks} of {headers} blocks");
        return Finding::bad(check, seen, "wait until bitcoind has fetched the rest");
    }
    if info.initial_block_download {
        let newest = rpc.header(info.best).await.ok().flatten().map(|found| found.header.time);
        return Finding::bad(check, old_tip(blocks, newest), IN_INITIAL_DOWNLOAD);
    }
    Finding::good(check, format!("all {blocks} blocks, the newest {}", info.best))
}

/// What a bitcoind has that takes itself to be fetching old blocks; `newest` is when its newest was made.
fn old_tip(blocks: u32, newest: Option<u32>) -> String {
    let has = match blocks {
        0 => "it has the chain's first block alone".to_owned(),
        _ => format!("it has {blocks} blocks"),
    };
    let made = newest.map(|time| UNIX_EPOCH + Duration::from_secs(time.into()));
    let age = made.map(|made| SystemTime::now().duration_since(made).unwrap_or_default());
    let newest = if blocks == 0 { "" } else { "the newest " };
    let made = age.map_or_else(String::new, |age| format!(", {newest}made {} ago", HumanDuration(age)));
    format!("{has}{made}, and says that it is still fetching old ones (initialblockdownload)")
}

/// Whether the chain's first Bitcoin block is where it should be: a bitcoind of a chain with the same name may differ.
async fn first_block(check: &str, rpc: &BitcoindRpc, info: &ChainInfo, params: &ChainParams) -> Finding {
    let check = format!("{check}: first Bitcoin block");
    let (height, hash) = params.first_bitcoin_block;
    if info.blocks < height {
        let seen = format!("it has not come to block {height} yet, where this share chain begins");
        return Finding::bad(check, seen, "wait until bitcoind has synced");
    }
    match rpc.headers(height, 1).await {
        Ok(headers) if headers.first().is_some_and(|header| header.block_hash() == hash) => {
            Finding::good(check, format!("block {height} is {hash}"))
        }
        Ok(headers) => Finding::bad(
            check,
            match headers.first() {
                Some(other) => format!(
                    "its block {height} is {}, this share chain begins with {hash}",
                    other.block_hash()
                ),
                None => format!("it gives no block {height}"),
            },
            "this bitcoind is on another chain than the others of this share chain; see that --chain and --network are right for it",
        ),
        Err(error) => Finding::bad(check, error.to_string(), "ask again; if it stays so, see bitcoind's log"),
    }
}

async fn template(check: &str, rpc: &BitcoindRpc) -> Finding {
    let check = format!("{check}: templates");
    match rpc.template(None).await {
        Ok(template) => Finding::good(
            check,
            format!("one for block {} with {} transactions", template.height, template.transactions.len()),
        ),
        Err(error) => Finding::bad(
            check,
            error.to_string(),
            "on a public network bitcoind gives templates when it is synced and has connections; see `bitcoin-cli getnetworkinfo`",
        ),
    }
}

/// Knots has other limits than Core; whether they were changed it does not say.
async fn knots(check: &str, rpc: &BitcoindRpc) -> Option<Finding> {
    let name = rpc.user_agent().await.ok().filter(|name| name.contains("Knots"))?;
    let seen = format!("it is {name}, which makes blocks of at most 300 kB unless told otherwise");
    let lines = ["blockmaxsize=4000000", "blockmaxweight=4000000"];
    Some(Finding::good(format!("{check}: block size"), seen).with_lines(&lines))
}

/// How it tells of new blocks, where no `--zmq` was named.
async fn new_blocks(check: &str, rpc: &BitcoindRpc, daemon: &Bitcoind) -> Finding {
    let check = format!("{check}: new blocks");
    match publisher(rpc, daemon).await {
        Publisher::Reached(zmq) => Finding::good(
            check,
            format!("by long polling; it publishes them too: --zmq {} learns of them sooner", zmq.as_str()),
        ),
        Publisher::Apart(zmq) => Finding::good(
            check,
            format!(
                "by long polling; it publishes them for its own machine alone, too: if that is this one, --zmq {} learns of them sooner",
                zmq.as_str()
            ),
        ),
        Publisher::Nowhere => {
            Finding::good(check, "by long polling; with ZMQ the node would learn of them sooner")
                .with_lines(&[&zmq_line()])
        }
    }
}

async fn publishes(zmq: &ZmqUrl) -> Finding {
    let check = format!("ZMQ {}", zmq.as_str());
    let cure = || {
        format!(
            "{}, and name that address with --zmq; or leave --zmq out, long polling does as well",
            zmq_advice()
        )
    };
    match tokio::time::timeout(ZMQ_PATIENCE, greeting(zmq)).await {
        Ok(Ok(ZMQ_SIGNATURE)) => Finding::good(check, "it greets"),
        Ok(Ok(_)) => Finding::bad(check, "what listens there does not speak ZMQ", cure()),
        Ok(Err(error)) => Finding::bad(check, format!("it does not answer: {error}"), cure()),
        Err(_) => Finding::bad(check, format!("it has not greeted in {} s", ZMQ_PATIENCE.as_secs()), cure()),
    }
}

async fn greeting(zmq: &ZmqUrl) -> io::Result<u8> {
    TcpStream::connect(zmq.host_port()).await?.read_u8().await
}
