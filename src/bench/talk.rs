//! One miner's conversation without its socket: lines in, submits out. Of the server it knows the protocol only.

use crate::miner::hash::{Search, target};
use crate::miner::job::{Job, Subscription, hex};
use primitive_types::U256;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::Write as _;
use std::time::{Duration, Instant};
use thiserror::Error;

const SUBSCRIBE: u64 = 1;
const AUTHORIZE: u64 = 2;
const FIRST_SUBMIT: u64 = 10;
/// Expected hashes for a submit from which on the generator would measure itself.
const HARDEST: f64 = 4_096.0;
/// Hashes after which a submit's search is given up: far more than any chance takes.
const NONCES: u64 = 1 << 20;
/// Characters kept of a server's own text.
const QUOTED: usize = 100;

/// What the server does that ends the conversation.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum Fault {
    #[error("it does not speak Stratum: {0}")]
    Nonsense(&'static str),
    #[error("it refused the user name: {0}")]
    Refused(String),
    #[error("it wants difficulty {0}, which no load generator can serve")]
    TooHard(String),
}

/// What a line meant.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Nothing to count.
    Nothing,
    /// A submit has been answered.
    Answer {
        /// The time between the two.
        took: Duration,
        /// Why it was refused, if it was.
        refused: Option<String>,
    },
    /// A job, by its id.
    Job(String),
}

/// What submits are made of.
#[derive(Debug)]
enum Work {
    /// Any hash meets the target but one in 65,536, so none is looked for.
    Any { id: String, time: String },
    /// The headers are rebuilt and searched.
    Searched(Job),
}

/// What has been said so far.
#[derive(Debug)]
pub(super) struct Talk {
    user: String,
    extranonce: Option<(Vec<u8>, usize)>,
    authorized: bool,
    difficulty: f64,
    work: Option<Work>,
    /// Submits made; each has an extranonce of its own.
    made: u64,
    /// When each submit that has no answer was made, from the id `oldest` on.
    unanswered: VecDeque<Option<Instant>>,
    oldest: u64,
    open: usize,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

impl Talk {
    /// Nothing said yet.
    pub(super) const fn new(user: String) -> Self {
        Self {
            user,
            extranonce: None,
            authorized: false,
            difficulty: 1.0,
            work: None,
            made: 0,
            unanswered: VecDeque::new(),
            oldest: FIRST_SUBMIT,
            open: 0,
        }
    }

    /// What to begin with.
    pub(super) fn login(&self, password: &str) -> String {
        let agent = concat!("commonwork-bench/", env!("CARGO_PKG_VERSION"));
        let subscribe =
            serde_json::json!({ "id": SUBSCRIBE, "method": "mining.subscribe", "params": [agent] });
        let user = [self.user.as_str(), password];
        let authorize = serde_json::json!({ "id": AUTHORIZE, "method": "mining.authorize", "params": user });
        format!("{subscribe}\n{authorize}\n")
    }

    /// Whether submits can be made.
    pub(super) const fn is_ready(&self) -> bool {
        self.authorized && self.work.is_some()
    }

    /// Submits without an answer.
    pub(super) const fn open(&self) -> usize {
        self.open
    }

    /// Takes a line without its end.
    pub(super) fn on_line(&mut self, line: &[u8], now: Instant) -> Result<Said, Fault> {
        if let Some(id) = plain_yes(line).filter(|id| *id >= FIRST_SUBMIT) {
            return Ok(self.on_verdict(id, None, now));
        }
        let message: Message<'_> =
            serde_json::from_slice(line).map_err(|_| Fault::Nonsense("a line is no JSON object"))?;
        let params = message.params.map_or("", RawValue::get);
        match message.method.as_deref() {
            Some("mining.notify") => self.on_notify(params),
            Some("mining.set_difficulty") => {
                let (difficulty,) = read::<(f64,)>(params, "a difficulty is no number")?;
                self.difficulty = difficulty;
                Ok(Said::Nothing)
            }
            Some(_) => Ok(Said::Nothing),
            None => self.on_answer(&message, now),
        }
    }

    fn on_notify(&mut self, params: &str) -> Result<Said, Fault> {
        type Ignored = IgnoredAny;
        type Params<'a> =
            (Cow<'a, str>, Ignored, Ignored, Ignored, Ignored, Ignored, Ignored, Cow<'a, str>, Ignored);
        let no_job = "a job makes no sense";
        let (id, _, _, _, _, _, _, time, _): Params<'_> = read(params, no_job)?;
        let (extranonce1, extranonce2_size) = self
            .extranonce
            .clone()
            .ok_or(Fault::Nonsense("a job came before the answer to mining.subscribe"))?;
        let id = id.into_owned();
        self.work = Some(if target(self.difficulty) >= U256::from(0xffff) << 240 {
            Work::Any { id: id.clone(), time: time.into_owned() }
        } else {
            let difficulty = self.difficulty;
            if difficulty * 32_f64.exp2() > HARDEST {
                return Err(self.too_hard());
            }
            let subscription = Subscription { extranonce1, extranonce2_size, mask: 0, difficulty };
            let job =
                Job::read(&read(params, no_job)?, &subscription).map_err(|_| Fault::Nonsense(no_job))?;
            Work::Searched(job)
        });
        Ok(Said::Job(id))
    }

    fn on_answer(&mut self, message: &Message<'_>, now: Instant) -> Result<Said, Fault> {
        let result = message.result.map_or("null", RawValue::get);
        let reason = || message.error.map_or_else(|| result.to_owned(), |error| quote(error.get()));
        match message.id.and_then(|id| id.get().parse().ok()) {
            Some(SUBSCRIBE) => {
                let no_extranonce = "the answer to mining.subscribe has no extranonce";
                let (_, digits, size): (IgnoredAny, Cow<'_, str>, usize) = read(result, no_extranonce)?;
                let extranonce1 = hex(&digits).filter(|bytes| bytes.len() <= 32 && size <= 32);
                self.extranonce = Some((extranonce1.ok_or(Fault::Nonsense(no_extranonce))?, size));
            }
            Some(AUTHORIZE) if result == "true" => self.authorized = true,
            Some(AUTHORIZE) => return Err(Fault::Refused(reason())),
            Some(id) => return Ok(self.on_verdict(id, (result != "true").then(reason), now)),
            None => {}
        }
        Ok(Said::Nothing)
    }

    fn on_verdict(&mut self, id: u64, refused: Option<String>, now: Instant) -> Said {
        let place = id.checked_sub(self.oldest).and_then(|place| usize::try_from(place).ok());
        let Some(made) = place.and_then(|place| self.unanswered.get_mut(place)).and_then(Option::take) else {
            return Said::Nothing;
        };
        self.open -= 1;
        while self.unanswered.front().is_some_and(Option::is_none) {
            self.unanswered.pop_front();
            self.oldest += 1;
        }
        Said::Answer { took: now.saturating_duration_since(made), refused }
    }

    fn too_hard(&self) -> Fault {
        Fault::TooHard(self.difficulty.to_string())
    }

    /// Appends a submit that nobody made before. Nothing happens while there is no work.
    pub(super) fn submit(&mut self, out: &mut Vec<u8>, now: Instant) -> Result<(), Fault> {
        let Some(work) = &self.work else { return Ok(()) };
        let id = self.oldest + self.unanswered.len() as u64;
        let user = &self.user;
        let written = match work {
            Work::Any { id: job, time } => {
                let digits = self.extranonce.as_ref().map_or(0, |(_, size)| size * 2);
                let extranonce2 = format!("{:0digits$x}", self.made);
                let extranonce2 = &extranonce2[extranonce2.len() - digits..];
                let nonce = self.made & 0xffff_ffff;
                writeln!(
                    out,
                    r#"{{"id":{id},"method":"mining.submit","params":["{user}","{job}","{extranonce2}","{time}","{nonce:08x}"]}}"#
                )
            }
            Work::Searched(job) => {
                let piece = job.take_piece();
                let found = Search::new(&piece.header, job.target).run(0..NONCES);
                let nonce = found.ok_or_else(|| self.too_hard())?;
                let (job, extranonce2, time) = (&job.id, &piece.extranonce2, job.time);
                writeln!(
                    out,
                    r#"{{"id":{id},"method":"mining.submit","params":["{user}","{job}","{extranonce2}","{time:08x}","{nonce:08x}"]}}"#
                )
            }
        };
        written.expect("a vector takes any bytes");
        self.made += 1;
        self.open += 1;
        self.unanswered.push_back(Some(now));
        Ok(())
    }
}

/// The id of an answer that is a plain yes, as most are.
fn plain_yes(line: &[u8]) -> Option<u64> {
    let rest = line.strip_prefix(br#"{"id":"#)?;
    let id = rest.strip_suffix(br#","result":true,"error":null}"#)?;
    std::str::from_utf8(id).ok()?.parse().ok()
}

fn read<'a, T: Deserialize<'a>>(text: &'a str, otherwise: &'static str) -> Result<T, Fault> {
    serde_json::from_str(text).map_err(|_| Fault::Nonsense(otherwise))
}

fn quote(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(QUOTED).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: &str = concat!(
        r#"{"id":null,"method":"mining.notify","params":["a1","0000000000000000000000000000000000000000000000000000000000000000","#,
        r#""01","02",[],"20000000","1d00ffff","65000000",false]}"#
    );

    /// At a difficulty of two to the power of `exponent`.
    fn logged_in(exponent: i32) -> Talk {
        let difficulty = f64::from(exponent).exp2();
        let mut talk = Talk::new("me".into());
        for line in [
            r#"{"id":1,"result":[[],"0000000a",8],"error":null}"#,
            r#"{"id":2,"result":true,"error":null}"#,
            &format!(r#"{{"id":null,"method":"mining.set_difficulty","params":[{difficulty}]}}"#),
        ] {
            assert_eq!(talk.on_line(line.as_bytes(), Instant::now()), Ok(Said::Nothing));
            assert!(!talk.is_ready());
        }
        assert_eq!(talk.on_line(JOB.as_bytes(), Instant::now()), Ok(Said::Job("a1".into())));
        assert!(talk.is_ready());
        talk
    }

    fn submitted(talk: &mut Talk, now: Instant) -> serde_json::Value {
        let mut out = Vec::new();
        talk.submit(&mut out, now).expect("easy work");
        serde_json::from_slice(&out).expect("a line of JSON")
    }

    #[test]
    fn submits_differ_and_are_answered_in_any_order() {
        let (mut talk, start) = (logged_in(-32), Instant::now());
        let [first, second] = [0, 1].map(|_| submitted(&mut talk, start));
        assert_eq!(
            first["params"],
            serde_json::json!(["me", "a1", "0000000000000000", "65000000", "00000000"])
        );
        assert_ne!(first["params"][2], second["params"][2]);
        let took = Duration::from_millis(3);
        let answer = |talk: &mut Talk, line: &str| talk.on_line(line.as_bytes(), start + took);
        let refused = answer(&mut talk, r#"{"id":11,"result":null,"error":[23,"Low",null]}"#);
        assert_eq!(refused, Ok(Said::Answer { took, refused: Some(r#"[23,"Low",null]"#.into()) }));
        let accepted = answer(&mut talk, r#"{"id":10,"result":true,"error":null}"#);
        assert_eq!(accepted, Ok(Said::Answer { took, refused: None }));
        let again = answer(&mut talk, r#"{"id":10,"result":true,"error":null}"#);
        assert_eq!((again, talk.open()), (Ok(Said::Nothing), 0));
        assert_eq!(submitted(&mut talk, start)["id"], 12);
    }

    #[test]
    fn what_is_searched_meets_its_difficulty_and_what_is_hard_is_not_searched() {
        let line = submitted(&mut logged_in(-28), Instant::now());
        let Some(Work::Searched(job)) = logged_in(-28).work else { panic!("it needs a search") };
        let piece = job.take_piece();
        assert_eq!(line["params"][2], piece.extranonce2);
        let nonce = u32::from_str_radix(line["params"][4].as_str().expect("text"), 16).expect("digits");
        let nonces = u64::from(nonce)..u64::from(nonce) + 1;
        assert_eq!(Search::new(&piece.header, job.target).run(nonces), Some(nonce));
        let (mut talk, now) = (logged_in(-28), Instant::now());
        let harder = talk.on_line(br#"{"id":null,"method":"mining.set_difficulty","params":[1]}"#, now);
        assert_eq!(harder, Ok(Said::Nothing));
        assert_eq!(talk.on_line(JOB.as_bytes(), now), Err(Fault::TooHard("1".into())));
    }

    #[test]
    fn what_is_no_stratum_ends_it() {
        let mut talk = Talk::new("me".into());
        for line in ["", "x", r#"{"id":1,"result":[[]]}"#, r#"{"method":"mining.notify","params":["a"]}"#] {
            assert!(
                matches!(talk.on_line(line.as_bytes(), Instant::now()), Err(Fault::Nonsense(_))),
                "{line}"
            );
        }
        let refused = talk.on_line(br#"{"id":2,"result":false,"error":[24,"who?",null]}"#, Instant::now());
        assert_eq!(refused, Err(Fault::Refused(r#"[24,"who?",null]"#.into())));
    }
}
