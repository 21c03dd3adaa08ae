//! `phone(x)`: a phone number in E.164, where its country is known: by its international prefix, or by the exhibit's region.

use super::{FLAGS, text};
use model::recognize::phone::normalize;
use rusqlite::Connection;

/// Registers the function.
///
/// # Errors
/// What SQLite says.
pub fn register(connection: &Connection, region: Option<&str>) -> rusqlite::Result<()> {
    let region = region.map(str::to_owned);
    connection.create_scalar_function("phone", 1, FLAGS, move |context| {
        Ok(text(context, 0).and_then(|raw| normalize(raw, region.as_deref())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phone(raw: &str, region: Option<&str>) -> Option<String> {
        let connection = Connection::open_in_memory().unwrap();
        register(&connection, region).unwrap();
        connection.query_row("SELECT phone(?1)", [raw], |row| row.get(0)).unwrap()
    }

    #[test]
    fn no_country_is_guessed() {
        // Numbers of the ranges that national plans keep for fiction and examples.
        assert_eq!(phone("+1 202-555-0123", None).as_deref(), Some("+12025550123"));
        assert_eq!(phone("(202) 555-0123", None), None);
        assert_eq!(phone("(202) 555-0123", Some("US")).as_deref(), Some("+12025550123"));
        assert_eq!(phone("no number", None), None);
    }
}
