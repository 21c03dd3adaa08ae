//! Output descriptors (`doc/descriptors.md` of Bitcoin Core): one key and the plain forms of paying to it. Others (several signers,
//! scripts) are told by their text only.

use super::chain::Chain;
use super::derive::{Extended, taproot};

/// How a key is paid to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    Key,
    Witness,
    Nested,
    Taproot,
}

/// A descriptor of one key.
#[derive(PartialEq, Debug)]
pub struct Descriptor<'d> {
    form: Form,
    /// The extended or plain key in it.
    pub key: &'d str,
    /// Steps behind the key up to the `*`, as written.
    steps: Vec<&'d str>,
    /// Whether a `*` ends it.
    ranged: bool,
}

/// Reads a descriptor; `None` for forms that are not read.
pub fn parse(text: &str) -> Option<Descriptor<'_>> {
    let text = text.split('#').next()?;
    let (form, inner) =
        [("sh(wpkh(", "))", Form::Nested), ("wpkh(", ")", Form::Witness), ("pkh(", ")", Form::Key), ("tr(", ")", Form::Taproot)]
            .iter()
            .find_map(|(start, end, form)| Some((*form, text.strip_prefix(start)?.strip_suffix(end)?)))?;
    // Where the key comes from stands before it in brackets.
    let inner = inner.split_once(']').map_or(inner, |(_, key)| key);
    if inner.contains(',') || inner.contains('(') {
        return None;
    }
    let mut steps: Vec<&str> = inner.split('/').collect();
    let key = steps.remove(0);
    let ranged = steps.last() == Some(&"*");
    if ranged {
        steps.pop();
    }
    Some(Descriptor { form, key, steps, ranged })
}

impl Descriptor<'_> {
    /// The key above the `*`: from the wallet's cache, or by plain steps from the descriptor's own.
    pub fn parent(&self, cached: Option<Extended>) -> Option<Extended> {
        if !self.ranged {
            return None;
        }
        cached.or_else(|| {
            let own = Extended::parse(self.key)?;
            self.steps.iter().try_fold(own, |key, step| key.child(step.parse().ok()?))
        })
    }

    /// The address of the child of that number.
    pub fn address(&self, parent: &Extended, number: u32, chain: &Chain) -> Option<String> {
        let key = parent.child(number)?.public_key();
        match self.form {
            Form::Key => Some(chain.pay_to_key(&key)),
            Form::Witness => chain.witness_key(&key),
            Form::Nested => chain.nested_witness_key(&key),
            Form::Taproot => chain.taproot(&taproot(&key)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::wallet::bitcoin::chain::BITCOIN;

    /// The first two addresses of the account keys of BIP-84, BIP-86 and (first) BIP-44's of the same words.
    #[test]
    fn published_accounts_give_their_addresses() {
        let eighty_four =
            "xpub6CatWdiZiodmUeTDp8LT5or8nmbKNcuyvz7WyksVFkKB4RHwCD3XyuvPEbvqAQY3rAPshWcMLoP2fMFMKHPJ4ZeZXYVUhLv1VMrjPC7PW6V";
        let eighty_six =
            "xpub6BgBgsespWvERF3LHQu6CnqdvfEvtMcQjYrcRzx53QJjSxarj2afYWcLteoGVky7D3UKDP9QyrLprQ3VCECoY49yfdDEHGCtMMj92pReUsQ";
        let first = |text: &str, number| {
            let descriptor = parse(text).unwrap();
            let parent = descriptor.parent(None).unwrap();
            descriptor.address(&parent, number, &BITCOIN).unwrap()
        };
        let witness = format!("wpkh([73c5da0a/84h/0h/0h]{eighty_four}/0/*)#wc3n3van");
        assert_eq!(first(&witness, 0), "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu");
        assert_eq!(first(&witness, 1), "bc1qnjg0jd8228aq7egyzacy8cys3knf9xvrerkf9g");
        let taproot = format!("tr({eighty_six}/0/*)");
        assert_eq!(first(&taproot, 0), "bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr");
    }

    #[test]
    fn other_forms_are_none() {
        for text in ["wsh(multi(2,a,b))", "tr(a,{pk(b),pk(c)})", "", "combo(02)", "wpkh(xpub", "sh(multi(1,a))"] {
            assert_eq!(parse(text), None, "{text}");
        }
        let hardened = parse("pkh(xpub/44'/0'/0'/0/*)#x").unwrap();
        assert_eq!((hardened.key, hardened.parent(None)), ("xpub", None));
    }
}
