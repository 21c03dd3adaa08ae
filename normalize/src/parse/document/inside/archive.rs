//! Archives and packed files that stand inside of others: zip (new Office and OpenDocument among them), gzip, tar.

use super::{Budget, read};
use crate::emit::{Emit, Part};
use crate::parse::document::{Pieces, office_xml};
use flate2::read::MultiGzDecoder;
use model::Code;
use model::text::escape;
use std::collections::BTreeSet;
use std::io::{Cursor, Read};
use zip::ZipArchive;
use zip::result::ZipError;

/// Most members of one archive.
const MEMBERS_MOST: usize = 10_000;

/// Names of members: two of one name are told apart by their numbers.
#[derive(Default)]
struct Names(BTreeSet<String>);

impl Names {
    fn of(&mut self, archive: &str, member: &str, number: usize) -> String {
        let name = format!("{archive} {}", escape(member));
        if self.0.insert(name.clone()) { name } else { format!("{archive} member {number}: {}", escape(member)) }
    }
}

/// Opens an archive. False: it is none.
pub fn open(bytes: &[u8], name: &str, place: (u64, u64), emit: &mut Emit<'_>, budget: &mut Budget) -> bool {
    match bytes {
        [b'P', b'K', 3, 4, ..] => zip(bytes, name, place, emit, budget),
        [0x1f, 0x8b, 8, ..] => {
            if let Some(content) = unpacked(MultiGzDecoder::new(bytes), name, emit, budget) {
                member(&content, name, place, emit, budget);
            }
        }
        _ if bytes.get(257..262) == Some(b"ustar") => tar(bytes, name, place, emit, budget),
        _ => return false,
    }
    true
}

fn zip(bytes: &[u8], name: &str, place: (u64, u64), emit: &mut Emit<'_>, budget: &mut Budget) {
    let mut archive = match ZipArchive::new(Cursor::new(bytes)) {
        Ok(archive) => archive,
        Err(error) => return damaged(emit, name, &error.to_string()),
    };
    if archive.len() > MEMBERS_MOST {
        let detail = format!("{name}: {} members, of which {MEMBERS_MOST} are read", archive.len());
        emit.problem(Code::CapEntries, detail);
    }
    let mut names = Names::default();
    for number in 0..archive.len().min(MEMBERS_MOST) {
        let (name, content) = match archive.by_index(number) {
            Ok(file) if file.is_dir() => continue,
            Ok(file) => {
                let member = String::from_utf8_lossy(file.name_raw()).into_owned();
                let name = names.of(name, &member, number);
                let content = unpacked(file, &name, emit, budget);
                (name, content)
            }
            Err(ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED)) => {
                emit.problem(Code::Encrypted, format!("{name}: member {number} needs a password"));
                continue;
            }
            Err(error) => {
                damaged(emit, name, &format!("member {number}: {error}"));
                continue;
            }
        };
        if let Some(content) = content {
            member(&content, &name, place, emit, budget);
        }
    }
}

fn tar(bytes: &[u8], name: &str, place: (u64, u64), emit: &mut Emit<'_>, budget: &mut Budget) {
    let mut archive = tar::Archive::new(bytes);
    let entries = match archive.entries() {
        Ok(entries) => entries,
        Err(error) => return damaged(emit, name, &error.to_string()),
    };
    let mut names = Names::default();
    for (number, entry) in entries.enumerate() {
        if number >= MEMBERS_MOST {
            return emit.problem(Code::CapEntries, format!("{name}: more than {MEMBERS_MOST} members"));
        }
        let entry = match entry {
            Ok(entry) => entry,
            // What follows a header that cannot be read cannot be found.
            Err(error) => return damaged(emit, name, &error.to_string()),
        };
        if entry.header().entry_type().is_file() {
            let name = names.of(name, &String::from_utf8_lossy(&entry.path_bytes()), number);
            if let Some(content) = unpacked(entry, &name, emit, budget) {
                member(&content, &name, place, emit, budget);
            }
        }
    }
}

/// What comes out of a packed file, as far as it is whole and may be unpacked.
fn unpacked(reader: impl Read, name: &str, emit: &mut Emit<'_>, budget: &mut Budget) -> Option<Vec<u8>> {
    let (mut content, room) = (Vec::new(), budget.room());
    let read = reader.take((room as u64).saturating_add(1)).read_to_end(&mut content);
    if content.len() > room {
        content.truncate(room);
        emit.problem(Code::CapBytes, format!("{name}: unpacks to more than is read of it"));
    }
    if let Err(error) = read {
        damaged(emit, name, &error.to_string());
    }
    budget.spend(content.len());
    (!content.is_empty()).then_some(content)
}

fn damaged(emit: &mut Emit<'_>, name: &str, what: &str) {
    emit.problem(Code::ContainerDamaged, format!("{name}: {}", escape(what)));
}

/// Reads what was unpacked.
fn member(content: &[u8], name: &str, place: (u64, u64), emit: &mut Emit<'_>, budget: &mut Budget) {
    if office_xml::is_part(content) {
        let mut pieces = Pieces::within(emit, name, place);
        // What is not whole is told by the reader itself.
        let _whole = office_xml::read(content, content, &mut pieces);
        pieces.finish();
    } else if !read(content, name, place, emit, budget) {
        emit.decoded(Part { name, offset: place.0, length: place.1 }, content);
    }
}
