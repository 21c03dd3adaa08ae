//! Writes rows in order into a new bundle and builds the trees over them.

use crate::Error;
use crate::bundle::digest::{RowDigests, RowHasher};
use crate::bundle::schema::{self, Table};
use crate::bundle::tree::Tree;
use crate::bundle::value::Value;
use crate::ordered::ordered;
use model::Digest;
use rusqlite::{Connection, Statement};
use std::fs::{self, File};
use std::path::Path;

/// Leaf hashes in one row of `seal_tile`.
pub const TILE_LEAVES: usize = 256;

/// What the rows of a bundle come to.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Summary {
    /// Rows in the tree.
    pub rows: u64,
    /// Root of the salted tree.
    pub root: Digest,
    /// Root of the unsalted tree.
    pub content_root: Digest,
}

/// A written bundle.
pub struct Written {
    /// What its rows come to.
    pub summary: Summary,
    /// Its checkpoint.
    pub checkpoint: String,
}

/// Rows of one table with their digests.
struct Chunk {
    values: Vec<Value>,
    digests: Vec<RowDigests>,
}

/// Where rows come from; one for each thread.
pub trait Gather {
    /// A range of one table.
    type Job: Sync;

    /// The table of a job.
    fn table(job: &Self::Job) -> &'static Table;

    /// Appends the values of every row of a job, in the order of their keys.
    fn rows(&mut self, job: &Self::Job, values: &mut Vec<Value>) -> Result<(), Error>;
}

/// What is to be written.
pub struct Plan<'p, J> {
    /// Where; a file of that name is replaced.
    pub path: &'p Path,
    /// Every table of the bundle.
    pub tables: &'static [Table],
    /// The rows of all sealed tables, in the order of tables and keys.
    pub jobs: &'p [J],
    /// Threads that read and digest.
    pub threads: usize,
    /// Seed of the salts.
    pub seed: &'p [u8; 32],
}

/// Writes a bundle under a name of its own: rows, tiles, and the row that `sign` makes of the summary. `written` is told of rows as
/// they are written. Synced when it returns.
pub fn write<G: Gather>(
    plan: &Plan<'_, G::Job>,
    start: impl Fn() -> Result<G, Error> + Sync,
    written: impl Fn(u64),
    sign: impl FnOnce(&Summary) -> Result<[Value; 3], Error>,
) -> Result<Written, Error> {
    let path = plan.path;
    let error = |source| Error::Store { path: path.to_owned(), source };
    let io = |source| Error::Io { path: path.to_owned(), source };
    match fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => return Err(io(source)),
        _ => {}
    }
    let connection = create(path, plan.tables).map_err(error)?;
    let mut writer = Writer::new(&connection, plan.tables).map_err(error)?;
    let start = || Ok((start()?, RowHasher::new(plan.seed)));
    ordered(plan.threads, plan.jobs, start, chunk::<G>, |job, chunk| {
        written(chunk.digests.len() as u64);
        writer.rows(G::table(job), &chunk).map_err(error)
    })?;
    let summary = writer.finish().map_err(error)?;
    let seal = sign(&summary)?;
    insert(&connection, "seal", &seal).map_err(error)?;
    connection.execute_batch("COMMIT").map_err(error)?;
    connection.close().map_err(|(_, source)| error(source))?;
    File::open(path).and_then(|file| file.sync_all()).map_err(io)?;
    let checkpoint = match seal {
        [Value::Text(text), ..] => text,
        _ => String::new(),
    };
    Ok(Written { summary, checkpoint })
}

fn chunk<G: Gather>((reader, hasher): &mut (G, RowHasher), job: &G::Job) -> Result<Chunk, Error> {
    let table = G::table(job);
    let mut values = Vec::with_capacity(super::CHUNK_ROWS as usize * table.columns.len());
    reader.rows(job, &mut values)?;
    let mut digests = Vec::with_capacity(values.len() / table.columns.len().max(1));
    hasher.rows(table, &values, &mut digests);
    Ok(Chunk { values, digests })
}

/// A new file with every table and an open transaction. It is a scratch file until it is renamed, so it needs no journal; every
/// setting that reaches the file's bytes is fixed here.
#[allow(clippy::disallowed_methods, reason = "a new bundle is our own, not evidence")]
fn create(path: &Path, tables: &[Table]) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "page_size", schema::PAGE_SIZE)?;
    connection.pragma_update(None, "encoding", "UTF-8")?;
    connection.pragma_update(None, "auto_vacuum", "NONE")?;
    connection.pragma_update(None, "journal_mode", "OFF")?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    // Bytes of moved cells do not stay behind in pages: they would depend on the way the tree grew.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "cache_size", -8192)?;
    connection.pragma_update(None, "application_id", schema::APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", schema::FORMAT_VERSION)?;
    connection.execute_batch("BEGIN")?;
    for table in tables {
        connection.execute_batch(table.create)?;
    }
    Ok(connection)
}

fn insert(connection: &Connection, table: &str, values: &[Value]) -> rusqlite::Result<()> {
    let marks = vec!["?"; values.len()].join(", ");
    let mut statement = connection.prepare_cached(&format!("INSERT INTO {table} VALUES ({marks})"))?;
    run(&mut statement, values)
}

fn run(statement: &mut Statement<'_>, values: &[Value]) -> rusqlite::Result<()> {
    for (place, value) in values.iter().enumerate() {
        statement.raw_bind_parameter(place + 1, value)?;
    }
    statement.raw_execute().map(drop)
}

/// Inserts rows and remembers their digests.
struct Writer<'c> {
    connection: &'c Connection,
    statements: Vec<(&'static str, Statement<'c>)>,
    tree: Tree,
    content: Tree,
    tile: Vec<u8>,
    tiles: i64,
}

impl<'c> Writer<'c> {
    fn new(connection: &'c Connection, tables: &'static [Table]) -> rusqlite::Result<Writer<'c>> {
        let prepare = |table: &Table| Ok((table.name, connection.prepare(&table.insert())?));
        let statements = tables.iter().map(prepare).collect::<rusqlite::Result<_>>()?;
        let (tree, content) = Default::default();
        Ok(Writer { connection, statements, tree, content, tile: Vec::new(), tiles: 0 })
    }

    fn rows(&mut self, table: &'static Table, chunk: &Chunk) -> rusqlite::Result<()> {
        if let Some((_, statement)) = self.statements.iter_mut().find(|(name, _)| *name == table.name) {
            for row in chunk.values.chunks_exact(table.columns.len()) {
                run(statement, row)?;
            }
        }
        for digests in &chunk.digests {
            self.tree.push(digests.leaf);
            self.content.push(digests.content);
            self.tile.extend_from_slice(&digests.leaf);
            if self.tile.len() == TILE_LEAVES * 32 {
                self.end_tile()?;
            }
        }
        Ok(())
    }

    fn end_tile(&mut self) -> rusqlite::Result<()> {
        let hashes = std::mem::take(&mut self.tile);
        insert(self.connection, "seal_tile", &[Value::Integer(self.tiles), Value::Blob(hashes)])?;
        self.tiles += 1;
        Ok(())
    }

    fn finish(mut self) -> rusqlite::Result<Summary> {
        if !self.tile.is_empty() {
            self.end_tile()?;
        }
        Ok(Summary { rows: self.tree.size(), root: self.tree.root(), content_root: self.content.root() })
    }
}
