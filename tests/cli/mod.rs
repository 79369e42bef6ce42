//! The command line as its user sees it: the real program, what it prints and how it ends.

mod chain;
mod check;
mod init;
mod packaging;
mod run;
mod settings;
mod shell;
mod status;

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The program in a home of its own, without any setting from the test's environment.
pub(crate) struct Program {
    home: tempfile::TempDir,
    environment: Vec<(&'static str, String)>,
}

/// What it printed and how it ended.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Program {
    pub(crate) fn new() -> Self {
        Self { home: tempfile::tempdir().expect("a home"), environment: Vec::new() }
    }

    /// With a variable set.
    pub(crate) fn with(mut self, variable: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((variable, value.into()));
        self
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Writes a file into the home and gives its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.home.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("a plain path").to_owned()
    }

    /// The command to be run with these arguments.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_commonwork"));
        command.args(arguments).env_clear().env("HOME", self.home()).stdin(Stdio::null());
        command.envs(self.environment.iter().map(|(variable, value)| (variable, value)));
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        let Output { status, stdout, stderr } = self.command(arguments).output().expect("it starts");
        Ended {
            code: status.code().expect("it ends by itself"),
            output: String::from_utf8(stdout).expect("text"),
            errors: String::from_utf8(stderr).expect("text"),
        }
    }

    /// Runs it; it must refuse, say this, and print nothing.
    pub(crate) fn refuses(&self, arguments: &[&str], wanted: &str) {
        let ended = self.run(arguments);
        assert!(ended.code != 0 && ended.errors.contains(wanted), "{arguments:?}: {}", ended.errors);
        assert_eq!(ended.output, "", "{arguments:?}");
    }
}
