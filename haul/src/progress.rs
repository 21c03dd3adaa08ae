//! How far a run is: a bar on a terminal, plain lines elsewhere.

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use model::text::escape;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Seconds between plain lines.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

/// Progress of one exhibit: items and bytes read of those listed, items parsed, entries sunk. Shared by all stages.
pub struct Progress {
    exhibit: String,
    bar: ProgressBar,
    plain: bool,
    last_line: Mutex<Instant>,
    items_listed: AtomicU64,
    bytes_listed: AtomicU64,
    items_read: AtomicU64,
    bytes_read: AtomicU64,
    units_parsed: AtomicU64,
    entries_sunk: AtomicU64,
}

impl Progress {
    /// Begins an exhibit; one of several says plain lines.
    pub fn new(exhibit: &str, several: bool) -> Progress {
        let plain = several || !std::io::stderr().is_terminal();
        let target = if plain { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr_with_hz(5) };
        Progress::on(target, exhibit, plain)
    }

    /// Counts and says nothing.
    pub fn silent() -> Progress {
        Progress::on(ProgressDrawTarget::hidden(), "", false)
    }

    fn on(target: ProgressDrawTarget, exhibit: &str, plain: bool) -> Progress {
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let template = "{prefix} {bar:24} {bytes}/{total_bytes} {bytes_per_sec} ETA {eta} · {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        let exhibit = escape(exhibit);
        bar.set_prefix(exhibit.clone());
        Progress {
            exhibit,
            bar,
            plain,
            last_line: Mutex::new(Instant::now()),
            items_listed: AtomicU64::new(0),
            bytes_listed: AtomicU64::new(0),
            items_read: AtomicU64::new(0),
            bytes_read: AtomicU64::new(0),
            units_parsed: AtomicU64::new(0),
            entries_sunk: AtomicU64::new(0),
        }
    }

    /// Says a phase (`sealing`) in words.
    pub fn phase(&self, words: &str) {
        if self.plain {
            eprintln!("{}: {words}", self.exhibit);
        } else {
            self.bar.set_message(words.to_owned());
        }
    }

    /// Ends the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn tick(&self, stuck: Option<&str>) {
        let (read, listed) = (self.items_read.load(Relaxed), self.items_listed.load(Relaxed));
        let (parsed, sunk) = (self.units_parsed.load(Relaxed), self.entries_sunk.load(Relaxed));
        if !self.plain {
            let at = stuck.map(|path| format!(" · {}", escape(path))).unwrap_or_default();
            self.bar.set_message(format!("{read}/{listed} items, {parsed} parsed, {sunk} entries{at}"));
            return;
        }
        let mut last = self.last_line.lock().unwrap_or_else(PoisonError::into_inner);
        if last.elapsed() >= PLAIN_INTERVAL {
            *last = Instant::now();
            let bytes = HumanBytes(self.bytes_read.load(Relaxed));
            let total = HumanBytes(self.bytes_listed.load(Relaxed));
            eprintln!("{}: {read}/{listed} items, {bytes} of {total}, {parsed} parsed, {sunk} entries", self.exhibit);
        }
    }

    /// More items and bytes are known of.
    pub fn listed(&self, items: u64, bytes: u64) {
        self.items_listed.fetch_add(items, Relaxed);
        let total = self.bytes_listed.fetch_add(bytes, Relaxed) + bytes;
        self.bar.set_length(total);
    }

    /// An item is being read now.
    pub fn reading(&self, path: &str) {
        if !self.plain {
            self.tick(Some(path));
        }
    }

    /// Items and bytes were read.
    pub fn read(&self, items: u64, bytes: u64) {
        self.items_read.fetch_add(items, Relaxed);
        let position = self.bytes_read.fetch_add(bytes, Relaxed) + bytes;
        self.bar.set_position(position);
        self.tick(None);
    }

    /// Units were parsed.
    pub fn parsed(&self, units: u64) {
        self.units_parsed.fetch_add(units, Relaxed);
        self.tick(None);
    }

    /// Entries were committed.
    pub fn sunk(&self, entries: u64) {
        self.entries_sunk.fetch_add(entries, Relaxed);
        self.tick(None);
    }
}
