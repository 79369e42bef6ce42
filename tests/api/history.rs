//! The past, asked of the real server.

use super::network::served_on;
use super::raw::{ask, body};
use crate::support::rig::Rig;
use commonwork::api::ClientError;
use commonwork::history::Series;
use commonwork::history::keeper::{HistoryHandle, start};
use commonwork::history::point::{Point, Refused};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

const RIG: &str = "rig 1/ä&b";

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// A history of a minute more than an hour ago, and of one a week ago.
pub(crate) async fn some(folder: &Path) -> HistoryHandle {
    let history = start(&folder.join("history")).expect("it opens");
    let refused = Refused { stale: 2, ..Refused::default() };
    let point = Point { seconds: 30, hashes: 6e13, accepted: 8, refused, miners: 1, best_difficulty: 512.0 };
    let series = [Series::Node, Series::worker(RIG), Series::worker("rig 1")];
    let points: BTreeMap<_, _> = series.into_iter().map(|series| (series, point)).collect();
    for ago in [7 * 86_400, 4_000, 3_970] {
        history.add(now() - ago, points.clone()).await.expect("it runs");
    }
    history
}

#[tokio::test]
async fn a_series_is_told_as_finely_as_it_is_known_for_that_long() {
    let served = served_on(Rig::new()).await;
    let name = format!("worker:{RIG}");
    let hours = served.client.history(&name, 6 * 3_600).await.expect("an answer");
    assert_eq!((hours.series.as_str(), hours.step, hours.points.len()), (name.as_str(), 30, 2));
    let point = &hours.points[0];
    assert_eq!((point.seconds, point.hash_rate, point.accepted, point.refused.stale), (30, 2e12, 8, 2));
    assert_eq!((point.miners, point.best_difficulty), (1, 512.0));
    let weeks = served.client.history("node", 14 * 86_400).await.expect("an answer");
    assert_eq!(weeks.step, 1_800);
    assert_eq!(weeks.points.iter().map(|point| point.accepted).sum::<u64>(), 24);
    let nothing = served.client.history("pool", 3_600).await.expect("an answer");
    assert!(nothing.points.is_empty());
    let wrong = served.client.history("rig", 3_600).await;
    assert!(matches!(wrong, Err(ClientError::Refused(why)) if why.contains("worker:NAME")));

    let listed = ask(served.client.address(), "GET /v1/history/series", &[]).await;
    let listed: serde_json::Value = serde_json::from_str(body(&listed)).expect("JSON");
    let names: Vec<_> =
        listed["series"].as_array().expect("a list").iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["node", "worker:rig 1", &name]);
    assert!(listed["series"][0]["last"].as_u64().expect("a time") <= now() - 3_970);
}

#[tokio::test]
async fn the_table_says_the_same_and_a_node_without_a_history_says_so() {
    let served = served_on(Rig::new()).await;
    let told = served.client.history("node", 6 * 3_600).await.expect("an answer");
    let table = served.client.history_csv("node", 6 * 3_600).await.expect("an answer");
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!((rows[0][0], rows[0][2], rows.len()), ("time", "hashes_per_second", 3));
    for (row, point) in rows[1..].iter().zip(&told.points) {
        assert_eq!(row[0].parse(), Ok(point.time));
        assert_eq!(row[2].parse(), Ok(point.hash_rate));
        assert_eq!((row[3].parse(), row[4].parse()), (Ok(point.accepted), Ok(point.refused.stale)));
    }
    let (without, _stop) = super::serve_rig(Rig::new()).await;
    let refused = without.history("node", 60).await;
    assert!(matches!(refused, Err(ClientError::Refused(why)) if why.contains("keeps no history")));
}
