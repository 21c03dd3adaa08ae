//! How many bytes may come out of containers, the same for any number of threads.
//!
//! A container that is read from its first byte to its last uses up one budget as it goes. The entries of a listed container are read
//! side by side, so each gets its own share at once, from what the directory tells: what its size claims, and of what is
//! left a part in proportion, for the archives in it.

use crate::open::Entry;
use config::Settings;
use model::Code;
use std::collections::HashMap;

/// What the ratio cap always lets out of an entry: an image of a small, nearly empty disk packs a thousand times smaller and is read whole.
const ENTRY_FLOOR_BYTES: u64 = 64 << 20;
/// What the ratio cap always lets out of an outermost container with all that is in it: such an image and what its file system holds.
/// A second of reading, so that a folder full of bombs costs no more than their number in seconds.
const CONTAINER_FLOOR_BYTES: u64 = 512 << 20;

/// Bytes that may still come out, and the cap that set them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// Bytes.
    pub bytes: u64,
    /// Code of the cap that stops it.
    pub code: Code,
}

impl Budget {
    /// No bounds: files of a folder.
    pub const NONE: Budget = Budget { bytes: u64::MAX, code: Code::CapBytes };

    /// What may come out of an outermost container of that size, nested ones included.
    pub fn of_container(settings: &Settings, size: u64) -> Budget {
        let ratio = size.saturating_mul(settings.ingest.cap_ratio).max(CONTAINER_FLOOR_BYTES);
        Budget { bytes: ratio, code: Code::CapRatio }.or(settings.ingest.cap_bytes)
    }

    /// The tightest of this budget and the caps on one entry.
    pub fn of_entry(self, settings: &Settings, packed: Option<u64>) -> Budget {
        let ratio = packed.map(|packed| packed.saturating_mul(settings.ingest.cap_ratio).max(ENTRY_FLOOR_BYTES));
        let entry = Budget { bytes: ratio.unwrap_or(u64::MAX), code: Code::CapRatio }
            .or(settings.ingest.cap_entry_bytes.max(packed.unwrap_or(0)));
        if entry.bytes <= self.bytes { entry } else { self }
    }

    fn or(self, cap_bytes: u64) -> Budget {
        if cap_bytes <= self.bytes { Budget { bytes: cap_bytes, code: Code::CapBytes } } else { self }
    }

    /// The budget with so many bytes used.
    pub fn less(self, bytes: u64) -> Budget {
        Budget { bytes: self.bytes.saturating_sub(bytes), ..self }
    }
}

/// A budget shared out to the entries of a list.
#[derive(Clone, Debug)]
pub struct Shares {
    budget: Budget,
    /// What the entries claim.
    claimed: u64,
    /// What they weigh when the rest is shared out.
    weight: u128,
    /// By folder of an image that lies in the files beside its list: what these files have.
    beside: HashMap<Vec<u8>, u64>,
    /// Entries whose claim did not fit, in order.
    refused: Vec<u32>,
}

impl Shares {
    /// Shares a budget out in the order of the list.
    pub fn of(settings: &Settings, entries: &[Entry], budget: Budget) -> Shares {
        let mut beside: HashMap<Vec<u8>, u64> = entries.iter().filter_map(list_of).map(|folder| (folder.to_vec(), 0)).collect();
        let listed = !beside.is_empty();
        for entry in entries.iter().filter(|_| listed) {
            let slashes = entry.path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
            for end in slashes.map(|(at, _)| at + 1).chain([0]) {
                if let Some(sum) = entry.path.get(..end).and_then(|folder| beside.get_mut(folder)) {
                    *sum = sum.saturating_add(entry.size);
                }
            }
        }
        let mut shares = Shares { budget, claimed: 0, weight: 0, beside, refused: Vec::new() };
        for (at, entry) in (0u32..).zip(entries) {
            let fits = shares.claimed.checked_add(claim(settings, entry)).filter(|sum| *sum <= budget.bytes);
            match fits {
                Some(sum) => {
                    shares.claimed = sum;
                    shares.weight += shares.weight_of(entry);
                }
                None => shares.refused.push(at),
            }
        }
        shares
    }

    /// An entry that does not tell its size weighs what it takes in its container, a list of files what these do.
    fn weight_of(&self, entry: &Entry) -> u128 {
        let own = if entry.size == 0 { entry.packed.unwrap_or(0) } else { entry.size };
        let beside = list_of(entry).and_then(|folder| self.beside.get(folder)).copied();
        u128::from(own.max(beside.unwrap_or(0)))
    }

    /// The share of an entry; the code of the cap where it has none.
    pub fn share(&self, settings: &Settings, index: usize, entry: &Entry) -> Result<Budget, Code> {
        if u32::try_from(index).is_ok_and(|index| self.refused.binary_search(&index).is_ok()) {
            return Err(self.budget.code);
        }
        let claim = claim(settings, entry);
        let spare = u128::from(self.budget.bytes - self.claimed.min(self.budget.bytes));
        let part = spare.saturating_mul(self.weight_of(entry)) / self.weight.max(1);
        let bytes = claim.saturating_add(u64::try_from(part).unwrap_or(u64::MAX));
        Ok(Budget { bytes, code: self.budget.code })
    }
}

/// What an entry claims: the size it tells, as far as the caps on one entry let it come.
fn claim(settings: &Settings, entry: &Entry) -> u64 {
    entry.size.min(Budget::NONE.of_entry(settings, entry.packed).bytes)
}

/// Largest file that only lists the others of an image, bytes.
const LIST_BYTES_MAX: u64 = 64 << 10;

/// The folder that holds an image of which an entry is the list: a descriptor of VMDK, the properties of a sparse bundle.
fn list_of(entry: &Entry) -> Option<&[u8]> {
    let (folder, name) = entry.path.split_at(entry.path.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1));
    let lists = name.to_ascii_lowercase().ends_with(b".vmdk") || folder.ends_with(b".sparsebundle/") && name == b"Info.plist";
    (lists && entry.size <= LIST_BYTES_MAX).then_some(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::tests::entry;

    fn sized(size: u64, packed: u64) -> Entry {
        Entry { size, packed: Some(packed), ..entry("x") }
    }

    #[test]
    fn the_tightest_cap_gives_the_code() {
        let settings = Settings::default();
        let small = Budget::of_container(&settings, 1);
        assert_eq!(small, Budget { bytes: CONTAINER_FLOOR_BYTES, code: Code::CapRatio });
        assert_eq!(Budget::of_container(&settings, 1 << 40).code, Code::CapBytes);
        assert_eq!(small.of_entry(&settings, Some(100_000)).bytes, 100_000_000);
        assert_eq!(small.less(u64::MAX).of_entry(&settings, None), Budget { bytes: 0, code: Code::CapRatio });
    }

    #[test]
    fn shares_never_exceed_the_budget() {
        let settings = Settings::default();
        let entries = [sized(1 << 20, 1 << 20), sized(100 << 20, 100 << 20), sized(3 << 20, 3 << 20)];
        let budget = Budget { bytes: 64 << 20, code: Code::CapRatio };
        let shares = Shares::of(&settings, &entries, budget);
        let share = |at: usize| shares.share(&settings, at, &entries[at]);
        assert_eq!(share(1), Err(Code::CapRatio));
        let sum = share(0).unwrap().bytes + share(2).unwrap().bytes;
        assert!(sum <= budget.bytes && sum > budget.bytes - 3, "{sum}");
        assert!(share(2).unwrap().bytes > 2 * share(0).unwrap().bytes);
    }

    /// A list of a few bytes opens what the files beside it hold: its share is that of their bytes.
    #[test]
    fn a_list_of_an_images_files_weighs_what_they_do() {
        let settings = Settings::default();
        let at = |path: &str, size| Entry { size, packed: Some(size), ..entry(path) };
        let entries = [at("vm/a.vmdk", 300), at("vm/a-flat.vmdk", 8 << 20), at("other", 8 << 20), at("a.txt", 300)];
        let budget = Budget { bytes: 512 << 20, code: Code::CapRatio };
        let shares = Shares::of(&settings, &entries, budget);
        let share = |at: usize| shares.share(&settings, at, &entries[at]).unwrap().bytes;
        assert!(share(0) > 100 << 20 && share(3) < 1 << 20, "{} {}", share(0), share(3));
        assert!((0..4).map(share).sum::<u64>() <= budget.bytes);
    }
}
