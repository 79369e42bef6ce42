//! Random numbers that are the same on every machine: a generator of our own, and logarithms without the system's.
//!
//! A crate's generator may change between releases, and libraries of mathematics differ in the last bit; then a seed
//! in a document would name another run. Addition, multiplication and division are exact by IEEE 754 everywhere.

/// A stream of random numbers: SplitMix64 (Steele, Lea and Flood 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The stream of this seed for this purpose; streams do not disturb each other.
    pub fn new(seed: u64, purpose: &str) -> Self {
        let mut stream = Self(seed);
        for byte in purpose.bytes() {
            stream.0 = stream.bits() ^ u64::from(byte);
        }
        stream
    }

    /// The next 64 bits.
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evenly spread over 0 (left out) to 1.
    pub fn fraction(&mut self) -> f64 {
        ((self.bits() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// One of `0..count`; 0 when there is none.
    pub fn below(&mut self, count: usize) -> usize {
        let wide = u128::from(self.bits()) * count as u128;
        (wide >> 64) as usize
    }

    /// The waiting time until something that happens once in `mean`, whenever one begins to wait.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -ln(self.fraction()) * mean
    }

    /// Normal with mean 0 and standard deviation 1, near enough for delays: the sum of twelve.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.fraction()).sum::<f64>() - 6.0
    }

    /// Log-normal with median 1.
    pub fn jitter(&mut self, sigma: f64) -> f64 {
        exp(self.normal() * sigma)
    }

    /// Fisher and Yates.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// 1 / (2n + 1), from 0 up.
const OF_ODD: [f64; 12] = {
    let mut parts = [0.0; 12];
    let mut n = 0;
    while n < parts.len() {
        parts[n] = 1.0 / (2 * n + 1) as f64;
        n += 1;
    }
    parts
};

// Both of these are most of what a long comparison of rewards does, and iterators cost a build without optimisation
// several times the arithmetic: hence plain loops.

/// Natural logarithm of a positive, finite number.
pub fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = f64::from((bits >> 52) as u32 as i32 - 1023);
    let mut mantissa = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa /= 2.0;
        exponent += 1.0;
    }
    // ln m = 2 artanh((m - 1) / (m + 1)), whose argument is below 0.172.
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    let (mut series, mut n) = (0.0, OF_ODD.len());
    while n > 0 {
        n -= 1;
        series = series * square + OF_ODD[n];
    }
    2.0 * s * series + exponent * std::f64::consts::LN_2
}

/// e to a power between -700 and 700.
pub fn exp(x: f64) -> f64 {
    let x = x.clamp(-700.0, 700.0);
    let whole = (x / std::f64::consts::LN_2).round();
    let rest = x - whole * std::f64::consts::LN_2;
    let (mut series, mut n) = (1.0, 17.0);
    while n > 0.0 {
        series = 1.0 + series * rest / n;
        n -= 1.0;
    }
    series * f64::from_bits(((whole as i64 + 1023) as u64) << 52)
}

/// A positive number to any power.
pub fn power(base: f64, exponent: f64) -> f64 {
    exp(ln(base) * exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_and_powers_are_right() {
        for x in [1e-9, 0.1, 0.7, 1.0, 1.5, 2.0, 1e6] {
            assert!((ln(x) - x.ln()).abs() < 1e-14 * (1.0 + x.ln().abs()), "{x}");
        }
        for x in [-30.0_f64, -1.0, -0.1, 0.0, 0.5, 1.0, 20.0] {
            assert!((exp(x) / x.exp() - 1.0).abs() < 1e-13, "{x}");
        }
        assert!((power(9.0, -0.5) - 1.0 / 3.0).abs() < 1e-13);
    }

    /// To the last bit: a seed names a run on every machine and in every release.
    #[test]
    fn logarithms_and_powers_are_pinned() {
        assert_eq!(
            [0.3, 1e-9, 7.25].map(|x| ln(x).to_bits()),
            [0xbff3_4378_fcbd_a720, 0xc034_b927_f32b_ffb8, 0x3fff_b22e_98a1_c24e]
        );
        assert_eq!(
            [-0.3, -29.5, 3.75].map(|x| exp(x).to_bits()),
            [0x3fe7_b4c8_69c3_7c05, 0x3d45_b690_2bc4_7818, 0x4045_42b2_d0a2_66e7]
        );
    }

    #[test]
    fn distributions_have_their_moments() {
        let mut random = Random::new(1, "moments");
        let count = 200_000;
        let mean = (0..count).map(|_| random.exponential(3.0)).sum::<f64>() / f64::from(count);
        assert!((mean - 3.0).abs() < 0.03, "{mean}");
        let above = (0..count).filter(|_| random.jitter(0.5) > 1.0).count();
        assert!(
            (above as f64 / f64::from(count) - 0.5).abs() < 0.005,
            "the median of the jitter is 1: {above}"
        );
        let mut counts = [0; 7];
        (0..70_000).for_each(|_| counts[random.below(7)] += 1);
        assert!(counts.iter().all(|&n: &i32| (n - 10_000).abs() < 400), "{counts:?}");
        assert_eq!(random.below(0), 0);
    }

    #[test]
    fn streams_are_pinned_and_apart() {
        assert_eq!(Random::new(1, "").bits(), 0x910a_2dec_8902_5cc1);
        assert_ne!(Random::new(1, "a").bits(), Random::new(1, "b").bits());
        assert_ne!(Random::new(1, "a").bits(), Random::new(2, "a").bits());
    }
}
