//! Hexadecimal texts for serde, exact in length and lower case when written.

use bitcoin::CompactTarget;
use bitcoin::hex::{DisplayHex, FromHex};
use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};
use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// Hashes and ids, in the document of the interface.
pub(super) enum Hash {}

/// Bytes of any length, there.
pub(super) enum Hex {}

fn text_like(pattern: &str, says: &str) -> RefOr<Schema> {
    let text = ObjectBuilder::new().schema_type(Type::String);
    text.pattern(Some(pattern)).description(Some(says)).into()
}

impl PartialSchema for Hash {
    fn schema() -> RefOr<Schema> {
        text_like("^[0-9a-f]{64}$", "A hash or id, its bytes reversed as Bitcoin shows them")
    }
}

impl ToSchema for Hash {}

impl PartialSchema for Hex {
    fn schema() -> RefOr<Schema> {
        text_like("^([0-9a-f]{2})*$", "Bytes, in the order in which they are hashed")
    }
}

impl ToSchema for Hex {}

impl PartialSchema for AnyBytes {
    fn schema() -> RefOr<Schema> {
        Hex::schema()
    }
}

impl ToSchema for AnyBytes {
    fn name() -> Cow<'static, str> {
        Hex::name()
    }
}

impl PartialSchema for Bits {
    fn schema() -> RefOr<Schema> {
        text_like("^[0-9a-f]{8}$", "A compact target as Bitcoin shows it, most significant digit first")
    }
}

impl ToSchema for Bits {}

/// Bytes of a fixed length, in the order in which they are hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes<const N: usize>(pub [u8; N]);

impl<const N: usize> Serialize for Bytes<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.as_hex())
    }
}

impl<'de, const N: usize> Deserialize<'de> for Bytes<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = AnyBytes::deserialize(deserializer)?.0;
        let len = bytes.len();
        <[u8; N]>::try_from(bytes)
            .map(Self)
            .map_err(|_| de::Error::custom(format_args!("{len} bytes where {N} belong")))
    }
}

/// Bytes of any length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnyBytes(pub Vec<u8>);

impl Serialize for AnyBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.as_hex())
    }
}

impl<'de> Deserialize<'de> for AnyBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Vec::from_hex(&text).map(Self).map_err(|_| de::Error::custom("not hexadecimal"))
    }
}

/// A compact target as Bitcoin shows it: 8 hexadecimal digits, most significant first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bits(pub CompactTarget);

impl Serialize for Bits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:08x}", self.0.to_consensus()))
    }
}

impl<'de> Deserialize<'de> for Bits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Bytes::<4>::deserialize(deserializer)?;
        Ok(Self(CompactTarget::from_consensus(u32::from_be_bytes(bytes.0))))
    }
}

/// A value with a text of its own: ids and Bitcoin block hashes (shown with their bytes reversed), large numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<T>(pub T);

impl<T: Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de, T: FromStr<Err: Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map(Self).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sharechain::share::ShareId;

    fn round<T: Serialize + for<'de> Deserialize<'de>>(value: &T) -> (String, T) {
        let text = serde_json::to_string(value).expect("written");
        let back = serde_json::from_str(&text).expect("read back");
        (text, back)
    }

    #[test]
    fn values_round_trip_in_the_stated_order_of_bytes() {
        assert_eq!(round(&Bytes([0, 1, 0xff])), ("\"0001ff\"".into(), Bytes([0, 1, 0xff])));
        assert_eq!(round(&AnyBytes(vec![])), ("\"\"".into(), AnyBytes(vec![])));
        let bits = Bits(CompactTarget::from_consensus(0x1d00_ffff));
        assert_eq!(round(&bits), ("\"1d00ffff\"".into(), bits));
        let mut id = [0; 32];
        id[31] = 0xab;
        let (text, back) = round(&Text(ShareId(id)));
        assert!(text.starts_with("\"ab00") && back == Text(ShareId(id)));
    }

    #[test]
    fn what_is_too_short_too_long_or_no_hex_is_refused() {
        for text in ["\"00\"", "\"00000000\"", "\"0\"", "\"xx0000\"", "3", "\"0x0000\""] {
            assert!(serde_json::from_str::<Bytes<3>>(text).is_err(), "{text}");
        }
        assert!(serde_json::from_str::<Text<ShareId>>("\"00\"").is_err());
    }
}
