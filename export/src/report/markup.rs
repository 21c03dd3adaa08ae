//! Text from evidence as markup: escaped, isolated, and nothing of it invisible.
//!
//! Every text of a bundle stands in a `<bdi>` of its own (HTML Living Standard §4.5.24), so that its direction ends with it. What
//! deceives the eye (controls, bidirectional overrides, zero-width characters) is written out as `\u{202e}`.

use super::mask::Mask;
use model::text::is_deceptive;
use std::fmt;

/// Markup that is safe as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Markup(String);

impl fmt::Display for Markup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

// What makes one is below, and escapes.
impl askama::filters::HtmlSafe for Markup {}

impl Markup {
    /// Nothing.
    pub fn nothing() -> Markup {
        Markup::default()
    }

    /// Text from evidence, isolated, secrets in it masked.
    pub fn text(text: &str, mask: &Mask) -> Markup {
        let mut out = String::with_capacity(text.len() + 16);
        out.push_str("<bdi>");
        let mut from = 0;
        for range in mask.found(text) {
            push(&mut out, text.get(from..range.start).unwrap_or(""), true);
            out.push_str("<span class=\"masked\">secret masked</span>");
            from = range.end;
        }
        push(&mut out, text.get(from..).unwrap_or(""), true);
        out.push_str("</bdi>");
        Markup(out)
    }

    /// The same, or nothing.
    pub fn maybe(text: Option<&str>, mask: &Mask) -> Markup {
        text.map(|text| Markup::text(text, mask)).unwrap_or_default()
    }

    /// Text for a picture, cut to so many characters; SVG has no `<bdi>`, its stylesheet isolates each `<text>`.
    pub fn label(text: &str, mask: &Mask, characters: usize) -> Markup {
        let mut out = String::new();
        let shown: &str = if mask.found(text).is_empty() { text } else { "(masked)" };
        let mut cut: String = shown.chars().take(characters).collect();
        if shown.chars().count() > characters {
            cut.push('…');
        }
        push(&mut out, &cut, false);
        Markup(out)
    }

    /// A word of Haul's own or a digest, in fixed width.
    pub fn code(text: &str) -> Markup {
        let mut out = String::from("<code>");
        push(&mut out, text, true);
        out.push_str("</code>");
        Markup(out)
    }

    /// A word of Haul's own.
    pub fn word(text: &str) -> Markup {
        let mut out = String::new();
        push(&mut out, text, true);
        Markup(out)
    }

    /// A number with its thousands apart.
    pub fn number(number: i64) -> Markup {
        Markup(thousands(number))
    }

    /// A time of the evidence, UTC to the second; what has no UTC value as it stands there.
    pub fn time(micros: Option<i64>, raw: Option<&str>) -> Markup {
        match (micros.and_then(utc), raw) {
            (Some(time), _) => Markup(format!("<time>{time} UTC</time>")),
            (None, Some(raw)) => {
                let mut out = String::from("<span class=\"raw\">");
                push(&mut out, raw, true);
                out.push_str(" (as written)</span>");
                Markup(out)
            }
            (None, None) => Markup::nothing(),
        }
    }

    /// What a row is when it is not live.
    pub fn state(state: Option<&str>) -> Markup {
        match state {
            None | Some("live") => Markup::nothing(),
            Some(state) => {
                let mut out = String::from("<span class=\"state\">");
                push(&mut out, state, true);
                out.push_str("</span>");
                Markup(out)
            }
        }
    }

    /// A link to a place in this report; `target` is Haul's own.
    pub fn link(target: &str, label: &Markup) -> Markup {
        let mut out = String::from("<a href=\"");
        push(&mut out, target, false);
        out.push_str(&format!("\">{label}</a>"));
        Markup(out)
    }

    /// Several after one another.
    pub fn joined(parts: &[Markup], between: &str) -> Markup {
        let kept: Vec<&str> = parts.iter().map(|part| part.0.as_str()).filter(|part| !part.is_empty()).collect();
        Markup(kept.join(between))
    }

    /// Characters of the longest piece without a space, tags aside.
    pub fn longest_word(&self) -> usize {
        let (mut longest, mut here, mut tag) = (0, 0, false);
        for character in self.0.chars() {
            match character {
                '<' => tag = true,
                '>' => tag = false,
                _ if tag => {}
                _ if character.is_whitespace() => here = 0,
                _ => here += 1,
            }
            longest = longest.max(here);
        }
        longest
    }

    /// Whether there is nothing.
    pub fn is_nothing(&self) -> bool {
        self.0.is_empty()
    }
}

/// Date and time, UTC to the second; `None` beyond the years 0 to 9999.
pub fn utc(micros: i64) -> Option<String> {
    let time = jiff::Timestamp::from_microsecond(micros).ok()?.to_zoned(jiff::tz::TimeZone::UTC);
    (0..=9999).contains(&time.year()).then(|| time.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// `1234567` as `1,234,567`.
pub fn thousands(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut out = String::from(if number < 0 { "-" } else { "" });
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Escapes for text and for quoted attributes; `marked` sets what is written out apart.
fn push(out: &mut String, text: &str, marked: bool) {
    let mut before = None;
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(character),
            _ if joins(character, before, rest.peek().copied()) => out.push(character),
            _ if is_hidden(character) => {
                out.push_str(if marked { "<span class=\"hidden\">" } else { "" });
                out.extend(character.escape_unicode());
                out.push_str(if marked { "</span>" } else { "" });
            }
            _ => out.push(character),
        }
        before = Some(character);
    }
}

/// Zero-width space and joiners between characters beyond ASCII belong to how Khmer, Thai, Persian and emoji are written; elsewhere
/// they only hide.
fn joins(character: char, before: Option<char>, after: Option<char>) -> bool {
    let belongs = |beside: Option<char>| beside.is_some_and(|beside| !beside.is_ascii() && !is_hidden(beside));
    matches!(character, '\u{200b}'..='\u{200d}') && belongs(before) && belongs(after)
}

fn is_hidden(character: char) -> bool {
    // The last two of every plane are no characters.
    character.is_control() || is_deceptive(character) || (character as u32) & 0xfffe == 0xfffe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> String {
        Markup::text(text, &Mask::none()).to_string()
    }

    #[test]
    fn nothing_becomes_markup_and_nothing_hides() {
        assert_eq!(text("<b a=\"x\" b='y'>&"), "<bdi>&lt;b a=&quot;x&quot; b=&#39;y&#39;&gt;&amp;</bdi>");
        assert_eq!(text("a\u{202e}b"), "<bdi>a<span class=\"hidden\">\\u{202e}</span>b</bdi>");
        assert_eq!(text("a\u{200b}b"), "<bdi>a<span class=\"hidden\">\\u{200b}</span>b</bdi>");
        for hidden in ["\u{0}", "\u{1b}", "\r", "\u{85}", "\u{2066}", "\u{feff}", "\u{fffe}", "\u{e0041}"] {
            assert!(text(hidden).contains("\\u{"), "{hidden:?}");
        }
        assert_eq!(Markup::label("<a>\u{202e}", &Mask::none(), 9).to_string(), "&lt;a&gt;\\u{202e}");
    }

    #[test]
    fn scripts_and_emoji_keep_their_joiners() {
        for kept in ["ក\u{200b}ខ", "می\u{200c}خواهم", "👩\u{200d}💻", "line\nnext\tcell"] {
            assert_eq!(text(kept), format!("<bdi>{kept}</bdi>"));
        }
    }

    #[test]
    fn numbers_times_and_cuts() {
        assert_eq!((thousands(0), thousands(-1234), thousands(1_234_567)), ("0".into(), "-1,234".into(), "1,234,567".into()));
        assert_eq!(thousands(i64::MIN), "-9,223,372,036,854,775,808");
        assert_eq!(Markup::time(Some(0), None).to_string(), "<time>1970-01-01 00:00:00 UTC</time>");
        assert_eq!(Markup::time(Some(i64::MAX), Some("<1>")).to_string(), "<span class=\"raw\">&lt;1&gt; (as written)</span>");
        assert!(Markup::time(None, None).is_nothing() && Markup::state(Some("live")).is_nothing());
        assert_eq!(Markup::label("abcdef", &Mask::none(), 3).to_string(), "abc…");
    }
}
