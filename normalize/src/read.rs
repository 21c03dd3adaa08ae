//! Reads one unit: identifies its content, runs definitions or a parser, and finds observables in its cells.

use crate::artifact::{Set, database};
use crate::emit::{Emit, Outlet};
use crate::parse::{Input, Outcome, PARSERS};
use model::{Code, Digest, WorkUnit};
use std::io::Read as _;
use std::path::Path;

/// Bytes that parsers see before they decide.
const HEAD_BYTES: u64 = 64 << 10;
/// First bytes of every SQLite database (<https://sqlite.org/fileformat2.html#magic_header_string>).
const SQLITE: &[u8] = b"SQLite format 3\0";
/// First bytes of a rollback journal (same page, "The Rollback Journal").
const JOURNAL: &[u8] = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7";

/// Reads a unit whose content lies in a scratch folder as `main`, companions as `main-wal` and `main-journal`. Everything
/// goes through the outlet: the definitions used, records, sightings, problems, counts, and last the unit's items.
pub fn read_unit(unit: &WorkUnit, folder: &Path, artifacts: &Set, limits: &config::Normalize, outlet: &mut dyn Outlet) {
    let mut head = Vec::new();
    let mut emit = Emit::open(unit, limits.cap_problems, outlet);
    let read = std::fs::File::open(folder.join("main")).and_then(|file| file.take(HEAD_BYTES).read_to_end(&mut head));
    if let Err(error) = read {
        emit.problem(Code::Unreadable, format!("staged content cannot be read: {}", error.kind()));
        return emit.finish(Outcome::failed("staged content cannot be read"));
    }
    let input = Input { unit, folder, head: &head, limits };
    let outcome = identify(&input, artifacts, &mut emit);
    emit.finish(outcome);
}

/// Content decides: a database is read by definitions, anything else by the first parser that knows it.
fn identify(input: &Input<'_>, artifacts: &Set, emit: &mut Emit<'_>) -> Outcome {
    if input.head.starts_with(SQLITE) {
        let outcome = database::read_database(input, artifacts, emit);
        // Whether or not a definition knows it: an address beside another cell is missed by a scan of raw bytes.
        crate::find::cells::scan(input, emit);
        return outcome;
    }
    if is_wal(input.head) || input.head.starts_with(JOURNAL) {
        emit.problem(Code::CompanionOrphan, "a -wal or -journal without its database");
        return Outcome::partial("a companion without its database");
    }
    match PARSERS.iter().find(|parser| parser.identify(input)) {
        Some(parser) => {
            let version = format!("{}\n{}\n", parser.name(), parser.version());
            emit.define(parser.name(), Digest::of(version.as_bytes()));
            parser.parse(input, emit)
        }
        None => Outcome::plain(),
    }
}

/// A write-ahead log: magic number of either byte order of its checksums, and the one format version there is.
fn is_wal(head: &[u8]) -> bool {
    matches!(head.first_chunk::<8>(), Some([0x37, 0x7f, 0x06, 0x82 | 0x83, 0x00, 0x2d, 0xe2, 0x18]))
}
