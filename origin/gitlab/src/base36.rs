//! Lower-case base 36, the notation of the numbers in routable tokens.

const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// Formats a number in base 36: 36 is `10`.
#[must_use]
pub fn encode(mut number: u64) -> String {
    let mut digits = Vec::new();
    loop {
        let digit = usize::try_from(number % 36).unwrap_or_default();
        digits.extend(DIGITS.get(digit).copied().map(char::from));
        number /= 36;
        if number == 0 {
            return digits.into_iter().rev().collect();
        }
    }
}

/// Parses a base-36 number. Signs, upper-case digits and numbers above `u64::MAX` are rejected,
/// all of which [`u64::from_str_radix`] or GitLab's parser would read differently.
#[must_use]
pub fn decode(text: &str) -> Option<u64> {
    let canonical = text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
    canonical.then(|| u64::from_str_radix(text, 36).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn thirty_six_is_written_as_ten() {
        assert_eq!(encode(36), "10");
        assert_eq!(decode("10"), Some(36));
    }

    #[test]
    fn signs_capitals_blanks_and_overflow_are_rejected() {
        for text in ["", "+1", "-1", "A", " 1", "3w5e11264sgsg"] {
            assert_eq!(decode(text), None, "{text:?}");
        }
        assert_eq!(decode("3w5e11264sgsf"), Some(u64::MAX));
    }

    proptest! {
        #[test]
        fn decoding_inverts_encoding(number: u64) {
            prop_assert_eq!(decode(&encode(number)), Some(number));
        }
    }
}
