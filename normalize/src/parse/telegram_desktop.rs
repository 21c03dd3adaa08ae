//! Telegram Desktop: whose accounts a `tdata` folder holds, out of the decrypted file of each account (block `dbiMtpAuthorization`): the user's id,
//! the data centre, and the keys that log in. Everything else of the account lies with Telegram.
//!
//! Format: `Telegram/SourceFiles/main/main_account.cpp` of tdesktop, `Account::serializeMtpAuthorization`: a QDataStream, big endian.

use crate::decode::base64;
use crate::emit::Emit;
use crate::parse::{Input, Outcome, Parser};
use model::observable::SecretKind;
use model::record::{Account, Record};
use model::{Code, Locator};

/// The block's number.
const AUTHORIZATION: u32 = 0x4b;
/// Bytes of the block's number and length.
const HEAD: usize = 8;
/// Bytes of a key that logs in.
const KEY: usize = 256;
/// Bytes of such a block at most: there are five data centres and a few keys that are given up.
const BYTES_MAX: u64 = 1 << 20;

/// The parser.
pub struct TelegramDesktop;

impl Parser for TelegramDesktop {
    fn name(&self) -> &'static str {
        "telegram_desktop"
    }

    fn version(&self) -> u32 {
        1
    }

    fn identify(&self, input: &Input<'_>) -> bool {
        let size = input.unit.primary.item.size_bytes;
        let mut fields = Fields { bytes: input.head, at: 0 };
        let length = |fields: &mut Fields<'_>| fields.number().map(u64::from);
        size <= BYTES_MAX
            && fields.number() == Some(AUTHORIZATION)
            && length(&mut fields).is_some_and(|length| length.saturating_add(HEAD as u64) == size)
            && Owner::read(&mut fields).is_some()
    }

    fn parse(&self, input: &Input<'_>, emit: &mut Emit<'_>) -> Outcome {
        let content = match input.content(BYTES_MAX, "block of an account", emit) {
            Ok(content) => content,
            Err(outcome) => return outcome,
        };
        let mut fields = Fields { bytes: &content, at: HEAD };
        let Some(owner) = Owner::read(&mut fields) else {
            emit.problem(Code::DocumentDamaged, "the account's block ends before its user");
            return Outcome::partial("no user");
        };
        let place = Locator::Bytes { offset: HEAD as u64, length: (fields.at - HEAD) as u64 };
        let account = Account {
            provenance: emit.provenance(place),
            app: "Telegram".to_owned(),
            account_key: owner.user.to_string(),
            display_name: None,
            is_owner: Some(true),
            same_as: None,
            phone: None,
            phone_raw: None,
            about: None,
            chain: None,
            extra: Some(serde_json::json!({ "told_by": "tdata", "main_dc": owner.main_dc }).to_string()),
        };
        // A folder that was set up and never logged in has an account without a user.
        let put = if owner.user == 0 { 0 } else { u64::from(emit.record(Record::Account(account))) };
        emit.ledger("user", "account", None, 1, put, (put == 0).then(|| "no user is logged in 1".to_owned()));
        let whole = keys(&mut fields, &owner, "in use", emit) && keys(&mut fields, &owner, "given up", emit);
        if !whole {
            let detail = format!("the account's keys end at byte {}", fields.at);
            emit.problem(Code::Truncated, detail.clone());
            return Outcome::partial(detail);
        }
        Outcome::parsed()
    }
}

/// Puts a list of keys; false where it ends early.
fn keys(fields: &mut Fields<'_>, owner: &Owner, what: &str, emit: &mut Emit<'_>) -> bool {
    let Some(count) = fields.number() else { return false };
    for _ in 0..count {
        let (Some(centre), offset) = (fields.number(), fields.at as u64) else { return false };
        let Some(key) = fields.take(KEY) else { return false };
        let detail = format!("Telegram {} data centre {centre}, {what}", owner.user);
        let place = Locator::Bytes { offset, length: KEY as u64 };
        emit.secret(SecretKind::AuthToken, base64::hex(key), &detail, "auth_key", &place);
    }
    true
}

/// Who the account is of.
struct Owner {
    user: u64,
    main_dc: u32,
}

impl Owner {
    fn read(fields: &mut Fields<'_>) -> Option<Owner> {
        let (user, main_dc) = (fields.number()?, fields.number()?);
        if (user, main_dc) != (u32::MAX, u32::MAX) {
            return Some(Owner { user: u64::from(user), main_dc });
        }
        // Since ids have 64 bits.
        let user = fields.take(8)?.try_into().map(u64::from_be_bytes).ok()?;
        Some(Owner { user, main_dc: fields.number()? })
    }
}

/// Numbers and bytes one behind the other.
struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn number(&mut self) -> Option<u32> {
        self.take(4)?.try_into().map(u32::from_be_bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Scratch, problems, records};
    use model::Body;

    fn block(user: &[u8], keys: &[u32], cut: usize) -> Vec<u8> {
        let mut body = user.to_vec();
        body.extend((keys.len() as u32).to_be_bytes());
        keys.iter().for_each(|centre| body.extend([&centre.to_be_bytes()[..], &[7; KEY]].concat()));
        body.extend(0u32.to_be_bytes());
        body.truncate(body.len() - cut);
        [&AUTHORIZATION.to_be_bytes()[..], &(body.len() as u32).to_be_bytes(), &body].concat()
    }

    fn told(content: &[u8]) -> (Vec<(String, Option<bool>)>, usize, usize) {
        let bodies = Scratch::new("tdata/D877F783D5D3EF8Cs/array 1", content).parse(&TelegramDesktop);
        let account = |record: &&model::Record| match record {
            Record::Account(account) => (account.account_key.clone(), account.is_owner),
            other => panic!("{other:?}"),
        };
        let secrets = bodies.iter().filter(|body| matches!(body, Body::Secret(_))).count();
        (records(&bodies).iter().map(account).collect(), secrets, problems(&bodies).len())
    }

    #[test]
    fn ids_of_both_widths_and_their_keys() {
        let wide = [&[0xff; 8][..], &7_000_000_001u64.to_be_bytes(), &2u32.to_be_bytes()].concat();
        assert_eq!(told(&block(&wide, &[2, 4], 0)), (vec![("7000000001".to_owned(), Some(true))], 2, 0));
        let narrow = [123u32.to_be_bytes(), 5u32.to_be_bytes()].concat();
        assert_eq!(told(&block(&narrow, &[5], 0)), (vec![("123".to_owned(), Some(true))], 1, 0));
        assert_eq!(told(&block(&narrow, &[5], 9)), (vec![("123".to_owned(), Some(true))], 0, 1));
        let none = [0u32.to_be_bytes(), 0u32.to_be_bytes()].concat();
        assert_eq!(told(&block(&none, &[], 0)), (vec![], 0, 0));
        let whole = block(&wide, &[2], 0);
        assert!(!Scratch::new("a", &whole[..whole.len() - 1]).identified(&TelegramDesktop), "its length does not fit");
    }
}
