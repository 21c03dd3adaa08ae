//! How fast the scan is, beside hashing the same bytes: `cargo run --release -p model --example scan_speed`.

use model::recognize::{Mode, StreamScan, find_in_text, phone};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

const SIZE: usize = 64 << 20;
const BUFFER: usize = 256 << 10;
const WORDS: &[&str] = &[
    "the",
    "of",
    "and",
    "a",
    "to",
    "in",
    "is",
    "you",
    "that",
    "it",
    "he",
    "was",
    "for",
    "on",
    "are",
    "as",
    "with",
    "his",
    "they",
    "I",
    "at",
    "be",
    "this",
    "have",
    "from",
    "or",
    "one",
    "had",
    "by",
    "word",
    "but",
    "not",
    "what",
    "all",
    "were",
    "we",
    "when",
    "your",
    "can",
    "said",
    "there",
    "use",
    "an",
    "each",
    "which",
    "she",
    "do",
    "how",
    "their",
    "if",
    "will",
    "up",
    "other",
    "about",
    "out",
    "many",
    "then",
    "them",
    "these",
    "so",
    "some",
    "her",
    "would",
    "make",
    "like",
    "him",
    "into",
    "time",
    "has",
    "look",
    "two",
    "more",
    "write",
    "go",
    "see",
    "number",
    "no",
    "way",
    "could",
    "people",
    "my",
    "than",
    "first",
    "water",
    "been",
    "call",
    "who",
    "oil",
    "its",
    "now",
    "find",
    "long",
    "down",
    "day",
    "did",
    "get",
    "come",
    "made",
    "may",
    "part",
    "investigation",
    "responsibility",
    "government",
];

/// xorshift64*: the same bytes in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn word(&mut self) -> &'static str {
        // Squared: frequent words first, as in real text.
        let share = (self.next() >> 40) as f64 / (1u64 << 24) as f64;
        WORDS[(share * share * WORDS.len() as f64) as usize]
    }

    fn sentence(&mut self) -> String {
        let count = 5 + self.next() % 12;
        (0..count).map(|_| self.word()).collect::<Vec<_>>().join(" ")
    }
}

fn fill(mut line: impl FnMut(&mut Random) -> String) -> Vec<u8> {
    let mut random = Random(7);
    let mut out = String::with_capacity(SIZE + 4096);
    while out.len() < SIZE {
        out.push_str(&line(&mut random));
    }
    out.into_bytes()
}

fn inputs() -> Vec<(&'static str, Vec<u8>)> {
    let mut random = Random(1);
    let noise = (0..SIZE / 8).flat_map(|_| random.next().to_le_bytes()).collect();
    let english = fill(|random| random.sentence() + ". " + if random.next() % 5 == 0 { "\n" } else { "" });
    let json = fill(|random| {
        let (id, at, from) = (random.next() % 100_000, 1_700_000_000 + random.next() % 10_000_000, random.next() % 1_000_000);
        let text = random.sentence();
        format!(
            "  {{\n   \"id\": {id},\n   \"type\": \"message\",\n   \"date_unixtime\": \"{at}\",\n   \"from\": \"Ann\",\n   \"from_id\": \"user{from}\",\n   \"text\": \"{text}\",\n   \"text_entities\": []\n  }},\n"
        )
    });
    let phones = fill(|random| {
        let mut row = String::new();
        for _ in 0..2 {
            let number = random.next() % 100_000_000;
            let prefix = ["+49170", "+34612", "+39331", "+44791"][(random.next() % 4) as usize];
            // Writing to a String cannot fail.
            let _infallible = write!(row, "{prefix}{number:08},");
        }
        row + random.word() + "\n"
    });
    let wide = fill(|random| random.sentence() + ".\n").iter().take(SIZE / 2).flat_map(|byte| [*byte, 0]).collect();
    let cyrillic = fill(|random| {
        random
            .sentence()
            .chars()
            .map(|letter| match letter {
                'a'..='z' => char::from_u32(u32::from(letter) - 0x61 + 0x430).unwrap_or('а'),
                other => other,
            })
            .collect::<String>()
            + "\n"
    });
    let base64 = fill(|random| {
        let line: String = (0..76)
            .map(|_| b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[(random.next() >> 58) as usize] as char)
            .collect();
        line + "\n"
    });
    vec![
        ("random", noise),
        ("zeros", vec![0; SIZE]),
        ("english", english),
        ("json chat", json),
        ("phones csv", phones),
        ("utf-16le", wide),
        ("cyrillic", cyrillic),
        ("base64", base64),
    ]
}

fn best(mut run: impl FnMut()) -> Duration {
    (0..3)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .min()
        .unwrap_or_default()
}

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let only = std::env::args().nth(1);
    writeln!(out, "{:12} {:>9} {:>9} {:>7} {:>9}", "input", "scan GB/s", "sha GB/s", "scan/sha", "finds")?;
    for (name, bytes) in inputs() {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let mut finds = 0u64;
        let scan = best(|| {
            finds = 0;
            let mut scan = StreamScan::new(Mode::All);
            for buffer in bytes.chunks(BUFFER) {
                scan.push(buffer, &mut |_| finds += 1);
            }
            scan.finish(&mut |_| finds += 1);
        });
        let mut digest = Vec::new();
        let hash = best(|| digest = Sha256::digest(&bytes).to_vec());
        assert_eq!(digest.len(), 32);
        let rate = |time: Duration| bytes.len() as f64 / time.as_secs_f64() / 1e9;
        writeln!(
            out,
            "{name:12} {:9.2} {:9.2} {:7.2} {finds:9}",
            rate(scan),
            rate(hash),
            scan.as_secs_f64() / hash.as_secs_f64()
        )?;
    }
    if only.is_some() {
        return Ok(());
    }
    let mut random = Random(3);
    let messages: Vec<String> = (0..200_000).map(|_| random.sentence()).collect();
    let mut finds = 0;
    let time = best(|| finds = messages.iter().map(|text| find_in_text(text).len()).sum());
    writeln!(
        out,
        "200,000 messages of {} bytes on average: {time:.1?}, {finds} finds",
        messages.iter().map(String::len).sum::<usize>() / 200_000
    )?;
    let numbers: Vec<String> = (0..200_000).map(|_| format!("+49170{:07}", random.next() % 10_000_000)).collect();
    let mut valid = 0;
    let time = best(|| valid = numbers.iter().filter(|number| phone::normalize(number, None).is_some()).count());
    writeln!(out, "200,000 numbers normalized: {time:.1?}, {valid} valid")
}
