//! WhatsApp's local backups on Android, `msgstore.db.crypt12`, `.crypt14`, `.crypt15` and their likes (`wa.db`, `chatsettingsbackup.db`, `stickers`,
//! increments): a header, AES-256-GCM with a vector of 16 bytes, and inside a zlib stream or a zip. The key is in the app's own folder
//! (`files/key` for 12 and 14, `files/encrypted_backup.key` for 15) or written down by the user as 64 hexadecimal digits.
//!
//! Format: as the authors of wa-crypt-tools and WhatsApp-Chat-Exporter describe it; GCM: NIST SP 800-38D.

use super::keyring::{java_bytes, unhex};
use super::sealed::{Format, Named, wanted};
use super::{Container, Entry, Guarded, Keys, Trouble, Visitor, compressed};
use crate::evidence::{Source, SourceReader};
use aes::Aes256;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use ghash::GHash;
use ghash::universal_hash::UniversalHash;
use hmac::{Hmac, Mac};
use md5::{Digest, Md5};
use model::item::FileTimes;
use model::{Code, FileKind};
use sha2::Sha256;
use std::collections::BTreeSet;
use std::io::{self, BufReader, Read};

/// This kind's line.
pub(super) const FORMAT: Format = Format { recognize, open };

/// Bytes of a key, of a vector, of a block, of a tag and of a checksum.
const KEY: usize = 32;
const BLOCK: usize = 16;
/// Bytes of the header of versions up to 12: versions of cipher and key, two salts, the vector.
const HEADER_12: usize = 67;
/// What stands behind the checksum of version 12: `--` and the last two digits of the user's number.
const FOOTER_12: u64 = 4;
/// Bytes of the array in `files/key`: the same as a header of version 12 with a hash between, and the key at its end.
const KEY_FILE: usize = 131;
/// Bytes read at a time.
const CHUNK: usize = 64 << 10;
/// Bytes of content that tell whether a key fits.
const PROBE: usize = 4096;

/// The version in a file's name, and what stands before it.
fn version<'n>(named: &Named<'n>) -> Option<(u8, &'n [u8])> {
    let name = named.name();
    let dot = name.iter().rposition(|byte| *byte == b'.')?;
    let ending = name.get(dot + 1..)?.to_ascii_lowercase();
    let version = std::str::from_utf8(ending.strip_prefix(b"crypt")?).ok()?.parse().ok()?;
    Some((version, name.get(..dot).filter(|base| !base.is_empty())?))
}

fn recognize(named: &Named<'_>) -> bool {
    version(named).is_some()
}

/// What the header tells.
#[derive(Debug, PartialEq)]
struct Header {
    vector: [u8; BLOCK],
    /// First byte behind the header.
    start: u64,
    /// Whether the key is a root from which the real one is derived.
    derived: bool,
    /// Salts that the right key file repeats.
    salt: Option<Vec<u8>>,
    /// Bytes behind the checksum.
    footer: u64,
}

impl Header {
    /// Reads the header. What it holds tells the version; names are changed.
    fn read(head: &[u8]) -> Option<Header> {
        if head.starts_with(&[0, 0]) || head.starts_with(&[0, 1]) {
            let vector = head.get(HEADER_12 - BLOCK..HEADER_12)?.try_into().ok()?;
            let salt = Some(head.get(3..HEADER_12 - BLOCK)?.to_vec());
            return Some(Header { vector, start: HEADER_12 as u64, derived: false, salt, footer: FOOTER_12 });
        }
        let mut rest = head;
        let length = usize::try_from(varint(&mut rest)?).ok()?;
        let start = head.len() - rest.len() + length;
        let message = rest.get(..length)?;
        let (provided, derived) = (field(message, 2), field(message, 3));
        let vector = |message: &[u8], number| field(message, number).and_then(|bytes| <[u8; BLOCK]>::try_from(bytes).ok());
        if let Some(vector) = derived.and_then(|inner| vector(inner, 1)) {
            return Some(Header { vector, start: start as u64, derived: true, salt: None, footer: 0 });
        }
        let inner = provided?;
        let salt = [field(inner, 3)?, field(inner, 4)?].concat();
        Some(Header { vector: vector(inner, 5)?, start: start as u64, derived: false, salt: Some(salt), footer: 0 })
    }
}

/// The number of a protobuf at the beginning, which is taken off.
fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The last field of that number that holds bytes, in a protobuf of numbers and bytes.
fn field(message: &[u8], number: u64) -> Option<&[u8]> {
    let (mut rest, mut found) = (message, None);
    while !rest.is_empty() {
        let tag = varint(&mut rest)?;
        match tag & 7 {
            0 => drop(varint(&mut rest)?),
            2 => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                let (bytes, behind) = rest.split_at_checked(length)?;
                rest = behind;
                if tag >> 3 == number {
                    found = Some(bytes);
                }
            }
            _ => return found,
        }
    }
    found
}

/// The keys that a given word may stand for: hexadecimal digits of a key, of a key file, or of what is in one.
fn key_of(word: &str, header: &Header) -> Option<[u8; KEY]> {
    let bytes = unhex(word.trim())?;
    let array = java_bytes(&bytes).unwrap_or(&bytes);
    match array.len() {
        // The salts stand in both: another phone's key is known without trying.
        KEY_FILE => {
            let own = header.salt.as_ref().is_none_or(|salt| array.get(3..51) == Some(salt));
            array.get(KEY_FILE - KEY..).filter(|_| own && !header.derived)?.try_into().ok()
        }
        KEY if header.derived => derive(array),
        KEY => array.try_into().ok(),
        _ => None,
    }
}

/// The key of a backup out of the root: HMAC-SHA256 with a key that is itself the HMAC of the root under zeros.
fn derive(root: &[u8]) -> Option<[u8; KEY]> {
    let mac = |key: &[u8], message: &[u8]| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
        mac.update(message);
        Some(<[u8; KEY]>::from(mac.finalize().into_bytes()))
    };
    mac(&mac(&[0; KEY], root)?, b"backup encryption\x01")
}

/// AES-256 in Galois/counter mode over a stretch of a source.
struct Gcm {
    cipher: Aes256,
    /// The counter's first block.
    first: [u8; BLOCK],
    hash: GHash,
}

impl Gcm {
    fn new(key: &[u8; KEY], vector: &[u8; BLOCK]) -> Gcm {
        let cipher = Aes256::new(key.into());
        let mut hash_key = [0; BLOCK];
        cipher.encrypt_block((&mut hash_key).into());
        let hash = <GHash as ghash::universal_hash::KeyInit>::new(&hash_key.into());
        // SP 800-38D, 7.1: a vector that has not 12 bytes is hashed, with its length in bits.
        let mut first = hash.clone();
        first.update_padded(vector);
        first.update(&[lengths(0, BLOCK as u64).into()]);
        Gcm { cipher, first: first.finalize().into(), hash }
    }

    /// The tag of what a reader gives.
    fn tag(&self, mut reader: impl Read) -> io::Result<[u8; BLOCK]> {
        let (mut hash, mut bytes, mut chunk) = (self.hash.clone(), 0u64, vec![0; CHUNK]);
        loop {
            let (filled, error) = crate::read::fill(&mut reader, &mut chunk);
            if let Some(error) = error {
                return Err(error);
            }
            hash.update_padded(&chunk[..filled]);
            bytes += filled as u64;
            if filled < CHUNK {
                break;
            }
        }
        hash.update(&[lengths(0, bytes).into()]);
        let mut mask = self.first;
        self.cipher.encrypt_block((&mut mask).into());
        let mut tag: [u8; BLOCK] = hash.finalize().into();
        tag.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
        Ok(tag)
    }

    /// Decrypts what a reader gives.
    fn reader<R: Read>(&self, inner: R) -> Decrypting<R> {
        Decrypting { inner, cipher: self.cipher.clone(), counter: u128::from_be_bytes(self.first), mask: [0; BLOCK], used: BLOCK }
    }
}

/// The block that ends a hash: bits of what is only authenticated, bits of what is encrypted.
fn lengths(associated: u64, encrypted: u64) -> [u8; BLOCK] {
    (((u128::from(associated) * 8) << 64) | (u128::from(encrypted) * 8)).to_be_bytes()
}

/// Decrypts in counter mode as it is read.
struct Decrypting<R> {
    inner: R,
    cipher: Aes256,
    counter: u128,
    mask: [u8; BLOCK],
    used: usize,
}

impl<R: Read> Read for Decrypting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        for byte in buffer.iter_mut().take(count) {
            if self.used == BLOCK {
                // Only the last 32 bits count.
                let next = (self.counter as u32).wrapping_add(1);
                self.counter = (self.counter >> 32 << 32) | u128::from(next);
                self.mask = self.counter.to_be_bytes();
                self.cipher.encrypt_block((&mut self.mask).into());
                self.used = 0;
            }
            *byte ^= self.mask[self.used];
            self.used += 1;
        }
        Ok(count)
    }
}

/// What lies inside the encryption.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Inner {
    Zlib,
    Zip,
}

/// Whether a key fits: the first bytes must unpack, or begin a zip.
fn inner(plain: &[u8]) -> Option<Inner> {
    if plain.starts_with(b"PK\x03\x04") {
        return Some(Inner::Zip);
    }
    let header = plain.first_chunk::<2>().map(|bytes| u16::from_be_bytes(*bytes))?;
    if (header >> 8) & 0xf != 8 || !header.is_multiple_of(31) {
        return None;
    }
    let mut unpacked = [0; PROBE];
    let (filled, error) = crate::read::fill(&mut flate2::read::ZlibDecoder::new(plain), &mut unpacked);
    // The probe may be cut in the middle of a block.
    let fits = match error {
        None => true,
        Some(error) => error.kind() == io::ErrorKind::UnexpectedEof && filled > 0,
    };
    fits.then_some(Inner::Zlib)
}

/// An opened backup.
struct Backup {
    source: Source,
    /// Where the encrypted content begins and ends.
    start: u64,
    end: u64,
    gcm: Gcm,
    inner: Inner,
    entry: Entry,
    troubles: Vec<Trouble>,
}

fn stretch(source: &Source, start: u64, end: u64) -> io::Result<io::Take<SourceReader>> {
    let mut reader = source.reader();
    io::Seek::seek(&mut reader, io::SeekFrom::Start(start))?;
    Ok(reader.take(end.saturating_sub(start)))
}

fn open(named: &Named<'_>, source: &Source, keys: Keys<'_>) -> Result<Box<dyn Container>, Trouble> {
    let (number, base) = version(named).ok_or_else(|| Trouble::new(Code::ContainerDamaged, "no name of a backup"))?;
    if number < 9 {
        return Err(Trouble::new(Code::Unsupported, format!("a reader of WhatsApp backups of version {number}")));
    }
    let header = Header::read(named.head).ok_or_else(|| Trouble::new(Code::ContainerDamaged, "header of the WhatsApp backup"))?;
    let words: BTreeSet<&str> = keys.given.iter().chain(keys.found).map(String::as_str).collect();
    let candidates: BTreeSet<[u8; KEY]> = words.iter().filter_map(|word| key_of(word, &header)).collect();
    for key in &candidates {
        let gcm = Gcm::new(key, &header.vector);
        let mut plain = Vec::new();
        let probe = stretch(source, header.start, source.size()).map(|reader| gcm.reader(reader));
        let read = probe.and_then(|reader| reader.take(PROBE as u64).read_to_end(&mut plain));
        read.map_err(|error| Trouble::of(&error))?;
        if let Some(inner) = inner(&plain) {
            let entry = entry(base, source.size());
            let (end, trouble) = check(source, &header, &gcm).map_err(|error| Trouble::of(&error))?;
            let troubles = trouble.into_iter().collect();
            return Ok(Box::new(Backup { source: source.clone(), start: header.start, end, gcm, inner, entry, troubles }));
        }
    }
    let tried = if candidates.is_empty() { "" } else { "; none of those at hand fits" };
    Err(wanted(&match header.derived {
        true => format!("the 64 hexadecimal digits of the WhatsApp backup's key, or its encrypted_backup.key{tried}"),
        false => format!("the file `key` of the WhatsApp account (158 bytes, in files/ of the app){tried}"),
    }))
}

fn entry(path: &[u8], packed: u64) -> Entry {
    Entry {
        path: path.to_vec(),
        ordinal: 0,
        kind: Some(FileKind::File),
        size: 0,
        packed: Some(packed),
        mode: None,
        owner: None,
        times: FileTimes::default(),
        link_target: None,
        deleted: false,
    }
}

/// Where the content ends, and what is wrong with it: the tag is held against it. Behind the tag stands a checksum of the whole file,
/// but not in backups of several files.
fn check(source: &Source, header: &Header, gcm: &Gcm) -> io::Result<(u64, Option<Trouble>)> {
    let end = source.size().saturating_sub(header.footer);
    for tail in [2 * BLOCK as u64, BLOCK as u64] {
        let Some(at) = end.checked_sub(tail).filter(|at| *at >= header.start) else { continue };
        let mut tag = Vec::new();
        stretch(source, at, end)?.read_to_end(&mut tag)?;
        let (tag, checksum) = tag.split_at_checked(BLOCK).unwrap_or_default();
        let named = checksum.is_empty() || md5(source, at + BLOCK as u64)? == checksum;
        if named && gcm.tag(stretch(source, header.start, at)?)? == tag {
            return Ok((at, None));
        }
    }
    let detail = "the tag of the WhatsApp backup does not fit: it was changed or cut off";
    Ok((end, Some(Trouble::new(Code::ChecksumMismatch, detail))))
}

/// MD5 of the first bytes of a source.
fn md5(source: &Source, bytes: u64) -> io::Result<Vec<u8>> {
    let (mut hash, mut chunk, mut reader) = (Md5::new(), vec![0; CHUNK], source.reader().take(bytes));
    loop {
        let (filled, error) = crate::read::fill(&mut reader, &mut chunk);
        if let Some(error) = error {
            return Err(error);
        }
        hash.update(&chunk[..filled]);
        if filled < CHUNK {
            return Ok(hash.finalize().to_vec());
        }
    }
}

impl Container for Backup {
    fn name(&self) -> &'static str {
        "whatsapp_backup"
    }

    fn troubles(&self) -> &[Trouble] {
        &self.troubles
    }

    fn visit(&self, visitor: &mut Visitor<'_>) -> Result<Option<Trouble>, crate::Error> {
        let reader = match stretch(&self.source, self.start, self.end) {
            Ok(reader) => BufReader::with_capacity(CHUNK, self.gcm.reader(reader)),
            Err(error) => return Ok(Some(Trouble::of(&error))),
        };
        let content: io::Result<Box<dyn Read + Send>> = match self.inner {
            Inner::Zlib => {
                compressed::decoder(compressed::Method::Zlib, reader).map(|inflated| Box::new(Guarded(inflated)) as Box<_>)
            }
            Inner::Zip => Ok(Box::new(reader)),
        };
        let mut content = match content {
            Ok(content) => content,
            Err(error) => return Ok(Some(Trouble::of(&error))),
        };
        visitor(self.entry.clone(), &mut content).map(|()| None)
    }
}
