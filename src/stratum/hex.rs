//! Hexadecimal digits as miners write them: any case, and not always padded.

/// 1 to 8 digits as a number. Some devices leave out leading zeros.
pub(super) fn u32(text: &str) -> Option<u32> {
    let digits = (1..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if digits { u32::from_str_radix(text, 16).ok() } else { None }
}

/// Exactly 8 digits as four bytes.
pub(super) fn four_bytes(text: &str) -> Option<[u8; 4]> {
    (text.len() == 8).then(|| u32(text)).flatten().map(u32::to_be_bytes)
}

/// Exactly 16 digits as eight bytes.
pub(super) fn eight_bytes(text: &str) -> Option<[u8; 8]> {
    let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if digits { u64::from_str_radix(text, 16).ok().map(u64::to_be_bytes) } else { None }
}

/// Exactly 64 digits as 32 bytes.
pub(super) fn thirty_two_bytes(digits: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let (parts, []) = digits.as_bytes().as_chunks::<16>() else { return None };
    if parts.len() != 4 {
        return None;
    }
    for (part, eight) in parts.iter().zip(bytes.as_chunks_mut::<8>().0) {
        *eight = eight_bytes(str::from_utf8(part).ok()?)?;
    }
    Some(bytes)
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
        assert_eq!(super::four_bytes("0102030F"), Some([1, 2, 3, 15]));
        for bad in ["", "0102030", "010203040", "+1020304", "0102030g"] {
            assert_eq!(super::four_bytes(bad), None, "{bad}");
        }
        assert_eq!(super::eight_bytes("0102030405060708"), Some([1, 2, 3, 4, 5, 6, 7, 8]));
        for bad in ["", "01020304050607", "010203040506070g", "010203040506070809", "+102030405060708"] {
            assert_eq!(super::eight_bytes(bad), None, "{bad}");
        }
        let counted: [u8; 32] = std::array::from_fn(|n| u8::try_from(n).expect("small"));
        let digits: String = counted.iter().map(|byte| format!("{byte:02X}")).collect();
        assert_eq!(super::thirty_two_bytes(&digits), Some(counted));
        for bad in ["", &digits[1..], &format!("{digits}0"), &digits.replace("0A", "0g"), &"é".repeat(32)] {
            assert_eq!(super::thirty_two_bytes(bad), None, "{bad}");
        }
    }
}
