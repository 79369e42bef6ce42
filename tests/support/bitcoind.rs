//! A real bitcoind for a test: found or fetched, started on free ports in a folder of its own, killed when dropped.
//!
//! Its RPC helper blocks and shares no code with the node, so that a fault in the node's client cannot hide itself.
//! Everything here panics with a line that says what to do: a test without its daemon has failed, it is never skipped.

use std::{
    ffi::OsString,
    fs,
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// An address that no wallet here has: the public key of BIP173's examples.
const NOBODY: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
/// How long a daemon may take to answer its first call, or to end when asked to.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long one RPC may take; mining a signet block with the daemon's own miner is the longest.
const RPC_TIMEOUT: Duration = Duration::from_secs(120);

/// The test chains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chain {
    /// Blocks take two hashes on average.
    Regtest,
    /// A private signet with the challenge `51` (OP_TRUE): no signature, about five million hashes a block.
    Signet,
    /// The signet whose blocks need its operators' signature, at its genesis block: the daemon knows no other node.
    PublicSignet,
    /// Testnet4 at its genesis block, whose next block takes four thousand million hashes: one that a test never finds.
    Testnet4,
}

impl Chain {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Regtest => &["-regtest"],
            Self::Signet => &["-signet", "-signetchallenge=51"],
            Self::PublicSignet => &["-signet"],
            Self::Testnet4 => &["-testnet4"],
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Regtest => "regtest",
            Self::Signet | Self::PublicSignet => "signet",
            Self::Testnet4 => "testnet4",
        }
    }
}

/// What a test may want beyond the plain daemon.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// Publish `hashblock` over ZMQ.
    pub(crate) zmq: bool,
    /// Further arguments, for example `-blockmaxweight=40000`.
    pub(crate) arguments: Vec<String>,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RpcFailure {
    /// No daemon, no answer, or an answer that is no JSON-RPC.
    #[error("bitcoind did not answer: {0}")]
    Transport(#[from] io::Error),
    /// The daemon refused the call.
    #[error("bitcoind answered error {code}: {message}")]
    Refused { code: i64, message: String },
}

/// A running (or stopped) daemon with its folder and ports.
pub(crate) struct BitcoinD {
    program: PathBuf,
    chain: Chain,
    options: Options,
    folder: tempfile::TempDir,
    ports: Ports,
    child: Option<Child>,
}

impl BitcoinD {
    /// Starts a daemon and returns when it answers.
    pub(crate) fn start(chain: Chain, options: Options) -> Self {
        let program = program().unwrap_or_else(|why| panic!("{why}"));
        let folder = tempfile::tempdir().expect("a folder for bitcoind");
        let mut daemon = Self { program, chain, options, folder, ports: Ports::free(), child: None };
        // Somebody else may take a port between the probe and the start.
        for _ in 0..3 {
            match daemon.try_launch() {
                Ok(()) => return daemon,
                Err(why) => eprintln!("bitcoind did not start, trying other ports: {why}"),
            }
            daemon.ports = Ports::free();
        }
        panic!("bitcoind did not start three times:\n{}", daemon.log_tail());
    }

    /// A regtest daemon with nothing special.
    pub(crate) fn regtest() -> Self {
        Self::start(Chain::Regtest, Options::default())
    }

    /// `http://127.0.0.1:PORT`, without credentials.
    pub(crate) fn rpc_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.rpc)
    }

    /// Port of the RPC server on 127.0.0.1.
    pub(crate) fn rpc_port(&self) -> u16 {
        self.ports.rpc
    }

    /// The file that holds `user:password`, rewritten by the daemon at each start.
    pub(crate) fn cookie_file(&self) -> PathBuf {
        self.chain_folder().join(".cookie")
    }

    /// Where `hashblock` is published, if asked for in the options.
    pub(crate) fn zmq_url(&self) -> Option<String> {
        self.options.zmq.then(|| format!("tcp://127.0.0.1:{}", self.ports.zmq))
    }

    /// Calls a method with an array of positional or an object of named parameters. Blocks the thread.
    pub(crate) fn rpc(&self, method: &str, params: Value) -> Result<Value, RpcFailure> {
        let body = json!({"jsonrpc": "1.0", "id": 0, "method": method, "params": params}).to_string();
        let cookie = fs::read_to_string(self.cookie_file())?;
        let answer = http_post(self.ports.rpc, &base64(cookie.trim().as_bytes()), &body)?;
        let mut answer: Value =
            serde_json::from_str(&answer).map_err(|e| io::Error::other(format!("{e}: {answer:?}")))?;
        match answer["error"].take() {
            Value::Null => Ok(answer["result"].take()),
            error => Err(RpcFailure::Refused {
                code: error["code"].as_i64().unwrap_or_default(),
                message: error["message"].as_str().unwrap_or_default().to_owned(),
            }),
        }
    }

    /// Like [`rpc`](Self::rpc), for calls that must succeed.
    pub(crate) fn call(&self, method: &str, params: Value) -> Value {
        self.rpc(method, params).unwrap_or_else(|e| panic!("{method}: {e}\n{}", self.log_tail()))
    }

    /// Creates a wallet (loaded again after a restart) and returns an address of it.
    pub(crate) fn create_wallet(&self, name: &str) -> String {
        self.call("createwallet", json!({"wallet_name": name, "load_on_startup": true}));
        self.new_address()
    }

    /// Makes a wallet with so many coins that can be spent, of 50 bitcoins each; returns an address of it. The chain is then
    /// so long that no transaction of the wallet has the lock time 21, for wallets set it back by up to 100 blocks, and
    /// Knots takes that one for a parasite's and not into its mempool.
    pub(crate) fn create_funded_wallet(&self, coins: u32) -> String {
        let address = self.create_wallet("test");
        self.mine_to(&address, coins);
        self.mine_to(NOBODY, 122);
        address
    }

    /// A new segwit address of the wallet.
    pub(crate) fn new_address(&self) -> String {
        self.call("getnewaddress", json!([])).as_str().expect("an address").to_owned()
    }

    /// Mines blocks with the daemon's own miner; returns their hashes in hex.
    pub(crate) fn mine_to(&self, address: &str, blocks: u32) -> Vec<String> {
        let hashes = self.call("generatetoaddress", json!([blocks, address, 1_000_000_000]));
        hashes.as_array().expect("hashes").iter().map(|h| h.as_str().expect("a hash").to_owned()).collect()
    }

    /// Height of the best chain.
    pub(crate) fn height(&self) -> u64 {
        self.call("getblockcount", json!([])).as_u64().expect("a height")
    }

    /// Hash of the best block in hex.
    pub(crate) fn best_hash(&self) -> String {
        self.call("getbestblockhash", json!([])).as_str().expect("a hash").to_owned()
    }

    /// Connects this daemon to another of the same chain, now and after restarts of the other.
    pub(crate) fn connect_to(&self, other: &Self) {
        self.call("addnode", json!([format!("127.0.0.1:{}", other.ports.p2p), "add"]));
        wait_for("the daemons to connect", || {
            self.call("getconnectioncount", json!([])).as_u64().is_some_and(|n| n > 0).then_some(())
        });
    }

    /// Asks the daemon to end and waits until it has; its folder and ports are kept.
    pub(crate) fn stop(&mut self) {
        self.call("stop", json!([]));
        let child = self.child.as_mut().expect("a stopped daemon is not stopped again");
        wait_for("bitcoind to end", || child.try_wait().expect("a child's state"));
        self.child = None;
    }

    /// Ends the daemon without a warning to it; its folder and ports are kept.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("a running child");
            child.wait().expect("a killed child");
        }
    }

    /// Starts a stopped or killed daemon again, on the same folder and ports.
    pub(crate) fn start_again(&mut self) {
        assert!(self.child.is_none(), "the daemon runs already");
        // A killed daemon leaves its cookie behind: the old one must not pass for the new one.
        let _ = fs::remove_file(self.cookie_file());
        self.try_launch()
            .unwrap_or_else(|why| panic!("bitcoind did not start again: {why}\n{}", self.log_tail()));
    }

    /// Freezes the daemon: its sockets stay open, nothing is answered.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    /// Ends [`freeze`](Self::freeze).
    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let pid = self.child.as_ref().expect("a running daemon").id().to_string();
        let status = Command::new("sh").args(["-c", "kill -$0 $1", name, &pid]).status().expect("sh");
        assert!(status.success(), "kill -{name} {pid}: {status}");
    }

    fn try_launch(&mut self) -> Result<(), String> {
        let child = Command::new(&self.program)
            .args(self.arguments())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|e| format!("{} cannot be started: {e}", self.program.display()))?;
        self.child = Some(child);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let Err(error) = self.rpc("getblockchaininfo", json!([])) else { return Ok(()) };
            let child = self.child.as_mut().expect("just started");
            if let Some(status) = child.try_wait().map_err(|e| e.to_string())? {
                self.child = None;
                return Err(format!("it ended with {status}"));
            }
            if Instant::now() > deadline {
                self.kill();
                return Err(format!("no answer in {} s: {error}", PATIENCE.as_secs()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn arguments(&self) -> Vec<OsString> {
        let mut arguments = vec![OsString::from("-datadir")];
        arguments[0].push("=");
        arguments[0].push(self.folder.path());
        let ports = &self.ports;
        let mut add = |argument: String| arguments.push(argument.into());
        self.chain.arguments().iter().for_each(|a| add((*a).to_owned()));
        add(format!("-rpcport={}", ports.rpc));
        add(format!("-port={}", ports.p2p));
        add(format!("-bind=127.0.0.1:{}", ports.p2p));
        if let Some(url) = self.zmq_url() {
            add(format!("-zmqpubhashblock={url}"));
        }
        // Long polls hold a thread each, and tests call at the same time.
        for plain in ["-server", "-listen", "-listenonion=0", "-discover=0", "-dnsseed=0", "-fixedseeds=0"]
            .into_iter()
            .chain(["-rpcthreads=16", "-par=1", "-printtoconsole=0"])
            .chain(["-keypool=5", "-fallbackfee=0.0001", "-addresstype=bech32", "-changetype=bech32"])
        {
            add(plain.to_owned());
        }
        self.options.arguments.iter().for_each(|a| add(a.clone()));
        arguments
    }

    fn chain_folder(&self) -> PathBuf {
        self.folder.path().join(self.chain.folder())
    }

    fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.chain_folder().join("debug.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        format!("the end of bitcoind's log:\n{}", lines[lines.len().saturating_sub(15)..].join("\n"))
    }
}

impl Drop for BitcoinD {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log_tail());
        }
        if let Some(child) = self.child.as_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Asks again and again until there is an answer; fails the test after a minute.
pub(crate) fn wait_for<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {} s for {what}", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    rpc: u16,
    p2p: u16,
    zmq: u16,
}

impl Ports {
    fn free() -> Self {
        Self { rpc: free_port(), p2p: free_port(), zmq: free_port() }
    }
}

/// A port that nobody listens on, below the range that outgoing connections are given: so it is still free when a
/// stopped daemon wants it back.
fn free_port() -> u16 {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 20_000;
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    // Test binaries that run at once should not probe the same ports.
    let next = NEXT.get_or_init(|| AtomicU16::new((std::process::id().wrapping_mul(7919) % 20_000) as u16));
    (0..COUNT)
        .map(|_| FIRST + next.fetch_add(1, Ordering::Relaxed) % COUNT)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port among 20,000")
}

/// The daemon's program: `BITCOIND`, else `bitcoind` on the path, else fetched into the build folder.
fn program() -> Result<PathBuf, String> {
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    PROGRAM.get_or_init(find_program).clone()
}

fn find_program() -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os("BITCOIND").filter(|p| !p.is_empty()) {
        let path = PathBuf::from(path);
        return if path.is_file() {
            Ok(path)
        } else {
            Err(format!("BITCOIND={} is no file", path.display()))
        };
    }
    let on_path = std::env::var_os("PATH")
        .and_then(|path| std::env::split_paths(&path).map(|f| f.join("bitcoind")).find(|p| p.is_file()));
    if let Some(path) = on_path {
        return Ok(path);
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/fetch-bitcoind.sh");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bitcoind");
    let output = Command::new("sh").arg(script).arg(folder).output().map_err(|e| format!("sh: {e}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().into());
    }
    Err(format!(
        "these tests need a bitcoind and none could be had. Set BITCOIND to the path of one (Bitcoin Core or Knots, \
         29 or newer), or put it on the PATH. Fetching one from Debian said:\n{}",
        String::from_utf8_lossy(&output.stderr)
    ))
}

fn http_post(port: u16, authorization: &str, body: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(RPC_TIMEOUT))?;
    write!(
        stream,
        "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Basic {authorization}\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| io::Error::other("no HTTP answer"))?;
    if body.is_empty() {
        return Err(io::Error::other(head.lines().next().unwrap_or_default().to_owned()));
    }
    Ok(body.to_owned())
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = (0..3).fold(0u32, |word, i| word << 8 | u32::from(chunk.get(i).copied().unwrap_or(0)));
        for i in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * i) & 63) as usize];
            text.push(if i <= chunk.len() { digit as char } else { '=' });
        }
    }
    text
}
