//! What a connection says and hears, message by message: channels, jobs, targets, codes, and what is passed on.

mod ends;
mod fee;
mod refusals;

use super::script::{Said, Script, accepted, header_hash, header_job, le, opened, refused, split, standard};
use super::*;
use crate::test_jobs::{JobMaker, MADE_AT, owner, target};
use bitcoin::hashes::{Hash, sha256d};
use mining_sv2::{
    CloseChannelOwned, OpenExtendedMiningChannelOwned, OpenStandardMiningChannelOwned,
    SubmitSharesExtendedOwned, SubmitSharesStandardOwned, UpdateChannelOwned,
};
use sharechain::target::Target;
use sharechain::verify::Targets;

/// Nothing but the easiest share difficulty is met by chance.
const EASY: Targets = Targets { network: Target::MIN, block: Target::MIN, share: Target::MAX };
const ANY_TARGET: [u8; 32] = [0xff; 32];

#[test]
fn set_up_is_for_mining_in_version_2_without_work_selection() {
    for (protocol, versions, flags, expected) in [
        (1, (2, 2), 0, "unsupported-protocol 0"),
        (2, (2, 2), 0, "unsupported-protocol 0"),
        (0, (3, 9), 0, "protocol-version-mismatch 0"),
        (0, (0, 1), 0, "protocol-version-mismatch 0"),
        (0, (2, 2), 0b111, "unsupported-feature-flags 2"),
        (0, (2, 2), 0x8000_0001, "unsupported-feature-flags 2147483648"),
    ] {
        let mut script = Script::new();
        assert_eq!(refused(&script.set_up(protocol, versions, flags)), expected);
        assert!(script.closed && !script.session.is_ready());
    }
    let mut script = Script::ready(0b101);
    assert!(script.set_up(0, (2, 2), 0).is_empty() && !script.closed, "once is enough");
    let mut early = Script::new();
    assert!(early.open(Kind::Standard, 0.0, ANY_TARGET).is_empty() && early.closed);
}

#[test]
fn a_protocol_that_nobody_defined_is_refused_like_the_others() {
    let mut script = Script::new();
    let said = script.hear([&[0, 0, 0, 4, 0, 0][..], &[3, 2, 0, 2]].concat());
    assert_eq!(refused(&said), "unsupported-protocol 0");
}

#[test]
fn what_is_unknown_is_ignored_and_what_is_broken_ends_the_connection() {
    let mut script = Script::ready(0);
    for frame in [
        &[0, 0, 0x0f, 1, 0, 0, 9][..],
        // An extension's message, with a type that means something else without it.
        &[1, 0, 0x10, 0, 0, 0],
        &[1, 0x80, 0x1a, 0, 0, 0],
        // What only servers say.
        &[0, 0, 0x01, 6, 0, 0, 2, 0, 0, 0, 0, 0],
        &[0, 0x80, 0x21, 1, 0, 0, 9],
        &[0, 0, 0xff, 0, 0, 0],
    ] {
        assert!(script.hear(frame.to_vec()).is_empty(), "{frame:?}");
        assert!(!script.closed, "{frame:?}");
    }
    for frame in
        [&[0, 0x80, 0x1a, 3, 0, 0, 1, 2, 3][..], &[0, 0, 0x10, 0, 0, 0], &[0, 0], &[0, 0, 0x10, 1, 0, 0]]
    {
        let mut script = Script::ready(0);
        script.hear(frame.to_vec());
        assert!(script.closed, "{frame:?}");
    }
}

#[test]
fn fields_of_extensions_behind_a_message_are_passed_over() {
    let mut script = Script::ready(0);
    script.newest = Some(Arc::new(JobMaker { targets: EASY, ..JobMaker::default() }.job()));
    let mut bytes = Vec::new();
    let open = OpenStandardMiningChannelOwned {
        request_id: 77,
        user_identity: text("rig"),
        nominal_hash_rate: 0.0,
        max_target: ANY_TARGET.into(),
    };
    frame::write(&mut bytes, MiningOwned::OpenStandardMiningChannel(open));
    bytes.extend_from_slice(&[0, 2, 1, 0, 2, b'h', b'i']);
    bytes[3] += 7;
    opened(&script.hear(bytes)[0]);
}

#[test]
fn the_first_job_is_a_future_one_and_the_next_are_not() {
    let mut script = Script::ready(REQUIRES_STANDARD_JOBS);
    // No job yet: the answer comes at once, the job when it is there.
    let said = script.open(Kind::Standard, 0.0, ANY_TARGET);
    let (channel, _, prefix, told) = opened(&said[0]);
    assert_eq!((said.len(), prefix.len()), (1, 12));
    assert_eq!(told.to_array(), le(0));
    let easy = JobMaker { targets: EASY, branch_len: 3, ..JobMaker::default() };
    let said = script.job(easy.clone());
    let [Said::Mining(MiningOwned::SetTarget(set)), job, Said::Mining(MiningOwned::SetNewPrevHash(tip))] =
        &said[..]
    else {
        panic!("{said:?}")
    };
    assert_eq!((set.channel_id, set.maximum_target.to_array()), (channel, le(-32)), "no share is refused");
    let (id, is_future, root) = header_job(job);
    assert!(is_future);
    assert_eq!((tip.channel_id, tip.job_id, tip.min_ntime, tip.nbits), (channel, id, MADE_AT, 0x1702_3456));
    assert_eq!(tip.prev_hash.to_array(), [0xb1; 32]);

    let said = script.job(JobMaker { id: 2, ..easy.clone() });
    let (second, is_future, other_root) = header_job(&said[0]);
    assert_eq!((said.len(), is_future), (1, false));
    assert!(second != id && other_root != root);

    let said = script.job(JobMaker { id: 3, prev_block: 0xb2, height: 900_001, ..easy });
    assert!(header_job(&said[0]).1);
    assert!(
        matches!(&said[1], Said::Mining(MiningOwned::SetNewPrevHash(tip)) if tip.prev_hash.to_array() == [0xb2; 32])
    );
    assert_eq!(said.len(), 2);
}

#[test]
fn a_clock_that_goes_back_takes_no_job_behind_the_first() {
    for (flags, kind) in [(REQUIRES_STANDARD_JOBS, Kind::Standard), (0, Kind::Extended)] {
        let mut script = Script::ready(flags);
        script.newest = Some(Arc::new(JobMaker { targets: EASY, ..JobMaker::default() }.job()));
        script.open(kind, 0.0, ANY_TARGET);
        let earlier = JobMaker { id: 2, time: MADE_AT - 100, targets: EASY, ..JobMaker::default() };
        let min_time = match &script.job(earlier)[0] {
            Said::Mining(MiningOwned::NewMiningJob(job)) => job.min_ntime.clone().into_inner(),
            Said::Mining(MiningOwned::NewExtendedMiningJob(job)) => job.min_ntime.clone().into_inner(),
            other => panic!("{other:?}"),
        };
        assert_eq!(min_time, Some(MADE_AT));
    }
}

#[test]
fn a_share_is_what_the_miner_hashed() {
    let mut script = Script::ready(REQUIRES_STANDARD_JOBS);
    script.newest = Some(Arc::new(JobMaker { targets: EASY, branch_len: 12, ..JobMaker::default() }.job()));
    let said = script.open(Kind::Standard, 0.0, ANY_TARGET);
    let (channel, ..) = opened(&said[0]);
    let (job, _, root) = header_job(&said[1]);
    for nonce in 0..3 {
        let submit = SubmitSharesStandardOwned {
            version: 0x2000_0000 | (nonce << 20),
            ntime: MADE_AT + nonce,
            ..standard(channel, job, nonce)
        };
        let hash = header_hash([0xb1; 32], root, 0x1702_3456, &submit);
        let said = script.say(MiningOwned::SubmitSharesStandard(submit));
        assert_eq!(accepted(&said), (nonce, 1, 0));
        let found = script.found.pop().expect("a share");
        assert_eq!(found.candidate.id.0, hash);
        assert!(found.is_for_chain());
    }
}

#[test]
fn an_extended_jobs_coinbase_is_the_two_parts_around_the_extranonce() {
    let mut script = Script::ready(0);
    script.newest = Some(Arc::new(JobMaker { targets: EASY, branch_len: 2, ..JobMaker::default() }.job()));
    let said = script.open(Kind::Extended, 0.0, ANY_TARGET);
    let (channel, _, prefix, _) = opened(&said[0]);
    let Said::Mining(MiningOwned::NewExtendedMiningJob(job)) = &said[1] else { panic!("{said:?}") };
    assert!(job.version_rolling_allowed && job.is_future() && prefix.len() == 4);
    let rolled = [9, 8, 7, 6, 5, 4, 3, 2];
    let coinbase =
        [job.coinbase_tx_prefix.as_bytes(), &prefix, &rolled, job.coinbase_tx_suffix.as_bytes()].concat();
    let transaction: bitcoin::Transaction =
        bitcoin::consensus::deserialize(&coinbase).expect("a transaction");
    let mut root = transaction.compute_txid().to_byte_array();
    for right in job.merkle_path.iter() {
        root = sha256d::Hash::hash(&[&root[..], right.as_bytes()].concat()).to_byte_array();
    }
    let plain = standard(channel, job.job_id, 5);
    let submit = |extranonce: &[u8]| {
        MiningOwned::SubmitSharesExtended(SubmitSharesExtendedOwned {
            channel_id: channel,
            sequence_number: 1,
            job_id: job.job_id,
            nonce: 5,
            ntime: MADE_AT,
            version: 0x2000_0000,
            extranonce: extranonce.try_into().expect("short"),
        })
    };
    assert_eq!(accepted(&script.say(submit(&rolled))).1, 1);
    assert_eq!(script.found[0].candidate.id.0, header_hash([0xb1; 32], root, 0x1702_3456, &plain));
    assert_eq!(refused(&script.say(submit(&rolled))), "duplicate-share");
    assert_eq!(refused(&script.say(submit(&rolled[1..]))), "bad-extranonce-size");
    assert_eq!(refused(&script.submit(channel, job.job_id, 5)), "bad-extranonce-size");
}

#[test]
fn channels_are_refused_with_their_reasons() {
    let mut script = Script::ready(REQUIRES_STANDARD_JOBS);
    assert_eq!(
        refused(&script.open(Kind::Extended, 0.0, ANY_TARGET)),
        "extended-channels-not-supported-for-standard-jobs"
    );
    let mut script = Script::ready(0);
    for rate in [f32::NAN, f32::INFINITY, -1.0] {
        assert_eq!(refused(&script.open(Kind::Standard, rate, ANY_TARGET)), "invalid-nominal-hashrate");
    }
    assert_eq!(refused(&script.open(Kind::Standard, 0.0, [0; 32])), "max-target-out-of-range");
    let mut tiny = [0; 32];
    tiny[0] = 1;
    assert_eq!(refused(&script.open(Kind::Standard, 0.0, tiny)), "max-target-out-of-range");
    let mut named = |user: &[u8], size| {
        refused(&script.say(MiningOwned::OpenExtendedMiningChannel(OpenExtendedMiningChannelOwned {
            request_id: 1,
            user_identity: user.try_into().expect("short"),
            nominal_hash_rate: 0.0,
            max_target: ANY_TARGET.into(),
            min_extranonce_size: size,
        })))
    };
    assert_eq!(named(b"rig", 9), "min-extranonce-size-too-large");
    assert_eq!(named(&[0xff, 0xfe], 8), "invalid-user-identity");
    assert_eq!(named(b"tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx", 8), "unknown-user");
    for _ in 0..MAX_CHANNELS {
        opened(&script.open(Kind::Extended, 0.0, ANY_TARGET)[0]);
    }
    assert_eq!(refused(&script.open(Kind::Extended, 0.0, ANY_TARGET)), "channel-capacity-exhausted");
}

#[test]
fn the_first_target_is_by_the_rate_within_what_miner_and_job_allow() {
    let hard = Targets { network: target(10), block: target(20), share: target(20) };
    let mut script = Script::ready(REQUIRES_STANDARD_JOBS);
    script.newest = Some(Arc::new(JobMaker { targets: hard, ..JobMaker::default() }.job()));
    let first = |script: &mut Script, rate: f32, most: [u8; 32]| {
        let said = script.open(Kind::Standard, rate, most);
        assert_eq!(said.len(), 3, "success, job, tip: {said:?}");
        opened(&said[0]).3.to_array()
    };
    // 2^35 hashes in four seconds are a share of difficulty 2^3.
    assert_eq!(first(&mut script, 2_f32.powi(33), ANY_TARGET), le(3));
    assert_eq!(first(&mut script, 0.0, ANY_TARGET), le(0));
    assert_eq!(first(&mut script, 1e15, ANY_TARGET), le(10), "never above the network's");
    assert_eq!(first(&mut script, 1e3, le(4)), le(4), "never easier than the device can take");
    assert_eq!(first(&mut script, 1e3, le(-30)), le(-21));
}

/// Where shares are easy, what a device finds says little of how fast it is.
#[test]
fn a_fast_miner_gets_new_headers_though_its_difficulty_is_capped() {
    let easy = Targets { network: target(40), block: target(10), share: target(10) };
    let count = |at_first, later| {
        let mut script = Script::ready(REQUIRES_STANDARD_JOBS);
        script.newest = Some(Arc::new(JobMaker { targets: easy, ..JobMaker::default() }.job()));
        let (channel, ..) = opened(&script.open(Kind::Standard, at_first, ANY_TARGET)[0]);
        if let Some(nominal_hash_rate) = later {
            script.say(MiningOwned::UpdateChannel(UpdateChannelOwned {
                channel_id: channel,
                nominal_hash_rate,
                maximum_target: ANY_TARGET.into(),
            }));
        }
        let is_job = |said: &&Said| matches!(said, Said::Mining(MiningOwned::NewMiningJob(_)));
        (0..6).map(|_| script.wait(2).iter().filter(is_job).count()).sum::<usize>()
    };
    assert_eq!(count(1e14, None), 3);
    assert_eq!(count(1e9, Some(1e14)), 3);
    assert_eq!(count(1e9, None), 0);
}

fn open_for(script: &mut Script, n: u8) -> Vec<Said> {
    let address = bitcoin::Address::from_script(owner(n).script(), bitcoin::Network::Bitcoin);
    let user = address.expect("P2WPKH").to_string();
    script.say(MiningOwned::OpenStandardMiningChannel(OpenStandardMiningChannelOwned {
        request_id: 77,
        user_identity: text(&user),
        nominal_hash_rate: 0.0,
        max_target: ANY_TARGET.into(),
    }))
}

fn close(script: &mut Script, channel_id: u32) {
    script.say(MiningOwned::CloseChannel(CloseChannelOwned { channel_id, reason_code: text("bye") }));
}

#[test]
fn a_connection_mines_for_a_few_owners_and_no_more() {
    let mut script = Script::ready(0);
    let owners = u8::try_from(MAX_SERIES).expect("few");
    let channels: Vec<u32> = (0..owners).map(|n| opened(&open_for(&mut script, n)[0]).0).collect();
    assert_eq!(refused(&open_for(&mut script, owners)), "channel-capacity-exhausted");
    opened(&open_for(&mut script, 3)[0]);
    close(&mut script, channels[3]);
    assert_eq!(refused(&open_for(&mut script, owners)), "channel-capacity-exhausted", "another is open");
    close(&mut script, channels[4]);
    opened(&open_for(&mut script, owners)[0]);
}

#[test]
fn a_node_without_room_for_an_owner_says_so() {
    let mut script = Script::ready(0);
    let (kind, request_id, max_target) = (Kind::Standard, 5, &ANY_TARGET);
    let open = Open { kind, request: request_id, user: b"rig", rate: 0.0, max_target, rolled: 0 };
    let Some(Event::Opened(opened)) = script.session.on_open(&open, script.now) else {
        panic!("not opened");
    };
    script.session.on_no_room(&opened, script.now);
    assert_eq!(refused(&script.output()), "channel-capacity-exhausted");
    assert_eq!(script.session.places.count(), 0);
}

#[test]
fn a_miner_whose_users_are_all_refused_is_closed() {
    let mut script = Script::ready(0);
    let wrong = |script: &mut Script| {
        let said = script.say(MiningOwned::OpenStandardMiningChannel(OpenStandardMiningChannelOwned {
            request_id: 1,
            user_identity: text("tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx"),
            nominal_hash_rate: 0.0,
            max_target: ANY_TARGET.into(),
        }));
        assert_eq!(refused(&said), "unknown-user");
    };
    for _ in 0..3 {
        (1..MOST_REFUSED).for_each(|_| wrong(&mut script));
        open_for(&mut script, 1);
    }
    (1..MOST_REFUSED).for_each(|_| wrong(&mut script));
    assert!(!script.closed);
    wrong(&mut script);
    assert!(script.closed);
}

#[test]
fn refusals_have_codes_and_a_bitcoin_block_is_passed_on_all_the_same() {
    // Every hash is a Bitcoin block, none a share; the miner's own difficulty is out of reach.
    let blocks = Targets { network: Target::MAX, block: Target::MIN, share: Target::MIN };
    let mut script = Script::ready(REQUIRES_STANDARD_JOBS);
    let easy = JobMaker { targets: blocks, ..JobMaker::default() };
    script.newest = Some(Arc::new(easy.job()));
    let said = script.open(Kind::Standard, 0.0, ANY_TARGET);
    let (channel, ..) = opened(&said[0]);
    let (job, ..) = header_job(&said[1]);
    let expect = |script: &mut Script, submit: SubmitSharesStandardOwned, code: &str| {
        let said = script.say(MiningOwned::SubmitSharesStandard(submit));
        assert_eq!(refused(&said), code);
        assert!(script.found.pop().expect("a Bitcoin block").verdict.bitcoin_block, "{code}");
    };
    let good = standard(channel, job, 1);
    expect(
        &mut script,
        SubmitSharesStandardOwned { ntime: MADE_AT - 4_000, ..good.clone() },
        "invalid-share",
    );
    expect(
        &mut script,
        SubmitSharesStandardOwned { ntime: MADE_AT + 9_000, ..good.clone() },
        "invalid-share",
    );
    expect(
        &mut script,
        SubmitSharesStandardOwned { version: 0x2000_0001, ..good.clone() },
        "invalid-non-rollable-version-bit",
    );
    // Below the miner's difficulty.
    script.session.channels.get_mut(&channel).expect("open").work.told = Difficulty::MAX;
    let mut served =
        script.session.channels.get(&channel).expect("open").work.jobs.last().expect("served").clone();
    (served.id, served.difficulty) = (crate::work::job::JobId(5), Difficulty::MAX);
    script.session.channels.get_mut(&channel).expect("open").work.jobs.push(served);
    expect(&mut script, standard(channel, 5, 2), "difficulty-too-low");
    assert_eq!(refused(&script.submit(channel, 99, 1)), "invalid-job-id");
    assert_eq!(refused(&script.submit(99, job, 1)), "invalid-channel-id");
    assert!(script.found.is_empty());
    // Twice the same.
    script.session.channels.get_mut(&channel).expect("open").work.told = Difficulty::MIN;
    assert_eq!(accepted(&script.submit(channel, job, 1)), (1, 1, 0));
    script.found.clear();
    expect(&mut script, good, "duplicate-share");
    // Two Bitcoin blocks later.
    script.job(JobMaker { id: 2, height: 900_002, prev_block: 7, ..easy });
    expect(&mut script, standard(channel, job, 3), "stale-share");
    // After the channel was closed.
    let close = CloseChannelOwned { channel_id: channel, reason_code: text("bye") };
    assert!(script.say(MiningOwned::CloseChannel(close)).is_empty());
    expect(&mut script, standard(channel, job, 4), "invalid-channel-id");
    assert_eq!(script.session.places.count(), 0, "its place is free");
}

#[test]
fn acknowledgements_are_gathered_and_their_sum_is_exact() {
    let mut unacknowledged = crate::stratum_v2::channel::Unacknowledged::default();
    assert_eq!(unacknowledged.take(), None);
    let mut script = Script::ready(REQUIRES_STANDARD_JOBS);
    script.newest = Some(Arc::new(JobMaker { targets: EASY, ..JobMaker::default() }.job()));
    let said = script.open(Kind::Standard, 0.0, ANY_TARGET);
    let (channel, ..) = opened(&said[0]);
    let (job, ..) = header_job(&said[1]);
    // Several submits are read before anything can be written.
    for nonce in [4, 5, 9] {
        let mut bytes = Vec::new();
        frame::write(&mut bytes, MiningOwned::SubmitSharesStandard(standard(channel, job, nonce)));
        script.session.on_frame(&mut bytes, script.now);
    }
    assert_eq!(accepted(&script.output()), (9, 3, 0));
    assert!(script.output().is_empty());
}

#[test]
fn too_many_shares_make_them_harder_at_once_with_new_work() {
    let shares = Targets { network: Target::MIN, block: Target::MIN, share: target(-26) };
    let mut script = Script::ready(REQUIRES_STANDARD_JOBS);
    script.newest = Some(Arc::new(JobMaker { targets: shares, ..JobMaker::default() }.job()));
    let said = script.open(Kind::Standard, 1.0, ANY_TARGET);
    let (channel, _, _, first) = opened(&said[0]);
    assert_eq!(first.to_array(), le(-30));
    let (job, _, root) = header_job(&said[1]);
    let mut changed = Vec::new();
    for nonce in 0..200 {
        changed = script.submit(channel, job, nonce).into_iter().collect();
        if changed.len() > 1 {
            break;
        }
    }
    let [_, Said::Mining(MiningOwned::SetTarget(set)), again] = &changed[..] else { panic!("{changed:?}") };
    assert_eq!(set.maximum_target.to_array(), le(-26), "up to what the job allows");
    let (other, is_future, other_root) = header_job(again);
    assert!(other != job && !is_future && other_root != root, "the same job would be work done twice");
    // A miner that then goes silent is given easier work.
    let said = script.wait(60);
    assert!(
        matches!(&said[0], Said::Mining(MiningOwned::SetTarget(set)) if set.maximum_target.to_array() == le(-29))
    );
    let (third, _, third_root) = header_job(&said[1]);
    assert!(third != other && third_root != other_root && third_root != root);
}

#[test]
fn a_fast_miner_gets_new_headers_before_it_has_gone_through_the_old() {
    let hard = Targets { network: target(40), block: target(40), share: target(40) };
    for (rate, seconds, jobs) in [(5e13, 4, 0), (5e13, 10, 1), (1e14, 12, 3), (1e15, 12, 6)] {
        let mut script = Script::ready(REQUIRES_STANDARD_JOBS);
        script.newest = Some(Arc::new(JobMaker { targets: hard, ..JobMaker::default() }.job()));
        let said = script.open(Kind::Standard, rate, ANY_TARGET);
        let mut roots = vec![header_job(&said[1]).2];
        for _ in 0..seconds / 2 {
            roots.extend(script.wait(2).iter().map(|said| header_job(said).2));
        }
        assert_eq!(roots.len(), jobs + 1, "{rate} hashes a second for {seconds} s");
        let count = roots.len();
        roots.sort_unstable();
        roots.dedup();
        assert_eq!(roots.len(), count, "no header twice");
    }
    let mut script = Script::ready(0);
    script.newest = Some(Arc::new(JobMaker { targets: hard, ..JobMaker::default() }.job()));
    script.open(Kind::Extended, 1e15, ANY_TARGET);
    assert!(script.wait(20).is_empty(), "an extranonce is enough for anybody");
}

#[test]
fn a_share_is_held_against_the_easier_of_two_targets_that_crossed() {
    let mut script = Script::ready(REQUIRES_STANDARD_JOBS);
    script.newest = Some(Arc::new(JobMaker { targets: EASY, ..JobMaker::default() }.job()));
    let said = script.open(Kind::Standard, 0.0, ANY_TARGET);
    let (channel, ..) = opened(&said[0]);
    let (job, ..) = header_job(&said[1]);
    script.session.channels.get_mut(&channel).expect("open").work.told = Difficulty::MAX;
    assert_eq!(accepted(&script.submit(channel, job, 1)).1, 1, "served at an easier one");
}

#[test]
fn a_proxys_channels_get_their_jobs_as_a_group() {
    let mut script = Script::ready(0);
    script.newest = Some(Arc::new(JobMaker { targets: EASY, branch_len: 1, ..JobMaker::default() }.job()));
    let first = script.open(Kind::Standard, 0.0, ANY_TARGET);
    let (one, group, prefix_one, _) = opened(&first[0]);
    assert_eq!(header_job(&first[1]).0, 1, "the first job is the channel's own");
    let second = script.open(Kind::Standard, 0.0, ANY_TARGET);
    let (two, same, prefix_two, _) = opened(&second[0]);
    assert!(group == same && prefix_one != prefix_two && ![one, two].contains(&group));

    let next = JobMaker {
        id: 2,
        prev_block: 3,
        height: 900_001,
        targets: EASY,
        branch_len: 1,
        ..JobMaker::default()
    };
    let said = script.job(next.clone());
    let [
        Said::Mining(MiningOwned::NewExtendedMiningJob(job)),
        Said::Mining(MiningOwned::SetNewPrevHash(tip)),
    ] = &said[..]
    else {
        panic!("{said:?}")
    };
    assert_eq!(
        (job.channel_id, tip.channel_id, tip.job_id, job.is_future()),
        (group, group, job.job_id, true)
    );
    for (channel, prefix) in [(one, &prefix_one), (two, &prefix_two)] {
        let coinbase =
            [job.coinbase_tx_prefix.as_bytes(), prefix, job.coinbase_tx_suffix.as_bytes()].concat();
        let txid = sha256d::Hash::hash(&coinbase).to_byte_array();
        let path: Vec<_> = job.merkle_path.iter().map(|hash| hash.to_array()).collect();
        let root = sha256d::Hash::hash(&[txid, path[0]].concat()).to_byte_array();
        assert_eq!(accepted(&script.submit(channel, job.job_id, 6)).1, 1);
        let expected = header_hash([3; 32], root, 0x1702_3456, &standard(channel, job.job_id, 6));
        assert_eq!(script.found.pop().expect("a share").candidate.id.0, expected);
    }
    // A third channel begins with its own, and with the next job all are one group.
    let third = script.open(Kind::Standard, 0.0, ANY_TARGET);
    assert_eq!(third.len(), 3);
    let said = script.job(JobMaker { id: 4, ..next });
    assert!(matches!(&said[..], [Said::Mining(MiningOwned::NewExtendedMiningJob(job))] if !job.is_future()));
    // Closing the group closes them all.
    let close = CloseChannelOwned { channel_id: group, reason_code: text("") };
    script.say(MiningOwned::CloseChannel(close));
    assert!(script.session.channels.is_empty());
}

#[test]
fn devices_that_want_standard_jobs_never_get_another() {
    let mut script = Script::ready(REQUIRES_STANDARD_JOBS);
    for _ in 0..3 {
        opened(&script.open(Kind::Standard, 0.0, ANY_TARGET)[0]);
    }
    let said = script.job(JobMaker { targets: EASY, ..JobMaker::default() });
    let jobs: Vec<_> =
        said.iter().filter(|said| matches!(said, Said::Mining(MiningOwned::NewMiningJob(_)))).collect();
    assert_eq!(jobs.len(), 3);
    let roots: std::collections::BTreeSet<_> = jobs.iter().map(|job| header_job(job).2).collect();
    assert_eq!(roots.len(), 3, "nobody does another's work");
    assert!(!said.iter().any(|said| matches!(said, Said::Mining(MiningOwned::NewExtendedMiningJob(_)))));
}

#[test]
fn a_slow_reader_gets_the_newest_job_only() {
    let mut script = Script::ready(0);
    script.newest = Some(Arc::new(JobMaker { targets: EASY, ..JobMaker::default() }.job()));
    script.open(Kind::Extended, 0.0, ANY_TARGET);
    for id in 2..50 {
        let job = Arc::new(JobMaker { id, targets: EASY, ..JobMaker::default() }.job());
        script.session.on_job(SeriesKey { owner: owner(1), class: 11 }, &job);
    }
    let said = script.output();
    assert!(matches!(&said[..], [Said::Mining(MiningOwned::NewExtendedMiningJob(job))] if job.job_id == 49));
}

#[test]
fn many_announcements_are_composed_piece_by_piece() {
    let mut script = Script::ready(REQUIRES_VERSION_ROLLING);
    let big = JobMaker { targets: EASY, outputs: 200, ..JobMaker::default() };
    // Different owners' channels are different groups, so each gets the whole coinbase.
    for _ in 0..40 {
        script.open(Kind::Extended, 0.0, ANY_TARGET);
    }
    let job = Arc::new(big.job());
    script.session.on_job(SeriesKey { owner: owner(1), class: 11 }, &job);
    let (mut total, mut pieces) = (0, 0);
    loop {
        let mut out = Vec::new();
        script.session.take_output(&mut out, script.now);
        if out.is_empty() {
            break;
        }
        assert!(out.len() < MOST_AT_ONCE + 20_000, "{}", out.len());
        total += split(&out).len();
        pieces += 1;
    }
    assert!(pieces > 2, "{pieces}");
    assert_eq!(total, 40 * 3, "target, job and tip for each");
}

#[test]
fn updates_change_the_target_and_impossible_ones_are_refused() {
    let mut script = Script::ready(0);
    let hard = Targets { network: target(10), block: target(10), share: target(10) };
    script.newest = Some(Arc::new(JobMaker { targets: hard, ..JobMaker::default() }.job()));
    let (channel, ..) = opened(&script.open(Kind::Extended, 0.0, ANY_TARGET)[0]);
    let mut update = |channel_id, nominal_hash_rate, maximum_target: [u8; 32]| {
        let maximum_target = maximum_target.into();
        script.say(MiningOwned::UpdateChannel(UpdateChannelOwned {
            channel_id,
            nominal_hash_rate,
            maximum_target,
        }))
    };
    let told = |said: &[Said]| match said {
        [Said::Mining(MiningOwned::SetTarget(set)), Said::Mining(MiningOwned::NewExtendedMiningJob(_))] => {
            set.maximum_target.to_array()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(told(&update(channel, 2_f32.powi(33), ANY_TARGET)), le(3));
    assert_eq!(told(&update(channel, 0.0, le(5))), le(5), "no easier than asked for");
    assert!(update(channel, 0.0, ANY_TARGET).is_empty(), "nothing to change");
    assert_eq!(told(&update(channel, 1e18, ANY_TARGET)), le(10), "no harder than the job allows");
    assert_eq!(refused(&update(channel, 0.0, le(11))), "max-target-out-of-range");
    assert_eq!(refused(&update(channel, f32::NAN, ANY_TARGET)), "invalid-nominal-hashrate");
    assert_eq!(refused(&update(99, 0.0, ANY_TARGET)), "invalid-channel-id");
}

#[test]
fn a_job_that_no_device_can_take_closes_nothing_but_is_no_harder_than_allowed() {
    let mut script = Script::ready(REQUIRES_STANDARD_JOBS);
    script.open(Kind::Standard, 0.0, le(30));
    let hard = Targets { network: target(10), block: target(10), share: target(10) };
    let said = script.job(JobMaker { targets: hard, ..JobMaker::default() });
    assert!(
        matches!(&said[0], Said::Mining(MiningOwned::SetTarget(set)) if set.maximum_target.to_array() == le(10))
    );
    assert_eq!(refused(&script.open(Kind::Standard, 0.0, le(30))), "max-target-out-of-range");
}

#[test]
fn goodbye_is_said_to_those_who_were_greeted() {
    let mut script = Script::new();
    script.session.say_goodbye();
    assert!(script.output().is_empty());
    let mut script = Script::ready(0);
    script.session.say_goodbye();
    let said = script.output();
    assert!(matches!(&said[..], [Said::Common(CommonMessagesOwned::Reconnect(to))]
        if to.new_port == 0 && to.new_host.as_bytes().is_empty()));
}

#[test]
fn custom_jobs_are_refused() {
    let mut script = Script::ready(0);
    let job = mining_sv2::SetCustomMiningJobOwned {
        channel_id: 1,
        request_id: 2,
        token: b"".try_into().expect("short"),
        version: 0,
        prev_hash: [0; 32].into(),
        min_ntime: 0,
        nbits: 0,
        coinbase_tx_version: 2,
        coinbase_prefix: b"".try_into().expect("short"),
        coinbase_tx_input_n_sequence: 0,
        coinbase_tx_outputs: b"".try_into().expect("short"),
        coinbase_tx_locktime: 0,
        merkle_path: binary_sv2::Seq0255Owned::new(Vec::new()).expect("short"),
    };
    assert_eq!(refused(&script.say(MiningOwned::SetCustomMiningJob(job))), "jd-not-supported");
}

#[test]
fn extended_channels_are_as_large_as_the_device_holds_and_standard_ones_as_large_as_any() {
    for (name, holds) in [("x", 11), ("Braiins OS 25", 38), ("WhatsMiner", 145), ("xminer-1.2", 360)] {
        let mut script = Script::device(name);
        script.open(Kind::Extended, 1.0, [0xff; 32]);
        script.open(Kind::Standard, 1.0, [0xff; 32]);
        let classes: Vec<u16> = script.session.channels.values().map(|channel| channel.key.class).collect();
        assert_eq!(classes, [holds, 360], "{name}");
    }
    let mut small = Script::device("a small one");
    let refused = small.open(Kind::Extended, 1.0, [0xff; 32]);
    assert!(
        matches!(&refused[..], [Said::Mining(MiningOwned::OpenMiningChannelError(error))]
            if error.error_code.as_bytes() == TOO_SMALL.as_bytes()),
        "{refused:?}"
    );
    small.open(Kind::Standard, 1.0, [0xff; 32]);
    assert_eq!(small.session.channels.len(), 1, "it need not see a coinbase for that");
}
