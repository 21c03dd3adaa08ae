//! A value that could not be decoded: decoders give it in place of one, so that why is told as a problem of the row and field.

/// First bytes of a packed reason: no UTF-8 begins so.
const MARK: &[u8] = b"\xf5undecodable:";

/// Why a value could not be decoded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Undecodable(pub String);

impl Undecodable {
    /// As a BLOB of SQLite.
    pub fn pack(&self) -> Vec<u8> {
        [MARK, self.0.as_bytes()].concat()
    }

    /// From such a BLOB; `None` for anything else.
    pub fn unpack(bytes: &[u8]) -> Option<Undecodable> {
        let reason = bytes.strip_prefix(MARK)?;
        std::str::from_utf8(reason).ok().map(|reason| Undecodable(reason.to_owned()))
    }
}
