//! What a store may hold already.
//!
//! Nearly every entry that arrives is new. A Bloom filter of fixed size (Burton Bloom, 1970) says so without a look at the store; where it
//! says "perhaps", the store is asked. Its bits of one id lie in one line of the processor's cache (Putze, Sanders, Singler, 2007).

use model::Id;

/// Bits of a line.
const LINE: u64 = 512;
/// Bits that stand for an id.
const BITS: u32 = 4;

/// A filter of ids.
pub struct Filter {
    lines: Vec<[u64; 8]>,
}

impl Filter {
    /// An empty filter of so many bytes.
    pub fn new(bytes: u64) -> Filter {
        let lines = usize::try_from(bytes * 8 / LINE).unwrap_or(1).max(1);
        Filter { lines: vec![[0; 8]; lines] }
    }

    /// Notes an id, a digest whose bits are as good as random; false if it was certainly not noted before.
    pub fn note(&mut self, id: Id) -> bool {
        let number = u128::from_le_bytes(id.0);
        let (line, mut rest) = ((number >> 64) as u64 % self.lines.len() as u64, number as u64);
        let Some(line) = self.lines.get_mut(line as usize) else { return true };
        let mut noted = true;
        for _ in 0..BITS {
            let (word, bit) = ((rest >> 6) as usize % line.len(), 1 << (rest % 64));
            noted &= line[word] & bit != 0;
            line[word] |= bit;
            rest >>= LINE.ilog2();
        }
        noted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_known_and_few_others_are() {
        let id = |number: u32| Id::derive("filter", &[&number.to_le_bytes()]);
        let mut filter = Filter::new(1 << 16);
        let taken_for_known = (0..20_000).filter(|number| filter.note(id(*number))).count();
        assert!((0..20_000).all(|number| filter.note(id(number))));
        // 26 bits an id: about one of a thousand, fewer while it fills.
        assert!(taken_for_known < 40, "{taken_for_known}");
    }

    #[test]
    fn the_smallest_filter_says_perhaps() {
        let mut filter = Filter::new(0);
        assert!(!filter.note(Id([1; 16])));
        assert!(filter.note(Id([1; 16])));
    }
}
