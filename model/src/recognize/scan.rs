//! One pass over a window: class patterns say where to look closer.

use super::masks::{BLOCK, Masks, Outline, classify, outline};
#[cfg(target_arch = "x86_64")]
use super::masks::{classify_avx2, classify_avx512, outline_avx2, outline_avx512};
use super::wide::Marks;
use super::{Hit, Mode, email, iban, phone, run, seed, url};

/// Finds in a window read as ASCII and UTF-8; where UTF-16 could stand goes to `marks`. Hits come in no order.
pub fn scan(bytes: &[u8], mode: Mode, hits: &mut Vec<Hit>, marks: Option<&mut Marks>) {
    Pass::new(bytes, mode, hits, marks).fastest();
}

struct Pass<'a> {
    bytes: &'a [u8],
    mode: Mode,
    hits: &'a mut Vec<Hit>,
    marks: Option<&'a mut Marks>,
    /// Where the run of address characters that reaches the end of the last block begins, and whether it has eight in a row.
    run_start: usize,
    run_open: bool,
    /// Up to here words have been looked at.
    seed_end: usize,
    /// Every block is looked at closely: what the outlines must not change.
    #[cfg(test)]
    thorough: bool,
}

/// Outlines of the blocks around the one that is asked about.
struct Around {
    previous: Outline,
    current: Outline,
    next: Outline,
}

/// The flags of four good groups.
const GROUPS: u64 = 0x8000_8000_8000_8000;

/// The bits that lie `by` bytes further on.
#[inline(always)]
fn after(current: u64, next: u64, by: u32) -> u64 {
    (current >> by) | (next << (64 - by))
}

impl<'a> Pass<'a> {
    fn new(bytes: &'a [u8], mode: Mode, hits: &'a mut Vec<Hit>, marks: Option<&'a mut Marks>) -> Pass<'a> {
        Pass {
            bytes,
            mode,
            hits,
            marks,
            run_start: 0,
            run_open: false,
            seed_end: 0,
            #[cfg(test)]
            thorough: false,
        }
    }

    /// Runs with the widest vectors that the processor has. The only unsafe code: calls that need what was just asked for.
    #[cfg(target_arch = "x86_64")]
    #[allow(unsafe_code)]
    fn fastest(&mut self) {
        if is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("bmi2") {
            // SAFETY: the processor has AVX-512 BW (which F is part of), BMI1 (older than BMI2) and BMI2.
            unsafe { self.run_avx512() }
        } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi2") {
            // SAFETY: the processor has AVX2, BMI1 (older than BMI2) and BMI2.
            unsafe { self.run_avx2() }
        } else {
            self.run(outline, classify);
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn fastest(&mut self) {
        self.run(outline, classify);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,bmi1,bmi2")]
    fn run_avx512(&mut self) {
        self.run(|block| outline_avx512(block), |block| classify_avx512(block));
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,bmi2")]
    fn run_avx2(&mut self) {
        self.run(|block| outline_avx2(block), |block| classify_avx2(block));
    }

    /// Looks at the outline of block after block, and closer where something could be: in noise that is one block in twenty. A block
    /// that is looked at closely is sorted together with its neighbours.
    #[inline(always)]
    fn run(&mut self, outline: impl Fn(&[u8; BLOCK]) -> Outline, classify: impl Fn(&[u8; BLOCK]) -> Masks) {
        let (blocks, tail) = self.bytes.as_chunks::<BLOCK>();
        let mut padded = [0; BLOCK];
        for (to, from) in padded.iter_mut().zip(tail) {
            *to = *from;
        }
        let count = blocks.len() + usize::from(!tail.is_empty());
        let block = |number: usize| blocks.get(number).unwrap_or(&padded);
        let mut around = Around { previous: Outline::default(), current: Outline::default(), next: outline(block(0)) };
        // Flags of the groups of 16 without a foreign byte, of the block before and, if that was sorted, those of its words.
        let (mut texts, mut flags) = (0, 0);
        // Which block was looked at last, and the masks around it.
        let mut sorted = usize::MAX;
        let (mut previous, mut current, mut next) = (Masks::default(), Masks::default(), Masks::default());
        for number in 0..count {
            around.previous = around.current;
            around.current = around.next;
            around.next = if number + 1 < count { outline(block(number + 1)) } else { Outline::default() };
            let here = good_groups(around.current.foreign);
            let phrase = here & (here << 16 | texts >> 48);
            texts = here;
            let goes_on = number > 0 && sorted == number - 1;
            if !(self.is_worth(&around, phrase, goes_on)) {
                continue;
            }
            // One place that sorts: the block behind, and where the one before was passed over, that one and this.
            let from = if goes_on { number + 1 } else { number.saturating_sub(1) };
            for wanted in from..=number + 1 {
                (previous, current) = (current, next);
                next = if wanted < count || tail.is_empty() { classify(block(wanted)) } else { Masks::default() };
            }
            if !goes_on {
                // No run of eight ends the block before, or it would have been sorted.
                self.run_start = number * BLOCK - previous.token().leading_ones() as usize;
                flags = GROUPS;
            }
            flags = self.block(number * BLOCK, flags, &previous, &current, &next);
            sorted = number;
        }
        if self.run_open {
            self.token(self.run_start, self.bytes.len());
        }
    }

    /// Whether a block can hold, or begin, anything: seven printable characters in a row (`tg://ab` is the shortest of all but mail
    /// addresses), `@` between printable characters (`a@b.co`), three characters of UTF-16, a stretch that could be of a phrase, or
    /// the rest of what the block before began.
    #[inline(always)]
    fn is_worth(&self, around: &Around, phrase: u64, goes_on: bool) -> bool {
        #[cfg(test)]
        if self.thorough {
            return true;
        }
        let (before, plain, next) = (around.previous.plain(), around.current.plain(), around.next.plain());
        let (two, two_next) = (plain & after(plain, next, 1), next & next >> 1);
        let (four, four_next) = (two & after(two, two_next, 2), two_next & two_next >> 2);
        let seven = four & after(four, four_next, 3);
        let mail = around.current.at & after(four, four_next, 1) & (plain << 1 | before >> 63);
        let pairs = plain & (around.current.control >> 1);
        let wide = pairs & (pairs >> 2) & (pairs >> 4);
        (seven | mail | wide | phrase) != 0 || (goes_on && before >> 63 == 1)
    }

    #[inline(always)]
    fn block(&mut self, base: usize, flags: u64, previous: &Masks, current: &Masks, next: &Masks) -> u64 {
        let (alnum, alnum_next) = (current.alnum(), next.alnum());
        // `@` and `+` with a letter or digit behind.
        let rare = current.rare & after(alnum, alnum_next, 1);
        if rare != 0 {
            self.rare(base, rare);
        }
        let schemes = current.colon & after(current.slash, next.slash, 1) & after(current.slash, next.slash, 2);
        if schemes != 0 {
            self.schemes(base, schemes);
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
        let comes_in = previous.token() >> 63 == 1;
        if ones != 0 || self.run_open {
            self.tokens(base, token, ones, comes_in);
        }
        if token != !0 || !comes_in {
            self.run_start = base + BLOCK - token.leading_ones() as usize;
        }
        // Characters with a zero behind each, three in a row within the block.
        let pairs = !current.control & !current.high & (current.control >> 1);
        if pairs & (pairs >> 2) & (pairs >> 4) != 0 {
            self.wide(base, pairs & (pairs >> 2) & (pairs >> 4));
        }
        self.words(base, flags, previous, current, next)
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
    fn schemes(&mut self, base: usize, mut bits: u64) {
        while bits != 0 {
            let at = base + bits.trailing_zeros() as usize;
            bits &= bits - 1;
            url::at(self.bytes, at, self.mode, self.hits);
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

    /// Runs in a block that hold eight or more in a row, and one that came in from the block before.
    #[inline(never)]
    fn tokens(&mut self, base: usize, token: u64, mut ones: u64, comes_in: bool) {
        let mut done = 0;
        if self.run_open {
            if token == !0 {
                return;
            }
            self.run_open = false;
            done = token.trailing_ones();
            self.token(self.run_start, base + done as usize);
        }
        while ones != 0 {
            let at = ones.trailing_zeros() & !7;
            ones &= ones - 1;
            let length = (token >> at).trailing_ones();
            if at < done || length < 8 {
                continue;
            }
            let below = !token & ((1 << at) - 1);
            let start = match below {
                0 if comes_in => self.run_start,
                _ => base + (64 - below.leading_zeros()) as usize,
            };
            done = at + length;
            if done == 64 {
                self.run_open = true;
                return;
            }
            self.token(start, base + done as usize);
        }
    }

    fn token(&mut self, start: usize, end: usize) {
        if end - start >= run::SHORTEST {
            run::token(self.bytes, start, end, self.mode, self.hits);
        }
    }

    #[inline(never)]
    fn wide(&mut self, base: usize, mut bits: u64) {
        let Some(marks) = self.marks.as_mut() else { return };
        while bits != 0 {
            let at = bits.trailing_zeros();
            marks.look(self.bytes, base + at as usize);
            // The next candidate of each parity is enough: those in between belong to the same row. Where the whole block is marked
            // nothing more can be.
            let row = if marks.covers(base, base + at as usize) { 0x5555_5555_5555_5555 << (at & 1) } else { 0x55 << at };
            bits &= !row;
        }
    }

    /// A seed phrase covers at least 47 bytes, and none of its words has one, two, or more than eight ASCII letters: where no such word
    /// begins in 47 bytes, a word is looked up. Prose and noise rarely come that far. 47 bytes hold two groups of 16 that begin at
    /// multiples of 16: that is what is asked first. Returns the flags of this block's groups for the next.
    #[inline(always)]
    fn words(&mut self, base: usize, flags: u64, previous: &Masks, current: &Masks, next: &Masks) -> u64 {
        let flags_here = good_groups(short_words(previous, current, next));
        let second_groups = flags_here & (flags_here << 16 | flags >> 48);
        if second_groups != 0 && current.letter | current.high != 0 {
            // What costs more to see is looked at in these few.
            let before = flags & good_groups(long_words(previous, current) | long_gaps(previous, current));
            let here = flags_here & good_groups(long_words(current, next) | long_gaps(current, next));
            let second_groups = here & (here << 16 | before >> 48);
            if second_groups != 0 {
                self.probe(base, second_groups, previous, current, next);
            }
        }
        flags_here
    }

    #[inline(never)]
    fn probe(&mut self, base: usize, mut second_groups: u64, previous: &Masks, current: &Masks, next: &Masks) {
        let before = previous.letter | previous.high;
        let around = (current.letter | current.high, next.letter | next.high);
        while second_groups != 0 {
            // The second of two good groups: whatever begins in the 31 bytes before the first reaches into it.
            let place = second_groups.trailing_zeros() & !15;
            let from = base + place as usize;
            second_groups &= second_groups - 1;
            if from < self.seed_end {
                continue;
            }
            let letters = match place {
                0 => seed::Surroundings { behind: around.0, before },
                _ => seed::Surroundings {
                    behind: after(around.0, around.1, place),
                    before: around.0 << (64 - place) | before >> place,
                },
            };
            #[cfg(test)]
            let letters = Some(letters).filter(|_| !self.thorough);
            #[cfg(not(test))]
            let letters = Some(letters);
            if letters.is_some_and(|letters| seed::is_hopeless(self.bytes, from, &letters)) {
                continue;
            }
            // Text has no control characters but tabs and line ends.
            let is_text = |byte: &u8| *byte >= 0x20 || matches!(byte, b'\t' | b'\n' | b'\r');
            // And no list has a letter of Greek, Cyrillic, Hebrew or Arabic.
            let is_foreign = |byte: &u8| matches!(byte, 0xce..=0xdf);
            let group = || self.bytes.get(from..from + 16).unwrap_or(&[]);
            let plain = (current.control >> place) as u16 == 0 || group().iter().all(is_text);
            let plain = plain && ((current.high >> place) as u16 == 0 || !group().iter().any(is_foreign));
            if plain {
                self.seed_end = seed::probe(self.bytes, from, self.hits);
            }
        }
    }
}

/// The groups of 16 without a bit: the highest bit of each. It finds the lowest one for sure and may name higher ones wrongly, never
/// too few.
#[inline(always)]
fn good_groups(bad: u64) -> u64 {
    bad.wrapping_sub(0x0001_0001_0001_0001) & !bad & GROUPS
}

/// Those places that begin `count` (9 to 16) bytes of a class in a row.
#[inline(always)]
fn in_a_row(current: u64, next: u64, count: u32) -> u64 {
    let pair = |(here, further): (u64, u64), by: u32| (here & after(here, further, by), further & further >> by);
    let eight = pair(pair(pair((current, next), 1), 2), 4);
    pair(eight, count - 8).0
}

/// Where the last nine letters of a word begin that is too long for any list.
#[inline(always)]
fn long_words(current: &Masks, next: &Masks) -> u64 {
    in_a_row(current.letter, next.letter, 9)
}

/// Where more bytes without a letter begin than can stand between two words.
#[inline(always)]
fn long_gaps(current: &Masks, next: &Masks) -> u64 {
    in_a_row(!(current.letter | current.high), !(next.letter | next.high), seed::GAP as u32 + 1)
}

/// Where words of one or two letters begin.
#[inline(always)]
fn short_words(previous: &Masks, current: &Masks, next: &Masks) -> u64 {
    let (word, word_next) = (current.letter | current.high, next.letter | next.high);
    let begins = word & !(word << 1 | (previous.letter | previous.high) >> 63);
    let second = after(word, word_next, 1);
    // One letter before a digit can be the rest of an escape (`\n2. ability`).
    let one = !second & !after(current.digit, next.digit, 1);
    let two = second & !after(word, word_next, 2);
    begins & (one | two)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    fn hits(bytes: &[u8], run: impl Fn(&mut Pass<'_>)) -> Vec<String> {
        let (mut hits, mut marks) = (Vec::new(), Marks::default());
        let mut pass = Pass::new(bytes, Mode::All, &mut hits, Some(&mut marks));
        run(&mut pass);
        let mut all: Vec<String> = hits.iter().map(|hit| format!("{hit:?}")).collect();
        all.push(format!("{:?}", marks.stretches(bytes.len())));
        all.sort();
        all.dedup();
        all
    }

    /// What can be found, the shortest forms among it, at every place of a block, in noise and in text and across the borders.
    #[test]
    fn outlines_hide_nothing() {
        let phrase = "legal winner thank year wave sausage worth useful legal winner thank yellow";
        let japanese = "あいこくしん　あいこくしん　あいこくしん　あいこくしん　あいこくしん　あいこくしん　あいこくしん　あいこくしん　あいこくしん　あいこくしん　あいこくしん　あおぞら";
        let wide: Vec<u8> = "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa".bytes().flat_map(|byte| [byte, 0]).collect();
        let plants: [&[u8]; 9] = [
            b"a@b.co",
            b"tg://ab",
            b"+66812345678",
            b"1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
            b"4Ex9GLMNbQ7RxG9R8iGHBUCFCp3h5pWmcTQVY7e9cWV1jPqsN2iJYrkeX6R6cPGHRcL3mbNN4DTBjyc4rUNhEBBFMmCfn5B8PZgyaHHqZ8Q",
            b"GB82 WEST 1234 5698 7654 32",
            phrase.as_bytes(),
            japanese.as_bytes(),
            &wide,
        ];
        let mut state = 0x1234_5678_9abc_def1;
        for round in 0..1_200usize {
            let mut bytes: Vec<u8> = (0..700).map(|_| (next(&mut state) >> 32) as u8).collect();
            // Noise, zeros, text, UTF-8: what stands around.
            match round % 4 {
                1 => bytes.fill(0),
                2 => bytes.iter_mut().for_each(|byte| *byte = b"etaoin shrdlu\n,.@+:/0123456789-"[usize::from(*byte) % 31]),
                3 => bytes.iter_mut().for_each(|byte| *byte |= 0x80),
                _ => {}
            }
            let plant = plants[round / 4 % plants.len()];
            let at = 64 + next(&mut state) as usize % 300;
            bytes[at..at + plant.len()].copy_from_slice(plant);
            let thorough = hits(&bytes, |pass| {
                pass.thorough = true;
                pass.run(outline, classify);
            });
            assert_eq!(hits(&bytes, |pass| pass.run(outline, classify)), thorough, "round {round}");
            assert_eq!(hits(&bytes, |pass| pass.fastest()), thorough, "round {round}, vectors");
        }
    }

    /// Rows of words, most of them of lists, in every layout and with what breaks a row: the quick look must turn away nothing that the
    /// thorough one takes, wherever the text stands in its blocks.
    #[test]
    fn no_phrase_is_turned_away_unread() {
        let lists: Vec<&[&str; 2048]> = bip39::Language::ALL.iter().map(|language| language.word_list()).collect();
        let gaps = [" ", " ", " ", "\n", ", ", "\\n", "\\n2. ", "\",\"", "\u{3000}", "  ", " 7) ", "\0"];
        let others = ["the", "a", "of", "investigation", "Straße", "n", "tests", "слово", "\\tability"];
        let mut state = 0x2545_f491_4f6c_dd1d;
        let mut pick = move |count: usize| next(&mut state) as usize % count;
        let mut found = 0;
        for round in 0..3_000 {
            let (list, gap) = (lists[if round % 2 == 0 { 0 } else { pick(10) }], gaps[pick(gaps.len())]);
            let mut text = "-".repeat(pick(64)) + gap;
            for _ in 0..pick(3) + 1 {
                let entropy: [u8; 16] = std::array::from_fn(|_| pick(256) as u8);
                let language = bip39::Language::ALL.iter().find(|language| language.word_list()[0] == list[0]).copied();
                let phrase = bip39::Mnemonic::from_entropy_in(language.unwrap(), &entropy).unwrap().to_string();
                for word in phrase.split(' ').skip(if pick(4) == 0 { pick(12) } else { 0 }) {
                    text = text + word + if pick(60) == 0 { gaps[pick(gaps.len())] } else { gap };
                }
                text = text + if pick(2) == 0 { others[pick(others.len())] } else { "" } + gaps[pick(gaps.len())];
            }
            let thorough = hits(text.as_bytes(), |pass| {
                pass.thorough = true;
                pass.run(outline, classify);
            });
            found += thorough.len() - 1;
            assert_eq!(hits(text.as_bytes(), |pass| pass.fastest()), thorough, "round {round}: {text}");
        }
        assert!(found > 2_000, "{found}");
    }
}
