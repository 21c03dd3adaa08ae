//! What the codes of a font stand for, and how wide they are (PDF 32000-1, 9.6 to 9.10).

use super::{filter, widths};
use encoding_rs::{MACINTOSH, WINDOWS_1252};
use hayro_cmap::{BfString, CMap, CMapName, CidFamily};
use hayro_syntax::object::{Array, Dict, Name, Number, Object, Stream, String as PdfString};
use std::collections::HashMap;

/// Largest table of a font's characters.
const TABLE_MOST: usize = 8 << 20;
/// Most widths of a font.
const WIDTHS_MOST: usize = 1 << 17;

/// A font of a page.
pub struct Font {
    /// Its own table of characters.
    to_unicode: Option<CMap>,
    kind: Kind,
    widths: HashMap<u32, f64>,
    /// Width of a code that has none.
    default: f64,
    /// Whether the widths are those of the font, not guessed.
    pub measured: bool,
}

enum Kind {
    /// One byte a code, and what each stands for.
    Simple(Box<[Option<char>; 256]>),
    /// Codes of several bytes: their own table, and that from character ids to Unicode.
    Composite(Box<(Option<CMap>, Option<CMap>)>),
}

/// One code of a shown string.
pub struct Glyph {
    /// What it stands for.
    pub text: Option<BfString>,
    /// Width, in sizes of the font.
    pub width: f64,
    /// Whether word spacing is added behind it.
    pub space: bool,
}

impl Font {
    /// A font where none is known: its codes are taken for Latin letters.
    pub fn unknown() -> Font {
        let latin = |code: u8| WINDOWS_1252.decode_without_bom_handling(&[code]).0.chars().next();
        let table = std::array::from_fn(|code| u8::try_from(code).ok().and_then(latin));
        Font { to_unicode: None, kind: Kind::Simple(Box::new(table)), widths: HashMap::new(), default: 500.0, measured: false }
    }

    /// The font of a dictionary.
    pub fn of(dict: &Dict<'_>) -> Font {
        let to_unicode = dict.get::<Stream<'_>>("ToUnicode").and_then(|stream| table(&stream));
        let composite = dict.get::<Name<'_>>("Subtype").is_some_and(|kind| &*kind == b"Type0");
        if composite { Font::composite(dict, to_unicode) } else { Font::simple(dict, to_unicode) }
    }

    fn composite(dict: &Dict<'_>, to_unicode: Option<CMap>) -> Font {
        let codes = match dict.get::<Object<'_>>("Encoding") {
            Some(Object::Stream(stream)) => table(&stream),
            Some(Object::Name(name)) => match CMapName::from_bytes(&name) {
                CMapName::IdentityH => Some(CMap::identity_h()),
                CMapName::IdentityV => Some(CMap::identity_v()),
                known => embedded(known),
            },
            _ => None,
        };
        let descendant = dict.get::<Array<'_>>("DescendantFonts").and_then(|fonts| fonts.iter::<Dict<'_>>().next());
        let family = descendant.as_ref().and_then(|font| font.get::<Dict<'_>>("CIDSystemInfo")).map(|system| {
            let text = |key: &str| system.get::<PdfString<'_>>(key).map(|text| text.to_vec());
            let empty = Vec::new;
            CidFamily::from_registry_ordering(&text("Registry").unwrap_or_else(empty), &text("Ordering").unwrap_or_else(empty))
        });
        let unicode = family.and_then(|family| family.ucs2_cmap()).and_then(embedded);
        let default = descendant.as_ref().and_then(|font| font.get::<f32>("DW")).map_or(1000.0, f64::from);
        let mut widths = HashMap::new();
        if let Some(list) = descendant.and_then(|font| font.get::<Array<'_>>("W")) {
            composite_widths(&list, &mut widths);
        }
        Font { to_unicode, kind: Kind::Composite(Box::new((codes, unicode))), widths, default, measured: true }
    }

    fn simple(dict: &Dict<'_>, to_unicode: Option<CMap>) -> Font {
        let mut font = Font { to_unicode, kind: Kind::Simple(Box::new(simple_table(dict))), ..Font::unknown() };
        // Of a font that is drawn by procedures, widths are in units of its own.
        let matrix = dict.get::<Array<'_>>("FontMatrix").and_then(|matrix| matrix.iter::<Number>().next());
        let unit = matrix.map_or(1.0, |number| number.as_f64() * 1000.0);
        if let (Some(first), Some(list)) = (dict.get::<i32>("FirstChar"), dict.get::<Array<'_>>("Widths")) {
            font.measured = true;
            font.default = dict
                .get::<Dict<'_>>("FontDescriptor")
                .and_then(|descriptor| descriptor.get::<f32>("MissingWidth"))
                .map_or(0.0, f64::from);
            for (code, width) in (u32::try_from(first).unwrap_or(0)..).zip(list.iter::<Number>()).take(256) {
                font.widths.insert(code, width.as_f64() * unit);
            }
        } else if let Some(table) = dict.get::<Name<'_>>("BaseFont").and_then(|name| widths::standard(name.as_str())) {
            font.measured = true;
            font.widths = (32..).zip(table.into_iter().map(f64::from)).collect();
        }
        font
    }

    /// The codes of a shown string, in order.
    pub fn glyphs(&self, bytes: &[u8], each: &mut dyn FnMut(Glyph)) {
        match &self.kind {
            Kind::Simple(table) => {
                for byte in bytes {
                    let code = u32::from(*byte);
                    let known = self.to_unicode.as_ref().and_then(|map| map.lookup_bf_string(code));
                    let text = known.or_else(|| table.get(usize::from(*byte)).copied().flatten().map(BfString::Char));
                    each(Glyph { text, width: self.width(code), space: *byte == b' ' });
                }
            }
            Kind::Composite(maps) => {
                let (codes, unicode) = &**maps;
                let mut rest = bytes;
                while !rest.is_empty() {
                    let (code, length, cid) = next_code(codes.as_ref(), rest);
                    let own = self.to_unicode.as_ref().and_then(|map| map.lookup_bf_string(code));
                    let text = own.or_else(|| unicode.as_ref()?.lookup_bf_string(cid));
                    each(Glyph { text, width: self.width(cid), space: length == 1 && code == 32 });
                    rest = rest.get(length..).unwrap_or_default();
                }
            }
        }
    }

    fn width(&self, code: u32) -> f64 {
        self.widths.get(&code).copied().unwrap_or(self.default) / 1000.0
    }
}

/// The next code, its bytes, and its character id.
fn next_code(codes: Option<&CMap>, bytes: &[u8]) -> (u32, usize, u32) {
    let code =
        |length: usize| bytes.get(..length).map(|bytes| bytes.iter().fold(0u32, |code, byte| code << 8 | u32::from(*byte)));
    if let Some(map) = codes {
        for length in 1..=4usize {
            let known = code(length).and_then(|code| Some((code, map.lookup_cid_code(code, u8::try_from(length).ok()?)?)));
            if let Some((code, cid)) = known {
                return (code, length, cid);
            }
        }
    }
    let length = bytes.len().min(2);
    let code = code(length).unwrap_or(0);
    (code, length, code)
}

fn table(stream: &Stream<'_>) -> Option<CMap> {
    CMap::parse(&filter::decoded(stream, TABLE_MOST).bytes, hayro_cmap::load_embedded)
}

fn embedded(name: CMapName<'_>) -> Option<CMap> {
    CMap::parse(hayro_cmap::load_embedded(name)?, hayro_cmap::load_embedded)
}

/// Widths by character id: `first [w w w]` or `first last w` (9.7.4.3).
fn composite_widths(list: &Array<'_>, widths: &mut HashMap<u32, f64>) {
    let mut items = list.iter::<Object<'_>>();
    while let Some(Object::Number(first)) = items.next() {
        let first = u32::try_from(first.as_i64()).unwrap_or(0);
        let run: Box<dyn Iterator<Item = (u32, f64)>> = match items.next() {
            Some(Object::Array(each)) => Box::new((first..).zip(each.iter::<Number>().map(|width| width.as_f64()))),
            Some(Object::Number(last)) => {
                let Some(Object::Number(width)) = items.next() else { return };
                let last = u32::try_from(last.as_i64()).unwrap_or(0);
                Box::new((first..=last).map(move |id| (id, width.as_f64())))
            }
            _ => return,
        };
        widths.extend(run.take(WIDTHS_MOST.saturating_sub(widths.len())));
    }
}

/// What the codes of a simple font stand for: its base encoding, and the differences it names.
fn simple_table(dict: &Dict<'_>) -> [Option<char>; 256] {
    let encoding = dict.get::<Object<'_>>("Encoding");
    let base = match &encoding {
        Some(Object::Name(name)) => Some(name.as_str().to_owned()),
        Some(Object::Dict(dict)) => dict.get::<Name<'_>>("BaseEncoding").map(|name| name.as_str().to_owned()),
        _ => None,
    };
    let charset = if base.as_deref() == Some("MacRomanEncoding") { MACINTOSH } else { WINDOWS_1252 };
    let letter = |code: u8| charset.decode_without_bom_handling(&[code]).0.chars().next();
    let mut table: [Option<char>; 256] = std::array::from_fn(|code| u8::try_from(code).ok().and_then(letter));
    let Some(Object::Dict(encoding)) = encoding else { return table };
    let Some(differences) = encoding.get::<Array<'_>>("Differences") else { return table };
    let mut code = 0usize;
    for difference in differences.iter::<Object<'_>>() {
        match difference {
            Object::Number(number) => code = usize::try_from(number.as_i64()).unwrap_or(usize::MAX),
            Object::Name(name) => {
                // A name that says nothing of its character leaves the code to the base.
                if let (Some(entry), Some(known)) = (table.get_mut(code), glyph(name.as_str())) {
                    *entry = Some(known);
                }
                code = code.saturating_add(1);
            }
            _ => {}
        }
    }
    table
}

/// The character that a glyph's name stands for (the Adobe Glyph List, as far as addresses, numbers and western texts go).
fn glyph(name: &str) -> Option<char> {
    let name = name.split('.').next().unwrap_or(name);
    let mut letters = name.chars();
    if let (Some(letter), None) = (letters.next(), letters.next()) {
        return Some(letter);
    }
    let hex = |digits: &str| u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
    let named = NAMES.iter().find(|(known, _)| *known == name).map(|(_, letter)| *letter);
    named
        .or_else(|| name.strip_prefix("uni").and_then(|digits| hex(digits.get(..4)?)))
        .or_else(|| name.strip_prefix('u').filter(|digits| (4..=6).contains(&digits.len())).and_then(hex))
}

/// Names of characters that are not letters of English.
const NAMES: &[(&str, char)] = &[
    ("space", ' '),
    ("exclam", '!'),
    ("quotedbl", '"'),
    ("numbersign", '#'),
    ("dollar", '$'),
    ("percent", '%'),
    ("ampersand", '&'),
    ("quotesingle", '\''),
    ("quoteright", '\u{2019}'),
    ("quoteleft", '\u{2018}'),
    ("parenleft", '('),
    ("parenright", ')'),
    ("asterisk", '*'),
    ("plus", '+'),
    ("comma", ','),
    ("hyphen", '-'),
    ("minus", '\u{2212}'),
    ("period", '.'),
    ("slash", '/'),
    ("zero", '0'),
    ("one", '1'),
    ("two", '2'),
    ("three", '3'),
    ("four", '4'),
    ("five", '5'),
    ("six", '6'),
    ("seven", '7'),
    ("eight", '8'),
    ("nine", '9'),
    ("colon", ':'),
    ("semicolon", ';'),
    ("less", '<'),
    ("equal", '='),
    ("greater", '>'),
    ("question", '?'),
    ("at", '@'),
    ("bracketleft", '['),
    ("backslash", '\\'),
    ("bracketright", ']'),
    ("asciicircum", '^'),
    ("underscore", '_'),
    ("grave", '`'),
    ("braceleft", '{'),
    ("bar", '|'),
    ("braceright", '}'),
    ("asciitilde", '~'),
    ("bullet", '\u{2022}'),
    ("endash", '\u{2013}'),
    ("emdash", '\u{2014}'),
    ("ellipsis", '\u{2026}'),
    ("quotedblleft", '\u{201c}'),
    ("quotedblright", '\u{201d}'),
    ("fi", '\u{fb01}'),
    ("fl", '\u{fb02}'),
    ("ff", '\u{fb00}'),
    ("ffi", '\u{fb03}'),
    ("ffl", '\u{fb04}'),
    ("Euro", '\u{20ac}'),
    ("sterling", '\u{a3}'),
    ("yen", '\u{a5}'),
    ("cent", '\u{a2}'),
    ("adieresis", '\u{e4}'),
    ("odieresis", '\u{f6}'),
    ("udieresis", '\u{fc}'),
    ("Adieresis", '\u{c4}'),
    ("Odieresis", '\u{d6}'),
    ("Udieresis", '\u{dc}'),
    ("germandbls", '\u{df}'),
    ("eacute", '\u{e9}'),
    ("egrave", '\u{e8}'),
    ("ecircumflex", '\u{ea}'),
    ("agrave", '\u{e0}'),
    ("aacute", '\u{e1}'),
    ("acircumflex", '\u{e2}'),
    ("ccedilla", '\u{e7}'),
    ("iacute", '\u{ed}'),
    ("oacute", '\u{f3}'),
    ("ocircumflex", '\u{f4}'),
    ("uacute", '\u{fa}'),
    ("ntilde", '\u{f1}'),
    ("dotlessi", '\u{131}'),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_glyphs() {
        assert_eq!(
            (glyph("A"), glyph("seven"), glyph("uni0042"), glyph("u1F600")),
            (Some('A'), Some('7'), Some('B'), Some('\u{1f600}'))
        );
        assert_eq!((glyph("a.alt"), glyph("g17"), glyph("")), (Some('a'), None, None));
    }
}
