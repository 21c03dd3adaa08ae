//! Apple's packings LZFSE and LZVN, by the library `lzfse_rust`; memory is bounded by what may come out.

use super::fields::damaged;
use std::io::{self, Read};

/// First bytes of a block of LZVN inside LZFSE, and the end of the stream.
const LZVN: &[u8] = b"bvxn";
const END: &[u8] = b"bvx$";

/// Unpacks LZFSE: so many bytes at most.
pub fn lzfse(packed: &[u8], room: usize) -> io::Result<Vec<u8>> {
    let mut data = Vec::new();
    let mut decoder = lzfse_rust::LzfseRingDecoder::default();
    let read = decoder.reader(packed).take((room as u64).saturating_add(1)).read_to_end(&mut data);
    match read {
        Ok(_) if data.len() <= room => Ok(data),
        Ok(_) => Err(damaged(&format!("packed data do not end after {room} bytes"))),
        Err(error) => Err(damaged(&format!("packed data: {error}"))),
    }
}

/// Unpacks LZVN as it lies in files, without any head, into exactly so many bytes.
pub fn lzvn(packed: &[u8], bytes: usize) -> io::Result<Vec<u8>> {
    let number = |count: usize| u32::try_from(count).map(u32::to_le_bytes).map_err(|_| damaged("a block of LZVN of 4 GiB"));
    let stream = [LZVN, &number(bytes)?, &number(packed.len())?, packed, END].concat();
    lzfse(&stream, bytes)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// What Apple's own encoder (liblzfse 1.0, through `pyliblzfse`) makes of [`plain`]: one block of LZVN.
    pub const LZVN_STREAM: &[u8] = include_bytes!("lzfse/plain.lzvn");
    /// And of [`plain`] forty times over: LZFSE.
    pub const LZFSE_STREAM: &[u8] = include_bytes!("lzfse/forty.lzfse");

    /// Text with repetitions.
    pub fn plain() -> Vec<u8> {
        (0..40).flat_map(|line| format!("line {line:06} of the ledger: {}\n", line * 7919 % 10_007).into_bytes()).collect()
    }

    #[test]
    fn what_apples_encoder_packed() {
        assert_eq!(lzvn(LZVN_STREAM, plain().len()).unwrap(), plain());
        let forty = plain().repeat(40);
        assert_eq!(lzfse(LZFSE_STREAM, forty.len()).unwrap(), forty);
        assert!(lzfse(LZFSE_STREAM, forty.len() - 1).is_err() && lzvn(LZVN_STREAM, plain().len() - 1).is_err());
    }

    #[test]
    fn damage_is_told_and_takes_no_memory() {
        for at in 0..LZVN_STREAM.len() {
            let mut changed = LZVN_STREAM.to_vec();
            changed[at] ^= 0x40;
            if let Ok(data) = lzvn(&changed, plain().len()) {
                assert!(data.len() <= plain().len());
            }
            assert!(lzvn(&LZVN_STREAM[..at], plain().len()).is_err());
        }
        for at in 0..LZFSE_STREAM.len() {
            assert!(lzfse(&LZFSE_STREAM[..at], 1 << 20).is_err());
        }
    }
}
