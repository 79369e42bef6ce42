//! What a request asks for, read before anything is done about it: whether it may wait, or be refused, depends on that.

use super::answer::Refused;
use super::getwork;
use super::submission::Submission;
use super::template::Wanted;
use crate::stratum::message::{self, Params};
use crate::work::job::JobId;
use serde::Deserialize;

/// Bytes of a request that brings no block, and of what is said around one.
pub(super) const MAX_SMALL: usize = 8 * 1024;
/// Bytes of a call's id.
const MAX_ID: usize = 256;

/// What is asked for.
#[derive(Debug)]
pub(super) enum Call {
    /// A header to solve, at once or when there is another job than before.
    Getwork {
        /// Whether it waits.
        waits: bool,
    },
    /// A template, at once or when there is another job than the one `known`.
    Template {
        /// The job that the miner has.
        known: Option<JobId>,
    },
    /// Whether a block would be taken.
    Proposal(Submission),
    /// A solution, or why it cannot be read.
    Solved(Result<Submission, String>, Form),
}

/// How the verdict on a solution is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// True or false, and the reason in the head.
    Getwork,
    /// Null, or the reason.
    Submitblock,
}

/// The parameters of `submitblock` besides the block.
#[derive(Debug, Deserialize)]
struct SubmitOptions {
    workid: Option<String>,
}

impl Call {
    /// Reads what a request asks for.
    pub(super) fn read(json: &[u8], is_long_poll: bool) -> Result<Self, Refused> {
        match Self::of(&parse(json)?, is_long_poll)? {
            // It may be kept for as long as a long poll lasts.
            Self::Getwork { .. } | Self::Template { .. } if json.len() > MAX_SMALL => Err(Refused::TooLong),
            call => Ok(call),
        }
    }

    fn of(request: &message::Request<'_>, is_long_poll: bool) -> Result<Self, Refused> {
        let params = &request.params;
        match request.method.as_deref().unwrap_or("") {
            "getwork" if params.raw(0).is_none() => Ok(Self::Getwork { waits: is_long_poll }),
            "getwork" => {
                let digits = params.text(0).unwrap_or_default();
                let submission = getwork::read(&digits).map_err(|error| error.to_string());
                Ok(Self::Solved(submission, Form::Getwork))
            }
            "getblocktemplate" => template(params),
            "submitblock" => submitblock(params),
            other => Err(Refused::NoMethod(message::Refusal::unsupported(other).to_string())),
        }
    }
}

/// Reads the JSON of a call.
pub(super) fn parse(json: &[u8]) -> Result<message::Request<'_>, Refused> {
    let request = message::parse(json.trim_ascii()).ok();
    request.filter(|request| request.id.is_none_or(|id| id.len() <= MAX_ID)).ok_or(Refused::NoCall)
}

fn template(params: &Params<'_>) -> Result<Call, Refused> {
    let wanted: Wanted = params
        .raw(0)
        .map_or(Ok(Wanted::default()), serde_json::from_str)
        .map_err(|error| Refused::BadParams(format!("The template request cannot be read: {error}")))?;
    if wanted.mode.as_deref() == Some("proposal") {
        let id = wanted.work_id.as_deref().and_then(|id| id.parse().ok());
        return Submission::read(wanted.data.as_deref().unwrap_or(""), id)
            .map(Call::Proposal)
            .map_err(|error| Refused::Unreadable(error.to_string()));
    }
    match wanted.objection() {
        Some(objection) => Err(Refused::BadParams(objection.to_owned())),
        None => Ok(Call::Template { known: wanted.long_poll_id.as_deref().and_then(|id| id.parse().ok()) }),
    }
}

fn submitblock(params: &Params<'_>) -> Result<Call, Refused> {
    let digits = params
        .text(0)
        .ok_or_else(|| Refused::BadParams("submitblock takes a block in hexadecimal digits".into()))?;
    // What else is said is no reason not to look at a block.
    let options: Option<SubmitOptions> = params.raw(1).and_then(|raw| serde_json::from_str(raw).ok());
    let id = options.and_then(|options| options.workid).and_then(|id| id.parse().ok());
    let submission = Submission::read(&digits, id).map_err(|error| error.to_string());
    Ok(Call::Solved(submission, Form::Submitblock))
}
