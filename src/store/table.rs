//! Reading rows: sealed values, whole kinds in order, and whether rows are missing. It writes nothing.

use super::error::StoreError;
use super::keys::{self, Kind};
use super::rows::{self, BadRow, unseal};
use bitcoin::block::Header;
use bitcoin::consensus::encode::deserialize;
use sharechain::chain::{BlockSummary, GraftClaim};
use sharechain::codec::Decode;
use sharechain::share::{Share, ShareBlock, ShareId};
use sharechain::store::{BodyError, ReadBodies, Saved, Solution};
use sharechain::units::{BitcoinHeight, Height};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// The one tree that all rows are in: a batch is atomic in one tree only.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) db: sled::Db,
    pub(super) path: PathBuf,
}

impl ReadBodies for Table {
    fn body(&self, height: Height, id: &ShareId) -> Result<Option<Vec<u8>>, BodyError> {
        self.get(&Kind::Body.key(height.0, &id.0)).map_err(|error| BodyError(Box::new(error)))
    }
}

impl Table {
    /// All but the bodies, checked for gaps.
    pub(super) fn load(&self) -> Result<Saved, StoreError> {
        let header = |height, _, bytes: &[u8]| Ok((BitcoinHeight(height), deserialize::<Header>(bytes)?));
        let summary = |height, id, bytes: &[u8]| rows::decode_index(Height(height), ShareId(id), bytes);
        let saved = Saved {
            headers: self.rows(Kind::BitcoinHeader, header).collect::<Result<_, _>>()?,
            blocks: self.rows(Kind::Index, summary).collect::<Result<_, _>>()?,
            tip: self.tip()?,
            graft: self.graft()?,
        };
        self.check_parents(&saved)?;
        self.check_tip(&saved)?;
        Ok(saved)
    }

    pub(super) fn block(&self, height: Height, id: &ShareId) -> Result<Option<ShareBlock>, StoreError> {
        let key = Kind::Body.key(height.0, &id.0);
        if let Some(bytes) = self.get(&key)? {
            let block = ShareBlock::from_bytes(&bytes);
            return Ok(Some(block.map_err(|bad| self.bad_row(&key, &bad.into()))?));
        }
        match self.get(&Kind::Index.key(height.0, &id.0))? {
            None => Ok(None),
            Some(_) => Err(self.corrupt(format!("the body of share block {id} is missing"))),
        }
    }

    pub(super) fn solutions(&self) -> Result<Vec<Solution>, StoreError> {
        self.rows(Kind::Solution, |_, _, bytes| rows::decode_solution(bytes)).collect()
    }

    pub(super) fn unlisted(&self) -> Result<Vec<Share>, StoreError> {
        let shares = self.db.scan_prefix(keys::UNLISTED).map(|row| {
            let (key, value) = row.map_err(|error| self.sled_error(error))?;
            let share = unseal(&key, &value).and_then(|bytes| Ok(Share::from_bytes(bytes)?));
            share.map_err(|bad| self.bad_row(&key, &bad))
        });
        shares.collect()
    }

    pub(super) fn tip(&self) -> Result<Option<ShareId>, StoreError> {
        let Some(content) = self.get(keys::TIP)? else { return Ok(None) };
        let id = content.as_slice().try_into().map(ShareId);
        id.map(Some).map_err(|_| self.corrupt("its tip is not an id"))
    }

    fn graft(&self) -> Result<Option<GraftClaim>, StoreError> {
        let Some(content) = self.get(keys::GRAFT)? else { return Ok(None) };
        let claim = rows::decode_graft(&content);
        claim.map(Some).ok_or_else(|| self.corrupt("the chain that is being fetched is not readable"))
    }

    /// The content of a row.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(value) = self.db.get(key).map_err(|error| self.sled_error(error))? else { return Ok(None) };
        let content = unseal(key, &value).map_err(|bad| self.bad_row(key, &bad))?;
        Ok(Some(content.to_vec()))
    }

    /// The rows of one kind in order of their keys.
    fn rows<T>(
        &self,
        kind: Kind,
        decode: impl Fn(u32, [u8; 32], &[u8]) -> Result<T, BadRow>,
    ) -> impl Iterator<Item = Result<T, StoreError>> {
        self.db.scan_prefix(kind.prefix()).map(move |row| {
            let (key, value) = row.map_err(|error| self.sled_error(error))?;
            let parsed = kind.parse(&key);
            let (height, hash) = parsed.ok_or_else(|| self.corrupt("a row's key is not of its kind"))?;
            let decoded = unseal(&key, &value).and_then(|bytes| decode(height, hash, bytes));
            decoded.map_err(|bad| self.bad_row(&key, &bad))
        })
    }

    /// sled drops what it cannot read and says nothing. Every block above the lowest must have its parent here, those of
    /// a chain from the middle down to its anchor.
    fn check_parents(&self, saved: &Saved) -> Result<(), StoreError> {
        let anchor = saved.graft.map(|claim| claim.anchor);
        let mut grafted = BTreeSet::new();
        for block in &saved.blocks {
            if Some(block.id) == anchor || grafted.contains(&block.parent) {
                grafted.insert(block.id);
            }
        }
        let blocks: Vec<_> = saved.blocks.iter().filter(|block| !grafted.contains(&block.id)).collect();
        let mut heights = blocks.chunk_by(|a, b| a.height == b.height);
        let ids = |blocks: &[&BlockSummary]| blocks.iter().map(|block| block.id).collect::<BTreeSet<_>>();
        let mut below = heights.next().map(ids).unwrap_or_default();
        for here in heights {
            if let Some(block) = here.iter().find(|block| !below.contains(&block.parent)) {
                return Err(self.corrupt(format!("the parent of share block {} is missing", block.id)));
            }
            below = ids(here);
        }
        Ok(())
    }

    fn check_tip(&self, saved: &Saved) -> Result<(), StoreError> {
        let find = |tip: ShareId| saved.blocks.iter().rfind(|block| block.id == tip);
        match saved.tip.map(find) {
            Some(Some(tip)) => self.block(tip.height, &tip.id).map(drop),
            None if saved.blocks.is_empty() || saved.graft.is_some() => Ok(()),
            _ => Err(self.corrupt("its tip is missing")),
        }
    }

    pub(super) fn corrupt(&self, problem: impl Into<String>) -> StoreError {
        StoreError::Corrupt { path: self.path.clone(), problem: problem.into() }
    }

    pub(super) fn sled_error(&self, error: sled::Error) -> StoreError {
        StoreError::of_sled(&self.path, error)
    }

    pub(super) fn bad_row(&self, key: &[u8], bad: &BadRow) -> StoreError {
        let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        self.corrupt(format!("row {key}: {bad}"))
    }
}
