//! A session with a clock that a script moves, and what a script expects of its answers.

use super::*;
use crate::stratum::submit::Found;
use crate::stratum::visitor;
use crate::test_jobs::{JobMaker, MADE_AT, owner, target};
use binary_sv2::U256Owned;
use bitcoin::hashes::{Hash, sha256d};
use common_messages_sv2::SetupConnectionOwned;
use framing_sv2::header::Header;
use mining_sv2::{OpenExtendedMiningChannelOwned, OpenStandardMiningChannelOwned, SubmitSharesStandardOwned};
use parsers_sv2::CommonMessages;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// What a session said.
#[derive(Debug)]
pub(super) enum Said {
    Common(CommonMessagesOwned),
    Mining(MiningOwned),
}

/// A session with a clock that a script moves.
pub(super) struct Script {
    pub(super) session: Session,
    pub(super) now: Now,
    pub(super) found: Vec<Found>,
    pub(super) closed: bool,
    pub(super) newest: Option<Arc<Job>>,
}

pub(super) fn split(mut bytes: &[u8]) -> Vec<Said> {
    let mut said = Vec::new();
    while !bytes.is_empty() {
        let (frame, rest) = bytes.split_at(frame::length(bytes).expect("a whole frame"));
        let header = Header::from_bytes(frame).expect("a header");
        assert_eq!(header.ext_type_without_channel_msg(), 0);
        let mut payload = frame[6..].to_vec();
        said.push(match header.msg_type() {
            kind @ 0..=4 => {
                let message = CommonMessages::try_from((kind, &mut payload[..])).expect("a message");
                Said::Common(message.into_owned())
            }
            kind => {
                let message = Mining::try_from((kind, &mut payload[..])).expect("a message");
                Said::Mining(message.into_owned())
            }
        });
        bytes = rest;
    }
    said
}

impl Script {
    pub(super) fn new() -> Self {
        Self::with_fee(None)
    }

    pub(super) fn with_fee(fee: Option<Fee>) -> Self {
        let config = SessionConfig {
            network: Network::Main,
            default_owner: Some(owner(1)),
            classes: PayoutClasses::new(&[11, 38, 145, 360], [("small".to_owned(), 4)]),
            ids: Arc::new(JobIds::starting_at(0x7000_0000)),
            fee,
        };
        let places = Sessions::new(0xabcd, 1_000);
        let now = Now { instant: Instant::now(), unix: MADE_AT };
        let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let visitor = Visitor::new(remote, visitor::Protocol::StratumV2, now.instant);
        let session = Session::new(Arc::new(config), places, visitor);
        Self { session, now, found: Vec::new(), closed: false, newest: None }
    }

    /// Past the set-up.
    pub(super) fn ready(flags: u32) -> Self {
        let mut script = Self::new();
        let said = script.set_up(0, (2, 2), flags);
        assert!(
            matches!(&said[..], [Said::Common(CommonMessagesOwned::SetupConnectionSuccess(ok))]
                if ok.used_version == 2 && ok.flags == 0),
            "{said:?}"
        );
        script
    }

    /// Past the set-up, as a device with this name.
    pub(super) fn device(name: &str) -> Self {
        let mut script = Self::new();
        script.set_up_as(name, 0, (2, 2), 0);
        script
    }

    pub(super) fn set_up(&mut self, protocol: u8, versions: (u16, u16), flags: u32) -> Vec<Said> {
        self.set_up_as("x", protocol, versions, flags)
    }

    fn set_up_as(&mut self, name: &str, protocol: u8, versions: (u16, u16), flags: u32) -> Vec<Said> {
        let setup = SetupConnectionOwned {
            protocol: Protocol::try_from(protocol).expect("defined"),
            min_version: versions.0,
            max_version: versions.1,
            flags,
            endpoint_host: text("here"),
            endpoint_port: 1,
            vendor: text("maker"),
            hardware_version: text("7"),
            firmware: text(name),
            device_id: text(""),
        };
        let mut bytes = Vec::new();
        frame::write_common(&mut bytes, CommonMessagesOwned::SetupConnection(setup));
        self.hear(bytes)
    }

    pub(super) fn say(&mut self, message: MiningOwned) -> Vec<Said> {
        let mut bytes = Vec::new();
        frame::write(&mut bytes, message);
        self.hear(bytes)
    }

    pub(super) fn hear(&mut self, mut frame: Vec<u8>) -> Vec<Said> {
        match self.session.on_frame(&mut frame, self.now) {
            None => {}
            Some(Event::Found(found)) => self.found.push(*found),
            Some(Event::Opened(opened)) => self.session.start(&opened, self.newest.clone(), self.now),
            Some(Event::Close) => self.closed = true,
        }
        self.output()
    }

    pub(super) fn output(&mut self) -> Vec<Said> {
        let mut out = Vec::new();
        self.session.take_output(&mut out, self.now);
        split(&out)
    }

    /// A new job for everybody.
    pub(super) fn job(&mut self, job: JobMaker) -> Vec<Said> {
        let job = Arc::new(job.job());
        self.newest = Some(Arc::clone(&job));
        for class in [11, 360] {
            self.session.on_job(SeriesKey { owner: owner(1), class }, &job);
        }
        self.output()
    }

    pub(super) fn open(&mut self, kind: Kind, rate: f32, max_target: [u8; 32]) -> Vec<Said> {
        let max_target = U256Owned::from(max_target);
        self.say(match kind {
            Kind::Standard => MiningOwned::OpenStandardMiningChannel(OpenStandardMiningChannelOwned {
                request_id: 77,
                user_identity: text("rig"),
                nominal_hash_rate: rate,
                max_target,
            }),
            Kind::Extended => MiningOwned::OpenExtendedMiningChannel(OpenExtendedMiningChannelOwned {
                request_id: 77,
                user_identity: text("rig"),
                nominal_hash_rate: rate,
                max_target,
                min_extranonce_size: 8,
            }),
        })
    }

    pub(super) fn submit(&mut self, channel: u32, job: u32, nonce: u32) -> Vec<Said> {
        self.say(MiningOwned::SubmitSharesStandard(standard(channel, job, nonce)))
    }

    pub(super) fn wait(&mut self, seconds: u32) -> Vec<Said> {
        for _ in 0..seconds.div_ceil(2) {
            self.now.instant += Duration::from_secs(2);
            self.now.unix += 2;
            self.closed |= self.session.on_tick(self.now);
        }
        self.output()
    }
}

pub(super) fn standard(channel: u32, job: u32, nonce: u32) -> SubmitSharesStandardOwned {
    SubmitSharesStandardOwned {
        channel_id: channel,
        sequence_number: nonce,
        job_id: job,
        nonce,
        ntime: MADE_AT,
        version: 0x2000_0000,
    }
}

/// The channel and the target of an opened channel's answer.
pub(super) fn opened(said: &Said) -> (u32, u32, Vec<u8>, U256Owned) {
    match said {
        Said::Mining(MiningOwned::OpenStandardMiningChannelSuccess(ok)) => {
            assert_eq!(ok.request_id, 77);
            (ok.channel_id, ok.group_channel_id, ok.extranonce_prefix.to_owned_bytes(), ok.target.clone())
        }
        Said::Mining(MiningOwned::OpenExtendedMiningChannelSuccess(ok)) => {
            assert_eq!((ok.request_id, ok.extranonce_size), (77, 8));
            (ok.channel_id, ok.group_channel_id, ok.extranonce_prefix.to_owned_bytes(), ok.target.clone())
        }
        other => panic!("not opened: {other:?}"),
    }
}

pub(super) fn refused(said: &[Said]) -> String {
    match said {
        [Said::Mining(MiningOwned::OpenMiningChannelError(error))] => error.error_code.as_utf8_or_hex(),
        [Said::Mining(MiningOwned::SubmitSharesError(error))] => error.error_code.as_utf8_or_hex(),
        [Said::Mining(MiningOwned::UpdateChannelError(error))] => error.error_code.as_utf8_or_hex(),
        [Said::Mining(MiningOwned::SetCustomMiningJobError(error))] => error.error_code.as_utf8_or_hex(),
        [Said::Common(CommonMessagesOwned::SetupConnectionError(error))] => {
            format!("{} {}", error.error_code.as_utf8_or_hex(), error.flags)
        }
        other => panic!("not refused: {other:?}"),
    }
}

/// The job's id, whether it is a future one, and its merkle root.
pub(super) fn header_job(said: &Said) -> (u32, bool, [u8; 32]) {
    match said {
        Said::Mining(MiningOwned::NewMiningJob(job)) => {
            (job.job_id, job.is_future(), job.merkle_root.to_array())
        }
        other => panic!("no job: {other:?}"),
    }
}

pub(super) fn accepted(said: &[Said]) -> (u32, u32, u64) {
    match said {
        [Said::Mining(MiningOwned::SubmitSharesSuccess(ok))] => {
            (ok.last_sequence_number, ok.new_submits_accepted_count, ok.new_shares_sum)
        }
        other => panic!("not accepted: {other:?}"),
    }
}

pub(super) fn le(difficulty: i32) -> [u8; 32] {
    target(difficulty).value().to_little_endian()
}

/// The header of a solution, put together from what was announced alone.
pub(super) fn header_hash(
    prev: [u8; 32],
    root: [u8; 32],
    bits: u32,
    submit: &SubmitSharesStandardOwned,
) -> [u8; 32] {
    let mut header = Vec::new();
    header.extend_from_slice(&submit.version.to_le_bytes());
    header.extend_from_slice(&prev);
    header.extend_from_slice(&root);
    header.extend_from_slice(&submit.ntime.to_le_bytes());
    header.extend_from_slice(&bits.to_le_bytes());
    header.extend_from_slice(&submit.nonce.to_le_bytes());
    sha256d::Hash::hash(&header).to_byte_array()
}
