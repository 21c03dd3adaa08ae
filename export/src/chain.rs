//! A signed, hash-chained list of entries as a file of JSON lines: custody of a bundle, or a keyring.
//!
//! A line is the RFC 8785 form of an [`Entry`], ended by a line feed. `previous` is the SHA-256 of the line before (without its line
//! feed; 64 zeros for the first), `signature` an armored SSHSIG over the line without its member `signature`. So an edit, a line
//! dropped in the middle and a change of order show in the file alone. Lines dropped from its end do not: for those, whoever wrote
//! them keeps [`Heads`].

use crate::{Error, UnitKey, key};
use model::{Digest, text::escape};
use serde::{Deserialize, Serialize};
use ssh_key::{HashAlg, PublicKey};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Largest chain that is read, bytes: it may come from a stranger.
const MAX_BYTES: u64 = 64 << 20;
/// What stands before the first entry.
pub const BEGINNING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// One entry. The order of the members is that of RFC 8785.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What was done.
    pub action: String,
    /// Who did it: a person's name or number, as that person gave it.
    pub actor: String,
    /// More of it, by name.
    pub detail: BTreeMap<String, String>,
    /// SHA-256 of the line before, hexadecimal.
    pub previous: String,
    /// Why.
    pub reason: String,
    /// Place in the chain, from 0.
    pub seq: u64,
    /// Armored SSHSIG; empty while it is being made.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub signature: String,
    /// The signing key as one line.
    pub signer: String,
    /// What it was done to: SHA-256 of a bundle's checkpoint, hexadecimal, or `keyring`.
    pub subject: String,
    /// When, microseconds since 1970-01-01 UTC, by the clock of whoever wrote it.
    pub time: i64,
}

impl Entry {
    /// The line without its line feed.
    fn line(&self) -> Result<String, Error> {
        serde_json::to_string(self).map_err(|source| Error::Chain(source.to_string()))
    }

    /// What is signed: the line without its signature.
    fn signed(&self) -> Result<String, Error> {
        Entry { signature: String::new(), ..self.clone() }.line()
    }

    /// `SHA256:…` of the signing key.
    pub fn fingerprint(&self) -> Option<String> {
        let key = PublicKey::from_openssh(&self.signer);
        key.map_or(None, |key| Some(key.fingerprint(HashAlg::Sha256).to_string()))
    }

    /// What is wrong with its own text and signature.
    fn fault(&self, line: &str, namespace: &str) -> Result<Option<&'static str>, Error> {
        if self.line()? != line {
            return Ok(Some("is not in its one form"));
        }
        let holds = key::holds(&self.signer, &self.signature, namespace, self.signed()?.as_bytes());
        Ok((!holds).then_some("is not what its signer signed"))
    }
}

/// A chain as read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Chain {
    /// Its entries, all of which hold.
    pub entries: Vec<Entry>,
    /// SHA-256 of each line.
    pub digests: Vec<String>,
    /// What is wrong after them, in words.
    pub wrong: Option<String>,
}

impl Chain {
    /// Reads and checks a chain up to the first thing that is wrong; a file that is not there is an empty chain. Fails only if the file
    /// cannot be read.
    pub fn read(path: &Path, namespace: &str) -> Result<Chain, Error> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        let mut bytes = Vec::new();
        match File::open(path) {
            Ok(file) => file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(io)?,
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(Chain::default()),
            Err(source) => return Err(io(source)),
        };
        Chain::parse(&bytes, namespace)
    }

    /// The same of bytes.
    pub fn parse(bytes: &[u8], namespace: &str) -> Result<Chain, Error> {
        let mut chain = Chain::default();
        if bytes.len() as u64 > MAX_BYTES {
            chain.wrong = Some(format!("is longer than {MAX_BYTES} bytes"));
            return Ok(chain);
        }
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let number = chain.entries.len() + 1;
            if let Some(words) = chain.take(line, namespace)? {
                chain.wrong = Some(format!("line {number} {words}"));
                break;
            }
        }
        Ok(chain)
    }

    /// Adds a line if it holds; else says what is wrong with it.
    fn take(&mut self, line: &[u8], namespace: &str) -> Result<Option<String>, Error> {
        let text = line.strip_suffix(b"\n").map(std::str::from_utf8);
        let Some(Ok(text)) = text else { return Ok(Some("is cut short or no text".to_owned())) };
        let entry: Entry = match serde_json::from_str(text) {
            Ok(entry) => entry,
            Err(error) => return Ok(Some(format!("is no entry: {}", escape(&error.to_string())))),
        };
        if entry.seq != self.entries.len() as u64 || entry.previous != self.head() {
            return Ok(Some("does not follow the line before it: something was dropped, added or moved".to_owned()));
        }
        if let Some(words) = entry.fault(text, namespace)? {
            return Ok(Some(words.to_owned()));
        }
        self.digests.push(Digest::of(text.as_bytes()).to_string());
        self.entries.push(entry);
        Ok(None)
    }

    /// SHA-256 of the last line; [`BEGINNING`] if there is none.
    pub fn head(&self) -> &str {
        self.digests.last().map_or(BEGINNING, String::as_str)
    }
}

/// What is to be written as an entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deed {
    /// What was done.
    pub action: &'static str,
    /// To what.
    pub subject: String,
    /// More of it.
    pub detail: BTreeMap<String, String>,
}

/// Who writes entries: a unit's key, the person at it, and why.
#[derive(Clone, Debug)]
pub struct Hand {
    /// The unit's key.
    pub key: UnitKey,
    /// What the unit keeps of the chains it wrote.
    pub heads: Heads,
    /// The person.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// Now, microseconds since 1970-01-01 UTC.
    pub now: i64,
}

impl Hand {
    /// The unit whose key lies at `path`, now; without a name, the actor is who is logged in.
    pub fn at(key: UnitKey, path: &Path, actor: Option<String>, reason: String) -> Hand {
        let told = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let login = told("LOGNAME").or_else(|| told("USER")).map(|name| name.to_string_lossy().into_owned());
        let actor = actor.or(login).unwrap_or_else(|| "unknown".to_owned());
        Hand { key, heads: Heads::beside(path), actor, reason, now: jiff::Timestamp::now().as_microsecond() }
    }

    /// Appends an entry to the chain at `path`, which must hold; `deed` sees the chain, and says nothing if there is nothing to add.
    /// The file is replaced whole, so that a crash leaves the old or the new one. If entries that this unit wrote are gone from the
    /// end, the entry says so (`detail.lost`: the last one that is known).
    pub fn append(&self, path: &Path, namespace: &str, deed: impl FnOnce(&Chain) -> Option<Deed>) -> Result<(), Error> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(io)?;
        // Two processes that append at once: the folder is the lock, so no lock file is left behind. Closing it unlocks.
        let lock = File::open(folder).map_err(io)?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).map_err(|errno| io(errno.into()))?;
        let chain = Chain::read(path, namespace)?;
        if let Some(words) = chain.wrong {
            return Err(Error::Chain(format!("{} {words}", path.display())));
        }
        let Some(mut deed) = deed(&chain) else { return Ok(()) };
        if let Some(lost) = self.heads.lost(path, &chain)? {
            deed.detail.insert("lost".to_owned(), lost);
        }
        let mut entry = Entry {
            action: deed.action.to_owned(),
            actor: plain(&self.actor),
            detail: deed.detail,
            previous: chain.head().to_owned(),
            reason: plain(&self.reason),
            seq: chain.entries.len() as u64,
            signature: String::new(),
            signer: self.key.public_line(),
            subject: deed.subject,
            time: self.now,
        };
        entry.signature = self.key.sign_as(namespace, entry.signed()?.as_bytes())?;
        let line = entry.line()?;
        let mut bytes = match fs::read(path) {
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            read => read.map_err(io)?,
        };
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let unfinished = path.with_file_name(format!(".{name}.new"));
        let mut file = File::create(&unfinished).map_err(io)?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(io)?;
        fs::rename(&unfinished, path).and_then(|()| lock.sync_all()).map_err(io)?;
        self.heads.note(path, entry.seq, &Digest::of(line.as_bytes()).to_string())
    }
}

/// Control characters would make a line that looks like two where it is printed.
fn plain(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// What a unit remembers of the chains that it wrote, beside its key: for each file, the last entry. Entries dropped from the end of a
/// chain are missed here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Heads {
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Head {
    digest: String,
    path: String,
    seq: u64,
}

impl Heads {
    /// The memory beside a key: `<key>.heads.jsonl`.
    pub fn beside(key: &Path) -> Heads {
        let name = key.file_name().unwrap_or_default().to_string_lossy();
        Heads { path: key.with_file_name(format!("{name}.heads.jsonl")) }
    }

    /// The last entry that this unit wrote to the chain at `path`, if the chain no longer has it.
    pub fn lost(&self, path: &Path, chain: &Chain) -> Result<Option<String>, Error> {
        let text = match fs::read_to_string(&self.path) {
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|source| Error::Io { path: self.path.clone(), source })?,
        };
        let name = absolute(path)?;
        let mut known = None;
        for line in text.lines() {
            let head: Head = serde_json::from_str(line)
                .map_err(|error| Error::Chain(format!("{} is not as it was written: {error}", self.path.display())))?;
            if head.path == name {
                known = Some(head);
            }
        }
        Ok(known.filter(|head| chain.digests.get(head.seq as usize) != Some(&head.digest)).map(|head| head.digest))
    }

    fn note(&self, path: &Path, seq: u64, digest: &str) -> Result<(), Error> {
        let io = |source| Error::Io { path: self.path.clone(), source };
        let head = Head { digest: digest.to_owned(), path: absolute(path)?, seq };
        let line = serde_json::to_string(&head).map_err(|source| Error::Chain(source.to_string()))?;
        let mut file = File::options().create(true).append(true).open(&self.path).map_err(io)?;
        // One write: a crash leaves a whole line or none.
        file.write_all(format!("{line}\n").as_bytes()).and_then(|()| file.sync_data()).map_err(io)
    }
}

/// A name for a chain's file. A copy elsewhere is another file: that it ends earlier is no fault of it.
fn absolute(path: &Path) -> Result<String, Error> {
    let path = std::path::absolute(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    Ok(path.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACE: &str = "haul-test";

    fn hand(name: &str) -> (PathBuf, Hand) {
        let folder = std::env::temp_dir().join(format!("haul-chain-{}-{name}", std::process::id()));
        let key = UnitKey::generate(&folder.join("key")).unwrap();
        let heads = Heads::beside(&folder.join("key"));
        (
            folder,
            Hand {
                key,
                heads,
                actor: "Sokha \u{1b}[1m".into(),
                reason: "court \"order\" 12\n".into(),
                now: 1_700_000_000_000_000,
            },
        )
    }

    fn grow(hand: &Hand, path: &Path, entries: usize) {
        for number in 0..entries {
            let detail = [("note".to_owned(), format!("no. {number} កម្ពុជា"))].into();
            let deed = Deed { action: "open", subject: "keyring".into(), detail };
            hand.append(path, SPACE, |_| Some(deed)).unwrap();
        }
    }

    #[test]
    fn every_flipped_bit_dropped_and_moved_line_is_found() {
        let (folder, hand) = hand("flips");
        let path = folder.join("chain.jsonl");
        grow(&hand, &path, 3);
        let bytes = fs::read(&path).unwrap();
        let whole = Chain::parse(&bytes, SPACE).unwrap();
        assert_eq!((whole.entries.len(), whole.wrong.clone()), (3, None));
        assert_eq!(whole.entries[0].actor, "Sokha  [1m");
        for place in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[place] ^= 1 << bit;
                assert!(Chain::parse(&flipped, SPACE).unwrap().wrong.is_some(), "byte {place} bit {bit}");
            }
        }
        let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        for order in [&[1, 2][..], &[0, 2], &[1, 0, 2], &[0, 2, 1], &[0, 1, 1, 2], &[0, 0, 1, 2]] {
            let changed: Vec<u8> = order.iter().flat_map(|place| lines[*place].to_vec()).collect();
            assert!(Chain::parse(&changed, SPACE).unwrap().wrong.is_some(), "{order:?}");
        }
        // Another use of the same key is no entry here.
        assert!(Chain::parse(&bytes, "haul-other").unwrap().wrong.is_some());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn lines_dropped_from_the_end_are_missed_by_whoever_wrote_them() {
        let (folder, hand) = hand("end");
        let path = folder.join("chain.jsonl");
        grow(&hand, &path, 3);
        let text = fs::read_to_string(&path).unwrap();
        let chain = Chain::read(&path, SPACE).unwrap();
        assert_eq!(hand.heads.lost(&path, &chain).unwrap(), None);
        fs::write(&path, text.lines().take(2).map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        let cut = Chain::read(&path, SPACE).unwrap();
        assert_eq!(cut.wrong, None);
        assert_eq!(hand.heads.lost(&path, &cut).unwrap().as_ref(), chain.digests.last());
        // Going on does not bury it: the next entry names what is gone.
        grow(&hand, &path, 1);
        let after = Chain::read(&path, SPACE).unwrap();
        assert_eq!(after.entries[2].detail.get("lost"), chain.digests.last());
        assert_eq!(hand.heads.lost(&path, &after).unwrap(), None);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn nothing_is_appended_to_what_does_not_hold() {
        let (folder, hand) = hand("broken");
        let path = folder.join("chain.jsonl");
        grow(&hand, &path, 1);
        let broken = fs::read_to_string(&path).unwrap().replace("open", "seal");
        fs::write(&path, &broken).unwrap();
        let deed = || Deed { action: "open", subject: "keyring".into(), detail: BTreeMap::new() };
        assert!(matches!(hand.append(&path, SPACE, |_| Some(deed())), Err(Error::Chain(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), broken);
        fs::remove_dir_all(folder).unwrap();
    }
}
