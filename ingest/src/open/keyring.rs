//! Keys that lie in the exhibit itself: whoever seized the phone has them too. Which files are looked at, and what is taken from them, follows
//! from their names and content alone, so that the same exhibit always gives the same keys.

use super::{Container, telegram_desktop};
use crate::evidence::{Folder, Source};
use crate::tasks::List;
use md5::{Digest, Md5};
use model::FileKind;
use model::plist::Plist;
use std::collections::BTreeSet;
use std::io::Read;

/// Largest file that is looked at: a dump of a keychain has some megabytes.
const FILE_BYTES_MAX: u64 = 8 << 20;
/// Files, and keys of one kind, that are taken at most; beyond that something is wrong with the exhibit.
const FILES_MAX: usize = 256;
const KINDS_MAX: usize = 64;
/// What a byte array serialized by Java begins with; its length (u32 big endian) follows.
const JAVA_BYTES: &[u8] = b"\xac\xed\0\x05ur\0\x02[B\xac\xf3\x17\xf8\x06\x08\x54\xe0\x02\0\0xp";
/// What WeChat takes for the IMEI of a device that does not give its own.
const IMEI_DEFAULT: &str = "1234567890ABCDEF";

/// What may open what is encrypted.
#[derive(Clone, Copy, Default)]
pub struct Keys<'k> {
    /// Passwords and keys that were given: tried on everything.
    pub given: &'k [String],
    /// Keys that lie in the exhibit: tried on what an app encrypts as a whole.
    pub found: &'k [String],
}

/// Keys as they are found.
#[derive(Default)]
pub struct Keyring {
    files: usize,
    keys: BTreeSet<String>,
    /// Numbers of WeChat accounts on the device.
    uins: BTreeSet<String>,
    /// Numbers of the device.
    imeis: BTreeSet<String>,
    /// Files with keys that a passcode may open.
    passcoded: Vec<Vec<u8>>,
}

/// Names, in small letters, of files that may hold a key.
const NAMES: &[&str] = &[
    "key",
    "encrypted_backup.key",
    "config.json",
    "secrets.json",
    "backup_keychain_v2.plist",
    "keychain-backup.plist",
    "system_config_prefs.xml",
    "auth_info_key_prefs.xml",
    "com.tencent.mm_preferences.xml",
    "compatibleinfo.cfg",
    "dengta_meta.xml",
];

impl Keyring {
    /// Whether a file of that name may hold a key.
    pub fn wants(path: &[u8], size: u64) -> bool {
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path).to_ascii_lowercase();
        size <= FILE_BYTES_MAX && NAMES.iter().chain(telegram_desktop::KEY_FILES).any(|known| known.as_bytes() == name)
    }

    /// The files of a list that may hold a key.
    pub fn wanted<L: List + ?Sized>(list: &L) -> Vec<usize> {
        let files = (0..list.count()).filter(|at| list.kind(*at) == Some(FileKind::File));
        files.filter(|at| Keyring::wants(list.path(*at), list.size(*at))).take(FILES_MAX).collect()
    }

    /// Takes what a file holds.
    pub fn take(&mut self, path: &[u8], content: &[u8]) {
        if self.files == FILES_MAX {
            return;
        }
        self.files += 1;
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path).to_ascii_lowercase();
        let add = |set: &mut BTreeSet<String>, found: String| {
            if set.len() < KINDS_MAX {
                set.insert(found);
            }
        };
        if let Some(key) = java_bytes(content) {
            return add(&mut self.keys, hex(key));
        }
        if let Some(key) = telegram_desktop::key_in(content, &[]) {
            return add(&mut self.keys, key);
        }
        match name.as_slice() {
            _ if telegram_desktop::KEY_FILES.iter().any(|known| known.as_bytes() == name) => {
                if self.passcoded.len() < KINDS_MAX {
                    self.passcoded.push(content.to_vec());
                }
            }
            b"key" | b"encrypted_backup.key" | b"config.json" | b"secrets.json" => {
                hex_words(content).for_each(|key| add(&mut self.keys, key));
            }
            b"backup_keychain_v2.plist" | b"keychain-backup.plist" => {
                cipher_specs(content).into_iter().for_each(|key| add(&mut self.keys, key));
            }
            _ => {
                numbers_behind(content, &[b"uin\" value=\"", b"uin\">"]).for_each(|uin| add(&mut self.uins, uin));
                let marked = numbers_behind(content, &[b"IMEI_DENGTA\">"]);
                marked.chain(java_strings(content)).filter(|text| is_imei(text)).for_each(|imei| add(&mut self.imeis, imei));
            }
        }
    }

    /// Takes what a stream holds, if it is not too large.
    fn take_from(&mut self, path: &[u8], stream: &mut dyn Read) {
        let mut content = Vec::new();
        let read = stream.take(FILE_BYTES_MAX + 1).read_to_end(&mut content);
        if read.is_ok_and(|bytes| bytes as u64 <= FILE_BYTES_MAX) {
            self.take(path, &content);
        }
    }

    /// All keys; `given` may tell the number of a device.
    pub fn keys(&self, given: &[String]) -> Vec<String> {
        let opened = self.passcoded.iter().filter_map(|content| telegram_desktop::key_in(content, given));
        let opened: Vec<String> = opened.collect();
        let given = given.iter().filter(|text| is_imei(text)).map(String::as_str);
        let imeis: BTreeSet<&str> = self.imeis.iter().map(String::as_str).chain([IMEI_DEFAULT]).chain(given).collect();
        let pairs = self.uins.iter().flat_map(|uin| imeis.iter().map(move |imei| wechat_key(&format!("{imei}{uin}"))));
        self.keys.iter().cloned().chain(pairs).chain(opened).collect()
    }
}

/// The words that a file given as a key stands for: what is known of such files, else its text or its bytes as digits.
pub fn words_of_file(name: &[u8], content: &[u8]) -> Vec<String> {
    let mut ring = Keyring::default();
    if Keyring::wants(name, content.len() as u64) || java_bytes(content).is_some() {
        ring.take(name, content);
    }
    let mut words = ring.keys(&[]);
    if words.is_empty() {
        words.push(std::str::from_utf8(content).map_or_else(|_| hex(content), |text| text.trim().to_owned()));
    }
    words
}

/// Keys in the folder of an exhibit.
pub fn keys_on_disk<L: List + ?Sized>(root: &Folder, list: &L, given: &[String]) -> Vec<String> {
    let mut ring = Keyring::default();
    for at in Keyring::wanted(list) {
        // What cannot be read is told of where the file itself is read.
        if let Ok(source) = root.open_file(list.path(at)).and_then(Source::file) {
            ring.take_from(list.path(at), &mut source.reader());
        }
    }
    ring.keys(given)
}

/// Keys in a container. One without a list is read to its end.
pub fn keys_in(container: &dyn Container, given: &[String]) -> Result<Vec<String>, crate::Error> {
    let mut ring = Keyring::default();
    match container.list() {
        Some(entries) => {
            for at in Keyring::wanted(entries) {
                container.read(at, &mut |stream| {
                    ring.take_from(&entries[at].path, stream);
                    Ok(())
                })?;
            }
        }
        None => {
            container.visit(&mut |entry, stream| {
                if entry.kind == Some(FileKind::File) && Keyring::wants(&entry.path, entry.size) {
                    ring.take_from(&entry.path, stream);
                }
                Ok(())
            })?;
        }
    }
    Ok(ring.keys(given))
}

/// The key of WeChat's database: the first seven digits of the MD5 of IMEI and uin.
pub fn wechat_key(imei_and_uin: &str) -> String {
    hex(&Md5::digest(imei_and_uin.as_bytes())).chars().take(7).collect()
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of hexadecimal digits.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, odd) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? * 16 + digit(*low)?).ok();
    if odd.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

/// The bytes of an array that Java serialized.
pub fn java_bytes(content: &[u8]) -> Option<&[u8]> {
    let (length, rest) = content.strip_prefix(JAVA_BYTES)?.split_first_chunk::<4>()?;
    rest.get(..u32::from_be_bytes(*length) as usize)
}

/// Words of 64 or 96 hexadecimal digits.
fn hex_words(content: &[u8]) -> impl Iterator<Item = String> {
    let words = content.split(|byte| !byte.is_ascii_hexdigit()).filter(|word| matches!(word.len(), 64 | 96));
    words.map(|word| String::from_utf8_lossy(word).to_ascii_lowercase())
}

/// Words of a number's letters behind marks.
fn numbers_behind<'c>(content: &'c [u8], marks: &'c [&'c [u8]]) -> impl Iterator<Item = String> {
    let places = marks.iter().flat_map(move |mark| memchr::memmem::find_iter(content, mark).map(move |at| at + mark.len()));
    let word = |at: usize| {
        let rest = content.get(at..)?;
        let length = rest.iter().take(32).take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'-').count();
        rest.get(..length).filter(|word| !word.is_empty()).map(|word| String::from_utf8_lossy(word).into_owned())
    };
    places.filter_map(word)
}

/// Strings that Java serialized: `t`, a length (u16 big endian), the bytes.
fn java_strings(content: &[u8]) -> impl Iterator<Item = String> {
    let serialized = content.starts_with(b"\xac\xed\0\x05");
    let marks = memchr::memmem::find_iter(content, b"t\0").filter(move |_| serialized);
    marks.filter_map(|at| {
        let length = usize::from(*content.get(at + 2)?);
        std::str::from_utf8(content.get(at + 3..at + 3 + length)?).ok().map(str::to_owned)
    })
}

fn is_imei(text: &str) -> bool {
    (14..=16).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Entries of a keychain that are looked at.
const ENTRIES_MAX: usize = 2_000;

/// Keys and salts (32 and 16 bytes) that apps of iOS keep for their databases, out of a dumped keychain.
fn cipher_specs(content: &[u8]) -> Vec<String> {
    let Some(list) = Plist::open(content) else { return Vec::new() };
    let mut specs = Vec::new();
    for index in 0..ENTRIES_MAX {
        let index = index.to_string();
        let get = |field: &str| list.get(&["genp", &index, field]);
        let (account, data) = (get("acct"), get("v_Data"));
        if account.is_none() && data.is_none() && get("agrp").is_none() {
            break;
        }
        let data = data.and_then(model::plist::Value::data).filter(|data| data.len() == 48);
        let named = match account {
            Some(model::plist::Value::Text(text)) => text.contains("CipherKeySpec"),
            Some(model::plist::Value::Data(bytes)) => memchr::memmem::find(&bytes, b"CipherKeySpec").is_some(),
            _ => false,
        };
        specs.extend(data.filter(|_| named).map(|data| hex(&data)));
    }
    specs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(files: &[(&str, &[u8])], given: &[&str]) -> Vec<String> {
        let mut ring = Keyring::default();
        for (path, content) in files {
            assert!(Keyring::wants(path.as_bytes(), content.len() as u64), "{path}");
            ring.take(path.as_bytes(), content);
        }
        ring.keys(&given.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn the_uin_of_wechat_and_the_number_of_the_phone_make_its_key() {
        // MD5("1234567890ABCDEF" "-1500000001") and so on, as md5sum gives them.
        let xml = br#"<map><int name="default_uin" value="-1500000001" /><long name="set" value="3" /></map>"#;
        let path = "data/data/com.tencent.mm/shared_prefs/system_config_prefs.xml";
        assert_eq!(keys(&[(path, xml)], &[]), ["9419c6e"]);
        assert_eq!(keys(&[(path, xml)], &["860000000000006"]), ["9419c6e", "e3b65b6"]);
        let java = [b"\xac\xed\0\x05sr\0\x11java.util.HashMap".as_slice(), b"t\0\x0f860000000000006x"].concat();
        let imei = ("data/data/com.tencent.mm/MicroMsg/CompatibleInfo.cfg", java.as_slice());
        assert_eq!(keys(&[imei, (path, xml)], &[]), ["9419c6e", "e3b65b6"]);
    }

    #[test]
    fn keys_of_whatsapp_and_signal_are_taken_by_name() {
        let array = |bytes: &[u8]| [JAVA_BYTES, &(bytes.len() as u32).to_be_bytes(), bytes].concat();
        let (long, short) = (array(&[7; 131]), array(&[9; 32]));
        let signal = format!("{{\n  \"key\": \"{}\"\n}}", "AB".repeat(32));
        let files = [
            ("data/data/com.whatsapp/files/key", long.as_slice()),
            ("sdcard/encrypted_backup.key", &short),
            ("Users/a/AppData/Roaming/Signal/config.json", signal.as_bytes()),
        ];
        let mut expected = ["07".repeat(131), "09".repeat(32), "ab".repeat(32)];
        expected.sort();
        assert_eq!(keys(&files, &[]), expected);
        assert!(!Keyring::wants(b"files/keys", 10) && !Keyring::wants(b"key", FILE_BYTES_MAX + 1));
        for cut in 0..long.len() {
            assert_eq!(java_bytes(&long[..cut]), None);
        }
    }

    #[test]
    fn a_dumped_keychain_gives_keys_of_databases_only() {
        let data = |byte: &str| byte.repeat(64);
        // Base64 of 48 bytes of 'M' as plistlib writes them.
        let spec = "TU1N".repeat(16);
        let entry = |account: &str, data: &str| {
            format!(
                "<dict><key>acct</key><string>{account}</string><key>agrp</key><string>x</string><key>v_Data</key><data>{data}</data></dict>"
            )
        };
        let entries =
            [entry("other", &spec), entry("GRDBDatabaseCipherKeySpec", &data("A")), entry("GRDBDatabaseCipherKeySpec", "TU1N")];
        let text = format!("<plist version=\"1.0\"><dict><key>genp</key><array>{}</array></dict></plist>", entries.concat());
        assert_eq!(keys(&[("extra/KeychainDump/backup_keychain_v2.plist", text.as_bytes())], &[]), ["00".repeat(48)]);
    }
}
