//! Frames in the clear: six bytes of header, then a message. Bytes to messages and back, by the reference
//! implementation's types; nothing here knows what a message means.

use codec_sv2::{EncodableFrame, MessageFrame};
use common_messages_sv2::{MESSAGE_TYPE_SETUP_CONNECTION, SetupConnection};
use framing_sv2::header::Header;
use mining_sv2::{
    MESSAGE_TYPE_CLOSE_CHANNEL, MESSAGE_TYPE_OPEN_EXTENDED_MINING_CHANNEL,
    MESSAGE_TYPE_OPEN_STANDARD_MINING_CHANNEL, MESSAGE_TYPE_SET_CUSTOM_MINING_JOB,
    MESSAGE_TYPE_SUBMIT_SHARES_EXTENDED, MESSAGE_TYPE_SUBMIT_SHARES_STANDARD, MESSAGE_TYPE_UPDATE_CHANNEL,
};
use parsers_sv2::{CommonMessagesOwned, Mining, MiningOwned};
use std::fmt;
use thiserror::Error;
use tracing::error;

/// Most bytes of a message of a miner. The longest that means anything here has about 1,300.
pub const MAX_MESSAGE: usize = 8 * 1024;
/// Bytes of a frame's header.
pub(super) const HEADER: usize = Header::SIZE;
/// The highest number of a protocol that is defined: mining, job declaration, template distribution.
const LAST_PROTOCOL: u8 = 2;

/// What a miner said.
#[derive(Debug)]
pub enum Inbound<'a> {
    /// The first message of a connection.
    Setup(SetupConnection<'a>),
    /// The same, for a protocol that is not defined.
    SetupOther,
    /// A message of the mining protocol that miners send.
    Mining(Mining<'a>),
    /// Of a type or an extension that is not known here, to be ignored.
    Unknown,
}

/// A frame that is not what its header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a message that cannot be read")]
pub struct BadFrame;

/// Reads a frame. Bytes after the message are fields of extensions, and none is in use here.
pub fn read(frame: &mut [u8]) -> Result<Inbound<'_>, BadFrame> {
    let header = Header::from_bytes(frame).map_err(|_| BadFrame)?;
    let payload = frame.get_mut(HEADER..).ok_or(BadFrame)?;
    if payload.len() != header.payload_length() {
        return Err(BadFrame);
    }
    if header.ext_type_without_channel_msg() != 0 {
        return Ok(Inbound::Unknown);
    }
    match header.msg_type() {
        MESSAGE_TYPE_SETUP_CONNECTION => match payload.first() {
            Some(&protocol) if protocol > LAST_PROTOCOL => Ok(Inbound::SetupOther),
            _ => binary_sv2::from_bytes(payload).map(Inbound::Setup).map_err(|_| BadFrame),
        },
        kind @ (MESSAGE_TYPE_OPEN_STANDARD_MINING_CHANNEL
        | MESSAGE_TYPE_OPEN_EXTENDED_MINING_CHANNEL
        | MESSAGE_TYPE_UPDATE_CHANNEL
        | MESSAGE_TYPE_CLOSE_CHANNEL
        | MESSAGE_TYPE_SUBMIT_SHARES_STANDARD
        | MESSAGE_TYPE_SUBMIT_SHARES_EXTENDED
        | MESSAGE_TYPE_SET_CUSTOM_MINING_JOB) => {
            Mining::try_from((kind, payload)).map(Inbound::Mining).map_err(|_| BadFrame)
        }
        _ => Ok(Inbound::Unknown),
    }
}

/// Appends a message of the mining protocol.
pub(super) fn write(out: &mut Vec<u8>, message: MiningOwned) {
    append(out, MessageFrame::try_from(message));
}

/// Appends a message of all protocols.
pub(super) fn write_common(out: &mut Vec<u8>, message: CommonMessagesOwned) {
    append(out, MessageFrame::try_from(message));
}

/// Whole, or not at all.
fn append(out: &mut Vec<u8>, frame: Result<impl EncodableFrame, impl fmt::Debug>) {
    let start = out.len();
    let written = frame.map_err(|error| format!("{error:?}")).and_then(|frame| {
        out.resize(start + frame.encoded_length(), 0);
        frame.encode_into(&mut out[start..]).map_err(|error| format!("{error:?}"))
    });
    if let Err(error) = written {
        out.truncate(start);
        error!(error, "BUG: a message to a miner does not encode");
    }
}

/// The length of the frame that `bytes` begin with.
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    let header = Header::from_bytes(bytes).ok()?;
    Some(HEADER + header.payload_length()).filter(|length| *length <= bytes.len())
}
