//! The beginning and the end of a channel, where what was asked for and what happens meanwhile cross.

use super::*;
use crate::stratum::served::MAX_AGE;

#[test]
fn closed_channels_are_remembered_as_long_as_their_jobs() {
    let blocks = Targets { network: Target::MAX, block: Target::MIN, share: Target::MIN };
    let mut script = Script::ready(REQUIRES_STANDARD_JOBS);
    script.newest = Some(Arc::new(JobMaker { targets: blocks, ..JobMaker::default() }.job()));
    let opened: Vec<(u32, u32)> = (0..100)
        .map(|_| {
            let said = script.open(Kind::Standard, 0.0, ANY_TARGET);
            (opened(&said[0]).0, header_job(&said[1]).0)
        })
        .collect();
    opened.iter().for_each(|(channel, _)| close(&mut script, *channel));
    let (channel, job) = opened[0];
    script.submit(channel, job, 1);
    assert!(script.found.pop().expect("a Bitcoin block").verdict.bitcoin_block);
    script.wait(u32::try_from(MAX_AGE.as_secs()).expect("short") + 4);
    script.submit(channel, job, 2);
    assert!(script.found.is_empty());
}

/// Whoever opens a channel of a series that the connection listens to already is given the newest job, and that may be
/// on its way too.
#[test]
fn a_job_that_is_published_while_a_channel_opens_is_announced_to_it_once() {
    let mut script = Script::ready(REQUIRES_STANDARD_JOBS);
    let easy = JobMaker { targets: EASY, ..JobMaker::default() };
    script.newest = Some(Arc::new(easy.clone().job()));
    script.open(Kind::Standard, 0.0, ANY_TARGET);
    let published = Arc::new(JobMaker { id: 2, ..easy.clone() }.job());
    script.newest = Some(Arc::clone(&published));
    let said = script.open(Kind::Standard, 0.0, ANY_TARGET);
    let (second, ..) = opened(&said[0]);
    assert_eq!(header_job(&said[1]).0, 2);
    let channels: Vec<u32> = script.session.channels.keys().copied().collect();
    script.session.on_job(script.session.channels[&second].key, &published);
    let said = script.output();
    assert!(
        matches!(&said[..], [Said::Mining(MiningOwned::NewMiningJob(job))] if job.channel_id == channels[0]),
        "only the other has it to come: {said:?}"
    );
    let next = script.job(JobMaker { id: 3, ..easy });
    assert_eq!(next.len(), 2, "and both have the next: {next:?}");
}
