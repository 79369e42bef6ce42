//! What a password may ask for, like `d=1024,c=38`. Everything else in it is ignored.

use super::difficulty::Difficulty;
use super::vardiff::suiting;

/// The wishes in a password. Of wishes that contradict each other the first one counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wishes {
    /// `d=` or `diff=`: begin here, and do not fall below it.
    pub(crate) difficulty: Option<Difficulty>,
    /// `md=` or `minimumdifficulty=`: do not fall below it.
    pub(crate) floor: Option<Difficulty>,
    /// `th=`, terahashes a second: begin with what suits that.
    pub(crate) start: Option<Difficulty>,
    /// `c=`: the outputs of a coinbase that the device holds.
    pub(crate) outputs: Option<u16>,
}

impl Wishes {
    /// Reads a password.
    pub(crate) fn read(password: &str) -> Self {
        let mut wishes = Self::default();
        for (key, value) in password.split([',', ';', ' ']).filter_map(|part| part.split_once('=')) {
            let value = value.trim();
            let number = || value.parse::<f64>().ok();
            let difficulty = || number().and_then(Difficulty::at_most);
            match key.trim().to_ascii_lowercase().as_str() {
                "d" | "diff" => wishes.difficulty = wishes.difficulty.or_else(difficulty),
                "md" | "minimumdifficulty" => wishes.floor = wishes.floor.or_else(difficulty),
                "th" => {
                    wishes.start =
                        wishes.start.or_else(|| number().and_then(|terahashes| suiting(terahashes * 1e12)))
                }
                "c" => wishes.outputs = wishes.outputs.or_else(|| value.parse().ok().filter(|n| *n > 0)),
                _ => {}
            }
        }
        wishes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn power(exponent: i32) -> Option<Difficulty> {
        Some(Difficulty::power_of_two(exponent))
    }

    #[test]
    fn options_are_found_among_anything_else() {
        for (password, difficulty, floor, start, outputs) in [
            ("x", None, None, None, None),
            ("123", None, None, None, None),
            ("d=1024", power(10), None, None, None),
            ("x, DIFF=0.001 ;c=38", power(-10), None, None, Some(38)),
            ("md=512,d=2048,d=4", power(11), power(9), None, None),
            ("minimumdifficulty=3", None, power(1), None, None),
            ("th=200", None, None, power(17), None),
            ("th=0.0005 c=360", None, None, power(-2), Some(360)),
            ("d=0,md=-1,th=x,c=0", None, None, None, None),
            ("c=70000,d=,=5,==", None, None, None, None),
            ("word=x", None, None, None, None),
        ] {
            let expected = Wishes { difficulty, floor, start, outputs };
            assert_eq!(Wishes::read(password), expected, "{password}");
        }
    }
}
