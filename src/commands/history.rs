//! `commonwork history`: what miners did, over hours and years, and what they were paid, as the running node has it.

use super::Outcome;
use super::output::{OutputError, print, print_json};
use super::running::{self, NoNode};
use super::status::{difficulty, plain};
use super::table::{Column, Table};
use crate::api::form::HistoryForm;
use crate::api::{Client, ClientError};
use crate::chain::now;
use crate::config::Place;
use clap::Args;
use indicatif::HumanDuration;
use std::time::Duration;
use thiserror::Error;

mod payments;

const HOUR: u64 = 3_600;
/// Payments that are listed for people.
const LISTED: u32 = 50;
/// And for programs; the table has more.
const MOST_LISTED: u32 = 1_000;

/// Arguments of `history`.
#[derive(Clone, Debug, Args)]
pub struct HistoryArgs {
    /// Of what: node (all its miners), pool (everybody's), or worker:NAME
    #[arg(default_value = "node")]
    pub series: String,
    /// How far back, in hours: six in half minutes, 72 in five minutes, two weeks in half hours, 90 days in two hours,
    /// ten years in days
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub hours: u32,
    /// What Bitcoin blocks paid the owners that this node works for, and when it can be spent, instead
    #[arg(long, conflicts_with_all = ["series", "hours"])]
    pub payments: bool,
    /// Print a table for other programs; its times are seconds since 1970
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Why the command could not be carried out.
#[derive(Debug, Error)]
pub enum HistoryError {
    /// Nobody to ask.
    #[error(transparent)]
    NoNode(#[from] NoNode),
    /// The running node gave no answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The answer cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// Tells the history of a series, or of payments.
pub async fn run(place: &Place, args: &HistoryArgs) -> Result<Outcome, HistoryError> {
    let (client, seconds) = (running::find(place)?, u64::from(args.hours) * HOUR);
    if args.payments {
        return payments(&client, args).await;
    }
    if args.csv {
        print(&client.history_csv(&args.series, seconds).await?)?;
        return Ok(Outcome::Good);
    }
    let form = client.history(&args.series, seconds).await?;
    if args.json {
        print_json(&form)?
    } else {
        print(&text(&form, u64::from(now().0)))?
    }
    Ok(Outcome::Good)
}

async fn payments(client: &Client, args: &HistoryArgs) -> Result<Outcome, HistoryError> {
    if args.csv {
        print(&client.payments_csv().await?)?;
        return Ok(Outcome::Good);
    }
    let form = client.payments(None, if args.json { MOST_LISTED } else { LISTED }).await?;
    if args.json {
        print_json(&form)?
    } else {
        print(&payments::text(&form, u64::from(now().0)))?
    }
    Ok(Outcome::Good)
}

fn text(form: &HistoryForm, now: u64) -> String {
    if form.points.is_empty() {
        return format!("nothing is known of {} in that time\n", form.series);
    }
    let mut table = Table::new([
        Column::Left("ago"),
        Column::Right("hashes/s"),
        Column::Right("accepted"),
        Column::Right("refused"),
        Column::Right("miners"),
        Column::Right("best share"),
    ]);
    for point in &form.points {
        table.row([
            HumanDuration(Duration::from_secs(now.saturating_sub(point.time))).to_string(),
            format!("{:.3e}", point.hash_rate),
            point.accepted.to_string(),
            point.refused.total().to_string(),
            point.miners.to_string(),
            difficulty(point.best_difficulty),
        ]);
    }
    let best = form.best.as_ref().map_or_else(String::new, |best| {
        let ago = HumanDuration(Duration::from_secs(now.saturating_sub(best.time)));
        format!("\nbest share ever: {} by {}, {ago} ago\n", difficulty(best.difficulty), plain(&best.worker))
    });
    table.text() + &best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::form::{BestForm, PointForm};
    use crate::history::point::{Point, Refused};

    #[test]
    fn each_point_is_a_line_and_none_is_said() {
        let refused = Refused { stale: 1, repeated: 2, ..Refused::default() };
        let point =
            Point { seconds: 30, hashes: 45e12, accepted: 7, refused, miners: 2, best_difficulty: 1.0 };
        let points = vec![PointForm::new(1_000, &point)];
        let best = Some(BestForm { difficulty: 4.5e9, time: 1_000, worker: "rig".into() });
        let form = HistoryForm { best, series: "node".into(), step: 30, points };
        assert_eq!(
            text(&form, 1_120),
            "ago        hashes/s  accepted  refused  miners  best share\n\
             2 minutes  1.500e12         7        3       2        1.00\n\n\
             best share ever: 4.50G by rig, 2 minutes ago\n"
        );
        let nothing = HistoryForm { points: Vec::new(), ..form };
        assert_eq!(text(&nothing, 0), "nothing is known of node in that time\n");
    }
}
