//! From columns of a query to fields of a record.
//!
//! Aliases are the field names of `model::record`, but for: `thread` (`thread_key`), `account` (`account_key`),
//! `sent_time`, `received_time`, `edited_time`, `created_time`, `start_time`, `visit_time`, `located_time`, and `message_row`, `contact_row` (rowid of the
//! message or contact that a child belongs to), `message_table` (its table, where that differs by row). Ordinals are resolved once for a query.

use super::Query;
use crate::decode::time;
use crate::decode::undecodable::Undecodable;
use model::provenance::Provenance;
use model::record::{
    Account, Attachment, Call, Contact, ContactPoint, DeviceFact, Location, Message, Participant, Record, Thread, Visit,
};
use model::{Code, Locator, Stamp};
use rusqlite::types::ValueRef;
use rusqlite::{Row, Statement};

/// The cells of one row, and what was wrong with them.
pub struct Cells<'a> {
    /// The row.
    pub row: &'a Row<'a>,
    /// Table that a child's parent lies in.
    pub parent_table: &'a str,
    /// Code, field and reason of every cell that is not what it should be.
    pub wrong: &'a mut Vec<(Code, &'static str, String)>,
}

/// Why a row gives no record.
pub type Reject = &'static str;

/// A row whose list holds nothing: it is counted, and no problem.
pub const EMPTY: Reject = "its list is empty";

type Ordinal = Option<usize>;

impl<'a> Cells<'a> {
    fn value(&self, ordinal: Ordinal) -> ValueRef<'a> {
        // An ordinal comes from the statement itself, so the cell exists.
        ordinal.and_then(|ordinal| self.row.get_ref(ordinal).ok()).unwrap_or(ValueRef::Null)
    }

    fn text(&mut self, ordinal: Ordinal, field: &'static str) -> Result<Option<String>, Reject> {
        Ok(match self.value(ordinal) {
            ValueRef::Null => None,
            ValueRef::Integer(number) => Some(number.to_string()),
            ValueRef::Real(number) => Some(format!("{number:?}")),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => match (std::str::from_utf8(bytes), Undecodable::unpack(bytes)) {
                (Ok(text), _) => Some(text.to_owned()),
                (Err(_), Some(Undecodable(reason))) => {
                    self.wrong.push((Code::ValueUndecodable, field, reason));
                    None
                }
                (Err(error), None) => {
                    let reason = format!("not UTF-8 from byte {} of {}", error.valid_up_to(), bytes.len());
                    self.wrong.push((Code::TextInvalid, field, reason));
                    Some(String::from_utf8_lossy(bytes).into_owned())
                }
            },
        })
    }

    fn thread(&mut self, ordinal: Ordinal, field: &'static str) -> Result<String, Reject> {
        self.text(ordinal, field)?.ok_or("no thread key")
    }

    fn account(&mut self, ordinal: Ordinal, field: &'static str) -> Result<String, Reject> {
        self.text(ordinal, field)?.ok_or("no account key")
    }

    fn word(&mut self, ordinal: Ordinal, field: &'static str) -> Result<String, Reject> {
        self.text(ordinal, field)?.ok_or("no kind or value")
    }

    fn flag(&mut self, ordinal: Ordinal, field: &'static str) -> Result<Option<bool>, Reject> {
        Ok(self.integer(ordinal, field)?.map(|number| number != 0))
    }

    fn integer(&mut self, ordinal: Ordinal, field: &'static str) -> Result<Option<i64>, Reject> {
        let number = match self.value(ordinal) {
            ValueRef::Null => return Ok(None),
            ValueRef::Integer(number) => Some(number),
            // Whole numbers below 2^53 are exact in a float.
            ValueRef::Real(number) if number.fract() == 0.0 && number.abs() < 9e15 => Some(number as i64),
            ValueRef::Text(bytes) => std::str::from_utf8(bytes).ok().and_then(|text| text.trim().parse().ok()),
            ValueRef::Real(_) | ValueRef::Blob(_) => None,
        };
        if number.is_none() {
            self.wrong.push((Code::ValueUndecodable, field, "not a whole number".to_owned()));
        }
        Ok(number)
    }

    /// A decimal number as text, the shortest that reads as the same float.
    fn decimal(&mut self, ordinal: Ordinal, field: &'static str) -> Result<Option<String>, Reject> {
        let number = match self.value(ordinal) {
            ValueRef::Null => return Ok(None),
            ValueRef::Integer(number) => return Ok(Some(number.to_string())),
            ValueRef::Real(number) => Some(number),
            ValueRef::Text(bytes) => std::str::from_utf8(bytes).ok().and_then(|text| text.trim().parse().ok()),
            ValueRef::Blob(_) => None,
        };
        let number = number.filter(|number| number.is_finite());
        if number.is_none() {
            self.wrong.push((Code::ValueUndecodable, field, "not a number".to_owned()));
        }
        Ok(number.map(|number| number.to_string()))
    }

    fn time(&mut self, ordinal: Ordinal, field: &'static str) -> Result<Option<Stamp>, Reject> {
        let stamp = match self.value(ordinal) {
            ValueRef::Null => return Ok(None),
            ValueRef::Blob(bytes) => time::unpack(bytes),
            _ => None,
        };
        match &stamp {
            None => self.wrong.push((Code::ValueUndecodable, field, "a time without its unit".to_owned())),
            Some(stamp) if stamp.utc_us.is_none() => {
                self.wrong.push((Code::ValueUndecodable, field, format!("not a time in {}", stamp.unit.name())));
            }
            Some(_) => {}
        }
        Ok(stamp)
    }

    fn parent(&mut self, ordinal: Ordinal, field: &'static str) -> Result<Locator, Reject> {
        let row_id = self.integer(ordinal, field)?.ok_or("no row that it belongs to")?;
        Ok(Locator::Row { table: self.parent_table.to_owned(), row_id })
    }
}

/// Ordinals of one kind of record, found by alias, and how a record is made of them.
macro_rules! record_columns {
    ($columns:ident, $record:ident { $($field:ident: $take:ident = $alias:literal),+ $(,)? } $($fixed:ident: $value:expr)?) => {
        #[doc = concat!("Where the fields of a `", stringify!($record), "` stand in a row.")]
        #[derive(Debug, Default)]
        pub struct $columns { $($field: Ordinal,)+ }

        impl $columns {
            fn set(&mut self, alias: &str, ordinal: usize) -> bool {
                let place = match alias { $($alias => &mut self.$field,)+ _ => return false };
                place.replace(ordinal).is_none()
            }

            fn build(&self, cells: &mut Cells<'_>, provenance: Provenance, app: &str) -> Result<$record, Reject> {
                // Children of a record have no app of their own.
                let _app = app;
                Ok(record_columns!(@make $record, self, cells, provenance, app, { $($field: $take = $alias,)+ } $($fixed: $value)?))
            }
        }
    };
    (@make ContactPoint, $self:ident, $cells:ident, $provenance:ident, $app:ident, { $($field:ident: $take:ident = $alias:literal,)+ }) => {
        ContactPoint { provenance: $provenance, $($field: $cells.$take($self.$field, $alias)?,)+ }
    };
    (@make Attachment, $self:ident, $cells:ident, $provenance:ident, $app:ident, { $($field:ident: $take:ident = $alias:literal,)+ }) => {
        Attachment { provenance: $provenance, $($field: $cells.$take($self.$field, $alias)?,)+ }
    };
    (@make DeviceFact, $self:ident, $cells:ident, $provenance:ident, $app:ident, { $($field:ident: $take:ident = $alias:literal,)+ }) => {
        DeviceFact { provenance: $provenance, $($field: $cells.$take($self.$field, $alias)?,)+ }
    };
    (@make $record:ident, $self:ident, $cells:ident, $provenance:ident, $app:ident, { $($field:ident: $take:ident = $alias:literal,)+ } $($fixed:ident: $value:expr)?) => {
        $record { provenance: $provenance, app: $app.to_owned(), $($field: $cells.$take($self.$field, $alias)?,)+ $($fixed: $value,)? }
    };
}

record_columns!(ThreadColumns, Thread {
    thread_key: thread = "thread",
    name: text = "name",
    thread_type: text = "thread_type",
    created: time = "created_time",
} implied: false);

record_columns!(
    AccountColumns,
    Account {
        account_key: account = "account",
        display_name: text = "display_name",
        is_owner: flag = "is_owner",
        same_as: text = "same_as",
        phone: text = "phone",
        phone_raw: text = "phone_raw",
        about: text = "about",
        chain: text = "chain",
        extra: text = "extra",
    }
);

record_columns!(
    ParticipantColumns,
    Participant { thread_key: thread = "thread", account_key: account = "account", role: text = "role" }
);

record_columns!(
    MessageColumns,
    Message {
        thread_key: text = "thread",
        sender: text = "sender",
        recipient: text = "recipient",
        outgoing: flag = "outgoing",
        sent: time = "sent_time",
        received: time = "received_time",
        edited: time = "edited_time",
        text: text = "text",
        subject: text = "subject",
        message_type: text = "message_type",
        message_key: text = "message_key",
        quoted_key: text = "quoted_key",
        quoted_text: text = "quoted_text",
        quoted_sender: text = "quoted_sender",
        forwarded: flag = "forwarded",
        status: text = "status",
        extra: text = "extra",
    }
);

record_columns!(
    ContactColumns,
    Contact {
        display_name: text = "display_name",
        organization: text = "organization",
        note: text = "note",
        extra: text = "extra",
    }
);

record_columns!(
    ContactPointColumns,
    ContactPoint {
        contact: parent = "contact_row",
        kind: word = "kind",
        value: text = "value",
        raw: word = "raw",
        label: text = "label",
    }
);

record_columns!(
    CallColumns,
    Call {
        remote: text = "remote",
        remote_phone: text = "remote_phone",
        remote_name: text = "remote_name",
        thread_key: text = "thread",
        outgoing: flag = "outgoing",
        start: time = "start_time",
        duration_s: integer = "duration_s",
        outcome: text = "outcome",
        video: flag = "video",
        call_key: text = "call_key",
    }
);

record_columns!(
    AttachmentColumns,
    Attachment {
        message: parent = "message_row",
        path: text = "path",
        media_type: text = "media_type",
        sha256: text = "sha256",
        size_bytes: integer = "size_bytes",
        name: text = "name",
        url: text = "url",
    }
);

record_columns!(
    DeviceColumns,
    DeviceFact { kind: word = "kind", value: text = "value", raw: word = "raw", label: text = "label" }
);

record_columns!(
    VisitColumns,
    Visit {
        url: text = "url",
        title: text = "title",
        visited: time = "visit_time",
        transition: text = "transition",
        typed: flag = "typed",
        referrer: text = "referrer",
        extra: text = "extra",
    }
);

record_columns!(
    LocationColumns,
    Location {
        latitude: decimal = "latitude",
        longitude: decimal = "longitude",
        accuracy_m: decimal = "accuracy_m",
        located: time = "located_time",
        source: text = "source",
        label: text = "label",
        extra: text = "extra",
    }
);

/// Ordinals of the record's kind.
#[derive(Debug)]
enum Kind {
    Thread(ThreadColumns),
    Account(AccountColumns),
    Participant(ParticipantColumns),
    Message(MessageColumns),
    Contact(ContactColumns),
    ContactPoint(ContactPointColumns),
    Call(CallColumns),
    Attachment(AttachmentColumns),
    Device(DeviceColumns),
    Visit(VisitColumns),
    Location(LocationColumns),
}

/// Where the fields of a query's record stand in its rows.
#[derive(Debug)]
pub struct Columns {
    /// Ordinal of `row_id`.
    pub row_id: usize,
    /// Ordinal of `part`, where a row gives a record for each element of a list in it: the element's number, NULL where it has none.
    pub part: Option<usize>,
    /// Ordinal of `message_table`, where a row says itself which table its message lies in.
    pub message_table: Option<usize>,
    kind: Kind,
}

impl Columns {
    /// Resolves the aliases of a prepared query.
    ///
    /// # Errors
    /// What is wrong with the definition: an unknown kind or alias, an alias twice, or one that is wanted and missing.
    pub fn of(query: &Query, statement: &Statement<'_>) -> Result<Columns, String> {
        let mut kind = match query.record.as_str() {
            "thread" => Kind::Thread(ThreadColumns::default()),
            "account" => Kind::Account(AccountColumns::default()),
            "participant" => Kind::Participant(ParticipantColumns::default()),
            "message" => Kind::Message(MessageColumns::default()),
            "contact" => Kind::Contact(ContactColumns::default()),
            "contact_point" => Kind::ContactPoint(ContactPointColumns::default()),
            "call" => Kind::Call(CallColumns::default()),
            "attachment" => Kind::Attachment(AttachmentColumns::default()),
            "device" => Kind::Device(DeviceColumns::default()),
            "visit" => Kind::Visit(VisitColumns::default()),
            "location" => Kind::Location(LocationColumns::default()),
            other => return Err(format!("no record is called {other:?}")),
        };
        let (mut row_id, mut message_table, mut part) = (None, None, None);
        // What others name by their row alone cannot be several of one row.
        let several = matches!(kind, Kind::Account(_) | Kind::Participant(_) | Kind::ContactPoint(_) | Kind::Attachment(_));
        for (ordinal, alias) in statement.column_names().enumerate() {
            let known = match alias {
                "row_id" => row_id.replace(ordinal).is_none(),
                "part" if several => part.replace(ordinal).is_none(),
                "message_table" if query.message_table.is_some() => message_table.replace(ordinal).is_none(),
                _ => kind.set(alias, ordinal),
            };
            if !known {
                return Err(format!("{} has no field {alias:?}, or it stands twice", query.record));
            }
        }
        if let Some(missing) = kind.missing() {
            return Err(format!("field {missing} is missing"));
        }
        let (contact, message) = (matches!(kind, Kind::ContactPoint(_)), matches!(kind, Kind::Attachment(_)));
        if query.contact_table.is_some() != contact || query.message_table.is_some() != message {
            return Err("contact_table belongs to contact_point and message_table to attachment".to_owned());
        }
        Ok(Columns { row_id: row_id.ok_or("field row_id is missing")?, part, message_table, kind })
    }

    /// Which element of its row's list a row is: `None` where rows are no lists.
    ///
    /// # Errors
    /// Why it is none.
    pub fn part(&self, row: &Row<'_>) -> Result<Option<u32>, Reject> {
        let Some(ordinal) = self.part else { return Ok(None) };
        match row.get_ref(ordinal) {
            Ok(ValueRef::Integer(number)) => u32::try_from(number).map(Some).map_err(|_| "the number of its element is none"),
            Ok(ValueRef::Null) => Err(EMPTY),
            _ => Err("the number of its element is none"),
        }
    }

    /// Table that the parent of a child's row lies in: as the row says itself, or the query.
    pub fn parent_table<'q>(&self, query: &'q Query, row: &'q Row<'_>) -> &'q str {
        let table = query.contact_table.as_ref().or(query.message_table.as_ref()).map_or("", String::as_str);
        match self.message_table.map(|ordinal| row.get_ref(ordinal)) {
            Some(Ok(ValueRef::Text(name))) => std::str::from_utf8(name).unwrap_or(table),
            _ => table,
        }
    }

    /// Makes the record of a row.
    ///
    /// # Errors
    /// Why the row gives none.
    pub fn build(&self, cells: &mut Cells<'_>, provenance: Provenance, app: &str) -> Result<Record, Reject> {
        Ok(match &self.kind {
            Kind::Thread(columns) => Record::Thread(columns.build(cells, provenance, app)?),
            Kind::Account(columns) => Record::Account(columns.build(cells, provenance, app)?),
            Kind::Participant(columns) => Record::Participant(columns.build(cells, provenance, app)?),
            Kind::Message(columns) => Record::Message(Box::new(columns.build(cells, provenance, app)?)),
            Kind::Contact(columns) => Record::Contact(columns.build(cells, provenance, app)?),
            Kind::ContactPoint(columns) => Record::ContactPoint(columns.build(cells, provenance, app)?),
            Kind::Call(columns) => Record::Call(Box::new(columns.build(cells, provenance, app)?)),
            Kind::Attachment(columns) => Record::Attachment(columns.build(cells, provenance, app)?),
            Kind::Device(columns) => Record::Device(columns.build(cells, provenance, app)?),
            Kind::Visit(columns) => Record::Visit(Box::new(columns.build(cells, provenance, app)?)),
            Kind::Location(columns) => Record::Location(Box::new(columns.build(cells, provenance, app)?)),
        })
    }
}

impl Kind {
    fn set(&mut self, alias: &str, ordinal: usize) -> bool {
        match self {
            Kind::Thread(columns) => columns.set(alias, ordinal),
            Kind::Account(columns) => columns.set(alias, ordinal),
            Kind::Participant(columns) => columns.set(alias, ordinal),
            Kind::Message(columns) => columns.set(alias, ordinal),
            Kind::Contact(columns) => columns.set(alias, ordinal),
            Kind::ContactPoint(columns) => columns.set(alias, ordinal),
            Kind::Call(columns) => columns.set(alias, ordinal),
            Kind::Attachment(columns) => columns.set(alias, ordinal),
            Kind::Device(columns) => columns.set(alias, ordinal),
            Kind::Visit(columns) => columns.set(alias, ordinal),
            Kind::Location(columns) => columns.set(alias, ordinal),
        }
    }

    /// A field without which no row could become a record.
    fn missing(&self) -> Option<&'static str> {
        let wanted: &[(&'static str, Ordinal)] = match self {
            Kind::Thread(columns) => &[("thread", columns.thread_key)],
            Kind::Account(columns) => &[("account", columns.account_key)],
            Kind::Participant(columns) => &[("thread", columns.thread_key), ("account", columns.account_key)],
            Kind::ContactPoint(columns) => &[("contact_row", columns.contact), ("kind", columns.kind), ("raw", columns.raw)],
            Kind::Attachment(columns) => &[("message_row", columns.message)],
            Kind::Device(columns) => &[("kind", columns.kind), ("raw", columns.raw)],
            Kind::Location(columns) => &[("latitude", columns.latitude), ("longitude", columns.longitude)],
            Kind::Message(_) | Kind::Contact(_) | Kind::Call(_) | Kind::Visit(_) => &[],
        };
        wanted.iter().find(|(_, ordinal)| ordinal.is_none()).map(|(name, _)| *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Id, State};
    use rusqlite::Connection;

    type Wrong = Vec<(Code, &'static str, String)>;

    fn build(record: &str, select: &str) -> (Result<Record, Reject>, Wrong) {
        let connection = Connection::open_in_memory().unwrap();
        crate::decode::register(&connection, None).unwrap();
        let table = |name: &str| (record == name).then(|| "parents".to_owned());
        let query = Query {
            record: record.to_owned(),
            row_table: "t".to_owned(),
            sql: String::new(),
            skip: Vec::new(),
            contact_table: table("contact_point"),
            message_table: table("attachment"),
        };
        let mut statement = connection.prepare(select).unwrap();
        let columns = Columns::of(&query, &statement).unwrap();
        let mut rows = statement.query([]).unwrap();
        let row = rows.next().unwrap().unwrap();
        let locator = Locator::Row { table: "t".to_owned(), row_id: 1 };
        let nil = Id::default();
        let provenance = Provenance { exhibit: nil, item: nil, locator, state: State::Live, definition: nil, part: None };
        let mut wrong = Vec::new();
        let mut cells = Cells { row, parent_table: "parents", wrong: &mut wrong };
        (columns.build(&mut cells, provenance, "App"), wrong)
    }

    fn message(select: &str) -> (Message, Wrong) {
        match build("message", select) {
            (Ok(Record::Message(message)), wrong) => (*message, wrong),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn cells_become_fields() {
        let (message, wrong) =
            message("SELECT 1 AS row_id, 'hi' AS text, unix_s(10) AS sent_time, 1 AS outgoing, 7 AS status, NULL AS sender");
        assert_eq!(message.text.as_deref(), Some("hi"));
        assert_eq!(message.sent.unwrap().utc_us, Some(10_000_000));
        assert_eq!((message.outgoing, message.status.as_deref(), message.sender), (Some(true), Some("7"), None));
        assert!(wrong.is_empty());
    }

    #[test]
    fn what_is_not_text_is_kept_lossy_and_told() {
        let (message, wrong) = message("SELECT 1 AS row_id, CAST(x'61ff62' AS TEXT) AS text, 'x' AS outgoing, 5 AS sent_time");
        assert_eq!(message.text.as_deref(), Some("a\u{fffd}b"));
        let codes: Vec<_> = wrong.iter().map(|(code, field, _)| (*code, *field)).collect();
        assert_eq!(
            codes,
            [(Code::ValueUndecodable, "outgoing"), (Code::ValueUndecodable, "sent_time"), (Code::TextInvalid, "text")]
        );
    }

    #[test]
    fn degrees_keep_every_digit_of_the_float() {
        let (place, wrong) =
            build("location", "SELECT 1 AS row_id, 1.0 / 3 AS latitude, '104.92' AS longitude, 65 AS accuracy_m, x'00' AS label");
        let Ok(Record::Location(place)) = place else { panic!() };
        assert_eq!((place.latitude.as_deref(), place.longitude.as_deref()), (Some("0.3333333333333333"), Some("104.92")));
        assert_eq!(place.accuracy_m.as_deref(), Some("65"));
        assert!(wrong.is_empty());
        let (place, wrong) = build("location", "SELECT 1 AS row_id, 9e999 AS latitude, 'east' AS longitude");
        let Ok(Record::Location(place)) = place else { panic!() };
        assert_eq!((place.latitude, place.longitude, wrong.len()), (None, None, 2));
    }

    #[test]
    fn children_name_their_parents_row() {
        let (point, _) = build("contact_point", "SELECT 1 AS row_id, 5 AS contact_row, 'phone' AS kind, '+1' AS raw");
        let Ok(Record::ContactPoint(point)) = point else { panic!() };
        assert_eq!(point.contact, Locator::Row { table: "parents".to_owned(), row_id: 5 });
        let (orphan, _) = build("attachment", "SELECT 1 AS row_id, NULL AS message_row");
        assert_eq!(orphan.unwrap_err(), "no row that it belongs to");
        assert_eq!(build("thread", "SELECT 1 AS row_id, NULL AS thread").0.unwrap_err(), "no thread key");
    }
}
