//! The two files of a private match: a line of JSON that says what it is, a line with its signatures, and points or tags as bytes.

use super::chunks::CHUNK;
use super::refusal::Refusal;
use super::set::{KINDS, NORMAL, is_bucket};
use crate::{Error, UnitKey, key};
use model::Digest;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What both files are made with.
pub const SUITE: &str = "RFC 9497 VOPRF(ristretto255, SHA-512)";
/// Namespaces of the signatures (`ssh-keygen -Y verify -n …`), one a role, so that none stands for another.
pub const ANALYST: &str = "haul-match-analyst";
/// Of whoever answers for the analyst.
pub const SUPERVISOR: &str = "haul-match-supervisor";
/// Of the unit that answers.
pub const ANSWER: &str = "haul-match-answer";
/// Bytes of a point, a scalar, a proof and a tag.
pub const POINT: usize = 32;
/// Bytes of a proof.
pub const PROOF: usize = 64;
/// Bytes of a tag.
pub const TAG: usize = 16;
/// Longest line that is read, bytes.
const LINE: usize = 1 << 20;

/// What a request says of itself, in the order of RFC 8785.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestHeader {
    /// The law or agreement that allows it.
    pub basis: String,
    /// SHA-256 of the points, hexadecimal.
    pub body: String,
    /// How many points: the size of the set, padded.
    pub bucket: u64,
    /// Most points that the supervisor allows.
    pub cap: u64,
    /// Elements of a chunk.
    pub chunk: u64,
    /// `haul-match-request`.
    pub file: String,
    /// What is matched, sorted.
    pub kinds: Vec<String>,
    /// When it was made, microseconds since 1970 UTC.
    pub made: i64,
    /// The normal forms of values.
    pub normal: String,
    /// Why.
    pub purpose: String,
    /// 16 random bytes, hexadecimal.
    pub session: String,
    /// The bundles that the values come from: SHA-256 of each checkpoint, sorted. It says which, not what is in them.
    pub sources: Vec<String>,
    /// The cipher suite.
    pub suite: String,
    /// Fingerprint of the key of the unit that may answer.
    pub to: String,
    /// Until when it counts, microseconds since 1970 UTC.
    pub until: i64,
    /// 1.
    pub version: u64,
}

/// What an answer says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerHeader {
    /// SHA-256 of everything after the signatures, hexadecimal.
    pub body: String,
    /// How many tags: the size of the answering unit's set, padded.
    pub bucket: u64,
    /// Elements of a chunk.
    pub chunk: u64,
    /// `haul-match-answer`.
    pub file: String,
    /// When it was made, microseconds since 1970 UTC.
    pub made: i64,
    /// The public key of this session, hexadecimal.
    pub public: String,
    /// SHA-256 of the request's first line, hexadecimal: its purpose, kinds, sizes and points.
    pub request: String,
    /// The request's session.
    pub session: String,
    /// The cipher suite.
    pub suite: String,
    /// 1.
    pub version: u64,
}

/// One signature over the first line (without its line feed).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// Armored SSHSIG.
    pub signature: String,
    /// The key as one line.
    pub signer: String,
}

impl Signature {
    /// Signs a header.
    pub fn make(key: &UnitKey, role: &str, header: &str) -> Result<Signature, Error> {
        Ok(Signature { signature: key.sign_as(role, header.as_bytes())?, signer: key.public_line() })
    }

    /// Whether it is that key's over that header, in its one form.
    pub fn holds(&self, role: &str, header: &str) -> bool {
        key::holds(&self.signer, &self.signature, role, header.as_bytes())
    }
}

/// A file taken apart; its body is as long and has the digest that its header says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parts<'a, H> {
    /// The header.
    pub header: H,
    /// The header as it was signed.
    pub line: &'a str,
    /// The signatures, not checked.
    pub signatures: Vec<Signature>,
    /// The bytes after them.
    pub body: &'a [u8],
}

/// A line of JSON in its one form.
pub fn line<T: Serialize>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::Chain(error.to_string()))
}

/// SHA-256 of a header's line.
pub fn digest(line: &str) -> Digest {
    Digest::of(line.as_bytes())
}

/// A file: header line, signatures, body.
pub fn write(header: &str, signatures: &[Signature], body: &[u8]) -> Result<Vec<u8>, Error> {
    let signatures = line(&signatures)?;
    Ok([header.as_bytes(), b"\n", signatures.as_bytes(), b"\n", body].concat())
}

/// The next line of a file, as what it must say in its one form, and what follows.
pub fn take_line<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<(T, &str, &[u8]), Error> {
    let form = |words| Error::Refused(Refusal::Form(words));
    let end = bytes.iter().take(LINE).position(|byte| *byte == b'\n').ok_or_else(|| form("a line is missing"))?;
    let (text, rest) = bytes.split_at(end);
    let text = std::str::from_utf8(text).map_err(|_| form("a line is no text"))?;
    let value: T = serde_json::from_str(text).map_err(|_| form("a line does not say what it must"))?;
    // What a reader could understand in two ways, or a writer write in two ways, is a place to hide something.
    if line(&value)? != text {
        return Err(form("a line is not in its one form"));
    }
    Ok((value, text, rest.get(1..).unwrap_or_default()))
}

fn parts<'a, H: Serialize + DeserializeOwned>(
    bytes: &'a [u8],
    check: impl Fn(&H) -> Result<(u64, String), Refusal>,
) -> Result<Parts<'a, H>, Error> {
    let (header, line, rest) = take_line::<H>(bytes)?;
    let (signatures, _, body) = take_line::<Vec<Signature>>(rest)?;
    let (length, sha256) = check(&header)?;
    if body.len() as u64 != length {
        return Err(Refusal::Form("it is shorter or longer than it says").into());
    }
    if Digest::of(body).to_string() != sha256 {
        return Err(Refusal::Form("its points or tags are not those it was signed with").into());
    }
    Ok(Parts { header, line, signatures, body })
}

/// Takes a request apart and checks everything that needs neither keys nor time.
pub fn request(bytes: &[u8]) -> Result<Parts<'_, RequestHeader>, Error> {
    parts(bytes, |header: &RequestHeader| {
        request_fault(header)?;
        Ok((header.bucket * POINT as u64, header.body.clone()))
    })
}

/// What is wrong with what a request says.
pub fn request_fault(header: &RequestHeader) -> Result<(), Refusal> {
    let known = (header.file.as_str(), header.version, header.suite.as_str(), header.normal.as_str());
    if known != ("haul-match-request", 1, SUITE, NORMAL) || header.chunk != CHUNK as u64 {
        return Err(Refusal::Version);
    }
    if !is_bucket(header.bucket) {
        return Err(Refusal::Form("its size is none that sets are padded to"));
    }
    if header.bucket > header.cap {
        return Err(Refusal::Cap { asked: header.bucket, cap: header.cap });
    }
    let sorted = |texts: &[String]| !texts.is_empty() && texts.is_sorted_by(|a, b| a < b);
    if !sorted(&header.kinds) || !sorted(&header.sources) {
        return Err(Refusal::Form("kinds or sources are missing or not in order"));
    }
    if let Some(kind) = header.kinds.iter().find(|kind| !KINDS.contains(&kind.as_str())) {
        return Err(Refusal::Kinds(kind.clone()));
    }
    if header.session.len() != 32 || !header.session.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(Refusal::Form("its session is no 16 bytes in hexadecimal digits"));
    }
    if header.purpose.trim().is_empty() || header.basis.trim().is_empty() {
        return Err(Refusal::Form("it has no purpose or no legal basis"));
    }
    if header.until <= header.made {
        return Err(Refusal::Expired(header.until));
    }
    Ok(())
}

/// Bytes of an answer's body.
pub fn answer_bytes(points: u64, tags: u64) -> u64 {
    points.div_ceil(CHUNK as u64) * PROOF as u64 + points * POINT as u64 + tags * TAG as u64
}

/// Takes an answer to a request of that many points apart.
pub fn answer(bytes: &[u8], points: u64) -> Result<Parts<'_, AnswerHeader>, Error> {
    parts(bytes, |header: &AnswerHeader| {
        let known = (header.file.as_str(), header.version, header.suite.as_str());
        if known != ("haul-match-answer", 1, SUITE) || header.chunk != CHUNK as u64 {
            return Err(Refusal::Version);
        }
        if !is_bucket(header.bucket) {
            return Err(Refusal::Form("its size is none that sets are padded to"));
        }
        Ok((answer_bytes(points, header.bucket), header.body.clone()))
    })
}
