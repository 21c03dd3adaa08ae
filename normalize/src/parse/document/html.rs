//! HTML: the text between the tags, what the tags' attributes hold, comments and scripts.
//!
//! Format: <https://html.spec.whatwg.org/multipage/parsing.html>. Only tokens are made, no tree: how deep elements stand in each other
//! costs nothing. A tag of a block (a paragraph, a cell, a line break) ends a piece of text; any other does not, so that an address whose
//! parts are coloured differently is read as one.

use super::{Pieces, charset};
use html5gum::emitters::callback::{CallbackEmitter, CallbackEvent};
use html5gum::{Span, Tokenizer};
use std::convert::Infallible;

/// Where a page says what character set it is in (the standard's prescan looks that far).
const PRESCAN: usize = 1024;
/// Shorter attribute values hold nothing that is looked for.
const VALUE_LEAST: usize = 6;
/// Tags that stand within a line.
const INLINE: &[&[u8]] = &[
    b"a", b"abbr", b"acronym", b"b", b"bdi", b"bdo", b"big", b"cite", b"code", b"del", b"dfn", b"em", b"font", b"i", b"ins",
    b"kbd", b"label", b"mark", b"nobr", b"q", b"s", b"samp", b"small", b"span", b"strike", b"strong", b"sub", b"sup", b"tt",
    b"u", b"var", b"wbr",
];
/// Tags whose text is not shown.
const HIDDEN: &[&[u8]] = &[b"script", b"style", b"title"];
/// How a page begins, in lower case, behind white space and comments.
const BEGINNINGS: &[&[u8]] =
    &[b"<!doctype html", b"<html", b"<head", b"<body", b"<title", b"<table", b"<div", b"<meta ", b"<script"];

/// Whether content is a page: a document type or one of the outermost elements comes first.
pub fn is_html(head: &[u8]) -> bool {
    let head = head.get(..head.len().min(4 << 10)).unwrap_or_default();
    if !may_begin(head.trim_ascii_start()) {
        return false;
    }
    let text = charset::decode(head, None).0;
    let mut rest = text.trim_start();
    while let Some((_, behind)) = rest.strip_prefix("<!--").and_then(|comment| comment.split_once("-->")) {
        rest = behind.trim_start();
    }
    // An XML declaration stands before XHTML.
    if let Some((_, behind)) = rest.strip_prefix("<?xml").and_then(|declaration| declaration.split_once("?>")) {
        rest = behind.trim_start();
        return starts_with(rest, b"<!doctype html") || starts_with(rest, b"<html");
    }
    BEGINNINGS.iter().any(|beginning| starts_with(rest, beginning))
}

/// Whether the first byte may be `<`, a byte-order mark or (the start of) a space: nearly every file that is no page is known by it
/// before its character set is looked for.
fn may_begin(start: &[u8]) -> bool {
    matches!(start, [b'<' | 0x0b | 0xa0 | 0xc2 | 0xe1 | 0xe2 | 0xe3 | 0xef, ..] | [0xff, 0xfe, ..] | [0xfe, 0xff, ..])
}

fn starts_with(text: &str, beginning: &[u8]) -> bool {
    text.as_bytes().get(..beginning.len()).is_some_and(|start| start.eq_ignore_ascii_case(beginning))
}

/// Puts the pieces of a page. `label` is the character set that the outside (a mail's header) gives.
pub fn read(bytes: &[u8], label: Option<&[u8]>, pieces: &mut Pieces<'_, '_>) {
    let said = label.or_else(|| declared(bytes));
    let (text, valid) = charset::decode(bytes, said);
    if !valid {
        pieces.problem(model::Code::TextInvalid, "page is not valid in its character set");
    }
    let exact = charset::keeps_offsets(bytes, &text);
    let mut flow = Flow {
        pieces,
        size: bytes.len() as u64,
        exact,
        numbers: 0,
        line: String::new(),
        from: 0,
        to: 0,
        tag: String::new(),
        attribute: String::new(),
    };
    let callback = |event: CallbackEvent<'_>, span: Span<usize>| -> Option<Infallible> {
        flow.take(&event, span);
        None
    };
    let mut emitter = CallbackEmitter::<_, Infallible, usize>::new(callback);
    // Scripts and styles hold text that only looks like tags.
    emitter.naively_switch_states(true);
    let Ok(()) = Tokenizer::new_with_emitter(text.as_ref(), emitter).finish();
    flow.line_end();
}

/// What a page shows, a line for each block.
pub fn text(page: &str) -> String {
    let (mut shown, mut hidden) = (String::new(), false);
    let callback = |event: CallbackEvent<'_>, _: Span<()>| -> Option<Infallible> {
        match event {
            CallbackEvent::OpenStartTag { name } | CallbackEvent::EndTag { name } => {
                hidden = matches!(event, CallbackEvent::OpenStartTag { .. }) && HIDDEN.contains(&name);
                if !INLINE.contains(&name) && !shown.is_empty() && !shown.ends_with('\n') {
                    shown.push('\n');
                }
            }
            CallbackEvent::String { value } if !hidden => {
                let text = String::from_utf8_lossy(value);
                // White space of any kind and length is one space.
                for (number, word) in text.split_ascii_whitespace().enumerate() {
                    let spaced = number > 0 || text.starts_with(|letter: char| letter.is_ascii_whitespace());
                    if spaced && !shown.is_empty() && !shown.ends_with(['\n', ' ']) {
                        shown.push(' ');
                    }
                    shown.push_str(word);
                }
                if text.ends_with(|letter: char| letter.is_ascii_whitespace())
                    && !shown.is_empty()
                    && !shown.ends_with(['\n', ' '])
                {
                    shown.push(' ');
                }
            }
            _ => {}
        }
        None
    };
    let mut emitter = CallbackEmitter::<_, Infallible, ()>::new(callback);
    emitter.naively_switch_states(true);
    let Ok(()) = Tokenizer::new_with_emitter(page, emitter).finish();
    shown.trim_end().to_owned()
}

/// The character set a page names in itself: `charset=…` within its first bytes.
fn declared(bytes: &[u8]) -> Option<&[u8]> {
    let start = bytes.get(..bytes.len().min(PRESCAN)).unwrap_or_default();
    let lower = start.to_ascii_lowercase();
    let at = memchr::memmem::find(&lower, b"charset=")?.checked_add(8)?;
    let value = start.get(at..)?.trim_ascii_start();
    let value = value.strip_prefix(b"\"").or_else(|| value.strip_prefix(b"'")).unwrap_or(value);
    let end = value.iter().position(|byte| !byte.is_ascii_alphanumeric() && !b"-_:.".contains(byte)).unwrap_or(value.len());
    value.get(..end).filter(|label| !label.is_empty())
}

/// What is read, in the order of the page.
struct Flow<'f, 'e, 'u> {
    pieces: &'f mut Pieces<'e, 'u>,
    size: u64,
    /// Whether places in the text are places in the bytes.
    exact: bool,
    numbers: u64,
    line: String,
    from: usize,
    to: usize,
    tag: String,
    attribute: String,
}

impl Flow<'_, '_, '_> {
    fn take(&mut self, event: &CallbackEvent<'_>, span: Span<usize>) {
        match event {
            CallbackEvent::OpenStartTag { name } => {
                self.tag = String::from_utf8_lossy(name).into_owned();
                self.boundary(name);
            }
            CallbackEvent::EndTag { name } => self.boundary(name),
            CallbackEvent::AttributeName { name } => self.attribute = String::from_utf8_lossy(name).into_owned(),
            CallbackEvent::AttributeValue { value } if value.len() >= VALUE_LEAST => {
                let name = format!("{} {}", model::text::escape(&self.tag), model::text::escape(&self.attribute));
                self.piece(&name, span, &String::from_utf8_lossy(value));
            }
            CallbackEvent::Comment { value } => self.piece("comment", span, &String::from_utf8_lossy(value)),
            CallbackEvent::String { value } => {
                if self.line.is_empty() {
                    self.from = span.start;
                }
                self.to = span.end;
                self.line.push_str(&String::from_utf8_lossy(value));
            }
            _ => {}
        }
    }

    fn boundary(&mut self, tag: &[u8]) {
        if !INLINE.contains(&tag) {
            self.line_end();
        }
    }

    fn line_end(&mut self) {
        let line = std::mem::take(&mut self.line);
        if !line.trim().is_empty() {
            let span = Span { start: self.from, end: self.to };
            self.piece("text", span, &line);
        }
    }

    fn piece(&mut self, name: &str, span: Span<usize>, text: &str) {
        self.numbers += 1;
        let place = if self.exact { (span.start as u64, span.end.saturating_sub(span.start) as u64) } else { (0, self.size) };
        self.pieces.put(&format!("{name} {}", self.numbers), place.0, place.1, text);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Html;
    use super::super::tests::sightings;
    use super::*;
    use crate::evidence::{Scratch, problems};

    #[test]
    fn a_page_is_known_by_its_beginning() {
        for page in [
            "<!DOCTYPE html>",
            " \n<HTML lang=th>",
            "<!-- saved from url=(0022)http://x/ -->\n<html>",
            "<div>x",
            "<?xml version='1.0'?><html xmlns='x'>",
        ] {
            assert!(is_html(page.as_bytes()), "{page}");
        }
        for other in ["<?xml version='1.0'?><w:document>", "hello <b>", "", "{\"html\":1}", "<map><string>"] {
            assert!(!is_html(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn what_a_page_shows() {
        let page = "<title>x</title><style>p{}</style>\n<p>One  <b>two</b>,\n three<br>four</p><script>5</script> 6 &lt;7&gt;";
        assert_eq!(text(page), "One two, three\nfour\n6 <7>");
    }

    #[test]
    fn addresses_in_several_tags_and_references_are_read_whole() {
        let page = b"<!doctype html><p>Pay to TJRyWwFs9wTF<b>GZg3JbrVriFbNf</b><span>Cug5tDeC</span><td>next</td>\
            <p>or mail m&#101;&commat;example&period;org</p><a href=\"https://example.net/?a=1&amp;b=2\">here</a><!-- admin@example.com -->";
        let bodies = Scratch::new("a.html", page).parse(&Html);
        let at = |what: &str| memchr::memmem::find(page, what.as_bytes()).unwrap_or_default() as u64;
        assert_eq!(
            sightings(&bodies),
            [
                ("TJRyWwFs9wTFGZg3JbrVriFbNfCug5tDeC".to_owned(), "text 1".to_owned(), at("Pay")),
                ("admin@example.com".to_owned(), "comment 5".to_owned(), at("<!-- ")),
                ("https://example.net/?a=1&b=2".to_owned(), "a href 4".to_owned(), at("https")),
                ("me@example.org".to_owned(), "text 3".to_owned(), at("or mail")),
            ]
        );
    }

    #[test]
    fn a_page_in_another_character_set_is_found_in() {
        let page: Vec<u8> = "<html><meta charset=utf-16><p>".bytes().chain(*b"\xff").collect();
        assert!(!problems(&Scratch::new("a.html", &page).parse(&Html)).is_empty());
        let thai = [b"<html><meta charset='windows-874'><p>\xb7\xd5\xe8 x@example.org".as_slice(), b"</p>"].concat();
        let bodies = Scratch::new("a.html", &thai).parse(&Html);
        assert_eq!(sightings(&bodies), [("x@example.org".to_owned(), "text 2".to_owned(), 0)]);
    }

    #[test]
    fn tags_without_end_and_a_million_deep_do_no_harm() {
        let deep = [b"<html>".as_slice(), &b"<div>".repeat(1_000_000)].concat();
        Scratch::new("a.html", &deep).parse(&Html);
        for cut in [b"<html><a href=\"x".as_slice(), b"<html><!--", b"<html>&#", b"<html><script>var a='<"] {
            Scratch::new("a.html", cut).parse(&Html);
        }
    }
}
