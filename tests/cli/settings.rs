//! Settings from the command line, the environment and the file, and what is said of wrong ones.

use super::Program;
use crate::support::ports::FREE_PORTS;

const MAIN: &str = "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq";

/// `check` on the embedded network needs nothing installed; its report tells the settings that it came to.
fn report(program: &Program, arguments: &[&str]) -> String {
    let ended = program.run(&[&["check"], arguments, &FREE_PORTS].concat());
    assert_eq!((ended.code, ended.errors.as_str()), (0, ""), "{}", ended.output);
    ended.output
}

#[test]
fn help_tells_every_command_and_option() {
    let program = Program::new();
    let ended = program.run(&["--help"]);
    assert_eq!(ended.code, 0);
    for wanted in ["Usage: commonwork", "check", "without an operator", "COMMONWORK_NETWORK", "--data-dir"] {
        assert!(ended.output.contains(wanted), "{wanted} is not in:\n{}", ended.output);
    }
    let check = program.run(&["check", "--help"]).output;
    for wanted in [
        "--network",
        "--bitcoind",
        "--rpc-cookie",
        "--rpc-user",
        "--rpc-password",
        "--zmq",
        "--data-dir",
        "--chain",
        "--stratum",
        "--stratum-v2",
        "--no-stratum-v2",
        "--address",
        "--api",
        "--log-format",
        "--config",
        "--move-corrupt-store-aside",
        "COMMONWORK_RPC_PASSWORD",
    ] {
        assert!(check.contains(wanted), "{wanted} is not in:\n{check}");
    }
    assert!(program.run(&["--version"]).output.starts_with("commonwork "));
}

#[test]
fn an_unknown_option_or_command_is_refused_with_the_nearest() {
    let program = Program::new();
    program.refuses(&["check", "--bitconid", "http://h"], "'--bitcoind'");
    program.refuses(&["chekc"], "'check'");
    program.refuses(
        &["check", "--network", "mainnet"],
        "possible values: main, testnet4, signet, regtest, embedded",
    );
}

#[test]
fn an_unknown_key_names_file_line_and_the_nearest_right_one() {
    let program = Program::new();
    let file = program.file("my.toml", "network = 'embedded'\n# where\nstartum = '127.0.0.1:1'\n");
    program.refuses(
        &["check", "--config", &file],
        "my.toml, line 3: unknown key `startum`; did you mean `stratum`?",
    );
    program.refuses(&["check", "--config", "/none/such.toml"], "/none/such.toml cannot be read");
    let broken = program.file("broken.toml", "network = \n");
    program.refuses(&["check", "--config", &broken], "broken.toml, line 1:");
}

#[test]
fn option_wins_over_environment_over_file_over_default() {
    let program = Program::new();
    let file = program.file("c.toml", "network = 'embedded'\ndata-dir = 'from-file'\n");
    let home = program.home().display().to_string();

    let nothing = report(&Program::new(), &["--network", "embedded"]);
    assert!(nothing.contains("/.local/share/commonwork/embedded"), "{nothing}");
    let from_file = report(&program, &["--config", &file]);
    assert!(from_file.contains(&format!("data      {home}/from-file/embedded\n")), "{from_file}");

    let program = program.with("COMMONWORK_DATA_DIR", "/tmp/from-environment");
    let from_environment = report(&program, &["--config", &file]);
    assert!(from_environment.contains("data      /tmp/from-environment/embedded\n"), "{from_environment}");
    let from_option = report(&program, &["--config", &file, "--data-dir", "/tmp/from-option"]);
    assert!(from_option.contains("data      /tmp/from-option/embedded\n"), "{from_option}");

    let program = Program::new().with("COMMONWORK_CONFIG", file);
    assert!(report(&program, &[]).contains("from-file/embedded"));
}

#[test]
fn options_of_the_chain_may_stand_before_the_command() {
    let program = Program::new();
    let before = program.run(&[&["--network", "embedded", "check"], &FREE_PORTS[..]].concat());
    assert!(before.output.starts_with("network   embedded\n"), "{}", before.output);
}

#[test]
fn an_address_of_another_network_changes_nothing_and_is_named_for_what_it_is() {
    let program = Program::new();
    program.refuses(
        &["check", "--network", "embedded", "--address", MAIN],
        &format!("--address: {MAIN} is an address of main, but this node mines on embedded"),
    );
    program.refuses(&["check", "--address", "worker1"], "\"worker1\" is not a Bitcoin address");
    let file = program.file("c.toml", &format!("network = 'testnet4'\naddress = '{MAIN}'"));
    program.refuses(&["check", "--config", &file], "this node mines on testnet4");
    assert_eq!(
        std::fs::read_dir(program.home()).expect("a home").count(),
        1,
        "only the file itself is there"
    );
}

#[test]
fn a_bad_chain_file_is_refused() {
    let program = Program::new();
    let unknown = program.file("a.toml", "name = 'mine'\nbase-depth = 3\n");
    program.refuses(
        &["check", "--chain", &unknown],
        "line 2: unknown key `base-depth`; did you mean `base_depth`?",
    );
    let impossible = program.file("b.toml", "spacing = 0\n");
    program.refuses(&["check", "--chain", &impossible], "chain parameter spacing: is out of range");
    let other = program.file("c.toml", "network = 'regtest'\n");
    program.refuses(
        &["check", "--chain", &other, "--network", "signet"],
        "describes a chain on regtest, but the network is set to signet",
    );
    let good = program.file("d.toml", "network = 'embedded'\nname = 'mine'\nembedded_bits = '1d00ffff'\n");
    assert!(report(&program, &["--chain", &good]).contains("\nchain     mine ("));
}

#[test]
fn passwords_in_the_environment_are_shown_nowhere() {
    let program = Program::new().with("COMMONWORK_RPC_PASSWORD", "hunter2").with("COMMONWORK_RPC_USER", "me");
    for arguments in [&["check", "--help"][..], &["check", "--bitcoind", "http://127.0.0.1:1"]] {
        let ended = program.run(arguments);
        assert!(!ended.output.contains("hunter2") && !ended.errors.contains("hunter2"), "{}", ended.output);
    }
}
