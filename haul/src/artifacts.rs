//! `haul artifacts`: what is read, and whether a definition that a technician writes reads what it should.
//!
//! A definition is tried as it will be used: on a copy, in the sandbox, through every stage into a bundle, so that what is shown is what a
//! run would keep.

use crate::{cli, run};
use anyhow::{Context, Result, bail};
use model::Id;
use model::text::escape;
use normalize::artifact::{Artifact, Set};
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Lists, or does what was asked instead.
pub fn artifacts(arguments: &cli::Artifacts) -> Result<u8> {
    match &arguments.command {
        Some(cli::ArtifactsCommand::Check(check)) => try_definition(check),
        None => list(arguments.artifacts.as_deref()),
    }
}

/// Every definition and parser.
fn list(own: Option<&Path>) -> Result<u8> {
    let set = Set::load(own)?;
    let mut out = std::io::stdout().lock();
    for line in set.list() {
        writeln!(out, "{line}")?;
    }
    for parser in normalize::parse::PARSERS {
        writeln!(out, "{} · parser · version {}", parser.name(), parser.version())?;
    }
    Ok(0)
}

/// Checks a definition by itself and on a database; 1 if it does not fit, or does not read it to its end.
fn try_definition(check: &cli::ArtifactsCheck) -> Result<u8> {
    let path = &check.definition;
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let set = Set::with(&[(name.clone(), text.clone())])?;
    let Some(artifact) = set.artifacts().iter().find(|artifact| artifact.name == name) else {
        bail!("{} has no name", path.display());
    };
    let mut out = std::io::stdout().lock();
    let (app, kinds) = (&artifact.text.app, artifact.kinds().join(", "));
    writeln!(out, "{name}: {app}, {} generations, {kinds}: the definition is sound", artifact.text.variant.len())?;
    let Some(database) = &check.against else { return Ok(0) };
    let folder = tempfile::tempdir()?;
    let bundle = read(check, database, &name, &text, folder.path())?;
    let connection = export::open_read_only(&bundle)?;
    show(&connection, artifact, database, check.show, &mut out)
}

/// Runs the stages over a copy of the database, with the definition expecting it.
fn read(check: &cli::ArtifactsCheck, database: &Path, name: &str, text: &str, folder: &Path) -> Result<PathBuf> {
    let (evidence, definitions, out) = (folder.join("evidence"), folder.join("definitions"), folder.join("out"));
    for folder in [&evidence, &definitions, &out] {
        fs::create_dir(folder)?;
    }
    for ending in ["", "-wal", "-journal"] {
        let mut from = database.as_os_str().to_owned();
        from.push(ending);
        let to = evidence.join(format!("database{ending}"));
        match fs::copy(&from, &to) {
            Err(error) if !ending.is_empty() && error.kind() == std::io::ErrorKind::NotFound => {}
            copied => drop(copied.with_context(|| format!("cannot read {}", Path::new(&from).display()))?),
        }
    }
    // Where it is expected, a database that it does not fit is told as drift, with what is missing.
    let mut table: toml::Table = text.parse()?;
    table.insert("expected".to_owned(), toml::Value::Array(vec!["database".into()]));
    fs::write(definitions.join(format!("{name}.toml")), toml::to_string(&table)?)?;
    run::quietly(cli::Run {
        evidence: vec![evidence],
        case_label: "check".to_owned(),
        out,
        exhibit: None,
        kind: "unknown".to_owned(),
        passwords: Vec::new(),
        key_files: Vec::new(),
        config: None,
        artifacts: Some(definitions),
        workers: Some(1),
        weak_sandbox: check.weak_sandbox,
        unsigned: true,
    })
}

fn show(connection: &Connection, artifact: &Artifact, database: &Path, rows: u32, out: &mut dyn Write) -> Result<u8> {
    writeln!(out, "{}:", database.display())?;
    let sql = "SELECT count(*) FROM definition WHERE name = ?1";
    let fits: i64 = connection.query_row(sql, [&artifact.name], |row| row.get(0))?;
    if fits == 0 {
        writeln!(out, "  it does not fit: {}", missing(connection, artifact)?)?;
        return Ok(1);
    }
    let queries = artifact.text.variant.iter().flat_map(|variant| &variant.query);
    let kinds: BTreeSet<&str> = queries.map(|query| query.record.as_str()).collect();
    let mut statement = connection.prepare(
        "SELECT source, rows_seen, records, rejected, reason FROM ledger
         WHERE row_table IS NOT NULL AND record_kind IN (SELECT value FROM json_each(?1)) ORDER BY source",
    )?;
    let mut found = statement.query([serde_json::to_string(&kinds)?])?;
    while let Some(row) = found.next()? {
        let (source, seen, records, rejected): (String, i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        let reason = row.get::<_, Option<String>>(4)?.map(|reason| format!(" ({})", escape(&reason))).unwrap_or_default();
        writeln!(out, "  {}: {seen} rows, {records} records, {rejected} rejected{reason}", escape(&source))?;
    }
    for kind in kinds {
        samples(connection, kind, &artifact.name, rows, out)?;
    }
    let mut statement = connection.prepare("SELECT code, detail FROM problem ORDER BY code, detail")?;
    let mut problems = statement.query([])?;
    let mut wrong = 0;
    while let Some(row) = problems.next()? {
        writeln!(out, "  {}: {}", row.get::<_, String>(0)?, row.get::<_, String>(1)?)?;
        wrong = 1;
    }
    Ok(wrong)
}

/// What of the definition is not in the database.
fn missing(connection: &Connection, artifact: &Artifact) -> Result<String> {
    let mut statement = connection.prepare("SELECT code, detail FROM problem ORDER BY code <> 'schema_drift', code, detail")?;
    let start = format!("definition {}: ", artifact.name);
    let mut rows = statement.query([])?;
    let mut first = None;
    while let Some(row) = rows.next()? {
        let (code, detail): (String, String) = (row.get(0)?, row.get(1)?);
        match detail.strip_prefix(&start) {
            Some(detail) => return Ok(detail.to_owned()),
            None if first.is_none() && code != "unrecognized" => first = Some(format!("{code}: {detail}")),
            None => {}
        }
    }
    Ok(first.unwrap_or_else(|| "none of its tables is there".to_owned()))
}

/// The first records of a kind: their ids, for `haul explain`, and what is not empty.
fn samples(connection: &Connection, kind: &str, definition: &str, rows: u32, out: &mut dyn Write) -> Result<()> {
    let sql = format!(
        "SELECT * FROM {kind} WHERE definition_id IN (SELECT id FROM definition WHERE name = ?1) ORDER BY row_table, row_id LIMIT ?2"
    );
    let mut statement = connection.prepare(&sql)?;
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let mut found = statement.query(rusqlite::params![definition, rows])?;
    while let Some(row) = found.next()? {
        let mut shown = Vec::new();
        for (place, name) in names.iter().enumerate() {
            match row.get_ref(place)? {
                ValueRef::Null | ValueRef::Blob(_) => {}
                ValueRef::Integer(value) => shown.push(format!("{name} {value}")),
                ValueRef::Real(value) => shown.push(format!("{name} {value}")),
                ValueRef::Text(value) => shown.push(format!("{name} {}", escape(&String::from_utf8_lossy(value)))),
            }
        }
        writeln!(out, "  {kind} {}: {}", Id(row.get(0)?), shown.join(" · "))?;
    }
    Ok(())
}
