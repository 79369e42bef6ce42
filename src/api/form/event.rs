//! What is told when it happens.

use super::hex::{Hash, Text};
use super::view::OwnerForm;
use bitcoin::BlockHash;
use serde::{Deserialize, Serialize};
use sharechain::share::ShareId;
use utoipa::ToSchema;

/// Something that happened, named by `is` as the stream's `event:` lines are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum EventForm {
    /// A share went into the pool of those to be listed.
    Share {
        /// The share.
        #[schema(value_type = Hash)]
        id: Text<ShareId>,
        /// Whom it is credited to.
        owner: OwnerForm,
        /// Its score, in expected Bitcoin blocks.
        score: f64,
        /// When its job was made, seconds since 1970.
        time: u32,
        /// Whether this node's own miners found it.
        own: bool,
    },
    /// A share block was taken, of this node or of others; not those that a sync brings.
    ShareBlock {
        /// Its height.
        height: u32,
        /// Its id.
        #[schema(value_type = Hash)]
        id: Text<ShareId>,
        /// Its parent, or the chain id.
        #[schema(value_type = Hash)]
        parent: Text<ShareId>,
        /// Who made it.
        owner: OwnerForm,
        /// When its job was made, seconds since 1970.
        time: u32,
        /// Shares that it lists.
        listed: u64,
        /// Score that it credits, in expected Bitcoin blocks.
        score: f64,
        /// Whether it is the tip now.
        tip: bool,
        /// Whether this node's own miners found it.
        own: bool,
    },
    /// The active branch of the share chain changed.
    Reorganised {
        /// The tip that was left.
        #[schema(value_type = Hash)]
        from: Text<ShareId>,
        /// Share blocks that were left.
        depth: u32,
    },
    /// A Bitcoin block was found by this node's miners or by another node of the pool, and is being submitted.
    BitcoinBlock {
        /// Its height.
        bitcoin_height: u32,
        /// Its hash.
        #[schema(value_type = Hash)]
        hash: Text<BlockHash>,
        /// Whether this node's own miners found it.
        own: bool,
    },
    /// What a bitcoind made of it.
    BitcoinBlockAnswered {
        /// Its height.
        bitcoin_height: u32,
        /// Its hash.
        #[schema(value_type = Hash)]
        hash: Text<BlockHash>,
        /// The bitcoind.
        bitcoind: String,
        /// Whether it has the block now.
        accepted: bool,
        /// What it said.
        note: Option<String>,
    },
    /// Something that people should look at; `/v1/health` has it too.
    Alarm {
        /// When, in seconds since 1970.
        time: u32,
        /// What it is, for programs.
        id: String,
        /// What happened.
        says: String,
        /// What to do about it.
        cure: String,
    },
    /// What an alarm was about is over. Those that tell of one moment have no end.
    AlarmCleared {
        /// When, in seconds since 1970.
        time: u32,
        /// What it was, for programs.
        id: String,
        /// What had happened.
        says: String,
    },
    /// A worker of whom shares were accepted has handed in none for ten minutes, or as long as `--worker-gone` says.
    WorkerGone {
        /// When that was noticed, in seconds since 1970.
        time: u32,
        /// Its name.
        name: String,
        /// Seconds since its last share.
        silent_seconds: u64,
    },
    /// A worker that was gone has handed in a share again.
    WorkerBack {
        /// When that was noticed, in seconds since 1970.
        time: u32,
        /// Its name.
        name: String,
        /// Seconds between its shares.
        silent_seconds: u64,
    },
    /// This reader was too slow, or was away, or the node was started again: so many were not told to it.
    Missed {
        /// How many since the node's last start.
        events: u64,
        /// Whether the node was started again meanwhile: what happened before that nobody knows.
        #[serde(default)]
        restarted: bool,
    },
}

impl EventForm {
    /// The name in `is`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Share { .. } => "share",
            Self::ShareBlock { .. } => "share-block",
            Self::Reorganised { .. } => "reorganised",
            Self::BitcoinBlock { .. } => "bitcoin-block",
            Self::BitcoinBlockAnswered { .. } => "bitcoin-block-answered",
            Self::Alarm { .. } => "alarm",
            Self::AlarmCleared { .. } => "alarm-cleared",
            Self::WorkerGone { .. } => "worker-gone",
            Self::WorkerBack { .. } => "worker-back",
            Self::Missed { .. } => "missed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_named_as_their_forms_say() {
        let hash = Text(bitcoin::hashes::Hash::all_zeros());
        let id = Text(ShareId([1; 32]));
        let owner = OwnerForm { address: "a".into(), script: Default::default() };
        for event in [
            EventForm::Share { id, owner: owner.clone(), score: 0.5, time: 1, own: true },
            EventForm::ShareBlock {
                height: 1,
                id,
                parent: id,
                owner,
                time: 1,
                listed: 0,
                score: 0.5,
                tip: true,
                own: false,
            },
            EventForm::Reorganised { from: id, depth: 1 },
            EventForm::BitcoinBlock { bitcoin_height: 1, hash, own: true },
            EventForm::BitcoinBlockAnswered {
                bitcoin_height: 1,
                hash,
                bitcoind: "b".into(),
                accepted: true,
                note: None,
            },
            EventForm::Alarm { time: 1, id: "i".into(), says: "s".into(), cure: "c".into() },
            EventForm::AlarmCleared { time: 1, id: "i".into(), says: "s".into() },
            EventForm::WorkerGone { time: 1, name: "rig".into(), silent_seconds: 600 },
            EventForm::WorkerBack { time: 1, name: "rig".into(), silent_seconds: 900 },
            EventForm::Missed { events: 3, restarted: true },
        ] {
            let value = serde_json::to_value(&event).expect("written");
            assert_eq!(value["is"], event.name());
            assert_eq!(serde_json::from_value::<EventForm>(value).expect("read back"), event);
        }
    }
}
