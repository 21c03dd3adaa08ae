//! What ingest hands to normalize: a staged item with its companions.

use crate::id::Digest;
use crate::item::Item;
use serde::{Deserialize, Serialize};

/// An item whose content lies in the stage under its SHA-256.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct StagedItem {
    /// The item as ingest knows it: status and `announced` are set anew by normalize, which adds its own count.
    pub item: Item,
    /// Key of its content in the stage (equal to `item.sha256`).
    pub content: Digest,
    /// Its last path component, raw bytes.
    pub name: Vec<u8>,
}

/// One unit of work on topic `items`: what is parsed together.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct WorkUnit {
    /// The item to identify and parse.
    pub primary: StagedItem,
    /// Files of the same folder that belong to it by name (`-wal`, `-journal`); normalize ends their status too.
    pub companions: Vec<StagedItem>,
    /// Region (ISO 3166 alpha-2) of the exhibit, if configured: national phone numbers are read as of there.
    pub region: Option<String>,
}
