//! Secrets, masked wherever their value stands in a text.

use super::source::Source;
use crate::Error;
use aho_corasick::{AhoCorasick, MatchKind};
use std::collections::BTreeSet;
use std::ops::Range;

/// Values of secrets are looked for in all texts up to this many bytes of them, which bounds the automaton (about 100 MB). A unit
/// that has more of them is told, and messages that hold one are masked whole.
const CAP_BYTES: usize = 1 << 21;

/// What is not to be read in a report.
pub struct Mask {
    automaton: Option<AhoCorasick>,
    /// Values that did not fit.
    pub left_out: u64,
}

impl Mask {
    /// Masks nothing.
    pub fn none() -> Mask {
        Mask { automaton: None, left_out: 0 }
    }

    /// Masks the secrets of bundles.
    pub fn of(sources: &[Source]) -> Result<Mask, Error> {
        let (mut values, mut bytes, mut left_out) = (BTreeSet::new(), 0usize, 0u64);
        for source in sources {
            source.each("", "SELECT value FROM secret ORDER BY id", &mut |cells| {
                let value = squeeze(&cells.text(0).unwrap_or_default()).0;
                if value.is_empty() || values.contains(&value) {
                    return Ok(());
                }
                if bytes + value.len() > CAP_BYTES {
                    left_out += 1;
                    return Ok(());
                }
                bytes += value.len();
                values.insert(value);
                Ok(())
            })?;
        }
        Ok(Mask { left_out, ..Mask::values(&values) })
    }

    fn values(values: &BTreeSet<String>) -> Mask {
        // The automaton of literal values cannot be too large below the cap; if it were, every text is masked, not none.
        let built = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(values);
        let automaton = if values.is_empty() { None } else { built.or_else(|_| AhoCorasick::new([""])).ok() };
        Mask { automaton, left_out: 0 }
    }

    /// Where secrets stand in a text, byte ranges in order.
    pub fn found(&self, text: &str) -> Vec<Range<usize>> {
        let Some(automaton) = &self.automaton else { return Vec::new() };
        let (squeezed, places) = squeeze(text);
        let place = |at: usize| places.get(at).copied().unwrap_or(text.len());
        let last = |end: usize| {
            let start = end.checked_sub(1).map_or(0, place);
            text.get(start..).and_then(|rest| rest.chars().next()).map_or(text.len(), |character| start + character.len_utf8())
        };
        automaton.find_iter(&squeezed).map(|found| place(found.start())..last(found.end())).collect()
    }
}

/// Letters and digits in lower case, everything between them as one space; and where each byte comes from. So a seed phrase is found
/// with any spaces, line ends and commas between its words.
fn squeeze(text: &str) -> (String, Vec<usize>) {
    let (mut out, mut places) = (String::with_capacity(text.len()), Vec::with_capacity(text.len()));
    let mut gap = None;
    for (place, character) in text.char_indices() {
        if !character.is_alphanumeric() {
            gap = gap.or(Some(place));
            continue;
        }
        if let Some(gap) = gap.take()
            && !out.is_empty()
        {
            out.push(' ');
            places.push(gap);
        }
        for lower in character.to_lowercase() {
            out.push(lower);
            places.resize(out.len(), place);
        }
    }
    (out, places)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(values: &[&str]) -> Mask {
        Mask::values(&values.iter().map(|value| squeeze(value).0).collect())
    }

    #[test]
    fn a_phrase_is_found_however_it_is_spaced() {
        let mask = mask(&["legal winner thank year", "5Kb8kLf9zgWQnogidDA76MzPL6TsZZY36hWXMssSzNydYXYB9KF"]);
        for text in ["x legal winner thank year y", "LEGAL,\n winner  thank\tYear", "é legal winner thank year"] {
            let found = mask.found(text);
            assert_eq!(found.len(), 1, "{text}");
            let hit = &text[found[0].clone()];
            assert!(hit.to_lowercase().starts_with("legal") && hit.to_lowercase().ends_with("year"), "{hit}");
        }
        assert_eq!(mask.found("5Kb8kLf9zgWQnogidDA76MzPL6TsZZY36hWXMssSzNydYXYB9KF").len(), 1);
        assert!(mask.found("legal winner thanks").is_empty() && Mask::none().found("legal").is_empty());
    }

    #[test]
    fn ranges_are_of_the_text_itself() {
        let mask = mask(&["ab cd"]);
        let text = "ไทย İ «ab—cd» ไทย ab cd";
        let hits: Vec<&str> = mask.found(text).into_iter().map(|range| &text[range]).collect();
        assert_eq!(hits, ["ab—cd", "ab cd"]);
    }
}
