//! What differs between Bitcoin and the coins made from it: version bytes and the first block (`chainparams.cpp` of each).

use bech32::{Fe32, Hrp, segwit};
use ripemd::Ripemd160;
use sha2::{Digest as _, Sha256};

/// A chain.
#[derive(PartialEq, Debug)]
pub struct Chain {
    /// In the words of `observable.chain`.
    pub name: &'static str,
    /// Name of the program that keeps its wallet.
    pub app: &'static str,
    /// Version bytes of an address that pays to a key, to a script, and of a private key.
    key: u8,
    script: u8,
    private: u8,
    /// What stands before a segregated witness address, where the chain has them.
    witness: Option<&'static str>,
    /// The hash of the first block as explorers write it.
    genesis: &'static str,
    /// The first four bytes of its messages: the application id of a SQLite wallet.
    magic: Option<u32>,
    /// What the folder begins with that its programs keep their data in.
    folder: &'static str,
}

/// Bitcoin.
pub const BITCOIN: Chain = Chain {
    name: "bitcoin",
    app: "Bitcoin Core",
    key: 0,
    script: 5,
    private: 0x80,
    witness: Some("bc"),
    genesis: "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f",
    magic: Some(0xf9be_b4d9),
    folder: "bitcoin",
};

/// Bitcoin's test network; those after it and the signet have the same version bytes.
pub const TESTNET: Chain = Chain {
    name: "bitcoin_testnet",
    app: "Bitcoin Core",
    key: 111,
    script: 196,
    private: 0xef,
    witness: Some("tb"),
    genesis: "000000000933ea01ad0ee984209779baaec3ced90fa3f408719526f8d77f4943",
    magic: Some(0x0b11_0907),
    folder: "testnet3",
};

/// The chains, the one that is assumed where nothing tells first.
const CHAINS: [Chain; 8] = [
    BITCOIN,
    TESTNET,
    Chain {
        genesis: "00000000da84f2bafbbc53dee25a72ae507ff4914b867c565be350b0da8bf043",
        magic: Some(0x1c16_3f28),
        folder: "testnet4",
        ..TESTNET
    },
    Chain {
        genesis: "00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6",
        magic: Some(0x0a03_cf40),
        folder: "signet",
        ..TESTNET
    },
    Chain {
        witness: Some("bcrt"),
        genesis: "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206",
        magic: Some(0xfabf_b5da),
        folder: "regtest",
        ..TESTNET
    },
    Chain {
        name: "litecoin",
        app: "Litecoin Core",
        key: 48,
        script: 50,
        private: 0xb0,
        witness: Some("ltc"),
        genesis: "12a765e31ffd4059bada1e25190f6e98c99d9714d334efa41a195a7e7e04bfe2",
        magic: Some(0xfbc0_b6db),
        folder: "litecoin",
    },
    Chain {
        name: "dogecoin",
        app: "Dogecoin Core",
        key: 30,
        script: 22,
        private: 0x9e,
        witness: None,
        genesis: "1a91e3dace36e2be3bf030a65679fe821aa1d6ef92e7c9902eb318182c355691",
        magic: Some(0xc0c0_c0c0),
        folder: "dogecoin",
    },
    Chain {
        name: "dash",
        app: "Dash Core",
        key: 76,
        script: 16,
        private: 0xcc,
        witness: None,
        genesis: "00000ffd590b1485b3caadc19b22e6379c733355108f107a430458cdf3407ab6",
        magic: Some(0xbf0c_6bbd),
        folder: "dash",
    },
];

/// The chain of a wallet and what told it: its first block, the application id of its file, the version byte of an address in it, its
/// path; else Bitcoin, whose format it is.
pub fn told<'a>(
    genesis: Option<&str>,
    magic: Option<u32>,
    mut addresses: impl Iterator<Item = &'a str>,
    path: &str,
) -> (&'static Chain, &'static str) {
    let by = |fits: &dyn Fn(&Chain) -> bool| CHAINS.iter().find(|chain| fits(chain));
    if let Some(chain) = genesis.and_then(|genesis| by(&|chain| chain.genesis == genesis)) {
        return (chain, "first block");
    }
    if let Some(chain) = magic.and_then(|magic| by(&|chain| chain.magic == Some(magic))) {
        return (chain, "application id");
    }
    if let Some(chain) = addresses.find_map(|address| by(&|chain| chain.has(address))) {
        return (chain, "address");
    }
    let path = path.to_ascii_lowercase();
    let below = |chain: &Chain| path.split('/').any(|step| step.trim_start_matches('.').starts_with(chain.folder));
    match by(&|chain| chain.folder != "bitcoin" && below(chain)).or_else(|| by(&below)) {
        Some(chain) => (chain, "path"),
        None => (&BITCOIN, "assumed"),
    }
}

/// RIPEMD-160 of SHA-256: what an address stands for.
pub fn hash160(bytes: &[u8]) -> [u8; 20] {
    Ripemd160::digest(Sha256::digest(bytes)).into()
}

impl Chain {
    /// The chain of a network's name as bitcoinj has it: `org.bitcoin.production`.
    pub fn of_network(network: &str) -> &'static Chain {
        if network.ends_with(".test") || network.ends_with(".regtest") || network.ends_with(".unittest") {
            return &TESTNET;
        }
        CHAINS.iter().find(|chain| network.split('.').any(|step| step == chain.name)).unwrap_or(&BITCOIN)
    }

    /// Whether the address is one of this chain, by its version and checksum.
    pub fn has(&self, address: &str) -> bool {
        if let Some(Ok((hrp, _, _))) = self.witness.map(|_| segwit::decode(address)) {
            return self.witness.is_some_and(|witness| hrp.to_lowercase() == witness);
        }
        let decoded = bs58::decode(address).with_check(None).into_vec();
        decoded.is_ok_and(|payload| {
            payload.len() == 21 && payload.first().is_some_and(|version| *version == self.key || *version == self.script)
        })
    }

    /// The hash that an address of this chain pays to: of a key or a script.
    pub fn hash_of(&self, address: &str) -> Option<Vec<u8>> {
        if let Ok((_, _, program)) = segwit::decode(address) {
            return Some(program);
        }
        bs58::decode(address).with_check(None).into_vec().ok().and_then(|payload| payload.get(1..).map(<[u8]>::to_vec))
    }

    fn base58(&self, version: u8, payload: &[u8]) -> String {
        bs58::encode([&[version], payload].concat()).with_check().into_string()
    }

    fn segwit(&self, version: Fe32, program: &[u8]) -> Option<String> {
        segwit::encode(Hrp::parse(self.witness?).ok()?, version, program).ok()
    }

    /// The address that pays to a key.
    pub fn pay_to_key(&self, public_key: &[u8]) -> String {
        self.base58(self.key, &hash160(public_key))
    }

    /// The address that pays to a script.
    pub fn pay_to_script(&self, script: &[u8]) -> String {
        self.base58(self.script, &hash160(script))
    }

    /// The segregated witness address of a key; an uncompressed key has none.
    pub fn witness_key(&self, public_key: &[u8]) -> Option<String> {
        (public_key.len() == 33).then(|| self.segwit(Fe32::Q, &hash160(public_key))).flatten()
    }

    /// The same inside of a script's address.
    pub fn nested_witness_key(&self, public_key: &[u8]) -> Option<String> {
        self.witness.filter(|_| public_key.len() == 33)?;
        Some(self.pay_to_script(&[&[0, 20], hash160(public_key).as_slice()].concat()))
    }

    /// The taproot address of an output key.
    pub fn taproot(&self, output_key: &[u8]) -> Option<String> {
        self.segwit(Fe32::P, output_key)
    }

    /// A private key in wallet import format.
    pub fn private_key(&self, secret: &[u8], compressed: bool) -> String {
        let end: &[u8] = if compressed { &[1] } else { &[] };
        self.base58(self.private, &[secret, end].concat())
    }

    /// The address that a script pays to, if it is of a standard form.
    pub fn address_of_script(&self, script: &[u8]) -> Option<String> {
        match script {
            [0x76, 0xa9, 20, hash @ .., 0x88, 0xac] if hash.len() == 20 => Some(self.base58(self.key, hash)),
            [0xa9, 20, hash @ .., 0x87] if hash.len() == 20 => Some(self.base58(self.script, hash)),
            [33, key @ .., 0xac] if key.len() == 33 => Some(self.pay_to_key(key)),
            [65, key @ .., 0xac] if key.len() == 65 => Some(self.pay_to_key(key)),
            [0, length @ (20 | 32), program @ ..] if program.len() == usize::from(*length) => self.segwit(Fe32::Q, program),
            [0x51, 32, program @ ..] if program.len() == 32 => self.segwit(Fe32::P, program),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unhex(hex: &str) -> Vec<u8> {
        hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    /// Addresses of the same keys in BIP-49, BIP-84 and BIP-86, the key of private key 1, and its private key as wallets write it.
    #[test]
    fn addresses_of_published_keys() {
        let one = unhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798");
        assert_eq!(BITCOIN.pay_to_key(&one), "1BgGZ9tcN4rm9KBzDn7KprQz87SZ26SAMH");
        assert_eq!(BITCOIN.witness_key(&one).as_deref(), Some("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"));
        assert_eq!(BITCOIN.nested_witness_key(&one).as_deref(), Some("3JvL6Ymt8MVWiCNHC7oWU6nLeHNJKLZGLN"));
        let mut secret = [0; 32];
        secret[31] = 1;
        assert_eq!(BITCOIN.private_key(&secret, true), "KwDiBf89QgGbjEhKnhXJuH7LrciVrZi3qYjgd9M7rFU73sVHnoWn");
        let nested = unhex("03a1af804ac108a8a51782198c2d034b28bf90c8803f5a53f76276fa69a4eae77f");
        assert_eq!(TESTNET.nested_witness_key(&nested).as_deref(), Some("2Mww8dCYPUpKHofjgcXcBCEGmniw9CoaiD2"));
        let taproot = unhex("a60869f0dbcf1dc659c9cecbaf8050135ea9e8cdc487053f1dc6880949dc684c");
        let wanted = "bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr";
        assert_eq!(BITCOIN.taproot(&taproot).as_deref(), Some(wanted));
        assert_eq!(BITCOIN.address_of_script(&[&[0x51, 32], taproot.as_slice()].concat()).as_deref(), Some(wanted));
    }

    #[test]
    fn a_chain_is_told_by_the_strongest_sign() {
        let doge = "D9tUWRmNkEadHWd5JSvcz5yW9rxHhs196m";
        let of = |genesis, magic, address: &str, path| told(genesis, magic, [address].into_iter(), path);
        assert_eq!(of(None, None, doge, "x/.litecoin/wallet.dat").0.name, "dogecoin");
        let first = Some("12a765e31ffd4059bada1e25190f6e98c99d9714d334efa41a195a7e7e04bfe2");
        assert_eq!(of(first, None, doge, "").0.name, "litecoin");
        assert_eq!(of(None, Some(0x0b11_0907), doge, "").0.name, "bitcoin_testnet");
        assert_eq!(of(None, None, "", "home/u/.dashcore/wallet.dat"), (&CHAINS[7], "path"));
        assert_eq!(of(None, None, "", "wallet.dat"), (&BITCOIN, "assumed"));
    }
}
