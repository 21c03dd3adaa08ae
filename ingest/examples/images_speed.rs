//! How fast containers are taken in, against the tools of the trade, in one run on one machine:
//!
//! ```text
//! cargo run --release -p ingest --example images_speed            # images of 200 MB, three rounds
//! cargo run --release -p ingest --example images_speed -- million # a file system of 1,000,000 entries
//! ```
//!
//! Both sides are measured in processor seconds (user and system) and by the clock, the least of three rounds; what is read is in the page
//! cache. Ours hashes every file with SHA-256, and searches every byte for addresses and numbers; theirs
//! (`ewfexport`, `tsk_recover` and `sha256sum`, `unzip -t`) does what its name says. The images are made with mke2fs, mkntfs,
//! ewfacquire and zip in a temporary folder.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a measurement that cannot go on stops"
)]

use config::Settings;
use model::wire::Batch;
use model::{Id, WorkUnit};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;
use stream::{Invalid, Position, Publish, stage::Stage};

/// Rounds of each measurement: the least counts.
const ROUNDS: usize = 3;
/// Ticks of a second in /proc (USER_HZ, which Linux fixes for what it shows).
const TICKS: f64 = 100.0;

/// Takes everything and keeps nothing.
struct Nothing;

impl Publish for Nothing {
    fn unit(&self, _: &WorkUnit) -> Result<(), stream::Error> {
        Ok(())
    }
    fn batch(&self, _: Id, _: Batch) -> Result<(), stream::Error> {
        Ok(())
    }
    fn invalid(&self, _: Option<Id>, _: Position, _: &Invalid) -> Result<(), stream::Error> {
        Ok(())
    }
    fn flush(&self) -> Result<(), stream::Error> {
        Ok(())
    }
}

/// Counts, and says when a large list is complete.
struct Counting {
    begun: Instant,
    items: AtomicU64,
    bytes: AtomicU64,
}

impl ingest::Watch for Counting {
    fn done(&self, _: Id) -> bool {
        false
    }
    fn listed(&self, items: u64, _: u64) {
        if items >= 100_000 {
            let (cpu, seconds, memory) = (cpu_s(false), self.begun.elapsed().as_secs_f64(), memory_mb());
            println!("listed {items} entries: {seconds:.1} s, {cpu:.1} CPU s, {memory} MB of memory at most");
        }
    }
    fn reading(&self, _: &str) {}
    fn read(&self, items: u64, bytes: u64) {
        self.items.fetch_add(items, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }
}

/// Takes one exhibit in: what the example starts itself for.
fn take(evidence: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::open(folder.path().to_str().unwrap(), &BTreeMap::new()).unwrap();
    let job = ingest::Job {
        evidence: evidence.to_owned(),
        case_label: "speed".to_owned(),
        number: "1".to_owned(),
        kind: "unknown".to_owned(),
        passwords: Vec::new(),
    };
    let watch = Counting { begun: Instant::now(), items: AtomicU64::new(0), bytes: AtomicU64::new(0) };
    let mut settings = Settings::default();
    // Contents for parsers are not kept here: what that costs is another measurement.
    settings.ingest.stage_types.clear();
    ingest::run(&job, &settings, &stage, &Nothing, &watch).unwrap();
    let (items, bytes) = (watch.items.into_inner(), watch.bytes.into_inner());
    println!("{items} items, {} MB, {} MB of memory at most", bytes >> 20, memory_mb());
}

/// Processor seconds of this process, or of its children that have ended.
fn cpu_s(children: bool) -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_ascii_whitespace().collect();
    let at = if children { 13 } else { 11 };
    fields[at..at + 2].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / TICKS
}

/// Most memory that this process has had, MB.
fn memory_mb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
}

/// Runs a line of the shell; processor and wall seconds, and what it said.
fn timed(line: &str, folder: &Path) -> (f64, f64, String) {
    let (cpu, begun) = (cpu_s(true), Instant::now());
    let output = Command::new("bash").args(["-ec", line]).current_dir(folder).stderr(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{line}");
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (cpu_s(true) - cpu, begun.elapsed().as_secs_f64(), said)
}

fn least(line: &str, folder: &Path) -> (f64, f64, String) {
    let rounds: Vec<_> = (0..ROUNDS).map(|_| timed(line, folder)).collect();
    let least = |of: &dyn Fn(&(f64, f64, String)) -> f64| rounds.iter().map(of).fold(f64::MAX, f64::min);
    (least(&|round| round.0), least(&|round| round.1), rounds[0].2.clone())
}

/// A tree as phones and computers have it: pictures that no packer makes smaller, texts, databases, small files.
fn tree(root: &Path) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for number in 0..3000u64 {
        let folder = root.join(format!("d{}", number % 50));
        fs::create_dir_all(&folder).unwrap();
        let size = match number % 10 {
            0..5 => 2_000 + next() % 20_000,
            5..9 => 20_000 + next() % 80_000,
            _ => 200_000 + next() % 500_000,
        };
        let mut content = Vec::new();
        while (content.len() as u64) < size {
            let word = next();
            match number % 3 {
                0 => content.extend(word.to_le_bytes()),
                1 => content.extend(format!("{} said on day {}: word {}\n", word % 97, word % 31, word % 4096).bytes()),
                _ => content.extend([(word & 7) as u8; 24]),
            }
        }
        fs::write(folder.join(format!("f{number}.bin")), content).unwrap();
    }
}

const PATH: &str = "export PATH=/usr/bin:/bin:/usr/sbin:/sbin; ";

fn images(own: &str, folder: &Path) {
    tree(&folder.join("tree"));
    let make = "mke2fs -q -t ext4 -d tree -F ext4.raw 250M; ewfacquire -u -q -c deflate:fast -t ext4 ext4.raw >/dev/null
        truncate -s 250M ntfs.raw; mkntfs -q -F -f ntfs.raw >/dev/null
        (cd tree && find . -type f | head -n 1500 | while read f; do ntfscp -q ../ntfs.raw \"$f\" \"${f##*/}\"; done)
        (cd tree && zip -q -r ../tree.zip .)";
    timed(&format!("{PATH}{make}"), folder);
    let tsk = |image: &str| {
        format!("rm -rf out; tsk_recover -a {image} out >/dev/null; find out -type f -print0 | xargs -0 sha256sum >/dev/null")
    };
    let rows = [
        ("files in E01", "ext4.E01", "ewfexport -q -u -f raw -t - ext4.E01 2>/dev/null >/dev/null".to_owned(), 1.5),
        ("files in raw ext4", "ext4.raw", tsk("ext4.raw"), 1.3),
        ("files in raw NTFS", "ntfs.raw", tsk("ntfs.raw"), 1.3),
        ("zip", "tree.zip", "unzip -tq tree.zip >/dev/null".to_owned(), 1.2),
    ];
    println!(
        "{:<20} {:>9} {:>9} {:>9} {:>9} {:>7} {:>7} {:>7}",
        "", "our CPU", "clock", "their CPU", "clock", "CPU", "clock", "target"
    );
    for (name, image, theirs, target) in rows {
        let (our_cpu, our_clock, said) = least(&format!("{own} take {image}"), folder);
        let (cpu, clock, _) = least(&format!("{PATH}{theirs}"), folder);
        println!(
            "{name:<20} {our_cpu:>8.2}s {our_clock:>8.2}s {cpu:>8.2}s {clock:>8.2}s {:>7.2} {:>7.2} {target:>7}   {said}",
            our_cpu / cpu,
            our_clock / clock
        );
    }
}

/// A file system of a thousand folders of a thousand files.
fn million(own: &str, folder: &Path) {
    for outer in 0..1000 {
        let root = folder.join(format!("tree/folder-{outer:04}"));
        fs::create_dir_all(&root).unwrap();
        (0..999).for_each(|inner| drop(fs::File::create(root.join(format!("file-{inner:06}.jpg"))).unwrap()));
    }
    timed(&format!("{PATH}mke2fs -q -t ext4 -N 1010000 -d tree -F million.raw 900M; rm -r tree"), folder);
    println!("{}", timed(&format!("{own} take million.raw"), folder).2);
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, verb, path] = &arguments[..]
        && verb == "take"
    {
        return take(Path::new(path));
    }
    let folder = tempfile::tempdir().unwrap();
    let own = std::env::current_exe().unwrap().to_string_lossy().into_owned();
    match arguments.get(1).map(String::as_str) {
        Some("million") => million(&own, folder.path()),
        _ => images(&own, folder.path()),
    }
}
