//! The program: arguments to settings, settings to a command, its end to an exit code.

use anyhow::Result;
use clap::Parser;
use commonwork::commands::{
    Cli, Command, Outcome, bench, chain, check, completions, demo, history, init, man, mine, output, payouts,
    peers, simulate, status,
};
use commonwork::config::{self, Config, LogFormat, Place};
use commonwork::{logging, node, shutdown};
use std::process::ExitCode;
use tracing::level_filters::LevelFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ended = runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run(cli)));
    match ended {
        Ok(code) => code,
        // Whoever read the output, such as `head`, has seen enough.
        Err(error) if output::is_closed(error.as_ref()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", whole_text(&error));
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<ExitCode> {
    let file = config::read_file(&cli.place)?;
    let stop = shutdown::on_signal();
    let place = || -> Result<Place> {
        let place = Place::new(&cli.place, &file)?;
        logging::start(place.log_format, LevelFilter::WARN)?;
        Ok(place)
    };
    let ended = match cli.command {
        Command::Check(args) => {
            let config = Config::new(&cli.place, &args.node, &file)?;
            logging::start(config.place.log_format, LevelFilter::WARN)?;
            stop.run_until_cancelled(check::run(&config, args.json)).await.transpose()?
        }
        Command::Init(args) => {
            logging::start(LogFormat::default(), LevelFilter::WARN)?;
            stop.run_until_cancelled(init::run(&cli.place, &args)).await.transpose()?
        }
        Command::Completions(args) => Some(completions::run(args)?),
        Command::Man(args) => Some(man::run(&args)?),
        Command::Run(args) => {
            let config = Config::new(&cli.place, &args, &file)?;
            logging::start(config.place.log_format, LevelFilter::INFO)?;
            node::run(config, stop).await?;
            Some(Outcome::Good)
        }
        Command::Demo(args) => {
            logging::start(LogFormat::default(), LevelFilter::WARN)?;
            Some(demo::run(&args, stop).await?)
        }
        Command::Mine(args) => {
            logging::start(cli.place.log_format.or(file.log_format).unwrap_or_default(), LevelFilter::INFO)?;
            mine::run(args, stop).await?;
            Some(Outcome::Good)
        }
        Command::Chain(args) => stop.run_until_cancelled(chain::run(&place()?, args)).await.transpose()?,
        Command::Payouts(args) => {
            stop.run_until_cancelled(payouts::run(&place()?, args)).await.transpose()?
        }
        Command::Status(args) => Some(status::run(&place()?, &args, &stop).await?),
        Command::History(args) => {
            stop.run_until_cancelled(history::run(&place()?, &args)).await.transpose()?
        }
        Command::Peers(args) => stop.run_until_cancelled(peers::peers(&place()?, &args)).await.transpose()?,
        Command::Bans(args) => stop.run_until_cancelled(peers::bans(&place()?, &args)).await.transpose()?,
        Command::Bench(args) => {
            logging::start(LogFormat::default(), LevelFilter::WARN)?;
            bench::run(args, stop).await?
        }
        Command::Simulate(args) => {
            logging::start(LogFormat::default(), LevelFilter::WARN)?;
            let simulation = tokio::task::spawn_blocking(move || simulate::run(&args, &stop));
            simulation.await??
        }
    };
    Ok(ended.map_or(ExitCode::FAILURE, Into::into))
}

/// The error and its causes, without those that its text holds already.
fn whole_text(error: &anyhow::Error) -> String {
    error.chain().skip(1).map(ToString::to_string).fold(error.to_string(), |text, cause| {
        if text.contains(&cause) { text } else { format!("{text}: {cause}") }
    })
}
