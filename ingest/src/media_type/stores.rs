//! Stores of keys and values: those of browsers and apps, and wallets.

/// LevelDB, its logs and tables.
pub const LEVELDB: &str = "application/x-leveldb";
/// MMKV.
pub const MMKV: &str = "application/x-mmkv";
/// Realm.
pub const REALM: &str = "application/x-realm";
/// A btree of Berkeley DB.
pub const BERKELEY_DB: &str = "application/x-berkeley-db";
/// A wallet of bitcoinj.
pub const BITCOINJ: &str = "application/x-bitcoinj-wallet";
/// A secure container of Exodus.
pub const SECO: &str = "application/x-seco";
/// An account of Telegram Desktop, decrypted.
pub const TELEGRAM_ACCOUNT: &str = "application/x-telegram-account";

/// The type by the first bytes.
pub fn of(head: &[u8]) -> Option<&'static str> {
    let at = |from: usize, word: &[u8]| head.get(from..).is_some_and(|rest| rest.starts_with(word));
    if at(12, &[0x62, 0x31, 5, 0]) || at(12, &[0, 5, 0x31, 0x62]) {
        return Some(BERKELEY_DB);
    }
    if at(16, b"T-DB") {
        return Some(REALM);
    }
    if at(0, b"\x0a") && at(2, b"org.") {
        return Some(BITCOINJ);
    }
    if at(0, b"SECO") && at(4, &[0]) {
        return Some(SECO);
    }
    // Its number, and the length of all that follows: such a file is small, so that the head is all of it.
    if let Some((&[0, 0, 0, 0x4b, a, b, c, d], rest)) = head.split_first_chunk::<8>()
        && rest.len() >= 16
        && u32::from_be_bytes([a, b, c, d]) as usize == rest.len()
    {
        return Some(TELEGRAM_ACCOUNT);
    }
    is_leveldb_log(head).then_some(LEVELDB)
}

/// The type of bytes that nothing else knows and that are no text.
pub fn unknown(head: &[u8]) -> Option<&'static str> {
    is_mmkv(head).then_some(MMKV)
}

/// The type by the name alone, for what shows nothing in its first bytes: LevelDB's tables have their magic number at their end, and
/// encrypted stores have none.
pub fn named(path: &str) -> Option<&'static str> {
    let lower = path.to_ascii_lowercase();
    let mut steps = lower.rsplit('/');
    let name = steps.next().unwrap_or_default();
    match () {
        () if name.ends_with(".ldb") || name.ends_with(".sst") => Some(LEVELDB),
        () if name.ends_with(".realm") => Some(REALM),
        () if name.ends_with(".seco") => Some(SECO),
        () if steps.next() == Some("mmkv") && !name.ends_with(".crc") => Some(MMKV),
        () => None,
    }
}

/// A record of a log: checksum (turned and offset), length, kind (whole or first part), and a batch.
fn is_leveldb_log(head: &[u8]) -> bool {
    let Some((header, rest)) = head.split_first_chunk::<7>() else { return false };
    let [a, b, c, d, low, high, kind] = *header;
    let length = usize::from(u16::from_le_bytes([low, high]));
    if !matches!(kind, 1 | 2) || length < 13 {
        return false;
    }
    let Some(part) = rest.get(..length) else { return false };
    let bytes = [&[kind], part].concat();
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &bytes) as u32;
    u32::from_le_bytes([a, b, c, d]) == crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// A length, a number of four bytes, and pairs of a key and a value that have their lengths before them: two of them at least.
fn is_mmkv(head: &[u8]) -> bool {
    // The number stands for the size of the map and is as long as the largest.
    let Some(([_, _, _, _, a, b, c, d], mut rest)) = head.split_first_chunk::<8>() else { return false };
    if [a, b, c].iter().any(|byte| **byte < 0x80) || *d >= 0x80 {
        return false;
    }
    (0..2).all(|_| {
        let key = length(&mut rest).and_then(|length| rest.split_at_checked(length));
        let Some((key, behind)) = key else { return false };
        rest = behind;
        let named = !key.is_empty() && std::str::from_utf8(key).is_ok_and(|key| !key.chars().any(char::is_control));
        let value = length(&mut rest).and_then(|length| rest.get(length..));
        rest = value.unwrap_or_default();
        named && value.is_some()
    })
}

/// A number of seven bits a byte, the lowest first.
fn length(rest: &mut &[u8]) -> Option<usize> {
    let mut number = 0_usize;
    for place in 0..5_u32 {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        number |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(path: &str) -> Vec<u8> {
        std::fs::read(format!("{}/../tests/fixtures/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    #[test]
    fn stores_by_their_first_bytes() {
        for (path, wanted) in [
            ("leveldb/extensions/input/000003.log", LEVELDB),
            ("mmkv/store/input/wallet-store", MMKV),
            ("realm/clusters/input/default.realm", REALM),
            ("bitcoin_core/berkeley/input/wallet.dat", BERKELEY_DB),
            ("bitcoinj/clear/input/multibit.wallet", BITCOINJ),
            ("telegram_desktop/wide_ids/input/array 1", TELEGRAM_ACCOUNT),
        ] {
            let head = fixture(path);
            assert_eq!(of(&head).or_else(|| unknown(&head)), Some(wanted), "{path}");
        }
        for other in [&b""[..], &[0; 4096], b"\x7fELF\x02\x01\x01", b"hello, world, this is a text", &[0xff; 64]] {
            assert_eq!(of(other).or_else(|| unknown(other)), None, "{other:?}");
        }
    }

    #[test]
    fn tables_and_encrypted_stores_by_their_names() {
        assert_eq!(named("x/000005.LDB"), Some(LEVELDB));
        assert_eq!(named("files/mmkv/main"), Some(MMKV));
        assert_eq!((named("files/mmkv/main.crc"), named("mmkv"), named("a.realm")), (None, None, Some(REALM)));
    }
}
