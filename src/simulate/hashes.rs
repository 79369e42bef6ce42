//! Who hashes how fast, when that leads to a find, and the real hashes that make it one.

use super::random::{Random, power};
use bitcoin::block::Header;
use bitcoin::hashes::Hash;
use sharechain::params::ChainId;
use sharechain::share::{Share, ShareId, header_id};
use sharechain::target::Target;

/// Parts of `whole` for `count` miners, the n-th in proportion to n to the minus `exponent`.
pub fn power_law(count: usize, exponent: f64, whole: f64) -> impl Iterator<Item = f64> {
    let weight = move |n: usize| power((n + 1) as f64, -exponent);
    let sum: f64 = (0..count).map(weight).sum();
    (0..count).map(move |n| weight(n) * whole / sum)
}

/// The chance that one hash meets a target.
pub fn chance(target: Target) -> f64 {
    let limbs = target.value().0;
    limbs.iter().fold(0.0, |sum, limb| (sum + *limb as f64) / 18_446_744_073_709_551_616.0)
}

/// Seconds until somebody with this many hashes a second meets the target.
pub fn wait(random: &mut Random, hash_rate: f64, target: Target) -> f64 {
    random.exponential(1.0 / (hash_rate * chance(target)))
}

/// Rolls the nonce until the share meets its share target. What else the hash meets is left to chance, as in life.
pub fn grind(chain: ChainId, mut share: Share) -> (Share, ShareId) {
    let target = Target::from_compact(share.commitment.share_bits).unwrap_or(Target::MAX);
    loop {
        let header = share.full_header(chain);
        if let Some((nonce, id)) = grind_nonce(header, target) {
            share.header.nonce = nonce;
            return (share, id);
        }
        share.extranonce[4] = share.extranonce[4].wrapping_add(1);
    }
}

/// A header with real work.
pub fn grind_header(mut header: Header, target: Target) -> Header {
    loop {
        if let Some((nonce, _)) = grind_nonce(header, target) {
            header.nonce = nonce;
            return header;
        }
        let mut root = header.merkle_root.to_byte_array();
        root[0] = root[0].wrapping_add(1);
        header.merkle_root = bitcoin::TxMerkleNode::from_byte_array(root);
    }
}

fn grind_nonce(mut header: Header, target: Target) -> Option<(u32, ShareId)> {
    (0..=u32::MAX).find_map(|nonce| {
        header.nonce = nonce;
        let id = header_id(&header);
        target.is_met_by(&id.0).then_some((nonce, id))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chance_of_a_target_is_its_part_of_all_hashes() {
        assert!((chance(Target::MAX) - 1.0).abs() < 1e-12);
        assert!((chance(Target::MAX.harder_by(1_000)) - 1e-3).abs() < 1e-12);
    }

    #[test]
    fn waits_have_the_mean_of_their_rate() {
        let mut random = Random::new(1, "waits");
        let target = Target::MAX.harder_by(64);
        let sum: f64 = (0..20_000).map(|_| wait(&mut random, 8.0, target)).sum();
        assert!((sum / 20_000.0 - 8.0).abs() < 0.2, "64 hashes at 8 a second: {sum}");
    }

    #[test]
    fn a_power_law_falls_and_sums_up() {
        let parts: Vec<_> = power_law(4, 1.0, 0.5).collect();
        assert!((parts[0] / parts[3] - 4.0).abs() < 1e-9);
        assert!((parts.iter().sum::<f64>() - 0.5).abs() < 1e-12);
    }
}
