//! From a parsed template to the bytes of `mining.notify` for every connection.

use bitcoin::hashes::Hash;
use bitcoin::{CompactTarget, Txid, Wtxid};
use commonwork::bitcoin::{Template, TemplateTx};
use commonwork::work::job::JobIds;
use commonwork::work::maker::{Aim, Hashed, JobMaker, PoolAim, Round};
use commonwork::work::series::SeriesKey;
use divan::Bencher;
use sharechain::units::BitcoinHeight;
use std::sync::Arc;

#[path = "../sharechain/tests/support/mod.rs"]
mod rig;

fn main() {
    divan::main();
}

fn template(rig: &rig::Rig, transactions: u32) -> Arc<Template> {
    let header = rig.header();
    let hash = |n: u32| sharechain::hash::sha256d(&n.to_le_bytes());
    let transaction = |n: u32| TemplateTx {
        raw: vec![0; 200].into(),
        txid: Txid::from_byte_array(hash(n)),
        wtxid: Wtxid::from_byte_array(hash(n ^ u32::MAX)),
        fee: 1_000,
        weight: 800,
        sigops: 4,
    };
    Arc::new(Template {
        prev_block: header.prev_block,
        height: BitcoinHeight(1),
        version: header.version.to_consensus(),
        bits: CompactTarget::from_consensus(header.bits.to_consensus()),
        target: sharechain::target::Target::from_compact(header.bits).expect("the rig's target"),
        current_time: header.time,
        min_time: header.time,
        coinbase_value: 5_000_000_000 + 1_000 * u64::from(transactions),
        transactions: (0..transactions).map(transaction).collect(),
        weight_limit: 4_000_000,
        sigop_limit: 80_000,
        // Worked out when the daemon's own was checked, as in every template that is read.
        known_commitment: Some([5; 32]),
        long_poll_id: None,
    })
}

/// A template of 3,000 transactions, one owner, a thousand connections, each with a buffer of its own.
#[divan::bench(sample_count = 200)]
fn template_to_notify_for_1000_connections(bencher: Bencher<'_, '_>) {
    let mut rig = rig::Rig::new();
    for n in 0..40 {
        rig.block(n % 30);
    }
    rig.bitcoin_block();
    let template = template(&rig, 3_000);
    let (draft, params) = (rig.draft(), rig.chain.params().clone());
    let aim = Arc::new(PoolAim {
        chain: params.chain_id(),
        params: Arc::new(params),
        share_target: draft.easiest_share_target,
        draft,
    });
    let ids = Arc::new(JobIds::starting_at(1));
    let mut maker = JobMaker::new(ids.clone(), [7; 4]);
    let mut buffers: Vec<_> = (0..1_000).map(|_| Vec::with_capacity(8_192)).collect();
    bencher.bench_local(|| {
        let round = Round {
            hashed: Hashed::new(template.clone()),
            header: rig.header(),
            aim: Aim::Pool(aim.clone()),
        };
        let key = SeriesKey { owner: rig::owner(1), class: 11 };
        let job = maker.job(&round, key).expect("a job");
        for buffer in &mut buffers {
            buffer.clear();
            job.write_notify(ids.next(), job.header().time, false, buffer);
        }
        divan::black_box(&buffers);
    });
}

/// The part of it that is hashing the template's merkle tree.
#[divan::bench(sample_count = 200)]
fn merkle_branch_of_3000_transactions(bencher: Bencher<'_, '_>) {
    let template = template(&rig::Rig::new(), 3_000);
    bencher.bench_local(|| Hashed::new(divan::black_box(&template).clone()));
}
