//! The one canonical byte form: little-endian integers, compact-size lengths, one encoding per value.
//!
//! A decoder takes exactly what the encoder writes: trailing bytes, over-long sizes and non-minimal lengths are
//! refused, and every length is checked against what is left before anything is allocated.

use thiserror::Error;

/// Why bytes are not the canonical form of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The bytes end inside a value.
    #[error("the bytes end inside {0}")]
    Truncated(&'static str),
    /// There are bytes after the value.
    #[error("{0} bytes follow the end of the value")]
    Trailing(usize),
    /// A length is above what its field may hold.
    #[error("{field} is {len} long, at most {max} is allowed")]
    TooLong {
        /// The field.
        field: &'static str,
        /// The length that was read.
        len: u64,
        /// The most that is allowed.
        max: u64,
    },
    /// A compact size is not in its shortest form.
    #[error("a length is not in its shortest form")]
    NonMinimal,
    /// A value that its field can never hold.
    #[error("{0} has a value that is not allowed")]
    BadValue(&'static str),
}

/// A value with one canonical byte form.
pub trait Encode {
    /// Appends the canonical bytes.
    fn encode(&self, out: &mut Vec<u8>);

    /// The canonical bytes.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }
}

/// Reads what [`Encode`] writes, and nothing else.
pub trait Decode: Sized {
    /// Takes the value off the front of `reader`.
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// Reads a value that is all of `bytes`.
    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let value = Self::decode(&mut reader)?;
        reader.finish()?;
        Ok(value)
    }
}

/// A cursor over untrusted bytes.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Bytes not read yet.
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// An error unless all has been read.
    pub const fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing(self.rest.len())) }
    }

    /// The next `len` bytes.
    pub fn bytes(&mut self, len: usize, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::Truncated(field))?;
        self.rest = rest;
        Ok(head)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated(field))?;
        self.rest = rest;
        Ok(*head)
    }

    /// A byte.
    pub fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.array::<1>(field).map(|[byte]| byte)
    }

    /// A little-endian 16-bit integer.
    pub fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.array(field).map(u16::from_le_bytes)
    }

    /// A little-endian 32-bit integer.
    pub fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.array(field).map(u32::from_le_bytes)
    }

    /// A little-endian signed 32-bit integer.
    pub fn i32(&mut self, field: &'static str) -> Result<i32, DecodeError> {
        self.array(field).map(i32::from_le_bytes)
    }

    /// A little-endian 64-bit integer.
    pub fn u64(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        self.array(field).map(u64::from_le_bytes)
    }

    /// A compact size in its shortest form, at most `max`.
    pub fn size(&mut self, max: usize, field: &'static str) -> Result<usize, DecodeError> {
        let (value, least) = match self.u8(field)? {
            0xfd => (u64::from(self.u16(field)?), 0xfd),
            0xfe => (u64::from(self.u32(field)?), 0x1_0000),
            0xff => (self.u64(field)?, 0x1_0000_0000),
            small => (u64::from(small), 0),
        };
        if value < least {
            return Err(DecodeError::NonMinimal);
        }
        match usize::try_from(value) {
            Ok(size) if size <= max => Ok(size),
            _ => Err(DecodeError::TooLong { field, len: value, max: max as u64 }),
        }
    }

    /// A compact size and that many 32-byte hashes. Memory is taken only for hashes that are there.
    pub fn hashes(&mut self, max: usize, field: &'static str) -> Result<Vec<[u8; 32]>, DecodeError> {
        let count = self.size(max, field)?;
        let bytes = self.bytes(count.saturating_mul(32), field)?;
        Ok(bytes.as_chunks::<32>().0.to_vec())
    }
}

/// Appends `size` as a compact size in its shortest form (Bitcoin's variable-length integer).
pub fn put_size(out: &mut Vec<u8>, size: usize) {
    if let Ok(small @ 0..0xfd) = u8::try_from(size) {
        out.push(small);
    } else if let Ok(size) = u16::try_from(size) {
        out.push(0xfd);
        out.extend_from_slice(&size.to_le_bytes());
    } else if let Ok(size) = u32::try_from(size) {
        out.push(0xfe);
        out.extend_from_slice(&size.to_le_bytes());
    } else {
        out.push(0xff);
        out.extend_from_slice(&(size as u64).to_le_bytes());
    }
}

/// Appends a compact size and the hashes.
pub fn put_hashes(out: &mut Vec<u8>, hashes: &[[u8; 32]]) {
    put_size(out, hashes.len());
    out.extend_from_slice(hashes.as_flattened());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_round_trip_and_longer_forms_are_refused() {
        for size in [0, 1, 0xfc, 0xfd, 0xffff, 0x1_0000, 0xffff_ffff, 0x1_0000_0000] {
            let mut bytes = Vec::new();
            put_size(&mut bytes, size);
            assert_eq!(Reader::new(&bytes).size(usize::MAX, "n"), Ok(size));
        }
        for bytes in [&[0xfd, 0xfc, 0][..], &[0xfe, 0xff, 0xff, 0, 0], &[0xff, 1, 0, 0, 0, 0, 0, 0, 0]] {
            assert_eq!(Reader::new(bytes).size(usize::MAX, "n"), Err(DecodeError::NonMinimal));
        }
    }

    #[test]
    fn a_length_without_bytes_behind_it_allocates_nothing() {
        let mut reader = Reader::new(&[0xfe, 0xff, 0xff, 0xff, 0x7f]);
        assert_eq!(reader.hashes(usize::MAX, "ids"), Err(DecodeError::Truncated("ids")));
        let mut reader = Reader::new(&[17]);
        assert_eq!(
            reader.hashes(16, "branch"),
            Err(DecodeError::TooLong { field: "branch", len: 17, max: 16 })
        );
    }
}
