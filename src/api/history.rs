//! The part of the interface that is about the past.

use super::form::{BestForm, HistoryForm, PointForm, SeriesForm, SeriesListForm};
use super::reply::{Asked, fault, form};
use super::routes::Shared;
use crate::chain::now;
use crate::history::keeper::{Bests, HistoryHandle, NoHistory, Points, Wanted};
use crate::history::tier::Tier;
use crate::history::{Series, csv};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use std::sync::Arc;

/// How far back one looks unless more is asked for, in seconds.
const USUAL: u64 = 6 * 3_600;

#[derive(Deserialize)]
pub(super) struct Question {
    series: Option<String>,
    seconds: Option<u64>,
}

/// A series up to now, as finely as is known all the way back.
pub(super) async fn history(shared: Shared, Asked(question): Asked<Question>) -> Response {
    match points(&shared, question).await {
        Ok((wanted, points)) => form(HistoryForm {
            best: best(&shared).get(&wanted.series).cloned().map(BestForm::from),
            series: wanted.series.to_string(),
            step: wanted.tier.step,
            points: points.iter().map(|(time, point)| PointForm::new(*time, point)).collect(),
        }),
        Err(refusal) => refusal,
    }
}

/// The same as a table.
pub(super) async fn history_csv(shared: Shared, Asked(question): Asked<Question>) -> Response {
    match points(&shared, question).await {
        Ok((_, points)) => {
            let text = [csv::HEADER, &csv::lines(&points)].concat();
            ([(CONTENT_TYPE, "text/csv; charset=utf-8")], text).into_response()
        }
        Err(refusal) => refusal,
    }
}

/// The best share of each series; of none where there is no history.
pub(super) fn best(shared: &Shared) -> Arc<Bests> {
    shared.ports.history.as_ref().map(HistoryHandle::best).unwrap_or_default()
}

/// All series.
pub(super) async fn series(shared: Shared) -> Response {
    let Some(history) = &shared.ports.history else { return none() };
    match history.list().await {
        Ok(list) => {
            let series = list.into_iter().map(|(name, last)| SeriesForm { name: name.to_string(), last });
            form(SeriesListForm { series: series.collect() })
        }
        Err(error) => refuse(&error),
    }
}

async fn points(shared: &Shared, question: Question) -> Result<(Wanted, Points), Response> {
    let history = shared.ports.history.as_ref().ok_or_else(none)?;
    let series = question.series.map_or(Ok(Series::Node), |name| name.parse());
    let series = series.map_err(|error| fault(StatusCode::BAD_REQUEST, &error.to_string()))?;
    let seconds = question.seconds.unwrap_or(USUAL);
    let to = u64::from(now().0);
    let wanted = Wanted { series, tier: Tier::reaching(seconds), from: to.saturating_sub(seconds), to };
    let points = history.read(wanted.clone()).await.map_err(|error| refuse(&error))?;
    Ok((wanted, points))
}

fn none() -> Response {
    fault(StatusCode::NOT_FOUND, "this node keeps no history; its log says why")
}

fn refuse(error: &NoHistory) -> Response {
    let status = match error {
        NoHistory::Closed => StatusCode::SERVICE_UNAVAILABLE,
        NoHistory::Unreadable(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    fault(status, &error.to_string())
}
