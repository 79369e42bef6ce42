//! The operator's fee as miners of Stratum V2 meet it.

use super::*;
use crate::work::fee::Fee;

/// Ids of jobs that are mined for the fee.
const FEE_IDS: u32 = 0x1000;

/// A job in both of its forms, to all channels; the ids told, each with whom it was told to.
fn publish(script: &mut Script, id: u32) -> Vec<(u32, u32)> {
    let of = |id, n| JobMaker { id, owner: owner(n), targets: EASY, ..JobMaker::default() }.job();
    let job = Arc::new(of(id, 1).with_fee(Arc::new(of(FEE_IDS + id, 9))));
    script.newest = Some(Arc::clone(&job));
    for class in [11, 360] {
        script.session.on_job(SeriesKey { owner: owner(1), class }, &job);
    }
    let told = |said: Said| match said {
        Said::Mining(MiningOwned::NewMiningJob(job)) => Some((job.job_id, job.channel_id)),
        Said::Mining(MiningOwned::NewExtendedMiningJob(job)) => Some((job.job_id, job.channel_id)),
        _ => None,
    };
    script.output().into_iter().filter_map(told).collect()
}

/// A session with a fee, and the ids of two channels in one group, and of the group.
fn two_channels(flags: u32, per_10_000: u16) -> (Script, u32, u32, u32) {
    let mut script = Script::with_fee(Some(Fee::new(per_10_000, owner(9), None)));
    script.set_up(0, (2, 2), flags);
    let (one, group, ..) = opened(&script.open(Kind::Standard, 0.0, ANY_TARGET)[0]);
    let (two, ..) = opened(&script.open(Kind::Standard, 0.0, ANY_TARGET)[0]);
    publish(&mut script, 1);
    (script, one, two, group)
}

#[test]
fn each_channel_mines_its_own_tenth_for_the_fee() {
    let (mut script, one, two, _) = two_channels(REQUIRES_STANDARD_JOBS, 1_000);
    let mut for_fee = [0, 0];
    for id in 2..=41 {
        let told = publish(&mut script, id);
        for (which, channel) in [one, two].into_iter().enumerate() {
            let (job, _) = *told.iter().find(|(_, to)| *to == channel).expect("a job for each");
            assert!(job == id || job == FEE_IDS + id, "{job} for {id}");
            for_fee[which] += u32::from(job != id);
            for nonce in 0..6 {
                accepted(&script.submit(channel, job, nonce));
                let found = script.found.pop().expect("an easy share");
                assert_eq!(*found.candidate.job.owner(), if job == id { owner(1) } else { owner(9) });
            }
        }
    }
    // Of forty, give or take one for where in its cycle a channel began.
    assert!(for_fee.iter().all(|count| (3..=5).contains(count)), "{for_fee:?}");
}

#[test]
fn a_group_is_told_together_unless_some_of_it_mine_for_the_fee() {
    let (mut script, one, two, group) = two_channels(0, 5_000);
    let (mut together, mut apart) = (0, 0);
    for id in 2..=9 {
        let told = publish(&mut script, id);
        let job_of = |channel| {
            told.iter().find(|(_, to)| [channel, group].contains(to)).map(|(job, _)| *job).expect("a job")
        };
        let (of_one, of_two) = (job_of(one), job_of(two));
        match &told[..] {
            [(_, to)] => {
                assert_eq!(*to, group);
                together += 1;
            }
            told => {
                assert_eq!(told.len(), 2);
                assert_ne!(of_one, of_two);
                apart += 1;
            }
        }
        // Only the first works, and so only the first changes between the two.
        for nonce in 0..6 {
            submit_last(&mut script, one, nonce);
        }
    }
    assert!(together >= 3 && apart >= 3, "{together} {apart}");
}

/// A share of the job that a channel has, in whichever form it was told.
fn submit_last(script: &mut Script, channel: u32, nonce: u32) {
    let served = script.session.channels[&channel].work.jobs.last().expect("a job").clone();
    if served.extranonce.is_some() {
        accepted(&script.submit(channel, served.id.0, nonce));
    } else {
        panic!("a standard channel hashes headers");
    }
}
