//! How fast the scan is, beside hashing the same bytes: `cargo run --release -p model --example scan_speed`.
//! With names of inputs or of files behind `--`: those only.

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

/// Makes one input.
type Make = fn() -> Vec<u8>;

const INPUTS: &[(&str, Make)] = &[
    ("random", random),
    ("zeros", || vec![0; SIZE]),
    ("english", || fill(|random| random.sentence() + ". " + if random.next() % 5 == 0 { "\n" } else { "" })),
    ("json chat", json),
    ("phones csv", phones),
    ("utf-16le", || fill(|random| random.sentence() + ".\n").iter().take(SIZE / 2).flat_map(|byte| [*byte, 0]).collect()),
    ("cyrillic", cyrillic),
    ("base64", base64),
];

fn random() -> Vec<u8> {
    let mut random = Random(1);
    (0..SIZE / 8).flat_map(|_| random.next().to_le_bytes()).collect()
}

fn json() -> Vec<u8> {
    fill(|random| {
        let (id, at, from) = (random.next() % 100_000, 1_700_000_000 + random.next() % 10_000_000, random.next() % 1_000_000);
        let text = random.sentence();
        format!(
            "  {{\n   \"id\": {id},\n   \"type\": \"message\",\n   \"date_unixtime\": \"{at}\",\n   \"from\": \"Ann\",\n   \"from_id\": \"user{from}\",\n   \"text\": \"{text}\",\n   \"text_entities\": []\n  }},\n"
        )
    })
}

fn phones() -> Vec<u8> {
    fill(|random| {
        let mut row = String::new();
        for _ in 0..2 {
            let number = random.next() % 100_000_000;
            let prefix = ["+49170", "+34612", "+39331", "+44791"][(random.next() % 4) as usize];
            // Writing to a String cannot fail.
            let _infallible = write!(row, "{prefix}{number:08},");
        }
        row + random.word() + "\n"
    })
}

fn cyrillic() -> Vec<u8> {
    let moved = |letter| match letter {
        'a'..='z' => char::from_u32(u32::from(letter) - 0x61 + 0x430).unwrap_or('а'),
        other => other,
    };
    fill(|random| random.sentence().chars().map(moved).collect::<String>() + "\n")
}

fn base64() -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    fill(|random| (0..76).map(|_| char::from(ALPHABET[(random.next() >> 58) as usize])).collect::<String>() + "\n")
}

/// Time that this thread has been on a processor (Linux tells it to the tick): a machine that does other work too does not blur it.
/// Elsewhere the clock on the wall.
fn on_cpu(since: Instant) -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat");
    let nanoseconds = told.ok().and_then(|line| line.split(' ').next().and_then(|first| first.parse().ok()));
    nanoseconds.map_or_else(|| since.elapsed(), Duration::from_nanos)
}

fn best(mut run: impl FnMut()) -> Duration {
    let since = Instant::now();
    (0..7)
        .map(|_| {
            let start = on_cpu(since);
            run();
            on_cpu(since).saturating_sub(start)
        })
        .min()
        .unwrap_or_default()
}

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let only: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |name: &&str| only.is_empty() || only.iter().any(|only| only == name);
    let made =
        INPUTS.iter().filter(|(name, _)| wanted(name)).map(|(name, make)| Ok::<_, std::io::Error>(((*name).to_owned(), make())));
    let files = only.iter().filter(|name| std::path::Path::new(name).is_file());
    // Short files again and again: what is measured takes a while.
    let read = files.map(|path| {
        let bytes = std::fs::read(path)?;
        Ok((path.clone(), bytes.repeat((SIZE / 4 / bytes.len().max(1)).max(1))))
    });
    writeln!(out, "{:12} {:>9} {:>9} {:>7} {:>9}", "input", "scan GB/s", "sha GB/s", "scan/sha", "finds")?;
    for input in made.chain(read) {
        let (name, bytes): (String, Vec<u8>) = input?;
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
            "{:>12} {:9.2} {:9.2} {:7.2} {finds:9}",
            name.get(name.len().saturating_sub(12)..).unwrap_or(&name),
            rate(scan),
            rate(hash),
            scan.as_secs_f64() / hash.as_secs_f64()
        )?;
    }
    if !only.is_empty() {
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
