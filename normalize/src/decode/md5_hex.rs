//! `md5_hex(text)`: the MD5 of a text's UTF-8 as 32 lower-case hexadecimal digits. Apps name tables and folders so
//! (WeChat's `Chat_<md5 of the account>`).

use super::{FLAGS, text};
use md5::{Digest, Md5};
use rusqlite::Connection;

/// Registers the function.
///
/// # Errors
/// What SQLite says.
pub fn register(connection: &Connection) -> rusqlite::Result<()> {
    connection.create_scalar_function("md5_hex", 1, FLAGS, |context| {
        Ok(text(context, 0).map(|text| super::base64::hex(Md5::digest(text.as_bytes()).as_slice())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_of_rfc_1321() {
        let connection = Connection::open_in_memory().unwrap();
        register(&connection).unwrap();
        let one = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, Option<String>>(0)).unwrap();
        assert_eq!(one("SELECT md5_hex('')").as_deref(), Some("d41d8cd98f00b204e9800998ecf8427e"));
        assert_eq!(one("SELECT md5_hex('message digest')").as_deref(), Some("f96b697d7cb7938d525a2f31aaf161d0"));
        assert_eq!(one("SELECT md5_hex(NULL)"), None);
    }
}
