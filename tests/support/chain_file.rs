//! Chain parameters as a chain file, for the real program.

use sharechain::params::{ChainParams, Network};
use sharechain::units::Score;

/// The chain file that gives these parameters. The window's score must be a whole number.
pub(crate) fn chain_toml(params: &ChainParams) -> String {
    let embedded = match params.network {
        Network::Embedded { bits } => format!("embedded_bits = '{bits:08x}'\n"),
        _ => String::new(),
    };
    let Score(window_score) = params.window_score;
    assert_eq!(window_score << 64, 0, "a whole number");
    format!(
        "name = '{}'\nnetwork = '{}'\n{embedded}spacing = {}\nshares_per_block = {}\n\
         easiest_block_target = '{:08x}'\nfirst_bitcoin_block = {{ height = {}, hash = '{}' }}\n\
         retarget_constant = {}\nstall_relief = {}\nfuture_limit = {}\nbase_depth = {}\ninclude_depth = {}\n\
         payout_interval = {}\nmax_listed = {}\nwindow_blocks = {}\nwindow_score = {}\nsmallest_payout = {}\n\
         classes = {:?}\n",
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
        window_score >> 64,
        params.smallest_payout,
        params.classes,
    )
}
