//! Writes rows in order into a new bundle and builds the trees over them.

use crate::Error;
use crate::bundle::digest::{RowDigests, RowHasher};
use crate::bundle::pages::{BTree, Pages};
use crate::bundle::record;
use crate::bundle::schema::{self, Table};
use crate::bundle::tree::Tree;
use crate::bundle::value::Value;
use crate::ordered::ordered;
use model::Digest;
use rusqlite::Connection;
use std::path::Path;
use std::{fs, io};

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

/// Rows of one table as they are stored, with their digests.
struct Chunk {
    records: Vec<u8>,
    /// Where each record ends.
    ends: Vec<usize>,
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
    let (pages, roots) = create(path, plan.tables).map_err(error)?;
    let pages = Pages::append_to(path, pages).map_err(io)?;
    let mut writer = Writer::new(pages, plan.tables, roots);
    let start = || Ok(Thread { gather: start()?, hasher: RowHasher::new(plan.seed), values: Vec::new(), room: 0 });
    ordered(plan.threads, plan.jobs, start, chunk::<G>, |job, chunk| {
        written(chunk.digests.len() as u64);
        writer.rows(G::table(job), &chunk).map_err(io)
    })?;
    let summary = writer.end_tiles().map_err(io)?;
    let seal = sign(&summary)?;
    writer.row("seal", 1, &seal).map_err(io)?;
    writer.finish().map_err(io)?;
    let checkpoint = match seal {
        [Value::Text(text), ..] => text,
        _ => String::new(),
    };
    Ok(Written { summary, checkpoint })
}

/// What one thread works with.
struct Thread<G> {
    gather: G,
    hasher: RowHasher,
    values: Vec<Value>,
    /// Bytes of the longest records so far.
    room: usize,
}

fn chunk<G: Gather>(thread: &mut Thread<G>, job: &G::Job) -> Result<Chunk, Error> {
    let Thread { gather, hasher, values, room } = thread;
    let table = G::table(job);
    values.clear();
    gather.rows(job, values)?;
    let rows = values.len() / table.columns.len();
    let (ends, digests) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
    let mut chunk = Chunk { records: Vec::with_capacity(*room), ends, digests };
    for row in values.chunks_exact(table.columns.len()) {
        if let Some(column) = table.misfit(row) {
            return Err(Error::Misfit { table: table.name, column: column.name });
        }
        record::write(row, &mut chunk.records);
        chunk.ends.push(chunk.records.len());
    }
    *room = chunk.records.len().max(*room);
    hasher.rows(table, values, &mut chunk.digests);
    Ok(chunk)
}

/// Makes a file with every table, still empty: how many pages it has, and each table's root. Every setting that reaches the file's bytes is
/// fixed here.
#[allow(clippy::disallowed_methods, reason = "a new bundle is our own, not evidence")]
fn create(path: &Path, tables: &[Table]) -> rusqlite::Result<(u32, Vec<u32>)> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "page_size", schema::PAGE_SIZE)?;
    connection.pragma_update(None, "encoding", "UTF-8")?;
    connection.pragma_update(None, "auto_vacuum", "NONE")?;
    // It is a scratch file until it is renamed: it needs no journal.
    connection.pragma_update(None, "journal_mode", "OFF")?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    // Bytes of moved cells do not stay behind in pages: they would depend on the way the schema's tree grew.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "application_id", schema::APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", schema::FORMAT_VERSION)?;
    connection.execute_batch("BEGIN")?;
    for table in tables {
        connection.execute_batch(table.create)?;
    }
    connection.execute_batch("COMMIT")?;
    let root = |table: &Table| {
        let sql = "SELECT rootpage FROM sqlite_schema WHERE type = 'table' AND name = ?1";
        connection.query_row(sql, [table.name], |row| row.get(0))
    };
    let roots = tables.iter().map(root).collect::<rusqlite::Result<_>>()?;
    let pages = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
    connection.close().map_err(|(_, source)| source)?;
    Ok((pages, roots))
}

/// Writes rows and remembers their digests.
struct Writer {
    pages: Pages,
    trees: Vec<(&'static str, BTree)>,
    record: Vec<u8>,
    tree: Tree,
    content: Tree,
    tile: Vec<u8>,
    tiles: i64,
}

impl Writer {
    fn new(pages: Pages, tables: &'static [Table], roots: Vec<u32>) -> Writer {
        let trees = tables.iter().zip(roots).map(|(table, root)| (table.name, BTree::new(root, table.numbered())));
        let (record, tree, content, tile) = Default::default();
        Writer { pages, trees: trees.collect(), record, tree, content, tile, tiles: 0 }
    }

    fn rows(&mut self, table: &'static Table, chunk: &Chunk) -> io::Result<()> {
        let Writer { pages, trees, .. } = self;
        if let Some((_, tree)) = trees.iter_mut().find(|(name, _)| *name == table.name) {
            let mut begin = 0;
            for end in &chunk.ends {
                tree.push(pages, 0, &chunk.records[begin..*end])?;
                begin = *end;
            }
        }
        self.tree.extend(chunk.digests.iter().map(|digests| digests.leaf).collect());
        self.content.extend(chunk.digests.iter().map(|digests| digests.content).collect());
        for digests in &chunk.digests {
            self.tile.extend_from_slice(&digests.leaf);
            if self.tile.len() == TILE_LEAVES * 32 {
                self.end_tile()?;
            }
        }
        Ok(())
    }

    /// Writes one row that is not in the tree.
    fn row(&mut self, table: &str, row_id: i64, values: &[Value]) -> io::Result<()> {
        let Writer { pages, trees, record, .. } = self;
        record.clear();
        record::write(values, record);
        let tree = trees.iter_mut().find(|(name, _)| *name == table);
        tree.map_or(Ok(()), |(_, tree)| tree.push(pages, row_id, record))
    }

    fn end_tile(&mut self) -> io::Result<()> {
        let hashes = std::mem::take(&mut self.tile);
        // Its number is the row's own: the record does not repeat it.
        self.row("seal_tile", self.tiles, &[Value::Null, Value::Blob(hashes)])?;
        self.tiles += 1;
        Ok(())
    }

    fn end_tiles(&mut self) -> io::Result<Summary> {
        if !self.tile.is_empty() {
            self.end_tile()?;
        }
        Ok(Summary { rows: self.tree.size(), root: self.tree.root(), content_root: self.content.root() })
    }

    /// Ends every table; the file is on the disk when it returns.
    fn finish(self) -> io::Result<()> {
        let Writer { mut pages, trees, .. } = self;
        trees.into_iter().try_for_each(|(_, tree)| tree.finish(&mut pages))?;
        pages.finish()
    }
}
