//! The command that is run when something happens.

use super::value::{BadValue, bad, from_text};
use serde::de::{self, Deserializer};
use std::str::FromStr;

/// A program and its arguments, as a shell would split them; no shell runs them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventCommand {
    program: String,
    arguments: Vec<String>,
}

impl EventCommand {
    /// The program: a path, or a name to be looked for.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// What it is given.
    pub fn arguments(&self) -> &[String] {
        &self.arguments
    }
}

impl FromStr for EventCommand {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let wanted = "a program and its arguments, with every quote closed";
        let mut words = shlex::split(text).ok_or_else(|| bad(text, wanted))?.into_iter();
        let program = words.next().filter(|program| !program.is_empty()).ok_or_else(|| bad(text, wanted))?;
        Ok(Self { program, arguments: words.collect() })
    }
}

from_text!(EventCommand);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_does_and_nothing_in_them_is_replaced() {
        let command: EventCommand = r#"/opt/my\ tools/tell --to 'a b' "$HOME""#.parse().expect("right");
        assert_eq!(command.program(), "/opt/my tools/tell");
        assert_eq!(command.arguments(), ["--to", "a b", "$HOME"]);
        for wrong in ["", "  ", "tell 'open", "'' x"] {
            assert!(wrong.parse::<EventCommand>().is_err(), "{wrong:?}");
        }
    }
}
