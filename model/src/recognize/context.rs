//! The text around a find, made safe to print, secrets masked.

use super::Hit;
use super::wide::Wide;
use crate::text::{escape, escape_bytes};

/// Characters (bytes of UTF-8) shown on each side.
pub const SIDE: usize = 40;
/// What stands for a secret.
const MASK: &str = "[secret]";

/// How the bytes of a window are read.
#[derive(Clone, Copy)]
pub enum Reading<'a> {
    /// As they are.
    Bytes(&'a [u8]),
    /// As UTF-16; positions are of units.
    Wide(&'a Wide<'a>),
}

impl Reading<'_> {
    fn len(&self) -> usize {
        match self {
            Reading::Bytes(bytes) => bytes.len(),
            Reading::Wide(wide) => wide.ascii.len(),
        }
    }

    fn escaped(&self, from: usize, to: usize) -> String {
        match self {
            Reading::Bytes(bytes) => escape_bytes(bytes.get(from..to).unwrap_or(&[])),
            Reading::Wide(wide) => escape(&wide.text(from, to)),
        }
    }

    /// Moves a border off the middle of a UTF-8 character, towards `towards`.
    fn whole(&self, mut at: usize, towards: usize) -> usize {
        let Reading::Bytes(bytes) = self else { return at };
        for _ in 0..3 {
            let inside = bytes.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
            if !inside || at == towards {
                break;
            }
            at = if at < towards { at + 1 } else { at - 1 };
        }
        at
    }
}

/// The text from [`SIDE`] before `start` to [`SIDE`] after `end`; every secret in it is masked, the find itself too if it is one.
/// `secrets` are the hits of the window that are secrets, in order of their start.
pub fn around(reading: Reading<'_>, start: usize, end: usize, secrets: &[&Hit]) -> String {
    let from = reading.whole(start.saturating_sub(SIDE), start);
    let to = reading.whole(end.saturating_add(SIDE).min(reading.len()), end);
    let mut out = String::new();
    let mut at = from;
    for secret in secrets.iter().filter(|secret| secret.start < to && secret.end > from) {
        if secret.start > at {
            out.push_str(&reading.escaped(at, secret.start));
        }
        if secret.end > at {
            out.push_str(MASK);
            at = secret.end.min(to);
        }
    }
    if at < to {
        out.push_str(&reading.escaped(at, to));
    }
    out
}
