//! The file of settings, with what each of them is for.

use crate::config::{NetworkName, RpcAuth};
use crate::ports;
use std::path::{Path, PathBuf};

/// What the file is to say; what is none is left as a comment.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) network: NetworkName,
    pub(super) data_dir: Option<PathBuf>,
    pub(super) chain: Option<PathBuf>,
    /// The URL, without login.
    pub(super) bitcoind: Option<String>,
    pub(super) login: Option<RpcAuth>,
    pub(super) zmq: Option<String>,
    /// Where bitcoind's own machine alone reaches it.
    pub(super) zmq_apart: Option<String>,
    pub(super) address: Option<String>,
}

impl Settings {
    pub(super) const fn has_password(&self) -> bool {
        matches!(self.login, Some(RpcAuth::Password { .. }))
    }

    /// The whole file.
    pub(super) fn text(&self) -> String {
        let cookie = match &self.login {
            Some(RpcAuth::Cookie(path, _)) => Some(shown(path)),
            _ => None,
        };
        let (user, password) = match &self.login {
            Some(RpcAuth::Password { user, password }) => {
                (Some(user.clone()), Some(password.reveal().to_owned()))
            }
            _ => (None, None),
        };
        let data_dir = self.data_dir.as_deref().map(shown);
        let chain = self.chain.as_deref().map(shown);
        [
            "# Settings of a commonwork node, written by `commonwork init`.\n\
             #\n\
             # A line that begins with # does nothing; where it is a setting, that is its default or an example. Options of\n\
             # the command line and variables of the environment go before this file. `commonwork run --help` has them all;\n\
             # `commonwork check` with --config and the name of this file says whether they are right.\n"
                .to_owned(),
            "# The Bitcoin network: main, testnet4, signet, regtest, or embedded for a trial without bitcoind.\n".into(),
            set("network", &self.network.to_string()),
            "\n# Where the node keeps its data; the name of the network is appended.\n".into(),
            either("data-dir", data_dir, "/var/lib/commonwork"),
            "\n# The parameters of a private share chain; without this it is the network's own.\n".into(),
            either("chain", chain, "chain.toml"),
            "\n# bitcoind, or a list of several, best first: templates come from the best, found blocks go to all.\n".into(),
            either("bitcoind", self.bitcoind.clone(), "http://127.0.0.1:8332"),
            "# How to log in: with the cookie that bitcoind writes at each start, or with user and password.\n".into(),
            either("rpc-cookie", cookie, "/home/bitcoin/.bitcoin/.cookie"),
            either("rpc-user", user, "commonwork"),
            either("rpc-password", password, "..."),
            "# Where bitcoind tells of new blocks (zmqpubhashblock in bitcoin.conf). Without it the node uses long polling.\n".into(),
            self.zmq_line(),
            "\n# Who is credited for devices whose user name is no Bitcoin address.\n".into(),
            either("address", self.address.clone(), "bc1q..."),
            "\n# Where miners connect. 127.0.0.1 is for programs on this machine; 0.0.0.0 lets in devices on the network.\n".into(),
            example("stratum", &format!("0.0.0.0:{}", ports::STRATUM)),
            example("stratum-v2", &format!("0.0.0.0:{}", ports::STRATUM_V2)),
            example("stratum-tls", &format!("0.0.0.0:{}", ports::STRATUM_TLS)),
            "\n# A node to begin with, and where others connect to this one (TCP and UDP).\n".into(),
            example("peer", &format!("pool.example.org:{}", ports::P2P)),
            example("listen", &format!("0.0.0.0:{}", ports::P2P)),
            "\n# Where the node's own HTTP interface listens, on loopback.\n".into(),
            example("api", &format!("127.0.0.1:{}", ports::API)),
            "\n# Log lines for people, or json for programs.\n".into(),
            example("log-format", "human"),
        ]
        .concat()
    }

    fn zmq_line(&self) -> String {
        match (&self.zmq, &self.zmq_apart) {
            (None, Some(apart)) => format!(
                "# This bitcoind tells of them at {apart}, which its own machine alone reaches, and it was named by an\n\
                 # address that others reach, too. If this is its machine, take the # from the next line away. If not, give\n\
                 # zmqpubhashblock in bitcoin.conf an address that this machine reaches, and write that here.\n{}",
                example("zmq", apart)
            ),
            (zmq, _) => either("zmq", zmq.clone(), &format!("tcp://127.0.0.1:{}", ports::BITCOIND_ZMQ)),
        }
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn either(key: &str, value: Option<String>, otherwise: &str) -> String {
    value.map_or_else(|| example(key, otherwise), |value| set(key, &value))
}

fn set(key: &str, value: &str) -> String {
    // TOML's texts are JSON's.
    format!("{key} = {}\n", serde_json::Value::from(value))
}

fn example(key: &str, value: &str) -> String {
    format!("#{}", set(key, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{CookieFrom, FileConfig, OneOrMore};

    const BARE: Settings = Settings {
        network: NetworkName::Testnet4,
        data_dir: None,
        chain: None,
        bitcoind: None,
        login: None,
        zmq: None,
        zmq_apart: None,
        address: None,
    };

    fn read(text: &str) -> FileConfig {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("c.toml");
        std::fs::write(&path, text).expect("written");
        FileConfig::read(&path).unwrap_or_else(|error| panic!("{error}:\n{text}"))
    }

    #[test]
    fn what_was_found_is_set_and_the_rest_left_alone() {
        let settings = Settings {
            data_dir: Some("/a \"b\"\\c".into()),
            bitcoind: Some("http://127.0.0.1:1".into()),
            login: Some(RpcAuth::Cookie("/c/.cookie".into(), CookieFrom::Default)),
            zmq: Some("tcp://127.0.0.1:2".into()),
            address: Some("tb1q".into()),
            ..BARE
        };
        let wanted = FileConfig {
            network: Some(NetworkName::Testnet4),
            data_dir: Some("/a \"b\"\\c".into()),
            bitcoind: OneOrMore(vec!["http://127.0.0.1:1".parse().expect("a URL")]),
            rpc_cookie: OneOrMore(vec!["/c/.cookie".into()]),
            zmq: OneOrMore(vec!["tcp://127.0.0.1:2".parse().expect("an address")]),
            address: Some("tb1q".into()),
            ..FileConfig::default()
        };
        assert_eq!(read(&settings.text()), wanted);
        assert!(!settings.has_password());
        let bare = FileConfig { network: Some(NetworkName::Testnet4), ..FileConfig::default() };
        assert_eq!(read(&BARE.text()), bare);
    }

    #[test]
    fn a_password_is_set_with_its_user() {
        let password = "it's \"this\" #1".parse().expect("any");
        let settings = Settings { login: Some(RpcAuth::Password { user: "u".into(), password }), ..BARE };
        let config = read(&settings.text());
        assert_eq!(config.rpc_user.0, ["u"]);
        assert_eq!(config.rpc_password.0[0].reveal(), "it's \"this\" #1");
        assert!(settings.has_password() && config.rpc_cookie.0.is_empty());
    }

    #[test]
    fn an_address_that_may_not_be_reached_is_a_comment_that_says_why() {
        let text = Settings { zmq_apart: Some("tcp://127.0.0.1:7".into()), ..BARE }.text();
        let (before, _) = text.split_once("\n#zmq = \"tcp://127.0.0.1:7\"\n").expect("a comment");
        assert!(
            before.ends_with("and write that here.")
                && before.contains("tells of them at tcp://127.0.0.1:7,")
        );
        assert_eq!(read(&text).zmq.0, []);
        assert_eq!(read(&text.replace("#zmq", "zmq")).zmq.0[0].as_str(), "tcp://127.0.0.1:7");
    }

    #[test]
    fn every_setting_that_is_a_comment_is_a_right_one_without_its_mark() {
        let text = BARE.text();
        let is_setting = |line: &&str| line.starts_with('#') && !line.starts_with("# ") && line.len() > 1;
        let examples = text.lines().filter(is_setting);
        let uncommented: Vec<&str> = examples.map(|line| &line[1..]).collect();
        assert!(uncommented.len() > 12, "{text}");
        let config = read(&uncommented.join("\n"));
        assert!(config.api.is_some() && config.data_dir.is_some() && config.rpc_password.0.len() == 1);
    }
}
