//! `commonwork completions`: what makes a shell complete this program's commands and options.

use super::output::{OutputError, print};
use super::{Cli, Outcome};
use clap::{Args, CommandFactory};
use clap_complete::Shell;

/// Arguments.
#[derive(Clone, Copy, Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Prints the script for a shell.
pub fn run(args: CompletionsArgs) -> Result<Outcome, OutputError> {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(Outcome::Good)
}
