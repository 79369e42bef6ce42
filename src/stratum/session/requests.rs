//! What each method of Stratum does.

use super::{Event, Now, Session, Worker};
use crate::stratum::configure::configure;
use crate::stratum::device::start_difficulty;
use crate::stratum::difficulty::Difficulty;
use crate::stratum::hex;
use crate::stratum::message::{self, Params, Refusal, Request};
use crate::stratum::password::Wishes;
use crate::stratum::record::Who;
use crate::stratum::submit::{self, Judged, Submit};
use crate::stratum::trouble::Trouble;
use crate::stratum::user::{MAX_USER, UserError, owner_of};
use crate::stratum::vardiff::Vardiff;
use primitive_types::U256;
use sharechain::owner::Owner;
use sharechain::target::Target;

/// Bytes that the miner counts in the extranonce.
const EXTRANONCE2_SIZE: usize = 8;
/// User names that are remembered; the work of others is looked at more slowly.
const MOST_NAMES: usize = 16;
pub(crate) const MOST_USER_AGENT: usize = 64;
/// What old clients send with the value in the method's name, an opening bracket between.
const SUGGEST_DIFFICULTY: &str = "mining.suggest_difficulty";

type Answer = Result<String, Refusal>;

impl Session {
    pub(super) fn on_request(&mut self, request: &Request<'_>, now: Now) -> Option<Event> {
        let Request { id, method, params } = request;
        // A line without a method answers something: nothing that is sent here asks.
        let method = method.as_deref()?;
        let was_ready = self.is_ready();
        let result = match method {
            "mining.submit" => return self.on_submit(*id, params, now),
            "mining.subscribe" => Ok(self.on_subscribe(params, now)),
            "mining.authorize" => self.on_authorize(params, now).map(|()| "true".into()),
            "mining.configure" => self.on_configure(params, now),
            "mining.suggest_target" => self.on_suggest_target(params, now),
            // The extranonce never changes, so there is nothing to subscribe to.
            "mining.extranonce.subscribe" => Ok("true".into()),
            "mining.capabilities" => Ok("true".into()),
            // Asked by those who want to look into the block; the merkle branch is all there is.
            "mining.get_transactions" => Ok("[]".into()),
            "mining.ping" => Ok("\"pong\"".into()),
            // Some firmware answers a ping, which is never sent, with this method.
            "pong" | "mining.pong" => return None,
            _ => match method.strip_prefix(SUGGEST_DIFFICULTY) {
                Some(rest) => self.on_suggest_difficulty(rest, params, now),
                None => Err(Refusal::unsupported(method)),
            },
        };
        match result {
            Ok(result) => message::write_result(&mut self.replies, *id, &result),
            Err(refusal) => {
                let result = if method == "mining.authorize" { "false" } else { "null" };
                message::write_refusal(&mut self.replies, *id, result, &refusal);
            }
        }
        if self.is_ready() && !was_ready { self.begin(now) } else { None }
    }

    fn on_submit(&mut self, id: Option<&str>, params: &Params<'_>, now: Now) -> Option<Event> {
        let (found, answer, missed_by_far) = match self.judge_submit(params, now) {
            Ok(Judged { found, answer, misses_by_far, .. }) => (found, answer, Some(misses_by_far)),
            Err(refusal) => (None, Err(refusal), None),
        };
        self.place.record.on_submit(answer.as_ref().copied().map_err(Refusal::reason), now.instant);
        self.refusals.on_submit(answer.is_ok(), now.instant);
        match answer {
            Ok(_) => message::write_result(&mut self.replies, id, "true"),
            Err(refusal) => message::write_refusal(&mut self.replies, id, "null", &refusal),
        }
        if missed_by_far.is_some_and(|missed| self.first_submits.on_submit(missed)) {
            let (least, stratum_v2) = (self.config.classes.least(), self.config.stratum_v2);
            self.tell(Trouble::MissesByFar { least, stratum_v2 });
        }
        found.map(|found| Event::Found(Box::new(found)))
    }

    fn judge_submit(&mut self, params: &Params<'_>, now: Now) -> Result<Judged, Refusal> {
        if !self.subscribed {
            return Err(Refusal::NotSubscribed);
        }
        if self.worker.is_none() {
            return Err(Refusal::Unauthorized);
        }
        let submit = Submit::read(params)?;
        let mut judged = submit::judge(self, &submit, now)?;
        judged.answer = judged.answer.and_then(|share| self.check_name(&submit.worker).map(|()| share));
        let counts = judged.answer.is_ok() && judged.meets_present;
        self.measured |= counts;
        if counts && self.vardiff.on_share(self.most, now.instant) {
            self.announce_again();
        }
        Ok(judged)
    }

    fn on_subscribe(&mut self, params: &Params<'_>, now: Now) -> String {
        if !self.subscribed {
            self.resume(params, now);
        }
        if let Some(agent) = params.text(0).filter(|_| !self.is_ready()) {
            self.user_agent = message::printable(&agent, MOST_USER_AGENT);
        }
        self.subscribed = true;
        let extranonce1 = format!("{:08x}", u32::from_be_bytes(self.place.extranonce1()));
        format!(
            "[[[\"mining.set_difficulty\",\"{extranonce1}\"],[\"mining.notify\",\"{extranonce1}\"]],\
             \"{extranonce1}\",{EXTRANONCE2_SIZE}]"
        )
    }

    /// Goes on where an earlier session of this device ended, if it names one that is still known. Shares that were on the
    /// way then count, and repeated work is recognised.
    fn resume(&mut self, params: &Params<'_>, now: Now) {
        let named = params.text(1).and_then(|id| hex::bytes(&id));
        let Some(rest) = named.and_then(|extranonce1| self.place.resume(extranonce1, now.instant)) else {
            return;
        };
        (self.jobs, self.account) = (rest.jobs, rest.account);
        self.resumed = Some(rest.difficulty);
    }

    fn on_configure(&mut self, params: &Params<'_>, now: Now) -> Answer {
        let granted = configure(params)?;
        if let Some(mask) = granted.mask {
            self.mask = mask;
        }
        if let Some(floor) = granted.minimum_difficulty.and_then(Difficulty::at_most) {
            self.demand(floor, now);
        }
        Ok(granted.result)
    }

    /// `in_name` is what follows the method's name.
    fn on_suggest_difficulty(&mut self, in_name: &str, params: &Params<'_>, now: Now) -> Answer {
        let in_name = in_name.trim_matches(|c: char| !c.is_ascii_digit() && c != '.');
        let number = params.number(0).or_else(|| in_name.parse().ok());
        let difficulty = number
            .and_then(Difficulty::at_most)
            .ok_or(Refusal::BadParams("mining.suggest_difficulty takes a number above 0"))?;
        self.ask(difficulty, now);
        Ok("true".into())
    }

    fn on_suggest_target(&mut self, params: &Params<'_>, now: Now) -> Answer {
        let digits = params.text(0);
        let target = digits
            .as_deref()
            .and_then(hex::bytes::<32>)
            .and_then(|bytes| Target::new(U256::from_big_endian(&bytes)))
            .ok_or(Refusal::BadParams("mining.suggest_target takes 64 hexadecimal digits, not all 0"))?;
        self.ask(Difficulty::within(target), now);
        Ok("true".into())
    }

    /// What the device wishes is the least that it gets, and where it begins if nothing better is known: devices wish
    /// by themselves, and know little. Some repeat their wish every half minute to keep the connection alive; only a new
    /// one counts.
    fn ask(&mut self, difficulty: Difficulty, now: Now) {
        if self.asked == Some(difficulty) {
            return;
        }
        self.asked = Some(difficulty);
        let least = self.floor.map_or(difficulty, |floor| floor.max(difficulty));
        if self.known || self.measured {
            self.vardiff.set_floor(least, now.instant);
        } else {
            self.vardiff.suggest(least, now.instant);
        }
        self.announce_difficulty();
    }

    /// Never to be given less than this by itself, nor less than was demanded before.
    fn demand(&mut self, floor: Difficulty, now: Now) {
        self.floor = self.floor.max(Some(floor));
        if let Some(least) = self.floor.max(self.asked) {
            self.vardiff.set_floor(least, now.instant);
        }
        self.announce_difficulty();
    }

    /// New work for a new difficulty, unless the job does not allow it anyway.
    fn announce_difficulty(&mut self) {
        let wanted = self.vardiff.difficulty().min(self.most);
        if self.last_announced().is_some_and(|last| last.difficulty != wanted) {
            self.announce_again();
        }
    }

    fn on_authorize(&mut self, params: &Params<'_>, now: Now) -> Result<(), Refusal> {
        let user = params.text(0).ok_or(Refusal::BadParams("mining.authorize takes a user name"))?;
        let user = user.trim();
        let owner = owner_of(user, self.config.network, self.config.default_owner)?;
        match &mut self.worker {
            Some(worker) if worker.owner != owner => return Err(UserError::OtherOwner.into()),
            Some(worker) => {
                if worker.names.len() < MOST_NAMES && !worker.names.iter().any(|name| name == user) {
                    worker.names.push(user.to_owned());
                }
                return Ok(());
            }
            None => {}
        }
        let wishes = params.text(1).map(|password| Wishes::read(&password)).unwrap_or_default();
        self.worker = Some(Worker { owner, names: vec![user.to_owned()], wishes });
        for floor in [wishes.floor, wishes.difficulty].into_iter().flatten() {
            self.demand(floor, now);
        }
        Ok(())
    }

    /// Once it has subscribed and authorized, in whichever order: what work it gets, and how hard.
    fn begin(&mut self, now: Now) -> Option<Event> {
        let worker = self.worker.as_ref()?;
        let name = worker.names.first().map_or("", String::as_str);
        let wished = worker.wishes.difficulty.or(worker.wishes.start);
        let known = wished.or(self.resumed).or_else(|| self.config.memory.recall(name, &self.user_agent));
        self.known = known.is_some();
        let start = known.or(self.asked).unwrap_or_else(|| start_difficulty(&self.user_agent));
        self.vardiff = Vardiff::new(start, now.instant);
        if let Some(least) = self.floor.max(self.asked) {
            self.vardiff.set_floor(least, now.instant);
        }
        let owner = worker.owner;
        let class = self.config.classes.choose(&self.user_agent, worker.wishes.outputs);
        self.place.record.set_who(Who {
            user_agent: self.user_agent.clone(),
            user: message::printable(name, MAX_USER),
            owner: Some(owner),
            class: class.ok(),
        });
        match class {
            Ok(class) => {
                self.tell_of_fee(owner);
                Some(Event::Ready { owner, class })
            }
            Err(too_small) => {
                self.tell(Trouble::TooSmall(too_small, self.config.stratum_v2));
                None
            }
        }
    }

    /// Who pays a fee shall know it.
    fn tell_of_fee(&mut self, owner: Owner) {
        if let Some(text) = self.config.fee_notice(&owner) {
            message::write_notice(&mut self.notices, "client.show_message", Some(&text));
        }
    }

    /// Any worker of the same owner may submit.
    fn check_name(&self, name: &str) -> Result<(), Refusal> {
        let name = name.trim();
        let worker = self.worker.as_ref().ok_or(Refusal::Unauthorized)?;
        if worker.names.iter().any(|known| known == name) {
            return Ok(());
        }
        match owner_of(name, self.config.network, self.config.default_owner) {
            Ok(owner) if owner == worker.owner => Ok(()),
            _ => Err(Refusal::Unauthorized),
        }
    }
}
