//! What Telegram encrypts: the Postbox database of macOS and of new builds of iOS (SQLCipher). That it is there, and which key it wants, is told.

use crate::emit::Emit;
use crate::parse::{Input, Outcome, Parser};

/// Bytes of the smallest page that SQLCipher encrypts.
const PAGE_LEAST: u64 = 512;

/// The parser.
pub struct TelegramLocked;

impl Parser for TelegramLocked {
    fn name(&self) -> &'static str {
        "telegram_locked"
    }

    fn version(&self) -> u32 {
        2
    }

    fn identify(&self, input: &Input<'_>) -> bool {
        let item = &input.unit.primary.item;
        let path = item.path.replace('\\', "/").to_ascii_lowercase();
        path.ends_with("postbox/db/db_sqlite") && item.size_bytes >= PAGE_LEAST
    }

    fn parse(&self, _: &Input<'_>, _: &mut Emit<'_>) -> Outcome {
        Outcome::locked("needs the key in .tempkeyEncrypted of Telegram's folder")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Scratch;
    use model::{Body, ItemStatus};

    #[test]
    fn what_is_encrypted_says_which_key_it_wants() {
        let path = "Users/dara/Library/Group Containers/x.keepcoder.Telegram/stable/account-1/postbox/db/db_sqlite";
        let bodies = Scratch::new(path, &[0x5a; 4096]).parse(&TelegramLocked);
        let locked = |body: &Body| matches!(body, Body::Item(item) if item.status == ItemStatus::Locked && item.reason.is_some());
        assert!(bodies.iter().any(locked));
        assert!(!Scratch::new(path, b"").identified(&TelegramLocked));
        assert!(!Scratch::new("tdata/settingss", b"TDF$").identified(&TelegramLocked));
    }
}
