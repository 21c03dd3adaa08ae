//! Opening a bundle to read: it may come from a stranger.

use crate::Error;
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};
use std::fmt::Write;
use std::path::Path;

/// Opens a bundle to read it. Nothing is created beside it, a journal beside it is not played back, and no SQL stored in it runs
/// with more rights than reading.
pub fn open_read_only(path: &Path) -> Result<Connection, Error> {
    let error = |source| Error::Store { path: path.to_owned(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    // What is checked is the file and nothing else: immutable keeps SQLite from looking for a journal or a log beside it.
    let connection = Connection::open_with_flags(uri(path)?, flags).map_err(error)?;
    harden(&connection).map_err(error)?;
    Ok(connection)
}

fn harden(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "mmap_size", 0)?;
    Ok(())
}

/// The path as an SQLite URI: percent-encoded byte by byte, so that `?` and `#` in a name are part of the name.
fn uri(path: &Path) -> Result<String, Error> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::path::absolute(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            // Writing to a String cannot fail.
            let _infallible: std::fmt::Result = write!(uri, "%{byte:02X}");
        }
    }
    uri.push_str("?mode=ro&immutable=1");
    Ok(uri)
}
