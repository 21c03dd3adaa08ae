//! A disk put together from pieces: stored as they are, packed, or not stored because they are zero.

use crate::evidence::{Beneath, Positioned, Source};
use crate::open::Damage;
use model::Code;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// Unpacked pieces kept for the next read: 1024 of 32 KiB for the usual E01. The disk as a whole and the files on it are read side by
/// side in the order of the disk: whoever comes second finds what the first had unpacked, as long as he is no further behind than this.
const CACHE_SLOTS: usize = 1024;
/// Bytes that the cache may hold; pieces larger than their part of it are kept in fewer slots.
const CACHE_BYTES: usize = 32 << 20;

/// What stands at one place of a disk.
pub enum Piece {
    /// So many zeros.
    Zero(u64),
    /// Bytes as they are: source, offset there, how many.
    Stored(Source, u64, u64),
    /// A packed piece: its key, the first byte of it that is meant, how many.
    Packed(u64, u64, u64),
    /// Bytes that are not to be had.
    Bad(io::Error),
}

/// Where the bytes of a disk lie.
pub trait Layout: Send + Sync {
    /// Size of the disk, bytes.
    fn size(&self) -> u64;

    /// What stands at an offset below the size. Never empty.
    fn piece(&self, offset: u64) -> io::Result<Piece>;

    /// Unpacks a piece.
    fn unpack(&self, _key: u64) -> io::Result<Vec<u8>> {
        Err(super::fields::damaged("nothing is packed here"))
    }

    /// Where a packed piece lies: source, first byte, how many.
    fn packed(&self, _key: u64) -> Option<(Source, u64, u64)> {
        None
    }

    /// What it is, where that helps whoever looks for a byte.
    fn label(&self) -> Option<&'static str> {
        Some("disk")
    }

    /// Most bytes of an unpacked piece.
    fn unpacked_bytes(&self) -> usize {
        0
    }
}

/// A place of the cache: key and bytes of the piece that is in it.
type Slot = Mutex<Option<(u64, Arc<Vec<u8>>)>>;

/// A disk read through its layout.
pub struct Disk<L> {
    layout: L,
    /// Unpacked pieces, each in the slot that its key has.
    cache: Vec<Slot>,
}

impl<L: Layout + 'static> Disk<L> {
    /// A disk as a source.
    pub fn source(layout: L) -> Source {
        let slots = (CACHE_BYTES / layout.unpacked_bytes().max(1)).clamp(2, CACHE_SLOTS);
        let cache = (0..slots).map(|_| Mutex::new(None)).collect();
        Source::Virtual(Arc::new(Disk { layout, cache }))
    }

    fn unpacked(&self, key: u64) -> io::Result<Arc<Vec<u8>>> {
        let mut slot = self.cache[(key % self.cache.len() as u64) as usize].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bytes)) = slot.as_ref().filter(|(held, _)| *held == key) {
            return Ok(bytes.clone());
        }
        // Who wants the same piece at the same time waits for it: to unpack it once more would take as long.
        let unpack = || self.layout.unpack(key);
        let bytes = crate::open::guard(unpack).unwrap_or_else(|| Err(super::fields::damaged("decoder gave up")))?;
        let bytes = Arc::new(bytes);
        *slot = Some((key, bytes.clone()));
        Ok(bytes)
    }
}

impl<L: Layout + 'static> Positioned for Disk<L> {
    fn size(&self) -> u64 {
        self.layout.size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = self.layout.size().saturating_sub(offset);
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let cut = |length: u64| usize::try_from(length).unwrap_or(usize::MAX).min(most);
        match self.layout.piece(offset)? {
            Piece::Zero(length) => {
                buffer[..cut(length)].fill(0);
                Ok(cut(length))
            }
            Piece::Stored(source, at, length) => match source.read_at(&mut buffer[..cut(length)], at)? {
                0 => Err(Damage::error(Code::Truncated, &format!("byte {at} of the image lies beyond its end"))),
                count => Ok(count),
            },
            Piece::Packed(key, within, length) => {
                let bytes = self.unpacked(key)?;
                let within = super::fields::length(within);
                let found = super::fields::slice(&bytes, within, cut(length));
                if found.is_empty() {
                    return Err(Damage::error(Code::ContainerDamaged, "a packed piece holds less than it should"));
                }
                buffer[..found.len()].copy_from_slice(found);
                Ok(found.len())
            }
            Piece::Bad(error) => Err(error),
        }
    }

    fn beneath(&self, offset: u64) -> Option<Beneath> {
        // What cannot be read lies nowhere.
        if offset >= self.layout.size() {
            return None;
        }
        match self.layout.piece(offset) {
            Ok(Piece::Stored(source, start, length)) => Some(Beneath { source, start, length, packed: false }),
            Ok(Piece::Packed(key, ..)) => {
                let (source, start, length) = self.layout.packed(key)?;
                Some(Beneath { source, start, length, packed: true })
            }
            Ok(Piece::Zero(_) | Piece::Bad(_)) | Err(_) => None,
        }
    }

    fn label(&self) -> Option<&'static str> {
        self.layout.label()
    }
}

/// A stretch of a source.
pub struct Window {
    source: Source,
    start: u64,
    size: u64,
}

impl Window {
    /// The stretch as a source.
    pub fn source(source: &Source, start: u64, size: u64) -> Source {
        if start == 0 && size == source.size() {
            return source.clone();
        }
        Source::Virtual(Arc::new(Window { source: source.clone(), start, size }))
    }
}

impl Positioned for Window {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = self.size.saturating_sub(offset);
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(at) = self.start.checked_add(offset) else { return Ok(0) };
        self.source.read_at(&mut buffer[..most], at)
    }

    fn beneath(&self, offset: u64) -> Option<Beneath> {
        let (start, length) = (self.start.checked_add(offset)?, self.size.checked_sub(offset)?);
        Some(Beneath { source: self.source.clone(), start, length, packed: false })
    }

    fn label(&self) -> Option<&'static str> {
        Some("volume")
    }
}

/// Sources one behind the other.
pub struct Joined {
    /// Each with where it begins.
    parts: Vec<(u64, Source)>,
    size: u64,
}

impl Joined {
    /// The parts in order.
    pub fn new(sources: Vec<Source>) -> Joined {
        let mut joined = Joined { parts: Vec::new(), size: 0 };
        for source in sources {
            let size = source.size();
            joined.parts.push((joined.size, source));
            joined.size = joined.size.saturating_add(size);
        }
        joined
    }
}

impl Layout for Joined {
    fn size(&self) -> u64 {
        self.size
    }

    fn piece(&self, offset: u64) -> io::Result<Piece> {
        // The last part that begins at or before the offset: parts without bytes are passed by.
        let index = self.parts.partition_point(|(start, _)| *start <= offset);
        let Some((start, source)) = index.checked_sub(1).and_then(|index| self.parts.get(index)) else {
            return Err(super::fields::damaged("no part holds this byte"));
        };
        let within = offset - start;
        Ok(Piece::Stored(source.clone(), within, source.size().saturating_sub(within)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fields::some;
    use super::*;

    fn memory(bytes: &[u8]) -> Source {
        Source::Memory(Arc::from(bytes))
    }

    #[test]
    fn parts_are_read_as_one() {
        let joined = Disk::source(Joined::new(vec![memory(b"abc"), memory(b""), memory(b"defg")]));
        assert_eq!(joined.size(), 7);
        assert_eq!(some(&joined, 0, 99).unwrap(), b"abcdefg");
        assert_eq!(some(&Window::source(&joined, 2, 3), 0, 99).unwrap(), b"cde");
        assert_eq!(some(&Window::source(&joined, 5, 30), 0, 99).unwrap(), b"fg");
    }

    struct Odd;

    impl Layout for Odd {
        fn size(&self) -> u64 {
            10
        }
        fn piece(&self, offset: u64) -> io::Result<Piece> {
            Ok(match offset {
                0..4 => Piece::Zero(4 - offset),
                4..8 => Piece::Packed(offset / 4, offset % 4, 4 - offset % 4),
                _ => Piece::Stored(memory(b""), 5, 2),
            })
        }
        fn unpack(&self, _: u64) -> io::Result<Vec<u8>> {
            Ok(b"WXYZ".to_vec())
        }
    }

    #[test]
    fn zeros_packed_pieces_and_a_hole_in_the_image() {
        let disk = Disk::source(Odd);
        assert_eq!(some(&disk, 2, 5).unwrap(), b"\0\0WXY");
        let error = some(&disk, 2, 9).unwrap_err();
        assert_eq!(crate::open::Trouble::of(&error).code, Code::Truncated);
    }
}
