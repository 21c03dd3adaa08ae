//! Properties whose numbers each store gives out itself, by the set and number they stand for (MS-OXPROPS, 1.3.2; MS-PST, 2.4.7; MS-OXMSG, 2.2.3).

use std::collections::BTreeMap;

/// A set of names: a GUID as it lies in a file.
pub type Set = [u8; 16];

/// `{0006xxxx-0000-0000-C000-000000000046}`.
const fn outlook(number: u16) -> Set {
    let [low, high] = number.to_le_bytes();
    [low, high, 6, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46]
}

/// Entries of calendars.
pub const APPOINTMENT: Set = outlook(0x2002);
/// Tasks.
pub const TASK: Set = outlook(0x2003);
/// Contacts.
pub const ADDRESS: Set = outlook(0x2004);
/// What all have.
pub const COMMON: Set = outlook(0x2008);

/// The numbers of a store's own properties.
#[derive(Default)]
pub struct Names(BTreeMap<(Set, u32), u16>);

impl Names {
    /// From the streams of sets and of entries: number or place of a name, set and kind, number that is given out.
    pub fn read(sets: &[u8], entries: &[u8]) -> Names {
        let names = entries.chunks_exact(8).filter_map(|entry| {
            let [a, b, c, d, set, high, low_index, high_index] = *<&[u8; 8]>::try_from(entry).ok()?;
            let (set, index) = (u16::from_le_bytes([set, high]), u16::from_le_bytes([low_index, high_index]));
            // The lowest bit: a name of letters. Sets 0 to 2 are fixed and hold none that are read here.
            let at = usize::from(set >> 1).checked_sub(3).filter(|_| set & 1 == 0)?.checked_mul(16)?;
            let set: Set = sets.get(at..at.checked_add(16)?)?.try_into().ok()?;
            Some(((set, u32::from_le_bytes([a, b, c, d])), 0x8000u16.checked_add(index)?))
        });
        Names(names.collect())
    }

    /// The number that stands for a name.
    pub fn of(&self, set: Set, id: u32) -> Option<u16> {
        self.0.get(&(set, id)).copied()
    }
}
