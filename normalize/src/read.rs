//! Reads one unit: identifies its content, runs definitions or a parser, and finds observables in its cells.

use crate::artifact::{Set, database};
use crate::emit::{Emit, Outlet};
use crate::parse::{Input, Outcome, PARSERS, Parser};
use model::{Code, Digest, WorkUnit};
use std::borrow::Cow;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

/// Bytes that parsers see before they decide.
const HEAD_BYTES: usize = 64 << 10;
/// First bytes of every SQLite database (<https://sqlite.org/fileformat2.html#magic_header_string>).
const SQLITE: &[u8] = b"SQLite format 3\0";
/// First bytes of a rollback journal (same page, "The Rollback Journal").
const JOURNAL: &[u8] = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7";

/// Reads a unit whose content lies in a scratch folder as `main`, companions as `main-wal` and `main-journal`. Everything
/// goes through the outlet: the definitions used, records, sightings, problems, counts, and last the unit's items.
pub fn read_unit(unit: &WorkUnit, folder: &Path, artifacts: &Set, limits: &config::Normalize, outlet: &mut dyn Outlet) {
    read_content(unit, None, folder, artifacts, limits, outlet);
}

/// As [`read_unit`]; content that is given (all of it, 1 MiB at most) is written to the folder only if something reads it there.
pub fn read_content(
    unit: &WorkUnit,
    content: Option<&[u8]>,
    folder: &Path,
    artifacts: &Set,
    limits: &config::Normalize,
    outlet: &mut dyn Outlet,
) {
    let mut emit = Emit::open(unit, limits.cap_problems, outlet);
    let outcome = head(content, folder).and_then(|head| {
        let input = Input { unit, folder, head: &head, whole: content, limits };
        let reader = identify(&input);
        if let (Some(content), true) = (content, reader.wants_file()) {
            put(&folder.join("main"), content)?;
        }
        Ok(reader.read(&input, artifacts, &mut emit))
    });
    let outcome = outcome.unwrap_or_else(|error| {
        emit.problem(Code::Unreadable, format!("staged content cannot be read: {}", error.kind()));
        Outcome::failed("staged content cannot be read")
    });
    emit.finish(outcome);
}

/// Makes a file hold a content. One that is there is written over, then cut: after a cut to nothing some file systems (ext4) write what
/// follows to the disk at once.
fn put(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = std::fs::File::options().write(true).create(true).truncate(false).open(path)?;
    file.write_all(content)?;
    file.set_len(content.len() as u64)
}

/// The first bytes of the content.
fn head<'c>(content: Option<&'c [u8]>, folder: &Path) -> io::Result<Cow<'c, [u8]>> {
    if let Some(content) = content {
        return Ok(Cow::Borrowed(content.get(..HEAD_BYTES).unwrap_or(content)));
    }
    let mut head = Vec::new();
    std::fs::File::open(folder.join("main"))?.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    Ok(Cow::Owned(head))
}

/// Who reads a content.
enum Reader {
    /// Definitions, and the cell scan.
    Database,
    /// The cell scan alone: it stands beside a database that is not there.
    Orphan,
    /// A parser.
    Parser(&'static dyn Parser),
    /// Nobody: what the scans find is all.
    Nobody,
}

/// Content decides: a database is read by definitions, anything else by the first parser that knows it.
fn identify(input: &Input<'_>) -> Reader {
    if input.head.starts_with(SQLITE) {
        return Reader::Database;
    }
    if is_wal(input.head) || input.head.starts_with(JOURNAL) {
        return Reader::Orphan;
    }
    PARSERS.iter().find(|parser| parser.identify(input)).map_or(Reader::Nobody, |parser| Reader::Parser(*parser))
}

impl Reader {
    /// Whether it reads the content in the folder.
    fn wants_file(&self) -> bool {
        match self {
            Reader::Database | Reader::Orphan => true,
            Reader::Parser(parser) => !parser.reads_whole(),
            Reader::Nobody => false,
        }
    }

    fn read(self, input: &Input<'_>, artifacts: &Set, emit: &mut Emit<'_>) -> Outcome {
        match self {
            Reader::Database => {
                let outcome = database::read_database(input, artifacts, emit);
                // Whether or not a definition knows it: an address beside another cell is missed by a scan of raw bytes.
                crate::find::cells::scan(input, emit);
                outcome
            }
            Reader::Orphan => {
                emit.problem(Code::CompanionOrphan, "a -wal or -journal without its database");
                crate::find::cells::scan_orphan(input, emit);
                Outcome::partial("a companion without its database")
            }
            Reader::Parser(parser) => {
                let version = format!("{}\n{}\n", parser.name(), parser.version());
                emit.define(parser.name(), Digest::of(version.as_bytes()));
                parser.parse(input, emit)
            }
            Reader::Nobody => Outcome::plain(),
        }
    }
}

/// A write-ahead log: magic number of either byte order of its checksums, and the one format version there is.
fn is_wal(head: &[u8]) -> bool {
    matches!(head.first_chunk::<8>(), Some([0x37, 0x7f, 0x06, 0x82 | 0x83, 0x00, 0x2d, 0xe2, 0x18]))
}
