//! The numbers for Prometheus: served by the conventions, and those that the documents name are there.

use super::network::{Served, served_on};
use super::raw::{ask, body, status};
use crate::support::rig::Rig;
use commonwork::api::health::{BitcoindFacts, Facts};
use commonwork::refused::Reason;
use std::collections::BTreeSet;
use std::time::Duration;

async fn page(served: &Served) -> String {
    let answer = ask(served.client.address(), "GET /metrics", &[]).await;
    assert_eq!(status(&answer), Some(200), "{answer}");
    assert!(answer.to_lowercase().contains("content-type: application/openmetrics-text"), "{answer}");
    body(&answer).to_owned()
}

async fn with_all_there_is() -> Served {
    let mut rig = Rig::new();
    rig.share(1);
    rig.block(2);
    let served = served_on(rig).await;
    *served.facts.lock().expect("whole") = Facts {
        serving: true,
        bitcoinds: vec![BitcoindFacts {
            name: "http://one:8332".into(),
            template_height: Some(1),
            error: None,
        }],
        disk_free_bytes: Some(1 << 40),
        clock_ahead_seconds: Some(-2),
        ..Facts::default()
    };
    served
}

/// The names of metrics that a text speaks of.
fn named(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let names = text
        .match_indices("commonwork_")
        .map(|(at, _)| text[at..].chars().take_while(|c| is_name(*c)).collect::<String>());
    names.filter(|name| !name.ends_with('_')).collect()
}

#[tokio::test]
async fn numbers_are_served_by_the_conventions() {
    let served = with_all_there_is().await;
    let metrics = &served.metrics;
    metrics.submits_accepted.add(5);
    metrics.submits_refused.of(Reason::Stale).count();
    metrics.submit_to_answer.observe(Duration::from_micros(60));
    metrics.submit_to_answer.observe(Duration::from_secs(60));
    metrics.shares.others.add(2);
    metrics.shares.own.count();
    let page = page(&served).await;
    for line in [
        "# TYPE commonwork_submits counter",
        "commonwork_submits_total{result=\"accepted\"} 5",
        "commonwork_submits_total{result=\"stale\"} 1",
        "commonwork_shares_total{by=\"own\"} 1",
        "commonwork_shares_total{by=\"others\"} 2",
        "# UNIT commonwork_submit_answer_seconds seconds",
        "# TYPE commonwork_submit_answer_seconds histogram",
        "commonwork_submit_answer_seconds_count 2",
        "commonwork_submit_answer_seconds_bucket{le=\"0.00005\"} 0",
        "commonwork_submit_answer_seconds_bucket{le=\"0.0001\"} 1",
        "commonwork_submit_answer_seconds_bucket{le=\"10.0\"} 1",
        "commonwork_submit_answer_seconds_bucket{le=\"+Inf\"} 2",
        "commonwork_bitcoind_up{bitcoind=\"http://one:8332\"} 1.0",
        "commonwork_clock_ahead_seconds -2.0",
        "commonwork_share_chain_height 1.0",
        "commonwork_health_items{level=\"warning\"} 1.0",
        "# EOF",
    ] {
        assert!(page.lines().any(|other| other == line), "{line:?} is not in:\n{page}");
    }
    // One description for each, before its numbers.
    let described: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|l| l.split(' ').next())
        .collect();
    assert_eq!(described.iter().collect::<BTreeSet<_>>().len(), described.len());
    assert!(described.iter().all(|name| page.contains(&format!("# HELP {name} "))));
}

#[tokio::test]
async fn the_board_and_the_documents_name_what_is_served() {
    let page = page(&with_all_there_is().await).await;
    let samples = named(&page.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n"));
    let read = |path: &str| {
        std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).expect("a file")
    };
    let board: serde_json::Value = serde_json::from_str(&read("docs/grafana.json")).expect("JSON");
    let panels = board["panels"].as_array().expect("panels");
    assert!(panels.len() > 10);
    for panel in panels {
        for target in panel["targets"].as_array().expect("targets") {
            let names = named(target["expr"].as_str().expect("an expression"));
            assert!(!names.is_empty(), "{target}");
            for name in names {
                assert!(samples.contains(&name), "{}: {name} is not served", panel["title"]);
            }
        }
    }
    let documented = named(&read("docs/api.md"));
    for name in &documented {
        assert!(samples.contains(name) || samples.contains(&format!("{name}_count")), "{name} is not served");
    }
    let families =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")).filter_map(|l| l.split(' ').next());
    for family in families {
        let is_told = documented.contains(family) || documented.contains(&format!("{family}_total"));
        assert!(is_told, "{family} is not in docs/api.md");
    }
}
