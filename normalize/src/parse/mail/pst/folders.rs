//! Folders (MS-PST, 2.4.4): their names and the way to them, what they show, and which of them hold what was deleted or sent.

use super::context::Values;
use super::file::{Node, Store, long};
use super::{FOLDER, KIND, SEARCH_FOLDER};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The node of the whole store.
const STORE: u32 = 0x21;
/// Folders inside folders that a way names.
const DEPTH_MOST: usize = 64;
/// The table of what a folder shows: a node of the folder's number and this kind.
const CONTENTS: u32 = 0x0e;
/// Folders that the store itself names (MS-OXOSFLD, 2.2.3): property and what it is.
const SPECIAL: &[(u16, &str)] = &[(0x35e2, "outbox"), (0x35e3, "deleted"), (0x35e4, "sent")];

/// A folder.
struct Folder {
    name: String,
    parent: u32,
    /// Messages that it shows; `None` where its table could not be read.
    shown: Option<BTreeSet<u32>>,
}

/// All folders.
#[derive(Default)]
pub struct Folders {
    all: BTreeMap<u32, Folder>,
    special: BTreeMap<u32, &'static str>,
}

impl Folders {
    /// Those of a store.
    pub fn read(store: &mut Store, most: usize) -> Folders {
        let mut folders = Folders::default();
        if let Some(mut values) = store.node(STORE).and_then(|node| Values::open(store, node.data, node.sub, most)) {
            for (id, role) in SPECIAL {
                // An entry id ends with the number of the node (2.4.3.2).
                let entry = values.bytes(store, *id).unwrap_or_default();
                if let Some(nid) = entry.len().checked_sub(4).and_then(|at| long(&entry, at)).filter(|nid| *nid != 0) {
                    folders.special.insert(nid, role);
                }
            }
        }
        let nodes: Vec<Node> =
            store.nodes.iter().filter(|node| matches!(node.nid & KIND, FOLDER | SEARCH_FOLDER)).copied().collect();
        for node in nodes {
            let mut bag =
                Values::open(store, node.data, node.sub, most).map(|mut values| values.bag(store, &[])).unwrap_or_default();
            bag.settle(None);
            let table = store.node(node.nid & !KIND | CONTENTS);
            let table = table.and_then(|table| Values::open(store, table.data, table.sub, most));
            let shown = table.map(|mut table| table.rows(store)).filter(|(_, whole)| *whole);
            let shown = shown.map(|(rows, _)| rows.into_iter().collect());
            folders.all.insert(node.nid, Folder { name: bag.text(0x3001).unwrap_or_default(), parent: node.parent, shown });
        }
        folders
    }

    /// Whether a message is shown by its folder, or may be.
    pub fn shows(&self, store: &Store, message: Node) -> bool {
        match self.all.get(&message.parent) {
            Some(Folder { shown: Some(shown), .. }) => shown.contains(&message.nid),
            Some(_) => true,
            // Where pages of the trees are lost, its folder may be what is missing.
            None => store.broken,
        }
    }

    /// What the folder tells of a message in it, and the message's status.
    pub fn of(&self, folder: u32) -> (Vec<(&'static str, Value)>, Option<String>) {
        let (mut names, mut role, mut at) = (Vec::new(), None, folder);
        for _ in 0..DEPTH_MOST {
            role = role.or_else(|| self.special.get(&at).copied());
            let Some(folder) = self.all.get(&at) else { break };
            if !folder.name.is_empty() {
                names.push(folder.name.as_str());
            }
            if folder.parent == at {
                break;
            }
            at = folder.parent;
        }
        names.reverse();
        let way = (!names.is_empty()).then(|| ("folder", Value::from(names.join("/"))));
        (way.into_iter().collect(), role.map(str::to_owned))
    }
}
