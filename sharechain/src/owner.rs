//! Owners: the scriptPubKeys that shares may be credited to.

use crate::codec::{Decode, DecodeError, Encode, Reader, put_size};
use bitcoin::{Script, ScriptBuf};
use core::fmt;
use thiserror::Error;

const MAX_LEN: usize = 34;

/// A P2PKH, P2SH, P2WPKH, P2WSH or P2TR scriptPubKey, kept in place: it is copied into every credit.
///
/// Owners are ordered by their script's bytes, a shorter one before a longer that begins with it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner {
    len: u8,
    bytes: [u8; MAX_LEN],
}

/// The script is of none of the kinds that can own shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the script is not P2PKH, P2SH, P2WPKH, P2WSH or P2TR, so it cannot own shares")]
pub struct BadOwner;

impl Owner {
    /// The owner with this scriptPubKey.
    pub fn new(script: &Script) -> Result<Self, BadOwner> {
        let standard = script.is_p2pkh()
            || script.is_p2sh()
            || script.is_p2wpkh()
            || script.is_p2wsh()
            || script.is_p2tr();
        let len = u8::try_from(script.len()).map_err(|_| BadOwner)?;
        if !standard || script.len() > MAX_LEN {
            return Err(BadOwner);
        }
        let mut bytes = [0; MAX_LEN];
        bytes[..script.len()].copy_from_slice(script.as_bytes());
        Ok(Self { len, bytes })
    }

    /// The script's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The script.
    pub fn script(&self) -> &Script {
        Script::from_bytes(self.as_bytes())
    }

    /// The script, owned.
    pub fn to_script_buf(&self) -> ScriptBuf {
        self.script().to_owned()
    }

    /// Outputs below this many satoshis are dust for this script at 3 sat/vB, Bitcoin Core's default relay rule.
    ///
    /// A table of our own and not the `bitcoin` crate's, since a consensus rule must not move with a library.
    pub fn dust_limit(&self) -> u64 {
        match (self.len, self.bytes[0]) {
            (25, _) => 546,
            (23, _) => 540,
            (22, _) => 294,
            _ => 330,
        }
    }
}

impl Ord for Owner {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl PartialOrd for Owner {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Owner({:x})", self.script())
    }
}

impl Encode for Owner {
    fn encode(&self, out: &mut Vec<u8>) {
        put_size(out, usize::from(self.len));
        out.extend_from_slice(self.as_bytes());
    }
}

impl Decode for Owner {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let len = reader.size(MAX_LEN, "owner")?;
        let script = Script::from_bytes(reader.bytes(len, "owner")?);
        Self::new(script).map_err(|BadOwner| DecodeError::BadValue("owner"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::hashes::Hash;
    use bitcoin::{PubkeyHash, ScriptHash, WPubkeyHash, WScriptHash};

    fn standard() -> Vec<ScriptBuf> {
        let taproot = [&[0x51, 0x20][..], &[3; 32]].concat();
        vec![
            ScriptBuf::new_p2pkh(&PubkeyHash::all_zeros()),
            ScriptBuf::new_p2sh(&ScriptHash::all_zeros()),
            ScriptBuf::new_p2wpkh(&WPubkeyHash::all_zeros()),
            ScriptBuf::new_p2wsh(&WScriptHash::all_zeros()),
            ScriptBuf::from_bytes(taproot),
        ]
    }

    #[test]
    fn the_five_standard_kinds_own_shares_and_nothing_else_does() {
        for script in standard() {
            let owner = Owner::new(&script).expect("standard");
            assert_eq!(owner.script(), script.as_script());
            assert_eq!(owner.dust_limit(), script.minimal_non_dust().to_sat());
            assert_eq!(Owner::from_bytes(&owner.to_bytes()), Ok(owner));
        }
        for script in [vec![], vec![0x51], vec![0x6a, 1, 2], vec![0x52, 0x20], vec![0; 35]] {
            assert_eq!(Owner::new(Script::from_bytes(&script)), Err(BadOwner));
        }
    }
}
