//! The work of an exhibit, shared by threads.

use crate::budget::Shares;
use crate::open::{Container, Entry};
use model::Id;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Entries in one task: few enough to share work evenly.
const TASK_ENTRIES: usize = 32;
/// Bytes in one task.
const TASK_BYTES: u64 = 4 << 20;

/// Where entries lie.
pub struct Place {
    /// The container's item; `None` for the exhibit's own folder.
    pub parent: Option<Id>,
    /// What stands before an entry's path: empty, or the container's path and a slash.
    pub prefix: Vec<u8>,
    /// How many containers are around it.
    pub depth: u32,
}

impl Place {
    /// The path of an entry from the root of the exhibit.
    pub fn path(&self, entry: &Entry) -> Vec<u8> {
        [&self.prefix[..], &entry.path[..]].concat()
    }
}

/// Entries that are read together: a file, and the `-wal` and `-journal` beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Index of the file.
    pub primary: usize,
    /// Indexes of its companions.
    pub companions: Vec<usize>,
}

/// Endings of companions.
pub const COMPANIONS: [&[u8]; 2] = [b"-wal", b"-journal"];

/// The path of the database that a companion belongs to by its name.
pub fn database_of(path: &[u8]) -> Option<&[u8]> {
    COMPANIONS.iter().find_map(|ending| path.strip_suffix(*ending)).filter(|base| !base.is_empty() && !base.ends_with(b"/"))
}

/// Groups the entries of a list, the worthiest first.
pub fn groups(entries: &[Entry]) -> Vec<Group> {
    let file = |entry: &Entry| entry.kind == Some(model::FileKind::File);
    let companions = entries.iter().enumerate().filter(|(_, entry)| file(entry) && entry.ordinal == 0);
    let companions: Vec<(usize, &[u8])> = companions.filter_map(|(at, entry)| Some((at, database_of(&entry.path)?))).collect();
    let wanted: HashMap<&[u8], ()> = companions.iter().map(|(_, base)| (*base, ())).collect();
    let mut bases: HashMap<&[u8], usize> = HashMap::new();
    for (at, entry) in entries.iter().enumerate() {
        if file(entry) && wanted.contains_key(&entry.path[..]) {
            bases.entry(&entry.path).or_insert(at);
        }
    }
    let mut taken: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut grouped = vec![false; entries.len()];
    for (at, base) in companions {
        if let Some(primary) = bases.get(base) {
            taken.entry(*primary).or_default().push(at);
            grouped[at] = true;
        }
    }
    let singles = (0..entries.len()).filter(|at| !grouped[*at] && entries[*at].kind.is_some());
    let mut groups: Vec<Group> =
        singles.map(|primary| Group { primary, companions: taken.remove(&primary).unwrap_or_default() }).collect();
    groups.sort_by_key(|group| crate::worth::rank(&entries[group.primary].path, entries[group.primary].size));
    groups
}

/// Cuts groups into tasks.
pub fn cut(entries: &[Entry], groups: Vec<Group>) -> Vec<Vec<Group>> {
    let (mut tasks, mut task, mut bytes) = (Vec::new(), Vec::new(), 0u64);
    for group in groups {
        bytes = bytes.saturating_add(entries[group.primary].size);
        task.push(group);
        if task.len() >= TASK_ENTRIES || bytes >= TASK_BYTES {
            tasks.push(std::mem::take(&mut task));
            bytes = 0;
        }
    }
    if !task.is_empty() {
        tasks.push(task);
    }
    tasks
}

/// A piece of work.
pub enum Task {
    /// Files of the exhibit's folder.
    Disk(Vec<Group>),
    /// Entries of a container, each with its share of the bytes that may come out.
    Members(Arc<dyn Container>, Arc<Place>, Arc<Shares>, Vec<Group>),
}

/// Tasks waiting, and how many are being done: the end is when both are none.
#[derive(Default)]
struct State {
    waiting: VecDeque<Task>,
    active: usize,
    stopped: bool,
}

/// The queue.
#[derive(Default)]
pub struct Tasks {
    state: Mutex<State>,
    changed: Condvar,
}

impl Tasks {
    /// Adds tasks.
    pub fn add(&self, tasks: impl Iterator<Item = Task>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting.extend(tasks);
        self.changed.notify_all();
    }

    /// The next task; `None` when there is none and no running task can add one, or a thread has stopped with an error.
    pub fn next(&self) -> Option<(Task, Running<'_>)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if state.stopped {
                return None;
            }
            if let Some(task) = state.waiting.pop_front() {
                state.active += 1;
                return Some((task, Running { tasks: self, failed: false }));
            }
            if state.active == 0 {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A task that is being done. Its end wakes those who wait for the last one, also when the thread panics.
pub struct Running<'a> {
    tasks: &'a Tasks,
    /// Whether it ended with an error: then everybody stops.
    pub failed: bool,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut state = self.tasks.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.active -= 1;
        state.stopped |= self.failed || std::thread::panicking();
        self.tasks.changed.notify_all();
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use model::FileKind;
    use model::item::FileTimes;

    /// An entry of one byte.
    pub fn entry(path: &str) -> Entry {
        Entry {
            path: path.into(),
            ordinal: 0,
            kind: Some(FileKind::File),
            size: 1,
            packed: None,
            mode: None,
            owner: None,
            times: FileTimes::default(),
            link_target: None,
            deleted: false,
        }
    }

    #[test]
    fn companions_go_with_their_database_and_orphans_alone() {
        let entries = ["a/x.db", "a/x.db-journal", "a/x.db-wal", "b/x.db-wal", "c/-wal"].map(entry);
        let mut found = groups(&entries);
        found.sort_by_key(|group| group.primary);
        let expected = [(0, vec![1, 2]), (3, vec![]), (4, vec![])].map(|(primary, companions)| Group { primary, companions });
        assert_eq!(found, expected);
    }

    #[test]
    fn the_queue_ends_when_nothing_waits_and_nobody_works() {
        let tasks = Tasks::default();
        tasks.add([Task::Disk(Vec::new())].into_iter());
        let (_, first) = tasks.next().unwrap();
        tasks.add([Task::Disk(Vec::new())].into_iter());
        drop(first);
        drop(tasks.next().unwrap());
        assert!(tasks.next().is_none());
    }

    #[test]
    fn a_thread_that_panics_stops_the_others() {
        let tasks = Tasks::default();
        tasks.add([Task::Disk(Vec::new()), Task::Disk(Vec::new())].into_iter());
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _running = tasks.next().unwrap();
            std::panic::resume_unwind(Box::new(()));
        }));
        assert!(panicked.is_err());
        assert!(tasks.next().is_none());
    }
}
