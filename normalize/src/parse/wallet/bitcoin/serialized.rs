//! Bitcoin's own serialization: little-endian numbers, and bytes with their length before them as a compact size (`serialize.h`).

/// Bytes that are read from their beginning.
#[derive(Clone, Copy)]
pub struct Reader<'b>(pub &'b [u8]);

impl<'b> Reader<'b> {
    /// The next bytes.
    pub fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// The next bytes, as an array.
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.first_chunk().copied()
    }

    /// A number of four bytes.
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// A number of eight bytes.
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A compact size.
    pub fn size(&mut self) -> Option<usize> {
        let size = match self.array()? {
            [253] => u64::from(self.array().map(u16::from_le_bytes)?),
            [254] => u64::from(self.u32()?),
            [255] => self.u64()?,
            [small] => u64::from(small),
        };
        usize::try_from(size).ok()
    }

    /// Bytes with their length before them.
    pub fn bytes(&mut self) -> Option<&'b [u8]> {
        let size = self.size()?;
        self.take(size)
    }

    /// Text with its length before it.
    pub fn text(&mut self) -> Option<String> {
        self.bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
