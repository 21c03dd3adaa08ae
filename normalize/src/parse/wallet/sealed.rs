//! Wallets that are one encrypted text: recognized, and told which key they want.

/// What a content is and the key it wants, by its first bytes; `whole` where they are all of it.
pub fn form(head: &[u8], whole: bool) -> Option<(&'static str, &'static str)> {
    const PASSWORD: &str = "needs the wallet's password";
    // Electrum: base64 of the magic of its storage encryption (electrum/storage.py).
    if (head.starts_with(b"QklFMQ") || head.starts_with(b"QklFMg")) && is_base64(head) {
        return Some(("encrypted Electrum wallet", PASSWORD));
    }
    // OpenSSL's salted form in base64, as bitcoinj wallets for Android, MultiBit keys and coinomi backups have it.
    if head.starts_with(b"U2FsdGVkX1") && head.len() > 40 && is_base64(head) {
        return Some(("encrypted key backup (OpenSSL salted)", PASSWORD));
    }
    let has = |word: &[u8]| memchr::memmem::find(head, word).is_some();
    if whole && head.starts_with(b"{") && has(b"\"pbkdf2_iterations\"") && has(b"\"payload\"") {
        return Some(("encrypted Blockchain.com wallet", PASSWORD));
    }
    // Exodus: the Secure Container format (https://github.com/ExodusMovement/secure-container).
    if head.starts_with(b"SECO") && has(b"seco-v0-scrypt-aes") {
        return Some(("encrypted Exodus container", PASSWORD));
    }
    None
}

fn is_base64(head: &[u8]) -> bool {
    head.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'\r' | b'\n'))
}
