//! A Cell in the directory, and the types of its fields.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One Cell: an independent installation behind the common hostname.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// The Cell's number, which is never reused after the Cell is removed.
    pub id: CellId,
    /// The address for web and API requests: a host, or the name of an Envoy cluster.
    pub address: Label,
    /// The address for container registry requests, if the Cell has a registry.
    pub registry_address: Option<Label>,
    /// The prefix of the Cell's session cookies.
    pub session_prefix: Option<Label>,
    /// The database ids that the Cell may assign.
    pub sequence_ranges: Vec<SequenceRange>,
    /// Whether the ranges may overlap those of other Cells, as those of short-lived Cells may.
    pub skip_range_validation: bool,
}

/// The number of a Cell: positive, as in `CellInfo.id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "i64")]
pub struct CellId(i64);

impl CellId {
    /// Returns the number.
    #[must_use]
    pub const fn number(self) -> i64 {
        self.0
    }
}

impl TryFrom<i64> for CellId {
    type Error = &'static str;

    fn try_from(id: i64) -> Result<Self, Self::Error> {
        if id > 0 { Ok(Self(id)) } else { Err("a cell id is a positive number") }
    }
}

impl FromStr for CellId {
    type Err = &'static str;

    /// Parses decimal digits only: no sign, no spaces, no base 36.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err("a cell id is written in decimal digits");
        }
        text.parse::<i64>().map_err(|_| "a cell id fits in 63 bits")?.try_into()
    }
}

impl fmt::Display for CellId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A name that needs no quoting in an HTTP header: 1 to 253 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(try_from = "String")]
pub struct Label(String);

impl Label {
    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Label {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if visible && (1..=253).contains(&text.len()) {
            Ok(Self(text))
        } else {
            Err("expected 1 to 253 visible ASCII characters, without spaces")
        }
    }
}

/// Database ids from `minval` to `maxval`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RangeFields")]
pub struct SequenceRange {
    minval: i64,
    maxval: i64,
}

impl SequenceRange {
    /// Returns the lowest id of the range.
    #[must_use]
    pub fn minval(self) -> i64 {
        self.minval
    }

    /// Returns the highest id of the range.
    #[must_use]
    pub fn maxval(self) -> i64 {
        self.maxval
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RangeFields {
    minval: i64,
    maxval: i64,
}

impl TryFrom<RangeFields> for SequenceRange {
    type Error = &'static str;

    fn try_from(fields: RangeFields) -> Result<Self, Self::Error> {
        let RangeFields { minval, maxval } = fields;
        if minval < 0 || maxval < minval {
            return Err("expected 0 <= minval <= maxval");
        }
        Ok(Self { minval, maxval })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_id_is_parsed_as_decimal_only() {
        assert_eq!("36".parse::<CellId>().map(|id| id.to_string()), Ok("36".to_owned()));
        for wrong in ["", "0", "+1", "-1", " 1", "1 ", "0x1", "z", "1.0", "9223372036854775808"] {
            assert!(wrong.parse::<CellId>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_label_needs_no_quoting_in_a_header() {
        assert!(Label::try_from("cell-1.example.com:8080".to_owned()).is_ok());
        for wrong in ["", "a b", "a\nb", "é", &"x".repeat(254)] {
            assert!(Label::try_from(wrong.to_owned()).is_err(), "{wrong:?}");
        }
    }
}
