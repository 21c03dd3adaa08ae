//! `adb backup` files (`.ab`): a few lines of text, then a tar, compressed or not, encrypted or not. Paths stay as they are
//! (`apps/<package>/{f,db,sp,r,ef,a,…}/…`).
//!
//! Format: AOSP `services/backup/…/fullbackup/PerformAdbBackupTask.java` and `…/utils/PasswordUtils.java`, versions 1 to 5.

use super::decrypted::{BLOCK, Decrypted, Key};
use super::{Container, Format, Trouble, tar};
use crate::evidence::Source;
use config::Settings;
use model::Code;
use pbkdf2::pbkdf2_hmac;
use sha1_next::Sha1;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

/// This format's line.
pub(super) const FORMAT: Format = Format { recognize, open };

/// First line.
const MAGIC: &[u8] = b"ANDROID BACKUP\n";
/// Longest header that is read; those that Android writes have some 550 bytes.
const HEAD_BYTES_MAX: u64 = 4096;
/// Newest version.
const VERSION_MAX: u32 = 5;
/// Rounds that a header may ask for: Android writes 10,000.
const ROUNDS_MAX: u32 = 10_000_000;

fn recognize(head: &[u8]) -> bool {
    head.starts_with(MAGIC)
}

/// Lines of text at the start.
struct Lines<'l> {
    rest: &'l [u8],
    read: u64,
}

impl<'l> Lines<'l> {
    fn next(&mut self) -> Option<&'l str> {
        let end = self.rest.iter().position(|byte| *byte == b'\n')?;
        let (line, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest.get(1..)?;
        self.read += end as u64 + 1;
        std::str::from_utf8(line).ok()
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        let line = self.next()?;
        let pairs = line.as_bytes().as_chunks::<2>();
        if !pairs.1.is_empty() {
            return None;
        }
        pairs.0.iter().map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
    }
}

/// How the master key is kept.
struct Locked {
    salt: Vec<u8>,
    check_salt: Vec<u8>,
    rounds: u32,
    vector: [u8; BLOCK],
    blob: Vec<u8>,
}

/// The key and vector of the content.
type Master = (Key, [u8; BLOCK]);

fn open(source: &Source, settings: &Settings, passwords: &[String]) -> Result<Box<dyn Container>, Trouble> {
    let mut head = Vec::new();
    source.reader().take(HEAD_BYTES_MAX).read_to_end(&mut head).map_err(|error| Trouble::of(&error))?;
    let mut lines = Lines { rest: head.get(MAGIC.len()..).unwrap_or_default(), read: MAGIC.len() as u64 };
    let damaged = || Trouble::new(Code::ContainerDamaged, "header of the Android backup");
    let version: u32 = lines.next().and_then(|line| line.parse().ok()).ok_or_else(damaged)?;
    if !(1..=VERSION_MAX).contains(&version) {
        return Err(Trouble::new(Code::Unsupported, format!("Android backup of version {version}")));
    }
    let compressed = match lines.next() {
        Some("0") => false,
        Some("1") => true,
        _ => return Err(damaged()),
    };
    let master = match lines.next() {
        Some("none") => None,
        Some("AES-256") => Some(unlock(&locked(&mut lines).ok_or_else(damaged)?, passwords)?),
        Some(other) => {
            let other = model::text::escape(other);
            return Err(Trouble::new(Code::Unsupported, format!("Android backup encrypted with {other}")));
        }
        None => return Err(damaged()),
    };
    let (source, start) = (source.clone(), lines.read);
    let reopen = move || -> io::Result<Box<dyn Read + Send>> {
        let mut reader = source.reader();
        reader.seek(SeekFrom::Start(start))?;
        let reader: Box<dyn Read + Send> = match &master {
            Some((key, vector)) => Box::new(Decrypted::new(reader, key, vector, None)),
            None => Box::new(reader),
        };
        let reader = BufReader::with_capacity(128 << 10, reader);
        Ok(if compressed { Box::new(flate2::bufread::ZlibDecoder::new(reader)) } else { Box::new(reader) })
    };
    Ok(tar::open_stream("android_backup", Box::new(reopen), settings))
}

fn locked(lines: &mut Lines<'_>) -> Option<Locked> {
    Some(Locked {
        salt: lines.bytes()?,
        check_salt: lines.bytes()?,
        rounds: lines.next()?.parse().ok()?,
        vector: lines.bytes()?.try_into().ok()?,
        blob: lines.bytes()?,
    })
}

/// The master key under the first password that fits.
fn unlock(locked: &Locked, passwords: &[String]) -> Result<Master, Trouble> {
    if locked.rounds > ROUNDS_MAX {
        return Err(Trouble::new(Code::Unsupported, format!("the backup asks for {} rounds to derive its key", locked.rounds)));
    }
    let tried = if passwords.is_empty() { "" } else { "; none of those given fits" };
    let wanted = || Trouble::new(Code::Encrypted, format!("needs the backup password{tried}"));
    passwords.iter().find_map(|password| master(locked, password)).ok_or_else(wanted)
}

fn master(locked: &Locked, password: &str) -> Option<Master> {
    let mut key: Key = [0; 32];
    pbkdf2_hmac::<Sha1>(password.as_bytes(), &locked.salt, locked.rounds, &mut key);
    let mut plain = Vec::new();
    Decrypted::new(locked.blob.as_slice(), &key, &locked.vector, None).read_to_end(&mut plain).ok()?;
    let (vector, rest) = counted(&plain)?;
    let (master, rest) = counted(rest)?;
    let (check, _) = counted(rest)?;
    // The key goes through the derivation as a Java string: its bytes widened with their sign, then as UTF-8. Version 1 took
    // the low halves alone; what wrote a backup is not always what its version says, so either form is right.
    let forms = [master.to_vec(), as_java_string(master)];
    let fits = forms.iter().any(|form| {
        let mut own: Key = [0; 32];
        pbkdf2_hmac::<Sha1>(form, &locked.check_salt, locked.rounds, &mut own);
        own == check
    });
    if !fits {
        return None;
    }
    Some((master.try_into().ok()?, vector.try_into().ok()?))
}

/// A length byte and so many bytes.
fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

fn as_java_string(bytes: &[u8]) -> Vec<u8> {
    let text: String =
        bytes.iter().map(|byte| char::from_u32(u32::from(byte.cast_signed() as u16)).unwrap_or_default()).collect();
    text.into_bytes()
}
