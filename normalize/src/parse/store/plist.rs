//! Property lists that nothing else reads: settings of iOS and macOS apps, archives of their objects.

use super::{Place, Sweep};
use crate::emit::Emit;
use crate::parse::{Input, Outcome, Parser};
use model::Code;
use model::plist::{Plist, Value};

/// Largest list that is read, bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// The parser.
pub struct PropertyList;

impl Parser for PropertyList {
    fn name(&self) -> &'static str {
        "property_list"
    }

    fn version(&self) -> u32 {
        1
    }

    fn identify(&self, input: &Input<'_>) -> bool {
        let head = input.head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(input.head).trim_ascii_start();
        let start = head.get(..512).unwrap_or(head);
        head.starts_with(b"bplist0") || (head.starts_with(b"<") && memchr::memmem::find(start, b"<plist").is_some())
    }

    fn parse(&self, input: &Input<'_>, emit: &mut Emit<'_>) -> Outcome {
        let content = match input.content(FILE_BYTES_MAX, "property list", emit) {
            Ok(content) => content,
            Err(outcome) => return outcome,
        };
        let Some(list) = Plist::open(&content) else {
            emit.problem(Code::DocumentDamaged, "not a whole property list");
            return Outcome::partial("not a whole property list");
        };
        let mut sweep = Sweep::new("property list", emit);
        list.each(&mut |keys, value, range| {
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            match value {
                Value::Text(text) => {
                    let at = usize::try_from(range.0).unwrap_or(usize::MAX);
                    let verbatim = content.get(at..).is_some_and(|rest| rest.starts_with(text.as_bytes()));
                    sweep.text(Place { keys: &keys, range, verbatim }, &text);
                }
                Value::Data(bytes) => sweep.bytes(Place { keys: &keys, range, verbatim: false }, &bytes),
                _ => {}
            }
        });
        sweep.finish();
        Outcome::parsed()
    }
}

/// Texts and bytes of a list that stands inside of a value.
pub fn inside(bytes: &[u8], visit: &mut dyn FnMut(&[String], &[u8])) {
    let Some(list) = Plist::open(bytes) else { return };
    list.each(&mut |keys, value, _| match value {
        Value::Text(text) => visit(keys, text.as_bytes()),
        Value::Data(data) => visit(keys, &data),
        _ => {}
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Scratch, records};
    use model::{Body, Record, SecretKind};

    const LIST: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict><key>tron_address</key><string>TJRyWwFs9wTFGZg3JbrVriFbNfCug5tDeC</string>
<key>state</key><data>eyJ2YXVsdCI6eyJkYXRhIjoiQUJDREVGR0giLCJpdiI6IjAxMjM0NTY3Iiwic2FsdCI6Ijg5YWJjZGVmIn19</data></dict></plist>"#;

    #[test]
    fn values_become_accounts_and_vaults() {
        let bodies = Scratch::new("Library/Preferences/com.example.coins.plist", LIST.as_bytes()).parse(&PropertyList);
        let account = match records(&bodies)[..] {
            [Record::Account(account)] => account,
            ref other => panic!("{other:?}"),
        };
        assert_eq!((account.app.as_str(), account.chain.as_deref()), ("com.example.coins", Some("tron")));
        let vault = bodies.iter().find_map(|body| match body {
            Body::Secret(secret) if secret.kind == SecretKind::Vault => secret.field.clone(),
            _ => None,
        });
        assert_eq!(vault.as_deref(), Some("/state/vault"));
    }

    #[test]
    fn cut_anywhere_it_is_damaged_and_no_more() {
        for cut in 60..LIST.len() {
            let scratch = Scratch::new("a.plist", &LIST.as_bytes()[..cut]);
            if scratch.identified(&PropertyList) {
                scratch.parse(&PropertyList);
            }
        }
    }
}
