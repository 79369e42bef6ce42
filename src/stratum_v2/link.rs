//! The encrypted link to a miner: bytes to frames in the clear and back, without a socket.
//!
//! Noise NX: the miner sends a key, the node answers with its own and a certificate of it, and all that follows is
//! encrypted. Nothing is kept that is longer than [`MAX_MESSAGE`], and what does not decrypt ends the link.

use super::authority::{Authority, valid_from};
use super::frame::{self, MAX_MESSAGE};
use codec_sv2::{
    Decoded, Decrypted, Handshake, NoiseDecoder, NoiseEncoder, SerializedFrame, TransportDecryptState,
    TransportEncryptState,
};
use noise_sv2::{AEAD_MAC_LEN, Responder};
use rand::rngs::OsRng;
use std::fmt;
use thiserror::Error;

/// Bytes read in one go, beyond a frame.
const CHUNK: usize = 2 * 1024;

/// Why there is no way on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LinkError {
    /// The handshake failed, or a frame does not decrypt.
    #[error("it does not speak Stratum V2, or not encrypted")]
    Cipher,
    /// A frame is longer than any that means something.
    #[error("a message is longer than 8192 bytes")]
    TooLong,
    /// A message does not fit into a frame.
    #[error("BUG: a message to a miner does not encrypt")]
    Own,
}

enum State {
    Handshake(Handshake<Responder>),
    Open(TransportEncryptState, TransportDecryptState),
    Broken,
}

/// One connection's link.
pub struct Link {
    state: State,
    decoder: NoiseDecoder,
    encoder: NoiseEncoder,
    /// Bytes received, of which the first `taken` were used.
    input: Vec<u8>,
    taken: usize,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("open", &self.is_open()).finish_non_exhaustive()
    }
}

impl Link {
    /// A link on which nothing was said yet.
    pub fn new(authority: &Authority) -> Self {
        let state = authority.handshake().map_or(State::Broken, State::Handshake);
        let (decoder, encoder) = (NoiseDecoder::new(), NoiseEncoder::new());
        Self { state, decoder, encoder, input: Vec::new(), taken: 0 }
    }

    /// Whether the handshake is over.
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Open(..))
    }

    /// Where received bytes are to be appended.
    pub fn space(&mut self) -> &mut Vec<u8> {
        self.input.drain(..self.taken);
        self.taken = 0;
        self.input.reserve(CHUNK);
        &mut self.input
    }

    /// The next frame, in the clear, if all of it is there. What the handshake answers is appended to `out`. `unix` is
    /// the present time.
    pub fn next(&mut self, unix: u32, out: &mut Vec<u8>) -> Result<Option<Vec<u8>>, LinkError> {
        loop {
            match std::mem::replace(&mut self.state, State::Broken) {
                State::Broken => return Err(LinkError::Cipher),
                State::Handshake(handshake) => {
                    let round = self.decoder.next_handshake_frame::<Responder>();
                    match round.map_err(|_| LinkError::Cipher)? {
                        Decoded::Incomplete(_) => self.state = State::Handshake(handshake),
                        Decoded::Frame(hello) => {
                            let hello = hello.payload().try_into().map_err(|_| LinkError::Cipher)?;
                            let (answer, transport) = handshake
                                .step_1_with_now_rng(hello, valid_from(unix), &mut OsRng)
                                .map_err(|_| LinkError::Cipher)?;
                            out.extend_from_slice(answer.payload());
                            let (encrypt, decrypt) = transport.split();
                            self.state = State::Open(encrypt, decrypt);
                            continue;
                        }
                    }
                }
                State::Open(encrypt, decrypt) => {
                    let round = self.decoder.next_transport_frame(decrypt);
                    match round.map_err(|_| LinkError::Cipher)? {
                        Decrypted::Frame(frame, decrypt) => {
                            self.state = State::Open(encrypt, decrypt);
                            return Ok(Some(frame.into_bytes()));
                        }
                        Decrypted::Incomplete(_, decrypt) => self.state = State::Open(encrypt, decrypt),
                    }
                }
            }
            if !self.feed()? {
                return Ok(None);
            }
        }
    }

    /// Gives the decoder exactly what it asks for; false when that is not there yet.
    fn feed(&mut self) -> Result<bool, LinkError> {
        let wanted = self.decoder.writable_len();
        if wanted > MAX_MESSAGE + AEAD_MAC_LEN {
            return Err(LinkError::TooLong);
        }
        let Some(bytes) = self.input.get(self.taken..self.taken + wanted) else { return Ok(false) };
        self.decoder.writable().copy_from_slice(bytes);
        self.taken += wanted;
        Ok(true)
    }

    /// Encrypts frames, and appends them to `out`.
    pub fn seal(&mut self, mut frames: &[u8], out: &mut Vec<u8>) -> Result<(), LinkError> {
        while !frames.is_empty() {
            let State::Open(encrypt, _) = &mut self.state else { return Err(LinkError::Own) };
            let length = frame::length(frames).ok_or(LinkError::Own)?;
            let (first, rest) = frames.split_at(length);
            let first = SerializedFrame::from_bytes(first.to_vec()).map_err(|_| LinkError::Own)?;
            let sealed = self.encoder.encode_transport(first, encrypt).map_err(|_| LinkError::Own)?;
            out.extend_from_slice(&sealed);
            frames = rest;
        }
        Ok(())
    }
}
