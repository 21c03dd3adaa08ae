//! The first file: blinded points of one unit's set, padded, signed by an analyst and then by a supervisor.

use super::chunks::{CHUNK, in_chunks};
use super::file::{ANALYST, POINT, Parts, RequestHeader, SUITE, SUPERVISOR, Signature};
use super::refusal::Refusal;
use super::set::{Input, NORMAL, Set, bucket};
use super::{Vouch, file};
use crate::{Error, UnitKey};
use model::Digest;
use ssh_key::rand_core::{OsRng, RngCore};
use voprf::{BlindedElement, Ristretto255, VoprfClient};

/// What a requester keeps of one element: the blinding scalar and the blinded point, then what was blinded.
pub(super) const SLOT: usize = 2 * POINT + 32;

/// What a unit wants to know, and who allows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ask {
    /// Kinds to match, sorted.
    pub kinds: Vec<String>,
    /// Why.
    pub purpose: String,
    /// The law or agreement that allows it.
    pub basis: String,
    /// Fingerprint of the key of the unit that may answer.
    pub to: String,
    /// The bundles: SHA-256 of each checkpoint.
    pub sources: Vec<String>,
    /// Most points, padding included.
    pub cap: u64,
    /// Now, microseconds since 1970 UTC.
    pub made: i64,
    /// Until when it counts.
    pub until: i64,
}

/// A request, and what finishes it.
#[derive(Clone, PartialEq, Eq)]
pub struct Asked {
    /// The file to be countersigned and sent.
    pub file: Vec<u8>,
    /// What stays here, and nowhere else: with it and the file, every value can be guessed.
    pub secret: Vec<u8>,
    /// What the file says.
    pub header: RequestHeader,
}

/// Blinds a set. Padding is random elements, blinded like the others; the points are sorted, which is a random order, so that
/// neither place nor form tells which are padding.
pub fn request(set: &Set, ask: &Ask, analyst: &UnitKey) -> Result<Asked, Error> {
    let size = bucket(set.len()).filter(|size| *size <= ask.cap);
    let size =
        size.ok_or(Refusal::Cap { asked: (set.len() as u64).checked_next_power_of_two().unwrap_or(u64::MAX), cap: ask.cap })?;
    let mut inputs: Vec<Input> = set.keys().copied().collect();
    while (inputs.len() as u64) < size {
        let mut input = Input::default();
        OsRng.fill_bytes(&mut input);
        inputs.push(input);
    }
    let blinded = in_chunks(&inputs, |_, chunk| chunk.iter().map(blind).collect::<Result<Vec<_>, Error>>())?;
    let mut blinded = blinded.concat();
    blinded.sort_unstable_by_key(|(point, _)| *point);
    let body: Vec<u8> = blinded.iter().flat_map(|(point, _)| *point).collect();
    let mut session = [0; 16];
    OsRng.fill_bytes(&mut session);
    let sorted = |texts: &[String]| {
        let mut texts = texts.to_vec();
        texts.sort();
        texts.dedup();
        texts
    };
    let header = RequestHeader {
        basis: ask.basis.clone(),
        body: Digest::of(&body).to_string(),
        bucket: size,
        cap: ask.cap,
        chunk: CHUNK as u64,
        file: "haul-match-request".to_owned(),
        kinds: sorted(&ask.kinds),
        made: ask.made,
        normal: NORMAL.to_owned(),
        purpose: ask.purpose.clone(),
        session: session.iter().map(|byte| format!("{byte:02x}")).collect(),
        sources: sorted(&ask.sources),
        suite: SUITE.to_owned(),
        to: ask.to.clone(),
        until: ask.until,
        version: 1,
    };
    file::request_fault(&header)?;
    let line = file::line(&header)?;
    let file = file::write(&line, &[Signature::make(analyst, ANALYST, &line)?], &body)?;
    let slots: Vec<u8> = blinded.into_iter().flat_map(|(_, slot)| slot).collect();
    Ok(Asked { file, secret: [line.as_bytes(), b"\n", &slots].concat(), header })
}

fn blind(input: &Input) -> Result<([u8; POINT], [u8; SLOT]), Error> {
    // It fails for inputs that are empty or longer than 65,535 bytes: these are 32.
    let blinded = VoprfClient::<Ristretto255>::blind(input, &mut OsRng).map_err(|_| Refusal::Form("an input is too long"))?;
    let mut slot = [0; SLOT];
    let (state, kept) = slot.split_at_mut(2 * POINT);
    state.copy_from_slice(&blinded.state.serialize());
    kept.copy_from_slice(input);
    Ok((blinded.message.serialize().into(), slot))
}

/// Adds the supervisor's signature to a request that an analyst of the unit signed; another than theirs.
pub fn approve(bytes: &[u8], supervisor: &UnitKey, now: i64) -> Result<(RequestHeader, Vec<u8>), Error> {
    let Parts { header, line, signatures, body } = file::request(bytes)?;
    let [analyst] = &signatures[..] else { return Err(Refusal::Signature("it is not signed by an analyst alone").into()) };
    if !analyst.holds(ANALYST, line) {
        return Err(Refusal::Signature("the analyst's does not hold").into());
    }
    if analyst.signer == supervisor.public_line() {
        return Err(Refusal::Signature("whoever asks cannot allow it: sign with the supervisor's own key").into());
    }
    in_time(&header, now)?;
    let both = [analyst.clone(), Signature::make(supervisor, SUPERVISOR, line)?];
    let file = file::write(line, &both, body)?;
    Ok((header, file))
}

fn in_time(header: &RequestHeader, now: i64) -> Result<(), Refusal> {
    if now >= header.until { Err(Refusal::Expired(header.until)) } else { Ok(()) }
}

/// What the answering unit allows.
pub struct Policy<'a> {
    /// Now, microseconds since 1970 UTC.
    pub now: i64,
    /// Most points.
    pub cap: u64,
    /// Kinds that may be matched.
    pub kinds: &'a [String],
    /// Fingerprint of its own key.
    pub own: String,
    /// Who a signer is.
    pub vouch: &'a Vouch<'a>,
}

/// A request that may be answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Accepted {
    /// What it says.
    pub header: RequestHeader,
    /// SHA-256 of its first line.
    pub digest: Digest,
    /// The unit that asks.
    pub unit: String,
    pub(super) points: Vec<BlindedElement<Ristretto255>>,
}

/// Checks a request: form, both signatures and whose they are, recipient, time, cap, kinds, every point. Fails with the first that is
/// wrong; nothing was computed with a key by then.
pub fn accept(bytes: &[u8], policy: &Policy<'_>) -> Result<Accepted, Error> {
    let Parts { header, line, signatures, body } = file::request(bytes)?;
    let [analyst, supervisor] = &signatures[..] else {
        return Err(Refusal::Signature("it needs an analyst's and a supervisor's").into());
    };
    if !analyst.holds(ANALYST, line) || !supervisor.holds(SUPERVISOR, line) {
        return Err(Refusal::Signature("the analyst's or the supervisor's does not hold").into());
    }
    if analyst.signer == supervisor.signer {
        return Err(Refusal::Signature("analyst and supervisor are one key").into());
    }
    let unit = (policy.vouch)(&analyst.signer, "match").map_err(Refusal::Signer)?;
    let other = (policy.vouch)(&supervisor.signer, "supervise").map_err(Refusal::Signer)?;
    if unit != other {
        return Err(Refusal::Signer(format!("the analyst is of {unit}, the supervisor of {other}")).into());
    }
    if header.to != policy.own {
        return Err(Refusal::Recipient(header.to).into());
    }
    in_time(&header, policy.now)?;
    if header.bucket > policy.cap {
        return Err(Refusal::Cap { asked: header.bucket, cap: policy.cap }.into());
    }
    if let Some(kind) = header.kinds.iter().find(|kind| !policy.kinds.contains(kind)) {
        return Err(Refusal::Kinds(kind.clone()).into());
    }
    let points = points(body)?;
    Ok(Accepted { digest: file::digest(line), header, unit, points })
}

/// Every point: canonical, not the identity, in order, none twice (a set has nothing twice).
fn points(body: &[u8]) -> Result<Vec<BlindedElement<Ristretto255>>, Error> {
    let places: Vec<&[u8]> = body.chunks(POINT).collect();
    if !places.is_sorted_by(|a, b| a < b) {
        return Err(Refusal::Form("its points are not in order").into());
    }
    let chunks = in_chunks(&places, |number, chunk| {
        let point = |(place, bytes): (usize, &&[u8])| {
            BlindedElement::deserialize(bytes).map_err(|_| Refusal::Point(number * CHUNK + place).into())
        };
        chunk.iter().enumerate().map(point).collect::<Result<Vec<_>, Error>>()
    })?;
    Ok(chunks.into_iter().flatten().collect())
}
