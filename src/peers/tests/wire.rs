//! Bytes: one form for every value, and nothing else decodes.

use super::Question;
use super::rig::{Rig, Want, Work as Job};
use crate::peers::link::MAX_QUESTION;
use crate::peers::wire::{
    BlockMessage, BlocksAnswer, HeadersAnswer, IdsAnswer, MAX_BLOCKS, MAX_HEADERS, MAX_IDS, MAX_LIST,
    MAX_LOCATOR, MAX_SHARES, ShareMessage, SharesAnswer, TipAnswer,
};
use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, CompactTarget, TxMerkleNode};
use core::fmt::Debug;
use primitive_types::U256;
use proptest::collection::vec;
use proptest::prelude::*;
use sharechain::codec::{Decode, DecodeError, Encode};
use sharechain::share::{Share, ShareId};
use sharechain::target::Work;
use sharechain::units::Height;
use std::sync::LazyLock;

/// Real shares; what may stand in a share's fields is tested where shares are.
static SHARES: LazyLock<Vec<Share>> = LazyLock::new(|| {
    let mut rig = Rig::new();
    (0..4).map(|n| rig.mine(Job::of(n), Want::Share).share).collect()
});

fn shares() -> impl Strategy<Value = Share> {
    (0..4_usize, any::<u32>()).prop_map(|(n, nonce)| {
        let mut share = SHARES[n].clone();
        share.header.nonce = nonce;
        share
    })
}

fn id() -> impl Strategy<Value = ShareId> {
    any::<[u8; 32]>().prop_map(ShareId)
}

fn questions() -> impl Strategy<Value = Question> {
    prop_oneof![
        Just(Question::Tip),
        vec(id(), 0..=MAX_LOCATOR).prop_map(|locator| Question::Ids { locator }),
        (any::<u32>(), vec(id(), 0..60)).prop_map(|(from, ids)| Question::Blocks { from: Height(from), ids }),
        vec(id(), 0..300).prop_map(|ids| Question::Shares { ids }),
        any::<[u8; 32]>()
            .prop_map(|hash| Question::BitcoinHeaders { hash: BlockHash::from_byte_array(hash) }),
    ]
}

fn headers() -> impl Strategy<Value = Header> {
    any::<(i32, [u8; 32], [u8; 32], [u32; 3])>().prop_map(|(version, prev, root, [time, bits, nonce])| {
        Header {
            version: Version::from_consensus(version),
            prev_blockhash: BlockHash::from_byte_array(prev),
            merkle_root: TxMerkleNode::from_byte_array(root),
            time,
            bits: CompactTarget::from_consensus(bits),
            nonce,
        }
    })
}

fn holds<T: Encode + Decode + PartialEq + Debug>(value: &T) -> Result<(), TestCaseError> {
    let bytes = value.to_bytes();
    let back = T::from_bytes(&bytes);
    prop_assert_eq!(back.as_ref(), Ok(value));
    let longer = [&bytes[..], &[0]].concat();
    prop_assert!(T::from_bytes(&longer).is_err(), "a byte too many");
    prop_assert!(T::from_bytes(&bytes[..bytes.len() - 1]).is_err(), "a byte too few");
    Ok(())
}

fn one_form<T: Encode + Decode>(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(value) = T::from_bytes(bytes) {
        prop_assert_eq!(value.to_bytes(), bytes);
    }
    Ok(())
}

proptest! {
    #[test]
    fn messages_round_trip(round: u8, share in shares(), includes in vec(id(), 0..300)) {
        holds(&ShareMessage { round, share: share.clone() })?;
        holds(&BlockMessage { round, share, includes })?;
    }

    #[test]
    fn questions_round_trip(question in questions()) {
        holds(&question)?;
        prop_assert!(question.to_bytes().len() <= MAX_QUESTION);
    }

    #[test]
    fn answers_round_trip(
        numbers: [u64; 4],
        from: u32,
        parent in id(),
        ids in vec(id(), 1..300),
        blocks in vec(vec(any::<u8>(), 1..300), 1..20),
        shares in vec(shares(), 1..10),
        headers in vec(headers(), 1..=MAX_HEADERS),
    ) {
        let work = Work(U256(numbers));
        holds(&TipAnswer { id: parent, height: Height(from), recent_work: work, work })?;
        holds(&IdsAnswer { from: Height(from), parent, ids })?;
        holds(&BlocksAnswer { blocks })?;
        holds(&SharesAnswer { shares })?;
        holds(&HeadersAnswer { headers })?;
    }

    #[test]
    fn bitcoin_headers_have_bitcoins_form(header in headers()) {
        let bytes = HeadersAnswer { headers: vec![header] }.to_bytes();
        prop_assert_eq!(&bytes[1..], &bitcoin::consensus::serialize(&header)[..]);
    }

    #[test]
    fn any_bytes_are_refused_or_the_one_form(bytes in vec(any::<u8>(), 0..700)) {
        one_form::<ShareMessage>(&bytes)?;
        one_form::<BlockMessage>(&bytes)?;
        one_form::<Question>(&bytes)?;
        one_form::<TipAnswer>(&bytes)?;
        one_form::<IdsAnswer>(&bytes)?;
        one_form::<BlocksAnswer>(&bytes)?;
        one_form::<SharesAnswer>(&bytes)?;
        one_form::<HeadersAnswer>(&bytes)?;
    }
}

#[test]
fn counts_beyond_their_bound_are_refused_before_anything_is_read() {
    let too_long = |max: usize| Err::<(), _>(max as u64 + 1);
    let of = |result: Result<(), DecodeError>| match result {
        Err(DecodeError::TooLong { len, .. }) => Err(len),
        other => panic!("{other:?}"),
    };
    let count = |kind: &[u8], count: usize| {
        let mut bytes = kind.to_vec();
        sharechain::codec::put_size(&mut bytes, count + 1);
        bytes
    };
    let question = |bytes: &[u8]| Question::from_bytes(bytes).map(drop);
    assert_eq!(of(question(&count(&[1], MAX_LOCATOR))), too_long(MAX_LOCATOR));
    assert_eq!(of(question(&count(&[2, 0, 0, 0, 0], MAX_BLOCKS))), too_long(MAX_BLOCKS));
    assert_eq!(of(question(&count(&[3], MAX_SHARES))), too_long(MAX_SHARES));
    let ids = IdsAnswer::from_bytes(&count(&[0; 36], MAX_IDS)).map(drop);
    assert_eq!(of(ids), too_long(MAX_IDS));
    assert_eq!(of(BlocksAnswer::from_bytes(&count(&[], MAX_BLOCKS)).map(drop)), too_long(MAX_BLOCKS));
    assert_eq!(of(SharesAnswer::from_bytes(&count(&[], MAX_SHARES)).map(drop)), too_long(MAX_SHARES));
    assert_eq!(of(HeadersAnswer::from_bytes(&count(&[], MAX_HEADERS)).map(drop)), too_long(MAX_HEADERS));
    let block = BlockMessage { round: 0, share: SHARES[0].clone(), includes: Vec::new() }.to_bytes();
    let block = count(&block[..block.len() - 1], MAX_LIST);
    assert_eq!(of(BlockMessage::from_bytes(&block).map(drop)), too_long(MAX_LIST));
}

#[test]
fn kinds_of_questions_are_as_the_protocol_says() {
    let hash = BlockHash::from_byte_array([3; 32]);
    let questions = [
        Question::Tip,
        Question::Ids { locator: Vec::new() },
        Question::Blocks { from: Height(7), ids: Vec::new() },
        Question::Shares { ids: Vec::new() },
        Question::BitcoinHeaders { hash },
    ];
    for (kind, question) in (0..).zip(&questions) {
        assert_eq!(question.to_bytes()[0], kind);
    }
    assert_eq!(questions[2].to_bytes(), [2, 7, 0, 0, 0, 0]);
    for kind in 5..=255 {
        assert!(
            Question::from_bytes(&[kind]).is_err(),
            "6 is for found Bitcoin blocks, the others for nothing"
        );
    }
}
