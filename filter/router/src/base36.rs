//! Lower-case base 36, the number form of routable tokens.

const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// `36` is `10`.
pub(crate) fn encode(mut number: u64) -> String {
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

/// Strict: no sign, no upper case, nothing above `u64::MAX`.
pub(crate) fn decode(text: &str) -> Option<u64> {
    let canonical = text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
    canonical.then(|| u64::from_str_radix(text, 36).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ten_is_cell_thirty_six() {
        assert_eq!(encode(36), "10");
        assert_eq!(decode("10"), Some(36));
    }

    #[test]
    fn signs_capitals_blanks_and_overflow_are_refused() {
        for text in ["", "+1", "-1", "A", " 1", "3w5e11264sgsg"] {
            assert_eq!(decode(text), None, "{text:?}");
        }
        assert_eq!(decode("3w5e11264sgsf"), Some(u64::MAX));
    }

    proptest! {
        #[test]
        fn every_number_returns(number: u64) {
            prop_assert_eq!(decode(&encode(number)), Some(number));
        }
    }
}
