//! One sighting a place: what the byte scan, the cell scan and the search through records saw of one thing is folded together.

use super::scratch::Work;
use crate::Error;
use model::observable::Finder;
use model::{Body, Code, Id, Kind};
use rusqlite::params;
use std::collections::{BTreeSet, HashMap, VecDeque};

/// One place where one thing was seen in one item.
#[derive(Clone, PartialEq, Debug)]
struct Place {
    id: Id,
    finder: u8,
    record: Option<Id>,
    field: Option<String>,
    field_offset: Option<i64>,
    byte_offset: Option<i64>,
    row: Option<(String, i64)>,
    /// First byte of the record and the byte after its last, where its locator has them.
    range: Option<(i64, i64)>,
}

/// A place that counts, with what others know more of it.
#[derive(Clone, PartialEq, Debug)]
struct Folded {
    place: Place,
    finders: u8,
}

const SCAN: u8 = Finder::Scan as u8;
const RECORD: u8 = Finder::Record as u8;

/// The words for a set of finders.
pub fn finder_words(finders: u8) -> &'static str {
    const WORDS: [&str; 8] = ["", "scan", "cell", "cell+scan", "record", "record+scan", "cell+record", "cell+record+scan"];
    const DECODED: [&str; 8] = [
        "decoded",
        "decoded+scan",
        "cell+decoded",
        "cell+decoded+scan",
        "decoded+record",
        "decoded+record+scan",
        "cell+decoded+record",
        "cell+decoded+record+scan",
    ];
    let words = if finders & (1 << Finder::Decoded as u8) == 0 { WORDS } else { DECODED };
    words[usize::from(finders & 7)]
}

/// Folds every sighting and secret of an exhibit, and lists the distinct observables.
pub fn fold_all(work: &Work<'_>) -> Result<(), Error> {
    let mut places = Places::default();
    for kind in [Kind::Sighting, Kind::Secret] {
        list(work, kind, &mut places)?;
    }
    let mut group: Option<Group> = None;
    let (mut together, mut folded) = (Vec::new(), Vec::new());
    places.each(work, |key, place| {
        if let Some(before) = group.replace(key)
            && before != key
        {
            folded.extend(fold(std::mem::take(&mut together)).into_iter().map(|fold| (before.0, fold)));
        }
        together.push(place);
        if folded.len() >= FOLDED_ROWS { write(work, &mut folded) } else { Ok(()) }
    })?;
    if let Some(last) = group {
        folded.extend(fold(together).into_iter().map(|fold| (last.0, fold)));
    }
    write(work, &mut folded)
}

/// Kind, item and thing: what is folded together.
type Group = (u8, [u8; 16], [u8; 16]);

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<(Group, Place)> {
    let table: Option<String> = row.get(9)?;
    let row_id: Option<i64> = row.get(10)?;
    let (first, end): (Option<i64>, Option<i64>) = (row.get(11)?, row.get(12)?);
    let place = Place {
        id: Id(row.get(3)?),
        finder: row.get(4)?,
        record: row.get::<_, Option<[u8; 16]>>(5)?.map(Id),
        field: row.get(6)?,
        field_offset: row.get(7)?,
        byte_offset: row.get(8)?,
        row: table.zip(row_id),
        range: first.zip(end),
    };
    Ok(((row.get(0)?, row.get(1)?, row.get(2)?), place))
}

/// What folding must know of a sighting or secret.
struct Seen {
    item: Id,
    what: Id,
    finder: Finder,
    record: Option<Id>,
    field: Option<String>,
    field_offset: Option<u64>,
    byte_offset: Option<u64>,
    row: Option<(String, i64)>,
}

/// Folded places that are sorted before they are inserted: neighbours of a table are written together.
const FOLDED_ROWS: usize = 1 << 16;

/// Places that wait in memory, some 200 bytes each; where there are more, all lie in the scratch file.
const HELD_PLACES: usize = 1 << 18;

/// Every place that is listed.
#[derive(Default)]
struct Places {
    held: Vec<(Group, Place)>,
    spilled: bool,
}

impl Places {
    fn add(&mut self, work: &Work<'_>, group: Group, place: Place) -> Result<(), Error> {
        self.held.push((group, place));
        if self.held.len() >= HELD_PLACES { self.spill(work) } else { Ok(()) }
    }

    fn sort(&mut self) {
        // Keys are sorted alone; then each place moves once.
        self.held.sort_by_cached_key(|(group, place)| (*group, place.id));
    }

    /// Moves what is held into the file, sorted.
    fn spill(&mut self, work: &Work<'_>) -> Result<(), Error> {
        self.sort();
        self.spilled = true;
        insert(work, &mut self.held).map_err(|source| work.error(source))
    }

    /// Gives every place, those of a group side by side and in the order of their ids.
    fn each(mut self, work: &Work<'_>, mut take: impl FnMut(Group, Place) -> Result<(), Error>) -> Result<(), Error> {
        if !self.spilled {
            self.sort();
            return self.held.into_iter().try_for_each(|(group, place)| take(group, place));
        }
        self.spill(work)?;
        drop(self);
        let sql = "SELECT kind, item, what, id, finder, record, field, field_offset, byte_offset, row_table, row_id,
                   range_first, range_end FROM main.place ORDER BY kind, item, what, id";
        let mut statement = work.connection.prepare(sql).map_err(|source| work.error(source))?;
        let mut rows = statement.query([]).map_err(|source| work.error(source))?;
        while let Some(row) = rows.next().map_err(|source| work.error(source))? {
            let (group, place) = read(row).map_err(|source| work.error(source))?;
            take(group, place)?;
        }
        Ok(())
    }
}

/// Sightings whose records are looked up together, in the order of the records.
const LOOKED_UP: usize = 1 << 14;

/// Lists the places of sightings or secrets, item by item and thing by thing.
fn list(work: &Work<'_>, kind: Kind, places: &mut Places) -> Result<(), Error> {
    let (mut observables, mut kinds) = (Observables::default(), Kinds::new());
    let mut batch = Vec::with_capacity(LOOKED_UP);
    work.entries.each(kind, |id, body| {
        let seen = match body {
            Body::Sighting(sighting) => {
                let what = sighting.observable.id();
                observables.add(work, what, &sighting.observable)?;
                let (finder, record, field, row) = (sighting.finder, sighting.record, sighting.field, sighting.row);
                let (field_offset, byte_offset) = (sighting.field_offset, sighting.byte_offset);
                Seen { item: sighting.item, what, finder, record, field, field_offset, byte_offset, row }
            }
            Body::Secret(secret) => {
                let what = Id::derive("secret value", &[secret.kind.name().as_bytes(), secret.value.as_bytes()]);
                let (finder, record, field, row) = (secret.finder, secret.record, secret.field, secret.row);
                let (field_offset, byte_offset) = (secret.field_offset, secret.byte_offset);
                Seen { item: secret.item, what, finder, record, field, field_offset, byte_offset, row }
            }
            _ => return Ok(()),
        };
        batch.push((id, seen));
        if batch.len() >= LOOKED_UP { look_up(work, &mut kinds, kind, &mut batch, places) } else { Ok(()) }
    })?;
    look_up(work, &mut kinds, kind, &mut batch, places)?;
    observables.write(work)
}

/// Makes places of a batch, which is empty afterwards.
fn look_up(
    work: &Work<'_>,
    kinds: &mut Kinds,
    kind: Kind,
    batch: &mut Vec<(Id, Seen)>,
    places: &mut Places,
) -> Result<(), Error> {
    batch.sort_by_cached_key(|(id, seen)| (seen.record, *id));
    batch.drain(..).try_for_each(|(id, seen)| {
        let group = (kind as u8, seen.item.0, seen.what.0);
        places.add(work, group, place(work, kinds, kind, id, seen)?)
    })
}

/// The kind of the last record that was found with a field of that name: most likely that of the next, too.
type Kinds = HashMap<String, Kind>;

fn place(work: &Work<'_>, kinds: &mut Kinds, kind: Kind, id: Id, seen: Seen) -> Result<Place, Error> {
    let whole = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let (mut record, mut range) = (seen.record, None);
    if let Some(named) = record {
        let field = seen.field.as_deref().unwrap_or("");
        let likely = kinds.get(field).copied().unwrap_or(Kind::Message);
        match work.record(named, likely)? {
            Some(found) => {
                if found != likely {
                    kinds.insert(field.to_owned(), found);
                }
                // A row says more than a range.
                if seen.row.is_none() {
                    range = work.range(found, named)?.map(|(first, length)| (whole(first), whole(first.saturating_add(length))));
                }
            }
            None => {
                let detail = format!("{} {id} names record {named}, which is not there", super::source::table_of(kind));
                work.problem(Some(seen.item), Code::Missing, detail)?;
                record = None;
            }
        }
    }
    Ok(Place {
        id,
        finder: seen.finder as u8,
        record,
        field: seen.field,
        field_offset: seen.field_offset.map(whole),
        byte_offset: seen.byte_offset.map(whole),
        row: seen.row,
        range,
    })
}

/// Inserts listed places; none are left.
fn insert(work: &Work<'_>, held: &mut Vec<(Group, Place)>) -> rusqlite::Result<()> {
    let sql = "INSERT INTO main.place VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
    let mut statement = work.connection.prepare_cached(sql)?;
    for ((kind, item, what), place) in held.drain(..) {
        let Place { id, finder, record, field, field_offset, byte_offset, row, range } = place;
        let (table, row_id) = row.unzip();
        let (first, end) = range.unzip();
        let record = record.map(|record| record.0);
        let key =
            params![kind, item, what, id.bytes(), finder, record, field, field_offset, byte_offset, table, row_id, first, end];
        statement.execute(key)?;
    }
    Ok(())
}

/// Observables that are not written yet, with the strongest validity that was seen of each.
#[derive(Default)]
struct Observables(HashMap<Id, model::Observable>);

/// How many of them wait in memory.
const HELD_OBSERVABLES: usize = 1 << 16;

impl Observables {
    fn add(&mut self, work: &Work<'_>, id: Id, observable: &model::Observable) -> Result<(), Error> {
        match self.0.get_mut(&id) {
            Some(held) if held.validity as u8 <= observable.validity as u8 => {}
            Some(held) => held.validity = observable.validity,
            None => {
                self.0.insert(id, observable.clone());
            }
        }
        if self.0.len() >= HELD_OBSERVABLES { self.write(work) } else { Ok(()) }
    }

    /// Writes them, sorted; none are left.
    fn write(&mut self, work: &Work<'_>) -> Result<(), Error> {
        let mut all: Vec<_> = self.0.drain().collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        let sql = "INSERT INTO main.observable VALUES (?1, ?2, ?3, ?4, ?5)
                   ON CONFLICT DO UPDATE SET validity = excluded.validity WHERE excluded.validity < validity";
        let insert = || -> rusqlite::Result<()> {
            let mut statement = work.connection.prepare_cached(sql)?;
            for (id, model::Observable { kind, value, chain, validity }) in &all {
                statement.execute(params![id.bytes(), kind.name(), value, chain, *validity as u8])?;
            }
            Ok(())
        };
        insert().map_err(|source| work.error(source))
    }
}

/// Inserts folded places of sightings or secrets, sorted; none are left.
fn write(work: &Work<'_>, folded: &mut Vec<(u8, Folded)>) -> Result<(), Error> {
    folded.sort_by_cached_key(|(kind, fold)| (*kind, fold.place.id));
    let sql = "INSERT INTO main.folded VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let mut insert = || -> rusqlite::Result<()> {
        let mut statement = work.connection.prepare_cached(sql)?;
        for (kind, Folded { place, finders }) in folded.drain(..) {
            let (table, row_id) = place.row.unzip();
            let record = place.record.map(|record| record.0);
            let (id, field, offset) = (place.id.bytes(), place.field, place.field_offset);
            statement.execute(params![kind, id, finders, record, field, offset, table, row_id])?;
        }
        Ok(())
    };
    insert().map_err(|source| work.error(source))
}

/// Folds the places where one thing was seen in one item.
///
/// Places of the scans with the same first byte are one (the cell scan's counts: it knows the row). A place in a record is folded
/// into a place of the scans that lies in the same row or, where the record has a range of bytes, within it: the first with the first,
/// the second with the second. What is left over stays.
fn fold(mut places: Vec<Place>) -> Vec<Folded> {
    if let [place] = &places[..] {
        let finders = 1 << place.finder;
        return places.into_iter().map(|place| Folded { place, finders }).collect();
    }
    // Cell before scan; the id decides between equals, so that the order of arrival does not.
    places.sort_by_key(|place| (place.byte_offset, place.finder == SCAN, place.id));
    let (records, scanned): (Vec<Place>, Vec<Place>) = places.into_iter().partition(|place| place.finder == RECORD);
    let mut folded: Vec<Folded> = Vec::new();
    for place in scanned {
        match folded.last_mut() {
            Some(last) if place.byte_offset.is_some() && last.place.byte_offset == place.byte_offset => {
                last.finders |= 1 << place.finder;
                if last.place.row.is_none() {
                    last.place.row = place.row;
                }
            }
            _ => folded.push(Folded { finders: 1 << place.finder, place }),
        }
    }
    join_records(folded, records)
}

fn join_records(mut folded: Vec<Folded>, mut records: Vec<Place>) -> Vec<Folded> {
    let mut by_row: HashMap<(String, i64), VecDeque<usize>> = HashMap::new();
    let mut by_offset: BTreeSet<(i64, usize)> = BTreeSet::new();
    for (number, Folded { place, .. }) in folded.iter().enumerate() {
        match (&place.row, place.byte_offset) {
            (Some(row), _) => by_row.entry(row.clone()).or_default().push_back(number),
            (None, Some(offset)) => {
                by_offset.insert((offset, number));
            }
            (None, None) => {}
        }
    }
    records.sort_by(|a, b| (a.record, &a.field, a.field_offset, a.id).cmp(&(b.record, &b.field, b.field_offset, b.id)));
    for record in records {
        let number = match (&record.row, record.range) {
            (Some(row), _) => by_row.get_mut(row).and_then(VecDeque::pop_front),
            (None, Some((first, end))) if first < end => {
                let found = by_offset.range((first, 0)..(end, 0)).next().copied();
                found.and_then(|key| by_offset.take(&key)).map(|(_, number)| number)
            }
            _ => None,
        };
        match number.and_then(|number| folded.get_mut(number)) {
            Some(into) => {
                into.finders |= 1 << RECORD;
                into.place.record = record.record;
                into.place.field = record.field;
                into.place.field_offset = record.field_offset;
            }
            None => folded.push(Folded { place: record, finders: 1 << RECORD }),
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    const CELL: u8 = Finder::Cell as u8;

    fn place(number: u8, finder: u8, byte_offset: Option<i64>) -> Place {
        let (record, field, field_offset, row, range) = Default::default();
        Place { id: Id([number; 16]), finder, record, field, field_offset, byte_offset, row, range }
    }

    fn in_row(number: u8, finder: u8, byte_offset: Option<i64>, row_id: i64) -> Place {
        Place { row: Some(("message".into(), row_id)), ..place(number, finder, byte_offset) }
    }

    fn in_record(number: u8, record: u8, field_offset: i64, row_id: i64) -> Place {
        let record = Some(Id([record; 16]));
        let (field, field_offset) = (Some("text".to_owned()), Some(field_offset));
        Place { record, field, field_offset, ..in_row(number, RECORD, None, row_id) }
    }

    fn shape(places: Vec<Place>) -> Vec<(u8, &'static str, Option<i64>, Option<u8>)> {
        let mut shape: Vec<_> = fold(places)
            .into_iter()
            .map(|fold| {
                let record = fold.place.record.map(|record| record.0[0]);
                (fold.place.id.0[0], finder_words(fold.finders), fold.place.byte_offset, record)
            })
            .collect();
        shape.sort();
        shape
    }

    #[test]
    fn scan_cell_and_record_of_one_place_are_one() {
        let places = vec![place(1, SCAN, Some(100)), in_row(2, CELL, Some(100), 5), in_record(3, 9, 0, 5)];
        assert_eq!(shape(places), [(2, "cell+record+scan", Some(100), Some(9))]);
    }

    #[test]
    fn twice_in_a_row_pairs_in_order_and_leftovers_stay() {
        let places = vec![
            in_record(1, 9, 40, 5),
            in_record(2, 9, 0, 5),
            in_record(3, 9, 80, 5),
            in_row(4, CELL, Some(100), 5),
            in_row(5, CELL, Some(140), 5),
            in_row(6, CELL, Some(500), 6),
        ];
        let folded = fold(places.clone());
        let at = |offset| folded.iter().find(|fold| fold.place.byte_offset == Some(offset)).unwrap().place.field_offset;
        assert_eq!((at(100), at(140), at(500)), (Some(0), Some(40), None));
        assert_eq!(
            shape(places),
            [
                (3, "record", None, Some(9)),
                (4, "cell+record", Some(100), Some(9)),
                (5, "cell+record", Some(140), Some(9)),
                (6, "cell", Some(500), None)
            ]
        );
    }

    #[test]
    fn a_record_with_a_range_takes_the_scan_inside_it() {
        let ranged = |number, record: u8, range| Place {
            record: Some(Id([record; 16])),
            range: Some(range),
            ..place(number, RECORD, None)
        };
        let places = vec![
            place(1, SCAN, Some(10)),
            place(2, SCAN, Some(60)),
            ranged(3, 8, (50, 100)),
            ranged(4, 9, (0, 50)),
            ranged(5, 7, (50, 100)),
        ];
        assert_eq!(
            shape(places),
            [(1, "record+scan", Some(10), Some(9)), (2, "record+scan", Some(60), Some(7)), (3, "record", None, Some(8))]
        );
    }

    #[test]
    fn the_order_of_arrival_does_not_matter() {
        let places = vec![
            place(1, SCAN, Some(100)),
            in_row(2, CELL, Some(100), 5),
            in_record(3, 9, 0, 5),
            in_record(4, 8, 0, 5),
            place(5, CELL, None),
            place(6, CELL, None),
        ];
        let expected = shape(places.clone());
        for turn in 0..places.len() {
            let mut turned = places.clone();
            turned.rotate_left(turn);
            turned.reverse();
            assert_eq!(shape(turned), expected);
        }
    }
}
