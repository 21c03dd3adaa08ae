//! `kakaotalk(x, user, enc)`: a cell of KakaoTalk for Android in clear, as kakaodecrypt describes it: base64 of AES-256 in CBC mode with
//! PKCS #7 padding, whose key comes from PKCS #12's derivation (RFC 7292 B.2: SHA-1, 2 rounds) of a password that the app carries, salted
//! with the number `user` behind a word that `enc` chooses.
//!
//! NULL stays NULL, and so does a cell without `enc` as it is: it was never encrypted. What cannot be decoded gives an [`Undecodable`],
//! which the engine tells as a problem; the definition keeps the raw text beside it.

use super::undecodable::Undecodable;
use super::{FLAGS, base64, text};
use aes::Aes256;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit, block_padding::Pkcs7};
use rusqlite::Connection;
use rusqlite::types::Value;
use sha1::{Digest, Sha1};

const PASSWORD: [u8; 16] = [22, 8, 9, 111, 2, 23, 43, 8, 33, 33, 10, 16, 3, 3, 7, 6];
const VECTOR: [u8; 16] = [15, 8, 1, 0, 25, 71, 37, 220, 21, 245, 23, 224, 225, 21, 12, 53];
const ROUNDS: usize = 2;
/// Bytes of SHA-1's block.
const BLOCK: usize = 64;
/// What stands before the user's number in the salt, by `enc`.
const WORDS: [&str; 32] = [
    "",
    "",
    "12",
    "24",
    "18",
    "30",
    "36",
    "12",
    "48",
    "7",
    "35",
    "40",
    "17",
    "23",
    "29",
    "isabel",
    "kale",
    "sulli",
    "van",
    "merry",
    "kyle",
    "james",
    "maddux",
    "tony",
    "hayden",
    "paul",
    "elijah",
    "dorothy",
    "sally",
    "bran",
    "extr.ursra",
    "veil",
];

/// Registers the function.
///
/// # Errors
/// What SQLite says.
pub fn register(connection: &Connection) -> rusqlite::Result<()> {
    connection.create_scalar_function("kakaotalk", 3, FLAGS, |context| {
        let Some(sealed) = text(context, 0) else { return Ok(Value::Null) };
        let (user, word): (Option<i64>, Option<i64>) = (context.get(1)?, context.get(2)?);
        let Some(word) = word else { return Ok(Value::Text(sealed.to_owned())) };
        if sealed.is_empty() {
            return Ok(Value::Text(String::new()));
        }
        Ok(user.and_then(|user| open(sealed, user, word)).map_or_else(|| Value::Blob(undecodable()), Value::Text))
    })
}

/// What stands in for a cell that cannot be decoded.
fn undecodable() -> Vec<u8> {
    Undecodable("cannot be decoded".to_owned()).pack()
}

/// The text; `None` where it is not base64 of whole blocks, its padding is wrong or it is not UTF-8, or the word is not known.
fn open(sealed: &str, user: i64, word: i64) -> Option<String> {
    let mut blocks = base64::decode(sealed)?;
    let key = derive(&salt(user, word)?);
    let clear = cbc::Decryptor::<Aes256>::new(&key.into(), &VECTOR.into()).decrypt_padded::<Pkcs7>(&mut blocks).ok()?;
    String::from_utf8(clear.to_vec()).ok()
}

fn salt(user: i64, word: i64) -> Option<[u8; 16]> {
    let mut salt = [0; 16];
    if user > 0 {
        let written = format!("{}{user}", WORDS.get(usize::try_from(word).ok()?)?);
        salt.iter_mut().zip(written.bytes()).for_each(|(place, byte)| *place = byte);
    }
    Some(salt)
}

/// PKCS #12's key of 32 bytes: two digests of SHA-1, the second over input that the first was added to.
fn derive(salt: &[u8; 16]) -> [u8; 32] {
    // The password as a text of two bytes a letter, with its end, as often as it fits the block.
    let password: Vec<u8> = PASSWORD.iter().chain(&[0]).flat_map(|&letter| [0, letter]).collect();
    let mut salted: [[u8; BLOCK]; 2] = [[0; BLOCK]; 2];
    let [first, second] = &mut salted;
    first.iter_mut().zip(salt.iter().cycle()).for_each(|(place, byte)| *place = *byte);
    second.iter_mut().zip(password.iter().cycle()).for_each(|(place, byte)| *place = *byte);
    let one = digest(&salted);
    salted.iter_mut().for_each(|block| add(block, &one));
    let two = digest(&salted);
    let mut key = [0; 32];
    key.iter_mut().zip(one.iter().chain(&two)).for_each(|(place, byte)| *place = *byte);
    key
}

fn digest(salted: &[[u8; BLOCK]; 2]) -> [u8; 20] {
    // 1 asks for a key (2 would be a vector, 3 a MAC).
    let first = Sha1::new().chain_update([1; BLOCK]).chain_update(salted.concat()).finalize();
    (1..ROUNDS).fold(first, |digest, _| Sha1::digest(digest)).into()
}

/// Adds the digest, repeated to the length of the block, and one more, as big-endian numbers.
fn add(block: &mut [u8; BLOCK], digest: &[u8; 20]) {
    let mut repeated = [0; BLOCK];
    repeated.iter_mut().zip(digest.iter().cycle()).for_each(|(place, byte)| *place = *byte);
    let mut carry = 1_u16;
    for (place, byte) in block.iter_mut().zip(&repeated).rev() {
        let sum = u16::from(*place) + u16::from(*byte) + carry;
        *place = (sum & 0xff) as u8;
        carry = sum >> 8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_that_kakaodecrypts_scheme_made_are_opened() {
        // Encrypted by PyCryptodome with the keys that kakaodecrypt derives.
        for (user, word, clear, sealed) in [
            (240_000_001, 26, "meet at the gate", "eH8lzxURQm+siyOmlVZsYkJdiK39vZ4e7DXZ2V25lws="),
            (240_000_002, 30, "네", "B8fKQjSKXA3XWw5hXRkg3A=="),
            (240_000_001, 0, "plain old", "pdOMCAVHwJ0wTifJaDH1Aw=="),
            (5, 31, &"x".repeat(40), "t0VhsTizVR7TFVeAUwFSE8n/u0wJq3mWEEaWRLVcuPFiRvrsFWdOgFjQQkGaS8VN"),
            (-3, 5, "zero salt", "cTZKhs3xZli8subFsQ/dUw=="),
        ] {
            assert_eq!(open(sealed, user, word).as_deref(), Some(clear));
        }
    }

    #[test]
    fn what_cannot_be_opened_is_told_and_nothing_else_is() {
        let connection = Connection::open_in_memory().unwrap();
        register(&connection).unwrap();
        let one = |sql: &str| connection.query_row(&format!("SELECT {sql}"), [], |row| row.get::<_, Value>(0)).unwrap();
        assert_eq!(one("kakaotalk(NULL, 1, 1)"), Value::Null);
        assert_eq!(one("kakaotalk('never encrypted', 1, NULL)"), Value::Text("never encrypted".to_owned()));
        assert_eq!(one("kakaotalk('', 1, 1)"), Value::Text(String::new()));
        for wrong in [
            "'no base64!', 1, 1",
            "'AAAA', 1, 1",
            "'eH8lzxURQm+siyOmlVZsYkJdiK39vZ4e7DXZ2V25lws=', 7, 26",
            "'B8fKQjSKXA3XWw5hXRkg3A==', 240000002, 32",
            "'B8fKQjSKXA3XWw5hXRkg3A==', 240000002, -1",
            "'B8fKQjSKXA3XWw5hXRkg3A==', NULL, 1",
        ] {
            assert_eq!(one(&format!("kakaotalk({wrong})")), Value::Blob(undecodable()), "{wrong}");
        }
    }
}
