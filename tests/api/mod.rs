//! The node's interface, over a real connection, on a chain that was mined for the test.

mod dashboard;
mod history;
mod network;
mod node;
mod openapi;
mod owners;
pub(crate) mod raw;
mod safety;
mod scrape;

use crate::support::rig::{Rig, Want, Work, owner, params};
use commonwork::address::address_of;
use commonwork::api::export::{EndLine, Line};
use commonwork::api::form::{FeeForm, MinersForm, OutputKind, PlaceForm, RefusedForm, WorkerForm};
use commonwork::api::read::search::FoundBlocks;
use commonwork::api::{Client, ClientError, MinersPort, Opened, Ports, serve};
use sharechain::chain::ChangeSet;
use sharechain::share::ShareId;
use sharechain::store::ShareStore;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// A served chain of five blocks with shares of three owners, and one share that no block lists.
struct Served {
    client: Client,
    stop: CancellationToken,
    blocks: Vec<ShareId>,
    listed: ShareId,
    unlisted: ShareId,
}

async fn served() -> Served {
    let mut rig = Rig::new();
    let mut blocks = vec![rig.block(1)];
    let listed = rig.share(2);
    rig.share(3);
    blocks.extend((0..4).map(|n| rig.block(n % 3 + 1)));
    let unlisted = rig.share(2);
    let (client, stop) = serve_rig(rig).await;
    Served { client, stop, blocks, listed, unlisted }
}

async fn serve_rig(rig: Rig) -> (Client, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let stop = CancellationToken::new();
    let chain = Arc::new(Opened::new(rig.chain, rig.store));
    let mut found = FoundBlocks::default();
    found.catch_up(&*chain).await.expect("an answer");
    let ports = Ports { ledger: Some(found.view()), ..Ports::default() };
    tokio::spawn(serve(listener, Some(chain), ports, stop.clone()));
    (Client::new(address), stop)
}

#[tokio::test]
async fn a_node_without_a_chain_says_why_it_has_no_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let client = Client::new(listener.local_addr().expect("bound"));
    let stop = CancellationToken::new();
    tokio::spawn(serve(listener, None, Ports::default(), stop.clone()));
    let refused =
        |error: ClientError| matches!(error, ClientError::Refused(why) if why.contains("mines solo"));
    assert!(refused(client.tip().await.expect_err("no chain")));
    assert!(refused(client.blocks(Some(1), 2).await.expect_err("no chain")));
    assert!(refused(client.show(ShareId([1; 32])).await.expect_err("no chain")));
    assert!(refused(client.payouts(None, Some(11)).await.expect_err("no chain")));
    assert!(refused(client.export(|_| Ok(())).await.expect_err("no chain")));
    stop.cancel();
}

#[tokio::test]
async fn tip_and_blocks_are_told() {
    let Served { client, blocks, .. } = served().await;
    let tip = client.tip().await.expect("a tip");
    let line = tip.tip.expect("a block");
    assert_eq!((line.height, line.id.0, tip.blocks), (5, blocks[4], 5));
    assert_eq!((tip.name.as_str(), tip.network.as_str(), tip.window.owners), ("test", "embedded", 3));
    let newest = client.blocks(None, 2).await.expect("blocks").blocks;
    assert_eq!(newest.iter().map(|block| block.height).collect::<Vec<_>>(), [4, 5]);
    let all = client.blocks(Some(0), 1_000).await.expect("blocks").blocks;
    assert_eq!(all.iter().map(|block| block.id.0).collect::<Vec<_>>(), blocks);
    assert_eq!(all[1].listed, 2);
    assert!(client.blocks(Some(u32::MAX), 10).await.expect("none").blocks.is_empty());
}

#[tokio::test]
async fn blocks_of_other_branches_are_told_beside_the_active_one() {
    let mut rig = Rig::new();
    rig.block(1);
    let (aside, id) = rig.fork().extend(2);
    let active = [rig.block(3), rig.block(1)];
    rig.take(&aside).expect("a valid block");
    let (client, _stop) = serve_rig(rig).await;
    let told = client.blocks(None, 2).await.expect("blocks");
    assert_eq!(told.blocks.iter().map(|block| block.id.0).collect::<Vec<_>>(), active);
    let others: Vec<_> = told.other_branches.iter().map(|block| (block.height, block.id.0)).collect();
    assert_eq!(others, [(2, id)]);
    assert_eq!(told.other_branches[0].parent, told.blocks[0].parent);
    assert!(
        client.blocks(None, 1).await.expect("blocks").other_branches.is_empty(),
        "below what was asked for"
    );
}

#[tokio::test]
async fn a_share_is_shown_where_it_stands() {
    let Served { client, blocks, listed, unlisted, .. } = served().await;
    let block = client.show(blocks[1]).await.expect("a block");
    assert_eq!(block.place, PlaceForm::Block { height: 2, active: true });
    assert!(block.listed.iter().any(|id| id.0 == listed) && block.listed.len() == 2);
    let share = client.show(listed).await.expect("a share");
    let listing = blocks[1];
    assert!(matches!(share.place, PlaceForm::Listed { height: 2, by, active: true } if by.0 == listing));
    assert_eq!(share.share.id.0, listed);
    assert_eq!(client.show(unlisted).await.expect("a share").place, PlaceForm::Unlisted);
    let error = client.show(ShareId([1; 32])).await.expect_err("unknown");
    assert!(matches!(&error, ClientError::Refused(text) if text.contains("is not known here")), "{error}");
}

#[tokio::test]
async fn payouts_of_a_share_are_its_coinbase() {
    let mut rig = Rig::new();
    for n in 0..8 {
        rig.share(n % 3 + 1);
        rig.block(n % 3 + 1);
    }
    // What is mined in a Bitcoin height is paid from the next on.
    rig.bitcoin_block();
    let mined = rig.mine(Work::of(2), Want::Share);
    let id = rig.take(&mined).expect("valid").share.expect("new");
    let txid = mined.share.link.txid(
        &mined.share.commitment.hash(rig.chain.id()),
        &mined.share.extranonce,
        mined.share.commitment.locktime(),
    );
    let (client, _stop) = serve_rig(rig).await;
    let payouts = client.payouts(Some(id), None).await.expect("payouts");
    assert_eq!(bitcoin::hashes::Hash::to_byte_array(payouts.txid.expect("known").0), txid);
    assert_eq!(payouts.outputs.iter().map(|output| output.satoshis).sum::<u64>(), 5_000_000_000);
    let kinds: Vec<_> = payouts.outputs.iter().map(|output| output.kind).collect();
    let tail = [OutputKind::Bonus, OutputKind::WitnessCommitment, OutputKind::ShareCommitment];
    assert!(kinds.ends_with(&tail) && kinds.len() > tail.len(), "{kinds:?}");
    assert_eq!(payouts.bonus, 25_000_000);
    assert!(payouts.outputs.iter().filter(|output| output.kind == OutputKind::Payout).count() > 1);

    let now = client.payouts(None, Some(38)).await.expect("payouts");
    assert_eq!((now.class, now.owners.len(), now.outputs.len(), now.share), (38, 3, 3, None));
    assert_eq!(now.outputs.iter().map(|output| output.satoshis).sum::<u64>() + now.bonus, now.value);
    assert!((now.owners.iter().map(|owner| owner.part).sum::<f64>() - 1.0).abs() < 1e-9);
    let error = client.payouts(None, Some(12)).await.expect_err("no such class");
    assert!(error.to_string().contains("classes are 11, 38, 145, 360"), "{error}");
}

#[tokio::test]
async fn payouts_that_are_not_those_of_the_shares_own_coinbase_are_not_told() {
    let mut rig = Rig::new();
    let ids = [rig.block(1), rig.block(2)];
    // The disk says that the coinbase was worth a satoshi more than it was.
    let summary = rig.chain.block(&ids[1]).expect("known").clone();
    let mut block = rig.store.block(summary.height, &ids[1]).expect("memory").expect("kept");
    Arc::make_mut(&mut block.share).commitment.coinbase_value += 1;
    let (headers, pruned) = (vec![], vec![]);
    rig.store
        .write(&ChangeSet { block: Arc::new(block), summary, tip: ids[1], headers, pruned })
        .expect("memory");
    let (client, _stop) = serve_rig(rig).await;
    assert_eq!(client.payouts(Some(ids[0]), None).await.expect("payouts").value, 5_000_000_000);
    let error = client.payouts(Some(ids[1]), None).await.expect_err("not its coinbase");
    let wanted =
        format!("follow for share {} from the chain kept here are not those of its own coinbase", ids[1]);
    assert!(error.to_string().contains(&wanted), "{error}");
}

#[tokio::test]
async fn before_anything_is_due_all_goes_to_the_finder() {
    let Served { client, .. } = served().await;
    let now = client.payouts(None, None).await.expect("payouts");
    assert_eq!((now.class, now.outputs.len(), now.bonus), (11, 0, now.value));
    assert_eq!(now.value, 5_000_000_000);
}

#[tokio::test]
async fn an_export_ends_with_its_counts() {
    let Served { client, blocks, .. } = served().await;
    let mut output = Vec::new();
    let mut sink = |bytes: &[u8]| std::io::Write::write_all(&mut output, bytes);
    client.export(&mut sink).await.expect("an export");
    let text = String::from_utf8(output).expect("text");
    let lines: Vec<Line> = text.lines().map(|line| serde_json::from_str(line).expect("a line")).collect();
    assert!(matches!(lines.first(), Some(Line::Chain(_))));
    let id = |line: &Line| if let Line::Block(block) = line { Some(block.share.id.0) } else { None };
    let exported: Vec<_> = lines.iter().filter_map(id).collect();
    assert_eq!(exported, blocks);
    let Some(Line::End(EndLine { blocks: 5, shares: 7, tip })) = lines.last() else {
        panic!("{:?}", lines.last())
    };
    assert_eq!(tip.0, blocks[4]);
}

#[tokio::test]
async fn other_hosts_other_paths_and_garbage_are_refused() {
    let Served { client, .. } = served().await;
    let address = client.address();
    for (request, status) in [
        ("GET /v1/tip", 200),
        ("GET /elsewhere", 404),
        ("POST /v1/tip", 405),
        ("GET /v1/blocks?count=x", 400),
        ("GET /v1/shares/xyz", 400),
        ("\u{0}\u{1}", 400),
    ] {
        let answer = raw::ask(address, request, &[]).await;
        assert_eq!(raw::status(&answer), Some(status), "{request:?}: {answer}");
        if status != 200 && request.is_ascii() && !request.contains('\0') {
            assert!(raw::body(&answer).starts_with("{\"error\":"), "{request:?}: {answer}");
        }
    }
    // One connection serves several requests.
    let two = "GET /v1/tip HTTP/1.1\r\nHost: localhost\r\n\r\n\
               GET /v1/pool HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(raw::raw(address, two.as_bytes()).await.matches("HTTP/1.1 200").count(), 2);
    let long = format!("GET /v1/tip HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    let mut stream = TcpStream::connect(address).await.expect("connected");
    // The server may hang up while this is still being sent.
    let _ = stream.write_all(long.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"),
        "{:?}",
        String::from_utf8_lossy(&answer)
    );
    client.tip().await.expect("it still answers");
}

#[tokio::test]
async fn nobody_answers_after_the_stop() {
    let Served { client, stop, .. } = served().await;
    client.tip().await.expect("a tip");
    stop.cancel();
    loop {
        // The listener closes a moment after the stop.
        match client.tip().await {
            Err(ClientError::Connect { .. }) => break,
            _ => tokio::task::yield_now().await,
        }
    }
}

/// What is told of one of them. It says what would do harm on a page that takes it for markup.
fn worker() -> WorkerForm {
    WorkerForm {
        name: "<b>rig</b><img src=x onerror=\"throw 1\">".into(),
        address: Some(address_of(&owner(1), params().network)),
        user_agent: "<img src=/nowhere>bitaxe".into(),
        remote: SocketAddr::from(([192, 0, 2, 1], 4_000)),
        protocol: "stratum".into(),
        port: 3333,
        class: Some(11),
        difficulty: Some(0.125),
        connected: 7,
        last_share: None,
        accepted: 1,
        refused: RefusedForm { stale: 2, unknown_job: 3, repeated: 4, too_easy: 5, untimely: 6, other: 7 },
        hash_rate: 1.5e12,
        best_difficulty: Some(256.0),
        best_ever_difficulty: Some(256.0),
    }
}

fn workers() -> [WorkerForm; 2] {
    [worker(), WorkerForm { name: "bc1q.other".into(), ..worker() }]
}

/// Seven miners, two of them told of, let in at these addresses.
fn miners_port(addresses: Vec<SocketAddr>) -> MinersPort {
    let (_open, serving) = tokio::sync::watch::channel(true);
    MinersPort {
        stratum: addresses.clone(),
        stratum_tls: vec![],
        fingerprint: None,
        stratum_v2: vec![],
        legacy: addresses,
        authority: Some("9bX".into()),
        count: Arc::new(|| 7),
        serving,
        solo: false,
        fee: Some(FeeForm { per_10_000: 50, address: "bc1q".into() }),
        workers: Arc::new(|places| workers().into_iter().skip(places.start).take(places.len()).collect()),
    }
}

#[tokio::test]
async fn where_miners_connect_is_told_where_there_are_any() {
    let rig = Rig::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let ports = Ports { miners: Some(miners_port(vec![address])), ..Ports::default() };
    let stop = CancellationToken::new();
    tokio::spawn(serve(listener, Some(Arc::new(Opened::new(rig.chain, rig.store))), ports, stop.clone()));
    let told = Client::new(address).miners().await.expect("an answer");
    assert_eq!((told.serving, told.count, told.stratum), (true, 7, vec![address]));
    assert_eq!((told.authority.as_deref(), told.stratum_v2.len()), (Some("9bX"), 0));
    assert_eq!(told.legacy, [address]);
    assert_eq!((&told.workers[..], told.next_from), (&workers()[..], None));
    let page = |range: &'static str| async move {
        let answer = raw::ask(address, &format!("GET /v1/miners?{range}"), &[]).await;
        let page: MinersForm = serde_json::from_str(raw::body(&answer)).expect("a page");
        (page.workers, page.next_from)
    };
    assert_eq!(page("count=1").await, (workers()[..1].to_vec(), Some(1)));
    assert_eq!(page("from=1&count=1").await, (workers()[1..].to_vec(), None));
    assert_eq!(page("from=2").await, (vec![], None));
    assert_eq!(page("from=18446744073709551615").await, (vec![], None));
    assert_eq!(told.fee, Some(FeeForm { per_10_000: 50, address: "bc1q".into() }));
    stop.cancel();

    let (without, _stop) = serve_rig(Rig::new()).await;
    assert!(!told.solo);
    assert!(matches!(without.miners().await, Err(ClientError::Refused(why)) if why.contains("no miners")));
}
