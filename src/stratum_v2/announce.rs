//! Jobs as messages, for one channel or for a group of them at once.
//!
//! The first job on each Bitcoin block is a future one, made the present one by the `SetNewPrevHash` behind it. Messages
//! are composed only when they can be written, so a slow reader gets the newest job and never a queue of old ones.

use super::channel::{Channel, Kind, Tip};
use super::frame;
use crate::stratum::difficulty::Difficulty;
use crate::stratum::served::{Due, Served};
use crate::stratum::session::Now;
use crate::work::job::{Job, JobId, JobIds};
use binary_sv2::{B064KOwned, Seq0255Owned, Sv2OptionOwned, U256Owned};
use bitcoin::hashes::Hash;
use mining_sv2::{NewExtendedMiningJobOwned, NewMiningJobOwned, SetNewPrevHashOwned, SetTargetOwned};
use parsers_sv2::MiningOwned;
use sharechain::share::Extranonce;
use std::sync::Arc;
use tracing::error;

/// A job as it is to be announced.
struct Announcement<'a> {
    /// The channel or the group.
    to: u32,
    id: JobId,
    job: &'a Arc<Job>,
    /// Where header times begin.
    time: u32,
    /// Whether the receivers mine on another Bitcoin block yet.
    is_future: bool,
}

/// A target as messages have it.
pub(super) fn target(difficulty: Difficulty) -> U256Owned {
    U256Owned::from(difficulty.target().value().to_little_endian())
}

/// Announces what is due to one channel.
pub(super) fn one(out: &mut Vec<u8>, id: u32, channel: &mut Channel, ids: &JobIds, now: Now) {
    let due = std::mem::replace(&mut channel.due, Due::Nothing);
    let Some(job) = channel.work.job.clone() else { return };
    let header_time = job.header().time.max(channel.earliest(&job));
    let (job_id, time) = match (channel.work.jobs.last(), channel.kind) {
        _ if due != Due::Again => (job.id(), header_time),
        // Another time, or the miner would count through the same extranonces again.
        (Some(last), Kind::Extended) => (ids.next(), now.unix.max(last.time.saturating_add(1))),
        _ => (ids.next(), now.unix.max(header_time)),
    };
    if time > job.max_time() {
        return;
    }
    let is_future = prepare(out, id, channel, &job, now);
    let announcement = Announcement { to: id, id: job_id, job: &job, time, is_future };
    let extranonce = channel.fixed_extranonce(due);
    match &extranonce {
        Some(extranonce) => announcement.write_header_only(out, extranonce),
        None => announcement.write_extended(out),
    }
    announcement.remember(channel, extranonce, now);
}

/// Announces a new job to all channels of a group, each of which has it due.
pub(super) fn group(out: &mut Vec<u8>, group: u32, members: &mut [(u32, &mut Channel)], now: Now) {
    let Some(job) = members.first().and_then(|(_, first)| first.work.job.clone()) else { return };
    let (mut is_future, mut time) = (false, job.header().time);
    for (id, channel) in members.iter_mut() {
        channel.due = Due::Nothing;
        time = time.max(channel.earliest(&job));
        is_future |= prepare(out, *id, channel, &job, now);
    }
    let announcement = Announcement { to: group, id: job.id(), job: &job, time, is_future };
    announcement.write_extended(out);
    for (_, channel) in members {
        let extranonce = channel.fixed_extranonce(Due::New);
        announcement.remember(channel, extranonce, now);
    }
}

/// Tells the target that holds for the job, if it is another than before. Whether the job is on another Bitcoin block.
fn prepare(out: &mut Vec<u8>, id: u32, channel: &mut Channel, job: &Job, now: Now) -> bool {
    if channel.tip.is_none() {
        channel.vardiff.restart(now.instant);
    }
    channel.limit(job, now.instant);
    let difficulty = channel.vardiff.difficulty();
    if channel.work.told != difficulty {
        let message = SetTargetOwned { channel_id: id, maximum_target: target(difficulty) };
        frame::write(out, MiningOwned::SetTarget(message));
        channel.work.told = difficulty;
    }
    channel.place.record.on_work(difficulty, now.instant);
    !channel.tip.is_some_and(|tip| tip.is_of(job))
}

impl Announcement<'_> {
    fn write_header_only(&self, out: &mut Vec<u8>, extranonce: &Extranonce) {
        let message = NewMiningJobOwned {
            channel_id: self.to,
            job_id: self.id.0,
            min_ntime: self.min_time(),
            version: self.version(),
            merkle_root: self.job.merkle_root(extranonce).into(),
        };
        frame::write(out, MiningOwned::NewMiningJob(message));
        self.write_tip(out);
    }

    fn write_extended(&self, out: &mut Vec<u8>) {
        let (prefix, suffix) = self.job.coinbase_parts();
        let path = self.job.branch().iter().map(|hash| U256Owned::from(*hash)).collect();
        let (Ok(merkle_path), Ok(coinbase_tx_prefix), Ok(coinbase_tx_suffix)) =
            (Seq0255Owned::new(path), B064KOwned::try_from(prefix), B064KOwned::try_from(suffix))
        else {
            return error!("BUG: a coinbase or a merkle branch is too long for Stratum V2");
        };
        let message = NewExtendedMiningJobOwned {
            channel_id: self.to,
            job_id: self.id.0,
            min_ntime: self.min_time(),
            version: self.version(),
            version_rolling_allowed: true,
            merkle_path,
            coinbase_tx_prefix,
            coinbase_tx_suffix,
        };
        frame::write(out, MiningOwned::NewExtendedMiningJob(message));
        self.write_tip(out);
    }

    fn write_tip(&self, out: &mut Vec<u8>) {
        if !self.is_future {
            return;
        }
        let header = self.job.header();
        let message = SetNewPrevHashOwned {
            channel_id: self.to,
            job_id: self.id.0,
            prev_hash: header.prev_block.to_byte_array().into(),
            min_ntime: self.time,
            nbits: header.bits.to_consensus(),
        };
        frame::write(out, MiningOwned::SetNewPrevHash(message));
    }

    fn min_time(&self) -> Sv2OptionOwned<u32> {
        Sv2OptionOwned::new((!self.is_future).then_some(self.time))
    }

    fn version(&self) -> u32 {
        self.job.header().version.to_consensus().cast_unsigned()
    }

    fn remember(&self, channel: &mut Channel, extranonce: Option<Extranonce>, now: Now) {
        if self.is_future {
            let header = self.job.header();
            let (prev_block, bits) = (header.prev_block, header.bits);
            channel.tip = Some(Tip { prev_block, bits, min_time: self.time });
        }
        let (job, difficulty) = (Arc::clone(self.job), channel.work.told);
        channel.work.jobs.push(Served {
            id: self.id,
            job,
            time: self.time,
            difficulty,
            mask: super::channel::ROLLABLE,
            extranonce,
            at: now.instant,
        });
    }
}
