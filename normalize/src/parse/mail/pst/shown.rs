//! The properties of one node, as `haul explain` shows them: the bytes of the file itself are hidden.

use super::context::Values;
use super::file::{Store, is_store};
use super::{ATTACHMENT, CONTENT, KIND};
use crate::parse::mail::mapi::{Bag, NARROW, WIDE};
use model::text::{escape, escape_bytes};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Bytes of one value that are shown at most.
const SHOWN_BYTES: usize = 4096;
/// Bytes of one value that are read.
const READ_BYTES: usize = 1 << 20;

/// The properties of the node that a pointer of a record leads to, values escaped for a terminal; none where the file is no store.
///
/// # Errors
/// The world's: the file cannot be read.
pub fn properties(path: &Path, pointer: &str) -> io::Result<Vec<(String, String)>> {
    let mut head = Vec::new();
    File::open(path)?.take(16).read_to_end(&mut head)?;
    if !is_store(&head) {
        return Ok(Vec::new());
    }
    // What refuses to open gave no record that could be explained.
    let Ok(mut store) = Store::open(File::open(path)?) else { return Ok(Vec::new()) };
    Ok(bag(&mut store, pointer)
        .map(|bag| bag.all().map(|(id, kind, value)| line(&bag, id, kind, value)).collect())
        .unwrap_or_default())
}

/// Follows `/node/N/attachment/M/…`.
fn bag(store: &mut Store, pointer: &str) -> Option<Bag<'static>> {
    let mut steps = pointer.split('/').skip_while(|step| *step != "node").skip(1);
    let node = store.node(steps.next()?.parse().ok()?)?;
    let mut values = Values::open(store, node.data, node.sub, READ_BYTES)?;
    while steps.next() == Some("attachment") {
        let nid: u32 = steps.next()?.parse().ok()?;
        let (data, sub) = values.subnodes.get(&nid).copied().filter(|_| nid & KIND == ATTACHMENT)?;
        values = Values::open(store, data, sub, READ_BYTES)?;
        let mut rest = steps.clone();
        // A message inside is the attachment's content.
        if rest.next().is_some()
            && let Some((data, sub)) = values.object(store, CONTENT)
        {
            values = Values::open(store, data, sub, READ_BYTES)?;
        }
    }
    let mut bag = values.bag(store, &[]);
    bag.settle(None);
    Some(bag)
}

fn line(bag: &Bag<'_>, id: u16, kind: u16, value: &[u8]) -> (String, String) {
    let shown = value.get(..SHOWN_BYTES).unwrap_or(value);
    let text = match kind {
        WIDE => escape(&encoding_rs::UTF_16LE.decode_without_bom_handling(shown).0),
        NARROW => escape(&bag.decoded(shown)),
        _ => escape_bytes(shown),
    };
    let more = value.len() - shown.len();
    (format!("property {id:04x}{kind:04x}"), if more > 0 { format!("{text} … {more} more bytes") } else { text })
}
