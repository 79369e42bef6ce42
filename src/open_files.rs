//! How many files and connections the system lets this program have open at a time.

/// Asks for as many as the system gives without an administrator, and says how many that is.
#[cfg(unix)]
pub fn raise() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    let current = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    // None means that there is no limit.
    current.and_then(|current| usize::try_from(current).ok()).unwrap_or(usize::MAX)
}

/// Here the system knows no such limit.
#[cfg(not(unix))]
pub fn raise() -> usize {
    usize::MAX
}

#[cfg(all(test, unix))]
mod tests {
    use rustix::process::{Resource, getrlimit};

    #[test]
    fn the_limit_is_as_high_as_it_may_be() {
        let most = super::raise();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
        assert!(most >= 64 && limit.current.is_none_or(|current| current == most as u64));
    }
}
