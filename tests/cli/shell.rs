//! Completions and man pages, as shells and `man` take them.

use super::Program;
use std::fs;
use std::process::Command;

#[test]
fn shells_take_their_completions() {
    let program = Program::new();
    for shell in ["bash", "zsh", "fish"] {
        let ended = program.run(&["completions", shell]);
        assert_eq!((ended.code, ended.errors.as_str()), (0, ""));
        assert!(ended.output.contains("commonwork") && ended.output.contains("rpc-cookie"), "{shell}");
    }
    let script = program.file("completions.bash", &program.run(&["completions", "bash"]).output);
    // Bash itself says what it would offer behind `commonwork run --strat`.
    let ask = ". \"$0\"; COMP_WORDS=(commonwork run --strat); COMP_CWORD=2; \
               _commonwork commonwork --strat run; echo \"${COMPREPLY[@]}\"";
    let asked = Command::new("bash").args(["-c", ask, &script]).output().expect("bash");
    let offered = String::from_utf8(asked.stdout).expect("text");
    let offered: Vec<&str> = offered.split_whitespace().collect();
    assert_eq!(offered, ["--stratum", "--stratum-tls", "--stratum-v2"], "{:?}", asked.stderr);
}

#[test]
fn every_command_has_a_man_page() {
    let program = Program::new();
    let folder = program.home().join("man");
    let ended = program.run(&["man", folder.to_str().expect("a plain path")]);
    assert_eq!((ended.code, ended.errors.as_str()), (0, ""));
    let help = program.run(&["help"]).output;
    let (_, commands) = help.split_once("Commands:\n").expect("a list");
    let commands = commands.lines().take_while(|line| !line.is_empty());
    // What goes on is further in.
    let names = commands.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    let names: Vec<&str> = names.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.len() > 10, "{help}");
    for name in names.into_iter().filter(|name| *name != "help") {
        let page = folder.join(format!("commonwork-{name}.1"));
        let text = fs::read_to_string(&page).unwrap_or_else(|_| panic!("{} is missing", page.display()));
        assert!(text.contains(".TH") && text.contains(name), "{text}");
    }
    let run = fs::read_to_string(folder.join("commonwork-run.1")).expect("a page");
    assert!(run.contains("\\-\\-rpc\\-cookie") && run.contains("COMMONWORK_RPC_COOKIE"), "{run}");
    program.refuses(&["man", &program.file("file", "")], "man pages cannot be written into");
}
