//! `haul merge`: one bundle of many.

use crate::cli;
use crate::keys;
use anyhow::Result;
use export::{Error, Joining, MergeWatch};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use model::text::escape;
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time between plain lines.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

/// A bar on a terminal, plain lines elsewhere.
struct Told {
    bar: ProgressBar,
    plain: bool,
    /// Rows written, and when that was last said.
    written: Mutex<(u64, Instant)>,
}

impl Told {
    fn new() -> Told {
        let plain = !std::io::stderr().is_terminal();
        let target = if plain { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr_with_hz(5) };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        if let Ok(style) = ProgressStyle::with_template("{msg} {bar:24} {human_pos}/{human_len} {per_sec} ETA {eta}") {
            bar.set_style(style);
        }
        Told { bar, plain, written: Mutex::new((0, Instant::now())) }
    }

    /// Says it on a plain stderr, if the last time is long ago.
    fn line(&self, words: impl FnOnce(u64) -> String, more: u64) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.0 += more;
        if self.plain && written.1.elapsed() >= PLAIN_INTERVAL {
            written.1 = Instant::now();
            eprintln!("{}", words(written.0));
        }
    }
}

impl MergeWatch for Told {
    fn checked(&self, bundles: usize, of: usize) {
        self.bar.set_message("bundles checked");
        self.bar.set_length(of as u64);
        self.bar.set_position(bundles as u64);
        self.line(|_| format!("{bundles} of {of} bundles checked"), 0);
    }

    fn written(&self, rows: u64, of: u64) {
        if self.bar.length() != Some(of) {
            self.bar.reset();
            self.bar.set_message("rows joined");
            self.bar.set_length(of);
        }
        self.bar.inc(rows);
        self.line(|written| format!("{written} of {of} rows joined"), rows);
    }
}

/// Joins bundles; exit code 1 if one does not hold or two say different things, and then there is no output.
pub fn merge(arguments: &cli::Merge) -> Result<u8> {
    let key = if arguments.unsigned { None } else { Some(keys::unit_key()?) };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let joining = Joining { bundles: &arguments.bundles, out: &arguments.out, key: key.as_ref(), threads };
    let told = Told::new();
    let merged = export::merge(&joining, &told);
    told.bar.finish_and_clear();
    match merged {
        Ok(merged) => {
            if key.is_some() {
                crate::custody::note(&arguments.out, "merge", &[("parts", merged.parts.to_string())]);
            }
            let out = escape(&arguments.out.display().to_string());
            let (parts, rows) = (merged.parts, merged.rows);
            let roots = format!("root {}, content root {}", merged.root, merged.content_root);
            writeln!(std::io::stdout().lock(), "{out}: {parts} bundles joined, {rows} rows, {roots}")?;
            Ok(0)
        }
        Err(error @ (Error::DoesNotHold { .. } | Error::Conflict { .. })) => {
            eprintln!("haul: nothing was joined: {}", escape(&error.to_string()));
            Ok(1)
        }
        // Nothing was begun that could be gone on with: a usage error, whatever the cause.
        Err(error) => anyhow::bail!("{error}"),
    }
}
