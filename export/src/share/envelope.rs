//! Encryption to recipients with age (<https://age-encryption.org/v1>): SSH keys and age's own.

use crate::Error;
use age::{Decryptor, Encryptor, Identity, Recipient};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::Path;
use std::str::FromStr;

/// Those who can open a file.
pub struct Recipients(Vec<Box<dyn Recipient + Send>>);

impl Recipients {
    /// Of public keys, one a line: `ssh-ed25519 …`, `ssh-rsa …`, `age1…`; `#` begins a remark.
    ///
    /// # Errors
    /// A line that is no such key; no key at all.
    pub fn of<'l>(lines: impl IntoIterator<Item = &'l str>) -> Result<Recipients, Error> {
        let mut recipients: Vec<Box<dyn Recipient + Send>> = Vec::new();
        for line in lines.into_iter().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            match (age::ssh::Recipient::from_str(line), age::x25519::Recipient::from_str(line)) {
                (Ok(recipient), _) => recipients.push(Box::new(recipient)),
                (_, Ok(recipient)) => recipients.push(Box::new(recipient)),
                _ => {
                    return Err(Error::Share(format!("{} is no public key that can be encrypted to", model::text::escape(line))));
                }
            }
        }
        match recipients.is_empty() {
            true => Err(Error::Share("no recipient".to_owned())),
            false => Ok(Recipients(recipients)),
        }
    }

    /// Encrypts a file into another that must not exist.
    ///
    /// # Errors
    /// What the files say.
    pub fn encrypt(&self, from: &Path, to: &Path) -> Result<(), Error> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Io { path, source }
        };
        let recipients = self.0.iter().map(|recipient| &**recipient as &dyn Recipient);
        let encryptor = Encryptor::with_recipients(recipients).map_err(|error| Error::Share(error.to_string()))?;
        let mut plain = File::open(from).map_err(io(from))?;
        let file = File::create_new(to).map_err(io(to))?;
        let write = || -> io::Result<()> {
            let mut out = encryptor.wrap_output(BufWriter::new(&file))?;
            io::copy(&mut plain, &mut out)?;
            out.finish()?.flush()?;
            file.sync_all()
        };
        write().map_err(io(to))
    }
}

/// Decrypts a file into another that must not exist, with a private key in a file: SSH without a passphrase, or age.
///
/// # Errors
/// A file that is not encrypted to that key, or was changed.
pub fn decrypt(from: &Path, to: &Path, identity: &Path) -> Result<(), Error> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io { path, source }
    };
    let refuse = |error: age::DecryptError| Error::Share(format!("{}: {error}", from.display()));
    let identities = identities(identity)?;
    let decryptor = Decryptor::new_buffered(BufReader::new(File::open(from).map_err(io(from))?)).map_err(refuse)?;
    let mut plain = decryptor.decrypt(identities.iter().map(|identity| &**identity)).map_err(refuse)?;
    let mut file = File::create_new(to).map_err(io(to))?;
    match io::copy(&mut plain, &mut file).and_then(|_| file.sync_all()) {
        Ok(()) => Ok(()),
        // What was sent is damaged: no later attempt mends it.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) => {
            Err(Error::Share(format!("{}: was changed or cut short", from.display())))
        }
        Err(error) => Err(io(from)(error)),
    }
}

fn identities(path: &Path) -> Result<Vec<Box<dyn Identity>>, Error> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let text = std::fs::read_to_string(path).map_err(io)?;
    if text.contains("AGE-SECRET-KEY-1") {
        let keys = text.lines().map(str::trim).filter(|line| line.starts_with("AGE-SECRET-KEY-1"));
        let keys = keys.map(|line| age::x25519::Identity::from_str(line).map(|key| Box::new(key) as Box<dyn Identity>));
        return keys.collect::<Result<_, _>>().map_err(|words| Error::Share(format!("{}: {words}", path.display())));
    }
    match age::ssh::Identity::from_buffer(text.as_bytes(), None).map_err(io)? {
        key @ age::ssh::Identity::Unencrypted(_) => Ok(vec![Box::new(key)]),
        _ => Err(Error::Share(format!("{}: a key with a passphrase, or of a kind that cannot decrypt", path.display()))),
    }
}
