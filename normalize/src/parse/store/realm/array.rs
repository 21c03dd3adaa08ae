//! Arrays: all that a Realm file is made of. Eight bytes of header (`AAAA`, flags and width, number of elements), then the elements.

/// Bytes of the header.
const HEADER: usize = 8;

/// A file.
pub struct File<'c>(&'c [u8]);

/// What the elements of an array are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Width {
    /// Numbers of so many bits.
    Bits(u32),
    /// So many bytes each.
    Bytes(usize),
    /// Nothing but bytes.
    Blob,
}

/// An array.
#[derive(Clone, Copy, Debug)]
pub struct Array<'c> {
    /// Where it begins in the file.
    pub at: usize,
    /// How many elements it has.
    pub count: usize,
    /// Whether it is an inner node of a tree.
    pub inner: bool,
    /// Whether even elements are places of other arrays.
    pub refers: bool,
    /// A flag whose meaning depends on what the array is for.
    pub context: bool,
    width: Width,
    body: &'c [u8],
}

/// An element: the place of an array, or a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Element {
    /// Nothing.
    None,
    /// A place.
    Place(usize),
    /// A number, stored with one bit behind it.
    Number(u64),
}

impl<'c> File<'c> {
    /// Opens.
    pub fn new(content: &'c [u8]) -> File<'c> {
        File(content)
    }

    /// The place of the top array: one of two in the header, or in the last bytes of a file that was written in one go.
    pub fn top(&self, which: usize) -> Option<usize> {
        let number = |at: usize| Some(u64::from_le_bytes(*self.0.get(at..)?.first_chunk()?));
        let place = match number(which.checked_mul(8)?)? {
            u64::MAX => number(self.0.len().checked_sub(16)?)?,
            place => place,
        };
        usize::try_from(place).ok()
    }

    /// The array at a place.
    pub fn array(&self, at: usize) -> Option<Array<'c>> {
        let (header, rest) = self.0.get(at..)?.split_first_chunk::<HEADER>()?;
        let [a, b, c, d, flags, high, middle, low] = *header;
        if !at.is_multiple_of(8) || [a, b, c, d] != *b"AAAA" {
            return None;
        }
        let count = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        let bits = (1_u32 << (flags & 7)) >> 1;
        let (width, length) = match flags >> 3 & 3 {
            0 => (Width::Bits(bits), count.checked_mul(bits as usize)?.div_ceil(8)),
            1 => (Width::Bytes(bits as usize), count.checked_mul(bits as usize)?),
            2 => (Width::Blob, count),
            _ => return None,
        };
        let (inner, refers, context) = (flags & 0x80 != 0, flags & 0x40 != 0, flags & 0x20 != 0);
        Some(Array { at, count, inner, refers, context, width, body: rest.get(..length)? })
    }
}

impl<'c> Array<'c> {
    /// The number at an index. Those of eight bits and more are signed.
    pub fn number(&self, index: usize) -> Option<i64> {
        if index >= self.count {
            return None;
        }
        let Width::Bits(bits) = self.width else { return None };
        Some(match bits {
            0 => 0,
            1 | 2 | 4 => {
                let first = index.checked_mul(bits as usize)?;
                let byte = *self.body.get(first / 8)?;
                i64::from(byte >> (first % 8) & ((1 << bits) - 1))
            }
            8 => i64::from(self.body.get(index)?.cast_signed()),
            16 => i64::from(i16::from_le_bytes(*self.body.get(index * 2..)?.first_chunk()?)),
            32 => i64::from(i32::from_le_bytes(*self.body.get(index * 4..)?.first_chunk()?)),
            _ => i64::from_le_bytes(*self.body.get(index * 8..)?.first_chunk()?),
        })
    }

    /// The element at an index of an array that refers to others.
    pub fn element(&self, index: usize) -> Option<Element> {
        let number = self.number(index)?;
        Some(match number {
            0 => Element::None,
            odd if odd & 1 == 1 => Element::Number(odd.cast_unsigned() >> 1),
            place => Element::Place(usize::try_from(place).ok()?),
        })
    }

    /// The place at an index, if there is one.
    pub fn place(&self, index: usize) -> Option<usize> {
        match self.element(index)? {
            Element::Place(place) => Some(place),
            _ => None,
        }
    }

    /// All bytes of an array of bytes, and where they begin in the file.
    pub fn blob(&self) -> Option<(&'c [u8], usize)> {
        (self.width == Width::Blob).then_some((self.body, self.at + HEADER))
    }

    /// The short string at an index: as many bytes as the array's width, the last of which says how many of them are filler.
    pub fn short(&self, index: usize) -> Option<(&'c [u8], usize)> {
        let Width::Bytes(width) = self.width else { return None };
        if index >= self.count {
            return None;
        }
        let Some(last) = width.checked_sub(1) else { return Some((&[], self.at + HEADER)) };
        let start = index.checked_mul(width)?;
        let slot = self.body.get(start..start.checked_add(width)?)?;
        // As many fillers as the width itself: no string.
        let length = last.checked_sub(usize::from(*slot.get(last)?));
        Some((slot.get(..length.unwrap_or(0))?, self.at + HEADER + start))
    }
}
