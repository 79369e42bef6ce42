//! Jobs: everything of a Bitcoin header but what the miner fills in, and the way from a solution to a judged share.
//!
//! A job is immutable and shared by every session that mines for its owner. Nothing here does I/O or reads a clock.

use super::notify::NotifyLine;
use super::prefix::Prefix;
use crate::bitcoin::Template;
use crate::bitcoin::submit::FoundBlock;
use bitcoin::consensus::encode;
use sharechain::coinbase;
use sharechain::hash;
use sharechain::owner::Owner;
use sharechain::params::{ChainId, MAX_HEADER_TIME_AHEAD};
use sharechain::share::{self, COMMITMENT_OUTPUT_HEAD, CoinbaseLink, Commitment, Extranonce};
use sharechain::share::{Share, ShareHeader, ShareId};
use sharechain::verify::{self, Targets, Verdict};
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use thiserror::Error;

/// Names a job towards miners; eight hexadecimal digits on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct JobId(pub u32);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// The text is no job id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a job id is 1 to 8 hexadecimal digits")]
pub struct BadJobId;

impl FromStr for JobId {
    type Err = BadJobId;

    fn from_str(text: &str) -> Result<Self, BadJobId> {
        hex_u32(text).map(Self).ok_or(BadJobId)
    }
}

/// 1 to 8 digits as a number, as miners write them: some leave out leading zeros.
pub(crate) fn hex_u32(text: &str) -> Option<u32> {
    // from_str_radix alone would take a sign.
    let digits = (1..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if digits { u32::from_str_radix(text, 16).ok() } else { None }
}

/// Gives out job ids: counting up from a random start, so that none comes back within any job's life, not even
/// across a restart. Some devices drop a job whose id they have seen; others know jobs only by a checksum of the id.
#[derive(Debug)]
pub struct JobIds(AtomicU32);

impl JobIds {
    /// Counts from `start`, which should be random.
    pub const fn starting_at(start: u32) -> Self {
        Self(AtomicU32::new(start))
    }

    /// An id that was not given out before.
    pub fn next(&self) -> JobId {
        JobId(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// What a job is made from.
#[derive(Clone, Debug)]
pub struct JobParts {
    /// Its id.
    pub id: JobId,
    /// The header's fields as the job starts with them; the nonce is ignored.
    pub header: ShareHeader,
    /// The earliest header time: the median of prev_block's last 11, and 1; later where that takes other bits.
    pub min_time: u32,
    /// The latest header time that Bitcoin takes with these bits; the share chain may set an earlier end.
    pub max_time: u32,
    /// The three targets.
    pub targets: Targets,
    /// What it is for besides a Bitcoin block.
    pub purpose: Purpose,
    /// The template that the job is made from, trimmed as the coinbase needs: what a block is put together from.
    pub template: Arc<Template>,
    /// The coinbase up to the commitment hash.
    pub coinbase_prefix: Prefix,
    /// Merkle branch of the coinbase, from the bottom, in the byte order that SHA-256 gives.
    pub branch: Arc<[[u8; 32]]>,
}

/// What a job is for, besides a Bitcoin block.
#[derive(Clone, Debug)]
pub enum Purpose {
    /// Shares of a share chain.
    Pool {
        /// The chain.
        chain: ChainId,
        /// What the share will say; it holds the owner and the class. The coinbase commits to it.
        commitment: Box<Commitment>,
        /// The ids of the shares that the commitment lists, in order.
        includes: Arc<Vec<ShareId>>,
    },
    /// Nothing: what is no Bitcoin block is worth nothing to anybody. A hash of the coinbase so far stands where else the
    /// commitment is, and tells jobs apart.
    Solo {
        /// Whom the Bitcoin block pays, alone.
        owner: Owner,
        /// The hash in the coinbase's witness commitment output.
        witness_commitment: [u8; 32],
    },
}

impl JobParts {
    fn commitment_hash(&self) -> [u8; 32] {
        match &self.purpose {
            Purpose::Pool { chain, commitment, .. } => commitment.hash(*chain),
            Purpose::Solo { .. } => hash::sha256d(&self.coinbase_prefix.to_vec()),
        }
    }

    fn locktime(&self) -> u32 {
        match &self.purpose {
            Purpose::Pool { commitment, .. } => commitment.locktime(),
            // As in a share, for BIP54.
            Purpose::Solo { .. } => self.template.height.0.saturating_sub(1),
        }
    }

    fn max_time(&self) -> u32 {
        match &self.purpose {
            Purpose::Pool { commitment, .. } => {
                self.max_time.min(commitment.time.saturating_add(MAX_HEADER_TIME_AHEAD).0)
            }
            Purpose::Solo { .. } => self.max_time,
        }
    }
}

/// Why parts do not make a job. It is always the builder's mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadJob {
    /// The coinbase would be outside the protocol's bounds.
    #[error("the coinbase would have {0} bytes, outside the bounds of protocol section 4")]
    CoinbaseSize(usize),
    /// The prefix does not end where the commitment hash belongs.
    #[error("the coinbase prefix does not end with the head of the commitment output")]
    NoCommitmentHead,
    /// No header time is both late enough for Bitcoin and early enough for Bitcoin and the share chain.
    #[error("the earliest header time is behind the latest")]
    NoTime,
}

/// One job. See [`JobParts`] for the fields that are taken over as they are.
#[derive(Debug)]
pub struct Job {
    id: JobId,
    header: ShareHeader,
    min_time: u32,
    max_time: u32,
    targets: Targets,
    purpose: Purpose,
    commitment_hash: [u8; 32],
    locktime: u32,
    template: Arc<Template>,
    coinbase_prefix: Prefix,
    link: CoinbaseLink,
    branch: Arc<[[u8; 32]]>,
    /// Made when it is asked for first, and kept while the job is the newest of its series.
    notify: Mutex<Notify>,
    for_fee: Option<Arc<Self>>,
}

/// The text that announces a job: most of what the job takes.
#[derive(Debug)]
enum Notify {
    Unused,
    Kept(Arc<NotifyLine>),
    /// It will hardly be asked for any more.
    Superseded,
}

/// What a miner fills in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Solution {
    /// Four bytes of the session, eight of the miner.
    pub extranonce: Extranonce,
    /// The whole version field, rolled bits included.
    pub version: i32,
    /// Header time.
    pub time: u32,
    /// Nonce.
    pub nonce: u32,
}

/// A job with a solution: a header, its hash, and the way to the block and the share it may be.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The job solved.
    pub job: Arc<Job>,
    /// The whole extranonce.
    pub extranonce: Extranonce,
    /// The complete header.
    pub header: bitcoin::block::Header,
    /// Its hash.
    pub id: ShareId,
}

impl Job {
    /// Makes a job.
    pub fn new(parts: JobParts) -> Result<Self, BadJob> {
        let coinbase_prefix = parts.coinbase_prefix.to_vec();
        let link = CoinbaseLink::of_prefix(&coinbase_prefix)
            .ok_or(BadJob::CoinbaseSize(coinbase_prefix.len() + share::COINBASE_SUFFIX_LEN))?;
        if !coinbase_prefix.ends_with(&COMMITMENT_OUTPUT_HEAD) {
            return Err(BadJob::NoCommitmentHead);
        }
        let (max_time, locktime) = (parts.max_time(), parts.locktime());
        if parts.min_time > max_time {
            return Err(BadJob::NoTime);
        }
        let commitment_hash = parts.commitment_hash();
        Ok(Self {
            id: parts.id,
            notify: Mutex::new(Notify::Unused),
            header: parts.header,
            min_time: parts.min_time,
            max_time,
            targets: parts.targets,
            purpose: parts.purpose,
            commitment_hash,
            locktime,
            template: parts.template,
            coinbase_prefix: parts.coinbase_prefix,
            link,
            branch: parts.branch,
            for_fee: None,
        })
    }

    /// The same with another form of it that is mined for the operator's fee: of the same Bitcoin block, as new, and
    /// different work.
    #[must_use]
    pub fn with_fee(self, for_fee: Arc<Self>) -> Self {
        Self { for_fee: Some(for_fee), ..self }
    }

    /// The job that may be served in its place for the operator's fee. See [`super::fee`].
    pub const fn for_fee(&self) -> Option<&Arc<Self>> {
        self.for_fee.as_ref()
    }

    /// The id that the builder gave it. A session that serves it a second time, changed, gives it another.
    pub const fn id(&self) -> JobId {
        self.id
    }

    /// The header's fields that the job starts with.
    pub const fn header(&self) -> &ShareHeader {
        &self.header
    }

    /// The earliest header time.
    pub const fn min_time(&self) -> u32 {
        self.min_time
    }

    /// The latest header time that Bitcoin allows, and the share chain if there is one (protocol section 4, check 5).
    pub const fn max_time(&self) -> u32 {
        self.max_time
    }

    /// The three targets.
    pub const fn targets(&self) -> &Targets {
        &self.targets
    }

    /// What the share will say; none where there is no share chain.
    pub fn commitment(&self) -> Option<&Commitment> {
        match &self.purpose {
            Purpose::Pool { commitment, .. } => Some(commitment),
            Purpose::Solo { .. } => None,
        }
    }

    /// The hash in the coinbase's witness commitment output.
    pub fn witness_commitment(&self) -> &[u8; 32] {
        match &self.purpose {
            Purpose::Pool { commitment, .. } => &commitment.witness_commitment,
            Purpose::Solo { witness_commitment, .. } => witness_commitment,
        }
    }

    /// The hash of the commitment, or what else is in its place in the coinbase; no two jobs have the same.
    pub const fn commitment_hash(&self) -> &[u8; 32] {
        &self.commitment_hash
    }

    /// Whom the work is for.
    pub fn owner(&self) -> &Owner {
        match &self.purpose {
            Purpose::Pool { commitment, .. } => &commitment.owner,
            Purpose::Solo { owner, .. } => owner,
        }
    }

    /// The template that a block is put together from.
    pub const fn template(&self) -> &Arc<Template> {
        &self.template
    }

    /// The coinbase's link for shares.
    pub const fn link(&self) -> &CoinbaseLink {
        &self.link
    }

    /// The merkle branch of the coinbase.
    pub fn branch(&self) -> &[[u8; 32]] {
        &self.branch
    }

    /// The whole coinbase without its witness, as txids are made from.
    pub fn coinbase(&self, extranonce: &Extranonce) -> Vec<u8> {
        coinbase::serialize(&self.coinbase_prefix.to_vec(), &self.commitment_hash, extranonce, self.locktime)
    }

    /// The coinbase without its witness, before and after the extranonce.
    pub fn coinbase_parts(&self) -> (Vec<u8>, Vec<u8>) {
        let mut prefix = self.coinbase(&Extranonce::default());
        let locktime = self.locktime.to_le_bytes();
        prefix.truncate(prefix.len() - locktime.len() - size_of::<Extranonce>());
        (prefix, locktime.to_vec())
    }

    /// The merkle root with this extranonce, in the byte order that SHA-256 gives.
    pub fn merkle_root(&self, extranonce: &Extranonce) -> [u8; 32] {
        let txid = self.link.txid(&self.commitment_hash, extranonce, self.locktime);
        hash::merkle_root(txid, &self.branch)
    }

    /// Appends the `mining.notify` line, its newline included. When it is `clean`, miners drop what they are doing.
    pub fn write_notify(&self, id: JobId, time: u32, clean: bool, out: &mut Vec<u8>) {
        self.notify_line().write(id, time, clean, out);
    }

    /// The job is not the newest of its series any more: it needs less memory from now on.
    pub fn on_superseded(&self) {
        *self.notify.lock().unwrap_or_else(PoisonError::into_inner) = Notify::Superseded;
        if let Some(for_fee) = &self.for_fee {
            for_fee.on_superseded();
        }
    }

    fn notify_line(&self) -> Arc<NotifyLine> {
        let mut notify = self.notify.lock().unwrap_or_else(PoisonError::into_inner);
        match &*notify {
            Notify::Kept(line) => Arc::clone(line),
            Notify::Superseded => Arc::new(NotifyLine::new(self)),
            Notify::Unused => {
                let line = Arc::new(NotifyLine::new(self));
                *notify = Notify::Kept(Arc::clone(&line));
                line
            }
        }
    }

    /// Fills in a solution. Pure: about 40 SHA-256 compressions, no judgement.
    pub fn assemble(self: &Arc<Self>, solution: &Solution) -> Candidate {
        let Solution { extranonce, version, time, nonce } = *solution;
        let version = bitcoin::block::Version::from_consensus(version);
        let header = ShareHeader { version, time, nonce, ..self.header }
            .with_merkle_root(self.merkle_root(&extranonce));
        Candidate { job: Arc::clone(self), extranonce, header, id: share::header_id(&header) }
    }
}

impl Candidate {
    /// What its hash is worth by its job's targets.
    pub fn judge(&self) -> Verdict {
        verify::judge(&self.id.0, &self.job.targets)
    }

    /// The share, whether or not the hash makes it one, and the shares that it would list as a block; none where there is
    /// no share chain.
    pub fn share(&self) -> Option<(Share, &[ShareId])> {
        let Purpose::Pool { commitment, includes, .. } = &self.job.purpose else { return None };
        let bitcoin::block::Header { version, time, nonce, .. } = self.header;
        let share = Share {
            header: ShareHeader { version, time, nonce, ..self.job.header },
            extranonce: self.extranonce,
            branch: self.job.branch.to_vec(),
            link: self.job.link.clone(),
            commitment: Commitment::clone(commitment),
        };
        Some((share, includes))
    }

    /// The Bitcoin block that it is if its hash is good enough.
    pub fn block(&self) -> Result<FoundBlock, encode::Error> {
        let template = &self.job.template;
        let coinbase = encode::serialize(&coinbase::with_witness(&self.job.coinbase(&self.extranonce))?);
        let mut header = [0; 80];
        header.copy_from_slice(&encode::serialize(&self.header));
        let bytes = template.block(&header, &coinbase);
        Ok(FoundBlock { hash: self.header.block_hash(), height: template.height, bytes, own: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_jobs::{CHAIN, JobMaker};

    fn solution() -> Solution {
        Solution { extranonce: *b"4567abcdefgh", version: 0x2000_4000, time: 1_800_000_777, nonce: 42 }
    }

    #[test]
    fn a_candidate_is_the_share_that_the_chain_will_see() {
        let job = Arc::new(JobMaker { branch_len: 12, ..JobMaker::default() }.job());
        let candidate = job.assemble(&solution());
        let (share, _) = candidate.share().expect("a share chain's");
        assert_eq!(share.id(CHAIN), candidate.id);
        assert_eq!(share.full_header(CHAIN), candidate.header);
    }

    #[test]
    fn the_coinbase_is_a_transaction_with_the_txid_of_the_link() {
        let job = JobMaker::default().job();
        let extranonce = solution().extranonce;
        let transaction: bitcoin::Transaction =
            bitcoin::consensus::deserialize(&job.coinbase(&extranonce)).expect("a transaction");
        let txid = job.link().txid(job.commitment_hash(), &extranonce, 899_999);
        assert!(transaction.is_coinbase());
        assert_eq!(bitcoin::hashes::Hash::to_byte_array(transaction.compute_txid()), txid);
    }

    #[test]
    fn the_verdict_is_by_the_jobs_own_targets() {
        use sharechain::target::Target;
        let targets = |network, block, share| Targets { network, block, share };
        for (targets, bits) in [
            (targets(Target::MIN, Target::MIN, Target::MIN), 0b000),
            (targets(Target::MIN, Target::MIN, Target::MAX), 0b001),
            (targets(Target::MIN, Target::MAX, Target::MAX), 0b011),
            // On an easy network a Bitcoin block need not be a share.
            (targets(Target::MAX, Target::MIN, Target::MIN), 0b100),
        ] {
            let job = Arc::new(JobMaker { targets, ..JobMaker::default() }.job());
            let Verdict { bitcoin_block, share_block, share } = job.assemble(&solution()).judge();
            let got = u8::from(bitcoin_block) << 2 | u8::from(share_block) << 1 | u8::from(share);
            assert_eq!(got, bits);
        }
    }

    #[test]
    fn parts_that_make_no_job_are_refused() {
        let parts = JobMaker::default().parts();
        let short = JobParts { coinbase_prefix: vec![0; 79].into(), ..parts.clone() };
        assert_eq!(Job::new(short).err(), Some(BadJob::CoinbaseSize(127)));
        let headless = JobParts { coinbase_prefix: vec![0; 200].into(), ..parts.clone() };
        assert_eq!(Job::new(headless).err(), Some(BadJob::NoCommitmentHead));
        let late = JobParts { min_time: u32::MAX, ..parts.clone() };
        assert_eq!(Job::new(late).err(), Some(BadJob::NoTime));
        let never = JobParts { max_time: parts.min_time - 1, ..parts };
        assert_eq!(Job::new(never).err(), Some(BadJob::NoTime));
    }

    #[test]
    fn job_ids_count_up_and_are_read_as_they_were_written() {
        let ids = JobIds::starting_at(u32::MAX);
        assert_eq!([ids.next(), ids.next()], [JobId(u32::MAX), JobId(0)]);
        assert_eq!(JobId(0xab).to_string(), "000000ab");
        assert_eq!("000000ab".parse(), Ok(JobId(0xab)));
        assert_eq!("AB".parse(), Ok(JobId(0xab)));
        for bad in ["", "+1", "-1", "123456789", "x", " 1"] {
            assert_eq!(bad.parse::<JobId>(), Err(BadJobId), "{bad:?}");
        }
    }
}
