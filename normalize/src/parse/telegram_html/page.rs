//! What stands in a page of an export, by the classes of its elements.

use html5gum::emitters::callback::{CallbackEmitter, CallbackEvent};
use html5gum::{Span, Tokenizer};
use std::convert::Infallible;

/// Elements whose ends are followed; others have no text of their own here.
const FOLLOWED: [&str; 3] = ["div", "a", "span"];
/// Elements that are looked through for the one that an end tag ends.
const UNWOUND_MOST: usize = 64;

/// A page.
#[derive(Default)]
pub struct Page {
    /// Name of the chat.
    pub chat: Option<String>,
    /// Its messages, in the order of the page.
    pub messages: Vec<Found>,
    /// Whether it ends inside a message.
    pub cut: bool,
}

/// A message as it stands there.
#[derive(Default)]
pub struct Found {
    pub offset: usize,
    pub length: usize,
    pub id: Option<String>,
    pub service: bool,
    pub joined: bool,
    pub name: Option<String>,
    pub date: Option<String>,
    pub text: Option<String>,
    pub reply: Option<String>,
    pub forwarded: bool,
    pub origin: Option<String>,
    pub origin_date: Option<String>,
    /// File in the folder of the export.
    pub path: Option<String>,
    /// `photo_wrap`, `media_voice_message`, …
    pub media_class: Option<String>,
    pub title: Option<String>,
    pub status: Option<String>,
    pub signature: Option<String>,
    /// Where links in the text lead to.
    pub links: Vec<String>,
}

impl Found {
    /// The word for the kind of the message.
    pub fn kind(&self) -> &'static str {
        match self.media_class.as_deref() {
            None => "text",
            Some("photo_wrap" | "media_photo") => "image",
            Some("video_file_wrap" | "media_video") => "video_file",
            Some("animated_wrap") => "animation",
            Some("sticker_wrap") => "sticker",
            Some("media_voice_message") => "voice_message",
            Some("media_audio_file") => "audio_file",
            Some("media_call") => "call",
            Some("media_contact") => "contact",
            Some("media_location" | "media_live_location" | "media_venue") => "location",
            Some("media_poll") => "poll",
            Some("media_game") => "game",
            Some("media_invoice") => "invoice",
            Some(_) => "file",
        }
    }
}

impl Found {
    /// Whether its media are a file, saved or not.
    pub fn is_file(&self) -> bool {
        let files = ["image", "video_file", "animation", "sticker", "voice_message", "audio_file", "file"];
        files.contains(&self.kind())
    }
}

/// What an element is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Other,
    Header,
    Message,
    Forwarded,
    Date,
    Name,
    Text,
    Title,
    Status,
    Signature,
}

/// The element whose start tag is being read.
#[derive(Default)]
struct Start {
    name: String,
    attribute: String,
    class: String,
    id: String,
    title: String,
    href: String,
    offset: usize,
}

#[derive(Default)]
struct Walk {
    page: Page,
    stack: Vec<(u8, Role)>,
    start: Start,
    now: Option<Found>,
    header: String,
    /// Text of the innermost element with a role that has one.
    held: String,
}

impl Page {
    /// Reads a page.
    pub fn read(text: &str) -> Page {
        let mut walk = Walk::default();
        let callback = |event: CallbackEvent<'_>, span: Span<usize>| -> Option<Infallible> {
            walk.take(&event, span);
            None
        };
        let mut emitter = CallbackEmitter::<_, Infallible, usize>::new(callback);
        emitter.naively_switch_states(true);
        let Ok(()) = Tokenizer::new_with_emitter(text, emitter).finish();
        walk.page.cut = walk.now.is_some();
        while walk.now.is_some() && !walk.stack.is_empty() {
            walk.leave(text.len());
        }
        walk.page.chat = trimmed(&walk.header);
        walk.page
    }
}

/// Text without the white space around it; `None` where nothing else is there.
fn trimmed(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

impl Walk {
    fn take(&mut self, event: &CallbackEvent<'_>, span: Span<usize>) {
        match event {
            CallbackEvent::OpenStartTag { name } => {
                self.start = Start { name: String::from_utf8_lossy(name).into_owned(), offset: span.start, ..Start::default() };
            }
            CallbackEvent::AttributeName { name } => self.start.attribute = String::from_utf8_lossy(name).into_owned(),
            CallbackEvent::AttributeValue { value } => {
                let value = String::from_utf8_lossy(value).into_owned();
                match self.start.attribute.as_str() {
                    "class" => self.start.class = value,
                    "id" => self.start.id = value,
                    "title" => self.start.title = value,
                    "href" => self.start.href = value,
                    _ => {}
                }
            }
            CallbackEvent::CloseStartTag { .. } => self.enter(),
            CallbackEvent::EndTag { name } => self.end(&String::from_utf8_lossy(name), span.end),
            CallbackEvent::String { value } => self.text(&String::from_utf8_lossy(value)),
            _ => {}
        }
    }

    fn role(&self) -> Role {
        let classes: Vec<&str> = self.start.class.split_ascii_whitespace().collect();
        let has = |class: &str| classes.contains(&class);
        if self.now.is_none() {
            let message = has("message") && (has("default") || has("service"));
            return match () {
                () if message => Role::Message,
                () if has("text") && has("bold") => Role::Header,
                () => Role::Other,
            };
        }
        match () {
            () if has("forwarded") && has("body") => Role::Forwarded,
            () if has("date") && has("details") => Role::Date,
            () if has("from_name") => Role::Name,
            () if has("text") => Role::Text,
            () if has("body") && has("details") => Role::Text,
            () if has("title") && has("bold") => Role::Title,
            () if has("status") && has("details") => Role::Status,
            () if has("signature") => Role::Signature,
            () => Role::Other,
        }
    }

    fn enter(&mut self) {
        if self.start.name == "br" {
            return self.text("\n");
        }
        let Some(number) = FOLLOWED.iter().position(|name| *name == self.start.name) else { return };
        let role = self.role();
        self.stack.push((u8::try_from(number).unwrap_or(u8::MAX), role));
        let start = std::mem::take(&mut self.start);
        if role == Role::Message {
            let has = |class: &str| start.class.split_ascii_whitespace().any(|known| known == class);
            let id = start.id.strip_prefix("message").map(str::to_owned);
            self.now =
                Some(Found { offset: start.offset, id, service: has("service"), joined: has("joined"), ..Found::default() });
        }
        if role != Role::Other && role != Role::Message && role != Role::Forwarded && role != Role::Date {
            self.held.clear();
        }
        let forwarded = self.stack.iter().rev().take(UNWOUND_MOST).any(|(_, role)| *role == Role::Forwarded);
        let in_text = self.stack.iter().rev().take(UNWOUND_MOST).any(|(_, role)| *role == Role::Text);
        let Some(now) = &mut self.now else { return };
        now.forwarded |= forwarded;
        if role == Role::Date && !start.title.is_empty() {
            let date = if forwarded { &mut now.origin_date } else { &mut now.date };
            date.get_or_insert_with(|| start.title.trim().to_owned());
        }
        if let Some(id) = start.href.strip_prefix("#go_to_message") {
            now.reply.get_or_insert_with(|| id.to_owned());
        } else if start.href.contains("#go_to_message") {
            now.reply.get_or_insert_with(|| start.href.rsplit("#go_to_message").next().unwrap_or_default().to_owned());
        } else if !start.href.is_empty() && in_text {
            now.links.push(start.href.clone());
        }
        let kind = start.class.split_ascii_whitespace().find(|class| {
            *class != "media_wrap"
                && (class.starts_with("media_")
                    || matches!(*class, "photo_wrap" | "video_file_wrap" | "animated_wrap" | "sticker_wrap"))
        });
        if let Some(kind) = kind {
            now.media_class.get_or_insert_with(|| kind.to_owned());
            // A place or page that media lead to is no file of the export.
            if start.href.contains("://") {
                now.links.push(start.href);
            } else if !start.href.is_empty() {
                now.path.get_or_insert(start.href);
            }
        }
    }

    fn end(&mut self, name: &str, at: usize) {
        let Some(number) = FOLLOWED.iter().position(|known| *known == name) else { return };
        let open = self.stack.iter().rev().take(UNWOUND_MOST).position(|(known, _)| usize::from(*known) == number);
        for _ in 0..open.map_or(0, |depth| depth + 1) {
            self.leave(at);
        }
    }

    /// Ends the innermost element.
    fn leave(&mut self, at: usize) {
        let Some((_, role)) = self.stack.pop() else { return };
        let forwarded = self.stack.iter().rev().take(UNWOUND_MOST).any(|(_, role)| *role == Role::Forwarded);
        let Some(now) = &mut self.now else { return };
        let field = match role {
            Role::Message => {
                now.length = at.saturating_sub(now.offset);
                self.page.messages.extend(self.now.take());
                return;
            }
            Role::Name if forwarded => &mut now.origin,
            Role::Name => &mut now.name,
            Role::Text => &mut now.text,
            Role::Title => &mut now.title,
            Role::Status => &mut now.status,
            Role::Signature => &mut now.signature,
            Role::Other | Role::Header | Role::Forwarded | Role::Date => return,
        };
        // A message has one text; were there two, both are kept.
        if let Some(text) = trimmed(&std::mem::take(&mut self.held)) {
            match field {
                Some(before) => *before = format!("{before}\n{text}"),
                None => *field = Some(text),
            }
        }
    }

    fn text(&mut self, text: &str) {
        let speaks = |role: Role| !matches!(role, Role::Other | Role::Message | Role::Forwarded);
        match self.stack.iter().rev().take(UNWOUND_MOST).map(|(_, role)| *role).find(|role| speaks(*role)) {
            Some(Role::Header) if self.page.messages.is_empty() => self.header.push_str(text),
            Some(Role::Date) | None | Some(Role::Header) => {}
            Some(_) => self.held.push_str(text),
        }
    }
}
