//! Numbers as people read them, read back: so a test sees that what is shown is what was told.

/// What a text says, and how far it may be from what it was made of; none where it says no number.
pub(super) fn read(text: &str) -> Option<(f64, f64)> {
    let text = text.replace(',', "").replace('\u{2212}', "-");
    if text == "level" {
        return Some((0.0, 0.0));
    }
    if text == "< 0.01 %" {
        return Some((0.000_05, 0.000_05));
    }
    // Terms that are done, the one that is read, and how far that may be off.
    let (mut sum, mut term, mut off) = (0.0, None, 0.0);
    for word in text.split_whitespace() {
        if let Ok(number) = word.parse::<f64>() {
            sum += term.replace(number).unwrap_or(0.0);
            let decimals = word.split_once('.').map_or(0, |(_, decimals)| decimals.len());
            off = 0.51 * 0.1_f64.powi(i32::try_from(decimals).ok()?);
        } else {
            let factor = factor(word)?;
            term = Some(term? * factor);
            // What is less than the last unit of a time is left out.
            let is_cut = ["min", "h", "d"].contains(&word);
            off *= if is_cut { 2.0 * factor } else { factor.abs() };
        }
    }
    Some((sum + term?, off))
}

/// What a word makes of the number before it.
fn factor(word: &str) -> Option<f64> {
    if let Some(power) = word.strip_prefix("10").filter(|power| !power.is_empty()) {
        let plain: Option<String> = power.chars().map(plain).collect();
        return Some(10_f64.powi(plain?.parse().ok()?));
    }
    let word = word.strip_suffix("/day").unwrap_or(word);
    Some(match word {
        "BTC" => 1e8,
        "%" => 0.01,
        "min" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        "×" | "s" | "ms" | "sat" | "blocks" | "points" | "hashes" | "output" | "outputs" | "confirmation"
        | "confirmations" | "payment" | "payments" | "Bitcoin" | "block" | "ahead" | "ago" => 1.0,
        "behind" => -1.0,
        _ => {
            let prefix = word.strip_suffix("H/s").unwrap_or(word);
            let power = ["", "k", "M", "G", "T", "P", "E", "Z", "Y"].iter().position(|one| *one == prefix)?;
            1_000_f64.powi(i32::try_from(power).ok()?)
        }
    })
}

/// A raised digit or minus as a plain one.
fn plain(raised: char) -> Option<char> {
    let at = "⁻⁰¹²³⁴⁵⁶⁷⁸⁹".chars().position(|one| one == raised)?;
    "-0123456789".chars().nth(at)
}

#[test]
fn texts_are_read_as_people_read_them() {
    for (text, value) in [
        ("0", 0.0),
        ("1,234,567", 1_234_567.0),
        ("100029", 100_029.0),
        ("3.10 TH/s", 3.1e12),
        ("0 H/s", 0.0),
        ("12.3 k", 12_300.0),
        ("999,999 sat", 999_999.0),
        ("50.00000001 BTC", 5_000_000_001.0),
        ("1.00000000 BTC/day", 1e8),
        ("12.3 %", 0.123),
        ("2.01 blocks", 2.01),
        ("8,495 blocks/day", 8_495.0),
        ("2 Bitcoin blocks", 2.0),
        ("1.23 × 10⁻⁵ blocks/day", 1.23e-5),
        ("6.10 × 10²³ hashes", 6.1e23),
        ("5 min 30 s", 330.0),
        ("2 d 3 h", 183_600.0),
        ("5 min 30 s ago", 330.0),
        ("40 s behind", -40.0),
        ("\u{2212}1.25 points", -1.25),
        ("11 outputs", 11.0),
        ("1 confirmation", 1.0),
        ("12 ms", 12.0),
    ] {
        let (read, off) = read(text).unwrap_or_else(|| panic!("{text:?} is no number"));
        assert!((read - value).abs() <= value.abs() * 1e-12, "{text:?} is read as {read}");
        assert!(off <= (0.6_f64).max(value.abs() * 0.03), "{text:?} may be {off} off");
    }
    assert_eq!(read("< 0.01 %"), Some((0.000_05, 0.000_05)));
    for none in ["–", "NaN H/s", "Infinity", "just now", "undefined blocks", "7 apples"] {
        assert!(read(none).is_none_or(|(read, _)| !read.is_finite()), "{none:?}");
    }
}
