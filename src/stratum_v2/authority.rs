//! The key pair that devices know this node by: made once, kept in the data folder, signing a certificate for every
//! connection.

use crate::disk;
use bitcoin::base58;
use bitcoin::secp256k1::{Keypair, Secp256k1, SecretKey};
use codec_sv2::Handshake;
use noise_sv2::Responder;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// Most bytes of the file; a key has 64, and a line end.
const MAX_FILE: usize = 128;
/// Tries to draw a number that is a key; all but one in 2^128 are.
const TRIES: usize = 8;
/// How long a certificate holds. One is made for each connection and looked at once, when that begins.
const VALIDITY: Duration = Duration::from_secs(2 * DAY as u64);
/// It holds from before it was made, for devices whose clock is slow.
const DAY: u32 = 24 * 60 * 60;
/// Version of the public key's text, as the specification has it.
const KEY_VERSION: [u8; 2] = [1, 0];

/// Why there is no authority.
#[derive(Debug, Error)]
pub enum AuthorityError {
    /// The file cannot be read or written.
    #[error("the key of Stratum V2 {} cannot be read or written: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Others may read it.
    #[error(
        "others on this machine may read the key of Stratum V2 {} (mode {mode:03o}); run chmod 600 on it, or delete it for a new one", path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It holds no key.
    #[error(
        "{} holds no key of Stratum V2, which is 64 hexadecimal digits. Put it back from a copy, or delete it for a new one", path.display()
    )]
    Bad {
        /// The file.
        path: PathBuf,
    },
    /// No randomness.
    #[error("the system gives no randomness for a key of Stratum V2")]
    NoRandomness,
}

/// The key pair.
#[derive(Clone)]
pub struct Authority {
    secret: [u8; 32],
    public: [u8; 32],
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority({self})")
    }
}

/// The public key as devices and other programs take it: base58check of a version and 32 bytes.
impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base58::encode_check(&[&KEY_VERSION[..], &self.public].concat()))
    }
}

impl Authority {
    /// Reads the key, or makes and keeps one.
    pub fn load(path: &Path) -> Result<Self, AuthorityError> {
        let io = |source| AuthorityError::Io { path: path.to_owned(), source };
        let bad = || AuthorityError::Bad { path: path.to_owned() };
        match disk::read(path, MAX_FILE) {
            Ok(Some(text)) => {
                if let Some(mode) = disk::open_to_others(path).map_err(io)? {
                    return Err(AuthorityError::Open { path: path.to_owned(), mode });
                }
                from_hex(&text).and_then(Self::from_secret).ok_or_else(bad)
            }
            Ok(None) => {
                let authority = Self::generate()?;
                let text: String = authority.secret.iter().map(|byte| format!("{byte:02x}")).collect();
                disk::write(path, format!("{text}\n").as_bytes()).map_err(io)?;
                Ok(authority)
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(bad()),
            Err(error) => Err(io(error)),
        }
    }

    /// A new one, kept nowhere.
    pub fn generate() -> Result<Self, AuthorityError> {
        for _ in 0..TRIES {
            let mut secret = [0; 32];
            getrandom::fill(&mut secret).map_err(|_| AuthorityError::NoRandomness)?;
            if let Some(authority) = Self::from_secret(secret) {
                return Ok(authority);
            }
        }
        Err(AuthorityError::NoRandomness)
    }

    fn from_secret(secret: [u8; 32]) -> Option<Self> {
        let key = SecretKey::from_slice(&secret).ok()?;
        let public =
            Keypair::from_secret_key(&Secp256k1::signing_only(), &key).x_only_public_key().0.serialize();
        Some(Self { secret, public })
    }

    /// The 32 bytes of the public key.
    pub const fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// This side of a new connection's handshake.
    pub(super) fn handshake(&self) -> Option<Handshake<Responder>> {
        Responder::from_authority_kp(&self.public, &self.secret, VALIDITY).ok().map(Handshake::responder)
    }
}

/// When a certificate made at `unix` begins to hold.
pub(super) const fn valid_from(unix: u32) -> u32 {
    unix.saturating_sub(DAY)
}

fn from_hex(text: &[u8]) -> Option<[u8; 32]> {
    let digits = std::str::from_utf8(text.trim_ascii()).ok()?;
    if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_key_is_made_once_and_for_its_owners_eyes_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("authority");
        let made = Authority::load(&path).expect("made");
        assert_eq!(Authority::load(&path).expect("read").to_string(), made.to_string());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("set");
            let error = Authority::load(&path).expect_err("open to others").to_string();
            assert!(error.contains("mode 644") && error.contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn what_is_no_key_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("authority");
        let zeros = "0".repeat(64);
        for text in ["", "no key", &"f".repeat(64), &zeros, &zeros[1..], &"x".repeat(64), &"é".repeat(32)] {
            disk::write(&path, text.as_bytes()).expect("written");
            assert!(matches!(Authority::load(&path), Err(AuthorityError::Bad { .. })), "{text}");
            assert_eq!(fs::read(&path).expect("still there"), text.as_bytes());
        }
        disk::write(&path, &[b'1'; 1_000]).expect("written");
        assert!(matches!(Authority::load(&path), Err(AuthorityError::Bad { .. })));
    }

    #[test]
    fn the_public_key_is_written_as_the_specification_writes_it() {
        // The example of the specification, section 4.7.
        let public = [
            118, 99, 112, 0, 151, 156, 28, 17, 175, 12, 48, 11, 205, 140, 127, 228, 134, 16, 252, 233, 185,
            193, 30, 61, 174, 227, 90, 224, 176, 138, 116, 85,
        ];
        let authority = Authority { secret: [1; 32], public };
        assert_eq!(authority.to_string(), "9bXiEd8boQVhq7WddEcERUL5tyyJVFYdU8th3HfbNXK3Yw6GRXh");
    }
}
