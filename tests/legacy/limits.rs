//! What is refused, with the reason, and what is too much.

use super::getwork::{Work, get, submit};
use super::template::{Made, ask, target, template};
use super::{Answer, Client, Running, Setup, easy, found, rig, soon};
use crate::support::jobs::JobMaker;
use commonwork::legacy::server::{Limits, bind};
use commonwork::stratum::gate::Gate;
use primitive_types::U256;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};

const SHORT: Duration = Duration::from_millis(50);

#[tokio::test]
async fn who_asks_must_be_known() {
    let running = Setup { default_owner: None, ..Setup::default() }.start();
    running.publish(easy(1));
    for (login, says) in [
        (None, "basic authentication"),
        (Some("Basic"), "basic authentication"),
        (Some("Basic !!!"), "basic authentication"),
        (Some("Bearer cmlnOng="), "basic authentication"),
        // rig:x
        (Some("Basic cmlnOng="), "is no Bitcoin address"),
    ] {
        let client = Client { login: login.map(str::to_owned), ..rig(&running) };
        let answer = client.call("getwork", json!([])).await;
        assert_eq!(answer.status, 401, "{login:?}");
        assert_eq!(answer.headers["www-authenticate"], "Basic realm=\"commonwork\"");
        assert_eq!(answer.headers["connection"], "close");
        assert!(answer.error().contains(says), "{answer:?}");
    }
    let small = Client::new(running.address, "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080", "c=3");
    let answer = small.call("getwork", json!([])).await;
    assert_eq!((answer.status, answer.error().contains("holds coinbases of 3 outputs")), (401, true));
    assert_eq!(running.sessions.count(), 0);
    soon(running.stop()).await;
}

#[tokio::test]
async fn bad_requests_are_answered_with_what_is_wrong() {
    let running = Setup::default().start();
    running.publish(easy(1));
    let client = rig(&running);
    let call = |method: &str, params: Value| json!({"id": 7, "method": method, "params": params}).to_string();
    let digits = "0".repeat(256);
    for (body, status, says) in [
        (String::new(), 400, "JSON object"),
        ("getwork".into(), 400, "JSON object"),
        (format!(r#"{{"id":"{}","method":"getwork","params":[]}}"#, "x".repeat(255)), 400, "256 bytes"),
        (call("getwork", json!([])) + &" ".repeat(9_000), 413, "only blocks are long"),
        ("[]".into(), 400, "JSON object"),
        (r#"[{"id":1,"method":"getwork","params":[]}]"#.into(), 400, "JSON object"),
        (r#"{"id":1,"method":"submitblock","params":{}}"#.into(), 400, "takes a block"),
        (r#"{"id":1,"params":[]}"#.into(), 404, "getwork, getblocktemplate and submitblock"),
        (call("getinfo", json!([])), 404, "Method getinfo is not supported"),
        (call("getwork", json!([7])), 400, "256 hexadecimal digits"),
        (call("getwork", json!([""])), 400, "256 hexadecimal digits"),
        (call("getwork", json!([&digits[1..]])), 400, "256 hexadecimal digits"),
        (call("getwork", json!([&digits[2..]])), 400, "256 hexadecimal digits"),
        (call("getwork", json!([digits.replace("00", "0x")])), 400, "256 hexadecimal digits"),
        (call("getwork", json!([format!("{digits}00")])), 400, "256 hexadecimal digits"),
        (call("getblocktemplate", json!([])), 400, "segwit rule"),
        (call("getblocktemplate", json!([[]])), 400, "segwit rule"),
        (call("getblocktemplate", json!(["x"])), 400, "cannot be read"),
        (call("getblocktemplate", json!([{"rules": 7}])), 400, "cannot be read"),
        (call("getblocktemplate", json!([{"mode": "x", "rules": ["segwit"]}])), 400, "template or proposal"),
        (call("getblocktemplate", json!([{"mode": "proposal"}])), 400, "no whole header"),
        (
            call("getblocktemplate", json!([{"rules": ["segwit"], "capabilities": ["coinbasevalue"]}])),
            400,
            "a block of the miner's own making cannot be credited",
        ),
        (call("submitblock", json!([])), 400, "takes a block"),
        (call("submitblock", json!([7])), 400, "takes a block"),
        (call("submitblock", json!(["zz"])), 400, "not hexadecimal digits"),
        (call("submitblock", json!([&digits[..158]])), 400, "no whole header"),
        (call("submitblock", json!([&digits[..164]])), 400, "no count and coinbase"),
    ] {
        let answer = client.post("/", &body).await;
        assert_eq!(answer.status, status, "{body}: {answer:?}");
        assert!(answer.error().contains(says), "{body}: {answer:?}");
    }
    for (method, path, status) in
        [("GET", "/", 405), ("PUT", "/", 405), ("PUT", "/lp", 405), ("DELETE", "/x", 405)]
    {
        let answer = client.request(method, path, b"").await.expect("an answer");
        assert_eq!(
            (answer.status, answer.headers["connection"].as_str()),
            (status, "close"),
            "{method} {path}"
        );
    }
    // The path does not matter otherwise, and neither does white space.
    let answer = client.post("/anything", &format!(" \r\n{}\n", call("getwork", json!([])))).await;
    assert_eq!(answer.result()["submitold"], true);
    assert_eq!(answer.body["id"], 7);
    soon(running.stop()).await;
}

#[tokio::test]
async fn unknown_work_is_refused_by_its_name() {
    let running = Setup::default().start();
    running.publish(easy(1));
    let client = rig(&running);
    template(&client).await;
    let header = "0".repeat(160);
    // What stands beside a block is no reason not to look at it.
    for beside in [
        json!({}),
        json!(null),
        json!(7),
        json!("dummy"),
        json!({"workid": 7}),
        json!({"workid": "12345678"}),
    ] {
        assert_eq!(client.call("submitblock", json!([header, beside])).await.result(), "unknown-work");
    }
    assert_eq!(client.call("submitblock", json!([header])).await.result(), "unknown-work");
    // Nobody becomes a worker by handing in.
    let other = Client::new(running.address, "other", "x");
    assert_eq!(other.call("submitblock", json!([header])).await.result(), "unknown-work");
    assert!(other.call("submitblock", json!(["zz"])).await.error().contains("not hexadecimal digits"));
    assert_eq!(running.sessions.count(), 1);
    soon(running.stop()).await;
}

#[tokio::test]
async fn without_anything_to_mine_on_there_is_a_reason_and_a_block_counts_all_the_same() {
    let running = Setup::default().start();
    running.publish(easy(1));
    let client = rig(&running);
    let solved = block(&client).await;
    running.open.send_replace(false);
    for answer in [
        client.call("getwork", json!([])).await,
        ask(&client, json!({})).await,
        client.request("GET", "/lp", b"").await.expect("an answer"),
    ] {
        assert_eq!((answer.status, answer.headers["retry-after"].as_str()), (503, "5"));
        assert!(answer.error().contains("nothing to mine on"), "{answer:?}");
    }
    assert_eq!(submit(&client, &solved).await.result(), &Value::Bool(true));
    assert_eq!(found(&running).len(), 1);
    running.open.send_replace(true);
    get(&client).await;
    soon(running.stop()).await;
}

#[tokio::test]
async fn a_body_longer_than_any_block_is_refused_before_it_has_come() {
    let running = Setup::default().start();
    running.publish(easy(1));
    let client = rig(&running);
    let mut stream = BufReader::new(soon(TcpStream::connect(running.address)).await.expect("a connection"));
    stream.write_all(&client.head("POST", "/", 9_000_000)).await.expect("written");
    let piece = vec![b' '; 100_000];
    for _ in 0..90 {
        if stream.write_all(&piece).await.is_err() {
            break;
        }
    }
    // Closed with bytes unread, the answer may be lost on the way; that there is an end is certain.
    if let Some(answer) = Answer::read(&mut stream).await {
        assert_eq!((answer.status, answer.headers["connection"].as_str()), (413, "close"));
    }
    // As long as a full block in digits is heard.
    let block =
        format!("{{\"id\":1,\"method\":\"submitblock\",\"params\":[\"{}\"]}}", "00".repeat(4_000_000));
    assert!(client.post("/", &block).await.error().contains("no count and coinbase"));
    soon(running.stop()).await;
}

#[tokio::test]
async fn a_block_is_judged_before_its_end_has_come() {
    let running = Setup::default().start();
    running.publish(JobMaker { branch_len: 0, ..easy(1) });
    let client = rig(&running);
    let shown = template(&client).await;
    let network = target(&shown, "fulltarget");
    let block = Made::from(&shown).mine(|hash| hash <= network);
    let digits = block.short() + &"00".repeat(3_000_000);
    let body = format!(r#"{{"method":"submitblock","params":["{digits}"],"id":"behind"}}"#);
    let (begins, rest) = body.as_bytes().split_at(60_000);
    let mut stream = BufReader::new(soon(TcpStream::connect(running.address)).await.expect("a connection"));
    stream.write_all(&client.head("POST", "/", body.len())).await.expect("written");
    stream.write_all(begins).await.expect("written");
    blocks_are(&running, 1).await;
    stream.write_all(rest).await.expect("written");
    let answer = Answer::read(&mut stream).await.expect("an answer");
    assert_eq!((answer.result(), &answer.body["id"]), (&Value::Null, &json!("behind")));
    soon(running.stop()).await;
}

#[tokio::test]
async fn bodies_that_do_not_come_keep_nobody_waiting() {
    let limits = Limits { body: Duration::from_secs(3_600), ..Limits::default() };
    let running = Setup { limits, ..Setup::default() }.start();
    running.publish(JobMaker { branch_len: 0, ..easy(1) });
    let client = rig(&running);
    let mut silent = Vec::new();
    for _ in 0..8 {
        let mut stream = soon(TcpStream::connect(running.address)).await.expect("a connection");
        stream.write_all(&client.head("POST", "/", 9_000)).await.expect("written");
        silent.push(stream);
    }
    let shown = template(&client).await;
    let goal = target(&shown, "target");
    let solved = Made::from(&shown).mine(|hash| hash <= goal).whole() + &"00".repeat(10_000);
    let answer = client.call("submitblock", json!([solved])).await;
    assert_eq!(answer.result(), &Value::Null);
    drop(silent);
    soon(running.stop()).await;
}

#[tokio::test]
async fn who_is_slow_is_dropped() {
    let limits = Limits { head: SHORT, body: SHORT, ..Limits::default() };
    let running = Setup { limits, ..Setup::default() }.start();
    let mut mute = soon(TcpStream::connect(running.address)).await.expect("a connection");
    let mut rest = Vec::new();
    soon(mute.read_to_end(&mut rest)).await.expect("the end");
    let mut half = BufReader::new(soon(TcpStream::connect(running.address)).await.expect("a connection"));
    half.write_all(&rig(&running).head("POST", "/", 10)).await.expect("written");
    half.write_all(b"{").await.expect("written");
    let answer = Answer::read(&mut half).await.expect("an answer");
    assert_eq!((answer.status, answer.headers["connection"].as_str()), (408, "close"));
    soon(half.read_to_end(&mut rest)).await.expect("the end");
    soon(running.stop()).await;
}

#[tokio::test]
async fn a_connection_serves_many_requests_in_its_time() {
    let running = Setup::default().start();
    running.publish(easy(1));
    let client = rig(&running);
    let mut stream = BufReader::new(soon(TcpStream::connect(running.address)).await.expect("a connection"));
    for _ in 0..20 {
        stream.write_all(&whole(&client, GETWORK)).await.expect("written");
        assert_eq!(Answer::read(&mut stream).await.expect("an answer").status, 200);
    }
    soon(running.stop()).await;

    let limits = Limits { connection: SHORT, ..Limits::default() };
    let running = Setup { limits, ..Setup::default() }.start();
    running.publish(easy(1));
    let client = rig(&running);
    let mut stream = BufReader::new(soon(TcpStream::connect(running.address)).await.expect("a connection"));
    let ends = async {
        while stream.write_all(&whole(&client, GETWORK)).await.is_ok() {
            let Some(answer) = Answer::read(&mut stream).await else { break };
            assert_eq!(answer.status, 200);
        }
    };
    soon(ends).await;
    soon(running.stop()).await;
}

#[tokio::test]
async fn who_does_not_read_is_dropped() {
    let limits = Limits { stalled: SHORT, ..Limits::default() };
    let running = Setup { limits, ..Setup::default() }.start();
    running.publish(easy(1));
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4 * 1024).expect("so that little is on the way");
    let mut stream = soon(socket.connect(running.address)).await.expect("a connection");
    let request = whole(&rig(&running), GETWORK);
    let asks = async { while stream.write_all(&request).await.is_ok() {} };
    // It ends when the other side does.
    soon(asks).await;
    soon(running.stop()).await;
}

#[tokio::test]
async fn the_connections_of_this_machine_count_in_all_only() {
    let running = Setup::default().start();
    running.publish(easy(1));
    let mut held = Vec::new();
    for _ in 0..150 {
        held.push(soon(TcpStream::connect(running.address)).await.expect("a connection"));
    }
    get(&rig(&running)).await;
    drop(held);
    soon(running.stop()).await;
}

#[tokio::test]
async fn the_workers_of_one_address_are_bounded() {
    let running = Setup::default().start();
    running.publish(easy(1));
    for n in 0..128 {
        get(&Client::new(running.address, &format!("rig{n}"), "x")).await;
    }
    assert_eq!(running.sessions.count(), 128);
    let answer = Client::new(running.address, "one more", "x").call("getwork", json!([])).await;
    assert_eq!((answer.status, answer.error().contains("Too many workers at one address")), (503, true));
    get(&Client::new(running.address, "rig7", "x")).await;
    soon(running.stop()).await;
}

#[tokio::test]
async fn shares_wait_for_a_busy_chain_and_none_is_lost() {
    let mut running = Setup { share_queue: 1, ..Setup::default() }.start();
    running.publish(easy(1));
    let client = rig(&running);
    let mut asked = Vec::new();
    let mut wanted = Vec::new();
    // More than wait anywhere else, and most of their miners do not wait.
    for n in 0..100 {
        let work = get(&client).await;
        let target = work.target;
        let solved = work.mine(|hash| hash <= target);
        wanted.push(solved.hash());
        if n % 20 == 0 {
            let client = client.clone();
            asked.push(tokio::spawn(async move { submit(&client, &solved).await }));
        } else {
            hang_up_after(&client, &json!({"method": "getwork", "params": [solved.data()]})).await;
        }
    }
    let mut got = Vec::new();
    for _ in 0..100 {
        got.push(soon(running.shares.recv()).await.expect("a share").id.0);
    }
    for answer in asked {
        assert_eq!(soon(answer).await.expect("no panic").result(), &Value::Bool(true));
    }
    got.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(got, wanted);
    soon(running.stop()).await;
}

#[tokio::test]
async fn a_port_in_use_is_an_error_that_says_what_to_do() {
    let running = Setup::default().start();
    let error = bind(running.address).expect_err("in use").to_string();
    assert!(error.contains(&running.address.to_string()) && error.contains("--legacy"), "{error}");
    soon(running.stop()).await;
}

#[tokio::test]
async fn a_trusted_proxy_says_for_whom_it_asks() {
    let gate = Gate::new(&["127.0.0.0/8".parse().expect("a network")]);
    let running = Setup { gate, ..Setup::default() }.start();
    running.publish(easy(1));
    let client = rig(&running);
    let request = whole(&client, GETWORK);
    for header in ["PROXY TCP4 192.0.2.7 10.0.0.1 56324 9332\r\n", ""] {
        let mut stream =
            BufReader::new(soon(TcpStream::connect(running.address)).await.expect("a connection"));
        // All in one piece: what stands behind the header is read with it.
        stream.write_all(&[header.as_bytes(), &request].concat()).await.expect("written");
        assert_eq!(Answer::read(&mut stream).await.expect("an answer").status, 200);
    }
    let mut remotes: Vec<String> =
        running.miners().iter().map(|miner| miner.visitor.remote.ip().to_string()).collect();
    remotes.sort_unstable();
    assert_eq!(remotes, ["127.0.0.1", "192.0.2.7"]);
    soon(running.stop()).await;
}

#[tokio::test]
async fn a_bitcoin_block_counts_though_the_miner_hangs_up_at_once() {
    let running = Setup::default().start();
    running.publish(easy(1));
    let client = rig(&running);
    let call = json!({"id": 1, "method": "getwork", "params": [block(&client).await.data()]});
    hang_up_after(&client, &call).await;
    blocks_are(&running, 1).await;
    // On a connection that has rested, the hang-up is seen together with the request.
    let call = json!({"id": 1, "method": "getwork", "params": [block(&client).await.data()]}).to_string();
    let mut stream = BufReader::new(soon(TcpStream::connect(running.address)).await.expect("a connection"));
    stream.write_all(&whole(&client, GETWORK)).await.expect("written");
    Answer::read(&mut stream).await.expect("an answer");
    get(&client).await;
    stream.write_all(&whole(&client, &call)).await.expect("written");
    drop(stream);
    blocks_are(&running, 2).await;
    soon(running.stop()).await;
}

const GETWORK: &str = r#"{"id":1,"method":"getwork","params":[]}"#;

/// A request, head and body.
fn whole(client: &Client, body: &str) -> Vec<u8> {
    [&client.head("POST", "/", body.len()), body.as_bytes()].concat()
}

/// Makes a request, and does not wait for the answer.
async fn hang_up_after(client: &Client, call: &Value) {
    let mut stream = soon(TcpStream::connect(client.server)).await.expect("a connection");
    stream.write_all(&whole(client, &call.to_string())).await.expect("written");
}

/// Waits until so many Bitcoin blocks are found.
async fn blocks_are(running: &Running, count: usize) {
    let found = async {
        while found(running).len() < count {
            tokio::task::yield_now().await;
        }
    };
    soon(found).await;
}

/// Work that is a Bitcoin block, as `easy` has it.
async fn block(client: &Client) -> Work {
    get(client).await.mine(|hash| hash <= U256::from(0xffff) << 208 << 20)
}
