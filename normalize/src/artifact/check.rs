//! Checks a definition against itself when it is loaded.

use super::columns::Columns;
use super::schema::quoted;
use super::{Query, Tables, Text, Variant};
use rusqlite::Connection;
use std::collections::BTreeSet;

/// Says what is wrong with a definition.
pub(super) fn check(text: &Text) -> Result<(), String> {
    for (key, value) in [("app", &text.app), ("platform", &text.platform), ("why", &text.why)] {
        if value.trim().is_empty() {
            return Err(format!("{key} is empty"));
        }
    }
    if text.variant.is_empty() {
        return Err("no variant".to_owned());
    }
    for (number, variant) in text.variant.iter().enumerate() {
        check_variant(variant).map_err(|reason| format!("variant {}: {reason}", number + 1))?;
    }
    Ok(())
}

fn check_variant(variant: &Variant) -> Result<(), String> {
    if variant.require.is_empty() || variant.query.is_empty() {
        return Err("requires no table or has no query".to_owned());
    }
    let patterns = |tables: &Tables| tables.keys().filter(|table| table.contains('*')).cloned().collect::<Vec<_>>();
    let (wanted, more) = (patterns(&variant.require), patterns(&variant.optional));
    if wanted.len() > 1
        || wanted.iter().any(|table| table.find('*') != Some(table.len() - 1))
        || more.iter().any(|table| !wanted.contains(table))
    {
        return Err("one required table at most may be a pattern, with * at its end".to_owned());
    }
    let exact = declare(&variant.require, &variant.optional, false).map_err(|error| error.to_string())?;
    let crowded = declare(&variant.require, &variant.optional, true).map_err(|error| error.to_string())?;
    let mut pairs = BTreeSet::new();
    for query in &variant.query {
        let name = format!("query {}→{}", query.row_table, query.record);
        if !pairs.insert((query.row_table.to_ascii_lowercase(), &query.record)) {
            return Err(format!("{name} stands twice: their rows could not be told apart"));
        }
        check_query(&exact, query).map_err(|reason| format!("{name}: {reason}"))?;
        check_query(&crowded, query).map_err(|reason| format!("{name}: {reason}: name its table"))?;
    }
    Ok(())
}

/// An empty database with every declared table and column, and the decoders. If crowded, every table has the columns of all:
/// a real database can have more columns than are declared, and a name without its table would then be ambiguous.
fn declare(require: &Tables, optional: &Tables, crowded: bool) -> rusqlite::Result<Connection> {
    let connection = Connection::open_in_memory()?;
    crate::decode::register(&connection, None)?;
    // A misspelt column in double quotes must not pass as a string.
    connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    let names: BTreeSet<String> = require.keys().chain(optional.keys()).map(|name| name.to_ascii_lowercase()).collect();
    for name in names {
        let mut columns: Vec<&String> = Vec::new();
        for (table, more) in require.iter().chain(optional) {
            if crowded || table.eq_ignore_ascii_case(&name) {
                columns.extend(more);
            }
        }
        let columns: BTreeSet<String> = columns.iter().map(|column| quoted(&column.to_ascii_lowercase())).collect();
        let columns = columns.into_iter().collect::<Vec<_>>().join(", ");
        connection.execute_batch(&format!("CREATE TABLE {} ({columns})", quoted(&name)))?;
    }
    Ok(connection)
}

fn check_query(declared: &Connection, query: &Query) -> Result<(), String> {
    check_words(&query.sql, &query.row_table)?;
    let statement = declared.prepare(&super::query::compose(query)).map_err(|error| error.to_string())?;
    Columns::of(query, &statement)?;
    for skip in &query.skip {
        if skip.reason.trim().is_empty() {
            return Err("a skip has no reason".to_owned());
        }
    }
    declared.prepare(&super::ledger::count_skipped(query)).map_err(|error| error.to_string())?;
    Ok(())
}

/// Refuses SQL that could drop or multiply rows: at its top level it has LEFT JOINs and nothing after them. A join with the row
/// table itself names the live one: a recovered row stands alone under the table's own name.
fn check_words(sql: &str, row_table: &str) -> Result<(), String> {
    let mut before = String::new();
    let row_table = row_table.to_uppercase();
    for word in top_words(sql) {
        match word.as_str() {
            "JOIN" if before != "LEFT" && before != "OUTER" => return Err("only LEFT JOIN keeps every row".to_owned()),
            word if before == "JOIN" && word == row_table => return Err(format!("join main.{row_table}, with its live rows")),
            "WHERE" => return Err("WHERE drops rows: say it as skip, with a reason".to_owned()),
            "LIMIT" | "OFFSET" | "GROUP" | "HAVING" | "ORDER" | "UNION" | "INTERSECT" | "EXCEPT" | "DISTINCT" | "WINDOW"
            | "INNER" | "CROSS" | "NATURAL" | "RIGHT" | "FULL" => return Err(format!("{word} has no place in a query")),
            _ => {}
        }
        before = word;
    }
    Ok(())
}

/// The words of SQL outside of quotes, comments and parentheses, in capitals.
fn top_words(sql: &str) -> Vec<String> {
    let (mut words, mut word, mut depth) = (Vec::new(), String::new(), 0_usize);
    let mut rest = sql.chars().peekable();
    while let Some(character) = rest.next() {
        if depth == 0 && (character.is_alphanumeric() || character == '_') {
            word.extend(character.to_uppercase());
            continue;
        }
        if !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            '\'' | '"' | '`' => rest.by_ref().take_while(|next| *next != character).for_each(drop),
            '-' if rest.peek() == Some(&'-') => rest.by_ref().take_while(|next| *next != '\n').for_each(drop),
            _ => {}
        }
    }
    words.push(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_quotes_comments_and_parentheses_are_not_clauses() {
        assert!(check_words("SELECT 'WHERE', \"LIMIT\", (SELECT x FROM y WHERE z LIMIT 1) FROM t -- WHERE\n", "t").is_ok());
        assert!(check_words("SELECT a FROM t left outer join u ON 1 LEFT JOIN v ON 2", "t").is_ok());
        assert!(check_words("SELECT a FROM t where b", "t").is_err());
        assert!(check_words("SELECT a FROM t inner join u", "t").is_err());
        assert!(check_words("SELECT a FROM t join u", "t").is_err());
        assert!(check_words("SELECT DISTINCT a FROM t", "t").is_err());
        assert!(check_words("SELECT a FROM t LEFT JOIN T AS u ON 1", "t").is_err());
        assert!(check_words("SELECT a FROM t LEFT JOIN main.t AS u ON 1", "t").is_ok());
    }
}
