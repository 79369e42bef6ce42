//! `mining.configure` (BIP310): what a client asks for, and what it gets.

use super::message::{self, Params, Refusal, json_string};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The version bits that miners may roll: 13 to 28, outside of what BIP9 deployments signal with.
pub(crate) const VERSION_MASK: u32 = 0x1fff_e000;
/// Most extensions that one request may name.
const MAX_EXTENSIONS: usize = 16;

/// What is granted, and the answer that says so.
#[derive(Debug, Default)]
pub(super) struct Granted {
    /// The version bits that the miner may roll from now on, if it asked for any.
    pub(super) mask: Option<u32>,
    /// The least difficulty that the miner wants.
    pub(super) minimum_difficulty: Option<f64>,
    /// The result, as JSON.
    pub(super) result: String,
}

/// Answers a request: every extension that it names gets a value, unknown ones `false`.
pub(super) fn configure(params: &Params<'_>) -> Result<Granted, Refusal> {
    let codes: Vec<Cow<'_, str>> = params
        .raw(0)
        .and_then(|raw| serde_json::from_str(raw).ok())
        .ok_or(Refusal::BadParams("mining.configure takes a list of extensions"))?;
    if codes.len() > MAX_EXTENSIONS {
        return Err(Refusal::BadParams("mining.configure takes at most 16 extensions"));
    }
    let options: BTreeMap<Cow<'_, str>, &RawValue> =
        params.raw(1).and_then(|raw| serde_json::from_str(raw).ok()).unwrap_or_default();
    let option = |name: &str| options.get(name).map(|value| value.get());

    let mut granted = Granted::default();
    let mut answers: BTreeMap<&str, String> = BTreeMap::new();
    for code in &codes {
        match code.as_ref() {
            "version-rolling" => {
                let mask = wanted_mask(option("version-rolling.mask"))? & VERSION_MASK;
                granted.mask = Some(mask);
                answers.insert("version-rolling", (mask != 0).to_string());
                answers.insert("version-rolling.mask", format!("\"{mask:08x}\""));
            }
            "minimum-difficulty" => {
                granted.minimum_difficulty = option("minimum-difficulty.value").and_then(message::number);
                answers.insert("minimum-difficulty", granted.minimum_difficulty.is_some().to_string());
            }
            // The extranonce never changes, and what devices tell of themselves is not needed.
            granted @ ("subscribe-extranonce" | "info") => {
                answers.insert(granted, "true".into());
            }
            unknown => {
                answers.insert(unknown, "false".into());
            }
        }
    }
    let fields: Vec<String> =
        answers.iter().map(|(name, value)| format!("{}:{value}", json_string(name))).collect();
    granted.result = format!("{{{}}}", fields.join(","));
    Ok(granted)
}

/// The mask that a miner names; all bits where it names none.
fn wanted_mask(option: Option<&str>) -> Result<u32, Refusal> {
    let Some(raw) = option else { return Ok(u32::MAX) };
    let text = message::text(raw).unwrap_or_default();
    super::hex::u32(&text).ok_or(Refusal::BadParams("version-rolling.mask must be 1 to 8 hexadecimal digits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(params: &str) -> Result<Granted, Refusal> {
        let line = format!("{{\"id\":1,\"method\":\"mining.configure\",\"params\":{params}}}");
        configure(&message::parse(line.as_bytes()).expect("a request").params)
    }

    #[test]
    fn version_bits_are_the_common_ones() {
        for (mask, granted) in [
            (r#"{"version-rolling.mask":"ffffffff"}"#, 0x1fff_e000),
            (r#"{"version-rolling.mask":"FF0000", "version-rolling.min-bit-count":2}"#, 0x00ff_0000),
            (r#"{"version-rolling.mask":"f"}"#, 0),
            ("{}", 0x1fff_e000),
        ] {
            let answer = answer(&format!("[[\"version-rolling\"],{mask}]")).expect("granted");
            assert_eq!(answer.mask, Some(granted));
            let expected = format!(
                "{{\"version-rolling\":{},\"version-rolling.mask\":\"{granted:08x}\"}}",
                granted != 0
            );
            assert_eq!(answer.result, expected);
        }
        let answer = answer("[[\"version-rolling\"]]").expect("granted");
        assert_eq!(answer.mask, Some(VERSION_MASK));
    }

    #[test]
    fn every_extension_gets_a_value() {
        let granted = answer(
            r#"[["subscribe-extranonce","a\"b","minimum-difficulty","info"],{"minimum-difficulty.value":2048}]"#,
        )
        .expect("granted");
        assert_eq!(granted.minimum_difficulty, Some(2048.0));
        assert_eq!(granted.mask, None);
        let value: serde_json::Value = serde_json::from_str(&granted.result).expect("JSON");
        let expected = r#"{"a\"b":false,"info":true,"minimum-difficulty":true,"subscribe-extranonce":true}"#;
        assert_eq!(value, serde_json::from_str::<serde_json::Value>(expected).expect("JSON"));
    }

    #[test]
    fn nonsense_is_refused() {
        for params in [
            "[]",
            "[5]",
            "[[5]]",
            r#"[["version-rolling"],{"version-rolling.mask":"xyz"}]"#,
            r#"[["version-rolling"],{"version-rolling.mask":"123456789"}]"#,
            r#"[["version-rolling"],{"version-rolling.mask":5}]"#,
        ] {
            assert!(answer(params).is_err(), "{params}");
        }
        let many = format!("[{:?}]", (0..17).map(|i| i.to_string()).collect::<Vec<_>>());
        assert!(answer(&many).is_err());
    }
}
