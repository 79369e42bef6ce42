//! Makes the test vectors of `docs/protocol.md` from the code. What they are good for is said there.
//!
//! Nothing here checks anything: the file that was made is kept, and a test holds the code to it.

use super::json::{Json, big, bits, hex, list, number};
use super::support::{Mined, Rig, Want, Work, owner, params};
use bitcoin::consensus::encode::serialize;
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, CompactTarget};
use sharechain::chain::JobChoices;
use sharechain::codec::Encode;
use sharechain::coinbase::{self, CoinbaseInputs};
use sharechain::hash::Midstate;
use sharechain::owner::Owner;
use sharechain::params::ChainParams;
use sharechain::payout::{select_all, split, stage_seed};
use sharechain::retarget::{RetargetInput, next_target};
use sharechain::share::{Share, ShareBlock, ShareId, Tag, includes_hash};
use sharechain::target::{Target, score};
use sharechain::units::{BitcoinHeight, Height, Score, UnixTime};

/// The whole file.
pub(crate) fn text() -> String {
    Json::Object(vec![
        ("protocol", number(1_u32)),
        ("chains", chains()),
        ("targets", targets()),
        ("not_targets", list([0, 0xff7f_ffff, 0x2300_0001, 0x2080_0000, 0x0492_3456, 0x1e00_00ff].map(bits))),
        ("scores", scores()),
        ("retargets", retargets()),
        ("includes", includes()),
        ("payouts", payouts()),
        ("share", share()),
        ("chain", chain()),
    ])
    .document()
}

/// Chain parameters, their canonical bytes and the chain id.
fn chains() -> Json {
    let embedded = ChainParams {
        easiest_block_target: CompactTarget::from_consensus(0x1f00_ffff),
        ..ChainParams::embedded(0x1e00_ffff)
    };
    let presets = [
        ("main", ChainParams::main()),
        ("testnet4", ChainParams::testnet4()),
        ("signet", ChainParams::signet()),
        ("regtest", ChainParams::regtest()),
        ("embedded", embedded),
        ("of the vectors 'share' and 'chain'", vector_params()),
    ];
    list(presets.map(|(what, params)| {
        Json::Object(vec![
            ("what", Json::Text(what.into())),
            ("bytes", hex(params.to_bytes())),
            ("chain_id", hex(params.chain_id().0)),
        ])
    }))
}

fn target(compact: u32) -> Target {
    Target::from_compact(CompactTarget::from_consensus(compact)).expect("a target")
}

fn targets() -> Json {
    let compact = [0x1d00_ffff, 0x1b07_fff8, 0x207f_ffff, 0x1702_3a04, 0x0101_0000, 0x0200_8000, 0x2100_ffff];
    list(compact.map(|compact| {
        Json::Object(vec![
            ("bits", bits(compact)),
            ("target", hex(target(compact).value().to_big_endian())),
            ("work", big(target(compact).work())),
        ])
    }))
}

fn scores() -> Json {
    let pairs = [
        (0x1d00_ffff, 0x1d00_ffff),
        (0x1b07_fff8, 0x1702_3a04),
        (0x1c7f_ff80, 0x1702_3a04),
        (0x1900_ffff, 0x1d00_ffff),
        (0x207f_ffff, 0x0101_0000),
    ];
    list(pairs.map(|(share, network)| {
        Json::Object(vec![
            ("share_bits", bits(share)),
            ("network_bits", bits(network)),
            ("score", big(score(target(share), target(network)).0)),
        ])
    }))
}

/// With the parameters of main.
fn retargets() -> Json {
    const NOW: u32 = 1_800_000_000;
    // Parent's bits, the time from its parent to it, the newest time after it, and the child's time after it.
    let cases: [(u32, i64, u32, i64); 12] = [
        (0x1a12_3456, 30, 0, 30),
        (0x1a12_3456, 31, 0, 0),
        (0x1a12_3456, 0, 0, 60),
        (0x1a12_3456, -600, 600, 5),
        (0x1a12_3456, 1_278, 0, 5),
        (0x1a12_3456, 120, 0, 600),
        (0x1a12_3456, 120, 0, 601),
        (0x1a12_3456, 120, 100, 1_899),
        (0x1a12_3456, 120, 0, -50),
        (0x1b07_fff8, 31, 0, 0),
        (0x1a12_3456, -1_000_000, 0, 0),
        (0x0101_0000, 100_000, 0, 0),
    ];
    list(cases.map(|(parent_bits, interval, newest, child)| {
        let time = |after: i64| UnixTime(u32::try_from(i64::from(NOW) + after).expect("in range"));
        let input = RetargetInput {
            parent_target: target(parent_bits),
            parent_time: time(0),
            grandparent_time: Some(time(-interval)),
            newest_time: time(newest.into()),
        };
        let next = next_target(&ChainParams::main(), Some(&input), time(child)).to_compact();
        Json::Object(vec![
            ("parent_bits", bits(parent_bits)),
            ("parent_time", number(input.parent_time.0)),
            ("grandparent_time", number(time(-interval).0)),
            ("newest_time", number(input.newest_time.0)),
            ("time", number(time(child).0)),
            ("bits", bits(next.to_consensus())),
        ])
    }))
}

fn ids(ids: &[ShareId]) -> Json {
    list(ids.iter().map(|id| hex(id.0)))
}

fn includes() -> Json {
    let [a, b] = [ShareId([1; 32]), ShareId([2; 32])];
    let lists: [&[ShareId]; 4] = [&[], &[a], &[a, b], &[b, a]];
    list(lists.map(|list| Json::Object(vec![("ids", ids(list)), ("hash", hex(includes_hash(list)))])))
}

fn scripts_and<T: ToString>(entries: impl IntoIterator<Item = (Owner, T)>) -> Json {
    list(entries.into_iter().map(|(owner, n)| list([hex(owner.as_bytes()), big(n.to_string())])))
}

/// The Bitcoin block built on in the payout vectors.
const PREV_BLOCK: [u8; 32] = [4; 32];

/// Selections of all classes, from the largest on as they are drawn, and a coinbase of each.
fn payout(params: &ChainParams, entries: &[(Owner, Score)], height: u32, value: u64) -> Json {
    let (prev_block, finder) = (BlockHash::from_byte_array(PREV_BLOCK), owner(200));
    let selections = select_all(params, entries, prev_block, BitcoinHeight(height));
    let stages = selections.iter().rev().zip(0..).map(|(selection, stage)| {
        let payouts = split(selection, value, finder);
        Json::Object(vec![
            ("class", number(selection.class())),
            ("seed", hex(stage_seed(params.chain_id(), prev_block, stage))),
            ("selected", scripts_and(selection.entries().iter().map(|(owner, score)| (*owner, score.0)))),
            ("outputs", scripts_and(payouts.outputs)),
            ("bonus", scripts_and(payouts.bonus)),
        ])
    });
    Json::Object(vec![
        ("chain_id", hex(params.chain_id().0)),
        ("classes", list(params.classes.iter().map(|class| number(*class)))),
        ("smallest_payout", number(params.smallest_payout)),
        ("subsidy", number(params.subsidy(BitcoinHeight(height)))),
        ("prev_block", hex(PREV_BLOCK)),
        ("value", number(value)),
        ("finder", hex(finder.as_bytes())),
        ("entries", scripts_and(entries.iter().map(|(owner, score)| (*owner, score.0)))),
        ("stages", list(stages)),
    ])
}

fn payouts() -> Json {
    let few = ChainParams { name: "worked".into(), classes: vec![2, 3], ..ChainParams::main() };
    let weights = [(1, 40), (2, 25), (3, 20), (4, 10), (5, 5)];
    let example = weights.map(|(n, weight)| (owner(n), Score(weight)));
    let mut many: Vec<_> = (1..=199_u8)
        .map(|n| (owner(n), Score((u128::from(n).pow(5) * 0x9e37_79b9 + u128::from(n)) << (n % 4))))
        .collect();
    many.sort_by(|(a, x), (b, y)| y.cmp(x).then(a.cmp(b)));
    list([
        payout(&few, &example, 940_000, 313_500_001),
        payout(&ChainParams::main(), &many, 940_000, 323_456_789),
        // Halved seventeen times, the subsidy is enough for three payouts; nothing is in the window; no coinbase value.
        payout(&ChainParams::main(), &many, 3_570_000, 38_147),
        payout(&ChainParams::main(), &[], 940_000, 312_500_000),
        payout(&ChainParams::main(), &example, 6_930_000, 0),
    ])
}

fn vector_params() -> ChainParams {
    ChainParams {
        name: "vectors".into(),
        // Twelve shares.
        window_score: Score(3 << 58),
        classes: vec![3, 6, 12],
        ..params()
    }
}

/// One share with all that lies between its fields and its id.
fn share() -> Json {
    let params = vector_params();
    let (mut rig, chain) = (Rig::with(params.clone()), params.chain_id());
    rig.bitcoin_block();
    let draft = rig.draft();
    let choices = JobChoices {
        coinbase_value: 5_000_012_345,
        tag: Tag::pushing(b"/vectors/").expect("short"),
        witness_commitment: [0x77; 32],
        share_target: draft.easiest_share_target,
        owner: owner(7),
        class: 6,
    };
    let made = draft.make(&params, chain, choices).expect("a class of the chain");
    let share = Share {
        header: rig.header(),
        extranonce: *b"\0\x01\x02\x03........",
        branch: vec![[0xaa; 32], [0xbb; 32]],
        link: made.link,
        commitment: made.commitment,
    };
    let share = super::support::grind(chain, share, Want::Share);
    let commitment_hash = share.commitment.hash(chain);
    let locktime = share.commitment.locktime();
    let prefix = coinbase::prefix(&CoinbaseInputs {
        bitcoin_height: share.commitment.bitcoin_height,
        tag: &share.commitment.tag,
        witness_commitment: &share.commitment.witness_commitment,
        payouts: &made.payouts,
    });
    let hashed = prefix.len() - share.link.rest().len();
    Json::Object(vec![
        ("chain_id", hex(chain.0)),
        ("bytes", hex(share.to_bytes())),
        ("commitment", hex(share.commitment.to_bytes())),
        ("commitment_hash", hex(commitment_hash)),
        ("coinbase_prefix", hex(&prefix)),
        ("midstate_length", number(hashed as u64)),
        ("midstate", hex(Midstate::of(&prefix[..hashed]).to_bytes())),
        ("coinbase", hex(coinbase::serialize(&prefix, &commitment_hash, &share.extranonce, locktime))),
        ("txid", hex(share.link.txid(&commitment_hash, &share.extranonce, locktime))),
        ("header", hex(serialize(&share.full_header(chain)))),
        ("id", hex(share.id(chain).0)),
    ])
}

/// Mines on one node's view; both take it.
fn found(rig: &mut Rig, other: &mut Rig, events: &mut Vec<Json>, work: Work, want: Want) {
    let mined = rig.mine(work, want);
    for node in [rig, other] {
        let applied = node.take(&mined).expect("valid");
        assert_eq!(applied.block.is_some(), want == Want::Block);
    }
    events.push(event(&mined));
}

/// Work for this owner in one of the chain's classes.
fn work(owner: u8, class: u16) -> Work {
    Work { class, ..Work::of(owner) }
}

fn event(mined: &Mined) -> Json {
    Json::Object(vec![("share", hex(mined.share.to_bytes())), ("includes", ids(&mined.includes))])
}

fn bitcoin_block(rigs: [&mut Rig; 2], events: &mut Vec<Json>) {
    let [rig, other] = rigs;
    rig.bitcoin_block();
    let best = rig.chain.headers().best();
    other.chain.add_header(best.header).expect("valid there, valid here");
    (other.bitcoin_tip, other.now) = (best.hash, rig.now);
    events.push(Json::Object(vec![("bitcoin_header", hex(serialize(&best.header)))]));
}

/// A small chain: two branches, shares and Bitcoin blocks in the order in which a node hears of them, and what it makes
/// of them.
fn chain() -> Json {
    let mut rig = Rig::with(vector_params());
    let mut other = rig.newcomer();
    let (mut events, mut old_tip) = (Vec::new(), rig.bitcoin_tip);
    let step = |rig: &mut Rig, other: &mut Rig, seconds: u32| {
        rig.now = rig.now.saturating_add(seconds);
        other.now = rig.now;
    };
    for n in 0..16_u8 {
        for k in 0..n % 4 {
            let class = [3, 6, 12][usize::from(k)];
            found(&mut rig, &mut other, &mut events, work(20 + (n + k) % 5, class), Want::Share);
        }
        if n % 4 == 1 {
            old_tip = rig.bitcoin_tip;
            bitcoin_block([&mut rig, &mut other], &mut events);
        }
        // Two share blocks later the Bitcoin block before is still fresh enough.
        if n % 4 == 3 {
            let new_tip = core::mem::replace(&mut rig.bitcoin_tip, old_tip);
            found(&mut rig, &mut other, &mut events, work(24, 3), Want::Share);
            rig.bitcoin_tip = new_tip;
        }
        step(&mut rig, &mut other, 10 + u32::from(n % 5) * 12);
        // Two miners find a block each before either hears of the other; the second one's is extended.
        if n == 9 {
            let (lost, kept) = (rig.mine(work(30, 3), Want::Block), other.mine(work(31, 6), Want::Block));
            for (node, first, second) in [(&mut rig, &lost, &kept), (&mut other, &kept, &lost)] {
                node.take(first).expect("valid");
                node.take(second).expect("valid");
            }
            events.extend([event(&lost), event(&kept)]);
            step(&mut rig, &mut other, 31);
            found(&mut other, &mut rig, &mut events, work(32, 3), Want::Block);
        } else {
            found(&mut rig, &mut other, &mut events, work(20 + n % 4, 3), Want::Block);
        }
    }
    assert_eq!(rig.chain.tip(), other.chain.tip());
    Json::Object(vec![
        ("chain_id", hex(rig.chain.id().0)),
        ("first_bitcoin_header", hex(serialize(rig.chain.headers().ancestors().last().expect("one")))),
        ("events", Json::List(events)),
        ("blocks", blocks(&rig)),
        ("window", window(&mut rig)),
        ("next", next(&mut rig)),
    ])
}

/// The active branch.
fn blocks(rig: &Rig) -> Json {
    let blocks = (1..=rig.chain.height().0).map(|height| rig.chain.block_at(Height(height)).expect("active"));
    list(blocks.map(|block| {
        Json::Object(vec![
            ("id", hex(block.id.0)),
            ("height", number(block.height.0)),
            ("bits", bits(block.bits.to_consensus())),
            ("work", big(block.work)),
            ("credited", ids(&block.credited)),
        ])
    }))
}

fn window(rig: &mut Rig) -> Json {
    let tip = rig.chain.tip();
    scripts_and(rig.chain.ranking(&tip).expect("known").iter().map(|(owner, score)| (*owner, score.0)))
}

/// What a job of class 3 on the tip says.
fn next(rig: &mut Rig) -> Json {
    rig.now = rig.now.saturating_add(30);
    let mined = rig.mine(work(40, 3), Want::Block);
    let payouts = rig.chain.payouts_of(&mined.share).expect("known");
    let block = ShareBlock { share: mined.share.into(), listed: Vec::new() };
    Json::Object(vec![
        ("block_without_its_list", hex(block.to_bytes())),
        ("includes", ids(&mined.includes)),
        ("outputs", scripts_and(payouts.outputs)),
        ("bonus", scripts_and(payouts.bonus)),
    ])
}
