//! The sweep through the values of one store.

use crate::decode::base64;
use crate::emit::Emit;
use crate::parse::node::{Node, pointer_step};
use crate::parse::wallet::{Accounts, apps, json, metamask, shape};
use model::{Locator, State};
use serde_json::{Map, Value};

/// How often what a value holds is decoded in turn.
const LAYERS: u32 = 4;
/// Shortest text that is tried as base64.
const BASE64_MIN: usize = 24;
/// Largest value that is read as a document of a wallet, bytes.
const DOCUMENT_MAX: usize = 64 << 20;

/// One value of a store.
#[derive(Clone, Copy)]
pub struct Place<'p> {
    /// Keys on the way to it, outermost first.
    pub keys: &'p [&'p str],
    /// First byte and bytes in the item.
    pub range: (u64, u64),
    /// Whether its bytes stand there as they are given.
    pub verbatim: bool,
}

/// What goes through the values.
pub struct Sweep<'r, 'e> {
    accounts: Accounts<'r, 'e>,
    kind: &'static str,
    /// The app by the item's path.
    app: Option<String>,
}

impl<'r, 'e> Sweep<'r, 'e> {
    /// Begins the sweep through a store of that kind.
    pub fn new(kind: &'static str, emit: &'r mut Emit<'e>) -> Sweep<'r, 'e> {
        let app = apps::of_path(&emit.unit().primary.item.path);
        let mut accounts = Accounts::new(emit);
        accounts.app.clone_from(&app);
        Sweep { accounts, kind, app }
    }

    /// Whether what follows is what the store shows now.
    pub fn state(&mut self, state: State) {
        self.accounts.state = state;
    }

    /// The way out, for problems.
    pub fn emit(&mut self) -> &mut Emit<'e> {
        self.accounts.emit
    }

    /// Goes through bytes: text in UTF-8 or UTF-16, or nothing that is read.
    pub fn bytes(&mut self, place: Place<'_>, bytes: &[u8]) {
        self.layer_bytes(&place, "", bytes, 0);
    }

    /// Goes through a text.
    pub fn text(&mut self, place: Place<'_>, text: &str) {
        self.layer_text(&place, "", text, 0);
    }

    /// Goes through a value that was made from a browser's clone of it.
    pub fn cloned(&mut self, place: Place<'_>, value: Value) {
        match value {
            Value::String(text) => self.text(place, &text),
            other => self.text(place, &other.to_string()),
        }
    }

    fn layer_bytes(&mut self, place: &Place<'_>, step: &str, bytes: &[u8], layer: u32) {
        if let Ok(text) = std::str::from_utf8(bytes) {
            self.layer_text(place, step, text, layer);
        } else if let Some(text) = utf16(bytes) {
            let wide = Place { verbatim: false, ..*place };
            self.layer_text(&wide, &format!("{step}/utf-16"), &text, layer.saturating_add(1));
        } else if bytes.starts_with(b"bplist0") && layer < LAYERS {
            super::plist::inside(bytes, &mut |keys, value| {
                let path = format!("{step}/{}", keys.join("/"));
                let inner = Place { verbatim: false, ..*place };
                self.layer_bytes(&inner, &path, value, layer.saturating_add(1));
            });
        }
    }

    fn layer_text(&mut self, place: &Place<'_>, step: &str, text: &str, layer: u32) {
        let key = place.keys.last().copied().unwrap_or_default();
        // Where the path names no app, a key can: those of pages and extensions begin with their address.
        self.accounts.app = self.app.clone().or_else(|| place.keys.iter().find_map(|key| apps::named(key)).map(str::to_owned));
        let pointer = pointer(place.keys, step);
        self.accounts.emit.value(&pointer, key, text, place.range, place.verbatim && layer == 0);
        let bare = text.trim();
        if bare.starts_with(['{', '[']) && bare.len() <= DOCUMENT_MAX {
            self.document(bare, key, &pointer, place.range);
        } else {
            self.single(bare, key, &pointer, place.range);
        }
        if layer < LAYERS
            && bare.len() >= BASE64_MIN
            && let Some(decoded) = readable_base64(bare)
        {
            let inner = Place { verbatim: false, ..*place };
            self.layer_bytes(&inner, &format!("{step}/base64"), &decoded, layer + 1);
        }
    }

    /// A JSON document.
    fn document(&mut self, text: &str, key: &str, pointer: &str, range: (u64, u64)) {
        let root = Node::inside(text, pointer, range);
        if !root.is_valid() {
            return;
        }
        // MetaMask's controllers name their accounts better than their form does.
        let controllers = ["\"KeyringController\"", "\"PreferencesController\"", "\"AccountTracker\"", "\"AccountsController\""];
        let own = root.is_object() && controllers.iter().any(|name| text.contains(name));
        if own || root.is_object() && metamask::is_state(text) {
            metamask::read_state(&root, &mut self.accounts);
        }
        json::walk(&root, key, !own, self.kind, &mut self.accounts);
    }

    /// A value that is nothing but an address or an extended key.
    fn single(&mut self, text: &str, key: &str, pointer: &str, range: (u64, u64)) {
        let lower = key.to_ascii_lowercase();
        if ["contract", "token", "mint"].iter().any(|word| lower.contains(word)) {
            return;
        }
        let wallet = ["address", "wallet", "account"].iter().any(|word| lower.contains(word));
        let address = if shape::is_evm(text) && !wallet { None } else { shape::address(text, shape::chain_word(key)) };
        let Some(chain) = address.or_else(|| shape::extended_key(text)) else { return };
        let (offset, length) = range;
        let place = Locator::Pointer { pointer: pointer.to_owned(), offset, length };
        let extra = Map::from_iter([("key".to_owned(), Value::String(key.to_owned()))]);
        let entry = crate::parse::wallet::Entry {
            app: self.kind,
            key: text.to_owned(),
            chain,
            label: None,
            is_owner: None,
            about: None,
            extra,
        };
        self.accounts.tell(entry, place);
    }

    /// Ends: the counts.
    pub fn finish(self) {
        self.accounts.finish_found("accounts");
    }
}

/// The keys and further steps as an RFC 6901 pointer.
fn pointer(keys: &[&str], step: &str) -> String {
    let mut pointer = String::new();
    for key in keys {
        let clean: String = key.chars().filter(|character| !character.is_control()).collect();
        pointer.push('/');
        pointer.push_str(&pointer_step(&clean));
    }
    pointer + step
}

/// UTF-16 of either order that is nothing but text.
fn utf16(bytes: &[u8]) -> Option<String> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    if pairs.len() < 4 || !rest.is_empty() {
        return None;
    }
    let read = |number: fn([u8; 2]) -> u16| {
        let text: String = char::decode_utf16(pairs.iter().map(|pair| number(*pair))).collect::<Result<_, _>>().ok()?;
        // Bytes of anything can be pairs of units: text of the Latin script among them says that they are.
        let latin = text.chars().filter(|character| character.is_ascii_graphic() || *character == ' ').count();
        (latin * 2 > text.chars().count() && !text.contains('\0')).then_some(text)
    };
    read(u16::from_le_bytes).or_else(|| read(u16::from_be_bytes))
}

/// What base64 holds, if that is text or a property list.
fn readable_base64(text: &str) -> Option<Vec<u8>> {
    let joined: String;
    let bare = if text.contains(['\n', '\r']) {
        joined = text.split_ascii_whitespace().collect();
        &joined
    } else {
        text
    };
    // Words and hexadecimal numbers are of its alphabet too: what they decode to is no text.
    let bytes = base64::decode(bare)?;
    let printable = |text: &str| !text.chars().any(|character| character.is_control() && !character.is_whitespace());
    let readable = std::str::from_utf8(&bytes).is_ok_and(printable) || utf16(&bytes).is_some() || bytes.starts_with(b"bplist0");
    readable.then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_text_only() {
        assert_eq!(readable_base64("VEpSeVd3RnM5d1RGR1pnM0picg==").as_deref(), Some(&b"TJRyWwFs9wTFGZg3Jbr"[..]));
        assert_eq!(readable_base64("VEpSeVd3RnM5d1RG\nR1pnM0picg==").as_deref(), Some(&b"TJRyWwFs9wTFGZg3Jbr"[..]));
        assert_eq!(readable_base64("4a5e1e4baab89f3a32518a88c31bc87f"), None);
    }

    #[test]
    fn text_of_two_bytes_a_unit() {
        let wide: Vec<u8> = "wallet TX".encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(utf16(&wide).as_deref(), Some("wallet TX"));
        assert_eq!(utf16(&[0xff; 64]), None);
        assert_eq!(pointer(&["a/b", "c~"], "/base64"), "/a~1b/c~0/base64");
    }
}
