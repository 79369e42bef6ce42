//! What becomes of a connection all of whose work is refused.

use super::*;

/// A connection with two channels, and the number of the first one's job.
fn mining() -> (Script, [u32; 2], u32) {
    let mut script = Script::ready(0);
    let hard = Targets { network: Target::MIN, block: Target::MIN, share: Target::MIN };
    script.job(JobMaker { targets: hard, ..JobMaker::default() });
    let said = script.open(Kind::Standard, 0.0, ANY_TARGET);
    let (first, (job, ..)) = (opened(&said[0]).0, header_job(&said[1]));
    let second = opened(&script.open(Kind::Standard, 0.0, ANY_TARGET)[0]).0;
    (script, [first, second], job)
}

fn reconnects(said: &[Said]) -> usize {
    said.iter().filter(|said| matches!(said, Said::Common(CommonMessagesOwned::Reconnect(_)))).count()
}

#[test]
fn a_connection_with_nothing_but_refused_work_is_sent_away_and_then_closed() {
    let (mut script, [first, second], job) = mining();
    for nonce in 0..6 {
        assert_eq!(refused(&script.submit(first, job, nonce)), "difficulty-too-low");
        assert_eq!(refused(&script.submit(second, job + 99, nonce)), "invalid-job-id");
        assert_eq!(refused(&script.submit(99, job, nonce)), "invalid-channel-id");
    }
    assert_eq!(reconnects(&script.wait(118)), 0);
    assert_eq!(reconnects(&script.wait(2)), 1);
    assert_eq!(reconnects(&script.wait(58)), 0, "once");
    assert!(!script.closed);
    script.wait(2);
    assert!(script.closed);
}

#[test]
fn one_good_share_of_any_channel_makes_up_for_all() {
    let (mut script, [first, second], job) = mining();
    script.job(JobMaker { targets: EASY, id: 77, ..JobMaker::default() });
    (0..20).for_each(|nonce| drop(script.submit(first, job + 99, nonce)));
    accepted(&script.submit(second, 77, 1));
    assert_eq!(reconnects(&script.wait(400)), 0);
    assert!(!script.closed);
}
