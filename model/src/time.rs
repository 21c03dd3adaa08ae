//! Times: microseconds since 1970-01-01 UTC beside the raw value they came from.

use serde::{Deserialize, Serialize};

/// Microseconds between 1970-01-01 and 2001-01-01, the Cocoa epoch.
const COCOA_EPOCH_US: i128 = 978_307_200 * 1_000_000;
/// Microseconds between 1601-01-01 and 1970-01-01, the WebKit and FILETIME epoch.
const WEBKIT_EPOCH_US: i128 = 11_644_473_600 * 1_000_000;

/// The unit and epoch of a raw time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum TimeUnit {
    /// Seconds since 1970.
    UnixS,
    /// Milliseconds since 1970.
    UnixMs,
    /// Microseconds since 1970.
    UnixUs,
    /// Nanoseconds since 1970.
    UnixNs,
    /// Seconds since 2001-01-01 (Core Data).
    CocoaS,
    /// Nanoseconds since 2001-01-01 (iMessage since iOS 11).
    CocoaNs,
    /// Microseconds since 1601-01-01 (Chromium).
    WebkitUs,
    /// A written date; the raw value is its text. No zone is known unless the text has one.
    Text,
}

impl TimeUnit {
    /// The word that stands in a bundle's `*_unit` columns and in definitions.
    pub fn name(self) -> &'static str {
        match self {
            TimeUnit::UnixS => "unix_s",
            TimeUnit::UnixMs => "unix_ms",
            TimeUnit::UnixUs => "unix_us",
            TimeUnit::UnixNs => "unix_ns",
            TimeUnit::CocoaS => "cocoa_s",
            TimeUnit::CocoaNs => "cocoa_ns",
            TimeUnit::WebkitUs => "webkit_us",
            TimeUnit::Text => "text",
        }
    }

    /// The unit with that name.
    pub fn parse(name: &str) -> Option<TimeUnit> {
        use TimeUnit::*;
        [UnixS, UnixMs, UnixUs, UnixNs, CocoaS, CocoaNs, WebkitUs, Text].into_iter().find(|unit| unit.name() == name)
    }

    /// The whole raw value as microseconds since 1970 UTC; `None` for a text or where i64 cannot hold it.
    pub fn micros(self, raw: i64) -> Option<i64> {
        let raw = i128::from(raw);
        let micros = match self {
            TimeUnit::UnixS => raw * 1_000_000,
            TimeUnit::UnixMs => raw * 1_000,
            TimeUnit::UnixUs => raw,
            TimeUnit::UnixNs => raw.div_euclid(1_000),
            TimeUnit::CocoaS => raw * 1_000_000 + COCOA_EPOCH_US,
            TimeUnit::CocoaNs => raw.div_euclid(1_000) + COCOA_EPOCH_US,
            TimeUnit::WebkitUs => raw - WEBKIT_EPOCH_US,
            TimeUnit::Text => return None,
        };
        i64::try_from(micros).ok()
    }
}

/// A raw time value as the evidence has it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum RawTime {
    /// A whole number.
    Integer(i64),
    /// Anything else, as its text: a written date, or a real number with all its digits.
    Text(String),
}

/// A time: what the evidence says, in which unit, and what that is in UTC if it can be known.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Stamp {
    /// Microseconds since 1970-01-01 UTC; `None` where the zone or the order of day and month is not known.
    pub utc_us: Option<i64>,
    /// The value in the evidence.
    pub raw: RawTime,
    /// The unit of the raw value.
    pub unit: TimeUnit,
}

impl Stamp {
    /// A stamp of an integer in a known unit.
    pub fn integer(raw: i64, unit: TimeUnit) -> Stamp {
        Stamp { utc_us: unit.micros(raw), raw: RawTime::Integer(raw), unit }
    }

    /// A stamp of a written date whose UTC value is not known (or is, when the text carries a zone).
    pub fn text(raw: impl Into<String>, utc_us: Option<i64>) -> Stamp {
        Stamp { utc_us, raw: RawTime::Text(raw.into()), unit: TimeUnit::Text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs() {
        assert_eq!(TimeUnit::CocoaS.micros(0), Some(978_307_200_000_000));
        assert_eq!(TimeUnit::WebkitUs.micros(11_644_473_600_000_000), Some(0));
        assert_eq!(TimeUnit::UnixMs.micros(1_700_000_000_000), Some(1_700_000_000_000_000));
        assert_eq!(TimeUnit::UnixS.micros(i64::MAX), None);
        assert_eq!(TimeUnit::UnixNs.micros(-1), Some(-1));
    }
}
