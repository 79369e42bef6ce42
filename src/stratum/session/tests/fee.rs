//! The operator's fee as a miner of Stratum v1 meets it.

use super::*;
use crate::work::fee::Fee;

/// Ids of jobs that are mined for the fee.
const FEE_IDS: u32 = 0x1000;

fn script(per_10_000: u16, fee_owner: u8, default_owner: u8) -> Script {
    let classes = PayoutClasses::new(&[11], []);
    let config = SessionConfig {
        default_owner: Some(owner(default_owner)),
        fee: Some(Fee::new(per_10_000, owner(fee_owner), None)),
        ..SessionConfig::new(Network::Main, classes, Arc::new(JobIds::starting_at(0x7000_0000)))
    };
    Script::of(Arc::new(config), Instant::now())
}

/// A job in both of its forms.
fn job(id: u32) -> Arc<Job> {
    let of = |id, n| JobMaker { id, owner: owner(n), targets: EASY, ..JobMaker::default() }.job();
    Arc::new(of(id, 1).with_fee(Arc::new(of(FEE_IDS + id, 9))))
}

/// The id of the job that is announced, and the line without it.
fn announced(lines: &[String]) -> (u32, String) {
    let line = lines.iter().find(|line| line.contains("mining.notify")).expect("a job");
    let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
    let id = value["params"][0].as_str().expect("text").to_owned();
    (u32::from_str_radix(&id, 16).expect("hex"), line.replace(&id, ""))
}

#[test]
fn the_fee_is_told_and_is_a_tenth_of_the_jobs() {
    let mut script = script(1_000, 9, 1);
    let said = script.log_in("test", "d=0").concat();
    let told = "This node takes a fee: 10 % of your work is mined for ";
    assert_eq!(said.matches("client.show_message").count(), 1, "{said}");
    assert!(said.contains(told), "{said}");
    assert!(!script.say(r#"{"id":3,"method":"mining.authorize","params":["rig.2",""]}"#)[0].contains(told));
    let (mut contents, mut for_fee) = (std::collections::BTreeSet::new(), 0);
    for id in 1..=40 {
        script.session.on_job(job(id));
        let (served, content) = announced(&script.output());
        assert!(served == id || served == FEE_IDS + id, "{served} for {id}");
        assert!(contents.insert(content), "the same work twice");
        for_fee += u32::from(served != id);
        for nonce in 0..6 {
            assert!(script.submit(served, nonce)[0].contains("\"result\":true"));
            let credited = if served == id { owner(1) } else { owner(9) };
            assert_eq!(*script.found().candidate.job.owner(), credited);
        }
    }
    assert_eq!(for_fee, 4);
    assert_eq!(script.snapshot().tally.accepted, 240);
}

#[test]
fn what_is_announced_again_stays_what_it_was() {
    let mut script = script(10_000, 9, 1);
    script.log_in("test", "d=0");
    script.session.on_job(job(1));
    assert_eq!(announced(&script.output()).0, FEE_IDS + 1);
    let (again, _) = announced(&script.wait(30));
    script.submit(again, 1);
    assert_eq!(*script.found().candidate.job.owner(), owner(9));
}

#[test]
fn the_operators_own_hardware_pays_nothing_and_is_told_nothing() {
    let mut script = script(10_000, 1, 1);
    let said = script.log_in("test", "d=0").concat();
    assert!(!said.contains("client.show_message"), "{said}");
    // As the builder of jobs has it for those who pay nothing.
    script.session.on_job(Arc::new(JobMaker { targets: EASY, ..JobMaker::default() }.job()));
    assert_eq!(announced(&script.output()).0, 1);
}
