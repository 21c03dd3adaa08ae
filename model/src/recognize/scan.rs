//! One pass over a window: class patterns say where to look closer.

use super::masks::{BLOCK, Masks, classify};
use super::wide::Marks;
use super::{Hit, Mode, email, iban, phone, run, seed, url};
use memchr::memmem::Finder;
use std::sync::LazyLock;

static SCHEME_END: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"://"));

/// Finds in a window read as ASCII and UTF-8; where UTF-16 could stand goes to `marks`. Hits come in no order.
pub fn scan(bytes: &[u8], mode: Mode, hits: &mut Vec<Hit>, marks: Option<&mut Marks>) {
    for at in SCHEME_END.find_iter(bytes) {
        url::at(bytes, at, mode, hits);
    }
    let (blocks, tail) = bytes.as_chunks::<BLOCK>();
    let mut padded = [0; BLOCK];
    for (to, from) in padded.iter_mut().zip(tail) {
        *to = *from;
    }
    let mut pass = Pass { bytes, mode, hits, marks, token_end: 0, seed_end: 0 };
    let mut previous = Masks::default();
    let mut all = blocks.iter().chain((!tail.is_empty()).then_some(&padded));
    let Some(first) = all.next() else { return };
    let mut current = classify(first);
    let mut base = 0;
    for block in all {
        let next = classify(block);
        pass.block(base, &previous, &current, &next);
        (previous, current) = (current, next);
        base += BLOCK;
    }
    pass.block(base, &previous, &current, &Masks::default());
}

struct Pass<'a> {
    bytes: &'a [u8],
    mode: Mode,
    hits: &'a mut Vec<Hit>,
    marks: Option<&'a mut Marks>,
    /// Up to here runs of address characters have been looked at.
    token_end: usize,
    /// Up to here words have been looked at.
    seed_end: usize,
}

/// The bits that lie `by` bytes further on.
#[inline(always)]
fn after(current: u64, next: u64, by: u32) -> u64 {
    (current >> by) | (next << (64 - by))
}

impl Pass<'_> {
    #[inline(always)]
    fn block(&mut self, base: usize, previous: &Masks, current: &Masks, next: &Masks) {
        let (alnum, alnum_next) = (current.alnum(), next.alnum());
        // `@` and `+` with a letter or digit behind.
        let rare = current.rare & after(alnum, alnum_next, 1);
        if rare != 0 {
            self.rare(base, rare);
        }
        // Two letters, two digits, then neither: the head of an IBAN in groups.
        let letters = current.letter & after(current.letter, next.letter, 1);
        let digits = after(current.digit, next.digit, 2) & after(current.digit, next.digit, 3);
        let groups = letters & digits & !after(alnum, alnum_next, 4) & !(alnum << 1 | previous.alnum() >> 63);
        if groups != 0 {
            self.groups(base, groups);
        }
        // A run of 15 holds 8 that begin at a multiple of 8: a byte of ones in the mask. The test finds the lowest such byte for
        // sure and may name higher ones wrongly, never too few.
        let token = current.token();
        let ones = (!token).wrapping_sub(0x0101_0101_0101_0101) & token & 0x8080_8080_8080_8080;
        if ones != 0 {
            self.tokens(base, ones);
        }
        // Characters with a zero behind each, three in a row within the block.
        let pairs = !current.control & !current.high & (current.control >> 1);
        if pairs & (pairs >> 2) & (pairs >> 4) != 0 {
            self.wide(base, pairs & (pairs >> 2) & (pairs >> 4));
        }
        self.words(base, previous, current, next);
    }

    #[inline(never)]
    fn rare(&mut self, base: usize, mut bits: u64) {
        while bits != 0 {
            let at = base + bits.trailing_zeros() as usize;
            bits &= bits - 1;
            if self.mode == Mode::ChecksumOnly {
                continue;
            }
            match self.bytes.get(at) {
                Some(b'@') => email::at(self.bytes, at, self.hits),
                _ => phone::at(self.bytes, at, self.hits),
            }
        }
    }

    #[inline(never)]
    fn groups(&mut self, base: usize, mut bits: u64) {
        while bits != 0 {
            let at = base + bits.trailing_zeros() as usize;
            bits &= bits - 1;
            iban::in_groups(self.bytes, at, self.hits);
        }
    }

    #[inline(never)]
    fn tokens(&mut self, base: usize, mut bits: u64) {
        while bits != 0 {
            let at = base + (bits.trailing_zeros() & !7) as usize;
            bits &= bits - 1;
            if at < self.token_end {
                continue;
            }
            let is_token =
                |at: usize| self.bytes.get(at).is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
            if !(at..at + 8).all(is_token) {
                continue;
            }
            let mut start = at;
            while start > self.token_end && is_token(start - 1) {
                start -= 1;
            }
            let mut end = at + 8;
            while is_token(end) {
                end += 1;
            }
            self.token_end = end;
            if end - start >= run::SHORTEST {
                run::token(self.bytes, start, end, self.mode, self.hits);
            }
        }
    }

    #[inline(never)]
    fn wide(&mut self, base: usize, mut bits: u64) {
        let Some(marks) = self.marks.as_mut() else { return };
        while bits != 0 {
            let at = bits.trailing_zeros();
            marks.look(self.bytes, base + at as usize);
            // The next candidate of each parity is enough: those in between belong to the same row.
            bits &= !(0x55 << at);
        }
    }

    /// A seed phrase covers at least 47 bytes, so it covers 32 from some multiple of 16 on, and no word of it has two letters: prose is
    /// told apart before a word is looked up.
    #[inline(always)]
    fn words(&mut self, base: usize, previous: &Masks, current: &Masks, next: &Masks) {
        let word = |masks: &Masks| masks.letter | masks.high;
        let (here, further) = (word(current), word(next));
        let starts = here & !(here << 1 | word(previous) >> 63);
        let short = starts & after(here, further, 1) & !after(here, further, 2);
        for from in [0u32, 16, 32, 48] {
            if (short >> from) as u32 == 0 && (starts >> from) as u32 != 0 {
                self.probe(base + (from + (starts >> from).trailing_zeros()) as usize);
            }
        }
    }

    #[inline(never)]
    fn probe(&mut self, at: usize) {
        if at >= self.seed_end {
            self.seed_end = seed::at(self.bytes, at, self.hits);
        }
    }
}
