//! Work on long lists, a chunk at a time on every core.

use crate::Error;
use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Elements of a chunk: one proof each. RFC 9497 batches hold up to 65,535.
pub const CHUNK: usize = 4096;

/// What `work` gives for each chunk (its number and its elements), in order. The first chunk that fails ends it.
pub fn in_chunks<T: Sync, R: Send>(items: &[T], work: impl Fn(usize, &[T]) -> Result<R, Error> + Sync) -> Result<Vec<R>, Error> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(items.len().div_ceil(CHUNK));
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let worker = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(chunk) = items.chunks(CHUNK).nth(number) else { return };
            let result = work(number, chunk);
            if result.is_err() {
                // No chunk after this one is begun.
                next.store(usize::MAX / 2, Ordering::Relaxed);
            }
            if let Ok(mut done) = done.lock() {
                done.push((number, result));
            }
        }
    };
    std::thread::scope(|scope| {
        let spawned: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let joined = spawned.into_iter().map(|thread| thread.join().map_err(|_| Error::Thread));
        joined.collect::<Result<(), Error>>()
    })?;
    let mut done = done.into_inner().map_err(|_| Error::Thread)?;
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_come_in_order_and_a_failure_is_told() {
        let items: Vec<usize> = (0..CHUNK * 5 + 1).collect();
        let firsts = in_chunks(&items, |number, chunk| Ok((number, chunk[0], chunk.len()))).unwrap();
        assert_eq!(firsts[4], (4, CHUNK * 4, CHUNK));
        assert_eq!(firsts[5], (5, CHUNK * 5, 1));
        let failed = in_chunks(&items, |number, _| if number == 2 { Err(Error::Incomplete(String::new())) } else { Ok(()) });
        assert!(failed.is_err());
        assert_eq!(in_chunks(&[(); 0], |_, _| Ok(())).unwrap(), []);
    }
}
