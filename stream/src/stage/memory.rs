//! Small contents of a run in one process: they never leave its memory.
//!
//! A phone has thousands of small files that a parser could want; as files of a stage, each would cost more than all else that is done
//! with it.

use bytes::Bytes;
use model::Digest;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Contents up to this size are small, bytes.
pub const SMALL_BYTES: usize = 1 << 20;

/// Small contents, up to so many bytes of them.
pub struct Memory {
    cap_bytes: usize,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    bytes: usize,
    /// Content and how often it was put and not yet released: two items can have the same.
    contents: HashMap<Digest, (Bytes, usize)>,
}

impl Memory {
    /// Keeps up to `cap_bytes`.
    pub fn new(cap_bytes: usize) -> Memory {
        Memory { cap_bytes, held: Mutex::default() }
    }

    /// Nothing that is done under the lock can fail half-way.
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes content, if it is small and there is room.
    pub fn put(&self, digest: Digest, content: &[u8]) -> bool {
        let mut held = self.lock();
        if let Some((_, puts)) = held.contents.get_mut(&digest) {
            *puts += 1;
            return true;
        }
        if content.len() > SMALL_BYTES || held.bytes.saturating_add(content.len()) > self.cap_bytes {
            return false;
        }
        held.bytes += content.len();
        held.contents.insert(digest, (Bytes::copy_from_slice(content), 1));
        true
    }

    /// The content, if it is here.
    pub fn get(&self, digest: Digest) -> Option<Bytes> {
        self.lock().contents.get(&digest).map(|(content, _)| content.clone())
    }

    /// Forgets content that was put once, or one of its puts.
    pub fn release(&self, digest: Digest) {
        let mut held = self.lock();
        let Some((content, puts)) = held.contents.get_mut(&digest) else { return };
        *puts -= 1;
        if *puts == 0 {
            let size = content.len();
            held.contents.remove(&digest);
            held.bytes -= size;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_put_stays_until_both_have_released_it() {
        let memory = Memory::new(10);
        let one = Digest::of(b"one");
        assert!(memory.put(one, b"one") && memory.put(one, b"one"));
        memory.release(one);
        assert_eq!(memory.get(one).as_deref(), Some(b"one".as_slice()));
        memory.release(one);
        memory.release(one);
        assert_eq!(memory.get(one), None);
        assert!(memory.put(one, &[0; 10]), "all of its room is free again");
    }

    #[test]
    fn what_is_large_or_one_too_many_is_refused() {
        let memory = Memory::new(SMALL_BYTES * 2);
        assert!(!memory.put(Digest::of(b"large"), &[0; SMALL_BYTES + 1]));
        assert!(memory.put(Digest::of(b"1"), &[0; SMALL_BYTES]));
        assert!(memory.put(Digest::of(b"2"), &[0; SMALL_BYTES]));
        assert!(!memory.put(Digest::of(b"3"), b"x"));
        assert!(memory.put(Digest::of(b"2"), &[0; SMALL_BYTES]), "what is here needs no room");
    }
}
