//! Value decoders, offered to the SQL of definitions as functions.
//!
//! All are registered for direct use only: a view, trigger or generated column of the evidence cannot call them. A decoder
//! gives NULL for NULL and for what it cannot decode.

pub mod base64;
pub mod bplist;
pub mod extra;
pub mod gzip;
pub mod imessage;
pub mod json;
pub mod kakaotalk;
mod md5_hex;
pub mod path;
pub mod phone;
pub mod postbox;
pub mod protobuf;
pub mod telegram;
pub mod time;
pub mod typedstream;
pub mod undecodable;
pub mod whatsapp;

use rusqlite::Connection;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;

const FLAGS: FunctionFlags =
    FunctionFlags::SQLITE_UTF8.union(FunctionFlags::SQLITE_DETERMINISTIC).union(FunctionFlags::SQLITE_DIRECTONLY);

/// Registers every decoder on a connection; national phone numbers are read as of `region`. Where the database lies is told afterwards,
/// by [`path::register`].
///
/// # Errors
/// What SQLite says.
pub fn register(connection: &Connection, region: Option<&str>) -> rusqlite::Result<()> {
    base64::register(connection)?;
    bplist::register(connection)?;
    extra::register(connection)?;
    gzip::register(connection)?;
    imessage::register(connection)?;
    json::register(connection)?;
    kakaotalk::register(connection)?;
    md5_hex::register(connection)?;
    path::register(connection, "")?;
    postbox::register(connection)?;
    protobuf::register(connection)?;
    telegram::register(connection)?;
    time::register(connection)?;
    typedstream::register(connection)?;
    whatsapp::register(connection)?;
    phone::register(connection, region)
}

/// The text of an argument; `None` for NULL, numbers, blobs and what is not UTF-8.
fn text<'c>(context: &'c Context<'_>, argument: usize) -> Option<&'c str> {
    match context.get_raw(argument) {
        ValueRef::Text(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

/// The bytes of an argument, be it a BLOB or text; `None` for NULL and numbers.
fn bytes<'c>(context: &'c Context<'_>, argument: usize) -> Option<&'c [u8]> {
    match context.get_raw(argument) {
        ValueRef::Blob(bytes) | ValueRef::Text(bytes) => Some(bytes),
        _ => None,
    }
}
