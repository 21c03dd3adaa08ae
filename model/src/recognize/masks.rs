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
            assert!(vector(&block).iter().all(|other| *other == masks));
        }
    }

    /// What the vector versions say that this processor can run.
    #[cfg(target_arch = "x86_64")]
    #[allow(unsafe_code)]
    fn vector(block: &[u8; BLOCK]) -> Vec<Masks> {
        let mut all = Vec::new();
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            all.push(unsafe { classify_avx2(block) });
        }
        if is_x86_feature_detected!("avx512bw") {
            // SAFETY: the processor has AVX-512 F and BW.
            all.push(unsafe { classify_avx512(block) });
        }
        all
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn vector(_block: &[u8; BLOCK]) -> Vec<Masks> {
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
