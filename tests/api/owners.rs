//! What the interface tells of owners, of the pool's work and of the Bitcoin blocks that it found.

use super::serve_rig;
use crate::support::rig::{Mined, Rig, Work, grind_until, owner};
use bitcoin::BlockHash;
use bitcoin::hashes::Hash;
use commonwork::address::address_of;
use commonwork::api::form::{AccountForm, CoinbaseState, OutputKind, PaymentsForm};
use commonwork::api::read::search::{FoundBlocks, Shown};
use commonwork::api::read::{found, payments};
use commonwork::api::{ChainSource, Client, ClientError, Opened, Ports, Question, ReadError, serve};
use commonwork::chain::Stopped;
use sharechain::coinbase::{self, CoinbaseInputs};
use sharechain::share::{Share, ShareId};
use sharechain::store::{ShareStore, Solution};
use sharechain::target::Target;
use std::pin::Pin;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const SUBSIDY: u64 = 5_000_000_000;

fn address(rig: &Rig, n: u8) -> String {
    address_of(&owner(n), rig.chain.params().network)
}

/// A share block of this owner that is a Bitcoin block too, known to both chains.
fn find_bitcoin_block(rig: &mut Rig, n: u8) -> Mined {
    rig.now = rig.now.saturating_add(rig.chain.params().spacing);
    let draft = rig.draft();
    let tag = rig.next_tag();
    let share = rig.job(&draft, Work::of(n), tag, draft.easiest_share_target);
    let network = Target::from_compact(share.header.bits).expect("a target");
    let share = grind_until(rig.chain.id(), share, |hash| network.is_met_by(hash));
    let mined = Mined { share, includes: draft.includes.to_vec() };
    rig.take(&mined).expect("valid").block.expect("a block");
    let header = mined.share.full_header(rig.chain.id());
    rig.chain.add_header(header).expect("valid for Bitcoin");
    rig.bitcoin_tip = header.block_hash();
    rig.now = rig.now.saturating_add(1);
    mined
}

/// Three owners' work with two Bitcoin blocks in it, the second of which is paid by the work before the first.
pub(super) fn pool() -> (Rig, [Mined; 2]) {
    let mut rig = Rig::new();
    let work = |rig: &mut Rig| {
        for n in 0..6 {
            rig.share(n % 3 + 1);
            rig.block(n % 3 + 1);
        }
    };
    work(&mut rig);
    let first = find_bitcoin_block(&mut rig, 2);
    work(&mut rig);
    let second = find_bitcoin_block(&mut rig, 1);
    rig.block(3);
    (rig, [first, second])
}

async fn accounts(client: &Client, addresses: &[String]) -> Vec<AccountForm> {
    let mut accounts = Vec::new();
    for address in addresses {
        accounts.push(client.owner(address, None, 1_000).await.expect("an account"));
    }
    accounts
}

#[tokio::test]
async fn what_owners_may_expect_is_the_whole_block_and_what_they_were_paid_the_coinbases() {
    let (rig, [first, second]) = pool();
    let addresses: Vec<String> = (1..=3).map(|n| address(&rig, n)).collect();
    let ids = [&first, &second].map(|mined| mined.share.id(rig.chain.id()));
    let (client, _stop) = serve_rig(rig).await;
    let accounts = accounts(&client, &addresses).await;
    let sum = |of: &dyn Fn(&AccountForm) -> f64| accounts.iter().map(of).sum::<f64>();
    assert!((sum(&|a| a.window_part) - 1.0).abs() < 1e-9);
    assert!((sum(&|a| a.expected.next_block_satoshis as f64) - SUBSIDY as f64).abs() <= 3.0);
    let mut ranks: Vec<_> = accounts.iter().map(|a| a.window_rank.expect("all have worked")).collect();
    ranks.sort_unstable();
    assert_eq!(ranks, [1, 2, 3]);

    // The pool's work is that of its owners, and what it is worth a day is shared out.
    let pool = client.pool().await.expect("the pool");
    assert_eq!((pool.window_owners, pool.next_block_satoshis), (3, SUBSIDY));
    assert!((sum(&|a| a.recent.bitcoin_blocks_per_day) - pool.recent.bitcoin_blocks_per_day).abs() < 1e-6);
    let a_day = pool.recent.bitcoin_blocks_per_day * SUBSIDY as f64;
    assert!(a_day > 0.0 && (sum(&|a| a.expected.satoshis_per_day as f64) / a_day - 1.0).abs() < 1e-9);
    assert!((sum(&|a| a.expected.fair_satoshis_per_day as f64) / a_day - 1.0).abs() < 1e-9);
    let hashes = pool.recent.bitcoin_blocks_per_day * pool.hashes_per_bitcoin_block / 86_400.0;
    assert!((pool.recent.hashes_per_second / hashes - 1.0).abs() < 1e-9);

    // Output by output, from another address.
    for (account, address) in accounts.iter().zip(&addresses) {
        let mut paid = 0;
        for id in ids {
            let outputs = client.payouts(Some(id), None).await.expect("payouts").outputs;
            let to_it = outputs.iter().filter(|output| output.address.as_ref() == Some(address));
            paid += to_it.map(|output| output.satoshis).sum::<u64>();
        }
        assert_eq!((account.paid.satoshis, account.paid.immature_satoshis), (paid, paid), "{address}");
        let listed: u64 = account.paid.payments.iter().map(|payment| payment.satoshis).sum();
        assert_eq!((listed, account.paid.bitcoin_blocks as usize), (paid, account.paid.payments.len()));
    }
    assert_eq!(accounts.iter().map(|a| a.paid.satoshis).sum::<u64>(), 2 * SUBSIDY);
    // The first found both the first block, which paid nobody else, and got a part of the second.
    assert_eq!(accounts[1].paid.payments.iter().map(|p| p.confirmations).collect::<Vec<_>>(), [1, 2]);

    let nobody = client.owner(&address_of(&owner(99), network()), None, 10).await.expect("an empty account");
    assert_eq!((nobody.window_score, nobody.window_rank, nobody.paid.satoshis), (0.0, None, 0));
    assert!(nobody.credits.is_empty() && nobody.expected.satoshis_per_day == 0);
    for wrong in ["bc1qnonsense", "x", "1BoatSLRHtKNngkdXEeobR76b53LETtpyT0"] {
        let refused = client.owner(wrong, None, 1).await.expect_err("no address");
        assert!(matches!(refused, ClientError::Refused(_)), "{wrong}: {refused}");
    }
}

fn network() -> sharechain::params::Network {
    crate::support::rig::params().network
}

#[tokio::test]
async fn the_next_block_is_expected_by_the_window_that_is_due_and_not_by_the_tips() {
    let (mut rig, _) = pool();
    // Worked on since the base of the job that is current, so that the next block pays none of it.
    for _ in 0..2 {
        for _ in 0..4 {
            rig.share(4);
        }
        rig.block(4);
    }
    let addresses: Vec<String> = (1..=4).map(|n| address(&rig, n)).collect();
    let (client, _stop) = serve_rig(rig).await;
    let accounts = accounts(&client, &addresses).await;
    let late = &accounts[3];
    assert!(late.window_part > 0.05, "{late:?}");
    // All that it may get is the bonus, if it finds the block.
    let bonus = SUBSIDY / 200;
    assert!((1..=bonus).contains(&late.expected.next_block_satoshis), "{late:?}");
    let all: u64 = accounts.iter().map(|account| account.expected.next_block_satoshis).sum();
    assert!(all.abs_diff(SUBSIDY) <= 4, "{all}");
    let now = client.payouts(None, Some(360)).await.expect("payouts");
    for (account, address) in accounts.iter().zip(&addresses) {
        let outputs = now.outputs.iter().filter(|output| output.address.as_ref() == Some(address));
        let due: u64 = outputs.map(|output| output.satoshis).sum();
        // The bonus on top, as likely as the owner is to find the block, and a satoshi of rounding.
        let expected = account.expected.next_block_satoshis;
        assert!((due.saturating_sub(1)..=due + bonus + 1).contains(&expected), "{expected}, {due}");
    }
}

#[tokio::test]
async fn credits_are_told_page_by_page() {
    let (rig, _) = pool();
    let address = address(&rig, 2);
    let top = rig.chain.height().0;
    let (client, _stop) = serve_rig(rig).await;
    let all = client.owner(&address, None, 1_000).await.expect("an account");
    assert!(all.credits.len() > 4 && all.next_before.is_none());
    assert!(all.credits.iter().map(|credit| credit.score).sum::<f64>() > 0.0);
    assert!(all.credits.is_sorted_by(|a, b| a.height > b.height) && all.credits[0].height <= top);
    let (mut paged, mut before) = (Vec::new(), None);
    loop {
        let page = client.owner(&address, before, 3).await.expect("a page");
        assert!(page.credits.len() <= 3);
        paged.extend(page.credits);
        before = page.next_before;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(paged, all.credits);
}

#[tokio::test]
async fn found_bitcoin_blocks_are_told_with_what_they_pay() {
    let (rig, [first, second]) = pool();
    let chain = rig.chain.id();
    let finders = [1, 2].map(|n| address(&rig, n));
    let hash = |mined: &Mined| BlockHash::from_byte_array(mined.share.id(chain).0);
    let hashes = [hash(&second), hash(&first)];
    let (client, _stop) = serve_rig(rig).await;
    let found = client.bitcoin_blocks(None, 50).await.expect("blocks");
    assert_eq!((found.total, found.next_before), (2, None));
    assert_eq!(found.blocks.iter().map(|block| block.hash.0).collect::<Vec<_>>(), hashes);
    for (block, (finder, confirmations)) in found.blocks.iter().zip(finders.iter().zip([1, 2])) {
        assert_eq!((&block.finder.address, block.confirmations), (finder, confirmations));
        assert!(block.on_best_chain && !block.own);
        assert_eq!(block.outputs.iter().map(|output| output.satoshis).sum::<u64>(), SUBSIDY);
        let payouts = client.payouts(Some(block.share.0), None).await.expect("payouts");
        assert_eq!((&block.outputs, block.txid), (&payouts.outputs, payouts.txid));
        assert_eq!(block.outputs.last().map(|output| output.kind), Some(OutputKind::ShareCommitment));
    }
    assert!(found.blocks[0].outputs.len() > found.blocks[1].outputs.len(), "the first paid its finder alone");
    let newest = client.bitcoin_blocks(None, 1).await.expect("a page");
    assert_eq!((newest.blocks.len(), newest.next_before), (1, Some(found.blocks[0].bitcoin_height)));
    let rest = client.bitcoin_blocks(newest.next_before, 1).await.expect("a page");
    assert_eq!((&rest.blocks[..], rest.next_before), (&found.blocks[1..], None));
}

/// A share that is a Bitcoin block, as this node's own store keeps it.
fn solution(share: &Share, rig: &mut Rig) -> Solution {
    let chain = rig.chain.id();
    let payouts = rig.chain.payouts_of(share).expect("known");
    let prefix = coinbase::prefix(&CoinbaseInputs {
        bitcoin_height: share.commitment.bitcoin_height,
        tag: &share.commitment.tag,
        witness_commitment: &share.commitment.witness_commitment,
        payouts: &payouts,
    });
    let (commitment, locktime) = (share.commitment.hash(chain), share.commitment.locktime());
    let coinbase = coinbase::serialize(&prefix, &commitment, &share.extranonce, locktime);
    Solution { header: share.full_header(chain), coinbase, share: share.clone() }
}

/// A chain that never answers.
struct Silent;

impl ChainSource for Silent {
    fn ask(&self, _: Question) -> Pin<Box<dyn Future<Output = Result<(), Stopped>> + Send + '_>> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn a_question_that_is_given_up_loses_no_block() {
    let mut rig = Rig::new();
    rig.block(1);
    let found = find_bitcoin_block(&mut rig, 2);
    let own = solution(&found.share, &mut rig);
    // A newcomer's chain does not have it, so that only what was heard can tell.
    let chain = Opened::new(Rig::new().chain, Rig::new().store);
    let (sender, news) = tokio::sync::broadcast::channel(4);
    let mut blocks = FoundBlocks::new(Some(news), None);
    sender.send(Arc::new(own.clone())).expect("heard");
    {
        let mut question = std::pin::pin!(blocks.catch_up(&Silent));
        assert!(futures::poll!(question.as_mut()).is_pending());
    }
    blocks.catch_up(&chain).await.expect("an answer");
    let told = found::page(blocks.ledger(), &chain, None, 10).await.expect("a page");
    assert_eq!(
        told.blocks.iter().map(|b| (b.hash.0, b.own)).collect::<Vec<_>>(),
        [(own.header.block_hash(), true)]
    );
}

#[tokio::test]
async fn after_a_deep_switch_all_is_looked_at_again() {
    let mut rig = Rig::new();
    for _ in 0..260 {
        rig.block(1);
    }
    let chain = Opened::new(rig.chain, rig.store);
    let mut blocks = FoundBlocks::default();
    blocks.catch_up(&chain).await.expect("an answer");
    // Another branch from the beginning on, with a Bitcoin block where all had been looked at.
    let mut other = Rig::new();
    other.block(2);
    let found = find_bitcoin_block(&mut other, 2);
    for _ in 0..4 {
        other.block(3);
    }
    let id = found.share.id(other.chain.id());
    let other = Opened::new(other.chain, other.store);
    blocks.catch_up(&other).await.expect("an answer");
    assert_eq!(
        blocks.ledger().blocks().keys().map(|(_, hash)| hash.to_byte_array()).collect::<Vec<_>>(),
        [id.0]
    );
}

#[tokio::test]
async fn the_ledger_is_shown_when_it_is_known_and_again_when_it_has_changed() {
    let (rig, _) = pool();
    let chain = Arc::new(Opened::new(rig.chain, rig.store));
    let mut blocks = FoundBlocks::default();
    let mut view = blocks.view();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let client = Client::new(listener.local_addr().expect("bound"));
    let ports = Ports { ledger: Some(blocks.view()), ..Ports::default() };
    tokio::spawn(serve(listener, Some(chain.clone()), ports, CancellationToken::new()));
    // Who asks before the first search is answered after it, and others are answered meanwhile.
    let asks = Client::new(client.address());
    let asked = tokio::spawn(async move { asks.bitcoin_blocks(None, 10).await });
    for _ in 0..5 {
        client.tip().await.expect("a tip");
    }
    assert!(!asked.is_finished());
    blocks.catch_up(&*chain).await.expect("an answer");
    assert_eq!(asked.await.expect("no panic").expect("blocks").total, 2);
    assert!(matches!(&*view.borrow_and_update(), Shown::Ledger(ledger) if ledger.blocks().len() == 2));
    blocks.catch_up(&*chain).await.expect("an answer");
    assert!(!view.has_changed().expect("it is there"), "nothing was found since");
    blocks.worked([owner(1)], 5).await.expect("a ledger");
    blocks.catch_up(&*chain).await.expect("an answer");
    assert!(view.has_changed().expect("it is there"));
    assert!(client.payments(None, 10).await.expect("payments").total > 0);
}

#[tokio::test]
async fn a_ledger_that_cannot_be_read_is_said_and_what_to_do() {
    let (rig, _) = pool();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let client = Client::new(listener.local_addr().expect("bound"));
    let error = ReadError::Ledger("the disk is broken".into());
    let (_sender, view) = watch::channel(Shown::Unreadable(Arc::new(error)));
    let ports = Ports { ledger: Some(view), ..Ports::default() };
    let chain = Arc::new(Opened::new(rig.chain, rig.store));
    tokio::spawn(serve(listener, Some(chain), ports, CancellationToken::new()));
    let refused = client.payments(None, 10).await.expect_err("no ledger");
    let says = |text: &str| text.contains("the disk is broken") && text.contains("move its folder `history`");
    assert!(matches!(&refused, ClientError::Refused(text) if says(text)), "{refused}");
    client.tip().await.expect("the rest is answered");
}

#[tokio::test]
async fn what_was_paid_is_kept_when_the_chain_that_told_of_it_is_gone() {
    let (rig, _) = pool();
    let network = rig.chain.params().network;
    let folder = tempfile::tempdir().expect("a folder");
    let history = commonwork::history::keeper::start(folder.path()).expect("it opens");
    let mut blocks = FoundBlocks::new(None, Some(history.clone()));
    blocks.worked([owner(1), owner(2)], 5).await.expect("a ledger");
    let chain = Opened::new(rig.chain, rig.store);
    blocks.catch_up(&chain).await.expect("an answer");
    let told = payments::payments(blocks.ledger(), &chain, None, 100).await.expect("payments");
    // The first block paid its finder, owner 2, alone; the second all three, of whom the third does not work here.
    assert_eq!((told.total, told.next_before), (3, None));
    assert!(told.payments.iter().all(|p| p.state == CoinbaseState::Immature && p.satoshis > 0));
    let addresses = [1, 2].map(|n| address_of(&owner(n), network));
    for address in &addresses {
        let of_it = told.payments.iter().filter(|payment| payment.owner.address == *address);
        let sums = told.owners.iter().find(|sums| sums.owner.address == *address).expect("it worked here");
        assert_eq!((sums.immature_satoshis, sums.worked), (of_it.map(|p| p.satoshis).sum(), 5));
    }
    let newest = payments::payments(blocks.ledger(), &chain, None, 1).await.expect("payments");
    assert_eq!((newest.payments.len(), newest.total), (2, 3), "both of the highest block");
    let rest = payments::payments(blocks.ledger(), &chain, newest.next_before, 1).await.expect("payments");
    assert_eq!((&rest.payments[..], rest.next_before), (&told.payments[2..], None));
    let table = payments::table(&told.payments);
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split(',').collect()).collect();
    assert!(rows.len() == 4 && rows.iter().all(|row| row.len() == rows[0].len()), "{table}");
    assert_eq!((rows[0][5], rows[1][5]), ("satoshis", told.payments[0].satoshis.to_string().as_str()));
    drop(blocks);

    // A new store of the chain, in which nothing was mined yet: Bitcoin has not come that far either.
    let mut anew = Rig::new();
    let bare = Opened::new(anew.newcomer().chain, anew.newcomer().store);
    let mut blocks = FoundBlocks::new(None, Some(history));
    blocks.catch_up(&bare).await.expect("an answer");
    let kept = payments::payments(blocks.ledger(), &bare, None, 100).await.expect("payments");
    let brief = |form: &PaymentsForm| -> Vec<_> {
        form.payments.iter().map(|p| (p.hash.0, p.txid.0, p.satoshis, p.owner.clone())).collect()
    };
    assert_eq!(brief(&kept), brief(&told));
    assert!(kept.payments.iter().all(|p| p.state == CoinbaseState::Waiting && p.confirmations == 0));
    // Bitcoin has other blocks there.
    (0..3).for_each(|_| anew.bitcoin_block());
    let other = Opened::new(anew.chain, anew.store);
    let lost = payments::payments(blocks.ledger(), &other, None, 100).await.expect("payments");
    assert!(lost.payments.iter().all(|p| p.state == CoinbaseState::Lost));
    let sum: u64 = lost.payments.iter().map(|p| p.satoshis).sum();
    assert_eq!(lost.owners.iter().map(|sums| sums.lost_satoshis).sum::<u64>(), sum);
    // And so they are again when it returns to them.
    let back = payments::payments(blocks.ledger(), &chain, None, 100).await.expect("payments");
    assert_eq!(back.payments, told.payments);
}

#[tokio::test]
async fn own_bitcoin_blocks_are_told_even_when_they_lost_the_race() {
    let mut rig = Rig::new();
    rig.block(1);
    let found = find_bitcoin_block(&mut rig, 2);
    // Another one of the same height, which Bitcoin does not know.
    let lost = rig.newcomer();
    let mut lost_rig = lost;
    let stale = {
        let draft = lost_rig.draft();
        let tag = lost_rig.next_tag();
        let share = lost_rig.job(&draft, Work::of(3), tag, draft.easiest_share_target);
        let network = Target::from_compact(share.header.bits).expect("a target");
        grind_until(lost_rig.chain.id(), share, |hash| network.is_met_by(hash))
    };
    let (own, stale) = (solution(&found.share, &mut rig), solution(&stale, &mut lost_rig));
    // One is in the store since an earlier run, of the other the finder tells.
    let Ok(()) = rig.store.commit_solution(&own);
    let (sender, news) = tokio::sync::broadcast::channel(4);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let client = Client::new(listener.local_addr().expect("bound"));
    let (chain, mut blocks) =
        (Arc::new(Opened::new(rig.chain, rig.store)), FoundBlocks::new(Some(news), None));
    let ports = Ports { ledger: Some(blocks.view()), ..Ports::default() };
    let stop = CancellationToken::new();
    tokio::spawn(serve(listener, Some(chain.clone()), ports, stop.clone()));
    blocks.catch_up(&*chain).await.expect("an answer");
    let told = client.bitcoin_blocks(None, 10).await.expect("blocks");
    assert_eq!(told.blocks.iter().map(|b| (b.own, b.on_best_chain)).collect::<Vec<_>>(), [(true, true)]);
    let paid = told.blocks[0].outputs.iter().map(|output| (output.kind, output.satoshis));
    let bonus = SUBSIDY / 200;
    assert!(paid.eq([
        (OutputKind::Payout, SUBSIDY - bonus),
        (OutputKind::Bonus, bonus),
        (OutputKind::WitnessCommitment, 0),
        (OutputKind::ShareCommitment, 0),
    ]));
    sender.send(Arc::new(stale.clone())).expect("heard");
    blocks.catch_up(&*chain).await.expect("an answer");
    let told = client.bitcoin_blocks(None, 10).await.expect("blocks");
    let late: Vec<_> = told.blocks.iter().filter(|b| b.hash.0 == stale.header.block_hash()).collect();
    assert_eq!((told.total, late.len()), (2, 1));
    assert!(late[0].own && !late[0].on_best_chain && late[0].confirmations == 0);
    assert_eq!(late[0].share.0, ShareId(stale.header.block_hash().to_byte_array()));
    stop.cancel();
}

#[tokio::test]
async fn payouts_tell_the_owners_of_their_window_page_by_page() {
    let (rig, [_, second]) = pool();
    let id = second.share.id(rig.chain.id());
    let (client, _stop) = serve_rig(rig).await;
    let all = client.payouts(Some(id), None).await.expect("payouts");
    assert_eq!((all.owners_total, all.owners.len()), (3, 3));
    assert!((all.owners.iter().map(|owner| owner.part).sum::<f64>() - 1.0).abs() < 1e-9);
    let path = format!("GET /v1/payouts?share={id}&from=1&count=1");
    let answer = super::raw::ask(client.address(), &path, &[]).await;
    let page: commonwork::api::form::PayoutsForm =
        serde_json::from_str(super::raw::body(&answer)).expect("payouts");
    assert_eq!((page.owners_total, &page.owners[..]), (3, &all.owners[1..2]));
}

#[tokio::test]
async fn signals_are_told_by_the_work_that_carries_them() {
    let (rig, _) = pool();
    let (client, _stop) = serve_rig(rig).await;
    let signals = client.signals().await.expect("signals");
    assert_eq!((signals.version, signals.own_bits.len(), signals.bits.len()), (1, 0, 0));
    assert!(signals.window_score > 0.0);
    assert_eq!((signals.interval, signals.next_reading), (2_016, 2_016));
    assert_eq!(client.signals().await.expect("signals"), signals, "from what was kept");
}
