//! Public keys from public keys: BIP-32 without secrets, the output key of taproot (BIP-341), and the public key of a private one.

use hmac::{Hmac, Mac};
use k256::elliptic_curve::PrimeField;
use k256::elliptic_curve::group::GroupEncoding;
use k256::elliptic_curve::sec1::ToEncodedPoint;
use k256::{ProjectivePoint, PublicKey, Scalar, SecretKey};
use sha2::{Digest as _, Sha256, Sha512};

/// Bytes of an extended key behind its version.
const EXTENDED: usize = 74;

/// An extended public key, as far as children are made from it.
#[derive(Clone, PartialEq, Debug)]
pub struct Extended {
    chain_code: [u8; 32],
    key: ProjectivePoint,
}

impl Extended {
    /// From the 74 bytes behind the version: depth, fingerprint of the parent, number, chain code, key.
    pub fn read(bytes: &[u8]) -> Option<Extended> {
        if bytes.len() != EXTENDED {
            return None;
        }
        let key = PublicKey::from_sec1_bytes(bytes.get(41..)?).ok()?.to_projective();
        Some(Extended { chain_code: *bytes.get(9..41)?.first_chunk()?, key })
    }

    /// From its text.
    pub fn parse(text: &str) -> Option<Extended> {
        let bytes = bs58::decode(text).with_check(None).into_vec().ok()?;
        Extended::read(bytes.get(4..)?)
    }

    /// Its key, compressed.
    pub fn public_key(&self) -> Vec<u8> {
        self.key.to_affine().to_encoded_point(true).as_bytes().to_vec()
    }

    /// A child; `None` for a hardened one, which only the private key has.
    pub fn child(&self, number: u32) -> Option<Extended> {
        if number >> 31 != 0 {
            return None;
        }
        let mut mac = <Hmac<Sha512> as Mac>::new_from_slice(&self.chain_code).ok()?;
        mac.update(&self.public_key());
        mac.update(&number.to_be_bytes());
        let digest = mac.finalize().into_bytes();
        let (left, right) = digest.split_first_chunk::<32>()?;
        let key = self.key + ProjectivePoint::GENERATOR * scalar(left)?;
        Some(Extended { chain_code: *right.first_chunk()?, key })
    }
}

fn scalar(bytes: &[u8; 32]) -> Option<Scalar> {
    Option::from(Scalar::from_repr((*bytes).into()))
}

/// The output key of taproot that commits to a key and to no script.
pub fn taproot(public_key: &[u8]) -> Option<Vec<u8>> {
    let x = public_key.get(1..33)?;
    // The key with that x and an even y.
    let even = PublicKey::from_sec1_bytes(&[&[2], x].concat()).ok()?.to_projective();
    let tag = Sha256::digest(b"TapTweak");
    let tweak: [u8; 32] = Sha256::new().chain_update(tag).chain_update(tag).chain_update(x).finalize().into();
    let output = (even + ProjectivePoint::GENERATOR * scalar(&tweak)?).to_affine();
    output.to_bytes().get(1..).map(<[u8]>::to_vec)
}

/// The public key of a private one.
pub fn public_of(secret: &[u8], compressed: bool) -> Option<Vec<u8>> {
    let secret = SecretKey::from_slice(secret).ok()?;
    Some(secret.public_key().to_encoded_point(compressed).as_bytes().to_vec())
}

/// The extended private key of an extended public one, whose key is given with its secret.
pub fn private_of(extended: &str, public_key: &[u8], secret: &[u8]) -> Option<String> {
    let mut bytes = bs58::decode(extended).with_check(None).into_vec().ok()?;
    if bytes.len() != EXTENDED + 4 || bytes.get(45..) != Some(public_key) {
        return None;
    }
    // Versions of BIP-32.
    let version: [u8; 4] = match bytes.first_chunk()? {
        [0x04, 0x88, 0xb2, 0x1e] => [0x04, 0x88, 0xad, 0xe4],
        [0x04, 0x35, 0x87, 0xcf] => [0x04, 0x35, 0x83, 0x94],
        _ => return None,
    };
    bytes.get_mut(..4)?.copy_from_slice(&version);
    bytes.truncate(45);
    bytes.push(0);
    bytes.extend_from_slice(secret);
    Some(bs58::encode(bytes).with_check().into_string())
}

/// Whether bytes are a public key: a point of the curve.
pub fn is_public_key(bytes: &[u8]) -> bool {
    matches!(bytes.len(), 33 | 65) && PublicKey::from_sec1_bytes(bytes).is_ok()
}

/// The secret of a private key in DER as OpenSSL wrote it: `30 … 02 01 01 04 20` and the secret (`key.cpp`).
pub fn secret_of_der(der: &[u8]) -> Option<&[u8]> {
    let head = der.get(..16)?;
    let at = memchr::memmem::find(head, &[2, 1, 1, 4, 32])?;
    der.get(at + 5..at + 37)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::base64::hex;

    /// BIP-84 and BIP-86: the first addresses of the account keys of `abandon … about`.
    #[test]
    fn first_keys_of_published_accounts() {
        let zpub =
            "zpub6rFR7y4Q2AijBEqTUquhVz398htDFrtymD9xYYfG1m4wAcvPhXNfE3EfH1r1ADqtfSdVCToUG868RvUUkgDKf31mGDtKsAYz2oz2AGutZYs";
        let key = |text: &str, path: [u32; 2]| {
            let account = Extended::parse(text).unwrap();
            account.child(path[0]).unwrap().child(path[1]).unwrap().public_key()
        };
        assert_eq!(hex(&key(zpub, [0, 0])), "0330d54fd0dd420a6e5f8d3624f5f3482cae350f79d5f0753bf5beef9c2d91af3c");
        let taproot_account =
            "xpub6BgBgsespWvERF3LHQu6CnqdvfEvtMcQjYrcRzx53QJjSxarj2afYWcLteoGVky7D3UKDP9QyrLprQ3VCECoY49yfdDEHGCtMMj92pReUsQ";
        let internal = key(taproot_account, [0, 0]);
        assert_eq!(hex(&internal[1..]), "cc8a4bc64d897bddc5fbc2f670f7a8ba0b386779106cf1223c6fc5d7cd6fc115");
        assert_eq!(hex(&taproot(&internal).unwrap()), "a60869f0dbcf1dc659c9cecbaf8050135ea9e8cdc487053f1dc6880949dc684c");
        assert_eq!(Extended::parse(zpub).unwrap().child(1 << 31), None);
    }

    #[test]
    fn a_private_key_has_its_public_key() {
        let mut secret = [0; 32];
        secret[31] = 1;
        let public = public_of(&secret, true).unwrap();
        assert_eq!(hex(&public), "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798");
        assert!(is_public_key(&public) && !is_public_key(&public[1..]) && !is_public_key(&[4; 65]));
        assert_eq!(public_of(&[0; 32], true), None);
        let der = [&[0x30, 0x81, 0xd3, 2, 1, 1, 4, 32], secret.as_slice(), &[0xa0, 0x81, 0x85]].concat();
        assert_eq!(secret_of_der(&der), Some(secret.as_slice()));
        assert_eq!(secret_of_der(&der[..30]), None);
    }

    /// The master keys of BIP-32's first test vector.
    #[test]
    fn an_extended_key_with_its_secret() {
        let public =
            "xpub661MyMwAqRbcFtXgS5sYJABqqG9YLmC4Q1Rdap9gSE8NqtwybGhePY2gZ29ESFjqJoCu1Rupje8YtGqsefD265TMg7usUDFdp6W1EGMcet8";
        let private =
            "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi";
        let bytes = bs58::decode(private).with_check(None).into_vec().unwrap();
        let key = Extended::parse(public).unwrap().public_key();
        assert_eq!(private_of(public, &key, &bytes[46..]).as_deref(), Some(private));
        assert_eq!(private_of(public, &key[1..], &bytes[46..]), None);
    }
}
