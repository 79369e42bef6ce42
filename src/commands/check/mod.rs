//! `commonwork check`: is everything that a node needs there, and if not, what is to be done.
//!
//! It looks and changes nothing. Each thing looked at gives one finding; one bad finding makes the whole bad.

mod daemon;
mod local;

use super::Outcome;
use super::output::{OutputError, print, print_json};
use crate::config::{Config, NetworkName, NodeArgs};
use clap::Args;
use serde::Serialize;
use sharechain::params::Network;
use std::io::IsTerminal;

/// Arguments of `check`.
#[derive(Clone, Debug, Default, Args)]
pub struct CheckArgs {
    /// What the node would be told.
    #[command(flatten)]
    pub node: NodeArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What was seen of one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    /// What was looked at.
    check: String,
    /// Whether it is as it should be.
    ok: bool,
    /// What was seen.
    seen: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    cure: Option<String>,
    /// Lines for bitcoin.conf that would help.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bitcoin_conf: Vec<String>,
}

impl Finding {
    fn good(check: impl Into<String>, seen: impl Into<String>) -> Self {
        Self { check: check.into(), ok: true, seen: seen.into(), cure: None, bitcoin_conf: vec![] }
    }

    fn bad(check: impl Into<String>, seen: impl Into<String>, cure: impl Into<String>) -> Self {
        let cure = Some(cure.into());
        Self { check: check.into(), ok: false, seen: seen.into(), cure, bitcoin_conf: vec![] }
    }

    fn with_lines(self, lines: &[&str]) -> Self {
        Self { bitcoin_conf: lines.iter().copied().map(str::to_owned).collect(), ..self }
    }
}

/// Looks at everything and reports.
pub async fn run(config: &Config, json: bool) -> Result<Outcome, OutputError> {
    let mut findings = local::look(config).await;
    for daemon in &config.bitcoinds {
        findings.extend(daemon::look(daemon, &config.place.params).await);
    }
    if matches!(config.place.network(), Network::Embedded { .. }) {
        findings.push(Finding::good(
            "bitcoind",
            "none needed: the embedded chain is for trying out, its coins are worth nothing",
        ));
    }
    let bad = findings.iter().filter(|finding| !finding.ok).count();
    if json {
        print_json(&findings)?;
    } else {
        let list = text(&findings, std::io::stdout().is_terminal());
        print(&(heading(config) + &list + &bitcoin_conf(&findings) + &summary(bad)))?;
    }
    Ok(if bad == 0 { Outcome::Good } else { Outcome::Bad })
}

fn heading(config: &Config) -> String {
    let params = &config.place.params;
    let chain = if config.solo {
        "none: solo mining, where nothing is shared".to_owned()
    } else {
        format!("{} ({})", params.name, params.chain_id())
    };
    let (network, folder) = (NetworkName::of(params.network), config.place.data_dir.display());
    format!("network   {network}\nchain     {chain}\ndata      {folder}\n\n")
}

fn text(findings: &[Finding], colour: bool) -> String {
    let width = findings.iter().map(|finding| finding.check.chars().count()).max().unwrap_or(0);
    let mark = |ok| match (ok, colour) {
        (true, false) => "ok  ",
        (false, false) => "FAIL",
        (true, true) => "\x1b[32mok  \x1b[0m",
        (false, true) => "\x1b[31mFAIL\x1b[0m",
    };
    let line = |finding: &Finding| {
        let first = format!("{} {:<width$}  {}\n", mark(finding.ok), finding.check, finding.seen);
        let cure = finding.cure.iter().map(|cure| format!("     {:<width$}  -> {cure}\n", ""));
        first + &cure.collect::<String>()
    };
    findings.iter().map(line).collect()
}

/// The lines for bitcoin.conf of all findings, each once.
fn bitcoin_conf(findings: &[Finding]) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for line in findings.iter().flat_map(|finding| &finding.bitcoin_conf) {
        if !lines.contains(&line.as_str()) {
            lines.push(line);
        }
    }
    if lines.is_empty() {
        return String::new();
    }
    let lines: String = lines.iter().map(|line| format!("     {line}\n")).collect();
    format!(
        "\nFor bitcoin.conf, where they are not in it already (bitcoind reads it when it starts):\n{lines}"
    )
}

fn summary(bad: usize) -> String {
    match bad {
        0 => "\nReady: start the node with `commonwork run` and the same options.\n".into(),
        1 => "\nNot ready: one thing is wrong.\n".into(),
        n => format!("\nNot ready: {n} things are wrong.\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cure_stands_under_what_it_cures() {
        let findings = [Finding::good("a", "fine"), Finding::bad("longer", "broken", "mend it")];
        let wanted = "ok   a       fine\nFAIL longer  broken\n             -> mend it\n";
        assert_eq!(text(&findings, false), wanted);
        assert_eq!(bitcoin_conf(&findings), "");
    }

    #[test]
    fn lines_for_bitcoin_conf_stand_together_and_once() {
        let lines = |check: &str, lines: &[&str]| Finding::good(check, "").with_lines(lines);
        let findings = [lines("a", &["server=1"]), lines("b", &["x=2", "server=1"]), lines("c", &[])];
        assert!(bitcoin_conf(&findings).ends_with("starts):\n     server=1\n     x=2\n"));
    }
}
