//! WhatsApp's text export (`_chat.txt`, `WhatsApp Chat with Name.txt`), Android and iOS style, any locale.
//!
//! Times are wall times of the exporting phone: no zone is known, and whether `2/3/24` is in February or March only if another
//! date of the file decides it. Both readings are then kept. A line inside a message that looks like a header cannot be told
//! apart from one (WhatsApp escapes nothing); where the dates are known, a message dated before its predecessor is marked
//! `out_of_order`, which such a forged line, but also a late delivery, leaves behind.

use crate::emit::Emit;
use crate::parse::lines::{Line, Lines, encoding};
use crate::parse::{Input, Outcome, Parser};
use header::{Header, Order, header, is_mark};
use model::record::{Attachment, Message, Record, Thread};
use model::{Code, Locator, Stamp};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader};

mod header;

const APP: &str = "WhatsApp";
/// Lines looked at to identify a file whose name says nothing.
const LINES_SHOWN: usize = 20;
/// Headers that such a file has at least among them.
const HEADERS_LEAST: usize = 3;
/// What Android writes behind the name of a file, in the languages met; other files are known by WhatsApp's own names.
const FILE_ATTACHED: [&str; 12] = [
    "file attached",
    "Datei angehängt",
    "archivo adjunto",
    "fichier joint",
    "arquivo anexado",
    "file allegato",
    "bestand bijgevoegd",
    "dosya ekli",
    "файл добавлен",
    "ficheiro anexado",
    "文件附件",
    "الملف مرفق",
];
/// What stands before and behind the chat's name in the name of an export, in the languages met.
const NAMED: [(&str, &str); 14] = [
    ("WhatsApp Chat with ", ""),
    ("WhatsApp Chat - ", ""),
    ("WhatsApp-Chat mit ", ""),
    ("WhatsApp Chat mit ", ""),
    ("Chat de WhatsApp con ", ""),
    ("Conversa do WhatsApp com ", ""),
    ("Discussion WhatsApp avec ", ""),
    ("Chat WhatsApp con ", ""),
    ("Chat WhatsApp dengan ", ""),
    ("WhatsApp-chat met ", ""),
    ("Чат WhatsApp с контактом ", ""),
    ("与", "的 WhatsApp 聊天"),
    ("與", "的 WhatsApp 對話"),
    ("محادثة واتساب مع ", ""),
];
/// How a deleted message reads, without marks and full stop.
const DELETED: [&str; 8] = [
    "This message was deleted",
    "You deleted this message",
    "Diese Nachricht wurde gelöscht",
    "Du hast diese Nachricht gelöscht",
    "Se eliminó este mensaje",
    "Eliminaste este mensaje",
    "Mensagem apagada",
    "Ce message a été supprimé",
];
/// What follows the text of an edited message.
const EDITED: &str = "<This message was edited>";
/// Words that stand in a log where a chat has names.
const LOG_WORDS: [&str; 12] =
    ["INFO", "WARN", "WARNING", "ERROR", "DEBUG", "TRACE", "FATAL", "NOTICE", "CRITICAL", "SEVERE", "EXCEPTION", "VERBOSE"];

/// The parser.
pub struct WhatsappText;

impl Parser for WhatsappText {
    fn name(&self) -> &'static str {
        "whatsapp_text"
    }

    fn version(&self) -> u32 {
        1
    }

    fn identify(&self, input: &Input<'_>) -> bool {
        let name = String::from_utf8_lossy(&input.unit.primary.name).to_lowercase();
        name.ends_with(".txt") && looks_like_chat(input.head, name == "_chat.txt" || name.contains("whatsapp"))
    }

    fn parse(&self, input: &Input<'_>, emit: &mut Emit<'_>) -> Outcome {
        let cap = usize::try_from(input.limits.cap_value_bytes).unwrap_or(usize::MAX);
        let open = || Lines::new(BufReader::with_capacity(256 << 10, File::open(input.folder.join("main"))?), cap);
        let read = open().and_then(Survey::of).and_then(|survey| read(open()?, survey, cap, emit));
        match read {
            Ok(()) => Outcome::parsed(),
            Err(error) => {
                let detail = format!("reading failed: {}", error.kind());
                emit.problem(Code::Unreadable, detail.clone());
                Outcome::partial(detail)
            }
        }
    }
}

/// Whether the first lines are those of a chat. A telling name needs one header; else there must be several, and names.
fn looks_like_chat(head: &[u8], named: bool) -> bool {
    let (encoding, mark) = encoding(head);
    let content = head.get(mark..).unwrap_or_default();
    let text = crate::find::row::text(content.get(..content.len().min(16 << 10)).unwrap_or_default(), encoding);
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).take(LINES_SHOWN).collect();
    let headers: Vec<_> = lines.iter().filter_map(|line| header(line)).collect();
    if named {
        return !headers.is_empty();
    }
    let senders = headers.iter().filter_map(|header| header.sender);
    let logs = senders.clone().filter(|name| LOG_WORDS.iter().any(|word| name.to_uppercase().ends_with(word))).count();
    lines.first().is_some_and(|line| header(line).is_some())
        && headers.len() >= HEADERS_LEAST
        && headers.len() * 2 >= lines.len()
        && senders.count() * 2 > headers.len()
        && logs == 0
        && !headers.iter().any(Header::like_a_log)
}

/// The first reading: how many headers there are, and in which orders every date is one.
struct Survey {
    headers: u64,
    /// Whether the first header has seconds as a log has: only then have the others.
    like_a_log: bool,
    preface: u64,
    orders: BTreeSet<Order>,
    bytes: u64,
}

impl Survey {
    fn of(mut lines: Lines<BufReader<File>>) -> io::Result<Survey> {
        let orders = [Order::Dmy, Order::Mdy, Order::Ymd].into();
        let mut survey = Survey { headers: 0, like_a_log: false, preface: 0, orders, bytes: 0 };
        while let Some(line) = lines.next()? {
            survey.bytes = line.offset + line.length;
            match survey.header(&line.text) {
                Some(header) => {
                    survey.like_a_log = header.like_a_log();
                    survey.headers += 1;
                    let fits = header.written.orders();
                    survey.orders.retain(|order| fits.contains(order));
                }
                None if survey.headers == 0 => survey.preface += 1,
                None => {}
            }
        }
        Ok(survey)
    }

    /// The header of a line. One phone wrote the file, in one style: a line with a log's seconds among headers without is one that
    /// somebody pasted into a message.
    fn header<'l>(&self, line: &'l str) -> Option<Header<'l>> {
        header(line).filter(|header| self.headers == 0 || header.bracketed || header.like_a_log() == self.like_a_log)
    }
}

/// A message while its lines come in.
struct Draft {
    line: u64,
    offset: u64,
    end: u64,
    raw: String,
    sender: Option<String>,
    text: String,
    local: Option<String>,
    candidates: Vec<String>,
}

/// What the messages of a file share.
struct Reading<'r, 'e> {
    emit: &'r mut Emit<'e>,
    thread: String,
    order: Option<Order>,
    orders: BTreeSet<Order>,
    /// Wall time of the message before.
    last: Option<String>,
    cap: usize,
    messages: u64,
    attachments: u64,
}

/// The second reading: puts thread and messages.
fn read(mut lines: Lines<BufReader<File>>, survey: Survey, cap: usize, emit: &mut Emit<'_>) -> io::Result<()> {
    let item = &emit.unit().primary.item;
    let (thread, name) = thread_of(&item.path);
    let order = survey.orders.first().copied().filter(|_| survey.orders.len() == 1);
    if order.is_none() && survey.headers > 0 {
        let orders: Vec<_> = survey.orders.iter().map(|order| order.name()).collect();
        let detail =
            if orders.is_empty() { "no one order fits all dates".to_owned() } else { format!("dates fit {}", orders.join(", ")) };
        emit.problem(Code::DateAmbiguous, detail);
    }
    let orders = if survey.orders.is_empty() { [Order::Dmy, Order::Mdy, Order::Ymd].into() } else { survey.orders.clone() };
    let whole = Locator::Bytes { offset: 0, length: survey.bytes };
    let record = Thread {
        provenance: emit.provenance(whole),
        app: APP.to_owned(),
        thread_key: thread.clone(),
        name,
        thread_type: None,
        created: None,
        implied: false,
    };
    let put = emit.record(Record::Thread(record));
    emit.ledger("chat", "thread", None, 1, u64::from(put), None);
    let mut reading = Reading { emit, thread, order, orders, last: None, cap, messages: 0, attachments: 0 };
    let mut draft: Option<Draft> = None;
    while let Some(line) = lines.next()? {
        reading.check(&line);
        match survey.header(&line.text) {
            Some(header) => {
                let next = reading.draft(&header, &line);
                if let Some(done) = draft.replace(next) {
                    reading.put(done);
                }
            }
            None => {
                if let Some(draft) = &mut draft {
                    draft.end = line.offset + line.length;
                    if draft.text.len() + line.text.len() < reading.cap {
                        draft.text.push('\n');
                        draft.text.push_str(&line.text);
                    } else {
                        reading
                            .emit
                            .problem(Code::CapValue, format!("message at line {}: its text goes on past the cap", draft.line));
                    }
                }
            }
        }
    }
    if let Some(done) = draft {
        reading.put(done);
    }
    reading.ledger(&survey);
    Ok(())
}

impl Reading<'_, '_> {
    fn check(&mut self, line: &Line) {
        if !line.valid {
            self.emit.problem(Code::TextInvalid, format!("line {}: bytes that are no text", line.number));
        }
        if line.cut {
            self.emit.problem(Code::CapValue, format!("line {}: {} bytes", line.number, line.length));
        }
    }

    fn draft(&self, header: &Header<'_>, line: &Line) -> Draft {
        let mut candidates: Vec<_> = self.orders.iter().filter_map(|order| header.written.local(*order)).collect();
        candidates.dedup();
        Draft {
            line: line.number,
            offset: line.offset,
            end: line.offset + line.length,
            raw: header.raw.to_owned(),
            sender: header.sender.map(str::to_owned),
            text: header.text.to_owned(),
            local: self.order.and_then(|order| header.written.local(order)),
            candidates,
        }
    }

    /// Puts a message and the file it names.
    fn put(&mut self, draft: Draft) {
        let place = Locator::Line { line: draft.line, offset: draft.offset, length: draft.end - draft.offset };
        let mut extra = Map::new();
        if let Some(order) = self.order {
            extra.insert("date_order".to_owned(), order.name().into());
        }
        match &draft.local {
            Some(local) => {
                extra.insert("local_time".to_owned(), local.as_str().into());
                if self.last.as_ref().is_some_and(|last| local < last) {
                    extra.insert("out_of_order".to_owned(), true.into());
                }
                self.last = Some(local.clone());
            }
            None if !draft.candidates.is_empty() => {
                extra.insert("date_candidates".to_owned(), draft.candidates.clone().into());
            }
            None => {}
        }
        let said = Said::of(&draft.text);
        let message_type = match (&draft.sender, &said.media) {
            (None, _) => "system",
            (_, Some(_)) => "media",
            _ => "text",
        };
        let message = Message {
            provenance: self.emit.provenance(place.clone()),
            app: APP.to_owned(),
            thread_key: Some(self.thread.clone()),
            sender: draft.sender.clone(),
            recipient: None,
            outgoing: None,
            sent: Some(Stamp::text(draft.raw, None)),
            received: None,
            edited: None,
            text: Some(draft.text),
            subject: None,
            message_type: Some(message_type.to_owned()),
            message_key: None,
            quoted_key: None,
            quoted_text: None,
            quoted_sender: None,
            forwarded: None,
            status: said.status.map(str::to_owned),
            extra: (!extra.is_empty()).then(|| Value::Object(extra).to_string()),
        };
        self.messages += u64::from(self.emit.record(Record::Message(Box::new(message))));
        if let (Some(path), true) = (said.media, draft.sender.is_some()) {
            let attachment = Attachment {
                provenance: self.emit.provenance(place.clone()),
                message: place,
                path,
                media_type: None,
                sha256: None,
                size_bytes: None,
                name: None,
                url: None,
            };
            self.attachments += u64::from(self.emit.record(Record::Attachment(attachment)));
        }
    }

    /// Every line is a header, goes on with a message, or comes before the first header.
    fn ledger(&mut self, survey: &Survey) {
        self.emit.ledger("messages", "message", None, survey.headers, self.messages, None);
        if self.attachments > 0 {
            self.emit.ledger("media", "attachment", None, self.attachments, self.attachments, None);
        }
        if survey.preface > 0 {
            let reason = format!("before the first message {}", survey.preface);
            self.emit.problem(Code::RowRejected, format!("{} lines come before the first message", survey.preface));
            self.emit.ledger("lines", "message", None, survey.preface, 0, Some(reason));
        }
    }
}

/// Key and name of a chat: the name of its file, or of the folder or archive it lies in where every chat has the same name.
fn thread_of(path: &str) -> (String, Option<String>) {
    let mut parts = path.rsplit('/');
    let file = parts.next().unwrap_or(path);
    let stem = match file.strip_suffix(".txt").or_else(|| file.strip_suffix(".TXT")).unwrap_or(file) {
        "_chat" => parts.next().filter(|folder| !folder.is_empty()).unwrap_or(file),
        stem => stem,
    };
    let stem = stem.strip_suffix(".zip").unwrap_or(stem);
    let name = NAMED.iter().find_map(|(before, after)| stem.strip_prefix(before)?.strip_suffix(after));
    (stem.to_owned(), name.map(str::to_owned))
}

/// What a text says beside its words: a file (its name where it was exported) and a state.
#[derive(Default)]
struct Said {
    media: Option<Option<String>>,
    status: Option<&'static str>,
}

impl Said {
    fn of(text: &str) -> Said {
        let plain: String = text.chars().filter(|character| !is_mark(*character)).collect();
        let plain = plain.trim();
        let marked = text.starts_with('\u{200e}');
        let first = plain.lines().next().unwrap_or("").trim();
        let mut said = Said::default();
        if DELETED.contains(&plain.trim_end_matches('.')) {
            said.status = Some("deleted");
        } else if plain.ends_with(EDITED) {
            said.status = Some("edited");
        }
        if let Some(inner) = first.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')) {
            // iOS: `<attached: name>`; Android: `<Media omitted>`, alone.
            let file = inner.split_once(": ").map(|(_, name)| name.trim()).filter(|name| name.contains('.'));
            if let Some(name) = file {
                said.media = Some(Some(name.to_owned()));
            } else if first == plain && inner.chars().count() <= 40 && said.status.is_none() && !inner.contains(['<', '/', '=']) {
                said.media = Some(None);
            }
        } else if let Some((name, words)) = first.strip_suffix(')').and_then(|rest| rest.rsplit_once(" (")) {
            let own = ["IMG-", "VID-", "PTT-", "AUD-", "DOC-", "STK-"].iter().any(|prefix| name.starts_with(prefix))
                && name.contains("-WA");
            if name.contains('.') && (own || FILE_ATTACHED.contains(&words)) {
                said.media = Some(Some(name.to_owned()));
            }
        } else if marked && plain == first && first.ends_with(" omitted") {
            said.media = Some(None);
        }
        said
    }
}

#[cfg(test)]
mod tests;
