//! Hexadecimal digits as miners write them: any case, and not always padded.

use bitcoin::hex::FromHex;

pub(super) use crate::work::job::hex_u32 as u32;

/// Exactly as many digits as so many bytes have.
pub(super) fn bytes<const N: usize>(digits: &str) -> Option<[u8; N]>
where
    [u8; N]: FromHex,
{
    FromHex::from_hex(digits).ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_digits_of_the_right_number_are_read() {
        assert_eq!(super::u32("aB"), Some(0xab));
        assert_eq!(super::u32("00000001"), Some(1));
        for bad in ["", "+1", "123456789", "0x12", "g", " 1", "é"] {
            assert_eq!(super::u32(bad), None, "{bad}");
        }
        assert_eq!(super::bytes::<4>("0102030F"), Some([1, 2, 3, 15]));
        for bad in ["", "0102030", "010203040", "+1020304", "0102030g"] {
            assert_eq!(super::bytes::<4>(bad), None, "{bad}");
        }
        assert_eq!(super::bytes::<8>("0102030405060708"), Some([1, 2, 3, 4, 5, 6, 7, 8]));
        for bad in ["", "01020304050607", "010203040506070g", "010203040506070809", "+102030405060708"] {
            assert_eq!(super::bytes::<8>(bad), None, "{bad}");
        }
        let counted: [u8; 32] = std::array::from_fn(|n| u8::try_from(n).expect("small"));
        let digits: String = counted.iter().map(|byte| format!("{byte:02X}")).collect();
        assert_eq!(super::bytes::<32>(&digits), Some(counted));
        for bad in ["", &digits[1..], &format!("{digits}0"), &digits.replace("0A", "0g"), &"é".repeat(32)] {
            assert_eq!(super::bytes::<32>(bad), None, "{bad}");
        }
    }
}
