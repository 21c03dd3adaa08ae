//! Why a file of a private match is not taken.

/// Why a request or an answer is refused. Nothing was computed for it or learned from it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// It is cut short, longer than it says, or not in its one form.
    #[error("form: {0}")]
    Form(&'static str),
    /// It is of a version, a cipher suite or a normalization that this program does not speak.
    #[error("version: made by another version, for another cipher suite or of other normal forms")]
    Version,
    /// A signature is missing or does not hold.
    #[error("signature: {0}")]
    Signature(&'static str),
    /// A signer is not trusted for that.
    #[error("signer: {0}")]
    Signer(String),
    /// It is meant for another unit.
    #[error("recipient: the request is meant for the unit with the key {0}")]
    Recipient(String),
    /// It is over, or made after it ends.
    #[error("expired: it counts until {0} (microseconds since 1970 UTC)")]
    Expired(i64),
    /// It asks for more than is allowed.
    #[error("cap: it asks for {asked} values, {cap} are allowed")]
    Cap {
        /// How many it asks, padding included: whether a point is padding cannot be seen.
        asked: u64,
        /// How many are allowed.
        cap: u64,
    },
    /// It asks for kinds that are not allowed.
    #[error("kinds: {0} is not allowed")]
    Kinds(String),
    /// A point is not canonical, not on the curve, or the identity.
    #[error("point: element {0} is no canonical point, or the identity")]
    Point(usize),
    /// A proof does not hold: not every element was evaluated with one key.
    #[error("proof: chunk {0} was not evaluated with the key that the answer names")]
    Proof(usize),
    /// The answer is to another request.
    #[error("session: the answer is to another request")]
    Session,
    /// The bundles are not those that the request was made from.
    #[error("sources: the bundles are not those that the request was made from")]
    Sources,
}

impl Refusal {
    /// The word before the colon: it does not change between versions.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::Form(_) => "form",
            Refusal::Version => "version",
            Refusal::Signature(_) => "signature",
            Refusal::Signer(_) => "signer",
            Refusal::Recipient(_) => "recipient",
            Refusal::Expired(_) => "expired",
            Refusal::Cap { .. } => "cap",
            Refusal::Kinds(_) => "kinds",
            Refusal::Point(_) => "point",
            Refusal::Proof(_) => "proof",
            Refusal::Session => "session",
            Refusal::Sources => "sources",
        }
    }
}
