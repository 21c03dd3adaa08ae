//! Devices, owners, contacts and calls: plain tables.

use super::Report;
use super::markup::Markup;
use super::pages::Pages;
use super::source::Cells;
use crate::Error;

/// One cell of a text.
fn text(report: &Report, cells: &Cells<'_, '_>, place: usize) -> Markup {
    Markup::maybe(cells.words(place).as_deref(), &report.mask)
}

/// The exhibit's name of an id in column 0.
fn exhibit(report: &Report, cells: &Cells<'_, '_>) -> Markup {
    Markup::text(report.exhibit(cells.text(0).as_deref()), &report.mask)
}

/// A value in the form that is compared and, where that differs, as it is written; what has no such form as it is written alone.
fn written(report: &Report, cells: &Cells<'_, '_>, value: usize, raw: usize) -> (Markup, Markup) {
    match (cells.words(value), cells.words(raw)) {
        (None, _) => (text(report, cells, raw), Markup::nothing()),
        (Some(one), Some(other)) if one == other => (text(report, cells, value), Markup::nothing()),
        _ => (text(report, cells, value), text(report, cells, raw)),
    }
}

/// What each device tells of itself.
pub fn devices(report: &Report, pages: &mut Pages) -> Result<(), Error> {
    let mut section = pages.section("devices", "What each device tells of itself, and in which file.")?;
    section.table(&["Exhibit", "Fact", "Value", "As written", "Label", "File"])?;
    for source in &report.sources {
        let sql = "SELECT device.exhibit_id, kind, value, raw, label, item.path, state FROM device
            LEFT JOIN item ON item.id = device.item_id ORDER BY 1, kind, value, device.id";
        source.each("", sql, &mut |cells| {
            let (value, raw) = written(report, cells, 2, 3);
            let kind = Markup::joined(&[text(report, cells, 1), Markup::state(cells.text(6).as_deref())], " ");
            section.cells(&[exhibit(report, cells), kind, value, raw, text(report, cells, 4), text(report, cells, 5)])
        })?;
    }
    section.finish("No device told of itself.")
}

/// The accounts that apps hold for the owner's.
pub fn owners(report: &Report, pages: &mut Pages) -> Result<(), Error> {
    let note = "Accounts that an app holds for its user's own. Who used a device is unknown, and may be a victim.";
    let mut section = pages.section("owners", note)?;
    section.table(&["Exhibit", "App", "Account", "Name", "Phone", "About", "Also"])?;
    for source in &report.sources {
        let sql = "SELECT exhibit_id, app, account_key, display_name, coalesce(phone, phone_raw), about, same_as, state
            FROM account WHERE is_owner = 1 ORDER BY 1, app, account_key, id";
        source.each("", sql, &mut |cells| {
            let key = Markup::joined(&[text(report, cells, 2), Markup::state(cells.text(7).as_deref())], " ");
            let [app, name, phone, about, also] = [1, 3, 4, 5, 6].map(|place| text(report, cells, place));
            section.cells(&[exhibit(report, cells), app, key, name, phone, about, also])
        })?;
    }
    section.finish("No app said which account is its owner's.")
}

/// Contacts with all that reaches them.
pub fn contacts(report: &Report, pages: &mut Pages) -> Result<(), Error> {
    let mut section =
        pages.section("contacts", "Address books of devices and apps. A row for each number or address of a contact, as it is compared; beside it how it is written there, \
             where that differs.")?;
    section.table(&["Exhibit", "App", "Name", "Kind", "Number or address", "As written", "Organisation", "Note"])?;
    for source in &report.sources {
        // Points whose contact is not in the bundle stand at the end, by themselves.
        let sql =
            "SELECT contact.exhibit_id, app, display_name, point.kind, point.value, point.raw, organization, note, contact.state,
                   display_name IS NULL, contact.id, point.id
            FROM contact LEFT JOIN contact_point AS point ON point.contact_id = contact.id
            UNION ALL SELECT exhibit_id, NULL, NULL, kind, value, raw, label, NULL, state, 2, contact_id, id
            FROM contact_point WHERE contact_id IS NULL
            ORDER BY 1, 10, 3, 11, 12";
        source.each("", sql, &mut |cells| {
            let (value, raw) = written(report, cells, 4, 5);
            let name = Markup::joined(&[text(report, cells, 2), Markup::state(cells.text(8).as_deref())], " ");
            let [app, kind, organization, note] = [1, 3, 6, 7].map(|place| text(report, cells, place));
            section.cells(&[exhibit(report, cells), app, name, kind, value, raw, organization, note])
        })?;
    }
    section.finish("No contacts.")
}

/// Calls in the order of time.
pub fn calls(report: &Report, pages: &mut Pages) -> Result<(), Error> {
    let mut section = pages.section("calls", "Calls of devices and apps in the order of time.")?;
    section.table(&["Exhibit", "Time", "App", "Way", "With", "Name", "#Seconds", "Outcome"])?;
    for source in &report.sources {
        let sql = "SELECT exhibit_id, start_time, start_time_raw, app, outgoing, coalesce(remote_phone, remote), remote_name, duration_s,
                   outcome, state, video FROM call ORDER BY 1, start_time IS NULL, start_time, id";
        source.each("", sql, &mut |cells| {
            let direction = match cells.integer(4) {
                Some(0) => "incoming",
                Some(_) => "outgoing",
                None => "",
            };
            let kind = if cells.integer(10) == Some(1) { "video" } else { "" };
            let words = [Markup::word(direction), Markup::word(kind), Markup::state(cells.text(9).as_deref())];
            section.cells(&[
                exhibit(report, cells),
                Markup::time(cells.integer(1), cells.text(2).as_deref()),
                text(report, cells, 3),
                Markup::joined(&words, " "),
                text(report, cells, 5),
                text(report, cells, 6),
                cells.integer(7).map(Markup::number).unwrap_or_default(),
                text(report, cells, 8),
            ])
        })?;
    }
    section.finish("No calls.")
}
