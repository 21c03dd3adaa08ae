//! Row recovery against the SQLite Forensic Corpus (Nemetz, Schmitt and Freiling, DFRWS EU 2018; Schmitt, IMF 2018; CC0) and its
//! answer keys: what is found of what was deleted, that nothing live is called deleted, that no altered file stops it.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on stops")]

#[path = "recovery/bounds.rs"]
mod bounds;
#[path = "recovery/states.rs"]
mod states;

use model::State;
use normalize::recover::{Recovered, Row, Value};
use normalize::scratch::Evidence;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// A table of an answer key.
struct Key {
    /// Contents of each row as the key writes them, and whether the row was deleted.
    rows: Vec<(Vec<String>, bool)>,
}

/// What one database, or one category, gave.
#[derive(Clone, Copy, Default)]
struct Score {
    databases: u32,
    deleted: u32,
    /// Those of which every byte of every value is in the file.
    there: u32,
    whole: u32,
    partial: u32,
    /// Deleted rows found by the rule of the published figures: second and third column are right.
    paired: u32,
    wrong: u32,
    live: u32,
    hidden: u32,
    unmarked: u32,
}

impl Score {
    fn add(&mut self, other: Score) {
        self.databases += other.databases;
        self.deleted += other.deleted;
        self.there += other.there;
        self.whole += other.whole;
        self.partial += other.partial;
        self.paired += other.paired;
        self.wrong += other.wrong;
        self.live += other.live;
        self.hidden += other.hidden;
        self.unmarked += other.unmarked;
    }

    fn line(&self, name: &str) -> String {
        let rate =
            |part: u32, all: u32| if all == 0 { "–".to_owned() } else { format!("{:.3}", f64::from(part) / f64::from(all)) };
        format!(
            "| {name} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            self.databases,
            self.deleted,
            self.there,
            self.whole,
            self.partial,
            self.wrong,
            self.live,
            self.hidden,
            self.unmarked,
            rate(self.whole, self.deleted),
            rate(self.whole, self.there),
            rate(self.whole + self.partial, self.whole + self.partial + self.wrong)
        )
    }
}

/// The best published recall and precision of a category, by whichever tool (docs/error-rates.md names them).
const PUBLISHED: [(&str, f64, f64); 3] = [("0C", 0.833, 0.959), ("0D", 0.444, 1.0), ("0E", 0.25, 1.0)];

fn corpus() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus/sqlite-recovery/forensic-corpus");
    folder.is_dir().then_some(folder)
}

/// The databases of the corpus with their answer keys, in order.
fn databases(corpus: &Path) -> Vec<(String, PathBuf, PathBuf)> {
    let mut all = Vec::new();
    for folder in fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.extension().is_some_and(|extension| extension == "db") {
                let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
                let key = folder.join(format!("{}.xml", name.trim_end_matches("_antifor")));
                all.push((name, path, key));
            }
        }
    }
    all.sort();
    assert!(all.len() > 80, "{} databases", all.len());
    all
}

/// What stands between two tags, each time.
fn between<'t>(text: &'t str, open: &str, close: &str) -> Vec<&'t str> {
    text.split(open).skip(1).map(|rest| rest.split(close).next().unwrap_or_default()).collect()
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'").replace("&amp;", "&")
}

fn keys(path: &Path) -> Vec<Key> {
    let text = fs::read_to_string(path).unwrap();
    let elements = between(&text, "<element>", "</element>").into_iter().filter(|element| element.contains("<type>table</type>"));
    elements
        .map(|element| {
            // The rows of a dropped table are deleted with it, though not each is marked.
            let dropped = element.contains("<deleted>True</deleted>");
            let rows = between(element, "<row", "</row>").into_iter().filter(|row| !row.starts_with('s'));
            let rows = rows.map(|row| {
                let contents = between(row, "<column>", "</column>").into_iter();
                let contents = contents
                    .map(|column| unescape(between(column, "<content>", "</content>").first().copied().unwrap_or_default()));
                (contents.collect(), dropped || row.starts_with(" deleted=\"1\""))
            });
            Key { rows: rows.collect() }
        })
        .collect()
}

/// Whether a value is what the key writes: integers as digits, floats to five places, texts as they are, NULL as nothing.
fn agrees(value: &Value, wanted: &str) -> bool {
    match value {
        Value::Null => wanted.is_empty() || wanted == "NULL",
        Value::Integer(number) => wanted == number.to_string(),
        Value::Real(bits) => wanted.parse().is_ok_and(|wanted| near(f64::from_bits(*bits), wanted)),
        Value::Text(bytes) => wanted.as_bytes() == bytes,
        Value::Blob(_) => false,
    }
}

/// Whether a row is that of the key: with every value, or in what is left of it.
fn matches(row: &Row, wanted: &[String]) -> Option<bool> {
    row.values.iter().flatten().next()?;
    let mut whole = row.values.len() == wanted.len();
    for (index, value) in row.values.iter().enumerate() {
        let wanted = wanted.get(index)?;
        match value {
            None => whole = false,
            Some(value) if agrees(value, wanted) => {}
            Some(Value::Text(start)) if row.cut == Some(index) && wanted.as_bytes().starts_with(start) => {
                whole = false;
            }
            Some(_) => return None,
        }
    }
    Some(whole)
}

/// A database file as bytes, searched for the values of a row without any of our reading of pages.
struct Bytes {
    file: Vec<u8>,
    page_size: usize,
}

impl Bytes {
    fn read(path: &Path) -> Bytes {
        let file = fs::read(path).unwrap();
        let page_size = usize::from(file[16]) << 8 | usize::from(file[17]);
        Bytes { file, page_size: if page_size == 1 { 65_536 } else { page_size } }
    }

    /// Whether every value of the row lies in the file, one behind the other; a long one may go on behind the first four bytes
    /// of another page. The first column may be the rowid, which has no body.
    fn hold(&self, row: &[String]) -> bool {
        // Its longest text is looked for first: that is quick.
        let texts = row.iter().filter(|wanted| wanted.parse::<f64>().is_err()).map(String::as_bytes);
        let longest = texts.max_by_key(|text| text.len()).unwrap_or_default();
        if longest.len() >= 8 && !self.file.windows(8).any(|window| longest.starts_with(window)) {
            return false;
        }
        let bodies: Vec<Vec<Body>> = row.iter().map(|wanted| Body::all(wanted)).collect();
        (0..self.file.len()).any(|at| self.lies(at, &bodies) || bodies.len() > 1 && self.lies(at, &bodies[1..]))
    }

    fn lies(&self, at: usize, bodies: &[Vec<Body>]) -> bool {
        let Some((wanted, rest)) = bodies.split_first() else { return true };
        wanted.iter().any(|body| match body {
            Body::Bytes(value) => self.follows(at, value, rest),
            Body::Real(number) => {
                let stored = self.file.get(at..at + 8).map(|bytes| f64::from_be_bytes(bytes.try_into().unwrap()));
                stored.is_some_and(|stored| near(stored, *number)) && self.lies(at + 8, rest)
            }
        })
    }

    /// Whether a value lies there and the others behind it.
    fn follows(&self, at: usize, value: &[u8], rest: &[Vec<Body>]) -> bool {
        let here = self.file.get(at..).unwrap_or_default();
        let same = here.iter().zip(value).take_while(|(own, wanted)| own == wanted).count();
        if same == value.len() {
            return self.lies(at + same, rest);
        }
        // What spills over is long: a few equal letters are no start of it.
        let open = &value[same..];
        let start = &open[..open.len().min(16)];
        let mut pages = (0..self.file.len() / self.page_size).map(|page| page * self.page_size + 4);
        same >= 16 && pages.any(|at| self.file[at..].starts_with(start) && self.follows(at, open, rest))
    }
}

/// How SQLite may have stored what a key writes.
enum Body {
    Bytes(Vec<u8>),
    Real(f64),
}

impl Body {
    fn all(wanted: &str) -> Vec<Body> {
        let mut all = vec![Body::Bytes(wanted.as_bytes().to_vec())];
        if wanted == "0" || wanted == "1" {
            all.push(Body::Bytes(Vec::new()));
        }
        if let Ok(number) = wanted.parse::<i64>() {
            let fits = |width: &usize| *width == 8 || number >> (8 * width - 1) == number >> 63;
            let width = [1, 2, 3, 4, 6, 8].into_iter().find(fits).unwrap();
            all.push(Body::Bytes(number.to_be_bytes()[8 - width..].to_vec()));
        }
        all.extend(wanted.parse().ok().map(Body::Real));
        all
    }
}

/// Whether a float is what a key writes to five places.
fn near(number: f64, wanted: f64) -> bool {
    (number - wanted).abs() <= 1e-5 + wanted.abs() * 1e-14
}

fn recover(path: &Path) -> Recovered {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(path, folder.path().join("main")).unwrap();
    let limits = config::Settings::default().normalize;
    match Evidence::open(folder.path(), &limits, None, true) {
        Ok(evidence) => Recovered::read(&evidence.connection, folder.path()).unwrap_or_else(|error| refused(path, &error)),
        Err(error) => refused(path, &error),
    }
}

/// Nothing is recovered from what SQLite does not open.
fn refused(path: &Path, error: &rusqlite::Error) -> Recovered {
    println!("{}: {error}", path.file_name().unwrap().to_string_lossy());
    Recovered::default()
}

/// A value of SQLite as a key writes it; a BLOB as no key does.
fn written(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => String::new(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// Every row that SQLite gives of the database, asked of a copy without any of our settings: not of the connection that was
/// recovered with, whose checks refuse pages that SQLite itself reads. `None` if it does not open.
fn lives(path: &Path) -> Option<Vec<Vec<String>>> {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("main");
    fs::copy(path, &copy).unwrap();
    let connection = Connection::open_with_flags(&copy, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
    let mut names = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").ok()?;
    let names: Vec<String> = names.query_map([], |row| row.get(0)).unwrap().map_while(Result::ok).collect();
    let mut lives = Vec::new();
    for name in names {
        let Ok(mut statement) = connection.prepare(&format!("SELECT * FROM \"{}\"", name.replace('"', "\"\""))) else { continue };
        let width = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        // A damaged table ends where SQLite ends.
        while let Ok(Some(row)) = rows.next() {
            lives.push((0..width).map(|column| written(row.get_ref(column).unwrap())).collect());
        }
    }
    Some(lives)
}

fn score(path: &Path, key: &Path, show: bool) -> Score {
    let recovered = recover(path);
    let keys = keys(key);
    let mut score = Score { databases: 1, ..Score::default() };
    let bytes = Bytes::read(path);
    let deleted = keys.iter().flat_map(|key| &key.rows).filter(|(_, deleted)| *deleted);
    score.deleted = deleted.clone().count() as u32;
    score.there = deleted.filter(|(row, _)| bytes.hold(row)).count() as u32;
    let Some(lives) = lives(path) else {
        // Without SQLite's answer nothing could be held against what was found.
        assert!(recovered.rows.is_empty(), "{}", path.display());
        return score;
    };
    let mut open: Vec<&Vec<String>> =
        keys.iter().flat_map(|key| &key.rows).filter(|(_, deleted)| *deleted).map(|(row, _)| row).collect();
    let alive: Vec<&Vec<String>> =
        keys.iter().flat_map(|key| &key.rows).filter(|(_, deleted)| !*deleted).map(|(row, _)| row).collect();
    let mut rows: Vec<&Row> = recovered.rows.iter().filter(|row| recovered.tables[row.table].name != "sqlite_schema").collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.doubts.level()));
    for row in rows {
        assert_ne!(row.state, State::Live);
        let found = open.iter().position(|wanted| matches(row, wanted) == Some(true));
        let found = found.or_else(|| open.iter().position(|wanted| matches(row, wanted).is_some()));
        let verdict = match found {
            Some(place) => {
                let whole = matches(row, open[place]) == Some(true);
                open.remove(place);
                let read = |column: usize| row.values.get(column).is_some_and(Option::is_some) && row.cut != Some(column);
                score.paired += u32::from(read(1) && read(2));
                if whole {
                    score.whole += 1
                } else {
                    score.partial += 1
                }
                if whole { "whole" } else { "partial" }
            }
            // All that is left of it is in a row that SQLite gives: only a row that says it may be live can be that.
            None if lives.iter().any(|live| matches(row, live).is_some()) => {
                if row.doubts.may_live() {
                    score.hidden += 1;
                    "hidden"
                } else {
                    score.live += 1;
                    "LIVE"
                }
            }
            // The key has it and does not call it deleted; SQLite does not give it. Which of the two is right is not known.
            None if alive.iter().any(|wanted| matches(row, wanted).is_some()) => {
                if row.doubts.may_live() {
                    score.hidden += 1;
                    "hidden"
                } else {
                    score.unmarked += 1;
                    "unmarked"
                }
            }
            None => {
                score.wrong += 1;
                "wrong"
            }
        };
        if show {
            let values: Vec<_> = row
                .values
                .iter()
                .map(|value| match value {
                    None => "?".to_owned(),
                    Some(Value::Text(bytes)) => String::from_utf8_lossy(bytes).chars().take(30).collect(),
                    Some(Value::Real(bits)) => f64::from_bits(*bits).to_string(),
                    Some(value) => format!("{value:?}"),
                })
                .collect();
            println!(
                "  {verdict} {} page {} at {}+{} [{}] {:?}: {}",
                recovered.tables[row.table].name,
                row.page,
                row.offset,
                row.length,
                row.doubts,
                row.row_id,
                values.join(" | ")
            );
        }
    }
    if show {
        open.iter().for_each(|row| println!("  missing {}", row.join(" | ").chars().take(150).collect::<String>()));
        recovered.problems.iter().for_each(|problem| println!("  {problem:?}"));
    }
    score
}

#[test]
fn deleted_rows_of_the_forensic_corpus() {
    let Some(corpus) = corpus() else { return };
    let only = std::env::var("HAUL_CORPUS_ONLY").ok();
    let mut categories: BTreeMap<String, Score> = BTreeMap::new();
    for (name, path, key) in databases(&corpus) {
        if only.as_ref().is_some_and(|only| !name.starts_with(only.as_str())) {
            continue;
        }
        // Nothing is wrong with these: were SQLite's answer empty, no find could ever be called live.
        if ["01", "02", "03", "04", "07"].iter().any(|sound| name.starts_with(sound)) {
            let lives = lives(&path).unwrap();
            let missing = keys(&key).into_iter().flat_map(|key| key.rows).find(|(row, deleted)| !deleted && !lives.contains(row));
            assert!(missing.is_none(), "{name}: {missing:?}");
        }
        let score = score(&path, &key, only.is_some());
        if only.is_some() {
            println!("{}", score.line(&name));
        }
        assert_eq!(score.live, 0, "{name}: live rows called deleted");
        categories.entry(name[..2].to_owned()).or_default().add(score);
    }
    let mut table = String::new();
    for (name, score) in &categories {
        writeln!(table, "{}", score.line(name)).unwrap();
    }
    for (name, score) in categories.iter().filter(|(_, score)| score.deleted > 0) {
        println!("{name}: {} of {} by second and third column", score.paired, score.deleted);
    }
    println!(
        "| category | databases | deleted | there | whole | partial | wrong | live | hidden | unmarked | recall | of those there | precision |\n{}{table}",
        "|---".repeat(13) + "|\n"
    );
    for (name, score) in &categories {
        assert!(score.whole >= score.there, "{name}: rows whose bytes are all there are not found");
    }
    for (name, recall, precision) in PUBLISHED {
        let Some(score) = categories.get(name) else { continue };
        let all = f64::from(score.whole + score.partial + score.wrong);
        assert!(f64::from(score.paired) / f64::from(score.deleted) > recall, "{name}: recall");
        assert!(f64::from(score.whole + score.partial) / all >= precision, "{name}: precision");
    }
}
