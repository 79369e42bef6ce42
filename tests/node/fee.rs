//! The operator's fee in a pool: the whole program, and the shares that it credits.

use super::hand::{Hand, Want};
use super::process::Process;
use crate::cli::Program;
use crate::support::bitcoind::wait_for;
use crate::support::jobs::owner;
use commonwork::address::address_of;
use sharechain::params::Network;

/// Share blocks of 256 hashes, shares of 16, and no Bitcoin blocks.
const CHAIN: &str = "name = 'fee'\nnetwork = 'embedded'\nembedded_bits = '1d00ffff'\neasiest_block_target = '2000ffff'\n\
                     shares_per_block = 16\nbase_depth = 2\nspacing = 1\nretarget_constant = 1000000\n";
/// Zero bits of a share that is no block, and of a block.
const SHARE: Want = Want { from: 5, below: 8 };
const BLOCK: Want = Want::bits(9);

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_equal_jobs_the_shares_of_two_are_credited_to_the_fee() {
    let address = |n| address_of(&owner(n), Network::Embedded { bits: 0x1d00_ffff });
    let (miner, fees) = (address(1), address(9));
    let program = Program::new();
    let chain_file = program.file("fee.toml", CHAIN);
    let chain = ["--chain", &chain_file];
    let mut node =
        Process::start(&program, &[&chain[..], &["--fee", "10%", "--fee-address", &fees]].concat());
    node.until_it_says("10 % of the work of others' hardware is mined for");
    let mut hand = Hand::connect(node.stratum(), miner.clone()).await.expect("served");
    let mut job = hand.newest().await.expect("served");
    let mut for_fee = 0;
    for _ in 0..20 {
        for want in [SHARE, SHARE, SHARE, SHARE, SHARE, BLOCK] {
            let found = hand.mine(&job, want);
            assert_eq!(hand.submit(&found).await.expect("served"), None);
            if want == BLOCK {
                let id = found.id.to_string();
                let shown = wait_for("the block in the chain", || {
                    let shown = program.run(&[&["chain", "show", &id, "--json"], &chain[..]].concat());
                    (shown.code == 0).then_some(shown.output)
                });
                assert!(shown.contains(&miner) != shown.contains(&fees), "{shown}");
                for_fee += u32::from(shown.contains(&fees));
            }
        }
        let last = job;
        job = hand.job_with(|job| !job.is_same(&last)).await.expect("served");
    }
    assert_eq!(for_fee, 2);
}
