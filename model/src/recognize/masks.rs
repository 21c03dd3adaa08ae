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
    /// `:`.
    pub colon: u64,
    /// `/`.
    pub slash: u64,
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

/// What little says that most blocks of noise hold nothing: looked at before anything is sorted.
#[derive(Clone, Copy, Default, Debug, PartialEq)]
pub struct Outline {
    /// 0x00 to 0x1f.
    pub control: u64,
    /// 0x80 to 0xff.
    pub high: u64,
    /// `@`.
    pub at: u64,
    /// What no seed phrase in any language holds: control characters but 0x09 to 0x0d, the first bytes of Greek, Cyrillic, Hebrew,
    /// Arabic and Syriac letters (0xce to 0xdf) and of characters of four bytes (0xf0 on).
    pub foreign: u64,
}

impl Outline {
    /// Printable ASCII and 0x7f.
    pub fn plain(&self) -> u64 {
        !(self.control | self.high)
    }
}

/// The outline of a block.
#[inline(always)]
pub fn outline(block: &[u8; BLOCK]) -> Outline {
    Outline {
        control: mask(block, |byte| byte < 0x20),
        high: mask(block, |byte| byte >= 0x80),
        at: mask(block, |byte| byte == b'@'),
        foreign: mask(block, |byte| {
            ((byte < 0x20) & (byte.wrapping_sub(0x09) >= 5)) | (byte.wrapping_sub(0xce) < 18) | (byte >= 0xf0)
        }),
    }
}

/// Sorts a block. Each class is one comparison over all bytes, which compilers turn into vector instructions of any processor; gathering
/// the results into bits is what they do badly, hence the two versions below for processors that have an instruction for it.
#[inline(always)]
pub fn classify(block: &[u8; BLOCK]) -> Masks {
    Masks {
        letter: mask(block, |byte| (byte | 0x20).wrapping_sub(b'a') < 26),
        digit: mask(block, |byte| byte.wrapping_sub(b'0') < 10),
        dash: mask(block, |byte| (byte == b'-') | (byte == b'_')),
        rare: mask(block, |byte| (byte == b'@') | (byte == b'+')),
        colon: mask(block, |byte| byte == b':'),
        slash: mask(block, |byte| byte == b'/'),
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

/// The same with AVX2: 32 bytes an instruction.
#[cfg(target_arch = "x86_64")]
#[inline]
#[allow(unsafe_code)]
#[target_feature(enable = "avx2")]
pub fn classify_avx2(block: &[u8; BLOCK]) -> Masks {
    use std::arch::x86_64::{
        __m256i, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_min_epu8, _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi8,
        _mm256_sub_epi8,
    };
    let (halves, _) = block.as_chunks::<32>();
    let (first, second) = (halves.first().unwrap_or(&[0; 32]), halves.get(1).unwrap_or(&[0; 32]));
    // SAFETY: each points to 32 bytes; the load asks for no alignment.
    let (low, high) = unsafe { (_mm256_loadu_si256(first.as_ptr().cast()), _mm256_loadu_si256(second.as_ptr().cast())) };
    let bits = |low: __m256i, high: __m256i| {
        u64::from(_mm256_movemask_epi8(low) as u32) | u64::from(_mm256_movemask_epi8(high) as u32) << 32
    };
    let splat = |byte: u8| _mm256_set1_epi8(byte as i8);
    let up_to = |value: __m256i, last: u8| _mm256_cmpeq_epi8(_mm256_min_epu8(value, splat(last)), value);
    let letter = |value: __m256i| up_to(_mm256_sub_epi8(_mm256_or_si256(value, splat(0x20)), splat(b'a')), 25);
    let digit = |value: __m256i| up_to(_mm256_sub_epi8(value, splat(b'0')), 9);
    let equal = |value: __m256i, byte: u8| _mm256_cmpeq_epi8(value, splat(byte));
    let either = |value: __m256i, first: u8, second: u8| {
        _mm256_or_si256(_mm256_cmpeq_epi8(value, splat(first)), _mm256_cmpeq_epi8(value, splat(second)))
    };
    Masks {
        letter: bits(letter(low), letter(high)),
        digit: bits(digit(low), digit(high)),
        dash: bits(either(low, b'-', b'_'), either(high, b'-', b'_')),
        rare: bits(either(low, b'@', b'+'), either(high, b'@', b'+')),
        colon: bits(equal(low, b':'), equal(high, b':')),
        slash: bits(equal(low, b'/'), equal(high, b'/')),
        control: bits(up_to(low, 0x1f), up_to(high, 0x1f)),
        high: bits(low, high),
    }
}

/// The outline with AVX2.
#[cfg(target_arch = "x86_64")]
#[inline]
#[allow(unsafe_code)]
#[target_feature(enable = "avx2")]
pub fn outline_avx2(block: &[u8; BLOCK]) -> Outline {
    use std::arch::x86_64::{
        __m256i, _mm256_andnot_si256, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_max_epu8, _mm256_min_epu8,
        _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi8, _mm256_sub_epi8,
    };
    let (halves, _) = block.as_chunks::<32>();
    let (first, second) = (halves.first().unwrap_or(&[0; 32]), halves.get(1).unwrap_or(&[0; 32]));
    // SAFETY: each points to 32 bytes; the load asks for no alignment.
    let (low, high) = unsafe { (_mm256_loadu_si256(first.as_ptr().cast()), _mm256_loadu_si256(second.as_ptr().cast())) };
    let bits = |low: __m256i, high: __m256i| {
        u64::from(_mm256_movemask_epi8(low) as u32) | u64::from(_mm256_movemask_epi8(high) as u32) << 32
    };
    let splat = |byte: u8| _mm256_set1_epi8(byte as i8);
    let up_to = |value: __m256i, last: u8| _mm256_cmpeq_epi8(_mm256_min_epu8(value, splat(last)), value);
    let from = |value: __m256i, first: u8| _mm256_cmpeq_epi8(_mm256_max_epu8(value, splat(first)), value);
    let foreign = |value: __m256i| {
        let space = up_to(_mm256_sub_epi8(value, splat(0x09)), 4);
        let letter = up_to(_mm256_sub_epi8(value, splat(0xce)), 17);
        _mm256_or_si256(_mm256_andnot_si256(space, up_to(value, 0x1f)), _mm256_or_si256(letter, from(value, 0xf0)))
    };
    Outline {
        control: bits(up_to(low, 0x1f), up_to(high, 0x1f)),
        high: bits(low, high),
        at: bits(_mm256_cmpeq_epi8(low, splat(b'@')), _mm256_cmpeq_epi8(high, splat(b'@'))),
        foreign: bits(foreign(low), foreign(high)),
    }
}

/// The outline with AVX-512.
#[cfg(target_arch = "x86_64")]
#[inline]
#[allow(unsafe_code)]
#[target_feature(enable = "avx512f,avx512bw")]
pub fn outline_avx512(block: &[u8; BLOCK]) -> Outline {
    use std::arch::x86_64::{
        _mm512_cmpeq_epi8_mask, _mm512_cmpge_epu8_mask, _mm512_cmplt_epu8_mask, _mm512_loadu_si512, _mm512_movepi8_mask,
        _mm512_set1_epi8, _mm512_sub_epi8,
    };
    // SAFETY: it points to 64 bytes; the load asks for no alignment.
    let bytes = unsafe { _mm512_loadu_si512(block.as_ptr().cast()) };
    let splat = |byte: u8| _mm512_set1_epi8(byte as i8);
    let control = _mm512_cmplt_epu8_mask(bytes, splat(0x20));
    let space = _mm512_cmplt_epu8_mask(_mm512_sub_epi8(bytes, splat(0x09)), splat(5));
    let letter = _mm512_cmplt_epu8_mask(_mm512_sub_epi8(bytes, splat(0xce_u8)), splat(18));
    Outline {
        control,
        high: _mm512_movepi8_mask(bytes),
        at: _mm512_cmpeq_epi8_mask(bytes, splat(b'@')),
        foreign: control & !space | letter | _mm512_cmpge_epu8_mask(bytes, splat(0xf0)),
    }
}

/// The same with AVX-512: a comparison of 64 bytes is a mask.
#[cfg(target_arch = "x86_64")]
#[inline]
#[allow(unsafe_code)]
#[target_feature(enable = "avx512f,avx512bw")]
pub fn classify_avx512(block: &[u8; BLOCK]) -> Masks {
    use std::arch::x86_64::{
        _mm512_cmpeq_epi8_mask, _mm512_cmplt_epu8_mask, _mm512_loadu_si512, _mm512_movepi8_mask, _mm512_or_si512,
        _mm512_set1_epi8, _mm512_sub_epi8,
    };
    // SAFETY: it points to 64 bytes; the load asks for no alignment.
    let bytes = unsafe { _mm512_loadu_si512(block.as_ptr().cast()) };
    let splat = |byte: u8| _mm512_set1_epi8(byte as i8);
    let equal = |byte: u8| _mm512_cmpeq_epi8_mask(bytes, splat(byte));
    Masks {
        letter: _mm512_cmplt_epu8_mask(_mm512_sub_epi8(_mm512_or_si512(bytes, splat(0x20)), splat(b'a')), splat(26)),
        digit: _mm512_cmplt_epu8_mask(_mm512_sub_epi8(bytes, splat(b'0')), splat(10)),
        dash: equal(b'-') | equal(b'_'),
        rare: equal(b'@') | equal(b'+'),
        colon: equal(b':'),
        slash: equal(b'/'),
        control: _mm512_cmplt_epu8_mask(bytes, splat(0x20)),
        high: _mm512_movepi8_mask(bytes),
    }
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
                assert_eq!(bit(masks.colon), *byte == b':');
                assert_eq!(bit(masks.slash), *byte == b'/');
                assert_eq!(bit(masks.control), *byte < 0x20);
                assert_eq!(bit(masks.high), *byte >= 0x80);
            }
            assert!(vector(&block).iter().all(|(_, other)| *other == masks));
            let outline = outline(&block);
            for (index, byte) in block.iter().enumerate() {
                let bit = |mask: u64| mask >> index & 1 == 1;
                let foreign = matches!(byte, 0..=8 | 0x0e..=0x1f | 0xce..=0xdf | 0xf0..=0xff);
                assert_eq!((bit(outline.at), bit(outline.foreign)), (*byte == b'@', foreign));
            }
            assert_eq!((outline.control, outline.high), (masks.control, masks.high));
            assert!(vector(&block).iter().all(|(other, _)| *other == outline));
        }
    }

    /// What the vector versions say that this processor can run.
    #[cfg(target_arch = "x86_64")]
    #[allow(unsafe_code)]
    fn vector(block: &[u8; BLOCK]) -> Vec<(Outline, Masks)> {
        let mut all = Vec::new();
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            all.push(unsafe { (outline_avx2(block), classify_avx2(block)) });
        }
        if is_x86_feature_detected!("avx512bw") {
            // SAFETY: the processor has AVX-512 F and BW.
            all.push(unsafe { (outline_avx512(block), classify_avx512(block)) });
        }
        all
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn vector(_block: &[u8; BLOCK]) -> Vec<(Outline, Masks)> {
        Vec::new()
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
