//! Several exhibits at once: how many, and what becomes of each.

use anyhow::{Error, Result};
use config::Settings;
use ingest::Job;
use model::text::escape;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Memory of one exhibit in work beside its parsers: two page caches, queues of bounded batches, buffers.
const EXHIBIT_BYTES: u64 = 128 << 20;
/// Memory of one worker: its buffers and a unit's output.
const WORKER_BYTES: u64 = 16 << 20;

/// How many exhibits are in work at once, and how many workers each has: within the memory that is allowed, and never more
/// exhibits than workers.
pub fn plan(settings: &Settings, jobs: usize) -> (usize, usize) {
    let workers = settings.worker_count().max(1);
    let allowed = match settings.run.memory_bytes {
        0 => machine_bytes() / 2,
        bytes => bytes,
    };
    let each_worker = settings.sandbox.memory_bytes.saturating_add(WORKER_BYTES);
    let left = allowed.saturating_sub(each_worker.saturating_mul(workers as u64));
    let each_exhibit = EXHIBIT_BYTES.saturating_add(settings.export.cache_bytes.saturating_mul(2));
    let fitting = usize::try_from(left / each_exhibit).unwrap_or(usize::MAX);
    let wanted = if settings.run.exhibits == 0 { workers } else { settings.run.exhibits };
    let at_once = wanted.min(fitting).min(workers).min(jobs).max(1);
    (at_once, (workers / at_once).max(1))
}

fn machine_bytes() -> u64 {
    let info = rustix::system::sysinfo();
    info.totalram.saturating_mul(u64::from(info.mem_unit))
}

/// What became of a raid.
#[derive(Default)]
pub struct Outcome {
    /// Exhibits that could not be read to their end.
    pub incomplete: usize,
    /// Exhibits that failed, and why, in the order of the list.
    pub failed: Vec<(String, Error)>,
}

/// Works through the jobs, `at_once` at a time; an exhibit that fails holds up no other. `work` says whether the exhibit
/// could be read to its end.
pub fn work(jobs: &[Job], at_once: usize, work: &(dyn Fn(&Job) -> Result<bool> + Sync)) -> Outcome {
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let take = || {
        while let Some((at, job)) = {
            let at = next.fetch_add(1, Relaxed);
            jobs.get(at).map(|job| (at, job))
        } {
            let result = work(job);
            if let Err(error) = &result {
                eprintln!("{}: failed: {}", escape(&job.number), escape(&format!("{error:#}")));
            }
            results.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(take);
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(at, _)| *at);
    let mut outcome = Outcome::default();
    for (at, result) in results {
        match result {
            Ok(complete) => outcome.incomplete += usize::from(!complete),
            Err(error) => outcome.failed.extend(jobs.get(at).map(|job| (job.number.clone(), error))),
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jobs(numbers: &[&str]) -> Vec<Job> {
        let job = |number: &&str| Job {
            evidence: "x".into(),
            case_label: "c".to_owned(),
            number: (*number).to_owned(),
            kind: "unknown".to_owned(),
            passwords: Vec::new(),
        };
        numbers.iter().map(job).collect()
    }

    #[test]
    fn one_broken_exhibit_holds_up_none() {
        for at_once in [1, 3] {
            let done = Mutex::new(Vec::new());
            let outcome = work(&jobs(&["a", "b", "c", "d"]), at_once, &|job| {
                done.lock().unwrap().push(job.number.clone());
                match job.number.as_str() {
                    "b" => anyhow::bail!("broken"),
                    number => Ok(number != "c"),
                }
            });
            assert_eq!(outcome.incomplete, 1);
            assert_eq!(outcome.failed.iter().map(|(number, _)| number.as_str()).collect::<Vec<_>>(), ["b"]);
            assert_eq!(done.lock().unwrap().len(), 4);
        }
    }

    #[test]
    fn the_memory_that_is_allowed_is_shared_out() {
        let mut settings = Settings { workers: 8, ..Settings::default() };
        let parsers = 8 * (settings.sandbox.memory_bytes + WORKER_BYTES);
        let exhibit = EXHIBIT_BYTES + 2 * settings.export.cache_bytes;
        settings.run.memory_bytes = parsers + 3 * exhibit;
        assert_eq!(plan(&settings, 100), (3, 2));
        assert_eq!(plan(&settings, 2), (2, 4));
        settings.run.memory_bytes = 1;
        assert_eq!(plan(&settings, 100), (1, 8));
        settings.run.memory_bytes = u64::MAX;
        assert_eq!(plan(&settings, 100), (8, 1));
        settings.run.exhibits = 1;
        assert_eq!(plan(&settings, 100), (1, 8));
    }
}
