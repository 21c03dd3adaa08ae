//! `path_part(n)`: a part of the path at which the database lies, from its end: 0 is the file's name without what follows its first dot,
//! 1 the folder that it is in, and so on. Apps name files by accounts (Zalo: `chat_dbs/<owner>/<peer>.db`, Messenger: `msys_database_<owner>`)
//! and store nowhere else whose they are. NULL where the path has no such part. Letters are kept as they are.

use super::FLAGS;
use rusqlite::Connection;

/// Registers the function for a database at that path.
///
/// # Errors
/// What SQLite says.
pub fn register(connection: &Connection, path: &str) -> rusqlite::Result<()> {
    let path = path.to_owned();
    connection.create_scalar_function("path_part", 1, FLAGS, move |context| {
        Ok(context.get::<i64>(0).ok().and_then(|number| part(&path, usize::try_from(number).ok()?)).map(str::to_owned))
    })
}

/// The part of a path; whatever device it is from, its folders end in slashes or backslashes.
fn part(path: &str, number: usize) -> Option<&str> {
    let part = path.rsplit(['/', '\\']).nth(number)?;
    let part = if number == 0 { part.split('.').next()? } else { part };
    (!part.is_empty()).then_some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_counted_from_the_end() {
        let path = "private/Documents/chat_dbs/61234/group_77.db.old";
        assert_eq!(part(path, 0), Some("group_77"));
        assert_eq!(part(path, 1), Some("61234"));
        assert_eq!(part(path, 4), Some("private"));
        assert_eq!(part(path, 5), None);
        assert_eq!(part("C:\\Users\\dara\\x.db", 1), Some("dara"));
        for nothing in ["", "/", "a/.hidden"] {
            assert_eq!(part(nothing, 0), None, "{nothing}");
        }
    }

    #[test]
    fn sql_asks_by_number() {
        let connection = Connection::open_in_memory().unwrap();
        register(&connection, "a/b.db").unwrap();
        let ask = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, Option<String>>(0)).unwrap();
        assert_eq!(ask("SELECT path_part(0)").as_deref(), Some("b"));
        assert_eq!(ask("SELECT path_part(1)").as_deref(), Some("a"));
        for nothing in ["-1", "2", "NULL", "'x'"] {
            assert_eq!(ask(&format!("SELECT path_part({nothing})")), None, "{nothing}");
        }
    }
}
