//! Chats: a list of them, and each as a conversation with its files, wallets and deleted messages.
//!
//! Messages, their attachments, wallets and secrets come out of one sorted query, so that a conversation of any length is written
//! row by row. Chats stand by exhibit, the longest first.

use super::Report;
use super::markup::{Markup, utc};
use super::names::{CHAT, OF_CHAT};
use super::pages::{Pages, Section, rendered};
use super::scratch::failed;
use super::source::Cells;
use crate::Error;
use askama::Template;

/// Files and values shown under one message; how many more there are is said.
const CAP_BESIDE: usize = 100;

/// Puts every chat into the scratch, numbered in the order in which they are shown.
pub fn gather(report: &Report) -> Result<(), Error> {
    let with = "members AS MATERIALIZED (
           SELECT thread_id, count(DISTINCT account_key) AS members FROM participant WHERE thread_id IS NOT NULL GROUP BY 1)";
    let sql = "SELECT tally.exhibit, tally.app, thread.name, coalesce(thread.thread_key, tally.thread_key),
               account_name.name, contact_name.name, thread.thread_type, members.members, messages, first, last
        FROM tally LEFT JOIN thread ON thread.id = tally.thread
        LEFT JOIN members ON members.thread_id = tally.thread
        LEFT JOIN account_name ON account_name.exhibit = tally.exhibit AND account_name.app = tally.app
                              AND account_name.account_key = coalesce(thread.thread_key, tally.thread_key)
        LEFT JOIN contact_name ON contact_name.exhibit = tally.exhibit
                              AND contact_name.value = coalesce(account_name.phone, thread.thread_key, tally.thread_key)
        ORDER BY tally.exhibit, messages DESC, chat";
    let mut number = 0i64;
    for source in &report.sources {
        source.each(with, sql, &mut |cells| {
            number += 1;
            let key = cells.words(3);
            let name = cells.words(2).or_else(|| cells.words(4)).or_else(|| cells.words(5));
            let title = match (name, key) {
                (Some(name), Some(key)) if name != key => format!("{name} ({key})"),
                (Some(name), _) | (None, Some(name)) => name,
                (None, None) => "without a name".to_owned(),
            };
            report.scratch.put(
                "INSERT INTO chat VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 1)",
                rusqlite::params![
                    number,
                    cells.text(0),
                    cells.text(1),
                    title,
                    cells.text(6),
                    cells.integer(7),
                    cells.integer(8),
                    cells.integer(9),
                    cells.integer(10)
                ],
            )
        })?;
    }
    Ok(())
}

/// The list of chats.
pub fn list(report: &Report, pages: &mut Pages) -> Result<(), Error> {
    let mut section = pages.section("chats", "Every chat, by exhibit, the one with the most messages first.")?;
    section.table(&["Exhibit", "App", "Chat", "#Members", "#Messages", "First", "Last"])?;
    report.scratch.each("SELECT * FROM chat ORDER BY number", [], &mut |row| {
        let chat = Chat::read(row).map_err(failed)?;
        let target = section.target("conversations", chat.page, &format!("t{}", chat.number));
        section.cells(&[
            Markup::text(report.exhibit(chat.exhibit.as_deref()), &report.mask),
            Markup::maybe(chat.app.as_deref(), &report.mask),
            Markup::link(&target, &Markup::text(&chat.title, &report.mask)),
            chat.participants.map(Markup::number).unwrap_or_default(),
            Markup::number(chat.messages),
            Markup::time(chat.first, None),
            Markup::time(chat.last, None),
        ])
    })?;
    section.finish("No chats.")
}

struct Chat {
    number: i64,
    exhibit: Option<String>,
    app: Option<String>,
    title: String,
    thread_type: Option<String>,
    participants: Option<i64>,
    messages: i64,
    first: Option<i64>,
    last: Option<i64>,
    page: i64,
}

impl Chat {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Chat> {
        Ok(Chat {
            number: row.get(0)?,
            exhibit: row.get(1)?,
            app: row.get(2)?,
            title: row.get(3)?,
            thread_type: row.get(4)?,
            participants: row.get(5)?,
            messages: row.get(6)?,
            first: row.get(7)?,
            last: row.get(8)?,
            page: row.get(9)?,
        })
    }
}

/// What stands in one message's bubble.
#[derive(Template, Default)]
#[template(path = "report/message.html")]
struct Message {
    id: String,
    outgoing: bool,
    sender: Markup,
    time: Markup,
    state: Markup,
    forwarded: bool,
    quoted: Markup,
    subject: Markup,
    text: Markup,
    kind: Markup,
    files: Vec<Markup>,
    chips: Vec<Markup>,
    more: usize,
    /// The day, if the message before it was of another.
    day: Option<String>,
    /// The text as it is, until it is known whether it holds a secret.
    plain: Option<String>,
    wallet: bool,
    beside_last: Option<String>,
}

/// One row for each message, and below it one for each of its attachments, wallets and secrets.
fn sql() -> String {
    let order = "message.exhibit_id, tally.messages, tally.chat, message.sent_time IS NULL, message.sent_time, message.id";
    let joined = format!("JOIN tally ON {OF_CHAT} AND tally.chat = {CHAT}");
    format!(
        "SELECT {order}, 0, NULL, message.sender, account_name.name, contact_name.name, outgoing, sent_time_raw, text, subject,
                message_type, quoted_text, forwarded, message.state, message.app, message.recipient
         FROM message {joined}
         LEFT JOIN account_name ON account_name.exhibit = message.exhibit_id AND account_name.app = message.app
                               AND account_name.account_key = message.sender
         LEFT JOIN contact_name ON contact_name.exhibit = message.exhibit_id
                               AND contact_name.value = coalesce(account_name.phone, message.sender)
         UNION ALL
         SELECT {order}, 1, attachment.id, attachment.name, attachment.path, attachment.media_type, attachment.sha256,
                attachment.size_bytes, attachment.url, item.path, attachment.state, NULL, NULL, NULL, NULL, NULL
         FROM attachment JOIN message ON message.id = attachment.message_id {joined}
         LEFT JOIN item ON item.id = attachment.file_item_id
         UNION ALL
         SELECT {order}, 2, observable.id, observable.value, observable.chain, observable.validity, NULL, NULL, NULL, NULL, NULL, NULL,
                NULL, NULL, NULL, NULL
         FROM sighting JOIN observable ON observable.id = sighting.observable_id AND observable.kind = 'wallet_address'
         JOIN message ON message.id = sighting.record_id {joined}
         UNION ALL
         SELECT {order}, 3, secret.id, secret.kind, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
         FROM secret JOIN message ON message.id = secret.record_id {joined}
         ORDER BY 1, 2 DESC, 3, 4, 5, 6, 7, 8"
    )
}

/// Where the first of what a row has stands in it: after the six of the order, the tag and what sorts rows of one message.
const FIRST: usize = 8;

/// Every chat, message by message.
pub fn conversations(report: &Report, pages: &mut Pages) -> Result<(), Error> {
    let note = "The device's own messages stand to the right. Ids lead back to the evidence with <code>haul explain</code>.";
    let mut writer = Writer {
        report,
        section: pages.section("conversations", note)?,
        number: 0,
        chat: None,
        day: String::new(),
        current: None,
    };
    for source in &report.sources {
        writer.chat = None;
        source.each("", &sql(), &mut |cells| match cells.integer(6) {
            Some(0) => writer.begin(cells),
            Some(tag) => {
                writer.beside(tag, cells);
                Ok(())
            }
            None => Ok(()),
        })?;
        writer.put()?;
    }
    writer.section.finish("No messages.")
}

struct Writer<'r, 'p> {
    report: &'r Report,
    section: Section<'p>,
    /// Number of the chat, as gathered.
    number: i64,
    /// The chat that is being written: exhibit and key.
    chat: Option<(Option<String>, Option<String>)>,
    day: String,
    current: Option<Message>,
}

impl Writer<'_, '_> {
    fn begin(&mut self, cells: &Cells<'_, '_>) -> Result<(), Error> {
        self.put()?;
        let chat = (cells.text(0), cells.text(2));
        if self.chat.as_ref() != Some(&chat) {
            self.chat = Some(chat);
            self.next_chat()?;
        }
        let mask = &self.report.mask;
        let at = |place: usize| cells.words(FIRST + place);
        let text = |place: usize| Markup::maybe(at(place).as_deref(), mask);
        let outgoing = cells.integer(FIRST + 3) == Some(1);
        let name = at(1).or_else(|| at(2));
        let sender = match (name, at(0)) {
            (Some(name), Some(key)) if name != key => format!("{name} ({key})"),
            (Some(name), _) | (None, Some(name)) => name,
            (None, None) => (if outgoing { "this device" } else { "sender not told" }).to_owned(),
        };
        let time = cells.integer(4);
        let day = time.and_then(utc).and_then(|time| time.get(..10).map(str::to_owned)).unwrap_or_default();
        let new_day = day != self.day && !day.is_empty();
        self.day.clone_from(&day);
        // What a message is when it is nothing else.
        let kind = at(7).filter(|kind| kind != "text" && kind != "sms");
        self.current = Some(Message {
            id: cells.text(5).unwrap_or_default(),
            outgoing,
            sender: Markup::text(&sender, mask),
            time: Markup::time(time, at(4).as_deref()),
            state: Markup::state(at(10).as_deref()),
            forwarded: cells.integer(FIRST + 9) == Some(1),
            quoted: text(8),
            subject: text(6),
            text: text(5),
            kind: Markup::maybe(kind.as_deref(), mask),
            day: new_day.then_some(day),
            plain: at(5),
            ..Message::default()
        });
        Ok(())
    }

    /// A row of something that belongs to the message before it.
    fn beside(&mut self, tag: i64, cells: &Cells<'_, '_>) {
        let mask = &self.report.mask;
        let Some(message) = self.current.as_mut().filter(|message| Some(&message.id) == cells.text(5).as_ref()) else { return };
        let id = cells.text(7);
        // One value may stand in a message several times.
        if message.beside_last == id {
            return;
        }
        message.beside_last = id;
        if message.files.len() + message.chips.len() >= CAP_BESIDE {
            message.more += 1;
            return;
        }
        let at = |place: usize| cells.words(FIRST + place);
        let text = |place: usize| Markup::maybe(at(place).as_deref(), mask);
        match tag {
            1 => {
                let name = if at(0).is_some() { text(0) } else { text(1) };
                let size = cells.integer(FIRST + 4).map(super::exhibits::size).unwrap_or_default();
                let digest = at(3).map(|digest| Markup::code(&digest)).unwrap_or_default();
                let lies = match at(6) {
                    Some(path) => Markup::joined(&[Markup::word("in the exhibit:"), Markup::text(&path, mask)], " "),
                    None => Markup::word("file not in the exhibit"),
                };
                let state = Markup::state(at(7).as_deref());
                message.files.push(Markup::joined(&[name, text(2), size, lies, digest, state], " · "));
            }
            2 => {
                message.wallet = true;
                message.chips.push(Markup::joined(&[text(1), text(0), text(2)], " · "));
            }
            _ => {
                // What the scan of the text found but the mask does not (written apart by numbers, say) hides the whole text.
                let plain = message.plain.as_deref().unwrap_or("");
                if !self.report.show_secrets && mask.found(plain).is_empty() {
                    message.text = Markup::text("text masked: it holds a secret", mask);
                }
                message.chips.push(Markup::joined(&[Markup::word("secret"), text(0)], " · "));
            }
        }
    }

    fn put(&mut self) -> Result<(), Error> {
        let Some(message) = self.current.take() else { return Ok(()) };
        if message.wallet {
            // Whoever sent a wallet is linked to from the wallet.
            let page = self.section.page_of_next();
            self.report.scratch.put("INSERT OR REPLACE INTO chat_of VALUES (?1, ?2)", rusqlite::params![message.id, page])?;
        }
        self.section.row(&rendered(&message)?)
    }

    fn next_chat(&mut self) -> Result<(), Error> {
        self.number += 1;
        self.day.clear();
        let page = self.section.page_of_next();
        self.report.scratch.put("UPDATE chat SET page = ?2 WHERE number = ?1", rusqlite::params![self.number, page])?;
        let mut opening = String::new();
        let (number, report) = (self.number, self.report);
        report.scratch.each("SELECT * FROM chat WHERE number = ?1", [number], &mut |row| {
            let chat = Chat::read(row).map_err(failed)?;
            opening = rendered(&Opening {
                number,
                title: Markup::text(&chat.title, &report.mask),
                app: Markup::maybe(chat.app.as_deref(), &report.mask),
                exhibit: Markup::text(report.exhibit(chat.exhibit.as_deref()), &report.mask),
                kind: Markup::maybe(chat.thread_type.as_deref(), &report.mask),
                participants: chat.participants.map(Markup::number).unwrap_or_default(),
                messages: Markup::number(chat.messages),
                first: Markup::time(chat.first, None),
                last: Markup::time(chat.last, None),
            })?;
            Ok(())
        })?;
        self.section.open(opening, "</div>\n")
    }
}

#[derive(Template)]
#[template(path = "report/chat.html")]
struct Opening {
    number: i64,
    title: Markup,
    app: Markup,
    exhibit: Markup,
    kind: Markup,
    participants: Markup,
    messages: Markup,
    first: Markup,
    last: Markup,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_shows_only_what_it_has() {
        let bare = rendered(&Message { id: "ab".to_owned(), ..Message::default() }).unwrap();
        assert!(
            !bare.contains("<p>") && !bare.contains("blockquote") && !bare.contains("out") && bare.contains("id=\"mab\""),
            "{bare}"
        );
        let text = Markup::text("hi", &super::super::mask::Mask::none());
        let full =
            rendered(&Message { outgoing: true, text: text.clone(), files: vec![text], more: 3, ..Message::default() }).unwrap();
        assert!(full.contains("class=\"m out\"") && full.contains("<p><bdi>hi</bdi></p>") && full.contains("3 more"), "{full}");
    }
}
