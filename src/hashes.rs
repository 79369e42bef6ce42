//! Work as a number of hashes: near enough for a rate that people read, and nothing is decided by it.

use sharechain::target::{Target, Work};

/// The hashes that work takes on average.
pub(crate) fn of_work(work: Work) -> f64 {
    work.0.0.iter().rev().fold(0.0, |sum, limb| sum * 64_f64.exp2() + *limb as f64)
}

/// The hashes that it takes to meet a target, on average.
pub(crate) fn of_target(target: Target) -> f64 {
    of_work(target.work())
}

#[cfg(test)]
mod tests {
    use super::*;
    use primitive_types::U256;

    #[test]
    fn work_is_a_number_of_hashes() {
        assert_eq!(of_work(Work(U256::from(12_345))), 12_345.0);
        assert_eq!(of_work(Work(U256::one() << 130)), 130_f64.exp2());
        let bits = bitcoin::CompactTarget::from_consensus(0x1d00_ffff);
        assert_eq!(of_target(Target::from_compact(bits).expect("difficulty 1")), 4_295_032_833.0);
        assert_eq!([Target::MAX, Target::MAX.harder_by(1 << 20)].map(of_target), [1.0, 1_048_576.0]);
        let target = Target::new(U256::one() << 180).expect("not zero");
        assert!((of_target(target) / 76_f64.exp2() - 1.0).abs() < 1e-12);
    }
}
