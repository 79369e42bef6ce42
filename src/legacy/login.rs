//! Who asks: HTTP's basic authentication, in which user and password are those of Stratum.

use crate::stratum::message::printable;
use crate::stratum::session::MOST_USER_AGENT;
use crate::stratum::visitor::Visitor;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, USER_AGENT};

/// Most bytes of the header's value; user and password together.
const MAX_LOGIN: usize = 512;

/// What a request says of who makes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Login {
    /// The user name.
    pub(super) user: String,
    /// The password.
    pub(super) password: String,
}

/// Who makes a request, and with which program.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    /// Where it is.
    pub(super) visitor: Visitor,
    /// Its user and password.
    pub(super) login: Login,
    /// The name of the mining program, cut to a bounded length.
    pub(super) user_agent: String,
}

impl Login {
    /// Reads it from a request's head; none where there is none.
    pub(super) fn read(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(AUTHORIZATION)?.to_str().ok().filter(|value| value.len() <= MAX_LOGIN)?;
        let (scheme, encoded) = value.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let plain = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
        let (user, password) = plain.split_once(':')?;
        Some(Self { user: user.trim().to_owned(), password: password.to_owned() })
    }
}

impl Asker {
    /// Reads it from a request's head; none where there is no login.
    pub(super) fn read(visitor: Visitor, headers: &HeaderMap) -> Option<Self> {
        let login = Login::read(headers)?;
        let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or("");
        Some(Self { visitor, login, user_agent: printable(agent, MOST_USER_AGENT) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    #[test]
    fn only_a_user_and_a_password_are_a_login() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_str(value).expect("a value"));
            Login::read(&headers).map(|login| (login.user, login.password))
        };
        assert_eq!(read("Basic dXNlcjpwYXNz"), Some(("user".into(), "pass".into())));
        assert_eq!(read("basic IHJpZyA6ZD0xOng="), Some(("rig".into(), "d=1:x".into())));
        assert_eq!(read("Basic Og=="), Some((String::new(), String::new())));
        let long = format!("Basic {}", "A".repeat(MAX_LOGIN));
        for bad in [
            "",
            "Basic",
            "Basic ",
            "Basic dXNlcg==",
            "Basic !!!!",
            "Bearer dXNlcjpwYXNz",
            "Basic /////w==",
            &long,
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(Login::read(&HeaderMap::new()), None);
    }
}
