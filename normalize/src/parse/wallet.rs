//! Files of cryptocurrency wallets, known by content wherever they lie: accounts with chain, address and label; seeds and vaults as secrets.
//!
//! Keystores of Ethereum, Trust Wallet (wallet-core) and imToken; Electrum; MetaMask's state on phones and its vault; wallets that are one
//! encrypted text. Extension stores are in [`super::leveldb`].

mod accounts;
pub mod apps;
pub mod bitcoin;
mod electrum;
pub mod json;
pub mod keystore;
pub mod metamask;
mod sealed;
pub mod shape;

pub use accounts::{Accounts, Entry};

use crate::emit::Emit;
use crate::parse::node::Node;
use crate::parse::{Input, Outcome, Parser};
use model::Code;

/// Largest wallet file that is read, bytes: Electrum's histories are the largest.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// What a content is, by its head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    Keystore,
    Electrum,
    MetaMask,
    Vault,
    /// Whose content is encrypted as a whole: what it is, and the key it wants.
    Sealed(&'static str, &'static str),
}

/// The form of a content by its first bytes, all of it where it is small.
fn form(input: &Input<'_>) -> Option<Form> {
    let head = input.head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(input.head).trim_ascii_start();
    let has = |word: &str| memchr::memmem::find(head, word.as_bytes()).is_some();
    let whole = input.unit.primary.item.size_bytes == input.head.len() as u64;
    if let Some((what, key)) = sealed::form(head, whole) {
        return Some(Form::Sealed(what, key));
    }
    if head.first() != Some(&b'{') {
        return None;
    }
    let root = || std::str::from_utf8(head).ok().map(|text| Node::root(text, 0));
    if whole && has("\"ciphertext\"") && root().is_some_and(|root| keystore::is_keystore(&root)) {
        return Some(Form::Keystore);
    }
    if electrum::is_wallet(head) {
        return Some(Form::Electrum);
    }
    if has("backgroundState\\\":{") || (has("\"_persist\"") && has("KeyringController")) {
        return Some(Form::MetaMask);
    }
    (whole && has("\"salt\"") && root().is_some_and(|root| metamask::is_vault(&root))).then_some(Form::Vault)
}

/// The parser.
pub struct Wallet;

impl Parser for Wallet {
    fn name(&self) -> &'static str {
        "wallet"
    }

    fn version(&self) -> u32 {
        1
    }

    fn identify(&self, input: &Input<'_>) -> bool {
        form(input).is_some()
    }

    fn parse(&self, input: &Input<'_>, emit: &mut Emit<'_>) -> Outcome {
        let Some(form) = form(input) else { return Outcome::plain() };
        if let Form::Sealed(what, key) = form {
            emit.problem(Code::Encrypted, format!("{what}: {key}"));
            return Outcome::locked(key);
        }
        let content = match input.content(FILE_BYTES_MAX, "wallet", emit) {
            Ok(content) => content,
            Err(outcome) => return outcome,
        };
        let Ok(text) = std::str::from_utf8(&content) else {
            emit.problem(Code::TextInvalid, "a wallet that is not UTF-8");
            return Outcome::partial("a wallet that is not UTF-8");
        };
        let (bare, offset) = text.strip_prefix('\u{feff}').map_or((text, 0), |bare| (bare, 3));
        match form {
            Form::Electrum => electrum::read(bare, offset, emit),
            Form::Keystore => whole(bare, offset, emit, keystore::read),
            Form::Vault => whole(bare, offset, emit, metamask::read_vault),
            Form::MetaMask | Form::Sealed(..) => whole(bare, offset, emit, metamask::read_persisted),
        }
    }
}

/// Reads one JSON document.
fn whole(text: &str, offset: u64, emit: &mut Emit<'_>, read: fn(&Node<'_>, &mut Accounts<'_, '_>)) -> Outcome {
    let root = Node::root(text, offset);
    if !root.is_valid() {
        emit.problem(Code::DocumentDamaged, "not a whole JSON document");
        return Outcome::partial("not a whole JSON document");
    }
    let mut accounts = Accounts::new(emit);
    read(&root, &mut accounts);
    accounts.finish("accounts");
    Outcome::parsed()
}
