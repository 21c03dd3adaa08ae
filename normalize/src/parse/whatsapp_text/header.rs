//! The header of a line: date, time, sender, in the styles of Android and iOS and of every locale met.
//!
//! Android: `1/31/24, 9:05 PM - Name: text`. iOS: `[31.01.24, 21:05:09] Name: text`. The phone's locale decides the order of the
//! date's fields, the separators, the digits, and where and how AM and PM are written; nothing in the file says which it was.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// Longest header before the sender, in characters.
const LONGEST: usize = 48;
/// Longest name of a sender, in characters: longer ones are sentences with a colon.
const NAME_LONGEST: usize = 100;
/// Longest word beside a time, in characters (`nachmittags`).
const WORD_LONGEST: usize = 12;
/// Years in which a chat can have been written.
const YEARS: RangeInclusive<u32> = 2000..=2099;
/// The same in Buddhist years.
const BUDDHIST: RangeInclusive<u32> = 2543..=2642;

/// In which order a date has its fields.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Order {
    /// Day, month, year.
    Dmy,
    /// Month, day, year.
    Mdy,
    /// Year, month, day.
    Ymd,
}

impl Order {
    /// The word in `extra`.
    pub fn name(self) -> &'static str {
        match self {
            Order::Dmy => "dmy",
            Order::Mdy => "mdy",
            Order::Ymd => "ymd",
        }
    }
}

/// Date and time as written.
#[derive(Clone, PartialEq, Debug)]
pub struct Written {
    /// The three numbers of the date.
    fields: [u32; 3],
    /// Digits of the first and third.
    digits: (usize, usize),
    /// Whether a year of two digits can come first: never met with a plain slash.
    year_first: bool,
    /// Hour as written, minute, second.
    time: (u32, u32, u32),
    /// Which half of the day the word beside the time says.
    half: Half,
}

impl Written {
    /// Year, month and day in that order; `None` where it is no date.
    fn date(&self, order: Order) -> Option<(u32, u32, u32)> {
        let [a, b, c] = self.fields;
        let (year, digits, month, day) = match order {
            Order::Dmy => (c, self.digits.1, b, a),
            Order::Mdy => (c, self.digits.1, a, b),
            Order::Ymd => (a, self.digits.0, b, c),
        };
        let year = match digits {
            4 => year,
            1 | 2 if order != Order::Ymd || self.year_first => 2000 + year,
            _ => return None,
        };
        let date = jiff::civil::Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?);
        date.is_ok().then_some((year, month, day))
    }

    /// The orders in which it is a date.
    pub fn orders(&self) -> BTreeSet<Order> {
        [Order::Dmy, Order::Mdy, Order::Ymd].into_iter().filter(|order| self.date(*order).is_some()).collect()
    }

    /// The wall time in an order, ISO 8601 without a zone; `None` where it is none, the half of the day is not sure, or the year
    /// is one of a calendar that is not known. A phone in Thai counts years from the Buddha's death (2567 is 2024); months and days
    /// are the same.
    pub fn local(&self, order: Order) -> Option<String> {
        let (year, month, day) = self.date(order)?;
        let year = if BUDDHIST.contains(&year) { year - 543 } else { year };
        if !YEARS.contains(&year) {
            return None;
        }
        let (hour, minute, second) = self.time;
        let hour = match self.half {
            Half::Unknown => return None,
            Half::Afternoon if hour < 12 => hour + 12,
            Half::Morning if hour == 12 => 0,
            _ => hour,
        };
        Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"))
    }
}

/// A line that begins a message.
#[derive(Clone, PartialEq, Debug)]
pub struct Header<'l> {
    /// Date and time as the file has them.
    pub raw: &'l str,
    /// The same, read.
    pub written: Written,
    /// Who wrote it; `None` for what the app itself says.
    pub sender: Option<&'l str>,
    /// What follows.
    pub text: &'l str,
    /// True for the style of iOS.
    pub bracketed: bool,
    /// Whether the time has seconds: with iOS always; with Android seldom, and logs that look alike have them.
    pub seconds: bool,
}

impl Header<'_> {
    /// Whether the line could be one of a log.
    pub fn like_a_log(&self) -> bool {
        self.seconds && !self.bracketed
    }
}

/// Marks that WhatsApp writes before names, dates and texts to keep their direction.
pub fn is_mark(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Reads the header of a line, if it has one.
pub fn header(line: &str) -> Option<Header<'_>> {
    let line = line.trim_start_matches(is_mark);
    let (bracketed, raw, rest) = match line.strip_prefix('[') {
        Some(inner) => {
            let (raw, rest) = split(inner, "]")?;
            (true, raw, rest.strip_prefix(' ')?)
        }
        None => {
            let (raw, rest) = split(line, " - ").or_else(|| split(line, " \u{2013} "))?;
            (false, raw, rest)
        }
    };
    let (written, seconds) = written(raw)?;
    let (sender, text) = sender(rest);
    Some(Header { raw, written, sender, text, bracketed, seconds })
}

/// Splits at a mark among the first characters.
fn split<'l>(line: &'l str, mark: &str) -> Option<(&'l str, &'l str)> {
    let at = line.find(mark).filter(|at| line.get(..*at).is_some_and(|raw| raw.chars().count() <= LONGEST))?;
    Some((line.get(..at)?, line.get(at + mark.len()..)?))
}

/// Splits off the sender. What the app itself says has none; where it quotes a subject with a colon, the quotation mark tells.
fn sender(rest: &str) -> (Option<&str>, &str) {
    let at = match rest.find(": ") {
        Some(at) => Some((at, at + 2)),
        None => rest.strip_suffix(':').map(|name| (name.len(), rest.len())),
    };
    let found = at.and_then(|(end, begin)| {
        let name = rest.get(..end)?.trim_start_matches(is_mark);
        let is_name = !name.is_empty() && name.chars().count() <= NAME_LONGEST && !name.contains(['"', '\u{201c}', '\u{ab}']);
        is_name.then_some((name, rest.get(begin..)?))
    });
    match found {
        Some((name, text)) => (Some(name), text),
        None => (None, rest),
    }
}

/// Reads date and time; also whether the time has seconds.
fn written(raw: &str) -> Option<(Written, bool)> {
    let plain: String = raw.chars().filter(|c| !is_mark(*c)).map(plain_digit).collect();
    let plain = date_first(plain.trim_start());
    let mut rest = plain.as_ref();
    let mut fields = [0; 3];
    let mut lengths = [0; 3];
    let mut separators = String::new();
    for (index, (field, length)) in fields.iter_mut().zip(&mut lengths).enumerate() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if !(1..=4).contains(&digits) {
            return None;
        }
        *field = rest.get(..digits)?.parse().ok()?;
        *length = digits;
        rest = rest.get(digits..)?;
        let separator = rest.len() - rest.trim_start_matches(['.', '/', '-', '年', '月', '日', ' ', '\u{2010}']).len();
        if index < 2 {
            separators.push_str(rest.get(..separator)?);
            if separator == 0 || rest.get(..separator)?.trim().is_empty() {
                return None;
            }
        }
        rest = rest.get(separator..)?;
    }
    let rest = rest.trim_start_matches([',', '\u{60c}', '、', '，', ' ', '\u{202f}', '\u{a0}']);
    let begin = rest.find(|c: char| c.is_ascii_digit())?;
    let (before, rest) = (rest.get(..begin)?, rest.get(begin..)?);
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != ':' && c != '.').unwrap_or(rest.len());
    let (clock, after) = (rest.get(..end)?.trim_end_matches('.'), rest.get(end..)?);
    let parts: Vec<u32> = clock.split([':', '.']).map(str::parse).collect::<Result<_, _>>().ok()?;
    let (hour, minute, second) = match *parts.as_slice() {
        [hour, minute] => (hour, minute, 0),
        [hour, minute, second] => (hour, minute, second),
        _ => return None,
    };
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let half = half(before, after)?;
    let year_first = lengths.first() == Some(&4)
        || separators.contains(['-', '年'])
        || separators.contains(". ")
        || before.contains(['午', '오', '晚', '早', '凌']);
    let written =
        Written { fields, digits: (*lengths.first()?, *lengths.last()?), year_first, time: (hour, minute, second), half };
    (!written.orders().is_empty()).then_some((written, parts.len() == 3))
}

/// Date before time: Vietnamese phones write `21:05, 31/01/2024`.
fn date_first(plain: &str) -> Cow<'_, str> {
    let hour = plain.len() - plain.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    if !(1..=2).contains(&hour) || plain.as_bytes().get(hour) != Some(&b':') {
        return plain.into();
    }
    match plain.split_once(", ").or_else(|| plain.rsplit_once(' ')) {
        Some((time, date)) => format!("{}, {time}", date.trim_start()).into(),
        None => plain.into(),
    }
}

/// What the word beside a time says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Half {
    /// No word: 24 hours.
    None,
    Morning,
    Afternoon,
    /// A word that is not known.
    Unknown,
}

/// Reads the word before or behind a time. `None` where what stands there cannot be one.
fn half(before: &str, after: &str) -> Option<Half> {
    let clean = |text: &str| -> String {
        // Marks that stand above and below letters belong to the word, though most of them are no letters.
        let mark = |c: char| matches!(c, '\u{900}'..='\u{97f}' | '\u{e31}'..='\u{ecd}' | '\u{102b}'..='\u{103e}' | '\u{17b4}'..='\u{17d3}');
        text.chars().filter(|c| c.is_alphabetic() || mark(*c)).flat_map(char::to_lowercase).collect()
    };
    let (mut first, last) = (clean(before), clean(after));
    let stray = |text: &str| text.chars().any(|c| c.is_ascii_digit() || matches!(c, ':' | '[' | ']' | '|' | '=' | '/'));
    if first.chars().count() > WORD_LONGEST || last.chars().count() > WORD_LONGEST || stray(before) || stray(after) {
        return None;
    }
    // Words that only say "at".
    if ["kl", "klo", "um", "à", "at", "às", "alle", "ore", "в", "o", "om", "la", "ob"].contains(&first.as_str()) {
        first.clear();
    }
    let word = if last.is_empty() { first } else { last };
    Some(match word.as_str() {
        "" => Half::None,
        "am"
        | "πμ"
        | "上午"
        | "午前"
        | "凌晨"
        | "早上"
        | "오전"
        | "ص"
        | "صباحا"
        | "قظ"
        | "öö"
        | "sa"
        | "vorm"
        | "पूर्वाह्न"
        | "清晨"
        | "pg"
        | "ព្រឹក"
        | "ጥዋት"
        | "နံနက်"
        | "ก่อนเที่ยง"
        | "ກ່ອນທ່ຽງ"
        | "de" => Half::Morning,
        "pm"
        | "μμ"
        | "下午"
        | "午後"
        | "中午"
        | "晚上"
        | "오후"
        | "م"
        | "مساء"
        | "بظ"
        | "ös"
        | "ch"
        | "nachm"
        | "अपराह्न"
        | "ptg"
        | "ល្ងាច"
        | "ከሰዓት"
        | "ညနေ"
        | "หลังเที่ยง"
        | "ຫຼັງທ່ຽງ"
        | "du" => Half::Afternoon,
        _ => Half::Unknown,
    })
}

/// The zeros of the scripts that phones write dates in, in order: Unicode's decimal digits (Nd), each followed by its nine others.
const ZEROS: [u32; 20] = [
    0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xe50, 0xed0, 0xf20, 0x1040, 0x1090,
    0x17e0, 0x1810, 0xff10,
];

/// Digits of other scripts as ASCII.
fn plain_digit(character: char) -> char {
    let code = u32::from(character);
    let Some(zero) = ZEROS.iter().rev().find(|zero| **zero <= code).filter(|zero| code - **zero < 10) else { return character };
    char::from_digit(code - zero, 10).unwrap_or(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sender, text and the wall times in every order that fits.
    fn read(line: &str) -> Option<(Option<&str>, &str, Vec<String>)> {
        let header = header(line)?;
        let times = header.written.orders().into_iter().filter_map(|order| header.written.local(order)).collect();
        Some((header.sender, header.text, times))
    }

    #[test]
    fn styles_and_locales() {
        for (line, time) in [
            ("31/1/24, 21:05 - Ann: hi", "2024-01-31T21:05:00"),
            ("1/31/24, 9:05\u{202f}PM - Ann: hi", "2024-01-31T21:05:00"),
            ("31.01.24, 21:05 - Ann: hi", "2024-01-31T21:05:00"),
            ("31.1.2024 klo 21.05 - Ann: hi", "2024-01-31T21:05:00"),
            ("2024-01-31 21:05 - Ann: hi", "2024-01-31T21:05:00"),
            ("2024/1/31 下午9:05 - Ann: hi", "2024-01-31T21:05:00"),
            ("2024. 1. 31. 오후 9:05 - Ann: hi", "2024-01-31T21:05:00"),
            ("2024年1月31日 21:05 - Ann: hi", "2024-01-31T21:05:00"),
            ("31/01/2024, 9:05 p. m. - Ann: hi", "2024-01-31T21:05:00"),
            ("31/1/24, 12:05 a.m. - Ann: hi", "2024-01-31T00:05:00"),
            ("\u{200f}٣١/١/٢٠٢٤، ٩:٠٥ م - Ann: hi", "2024-01-31T21:05:00"),
            ("[31.01.24, 21:05:09] Ann: hi", "2024-01-31T21:05:09"),
            ("\u{200e}[31/01/2024, 9:05:09 PM] Ann: hi", "2024-01-31T21:05:09"),
            ("[01/31/24 21:05] Ann: hi", "2024-01-31T21:05:00"),
            ("31/01/2024, 21:05:09 - Ann: hi", "2024-01-31T21:05:09"),
            ("21:05, 31/01/2024 - Ann: hi", "2024-01-31T21:05:00"),
            ("21:05 31/01/2024 - Ann: hi", "2024-01-31T21:05:00"),
            ("9:05 CH, 31/01/2024 - Ann: hi", "2024-01-31T21:05:00"),
            ("[21:05:09, 31/1/2024] Ann: hi", "2024-01-31T21:05:09"),
            ("31/1/2567 21:05 - Ann: hi", "2024-01-31T21:05:00"),
            ("၃၁/၁/၂၀၂၄ ၂၁:၀၅ - Ann: hi", "2024-01-31T21:05:00"),
            ("៣១/១/២០២៤, ៩:០៥ ល្ងាច - Ann: hi", "2024-01-31T21:05:00"),
            ("31/01/2024, 9:05 ከሰዓት - Ann: hi", "2024-01-31T21:05:00"),
        ] {
            assert_eq!(read(line), Some((Some("Ann"), "hi", vec![time.to_owned()])), "{line}");
        }
    }

    #[test]
    fn ambiguous_dates_keep_their_candidates() {
        let (_, _, times) = read("2/3/24, 21:05 - Ann: hi").unwrap();
        assert_eq!(times, ["2024-03-02T21:05:00", "2024-02-03T21:05:00"]);
        let (_, _, times) = read("[15-01-20 02:22:56] Ann: hi").unwrap();
        assert_eq!(times, ["2020-01-15T02:22:56", "2015-01-20T02:22:56"]);
    }

    #[test]
    fn years_of_an_unknown_calendar_give_no_time() {
        assert_eq!(read("۱۴۰۲/۱۱/۱۱، ۲۱:۰۵ - Ann: hi"), Some((Some("Ann"), "hi", vec![])));
    }

    #[test]
    fn senders_and_what_the_app_says() {
        let read = |rest| sender(rest);
        assert_eq!(read("John: a : b: c"), (Some("John"), "a : b: c"));
        assert_eq!(read("\u{200e}+1 201 555 0123: x"), (Some("+1 201 555 0123"), "x"));
        assert_eq!(read("You were added"), (None, "You were added"));
        assert_eq!(read("Ann: "), (Some("Ann"), ""));
        assert_eq!(read("Ann changed the subject to \"a: b\""), (None, "Ann changed the subject to \"a: b\""));
    }

    #[test]
    fn other_lines_are_no_headers() {
        for line in [
            "",
            "hello - world: x",
            "2024-01-31 21:05:09,123 - name - INFO - x",
            "31/31/24, 21:05 - Ann: x",
            "1/2/24, 25:05 - Ann: x",
            "[main] INFO: x",
            "127.0.0.1 - - [31/Jan/2024:21:05:09 +0000]",
            "12/31, 21:05 - Ann: x",
            "[",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }
}
