//! One connection as a pure state machine: frames and jobs in, frames and found work out.
//!
//! It knows no socket and no clock. A connection is set up once, then opens channels, each for one miner or one proxy's
//! miners. Answers come in the order of their requests; acknowledgements of shares and announcements of jobs are composed
//! when they can be written.

use super::announce;
use super::channel::{Channel, Kind, PREFIX, ROLLED, Refused, Submit, at_least};
use super::closed::ClosedChannels;
use super::frame::{self, Inbound};
use crate::stratum::device::{PayoutClasses, TooSmall};
use crate::stratum::difficulty::Difficulty;
use crate::stratum::message::printable;
use crate::stratum::record::Who;
use crate::stratum::served::{Due, most};
use crate::stratum::session::Now;
use crate::stratum::sessions::Sessions;
use crate::stratum::submit::Found;
use crate::stratum::trouble::{Measure, Refusals};
use crate::stratum::user::{MAX_USER, owner_of};
use crate::stratum::vardiff::{Vardiff, suiting};
use crate::stratum::visitor::Visitor;
use crate::work::fee::Fee;
use crate::work::job::{Job, JobIds};
use crate::work::series::SeriesKey;
use binary_sv2::{B032Owned, Str0255Owned};
use common_messages_sv2::{
    ERROR_CODE_SETUP_CONNECTION_PROTOCOL_VERSION_MISMATCH,
    ERROR_CODE_SETUP_CONNECTION_UNSUPPORTED_FEATURE_FLAGS, ERROR_CODE_SETUP_CONNECTION_UNSUPPORTED_PROTOCOL,
    Protocol, ReconnectOwned, SetupConnection, SetupConnectionErrorOwned, SetupConnectionSuccessOwned,
};
use mining_sv2::{
    ERROR_CODE_OPEN_MINING_CHANNEL_CHANNEL_CAPACITY_EXHAUSTED as NO_ROOM,
    ERROR_CODE_OPEN_MINING_CHANNEL_EXTENDED_CHANNELS_NOT_SUPPORTED_FOR_STANDARD_JOBS as NO_EXTENDED,
    ERROR_CODE_OPEN_MINING_CHANNEL_INVALID_NOMINAL_HASHRATE as BAD_RATE,
    ERROR_CODE_OPEN_MINING_CHANNEL_INVALID_USER_IDENTITY as BAD_USER,
    ERROR_CODE_OPEN_MINING_CHANNEL_MAX_TARGET_OUT_OF_RANGE as BAD_TARGET,
    ERROR_CODE_OPEN_MINING_CHANNEL_MIN_EXTRANONCE_SIZE_TOO_LARGE as BAD_SIZE,
    ERROR_CODE_OPEN_MINING_CHANNEL_UNKNOWN_USER as UNKNOWN_USER,
    ERROR_CODE_SET_CUSTOM_MINING_JOB_JD_NOT_SUPPORTED as NO_CUSTOM_JOBS,
    ERROR_CODE_SUBMIT_SHARES_INVALID_CHANNEL_ID as NO_CHANNEL, OpenExtendedMiningChannel,
    OpenExtendedMiningChannelSuccessOwned, OpenMiningChannelErrorOwned, OpenStandardMiningChannel,
    OpenStandardMiningChannelSuccessOwned, SetCustomMiningJobErrorOwned, SubmitSharesErrorOwned,
    SubmitSharesSuccessOwned, UpdateChannelErrorOwned,
};
use parsers_sv2::{CommonMessagesOwned, Mining, MiningOwned};
use sharechain::owner::Owner;
use sharechain::params::Network;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use tracing::warn;

/// The protocol's only version.
const VERSION: u16 = 2;
/// `SetupConnection`: the miner cannot be given extended jobs.
const REQUIRES_STANDARD_JOBS: u32 = 1;
/// `SetupConnection`: the miner rolls version bits.
const REQUIRES_VERSION_ROLLING: u32 = 1 << 2;
/// Most channels of one connection.
const MAX_CHANNELS: usize = 256;
/// Most series of jobs, that is owners times kinds of channels, of one connection.
pub(super) const MAX_SERIES: usize = 16;
/// Channels refused for their users, one after the other, until the connection is given up.
const MOST_REFUSED: u16 = 64;
/// Bytes of announcements that are composed at once; the rest follows when those are written.
const MOST_AT_ONCE: usize = 64 * 1024;
/// To a device whose coinbase buffer is too small for an extended channel; a standard one needs none. The protocol has no
/// code for it.
const TOO_SMALL: &str = "coinbase-too-large-for-device";
/// Characters that are kept of a device's name, and of a user's.
const MOST_NAME: usize = 64;

/// What is the same for all connections.
#[derive(Debug)]
pub struct SessionConfig {
    /// The network whose addresses are taken.
    pub network: Network,
    /// Who is credited for user names that are no addresses.
    pub default_owner: Option<Owner>,
    /// Which payout class each device gets in jobs with a coinbase. The coinbase of header-only ones no device ever sees:
    /// they have the largest.
    pub classes: PayoutClasses,
    /// Where ids for jobs that are announced again come from; the builder of jobs uses the same.
    pub ids: Arc<JobIds>,
    /// The operator's fee, if there is one.
    pub fee: Option<Fee>,
}

impl SessionConfig {
    /// The payout class for a channel of this kind, opened by a device that gives itself this name.
    fn class(&self, kind: Kind, device: &str) -> Result<u16, TooSmall> {
        match kind {
            Kind::Standard => Ok(self.classes.largest()),
            Kind::Extended => self.classes.choose(device, None),
        }
    }
}

/// What whoever drives the session must do.
#[derive(Debug)]
pub enum Event {
    /// Get jobs of its series, and call [`Session::start`] with the newest.
    Opened(Opened),
    /// Pass this on, before the answer is written. It does not depend on what the answer is.
    Found(Box<Found>),
    /// Write what there is and hang up.
    Close,
}

/// A channel that was opened, and of which the miner is not told yet.
#[derive(Clone, Copy, Debug)]
pub struct Opened {
    /// The series of its jobs.
    pub key: SeriesKey,
    channel: u32,
    request: u32,
    /// Of the easiest target that the device takes.
    floor: Difficulty,
}

/// What the miner said of itself.
#[derive(Clone, Debug)]
struct Device {
    name: String,
    wants_standard_jobs: bool,
}

/// A session.
#[derive(Debug)]
pub struct Session {
    config: Arc<SessionConfig>,
    /// Where channels get their places.
    places: Sessions,
    visitor: Visitor,
    device: Option<Device>,
    channels: BTreeMap<u32, Channel>,
    closed: ClosedChannels,
    /// Of channels and groups, which share their numbers.
    next_id: u32,
    /// Channels refused for their users since the last that was opened.
    refused: u16,
    /// Whether a refusal was written to the log.
    logged: bool,
    /// Of submits, on all channels together.
    refusals: Refusals,
    replies: Vec<u8>,
}

/// What the two messages that open a channel have in common.
struct Open<'a> {
    kind: Kind,
    request: u32,
    user: &'a [u8],
    rate: f32,
    max_target: &'a [u8],
    /// Bytes of the extranonce that the miner wants to count in.
    rolled: usize,
}

impl<'a> From<&'a OpenStandardMiningChannel<'a>> for Open<'a> {
    fn from(message: &'a OpenStandardMiningChannel<'a>) -> Self {
        Self {
            kind: Kind::Standard,
            request: message.request_id,
            user: message.user_identity.as_bytes(),
            rate: message.nominal_hash_rate,
            max_target: message.max_target.as_bytes(),
            rolled: 0,
        }
    }
}

impl<'a> From<&'a OpenExtendedMiningChannel<'a>> for Open<'a> {
    fn from(message: &'a OpenExtendedMiningChannel<'a>) -> Self {
        Self {
            kind: Kind::Extended,
            request: message.request_id,
            user: message.user_identity.as_bytes(),
            rate: message.nominal_hash_rate,
            max_target: message.max_target.as_bytes(),
            rolled: message.min_extranonce_size.into(),
        }
    }
}

impl Session {
    /// A session in which nothing was said yet.
    pub fn new(config: Arc<SessionConfig>, places: Sessions, visitor: Visitor) -> Self {
        Self {
            config,
            places,
            visitor,
            device: None,
            channels: BTreeMap::new(),
            closed: ClosedChannels::default(),
            next_id: 1,
            refused: 0,
            logged: false,
            refusals: Refusals::default(),
            replies: Vec::new(),
        }
    }

    /// Takes one frame.
    pub fn on_frame(&mut self, frame: &mut [u8], now: Now) -> Option<Event> {
        let Ok(message) = frame::read(frame) else { return Some(Event::Close) };
        match (message, self.device.is_some()) {
            (Inbound::Setup(setup), false) => self.on_setup(&setup),
            (Inbound::SetupOther, false) => {
                self.refuse_setup(0, ERROR_CODE_SETUP_CONNECTION_UNSUPPORTED_PROTOCOL)
            }
            // What is said again, and what is not known.
            (Inbound::Setup(_) | Inbound::SetupOther, true) | (Inbound::Unknown, _) => None,
            (Inbound::Mining(_), false) => Some(Event::Close),
            (Inbound::Mining(message), true) => self.on_mining(message, now),
        }
    }

    /// Begins to serve a channel that was opened, with the newest job if there is one.
    pub fn start(&mut self, opened: &Opened, job: Option<Arc<Job>>, now: Now) {
        let &Opened { channel: id, request: request_id, floor, .. } = opened;
        if job.as_ref().is_some_and(|job| most(job) < floor) {
            return self.refuse_opened(opened, BAD_TARGET, now);
        }
        let Some(channel) = self.channels.get_mut(&id) else { return };
        if let Some(job) = job {
            channel.limit(&job, now.instant);
            channel.on_job(job);
        }
        channel.work.told = channel.vardiff.difficulty();
        let Ok(extranonce_prefix) = B032Owned::try_from(channel.prefix()) else { return };
        let (target, group_channel_id) = (announce::target(channel.work.told), channel.group);
        let success = match channel.kind {
            Kind::Standard => {
                MiningOwned::OpenStandardMiningChannelSuccess(OpenStandardMiningChannelSuccessOwned {
                    request_id,
                    channel_id: id,
                    target,
                    extranonce_prefix,
                    group_channel_id,
                })
            }
            Kind::Extended => {
                MiningOwned::OpenExtendedMiningChannelSuccess(OpenExtendedMiningChannelSuccessOwned {
                    request_id,
                    channel_id: id,
                    target,
                    extranonce_size: ROLLED as u16,
                    extranonce_prefix,
                    group_channel_id,
                })
            }
        };
        frame::write(&mut self.replies, success);
    }

    /// Closes a channel that was opened, since there are no jobs for it and will be none.
    pub fn on_no_room(&mut self, opened: &Opened, now: Now) {
        self.refuse_opened(opened, NO_ROOM, now);
    }

    fn refuse_opened(&mut self, opened: &Opened, code: &str, now: Now) {
        self.on_close(opened.channel, now);
        self.refuse_channel(opened.request, code);
    }

    /// Takes the newest job of a series.
    pub fn on_job(&mut self, key: SeriesKey, job: &Arc<Job>) {
        for channel in self.channels.values_mut().filter(|channel| channel.key == key) {
            channel.on_job(Arc::clone(job));
        }
    }

    /// To be called every two seconds or so. True when all its work has been refused for too long: hang up.
    pub fn on_tick(&mut self, now: Now) -> bool {
        match self.refusals.on_tick(now.instant) {
            Measure::Nothing => {}
            Measure::Reconnect => self.say_goodbye(),
            Measure::Close => return true,
        }
        self.closed.forget_old(now.instant);
        for channel in self.channels.values_mut().filter(|channel| channel.tip.is_some()) {
            if channel.vardiff.on_tick(now.instant) || channel.is_exhausted(now.instant) {
                channel.serve_again();
            }
        }
        false
    }

    /// Whether the connection is set up.
    pub const fn is_ready(&self) -> bool {
        self.device.is_some()
    }

    /// Whether a channel is open for this series.
    pub fn mines(&self, key: SeriesKey) -> bool {
        self.channels.values().any(|channel| channel.key == key)
    }

    /// Bytes of answers that wait to be taken.
    pub const fn waiting(&self) -> usize {
        self.replies.len()
    }

    /// Moves what is to be written to the end of `out`: answers, acknowledgements, then the announcements that are due,
    /// or some of them if they are many.
    pub fn take_output(&mut self, out: &mut Vec<u8>, now: Now) {
        out.append(&mut self.replies);
        for (id, channel) in &mut self.channels {
            write_acknowledgement(out, *id, channel);
        }
        self.announce_to_groups(out, now);
        for (id, channel) in &mut self.channels {
            if out.len() >= MOST_AT_ONCE {
                return;
            }
            if channel.due != Due::Nothing {
                announce::one(out, *id, channel, &self.config.ids, now);
            }
        }
    }

    /// Asks the miner to come back later, to the same node.
    pub fn say_goodbye(&mut self) {
        if self.is_ready() {
            let message = ReconnectOwned { new_host: text(""), new_port: 0 };
            frame::write_common(&mut self.replies, CommonMessagesOwned::Reconnect(message));
        }
    }

    /// A new job that all channels of a group are to have is told to the group, if that is more than one channel.
    fn announce_to_groups(&mut self, out: &mut Vec<u8>, now: Now) {
        if self.device.as_ref().is_none_or(|device| device.wants_standard_jobs) {
            return;
        }
        let due = self.channels.values().filter(|channel| channel.due == Due::New);
        let groups: BTreeSet<u32> = due.map(|channel| channel.group).collect();
        for group in groups {
            if out.len() >= MOST_AT_ONCE {
                return;
            }
            let mut members: Vec<(u32, &mut Channel)> = self
                .channels
                .iter_mut()
                .filter(|(_, channel)| channel.group == group)
                .map(|(id, channel)| (*id, channel))
                .collect();
            // The first job of a channel is its own, and so is one that only some of them mine for the operator's fee.
            let all = members.iter().all(|(_, channel)| channel.due == Due::New && channel.tip.is_some());
            let newest = |(_, channel): &(u32, &mut Channel)| channel.work.job.as_ref().map(Arc::as_ptr);
            if members.len() > 1 && all && members.windows(2).all(|two| newest(&two[0]) == newest(&two[1])) {
                announce::group(out, group, &mut members, now);
            }
        }
    }

    fn on_setup(&mut self, setup: &SetupConnection<'_>) -> Option<Event> {
        if setup.protocol != Protocol::MiningProtocol {
            return self.refuse_setup(0, ERROR_CODE_SETUP_CONNECTION_UNSUPPORTED_PROTOCOL);
        }
        if !(setup.min_version..=setup.max_version).contains(&VERSION) {
            return self.refuse_setup(0, ERROR_CODE_SETUP_CONNECTION_PROTOCOL_VERSION_MISMATCH);
        }
        let unsupported = setup.flags & !(REQUIRES_STANDARD_JOBS | REQUIRES_VERSION_ROLLING);
        if unsupported != 0 {
            return self.refuse_setup(unsupported, ERROR_CODE_SETUP_CONNECTION_UNSUPPORTED_FEATURE_FLAGS);
        }
        let parts =
            [&setup.vendor, &setup.hardware_version, &setup.firmware].map(|part| readable(part.as_bytes()));
        self.device = Some(Device {
            name: printable(parts.join(" ").trim(), MOST_NAME),
            wants_standard_jobs: setup.flags & REQUIRES_STANDARD_JOBS != 0,
        });
        let success = SetupConnectionSuccessOwned { used_version: VERSION, flags: 0 };
        frame::write_common(&mut self.replies, CommonMessagesOwned::SetupConnectionSuccess(success));
        None
    }

    fn refuse_setup(&mut self, flags: u32, code: &str) -> Option<Event> {
        let error = SetupConnectionErrorOwned { flags, error_code: text(code) };
        frame::write_common(&mut self.replies, CommonMessagesOwned::SetupConnectionError(error));
        Some(Event::Close)
    }

    fn on_mining(&mut self, message: Mining<'_>, now: Now) -> Option<Event> {
        match message {
            Mining::OpenStandardMiningChannel(message) => self.on_open(&Open::from(&message), now),
            Mining::OpenExtendedMiningChannel(message) => self.on_open(&Open::from(&message), now),
            Mining::SubmitSharesStandard(message) => {
                self.on_submit(message.channel_id, &Submit::from(&message), now)
            }
            Mining::SubmitSharesExtended(message) => {
                self.on_submit(message.channel_id, &Submit::from(&message), now)
            }
            Mining::UpdateChannel(message) => {
                let (rate, target) = (message.nominal_hash_rate, message.maximum_target.as_bytes());
                if let Err(code) = self.on_update(message.channel_id, rate, target, now) {
                    let error =
                        UpdateChannelErrorOwned { channel_id: message.channel_id, error_code: text(code) };
                    frame::write(&mut self.replies, MiningOwned::UpdateChannelError(error));
                }
                None
            }
            Mining::CloseChannel(message) => {
                self.on_close(message.channel_id, now);
                None
            }
            Mining::SetCustomMiningJob(message) => {
                let error = SetCustomMiningJobErrorOwned {
                    channel_id: message.channel_id,
                    request_id: message.request_id,
                    error_code: text(NO_CUSTOM_JOBS),
                };
                frame::write(&mut self.replies, MiningOwned::SetCustomMiningJobError(error));
                None
            }
            // What only a server says.
            _ => None,
        }
    }

    fn on_open(&mut self, open: &Open<'_>, now: Now) -> Option<Event> {
        match self.open(open, now) {
            Ok(opened) => {
                self.refused = 0;
                Some(Event::Opened(opened))
            }
            Err(code) => {
                self.refuse_channel(open.request, code);
                (self.refused >= MOST_REFUSED).then_some(Event::Close)
            }
        }
    }

    /// Counts a channel that is refused for its user, and logs the first.
    fn note_refusal(&mut self, why: impl fmt::Display) {
        self.refused = self.refused.saturating_add(1);
        if !std::mem::replace(&mut self.logged, true) {
            warn!(remote = %self.visitor.remote, "channel refused: {why}; further ones on this connection are not logged");
        }
    }

    fn refuse_channel(&mut self, request_id: u32, code: &str) {
        let error = OpenMiningChannelErrorOwned { request_id, error_code: text(code) };
        frame::write(&mut self.replies, MiningOwned::OpenMiningChannelError(error));
    }

    fn open(&mut self, open: &Open<'_>, now: Now) -> Result<Opened, &'static str> {
        let device = self.device.clone().ok_or(NO_ROOM)?;
        if open.kind == Kind::Extended && device.wants_standard_jobs {
            return Err(NO_EXTENDED);
        }
        if open.rolled > ROLLED {
            return Err(BAD_SIZE);
        }
        let user = std::str::from_utf8(open.user).map_err(|_| BAD_USER)?.trim();
        let owner = match owner_of(user, self.config.network, self.config.default_owner) {
            Ok(owner) => owner,
            Err(error) => {
                self.note_refusal(error);
                return Err(UNKNOWN_USER);
            }
        };
        let class = match self.config.class(open.kind, &device.name) {
            Ok(class) => class,
            Err(too_small) => {
                self.note_refusal(too_small);
                return Err(TOO_SMALL);
            }
        };
        let (vardiff, floor) = vardiff(open.rate, open.max_target, now)?;
        let key = SeriesKey { owner, class };
        let keys = self.channels.values().map(|channel| channel.key);
        let others: BTreeSet<SeriesKey> = keys.filter(|each| *each != key).collect();
        if self.channels.len() >= MAX_CHANNELS || others.len() >= MAX_SERIES {
            return Err(NO_ROOM);
        }
        let place = self.places.admit(self.visitor).map_err(|_| NO_ROOM)?;
        place.record.set_who(Who {
            user_agent: device.name,
            user: printable(user, MAX_USER),
            owner: Some(owner),
            class: Some(class),
        });
        let id = self.new_id();
        let group = self.group(key);
        let mut channel = Channel::new(open.kind, (key, group), place, vardiff, self.config.fee.as_ref());
        channel.rate = open.rate;
        self.channels.insert(id, channel);
        Ok(Opened { key, channel: id, request: open.request, floor })
    }

    /// Numbers are never given out twice: there are more than any connection can ask for in a year.
    fn new_id(&mut self) -> u32 {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        id
    }

    /// The group of a series' channels: those that the same jobs are for.
    fn group(&mut self, key: SeriesKey) -> u32 {
        let member = self.channels.values().find(|channel| channel.key == key);
        match member.map(|channel| channel.group) {
            Some(group) => group,
            None => self.new_id(),
        }
    }

    fn on_submit(&mut self, id: u32, submit: &Submit<'_>, now: Now) -> Option<Event> {
        let (found, answer) = match self.channels.get_mut(&id) {
            Some(channel) => channel.on_submit(submit, now),
            None => (self.closed.judge(id, submit, now), Err(Refused::NoChannel)),
        };
        self.refusals.on_submit(answer.is_ok(), now.instant);
        if let Err(refused) = answer {
            let error = SubmitSharesErrorOwned {
                channel_id: id,
                sequence_number: submit.sequence,
                error_code: text(refused.code()),
            };
            frame::write(&mut self.replies, MiningOwned::SubmitSharesError(error));
        }
        found.map(|found| Event::Found(Box::new(found)))
    }

    fn on_update(&mut self, id: u32, rate: f32, max_target: &[u8], now: Now) -> Result<(), &'static str> {
        let channel = self.channels.get_mut(&id).ok_or(NO_CHANNEL)?;
        let (wanted, floor) = vardiff(rate, max_target, now)?;
        if channel.work.job.as_ref().is_some_and(|job| most(job) < floor) {
            return Err(BAD_TARGET);
        }
        if rate > 0.0 {
            channel.rate = rate;
            channel.vardiff = wanted;
        } else {
            channel.vardiff.set_floor(floor, now.instant);
        }
        channel.vardiff.limit(channel.most, now.instant);
        if channel.vardiff.difficulty() != channel.work.told {
            channel.serve_again();
        }
        Ok(())
    }

    /// Closes a channel, or all of a group.
    fn on_close(&mut self, id: u32, now: Now) {
        let doomed: Vec<u32> = self
            .channels
            .iter()
            .filter(|(each, channel)| **each == id || channel.group == id)
            .map(|(each, _)| *each)
            .collect();
        for id in doomed {
            if let Some(mut channel) = self.channels.remove(&id) {
                write_acknowledgement(&mut self.replies, id, &mut channel);
                self.closed.add(id, channel, now.instant);
            }
        }
    }
}

fn write_acknowledgement(out: &mut Vec<u8>, id: u32, channel: &mut Channel) {
    if let Some((count, last, sum)) = channel.unacknowledged.take() {
        let success = SubmitSharesSuccessOwned {
            channel_id: id,
            last_sequence_number: last,
            new_submits_accepted_count: count,
            new_shares_sum: sum,
        };
        frame::write(out, MiningOwned::SubmitSharesSuccess(success));
    }
}

/// Where a miner of this rate begins, never at a target easier than the one given, and that one.
fn vardiff(rate: f32, max_target: &[u8], now: Now) -> Result<(Vardiff, Difficulty), &'static str> {
    if !rate.is_finite() || rate < 0.0 {
        return Err(BAD_RATE);
    }
    let floor = at_least(max_target).ok_or(BAD_TARGET)?;
    let mut vardiff = Vardiff::new(suiting(rate.into()).unwrap_or(Difficulty::ONE), now.instant);
    vardiff.set_floor(floor, now.instant);
    Ok((vardiff, floor))
}

/// A text of our own, all of which are short.
fn text(text: &str) -> Str0255Owned {
    Str0255Owned::try_from(text.as_bytes().to_vec()).expect("at most 255 bytes")
}

fn readable(bytes: &[u8]) -> String {
    printable(&String::from_utf8_lossy(bytes), MOST_NAME)
}

const _: () = assert!(PREFIX + ROLLED == size_of::<sharechain::share::Extranonce>());

#[cfg(test)]
mod script;
#[cfg(test)]
mod tests;
