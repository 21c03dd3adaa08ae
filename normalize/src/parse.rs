//! What is not SQLite, or more than a definition can say: one file a format.

mod berkeley;
mod chat_export;
mod device;
mod document;
mod json_stream;
mod leveldb;
mod lines;
pub(crate) mod mail;
mod node;
mod picture;
pub mod store;
mod telegram_config;
mod telegram_desktop;
mod telegram_export;
mod telegram_html;
mod telegram_locked;
mod ufdr;
mod vcard;
pub mod wallet;
mod whatsapp_owner;
mod whatsapp_text;
mod wifi;
mod xml;

use crate::emit::Emit;
use model::{Code, ItemStatus, WorkUnit};
use std::path::Path;

/// The item to parse, as the child process sees it.
pub struct Input<'a> {
    /// The unit of work.
    pub unit: &'a WorkUnit,
    /// Scratch folder: holds the content as `main`, companions as `main-wal` and `main-journal`, and nothing else.
    pub folder: &'a Path,
    /// First bytes of the content (up to 64 KiB).
    pub head: &'a [u8],
    /// All of it, where it came through the pipe: the file is there only for a parser that is not [`Parser::reads_whole`].
    pub whole: Option<&'a [u8]>,
    /// Limits.
    pub limits: &'a config::Normalize,
}

impl Input<'_> {
    /// The whole content, for formats whose files are small. One of more than `most` bytes, or one that cannot be read, is told as a
    /// problem, and how the parser ends is given.
    ///
    /// # Errors
    /// That outcome.
    pub fn content(&self, most: u64, what: &str, emit: &mut Emit<'_>) -> Result<Vec<u8>, Outcome> {
        let size = self.unit.primary.item.size_bytes;
        if size > most {
            emit.problem(Code::CapValue, format!("a {what} of {size} bytes"));
            return Err(Outcome::partial(format!("larger than any {what}")));
        }
        if let Some(whole) = self.whole {
            return Ok(whole.to_vec());
        }
        std::fs::read(self.folder.join("main")).map_err(|error| {
            let detail = format!("reading failed: {}", error.kind());
            emit.problem(Code::Unreadable, detail.clone());
            Outcome::partial(detail)
        })
    }
}

/// How a parser ended.
#[derive(Clone, PartialEq, Debug)]
pub struct Outcome {
    /// The item's status.
    pub status: ItemStatus,
    /// Why, if it is not `parsed` or `plain`.
    pub reason: Option<String>,
}

impl Outcome {
    /// Read to its end.
    pub fn parsed() -> Outcome {
        Outcome { status: ItemStatus::Parsed, reason: None }
    }

    /// Nothing reads more from it than the scans do.
    pub fn plain() -> Outcome {
        Outcome { status: ItemStatus::Plain, reason: None }
    }

    /// Read in part.
    pub fn partial(reason: impl Into<String>) -> Outcome {
        Outcome { status: ItemStatus::Partial, reason: Some(reason.into()) }
    }

    /// Encrypted: the reason says which key is wanted (`needs the wallet's password`).
    pub fn locked(reason: impl Into<String>) -> Outcome {
        Outcome { status: ItemStatus::Locked, reason: Some(reason.into()) }
    }

    /// Could not be read.
    pub fn failed(reason: impl Into<String>) -> Outcome {
        Outcome { status: ItemStatus::Failed, reason: Some(reason.into()) }
    }
}

/// One parser.
pub trait Parser: Sync {
    /// Its name, as in `definition.name`.
    fn name(&self) -> &'static str;
    /// Its version: changes whenever the same evidence would give other records.
    fn version(&self) -> u32;
    /// Whether the content is its format: by content first (`head`), by name second. The folder may be empty still.
    fn identify(&self, input: &Input<'_>) -> bool;
    /// Whether it takes the content from [`Input::content`] and never from the folder: a small one is then no file.
    fn reads_whole(&self) -> bool {
        false
    }
    /// Reads the content. What goes wrong becomes problems; the outcome says how far it came.
    fn parse(&self, input: &Input<'_>, emit: &mut Emit<'_>) -> Outcome;
}

/// Every parser, the most particular first.
pub const PARSERS: &[&dyn Parser] = &[
    &telegram_export::TelegramExport,
    &chat_export::META,
    &chat_export::DISCORD,
    &chat_export::DISCORD_PACKAGE,
    &chat_export::SLACK,
    &chat_export::ANDROID,
    &ufdr::Ufdr,
    &vcard::Vcard,
    &mail::Mail,
    &mail::pst::Pst,
    &wallet::Wallet,
    &wallet::bitcoin::BitcoinCore,
    &wallet::bitcoin::Bitcoinj,
    &leveldb::LevelDb,
    &whatsapp_owner::WhatsappOwner,
    &whatsapp_text::WhatsappText,
    &telegram_config::TelegramConfig,
    &telegram_desktop::TelegramDesktop,
    &telegram_locked::TelegramLocked,
    &device::IosDevice,
    &wifi::WifiApple,
    &wifi::WifiAndroid,
    &device::AndroidProperties,
    &device::AndroidSettings,
    &device::AndroidPersistent,
    &device::AndroidDump,
    &device::Ufed,
    &telegram_html::TelegramHtml,
    &document::Html,
    &document::OfficeXml,
    &document::Rtf,
    &document::pdf::PdfDocument,
    &document::ole::Ole,
    &picture::Picture,
    &store::Preferences,
    &store::PropertyList,
    &store::Realm,
    &store::Mmkv,
];
