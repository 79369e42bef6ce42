//! The node's numbers as Prometheus reads them (OpenMetrics text), put together when they are asked for.

use super::control::gather;
use super::form::Level;
use super::health::{Facts, Standing, health};
use super::read::account;
use super::reply::fault;
use super::routes::Shared;
use super::source::ask;
use crate::metrics::{Metrics, Taken, Timing};
use crate::refused::Reason;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use std::fmt::Error;

/// The form in which it is answered.
pub(super) const KIND: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) async fn metrics(shared: Shared) -> Response {
    let Some(node) = &shared.ports.node else {
        return fault(StatusCode::NOT_FOUND, "nothing is measured here");
    };
    let facts = gather(&shared, node).await;
    let chain = chain_gauges(&shared).await;
    let mut registry = Registry::with_prefix("commonwork");
    registry.register_collector(Box::new(Page { metrics: node.metrics.clone(), facts, chain }));
    let mut page = String::new();
    match text::encode(&mut page, &registry) {
        Ok(()) => ([(CONTENT_TYPE, KIND)], page).into_response(),
        Err(_) => fault(StatusCode::INTERNAL_SERVER_ERROR, "the numbers cannot be written"),
    }
}

/// What the chain shows at one moment.
#[derive(Debug, Default)]
struct ChainGauges {
    height: u32,
    tip_time: u32,
    bitcoin_height: u32,
    unlisted: usize,
    waiting: usize,
    window_score: f64,
    window_owners: u64,
    pool_hashes_per_second: f64,
}

/// None where there is no chain, or no answer of it.
async fn chain_gauges(shared: &Shared) -> Option<ChainGauges> {
    let source = shared.source.as_deref()?;
    let _permit = shared.questions.acquire().await.ok()?;
    let pool = account::pool(source, &shared.day, None).await.ok()?;
    ask(source, move |reader| {
        let chain = &reader.chain;
        Ok(ChainGauges {
            height: chain.height().0,
            tip_time: chain.block_at(chain.height()).map_or(0, |tip| tip.time.0),
            bitcoin_height: chain.headers().best().height.0,
            unlisted: chain.shares().len(),
            waiting: chain.waiting().len(),
            window_score: pool.window_score,
            window_owners: pool.window_owners,
            pool_hashes_per_second: pool.recent.hashes_per_second,
        })
    })
    .await
    .ok()
}

/// Everything that is shown.
#[derive(Debug)]
struct Page {
    metrics: Metrics,
    facts: Facts,
    chain: Option<ChainGauges>,
}

impl Collector for Page {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut writer = Writer(encoder);
        self.counts(&mut writer)?;
        self.times(&mut writer)?;
        self.of_node(&mut writer)?;
        self.chain.as_ref().map_or(Ok(()), |chain| of_chain(chain, &mut writer))
    }
}

impl Page {
    fn counts(&self, writer: &mut Writer<'_>) -> Result<(), Error> {
        let m = &self.metrics;
        let results =
            |accepted: u64, refused: u64| [("result", "accepted", accepted), ("result", "refused", refused)];
        let finders = |taken: &Taken| [("by", "own", taken.own.get()), ("by", "others", taken.others.get())];
        let refused = Reason::ALL.map(|reason| (reason.name(), m.submits_refused.of(reason)));
        let submits = [("accepted", &m.submits_accepted)].into_iter().chain(refused);
        let submits: Vec<_> = submits.map(|(result, counter)| ("result", result, counter.get())).collect();
        writer.counters("submits", "Work that miners handed in, by what they were answered", &submits)?;
        writer.counters(
            "shares",
            "Shares taken into the pool, by whose miners found them",
            &finders(&m.shares),
        )?;
        writer.counters(
            "share_blocks",
            "Share blocks taken, by whose miners found them",
            &finders(&m.share_blocks),
        )?;
        writer.counter(
            "reorganisations",
            "Changes of the share chain's active branch",
            m.reorganisations.get(),
        )?;
        writer.counter(
            "bitcoin_blocks",
            "Bitcoin blocks of the pool that were submitted",
            m.bitcoin_blocks.get(),
        )?;
        writer.counters(
            "bitcoin_block_answers",
            "Answers of bitcoinds to submitted blocks",
            &results(m.bitcoin_blocks_accepted.get(), m.bitcoin_blocks_refused.get()),
        )?;
        writer.counter("events_missed", "Events of the chain that were not counted", m.events_missed.get())
    }

    fn times(&self, writer: &mut Writer<'_>) -> Result<(), Error> {
        let m = &self.metrics;
        writer.timing(
            "submit_answer",
            "From a submit being taken up to its answer being ready",
            &m.submit_to_answer,
        )?;
        writer.timing("jobs", "From a new template or tip to jobs for everybody", &m.change_to_jobs)?;
        writer.timing(
            "share_relay",
            "From a gossiped share's or share block's arrival to its being passed on",
            &m.share_to_relay,
        )?;
        writer.timing(
            "bitcoin_block_answer",
            "From a found Bitcoin block to a bitcoind's answer",
            &m.block_to_answer,
        )
    }

    fn of_node(&self, writer: &mut Writer<'_>) -> Result<(), Error> {
        let facts = &self.facts;
        let version = [("version", env!("CARGO_PKG_VERSION"), 1.0)];
        writer.gauges("build", "The program's version", &version)?;
        writer.seconds("uptime", "Time since the node started", facts.uptime_seconds as f64)?;
        writer.gauge("miners", "Connected miners", facts.miners as f64)?;
        writer.gauge("serving", "1 where miners are let in", flag(facts.serving))?;
        let network = facts.network.clone().unwrap_or_default();
        let inbound = network.peers.saturating_sub(network.outbound);
        let peers = [("direction", "out", network.outbound as f64), ("direction", "in", inbound as f64)];
        writer.gauges("peers", "Connected nodes, by who dialed", &peers)?;
        let is_level = facts.network.is_none() || network.standing == Standing::Level;
        writer.gauge("level", "1 where no peer has a heavier share chain", flag(is_level))?;
        let up = facts.bitcoinds.iter();
        let up: Vec<_> =
            up.map(|b| ("bitcoind", b.name.as_str(), flag(b.template_height.is_some()))).collect();
        writer.gauges("bitcoind_up", "1 where a bitcoind gives templates", &up)?;
        if let Some(free) = facts.disk_free_bytes {
            writer.bytes("disk_free", "Room where the data folder is", free as f64)?;
        }
        if let Some(ahead) = facts.clock_ahead_seconds {
            writer.seconds(
                "clock_ahead",
                "How far the clock is ahead of the Bitcoin node's",
                ahead as f64,
            )?;
        }
        let items = health(facts).items;
        let count = |level| items.iter().filter(|item| item.level == level).count() as f64;
        let levels = [
            ("level", "alarm", count(Level::Alarm)),
            ("level", "warning", count(Level::Warning)),
            ("level", "notice", count(Level::Notice)),
        ];
        writer.gauges("health_items", "What should be looked at; /v1/health says what it is", &levels)
    }
}

fn of_chain(chain: &ChainGauges, writer: &mut Writer<'_>) -> Result<(), Error> {
    writer.gauge("share_chain_height", "Height of the share chain's tip", chain.height.into())?;
    writer.seconds(
        "share_chain_tip_timestamp",
        "When the tip's job was made, since 1970",
        chain.tip_time.into(),
    )?;
    writer.gauge("bitcoin_height", "Height of the newest Bitcoin header", chain.bitcoin_height.into())?;
    writer.gauge("unlisted_shares", "Valid shares that may still be listed", chain.unlisted as f64)?;
    writer.gauge("waiting_shares", "Shares that wait for what they build on", chain.waiting as f64)?;
    writer.gauge(
        "window_expected_bitcoin_blocks",
        "Work in the reward window, in expected Bitcoin blocks",
        chain.window_score,
    )?;
    writer.gauge("window_owners", "Owners with work in the reward window", chain.window_owners as f64)?;
    writer.gauge(
        "pool_hashes_per_second",
        "The pool's hash rate, by the work of the last day",
        chain.pool_hashes_per_second,
    )
}

fn flag(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

/// Writes one after the other. The suffixes for units and counters are added here, by the library.
struct Writer<'a>(DescriptorEncoder<'a>);

impl Writer<'_> {
    fn counter(&mut self, name: &str, says: &str, value: u64) -> Result<(), Error> {
        let mut encoder = self.0.encode_descriptor(name, says, None, MetricType::Counter)?;
        encoder.encode_counter::<NoLabelSet, u64, f64>(&value, None)
    }

    fn counters(&mut self, name: &str, says: &str, values: &[(&str, &str, u64)]) -> Result<(), Error> {
        let mut encoder = self.0.encode_descriptor(name, says, None, MetricType::Counter)?;
        values.iter().try_for_each(|(label, of, value)| {
            encoder.encode_family(&[(*label, *of)])?.encode_counter::<NoLabelSet, u64, f64>(value, None)
        })
    }

    fn gauge(&mut self, name: &str, says: &str, value: f64) -> Result<(), Error> {
        self.0.encode_descriptor(name, says, None, MetricType::Gauge)?.encode_gauge(&value)
    }

    fn gauges(&mut self, name: &str, says: &str, values: &[(&str, &str, f64)]) -> Result<(), Error> {
        let mut encoder = self.0.encode_descriptor(name, says, None, MetricType::Gauge)?;
        values
            .iter()
            .try_for_each(|(label, of, value)| encoder.encode_family(&[(*label, *of)])?.encode_gauge(value))
    }

    fn seconds(&mut self, name: &str, says: &str, value: f64) -> Result<(), Error> {
        self.0.encode_descriptor(name, says, Some(&Unit::Seconds), MetricType::Gauge)?.encode_gauge(&value)
    }

    fn bytes(&mut self, name: &str, says: &str, value: f64) -> Result<(), Error> {
        self.0.encode_descriptor(name, says, Some(&Unit::Bytes), MetricType::Gauge)?.encode_gauge(&value)
    }

    fn timing(&mut self, name: &str, says: &str, timing: &Timing) -> Result<(), Error> {
        let mut encoder =
            self.0.encode_descriptor(name, says, Some(&Unit::Seconds), MetricType::Histogram)?;
        let buckets = timing.buckets();
        let count = buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(timing.seconds(), count, &buckets, None)
    }
}
