//! `commonwork simulate` as its user sees it.

use crate::cli::Program;

const SMALL: [&str; 9] =
    ["simulate", "network", "--nodes", "3", "--hours", "0.6", "--warm-up-hours", "0.2", "--direct"];

#[test]
fn figures_are_printed_and_plotted_and_can_be_plotted_again() {
    let program = Program::new();
    let folder = program.home().join("figures");
    let folder = folder.to_str().expect("a plain name");
    let ended = program.run(&[&SMALL[..], &["--out", folder]].concat());
    assert_eq!((ended.code, ended.errors.as_str()), (0, ""));
    assert!(ended.output.contains("spacing, mean") && ended.output.contains("credited / found"));
    for name in ["spacing.svg", "fairness.svg", "losing.svg", "picking.svg", "traffic.svg"] {
        let svg = std::fs::read_to_string(program.home().join("figures").join(name)).expect(name);
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"), "{name}");
    }
    let figures = format!("{folder}/report.json");
    let again = program.run(&["simulate", "plot", &figures, "--out", folder]);
    assert_eq!((again.code, again.output), (0, ended.output));
    let json = program.run(&[&SMALL[..], &["--json"]].concat());
    assert_eq!(json.output, std::fs::read_to_string(&figures).expect("figures"));
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let program = Program::new();
    for (arguments, told) in [
        (["--nodes", "1"], "nodes: 2 to 1000"),
        (["--selfish", "0.95"], "strategists: each from 0 to 0.9"),
        (["--partition", "1,2"], "three numbers"),
        (["--timestamps", "never:0.3"], "the kind is lowest or zigzag"),
    ] {
        let ended = program.run(&[&["simulate", "network"], &arguments[..]].concat());
        assert_ne!(ended.code, 0);
        assert!(ended.errors.contains(told), "{}", ended.errors);
    }
}

#[test]
fn races_are_run_by_command() {
    let ended =
        Program::new().run(&["simulate", "rewrite", "--blocks", "10", "--races", "20", "--part", "0.9"]);
    assert_eq!(ended.code, 0);
    assert!(ended.output.contains("zigzag") && ended.output.contains("100.00 %"), "{}", ended.output);
}
