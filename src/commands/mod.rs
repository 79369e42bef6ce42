//! The command line: what can be asked for, and one module for each answer.
//!
//! A command writes what was asked for to standard output and everything else to standard error.

pub mod bench;
pub mod chain;
pub mod check;
pub mod completions;
pub mod demo;
pub mod history;
pub mod init;
pub mod man;
pub mod mine;
pub mod output;
pub mod payouts;
pub mod peers;
mod progress;
pub mod reader;
pub mod running;
pub mod simulate;
pub mod status;
mod table;

use crate::config::{NodeArgs, PlaceArgs};
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// A peer-to-peer Bitcoin mining pool without an operator
///
/// Every option may also be given in the environment (COMMONWORK_NETWORK for --network, and so on) or in a file of
/// settings (--config). An option wins over the environment, the environment over the file.
#[derive(Debug, Parser)]
#[command(name = "commonwork", version, propagate_version = true)]
pub struct Cli {
    /// Which chain.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// See whether this machine is ready to mine, and what to do if it is not
    Check(check::CheckArgs),
    /// Ask bitcoind what chain it is on, and write a file of settings that fits it
    Init(init::InitArgs),
    /// Run a node
    Run(NodeArgs),
    /// See it all work in one process: no bitcoind, no configuration, coins that are worth nothing
    Demo(demo::DemoArgs),
    /// Mine with this machine's processor, for trying out
    Mine(mine::MineArgs),
    /// Look at the share chain, export it, check it
    Chain(chain::ChainArgs),
    /// Tell what the coinbase of a share pays, or what the next Bitcoin block would
    Payouts(payouts::PayoutsArgs),
    /// Tell how the running node does, and where miners connect
    Status(status::StatusArgs),
    /// Tell what miners did, over hours and years
    History(history::HistoryArgs),
    /// List the nodes that the running node is connected to
    Peers(peers::PeersArgs),
    /// List the nodes that the running node refuses, or lift bans
    Bans(peers::BansArgs),
    /// Load a running server and tell what it takes
    Bench(bench::BenchArgs),
    /// Print what makes a shell complete this program's commands and options
    Completions(completions::CompletionsArgs),
    /// Write man pages of all commands into a folder
    Man(man::ManArgs),
    /// Simulate pools by a virtual clock, to see what the protocol does
    Simulate(simulate::SimulateArgs),
}

/// How a command that could be carried out ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Good,
    /// It did its work, and found something wrong.
    Bad,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Good => Self::SUCCESS,
            Outcome::Bad => Self::FAILURE,
        }
    }
}
