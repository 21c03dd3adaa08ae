//! Who sealed, and over what.

use super::{Report, Signer};
use crate::bundle::checkpoint::{self, NAMESPACE};
use rusqlite::{Connection, OptionalExtension};
use ssh_key::{HashAlg, LineEnding, PublicKey, SshSig};

/// The signer's key; `None` if the seal says it is unsigned.
pub fn public_key(signature: Option<&str>, signer: &str) -> Result<Option<PublicKey>, ssh_key::Error> {
    match (signature, signer) {
        (None, "unsigned") => Ok(None),
        _ => PublicKey::from_openssh(signer).map(Some),
    }
}

/// Why a checkpoint does not count as signed by that key; `None` if it does.
pub fn unsigned_by(key: &PublicKey, checkpoint: &str, signature: Option<&str>) -> Option<&'static str> {
    let Some(armored) = signature else { return Some("it names a signer and has no signature") };
    (!is_signed(key, NAMESPACE, checkpoint, armored)).then_some("its signature is not the signer's over its checkpoint")
}

/// Whether an armored SSHSIG is that key's over a text, in that namespace, and written in the one way that OpenSSH writes it: a bit that
/// the decoder does not look at is a bit that can be changed unnoticed.
pub fn is_signed(key: &PublicKey, space: &str, text: &str, armored: &str) -> bool {
    SshSig::from_pem(armored).is_ok_and(|signature| {
        // The version is not signed, and the library takes an older one: PROTOCOL.sshsig knows version 1 alone.
        signature.version() == SshSig::VERSION
            && key.verify(space, text.as_bytes(), &signature).is_ok()
            && signature.to_pem(LineEnding::LF).is_ok_and(|again| again == armored)
    })
}

/// The checkpoint must be the one that rows, case and exhibit (or `merged`: the parts) give, and its signature must be the signer's.
pub fn check(connection: &Connection, merged: Option<(usize, model::Digest)>, report: &mut Report) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("SELECT checkpoint, signature, signer FROM seal")?;
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let seals: Vec<(String, Option<String>, String)> = statement.query_map([], read)?.collect::<Result<_, _>>()?;
    let [(found, signature, signer)] = &seals[..] else {
        report.wrong("seal", Some("seal"), None, format!("has {} rows, not one", seals.len()));
        return Ok(());
    };
    let Ok(key) = public_key(signature.as_deref(), signer) else {
        report.wrong("seal", Some("seal"), None, "its signer is neither a public key nor `unsigned`");
        return Ok(());
    };
    let fingerprint = key.as_ref().map(|key| key.fingerprint(HashAlg::Sha256).to_string());
    let origin = match merged {
        Some((parts, of)) => checkpoint::merged_origin(fingerprint.as_deref(), parts, of),
        None => {
            let sql = "SELECT case_label, number FROM exhibit ORDER BY id LIMIT 1";
            let names = connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            let (case_label, number): (String, String) = names.unwrap_or_default();
            checkpoint::origin(fingerprint.as_deref(), &case_label, &number)
        }
    };
    let expected = checkpoint::text(&origin, report.rows, report.root);
    if *found != expected {
        report.wrong("seal", Some("seal"), None, difference(found, &expected));
    }
    if let Some(words) = key.as_ref().and_then(|key| unsigned_by(key, found, signature.as_deref())) {
        report.wrong("seal", Some("seal"), None, words);
    }
    report.checkpoint.clone_from(found);
    report.signer = Signer::of(fingerprint, signer);
    Ok(())
}

/// Which line of a checkpoint is not as the rows say.
pub fn difference(found: &str, expected: &str) -> String {
    let names = ["origin", "size", "root"];
    for (name, (found, expected)) in names.iter().zip(found.split('\n').zip(expected.split('\n'))) {
        if found != expected {
            return format!("the checkpoint's {name} is {found}, the rows give {expected}");
        }
    }
    "the checkpoint has more or fewer lines than three".to_owned()
}
