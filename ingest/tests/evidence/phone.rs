//! Makes phone backups from files: iTunes folders, plain and encrypted, as Apple's documents and the tools that read real ones
//! describe them. The encryptor is written from the format, apart from the reader.

use aes::cipher::{BlockModeEncrypt, KeyInit, KeyIvInit};
use sha1_next::{Digest, Sha1};
use std::fs;
use std::path::Path;

/// A file of a phone.
#[derive(Clone)]
pub struct PhoneFile {
    pub domain: &'static str,
    pub path: String,
    pub content: Vec<u8>,
}

/// A file.
pub fn file(domain: &'static str, path: &str, content: &[u8]) -> PhoneFile {
    PhoneFile { domain, path: path.to_owned(), content: content.to_vec() }
}

/// Name of a blob: SHA-1 of domain, hyphen and path.
pub fn blob_name(file: &PhoneFile) -> String {
    let digest = Sha1::digest(format!("{}-{}", file.domain, file.path));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a backup folder; encrypted if there is a password.
pub fn itunes_backup(folder: &Path, files: &[PhoneFile], password: Option<&str>) {
    fs::create_dir_all(folder).unwrap();
    let keybag = password.map(Keybag::new);
    let manifest = tempfile::NamedTempFile::new().unwrap();
    #[allow(clippy::disallowed_methods, reason = "made here, no evidence yet")]
    let connection = rusqlite::Connection::open(manifest.path()).unwrap();
    let schema = "CREATE TABLE Files (fileID TEXT PRIMARY KEY, domain TEXT, relativePath TEXT, flags INTEGER, file BLOB);
                  CREATE INDEX FilesDomainIdx ON Files(domain); CREATE TABLE Properties (key TEXT PRIMARY KEY, value BLOB);
                  BEGIN";
    connection.execute_batch(schema).unwrap();
    let insert = |name: &str, file: &PhoneFile, flags: i64, blob: Vec<u8>| {
        let row = (name, file.domain, &file.path, flags, blob);
        connection.execute("INSERT INTO Files VALUES (?1, ?2, ?3, ?4, ?5)", row).unwrap();
    };
    let mut domains: Vec<&str> = files.iter().map(|file| file.domain).collect();
    domains.dedup();
    for domain in domains {
        let root = file(domain, "", b"");
        insert(&blob_name(&root), &root, 2, mb_file(&root, 0o40755, None, None));
    }
    for (number, file) in files.iter().enumerate() {
        let name = blob_name(file);
        let key = keybag.as_ref().map(|keybag| keybag.file_key(number));
        let (content, described) = match &key {
            Some((key, described)) => (encrypt(&padded(&file.content), key), Some(described.as_slice())),
            None => (file.content.clone(), None),
        };
        insert(&name, file, 1, mb_file(file, 0o100_644, described, None));
        fs::create_dir_all(folder.join(&name[..2])).unwrap();
        fs::write(folder.join(&name[..2]).join(&name), content).unwrap();
    }
    let link = file("HomeDomain", "Library/link", b"");
    insert(&blob_name(&link), &link, 4, mb_file(&link, 0o120_755, None, Some("/var/mobile/there")));
    connection.execute_batch("COMMIT").unwrap();
    drop(connection);
    let mut manifest = fs::read(manifest.path()).unwrap();
    let mut facts = vec![("IsEncrypted", if keybag.is_some() { "<true/>".to_owned() } else { "<false/>".to_owned() })];
    if let Some(keybag) = &keybag {
        let (key, described) = keybag.file_key(usize::MAX);
        manifest = encrypt(&manifest, &key);
        facts.push(("ManifestKey", format!("<data>{}</data>", base64(&described))));
        facts.push(("BackupKeyBag", format!("<data>{}</data>", base64(&keybag.bytes))));
    }
    fs::write(folder.join("Manifest.db"), manifest).unwrap();
    fs::write(folder.join("Manifest.plist"), xml_plist(&facts)).unwrap();
    fs::write(folder.join("Info.plist"), info_plist()).unwrap();
    fs::write(folder.join("Status.plist"), xml_plist(&[("SnapshotState", "<string>finished</string>".to_owned())])).unwrap();
}

/// Writes a backup as iOS made them before 10: a list of records, blobs beside it; encrypted if there is a password.
pub fn old_backup(folder: &Path, files: &[PhoneFile], password: Option<&str>) {
    fs::create_dir_all(folder).unwrap();
    let keybag = password.map(Keybag::new);
    let text = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat();
    let none = || vec![0xff, 0xff];
    let record = |file: &PhoneFile, mode: u16, target: Option<&str>, key: Option<&[u8]>| {
        let mut record = [text(file.domain.as_bytes()), text(file.path.as_bytes())].concat();
        record.extend(target.map_or_else(none, |target| text(target.as_bytes())));
        record.extend(none());
        record.extend(key.map_or_else(none, text));
        record.extend(mode.to_be_bytes());
        record.extend(7u64.to_be_bytes());
        [501u32, 502, 1_700_000_000, 1_700_000_001, 1_600_000_000].iter().for_each(|number| record.extend(number.to_be_bytes()));
        record.extend((file.content.len() as u64).to_be_bytes());
        record.extend([CLASS as u8, 1]);
        record.extend([text(b"com.apple.name"), text(b"value")].concat());
        record
    };
    let mut manifest = b"mbdb\x05\x00".to_vec();
    for domain in &files.iter().map(|file| file.domain).collect::<std::collections::BTreeSet<_>>() {
        manifest.extend(record(&file(domain, "", b""), 0o40755, None, None));
    }
    for (number, file) in files.iter().enumerate() {
        let key = keybag.as_ref().map(|keybag| keybag.file_key(number));
        let (content, described) = match &key {
            Some((key, described)) => (encrypt(&padded(&file.content), key), Some(described.as_slice())),
            None => (file.content.clone(), None),
        };
        manifest.extend(record(file, 0o100_644, None, described));
        fs::write(folder.join(blob_name(file)), content).unwrap();
    }
    manifest.extend(record(&file("HomeDomain", "Library/link", b""), 0o120_755, Some("/var/mobile/there"), None));
    let mut facts = vec![("IsEncrypted", if keybag.is_some() { "<true/>".to_owned() } else { "<false/>".to_owned() })];
    if let Some(keybag) = &keybag {
        facts.push(("BackupKeyBag", format!("<data>{}</data>", base64(&keybag.bytes))));
    }
    fs::write(folder.join("Manifest.mbdb"), manifest).unwrap();
    fs::write(folder.join("Manifest.plist"), xml_plist(&facts)).unwrap();
    fs::write(folder.join("Info.plist"), info_plist()).unwrap();
    fs::write(folder.join("Status.plist"), xml_plist(&[("SnapshotState", "<string>finished</string>".to_owned())])).unwrap();
}

fn info_plist() -> String {
    let text = |text: &str| format!("<string>{text}</string>");
    xml_plist(&[
        ("Device Name", text("Dara's iPhone")),
        ("Product Type", text("iPhone12,1")),
        ("Product Version", text("16.3")),
        ("Build Version", text("20D47")),
        ("Serial Number", text("F17XX0XX0XX0")),
        ("IMEI", text("353257100000006")),
        ("ICCID", text("89855000000000000008")),
        ("Phone Number", text("+855 12 345 678")),
    ])
}

/// A property list in XML.
pub fn xml_plist(facts: &[(&str, String)]) -> String {
    let facts: String = facts.iter().map(|(key, value)| format!("<key>{key}</key>{value}\n")).collect();
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<plist version=\"1.0\"><dict>{facts}</dict></plist>\n")
}

/// An `MBFile` in a keyed archive.
fn mb_file(file: &PhoneFile, mode: i64, key: Option<&[u8]>, target: Option<&str>) -> Vec<u8> {
    let mut list = Binary::default();
    let mut objects = vec![list.text("$null")];
    let mut fields = vec![
        ("Mode", list.integer(mode)),
        ("UserID", list.integer(501)),
        ("GroupID", list.integer(502)),
        ("Size", list.integer(file.content.len() as i64)),
        ("LastModified", list.integer(1_700_000_000)),
        ("LastStatusChange", list.integer(1_700_000_001)),
        ("Birth", list.integer(1_600_000_000)),
        ("RelativePath", list.uid(2)),
    ];
    let path = list.text(&file.path);
    let mut more = Vec::new();
    if let Some(key) = key {
        let data = list.data(key);
        fields.push(("EncryptionKey", list.uid(3)));
        more.push(list.dictionary(&[("NS.data", data)]));
    }
    if let Some(target) = target {
        fields.push(("Target", list.uid(3 + more.len() as u8)));
        more.push(list.text(target));
    }
    objects.push(list.dictionary(&fields));
    objects.push(path);
    objects.extend(more);
    let objects = list.array(&objects);
    let root = list.uid(1);
    let top = list.dictionary(&[("root", root)]);
    let archiver = list.text("NSKeyedArchiver");
    let version = list.integer(100_000);
    let root = list.dictionary(&[("$version", version), ("$archiver", archiver), ("$top", top), ("$objects", objects)]);
    list.finish(root)
}

/// Writes binary property lists: every object has an offset, references have two bytes.
#[derive(Default)]
struct Binary(Vec<Vec<u8>>);

impl Binary {
    fn add(&mut self, bytes: Vec<u8>) -> u16 {
        self.0.push(bytes);
        (self.0.len() - 1) as u16
    }

    fn head(kind: u8, count: usize) -> Vec<u8> {
        if count < 15 {
            vec![kind << 4 | count as u8]
        } else {
            [&[kind << 4 | 15, 0x11][..], &(count as u16).to_be_bytes()].concat()
        }
    }

    fn integer(&mut self, number: i64) -> u16 {
        self.add([&[0x13][..], &number.to_be_bytes()].concat())
    }

    fn text(&mut self, text: &str) -> u16 {
        self.add([Binary::head(5, text.len()), text.as_bytes().to_vec()].concat())
    }

    fn data(&mut self, data: &[u8]) -> u16 {
        self.add([Binary::head(4, data.len()), data.to_vec()].concat())
    }

    fn uid(&mut self, number: u8) -> u16 {
        self.add(vec![0x80, number])
    }

    fn array(&mut self, objects: &[u16]) -> u16 {
        let references = objects.iter().flat_map(|object| object.to_be_bytes());
        self.add(Binary::head(10, objects.len()).into_iter().chain(references).collect())
    }

    fn dictionary(&mut self, fields: &[(&str, u16)]) -> u16 {
        let keys: Vec<u16> = fields.iter().map(|(key, _)| self.text(key)).collect();
        let references = keys.into_iter().chain(fields.iter().map(|(_, value)| *value)).flat_map(u16::to_be_bytes);
        self.add(Binary::head(13, fields.len()).into_iter().chain(references).collect())
    }

    fn finish(self, top: u16) -> Vec<u8> {
        let mut bytes = b"bplist00".to_vec();
        let mut offsets = Vec::new();
        for object in &self.0 {
            offsets.extend((bytes.len() as u32).to_be_bytes());
            bytes.extend_from_slice(object);
        }
        let table = bytes.len() as u64;
        bytes.extend(offsets);
        bytes.extend([0, 0, 0, 0, 0, 0, 4, 2]);
        for number in [self.0.len() as u64, u64::from(top), table] {
            bytes.extend(number.to_be_bytes());
        }
        bytes
    }
}

/// A keybag as iOS 10.2 and later make it, with few rounds.
struct Keybag {
    bytes: Vec<u8>,
    class_key: [u8; 32],
}

/// Class of every file: protected until first unlock.
const CLASS: u32 = 3;

impl Keybag {
    fn new(password: &str) -> Keybag {
        let (first_salt, salt, class_key) = ([0xa1; 20], [0xb2; 20], [0x5c; 32]);
        let first = pbkdf2::pbkdf2_hmac_array::<pbkdf2::sha2::Sha256, 32>(password.as_bytes(), &first_salt, 7);
        let key = pbkdf2::pbkdf2_hmac_array::<Sha1, 32>(&first, &salt, 5);
        let tag = |tag: &[u8; 4], value: &[u8]| [&tag[..], &(value.len() as u32).to_be_bytes(), value].concat();
        let number = |number: u32| number.to_be_bytes();
        let bytes = [
            tag(b"VERS", &number(5)),
            tag(b"TYPE", &number(1)),
            tag(b"UUID", &[1; 16]),
            tag(b"HMCK", &[2; 40]),
            tag(b"WRAP", &number(0)),
            tag(b"SALT", &salt),
            tag(b"ITER", &number(5)),
            tag(b"DPWT", &number(1)),
            tag(b"DPIC", &number(7)),
            tag(b"DPSL", &first_salt),
            tag(b"UUID", &[3; 16]),
            tag(b"CLAS", &number(CLASS)),
            tag(b"WRAP", &number(2)),
            tag(b"KTYP", &number(0)),
            tag(b"WPKY", &wrap(&key, &class_key)),
        ];
        Keybag { bytes: bytes.concat(), class_key }
    }

    /// A file's key, and how the manifest describes it.
    fn file_key(&self, number: usize) -> ([u8; 32], Vec<u8>) {
        let key = [number as u8 ^ 0x77; 32];
        (key, [&CLASS.to_le_bytes()[..], &wrap(&self.class_key, &key)].concat())
    }
}

fn wrap(key: &[u8; 32], content: &[u8; 32]) -> Vec<u8> {
    let mut wrapped = [0; 40];
    aes_kw::KwAes256::new(key.into()).wrap_key(content, &mut wrapped).unwrap().to_vec()
}

fn padded(content: &[u8]) -> Vec<u8> {
    let padding = 16 - content.len() % 16;
    [content, &vec![padding as u8; padding]].concat()
}

fn encrypt(content: &[u8], key: &[u8; 32]) -> Vec<u8> {
    encrypt_from(content, key, &[0; 16])
}

fn encrypt_from(content: &[u8], key: &[u8; 32], vector: &[u8; 16]) -> Vec<u8> {
    let mut content = content.to_vec();
    let mut cipher = cbc::Encryptor::<aes::Aes256>::new(key.into(), vector.into());
    let (blocks, rest) = content.as_chunks_mut::<16>();
    assert!(rest.is_empty());
    blocks.iter_mut().for_each(|block| cipher.encrypt_block(block.into()));
    content
}

/// RFC 4648 §4.
pub fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |chunk: &[u8]| -> String {
        let word = chunk.iter().chain([&0, &0]).take(3).fold(0u32, |word, byte| word << 8 | u32::from(*byte));
        let letter = |at: usize| LETTERS[(word >> (18 - 6 * at)) as usize & 63] as char;
        (0..4).map(|at| if at <= chunk.len() { letter(at) } else { '=' }).collect()
    };
    bytes.chunks(3).map(group).collect()
}

/// An `adb backup`: header, then a tar.
pub fn android_backup(files: &[PhoneFile], compressed: bool, password: Option<&str>) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for file in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(file.content.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(1_700_000_000);
        tar.append_data(&mut header, format!("{}/{}", file.domain, file.path), file.content.as_slice()).unwrap();
    }
    let mut content = tar.into_inner().unwrap();
    if compressed {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::Write::write_all(&mut encoder, &content).unwrap();
        content = encoder.finish().unwrap();
    }
    let head = format!("ANDROID BACKUP\n5\n{}\n", u8::from(compressed));
    let Some(password) = password else { return [head.as_bytes(), b"none\n", &content].concat() };
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>();
    let (salt, check_salt, rounds) = ([0x11; 64], [0x22; 64], 10_000);
    let (vector, master_vector) = ([0x33; 16], [0x44; 16]);
    let master: [u8; 32] = std::array::from_fn(|at| (at * 37 + 5) as u8);
    let key = pbkdf2::pbkdf2_hmac_array::<Sha1, 32>(password.as_bytes(), &salt, rounds);
    // What Java makes of bytes that are taken for characters: from 0x80 on, U+FF80 to U+FFFF.
    let widened: Vec<u8> = master
        .iter()
        .flat_map(|byte| if *byte < 0x80 { vec![*byte] } else { vec![0xef, 0xbc | byte >> 6, 0x80 | byte & 0x3f] })
        .collect();
    let check = pbkdf2::pbkdf2_hmac_array::<Sha1, 32>(&widened, &check_salt, rounds);
    let blob = [&[16][..], &master_vector, &[32], &master, &[32], &check].concat();
    let blob = encrypt_from(&padded(&blob), &key, &vector);
    let lines = format!("AES-256\n{}\n{}\n{rounds}\n{}\n{}\n", hex(&salt), hex(&check_salt), hex(&vector), hex(&blob));
    [head.as_bytes(), lines.as_bytes(), &encrypt_from(&padded(&content), &master, &master_vector)].concat()
}
