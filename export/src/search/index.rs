//! The search index of a bundle: for every three characters that follow each other, the rows that have them.
//!
//! It only says which rows to look at; [`Matcher`] decides, so that hits are those of a scan. Of scripts whose words can be two
//! characters long (Thai, Burmese, Khmer, Ethiopic, Chinese and what else stands above U+0E00) pairs are kept too. Shorter words are
//! looked for by scanning. It is a cache in a file of its own, bound to one state of one bundle, and never part of a bundle: whoever
//! receives one makes it anew, so that nobody's index hides a row from another.

use super::SEARCHED;
use super::fold::{fold, runs};
use super::matcher::{Matcher, Needle};
use crate::Error;
use crate::share::open_readable;
use model::Digest;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use std::collections::HashMap;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

/// Bytes of lists that are held while an index is made.
const HELD_BYTES: usize = 64 << 20;
/// What an entry of the table of lists takes besides its bytes, about.
const ENTRY_BYTES: usize = 64;
/// First character of the scripts of which pairs are kept.
const PAIRS_FROM: char = '\u{e00}';
/// Lists that are intersected for one word: the shortest ones.
const LISTS: usize = 4;
/// More selectors than this are faster found in one scan.
const MOST_SELECTORS: usize = 256;
/// A table is scanned if more than one row of so many would have to be looked at: rows in order are read that much faster.
const SCAN_ABOVE: usize = 8;

const SCHEMA: &str = "
CREATE TABLE list (gram INTEGER NOT NULL, part INTEGER NOT NULL, rows BLOB NOT NULL, PRIMARY KEY (gram, part)) WITHOUT ROWID;
CREATE TABLE row (number INTEGER PRIMARY KEY, id BLOB NOT NULL);
CREATE TABLE searched (place INTEGER PRIMARY KEY, first INTEGER NOT NULL, after INTEGER NOT NULL);
CREATE TABLE bound (what TEXT NOT NULL);";

/// An index that fits its bundle.
pub struct Index {
    connection: Connection,
    /// Numbers of the rows of each searched table: the first, and the one after the last.
    ranges: Vec<(u32, u32)>,
}

/// What an index is bound to: this bundle's checkpoint, file and state of it, and the form of the index.
fn bound(bundle: &Path) -> Result<String, Error> {
    let found = fs::metadata(bundle).map_err(|source| Error::Io { path: bundle.to_owned(), source })?;
    let (normalization, letters) = (unicode_normalization::UNICODE_VERSION, char::UNICODE_VERSION);
    let columns: Vec<_> = SEARCHED.iter().map(|searched| format!("{}:{}", searched.table, searched.texts.join(","))).collect();
    Ok(format!(
        "haul search index 3; unicode {normalization:?} {letters:?}; {}; checkpoint {}; {} bytes, inode {}, modified {}.{}, changed {}.{}",
        columns.join(" "),
        crate::custody::subject(bundle)?,
        found.len(),
        found.ino(),
        found.mtime(),
        found.mtime_nsec(),
        found.ctime(),
        found.ctime_nsec(),
    ))
}

impl Index {
    /// The index at `path`, if there is one and it is of the bundle as it is now.
    pub fn open(path: &Path, bundle: &Path) -> Result<Option<Index>, Error> {
        let bound = bound(bundle)?;
        if !path.is_file() {
            return Ok(None);
        }
        // A cache that cannot be read is as good as none: it is made anew.
        Ok(Index::read(path, &bound).unwrap_or(None))
    }

    fn read(path: &Path, bound: &str) -> rusqlite::Result<Option<Index>> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        let found: Option<String> = connection.query_row("SELECT what FROM bound", [], |row| row.get(0)).optional()?;
        if found.as_deref() != Some(bound) {
            return Ok(None);
        }
        let ranges = {
            let mut statement = connection.prepare("SELECT first, after FROM searched ORDER BY place")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()?
        };
        Ok((ranges.len() == SEARCHED.len()).then_some(Index { connection, ranges }))
    }

    /// Makes the index of a bundle at `path`, whole or not at all. Only its owner may read it: it has the texts, in pieces.
    pub fn build(path: &Path, bundle: &Path) -> Result<(), Error> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io)?;
        let before = bound(bundle)?;
        let file = tempfile::NamedTempFile::new_in(folder).map_err(io)?;
        let error = |source| Error::Store { path: path.to_owned(), source };
        let connection = Connection::open_with_flags(file.path(), OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(error)?;
        let from = open_readable(bundle)?.connection;
        fill(&connection, &from, &before).map_err(error)?;
        drop(connection);
        file.persist(path).map_err(|error| io(error.error))?;
        Ok(())
    }

    /// The ids of the rows of a searched table that can have it, in order; `None` where a scan is better or needed.
    pub(super) fn candidates(&self, place: usize, rows: Option<&[u32]>) -> rusqlite::Result<Option<Vec<Vec<u8>>>> {
        let (Some(rows), Some((first, after))) = (rows, self.ranges.get(place)) else { return Ok(None) };
        let begin = rows.partition_point(|row| row < first);
        let end = rows.partition_point(|row| row < after);
        let rows = rows.get(begin..end).unwrap_or_default();
        if rows.len().saturating_mul(SCAN_ABOVE) > after.saturating_sub(*first) as usize {
            return Ok(None);
        }
        let mut statement = self.connection.prepare("SELECT id FROM row WHERE number = ?1")?;
        rows.iter().map(|row| statement.query_row([row], |row| row.get(0))).collect::<rusqlite::Result<Vec<_>>>().map(Some)
    }

    /// The numbers of the rows, of all tables, that can have it; `None` if the index cannot say.
    pub(super) fn rows(&self, matcher: &Matcher) -> rusqlite::Result<Option<Vec<u32>>> {
        let mut rows: Option<Vec<u32>> = None;
        for word in &matcher.words {
            if let Some(of_word) = self.of_needle(word)? {
                rows = Some(rows.map_or(of_word.clone(), |rows| common(&rows, &of_word)));
            }
        }
        let Some(of_any) = self.of_any(&matcher.selectors)? else { return Ok(rows) };
        Ok(Some(rows.map_or(of_any.clone(), |rows| common(&rows, &of_any))))
    }

    /// Rows that can have any of the selectors; `None` if there are none, or one is too short.
    fn of_any(&self, selectors: &[Needle]) -> rusqlite::Result<Option<Vec<u32>>> {
        if selectors.is_empty() || selectors.len() > MOST_SELECTORS {
            return Ok(None);
        }
        let mut rows = Vec::new();
        for selector in selectors {
            let Some(of_needle) = self.of_needle(selector)? else { return Ok(None) };
            rows.extend(of_needle);
        }
        rows.sort_unstable();
        rows.dedup();
        Ok(Some(rows))
    }

    /// Rows that can have the piece of text or the number.
    fn of_needle(&self, needle: &Needle) -> rusqlite::Result<Option<Vec<u32>>> {
        let Some(mut rows) = self.of_word(&needle.folded)? else { return Ok(None) };
        if let Some(number) = &needle.number {
            rows.extend(self.of_word(number)?.unwrap_or_default());
            rows.sort_unstable();
            rows.dedup();
        }
        Ok(Some(rows))
    }

    fn of_word(&self, word: &str) -> rusqlite::Result<Option<Vec<u32>>> {
        let mut grams = of_query(word);
        if grams.is_empty() {
            return Ok(None);
        }
        grams.sort_unstable();
        grams.dedup();
        let mut size = self.connection.prepare("SELECT coalesce(sum(length(rows)), 0) FROM list WHERE gram = ?1")?;
        let sizes = grams.iter().map(|gram| Ok((size.query_row([gram], |row| row.get::<_, i64>(0))?, *gram)));
        let mut sizes = sizes.collect::<rusqlite::Result<Vec<_>>>()?;
        sizes.sort_unstable();
        let mut rows: Option<Vec<u32>> = None;
        for (_, gram) in sizes.into_iter().take(LISTS) {
            let list = self.list(gram)?;
            rows = Some(rows.map_or(list.clone(), |rows| common(&rows, &list)));
        }
        Ok(rows)
    }

    fn list(&self, gram: i64) -> rusqlite::Result<Vec<u32>> {
        let mut statement = self.connection.prepare_cached("SELECT rows FROM list WHERE gram = ?1 ORDER BY part")?;
        let mut rows = statement.query([gram])?;
        let mut list = Vec::new();
        while let Some(row) = rows.next()? {
            let mut last = 0u32;
            let (mut value, mut shift) = (0u32, 0);
            for byte in row.get_ref(0)?.as_blob()? {
                value |= u32::from(byte & 0x7f).wrapping_shl(shift);
                shift += 7;
                if byte & 0x80 == 0 {
                    last = last.wrapping_add(value);
                    list.push(last);
                    (value, shift) = (0, 0);
                }
            }
        }
        Ok(list)
    }
}

/// What two ascending lists both have.
fn common(one: &[u32], other: &[u32]) -> Vec<u32> {
    one.iter().copied().filter(|row| other.binary_search(row).is_ok()).collect()
}

/// A gram as a number: three characters of 21 bits, or two and a mark that is no character.
fn gram(first: char, second: char, third: Option<char>) -> i64 {
    let third = third.map_or(0x1f_ffff, u32::from);
    i64::from(u32::from(first)) << 42 | i64::from(u32::from(second)) << 21 | i64::from(third)
}

fn is_pair(first: char, second: char) -> bool {
    first >= PAIRS_FROM && second >= PAIRS_FROM
}

/// Every gram of a folded text.
fn of_text(text: &str, mut take: impl FnMut(i64)) {
    let (mut before, mut last) = (None, None);
    for character in text.chars() {
        if let Some(last) = last {
            if let Some(before) = before {
                take(gram(before, last, Some(character)));
            }
            if is_pair(last, character) {
                take(gram(last, character, None));
            }
        }
        (before, last) = (last, Some(character));
    }
}

/// Every gram of a folded text, and those of its numbers without what stands between their digits.
fn of_column(text: &str, take: &mut dyn FnMut(i64)) {
    of_text(text, &mut *take);
    runs(text, |groups| {
        if groups.len() > 1 {
            of_text(&groups.concat(), &mut *take);
        }
    });
}

/// Grams that every text with the word has; none if it is too short.
fn of_query(word: &str) -> Vec<i64> {
    let characters: Vec<char> = word.chars().collect();
    match characters[..] {
        [first, second] if is_pair(first, second) => vec![gram(first, second, None)],
        _ => characters.windows(3).map(|three| gram(three[0], three[1], Some(three[2]))).collect(),
    }
}

/// The rows of one gram, while they are collected.
#[derive(Default)]
struct List {
    last: u32,
    bytes: Vec<u8>,
}

/// Lists in memory, written out in parts.
#[derive(Default)]
struct Lists {
    lists: HashMap<i64, List>,
    held: usize,
    part: u32,
}

impl Lists {
    /// Rows come in ascending order, from 1.
    fn add(&mut self, gram: i64, row: u32) {
        let list = self.lists.entry(gram).or_insert_with(|| {
            self.held += ENTRY_BYTES;
            List::default()
        });
        if list.last == row {
            return;
        }
        let mut step = row.wrapping_sub(list.last);
        list.last = row;
        let before = list.bytes.len();
        while step >= 0x80 {
            list.bytes.push((step & 0x7f) as u8 | 0x80);
            step >>= 7;
        }
        list.bytes.push(step as u8);
        self.held += list.bytes.len() - before;
    }

    /// Each part counts from 0 again.
    fn flush(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let mut lists: Vec<_> = self.lists.drain().collect();
        lists.sort_unstable_by_key(|(gram, _)| *gram);
        let mut statement = connection.prepare_cached("INSERT INTO list VALUES (?1, ?2, ?3)")?;
        for (gram, list) in lists {
            statement.execute(params![gram, self.part, list.bytes])?;
        }
        self.part += 1;
        self.held = 0;
        Ok(())
    }
}

fn fill(connection: &Connection, from: &Connection, bound: &str) -> rusqlite::Result<()> {
    // A cache: if the machine stops, it is made anew.
    connection.pragma_update(None, "journal_mode", "OFF")?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    connection.execute_batch(SCHEMA)?;
    connection.execute_batch("BEGIN")?;
    let mut lists = Lists::default();
    let mut number = 0u32;
    for (place, searched) in SEARCHED.iter().enumerate() {
        let first = number.saturating_add(1);
        let sql = format!("SELECT id, {} FROM {} ORDER BY id", searched.texts.join(", "), searched.table);
        let mut statement = from.prepare(&sql)?;
        let mut rows = statement.query([])?;
        let mut insert = connection.prepare("INSERT INTO row VALUES (?1, ?2)")?;
        while let Some(row) = rows.next()? {
            // Numbers beyond 32 bits are more rows than a bundle can have in a file that SQLite opens here.
            number = number.checked_add(1).ok_or(rusqlite::Error::IntegralValueOutOfRange(0, i64::MAX))?;
            insert.execute(params![number, row.get_ref(0)?.as_blob()?])?;
            for column in 1..=searched.texts.len() {
                if let rusqlite::types::ValueRef::Text(bytes) = row.get_ref(column)? {
                    of_column(&fold(&String::from_utf8_lossy(bytes)), &mut |gram| lists.add(gram, number));
                }
            }
            if lists.held > HELD_BYTES {
                lists.flush(connection)?;
            }
        }
        let after = number.saturating_add(1);
        connection.execute("INSERT INTO searched VALUES (?1, ?2, ?3)", params![place as i64, first, after])?;
    }
    lists.flush(connection)?;
    connection.execute("INSERT INTO bound VALUES (?1)", [bound])?;
    connection.execute_batch("COMMIT")
}

/// Where a cache keeps the index of a bundle: by the bundle's place, so that one that is sealed anew replaces the old one.
pub fn name(bundle: &Path) -> Result<String, Error> {
    let place = fs::canonicalize(bundle).map_err(|source| Error::Io { path: bundle.to_owned(), source })?;
    Ok(format!("{}.index", &Digest::of(place.as_os_str().as_encoded_bytes()).to_string()[..32]))
}

#[cfg(test)]
mod tests {
    use super::super::{Hit, Query, search};
    use super::*;
    use crate::bundle::schema;
    use std::path::PathBuf;

    /// Words of every script that the searched texts must be in; some letters composed, decomposed, capital, full-width.
    const SCRIPTS: &[(&str, &str)] = &[
        ("Chinese", "转账 公司 客户 今天 微信 老板 付款 地址 我们 投资 平台 钱"),
        ("Thai", "โอนเงิน บริษัท ลูกค้า วันนี้ เจ้านาย ที่อยู่ ลงทุน แพลตฟอร์ม กำไร ครับ"),
        ("Vietnamese", "chuyển tiền công ty khách hàng Tiê\u{301}ng Viê\u{323}t đầu tư ĐỊA CHỈ lợi nhuận"),
        ("Burmese", "ငွေလွှဲ ကုမ္ပဏီ ဖောက်သည် ယနေ့ သူဌေး လိပ်စာ ရင်းနှီးမြှုပ်နှံမှု"),
        ("Khmer", "ផ្ទេរប្រាក់ ក្រុមហ៊ុន អតិថិជន ថ្ងៃនេះ ថៅកែ អាសយដ្ឋាន វិនិយោគ"),
        ("Arabic", "تحويل شركة عميل اليوم المدير عنوان استثمار أرباح منصة"),
        ("Amharic", "ገንዘብ ኩባንያ ደንበኛ ዛሬ አለቃ አድራሻ ኢንቨስትመንት ትርፍ"),
        ("Cyrillic", "перевод компания клиент сегодня босс адрес инвестиции Кошелёк ПРИБЫЛЬ"),
        ("Latin", "transfer company client today boss address invest ＵＳＤＴ profit Straße ﬁnance 🔥"),
    ];

    struct Seeded(u64);

    impl Seeded {
        fn below(&mut self, limit: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as usize % limit
        }
    }

    struct Bench {
        folder: tempfile::TempDir,
        texts: Vec<(&'static str, String)>,
    }

    impl Bench {
        /// Messages in every script, contacts and items named in it.
        fn new() -> Bench {
            let bench = Bench { folder: tempfile::tempdir().unwrap(), texts: texts() };
            let connection = Connection::open_with_flags(bench.bundle(), OpenFlags::default()).unwrap();
            connection.execute_batch("BEGIN").unwrap();
            for table in schema::tables() {
                connection.execute_batch(table.create).unwrap();
            }
            connection.execute("INSERT INTO seal VALUES ('haul/x', NULL, 'unsigned')", []).unwrap();
            connection
                .execute("INSERT INTO exhibit (id, case_label, number, kind, container, size_bytes, items, directories, complete) VALUES (x'0a', 'c', '1', 'phone', 'directory', 0, 0, 0, 1)", [])
                .unwrap();
            for (place, (_, text)) in bench.texts.iter().enumerate() {
                let id = Digest::of(&place.to_le_bytes()).0[..16].to_vec();
                let exhibit = if place % 3 == 0 { vec![10u8] } else { vec![11u8] };
                connection
                    .execute(
                        "INSERT INTO message (id, exhibit_id, item_id, app, text, sender, sent_time, state) VALUES (?1, ?2, x'00', 'a', ?3, ?4, ?5, 'live')",
                        params![id, exhibit, text, format!("+8551{place:07}"), place as i64],
                    )
                    .unwrap();
                if place % 4 == 0 {
                    let name: String = text.chars().take(12).collect();
                    connection
                        .execute("INSERT INTO contact (id, exhibit_id, item_id, app, display_name, state) VALUES (?1, ?2, x'00', 'a', ?3, 'live')", params![id, exhibit, name])
                        .unwrap();
                    connection
                        .execute("INSERT INTO item (id, exhibit_id, path, file_kind, size_bytes, deleted, status) VALUES (?1, ?2, ?3, 'file', 0, 0, 'plain')", params![id, exhibit, format!("DCIM/{name}.jpg")])
                        .unwrap();
                    connection
                        .execute(
                            "INSERT INTO observable (id, kind, value, validity) VALUES (?1, 'url', ?2, 'format')",
                            params![id, format!("https://x/{name}")],
                        )
                        .unwrap();
                }
            }
            connection.execute_batch("COMMIT").unwrap();
            Index::build(&bench.path("index"), &bench.bundle()).unwrap();
            bench
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn bundle(&self) -> PathBuf {
            self.path("bundle.sqlite")
        }

        fn open(&self) -> Option<Index> {
            Index::open(&self.path("index"), &self.bundle()).unwrap()
        }
    }

    fn texts() -> Vec<(&'static str, String)> {
        let mut seeded = Seeded(6);
        let mut texts = Vec::new();
        for number in 0..4_500 {
            let (script, words) = SCRIPTS[number % SCRIPTS.len()];
            let words: Vec<&str> = words.split(' ').collect();
            let count = 2 + seeded.below(6);
            let chosen: Vec<&str> = (0..count).map(|_| words[seeded.below(words.len())]).collect();
            // Without spaces where the script has none; now and then a number, a mixture, a NUL.
            let space = if number % 2 == 0 { " " } else { "" };
            let mut text = chosen.join(space);
            match seeded.below(12) {
                0 => text.push_str(&format!(" {}", 100_000 + seeded.below(900_000))),
                1 => text = text.to_uppercase(),
                2 => text.push_str("\0usdt\u{200b}x"),
                3 => text.push_str(&format!(" ០១២ (345)-{:03}", seeded.below(40))),
                _ => {}
            }
            texts.push((script, text));
        }
        texts
    }

    fn found(bundle: &Path, query: &Query, index: Option<&Index>) -> Vec<Hit> {
        let mut hits = Vec::new();
        search(bundle, query, index, &mut |hit| {
            hits.push(hit);
            Ok::<(), Error>(())
        })
        .unwrap();
        hits
    }

    /// Pieces of the texts of each script, from one character on, in other cases and compositions; pairs; watch lists; and what is not
    /// there.
    #[test]
    fn the_index_finds_what_a_scan_finds_in_every_script() {
        let bench = Bench::new();
        let index = bench.open().unwrap();
        let mut seeded = Seeded(7);
        let mut used = std::collections::BTreeMap::<&str, (usize, usize)>::new();
        let all = texts();
        for round in 0..420 {
            let mut piece = |script: Option<&str>| loop {
                let (of, text) = &all[seeded.below(all.len())];
                if script.is_none_or(|script| script == *of) {
                    let characters: Vec<char> = text.chars().collect();
                    let length = 1 + seeded.below(7);
                    let at = seeded.below(characters.len());
                    let piece: String = characters.iter().skip(at).take(length).collect();
                    if fold(&piece).is_empty() {
                        continue;
                    }
                    break (*of, if round % 5 == 0 { piece.to_uppercase() } else { piece });
                }
            };
            let (script, word) = piece(None);
            let mut query = Query { words: vec![word], ..Query::default() };
            match round % 7 {
                1 => query.words.push(piece(Some(script)).1),
                2 => query.selectors = vec![piece(None).1, piece(Some(script)).1, "no such".into()],
                3 => query.words = vec![format!("{}\u{e000}", query.words[0])],
                4 => {
                    query.words.clear();
                    query.selectors = vec![piece(Some(script)).1, "+85510000".into(), "+855 (10) 001-234".into()];
                }
                0 if round % 2 == 0 => query.words = vec![format!("012-345.{:03}", round % 40)],
                5 => (query.exhibit, query.since_us) = (Some("1".into()), Some(900)),
                6 => query.kinds = vec!["url".into(), "item".into()],
                _ => {}
            }
            let scanned = found(&bench.bundle(), &query, None);
            assert_eq!(found(&bench.bundle(), &query, Some(&index)), scanned, "{query:?}");
            let matcher = Matcher::new(&query).unwrap();
            let counts = used.entry(script).or_default();
            counts.0 += usize::from(index.rows(&matcher).unwrap().is_some());
            counts.1 += usize::from(!scanned.is_empty());
        }
        // That they agree tells something only where the index was asked and something was there.
        assert_eq!(used.len(), SCRIPTS.len());
        assert!(used.values().all(|(asked, hits)| *asked > 15 && *hits > 15), "{used:?}");
    }

    #[test]
    fn short_words_are_scanned_and_pairs_of_other_scripts_are_not() {
        for short in ["", "a", "ok", "钱", "да", "به"] {
            assert!(of_query(short).is_empty(), "{short}");
        }
        for pair in ["转账", "ที", "ငွ", "ថៅ", "ገን"] {
            assert_eq!(of_query(pair).len(), 1, "{pair}");
            let mut grams = Vec::new();
            of_text(&format!("x{pair}y"), |gram| grams.push(gram));
            assert!(grams.contains(&of_query(pair)[0]));
        }
    }

    #[test]
    fn lists_are_the_same_in_one_part_and_in_many() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        let mut lists = Lists::default();
        let rows: Vec<u32> = vec![1, 2, 130, 131, 20_000, 20_001, 3_000_000, u32::MAX];
        for (place, row) in rows.iter().enumerate() {
            lists.add(5, *row);
            lists.add(5, *row);
            if place % 3 == 2 {
                lists.flush(&connection).unwrap();
            }
        }
        lists.flush(&connection).unwrap();
        let index = Index { connection, ranges: Vec::new() };
        assert_eq!(index.list(5).unwrap(), rows);
        assert_eq!(index.list(6).unwrap(), [0; 0]);
    }

    #[test]
    fn an_index_of_another_state_or_a_damaged_one_is_none() {
        use std::os::unix::fs::PermissionsExt;
        let bench = Bench::new();
        let before = fs::read(bench.bundle()).unwrap();
        assert!(bench.open().is_some());
        assert_eq!(fs::read(bench.bundle()).unwrap(), before);
        assert_eq!(fs::metadata(bench.path("index")).unwrap().permissions().mode() & 0o777, 0o600);
        // The same bytes anew are another file: nobody can say what was done to it meanwhile.
        fs::copy(bench.bundle(), bench.path("copy")).unwrap();
        fs::rename(bench.path("copy"), bench.bundle()).unwrap();
        assert!(bench.open().is_none());
        Index::build(&bench.path("index"), &bench.bundle()).unwrap();
        assert!(bench.open().is_some());
        for damaged in [&b""[..], b"no database", &fs::read(bench.path("index")).unwrap()[..5_000]] {
            fs::write(bench.path("index"), damaged).unwrap();
            assert!(bench.open().is_none());
        }
        fs::remove_file(bench.path("index")).unwrap();
        assert!(bench.open().is_none());
        // What cannot be made leaves nothing.
        assert!(Index::build(&bench.path("other"), &bench.path("missing")).is_err());
        assert_eq!(fs::read_dir(bench.folder.path()).unwrap().count(), 1);
        assert_ne!(name(&bench.bundle()).unwrap(), name(bench.folder.path()).unwrap());
    }
}
