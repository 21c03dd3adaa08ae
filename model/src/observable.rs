//! Values found in evidence, and the places where they were found.

use crate::id::Id;
use serde::{Deserialize, Serialize};

/// The closed list of observable kinds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum ObservableKind {
    /// A cryptocurrency address; `chain` says which, several separated by commas where it validates on several.
    WalletAddress,
    /// A payment URI (`bitcoin:`, `ethereum:`, `tron:`, `ton://transfer/`, …) as written.
    PaymentUri,
    /// An e-mail address, domain in lower case.
    EmailAddress,
    /// A phone number in E.164.
    PhoneNumber,
    /// A URL as written.
    Url,
    /// An international bank account number without spaces.
    Iban,
    /// An extended public key (xpub, ypub, zpub, …).
    ExtendedPublicKey,
}

impl ObservableKind {
    /// The word in `observable.kind`.
    pub fn name(self) -> &'static str {
        match self {
            ObservableKind::WalletAddress => "wallet_address",
            ObservableKind::PaymentUri => "payment_uri",
            ObservableKind::EmailAddress => "email_address",
            ObservableKind::PhoneNumber => "phone_number",
            ObservableKind::Url => "url",
            ObservableKind::Iban => "iban",
            ObservableKind::ExtendedPublicKey => "extended_public_key",
        }
    }
}

/// How sure the form of a value makes us.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Validity {
    /// Its checksum was verified.
    Checksum,
    /// Well formed; the format has no checksum (all-lowercase 0x, URLs, e-mail addresses, phone numbers).
    Format,
    /// Weak alone; held up by what is around it ([`Sighting::support`] says by what).
    Context,
}

impl Validity {
    /// The word in `observable.validity`.
    pub fn name(self) -> &'static str {
        match self {
            Validity::Checksum => "checksum",
            Validity::Format => "format",
            Validity::Context => "context",
        }
    }
}

/// A value found.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Observable {
    /// Its kind.
    pub kind: ObservableKind,
    /// Its normalized value.
    pub value: String,
    /// For wallet addresses, payment URIs and extended keys: the chains it validates on, sorted, separated by commas.
    pub chain: Option<String>,
    /// How sure its form makes us.
    pub validity: Validity,
}

impl Observable {
    /// Its id: the same in every bundle of every unit.
    pub fn id(&self) -> Id {
        let chain = self.chain.as_deref().unwrap_or("");
        Id::derive("observable", &[self.kind.name().as_bytes(), self.value.as_bytes(), chain.as_bytes()])
    }
}

/// Who saw it: part of a sighting's id, folded away when the bundle is written (one sighting a place).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Finder {
    /// The byte scan of an item.
    Scan,
    /// The cell-by-cell scan of a SQLite database.
    Cell,
    /// The search through a record's texts.
    Record,
    /// The search through what was decoded from a document (a compressed stream, an attachment): the range is that of the encoded
    /// bytes, `field` names the part, `field_offset` counts in the decoded bytes.
    Decoded,
}

/// How the characters of a sighting are stored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Encoding {
    /// ASCII or UTF-8.
    Utf8,
    /// UTF-16, little endian.
    Utf16le,
    /// UTF-16, big endian.
    Utf16be,
}

impl Encoding {
    /// The word in `sighting.encoding`.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Utf8 => "utf-8",
            Encoding::Utf16le => "utf-16le",
            Encoding::Utf16be => "utf-16be",
        }
    }
}

/// One place where an observable was found.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Sighting {
    /// What was found.
    pub observable: Observable,
    /// The exhibit.
    pub exhibit: Id,
    /// The item.
    pub item: Id,
    /// Who found it.
    pub finder: Finder,
    /// The record in whose text it stands.
    pub record: Option<Id>,
    /// The field of that record.
    pub field: Option<String>,
    /// First byte in that field's UTF-8 text.
    pub field_offset: Option<u64>,
    /// First byte in the item, where known.
    pub byte_offset: Option<u64>,
    /// Bytes as stored in the item, where known.
    pub byte_length: Option<u64>,
    /// How the characters are stored.
    pub encoding: Encoding,
    /// Table and rowid, for cells of a SQLite database.
    pub row: Option<(String, i64)>,
    /// What holds up a weak value (`word:wallet`, `uri`, `json-key:address`, …).
    pub support: Option<String>,
    /// Text around it, escaped by [`crate::text::escape`], secrets masked.
    pub context: String,
}

impl Sighting {
    /// Its id: observable, exhibit, item, finder and place.
    pub fn id(&self) -> Id {
        let offset = |value: Option<u64>| value.map_or([0xff; 8], u64::to_le_bytes);
        Id::derive(
            "sighting",
            &[
                self.observable.id().bytes(),
                self.exhibit.bytes(),
                self.item.bytes(),
                &[self.finder as u8],
                self.record.unwrap_or_default().bytes(),
                self.field.as_deref().unwrap_or("").as_bytes(),
                &offset(self.field_offset),
                &offset(self.byte_offset),
            ],
        )
    }
}

/// The closed list of secrets: never in `observable`, never in a shared bundle.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum SecretKind {
    /// A BIP-39 or Electrum seed phrase.
    SeedPhrase,
    /// A private key in wallet import format.
    PrivateKeyWif,
    /// An extended private key (xprv, …).
    ExtendedPrivateKey,
    /// A token that logs in.
    AuthToken,
    /// Keys or a seed, encrypted with a password: a wallet's vault as it stands.
    Vault,
    /// A password in clear.
    Password,
}

impl SecretKind {
    /// The word in `secret.kind`.
    pub fn name(self) -> &'static str {
        match self {
            SecretKind::SeedPhrase => "seed_phrase",
            SecretKind::PrivateKeyWif => "private_key_wif",
            SecretKind::ExtendedPrivateKey => "extended_private_key",
            SecretKind::AuthToken => "auth_token",
            SecretKind::Vault => "vault",
            SecretKind::Password => "password",
        }
    }
}

/// A secret and the place where it was found.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Secret {
    /// The exhibit.
    pub exhibit: Id,
    /// The item.
    pub item: Id,
    /// Who found it.
    pub finder: Finder,
    /// Its kind.
    pub kind: SecretKind,
    /// The secret, words separated by one space.
    pub value: String,
    /// What it is for: `bip39:english`, `electrum:segwit`, `bitcoin`, …
    pub detail: String,
    /// The record in whose text it stands.
    pub record: Option<Id>,
    /// The field of that record.
    pub field: Option<String>,
    /// First byte in that field's text.
    pub field_offset: Option<u64>,
    /// First byte in the item, where known.
    pub byte_offset: Option<u64>,
    /// Bytes as stored, where known.
    pub byte_length: Option<u64>,
    /// Table and rowid, for cells of a SQLite database.
    pub row: Option<(String, i64)>,
}

impl Secret {
    /// Its id: kind, value, exhibit, item, finder and place.
    pub fn id(&self) -> Id {
        let offset = |value: Option<u64>| value.map_or([0xff; 8], u64::to_le_bytes);
        Id::derive(
            "secret",
            &[
                self.kind.name().as_bytes(),
                self.value.as_bytes(),
                self.exhibit.bytes(),
                self.item.bytes(),
                &[self.finder as u8],
                self.record.unwrap_or_default().bytes(),
                self.field.as_deref().unwrap_or("").as_bytes(),
                &offset(self.field_offset),
                &offset(self.byte_offset),
            ],
        )
    }
}
