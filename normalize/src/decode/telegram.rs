//! Telegram's serialized objects: `telegram_message(data, field)`, `telegram_user(data, field)`, `telegram_chat(data, field)`,
//! `telegram_user_full(data, field)`, and `telegram_peer(dialog)` for whom a dialog is with.
//!
//! The Android app stores messages, users and chats as the TL objects of the layer that it spoke when it stored them ([`tl`]); all layers
//! are known ([`schema`]). Where a constructor is not known (a later layer, a fork's own), what stands before it is read; where not even the
//! message's is, its text is looked for behind the `date` that the row has beside it ([`message::found`]). In both cases why is told as a
//! problem of the row ([`Undecodable`]), in the field `message_type` of a message, `extra` of a user, `kind` of a chat.

mod message;
mod peer;
pub mod schema;
mod tl;

use super::undecodable::Undecodable;
use super::{FLAGS, bytes, text};
use rusqlite::Connection;
use rusqlite::functions::Context;
use rusqlite::types::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;

pub use peer::{UserFields, user};

/// What is known of one object, by the names that definitions ask for.
pub type Fields = BTreeMap<&'static str, Value>;

/// Registers the functions.
///
/// # Errors
/// What SQLite says.
pub fn register(connection: &Connection) -> rusqlite::Result<()> {
    connection.create_scalar_function("telegram_message", 3, FLAGS, |context| {
        let date = context.get::<i64>(1).ok();
        Ok(field(context, 2, "message", |blob| message::fields(blob, date)))
    })?;
    connection.create_scalar_function("telegram_user", 2, FLAGS, |context| Ok(field(context, 1, "user", peer::user_fields)))?;
    connection.create_scalar_function("telegram_chat", 2, FLAGS, |context| Ok(field(context, 1, "chat", peer::chat_fields)))?;
    connection.create_scalar_function("telegram_user_full", 2, FLAGS, |context| {
        Ok(field(context, 1, "user_full", peer::user_full_fields))
    })?;
    connection
        .create_scalar_function("telegram_peer", 1, FLAGS, |context| Ok(context.get::<i64>(0).ok().and_then(peer::of_dialog)))
}

thread_local! {
    /// The object that was decoded last: a query asks for its fields one after the other.
    static LAST: RefCell<(&'static str, Vec<u8>, Fields)> = const { RefCell::new(("", Vec::new(), BTreeMap::new())) };
}

/// A field of the object in the first argument.
pub(super) fn field(
    context: &Context<'_>,
    name: usize,
    what: &'static str,
    decode: impl FnOnce(&[u8]) -> Fields,
) -> Option<Value> {
    let (blob, name) = (bytes(context, 0)?, text(context, name)?);
    LAST.with_borrow_mut(|(kind, last, fields)| {
        if *kind != what || last != blob {
            *fields = decode(blob);
            blob.clone_into(last);
            *kind = what;
        }
        fields.get(name).cloned()
    })
}

/// Adds a field that is there.
pub(super) fn put(fields: &mut Fields, name: &'static str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        fields.insert(name, value.into());
    }
}

/// The value of a field that says why the object could not be read.
pub(super) fn undecodable(reason: String) -> Value {
    Value::Blob(Undecodable(reason).pack())
}
