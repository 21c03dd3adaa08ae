//! Settings of Android apps: `shared_prefs/*.xml`, a `<map>` of named values (AOSP, `XmlUtils.writeMapXml`), and any binary XML (ABX)
//! that nothing else reads.

use super::{Place, Sweep};
use crate::emit::Emit;
use crate::parse::device::abx;
use crate::parse::xml::attribute_or_told;
use crate::parse::{Input, Outcome, Parser};
use model::Code;
use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;

/// Largest file that is read, bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// The parser.
pub struct Preferences;

impl Parser for Preferences {
    fn name(&self) -> &'static str {
        "shared_preferences"
    }

    fn version(&self) -> u32 {
        1
    }

    fn identify(&self, input: &Input<'_>) -> bool {
        if input.head.starts_with(abx::MAGIC) {
            return true;
        }
        let head = input.head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(input.head).trim_ascii_start();
        let rest = match head.strip_prefix(b"<?xml") {
            Some(rest) => rest.get(memchr::memchr(b'>', rest).map_or(0, |end| end + 1)..).unwrap_or_default(),
            None => head,
        };
        let rest = rest.trim_ascii_start();
        rest.starts_with(b"<map>") || rest.starts_with(b"<map ") || rest.starts_with(b"<map/>")
    }

    fn reads_whole(&self) -> bool {
        true
    }

    fn parse(&self, input: &Input<'_>, emit: &mut Emit<'_>) -> Outcome {
        let content = match input.content(FILE_BYTES_MAX, "file of settings", emit) {
            Ok(content) => content,
            Err(outcome) => return outcome,
        };
        let kind = if content.starts_with(abx::MAGIC) { "binary XML" } else { "SharedPreferences" };
        let mut sweep = Sweep::new(kind, emit);
        let ended = if content.starts_with(abx::MAGIC) { binary(&content, &mut sweep) } else { text(&content, &mut sweep) };
        sweep.finish();
        match ended {
            Ok(()) => Outcome::parsed(),
            Err(at) => {
                let detail = format!("no XML from byte {at}");
                emit.problem(Code::DocumentDamaged, detail.clone());
                Outcome::partial(detail)
            }
        }
    }
}

/// Every attribute and text of a binary document, under the element's name or the one that it gives itself.
fn binary(content: &[u8], sweep: &mut Sweep<'_, '_>) -> Result<(), u64> {
    abx::elements(content, &mut |element| {
        let own = element.attribute("name").unwrap_or(&element.name);
        for (name, value) in element.attributes.iter().filter(|(name, _)| name != "name") {
            sweep.text(Place { keys: &[own, name], range: element.range, verbatim: false }, value);
        }
        if !element.text.trim().is_empty() {
            sweep.text(Place { keys: &[own], range: element.range, verbatim: false }, &element.text);
        }
    })
}

/// The value that is being read.
#[derive(Default)]
struct Open {
    key: String,
    text: String,
    from: u64,
    /// Whether an entity was put in place of its name.
    changed: bool,
}

fn text(content: &[u8], sweep: &mut Sweep<'_, '_>) -> Result<(), u64> {
    let mut reader = Reader::from_reader(content);
    // The set that values without a name of their own stand in.
    let mut outer = String::new();
    let mut open: Option<Open> = None;
    loop {
        let before = reader.buffer_position();
        let event = reader.read_event().map_err(|_| before)?;
        let after = reader.buffer_position();
        let mut attribute = |element: &_, name| attribute_or_told(element, name, before, sweep.emit());
        match event {
            Event::Start(start) => match start.name().as_ref() {
                b"string" => {
                    let key = attribute(&start, "name").unwrap_or_else(|| outer.clone());
                    open = Some(Open { key, from: after, ..Open::default() });
                }
                _ => outer = attribute(&start, "name").unwrap_or_default(),
            },
            Event::Empty(empty) => {
                let (key, value) = (attribute(&empty, "name").unwrap_or_default(), attribute(&empty, "value"));
                if let Some(value) = value {
                    let range = (before, after.saturating_sub(before));
                    sweep.text(Place { keys: &[&key], range, verbatim: false }, &value);
                }
            }
            Event::Text(piece) => {
                if let Some(open) = &mut open {
                    open.text.push_str(&String::from_utf8_lossy(&piece));
                }
            }
            Event::CData(piece) => {
                if let Some(open) = &mut open {
                    open.changed = true;
                    open.text.push_str(&String::from_utf8_lossy(&piece));
                }
            }
            Event::GeneralRef(reference) => {
                if let Some(open) = &mut open {
                    open.changed = true;
                    let named = || std::str::from_utf8(&reference).ok().and_then(resolve_predefined_entity).map(str::to_owned);
                    let character = reference.resolve_char_ref().ok().flatten().map(String::from);
                    open.text.push_str(&character.or_else(named).ok_or(before)?);
                }
            }
            Event::End(end) if end.name().as_ref() == b"string" => {
                if let Some(open) = open.take() {
                    let place = Place {
                        keys: &[&open.key],
                        range: (open.from, before.saturating_sub(open.from)),
                        verbatim: !open.changed,
                    };
                    sweep.text(place, &open.text);
                }
            }
            Event::Eof => return if open.is_none() { Ok(()) } else { Err(before) },
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Scratch, problems, records};
    use model::{Body, Record};

    const MAP: &str = r#"<?xml version='1.0' encoding='utf-8' standalone='yes' ?>
<map>
    <string name="wallets">[{&quot;address&quot;:&quot;TJRyWwFs9wTFGZg3JbrVriFbNfCug5tDeC&quot;,&quot;name&quot;:&quot;till&quot;,&quot;walletId&quot;:&quot;w1&quot;}]</string>
    <string name="last_address">TJRabPrwbZy45sbavfcjinPJC18kjpRTv8</string>
    <set name="seen"><string>DM_no_address</string></set>
    <boolean name="b" value="true" />
</map>"#;

    #[test]
    fn documents_in_strings_with_entities() {
        let bodies = Scratch::new("data/data/org.example.coins/shared_prefs/w.xml", MAP.as_bytes()).parse(&Preferences);
        let accounts: Vec<_> = records(&bodies)
            .into_iter()
            .map(|record| match record {
                Record::Account(account) => (account.account_key.as_str(), account.display_name.as_deref(), account.is_owner),
                other => panic!("{other:?}"),
            })
            .collect();
        let wanted = [
            ("TJRyWwFs9wTFGZg3JbrVriFbNfCug5tDeC", Some("till"), Some(true)),
            ("TJRabPrwbZy45sbavfcjinPJC18kjpRTv8", None, None),
        ];
        assert_eq!(accounts, wanted);
        let place = bodies.iter().find_map(|body| match body {
            Body::Sighting(sighting) if sighting.observable.value.starts_with("TJRab") => sighting.byte_offset,
            _ => None,
        });
        assert_eq!(place, MAP.find("TJRab").map(|at| at as u64));
    }

    #[test]
    fn cut_anywhere_it_tells_where_it_ended() {
        for cut in (60..MAP.len()).filter(|cut| MAP.is_char_boundary(*cut)) {
            let scratch = Scratch::new("w.xml", &MAP.as_bytes()[..cut]);
            if scratch.identified(&Preferences) {
                let _bodies = scratch.parse(&Preferences);
            }
        }
        let bodies = Scratch::new("w.xml", MAP.replace("</set>", "</map>").as_bytes()).parse(&Preferences);
        assert_eq!(problems(&bodies).len(), 1);
    }
}
