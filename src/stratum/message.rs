//! The JSON lines of Stratum v1: reading requests, writing answers.
//!
//! Requests are read in place. Ids are kept as they stand in the line and given back byte for byte, since clients
//! send numbers, strings and repeated ids. What the methods mean is not known here.

use super::difficulty::Difficulty;
use super::record::Reason;
use super::user::UserError;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::io::Write as _;
use thiserror::Error;

/// Most characters of a client's own text that are said back to it.
const MAX_QUOTE: usize = 64;

/// A line that is a request, or a notification where it has no id.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    /// The id as it stands in the line. `None` when it is missing or null: such a request is never answered.
    pub(crate) id: Option<&'a str>,
    /// The method's name; what is no text is taken as it stands. `None` for a response to something that was never asked.
    pub(crate) method: Option<Cow<'a, str>>,
    /// The parameters. What is no array has none that can be taken.
    pub(crate) params: Params<'a>,
}

/// The parameters of a request: values not looked at yet.
#[derive(Debug, Default)]
pub(crate) struct Params<'a>(Vec<&'a RawValue>);

/// Why a request is not granted; the number is what miners count by, the text what their owners read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum Refusal {
    /// Not a JSON object with an id that can be said back.
    #[error("Not a Stratum request: {0}")]
    NotARequest(&'static str),
    /// A method that is unknown here or not granted.
    #[error("Method {0} is not supported")]
    Unsupported(String),
    /// Parameters that cannot be right.
    #[error("{0}")]
    BadParams(&'static str),
    /// A header time that cannot be right.
    #[error("{0}")]
    BadTime(&'static str),
    /// The job is not among those that are remembered.
    #[error("Job not found: it is unknown or older than 10 minutes")]
    JobNotFound,
    /// The Bitcoin block worked on has been overtaken, and by more than one.
    #[error("Stale share: Bitcoin is more than one block further")]
    Stale,
    /// The very same work was submitted before.
    #[error("Duplicate share")]
    Duplicate,
    /// The hash is above the target of the job.
    #[error("Low difficulty share")]
    LowDifficulty,
    /// Nobody to credit.
    #[error(transparent)]
    User(#[from] UserError),
    /// Work for a worker that did not authorize on this connection.
    #[error("Unauthorized worker: send mining.authorize with this user name first")]
    Unauthorized,
    /// There is no extranonce yet.
    #[error("Not subscribed: send mining.subscribe first")]
    NotSubscribed,
}

impl Refusal {
    /// The number that Stratum has for it.
    pub(super) const fn code(&self) -> u8 {
        match self {
            Self::NotARequest(_) | Self::Unsupported(_) | Self::BadParams(_) | Self::BadTime(_) => 20,
            Self::JobNotFound | Self::Stale => 21,
            Self::Duplicate => 22,
            Self::LowDifficulty => 23,
            Self::User(_) | Self::Unauthorized => 24,
            Self::NotSubscribed => 25,
        }
    }

    /// What a submit that is refused for it counts as.
    pub(super) const fn reason(&self) -> Reason {
        match self {
            Self::JobNotFound => Reason::UnknownJob,
            Self::Stale => Reason::Stale,
            Self::Duplicate => Reason::Repeated,
            Self::LowDifficulty => Reason::TooEasy,
            Self::BadTime(_) => Reason::Untimely,
            Self::NotARequest(_)
            | Self::Unsupported(_)
            | Self::BadParams(_)
            | Self::User(_)
            | Self::Unauthorized
            | Self::NotSubscribed => Reason::Other,
        }
    }

    /// A method that is not there.
    pub(crate) fn unsupported(method: &str) -> Self {
        Self::Unsupported(quote(method))
    }
}

/// A client's text, cut to a length that may be said back and without control characters.
pub(crate) fn quote(text: &str) -> String {
    printable(text, MAX_QUOTE)
}

/// So many characters of a stranger's text, without control characters.
pub(crate) fn printable(text: &str, most: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(most).collect()
}

/// Reads one line, without its line end.
pub(crate) fn parse(line: &[u8]) -> Result<Request<'_>, Refusal> {
    #[derive(Deserialize)]
    struct Raw<'a> {
        #[serde(borrow, default)]
        id: Option<&'a RawValue>,
        #[serde(borrow, default)]
        method: Option<&'a RawValue>,
        #[serde(borrow, default)]
        params: Option<&'a RawValue>,
    }
    // An array would be read as the fields in order.
    let raw: Raw<'_> = Some(line)
        .filter(|line| line.starts_with(b"{"))
        .and_then(|line| serde_json::from_slice(line).ok())
        .ok_or(Refusal::NotARequest("expected a JSON object with id, method and params"))?;
    let id = raw.id.map(RawValue::get);
    if id.is_some_and(|id| id.starts_with(['{', '['])) {
        return Err(Refusal::NotARequest("the id must be a number or a string"));
    }
    let method = raw.method.map(RawValue::get).map(|raw| text(raw).unwrap_or(Cow::Borrowed(raw)));
    let params = raw.params.and_then(|params| serde_json::from_str(params.get()).ok());
    Ok(Request { id, method, params: params.map(Params).unwrap_or_default() })
}

impl<'a> Params<'a> {
    /// The parameter as it stands in the line.
    pub(crate) fn raw(&self, index: usize) -> Option<&'a str> {
        self.0.get(index).map(|value| value.get())
    }

    /// The parameter, where it is a string.
    pub(crate) fn text(&self, index: usize) -> Option<Cow<'a, str>> {
        self.raw(index).and_then(text)
    }

    /// The parameter, where it is a number or a string that holds one.
    pub(super) fn number(&self, index: usize) -> Option<f64> {
        self.raw(index).and_then(number)
    }
}

/// A raw JSON value that is a string. One without escapes is not copied.
pub(super) fn text(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { serde_json::from_str(raw).ok() } else { Some(Cow::Borrowed(inner)) }
}

/// A raw JSON value that is a number, or a string that holds one.
pub(super) fn number(raw: &str) -> Option<f64> {
    text(raw).unwrap_or(Cow::Borrowed(raw)).trim().parse().ok()
}

/// Text as a JSON string, quotes included.
pub(super) fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Appends the answer with this result, which is JSON already, if an answer is wanted at all.
pub(super) fn write_result(out: &mut Vec<u8>, id: Option<&str>, result: &str) {
    let Some(id) = id else { return };
    for part in ["{\"id\":", id, ",\"result\":", result, ",\"error\":null}\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Appends the refusal of a request, if an answer is wanted at all.
///
/// `result` is what some clients look at instead: `false` for an authorization, else `null`.
pub(super) fn write_refusal(out: &mut Vec<u8>, id: Option<&str>, result: &str, refusal: &Refusal) {
    let Some(id) = id else { return };
    let (code, text) = (refusal.code(), json_string(&refusal.to_string()));
    let line = format!("{{\"id\":{id},\"result\":{result},\"error\":[{code},{text},null]}}\n");
    out.extend_from_slice(line.as_bytes());
}

/// Appends `mining.set_difficulty`.
pub(super) fn write_difficulty(out: &mut Vec<u8>, difficulty: Difficulty) {
    writeln!(out, "{{\"id\":null,\"method\":\"mining.set_difficulty\",\"params\":[{difficulty}]}}")
        .expect("a vector takes any bytes");
}

/// Appends a notification with at most one parameter, a text.
pub(super) fn write_notice(out: &mut Vec<u8>, method: &str, text: Option<&str>) {
    let text = text.map(json_string).unwrap_or_default();
    let line = format!("{{\"id\":null,\"method\":\"{method}\",\"params\":[{text}]}}\n");
    out.extend_from_slice(line.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_are_kept_as_they_were_sent() {
        for (id, kept) in [
            ("1", Some("1")),
            ("\"auth\"", Some("\"auth\"")),
            ("0", Some("0")),
            ("1.50", Some("1.50")),
            ("\"a\\u0062\"", Some("\"a\\u0062\"")),
            ("null", None),
        ] {
            let line = format!("{{\"id\": {id} ,\"method\":\"m\",\"params\":[]}}");
            assert_eq!(parse(line.as_bytes()).expect("a request").id, kept);
        }
        assert_eq!(parse(b"{\"method\":\"m\"}").expect("a request").id, None);
    }

    #[test]
    fn numbers_may_be_whole_broken_or_in_quotes() {
        let line = br#"{"id":1,"method":"m","params":[1000, 0.00015, "2e-4", " 5", "x", null, [1]]}"#;
        let params = parse(line).expect("a request").params;
        let numbers: Vec<Option<f64>> = (0..8).map(|i| params.number(i)).collect();
        assert_eq!(numbers, [Some(1000.0), Some(0.000_15), Some(2e-4), Some(5.0), None, None, None, None]);
    }

    #[test]
    fn strings_are_unescaped() {
        let line = br#"{"id":1,"method":"mining\u002esubmit","params":["a\"b", "plain", 5]}"#;
        let request = parse(line).expect("a request");
        assert_eq!(request.method.as_deref(), Some("mining.submit"));
        assert_eq!(request.params.text(0).as_deref(), Some("a\"b"));
        assert!(matches!(request.params.text(1), Some(Cow::Borrowed("plain"))));
        assert_eq!(request.params.text(2), None);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for line in [
            "",
            "{",
            "[]",
            "null",
            "GET / HTTP/1.1",
            "{\"id\":[1],\"method\":\"m\"}",
            "{\"id\":{},\"method\":\"m\"}",
            "{\"id\":1,\"id\":2,\"method\":\"m\"}",
            "{\"id\":1,\"method\":\"m\"} x",
        ] {
            assert!(matches!(parse(line.as_bytes()), Err(Refusal::NotARequest(_))), "{line}");
        }
        assert!(parse(b"{\"id\":1,\"method\":\"\xff\"}").is_err());
    }

    #[test]
    fn parameters_and_methods_of_other_shapes_are_requests_all_the_same() {
        for params in ["{}", "{\"a\":[1]}", "null", "5", "\"x\""] {
            let line = format!("{{\"id\":7,\"method\":\"m\",\"params\":{params}}}");
            let request = parse(line.as_bytes()).expect("a request");
            assert_eq!((request.id, request.method.as_deref()), (Some("7"), Some("m")));
            assert_eq!(request.params.raw(0), None);
        }
        assert_eq!(parse(b"{\"id\":1,\"method\":[5]}").expect("a request").method.as_deref(), Some("[5]"));
        assert_eq!(parse(b"{\"id\":1,\"method\":null}").expect("a response").method, None);
    }

    #[test]
    fn refusals_have_the_shape_that_devices_read() {
        let mut out = Vec::new();
        write_refusal(&mut out, Some("\"x\""), "null", &Refusal::unsupported("a\"b\n"));
        write_refusal(&mut out, None, "null", &Refusal::Duplicate);
        assert_eq!(
            String::from_utf8(out).expect("text"),
            "{\"id\":\"x\",\"result\":null,\"error\":[20,\"Method a\\\"b is not supported\",null]}\n"
        );
    }

    proptest! {
        #[test]
        fn no_line_makes_the_reader_panic(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&line);
        }

        #[test]
        fn whatever_is_said_back_is_json(method in ".*") {
            let mut out = Vec::new();
            write_refusal(&mut out, Some("7"), "null", &Refusal::unsupported(&method));
            let value: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
            prop_assert_eq!(&value["error"][0], 20);
            prop_assert!(out.len() < 600);
        }
    }
}
