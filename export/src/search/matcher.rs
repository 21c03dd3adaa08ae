//! Whether the texts of a row have what is looked for.

use super::Query;
use super::fold::{self, fold};
use crate::Error;
use aho_corasick::AhoCorasick;
use std::borrow::Cow;

/// One thing that is looked for: a piece of text, and if it is a number, its digits.
pub struct Needle {
    /// As texts are compared.
    pub folded: String,
    /// The digits of a number, which a text may have written in another way.
    pub number: Option<String>,
}

impl Needle {
    fn of(text: &str) -> Result<Needle, Error> {
        let folded = fold(text).into_owned();
        if folded.is_empty() {
            // It would be in every text.
            return Err(Error::Query(format!("nothing can be looked for by \"{}\"", model::text::escape(text))));
        }
        Ok(Needle { number: fold::number(&folded), folded })
    }

    fn is_in(&self, text: &str) -> bool {
        text.contains(&self.folded) || self.number.as_ref().is_some_and(|number| has_number(text, &mut |found| found == number))
    }
}

fn has_number(text: &str, is: &mut dyn FnMut(&str) -> bool) -> bool {
    let mut found = false;
    fold::numbers(text, &mut |number| found = found || is(number));
    found
}

/// Texts of one row are compared one by one: a word may be in one column, the next in another.
pub struct Matcher {
    /// Each must be in one of the texts.
    pub words: Vec<Needle>,
    /// One of these must be, if there are any.
    pub selectors: Vec<Needle>,
    folded: Option<AhoCorasick>,
    /// Selectors that are numbers, by their digits, ascending.
    numbers: Vec<(String, usize)>,
    names: Vec<String>,
}

impl Matcher {
    /// What a query looks for.
    ///
    /// # Errors
    /// A word of which nothing is left when it is folded; more selectors than can be compared at once.
    pub fn new(query: &Query) -> Result<Matcher, Error> {
        let needles = |texts: &[String]| texts.iter().map(|text| Needle::of(text)).collect::<Result<Vec<_>, Error>>();
        let (words, selectors) = (needles(&query.words)?, needles(&query.selectors)?);
        let patterns = selectors.iter().map(|selector| &selector.folded);
        let folded = match selectors.is_empty() {
            true => None,
            false => Some(AhoCorasick::new(patterns).map_err(|error| Error::Query(error.to_string()))?),
        };
        let numbered = selectors.iter().enumerate();
        let mut numbers: Vec<_> = numbered.filter_map(|(place, selector)| Some((selector.number.clone()?, place))).collect();
        numbers.sort_unstable();
        Ok(Matcher { words, selectors, folded, numbers, names: query.selectors.clone() })
    }

    /// The place of the text that has the first word or the selector, and the selector.
    pub fn matches(&self, texts: &[Option<String>]) -> Option<(usize, Option<String>)> {
        let folded: Vec<Option<Cow<'_, str>>> = texts.iter().map(|text| text.as_deref().map(fold)).collect();
        let place_of = |word: &Needle| folded.iter().position(|text| text.as_ref().is_some_and(|text| word.is_in(text)));
        let mut first = None;
        for word in &self.words {
            let place = place_of(word)?;
            first = first.or(Some(place));
        }
        let Some(selectors) = &self.folded else { return first.map(|place| (place, None)) };
        let found = |(place, text): (usize, &Option<Cow<'_, str>>)| {
            let text = text.as_ref()?;
            let found =
                selectors.find(text.as_bytes()).map(|found| found.pattern().as_usize()).or_else(|| self.numbered(text))?;
            Some((place, self.names.get(found).cloned()))
        };
        let (place, selector) = folded.iter().enumerate().find_map(found)?;
        Some((first.unwrap_or(place), selector))
    }

    /// Which of the selectors that are numbers a text has in another spelling.
    fn numbered(&self, text: &str) -> Option<usize> {
        let mut found = None;
        if !self.numbers.is_empty() {
            has_number(text, &mut |digits| {
                let place = self.numbers.partition_point(|(number, _)| number.as_str() < digits);
                found = self.numbers.get(place).filter(|(number, _)| number == digits).map(|(_, selector)| *selector);
                found.is_some()
            });
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(words: &[&str], selectors: &[&str]) -> Option<(usize, Option<String>)> {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let query = Query { words: owned(words), selectors: owned(selectors), ..Query::default() };
        let texts = [Some("Send USDT, ring ០១២ 345-678".to_owned()), None, Some("boss".to_owned())];
        Matcher::new(&query).unwrap().matches(&texts)
    }

    #[test]
    fn all_words_must_be_there_and_one_selector() {
        assert_eq!(matches(&["usdt", "BOSS"], &[]), Some((0, None)));
        assert_eq!(matches(&["usdt", "nobody"], &[]), None);
        assert_eq!(matches(&[], &["x", "Boss"]), Some((2, Some("Boss".to_owned()))));
        assert_eq!(matches(&["usdt"], &["nobody"]), None);
        assert_eq!(matches(&["012.345.678"], &[]), Some((0, None)));
        assert_eq!(matches(&[], &["012 3456 79", "(012) 345 678"]), Some((0, Some("(012) 345 678".to_owned()))));
    }

    #[test]
    fn what_would_be_in_every_text_is_refused() {
        for nothing in ["", "\u{200b}", "\u{301}"] {
            let query = Query { words: vec![nothing.to_owned()], ..Query::default() };
            assert!(matches!(Matcher::new(&query), Err(Error::Query(_))), "{nothing:?}");
        }
    }
}
