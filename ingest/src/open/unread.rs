//! Containers that are known and that nothing here reads: named, hashed as a whole, searched as they are, and `locked` with what they
//! need, so that nobody takes them for empty. Signatures: libaff documentation, RAR's technical note, the file
//! format notes of Microsoft (cabinet), AccessData's own magic words, KeePass' and Password Safe's format descriptions, those that John the
//! Ripper's converters check.

use super::{Container, Format, Trouble};
use crate::evidence::Source;
use config::Settings;
use model::Code;

/// This format's line.
pub(super) const FORMAT: Format = Format { recognize, open };

/// Beginning, what is wrong, and what is needed.
const KNOWN: &[(&[u8], Code, &str)] = &[
    (b"ADSEGMENTEDFILE\0", Code::Unsupported, "a reader of AD1 images"),
    (b"AFF10\x0d\x0a\0", Code::Unsupported, "a reader of AFF images"),
    (b"ADCRYPT\0", Code::Encrypted, "the password of an AD encrypted image, and a reader of it"),
    (b"Rar!\x1a\x07\x00", Code::Unsupported, "a reader of RAR archives"),
    (b"Rar!\x1a\x07\x01\x00", Code::Unsupported, "a reader of RAR 5 archives"),
    (b"MSCF\0\0\0\0", Code::Unsupported, "a reader of cabinets"),
    (b"MSWIM\0\0\0", Code::Unsupported, "a reader of WIM images"),
    // Where people keep passwords and seed phrases.
    (b"\x03\xd9\xa2\x9a\x65\xfb\x4b\xb5", Code::Encrypted, "the master password of a KeePass 1 database, and a reader of it"),
    (b"\x03\xd9\xa2\x9a\x67\xfb\x4b\xb5", Code::Encrypted, "the master password of a KeePass database, and a reader of it"),
    (b"PWS3", Code::Encrypted, "the master password of a Password Safe, and a reader of it"),
    (b"GnomeKeyring\n\r\0\n", Code::Encrypted, "the password of a GNOME keyring, and a reader of it"),
    (b"KWALLET\n\r\0\r\n", Code::Encrypted, "the password of a KDE wallet, and a reader of it"),
    (b"kych\0\x01\0\0", Code::Encrypted, "the password of an Apple keychain, and a reader of it"),
];

fn known(head: &[u8]) -> Option<(Code, &'static str)> {
    KNOWN.iter().find(|(magic, ..)| head.starts_with(magic)).map(|(_, code, needs)| (*code, *needs))
}

fn recognize(head: &[u8]) -> bool {
    known(head).is_some()
}

fn open(source: &Source, _settings: &Settings, _passwords: &[String]) -> Result<Box<dyn Container>, Trouble> {
    let mut head = [0; 16];
    let read = source.read_at(&mut head, 0).map_err(|error| Trouble::of(&error))?;
    let (code, needs) = head.get(..read).and_then(known).unwrap_or((Code::Unsupported, "a reader of this format"));
    Err(Trouble::new(code, needs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_known_by_its_first_bytes_and_says_what_it_needs() {
        for (magic, code, needs) in KNOWN {
            let content = [magic, &[0xaa; 40][..]].concat();
            assert!(recognize(&content));
            let trouble = open(&Source::Memory(content.into()), &Settings::default(), &[]).err();
            assert_eq!(trouble, Some(Trouble::new(*code, *needs)));
        }
        assert!(!recognize(b"EVF\x09\x0d\x0a\xff\x00"));
    }
}
