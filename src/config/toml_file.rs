//! Reads a TOML file into a struct, with errors that name the line, and the nearest right key for an unknown one.
//!
//! Knows nothing of what the files mean; the list of right keys comes from the struct itself.

use serde::de::{self, DeserializeOwned, Deserializer, Visitor};
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use thiserror::Error;
use toml::de::{DeTable, Deserializer as TomlDeserializer};

/// What is wrong with a file of settings.
#[derive(Debug, Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Its text is wrong.
    #[error("{}, {problem}", path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// Where and what.
        problem: TextError,
    },
}

/// What is wrong with the text of a file of settings.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TextError {
    /// A key that nothing reads.
    #[error("line {line}: unknown key `{key}`; {}", advice(nearest, known))]
    UnknownKey {
        /// Line, from 1.
        line: usize,
        /// The key.
        key: String,
        /// The right key that looks most like it.
        nearest: Option<&'static str>,
        /// All right keys.
        known: &'static [&'static str],
    },
    /// No TOML, or a value of the wrong kind.
    #[error("line {line}: {message}")]
    Value {
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
}

fn advice(nearest: &Option<&'static str>, known: &[&str]) -> String {
    match nearest {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("the keys are {}", known.join(", ")),
    }
}

/// No file of settings is near this size; a larger one is the wrong file.
const MAX_FILE: u64 = 1 << 20;

/// Reads a file into a `T`.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, FileError> {
    let text = read_bounded(path).map_err(|source| FileError::Read { path: path.to_path_buf(), source })?;
    parse(&text).map_err(|problem| FileError::Text { path: path.to_path_buf(), problem })
}

/// Reads a text into a `T`.
pub(super) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, TextError> {
    let at = |error: toml::de::Error| TextError::Value {
        line: line_of(text, error.span()),
        message: error.message().trim().to_owned(),
    };
    let table = DeTable::parse(text).map_err(at)?;
    let known = field_names::<T>();
    // The table is sorted by key; the first line at fault is the one to name.
    let unknown = table.get_ref().keys().filter(|key| !known.contains(&key.get_ref().as_ref()));
    if let Some(key) = unknown.min_by_key(|key| key.span().start) {
        return Err(TextError::UnknownKey {
            line: line_of(text, Some(key.span())),
            key: key.get_ref().to_string(),
            nearest: nearest(key.get_ref(), known),
            known,
        });
    }
    T::deserialize(TomlDeserializer::from(table)).map_err(at)
}

fn read_bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(MAX_FILE + 1).read_to_string(&mut text)?;
    if read as u64 > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is larger than 1 MiB"));
    }
    Ok(text)
}

fn line_of(text: &str, span: Option<Range<usize>>) -> usize {
    let start = span.map_or(0, |span| span.start).min(text.len());
    text.as_bytes()[..start].iter().filter(|&&byte| byte == b'\n').count() + 1
}

/// The key most like `given`, if one is like it at all.
fn nearest(given: &str, known: &'static [&'static str]) -> Option<&'static str> {
    let plain = |key: &str| key.to_lowercase().replace('_', "-");
    let likeness = |key: &str| strsim::normalized_damerau_levenshtein(&plain(given), &plain(key));
    let best = known.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) >= 0.4).then_some(best)
}

/// The names under which `T` reads its fields, asked of its own `Deserialize`.
fn field_names<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    // The probe always ends in an error: it has nothing to give to the visitor.
    let _: Result<T, de::value::Error> = T::deserialize(FieldProbe(&mut names));
    names
}

struct FieldProbe<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for FieldProbe<'_> {
    type Error = de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("only the fields of a struct are asked for"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    struct Sample {
        data_dir: Option<String>,
        base_depth: Option<u32>,
    }

    fn error(text: &str) -> TextError {
        parse::<Sample>(text).expect_err("not a sample")
    }

    #[test]
    fn right_keys_are_read() {
        let sample: Sample = parse("# a comment\ndata-dir = 'x'\nbase-depth = 2\n").expect("right");
        assert_eq!(sample, Sample { data_dir: Some("x".into()), base_depth: Some(2) });
    }

    #[test]
    fn an_unknown_key_names_its_line_and_the_nearest_right_one() {
        for (text, line, nearest) in [
            ("data-dri = 'x'", 1, Some("data-dir")),
            ("base-depth = 2\n\ndata_dir = 'x'", 3, Some("data-dir")),
            ("\nBASE-DEPTH = 2", 2, Some("base-depth")),
            ("zzz = 1", 1, None),
            ("zzz = 1\naaa = 2", 1, None),
        ] {
            let TextError::UnknownKey { line: at, nearest: named, .. } = error(text) else {
                panic!("{text}: not an unknown key")
            };
            assert_eq!((at, named), (line, nearest), "{text}");
        }
        assert_eq!(
            error("zzz = 1").to_string(),
            "line 1: unknown key `zzz`; the keys are data-dir, base-depth"
        );
        assert_eq!(
            error("datadir = 1").to_string(),
            "line 1: unknown key `datadir`; did you mean `data-dir`?"
        );
    }

    #[test]
    fn a_wrong_value_names_its_line() {
        for (text, line) in
            [("data-dir = 'x'\nbase-depth = 'y'", 2), ("data-dir = 'x'\n\n= 3", 3), ("data-dir", 1)]
        {
            let TextError::Value { line: at, .. } = error(text) else { panic!("{text}: not a value") };
            assert_eq!(at, line, "{text}");
        }
    }
}
