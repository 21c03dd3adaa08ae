//! Bitcoin transactions: outputs that are spent, outputs that are made, and the id (`primitives/transaction.h`, BIP-144).

use super::chain::Chain;
use super::serialized::Reader;
use sha2::{Digest as _, Sha256};

/// A transaction.
#[derive(Debug, Default, PartialEq)]
pub struct Transaction {
    /// Its id as block explorers write it.
    pub id: String,
    /// The outputs that it spends: id and number.
    pub inputs: Vec<(String, u32)>,
    /// The outputs that it makes: the address, where the script pays to one, and the amount in the smallest unit.
    pub outputs: Vec<(Option<String>, u64)>,
}

/// Reads a transaction and takes it from the reader.
pub fn read(reader: &mut Reader<'_>, chain: &Chain) -> Option<Transaction> {
    let whole = reader.0;
    let mut plain = reader.take(4)?.to_vec();
    // A witness is told by no inputs and a flag; it is not part of what the id is made from.
    let witness = reader.0.starts_with(&[0, 1]);
    if witness {
        reader.take(2)?;
    }
    let start = reader.0;
    let mut transaction = Transaction::default();
    let inputs = reader.size()?;
    for _ in 0..inputs {
        let id = id_text(reader.take(32)?);
        transaction.inputs.push((id, reader.u32()?));
        reader.bytes()?;
        reader.u32()?;
    }
    let outputs = reader.size()?;
    for _ in 0..outputs {
        let amount = reader.u64()?;
        transaction.outputs.push((chain.address_of_script(reader.bytes()?), amount));
    }
    plain.extend_from_slice(start.get(..start.len().checked_sub(reader.0.len())?)?);
    if witness {
        for _ in 0..inputs {
            for _ in 0..reader.size()? {
                reader.bytes()?;
            }
        }
    }
    plain.extend_from_slice(reader.take(4)?);
    debug_assert!(plain.len() <= whole.len(), "nothing is added");
    transaction.id = id_text(&Sha256::digest(Sha256::digest(&plain)));
    Some(transaction)
}

/// A hash as it is written: the last byte first.
pub fn id_text(hash: &[u8]) -> String {
    hash.iter().rev().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::wallet::bitcoin::chain::BITCOIN;

    fn unhex(hex: &str) -> Vec<u8> {
        hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    /// The coinbase transaction of Bitcoin's first block, and the signed P2WPKH transaction of BIP-143 with its id.
    #[test]
    fn known_transactions_have_their_ids() {
        let genesis = "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff4d04ffff001d010445546865205469\
                       6d65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e206272696e6b206f66207365636f6e64206261696c6f757420666f\
                       722062616e6b73ffffffff0100f2052a01000000434104678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61deb649\
                       f6bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac00000000";
        let bytes = unhex(genesis);
        let mut reader = Reader(&bytes);
        let read = read(&mut reader, &BITCOIN).unwrap();
        assert_eq!(read.id, "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b");
        assert_eq!(read.outputs, [(Some("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa".to_owned()), 5_000_000_000)]);
        assert!(reader.is_empty());
        for cut in 0..bytes.len() {
            assert!(super::read(&mut Reader(&bytes[..cut]), &BITCOIN).is_none(), "{cut}");
        }
    }

    #[test]
    fn a_witness_is_not_part_of_the_id() {
        let signed = "01000000000101db6b1b20aa0fd7b23880be2ecbd4a98130974cf4748fb66092ac4d3ceb1a5477010000001716001479091972186c449eb1de\
                      d22b78e40d009bdf0089feffffff02b8b4eb0b000000001976a914a457b684d7f0d539a46a45bbc043f35b59d0d96388ac0008af2f0000\
                      00001976a914fd270b1ee6abcaea97fea7ad0402e8bd8ad6d77c88ac02473044022047ac8e878352d3ebbde1c94ce3a10d057c24175747\
                      116f8288e5d794d12d482f0220217f36a485cae903c713331d877c1f64677e3622ad4010726870540656fe9dcb012103ad1d8e89212f0b\
                      92c74d23bb710c00662ad1470198ac48c43f7d6f93a2a2687392040000";
        let bytes = unhex(signed);
        let read = read(&mut Reader(&bytes), &BITCOIN).unwrap();
        assert_eq!(read.id, "ef48d9d0f595052e0f8cdcf825f7a5e50b6a388a81f206f3f4846e5ecd7a0c23");
        assert_eq!(read.outputs[0], (Some("1Fyxts6r24DpEieygQiNnWxUdb18ANa5p7".to_owned()), 199_996_600));
        assert_eq!(read.inputs, [("77541aeb3c4dac9260b68f74f44c973081a9d4cb2ebe8038b2d70faa201b6bdb".to_owned(), 1)]);
    }
}
