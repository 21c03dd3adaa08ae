//! Addresses and keys in Base58 with a checksum.

use sha2::{Digest, Sha256};
use sha3::Keccak256;

/// Longest payload of any of them with its checksum (an extended key: 78 and 4).
const LONGEST: usize = 128;

/// A decoded payload.
pub struct Payload {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Payload {
    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&[])
    }
}

/// Decodes; `None` if a character is not of the alphabet or the payload is longer than 128 bytes.
pub fn decode(text: &[u8], alphabet: &bs58::Alphabet) -> Option<Payload> {
    let mut bytes = [0; LONGEST];
    let length = bs58::decode(text).with_alphabet(alphabet).onto(&mut bytes).ok()?;
    Some(Payload { bytes, length })
}

/// Decodes and checks the four bytes of double SHA-256; the payload comes back without them.
pub fn checked(text: &[u8], alphabet: &bs58::Alphabet) -> Option<Payload> {
    let mut payload = decode(text, alphabet)?;
    let (body, checksum) = payload.bytes().split_last_chunk::<4>()?;
    let digest = Sha256::digest(Sha256::digest(body));
    if digest.get(..4) != Some(checksum) {
        return None;
    }
    payload.length -= 4;
    Some(payload)
}

/// Pay-to-key-hash and pay-to-script-hash addresses: the version byte and the chains that use it. Version 5 is Bitcoin's and was
/// Litecoin's before 50. Other coins borrow these bytes (Verge 30, TenUp 65): nothing in the address tells.
/// Sources: chainparams.cpp of each coin; TRON: TIP-2.
const VERSIONS: &[(u8, &[u8], &str)] = &[
    (0, b"1", "bitcoin"),
    (5, b"3", "bitcoin,litecoin"),
    (16, b"7", "dash"),
    (22, b"9A", "dogecoin"),
    (30, b"D", "dogecoin"),
    (48, b"L", "litecoin"),
    (50, b"M", "litecoin"),
    (65, b"T", "tron"),
    (76, b"X", "dash"),
];

/// The chains of an address of 20 bytes behind a version byte.
pub fn hash_address(text: &[u8]) -> Option<&'static str> {
    let first = text.first()?;
    // The first character tells the version byte apart before anything is decoded.
    let (version, _, chain) = VERSIONS.iter().find(|(_, firsts, _)| firsts.contains(first))?;
    let payload = checked(text, bs58::Alphabet::BITCOIN)?;
    (payload.bytes().len() == 21 && payload.bytes().first() == Some(version)).then_some(*chain)
}

/// XRP Ledger: a classic address (version 0, 20 bytes), or an X-address of the main network (`05 44`, 20 bytes, flag, tag). XLS-5d.
pub fn is_xrp(text: &[u8]) -> bool {
    let Some(payload) = checked(text, bs58::Alphabet::RIPPLE) else { return false };
    match payload.bytes() {
        [0, rest @ ..] if rest.len() == 20 => text.first() == Some(&b'r'),
        [5, 0x44, rest @ ..] if rest.len() == 29 => rest.get(20).is_some_and(|flag| *flag <= 1),
        _ => false,
    }
}

/// A private key in wallet import format: what it is for. Version bytes from chainparams.cpp of each coin.
pub fn private_key(text: &[u8]) -> Option<&'static str> {
    if !text.first().is_some_and(|first| b"5KL6TQ7X9c".contains(first)) {
        return None;
    }
    let payload = checked(text, bs58::Alphabet::BITCOIN)?;
    let (version, rest) = payload.bytes().split_first()?;
    let is_key = rest.len() == 32 || (rest.len() == 33 && rest.last() == Some(&1));
    let name = match version {
        0x80 => "bitcoin",
        0xb0 => "litecoin",
        0x9e => "dogecoin",
        0xcc => "dash",
        0xef => "bitcoin_testnet",
        _ => return None,
    };
    is_key.then_some(name)
}

/// Versions of extended keys: public, private, chain. SLIP-132 and chainparams.cpp.
const EXTENDED: &[(u32, u32, &str)] = &[
    (0x0488_b21e, 0x0488_ade4, "bitcoin"),
    (0x049d_7cb2, 0x049d_7878, "bitcoin"),
    (0x04b2_4746, 0x04b2_430c, "bitcoin"),
    (0x0295_b43f, 0x0295_b005, "bitcoin"),
    (0x02aa_7ed3, 0x02aa_7a99, "bitcoin"),
    (0x0435_87cf, 0x0435_8394, "bitcoin_testnet"),
    (0x044a_5262, 0x044a_4e28, "bitcoin_testnet"),
    (0x045f_1cf6, 0x045f_18bc, "bitcoin_testnet"),
    (0x0242_89ef, 0x0242_85b5, "bitcoin_testnet"),
    (0x0257_5483, 0x0257_5048, "bitcoin_testnet"),
    (0x019d_a462, 0x019d_9cfe, "litecoin"),
    (0x01b2_6ef6, 0x01b2_6792, "litecoin"),
    (0x02fa_cafd, 0x02fa_c398, "dogecoin"),
    (0x02fe_52cc, 0x02fe_52f8, "dash"),
];

/// An extended key: whether it is private, and its chain.
pub fn extended_key(text: &[u8]) -> Option<(bool, &'static str)> {
    let payload = checked(text, bs58::Alphabet::BITCOIN)?;
    let (version, rest) = payload.bytes().split_first_chunk::<4>()?;
    let version = u32::from_be_bytes(*version);
    let (public, _, chain) = EXTENDED.iter().find(|(public, private, _)| version == *public || version == *private)?;
    let private = version != *public;
    // Depth, fingerprint, child, chain code, then 0x00 and the key, or a compressed point.
    let key = *rest.get(41)?;
    (rest.len() == 74 && if private { key == 0 } else { matches!(key, 2 | 3) }).then_some((private, chain))
}

/// Cardano's Byron addresses: CBOR `[24(bytes), crc32 of them]`.
pub fn is_byron(text: &[u8]) -> bool {
    let Some(payload) = decode(text, bs58::Alphabet::BITCOIN) else { return false };
    let Some(rest) = payload.bytes().strip_prefix(&[0x82, 0xd8, 0x18, 0x58]) else { return false };
    let Some((length, rest)) = rest.split_first() else { return false };
    let Some((body, tail)) = rest.split_at_checked(usize::from(*length)) else { return false };
    matches!(tail, [0x1a, sum @ ..] if sum == crc32(body).to_be_bytes())
}

/// CRC-32 of IEEE 802.3, bit by bit: it runs on a hundred bytes of rare candidates.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0u32, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// Monero: blocks of 8 bytes in 11 characters; network byte, two keys, perhaps a payment id, four bytes of Keccak-256.
/// Network bytes 18 (standard), 19 (integrated) and 42 (subaddress): cryptonote_config.h.
pub fn is_monero(text: &[u8]) -> bool {
    let mut bytes = Vec::with_capacity(80);
    for block in text.chunks(11) {
        // Encoded sizes of 0 to 8 bytes: 0, 2, 3, 5, 6, 7, 9, 10, 11.
        let size = match block.len() {
            11 => 8,
            7 => 5,
            2 => 1,
            _ => return false,
        };
        let mut value = 0u128;
        for byte in block {
            let Some(digit) = digit(*byte) else { return false };
            value = value * 58 + u128::from(digit);
        }
        if value >> (8 * size) != 0 {
            return false;
        }
        let wide = (value as u64).to_be_bytes();
        bytes.extend_from_slice(wide.get(8 - size..).unwrap_or(&[]));
    }
    let network = match bytes.len() {
        69 => [18, 42].as_slice(),
        77 => [19].as_slice(),
        _ => return false,
    };
    let Some((body, checksum)) = bytes.split_last_chunk::<4>() else { return false };
    body.first().is_some_and(|byte| network.contains(byte)) && Keccak256::digest(body).get(..4) == Some(checksum)
}

/// The value of a character of Bitcoin's alphabet.
fn digit(byte: u8) -> Option<u8> {
    let index = match byte {
        b'1'..=b'9' => byte - b'1',
        b'A'..=b'H' => byte - b'A' + 9,
        b'J'..=b'N' => byte - b'J' + 17,
        b'P'..=b'Z' => byte - b'P' + 22,
        b'a'..=b'k' => byte - b'a' + 33,
        b'm'..=b'z' => byte - b'm' + 44,
        _ => return None,
    };
    Some(index)
}

/// Whether every byte is of Bitcoin's alphabet.
pub fn is_alphabet(text: &[u8]) -> bool {
    static MEMBERS: [bool; 256] = {
        let mut members = [false; 256];
        let mut byte = 0u8;
        while byte < 0x80 {
            members[byte as usize] = byte.is_ascii_alphanumeric() && !matches!(byte, b'0' | b'O' | b'I' | b'l');
            byte += 1;
        }
        members
    };
    text.iter().all(|byte| MEMBERS[usize::from(*byte)])
}

/// SS58 account ids of 32 bytes: the chain of the network prefix. The checksum is two bytes of BLAKE2b-512 over `SS58PRE` and the
/// rest. Prefixes: 0 Polkadot, 2 Kusama, 42 any Substrate chain (Polkadot accounts are shown so too). SS58 registry.
pub fn ss58(text: &[u8]) -> Option<&'static str> {
    let payload = decode(text, bs58::Alphabet::BITCOIN)?;
    let (body, checksum) = payload.bytes().split_last_chunk::<2>()?;
    let chain = match body.first()? {
        0 | 42 => "polkadot",
        2 => "kusama",
        _ => return None,
    };
    let digest = blake2::Blake2b512::new().chain_update(b"SS58PRE").chain_update(body).finalize();
    (body.len() == 33 && digest.get(..2) == Some(checksum)).then_some(chain)
}
