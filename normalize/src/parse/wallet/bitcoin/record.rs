//! What a pair of a wallet says: the key names its kind and whom it is about (`wallet/walletdb.cpp` of Bitcoin Core 0.3 to 28, and the
//! forks that keep its format).

use super::derive;
use super::serialized::Reader;

/// One record.
#[derive(Clone, PartialEq, Debug)]
pub enum Record<'p> {
    /// The user's word for an address.
    Name(String, String),
    /// What an address is for: `receive`, `send`, ….
    Purpose(String, String),
    /// A public key, and its private key in clear (DER) or none where it is encrypted.
    Key(&'p [u8], Option<&'p [u8]>),
    /// When a key was made, and on which path.
    KeyMeta(&'p [u8], KeyMeta),
    /// A key that waits to be used: its number, when it was made.
    Pool(u64, u64, &'p [u8]),
    /// A script that is watched.
    Watched(&'p [u8]),
    /// A script that can be paid to.
    Script(&'p [u8]),
    /// The master key, encrypted with the password.
    MasterKey(MasterKey<'p>),
    /// Counters and the hash of the seed of a wallet whose keys are derived.
    Chain(u32, u32, &'p [u8]),
    /// A descriptor: its id, text, time of creation, next number, and range.
    Descriptor(&'p [u8], String, u64, [i32; 3]),
    /// The extended key above the last step of a descriptor: id, position of the key in the descriptor, 74 bytes.
    Cache(&'p [u8], u32, &'p [u8]),
    /// A descriptor's private key in clear: id, public key, DER.
    DescriptorKey(&'p [u8], &'p [u8], &'p [u8]),
    /// A transaction: its id, and the bytes of its value.
    Transaction(&'p [u8], &'p [u8]),
    /// The newest block that the wallet has seen, and the first one of its chain.
    BestBlock(Option<&'p [u8]>, Option<&'p [u8]>),
    /// A number that stands for the whole wallet: `version`, `minversion`, `flags`.
    Number(&'static str, u64),
    /// Anything else, by name.
    Other(String),
}

/// When a key was made.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct KeyMeta {
    /// Seconds since 1970; 0 where it is not known.
    pub created: u64,
    /// Its path, where it was derived.
    pub path: Option<String>,
}

/// The encrypted master key.
#[derive(Clone, PartialEq, Debug)]
pub struct MasterKey<'p> {
    /// Its number.
    pub number: u32,
    /// The key, encrypted.
    pub key: &'p [u8],
    /// The salt.
    pub salt: &'p [u8],
    /// 0: SHA-512, 1: scrypt.
    pub method: u32,
    /// Rounds.
    pub rounds: u32,
}

/// Names of records that are told; what is looked for in what deletion left.
const KINDS: [&[u8]; 17] = [
    b"name",
    b"purpose",
    b"key",
    b"wkey",
    b"ckey",
    b"keymeta",
    b"pool",
    b"watchs",
    b"cscript",
    b"mkey",
    b"hdchain",
    b"walletdescriptor",
    b"walletdescriptorkey",
    b"tx",
    b"bestblock",
    b"bestblock_nomerkle",
    b"walletdescriptorcache",
];

/// Whether bytes are the key of a record that is told.
pub fn is_known(key: &[u8]) -> bool {
    let kind = Reader(key).bytes();
    kind.is_some_and(|kind| KINDS.contains(&kind) && key.len() > kind.len().saturating_add(1))
}

/// Reads a pair; `None` where it is of a known kind and damaged.
pub fn read<'p>(key: &'p [u8], value: &'p [u8]) -> Option<Record<'p>> {
    let (mut key, mut value) = (Reader(key), Reader(value));
    let kind = key.bytes()?;
    Some(match kind {
        b"name" => Record::Name(key.text()?, value.text()?),
        b"purpose" => Record::Purpose(key.text()?, value.text()?),
        b"key" | b"wkey" => Record::Key(public_key(key.bytes()?)?, Some(value.bytes()?)),
        b"ckey" => {
            value.bytes().filter(|secret| secret.len() == 48)?;
            Record::Key(public_key(key.bytes()?)?, None)
        }
        b"keymeta" => Record::KeyMeta(public_key(key.bytes()?)?, key_meta(&mut value)?),
        b"pool" => {
            let (number, _version) = (key.u64()?, value.u32()?);
            Record::Pool(number, value.u64()?, public_key(value.bytes()?)?)
        }
        b"watchs" => Record::Watched(key.bytes()?),
        b"cscript" => {
            key.take(20)?;
            Record::Script(value.bytes()?)
        }
        b"mkey" => Record::MasterKey(MasterKey {
            number: key.u32()?,
            key: value.bytes()?,
            salt: value.bytes()?,
            method: value.u32()?,
            rounds: value.u32()?,
        }),
        // Dash keeps its seed in a longer record of the same name.
        b"hdchain" if value.0.len() > 40 => Record::Other("hdchain".to_owned()),
        b"hdchain" => {
            let version = value.u32()?;
            let (external, seed) = (value.u32()?, value.take(20)?);
            Record::Chain(external, if version >= 2 { value.u32()? } else { 0 }, seed)
        }
        b"walletdescriptor" => {
            let (id, text, created) = (key.take(32)?, value.text()?, value.u64()?);
            let mut number = || value.u32().map(u32::cast_signed);
            Record::Descriptor(id, text, created, [number()?, number()?, number()?])
        }
        b"walletdescriptorcache" => {
            let (id, position) = (key.take(32)?, key.u32()?);
            // A further number stands for one child only.
            if !key.is_empty() {
                return Some(Record::Other("walletdescriptorcache".to_owned()));
            }
            Record::Cache(id, position, value.bytes()?)
        }
        b"walletdescriptorkey" => Record::DescriptorKey(key.take(32)?, public_key(key.bytes()?)?, value.bytes()?),
        b"tx" => Record::Transaction(key.take(32)?, value.0),
        b"bestblock" | b"bestblock_nomerkle" => best_block(&mut value)?,
        b"version" => Record::Number("version", u64::from(value.u32()?)),
        b"minversion" => Record::Number("min_version", u64::from(value.u32()?)),
        b"flags" => Record::Number("flags", value.u64()?),
        other => Record::Other(String::from_utf8_lossy(other).into_owned()),
    })
}

/// A record of a private key in clear, put together again.
pub struct SlackKey {
    /// Its key: kind and public key.
    pub key: Vec<u8>,
    /// Its value: the private key.
    pub value: Vec<u8>,
    /// Where the private key stands.
    pub range: (u64, u64),
}

/// Private keys in bytes that deletion left. One is told if its public key, which is made from it, stands behind it, as in the DER of
/// `key.cpp`: the record's own key is overwritten first.
pub fn keys_in_slack(place: u64, bytes: &[u8]) -> Vec<SlackKey> {
    const START: &[u8] = &[2, 1, 1, 4, 32];
    /// Bytes from there to the end of the longest form.
    const LONGEST: usize = 279;
    let mut keys = Vec::new();
    for at in memchr::memmem::find_iter(bytes, START) {
        let rest = bytes.get(at..).unwrap_or_default();
        let (Some(der), near) = (rest.get(..37), rest.get(..LONGEST).unwrap_or(rest)) else { continue };
        let secret = der.get(5..).unwrap_or_default();
        let stands = |public: &Vec<u8>| memchr::memmem::find(near, public).is_some();
        let public = [true, false].into_iter().filter_map(|compressed| derive::public_of(secret, compressed)).find(stands);
        if let Some(public) = public {
            let length = u8::try_from(public.len()).unwrap_or_default();
            keys.push(SlackKey {
                key: [b"\x03key".as_slice(), &[length], &public].concat(),
                value: [&[37], der].concat(),
                range: (place.saturating_add(at as u64), der.len() as u64),
            });
        }
    }
    keys
}

fn public_key(bytes: &[u8]) -> Option<&[u8]> {
    derive::is_public_key(bytes).then_some(bytes)
}

fn key_meta(value: &mut Reader<'_>) -> Option<KeyMeta> {
    let (version, created) = (value.u32()?, value.u64()?);
    // Ten is the first version with a path.
    let path = if version >= 10 { value.text().filter(|path| !path.is_empty()) } else { None };
    Some(KeyMeta { created, path })
}

/// Block hashes from the newest to the first of the chain.
fn best_block<'p>(value: &mut Reader<'p>) -> Option<Record<'p>> {
    value.u32()?;
    let count = value.size()?;
    let hashes = value.take(count.checked_mul(32)?)?.as_chunks::<32>().0;
    Some(Record::BestBlock(hashes.first().map(<[u8; 32]>::as_slice), hashes.last().map(<[u8; 32]>::as_slice)))
}

/// What a wallet keeps with a transaction (`CWalletTx`).
#[derive(Debug, Default, PartialEq)]
pub struct Kept {
    /// The block that holds it, as explorers write it; `None` where the wallet knew none.
    pub block: Option<String>,
    /// Words that it was sent with, and other fields by name.
    pub fields: Vec<(String, String)>,
    /// Seconds since 1970 at which the wallet first saw it.
    pub received: u32,
    /// Whether the wallet made it itself.
    pub from_me: bool,
}

/// Reads what stands behind a transaction.
pub fn kept(value: &mut Reader<'_>) -> Option<Kept> {
    let mut kept = Kept::default();
    let block = value.take(32)?;
    // Zero and one stand for none, and for an abandoned transaction.
    if block.iter().skip(1).any(|byte| *byte != 0) {
        kept.block = Some(super::transaction::id_text(block));
    }
    let branch = value.size()?.checked_mul(32)?;
    value.take(branch)?;
    value.u32()?;
    // Transactions before it, that the first versions kept: nothing has written any since 0.3.
    if value.size()? != 0 {
        return None;
    }
    for _ in 0..value.size()? {
        kept.fields.push((value.text()?, value.text()?));
    }
    for _ in 0..value.size()? {
        let field = (value.text()?, value.text()?);
        kept.fields.push(field);
    }
    value.u32()?;
    kept.received = value.u32()?;
    kept.from_me = value.array::<1>()? != [0];
    Some(kept)
}
