//! Crash trials over both transports.

use crate::broker::Broker;
use crate::command::{binary, expect_code, haul_run, sha256};
use crate::evidence::{self, Size};
use crate::random::Random;
use crate::snapshot;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Points in the code where `HAUL_CRASH_AT=<point>:<n>` kills the process at its n-th pass: see `stream::crash`.
pub const POINTS: &[&str] = stream::crash::POINTS;

/// Longest time that one fleet may take to seal.
const FLEET_LIMIT: Duration = Duration::from_secs(180);

/// What all trials share: the evidence, its state, and the bundle of the uninterrupted run.
pub struct Trials {
    folder: PathBuf,
    evidence: PathBuf,
    key: PathBuf,
    before: BTreeMap<PathBuf, snapshot::Entry>,
    expected: String,
    duration: Duration,
    seed: u64,
}

/// What happened.
#[derive(Default)]
pub struct Report {
    /// Kills by what was killed where.
    pub kills: BTreeMap<String, u32>,
    /// Trials that ended in the expected bundle.
    pub passed: u32,
    /// What went wrong, by trial.
    pub failures: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total: u32 = self.kills.values().sum();
        writeln!(f, "{} trials passed, {} failed, {total} kills", self.passed, self.failures.len())?;
        for (what, count) in &self.kills {
            writeln!(f, "{count:6} {what:40} {}", "#".repeat((*count as usize).min(60)))?;
        }
        self.failures.iter().try_for_each(|failure| writeln!(f, "FAILED {failure}"))
    }
}

impl Report {
    fn kill(&mut self, what: impl Into<String>) {
        *self.kills.entry(what.into()).or_default() += 1;
    }
}

impl Trials {
    /// Makes the evidence and the uninterrupted bundle, and measures how long that takes.
    pub fn prepare(folder: &Path, size: Size, seed: u64) -> Trials {
        let evidence = folder.join("evidence");
        evidence::make(&evidence, size, seed);
        let key = folder.join("key");
        let out = folder.join("expected");
        let before = snapshot::take(&evidence);
        let begin = Instant::now();
        expect_code(&mut haul_run(&evidence, &out, &key), 0);
        let duration = begin.elapsed();
        let expected = sha256(&out.join("1.sqlite"));
        Trials { folder: folder.to_owned(), evidence, key, before, expected, duration, seed }
    }

    /// The evidence.
    pub fn evidence(&self) -> &Path {
        &self.evidence
    }

    /// The signing key of all trials.
    pub fn key(&self) -> &Path {
        &self.key
    }

    /// SHA-256 of the uninterrupted bundle.
    pub fn expected(&self) -> &str {
        &self.expected
    }

    /// Compares a trial's bundle and the evidence with how they must be.
    fn judge(&self, name: &str, bundle: &Path, report: &mut Report) {
        let mut wrong = Vec::new();
        let found = sha256(bundle);
        if found != self.expected {
            wrong.push(format!("bundle {found} instead of {}", self.expected));
        }
        wrong.extend(snapshot::difference(&self.before, &snapshot::take(&self.evidence)));
        if wrong.is_empty() {
            report.passed += 1;
        } else {
            report.failures.push(format!("{name} (seed {}): {}", self.seed, wrong.join("; ")));
        }
    }
}

/// Trials over the embedded transport: up to three kills each, of `haul` at a random moment or a named point, or of one of its
/// parser processes.
pub fn embedded(trials: &Trials, count: u32, report: &mut Report) {
    for trial in 0..count {
        let mut random = Random(trials.seed.wrapping_mul(1_000_003).wrapping_add(u64::from(trial)));
        let out = trials.folder.join(format!("embedded-{trial}"));
        for _ in 0..=random.below(3) {
            if one_kill(trials, &out, &mut random, report) {
                break;
            }
        }
        let output = haul_run(&trials.evidence, &out, &trials.key).output().unwrap();
        if output.status.code() == Some(0) {
            trials.judge(&format!("embedded trial {trial}"), &out.join("1.sqlite"), report);
        } else {
            let words = String::from_utf8_lossy(&output.stderr).into_owned();
            report.failures.push(format!("embedded trial {trial} (seed {}): {words}", trials.seed));
        }
        fs::remove_dir_all(&out).unwrap();
    }
}

/// Starts a run and kills it, or one of its parsers; true if the run ended by itself first.
fn one_kill(trials: &Trials, out: &Path, random: &mut Random, report: &mut Report) -> bool {
    let mut command = haul_run(&trials.evidence, out, &trials.key);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let choice = random.below(10);
    if choice < 4 {
        let point = *random.pick(POINTS);
        command.env("HAUL_CRASH_AT", format!("{point}:{}", 1 + random.below(6)));
        let status = command.spawn().unwrap().wait().unwrap();
        let ended = status.code().is_some();
        report.kill(if ended { format!("haul, {point} not reached") } else { format!("haul at {point}") });
        return ended;
    }
    let mut child = command.spawn().unwrap();
    let micros = (trials.duration.as_micros() as u64).max(1);
    let moment = random.below(micros);
    std::thread::sleep(Duration::from_micros(moment));
    if choice < 6 {
        let parsers = children(child.id());
        match parsers.first() {
            Some(parser) => {
                kill(*parser);
                report.kill("parser process, random moment");
            }
            None => report.kill("parser process, none running"),
        }
        return child.wait().unwrap().code().is_some();
    }
    kill(child.id());
    let ended = child.wait().unwrap().code().is_some();
    let tenth = moment * 10 / micros;
    report.kill(if ended { "haul, ended first".to_owned() } else { format!("haul, {tenth}0 to {}0 % of its time", tenth + 1) });
    ended
}

/// Trials over a real broker: each has topics of its own and a fleet of three, of which up to three are killed, the broker too.
pub fn kafka(trials: &Trials, count: u32, report: &mut Report) {
    let broker = Broker::start(&trials.folder.join("broker"));
    for trial in 0..count {
        let mut random = Random(trials.seed.wrapping_mul(7_000_003).wrapping_add(u64::from(trial)));
        let name = format!("kafka trial {trial}");
        let folder = trials.folder.join(format!("kafka-{trial}"));
        let partitions = 1 + random.below(7) as i32;
        let fleet = Fleet::start(trials, &folder, &broker.address, trial, partitions, 2);
        match fleet.run(&broker, 3, &mut random, report) {
            Ok(()) => trials.judge(&name, &folder.join("out/1.sqlite"), report),
            Err(words) => report.failures.push(format!("{name} (seed {}): {words}", trials.seed)),
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}

/// The three workers of one trial.
pub struct Fleet<'a> {
    trials: &'a Trials,
    folder: PathBuf,
    settings: config::Settings,
    workers: BTreeMap<&'static str, Child>,
    doubles: Vec<Child>,
}

/// The workers of a fleet.
const WORKERS: [&str; 3] = ["haul-ingest", "haul-normalize", "haul-export"];

impl<'a> Fleet<'a> {
    /// Prepares and launches.
    pub fn start(trials: &'a Trials, folder: &Path, broker: &str, trial: u32, partitions: i32, workers: usize) -> Fleet<'a> {
        let mut fleet = Fleet::prepare(trials, folder, broker, trial, partitions, workers);
        fleet.launch();
        fleet
    }

    /// Writes the settings and creates the topics; no worker runs yet.
    pub fn prepare(trials: &'a Trials, folder: &Path, broker: &str, trial: u32, partitions: i32, workers: usize) -> Fleet<'a> {
        fs::create_dir_all(folder).unwrap();
        let mut settings = config::Settings { workers, ..config::Settings::default() };
        settings.stage.url = folder.join("stage").to_str().unwrap().to_owned();
        settings.kafka.brokers = broker.to_owned();
        settings.kafka.group = format!("haul-{}-{trial}", std::process::id());
        // A killed worker's partitions wait for its session to end.
        settings.kafka.properties.insert("session.timeout.ms".to_owned(), "2000".to_owned());
        let topics = [&mut settings.kafka.items, &mut settings.kafka.records, &mut settings.kafka.problems];
        for topic in topics {
            topic.name = format!("{}-{}-{trial}", topic.name, std::process::id());
            topic.partitions = partitions;
        }
        let config = folder.join("pipeline.toml");
        fs::write(&config, toml::to_string(&settings).unwrap()).unwrap();
        expect_code(Command::new(binary("haul")).arg("topics").arg("--config").arg(&config), 0);
        Fleet { trials, folder: folder.to_owned(), settings, workers: BTreeMap::new(), doubles: Vec::new() }
    }

    /// Starts the workers.
    pub fn launch(&mut self) {
        WORKERS.iter().for_each(|worker| self.spawn(worker));
    }

    /// Starts a second ingest worker on the same exhibit: everything is delivered twice, interleaved.
    pub fn double_ingest(&mut self) {
        self.spawn("haul-ingest");
        let double = self.workers.remove("haul-ingest").unwrap();
        self.doubles.push(double);
    }

    /// The fleet's settings.
    pub fn settings(&self) -> &config::Settings {
        &self.settings
    }

    fn spawn(&mut self, worker: &'static str) {
        let mut command = Command::new(binary(worker));
        command.arg("--config").arg(self.folder.join("pipeline.toml"));
        match worker {
            "haul-ingest" => command.args(["--case", "TEST", "--exhibit", "1"]).arg(&self.trials.evidence),
            "haul-normalize" => command.arg("--scratch").arg(self.folder.join("scratch")),
            _ => command.args(["--exit-when-sealed", "1"]).arg("--out").arg(self.folder.join("out")),
        };
        let log = fs::File::options().create(true).append(true).open(self.folder.join(format!("{worker}.log"))).unwrap();
        command.env("HAUL_KEY", &self.trials.key).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.workers.insert(worker, command.spawn().unwrap());
    }

    /// Kills and restarts up to `kills` times, then waits until the export worker has sealed; the others are then stopped.
    pub fn run(mut self, broker: &Broker, kills: u64, random: &mut Random, report: &mut Report) -> Result<(), String> {
        for _ in 0..random.below(kills + 1) {
            // The moment, not a wait for something: kills are spread over the time a fleet takes.
            std::thread::sleep(self.trials.duration.mul_f64(random.below(300) as f64 / 100.0));
            if random.below(6) == 0 && broker.ours() {
                broker.kill_and_restart();
                report.kill("broker");
            } else {
                let worker = *random.pick(&WORKERS);
                self.kill_and_restart(worker, report);
            }
        }
        let begin = Instant::now();
        loop {
            if let Some(status) = self.worker("haul-export").try_wait().unwrap() {
                return if status.success() { Ok(()) } else { Err(format!("haul-export ended with {status}: {}", self.log())) };
            }
            for worker in ["haul-ingest", "haul-normalize"] {
                if let Some(status) = self.worker(worker).try_wait().unwrap()
                    && !status.success()
                {
                    return Err(format!("{worker} ended with {status}: {}", self.log()));
                }
            }
            if begin.elapsed() > FLEET_LIMIT {
                return Err(format!("not sealed after {FLEET_LIMIT:?}: {}", self.log()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn worker(&mut self, name: &'static str) -> &mut Child {
        self.workers.get_mut(name).unwrap()
    }

    fn kill_and_restart(&mut self, name: &'static str, report: &mut Report) {
        let worker = self.worker(name);
        if name == "haul-export" && worker.try_wait().unwrap().is_some() {
            report.kill("haul-export, ended first");
            return;
        }
        kill(worker.id());
        worker.wait().unwrap();
        report.kill(format!("{name}, random moment"));
        self.spawn(name);
    }

    fn log(&self) -> String {
        let tail = |worker: &&str| {
            let text = fs::read_to_string(self.folder.join(format!("{worker}.log"))).unwrap();
            let lines: Vec<_> = text.lines().rev().take(5).collect();
            format!("{worker}: {}", lines.join(" | "))
        };
        WORKERS.iter().map(tail).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Fleet<'_> {
    fn drop(&mut self) {
        for worker in self.workers.values_mut().chain(&mut self.doubles) {
            if worker.try_wait().unwrap().is_none() {
                kill(worker.id());
                worker.wait().unwrap();
            }
        }
    }
}

/// SIGKILLs a process that we started, or a child of one.
fn kill(process: u32) {
    let pid = rustix::process::Pid::from_raw(process as i32).unwrap();
    // It may have ended by itself in the meantime: that is part of the trial.
    let _ended = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

/// Child processes of a process, by `/proc`.
fn children(parent: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for task in fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten() {
        if let Ok(list) = fs::read_to_string(task.path().join("children")) {
            found.extend(list.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
    }
    found
}
