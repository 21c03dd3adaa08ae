//! How fast, as ratios against something measured in the same run: `cargo bench -p tests --bench speed [-- SECTION…]`.
//!
//! Sections: `bulk` (large incompressible files against two openssl processes), `phone` (the bench phone against one openssl
//! process; made by the generator that `HAUL_BENCH_GENERATOR` names, or the one beside the project), `small` (small files a
//! second), `units` (the same of files that are staged and given to a parser child), `definitions` (what 100 more definitions
//! cost a database that none of them fits), `memory` (peak resident bytes of all processes, at one, three and ten times the scale),
//! `recovery` (the databases of the bench phone with recovery of deleted rows on, against off). Absolute figures move with the
//! machine; ratios less.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that cannot go on stops")]

use normalize::artifact::{self, Set};
use rusqlite::{Connection, OpenFlags};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tests::command::{expect_code, haul_run};
use tests::random::Random;
use tests::unit::Unit;

/// Rounds of which the median counts; the commands of one section take turns.
const ROUNDS: usize = 3;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let want = |name: &str| wanted.is_empty() || wanted.iter().any(|section| section == name);
    let folder = tempfile::tempdir().unwrap();
    if want("bulk") {
        bulk(&folder.path().join("bulk"));
    }
    if want("small") {
        small(&folder.path().join("small"), |random| {
            let length = 200 + random.below(4_000) as usize;
            random.bytes(length)
        });
    }
    if want("units") {
        // Text may be a chat export: every file goes through the sandbox.
        small(&folder.path().join("units"), |random| format!("note {}\nmilk, bread\n", random.below(1 << 40)).into_bytes());
    }
    if want("definitions") {
        definitions();
    }
    if want("phone") || want("memory") || want("recovery") {
        match generator() {
            Some(script) => {
                let sets = Sets { script, folder: folder.path().to_owned() };
                if want("phone") {
                    phone(&sets);
                }
                if want("memory") {
                    memory(&sets);
                }
                if want("recovery") {
                    recovery(&sets);
                }
            }
            None => println!("phone, memory, recovery: no generator (set HAUL_BENCH_GENERATOR)"),
        }
    }
}

fn generator() -> Option<PathBuf> {
    let beside = || Some(tests::root().parent()?.join("shared/bench/make-evidence.py"));
    std::env::var_os("HAUL_BENCH_GENERATOR").map(PathBuf::from).or_else(beside).filter(|path| path.exists())
}

struct Sets {
    script: PathBuf,
    folder: PathBuf,
}

impl Sets {
    /// The phone at a scale.
    fn phone(&self, scale: &str) -> PathBuf {
        let set = self.folder.join(format!("set-{scale}"));
        if !set.exists() {
            let mut command = Command::new("python3");
            command.arg(&self.script).arg(&set).args(["--scale", scale, "--no-zip", "--no-img"]);
            expect_code(command.env("PYTHONDONTWRITEBYTECODE", "1"), 0);
            fs::remove_dir_all(set.join("computer")).unwrap();
        }
        set.join("phone")
    }
}

/// Median wall times of commands that take turns.
fn medians(commands: &mut [&mut dyn FnMut()]) -> Vec<Duration> {
    let mut times = vec![Vec::new(); commands.len()];
    for _ in 0..ROUNDS {
        for (command, times) in commands.iter_mut().zip(&mut times) {
            let begin = Instant::now();
            command();
            times.push(begin.elapsed());
        }
    }
    times.iter_mut().for_each(|times| times.sort());
    times.iter().map(|times| times[ROUNDS / 2]).collect()
}

/// Hashes a tree with so many openssl processes.
fn openssl(tree: &Path, processes: &str) {
    let script = "find \"$0\" -type f -print0 | xargs -0 -P\"$1\" -n 2000 openssl dgst -sha256 >/dev/null";
    // With few files, one file a process keeps both busy.
    let files = fs::read_dir(tree).unwrap().count();
    let script = if files < 100 { script.replace("-n 2000", "-n 1") } else { script.to_owned() };
    let script = if processes == "1" { script.replace("-n 1 ", "-n 2000 ") } else { script };
    expect_code(Command::new("sh").arg("-c").arg(script).arg(tree).arg(processes), 0);
}

fn haul(tree: &Path, folder: &Path) {
    let out = folder.join("out");
    if out.exists() {
        fs::remove_dir_all(&out).unwrap();
    }
    expect_code(&mut haul_run(tree, &out, &folder.join("key")), 0);
}

fn report(name: &str, haul: Duration, other: Duration, against: &str, target: f64) {
    let ratio = haul.as_secs_f64() / other.as_secs_f64();
    println!("{name}: haul {haul:.2?}, {against} {other:.2?}, ratio {ratio:.2} (target at most {target})");
}

fn bulk(folder: &Path) {
    let tree = folder.join("tree");
    fs::create_dir_all(&tree).unwrap();
    let mut random = Random(1);
    for number in 0..8 {
        fs::write(tree.join(format!("{number}.bin")), random.bytes(160 << 20)).unwrap();
    }
    openssl(&tree, "2");
    let times = medians(&mut [&mut || haul(&tree, folder), &mut || openssl(&tree, "2")]);
    report("bulk", times[0], times[1], "xargs -P2 openssl", 1.3);
    fs::remove_dir_all(folder).unwrap();
}

fn small(folder: &Path, content: impl Fn(&mut Random) -> Vec<u8>) {
    let tree = folder.join("tree");
    let mut random = Random(2);
    let files = 40_000;
    for number in 0..files {
        let path = tree.join(format!("{:03}/{number}.bin", number % 200));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content(&mut random)).unwrap();
    }
    openssl(&tree, "1");
    let times = medians(&mut [&mut || haul(&tree, folder), &mut || openssl(&tree, "1")]);
    let name = folder.file_name().unwrap().to_string_lossy();
    report(&name, times[0], times[1], "one openssl", 99.0);
    println!("{name}: {:.0} files/s, sealed bundle included (target 10000)", f64::from(files) / times[0].as_secs_f64());
    fs::remove_dir_all(folder).unwrap();
}

/// A database of 60 tables that no definition fits, read with the definitions that there are and with 100 more.
fn definitions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let connection =
        Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE).unwrap();
    for table in 0..60 {
        let columns: Vec<_> = (0..12).map(|column| format!("column_{column}")).collect();
        connection.execute_batch(&format!("CREATE TABLE app_{table} ({})", columns.join(", "))).unwrap();
    }
    connection.close().unwrap();
    let unit = Unit::new("data/data/app.example/databases/app.db", &fs::read(&path).unwrap());
    let texts = artifact::read_folder(&tests::root().join("normalize/artifacts")).unwrap();
    let more: Vec<_> =
        texts.iter().cycle().take(100).enumerate().map(|(number, (_, text))| (format!("zz_{number}"), text.clone())).collect();
    let (few, many) = (Set::with(&[]).unwrap(), Set::with(&more).unwrap());
    let read = |set: &Set| {
        let begin = Instant::now();
        (0..200).for_each(|_| drop(unit.read_database(set)));
        begin.elapsed() / 200
    };
    let mut times: Vec<_> = (0..9).map(|_| (read(&few), read(&many))).collect();
    times.sort_by_key(|(few, many)| many.saturating_sub(*few));
    let (without, with) = times[4];
    println!(
        "definitions: {} take {without:.2?} for a database that none fits, 100 more {:.2?} on top (target at most 2 ms)",
        few.artifacts().len(),
        with.saturating_sub(without)
    );
}

fn phone(sets: &Sets) {
    let tree = sets.phone("1");
    openssl(&tree, "1");
    let folder = sets.folder.clone();
    let times = medians(&mut [&mut || haul(&tree, &folder), &mut || openssl(&tree, "1")]);
    report("phone", times[0], times[1], "one openssl", 6.0);
}

fn recovery(sets: &Sets) {
    let (tree, databases) = (sets.phone("1"), sets.folder.join("databases"));
    let mut folders = vec![tree];
    let mut count = 0;
    fs::create_dir_all(&databases).unwrap();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = entry.file_name().unwrap().to_string_lossy().into_owned();
            if entry.is_dir() {
                folders.push(entry);
            } else if [".db", ".sqlite", ".db-wal", ".sqlite-wal", "-journal"].iter().any(|end| name.ends_with(end)) {
                // One folder each: names repeat, and companions belong to their database.
                let place = databases.join(entry.parent().unwrap().to_string_lossy().replace('/', "_"));
                fs::create_dir_all(&place).unwrap();
                fs::copy(&entry, place.join(name)).unwrap();
                count += 1;
            }
        }
    }
    let off = sets.folder.join("off.toml");
    fs::write(&off, "[normalize]\nrecover_rows = false\n").unwrap();
    let run = |config: Option<&Path>| {
        let out = sets.folder.join("recovery-out");
        if out.exists() {
            fs::remove_dir_all(&out).unwrap();
        }
        let mut command = haul_run(&databases, &out, &sets.folder.join("key"));
        if let Some(config) = config {
            command.arg("--config").arg(config);
        }
        expect_code(&mut command, 0);
    };
    let times = medians(&mut [&mut || run(None), &mut || run(Some(&off))]);
    println!("recovery: {count} files");
    report("recovery", times[0], times[1], "recover_rows = false", 2.0);
}

fn memory(sets: &Sets) {
    for scale in ["1", "3", "10"] {
        let tree = sets.phone(scale);
        let out = sets.folder.join("memory-out");
        let mut command = haul_run(&tree, &out, &sets.folder.join("key"));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let (mut peak, mut peak_one) = (0, 0);
        while child.try_wait().unwrap().is_none() {
            let (all, one) = resident(child.id());
            (peak, peak_one) = (peak.max(all), peak_one.max(one));
            std::thread::sleep(Duration::from_millis(5));
        }
        println!(
            "memory: scale {scale}: peak {} MB in all processes, {} MB in haul itself (target 400)",
            peak >> 20,
            peak_one >> 20
        );
        fs::remove_dir_all(&out).unwrap();
    }
}

/// Resident bytes of a process with its children, and of itself alone.
fn resident(process: u32) -> (u64, u64) {
    let of = |process: &str| -> u64 {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        line.and_then(|line| line.split_whitespace().nth(1)).map_or(0, |number| number.parse::<u64>().unwrap() << 10)
    };
    let own = of(&process.to_string());
    let mut all = own;
    for task in fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten() {
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        all += children.split_whitespace().map(of).sum::<u64>();
    }
    (all, own)
}
