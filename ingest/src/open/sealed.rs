//! What an app encrypts as a whole: no first bytes give it away, only its name, where it lies, and that it looks like noise. Each kind
//! is opened with a key that fits, else it is hashed, searched as it is, and `locked` with the key that it wants.

use super::{Container, Keys, Trouble, sqlcipher, telegram_desktop, whatsapp_backup};
use crate::evidence::Source;
use crate::media_type;
use model::Code;

/// A file as its name and its first bytes tell of it.
#[derive(Clone, Copy)]
pub struct Named<'n> {
    /// Its path.
    pub path: &'n [u8],
    /// Its first bytes.
    pub head: &'n [u8],
}

impl<'n> Named<'n> {
    /// The last part of the path.
    pub fn name(&self) -> &'n [u8] {
        self.path.rsplit(|byte| *byte == b'/').next().unwrap_or(self.path)
    }

    /// The path in small letters, with slashes, for asking whose it is.
    fn lower(&self) -> Vec<u8> {
        self.path.iter().map(|byte| if *byte == b'\\' { b'/' } else { byte.to_ascii_lowercase() }).collect()
    }

    /// Whether every value of a byte is there as often as in noise: chi squared of 255 degrees of freedom, within six standard
    /// deviations. What is compressed, or has a header, fails.
    pub fn is_noise(&self) -> bool {
        if self.head.len() < NOISE_BYTES_MIN {
            return false;
        }
        let mut counts = [0u32; 256];
        self.head.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
        let expected = self.head.len() as f64 / 256.0;
        let squared: f64 = counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
        (120.0..390.0).contains(&squared)
    }
}

/// Fewer bytes tell nothing of their spread.
const NOISE_BYTES_MIN: usize = 512;

/// How a kind is recognized and opened.
pub struct Format {
    /// Whether a file of that name that begins so is of this kind.
    pub recognize: fn(&Named<'_>) -> bool,
    /// Opens it.
    pub open: fn(&Named<'_>, &Source, Keys<'_>) -> Result<Box<dyn Container>, Trouble>,
}

/// Every kind.
const FORMATS: &[Format] = &[
    whatsapp_backup::FORMAT,
    telegram_desktop::FORMAT,
    Format {
        recognize: |named| known_file(named).is_some(),
        open: |named, _, _| Err(wanted(known_file(named).unwrap_or_default())),
    },
    sqlcipher::FORMAT,
];

/// The kind of a file.
pub fn format(named: &Named<'_>) -> Option<&'static Format> {
    FORMATS.iter().find(|format| (format.recognize)(named))
}

/// The trouble of what lacks its key.
pub fn wanted(needs: &str) -> Trouble {
    Trouble::new(Code::Encrypted, format!("needs {needs}"))
}

/// Files that are no databases: their beginning, their ending, what they need.
const FILES: &[(&[u8], &[u8], &str)] =
    &[(b"SECO", b".seco", "the password of the Exodus wallet"), (b"\0\0\0", b".backup", "the 30 digits of the Signal backup")];

fn known_file(named: &Named<'_>) -> Option<&'static str> {
    let name = named.name().to_ascii_lowercase();
    let signal = |ending: &[u8]| ending != b".backup" || name.starts_with(b"signal");
    let found = FILES.iter().find(|(magic, ending, _)| named.head.starts_with(magic) && name.ends_with(ending) && signal(ending));
    found.map(|(_, _, needs)| *needs)
}

/// Parts of paths, in small letters, of apps whose databases are encrypted, and the key that each wants.
const STORES: &[(&str, &str)] = &[
    ("enmicromsg.db", "the 7 hexadecimal digits of this WeChat account's key, or IMEI and uin as one word"),
    ("com.tencent.mm/micromsg/", "the 7 hexadecimal digits of this WeChat account's key, or IMEI and uin as one word"),
    ("wechat files/", "the 64 hexadecimal digits of this WeChat account's key, which only the running app holds"),
    ("xwechat_files/", "the 64 hexadecimal digits of this WeChat account's key, which only the running app holds"),
    ("com.tencent.xinwechat/", "the 64 hexadecimal digits of this WeChat account's key, which only the running app holds"),
    ("org.thoughtcrime.securesms/", "the 64 hexadecimal digits of Signal's database secret, out of the phone's keystore"),
    ("signal.sqlite", "the 96 hexadecimal digits of Signal's GRDBDatabaseCipherKeySpec, out of the keychain"),
    ("/signal/sql/", "the `key` of Signal's config.json, or its `encryptedKey` opened with the user's login"),
    ("/signal beta/sql/", "the `key` of Signal's config.json, or its `encryptedKey` opened with the user's login"),
    ("network.loki.messenger/", "the database secret of Session, out of the phone's keystore"),
    ("whatsappdesktop", "the keys of WhatsApp for Windows, which the user's Windows login protects"),
    ("ch.threema.app", "Threema's key.dat, and its passphrase if one was set"),
    ("viberpc/", "the database key of Viber on this computer"),
    ("com.zing.zalo/", "the database key of Zalo, which only the running app holds"),
    ("zalopc/", "the database key of Zalo on this computer"),
    ("zalodata/", "the database key of Zalo on this computer"),
    ("kakaotalk/", "the database key of KakaoTalk on this computer"),
    ("line/data/", "the database key of LINE on this computer"),
    ("com.wickr.", "the key of Wickr, which its password protects"),
    ("com.wire/", "the database key of Wire, out of the phone's keystore"),
];

/// The key that an encrypted database wants, by whose it is.
pub fn needs(named: &Named<'_>) -> Option<&'static str> {
    let path = named.lower();
    let path = [b"/", path.as_slice()].concat();
    STORES.iter().find(|(part, _)| memchr::memmem::find(&path, part.as_bytes()).is_some()).map(|(_, needs)| *needs)
}

/// Endings of databases.
const ENDINGS: &[&str] = &["db", "db3", "sqlite", "sqlite3", "sqlitedb", "sqlcipher", "storedata", "edb", "udb"];

/// Whether the name is that of a database.
pub fn is_database_name(named: &Named<'_>) -> bool {
    let name = named.name().to_ascii_lowercase();
    let ending = name.iter().rposition(|byte| *byte == b'.').and_then(|dot| name.get(dot + 1..));
    ending.is_some_and(|ending| ENDINGS.iter().any(|known| known.as_bytes() == ending)) || in_databases(named)
}

/// Android's apps keep databases in a folder of that name, with an ending or without.
fn in_databases(named: &Named<'_>) -> bool {
    let folder = named.path.len().checked_sub(named.name().len() + 1).and_then(|end| named.path.get(..end));
    folder.is_some_and(|folder| folder.ends_with(b"/databases")) && !named.name().contains(&b'.')
}

/// Whether a file is an encrypted database, as far as can be told without a key. The manifest of a phone backup is opened with the backup.
pub fn is_encrypted_database(named: &Named<'_>) -> bool {
    !super::backup::MANIFESTS.contains(&named.name())
        && is_database_name(named)
        && media_type::of(named.head).is_none()
        && named.is_noise()
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    /// Bytes without any form, the same each time.
    pub fn noise(count: usize) -> Vec<u8> {
        let blocks = (0u32..).flat_map(|number| Sha256::digest(number.to_le_bytes()).to_vec());
        blocks.take(count).collect()
    }

    #[test]
    fn noise_under_a_databases_name_is_an_encrypted_database_and_nothing_else_is() {
        let is = |path: &str, head: &[u8]| is_encrypted_database(&Named { path: path.as_bytes(), head });
        for bytes in [1024, 4096, 65_536] {
            assert!(is("data/databases/signal.db", &noise(bytes)), "{bytes}");
            assert!(is("data/databases/threads", &noise(bytes)));
            assert!(!is("data/files/signal.jpg", &noise(bytes)), "the name is no database's");
            assert!(!is("a.db", &vec![0; bytes]));
        }
        assert!(!is("a.db", &noise(100)), "too short to tell");
        let text: Vec<u8> = "words and words again ".bytes().cycle().take(4096).collect();
        assert!(!is("a.db", &text));
        let packed = [&[0u8; 64][..], &noise(65_000)].concat();
        assert!(!is("a.db", &[packed, vec![0; 536]].concat()), "a header shows");
    }

    #[test]
    fn each_app_says_which_key_it_wants() {
        let needs = |path: &str| needs(&Named { path: path.as_bytes(), head: &[] }).unwrap_or_default();
        assert!(needs("data/data/com.tencent.mm/MicroMsg/0123/EnMicroMsg.db").contains("IMEI"));
        assert!(needs("Users/a/Documents/xwechat_files/b/db_storage/message/message_0.db").contains("running app"));
        assert!(needs("Users\\a\\Documents\\WeChat Files\\wxid_1\\Msg\\Multi\\MSG0.db").contains("running app"));
        assert!(needs("Users/a/AppData/Roaming/Signal/sql/db.sqlite").contains("config.json"));
        assert!(needs("AppGroup/x/grdb/signal.sqlite").contains("keychain"));
        assert!(needs("data/data/org.thoughtcrime.securesms/databases/signal.db").contains("keystore"));
        assert_eq!(needs("some/app/other.db"), "");
        let named = |path: &'static str, head: &'static [u8]| Named { path: path.as_bytes(), head };
        assert!(known_file(&named("exodus.wallet/seed.seco", b"SECO\0\0\0\0")).is_some());
        assert!(known_file(&named("Signal/Backups/signal-2024-01-02-03-04-05.backup", b"\0\0\x004\x0a2")).is_some());
        assert!(known_file(&named("other.backup", b"\0\0\0\0")).is_none());
    }
}
