//! Containers that are known and that nothing here reads: named, hashed as a whole, searched as they are, and `locked` with what they
//! need, so that nobody takes them for empty. Signatures: libaff documentation, RAR's technical note, the file
//! format notes of Microsoft (cabinet), AccessData's own magic words.

use super::{Container, Format, Trouble};
use crate::evidence::Source;
use config::Settings;
use model::Code;

/// This format's line.
pub(super) const FORMAT: Format = Format { recognize, open };

/// Beginning, and what is needed.
const KNOWN: &[(&[u8], &str)] = &[
    (b"ADSEGMENTEDFILE\0", "a reader of AD1 images"),
    (b"AFF10\x0d\x0a\0", "a reader of AFF images"),
    (b"ADCRYPT\0", "the password of an AD encrypted image, and a reader of it"),
    (b"Rar!\x1a\x07\x00", "a reader of RAR archives"),
    (b"Rar!\x1a\x07\x01\x00", "a reader of RAR 5 archives"),
    (b"MSCF\0\0\0\0", "a reader of cabinets"),
    (b"MSWIM\0\0\0", "a reader of WIM images"),
];

fn known(head: &[u8]) -> Option<&'static str> {
    KNOWN.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, needs)| *needs)
}

fn recognize(head: &[u8]) -> bool {
    known(head).is_some()
}

fn open(source: &Source, _settings: &Settings, _passwords: &[String]) -> Result<Box<dyn Container>, Trouble> {
    let mut head = [0; 16];
    let read = source.read_at(&mut head, 0).map_err(|error| Trouble::of(&error))?;
    let needs = head.get(..read).and_then(known).unwrap_or("a reader of this format");
    Err(Trouble::new(Code::Unsupported, needs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_known_by_its_first_bytes_and_says_what_it_needs() {
        for (magic, needs) in KNOWN {
            let content = [magic, &[0xaa; 40][..]].concat();
            assert!(recognize(&content));
            let trouble = open(&Source::Memory(content.into()), &Settings::default(), &[]).err();
            assert_eq!(trouble, Some(Trouble::new(Code::Unsupported, *needs)));
        }
        assert!(!recognize(b"EVF\x09\x0d\x0a\xff\x00"));
    }
}
