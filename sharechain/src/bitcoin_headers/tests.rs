//! The tree of Bitcoin headers: real history, chains mined here at easy limits, and hostile headers.

use super::*;
use crate::params::Network;
use bitcoin::TxMerkleNode;
use bitcoin::block::Version;
use bitcoin::consensus::encode::deserialize_hex;

/// The first three headers of Bitcoin.
const MAIN: [&str; 3] = [
    "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c",
    "010000006fe28c0ab6f1b372c1a6a246ae63f74f931e8365e15a089c68d6190000000000982051fd1e4ba744bbbe680e1fee14677ba1a3c3540bf7b1cdb606e857233e0e61bc6649ffff001d01e36299",
    "010000004860eb18bf1b1620e37e9490fc8a427514416fd75159ab86688e9a8300000000d5fdcc541e25de1c7a5addedf24858b8bb665c9f36ef744ee42c316022c90f9bb0bc6649ffff001d08d2bd61",
];

fn main_headers() -> Vec<Header> {
    MAIN.iter().map(|hex| deserialize_hex(hex).expect("a header")).collect()
}

fn main_params(first: u32, hash: BlockHash) -> ChainParams {
    ChainParams { first_bitcoin_block: (BitcoinHeight(first), hash), ..ChainParams::main() }
}

#[test]
fn bitcoins_first_headers_make_a_tree() {
    let headers = main_headers();
    let block_2 = hash_of(&headers[2]);
    assert_eq!(block_2.to_string(), "000000006a625f06636b8bb6ac7b960a8d03705d1ace08b1a19da3fdcc99ddbd");
    let tree = HeaderTree::new(&main_params(2, block_2), &headers).expect("they link");
    assert_eq!(tree.best().hash, block_2);
    assert_eq!(tree.best().height, BitcoinHeight(2));
    assert_eq!(tree.best().work, Work(0x1_0001_0001_u64.into()));
    assert_eq!(tree.ancestors().copied().collect::<Vec<_>>(), headers);
    assert_eq!(tree.iter().count(), 0);
    // The header that Bitcoin had next would be refused only for its version, obsolete since 2015.
    let share = ShareHeader {
        version: Version::from_consensus(4),
        prev_block: block_2,
        time: 1_231_470_173,
        bits: CompactTarget::from_consensus(0x1d00_ffff),
        nonce: 0,
    };
    let context = tree.context(&share).expect("a header for height 3");
    assert_eq!(context.height, BitcoinHeight(3));
    assert_eq!((context.prev_work, context.prev_parent_work), (tree.best().work, Work::ZERO));
    assert_eq!(context.median_time_past, 1_231_469_665);
    assert_eq!(
        tree.context(&ShareHeader { version: Version::from_consensus(1), ..share }),
        Err(ContextError::Version(1))
    );
    assert_eq!(
        tree.context(&ShareHeader { prev_block: hash_of(&headers[1]), ..share }),
        Err(ContextError::BeforeFirst)
    );
}

#[test]
fn ancestors_are_authenticated_backwards() {
    let headers = main_headers();
    let hash = hash_of(&headers[2]);
    let params = main_params(2, hash);
    assert_eq!(
        HeaderTree::new(&params, &headers[1..]).expect_err("too few"),
        AncestorsError::TooFew { given: 2, needed: 3 }
    );
    assert_eq!(
        HeaderTree::new(&main_params(2, hash_of(&headers[1])), &headers).expect_err("another block"),
        AncestorsError::WrongEnd { found: hash, expected: hash_of(&headers[1]) }
    );
    let mut forged = headers.clone();
    forged[0].time += 1;
    assert_eq!(
        HeaderTree::new(&params, &forged).expect_err("a forged genesis"),
        AncestorsError::Broken(BitcoinHeight(1))
    );
    assert_eq!(
        HeaderTree::new(&main_params(1, hash), &headers).expect_err("one too low"),
        AncestorsError::WrongHeight
    );
}

#[test]
fn ancestors_reach_back_to_the_periods_first_header_and_the_median() {
    let from = |first| {
        let params = main_params(first, BlockHash::all_zeros());
        first_ancestor_height(&params).0
    };
    assert_eq!(from(0), 0);
    assert_eq!(from(2_015), 0);
    assert_eq!(from(2_016), 2_006);
    assert_eq!(from(2_020), 2_010);
    assert_eq!(from(2_030), 2_016);
    assert_eq!(from(935_000), 933_408);
    assert_eq!(from(u32::MAX), u32::MAX - u32::MAX % 2_016);
}

#[test]
fn the_presets_begin_at_the_genesis_blocks_that_the_bitcoin_crate_knows() {
    for (params, network) in [
        (ChainParams::signet(), bitcoin::Network::Signet),
        (ChainParams::regtest(), bitcoin::Network::Regtest),
    ] {
        let genesis = bitcoin::constants::genesis_block(network).header;
        let tree = HeaderTree::new(&params, &[genesis]).expect("the genesis");
        assert_eq!(tree.best().header, genesis);
        assert_eq!(tree.required_bits(&tree.best().hash, 0), Ok(target_of(&genesis)));
    }
}

/// A header's own target.
fn target_of(header: &Header) -> Target {
    Target::from_compact(header.bits).expect("bits of a header in a test")
}

const LIMIT: u32 = 0x207f_ffff;
const START: u32 = 1_700_000_000;

/// Rules of testnet 4 or without a part of them, at a limit that every second hash meets.
fn easy(min_difficulty_blocks: bool, bip94: bool) -> BitcoinRules {
    BitcoinRules { limit: LIMIT, min_difficulty_blocks, bip94, ..Network::Main.rules() }
}

fn unmined(prev: BlockHash, time: u32, bits: CompactTarget) -> Header {
    Header {
        version: Version::from_consensus(0x2000_0000),
        prev_blockhash: prev,
        merkle_root: TxMerkleNode::all_zeros(),
        time,
        bits,
        nonce: 0,
    }
}

fn mine(mut header: Header) -> Header {
    let target = target_of(&header);
    while !target.is_met_by(hash_of(&header).as_byte_array()) {
        header.nonce += 1;
    }
    header
}

fn easy_tree(rules: BitcoinRules) -> HeaderTree {
    let genesis = unmined(BlockHash::all_zeros(), START, CompactTarget::from_consensus(LIMIT));
    HeaderTree::with_rules(rules, (BitcoinHeight(0), hash_of(&genesis)), &[genesis]).expect("a genesis")
}

/// The header that the tree wants on top of `prev` at this time, mined. `salt` tells siblings apart.
fn child(tree: &HeaderTree, prev: BlockHash, time: u32, salt: u8) -> Header {
    let bits = tree.required_bits(&prev, time).expect("prev is known").to_compact();
    let merkle_root = TxMerkleNode::from_byte_array([salt; 32]);
    mine(Header { merkle_root, ..unmined(prev, time, bits) })
}

/// Adds `count` headers to the best chain, `interval` seconds apart.
fn extend(tree: &mut HeaderTree, count: usize, interval: u32) {
    for _ in 0..count {
        let best = tree.best();
        let next = child(tree, best.hash, best.header.time + interval, 0);
        assert_eq!(tree.insert(next), Ok(Inserted::New));
        assert_eq!(tree.best().header, next);
    }
}

fn as_share(header: &Header) -> ShareHeader {
    ShareHeader {
        version: header.version,
        prev_block: header.prev_blockhash,
        time: header.time,
        bits: header.bits,
        nonce: header.nonce,
    }
}

#[test]
fn headers_that_break_a_rule_are_refused_and_change_nothing() {
    let mut tree = easy_tree(Network::Regtest.rules());
    extend(&mut tree, 20, 600);
    let before = tree.best();
    let good = child(&tree, before.hash, before.header.time + 600, 0);
    let median = START + 15 * 600;

    let orphan = mine(Header { prev_blockhash: hash_of(&good), ..good });
    assert_eq!(tree.insert(orphan), Err(HeaderError::UnknownParent(hash_of(&good))));
    for version in [i32::MIN, -1, 0, 3] {
        let old = mine(Header { version: Version::from_consensus(version), ..good });
        assert_eq!(tree.insert(old), Err(HeaderError::Version(version)));
    }
    for time in [0, median] {
        let early = TooEarly { time, earliest: u64::from(median) + 1, rule: TimeRule::Median };
        assert_eq!(tree.insert(mine(Header { time, ..good })), Err(HeaderError::Time(early)));
    }
    for bits in [0, 0x1d00_ffff, 0xff7f_ffff, 0x0492_3456] {
        let wrong = WrongBits { given: bits, required: LIMIT };
        let header = Header { bits: CompactTarget::from_consensus(bits), ..good };
        assert_eq!(tree.insert(header), Err(HeaderError::Bits(wrong)));
    }
    let mut unproven = good;
    while target_of(&unproven).is_met_by(hash_of(&unproven).as_byte_array()) {
        unproven.nonce += 1;
    }
    assert_eq!(tree.insert(unproven), Err(HeaderError::ProofOfWork(hash_of(&unproven))));

    assert_eq!((tree.best(), tree.stale_count()), (before, 0));
    assert_eq!(tree.insert(mine(Header { time: median + 1, ..good })), Ok(Inserted::New));
    assert_eq!(tree.insert(good), Ok(Inserted::New));
    assert_eq!(tree.insert(good), Ok(Inserted::Known));
}

#[test]
fn the_last_second_of_32_bits_ends_a_chain_without_a_panic() {
    let mut tree = easy_tree(easy(true, true));
    for salt in 0..20 {
        let best = tree.best();
        let header = child(&tree, best.hash, u32::MAX, salt);
        let inserted = tree.insert(header);
        if let Err(error) = inserted {
            let early = TooEarly { time: u32::MAX, earliest: 1 << 32, rule: TimeRule::Median };
            assert_eq!(error, HeaderError::Time(early));
            assert_eq!(tree.context(&as_share(&header)), Err(ContextError::Time(early)));
            assert_eq!(tree.earliest_time(&best.hash), Ok(u32::MAX));
            return;
        }
    }
    panic!("the median never reached the end of time");
}

#[test]
fn headers_before_the_first_bitcoin_block_carry_nothing() {
    let mut old = easy_tree(Network::Regtest.rules());
    extend(&mut old, 30, 600);
    let run: Vec<Header> = old.ancestors().copied().chain(old.iter().map(|(_, header)| *header)).collect();
    let first = (BitcoinHeight(30), hash_of(&run[30]));
    let mut tree = HeaderTree::with_rules(Network::Regtest.rules(), first, &run).expect("all of them");
    assert_eq!(tree.ancestors().count(), 31);

    let before = hash_of(&run[29]);
    let fork = child(&old, before, START + 40 * 600, 9);
    assert_eq!(tree.insert(fork), Err(HeaderError::BeforeFirst));
    assert_eq!(tree.context(&as_share(&fork)), Err(ContextError::BeforeFirst));
    assert_eq!(tree.get(&before), None);
    assert_eq!(tree.on_best_chain(BitcoinHeight(29)), None);
    assert!(!tree.is_recent(&before));
    assert!(tree.is_recent(&first.1));
    assert_eq!(tree.on_best_chain(BitcoinHeight(30)), tree.get(&first.1));
    assert_eq!(tree.on_best_chain(BitcoinHeight(31)), None);
}

#[test]
fn a_share_on_the_first_bitcoin_block_sees_the_median_of_its_ancestors() {
    let mut old = easy_tree(Network::Regtest.rules());
    extend(&mut old, 2_030, 600);
    let run: Vec<Header> = old.ancestors().copied().chain(old.iter().map(|(_, header)| *header)).collect();
    let first = (BitcoinHeight(2_030), hash_of(&run[2_030]));
    let tree = HeaderTree::with_rules(Network::Regtest.rules(), first, &run).expect("more than enough");
    assert_eq!(tree.ancestors().count(), 15, "what is older than the period's first header is dropped");
    let share = as_share(&child(&old, first.1, START + 2_031 * 600, 0));
    let context = tree.context(&share).expect("fits");
    assert_eq!(context.median_time_past, START + 2_025 * 600);
    let from_genesis = old.context(&share).expect("fits");
    assert_eq!(context.network_target, from_genesis.network_target);
    assert_eq!(context.median_time_past, from_genesis.median_time_past);
}

#[test]
fn a_mined_chain_retargets_at_the_boundary_and_scores_follow() {
    let mut tree = easy_tree(easy(false, false));
    extend(&mut tree, 2_015, 300);
    let last = tree.best();
    let limit = Target::from_compact(CompactTarget::from_consensus(LIMIT)).expect("valid");
    // 2,015 intervals of 300 s where 2,016 of 600 s are due.
    let required = tree.required_bits(&last.hash, 0).expect("known");
    let expected = limit.value().full_mul((2_015 * 300).into()) / primitive_types::U512::from(1_209_600);
    let expected = Target::new(expected.try_into().expect("small")).expect("not zero").rounded();
    assert_eq!(required, expected);

    let next = child(&tree, last.hash, last.header.time + 300, 0);
    let context = tree.context(&as_share(&next)).expect("fits");
    assert_eq!((context.network_target, context.score_target), (required, required));
    assert_eq!(context.height, BitcoinHeight(2_016));
    assert_eq!(context.prev_parent_work.saturating_add(limit.work()), context.prev_work);
    assert_eq!(tree.insert(next), Ok(Inserted::New));
    assert_eq!(tree.best().work, last.work.saturating_add(required.work()));
    extend(&mut tree, 3, 300);
    let context = tree.context(&as_share(&child(&tree, tree.best().hash, START * 2, 0))).expect("fits");
    assert_eq!((context.network_target, context.score_target), (required, required));
}

#[test]
fn minimum_difficulty_blocks_change_neither_the_real_bits_nor_the_scores() {
    let mut tree = easy_tree(easy(true, true));
    extend(&mut tree, 2_016, 150);
    let real = target_of(&tree.best().header);
    assert!(real.to_compact().to_consensus() != LIMIT);
    extend(&mut tree, 1, 600);
    extend(&mut tree, 5, 1_201);
    assert_eq!(tree.best().header.bits.to_consensus(), LIMIT);
    let late = child(&tree, tree.best().hash, tree.best().header.time + 1_201, 0);
    let context = tree.context(&as_share(&late)).expect("fits");
    assert_eq!(context.network_target.to_compact().to_consensus(), LIMIT);
    assert_eq!(context.score_target, real);
    // Within twenty minutes the bits of the last real block are back.
    let prompt = child(&tree, tree.best().hash, tree.best().header.time + 1_200, 0);
    assert_eq!(target_of(&prompt), real);
    let wrong = Header { time: late.time - 1, ..late };
    let refused = WrongBits { given: LIMIT, required: real.to_compact().to_consensus() };
    assert_eq!(tree.insert(mine(wrong)), Err(HeaderError::Bits(refused)));
}

#[test]
fn boundary_times_of_bip94_bind_headers_and_those_of_bip54_bind_shares_only() {
    let mut tree = easy_tree(easy(true, true));
    extend(&mut tree, 2_014, 10);
    // The period's last block jumps ahead, as a timewarp does.
    let last = child(&tree, tree.best().hash, START + 100_000, 0);
    tree.insert(last).expect("allowed by Bitcoin");
    let first = |time| child(&tree, hash_of(&last), time, 0);
    let early = |time, earliest, rule| TooEarly { time, earliest: u64::from(earliest), rule };
    let refused = early(last.time - 601, last.time - 600, TimeRule::Bip94);
    assert_eq!(tree.clone().insert(first(last.time - 601)), Err(HeaderError::Time(refused)));
    assert_eq!(tree.clone().insert(first(last.time - 600)), Ok(Inserted::New));
    assert_eq!(tree.earliest_time(&hash_of(&last)), Ok(last.time - 600));

    let mut main = easy_tree(easy(false, false));
    extend(&mut main, 2_014, 10);
    main.insert(last).expect("allowed by Bitcoin");
    let warped = child(&main, hash_of(&last), last.time - 7_201, 0);
    let refused = early(warped.time, last.time - 7_200, TimeRule::Bip54);
    assert_eq!(main.context(&as_share(&warped)), Err(ContextError::Time(refused)));
    assert_eq!(main.insert(warped), Ok(Inserted::New));
}

#[test]
fn a_periods_last_block_is_not_before_its_first() {
    let mut tree = easy_tree(easy(false, false));
    extend(&mut tree, 2_015, 10);
    // The next period's first block is far ahead, all others follow their medians.
    let first = child(&tree, tree.best().hash, START + 900_000, 0);
    tree.insert(first).expect("allowed by Bitcoin");
    for _ in 0..2_014 {
        let best = tree.best();
        // The tree asks for less than the first block's time once that has left the median.
        let time = tree.earliest_time(&best.hash).expect("known");
        assert!(time < first.time);
        tree.insert(child(&tree, best.hash, time, 0)).expect("follows its median");
    }
    let best = tree.best();
    assert_eq!(best.height, BitcoinHeight(2 * 2_016 - 2));
    assert_eq!(tree.earliest_time(&best.hash), Ok(first.time));
    let before = child(&tree, best.hash, first.time - 1, 0);
    let refused = TooEarly { time: before.time, earliest: u64::from(first.time), rule: TimeRule::Bip54 };
    assert_eq!(tree.context(&as_share(&before)), Err(ContextError::Time(refused)));
    assert!(tree.context(&as_share(&child(&tree, best.hash, first.time, 0))).is_ok());
    assert_eq!(tree.insert(before), Ok(Inserted::New));
}

/// A tree whose best chain has 30 headers, with this fork on top of height 20:
///
/// ```text
/// 20 - 21 - .. - 30
///   \ a - b
/// ```
fn forked() -> (HeaderTree, Header, Header) {
    let mut tree = easy_tree(Network::Regtest.rules());
    extend(&mut tree, 30, 600);
    let fork = tree.on_best_chain(BitcoinHeight(20)).expect("there");
    let a = child(&tree, fork.hash, fork.header.time + 600, 1);
    tree.insert(a).expect("fits");
    let b = child(&tree, hash_of(&a), a.time + 600, 1);
    tree.insert(b).expect("fits");
    (tree, a, b)
}

#[test]
fn the_most_work_is_followed_and_the_first_seen_wins_ties() {
    let (mut tree, _, b) = forked();
    let tip = tree.best();
    let mut prev = b;
    for height in 23..=30 {
        prev = child(&tree, hash_of(&prev), prev.time + 600, 1);
        tree.insert(prev).expect("fits");
        assert_eq!(tree.best(), tip, "height {height} is not more work");
    }
    let heavier = child(&tree, hash_of(&prev), prev.time + 600, 1);
    tree.insert(heavier).expect("fits");
    assert_eq!(tree.best().header, heavier);
    assert_eq!(tree.stale_count(), 10);
    assert_eq!(tree.on_best_chain(BitcoinHeight(22)).map(|info| info.header), Some(b));
    assert_eq!(tree.on_best_chain(BitcoinHeight(20)).map(|info| info.height), Some(BitcoinHeight(20)));
}

#[test]
fn recent_are_the_newest_1008_and_their_stale_siblings() {
    let (mut tree, a, b) = forked();
    let (at_20, at_21) = (at(&tree, 20), at(&tree, 21));
    assert!(tree.is_recent(&hash_of(&a)), "a sibling of height 21");
    assert!(!tree.is_recent(&hash_of(&b)), "its parent is stale");
    extend(&mut tree, 1_008 + 20 - 30, 600);
    assert_eq!(tree.best().height, BitcoinHeight(1_028));
    assert!(!tree.is_recent(&at_20));
    assert!(tree.is_recent(&at_21) && tree.is_recent(&hash_of(&a)));
    extend(&mut tree, 1, 600);
    assert!(!tree.is_recent(&at_21) && !tree.is_recent(&hash_of(&a)));
    assert!(!tree.is_recent(&BlockHash::all_zeros()));
}

#[test]
fn pruning_drops_the_stale_headers_that_lead_to_nothing_named() {
    let (mut tree, a, b) = forked();
    let fork = tree.on_best_chain(BitcoinHeight(25)).expect("there");
    let c = child(&tree, fork.hash, fork.header.time + 600, 2);
    tree.insert(c).expect("fits");
    let best = tree.best();

    let dropped = tree.prune(|hash| *hash == hash_of(&b));
    assert_eq!(dropped.iter().map(|info| info.header).collect::<Vec<_>>(), [c]);
    assert!(tree.get(&hash_of(&a)).is_some(), "a leads to b");
    let dropped = tree.prune(|_| false);
    assert_eq!(dropped.iter().map(|info| info.height.0).collect::<Vec<_>>(), [21, 22]);
    assert_eq!((tree.stale_count(), tree.best()), (0, best));

    // What is left is a tree like any other: it grows, and takes a dropped header again.
    extend(&mut tree, 3, 600);
    assert_eq!(tree.insert(a), Ok(Inserted::New));
    assert_eq!(tree.get(&hash_of(&a)).map(|info| info.work), tree.get(&at(&tree, 21)).map(|info| info.work));
    assert!(tree.prune(|_| true).is_empty());
}

fn at(tree: &HeaderTree, height: u32) -> BlockHash {
    tree.on_best_chain(BitcoinHeight(height)).expect("there").hash
}

#[test]
fn a_flood_of_stale_headers_ends_at_its_bound_and_the_best_chain_goes_on() {
    let mut tree = easy_tree(Network::Regtest.rules());
    extend(&mut tree, 2, 600);
    let root = at(&tree, 0);
    let mut nonce = 0;
    let mut flood = |tree: &mut HeaderTree| {
        nonce += 1;
        let stale = mine(Header {
            nonce: nonce * 1_000,
            ..unmined(root, START + 1, CompactTarget::from_consensus(LIMIT))
        });
        tree.insert(stale)
    };
    for _ in 0..MAX_STALE_HEADERS {
        assert_eq!(flood(&mut tree), Ok(Inserted::New));
    }
    assert_eq!(flood(&mut tree), Err(HeaderError::TooManyStale));
    extend(&mut tree, 1, 600);
    assert_eq!(tree.prune(|_| false).len(), MAX_STALE_HEADERS);
    assert_eq!(flood(&mut tree), Ok(Inserted::New));
}

#[test]
fn saved_headers_make_the_tree_again() {
    let (tree, _, _) = forked();
    let ancestors: Vec<Header> = tree.ancestors().copied().collect();
    let first = (BitcoinHeight(0), hash_of(&ancestors[0]));
    let mut again = HeaderTree::with_rules(Network::Regtest.rules(), first, &ancestors).expect("saved");
    for (height, header) in tree.iter() {
        assert_eq!(again.insert(*header), Ok(Inserted::New));
        assert_eq!(again.get(&hash_of(header)).map(|info| info.height), Some(height));
    }
    assert_eq!((again.best(), again.stale_count()), (tree.best(), tree.stale_count()));
}

#[test]
fn a_header_takes_little_memory() {
    // 36 bytes of key and index stand in the map, at worst half full, and 4 in the best chain.
    assert!(size_of::<Node>() + 2 * 36 + 4 <= 208, "{}", size_of::<Node>());
}

mod properties {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::Index as Choice;

    /// A tree of headers, each on one before it, at difficulties that differ since some are late (testnet 4's rule).
    fn grow(choices: &[(Choice, u16)]) -> (HeaderTree, Vec<Header>) {
        let mut tree = easy_tree(easy(true, true));
        // A first period at a quarter of the time, so that real blocks are harder than late ones.
        extend(&mut tree, 2_016, 150);
        let start = tree.clone();
        let mut headers = vec![tree.best().header];
        for (salt, (parent, delay)) in (1..).zip(choices) {
            let parent = parent.get(&headers);
            let time = parent.time + 300 + u32::from(*delay) % 2_000;
            let header = child(&tree, hash_of(parent), time, salt);
            tree.insert(header).expect("a header that the tree asked for");
            headers.push(header);
        }
        headers.remove(0);
        (start, headers)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn the_order_of_arrival_changes_ties_only(
            choices in proptest::collection::vec((any::<Choice>(), any::<u16>()), 1..40),
            picks in proptest::collection::vec(any::<Choice>(), 40),
        ) {
            let (start, headers) = grow(&choices);
            let mut in_order = start.clone();
            for header in &headers {
                prop_assert_eq!(in_order.insert(*header), Ok(Inserted::New));
                let info = in_order.get(&hash_of(header)).expect("inserted");
                let parent = in_order.get(&header.prev_blockhash).expect("its parent");
                prop_assert_eq!(info.work, parent.work.saturating_add(target_of(header).work()));
                prop_assert_eq!(info.height.0, parent.height.0 + 1);
            }
            let mut shuffled = start;
            let mut waiting = headers.clone();
            for pick in picks.iter().cycle() {
                if waiting.is_empty() {
                    break;
                }
                let header = waiting.remove(pick.index(waiting.len()));
                match shuffled.insert(header) {
                    Ok(inserted) => prop_assert_eq!(inserted, Inserted::New),
                    Err(error) => {
                        prop_assert_eq!(error, HeaderError::UnknownParent(header.prev_blockhash));
                        // Taken from the front next time, where its ancestors are.
                        waiting.push(header);
                        let front = waiting.remove(0);
                        if shuffled.insert(front).is_err() {
                            waiting.push(front);
                        }
                    }
                }
            }
            let most = headers.iter().map(|header| in_order.get(&hash_of(header)).expect("there").work).max();
            prop_assert_eq!(Some(in_order.best().work), most);
            prop_assert_eq!(Some(shuffled.best().work), most);
            let is_most = |header: &&Header| in_order.get(&hash_of(header)).map(|info| info.work) == most;
            if headers.iter().filter(is_most).count() == 1 {
                prop_assert_eq!(in_order.best(), shuffled.best());
            }
            for header in &headers {
                prop_assert_eq!(in_order.get(&hash_of(header)), shuffled.get(&hash_of(header)));
            }
        }

        #[test]
        fn no_header_panics(
            version: i32, time: u32, bits: u32, nonce: u32, on_tip: bool, merkle_root: [u8; 32],
        ) {
            let mut tree = easy_tree(Network::Regtest.rules());
            extend(&mut tree, 12, 600);
            let prev_blockhash = if on_tip { tree.best().hash } else { at(&tree, 5) };
            let header = Header {
                version: Version::from_consensus(version),
                prev_blockhash,
                merkle_root: TxMerkleNode::from_byte_array(merkle_root),
                time,
                bits: CompactTarget::from_consensus(bits),
                nonce,
            };
            let context = tree.context(&as_share(&header));
            let inserted = tree.insert(header);
            if inserted == Ok(Inserted::New) {
                prop_assert!(context.is_ok());
                prop_assert!(bits == LIMIT && version >= 4);
            }
        }
    }
}

/// Up to 20 minutes after the block before, a block of testnet 4 has the real target; after them the easiest.
#[test]
fn the_context_says_for_which_times_its_target_holds() {
    let mut tree = easy_tree(easy(true, true));
    extend(&mut tree, 3, 600);
    let (prev, last) = (tree.best().hash, tree.best().header.time + 1_200);
    let times = |tree: &HeaderTree, time| {
        let bits = tree.required_bits(&prev, time).expect("known").to_compact();
        tree.context(&as_share(&unmined(prev, time, bits))).expect("a header like any other").times
    };
    assert_eq!(times(&tree, last - 700), (0, last));
    assert_eq!(times(&tree, last), (0, last));
    assert_eq!(times(&tree, last + 1), (last + 1, u32::MAX));
    let mut tree = easy_tree(easy(false, false));
    extend(&mut tree, 3, 600);
    let prev = tree.best().hash;
    let header = unmined(prev, last + 1, CompactTarget::from_consensus(LIMIT));
    assert_eq!(tree.context(&as_share(&header)).expect("a header").times, (0, u32::MAX));
}
