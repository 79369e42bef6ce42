//! What is looked at on this machine: the data folder, the ports, the address, and whether a node runs already.

use super::Finding;
use crate::api::{self, ClientError};
use crate::config::{Config, EventCommand};
use crate::disk;
use crate::ports;
use crate::store::{OpenStore, StoreError};
use sharechain::store::ShareStore;
use std::fs::{self, OpenOptions};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

pub(super) async fn look(config: &Config) -> Vec<Finding> {
    let node = RunningNode::find(config).await;
    let mut findings = vec![node.finding(config), folder(&config.place.data_dir)];
    findings.extend(store(config, &node).await);
    findings.extend(config.stratum.iter().map(|address| {
        let cure =
            format!("stop the other program, or choose another port with --stratum {}:PORT", address.ip());
        port("Stratum port", *address, &node, &cure)
    }));
    let tls = config.stratum_tls.iter().flat_map(|tls| &tls.listen);
    findings.extend(tls.map(|address| {
        let cure = format!(
            "stop the other program, or choose another port with --stratum-tls {}:PORT",
            address.ip()
        );
        port("Stratum TLS port", *address, &node, &cure)
    }));
    findings.extend(config.stratum_v2.iter().map(|address| {
        let cure = format!(
            "stop the other program, choose another port with --stratum-v2 {}:PORT, or do without with --no-stratum-v2",
            address.ip()
        );
        port("Stratum V2 port", *address, &node, &cure)
    }));
    findings.extend(config.legacy.iter().map(|address| {
        let cure =
            format!("stop the other program, or choose another port with --legacy {}:PORT", address.ip());
        port("getwork port", *address, &node, &cure)
    }));
    let cure = format!("stop the other program, or choose another port with --api {}:PORT", config.api.ip());
    findings.push(port("interface port", config.api, &node, &cure));
    findings.push(address(config));
    findings.extend(config.on_event.as_ref().map(on_event));
    findings
}

/// What is known of a node on the same data folder.
enum RunningNode {
    None,
    OnThisChain(SocketAddr),
    /// One that mines solo.
    Solo(SocketAddr),
    /// One whose chain has this id.
    OnAnotherChain(SocketAddr, String),
}

impl RunningNode {
    async fn find(config: &Config) -> Self {
        let Some(address) = api::find(&config.place.data_dir) else { return Self::None };
        match api::Client::new(address).tip().await {
            Ok(tip) if tip.chain_id.0 == config.place.params.chain_id().as_block() => {
                Self::OnThisChain(address)
            }
            Ok(tip) => Self::OnAnotherChain(address, tip.chain_id.0.to_string()),
            Err(ClientError::Refused(_)) => Self::Solo(address),
            // What it left behind when it was killed.
            Err(_) => Self::None,
        }
    }

    fn finding(&self, config: &Config) -> Finding {
        let check = "running node";
        match self {
            Self::None => Finding::good(check, "none on this data folder"),
            Self::OnThisChain(address) => {
                Finding::good(check, format!("one runs on this data folder and answers at {address}"))
            }
            Self::Solo(address) if config.solo => {
                Finding::good(check, format!("one mines solo on this data folder and answers at {address}"))
            }
            Self::Solo(address) => Finding::bad(
                check,
                format!("the one at {address} mines solo on this data folder"),
                "stop it, or give this one a folder of its own with --data-dir DIR",
            ),
            Self::OnAnotherChain(address, id) => Finding::bad(
                check,
                format!("the one at {address} uses this data folder for another chain, {id}"),
                format!(
                    "give this chain ({}) a folder of its own with --data-dir DIR",
                    config.place.params.chain_id()
                ),
            ),
        }
    }

    const fn is_there(&self) -> bool {
        !matches!(self, Self::None)
    }
}

fn folder(folder: &Path) -> Finding {
    let check = "data folder";
    // The ancestors of a relative path end with an empty one, which never exists.
    let absolute = std::path::absolute(folder);
    let folder = absolute.as_deref().unwrap_or(folder);
    let existing = folder.ancestors().find(|path| path.exists()).unwrap_or(folder);
    if !existing.is_dir() {
        let seen = format!("{} is a file, not a folder", existing.display());
        return Finding::bad(check, seen, "move it away, or choose another folder with --data-dir DIR");
    }
    match try_to_write(existing) {
        Ok(()) if existing == folder => Finding::good(check, format!("{} can be written", folder.display())),
        Ok(()) => Finding::good(check, format!("{} will be made", folder.display())),
        Err(error) => Finding::bad(
            check,
            format!("{} cannot be written: {error}", existing.display()),
            "give this user the right to write there, make room, or choose another folder with --data-dir DIR",
        ),
    }
}

fn try_to_write(folder: &Path) -> io::Result<()> {
    let probe = folder.join(format!(".commonwork-check-{}", std::process::id()));
    OpenOptions::new().write(true).create_new(true).open(&probe)?;
    fs::remove_file(&probe)
}

/// The store, read as a start would read it; none to read where a node has it open, or none is there yet.
async fn store(config: &Config, node: &RunningNode) -> Option<Finding> {
    let check = "store";
    let path = config.place.store_dir();
    // Opening would make one.
    if node.is_there() || !path.exists() {
        return None;
    }
    let params = config.place.params.clone();
    let read = tokio::task::spawn_blocking(move || {
        let opening = OpenStore { path: &path, params: &params, move_corrupt_aside: false };
        opening.open().and_then(|opened| opened.store.load()).map(|saved| saved.blocks.len())
    });
    Some(match read.await {
        Ok(Ok(blocks)) => Finding::good(check, format!("of this chain, with {blocks} share blocks")),
        Ok(Err(error)) => {
            let cure = match &error {
                StoreError::InUse(_) => "stop the other program that has it open",
                StoreError::OtherChain { .. } | StoreError::TooNew { .. } => {
                    "choose another folder with --data-dir DIR"
                }
                StoreError::TooOld { .. } => "move the folder away, and other nodes fill a new one",
                StoreError::Corrupt { .. } => {
                    "check the disk, then start once with --move-corrupt-store-aside"
                }
                StoreError::Disk { .. } => "see to the disk's space and the folder's permissions",
            };
            Finding::bad(check, error.to_string(), cure)
        }
        Err(_) => Finding::bad(check, "BUG: reading it ended before its time", "report this with the log"),
    })
}

fn port(check: &str, address: SocketAddr, node: &RunningNode, in_use_cure: &str) -> Finding {
    let check = format!("{check} {address}");
    let error = match TcpListener::bind(address) {
        Ok(_) => return Finding::good(check, "free"),
        Err(error) => error,
    };
    match error.kind() {
        io::ErrorKind::AddrInUse if node.is_there() => Finding::good(check, "in use, by the node that runs"),
        io::ErrorKind::AddrInUse => Finding::bad(check, "another program listens there", in_use_cure),
        io::ErrorKind::AddrNotAvailable => Finding::bad(
            check,
            "this machine has no such address",
            "use 127.0.0.1, 0.0.0.0 or an address of it",
        ),
        io::ErrorKind::PermissionDenied => {
            let cure = format!("choose a port above 1023, like {}", ports::STRATUM);
            Finding::bad(check, "this user may not listen there", cure)
        }
        _ => Finding::bad(check, format!("cannot be listened on: {error}"), "choose another address"),
    }
}

fn address(config: &Config) -> Finding {
    let check = "payout address";
    match config.address_text() {
        Some(address) => {
            let network = config.place.network().name();
            Finding::good(check, format!("{address}, an address of {network}; for users whose name is none"))
        }
        None => Finding::good(check, "none: every device must have its owner's address as its user name"),
    }
}

/// It is not run: nobody wants to be told that a block was found when none was.
fn on_event(command: &EventCommand) -> Finding {
    let (check, program) = ("command on events", command.program());
    if disk::can_run(program) {
        return Finding::good(check, format!("{program} can be run"));
    }
    Finding::bad(
        check,
        format!("{program} is not there, or this user may not run it"),
        "give the program's path in --on-event, and make it executable (chmod +x)",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_can_be_written_or_made_are_good() {
        let root = tempfile::tempdir().expect("a folder");
        assert!(folder(root.path()).ok);
        let finding = folder(&root.path().join("a/b"));
        assert!(finding.ok && finding.seen.ends_with("will be made"), "{finding:?}");
        assert_eq!(fs::read_dir(root.path()).expect("a folder").count(), 0, "a check leaves nothing behind");
        let relative = folder(Path::new("no-such-folder/at-all"));
        assert!(relative.ok && relative.seen.ends_with("will be made"), "{relative:?}");
        let file = root.path().join("file");
        fs::write(&file, "").expect("written");
        for path in [&file, &file.join("below")] {
            let finding = folder(path);
            assert!(!finding.ok && finding.seen.contains("is a file"), "{finding:?}");
        }
    }

    #[test]
    fn a_command_that_is_not_there_is_bad() {
        let finding = |text: &str| on_event(&text.parse().expect("a command"));
        assert!(finding("sh -c 'echo x'").ok);
        let bad = finding("/none/such/program --to me");
        assert!(!bad.ok && bad.seen.starts_with("/none/such/program is not there"), "{bad:?}");
    }

    #[test]
    fn a_port_in_use_is_bad_unless_a_node_runs() {
        let other = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = other.local_addr().expect("bound");
        let finding = port("Stratum port", address, &RunningNode::None, "choose another");
        assert_eq!((finding.ok, finding.cure.as_deref()), (false, Some("choose another")));
        assert!(port("Stratum port", address, &RunningNode::OnThisChain(address), "").ok);
        drop(other);
        assert!(port("Stratum port", address, &RunningNode::None, "").ok);
        let nowhere = "203.0.113.1:3333".parse().expect("an address for documentation");
        assert!(port("Stratum port", nowhere, &RunningNode::None, "").seen.contains("no such address"));
    }
}
