//! Jobs for tests and benches: made by hand, of no chain, with any targets.

use bitcoin::absolute::LockTime;
use bitcoin::block::Version;
use bitcoin::hashes::Hash;
use bitcoin::transaction::Version as TxVersion;
use bitcoin::{
    Amount, BlockHash, CompactTarget, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness,
};
use commonwork::bitcoin::Template;
use commonwork::work::job::{Job, JobId, JobParts, Purpose};
use sharechain::owner::Owner;
use sharechain::params::ChainId;
use sharechain::share::{Commitment, ShareHeader, ShareId, Tag};
use sharechain::target::Target;
use sharechain::units::{BitcoinHeight, Height, UnixTime};
use sharechain::verify::Targets;
use std::sync::Arc;

/// The chain that the jobs are for.
pub(crate) const CHAIN: ChainId = ChainId([0xc1; 32]);
/// When the jobs are made, unless said otherwise.
pub(crate) const MADE_AT: u32 = 1_800_000_000;

/// What may differ between jobs.
#[derive(Clone, Debug)]
pub(crate) struct JobMaker {
    /// The job's id; it is in the coinbase's tag too, so that other ids are other work.
    pub(crate) id: u32,
    /// Bitcoin height.
    pub(crate) height: u32,
    /// Each byte of prev_block.
    pub(crate) prev_block: u8,
    /// The header's version.
    pub(crate) version: i32,
    /// When it is made.
    pub(crate) time: u32,
    /// The latest header time that Bitcoin takes.
    pub(crate) max_time: u32,
    /// Merkle branch length.
    pub(crate) branch_len: u8,
    /// Payout outputs.
    pub(crate) outputs: u8,
    /// The three targets.
    pub(crate) targets: Targets,
    /// Whom the work is for.
    pub(crate) owner: Owner,
}

impl Default for JobMaker {
    fn default() -> Self {
        let hard = Target::MIN;
        Self {
            id: 1,
            height: 900_000,
            prev_block: 0xb1,
            version: 0x2000_0000,
            time: MADE_AT,
            max_time: u32::MAX,
            branch_len: 0,
            outputs: 1,
            targets: Targets { network: hard, block: hard, share: hard },
            owner: owner(1),
        }
    }
}

/// An owner told apart by a number.
pub(crate) fn owner(n: u8) -> Owner {
    let script = [&[0x00, 0x14][..], &[n; 20]].concat();
    Owner::new(&ScriptBuf::from_bytes(script)).expect("P2WPKH")
}

/// A target of difficulty 2^`exponent`.
pub(crate) fn target(exponent: i32) -> Target {
    let shift = usize::try_from(208 - exponent).expect("at most 208");
    Target::new(primitive_types::U256::from(0xffff) << shift).expect("not zero")
}

impl JobMaker {
    /// The job.
    pub(crate) fn job(&self) -> Job {
        Job::new(self.parts()).expect("good parts")
    }

    fn template(&self) -> Template {
        Template {
            prev_block: BlockHash::from_byte_array([self.prev_block; 32]),
            height: BitcoinHeight(self.height),
            version: 0x2000_0000,
            bits: CompactTarget::from_consensus(0x1702_3456),
            target: self.targets.network,
            current_time: self.time,
            min_time: self.time - 3_000,
            coinbase_value: 312_500_000,
            transactions: Vec::new(),
            weight_limit: 4_000_000,
            sigop_limit: 80_000,
            known_commitment: None,
            long_poll_id: None,
        }
    }

    /// The parts of the job.
    pub(crate) fn parts(&self) -> JobParts {
        let tag = Tag::pushing(&self.id.to_be_bytes()).expect("short");
        let commitment = Commitment {
            version: 1,
            signals: 0,
            bitcoin_height: BitcoinHeight(self.height),
            coinbase_value: 312_500_000,
            tag,
            witness_commitment: [7; 32],
            parent: ShareId(CHAIN.0),
            base: ShareId(CHAIN.0),
            height: Height(1),
            time: UnixTime(self.time),
            bits: self.targets.block.to_compact(),
            share_bits: self.targets.share.to_compact(),
            owner: self.owner,
            class: 11,
            includes: [0; 32],
        };
        JobParts {
            id: JobId(self.id),
            header: ShareHeader {
                version: Version::from_consensus(self.version),
                prev_block: BlockHash::from_byte_array([self.prev_block; 32]),
                time: self.time,
                bits: CompactTarget::from_consensus(0x1702_3456),
                nonce: 0,
            },
            min_time: self.time - 3_000,
            max_time: self.max_time,
            targets: self.targets,
            coinbase_prefix: self.coinbase_prefix(&commitment).into(),
            purpose: Purpose::Pool {
                chain: CHAIN,
                commitment: Box::new(commitment),
                includes: Arc::default(),
            },
            template: Arc::new(self.template()),
            branch: (0..self.branch_len).map(|i| [i; 32]).collect(),
        }
    }

    /// Everything before the commitment hash, by way of the `bitcoin` crate's own encoding of the transaction.
    fn coinbase_prefix(&self, commitment: &Commitment) -> Vec<u8> {
        let height = &self.height.to_le_bytes()[..3];
        let script_sig = [&[3], height, commitment.tag.as_bytes()].concat();
        let mut output: Vec<TxOut> = (0..self.outputs)
            .map(|n| TxOut { value: Amount::from_sat(1_000_000), script_pubkey: owner(n).to_script_buf() })
            .collect();
        let op_return = [&[0x6a, 44][..], &[0; 44]].concat();
        output.push(TxOut { value: Amount::ZERO, script_pubkey: ScriptBuf::from_bytes(op_return) });
        let coinbase = Transaction {
            version: TxVersion(2),
            lock_time: LockTime::from_consensus(commitment.locktime()),
            input: vec![TxIn {
                previous_output: OutPoint::null(),
                script_sig: ScriptBuf::from_bytes(script_sig),
                sequence: Sequence(0xffff_fffe),
                witness: Witness::new(),
            }],
            output,
        };
        let mut bytes = bitcoin::consensus::serialize(&coinbase);
        bytes.truncate(bytes.len() - 48);
        bytes
    }
}
