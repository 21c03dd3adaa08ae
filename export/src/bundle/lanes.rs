//! SHA-256 of many short messages at once.
//!
//! A bundle is digested field by field: some fifty million blocks for a phone, and hardly a message longer than two. One hash after
//! the other waits for itself in every round. With AVX-512 sixteen of them go side by side; with the SHA extensions four take turns, each
//! while the others wait. Without either they go one by one through the compression function of `sha2`.

use sha2::compress256;
use sha2::digest::consts::U64;
use sha2::digest::generic_array::GenericArray;
use std::slice::from_ref;

/// Bytes of a block.
pub const BLOCK: usize = 64;

/// The words that a hash has come to.
pub type State = [u32; 8];

/// Initial state of SHA-256 (FIPS 180-4 §5.3.3).
pub const INITIAL: State = [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];

/// Takes one block into a state.
pub fn compress(state: &mut State, block: &[u8; BLOCK]) {
    compress256(state, from_ref(GenericArray::<u8, U64>::from_slice(block)));
}

/// The bytes of a state.
pub fn digest(state: &State) -> [u8; 32] {
    let mut digest = [0u8; 32];
    for (bytes, word) in digest.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    digest
}

/// Bytes of the length that a message ends with.
const LENGTH: usize = 8;

/// What stands between a message and its length at most (FIPS 180-4 §5.1.1).
const PADDING: [u8; BLOCK + LENGTH] = {
    let mut padding = [0; BLOCK + LENGTH];
    padding[0] = 0x80;
    padding
};

/// Messages that are hashed together, and afterwards their digests, in the same order.
#[derive(Clone, Default)]
pub struct Messages {
    /// Padded messages, one behind the other.
    data: Vec<u8>,
    /// Where the message that is being written begins.
    begin: usize,
    /// Blocks of each message.
    spans: Vec<(usize, usize)>,
    states: Vec<State>,
}

impl Messages {
    /// Forgets all, but keeps the room.
    pub fn clear(&mut self) {
        self.data.clear();
        self.spans.clear();
        self.states.clear();
        self.begin = 0;
    }

    /// Appends to the message that is being written.
    pub fn add(&mut self, bytes: &[u8]) {
        self.data.extend_from_slice(bytes);
    }

    /// Puts another byte at a place of the message that is being written.
    pub fn put(&mut self, place: usize, byte: u8) {
        if let Some(there) = self.data.get_mut(self.begin + place) {
            *there = byte;
        }
    }

    /// Ends the message: it goes on from a state that has taken in `before` bytes (whole blocks).
    pub fn end(&mut self, state: State, before: u64) {
        let length = self.data.len() - self.begin;
        let end = self.begin + (length + 1 + LENGTH).next_multiple_of(BLOCK);
        // As much as there may be, then what is too much goes: a copy of a fixed size costs less than one of the right size.
        self.data.extend_from_slice(&PADDING);
        self.data.truncate(end - LENGTH);
        self.data.extend_from_slice(&((before + length as u64) * 8).to_be_bytes());
        self.close(state);
    }

    /// Appends a message of one block that is padded already.
    pub fn block(&mut self, state: State, block: &[u8; BLOCK]) {
        self.data.extend_from_slice(block);
        self.close(state);
    }

    fn close(&mut self, state: State) {
        self.spans.push((self.begin / BLOCK, self.data.len() / BLOCK));
        self.begin = self.data.len();
        self.states.push(state);
    }

    /// Hashes every message.
    pub fn hash(&mut self) {
        #[cfg(target_arch = "x86_64")]
        {
            if wide::runs() && self.spans.len() > wide::Sixteen::FEW {
                return self.together::<wide::Sixteen, 16>();
            }
            if turns::runs() && self.spans.len() > turns::Four::FEW {
                return self.together::<turns::Four, 4>();
            }
        }
        self.one_by_one();
    }

    /// The digest of every message.
    pub fn digests(&self) -> impl Iterator<Item = [u8; 32]> {
        self.states.iter().map(digest)
    }

    fn one_by_one(&mut self) {
        let (blocks, _) = self.data.as_chunks::<BLOCK>();
        for ((first, end), state) in self.spans.iter().zip(&mut self.states) {
            blocks[*first..*end].iter().for_each(|block| compress(state, block));
        }
    }

    fn together<L: Lanes<N>, const N: usize>(&mut self) {
        if self.spans.len() * BLOCK == self.data.len() { self.block_by_block::<L, N>() } else { self.side_by_side::<L, N>() }
    }

    /// Every message is one block: lanes begin and end together.
    fn block_by_block<L: Lanes<N>, const N: usize>(&mut self) {
        let (blocks, _) = self.data.as_chunks::<BLOCK>();
        let (full, rest) = self.states.as_chunks_mut::<N>();
        let (of_full, of_rest) = blocks.split_at(full.len() * N);
        let mut lanes = L::default();
        for (states, blocks) in full.iter_mut().zip(of_full.as_chunks::<N>().0) {
            (0..N).for_each(|lane| lanes.put(lane, &states[lane]));
            lanes.compress(blocks.each_ref());
            (0..N).for_each(|lane| states[lane] = lanes.state(lane));
        }
        rest.iter_mut().zip(of_rest).for_each(|(state, block)| compress(state, block));
    }

    /// Every lane takes the next message when its own is done; what the last few lanes have left is hashed one by one.
    fn side_by_side<L: Lanes<N>, const N: usize>(&mut self) {
        const NOTHING: &[u8; BLOCK] = &[0; BLOCK];
        let (blocks, _) = self.data.as_chunks::<BLOCK>();
        let mut lanes = L::default();
        // Of each lane: its message, the block that is next, and the one behind its last.
        let mut at: [Option<(usize, usize, usize)>; N] = [None; N];
        let mut waiting = self.spans.iter().enumerate();
        loop {
            let mut working = 0;
            for (lane, slot) in at.iter_mut().enumerate() {
                if let Some((message, next, end)) = *slot
                    && next == end
                {
                    self.states[message] = lanes.state(lane);
                    *slot = None;
                }
                if slot.is_none()
                    && let Some((message, (first, end))) = waiting.next()
                {
                    *slot = Some((message, *first, *end));
                    lanes.put(lane, &self.states[message]);
                }
                working += usize::from(slot.is_some());
            }
            if working <= L::FEW {
                break;
            }
            lanes.compress(std::array::from_fn(|lane| at[lane].map_or(NOTHING, |(_, next, _)| &blocks[next])));
            at.iter_mut().flatten().for_each(|(_, next, _)| *next += 1);
        }
        for (lane, (message, next, end)) in at.iter().enumerate().filter_map(|(lane, slot)| Some((lane, (*slot)?))) {
            let mut state = lanes.state(lane);
            blocks[next..end].iter().for_each(|block| compress(&mut state, block));
            self.states[message] = state;
        }
    }
}

/// States that take in a block each at the same time.
trait Lanes<const N: usize>: Default {
    /// With so many messages left, or fewer, one after the other is faster.
    const FEW: usize;

    /// Puts a state into a lane.
    fn put(&mut self, lane: usize, state: &State);

    /// The state of a lane.
    fn state(&self, lane: usize) -> State;

    /// Takes one block into each of the states.
    fn compress(&mut self, blocks: [&[u8; BLOCK]; N]);
}

/// Constants of the rounds (FIPS 180-4 §4.2.2).
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const ROUNDS: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

/// The compression function of FIPS 180-4 §6.2.2 on four states in turns: each of the processor's instructions for it takes longer than
/// the next one of another state has to wait.
#[cfg(target_arch = "x86_64")]
mod turns {
    use super::{BLOCK, Lanes, ROUNDS, State};
    use std::arch::x86_64::*;

    const STATES: usize = 4;

    /// Whether this processor can.
    pub fn runs() -> bool {
        is_x86_feature_detected!("sha") && is_x86_feature_detected!("avx")
    }

    /// Four states.
    #[derive(Default)]
    pub struct Four([State; STATES]);

    impl Lanes<STATES> for Four {
        const FEW: usize = 2;

        fn put(&mut self, lane: usize, state: &State) {
            self.0[lane] = *state;
        }

        fn state(&self, lane: usize) -> State {
            self.0[lane]
        }

        #[allow(unsafe_code)]
        fn compress(&mut self, blocks: [&[u8; BLOCK]; STATES]) {
            assert!(runs());
            // SAFETY: the processor has the SHA extensions and AVX, which SSE 4.1 is part of.
            unsafe { compress_sha(&mut self.0, blocks) }
        }
    }

    #[target_feature(enable = "sha,sse4.1,avx")]
    fn compress_sha(states: &mut [State; STATES], blocks: [&[u8; BLOCK]; STATES]) {
        let mut w: [[__m128i; 4]; STATES] = blocks.map(|block| words(block));
        let before: [(__m128i, __m128i); STATES] = states.map(|state| load(state));
        let mut after = before;
        for round in 0..16 {
            let constants = four(ROUNDS.as_chunks::<4>().0[round]);
            for ((abef, cdgh), w) in after.iter_mut().zip(&mut w) {
                if round >= 4 {
                    let [w0, w1, w2, w3] = std::array::from_fn(|place| w[(round + place) % 4]);
                    let sum = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8::<4>(w3, w2));
                    w[round % 4] = _mm_sha256msg2_epu32(sum, w3);
                }
                let sum = _mm_add_epi32(w[round % 4], constants);
                *cdgh = _mm_sha256rnds2_epu32(*cdgh, *abef, sum);
                *abef = _mm_sha256rnds2_epu32(*abef, *cdgh, _mm_shuffle_epi32::<0x0e>(sum));
            }
        }
        for ((state, before), after) in states.iter_mut().zip(before).zip(after) {
            *state = store(_mm_add_epi32(before.0, after.0), _mm_add_epi32(before.1, after.1));
        }
    }

    #[inline]
    #[target_feature(enable = "avx")]
    #[allow(unsafe_code)]
    fn four(words: [u32; 4]) -> __m128i {
        // SAFETY: 16 bytes are read from 16 bytes; alignment is not asked for.
        unsafe { _mm_loadu_si128(words.as_ptr().cast()) }
    }

    /// A state as the instructions want it: words a, b, e, f and words c, d, g, h, the first highest.
    #[inline]
    #[target_feature(enable = "sse4.1,avx")]
    fn load([a, b, c, d, e, f, g, h]: State) -> (__m128i, __m128i) {
        let (cdab, efgh) = (_mm_shuffle_epi32::<0xb1>(four([a, b, c, d])), _mm_shuffle_epi32::<0x1b>(four([e, f, g, h])));
        (_mm_alignr_epi8::<8>(cdab, efgh), _mm_blend_epi16::<0xf0>(efgh, cdab))
    }

    #[inline]
    #[target_feature(enable = "sse4.1,avx")]
    #[allow(unsafe_code)]
    fn store(abef: __m128i, cdgh: __m128i) -> State {
        let (feba, dchg) = (_mm_shuffle_epi32::<0x1b>(abef), _mm_shuffle_epi32::<0xb1>(cdgh));
        let mut state = State::default();
        let (low, high) = state.split_at_mut(4);
        // SAFETY: 16 bytes are written to 16 bytes, twice; alignment is not asked for.
        unsafe {
            _mm_storeu_si128(low.as_mut_ptr().cast(), _mm_blend_epi16::<0xf0>(feba, dchg));
            _mm_storeu_si128(high.as_mut_ptr().cast(), _mm_alignr_epi8::<8>(dchg, feba));
        }
        state
    }

    /// The words of a block, every word's bytes turned.
    #[inline]
    #[target_feature(enable = "ssse3,avx")]
    #[allow(unsafe_code)]
    fn words(block: &[u8; BLOCK]) -> [__m128i; 4] {
        let turned = _mm_set_epi32(0x0c0d_0e0f, 0x0809_0a0b, 0x0405_0607, 0x0001_0203);
        std::array::from_fn(|quarter| {
            // SAFETY: 16 bytes are read from the 16 that this quarter of the block has; alignment is not asked for.
            let words = unsafe { _mm_loadu_si128(block.as_ptr().cast::<__m128i>().add(quarter)) };
            _mm_shuffle_epi8(words, turned)
        })
    }
}

/// The compression function of FIPS 180-4 §6.2.2 on sixteen states at once.
#[cfg(target_arch = "x86_64")]
mod wide {
    use super::{BLOCK, Lanes, ROUNDS, State};
    use std::arch::x86_64::*;

    const LANES: usize = 16;

    /// Whether this processor can.
    pub fn runs() -> bool {
        is_x86_feature_detected!("avx512bw")
    }

    /// Sixteen states, word by word.
    #[derive(Default)]
    pub struct Sixteen([[u32; LANES]; 8]);

    impl Lanes<LANES> for Sixteen {
        const FEW: usize = 6;

        fn put(&mut self, lane: usize, state: &State) {
            self.0.iter_mut().zip(state).for_each(|(words, word)| words[lane] = *word);
        }

        fn state(&self, lane: usize) -> State {
            self.0.map(|words| words[lane])
        }

        #[allow(unsafe_code)]
        fn compress(&mut self, blocks: [&[u8; BLOCK]; LANES]) {
            assert!(runs());
            // SAFETY: the processor has AVX-512 BW, which F is part of.
            unsafe { compress_avx512(&mut self.0, blocks) }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw")]
    fn compress_avx512(states: &mut [[u32; LANES]; 8], blocks: [&[u8; BLOCK]; LANES]) {
        let mut w = words(blocks);
        let before: [__m512i; 8] = std::array::from_fn(|word| load(&states[word]));
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = before;
        for sixteen in 0..4 {
            for round in 0..16 {
                if sixteen > 0 {
                    let (w1, w14) = (w[(round + 1) % 16], w[(round + 14) % 16]);
                    let s0 = xor3(_mm512_ror_epi32::<7>(w1), _mm512_ror_epi32::<18>(w1), _mm512_srli_epi32::<3>(w1));
                    let s1 = xor3(_mm512_ror_epi32::<17>(w14), _mm512_ror_epi32::<19>(w14), _mm512_srli_epi32::<10>(w14));
                    w[round] = add(add(w[round], s0), add(w[(round + 9) % 16], s1));
                }
                let constant = _mm512_set1_epi32(ROUNDS[sixteen * 16 + round].cast_signed());
                let s1 = xor3(_mm512_ror_epi32::<6>(e), _mm512_ror_epi32::<11>(e), _mm512_ror_epi32::<25>(e));
                let choice = _mm512_ternarylogic_epi32::<0xca>(e, f, g);
                let t1 = add(add(add(h, s1), choice), add(constant, w[round]));
                let s0 = xor3(_mm512_ror_epi32::<2>(a), _mm512_ror_epi32::<13>(a), _mm512_ror_epi32::<22>(a));
                let majority = _mm512_ternarylogic_epi32::<0xe8>(a, b, c);
                (h, g, f, e) = (g, f, e, add(d, t1));
                (d, c, b, a) = (c, b, a, add(t1, add(s0, majority)));
            }
        }
        for ((state, before), after) in states.iter_mut().zip(before).zip([a, b, c, d, e, f, g, h]) {
            store(state, add(before, after));
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn add(a: __m512i, b: __m512i) -> __m512i {
        _mm512_add_epi32(a, b)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn xor3(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
        _mm512_ternarylogic_epi32::<0x96>(a, b, c)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    #[allow(unsafe_code)]
    fn load(words: &[u32; LANES]) -> __m512i {
        // SAFETY: 64 bytes are read from 64 bytes; alignment is not asked for.
        unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    #[allow(unsafe_code)]
    fn store(words: &mut [u32; LANES], value: __m512i) {
        // SAFETY: 64 bytes are written to 64 bytes; alignment is not asked for.
        unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), value) }
    }

    /// Word `n` of all blocks in vector `n`: a transposition of 16 × 16 words, after every word's bytes were turned.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    #[allow(unsafe_code)]
    fn words(blocks: [&[u8; BLOCK]; LANES]) -> [__m512i; 16] {
        let turned = _mm512_set4_epi32(0x0c0d_0e0f, 0x0809_0a0b, 0x0405_0607, 0x0001_0203);
        let row = |lane: usize| {
            // SAFETY: 64 bytes are read from 64 bytes; alignment is not asked for.
            let row = unsafe { _mm512_loadu_si512(blocks[lane].as_ptr().cast()) };
            _mm512_shuffle_epi8(row, turned)
        };
        // Four rows at a time: in each quarter of a vector one word of four rows.
        let quads: [[__m512i; 4]; 4] = std::array::from_fn(|quad| {
            let [r0, r1, r2, r3] = [row(quad * 4), row(quad * 4 + 1), row(quad * 4 + 2), row(quad * 4 + 3)];
            let (a, b) = (_mm512_unpacklo_epi32(r0, r1), _mm512_unpackhi_epi32(r0, r1));
            let (c, d) = (_mm512_unpacklo_epi32(r2, r3), _mm512_unpackhi_epi32(r2, r3));
            [_mm512_unpacklo_epi64(a, c), _mm512_unpackhi_epi64(a, c), _mm512_unpacklo_epi64(b, d), _mm512_unpackhi_epi64(b, d)]
        });
        let mut words = [_mm512_setzero_si512(); 16];
        for word in 0..4 {
            let [q0, q1, q2, q3] = [quads[0][word], quads[1][word], quads[2][word], quads[3][word]];
            let (a, b) = (_mm512_shuffle_i32x4::<0x44>(q0, q1), _mm512_shuffle_i32x4::<0x44>(q2, q3));
            let (c, d) = (_mm512_shuffle_i32x4::<0xee>(q0, q1), _mm512_shuffle_i32x4::<0xee>(q2, q3));
            words[word] = _mm512_shuffle_i32x4::<0x88>(a, b);
            words[4 + word] = _mm512_shuffle_i32x4::<0xdd>(a, b);
            words[8 + word] = _mm512_shuffle_i32x4::<0x88>(c, d);
            words[12 + word] = _mm512_shuffle_i32x4::<0xdd>(c, d);
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    /// Messages of every length around the borders of blocks, in many mixtures.
    #[test]
    fn many_at_once_are_as_each_alone() {
        for count in [0, 1, 3, 7, 15, 16, 17, 40, 333] {
            let message = |number: usize| -> Vec<u8> {
                let length = match number % 9 {
                    8 => 1000 + number,
                    _ => (number * 37) % 200,
                };
                (0..length).map(|place| (place * 7 + number) as u8).collect()
            };
            let mut messages = Messages::default();
            for round in 0..2 {
                messages.clear();
                for number in 0..count {
                    messages.add(&message(number));
                    messages.end(INITIAL, 0);
                }
                messages.hash();
                let digests: Vec<[u8; 32]> = messages.digests().collect();
                assert_eq!(digests.len(), count);
                for (number, digest) in digests.iter().enumerate() {
                    assert_eq!(*digest, <[u8; 32]>::from(Sha256::digest(message(number))), "{number} of {count}, round {round}");
                }
            }
        }
    }

    #[test]
    fn messages_of_one_block_are_as_each_alone() {
        for count in [7, 16, 31, 64, 100] {
            let message = |number: usize| [number as u8; 55][..number % 56].to_vec();
            let mut messages = Messages::default();
            for number in 0..count {
                messages.add(&message(number));
                messages.end(INITIAL, 0);
            }
            messages.hash();
            let expected = (0..count).map(|number| <[u8; 32]>::from(Sha256::digest(message(number))));
            assert!(messages.digests().eq(expected), "{count}");
        }
    }

    /// Each way that this processor can go, whichever it would take: the others are for other processors.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn every_way_comes_to_the_same() {
        let mut messages = Messages::default();
        let message: Vec<u8> = (0..1000).map(|place| (place * 31) as u8).collect();
        for number in 0..500usize {
            messages.add(&message[..number * number % 400]);
            messages.end(INITIAL, 0);
        }
        let expected: Vec<[u8; 32]> =
            (0..500usize).map(|number| Sha256::digest(&message[..number * number % 400]).into()).collect();
        let check = |go: fn(&mut Messages)| {
            let mut messages = messages.clone();
            go(&mut messages);
            assert!(messages.digests().eq(expected.iter().copied()));
        };
        check(Messages::one_by_one);
        if turns::runs() {
            check(Messages::together::<turns::Four, 4>);
        }
        if wide::runs() {
            check(Messages::together::<wide::Sixteen, 16>);
        }
    }

    #[test]
    fn every_length_is_padded_as_it_must_be() {
        let mut messages = Messages::default();
        let message: Vec<u8> = (0..300).map(|place| place as u8).collect();
        for length in 0..300 {
            messages.add(&message[..length]);
            messages.end(INITIAL, 0);
        }
        let mut slow = messages.clone();
        messages.hash();
        slow.one_by_one();
        for (length, (fast, slow)) in messages.digests().zip(slow.digests()).enumerate() {
            assert_eq!(fast, <[u8; 32]>::from(Sha256::digest(&message[..length])), "{length}");
            assert_eq!(fast, slow, "{length}");
        }
    }
}
