//! Files with holes (<https://www.gnu.org/software/tar/manual/html_node/Sparse-Formats.html>): the map of what is stored stands in headers
//! (old GNU form, PAX forms 0.0 and 0.1) or before the data (PAX form 1.0).

use crate::open::Damage;
use model::Code;
use std::io::{self, Read};

/// Bytes of a block: a map before the data is padded to whole ones.
const BLOCK_BYTES: usize = 512;
/// Extents of a map that are believed.
pub const EXTENTS_MAX: usize = 1 << 20;

/// What is stored of a file.
pub struct Map {
    /// Bytes of the file with its holes.
    pub real_size: u64,
    /// Offset and length of what is stored; `None` where the data begin with it.
    extents: Option<Vec<(u64, u64)>>,
}

impl Map {
    /// A map that headers tell.
    pub fn known(real_size: u64, extents: Vec<(u64, u64)>) -> Map {
        Map { real_size, extents: Some(extents) }
    }

    /// A map that stands before the data.
    pub fn before_data(real_size: u64) -> Map {
        Map { real_size, extents: None }
    }
}

/// The content of a sparse file: extents as stored, zeros between them.
pub struct Sparse<'a> {
    inner: &'a mut dyn Read,
    map: Map,
    position: u64,
    /// Offset and length of what is stored, the next last; `None` before the map is checked.
    extents: Option<Vec<(u64, u64)>>,
}

impl<'a> Sparse<'a> {
    /// A reader over the data of an entry.
    pub fn new(inner: &'a mut dyn Read, map: Map) -> Sparse<'a> {
        Sparse { inner, map, position: 0, extents: None }
    }

    /// The extents, the next last.
    fn map(&mut self) -> io::Result<Vec<(u64, u64)>> {
        let extents = match self.map.extents.take() {
            Some(extents) => extents,
            None => self.read_map()?,
        };
        let mut end = 0u64;
        for (offset, length) in &extents {
            let after = offset.checked_add(*length).filter(|after| *offset >= end && *after <= self.map.real_size);
            end = after.ok_or_else(|| Damage::error(Code::ContainerDamaged, "sparse map out of order"))?;
        }
        // Writers end a map with an empty extent that stands for the file's size.
        Ok(extents.into_iter().filter(|(_, length)| *length > 0).rev().collect())
    }

    fn read_map(&mut self) -> io::Result<Vec<(u64, u64)>> {
        let mut lines = Lines { inner: &mut *self.inner, block: [0; BLOCK_BYTES], at: BLOCK_BYTES };
        let count = lines.number()?;
        if count > EXTENTS_MAX as u64 {
            return Err(Damage::error(Code::ContainerDamaged, "sparse map with too many extents"));
        }
        (0..count).map(|_| Ok((lines.number()?, lines.number()?))).collect()
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
            self.extents = Some(self.map()?);
        }
        let extents = self.extents.get_or_insert_default();
        while extents.last().is_some_and(|(offset, length)| offset + length <= self.position) {
            extents.pop();
        }
        let (hole_end, stored_end) = match extents.last() {
            Some((offset, length)) if *offset <= self.position => (self.position, offset + length),
            Some((offset, _)) => (*offset, *offset),
            None => (self.map.real_size.max(self.position), self.map.real_size),
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
        Sparse::new(&mut &stored[..], Map::before_data(11)).read_to_end(&mut content).unwrap();
        assert_eq!(content, b"\0\0abc\0\0\0d\0\0");
    }

    #[test]
    fn maps_that_lie_are_damage() {
        for map in [&b"1\n5\n99999999999999999999\n"[..], b"2\n5\n1\n4\n1\n", b"x", b"99999999\n", b""] {
            let mut stored = map.to_vec();
            stored.resize(BLOCK_BYTES, 0);
            assert!(Sparse::new(&mut &stored[..], Map::before_data(100)).read_to_end(&mut Vec::new()).is_err());
        }
    }
}
