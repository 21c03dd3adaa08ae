//! Rich Text Format (Microsoft, version 1.9.1): the text, with what its control words say taken out.
//!
//! Groups are walked with a bounded stack. Characters come as bytes of the code page in force (the document's, or that of the
//! font), as `\'hh`, or as `\uN` with a stand-in of so many characters behind it (`\ucN`). Pictures and embedded objects are passed over.

use super::Pieces;
use encoding_rs::{Encoding, WINDOWS_1252};
use model::Code;
use std::collections::BTreeMap;

/// Groups inside groups that are followed.
const DEPTH_MOST: usize = 1000;
/// Fonts whose character set is kept.
const FONTS_MOST: usize = 4096;
/// Destinations whose content is no text of the document.
const PASSED_OVER: &[&[u8]] = &[
    b"colortbl",
    b"stylesheet",
    b"listtable",
    b"listoverridetable",
    b"rsidtbl",
    b"generator",
    b"pict",
    b"objdata",
    b"themedata",
    b"colorschememapping",
    b"datastore",
    b"latentstyles",
    b"filetbl",
    b"revtbl",
    b"xmlnstbl",
    b"mmathPr",
    b"fontemb",
    b"panose",
    b"blipuid",
];
/// Destinations marked as optional whose text is the document's nevertheless.
const OPTIONAL_TEXT: &[&[u8]] = &[
    b"fldinst",
    b"shptxt",
    b"footnote",
    b"annotation",
    b"atnauthor",
    b"shpinst",
    b"nonesttables",
    b"hlinkbase",
    b"company",
    b"manager",
];

/// What holds in a group.
#[derive(Clone, Copy)]
struct Group {
    skip: bool,
    /// Whether it is the table of fonts, which tells character sets and holds no text.
    fonts: bool,
    encoding: &'static Encoding,
    /// Characters that stand in for one `\uN`.
    stand_in: usize,
}

struct Flow<'f, 'e, 'u> {
    pieces: &'f mut Pieces<'e, 'u>,
    document: &'static Encoding,
    groups: Vec<Group>,
    group: Group,
    /// Groups that are open beyond those followed.
    over: usize,
    fonts: BTreeMap<i64, &'static Encoding>,
    font: i64,
    /// Bytes that wait for their character set.
    bytes: Vec<u8>,
    text: String,
    from: usize,
    paragraphs: u64,
    /// Characters still to pass over behind `\uN`.
    passing: usize,
    /// First half of a pair of UTF-16 units.
    high: Option<u16>,
    optional: bool,
}

/// Whether content is RTF.
pub fn is_rtf(head: &[u8]) -> bool {
    head.trim_ascii_start().starts_with(b"{\\rtf")
}

/// Puts the paragraphs of a document. False: it ends inside of a group.
pub fn read(content: &[u8], pieces: &mut Pieces<'_, '_>) -> bool {
    let group = Group { skip: false, fonts: false, encoding: WINDOWS_1252, stand_in: 1 };
    let mut flow = Flow {
        pieces,
        document: WINDOWS_1252,
        groups: Vec::new(),
        group,
        over: 0,
        fonts: BTreeMap::new(),
        font: 0,
        bytes: Vec::new(),
        text: String::new(),
        from: 0,
        paragraphs: 0,
        passing: 0,
        high: None,
        optional: false,
    };
    let mut at = 0;
    let mut deepest = false;
    while let Some(byte) = content.get(at) {
        if flow.text.is_empty() && flow.bytes.is_empty() {
            flow.from = at;
        }
        at += 1;
        match byte {
            b'{' => {
                flow.passing = 0;
                if flow.groups.len() < DEPTH_MOST {
                    flow.groups.push(flow.group);
                } else {
                    deepest = true;
                    flow.over = flow.over.saturating_add(1);
                }
            }
            b'}' => flow.end_group(),
            b'\\' => at = flow.control(content, at),
            b'\r' | b'\n' => {}
            _ => flow.byte(*byte),
        }
        if flow.text.len().saturating_add(flow.bytes.len()) > super::GATHERED {
            flow.paragraph(at);
        }
    }
    flow.paragraph(at);
    let whole = flow.groups.is_empty() && flow.over == 0;
    if !whole {
        flow.pieces.problem(Code::DocumentDamaged, "ends inside a group");
    }
    if deepest {
        flow.pieces.problem(Code::CapDepth, &format!("groups nest deeper than {DEPTH_MOST}"));
    }
    whole && !deepest
}

impl Flow<'_, '_, '_> {
    fn end_group(&mut self) {
        self.passing = 0;
        if self.over > 0 {
            self.over -= 1;
            return;
        }
        self.flush();
        if let Some(group) = self.groups.pop() {
            self.group = group;
        }
    }

    fn byte(&mut self, byte: u8) {
        if self.passing > 0 {
            self.passing -= 1;
        } else if !self.group.skip && !self.group.fonts {
            self.bytes.push(byte);
        }
    }

    /// Decodes the bytes that wait.
    fn flush(&mut self) {
        if !self.bytes.is_empty() {
            let (text, _) = self.group.encoding.decode_without_bom_handling(&self.bytes);
            self.text.push_str(&text);
            self.bytes.clear();
        }
    }

    fn push(&mut self, text: &str) {
        self.flush();
        if !self.group.skip && !self.group.fonts {
            self.text.push_str(text);
        }
    }

    fn paragraph(&mut self, at: usize) {
        self.flush();
        let text = std::mem::take(&mut self.text);
        if !text.trim().is_empty() {
            self.paragraphs += 1;
            let length = at.saturating_sub(self.from) as u64;
            self.pieces.put(&format!("paragraph {}", self.paragraphs), self.from as u64, length, &text);
        }
        self.from = at;
    }

    /// Takes a control word or symbol that begins behind a backslash; where it ends.
    fn control(&mut self, content: &[u8], at: usize) -> usize {
        let rest = content.get(at..).unwrap_or_default();
        let letters = rest.iter().take(32).take_while(|byte| byte.is_ascii_alphabetic()).count();
        if letters == 0 {
            return self.symbol(rest, at);
        }
        let word = rest.get(..letters).unwrap_or_default();
        let behind = rest.get(letters..).unwrap_or_default();
        let sign = usize::from(behind.first() == Some(&b'-'));
        let digits = behind.iter().skip(sign).take(10).take_while(|byte| byte.is_ascii_digit()).count();
        let number = (digits > 0)
            .then(|| {
                behind.get(..sign + digits).and_then(|text| std::str::from_utf8(text).ok()).and_then(|text| text.parse().ok())
            })
            .flatten();
        let mut end = at + letters + if digits > 0 { sign + digits } else { 0 };
        end += usize::from(content.get(end) == Some(&b' '));
        if word == b"bin" {
            // So many bytes of anything follow.
            let count = number.and_then(|count: i64| usize::try_from(count).ok()).unwrap_or(0);
            return end.saturating_add(count).min(content.len());
        }
        self.word(word, number, end);
        end
    }

    fn symbol(&mut self, rest: &[u8], at: usize) -> usize {
        match rest {
            [b'\'', high, low, ..] => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                if let (Some(high), Some(low)) = (digit(high), digit(low)) {
                    self.byte(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                    return at + 3;
                }
                at + 1
            }
            [b'*', ..] => {
                self.optional = true;
                at + 1
            }
            [b'~', ..] => self.shown(" ", at),
            [b'_', ..] => self.shown("-", at),
            [b'-' | b'|' | b':', ..] => at + 1,
            [b'\r' | b'\n', ..] => {
                self.paragraph(at + 1);
                at + 1
            }
            [byte, ..] => {
                self.byte(*byte);
                at + 1
            }
            [] => at,
        }
    }

    fn shown(&mut self, text: &str, at: usize) -> usize {
        self.push(text);
        at + 1
    }

    fn word(&mut self, word: &[u8], number: Option<i64>, end: usize) {
        if std::mem::take(&mut self.optional) {
            self.group.skip |= !OPTIONAL_TEXT.contains(&word);
        }
        match word {
            b"par" | b"row" | b"sect" | b"page" | b"line" => self.paragraph(end),
            // A field's code and what it shows are two texts.
            b"fldinst" | b"fldrslt" => self.push(" "),
            b"tab" | b"cell" | b"nestcell" => self.push("\t"),
            b"fonttbl" => self.group.fonts = true,
            b"u" => self.unicode(number.unwrap_or_default()),
            b"uc" => self.group.stand_in = number.and_then(|count| usize::try_from(count).ok()).unwrap_or(1).min(64),
            b"ansicpg" => {
                if let Some(encoding) = number.and_then(|page| u32::try_from(page).ok()).and_then(super::charset::code_page) {
                    (self.document, self.group.encoding) = (encoding, encoding);
                }
            }
            b"mac" => self.group.encoding = encoding_rs::MACINTOSH,
            b"f" if self.group.fonts => self.font = number.unwrap_or_default(),
            b"fcharset" if self.group.fonts && self.fonts.len() < FONTS_MOST => {
                if let Some(encoding) = number.and_then(font_encoding) {
                    self.fonts.insert(self.font, encoding);
                }
            }
            b"f" | b"af" => {
                self.flush();
                self.group.encoding = number.and_then(|font| self.fonts.get(&font)).copied().unwrap_or(self.document);
            }
            b"plain" => {
                self.flush();
                self.group.encoding = self.document;
            }
            b"lquote" | b"rquote" => self.push("'"),
            b"ldblquote" | b"rdblquote" => self.push("\""),
            b"endash" | b"emdash" => self.push("-"),
            word if PASSED_OVER.contains(&word) => self.group.skip = true,
            _ => {}
        }
    }

    /// A UTF-16 unit, written as a signed number.
    fn unicode(&mut self, number: i64) {
        self.passing = self.group.stand_in;
        let unit = u16::try_from(number.rem_euclid(0x1_0000)).unwrap_or(0xfffd);
        let units = match (self.high.take(), unit) {
            (None, 0xd800..=0xdbff) => {
                self.high = Some(unit);
                return;
            }
            (Some(high), _) => vec![high, unit],
            (None, _) => vec![unit],
        };
        self.push(&String::from_utf16_lossy(&units));
    }
}

/// The character set of a font by its `\fcharset`.
fn font_encoding(number: i64) -> Option<&'static Encoding> {
    let page = match number {
        128 => 932,
        129 => 949,
        134 => 936,
        136 => 950,
        161 => 1253,
        162 => 1254,
        163 => 1258,
        177 => 1255,
        178 => 1256,
        186 => 1257,
        204 => 1251,
        222 => 874,
        238 => 1250,
        _ => return None,
    };
    super::charset::code_page(page)
}

#[cfg(test)]
mod tests {
    use super::super::Rtf;
    use super::super::tests::sightings;
    use super::*;
    use crate::evidence::{Scratch, problems};

    /// The paragraphs of a text.
    fn paragraphs(content: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        Scratch::new("a.rtf", content).run(|_, emit| {
            let mut pieces = Pieces::new(emit);
            read(content, &mut pieces);
            found = pieces.text.lines().map(str::to_owned).collect();
            crate::parse::Outcome::parsed()
        });
        found
    }

    #[test]
    fn text_without_its_control_words() {
        assert_eq!(paragraphs(b"{\\rtf1\\ansi{\\fonttbl{\\f0 Arial;}}{\\colortbl;\\red0;}\\b one\\b0  two\\par three\\'e9 {\\*\\foo bar}\\~x\\{y\\}}"), ["one two", "three\u{e9}  x{y}"]);
        assert_eq!(paragraphs(b"{\\rtf1 a\\u8364?b\\uc2\\u-10179 ??\\u-8704 ??c}"), ["a\u{20ac}b\u{1f600}c"]);
        assert_eq!(
            paragraphs(b"{\\rtf1\\ansicpg1251 \\'cf\\'f0{\\fonttbl{\\f1\\fcharset134 x;}}\\f1\\'c4\\'e3\\f0\\'e8}"),
            ["\u{41f}\u{440}\u{4f60}\u{438}"]
        );
        assert_eq!(paragraphs(b"{\\rtf1 a{\\pict 00ff}b\\bin3 \\}}c}"), ["abc"]);
    }

    #[test]
    fn addresses_split_by_formatting_are_found_at_their_paragraph() {
        let content = b"{\\rtf1\\ansi first\\par to TJRyWwFs9wTF{\\b GZg3JbrVriFb}\\i NfCug5tDeC\\i0\\par{\\field{\\*\\fldinst HYPERLINK \"https://example.net/x\"}{\\fldrslt here}}}";
        let bodies = Scratch::new("a.rtf", content).parse(&Rtf);
        let start = memchr::memmem::find(content, b"to TJ").unwrap_or_default() as u64;
        let found = sightings(&bodies);
        assert_eq!(found[0], ("TJRyWwFs9wTFGZg3JbrVriFbNfCug5tDeC".to_owned(), "paragraph 2".to_owned(), start));
        assert_eq!(found[1].0, "https://example.net/x");
    }

    #[test]
    fn hostile_texts_end_with_problems() {
        let deep = b"{\\rtf1".iter().copied().chain(b"{".repeat(1_000_000)).collect::<Vec<u8>>();
        let bodies = Scratch::new("a.rtf", &deep).parse(&Rtf);
        let codes: Vec<_> = problems(&bodies).iter().map(|problem| problem.0).collect();
        assert_eq!(codes, ["document_damaged", "cap_depth"]);
        for odd in [
            b"{\\rtf1\\".as_slice(),
            b"{\\rtf1\\'",
            b"{\\rtf1\\u-99999999999",
            b"{\\rtf1\\bin99999999999 x",
            b"{\\rtf1\\uc-5\\u1",
            b"{\\rtf1}}}}",
        ] {
            Scratch::new("a.rtf", odd).parse(&Rtf);
        }
    }
}
