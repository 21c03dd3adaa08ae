//! The keys of other units, as this unit knows them: a [`chain`](crate::chain) of `add` and `revoke` entries that it signed itself.

use crate::Error;
use crate::chain::{Chain, Deed, Hand, Heads};
use model::Digest;
use ssh_key::{HashAlg, PublicKey};
use std::collections::BTreeMap;
use std::path::Path;

/// Namespace of the signatures (`ssh-keygen -Y verify -n haul-keyring`).
pub const NAMESPACE: &str = "haul-keyring";
/// What a key may be for: to seal bundles, to be sent some, to ask for and answer private matches, to allow its unit's requests.
pub const USES: [&str; 4] = ["seal", "receive", "match", "supervise"];
/// Words of a fingerprint: eleven bits each, so 110 of its 256.
const WORDS: usize = 10;

/// One unit's key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Known {
    /// What this unit calls the other.
    pub unit: String,
    /// The key as one line.
    pub line: String,
    /// `SHA256:…`.
    pub fingerprint: String,
    /// What it is for, of [`USES`], comma-separated.
    pub uses: String,
    /// First day on which it counts, `2026-01-31`.
    pub valid_from: Option<String>,
    /// Last day on which it counts.
    pub valid_until: Option<String>,
    /// When it was added, microseconds since 1970-01-01 UTC.
    pub added: i64,
    /// Who added it.
    pub added_by: String,
    /// When it was revoked and why.
    pub revoked: Option<(i64, String)>,
}

impl Known {
    /// Why it does not count on a day (`2026-01-31`), in words; `None` if it does.
    pub fn fault(&self, day: &str) -> Option<String> {
        if let Some((_, reason)) = &self.revoked {
            return Some(format!("revoked: {reason}"));
        }
        if self.valid_from.as_deref().is_some_and(|from| day < from) {
            return Some(format!("not valid before {}", self.valid_from.as_deref().unwrap_or_default()));
        }
        let over = self.valid_until.as_deref().filter(|until| day > *until)?;
        Some(format!("not valid after {over}"))
    }
}

/// A key that is to be added.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct New {
    /// What this unit calls the other.
    pub unit: String,
    /// The public key as one line; a comment is left out.
    pub line: String,
    /// What it is for.
    pub uses: Vec<String>,
    /// First day on which it counts.
    pub valid_from: Option<String>,
    /// Last day.
    pub valid_until: Option<String>,
}

/// A public key line in its one form, and its fingerprint `SHA256:…`.
pub fn canonical(line: &str) -> Result<(String, String), Error> {
    let mut key = PublicKey::from_openssh(line.trim())?;
    key.set_comment("");
    Ok((key.to_openssh()?.trim_end().to_owned(), key.fingerprint(HashAlg::Sha256).to_string()))
}

/// A key's fingerprint as words of the BIP 39 English list, to be read out over a telephone: the first 110 bits of the SHA-256 that
/// `ssh-keygen -l` shows. Ten words are no seed phrase of any wallet, which has twelve or more.
pub fn words(line: &str) -> Result<String, Error> {
    let key = PublicKey::from_openssh(line.trim())?;
    let digest = Digest::of(&key.to_bytes()?);
    let list = bip39::Language::English.word_list();
    let bit = |place: usize| usize::from(digest.0[place / 8] >> (7 - place % 8) & 1);
    let number = |word: usize| (word * 11..word * 11 + 11).fold(0, |number, place| number << 1 | bit(place));
    Ok((0..WORDS).map(|word| list[number(word)]).collect::<Vec<_>>().join(" "))
}

/// Adds a key; a key that is there and not revoked is added anew with what is said now.
pub fn add(hand: &Hand, path: &Path, new: &New) -> Result<(), Error> {
    let (line, _) = canonical(&new.line)?;
    let mut detail: BTreeMap<String, String> =
        [("key", line), ("unit", new.unit.clone()), ("use", new.uses.join(","))].map(|(k, v)| (k.to_owned(), v)).into();
    for (name, day) in [("valid_from", &new.valid_from), ("valid_until", &new.valid_until)] {
        detail.extend(day.clone().map(|day| (name.to_owned(), day)));
    }
    hand.append(path, NAMESPACE, |_| Some(Deed { action: "add", subject: "keyring".to_owned(), detail }))
}

/// Revokes the key of that fingerprint or unit's name. It stays revoked: a new key has another fingerprint. Fails if there is none, or
/// a name stands for several keys that count.
pub fn revoke(hand: &Hand, path: &Path, which: &str) -> Result<Known, Error> {
    let keys = list(path, &hand.key.public_line(), Some(&hand.heads))?;
    let found: Vec<_> =
        keys.into_iter().filter(|key| key.revoked.is_none() && (key.fingerprint == which || key.unit == which)).collect();
    let [known] = &found[..] else {
        return Err(Error::Chain(format!("{} keys that are not revoked are called {which}, not one", found.len())));
    };
    let detail = [("key".to_owned(), known.line.clone())].into();
    hand.append(path, NAMESPACE, |_| Some(Deed { action: "revoke", subject: "keyring".to_owned(), detail }))?;
    Ok(known.clone())
}

/// The keys of a keyring, in the order in which they came first. Fails if it is not what the unit of that key line wrote: a keyring that
/// does not hold says nothing.
pub fn list(path: &Path, own: &str, heads: Option<&Heads>) -> Result<Vec<Known>, Error> {
    let chain = Chain::read(path, NAMESPACE)?;
    let fail = |words: &str| Error::Chain(format!("the keyring {} {words}", path.display()));
    if let Some(words) = &chain.wrong {
        return Err(fail(words));
    }
    if chain.entries.iter().any(|entry| entry.signer != own) {
        return Err(fail("was not signed by this unit"));
    }
    if heads.map(|heads| heads.lost(path, &chain)).transpose()?.flatten().is_some() {
        return Err(fail("lacks entries at its end that this unit wrote"));
    }
    fold(&chain)
}

/// What the entries come to.
fn fold(chain: &Chain) -> Result<Vec<Known>, Error> {
    let mut keys: Vec<Known> = Vec::new();
    for entry in &chain.entries {
        let told = |name: &str| entry.detail.get(name).cloned();
        let (line, fingerprint) = canonical(&told("key").unwrap_or_default())?;
        let before = keys.iter_mut().find(|key| key.line == line);
        if entry.action == "revoke" {
            if let Some(key) = before {
                key.revoked = Some((entry.time, entry.reason.clone()));
            }
            continue;
        }
        let known = Known {
            unit: told("unit").unwrap_or_default(),
            line,
            fingerprint,
            uses: told("use").unwrap_or_default(),
            valid_from: told("valid_from"),
            valid_until: told("valid_until"),
            added: entry.time,
            added_by: entry.actor.clone(),
            revoked: None,
        };
        match before {
            // Revoked once is revoked for good; since when a key is trusted does not change either.
            Some(key) => *key = Known { revoked: key.revoked.take(), added: key.added, ..known },
            None => keys.push(known),
        }
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UnitKey;
    use std::fs;

    #[test]
    fn words_are_the_first_bits_of_the_fingerprint() {
        let folder = std::env::temp_dir().join(format!("haul-words-{}", std::process::id()));
        let key = UnitKey::generate(&folder.join("key")).unwrap();
        // The fingerprint as ssh-keygen has it: `256 SHA256:<base64> comment (ED25519)`.
        let told = std::process::Command::new("ssh-keygen").arg("-lf").arg(folder.join("key.pub")).output().unwrap();
        let told = String::from_utf8(told.stdout).unwrap();
        let base64 = told.split(' ').nth(1).unwrap().strip_prefix("SHA256:").unwrap();
        let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let expected: String = base64.chars().map(|letter| format!("{:06b}", letters.find(letter).unwrap())).collect();
        let list = bip39::Language::English.word_list();
        let number = |word: &str| list.iter().position(|known| *known == word).unwrap();
        let words = words(&key.public_line()).unwrap();
        let bits: String = words.split(' ').map(|word| format!("{:011b}", number(word))).collect();
        assert_eq!(bits, expected[..110]);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn keys_are_added_revoked_and_guarded() {
        let folder = std::env::temp_dir().join(format!("haul-keyring-{}", std::process::id()));
        let key = UnitKey::generate(&folder.join("own")).unwrap();
        let other = UnitKey::generate(&folder.join("other")).unwrap();
        let heads = Heads::beside(&folder.join("own"));
        let hand = Hand { key: key.clone(), heads: heads.clone(), actor: "Dara".into(), reason: "met in person".into(), now: 7 };
        let path = folder.join("keyring.jsonl");
        let new = New {
            unit: "Phnom Penh".into(),
            line: format!("{} some comment", other.public_line()),
            uses: vec!["seal".into()],
            valid_from: Some("2026-01-01".into()),
            valid_until: Some("2026-12-31".into()),
        };
        add(&hand, &path, &new).unwrap();
        let [known] = &list(&path, &key.public_line(), Some(&heads)).unwrap()[..] else { panic!("one key") };
        assert_eq!((known.fingerprint.clone(), known.added, known.added_by.as_str()), (other.fingerprint(), 7, "Dara"));
        assert_eq!(known.fault("2026-12-31"), None);
        assert!(known.fault("2027-01-01").is_some() && known.fault("2025-12-31").is_some());
        assert!(revoke(&hand, &path, "nobody").is_err());
        revoke(&hand, &path, "Phnom Penh").unwrap();
        // Added again, it stays revoked.
        add(&hand, &path, &new).unwrap();
        let [known] = &list(&path, &key.public_line(), Some(&heads)).unwrap()[..] else { panic!("one key") };
        assert_eq!(known.revoked, Some((7, "met in person".into())));
        // Another unit's keyring, and one whose revocation was cut off, say nothing.
        assert!(list(&path, &other.public_line(), None).is_err());
        let first = fs::read_to_string(&path).unwrap().lines().take(1).map(|line| format!("{line}\n")).collect::<String>();
        fs::write(&path, first).unwrap();
        assert!(list(&path, &key.public_line(), Some(&heads)).is_err());
        fs::remove_dir_all(folder).unwrap();
    }
}
