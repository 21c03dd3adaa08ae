//! `haul match request`, `approve`, `answer`, `finish`: two units learn what they have in common by two files.

use crate::cli::{Answer, Approve, Finish, MatchCommand, Request};
use crate::{custody, keys};
use anyhow::{Context, Result, bail};
use export::Error;
use export::chain::{Chain, Hand};
use export::matching::answer::answer;
use export::matching::file::RequestHeader;
use export::matching::finish;
use export::matching::refusal::Refusal;
use export::matching::request::{Ask, Policy, accept, approve, request};
use export::matching::set::{self, Set, Value};
use model::text::escape;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Largest file that is read: an answer of the largest sets is about 50 MB, what is kept of a request 100 MB.
const MAX_BYTES: u64 = 256 << 20;
const DAY_US: i64 = 86_400_000_000;

/// What whoever uses it must know; printed by each step.
const LIMITS: &str = "what this does and does not hide:
  the answering unit learns the purpose, the kinds, and the size of the request up to a factor of two; the asking unit the same of the answer
  the asking unit learns which of its values the other has, and can put guesses among them, up to the cap: cap, purpose, both
  signatures and the custody entries are what holds it back, not the mathematics
  either unit can lie about what it has; values written in another normal form do not meet; common files and public addresses meet always
  no value, hash or filter of values is in either file; keep OUT.secret: with it and the request, values can be guessed";

/// One step.
pub fn step(command: &MatchCommand) -> Result<u8> {
    let done = match command {
        MatchCommand::Request(arguments) => ask(arguments),
        MatchCommand::Approve(arguments) => allow(arguments),
        MatchCommand::Answer(arguments) => reply(arguments),
        MatchCommand::Finish(arguments) => learn(arguments),
    };
    match done {
        // A check failed, and it will fail again: not the words, and nothing to be gone on with.
        Err(error) if matches!(error.downcast_ref(), Some(Error::Refused(_))) => {
            eprintln!("haul: {}; nothing was learned and nothing written", escape(&error.to_string()));
            Ok(1)
        }
        Err(error) if error.is::<Error>() => Err(anyhow::anyhow!("{error:#}")),
        done => done,
    }
}

fn now() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

/// Whoever signs; a private match is always on record.
fn hand(reason: &str) -> Result<Hand> {
    keys::unit_key()?;
    custody::hand(reason)?.context("there is no unit key to sign with: `haul keygen` makes one")
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).with_context(|| format!("cannot read {}", path.display()))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Error::from(Refusal::Form("it is larger than any of its kind")).into());
    }
    Ok(bytes)
}

/// Writes a file that must not exist; only its owner may read it.
fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let told = || format!("cannot write {}", path.display());
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path).with_context(told)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).with_context(told)
}

fn subjects(bundles: &[PathBuf]) -> Result<Vec<String>> {
    let mut subjects: Vec<String> =
        bundles.iter().map(|bundle| export::custody::subject(bundle)).collect::<Result<_, Error>>()?;
    subjects.sort();
    subjects.dedup();
    Ok(subjects)
}

/// Writes the step in the custody of every bundle, or fails: it comes before what it is about leaves.
fn record(hand: &Hand, bundles: &[PathBuf], details: &[(&str, String)]) -> Result<()> {
    let detail = || details.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    for bundle in bundles {
        export::custody::record(hand, bundle, "match", detail())?;
    }
    Ok(())
}

fn ask(arguments: &Request) -> Result<u8> {
    let mut kinds = arguments.kinds.clone();
    kinds.sort();
    kinds.dedup();
    let (name, to) = keys::named(&arguments.to, "match")?;
    let made = now();
    let asking = Ask {
        kinds,
        purpose: arguments.purpose.clone(),
        basis: arguments.basis.clone(),
        to,
        sources: subjects(&arguments.bundles)?,
        cap: arguments.cap,
        made,
        until: made.saturating_add(i64::from(arguments.days) * DAY_US),
    };
    let secret = secret_path(&arguments.out);
    if let Some(there) = [&arguments.out, &secret].into_iter().find(|path| path.exists()) {
        bail!("{} exists", there.display());
    }
    let hand = hand(&arguments.purpose)?;
    let values = set::read(&arguments.bundles, &asking.kinds)?;
    let asked = request(&values, &asking, &hand.key)?;
    record(&hand, &arguments.bundles, &told(&asked.header, "request", &[("to", name), ("values", values.len().to_string())]))?;
    write_new(&secret, &asked.secret)?;
    write_new(&arguments.out, &asked.file)?;
    eprintln!("{} values, padded to {}", values.len(), asked.header.bucket);
    let (out, secret) = (arguments.out.display().to_string(), secret.display().to_string());
    eprintln!("wrote {}, for the supervisor (haul match approve); {} stays here", escape(&out), escape(&secret));
    eprintln!("{LIMITS}");
    Ok(0)
}

fn secret_path(out: &Path) -> PathBuf {
    out.with_file_name(format!("{}.secret", out.file_name().unwrap_or_default().to_string_lossy()))
}

/// What custody says of a step.
fn told(header: &RequestHeader, step: &str, more: &[(&'static str, String)]) -> Vec<(&'static str, String)> {
    let mut details = vec![
        ("step", step.to_owned()),
        ("session", header.session.clone()),
        ("purpose", header.purpose.clone()),
        ("basis", header.basis.clone()),
        ("kinds", header.kinds.join(",")),
        ("asked", header.bucket.to_string()),
    ];
    details.extend_from_slice(more);
    details
}

/// What is asked, for the eyes of whoever allows it.
fn show(header: &RequestHeader) {
    let until = custody::time(header.until);
    eprintln!("purpose: {}", escape(&header.purpose));
    eprintln!("basis: {}", escape(&header.basis));
    eprintln!("asks for up to {} values (cap {}): {}", header.bucket, header.cap, escape(&header.kinds.join(", ")));
    eprintln!("of the unit with the key {}, until {until}, from {} bundles", escape(&header.to), header.sources.len());
}

fn allow(arguments: &Approve) -> Result<u8> {
    let key = keys::unit_key()?;
    let (header, file) = approve(&read(&arguments.request)?, &key, now())?;
    write_new(&arguments.out, &file)?;
    show(&header);
    eprintln!("allowed by {}; wrote {}, to be sent", key.fingerprint(), escape(&arguments.out.display().to_string()));
    Ok(0)
}

fn reply(arguments: &Answer) -> Result<u8> {
    let hand = hand("")?;
    if hand.reason.is_empty() {
        bail!("an answer needs --reason: why does this unit allow it?");
    }
    if arguments.out.exists() {
        bail!("{} exists", arguments.out.display());
    }
    let known = keys::known()?;
    let vouch = |line: &str, used: &str| keys::vouch(&known, line, used);
    let own = hand.key.fingerprint();
    let policy = Policy { now: hand.now, cap: arguments.cap, kinds: &arguments.kinds, own, vouch: &vouch };
    let accepted = accept(&read(&arguments.request)?, &policy)?;
    let header = &accepted.header;
    for bundle in &arguments.bundles {
        let chain = Chain::read(&export::custody::beside(bundle), export::custody::NAMESPACE)?;
        let known = |entry: &export::chain::Entry| {
            let detail = |name: &str| entry.detail.get(name).map(String::as_str);
            entry.action == "match" && detail("step") == Some("answer") && detail("session") == Some(&header.session)
        };
        // Once more, with another set, would tell what the set lacked the first time.
        if chain.entries.iter().any(known) {
            bail!("{}: this request was answered before; it must be asked anew", bundle.display());
        }
    }
    let values = set::read(&arguments.bundles, &header.kinds)?;
    let file = answer(&accepted, &values, &hand.key, hand.now)?;
    let details = told(header, "answer", &[("from", accepted.unit.clone()), ("values", values.len().to_string())]);
    record(&hand, &arguments.bundles, &details)?;
    write_new(&arguments.out, &file)?;
    eprintln!("asked by {}", escape(&accepted.unit));
    show(header);
    eprintln!("answered with {} values, padded; the session's key is gone", values.len());
    eprintln!("wrote {}, to be sent back", escape(&arguments.out.display().to_string()));
    eprintln!("{LIMITS}");
    Ok(0)
}

fn learn(arguments: &Finish) -> Result<u8> {
    let hand = hand("")?;
    let secret = read(&arguments.secret)?;
    let kept = finish::kept(&secret)?;
    if hand.now >= kept.header.until {
        destroy(&arguments.secret)?;
        return Err(Error::from(Refusal::Expired(kept.header.until)).into());
    }
    if subjects(&arguments.bundles)? != kept.header.sources {
        return Err(Error::from(Refusal::Sources).into());
    }
    // The key may have been revoked since the request was made.
    if let Some(fault) = keys::fault(&kept.header.to)? {
        return Err(Error::from(Refusal::Signer(fault)).into());
    }
    let values: Set = set::read(&arguments.bundles, &kept.header.kinds)?;
    let mut common = finish::finish(&kept, &read(&arguments.answer)?, &values, hand.now)?;
    common.sort();
    let details = told(&kept.header, "finish", &[("found", common.len().to_string())]);
    record(&hand, &arguments.bundles, &details)?;
    destroy(&arguments.secret)?;
    let mut out = std::io::stdout().lock();
    for value in &common {
        writeln!(out, "{}", if arguments.jsonl { json(value) } else { line(value) })?;
    }
    eprintln!("{} of {} values in common; the secret is destroyed", common.len(), values.len());
    eprintln!("the other unit does not know which: what you tell it, and on what grounds, is for a person to say");
    Ok(0)
}

/// Overwrites and removes the secret. What a disk keeps below its file system is not in our hands.
fn destroy(path: &Path) -> Result<()> {
    let told = || format!("cannot destroy {}: remove it by hand", path.display());
    let length = fs::metadata(path).with_context(told)?.len();
    let mut file = File::options().write(true).open(path).with_context(told)?;
    std::io::copy(&mut std::io::repeat(0).take(length), &mut file).and_then(|_| file.sync_all()).with_context(told)?;
    fs::remove_file(path).with_context(told)
}

fn line(value: &Value) -> String {
    let app = escape(value.app.as_deref().unwrap_or("-"));
    format!("{}\t{app}\t{}", value.kind, escape(&value.value))
}

fn json(value: &Value) -> String {
    serde_json::json!({ "kind": value.kind, "app": value.app, "value": value.value }).to_string()
}
