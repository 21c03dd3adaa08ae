//! `haul explain`: from a row of a bundle back to the raw value in the evidence.

mod link;

use crate::cli;
use crate::journal::Journal;
use anyhow::{Context, Result, bail};
use ingest::{Job, Step};
use model::text::{escape, escape_bytes};
use model::{Digest, Id};
use rusqlite::{Connection, OptionalExtension, Row};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Bytes of a range that are printed at most; more are counted.
const SHOWN_BYTES: u64 = 64 << 10;

/// Tables whose rows can be explained, and the place each keeps: record tables first.
const TABLES: &[&str] = &[
    "message",
    "thread",
    "account",
    "participant",
    "contact",
    "contact_point",
    "call",
    "attachment",
    "device",
    "visit",
    "location",
    "sighting",
    "secret",
    "item",
];

/// The place of a row of the bundle in the evidence.
struct Place {
    table: &'static str,
    item: Id,
    row: Option<(String, Option<i64>)>,
    pointer: Option<String>,
    range: Option<(u64, u64)>,
    /// For a row that is not live: what is known of it.
    carved: Option<Carved>,
}

/// A row that its database has given up.
struct Carved {
    state: String,
    confidence: Option<String>,
    page: i64,
    /// Suffix of the file beside the database that it lies in.
    companion: Option<String>,
}

/// Prints where a row comes from, through every container, and the raw value there.
pub fn explain(arguments: &cli::Explain) -> Result<u8> {
    let Some(id) = Id::parse(&arguments.id) else { bail!("{} is not an id (32 hexadecimal digits)", escape(&arguments.id)) };
    let connection = export::open_read_only(&arguments.bundle)?;
    let mut out = std::io::stdout().lock();
    let Some(place) = find(&connection, id)? else {
        let Some(link) = link::find(&connection, id)? else { bail!("no row of the bundle has the id {id}") };
        writeln!(out, "{}", link.words)?;
        for end in link.ends {
            let Some(place) = find(&connection, end)? else { bail!("the link's row {end} is not in the bundle") };
            writeln!(out)?;
            one(&mut out, &connection, &place, end, arguments)?;
        }
        return Ok(0);
    };
    one(&mut out, &connection, &place, id, arguments)?;
    Ok(0)
}

/// Prints one row.
fn one(out: &mut dyn Write, connection: &Connection, place: &Place, id: Id, arguments: &cli::Explain) -> Result<()> {
    let chain = chain(connection, place.item)?;
    writeln!(out, "{} {id}", place.table)?;
    for link in &chain {
        let sha256 = link.sha256.map_or("not hashed".to_owned(), |digest| digest.to_string());
        writeln!(out, "in {} · sha256 {sha256}", escape(&link.path))?;
    }
    let job = job(connection, place.item, arguments)?;
    let folder = tempfile::tempdir()?;
    let content = folder.path().join("main");
    let link = chain.last().context("an item has a place in its exhibit")?;
    fetch(&job, &chain, &content)?;
    if let Some(digest) = link.sha256 {
        let found = digest_of(&content)?;
        if found != digest {
            bail!("the evidence has changed: {} has sha256 {found} now", escape(&link.path));
        }
    }
    let beside = companions(connection, &job, &chain, folder.path())?;
    // A row of a log lies in that file.
    let suffix = place.carved.as_ref().and_then(|carved| carved.companion.as_deref());
    let chain = match suffix {
        None => chain,
        Some(suffix) => beside.into_iter().find(|(name, _)| *name == suffix).context("its log is not in the evidence")?.1,
    };
    show(out, place, folder.path(), &folder.path().join(format!("main{}", suffix.unwrap_or_default())))?;
    locate(out, place, &job, &chain, folder.path())
}

fn show(out: &mut dyn Write, place: &Place, folder: &Path, content: &Path) -> Result<()> {
    if let Some(Carved { state, confidence, page, companion }) = &place.carved {
        let (table, row_id) = place.row.as_ref().map_or(("?", None), |(table, row_id)| (table.as_str(), *row_id));
        let row_id = row_id.map_or("lost".to_owned(), |row_id| row_id.to_string());
        let confidence = confidence.as_deref().unwrap_or("unknown");
        writeln!(out, "table {} row {row_id}: {state}, confidence {confidence}", escape(table))?;
        writeln!(out, "page {page} of the {}", companion.as_deref().map_or("database", |suffix| suffix.trim_start_matches('-')))?;
    } else if let Some((table, Some(row_id))) = &place.row {
        writeln!(out, "table {} row {row_id}", escape(table))?;
        for (column, value) in normalize::raw::row(folder, table, *row_id)? {
            writeln!(out, "  {column} = {value}")?;
        }
    }
    if let Some(pointer) = &place.pointer {
        writeln!(out, "at {}", escape(pointer))?;
        for (property, value) in normalize::raw::properties(folder, pointer)? {
            writeln!(out, "  {property} = {value}")?;
        }
    }
    if let Some((offset, length)) = place.range {
        writeln!(out, "bytes {offset} to {} ({length})", offset + length)?;
        let mut file = File::open(content)?;
        std::io::copy(&mut (&mut file).take(offset), &mut std::io::sink())?;
        let mut bytes = Vec::new();
        file.take(length.min(SHOWN_BYTES)).read_to_end(&mut bytes)?;
        writeln!(out, "  {}", escape_bytes(&bytes))?;
        if length > SHOWN_BYTES {
            writeln!(out, "  … {} more bytes", length - SHOWN_BYTES)?;
        }
    }
    Ok(())
}

/// Says where the value's bytes lie: in the item, then in each container around it, down to the file of the evidence.
fn locate(out: &mut dyn Write, place: &Place, job: &Job, chain: &[Link], folder: &Path) -> Result<()> {
    let (offset, length) = match (&place.row, place.range) {
        (_, Some(range)) => range,
        (Some((table, Some(row_id))), None) => match normalize::raw::cell(folder, table, *row_id)? {
            Some(cell) => cell,
            None => return Ok(()),
        },
        (_, None) => (0, chain.last().and_then(|link| link.size_bytes).unwrap_or(0)),
    };
    for stretch in ingest::locate(job, &config::Settings::default(), &steps(chain), offset, length)? {
        let layer = stretch.layer.map(|layer| format!(" ({layer})")).unwrap_or_default();
        let packed = if stretch.packed { ", packed" } else { "" };
        let end = stretch.start.saturating_add(stretch.length);
        writeln!(out, "lies at bytes {} to {end}{packed} of {}{layer}", stretch.start, escape_bytes(&stretch.path))?;
    }
    Ok(())
}

/// The row with that id, whichever table has it.
fn find(connection: &Connection, id: Id) -> Result<Option<Place>> {
    for table in TABLES {
        let sql = match *table {
            "item" => "SELECT id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM item WHERE id = ?1".to_owned(),
            "sighting" | "secret" => {
                format!(
                    "SELECT item_id, row_table, row_id, NULL, byte_offset, byte_length, NULL, NULL, NULL, NULL
                     FROM {table} WHERE id = ?1"
                )
            }
            _ => format!(
                "SELECT item_id, row_table, row_id, pointer, byte_offset, byte_length, state, confidence, page, companion
                 FROM {table} WHERE id = ?1"
            ),
        };
        let place = connection.query_row(&sql, [id.bytes()], |row| place(table, row)).optional()?;
        if place.is_some() {
            return Ok(place);
        }
    }
    Ok(None)
}

fn place(table: &'static str, row: &Row<'_>) -> rusqlite::Result<Place> {
    let (name, row_id): (Option<String>, Option<i64>) = (row.get(1)?, row.get(2)?);
    let range = |column| -> rusqlite::Result<Option<u64>> { Ok(row.get::<_, Option<i64>>(column)?.map(i64::cast_unsigned)) };
    let (offset, length) = (range(4)?, range(5)?);
    let carved = match row.get::<_, Option<i64>>(8)? {
        None => None,
        Some(page) => Some(Carved { state: row.get(6)?, confidence: row.get(7)?, page, companion: row.get(9)? }),
    };
    Ok(Place {
        table,
        item: Id(row.get(0)?),
        row: name.map(|name| (name, row_id)).filter(|(_, row_id)| row_id.is_some() || carved.is_some()),
        pointer: row.get(3)?,
        range: offset.map(|offset| (offset, length.unwrap_or(0))),
        carved,
    })
}

/// One container or item on the way to the value.
struct Link {
    id: Id,
    path: String,
    path_raw: Vec<u8>,
    size_bytes: Option<u64>,
    sha256: Option<Digest>,
}

/// From the outermost item to the one wanted.
fn chain(connection: &Connection, item: Id) -> Result<Vec<Link>> {
    let mut chain = Vec::new();
    let mut next = Some(item);
    while let Some(id) = next {
        if chain.len() > 64 {
            bail!("the items of this bundle are nested in a circle");
        }
        let sql = "SELECT parent_id, path, path_raw, sha256, size_bytes FROM item WHERE id = ?1";
        let (parent, link) = connection.query_row(sql, [id.bytes()], |row| {
            let path: String = row.get(1)?;
            let raw: Option<Vec<u8>> = row.get(2)?;
            let sha256: Option<String> = row.get(3)?;
            let path_raw = raw.unwrap_or_else(|| path.clone().into_bytes());
            let size_bytes = row.get::<_, Option<i64>>(4)?.map(i64::cast_unsigned);
            let link = Link { id, path, path_raw, size_bytes, sha256: sha256.as_deref().and_then(Digest::parse) };
            Ok((row.get::<_, Option<[u8; 16]>>(0)?, link))
        })?;
        chain.push(link);
        next = parent.map(Id);
    }
    chain.reverse();
    Ok(chain)
}

/// The exhibit's evidence: as given, or as the run record beside the bundle says.
fn job(connection: &Connection, item: Id, arguments: &cli::Explain) -> Result<Job> {
    // A merged bundle has many exhibits: the item's counts.
    let sql = "SELECT case_label, number, kind FROM exhibit WHERE id = (SELECT exhibit_id FROM item WHERE id = ?1)";
    let (case_label, number, kind) =
        connection.query_row(sql, [item.bytes()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let evidence = match &arguments.evidence {
        Some(path) => path.clone(),
        None => {
            let started = Journal::beside(&arguments.bundle).last("started")?;
            let path = started.as_ref().and_then(|event| event["evidence"].as_str()).map(PathBuf::from);
            path.context("no run record beside the bundle: say with --evidence where the evidence lies")?
        }
    };
    let mut passwords = arguments.passwords.clone();
    passwords.extend(crate::raid::words_of(&arguments.key_files)?);
    Ok(Job { evidence, case_label, number, kind, passwords })
}

fn steps(chain: &[Link]) -> Vec<Step> {
    chain.iter().map(|link| Step { item: link.id, path: link.path_raw.clone(), size_bytes: link.size_bytes }).collect()
}

fn fetch(job: &Job, chain: &[Link], to: &Path) -> Result<()> {
    let mut content = ingest::reopen(job, &config::Settings::default(), &steps(chain))?;
    let mut file = File::options().create(true).truncate(true).write(true).open(to)?;
    std::io::copy(&mut content, &mut file)?;
    Ok(())
}

/// Puts `-wal` and `-journal` of the same folder beside the content, so that SQLite sees the rows they hold.
fn companions(connection: &Connection, job: &Job, chain: &[Link], folder: &Path) -> Result<Vec<(&'static str, Vec<Link>)>> {
    let mut beside = Vec::new();
    let Some((link, outer)) = chain.split_last() else { return Ok(beside) };
    for suffix in ["-wal", "-journal"] {
        let sql = "SELECT id FROM item WHERE path = ?1 AND parent_id IS ?2 AND file_kind = 'file' AND sha256 IS NOT NULL
                   AND exhibit_id = (SELECT exhibit_id FROM item WHERE id = ?3)";
        let parent = outer.last().map(|link| link.id.0);
        let path = format!("{}{suffix}", link.path);
        let id: Option<[u8; 16]> = connection.query_row(sql, (&path, parent, link.id.bytes()), |row| row.get(0)).optional()?;
        if let Some(id) = id {
            let companion = self::chain(connection, Id(id))?;
            fetch(job, &companion, &folder.join(format!("main{suffix}")))?;
            beside.push((suffix, companion));
        }
    }
    Ok(beside)
}

fn digest_of(path: &Path) -> Result<Digest> {
    use sha2::Digest as _;
    let mut hasher = sha2::Sha256::new();
    std::io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(Digest(hasher.finalize().into()))
}
