//! Words near a weak value that hold it up, or tear it down.

/// Bytes searched before and behind.
const BEFORE: usize = 80;
const BEHIND: usize = 48;

/// What keys, not wallets, are written with.
pub const FINGERPRINT: &[&str] = &["fingerprint", "pgp", "gpg", "keyserver", "openpgp", "key id"];

/// What speaks of Solana and nothing else.
pub const SOLANA: &[&str] = &["solana", "sol", "spl", "phantom", "solscan", "raydium", "solflare"];

const EVM: &[&str] = &[
    "ethereum",
    "wallet",
    "address",
    "addr",
    "usdt",
    "usdc",
    "erc20",
    "erc-20",
    "bep20",
    "bep-20",
    "bsc",
    "metamask",
    "etherscan",
    "bscscan",
    "eth",
    "bnb",
    "matic",
    "polygon",
    "crypto",
    "token",
    "contract",
    "deposit",
    "withdraw",
    "payout",
    "адрес",
    "кошел",
    "地址",
    "钱包",
    "錢包",
    "billetera",
    "cartera",
    "dirección",
    "ví",
];
const TRON: &[&str] = &["tron", "trx", "trc20", "trc-20", "usdt", "owner_address", "to_address", "contract_address", "tronscan"];
const TON: &[&str] = &["ton", "toncoin", "tonkeeper", "tonscan", "tonviewer", "jetton", "wallet", "address", "workchain"];

/// The words that hold up a weak address of a chain.
pub fn words(chain: &str) -> &'static [&'static str] {
    match chain {
        "ethereum" => EVM,
        "tron" => TRON,
        "ton" => TON,
        "solana" => SOLANA,
        _ => &[],
    }
}

/// The first of the words, in their order, that stands near. A word of up to four letters must stand alone; a longer one may be part
/// of another (`walletAddress`).
pub fn near(bytes: &[u8], span: (usize, usize), words: &'static [&'static str]) -> Option<&'static str> {
    let from = span.0.saturating_sub(BEFORE);
    let to = span.1.saturating_add(BEHIND).min(bytes.len());
    let before = bytes.get(from..span.0).unwrap_or(&[]).to_ascii_lowercase();
    let behind = bytes.get(span.1..to).unwrap_or(&[]).to_ascii_lowercase();
    words.iter().copied().find(|word| stands(&before, word) || stands(&behind, word))
}

fn stands(text: &[u8], word: &str) -> bool {
    let alone = word.is_ascii() && word.len() <= 4;
    let word = word.as_bytes();
    let Some((first, _)) = word.split_first() else { return false };
    memchr::memchr_iter(*first, text).any(|at| {
        let same = text.get(at..at + word.len()) == Some(word);
        let before = at.checked_sub(1).and_then(|before| text.get(before));
        let behind = text.get(at + word.len());
        let letter = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphabetic);
        same && (!alone || (!letter(before) && !letter(behind)))
    })
}
