use super::*;

/// Written by Berkeley DB 5.3: a label that was overwritten, one that was deleted, and so a key, and a value of 5,000 bytes.
const FILE: &[u8] = include_bytes!("../../../../tests/fixtures/bitcoin_core/berkeley/input/wallet.dat");

fn known(key: &[u8]) -> bool {
    [&b"\x04name"[..], b"\x03key", b"\x07purpose"].iter().any(|start| key.starts_with(start))
}

#[test]
fn live_pairs_are_those_that_db_dump_gives() {
    let found = read(FILE, &known);
    assert_eq!(found.damage, [] as [&str; 0]);
    let live: Vec<_> = found.pairs.iter().filter(|pair| pair.state == State::Live).collect();
    // `db5.3_dump -s main` gives as many.
    assert_eq!(live.len(), 18);
    assert!(live.windows(2).all(|pair| pair[0].key < pair[1].key), "in the order of their keys");
    assert_eq!(live.iter().filter(|pair| pair.value.len() == 5003).count(), 1);
    for pair in live.iter().filter(|pair| pair.value.len() < 1000) {
        let (offset, length) = pair.range;
        assert_eq!(&FILE[offset as usize..][..length as usize], &*pair.value);
    }
}

#[test]
fn what_was_overwritten_or_deleted_is_found_and_never_live() {
    let found = read(FILE, &known);
    let told = |state: State| -> Vec<Vec<u8>> {
        found.pairs.iter().filter(|pair| pair.state == state).map(|pair| pair.value.to_vec()).collect()
    };
    // The label's value is whole; the private key's too, but not the key before it.
    assert!(told(State::Recovered).iter().any(|value| value.ends_with(b"to be deleted")));
    assert_eq!(told(State::Superseded), [] as [Vec<u8>; 0]);
    let der = |bytes: &[u8]| bytes.windows(5).any(|five| five == [2, 1, 1, 4, 32]);
    assert_eq!(found.slack.iter().filter(|(_, bytes)| der(bytes)).count(), 1);
    for (place, bytes) in &found.slack {
        assert_eq!(&FILE[*place as usize..][..bytes.len()], *bytes);
    }
}

#[test]
fn flipped_or_cut_anywhere_it_ends() {
    for at in (0..FILE.len()).step_by(13) {
        let mut file = FILE.to_vec();
        file[at] ^= 0xff;
        read(&file, &known);
        read(&FILE[..at], &known);
    }
    // A page that names itself as its child, and a long item that goes on in itself.
    let mut file = FILE.to_vec();
    for start in (0..file.len()).step_by(4096) {
        let number = (start / 4096) as u32;
        file[start + 16..start + 20].copy_from_slice(&number.to_le_bytes());
    }
    read(&file, &known);
}
