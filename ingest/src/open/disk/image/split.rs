//! A raw image in parts: `name.000` or `name.001`, and on. Only names tell; the first part must begin as a disk.

use super::super::pieces::{Disk, Joined};
use super::{Image, Opened};
use crate::evidence::Source;
use crate::open::Trouble;
use model::Code;
use std::io;

/// This format's line.
pub const IMAGE: Image = Image { name: "split raw", recognize: |_| true, open };

/// Parts that are looked for behind one that is missing.
const GAP: usize = 3;
/// Parts of one image.
const PARTS_MAX: usize = 999;
/// Bytes of the first part that tell whether it begins a disk.
const BEGIN_BYTES: u64 = 1 << 20;

/// The number at the end of a part's name.
fn number(name: &[u8]) -> Option<usize> {
    let cut = name.len().checked_sub(3).filter(|cut| *cut > 1 && name[cut - 1] == b'.')?;
    let digits = &name[cut..];
    digits.iter().all(u8::is_ascii_digit).then(|| digits.iter().fold(0, |number, digit| number * 10 + usize::from(digit - b'0')))
}

/// The name of another part.
pub fn name_at(name: &[u8], number: usize) -> Vec<u8> {
    [&name[..name.len().saturating_sub(3)], format!("{number:03}").as_bytes()].concat()
}

/// Whether a file is a part behind the first of a split image: the first lies beside it and begins as a disk.
pub fn is_later_part(source: &Source, begins: &dyn Fn(&Source) -> bool) -> bool {
    let Some(beside) = source.neighbours() else { return false };
    let Some(own) = number(beside.name()).filter(|number| *number > 0) else { return false };
    let first = [0, 1]
        .into_iter()
        .filter(|first| *first < own)
        .find_map(|first| beside.begin(&name_at(beside.name(), first), BEGIN_BYTES).ok());
    first.is_some_and(|first| begins(&first))
}

fn open(source: &Source) -> Result<Option<Opened>, Trouble> {
    let Some((beside, first)) = source.neighbours().and_then(|beside| Some((beside, number(beside.name())?))) else {
        return Err(Trouble::new(Code::Missing, "not a part of a split image"));
    };
    let (mut sources, mut parts, mut troubles) = (vec![source.clone()], Vec::new(), Vec::new());
    let mut next = first + 1;
    while next <= PARTS_MAX {
        let name = name_at(beside.name(), next);
        match beside.open(&name) {
            Ok(part) => {
                sources.push(part.clone());
                parts.push((name, part));
                next += 1;
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let detail =
                    format!("part {next:03} is there and cannot be opened ({}): the disk is read up to it", error.kind());
                troubles.push(Trouble::new(Code::Unreadable, detail));
                break;
            }
            Err(_) => {
                // A hole in the numbering: what lies behind it belongs elsewhere on the disk, nobody knows where.
                let later = (next + 1..=next + GAP).find(|later| beside.open(&name_at(beside.name(), *later)).is_ok());
                if let Some(later) = later {
                    let detail = format!("part {next:03} is not there, {later:03} is: the disk is read up to the gap");
                    troubles.push(Trouble::new(Code::Missing, detail));
                }
                break;
            }
        }
    }
    if parts.is_empty() && troubles.is_empty() {
        return Err(Trouble::new(Code::Missing, "not a part of a split image"));
    }
    Ok(Some(Opened { troubles, parts, ..Opened::new(Disk::source(Joined::new(sources))) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_parts() {
        assert_eq!(number(b"disk.001"), Some(1));
        assert_eq!([number(b"disk.01"), number(b"disk.0a1"), number(b"001")], [None, None, None]);
        assert_eq!(name_at(b"disk.dd.001", 12), b"disk.dd.012");
    }
}
