//! The body of a request, read as it comes. What counts in it is small: of a block only the beginning is looked at, so
//! nothing else of it is kept, and nobody waits for it.

use super::answer::Refused;
use super::call::{self, Call};
use super::submission::LOOKED_AT;
use http_body_util::BodyExt;
use hyper::body::{Body, Bytes};
use std::time::Duration;
use tokio::time::timeout;

/// Bytes of a body: a full block in hexadecimal digits, and what is said around it.
const MAX_BODY: usize = 8_100_000;
/// Bytes of it that are kept: what is looked at of a block, and what is said around it.
const MAX_KEPT: usize = LOOKED_AT + call::MAX_SMALL;

/// A body, as far as it has come.
#[derive(Debug)]
pub(super) struct Received<B> {
    body: B,
    /// How long the next piece may take.
    patience: Duration,
    /// Bytes that may still come.
    left: usize,
    has_ended: bool,
    json: Shortened,
}

impl<B: Body<Data = Bytes> + Unpin> Received<B> {
    /// Nothing of it yet.
    pub(super) fn new(body: B, patience: Duration) -> Self {
        Self { body, patience, left: MAX_BODY, has_ended: false, json: Shortened::default() }
    }

    /// What is asked for. A block is known as soon as what is looked at of it has come.
    pub(super) async fn call(&mut self, is_long_poll: bool) -> Result<Call, Refused> {
        while self.json.cut_at.is_none() && self.take().await? {}
        if let Some(json) = self.json.up_to_cut()
            && let Ok(call @ Call::Solved(..)) = Call::read(&json, is_long_poll)
        {
            return Ok(call);
        }
        self.finish().await?;
        Call::read(&self.json.text, is_long_poll)
    }

    /// The id of the call, or null. It may stand behind a block, the rest of which is waited for then.
    pub(super) async fn id(&mut self) -> String {
        if self.json.cut_at.is_some() && self.finish().await.is_err() {
            return "null".to_owned();
        }
        call::parse(&self.json.text).ok().and_then(|call| call.id).unwrap_or("null").to_owned()
    }

    async fn finish(&mut self) -> Result<(), Refused> {
        while self.take().await? {}
        Ok(())
    }

    /// Takes the next piece. False at the end.
    async fn take(&mut self) -> Result<bool, Refused> {
        if self.has_ended {
            return Ok(false);
        }
        let frame = timeout(self.patience, self.body.frame()).await.map_err(|_| Refused::NoBody)?;
        let Some(frame) = frame else {
            self.has_ended = true;
            return Ok(false);
        };
        let piece = frame.map_err(|_| Refused::NoBody)?.into_data().unwrap_or_default();
        self.left = self.left.checked_sub(piece.len()).ok_or(Refused::TooLong)?;
        self.json.push(&piece)?;
        Ok(true)
    }
}

/// JSON in which strings are cut to what is looked at of a block.
#[derive(Debug, Default)]
struct Shortened {
    text: Vec<u8>,
    /// Where the first string was cut, if one was.
    cut_at: Option<usize>,
    /// Bytes of the string that has begun.
    string: Option<usize>,
    is_escaped: bool,
}

impl Shortened {
    fn push(&mut self, piece: &[u8]) -> Result<(), Refused> {
        for &byte in piece {
            let ends_or_begins = byte == b'"' && !self.is_escaped;
            self.is_escaped = byte == b'\\' && self.string.is_some() && !self.is_escaped;
            if ends_or_begins {
                self.string = if self.string.is_some() { None } else { Some(0) };
            } else if let Some(length) = &mut self.string {
                *length += 1;
                if *length > LOOKED_AT {
                    self.cut_at.get_or_insert(self.text.len());
                    continue;
                }
            }
            if self.text.len() >= MAX_KEPT {
                return Err(Refused::TooLong);
            }
            self.text.push(byte);
        }
        Ok(())
    }

    /// As it would be if it were over after the string that was cut, and that were one of the parameters.
    fn up_to_cut(&self) -> Option<Vec<u8>> {
        Some([self.text.get(..self.cut_at?)?, b"\"]}"].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream::{self, Stream};
    use http_body_util::StreamBody;
    use hyper::body::Frame;
    use proptest::prelude::*;
    use std::convert::Infallible;
    use std::pin::Pin;
    use tokio::time::sleep;

    const SECOND: Duration = Duration::from_secs(1);

    fn shortened(text: &str) -> Option<String> {
        let mut json = Shortened::default();
        json.push(text.as_bytes()).ok()?;
        String::from_utf8(json.text).ok()
    }

    #[test]
    fn long_strings_are_cut_and_what_is_around_them_is_kept() {
        let around = |digits: &str| format!(r#" {{"a\"\\":["{digits}",{{"\u0022":""}}],"id":"1\\"}}"#);
        for length in [0, 1, LOOKED_AT, LOOKED_AT + 1, 2 * LOOKED_AT, 8_000_000] {
            let kept = length.min(LOOKED_AT);
            assert_eq!(shortened(&around(&"7".repeat(length))), Some(around(&"7".repeat(kept))));
        }
    }

    #[test]
    fn nothing_else_is_kept_without_bound() {
        let two = "7".repeat(LOOKED_AT - 2);
        for text in [" ".repeat(MAX_KEPT + 1), format!("\"{two}\"\"{two}\""), "[\"\",".repeat(20_000)] {
            assert_eq!(shortened(&text), None);
        }
        assert!(shortened(&" ".repeat(MAX_KEPT)).is_some());
    }

    proptest! {
        #[test]
        fn it_does_not_matter_in_which_pieces_it_comes(text in "[a\"\\\\]{0,40}", at in 0_usize..40) {
            let (first, second) = text.as_bytes().split_at(at.min(text.len()));
            let mut json = Shortened::default();
            prop_assert!(json.push(first).is_ok() && json.push(second).is_ok());
            prop_assert_eq!(json.text, text.into_bytes());
        }
    }

    type Pieces = StreamBody<Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, Infallible>>>>>;

    /// A body whose pieces come after so many seconds each.
    fn body(pieces: Vec<(u32, String)>) -> Received<Pieces> {
        let pieces = stream::unfold(pieces.into_iter(), async |mut pieces| {
            let (seconds, piece) = pieces.next()?;
            sleep(SECOND * seconds).await;
            Some((Ok::<_, Infallible>(Frame::data(Bytes::from(piece))), pieces))
        });
        Received::new(StreamBody::new(Box::pin(pieces)), 30 * SECOND)
    }

    #[tokio::test(start_paused = true)]
    async fn patience_is_for_each_piece() {
        let whole = r#"{"id":7,"method":"getwork","params":[]}"#;
        let slow = whole.chars().map(|each| (29, each.to_string())).collect();
        let mut slow = body(slow);
        assert!(matches!(slow.call(true).await, Ok(Call::Getwork { waits: true })));
        assert_eq!(slow.id().await, "7");
        let mut stalled = body(vec![(29, whole[..9].into()), (31, whole[9..].into())]);
        assert_eq!(stalled.call(false).await.err(), Some(Refused::NoBody));
        assert_eq!(stalled.id().await, "null");
    }

    #[tokio::test(start_paused = true)]
    async fn a_block_is_known_before_its_end_and_its_id_behind_it() {
        let digits = "00".repeat(LOOKED_AT);
        let begins = format!("{{\"method\":\"submitblock\",\"params\":[\"{digits}");
        for (rest_after, id) in [(29, "[8]"), (29, "\"x\""), (31, "9")] {
            let rest = format!("{digits}\"],\"id\":{id}}}");
            let mut body = body(vec![(0, begins.clone()), (rest_after, rest)]);
            assert!(matches!(body.call(false).await, Ok(Call::Solved(..))));
            let told = if id == "\"x\"" { id } else { "null" };
            assert_eq!(body.id().await, told);
        }
        // Where it is not known yet what the digits are, they are waited for.
        let begins = format!("{{\"params\":[\"{digits}");
        let rest = "\"],\"method\":\"submitblock\"}".to_owned();
        let mut body = body(vec![(0, begins), (29, rest)]);
        assert!(matches!(body.call(false).await, Ok(Call::Solved(..))));
    }
}
