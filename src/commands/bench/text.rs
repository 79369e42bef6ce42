//! The report of a bench as people read it.

use crate::bench::{Latency, Pace, Report, ServerUse, Settings};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Looks at the memory that are written out.
const LOOKS: usize = 2;

pub(super) fn report(settings: &Settings, report: &Report) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_report(&mut text, settings, report);
    text
}

fn write_report(out: &mut String, settings: &Settings, report: &Report) -> std::fmt::Result {
    let load = match settings.pace {
        Pace::Closed(outstanding) => format!("{outstanding} submits outstanding on each"),
        Pace::Open(rate) if rate > 0.0 => format!("{rate} submits a second on all"),
        Pace::Open(_) => "no submits".to_owned(),
    };
    writeln!(
        out,
        "{} connections to {}, {load}, {:.1} s",
        report.connections, settings.server, report.seconds
    )?;
    writeln!(out, "ready      {} of {} in {:.3} s", report.ready, report.connections, report.ready_seconds)?;
    reasons(out, "failed", &report.failed)?;
    reasons(out, "dropped", &report.dropped)?;
    let submits = &report.submits;
    if submits.answered > 0 {
        let (answered, accepted) = (submits.answered, submits.accepted);
        writeln!(
            out,
            "answers    {:.0} a second; {accepted} of {answered} submits accepted",
            submits.a_second
        )?;
        times(out, "latency", &report.latency)?;
    }
    reasons(out, "refused", &submits.refused)?;
    if submits.unmade > 0 {
        writeln!(out, "not made   {} submits: their connections took none", submits.unmade)?;
    }
    if let Some(late) = &report.late {
        times(out, "made late", late)?;
    }
    let fanout = &report.fanout;
    if fanout.jobs > 0 {
        let (jobs, p50, max) = (fanout.jobs, fanout.p50_ms, fanout.max_ms);
        writeln!(
            out,
            "jobs       {jobs} to every connection; first to last p50 {p50:.2} ms, max {max:.2} ms"
        )?;
    }
    if let Some(server) = &report.server {
        process(out, "server", server, submits.answered)?;
        memory(out, server)?;
    }
    report.own.as_ref().map_or(Ok(()), |own| process(out, "generator", own, submits.answered))
}

fn times(out: &mut String, name: &str, latency: &Latency) -> std::fmt::Result {
    let Latency { p50_ms, p95_ms, p99_ms, max_ms } = latency;
    writeln!(out, "{name:<10} p50 {p50_ms:.3} ms, p95 {p95_ms:.3} ms, p99 {p99_ms:.3} ms, max {max_ms:.1} ms")
}

fn reasons(out: &mut String, name: &str, counts: &BTreeMap<String, u64>) -> std::fmt::Result {
    counts.iter().try_for_each(|(reason, count)| writeln!(out, "{name:<10} {count}: {reason}"))
}

fn process(out: &mut String, name: &str, used: &ServerUse, answers: u64) -> std::fmt::Result {
    write!(out, "{name:<10} {:.2} cores", used.cores)?;
    if answers > 0 {
        write!(out, ", {:.1} µs of processor time an answer", used.us_per_submit)?;
    }
    writeln!(out, "; at most {} of memory", megabytes(used.most_memory))
}

/// Where it was at the beginning and the end, and all between when it was long.
fn memory(out: &mut String, used: &ServerUse) -> std::fmt::Result {
    if used.memory.len() <= LOOKS {
        return Ok(());
    }
    let looks = used.memory.iter().map(|look| format!("{:.0} s {}", look.seconds, megabytes(look.bytes)));
    writeln!(out, "memory     {}", looks.collect::<Vec<_>>().join(", "))
}

#[expect(clippy::cast_precision_loss, reason = "bytes for people to read")]
fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
