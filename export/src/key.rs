//! The unit's signing key: an OpenSSH Ed25519 private key, and what is derived from it.

use crate::Error;
use crate::bundle::checkpoint::NAMESPACE;
use hkdf::Hkdf;
use model::Digest;
use sha2::Sha256;
use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, HashAlg, LineEnding, PrivateKey, PublicKey, SshSig};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A unit's key.
#[derive(Clone)]
pub struct UnitKey {
    private: PrivateKey,
}

impl std::fmt::Debug for UnitKey {
    /// Names the public half only.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UnitKey({})", self.fingerprint())
    }
}

impl UnitKey {
    /// Makes a key and writes it to a file that must not exist (mode 0600, folders on the way 0700), its public half beside it
    /// as `.pub`.
    pub fn generate(path: &Path) -> Result<UnitKey, Error> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            use std::os::unix::fs::DirBuilderExt;
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io)?;
        }
        let mut private = PrivateKey::random(&mut OsRng, Algorithm::Ed25519)?;
        private.set_comment("haul unit key");
        let text = private.to_openssh(LineEnding::LF)?;
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(path).map_err(io)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
        let key = UnitKey { private };
        let public = path.with_file_name(format!("{}.pub", path.file_name().unwrap_or_default().to_string_lossy()));
        fs::write(public, format!("{}\n", key.public_line())).map_err(io)?;
        Ok(key)
    }

    /// Reads a key; it must be an unencrypted Ed25519 key.
    pub fn read(path: &Path) -> Result<UnitKey, Error> {
        let text = fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
        let private = PrivateKey::from_openssh(text)?;
        if private.key_data().ed25519().is_none() {
            return Err(Error::Key(if private.is_encrypted() {
                ssh_key::Error::Encrypted
            } else {
                ssh_key::Error::AlgorithmUnknown
            }));
        }
        Ok(UnitKey { private })
    }

    /// Reads the key, or makes it if there is none.
    pub fn open_or_make(path: &Path) -> Result<UnitKey, Error> {
        if path.exists() { UnitKey::read(path) } else { UnitKey::generate(path) }
    }

    /// The public key as one line of an `authorized_keys` file, without comment.
    pub fn public_line(&self) -> String {
        let mut public = self.private.public_key().clone();
        public.set_comment("");
        // An Ed25519 public key always has a text form.
        public.to_openssh().unwrap_or_default().trim_end().to_owned()
    }

    /// `SHA256:…`, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        self.private.fingerprint(HashAlg::Sha256).to_string()
    }

    /// Signs a checkpoint: an armored SSHSIG. Ed25519 is deterministic, so the same checkpoint has the same signature.
    pub fn sign(&self, checkpoint: &str) -> Result<String, Error> {
        self.sign_as(NAMESPACE, checkpoint.as_bytes())
    }

    /// Signs a message for another use (an SSHSIG namespace), the same way.
    pub fn sign_as(&self, namespace: &str, message: &[u8]) -> Result<String, Error> {
        Ok(self.private.sign(namespace, HashAlg::Sha512, message)?.to_pem(LineEnding::LF)?)
    }

    /// The seed of a bundle's salts: HKDF-SHA256 (RFC 5869) of the private key, bound to case and exhibit.
    pub fn bundle_seed(&self, case_label: &str, number: &str) -> [u8; 32] {
        seed(&self.secret(), case_label, number)
    }

    /// The seed of a merged bundle's salts, bound to its parts (SHA-256 over their sorted ids).
    pub fn merged_seed(&self, parts: Digest) -> [u8; 32] {
        expand(&self.secret(), &merged_info(parts))
    }

    fn secret(&self) -> [u8; 32] {
        self.private.key_data().ed25519().map(|pair| pair.private.to_bytes()).unwrap_or_default()
    }
}

/// Whether an armored SSHSIG is that key line's over a message. Base64 can say one thing in several ways, and SSHSIG's version is not
/// signed: only the one form of both counts, so that no bit is free.
pub(crate) fn holds(signer: &str, signature: &str, namespace: &str, message: &[u8]) -> bool {
    let (Ok(key), Ok(parsed)) = (PublicKey::from_openssh(signer), SshSig::from_pem(signature)) else { return false };
    let one_form = parsed.version() == SshSig::VERSION
        && parsed.to_pem(LineEnding::LF).is_ok_and(|pem| pem == signature)
        && key.to_openssh().is_ok_and(|line| line == signer);
    one_form && key.verify(namespace, message, &parsed).is_ok()
}

/// The seed of an unsigned bundle: from case and exhibit alone, so its salts hide nothing from whoever knows both.
pub fn unsigned_seed(case_label: &str, number: &str) -> [u8; 32] {
    seed(b"", case_label, number)
}

/// The seed of an unsigned merged bundle: from its parts alone.
pub fn unsigned_merged_seed(parts: Digest) -> [u8; 32] {
    expand(b"", &merged_info(parts))
}

fn merged_info(parts: Digest) -> Vec<u8> {
    [b"haul merged seed v1".as_slice(), &parts.0].concat()
}

fn seed(secret: &[u8], case_label: &str, number: &str) -> [u8; 32] {
    let mut info = b"haul bundle seed v1".to_vec();
    for part in [case_label, number] {
        info.extend_from_slice(&(part.len() as u64).to_le_bytes());
        info.extend_from_slice(part.as_bytes());
    }
    expand(secret, &info)
}

fn expand(secret: &[u8], info: &[u8]) -> [u8; 32] {
    let mut seed = [0u8; 32];
    // 32 bytes are far below the 255 blocks that HKDF can give: this cannot fail.
    let expanded = Hkdf::<Sha256>::new(None, secret).expand(info, &mut seed);
    debug_assert!(expanded.is_ok());
    seed
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn folder(name: &str) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("haul-key-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_key_is_private_and_never_overwritten() {
        let folder = folder("made");
        let path = folder.join("deep/unit_ed25519");
        let key = UnitKey::open_or_make(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(UnitKey::read(&path).unwrap().public_line(), key.public_line());
        assert!(UnitKey::generate(&path).is_err());
        assert_eq!(UnitKey::open_or_make(&path).unwrap().public_line(), key.public_line());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn seeds_differ_by_key_case_and_exhibit() {
        let folder = folder("seeds");
        let key = UnitKey::generate(&folder.join("k")).unwrap();
        let seeds = [
            key.bundle_seed("c", "1"),
            key.bundle_seed("c", "2"),
            key.bundle_seed("c1", ""),
            unsigned_seed("c", "1"),
            unsigned_seed("c1", ""),
        ];
        for (place, seed) in seeds.iter().enumerate() {
            assert!(!seeds[..place].contains(seed));
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
