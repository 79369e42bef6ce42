//! The node that runs on a data folder, for commands that have nothing to say without one.

use crate::api::{self, Client};
use crate::config::Place;
use std::path::PathBuf;
use thiserror::Error;

/// None runs there.
#[derive(Debug, Error)]
#[error("no node runs on {}; start one with `commonwork run`, or say where its data is with --data-dir and --network", .0.display())]
pub struct NoNode(pub(super) PathBuf);

/// Its interface. Looked up each time, since a node that was started again may listen elsewhere.
pub(super) fn find(place: &Place) -> Result<Client, NoNode> {
    let address = api::find(&place.data_dir).ok_or_else(|| NoNode(place.data_dir.clone()))?;
    Ok(Client::new(address))
}
