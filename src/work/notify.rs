//! The `mining.notify` line of a job, as text made once and shared by all sessions.
//!
//! Only the id, the time and the clean flag are left open: a session that changes its difficulty serves the same
//! job again under another id and time.

use super::job::{Job, JobId};
use bitcoin::hashes::Hash;
use std::fmt::Write as _;

/// Everything between the job id and the time, comma and quotes included.
#[derive(Debug)]
pub(super) struct NotifyLine {
    middle: String,
}

impl NotifyLine {
    pub(super) fn new(job: &Job) -> Self {
        let header = job.header();
        let (coinbase, locktime) = job.coinbase_parts();
        let mut middle = String::with_capacity(300 + 2 * coinbase.len() + 67 * job.branch().len());
        middle.push_str("\",\"");
        // Each 4-byte word of the hash has its bytes reversed; that is how Stratum came into the world.
        for word in header.prev_block.to_byte_array().as_chunks::<4>().0 {
            push_hex(&mut middle, &[word[3], word[2], word[1], word[0]]);
        }
        middle.push_str("\",\"");
        push_hex(&mut middle, &coinbase);
        middle.push_str("\",\"");
        push_hex(&mut middle, &locktime);
        middle.push_str("\",[");
        for (i, hash) in job.branch().iter().enumerate() {
            middle.push_str(if i == 0 { "\"" } else { ",\"" });
            push_hex(&mut middle, hash);
            middle.push('"');
        }
        let (version, bits) = (header.version.to_consensus(), header.bits.to_consensus());
        write!(middle, "],\"{version:08x}\",\"{bits:08x}\",\"").expect("a string takes any text");
        Self { middle }
    }

    pub(super) fn write(&self, id: JobId, time: u32, clean: bool, out: &mut Vec<u8>) {
        out.reserve(self.middle.len() + 80);
        out.extend_from_slice(b"{\"id\":null,\"method\":\"mining.notify\",\"params\":[\"");
        out.extend(hex(&id.0.to_be_bytes()));
        out.extend_from_slice(self.middle.as_bytes());
        out.extend(hex(&time.to_be_bytes()));
        out.extend_from_slice(if clean { b"\",true]}\n" } else { b"\",false]}\n" });
    }
}

fn push_hex(out: &mut String, bytes: &[u8]) {
    out.extend(hex(bytes).map(char::from));
}

/// The digits of bytes, high ones first.
fn hex(bytes: &[u8]) -> impl Iterator<Item = u8> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| DIGITS[usize::from(digit)])
}

#[cfg(test)]
mod tests {
    use crate::test_jobs::JobMaker;
    use crate::work::job::{Job, JobId};

    #[test]
    fn the_line_is_what_miners_read() {
        let parts = JobMaker { branch_len: 2, ..JobMaker::default() }.parts();
        let job = Job::new(parts.clone()).expect("a job");
        let mut line = Vec::new();
        job.write_notify(JobId(0x1a), 0x6b49_d200, true, &mut line);
        assert_eq!(line.last(), Some(&b'\n'));
        let value: serde_json::Value = serde_json::from_slice(&line).expect("JSON");
        assert!(value["id"].is_null());
        assert_eq!(value["method"], "mining.notify");
        let params = value["params"].as_array().expect("an array");
        assert_eq!(params.len(), 9);
        assert_eq!(params[0], "0000001a");
        // The displayed hash with its eight words in reverse order.
        let shown = parts.header.prev_block.to_string();
        let words: Vec<&str> = (0..8).rev().map(|i| &shown[i * 8..i * 8 + 8]).collect();
        assert_eq!(params[1], words.concat());
        let coinbase = job.coinbase(&[0xee; 12]);
        let hex: String = coinbase.iter().map(|byte| format!("{byte:02x}")).collect();
        let [coinb1, coinb2] = [2, 3].map(|i| params[i].as_str().expect("text"));
        assert_eq!(hex, [coinb1, &"ee".repeat(12), coinb2].concat());
        assert_eq!(params[4].as_array().expect("an array").len(), 2);
        assert_eq!(params[5], "20000000");
        assert_eq!(params[6], format!("{:08x}", parts.header.bits.to_consensus()));
        assert_eq!(params[7], "6b49d200");
        assert_eq!(params[8], true);
    }

    #[test]
    fn an_old_job_is_announced_in_the_same_words() {
        let job = JobMaker { branch_len: 3, ..JobMaker::default() }.job();
        let line = || {
            let mut line = Vec::new();
            job.write_notify(JobId(1), 2, false, &mut line);
            line
        };
        let new = line();
        assert_eq!(line(), new);
        job.on_superseded();
        assert_eq!(line(), new);
    }
}
