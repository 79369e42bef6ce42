//! Short simulated networks: seconds each, by fixed seeds, held to what must be so in every run. The long runs, whose
//! figures are in `docs/simulation.md`, are made by command.

mod command;
mod expected;
mod rewards;

use commonwork::simulate::report::Traffic;
use commonwork::simulate::{Carrier, Partition, RunReport, Settings, Strategist, Strategy, World};

/// Eight nodes, with an hour to find the block target.
fn settings(seed: u64, hours: f64) -> Settings {
    Settings { nodes: 8, hours: 1.0 + hours, warm_up_hours: 1.0, seed, ..Settings::default() }
}

fn run(settings: &Settings) -> RunReport {
    let mut world = World::new(settings).expect("a chain");
    world.run_to(f64::INFINITY);
    RunReport::new(&world.finish())
}

fn bytes(report: &RunReport) -> String {
    serde_json::to_string(report).expect("JSON")
}

/// What holds in every run of honest nodes.
fn assert_all_is_paid(report: &RunReport) {
    assert!(report.shares > 300, "{} shares are no run", report.shares);
    assert_eq!(report.unpaid, 0, "a share whose base is on the winning chain is paid");
    assert_eq!(report.wrong_credits, 0, "each block credits what was mined, to whom it is due");
    assert_eq!((&report.own_refused, &report.refused, &report.bans), (&vec![], &vec![], &vec![]));
}

#[test]
fn a_seed_names_a_run() {
    for carrier in [Carrier::Relayed, Carrier::Direct] {
        let short = |seed| Settings { warm_up_hours: 0.1, hours: 0.4, ..settings(seed, 0.0) };
        let of = |seed| bytes(&run(&Settings { nodes: 5, carrier, ..short(seed) }));
        let first = of(1);
        assert!(first == of(1), "the same seed gives the same bytes");
        assert!(first != of(2), "another seed gives other figures");
    }
}

#[test]
fn many_nodes_keep_one_chain_and_pay_every_share() {
    for carrier in [Carrier::Relayed, Carrier::Direct] {
        let report = run(&Settings { carrier, ..settings(3, 1.0) });
        assert_all_is_paid(&report);
        assert_eq!((report.lost, report.unpaid_part), (0, 0.0));
        // 120 intervals: the mean's own standard deviation is 2.7 s.
        assert!((22.0..38.0).contains(&report.spacing_mean), "{}", report.spacing_mean);
        assert!((20.0..40.0).contains(&report.spacing_deviation), "{}", report.spacing_deviation);
        assert!(report.losing_part < 0.04, "{}", report.losing_part);
        assert!(report.reorganisations.iter().all(|(depth, _)| *depth <= 2), "{:?}", report.reorganisations);
        for (part, fairness) in &report.miners {
            assert!((0.98..1.02).contains(fairness), "a miner with {part}: {fairness}");
        }
        if carrier == Carrier::Relayed {
            assert_traffic_is_as_promised(&report.traffic);
        }
    }
}

/// Of messages as large as those of a full pool, to and from a node with as many peers as there are.
fn assert_traffic_is_as_promised(traffic: &Traffic) {
    assert!((500.0..1_000.0).contains(&traffic.share_bytes), "{traffic:?}");
    assert!(traffic.up.0 > 1_000.0 && traffic.up.1 < 20_000.0, "{traffic:?}");
    assert!(traffic.down.0 > 1_000.0 && traffic.down.1 < 20_000.0, "{traffic:?}");
    assert!(traffic.copies > 1.0 && traffic.copies < 8.0, "{traffic:?}");
}

#[test]
fn a_split_heals_and_nobody_on_the_winning_chain_goes_unpaid() {
    let partition = |minutes| Partition { start_minute: 70.0, minutes, fraction: 0.5 };
    for (carrier, minutes) in [(Carrier::Relayed, 30.0), (Carrier::Direct, 8.0)] {
        let report = run(&Settings { carrier, partitions: vec![partition(minutes)], ..settings(5, 1.7) });
        assert_all_is_paid(&report);
        let deepest = report.reorganisations.iter().map(|(depth, _)| *depth).max();
        assert!(deepest > Some(5), "both sides went on: {:?}", report.reorganisations);
        let heal = report.heals[0];
        assert!(heal.blocks.is_some_and(|blocks| blocks <= 10), "{heal:?}");
        if minutes < 10.0 {
            assert_eq!((report.outdated, report.lost), (0, 0), "a short one costs nobody anything");
        }
    }
}

#[test]
#[ignore = "minutes of processor time"]
fn nodes_that_come_and_go_catch_up() {
    let report = run(&Settings { churn_hours: Some(0.5), ..settings(6, 1.0) });
    assert_all_is_paid(&report);
    assert!(report.reorganisations.iter().all(|(depth, _)| *depth < 32), "{:?}", report.reorganisations);
}

#[test]
fn withholding_blocks_gains_next_to_nothing() {
    let selfish = Strategist { fraction: 0.35, strategy: Strategy::Selfish };
    let report = run(&Settings { carrier: Carrier::Direct, strategists: vec![selfish], ..settings(7, 2.0) });
    assert_all_is_paid(&report);
    assert!(report.losing_part > 0.1, "it does void others' blocks: {}", report.losing_part);
    let figures = report.strategists[0];
    assert!((0.3..0.4).contains(&figures.work_part), "{figures:?}");
    assert!(figures.gain.abs() < 0.01, "{figures:?}");
}

#[test]
#[ignore = "minutes of processor time"]
fn false_times_leave_the_spacing() {
    for strategy in [Strategy::LowestTime, Strategy::ZigzagTime] {
        let liar = Strategist { fraction: 0.35, strategy };
        let carrier = Carrier::Direct;
        let report = run(&Settings { carrier, strategists: vec![liar], ..settings(8, 2.0) });
        assert_all_is_paid(&report);
        assert!((23.0..37.0).contains(&report.spacing_mean), "{strategy:?}: {}", report.spacing_mean);
    }
}

#[test]
#[ignore = "minutes of processor time"]
fn picking_gains_no_more_than_the_bound() {
    let report = run(&Settings { nodes: 16, carrier: Carrier::Direct, ..settings(9, 3.0) });
    // A dozen Bitcoin blocks or so: the means are rough.
    assert!(report.picking.iter().any(|picking| picking.by_class > 0.0), "{:?}", report.picking);
    assert!(report.picking.iter().all(|picking| picking.by_class < 0.06), "{:?}", report.picking);
}
