//! Who did what with a bundle after it was sealed.
//!
//! A sealed bundle's bytes never change, so its custody lies beside it: `A-1.sqlite` → `A-1.sqlite.custody.jsonl`, a [`chain`](crate::chain)
//! whose entries name the checkpoint of the bundle. A bundle that is sealed anew keeps its chain: the new `seal` entry begins the
//! new checkpoint.

use crate::chain::{Chain, Deed, Hand, Heads};
use crate::{Error, open_read_only};
use model::Digest;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Namespace of the signatures (`ssh-keygen -Y verify -n haul-custody`).
pub const NAMESPACE: &str = "haul-custody";

/// What can be done with a bundle.
pub const ACTIONS: [&str; 10] = ["seal", "merge", "verify", "open", "export", "share", "hand-over", "receive", "match", "report"];

/// Where the custody of a bundle lies.
pub fn beside(bundle: &Path) -> PathBuf {
    let name = bundle.file_name().unwrap_or_default().to_string_lossy();
    bundle.with_file_name(format!("{name}.custody.jsonl"))
}

/// What entries call a bundle: SHA-256 of its checkpoint.
pub fn subject(bundle: &Path) -> Result<String, Error> {
    let error = |source| Error::Store { path: bundle.to_owned(), source };
    let connection = open_read_only(bundle)?;
    let checkpoint: String = connection.query_row("SELECT checkpoint FROM seal", [], |row| row.get(0)).map_err(error)?;
    Ok(Digest::of(checkpoint.as_bytes()).to_string())
}

/// Appends an entry of what was done with a bundle.
pub fn record(hand: &Hand, bundle: &Path, action: &'static str, detail: BTreeMap<String, String>) -> Result<(), Error> {
    let subject = subject(bundle)?;
    hand.append(&beside(bundle), NAMESPACE, |_| Some(Deed { action, subject, detail }))
}

/// Appends `seal`, unless the chain has it for this checkpoint: a run that is typed again writes it once.
pub fn sealed(hand: &Hand, bundle: &Path) -> Result<(), Error> {
    let subject = subject(bundle)?;
    hand.append(&beside(bundle), NAMESPACE, |chain| {
        let last = chain.entries.iter().rev().find(|entry| entry.action == "seal");
        let known = last.is_some_and(|entry| entry.subject == subject);
        (!known).then(|| Deed { action: "seal", subject, detail: BTreeMap::new() })
    })
}

/// What the custody of a bundle comes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Custody {
    /// The entries that hold.
    pub chain: Chain,
    /// What is wrong, in words.
    pub wrong: Option<String>,
}

/// Reads and checks the custody of a bundle; with `heads`, also that nothing this unit wrote is gone from its end.
pub fn check(bundle: &Path, heads: Option<&Heads>) -> Result<Custody, Error> {
    let path = beside(bundle);
    let chain = Chain::read(&path, NAMESPACE)?;
    let mut wrong = chain.wrong.clone();
    if wrong.is_none() && !chain.entries.is_empty() {
        wrong = belongs(&chain, &subject(bundle)?);
    }
    if wrong.is_none()
        && let Some(lost) = heads.map(|heads| heads.lost(&path, &chain)).transpose()?.flatten()
    {
        wrong = Some(format!("entries that this unit wrote are gone from its end, the last of them {lost}"));
    }
    Ok(Custody { chain, wrong })
}

/// Every entry must be about the bundle that is there: a checkpoint changes with a `seal` or `merge` entry only, and the last is this one.
fn belongs(chain: &Chain, subject: &str) -> Option<String> {
    let mut now: Option<&str> = None;
    for (place, entry) in chain.entries.iter().enumerate() {
        let begins = matches!(entry.action.as_str(), "seal" | "merge");
        if !ACTIONS.contains(&entry.action.as_str()) {
            return Some(format!("line {} is of an unknown action", place + 1));
        }
        if !begins && now.is_some_and(|now| now != entry.subject) {
            return Some(format!("line {} is about another bundle", place + 1));
        }
        now = Some(&entry.subject);
    }
    (now != Some(subject)).then(|| "is of another bundle than the one it lies beside".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::{BEGINNING, Entry};

    fn chain(entries: &[(&str, &str)]) -> Chain {
        let entry = |(action, subject): &(&str, &str)| Entry {
            action: (*action).to_owned(),
            actor: "a".into(),
            detail: BTreeMap::new(),
            previous: BEGINNING.into(),
            reason: "r".into(),
            seq: 0,
            signature: String::new(),
            signer: String::new(),
            subject: (*subject).to_owned(),
            time: 0,
        };
        Chain { entries: entries.iter().map(entry).collect(), ..Chain::default() }
    }

    #[test]
    fn a_chain_is_about_one_bundle_until_it_is_sealed_anew() {
        assert_eq!(belongs(&chain(&[("seal", "a"), ("verify", "a")]), "a"), None);
        assert_eq!(belongs(&chain(&[("seal", "a"), ("verify", "a"), ("seal", "b"), ("open", "b")]), "b"), None);
        // Whoever received a bundle alone begins with what they do.
        assert_eq!(belongs(&chain(&[("verify", "a")]), "a"), None);
        assert!(belongs(&chain(&[("seal", "a"), ("verify", "b")]), "b").unwrap().contains("line 2"));
        assert!(belongs(&chain(&[("seal", "a")]), "b").unwrap().contains("another bundle"));
        assert!(belongs(&chain(&[("sell", "a")]), "a").unwrap().contains("unknown action"));
    }
}
