//! The work of an exhibit, shared by threads.

use crate::budget::Shares;
use crate::open::{Container, Entry};
use model::{FileKind, Id};
use std::collections::{HashMap, VecDeque};
use std::ops::Range;
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
    /// Whether one of those is read from its first byte to its last: what comes out here is then missing from its budget.
    pub in_order: bool,
    /// Keys that lie in one of those, or in the exhibit's folder.
    pub keys: Arc<[String]>,
}

impl Place {
    /// The path of an entry from the root of the exhibit.
    pub fn path(&self, entry: &Entry) -> Vec<u8> {
        [&self.prefix[..], &entry.path[..]].concat()
    }
}

/// A list of entries, wherever they lie.
pub trait List {
    /// How many there are.
    fn count(&self) -> usize;
    /// The path of one.
    fn path(&self, at: usize) -> &[u8];
    /// Its kind; `None` for a directory.
    fn kind(&self, at: usize) -> Option<FileKind>;
    /// Its size, bytes.
    fn size(&self, at: usize) -> u64;
    /// How many entries of its path come before it.
    fn ordinal(&self, at: usize) -> u32;
    /// Whether it was deleted.
    fn deleted(&self, at: usize) -> bool;
}

impl List for [Entry] {
    fn count(&self) -> usize {
        self.len()
    }

    fn path(&self, at: usize) -> &[u8] {
        &self[at].path
    }

    fn kind(&self, at: usize) -> Option<FileKind> {
        self[at].kind
    }

    fn size(&self, at: usize) -> u64 {
        self[at].size
    }

    fn ordinal(&self, at: usize) -> u32 {
        self[at].ordinal
    }

    fn deleted(&self, at: usize) -> bool {
        self[at].deleted
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

/// In which order the entries of a list are read: the worthiest first, companions right behind their file. Four bytes an entry.
#[derive(Debug, Default)]
pub struct Order(Vec<u32>);

/// Marks an index as that of a companion of the file before it.
const COMPANION: u32 = 1 << 31;

impl Order {
    /// The order of a list.
    pub fn of<L: List + ?Sized>(list: &L) -> Order {
        Order::placed(list, &|_| None)
    }

    /// The order of a list whose entries lie at places of a disk: of those of a rank the first on it comes first, and what is large with the
    /// other media. The disk itself is read at the same time then, and each of its packed pieces unpacked once for both.
    pub fn placed<L: List + ?Sized>(list: &L, place: &dyn Fn(usize) -> Option<u64>) -> Order {
        let taken = companions(list);
        let mut grouped = vec![false; list.count()];
        taken.values().flatten().for_each(|at| grouped[*at as usize] = true);
        let mut ranks: Vec<Vec<u32>> = vec![Vec::new(); crate::worth::RANKS];
        let singles = (0u32..COMPANION).take(list.count());
        for at in singles.filter(|at| !grouped[*at as usize] && list.kind(*at as usize).is_some()) {
            let rank = crate::worth::rank(list.path(at as usize), list.size(at as usize));
            let rank = if place(at as usize).is_some() { rank.min(crate::worth::MEDIA_RANK) } else { rank };
            ranks[usize::from(rank)].push(at);
        }
        ranks.iter_mut().skip(1).for_each(|rank| rank.sort_by_key(|at| place(*at as usize)));
        // The largest database takes longest to parse: it is begun first, so that the others are parsed beside it.
        ranks[0].sort_by_key(|at| std::cmp::Reverse(list.size(*at as usize)));
        let mut order = Vec::with_capacity(list.count());
        for at in ranks.into_iter().flatten() {
            order.push(at);
            order.extend(taken.get(&at).into_iter().flatten().map(|companion| companion | COMPANION));
        }
        Order(order)
    }

    /// The groups of a part of the order.
    pub fn groups(&self, part: Range<usize>) -> impl Iterator<Item = Group> {
        let index = |at: &u32| (at & !COMPANION) as usize;
        self.0[part]
            .chunk_by(|_, next| next & COMPANION != 0)
            .map(move |group| Group { primary: index(&group[0]), companions: group[1..].iter().map(index).collect() })
    }

    /// All of it.
    pub fn whole(&self) -> Range<usize> {
        0..self.0.len()
    }

    /// Cuts it into parts for tasks; no part begins with a companion.
    pub fn cut<L: List + ?Sized>(&self, list: &L) -> Vec<Range<usize>> {
        let (mut parts, mut start, mut bytes) = (Vec::new(), 0, 0u64);
        for (place, at) in self.0.iter().enumerate() {
            let full = place - start >= TASK_ENTRIES || bytes >= TASK_BYTES;
            if full && at & COMPANION == 0 {
                parts.push(start..place);
                (start, bytes) = (place, 0);
            }
            bytes = bytes.saturating_add(list.size((at & !COMPANION) as usize));
        }
        if start < self.0.len() {
            parts.push(start..self.0.len());
        }
        parts
    }
}

/// The companions of each file that has some, by its index.
fn companions<L: List + ?Sized>(list: &L) -> HashMap<u32, Vec<u32>> {
    let is_file = |at: usize| list.kind(at) == Some(FileKind::File);
    let named = (0u32..COMPANION).take(list.count()).filter(|at| is_file(*at as usize) && list.ordinal(*at as usize) == 0);
    let named: Vec<(u32, &[u8])> = named.filter_map(|at| Some((at, database_of(list.path(at as usize))?))).collect();
    let mut bases: HashMap<&[u8], Option<u32>> = named.iter().map(|(_, base)| (*base, None)).collect();
    if !bases.is_empty() {
        for at in (0u32..COMPANION).take(list.count()).filter(|at| is_file(*at as usize)) {
            if let Some(base) = bases.get_mut(list.path(at as usize)) {
                base.get_or_insert(at);
            }
        }
    }
    let mut taken: HashMap<u32, Vec<u32>> = HashMap::new();
    for (at, base) in named {
        if let Some(primary) = bases.get(base).copied().flatten() {
            taken.entry(primary).or_default().push(at);
        }
    }
    taken
}

/// A piece of work.
pub enum Task {
    /// Files of the exhibit's folder: a part of its order.
    Disk(Range<usize>),
    /// Entries of a container, each with its share of the bytes that may come out.
    Members(Arc<Members>, Range<usize>),
}

/// A listed container whose entries are read by several threads.
pub struct Members {
    /// The container.
    pub container: Arc<dyn Container>,
    /// Where its entries lie.
    pub place: Arc<Place>,
    /// What may come out.
    pub shares: Shares,
    /// In which order.
    pub order: Order,
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
        let order = Order::of(&entries[..]);
        let mut found: Vec<Group> = order.groups(order.whole()).collect();
        found.sort_by_key(|group| group.primary);
        let expected = [(0, vec![1, 2]), (3, vec![]), (4, vec![])].map(|(primary, companions)| Group { primary, companions });
        assert_eq!(found, expected);
    }

    #[test]
    fn what_lies_on_a_disk_is_read_in_its_order_with_the_disk_itself() {
        let mut entries = ["b.jpg", "a.db", "film.mp4", "c.txt", "$media", "e.txt"].map(entry);
        entries[2].size = 1 << 30;
        let places = [Some(50), Some(90), Some(10), Some(80), Some(0), None];
        let order = Order::placed(&entries[..], &|at| places[at]);
        let found: Vec<usize> = order.groups(order.whole()).map(|group| group.primary).collect();
        assert_eq!(found, [1, 5, 3, 4, 2, 0]);
        assert_eq!(Order::of(&entries[..]).groups(order.whole()).last().unwrap().primary, 2, "elsewhere what is large is last");
    }

    #[test]
    fn parts_hold_everything_and_tear_no_group() {
        let mut names: Vec<String> = (0..100).map(|number| format!("{number}.txt")).collect();
        names.extend((0..40).flat_map(|number| [format!("{number}.db"), format!("{number}.db-wal")]));
        let mut entries: Vec<Entry> = names.iter().map(|name| entry(name)).collect();
        entries[5].size = TASK_BYTES;
        let order = Order::of(&entries[..]);
        let parts = order.cut(&entries[..]);
        let groups: Vec<Group> = parts.iter().flat_map(|part| order.groups(part.clone())).collect();
        assert_eq!(groups, order.groups(order.whole()).collect::<Vec<_>>());
        assert_eq!(groups.len(), 140);
        assert!(groups[..40].iter().all(|group| group.companions == [group.primary + 1]));
        assert!(parts.len() >= 180 / (TASK_ENTRIES + 1) && parts.iter().all(|part| part.len() <= TASK_ENTRIES + 1));
    }

    #[test]
    fn the_queue_ends_when_nothing_waits_and_nobody_works() {
        let tasks = Tasks::default();
        tasks.add([Task::Disk(0..0)].into_iter());
        let (_, first) = tasks.next().unwrap();
        tasks.add([Task::Disk(0..0)].into_iter());
        drop(first);
        drop(tasks.next().unwrap());
        assert!(tasks.next().is_none());
    }

    #[test]
    fn a_thread_that_panics_stops_the_others() {
        let tasks = Tasks::default();
        tasks.add([Task::Disk(0..0), Task::Disk(0..0)].into_iter());
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _running = tasks.next().unwrap();
            std::panic::resume_unwind(Box::new(()));
        }));
        assert!(panicked.is_err());
        assert!(tasks.next().is_none());
    }
}
