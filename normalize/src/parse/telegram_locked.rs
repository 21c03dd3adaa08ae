//! What Telegram encrypts: the Postbox database of macOS and of new builds of iOS (SQLCipher), and the key file of Telegram Desktop's
//! `tdata`. That they are there, and which key they want, is told.

use crate::emit::Emit;
use crate::parse::{Input, Outcome, Parser};

/// First bytes of every file of `tdata`.
const TDF: &[u8] = b"TDF$";
/// Bytes of the smallest page that SQLCipher encrypts.
const PAGE_LEAST: u64 = 512;

/// The parser.
pub struct TelegramLocked;

/// What is encrypted.
enum Kind {
    Postbox,
    Desktop,
}

fn kind(input: &Input<'_>) -> Option<Kind> {
    let item = &input.unit.primary.item;
    let path = item.path.replace('\\', "/").to_ascii_lowercase();
    if path.ends_with("postbox/db/db_sqlite") && item.size_bytes >= PAGE_LEAST {
        return Some(Kind::Postbox);
    }
    let name = input.unit.primary.name.to_ascii_lowercase();
    (input.head.starts_with(TDF) && (name == b"key_data" || name == b"key_datas")).then_some(Kind::Desktop)
}

impl Parser for TelegramLocked {
    fn name(&self) -> &'static str {
        "telegram_locked"
    }

    fn version(&self) -> u32 {
        1
    }

    fn identify(&self, input: &Input<'_>) -> bool {
        kind(input).is_some()
    }

    fn parse(&self, input: &Input<'_>, _: &mut Emit<'_>) -> Outcome {
        match kind(input) {
            Some(Kind::Postbox) => Outcome::locked("needs the key in .tempkeyEncrypted of Telegram's folder"),
            Some(Kind::Desktop) => Outcome::locked(
                "needs the local passcode of Telegram Desktop, which is empty unless one was set; it holds accounts, no messages",
            ),
            None => Outcome::plain(),
        }
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
        for scratch in [Scratch::new(path, &[0x5a; 4096]), Scratch::new("tdata/key_datas", b"TDF$\x8a\x7e\x4c\x00")] {
            let bodies = scratch.parse(&TelegramLocked);
            let locked =
                |body: &Body| matches!(body, Body::Item(item) if item.status == ItemStatus::Locked && item.reason.is_some());
            assert!(bodies.iter().any(locked));
        }
        assert!(!Scratch::new(path, b"").identified(&TelegramLocked));
        assert!(!Scratch::new("tdata/settingss", b"TDF$").identified(&TelegramLocked));
    }
}
