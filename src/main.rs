//! The program: arguments to settings, settings to a command, its end to an exit code.

use anyhow::Result;
use clap::Parser;
use commonwork::commands::output::OutputError;
use commonwork::commands::{Cli, Command, check, demo};
use commonwork::config::{self, Config, LogFormat};
use commonwork::{logging, node, shutdown};
use std::process::ExitCode;
use tracing::level_filters::LevelFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ended = runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run(cli)));
    match ended {
        Ok(code) => code,
        Err(error) if error.downcast_ref::<OutputError>().is_some_and(OutputError::is_closed) => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {}", whole_text(&error));
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<ExitCode> {
    let file = config::read_file(&cli.place)?;
    match cli.command {
        Command::Check(args) => {
            let config = Config::new(&cli.place, &args.node, &file)?;
            logging::start(config.place.log_format, LevelFilter::WARN)?;
            let stop = shutdown::on_signal();
            let found = stop.run_until_cancelled(check::run(&config, args.json)).await;
            Ok(found.transpose()?.map_or(ExitCode::FAILURE, Into::into))
        }
        Command::Run(args) => {
            let config = Config::new(&cli.place, &args, &file)?;
            logging::start(config.place.log_format, LevelFilter::INFO)?;
            node::run(config, shutdown::on_signal()).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Demo(args) => {
            logging::start(LogFormat::default(), LevelFilter::WARN)?;
            Ok(demo::run(&args, shutdown::on_signal()).await?.into())
        }
    }
}

/// The error and its causes, without those that its text holds already.
fn whole_text(error: &anyhow::Error) -> String {
    error.chain().skip(1).map(ToString::to_string).fold(error.to_string(), |text, cause| {
        if text.contains(&cause) { text } else { format!("{text}: {cause}") }
    })
}
