//! What the system says of a process: its processor time and memory, from `/proc`.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// The unit of the processor times in `/proc`, the same on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// A process on this machine.
#[derive(Clone, Debug)]
pub(super) struct Process(PathBuf);

/// What a process has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Processor time since it began, of all its threads, the kernel's on its behalf included.
    pub(super) processor: Duration,
    /// Bytes of memory in use.
    pub(super) memory: u64,
    /// The most bytes that it ever used.
    pub(super) most_memory: u64,
}

impl Process {
    /// The process with this number.
    pub(super) fn of(pid: u32) -> Self {
        Self(PathBuf::from(format!("/proc/{pid}")))
    }

    /// This one.
    pub(super) fn own() -> Self {
        Self(PathBuf::from("/proc/self"))
    }

    /// What it has used by now; none where there is no such process, or no `/proc`.
    pub(super) fn usage(&self) -> Option<Usage> {
        let read = |name| fs::read_to_string(self.0.join(name)).ok();
        parse(&read("stat")?, &read("status")?)
    }
}

fn parse(stat: &str, status: &str) -> Option<Usage> {
    // The program's name, in brackets, may hold anything; user and system time are the 12th and 13th field after it.
    let (_, fields) = stat.rsplit_once(')')?;
    let times: Vec<u32> =
        fields.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>().ok()?;
    let [user, system] = times[..] else { return None };
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kilobytes * 1_024)
    };
    let processor = TICK * user.saturating_add(system);
    Some(Usage { processor, memory: bytes("VmRSS:")?, most_memory: bytes("VmHWM:")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_are_found_behind_any_name() {
        let stat = "7 (a b) c) R 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 3 0";
        let status = "Name:\tx\nVmHWM:\t    30 kB\nVmRSS:\t    20 kB\n";
        let expected = Usage { processor: Duration::from_secs(3), memory: 20_480, most_memory: 30_720 };
        assert_eq!(parse(stat, status), Some(expected));
        assert_eq!(parse("7 (x) R 1", status), None);
        assert_eq!(parse(stat, "VmRSS: x kB\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_used_something() {
        let usage = Process::own().usage().expect("a process");
        assert!(usage.memory > 1_000_000 && usage.most_memory >= usage.memory);
    }
}
