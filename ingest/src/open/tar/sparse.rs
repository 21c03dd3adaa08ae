//! GNU sparse files in PAX form, version 1.0: the entry's data begin with a map of its extents
//! (<https://www.gnu.org/software/tar/manual/html_node/PAX-1.html>). The old GNU form is read by the `tar` crate itself.

use super::{Entry, extension};
use crate::open::Damage;
use model::Code;
use std::io::{self, Read};

/// Bytes of a block: the map is padded to whole ones.
const BLOCK_BYTES: usize = 512;
/// Extents of a map that are believed.
const EXTENTS_MAX: u64 = 1 << 20;

/// The real size of an entry whose data begin with a map, and its real name and size put in place.
pub fn sparse_map<R: Read>(stream: &mut tar::Entry<'_, R>, entry: &mut Entry) -> Option<u64> {
    let version = (extension(stream, "GNU.sparse.major"), extension(stream, "GNU.sparse.minor"));
    if (version.0.as_deref(), version.1.as_deref()) != (Some("1"), Some("0")) {
        return None;
    }
    let real_size = extension(stream, "GNU.sparse.realsize")?.parse().ok()?;
    if let Some(name) = extension(stream, "GNU.sparse.name") {
        entry.path = name.into_bytes();
    }
    entry.size = real_size;
    Some(real_size)
}

/// The content of a sparse file: extents as stored, zeros between them.
pub struct Sparse<'a> {
    inner: &'a mut dyn Read,
    real_size: u64,
    position: u64,
    /// Offset and length of what is stored, the next last; `None` before the map is read.
    extents: Option<Vec<(u64, u64)>>,
}

impl<'a> Sparse<'a> {
    /// A reader over the data of an entry.
    pub fn new(inner: &'a mut dyn Read, real_size: u64) -> Sparse<'a> {
        Sparse { inner, real_size, position: 0, extents: None }
    }

    fn read_map(&mut self) -> io::Result<Vec<(u64, u64)>> {
        let mut lines = Lines { inner: &mut *self.inner, block: [0; BLOCK_BYTES], at: BLOCK_BYTES };
        let count = lines.number()?;
        if count > EXTENTS_MAX {
            return Err(Damage::error(Code::ContainerDamaged, "sparse map with too many extents"));
        }
        let mut extents = Vec::new();
        let mut end = 0u64;
        for _ in 0..count {
            let (offset, length) = (lines.number()?, lines.number()?);
            let after = offset.checked_add(length).filter(|after| offset >= end && *after <= self.real_size);
            end = after.ok_or_else(|| Damage::error(Code::ContainerDamaged, "sparse map out of order"))?;
            extents.push((offset, length));
        }
        extents.reverse();
        Ok(extents)
    }
}

/// Decimal numbers, one a line, in whole blocks.
struct Lines<'a> {
    inner: &'a mut dyn Read,
    block: [u8; BLOCK_BYTES],
    at: usize,
}

impl Lines<'_> {
    fn number(&mut self) -> io::Result<u64> {
        let damaged = || Damage::error(Code::ContainerDamaged, "sparse map is not made of numbers");
        let mut number = 0u64;
        loop {
            if self.at == BLOCK_BYTES {
                self.inner.read_exact(&mut self.block)?;
                self.at = 0;
            }
            let byte = self.block[self.at];
            self.at += 1;
            match byte {
                b'\n' => return Ok(number),
                b'0'..=b'9' => {
                    let next = number.checked_mul(10).and_then(|number| number.checked_add(u64::from(byte - b'0')));
                    number = next.ok_or_else(damaged)?;
                }
                _ => return Err(damaged()),
            }
        }
    }
}

impl Read for Sparse<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.extents.is_none() {
            self.extents = Some(self.read_map()?);
        }
        let extents = self.extents.get_or_insert_default();
        while extents.last().is_some_and(|(offset, length)| offset + length <= self.position) {
            extents.pop();
        }
        let (hole_end, stored_end) = match extents.last() {
            Some((offset, length)) if *offset <= self.position => (self.position, offset + length),
            Some((offset, _)) => (*offset, *offset),
            None => (self.real_size, self.real_size),
        };
        let most = |end: u64| usize::try_from(end - self.position).unwrap_or(usize::MAX).min(buffer.len());
        let count = if hole_end > self.position {
            let count = most(hole_end);
            buffer[..count].fill(0);
            count
        } else {
            let count = most(stored_end.max(self.position));
            self.inner.read(&mut buffer[..count])?
        };
        self.position += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_zeros_between_what_is_stored() {
        let mut stored = b"2\n2\n3\n8\n1\n".to_vec();
        stored.resize(BLOCK_BYTES, 0);
        stored.extend(b"abcd");
        let mut content = Vec::new();
        Sparse::new(&mut &stored[..], 11).read_to_end(&mut content).unwrap();
        assert_eq!(content, b"\0\0abc\0\0\0d\0\0");
    }

    #[test]
    fn maps_that_lie_are_damage() {
        for map in [&b"1\n5\n99999999999999999999\n"[..], b"2\n5\n1\n4\n1\n", b"x", b"99999999\n", b""] {
            let mut stored = map.to_vec();
            stored.resize(BLOCK_BYTES, 0);
            assert!(Sparse::new(&mut &stored[..], 100).read_to_end(&mut Vec::new()).is_err());
        }
    }
}
