//! Chain parameters as a chain file, for the real program.

use sharechain::params::{ChainParams, Network};
use sharechain::units::Score;

/// The chain file that gives these parameters. The window's score must have at most 18 binary places.
pub(crate) fn chain_toml(params: &ChainParams) -> String {
    let embedded = match params.network {
        Network::Embedded { bits } => format!("embedded_bits = '{bits:08x}'\n"),
        _ => String::new(),
    };
    let Score(window_score) = params.window_score;
    // In a chain file it has at most 18 decimals, which tell so many binary places exactly.
    assert_eq!(window_score % (1 << 46), 0, "18 binary places");
    let (whole, part) = (window_score >> 64, (window_score >> 46) % (1 << 18) * 5_u128.pow(18));
    format!(
        "name = '{}'\nnetwork = '{}'\n{embedded}spacing = {}\nshares_per_block = {}\n\
         easiest_block_target = '{:08x}'\nfirst_bitcoin_block = {{ height = {}, hash = '{}' }}\n\
         retarget_constant = {}\nstall_relief = {}\nfuture_limit = {}\nbase_depth = {}\ninclude_depth = {}\n\
         payout_interval = {}\nmax_listed = {}\nwindow_blocks = {}\n\
         window_score = '{whole}.{part:018}'\nsmallest_payout = {}\nclasses = {:?}\n",
        params.name,
        params.network.name(),
        params.spacing,
        params.shares_per_block,
        params.easiest_block_target.to_consensus(),
        params.first_bitcoin_block.0,
        params.first_bitcoin_block.1,
        params.retarget_constant,
        params.stall_relief,
        params.future_limit,
        params.base_depth,
        params.include_depth,
        params.payout_interval,
        params.max_listed,
        params.window_blocks,
        params.smallest_payout,
        params.classes,
    )
}
