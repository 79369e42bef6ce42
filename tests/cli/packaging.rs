//! What stands in `packaging/` fits the program: none of it is built or run here, but its options are read as the
//! program would read them.

use clap::Parser;
use commonwork::commands::{Cli, Command};
use commonwork::config::{Config, FileConfig};
use commonwork::ports;
use std::fs;
use std::path::Path;
use yaml_rust2::{Yaml, YamlLoader};

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// With `${NAME:-default}` and `${NAME:?why}` as compose would put them in.
fn filled_in(text: &str) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (variable, behind) = after.split_once('}').expect("an end");
        let value = variable.split_once(":-").map_or("secret", |(_, default)| default);
        filled += before;
        filled += value;
        rest = behind;
    }
    filled + rest
}

fn texts(list: &Yaml) -> Vec<String> {
    let list = list.as_vec().unwrap_or_else(|| panic!("no list: {list:?}"));
    list.iter().map(|text| filled_in(text.as_str().expect("a text"))).collect()
}

/// The settings that a command line comes to, as the program reads it.
fn settings(arguments: &[String]) -> Config {
    let line = core::iter::once("commonwork".to_owned()).chain(arguments.iter().cloned());
    let cli = Cli::try_parse_from(line).unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
    let Command::Run(args) = cli.command else { panic!("{arguments:?} runs no node") };
    Config::new(&cli.place, &args, &FileConfig::default()).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_containers_options_are_the_programs_and_lead_to_each_other() {
    let compose = YamlLoader::load_from_str(&read("packaging/compose.yaml")).expect("YAML");
    let services = &compose[0]["services"];
    let node = &services["commonwork"];
    let dockerfile = read("packaging/Dockerfile");
    let in_image = dockerfile.lines().filter_map(|line| line.strip_prefix("ENV "));
    let in_image = in_image.map(|line| line.split_once('=').expect("a value"));
    let in_file = node["environment"].as_hash().expect("a map").iter();
    let in_file =
        in_file.map(|(name, value)| (name.as_str().expect("a name"), value.as_str().expect("a text")));
    let variables: Vec<(String, String)> =
        in_image.chain(in_file).map(|(name, value)| (name.to_owned(), filled_in(value))).collect();
    // A variable and its option are the same setting.
    let as_option = |(name, value): &(String, String)| {
        let name = name.strip_prefix("COMMONWORK_").unwrap_or_else(|| panic!("{name} is none of ours"));
        format!("--{}={value}", name.to_lowercase().replace('_', "-"))
    };
    let mut arguments = texts(&node["command"]);
    arguments.extend(variables.iter().map(as_option));
    let config = settings(&arguments);

    assert_eq!(config.bitcoinds.len(), 1);
    let bitcoind = &config.bitcoinds[0];
    assert!(!services[bitcoind.host.as_str()].is_badvalue(), "{} is no service", bitcoind.host);
    let told = texts(&services[bitcoind.host.as_str()]["command"]);
    let zmq = bitcoind.zmq.as_ref().expect("given").host_port().to_owned();
    let (zmq_host, zmq_port) = zmq.rsplit_once(':').expect("a port");
    assert_eq!(zmq_host, bitcoind.host);
    for wanted in [
        format!("-zmqpubhashblock=tcp://0.0.0.0:{zmq_port}"),
        "-rpcuser=commonwork".into(),
        "-rpcpassword=secret".into(),
    ] {
        assert!(told.contains(&wanted), "{wanted} is not in {told:?}");
    }
    assert_eq!(bitcoind.port, ports::bitcoind_rpc(config.place.network()));

    // What the node listens on is handed through, and stands in the image.
    let published = texts(&node["ports"]);
    let exposed = dockerfile.lines().find_map(|line| line.strip_prefix("EXPOSE ")).expect("ports");
    let listened = [config.stratum[0].port(), config.stratum_v2[0].port(), ports::P2P];
    for port in listened {
        assert!(
            published.iter().any(|text| text.starts_with(&format!("{port}:{port}"))),
            "{port}: {published:?}"
        );
        assert!(exposed.contains(&format!("{port}/tcp")), "{port}: {exposed}");
    }
    assert!(config.stratum[0].ip().is_unspecified() && config.stratum_v2[0].ip().is_unspecified());
    let data = config.place.data_dir.parent().expect("a folder").to_str().expect("a plain path");
    let volumes = texts(&node["volumes"]);
    assert!(volumes.iter().any(|volume| volume.ends_with(&format!(":{data}"))), "{data}: {volumes:?}");
    assert!(dockerfile.contains(&format!("VOLUME {data}\n")));

    let health = texts(&node["healthcheck"]["test"]);
    assert_eq!(health[0], "CMD");
    Cli::try_parse_from(&health[1..]).unwrap_or_else(|error| panic!("{health:?}: {error}"));
}

#[test]
fn the_service_runs_a_node_with_the_file_that_its_package_makes_room_for() {
    let unit = read("packaging/commonwork.service");
    let value = |key: &str| {
        let found = unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        found.unwrap_or_else(|| panic!("{key} is missing")).to_owned()
    };
    let line: Vec<String> = value("ExecStart").split_whitespace().map(str::to_owned).collect();
    let cli = Cli::try_parse_from(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
    assert!(matches!(cli.command, Command::Run(_)), "{line:?}");
    let file = cli.place.config.expect("named");
    assert_eq!(value("ConditionPathExists"), file.to_str().expect("a plain path"));

    // Without it the interface's thread could not let others go first: an earlier line takes it away.
    let filters: Vec<&str> = unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")).collect();
    let place = |wanted: &str| filters.iter().position(|filter| filter.contains(wanted));
    assert!(place("setpriority") > place("@resources") && place("@resources").is_some(), "{filters:?}");

    let (user, folder) = (value("User"), format!("/var/lib/{}", value("StateDirectory")));
    let postinst = read("packaging/debian/postinst");
    let settings = file.parent().expect("a folder").to_str().expect("a plain path");
    for wanted in [settings, &folder, &user] {
        assert!(postinst.contains(wanted), "{wanted} is not in postinst");
    }

    let manifest: toml::Table = read("Cargo.toml").parse().expect("TOML");
    let package = &manifest["package"]["metadata"]["deb"];
    let assets = package["assets"].as_array().expect("a list");
    let assets: Vec<&str> = assets.iter().filter_map(|asset| asset[0].as_str()).collect();
    let is_made = |path: &str| path.starts_with("target/");
    for asset in assets.iter().filter(|path| !is_made(path)) {
        let (folder, _) = asset.split_once('*').unwrap_or((asset, ""));
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        assert!(path.exists(), "{asset} is not there");
    }
    // The script makes what the package takes from the build folder.
    let script = read("packaging/build-deb.sh");
    for made in ["man", "completions"] {
        let taken = assets.iter().any(|path| path.starts_with(&format!("target/package/{made}/")));
        assert!(taken && script.contains(&format!("$made/{made}")), "{made}");
    }
    assert_eq!(line[0], "/usr/bin/commonwork");
}
