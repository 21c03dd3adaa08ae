//! `haul merge` of many bundles against `sqlite3 .dump | sqlite3` of the same files:
//! `cargo run --release -p export --example merge_speed BUNDLE…` prints time, memory and their ratios. Without bundles it makes
//! 100 of 10,000 messages each.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]
#![allow(clippy::disallowed_methods, reason = "databases of our own")]

#[path = "records_speed/made.rs"]
mod made;

use export::{Context, Joining, MergeWatch, UnitKey};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

struct Quiet;
impl MergeWatch for Quiet {}

fn main() {
    let folder = std::env::temp_dir().join(format!("haul-merge-speed-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let key = UnitKey::open_or_make(&folder.join("key")).unwrap();
    let given: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let bundles = if given.is_empty() { make(&folder, &key) } else { given };
    let mut out = std::io::stdout().lock();
    let bytes: u64 = bundles.iter().map(|path| std::fs::metadata(path).unwrap().len()).sum();
    writeln!(out, "{} bundles, {} MB", bundles.len(), bytes >> 20).unwrap();
    reset_peak();
    let begin = Instant::now();
    let joining = Joining { bundles: &bundles, out: &folder.join("merged.sqlite"), key: Some(&key), threads: 2 };
    let before = cpu_seconds();
    let merged = export::merge(&joining, &Quiet).unwrap();
    let (merge_s, merge_cpu) = (begin.elapsed().as_secs_f64(), cpu_seconds() - before);
    writeln!(out, "merge {merge_s:.1} s ({merge_cpu:.1} s of processors), {} rows, peak {} MB", merged.rows, peak_mb()).unwrap();
    let begin = Instant::now();
    let dump_mb = dump(&bundles, &folder.join("dumped.sqlite"));
    let dump_s = begin.elapsed().as_secs_f64();
    let ratio = merge_s / dump_s;
    writeln!(out, "sqlite3 .dump | sqlite3 {dump_s:.1} s, peak {dump_mb} MB: the merge takes {ratio:.2} of its time").unwrap();
    let begin = Instant::now();
    let report = export::verify(joining.out).unwrap();
    writeln!(out, "verify {:.1} s, holds: {}", begin.elapsed().as_secs_f64(), report.holds()).unwrap();
    std::fs::remove_dir_all(folder).unwrap();
}

fn make(folder: &Path, key: &UnitKey) -> Vec<PathBuf> {
    (0..100)
        .map(|number| {
            let settings = config::Settings::default();
            let out = folder.join(format!("out{number}"));
            let context = Context { settings, work: out.join("work"), out, key: Some(key.clone()) };
            let batches = made::batches(&number.to_string(), 10_000);
            let path = made::seal(&context, &batches).2;
            std::fs::remove_dir_all(&context.work).unwrap();
            path
        })
        .collect()
}

/// Every bundle's text form into one database, rows that are there already left alone, as a technician would do it by hand.
/// The peak memory of the one that writes, MB.
fn dump(bundles: &[PathBuf], out: &Path) -> u64 {
    let mut target = Command::new("sqlite3").arg(out).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut input = target.stdin.take().unwrap();
    input.write_all(b"PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;\n").unwrap();
    for bundle in bundles {
        let pipe = "sqlite3 -readonly \"$1\" .dump | sed -e 's/^CREATE TABLE /CREATE TABLE IF NOT EXISTS /' -e 's/^INSERT INTO /INSERT OR IGNORE INTO /'";
        let mut text = Command::new("sh").args(["-c", pipe, "sh"]).arg(bundle).stdout(Stdio::piped()).spawn().unwrap();
        std::io::copy(text.stdout.as_mut().unwrap(), &mut input).unwrap();
        assert!(text.wait().unwrap().success());
    }
    let peak = status(&target.id().to_string(), "VmHWM") >> 10;
    drop(input);
    target.wait().unwrap();
    peak
}

fn status(process: &str, key: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = text.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn reset_peak() {
    // 5 sets the peak back to what is resident now (proc(5)); where it is not allowed the figure is that of the whole run.
    let _unsupported: std::io::Result<()> = std::fs::write("/proc/self/clear_refs", "5");
}

fn peak_mb() -> u64 {
    status("self", "VmHWM") >> 10
}

/// User and system time of this process, seconds (100 ticks each, proc(5)).
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after = text.rsplit_once(')').unwrap().1;
    after.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}
