//! From a body on the wire to the row of a bundle.

use crate::Error;
use crate::bundle::schema::{Table, table};
use crate::bundle::value::Value;
use model::item::{FileTime, FileTimes};
use model::record::{
    self, Account, Attachment, Call, Contact, ContactPoint, DeviceFact, Location, Message, Participant, Thread, Visit,
};
use model::{Body, Definition, Directory, Exhibit, ExhibitEnd, Id, Item, Kind, LedgerRow, Locator, Problem, Provenance};
use model::{RawTime, Record, Stamp, State, TimeUnit};

/// Says whether a row is in the bundle: a reference to one that is not stays empty and what it named is kept beside it.
pub trait Known {
    /// Whether the exhibit has an entry of that kind and id.
    fn known(&mut self, kind: Kind, id: Id) -> Result<bool, Error>;

    /// The item of the exhibit that is the file of this attachment, if one was found.
    fn file_of(&mut self, attachment: Id) -> Result<Option<Id>, Error>;

    /// The account that an app's id stands for, in another file of the exhibit than the one that names it; `own` is the id that it would have there.
    fn account_of(&mut self, own: Id, app: &str, key: &str) -> Result<Option<Id>, Error>;

    /// The account that an app holds for its user's own in a file, if it is one.
    fn owner_of(&mut self, item: Id, app: &str) -> Result<Option<Id>, Error>;

    /// How many records of this ledger row were dropped because another had their id.
    fn conflicts(&mut self, ledger: Id) -> Result<i64, Error>;
}

/// Appends the values of one row, in the order of the table's columns.
pub struct Row<'v> {
    table: &'static Table,
    values: &'v mut Vec<Value>,
    begin: usize,
}

impl<'v> Row<'v> {
    /// Begins a row of the table of that name.
    pub fn new(name: &'static str, values: &'v mut Vec<Value>) -> Row<'v> {
        let begin = values.len();
        // Names come from this crate alone; the first table stands in for none so that a slip is an assertion, not a panic.
        let table = table(name).unwrap_or(&crate::bundle::schema::tables()[0]);
        debug_assert_eq!(table.name, name);
        Row { table, values, begin }
    }

    /// Puts the next column's value; the name is there for the reader and the assertion.
    pub fn put(&mut self, column: &'static str, value: impl Into<Value>) -> &mut Self {
        if cfg!(any(test, debug_assertions)) {
            let expected = self.table.columns.get(self.values.len() - self.begin).map(|column| column.name);
            assert_eq!(expected, Some(column), "{}", self.table.name);
        }
        self.values.push(value.into());
        self
    }

    fn stamp(&mut self, stamp: Option<Stamp>, names: [&'static str; 3]) -> &mut Self {
        let (utc, raw, unit) = match stamp {
            None => (Value::Null, Value::Null, Value::Null),
            Some(stamp) => {
                let (raw, unit) = raw_time(stamp.raw, stamp.unit);
                (stamp.utc_us.into(), raw, unit.into())
            }
        };
        self.put(names[0], utc).put(names[1], raw).put(names[2], unit)
    }

    /// The columns that every record ends with.
    fn provenance(&mut self, provenance: Provenance, known: &mut dyn Known) -> Result<(), Error> {
        let definition = reference(Kind::Definition, provenance.definition, known)?;
        let mut range = provenance.locator.range();
        let (mut table, mut row_id, mut pointer, mut line) = (Value::Null, Value::Null, Value::Null, Value::Null);
        let (mut page, mut companion, mut confidence) = (Value::Null, Value::Null, Value::Null);
        match provenance.locator {
            Locator::Row { table: name, row_id: id } => (table, row_id) = (name.into(), id.into()),
            Locator::Pointer { pointer: text, .. } => pointer = text.into(),
            Locator::Line { line: number, .. } => line = number.into(),
            Locator::Bytes { .. } => {}
            Locator::Carved(carved) => {
                (table, row_id, companion) = (carved.table.into(), carved.row_id.into(), carved.companion.into());
                (page, confidence) = (i64::from(carved.page).into(), carved.confidence.into());
                range = Some((carved.offset, carved.length));
            }
        }
        // Of a row that holds a list, which element.
        if let Some(part) = provenance.part {
            pointer = format!("/{part}").into();
        }
        self.put("state", provenance.state.name()).put("row_table", table).put("row_id", row_id);
        self.put("pointer", pointer).put("line", line);
        self.put("byte_offset", range.map(|range| range.0)).put("byte_length", range.map(|range| range.1));
        self.put("page", page).put("companion", companion).put("confidence", confidence);
        self.put("definition_id", definition);
        Ok(())
    }

    fn times(&mut self, times: FileTimes) -> &mut Self {
        let raw = |time: Option<FileTime>| time.map(|time| format!("{}.{:09}", time.seconds, time.nanos));
        let micros = |time: Option<FileTime>| time.map(FileTime::micros);
        let unit = times.modified.map(|_| if times.local { "local" } else { "unix_s" });
        let modified = if times.local { None } else { times.modified };
        let modified_raw = if times.local { times.modified.map(wall_clock) } else { raw(times.modified) };
        self.put("modified_time", micros(modified)).put("modified_time_raw", modified_raw).put("modified_time_unit", unit);
        self.put("accessed_time", micros(times.accessed)).put("accessed_time_raw", raw(times.accessed));
        self.put("changed_time", micros(times.changed)).put("changed_time_raw", raw(times.changed));
        self.put("created_time", micros(times.created)).put("created_time_raw", raw(times.created))
    }
}

/// The raw value and the word for its unit. A raw value is TEXT exactly where the word is `text` or ends with `:text`: otherwise
/// a large integer and the text of its digits, which have the same JSON, could be exchanged unseen.
fn raw_time(raw: RawTime, unit: TimeUnit) -> (Value, String) {
    match (raw, unit) {
        (RawTime::Integer(raw), TimeUnit::Text) => (raw.to_string().into(), TimeUnit::Text.name().to_owned()),
        (RawTime::Integer(raw), unit) => (raw.into(), unit.name().to_owned()),
        (RawTime::Text(raw), TimeUnit::Text) => (raw.into(), TimeUnit::Text.name().to_owned()),
        (RawTime::Text(raw), unit) => (raw.into(), format!("{}:text", unit.name())),
    }
}

/// A wall-clock time without zone, which the model keeps as if it were UTC, in ISO 8601 (Howard Hinnant's civil_from_days).
fn wall_clock(time: FileTime) -> String {
    let (days, second) = (time.seconds.div_euclid(86_400), time.seconds.rem_euclid(86_400));
    let shifted = i128::from(days) + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i128::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    let fraction = if time.nanos == 0 { String::new() } else { format!(".{:09}", time.nanos) };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}")
}

/// The id if there is such a row, else nothing.
fn reference(kind: Kind, id: Id, known: &mut dyn Known) -> Result<Option<Id>, Error> {
    Ok(known.known(kind, id)?.then_some(id))
}

/// The id of the thread or account that a row names by its key: a live one, or one of the row's own state.
fn keyed(
    kind: Kind,
    provenance: &Provenance,
    id: impl Fn(&Provenance) -> Id,
    known: &mut dyn Known,
) -> Result<Option<Id>, Error> {
    let live = reference(kind, id(&provenance.of_state(State::Live)), known)?;
    if live.is_some() || provenance.state == State::Live { Ok(live) } else { reference(kind, id(provenance), known) }
}

/// The account that a row names by its app's id: one of the same file, else one of the exhibit where such ids are the same in every file.
fn account_reference(provenance: &Provenance, app: &str, key: Option<&str>, known: &mut dyn Known) -> Result<Option<Id>, Error> {
    let Some(key) = key else { return Ok(None) };
    match keyed(Kind::Account, provenance, |place| record::account_id(place, app, key), known)? {
        Some(id) => Ok(Some(id)),
        None => known.account_of(record::account_id(&provenance.of_state(State::Live), app, key), app, key),
    }
}

/// The id of the record that a row belongs to, by its place: a live row, or one of whichever state it has.
fn parent(kind: Kind, name: &str, provenance: &Provenance, place: &Locator, known: &mut dyn Known) -> Result<Option<Id>, Error> {
    if provenance.state == State::Live {
        return reference(kind, provenance.record_id_at(name, place), known);
    }
    let live = place.live();
    let live = provenance.of_state(State::Live).record_id_at(name, live.as_ref().unwrap_or(place));
    if known.known(kind, live)? {
        return Ok(Some(live));
    }
    for state in [provenance.state, State::Superseded, State::Recovered] {
        let id = provenance.of_state(state).record_id_at(name, place);
        if known.known(kind, id)? {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// Words for a place in an item, for a reference whose row is not in the bundle.
fn place(locator: &Locator) -> String {
    match locator {
        Locator::Row { table, row_id } => format!("table {table} row {row_id}"),
        Locator::Pointer { pointer, offset, .. } => format!("pointer {pointer} at byte {offset}"),
        Locator::Line { line, offset, .. } => format!("line {line} at byte {offset}"),
        Locator::Bytes { offset, length } => format!("bytes {offset}+{length}"),
        Locator::Carved(carved) => match carved.row_id {
            Some(row_id) => format!("table {} row {row_id}", carved.table),
            None => format!("table {}", carved.table),
        },
    }
}

/// Appends the row of a body that has one of its own; sightings and secrets are folded first, exhibits have their end beside them.
pub fn push(body: Body, values: &mut Vec<Value>, known: &mut dyn Known) -> Result<(), Error> {
    match body {
        Body::Item(item) => item_row(*item, values),
        Body::Directory(directory) => directory_row(*directory, values),
        Body::Definition(definition) => definition_row(definition, values),
        Body::Record(record) => return record_row(record, values, known),
        Body::Problem(problem) => problem_row(problem, values),
        Body::Ledger(ledger) => return ledger_row(ledger, values, known),
        Body::Exhibit(_) | Body::End(_) | Body::Sighting(_) | Body::Secret(_) => {
            debug_assert!(false, "no row of its own");
        }
    }
    Ok(())
}

/// Appends the row of an exhibit.
pub fn exhibit_row(exhibit: Exhibit, end: &ExhibitEnd, values: &mut Vec<Value>) {
    let mut row = Row::new("exhibit", values);
    row.put("id", exhibit.id).put("case_label", exhibit.case_label).put("number", exhibit.number);
    row.put("kind", exhibit.kind).put("container", exhibit.container);
    row.put("size_bytes", exhibit.size_bytes).put("sha256", exhibit.sha256);
    row.put("items", end.items).put("directories", end.directories).put("complete", end.complete);
}

fn item_row(item: Item, values: &mut Vec<Value>) {
    let mut row = Row::new("item", values);
    row.put("id", item.id).put("exhibit_id", item.exhibit).put("parent_id", item.parent);
    row.put("path", item.path).put("path_raw", item.path_raw);
    row.put("file_kind", item.file_kind.name()).put("link_target", item.link_target);
    row.put("size_bytes", item.size_bytes).put("sha256", item.sha256).put("sha1", item.sha1).put("md5", item.md5);
    row.put("media_type", item.media_type).put("mode", item.mode);
    row.put("owner_uid", item.owner.map(|owner| owner.0)).put("owner_gid", item.owner.map(|owner| owner.1));
    row.times(item.times);
    row.put("deleted", item.deleted).put("status", item.status.name());
    row.put("reason", item.reason).put("definition", item.definition);
}

fn directory_row(directory: Directory, values: &mut Vec<Value>) {
    let mut row = Row::new("directory", values);
    row.put("id", directory.id).put("exhibit_id", directory.exhibit).put("parent_id", directory.parent);
    row.put("path", directory.path).put("path_raw", directory.path_raw).put("mode", directory.mode);
    row.put("owner_uid", directory.owner.map(|owner| owner.0)).put("owner_gid", directory.owner.map(|owner| owner.1));
    row.times(directory.times);
}

fn definition_row(definition: Definition, values: &mut Vec<Value>) {
    let mut row = Row::new("definition", values);
    row.put("id", definition.id).put("exhibit_id", definition.exhibit);
    row.put("name", definition.name).put("sha256", definition.sha256);
}

fn problem_row(problem: Problem, values: &mut Vec<Value>) {
    let id = problem.id();
    let mut row = Row::new("problem", values);
    row.put("id", id).put("exhibit_id", problem.exhibit).put("item_id", problem.item);
    row.put("stage", problem.stage.name()).put("code", problem.code.name()).put("detail", problem.detail);
}

fn ledger_row(ledger: LedgerRow, values: &mut Vec<Value>, known: &mut dyn Known) -> Result<(), Error> {
    let id = ledger.id();
    let conflicts = known.conflicts(id)?;
    let mut row = Row::new("ledger", values);
    row.put("id", id).put("exhibit_id", ledger.exhibit).put("item_id", ledger.item);
    row.put("source", ledger.source).put("record_kind", ledger.record_kind).put("row_table", ledger.row_table);
    row.put("rows_seen", ledger.rows_seen).put("records", ledger.records).put("rejected", ledger.rejected);
    row.put("reason", ledger.reason).put("conflicts", conflicts);
    Ok(())
}

fn record_row(record: Record, values: &mut Vec<Value>, known: &mut dyn Known) -> Result<(), Error> {
    match record {
        Record::Thread(thread) => thread_row(thread, values, known),
        Record::Account(account) => account_row(account, values, known),
        Record::Participant(participant) => participant_row(participant, values, known),
        Record::Message(message) => message_row(*message, values, known),
        Record::Contact(contact) => contact_row(contact, values, known),
        Record::ContactPoint(point) => contact_point_row(point, values, known),
        Record::Call(call) => call_row(*call, values, known),
        Record::Attachment(attachment) => attachment_row(attachment, values, known),
        Record::Device(fact) => device_row(fact, values, known),
        Record::Visit(visit) => visit_row(*visit, values, known),
        Record::Location(location) => location_row(*location, values, known),
    }
}

fn thread_row(thread: Thread, values: &mut Vec<Value>, known: &mut dyn Known) -> Result<(), Error> {
    let id = thread.id();
    let mut row = Row::new("thread", values);
    row.put("id", id).put("exhibit_id", thread.provenance.exhibit).put("item_id", thread.provenance.item);
    row.put("app", thread.app).put("thread_key", thread.thread_key);
    row.put("name", thread.name).put("thread_type", thread.thread_type);
    row.stamp(thread.created, ["created_time", "created_time_raw", "created_time_unit"]).put("implied", thread.implied);
    row.provenance(thread.provenance, known)
}

fn account_row(account: Account, values: &mut Vec<Value>, known: &mut dyn Known) -> Result<(), Error> {
    let id = account.id();
    let mut row = Row::new("account", values);
    row.put("id", id).put("exhibit_id", account.provenance.exhibit).put("item_id", account.provenance.item);
    row.put("app", account.app).put("account_key", account.account_key);
    row.put("display_name", account.display_name).put("is_owner", account.is_owner).put("same_as", account.same_as);
    row.put("phone", account.phone).put("phone_raw", account.phone_raw).put("about", account.about);
    row.put("chain", account.chain).put("extra", account.extra);
    row.provenance(account.provenance, known)
}

fn participant_row(participant: Participant, values: &mut Vec<Value>, known: &mut dyn Known) -> Result<(), Error> {
    let Participant { provenance, app, thread_key, account_key, role } = participant;
    let thread = keyed(Kind::Thread, &provenance, |place| record::thread_id(place, &app, &thread_key), known)?;
    let account = account_reference(&provenance, &app, Some(&account_key), known)?;
    let mut row = Row::new("participant", values);
    row.put("id", provenance.record_id("participant")).put("exhibit_id", provenance.exhibit).put("item_id", provenance.item);
    row.put("app", app).put("thread_id", thread).put("thread_key", thread_key);
    row.put("account_id", account).put("account_key", account_key).put("role", role);
    row.provenance(provenance, known)
}

fn message_row(message: Message, values: &mut Vec<Value>, known: &mut dyn Known) -> Result<(), Error> {
    let provenance = message.provenance;
    let (thread, lost_key) = thread_reference(&provenance, &message.app, message.thread_key, known)?;
    let sender = match &message.sender {
        // The app says that its user sent it, and which account is its user's.
        None if message.outgoing == Some(true) => known.owner_of(provenance.item, &message.app)?,
        sender => account_reference(&provenance, &message.app, sender.as_deref(), known)?,
    };
    let recipient = account_reference(&provenance, &message.app, message.recipient.as_deref(), known)?;
    let mut row = Row::new("message", values);
    row.put("id", provenance.record_id("message")).put("exhibit_id", provenance.exhibit).put("item_id", provenance.item);
    row.put("app", message.app).put("thread_id", thread).put("thread_key", lost_key);
    row.put("sender", message.sender).put("sender_account_id", sender);
    row.put("recipient", message.recipient).put("recipient_account_id", recipient).put("outgoing", message.outgoing);
    row.stamp(message.sent, ["sent_time", "sent_time_raw", "sent_time_unit"]);
    row.stamp(message.received, ["received_time", "received_time_raw", "received_time_unit"]);
    row.stamp(message.edited, ["edited_time", "edited_time_raw", "edited_time_unit"]);
    row.put("text", message.text).put("subject", message.subject).put("message_type", message.message_type);
    row.put("message_key", message.message_key).put("quoted_key", message.quoted_key);
    row.put("quoted_text", message.quoted_text).put("quoted_sender", message.quoted_sender);
    row.put("forwarded", message.forwarded).put("status", message.status).put("extra", message.extra);
    row.provenance(provenance, known)
}

/// The thread's id, or its key where the bundle has no such thread.
fn thread_reference(
    provenance: &Provenance,
    app: &str,
    key: Option<String>,
    known: &mut dyn Known,
) -> Result<(Option<Id>, Option<String>), Error> {
    let Some(key) = key else { return Ok((None, None)) };
    let id = keyed(Kind::Thread, provenance, |place| record::thread_id(place, app, &key), known)?;
    Ok(if id.is_some() { (id, None) } else { (None, Some(key)) })
}

fn contact_row(contact: Contact, values: &mut Vec<Value>, known: &mut dyn Known) -> Result<(), Error> {
    let provenance = contact.provenance;
    let mut row = Row::new("contact", values);
    row.put("id", provenance.record_id("contact")).put("exhibit_id", provenance.exhibit).put("item_id", provenance.item);
    row.put("app", contact.app).put("display_name", contact.display_name);
    row.put("organization", contact.organization).put("note", contact.note).put("extra", contact.extra);
    row.provenance(provenance, known)
}

fn contact_point_row(point: ContactPoint, values: &mut Vec<Value>, known: &mut dyn Known) -> Result<(), Error> {
    let provenance = point.provenance;
    let contact = parent(Kind::Contact, "contact", &provenance, &point.contact, known)?;
    let lost = contact.is_none().then(|| place(&point.contact));
    let mut row = Row::new("contact_point", values);
    row.put("id", provenance.record_id("contact_point")).put("exhibit_id", provenance.exhibit).put("item_id", provenance.item);
    row.put("contact_id", contact).put("contact_place", lost);
    row.put("kind", point.kind).put("value", point.value).put("raw", point.raw).put("label", point.label);
    row.provenance(provenance, known)
}

fn call_row(call: Call, values: &mut Vec<Value>, known: &mut dyn Known) -> Result<(), Error> {
    let provenance = call.provenance;
    let (thread, lost_key) = thread_reference(&provenance, &call.app, call.thread_key, known)?;
    let remote = account_reference(&provenance, &call.app, call.remote.as_deref(), known)?;
    let mut row = Row::new("call", values);
    row.put("id", provenance.record_id("call")).put("exhibit_id", provenance.exhibit).put("item_id", provenance.item);
    row.put("app", call.app).put("remote", call.remote).put("remote_account_id", remote);
    row.put("remote_phone", call.remote_phone).put("remote_name", call.remote_name);
    row.put("thread_id", thread).put("thread_key", lost_key).put("outgoing", call.outgoing);
    row.stamp(call.start, ["start_time", "start_time_raw", "start_time_unit"]);
    row.put("duration_s", call.duration_s).put("outcome", call.outcome);
    row.put("video", call.video).put("call_key", call.call_key);
    row.provenance(provenance, known)
}

fn device_row(fact: DeviceFact, values: &mut Vec<Value>, known: &mut dyn Known) -> Result<(), Error> {
    let (id, provenance) = (fact.id(), fact.provenance);
    let mut row = Row::new("device", values);
    row.put("id", id).put("exhibit_id", provenance.exhibit).put("item_id", provenance.item);
    row.put("kind", fact.kind).put("value", fact.value).put("raw", fact.raw).put("label", fact.label);
    row.provenance(provenance, known)
}

fn attachment_row(attachment: Attachment, values: &mut Vec<Value>, known: &mut dyn Known) -> Result<(), Error> {
    let provenance = attachment.provenance;
    let id = provenance.record_id("attachment");
    let message = parent(Kind::Message, "message", &provenance, &attachment.message, known)?;
    let lost = message.is_none().then(|| place(&attachment.message));
    let file = known.file_of(id)?;
    let mut row = Row::new("attachment", values);
    row.put("id", id).put("exhibit_id", provenance.exhibit).put("message_id", message).put("message_place", lost);
    row.put("item_id", provenance.item).put("file_item_id", file).put("path", attachment.path);
    row.put("media_type", attachment.media_type).put("sha256", attachment.sha256).put("size_bytes", attachment.size_bytes);
    row.put("name", attachment.name).put("url", attachment.url);
    row.provenance(provenance, known)
}

fn visit_row(visit: Visit, values: &mut Vec<Value>, known: &mut dyn Known) -> Result<(), Error> {
    let provenance = visit.provenance;
    let mut row = Row::new("visit", values);
    row.put("id", provenance.record_id("visit")).put("exhibit_id", provenance.exhibit).put("item_id", provenance.item);
    row.put("app", visit.app).put("url", visit.url).put("title", visit.title);
    row.stamp(visit.visited, ["visit_time", "visit_time_raw", "visit_time_unit"]);
    row.put("transition", visit.transition).put("typed", visit.typed).put("referrer", visit.referrer);
    row.put("extra", visit.extra);
    row.provenance(provenance, known)
}

fn location_row(location: Location, values: &mut Vec<Value>, known: &mut dyn Known) -> Result<(), Error> {
    let provenance = location.provenance;
    let mut row = Row::new("location", values);
    row.put("id", provenance.record_id("location")).put("exhibit_id", provenance.exhibit).put("item_id", provenance.item);
    row.put("app", location.app).put("latitude", location.latitude).put("longitude", location.longitude);
    row.put("accuracy_m", location.accuracy_m);
    row.stamp(location.located, ["located_time", "located_time_raw", "located_time_unit"]);
    row.put("source", location.source).put("label", location.label).put("extra", location.extra);
    row.provenance(provenance, known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_clock_times_are_iso_8601() {
        let time = |seconds, nanos| wall_clock(FileTime { seconds, nanos });
        assert_eq!(time(0, 0), "1970-01-01T00:00:00");
        assert_eq!(time(951_782_400, 5), "2000-02-29T00:00:00.000000005");
        assert_eq!(time(-1, 0), "1969-12-31T23:59:59");
        assert_eq!(time(1_714_521_600, 0), "2024-05-01T00:00:00");
    }

    #[test]
    fn a_raw_time_is_text_exactly_where_its_unit_says_so() {
        assert_eq!(raw_time(RawTime::Integer(5), TimeUnit::UnixS), (Value::Integer(5), "unix_s".into()));
        assert_eq!(raw_time(RawTime::Text("5.5".into()), TimeUnit::UnixS), (Value::Text("5.5".into()), "unix_s:text".into()));
        assert_eq!(raw_time(RawTime::Integer(5), TimeUnit::Text), (Value::Text("5".into()), "text".into()));
    }
}
