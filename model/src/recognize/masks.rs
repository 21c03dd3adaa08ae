//! Sorting 64 bytes at a time into classes, one bit a byte: what every search starts from, without a branch.

/// Bytes in a block.
pub const BLOCK: usize = 64;

/// Which bytes of a block are of which class; bit 0 is the first byte.
#[derive(Clone, Copy, Default, Debug, PartialEq)]
pub struct Masks {
    /// `A-Z`, `a-z`.
    pub letter: u64,
    /// `0-9`.
    pub digit: u64,
    /// `-` and `_`: with letters and digits the base64url alphabet.
    pub dash: u64,
    /// `@` and `+`.
    pub rare: u64,
    /// 0x00 to 0x1f.
    pub control: u64,
    /// 0x80 to 0xff.
    pub high: u64,
}

impl Masks {
    /// Letters and digits.
    pub fn alnum(&self) -> u64 {
        self.letter | self.digit
    }

    /// Letters, digits, `-` and `_`.
    pub fn token(&self) -> u64 {
        self.letter | self.digit | self.dash
    }
}

/// Sorts a block. Each class is one comparison over all bytes, which compilers turn into vector instructions of any processor.
#[inline(always)]
pub fn classify(block: &[u8; BLOCK]) -> Masks {
    Masks {
        letter: mask(block, |byte| (byte | 0x20).wrapping_sub(b'a') < 26),
        digit: mask(block, |byte| byte.wrapping_sub(b'0') < 10),
        dash: mask(block, |byte| (byte == b'-') | (byte == b'_')),
        rare: mask(block, |byte| (byte == b'@') | (byte == b'+')),
        control: mask(block, |byte| byte < 0x20),
        high: mask(block, |byte| byte >= 0x80),
    }
}

#[inline(always)]
fn mask(block: &[u8; BLOCK], class: impl Fn(u8) -> bool) -> u64 {
    let flags: [u8; BLOCK] = std::array::from_fn(|index| u8::from(class(block[index])));
    let mut mask = 0;
    for (index, eight) in flags.as_chunks::<8>().0.iter().enumerate() {
        // Gathers the lowest bit of each of eight bytes: the products do not overlap, so the top byte holds them in order.
        let bits = u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        mask |= bits << (8 * index);
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_value_falls_into_its_classes_at_every_place() {
        for first in 0..=255u8 {
            let block: [u8; BLOCK] = std::array::from_fn(|index| first.wrapping_add((index as u8).wrapping_mul(37)));
            let masks = classify(&block);
            for (index, byte) in block.iter().enumerate() {
                let bit = |mask: u64| mask >> index & 1 == 1;
                assert_eq!(bit(masks.letter), byte.is_ascii_alphabetic());
                assert_eq!(bit(masks.digit), byte.is_ascii_digit());
                assert_eq!(bit(masks.dash), matches!(byte, b'-' | b'_'));
                assert_eq!(bit(masks.rare), matches!(byte, b'@' | b'+'));
                assert_eq!(bit(masks.control), *byte < 0x20);
                assert_eq!(bit(masks.high), *byte >= 0x80);
            }
        }
    }

    #[test]
    fn bit_zero_is_the_first_byte() {
        let mut block = [b' '; BLOCK];
        block[0] = b'a';
        block[63] = b'@';
        let masks = classify(&block);
        assert_eq!((masks.letter, masks.rare, masks.control), (1, 1 << 63, 0));
    }
}
