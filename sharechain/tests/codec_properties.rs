//! The canonical form: one encoding per value, nothing else decodes, nothing panics or takes much memory, and a proof
//! of work binds every byte.

#![allow(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")]

mod support;

use bitcoin::block::Version;
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, CompactTarget, ScriptBuf};
use proptest::prelude::*;
use sharechain::codec::{Decode, DecodeError, Encode, put_size};
use sharechain::owner::Owner;
use sharechain::params::{ChainParams, MAX_BRANCH, MAX_COINBASE, MAX_TAG, MIN_COINBASE, Network};
use sharechain::share::{
    COINBASE_SUFFIX_LEN, COMMITMENT_OUTPUT_HEAD, CoinbaseLink, Commitment, Share, ShareBlock, ShareHeader,
    ShareId, Tag, includes_hash,
};
use sharechain::target::Target;
use sharechain::units::{BitcoinHeight, Height, Score, UnixTime};
use sharechain::verify::Bound;
use support::{Rig, Want, Work};

/// Offsets of a share's lengths: the merkle branch's count, and from the commitment's start the tag's.
const BRANCH_AT: usize = 60;
const TAG_AT: usize = 20;
/// Midstate and length of the prefix.
const LINK_HEAD: usize = 34;
/// From the end of the tag to the owner's length: witness commitment, parent, base, height, time, bits, share bits.
const TAG_TO_OWNER: usize = 112;

fn owners() -> impl Strategy<Value = Owner> {
    (0..5_usize, any::<[u8; 32]>()).prop_map(|(kind, bytes)| {
        let script = match kind {
            0 => [&[0x76, 0xa9, 20][..], &bytes[..20], &[0x88, 0xac]].concat(),
            1 => [&[0xa9, 20][..], &bytes[..20], &[0x87]].concat(),
            2 => [&[0, 20][..], &bytes[..20]].concat(),
            3 => [&[0, 32][..], &bytes].concat(),
            _ => [&[0x51, 32][..], &bytes].concat(),
        };
        Owner::new(&ScriptBuf::from_bytes(script)).expect("standard")
    })
}

fn tags() -> impl Strategy<Value = Tag> {
    prop::collection::vec(any::<u8>(), 0..MAX_TAG).prop_map(|data| Tag::pushing(&data).unwrap_or_default())
}

fn links() -> impl Strategy<Value = CoinbaseLink> {
    let sizes = prop_oneof![
        MIN_COINBASE - COINBASE_SUFFIX_LEN..300,
        Just(MAX_COINBASE - COINBASE_SUFFIX_LEN),
        1_000..MAX_COINBASE - COINBASE_SUFFIX_LEN,
    ];
    (sizes, any::<[u8; 16]>()).prop_map(|(size, salt)| {
        let prefix: Vec<_> = salt.into_iter().cycle().take(size).collect();
        CoinbaseLink::of_prefix(&prefix).expect("within the bounds")
    })
}

fn headers() -> impl Strategy<Value = ShareHeader> {
    any::<(i32, [u8; 32], [u32; 3])>().prop_map(|(version, prev, [time, bits, nonce])| ShareHeader {
        version: Version::from_consensus(version),
        prev_block: BlockHash::from_byte_array(prev),
        time,
        bits: CompactTarget::from_consensus(bits),
        nonce,
    })
}

fn commitments() -> impl Strategy<Value = Commitment> {
    (any::<([u32; 7], u64, u16, [[u8; 32]; 4])>(), tags(), owners()).prop_map(
        |((numbers, value, class, [witness, parent, base, includes]), tag, owner)| Commitment {
            version: numbers[0],
            signals: numbers[1],
            bitcoin_height: BitcoinHeight(numbers[2]),
            coinbase_value: value,
            tag,
            witness_commitment: witness,
            parent: ShareId(parent),
            base: ShareId(base),
            height: Height(numbers[3]),
            time: UnixTime(numbers[4]),
            bits: CompactTarget::from_consensus(numbers[5]),
            share_bits: CompactTarget::from_consensus(numbers[6]),
            owner,
            class,
            includes,
        },
    )
}

fn shares() -> impl Strategy<Value = Share> {
    let branch = prop::collection::vec(any::<[u8; 32]>(), 0..=MAX_BRANCH);
    (headers(), any::<[u8; 12]>(), branch, links(), commitments()).prop_map(
        |(header, extranonce, branch, link, commitment)| Share {
            header,
            extranonce,
            branch,
            link,
            commitment,
        },
    )
}

fn blocks() -> impl Strategy<Value = ShareBlock> {
    (shares(), prop::collection::vec(shares(), 0..5)).prop_map(|(share, listed)| ShareBlock {
        share: share.into(),
        listed: listed.into_iter().map(Into::into).collect(),
    })
}

/// Memory that decoding may take at once: this many times the input, and a little.
const MOST_TIMES_INPUT: u64 = 2;
const MOST_BESIDES: u64 = 512;

/// Decodes with an eye on memory: neither a wrong nor a right input takes more than its size allows.
fn frugally<T: Decode>(bytes: &[u8]) -> Result<T, DecodeError> {
    let mut result = None;
    let taken = allocation_counter::measure(|| result = Some(T::from_bytes(bytes)));
    let most = bytes.len() as u64 * MOST_TIMES_INPUT + MOST_BESIDES;
    assert!(taken.bytes_max <= most, "{} bytes for an input of {}", taken.bytes_max, bytes.len());
    result.expect("decoded")
}

/// What decodes is what the value encodes to, whatever else it may be.
fn canonical_or_refused<T: Decode + Encode>(bytes: &[u8]) {
    if let Ok(value) = frugally::<T>(bytes) {
        assert!(value.to_bytes() == bytes, "a second encoding of one value");
    }
}

fn all_kinds(bytes: &[u8]) {
    canonical_or_refused::<Share>(bytes);
    canonical_or_refused::<ShareBlock>(bytes);
    canonical_or_refused::<Commitment>(bytes);
    canonical_or_refused::<CoinbaseLink>(bytes);
    canonical_or_refused::<ShareHeader>(bytes);
    canonical_or_refused::<Tag>(bytes);
    canonical_or_refused::<Owner>(bytes);
}

/// Round trip, truncated at every length, and followed by something.
fn exact<T: Decode + Encode + PartialEq>(value: &T) {
    let mut bytes = value.to_bytes();
    assert!(frugally::<T>(&bytes).as_ref() == Ok(value));
    for len in 0..bytes.len() {
        assert!(matches!(frugally::<T>(&bytes[..len]), Err(DecodeError::Truncated(_))), "cut at {len}");
    }
    for extra in [0, 1, 0xff] {
        bytes.push(extra);
        assert!(matches!(frugally::<T>(&bytes), Err(DecodeError::Trailing(_))));
    }
}

/// A change of bytes somewhere.
#[derive(Clone, Debug)]
enum Edit {
    Set(u8),
    Insert(Vec<u8>),
    Remove(usize),
    Copy(usize, usize),
}

fn edits() -> impl Strategy<Value = Vec<(prop::sample::Index, Edit)>> {
    let edit = prop_oneof![
        4 => any::<u8>().prop_map(Edit::Set),
        1 => prop::collection::vec(any::<u8>(), 1..40).prop_map(Edit::Insert),
        1 => (1_usize..40).prop_map(Edit::Remove),
        1 => (0_usize..2_000, 1_usize..700).prop_map(|(from, len)| Edit::Copy(from, len)),
    ];
    prop::collection::vec((any::<prop::sample::Index>(), edit), 1..4)
}

fn edited(mut bytes: Vec<u8>, edits: &[(prop::sample::Index, Edit)]) -> Vec<u8> {
    for (at, edit) in edits {
        let at = at.index(bytes.len() + 1);
        match edit {
            Edit::Set(byte) => bytes.iter_mut().skip(at).take(1).for_each(|b| *b = *byte),
            Edit::Insert(new) => drop(bytes.splice(at..at, new.iter().copied())),
            Edit::Remove(len) => drop(bytes.drain(at..(at + len).min(bytes.len()))),
            Edit::Copy(from, len) => {
                let end = (from + len).min(bytes.len());
                let copy = bytes[*from.min(&end)..end].to_vec();
                bytes.splice(at..at, copy);
            }
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn shares_and_their_parts_have_one_encoding(share in shares()) {
        prop_assert_eq!(share.encoded_len(), share.to_bytes().len());
        exact(&share);
        exact(&share.commitment);
        exact(&share.link);
        exact(&share.header);
        exact(&share.commitment.tag);
        exact(&share.commitment.owner);
    }

    #[test]
    fn share_blocks_have_one_encoding(block in blocks()) {
        exact(&block);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn edited_bytes_are_canonical_or_refused(block in blocks(), edits in edits()) {
        all_kinds(&edited(block.to_bytes(), &edits));
        all_kinds(&edited(block.share.to_bytes(), &edits));
        all_kinds(&edited(block.share.commitment.to_bytes(), &edits));
        all_kinds(&edited(block.share.link.to_bytes(), &edits));
    }

    #[test]
    fn noise_is_canonical_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        all_kinds(&bytes);
    }

    /// Compact sizes in each of their lengths, canonical or not.
    #[test]
    fn sizes_are_canonical_or_refused(form in 0_usize..4, value: u64, rest in prop::collection::vec(any::<u8>(), 0..50)) {
        let value = value >> (value % 64);
        let head = [vec![], vec![0xfd], vec![0xfe], vec![0xff]][form].clone();
        let bytes = value.to_le_bytes();
        let bytes = [&head[..], &bytes[..[1, 2, 4, 8][form]], &rest].concat();
        let mut reader = sharechain::codec::Reader::new(&bytes);
        if let Ok(size) = reader.size(usize::MAX, "size") {
            let mut again = Vec::new();
            put_size(&mut again, size);
            prop_assert_eq!(&bytes[..bytes.len() - reader.remaining()], again);
        }
    }

    /// Parameters have no decoder: what matters is that different ones never have the same bytes.
    #[test]
    fn parameters_that_differ_have_different_bytes(a in params(), b in params()) {
        prop_assert_eq!(a == b, a.to_bytes() == b.to_bytes());
        prop_assert_eq!(a == b, a.chain_id() == b.chain_id());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    #[ignore = "the long form of edited_bytes_are_canonical_or_refused: minutes"]
    fn edited_bytes_at_length(block in blocks(), edits in edits()) {
        all_kinds(&edited(block.to_bytes(), &edits));
        all_kinds(&edited(block.share.to_bytes(), &edits));
    }
}

/// Parameters that differ from each other in one thing or in few.
fn params() -> impl Strategy<Value = ChainParams> {
    let names = prop::sample::select(vec!["", "a", "ab", "main"]);
    let networks = prop_oneof![
        Just(Network::Main),
        Just(Network::Regtest),
        (0_u32..2).prop_map(|bits| Network::Embedded { bits }),
    ];
    let classes = prop::collection::vec(0_u16..3, 0..3);
    (names, networks, [0_u32..2, 0..2, 0..2], 0_u128..2, 0_u64..2, classes).prop_map(
        |(name, network, [spacing, bits, height], window_score, smallest_payout, classes)| ChainParams {
            name: name.into(),
            network,
            spacing,
            easiest_block_target: CompactTarget::from_consensus(bits),
            first_bitcoin_block: (BitcoinHeight(height), BlockHash::all_zeros()),
            window_score: Score(window_score),
            smallest_payout,
            classes,
            ..ChainParams::main()
        },
    )
}

/// A mined share with everything in it: a branch, a tag, an owner.
fn mined() -> (Rig, Share) {
    let mut rig = Rig::new();
    let share = rig.mine(Work::of(1), Want::Share).share;
    (rig, share)
}

/// The bytes with those at `at` replaced.
fn replaced(bytes: &[u8], at: usize, len: usize, new: &[u8]) -> Vec<u8> {
    [&bytes[..at], new, &bytes[at + len..]].concat()
}

/// The three longer forms of a compact size below 0xfd.
fn longer_forms(size: u8) -> [Vec<u8>; 3] {
    [vec![0xfd, size, 0], vec![0xfe, size, 0, 0, 0], vec![0xff, size, 0, 0, 0, 0, 0, 0, 0]]
}

#[test]
fn every_length_in_a_longer_form_is_refused() {
    let (_, share) = mined();
    let bytes = share.to_bytes();
    let commitment = bytes.len() - share.commitment.to_bytes().len();
    let tag = commitment + TAG_AT;
    let owner = tag + 1 + share.commitment.tag.as_bytes().len() + TAG_TO_OWNER;
    let block = ShareBlock { share: share.clone().into(), listed: vec![share.clone().into()] }.to_bytes();
    let script = share.commitment.owner.as_bytes();
    assert_eq!(bytes[owner + 1..owner + 1 + script.len()], *script);
    for at in [BRANCH_AT, tag, owner] {
        for longer in longer_forms(bytes[at]) {
            assert_eq!(Share::from_bytes(&replaced(&bytes, at, 1, &longer)), Err(DecodeError::NonMinimal));
        }
    }
    for longer in longer_forms(1) {
        let other = replaced(&block, bytes.len(), 1, &longer);
        assert_eq!(ShareBlock::from_bytes(&other), Err(DecodeError::NonMinimal));
    }
}

#[test]
fn lengths_beyond_their_fields_are_refused() {
    let (_, share) = mined();
    let bytes = share.to_bytes();
    let commitment = bytes.len() - share.commitment.to_bytes().len();
    let tag = commitment + TAG_AT;
    let owner = tag + 1 + share.commitment.tag.as_bytes().len() + TAG_TO_OWNER;
    let filler = [7; 32 * 20];
    for (at, size, field, max) in
        [(BRANCH_AT, 17, "merkle branch", 16), (tag, 41, "tag", 40), (owner, 35, "owner", 34)]
    {
        let long = [&bytes[..at], &[size], &filler, &bytes[at + 1..]].concat();
        let expected = DecodeError::TooLong { field, len: size.into(), max };
        assert_eq!(frugally::<Share>(&long), Err(expected));
    }
    // A count that no bytes follow takes no memory, whether it is too high by itself or not.
    for (count, expected) in [
        (4_097, DecodeError::TooLong { field: "listed shares", len: 4_097, max: 4_096 }),
        (4_096, DecodeError::Truncated("listed shares")),
        (1, DecodeError::Truncated("listed shares")),
    ] {
        let mut block = bytes.clone();
        put_size(&mut block, count);
        assert_eq!(frugally::<ShareBlock>(&block), Err(expected));
    }
}

#[test]
fn full_blocks_of_the_smallest_and_of_the_largest_shares_take_memory_by_their_size() {
    let counted = allocation_counter::measure(|| drop(core::hint::black_box(vec![1_u8; 10_000])));
    assert_eq!(counted.bytes_max, 10_000, "the counter counts");
    let (_, mut smallest) = mined();
    smallest.branch = vec![];
    smallest.commitment.tag = Tag::default();
    // Two whole blocks and the head of the commitment output.
    smallest.link = CoinbaseLink::of_prefix(&[1; 2 * 64 + 11]).expect("within bounds");
    assert_eq!(smallest.encoded_len(), 296);
    let largest = Share { branch: vec![[1; 32]; MAX_BRANCH], ..smallest.clone() };
    for share in [smallest, largest] {
        let share = std::sync::Arc::new(share);
        let block = ShareBlock { share: share.clone(), listed: vec![share; 513] };
        assert!(frugally::<ShareBlock>(&block.to_bytes()) == Ok(block));
    }
}

#[test]
fn a_tag_is_empty_or_one_direct_push() {
    let tag = |script: &[u8]| {
        let mut bytes = Vec::new();
        put_size(&mut bytes, script.len());
        Tag::from_bytes(&[&bytes, script].concat())
    };
    assert_eq!(tag(&[]), Ok(Tag::default()));
    for data in [&[0][..], &[1, 2, 3], &[9; 39]] {
        let pushed = Tag::pushing(data).expect("short");
        assert_eq!(tag(pushed.as_bytes()), Ok(pushed.clone()));
        assert_eq!((usize::from(pushed.as_bytes()[0]), &pushed.as_bytes()[1..]), (data.len(), data));
    }
    assert_eq!((Tag::pushing(&[]), Tag::pushing(&[9; 40])), (None, None));
    // OP_0, other opcodes, two pushes, a push of too much and of too little, OP_PUSHDATA1.
    let wrong: [&[u8]; 8] =
        [&[0], &[0x51], &[75], &[1, 7, 1, 7], &[3, 1, 2], &[1, 2, 3], &[0x4c, 1, 7], &[0x4c, 2]];
    for script in wrong {
        assert_eq!(tag(script), Err(DecodeError::BadValue("tag")), "{script:?}");
    }
}

#[test]
fn the_prefix_of_a_coinbase_has_a_length_within_bounds() {
    let (least, most) = (MIN_COINBASE - COINBASE_SUFFIX_LEN, MAX_COINBASE - COINBASE_SUFFIX_LEN);
    assert_eq!((least, most), (80, 19_952));
    for len in [least, 138, 139, 140, most] {
        let prefix = [&vec![3; len - 11][..], &COMMITMENT_OUTPUT_HEAD].concat();
        let link = CoinbaseLink::of_prefix(&prefix).expect("within bounds");
        // As many whole blocks are hashed as leave the head of the commitment output, 11 bytes.
        let hashed = (len - 11) / 64 * 64;
        assert_eq!(link.rest(), &prefix[hashed..]);
        assert!((11..75).contains(&link.rest().len()));
        assert_eq!(CoinbaseLink::from_bytes(&link.to_bytes()), Ok(link));
    }
    assert_eq!(CoinbaseLink::of_prefix(&vec![0; least - 1]), None);
    assert_eq!(CoinbaseLink::of_prefix(&vec![0; most + 1]), None);
    for len in [0, 11, 79, 19_953, 0xffff_u16] {
        let bytes = [&[5; 32][..], &len.to_le_bytes(), &[0; 80]].concat();
        assert_eq!(CoinbaseLink::from_bytes(&bytes), Err(DecodeError::BadValue("prefix length")));
    }
    let (_, share) = mined();
    let at = BRANCH_AT + 1 + 32 * share.branch.len() + LINK_HEAD - 2;
    let bytes = share.to_bytes();
    assert_eq!(bytes[at..at + 2], share.link.prefix_len().to_le_bytes());
    for wrong in [79_u16, 19_953] {
        let other = replaced(&bytes, at, 2, &wrong.to_le_bytes());
        assert_eq!(Share::from_bytes(&other), Err(DecodeError::BadValue("prefix length")));
    }
}

#[test]
fn only_standard_scripts_are_owners() {
    for script in [
        &[][..],
        &[0x51; 34],
        &[0x52, 32, 1, 2],
        &[0, 20],
        &[0x6a],
        // P2WPKH and P2TR one byte short, P2WSH with OP_1 to OP_16 of another version.
        &[&[0, 20][..], &[1; 19]].concat(),
        &[&[0x51, 32][..], &[1; 31]].concat(),
        &[&[0x52, 32][..], &[1; 32]].concat(),
        &[&[0x51, 20][..], &[1; 20]].concat(),
    ] {
        let mut bytes = Vec::new();
        put_size(&mut bytes, script.len());
        bytes.extend_from_slice(script);
        assert_eq!(Owner::from_bytes(&bytes), Err(DecodeError::BadValue("owner")), "{script:?}");
    }
}

#[test]
fn lists_have_the_hash_of_their_ids_in_order() {
    let [a, b] = [ShareId([1; 32]), ShareId([2; 32])];
    let lists: [&[ShareId]; 6] = [&[], &[a], &[b], &[a, b], &[b, a], &[a, a]];
    let hashes: std::collections::BTreeSet<_> = lists.iter().map(|list| includes_hash(list)).collect();
    assert_eq!(hashes.len(), lists.len());
}

/// A share whose proof of work takes 2^`bits` hashes or a few more, on a chain that allows nothing easier.
fn hard_share(bits: u32) -> (ChainParams, Share) {
    let easiest = Target::new(Target::MAX.value() >> (bits + 3)).expect("not zero").rounded();
    let params = ChainParams { easiest_block_target: easiest.to_compact(), ..support::params() };
    let mut rig = Rig::with(params.clone());
    (params, rig.mine(Work::of(1), Want::Share).share)
}

/// How many of these changes of one byte each leave something that decodes; none may be bound by the proof of work.
fn changes_that_decode(bits: u32, changes: impl Fn(u8) -> Vec<u8>) -> usize {
    let (params, share) = hard_share(bits);
    let (chain, bytes) = (params.chain_id(), share.to_bytes());
    let id = Bound::new(&params, chain, share.clone()).expect("binds").id();
    assert_eq!(id, share.id(chain));
    let mut decoded = 0;
    for at in 0..bytes.len() {
        for byte in changes(bytes[at]) {
            assert_ne!(byte, bytes[at]);
            let Ok(other) = Share::from_bytes(&replaced(&bytes, at, 1, &[byte])) else { continue };
            decoded += 1;
            assert_ne!(other.id(chain), id, "byte {at}");
            assert!(Bound::new(&params, chain, other).is_err(), "byte {at} as {byte:#x}");
        }
    }
    assert!(decoded > bytes.len(), "most changes are seen by the proof of work only");
    decoded
}

#[test]
fn a_proof_of_work_binds_every_bit_of_a_share() {
    changes_that_decode(17, |byte| (0..8).map(|bit| byte ^ (1 << bit)).collect());
}

#[test]
#[ignore = "the long form of a_proof_of_work_binds_every_bit_of_a_share, with every other value of each byte: minutes"]
fn a_proof_of_work_binds_every_byte_of_a_share() {
    changes_that_decode(23, |byte| (0..=255).filter(|other| *other != byte).collect());
}

#[test]
fn a_share_of_another_chain_does_not_bind() {
    let (params, share) = hard_share(17);
    let other = ChainParams { name: "other".into(), ..params.clone() };
    assert!(Bound::new(&params, params.chain_id(), share.clone()).is_ok());
    assert!(Bound::new(&other, other.chain_id(), share).is_err());
}
