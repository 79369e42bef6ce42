//! The operator's fee: how much, and for whom.

use super::file::FileConfig;
use super::value::{BadValue, bad, from_text};
use super::{ConfigError, NodeArgs};
use crate::address::parse_owner;
use serde::de::{self, Deserializer};
use sharechain::owner::Owner;
use sharechain::params::Network;
use std::str::FromStr;

/// Most hundredths of a percent.
const MAX_FEE: u16 = 1_000;

/// A part of work, in ten thousandths: 0 to 10 percent, to hundredths of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeeRate(u16);

impl FeeRate {
    /// The ten thousandths.
    pub const fn per_10_000(self) -> u16 {
        self.0
    }
}

impl FromStr for FeeRate {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        hundredths(text).filter(|rate| *rate <= MAX_FEE).map(Self).ok_or_else(|| {
            bad(text, "a percentage from 0% to 10% with at most two decimals, like 0.5% (with its sign)")
        })
    }
}

from_text!(FeeRate);

/// `12.34%` is 1234.
fn hundredths(text: &str) -> Option<u16> {
    let number = text.strip_suffix('%')?.trim_end();
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let are_digits = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !are_digits(whole) || !are_digits(decimals) || decimals.len() > 2 {
        return None;
    }
    let decimals: u16 = format!("{decimals:0<2}").parse().ok()?;
    whole.parse::<u16>().ok()?.checked_mul(100)?.checked_add(decimals)
}

/// A fee that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeeConfig {
    /// How much; not nothing.
    pub rate: FeeRate,
    /// Whom it is for.
    pub owner: Owner,
}

/// What arguments and file come to. `address` is whom everything else of the operator is for.
pub(super) fn resolve(
    args: &NodeArgs,
    file: &FileConfig,
    address: Option<Owner>,
    network: Network,
) -> Result<Option<FeeConfig>, ConfigError> {
    let given = args.fee_address.as_ref().or(file.fee_address.as_ref());
    let given = given.map(|text| parse_owner(text, network)).transpose().map_err(ConfigError::FeeAddress)?;
    match (args.fee.or(file.fee), given.or(address)) {
        (None, _) if given.is_some() => Err(ConfigError::NoFee),
        (None | Some(FeeRate(0)), _) => Ok(None),
        (Some(_), None) => Err(ConfigError::FeeForNobody),
        (Some(rate), Some(owner)) => Ok(Some(FeeConfig { rate, owner })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_jobs::owner;

    #[test]
    fn percentages_are_read_exactly_and_bounded() {
        for (text, rate) in
            [("0.5%", 50), ("0.05 %", 5), ("1%", 100), ("10.00%", 1_000), ("0%", 0), ("2.25%", 225)]
        {
            assert_eq!(text.parse(), Ok(FeeRate(rate)), "{text}");
        }
        for text in [
            "",
            "%",
            "0.5",
            "1",
            "10.01%",
            "11%",
            "-1%",
            "+1%",
            "0.005%",
            ".5%",
            "1.%",
            "1e0%",
            "99999999%",
            "x%",
        ] {
            assert!(text.parse::<FeeRate>().is_err(), "{text}");
        }
    }

    const FEES: &str = "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq";

    fn resolved(
        fee: Option<&str>,
        fee_address: Option<&str>,
        address: Option<Owner>,
    ) -> Result<Option<FeeConfig>, String> {
        let args = NodeArgs {
            fee: fee.map(|text| text.parse().expect("right")),
            fee_address: fee_address.map(str::to_owned),
            ..NodeArgs::default()
        };
        let file = FileConfig { fee: Some(FeeRate(7)), ..FileConfig::default() };
        let file = if fee.is_some() { file } else { FileConfig::default() };
        resolve(&args, &file, address, Network::Main).map_err(|error| error.to_string())
    }

    #[test]
    fn a_fee_is_for_its_address_or_the_operators() {
        let fees = parse_owner(FEES, Network::Main).expect("right");
        let of = |rate, owner| Ok(Some(FeeConfig { rate: FeeRate(rate), owner }));
        assert_eq!(resolved(Some("0.5%"), Some(FEES), Some(owner(1))), of(50, fees));
        assert_eq!(resolved(Some("0.5%"), None, Some(owner(1))), of(50, owner(1)), "over the file");
        assert_eq!(resolved(Some("0%"), Some(FEES), None), Ok(None));
        assert_eq!(resolved(None, None, Some(owner(1))), Ok(None));
        for (fee, fee_address, wanted) in [
            (Some("1%"), None, "give it with --fee-address ADDR"),
            (None, Some(FEES), "there is none; give it with --fee"),
            (Some("1%"), Some("bc1qx"), "--fee-address: "),
        ] {
            let error = resolved(fee, fee_address, None).expect_err("wrong");
            assert!(error.contains(wanted), "{error}");
        }
    }
}
