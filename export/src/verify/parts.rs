//! The bundles that a merged one was joined from: the rows of each still give the root that its own unit signed.

use super::Report;
use super::report::PartSeal;
use super::seal::{public_key, unsigned_by};
use crate::bundle::checkpoint;
use crate::bundle::digest::RowHasher;
use crate::bundle::schema::{self, Table};
use crate::bundle::tree::Tree;
use crate::bundle::value::{Value, write_string};
use model::Digest;
use rusqlite::{Connection, OptionalExtension};
use sha2::Digest as _;
use ssh_key::HashAlg;
use std::collections::{BTreeMap, HashMap};

/// Strength of a validity word, the strongest first; `None` for a word that is not of the list.
pub fn strength(validity: &str) -> Option<usize> {
    ["checksum", "format", "context"].iter().position(|word| *word == validity)
}

/// One part as its row says.
#[derive(Clone, PartialEq, Debug)]
pub struct Part {
    /// Its id: of its seal.
    pub id: Vec<u8>,
    /// Its exhibit.
    pub exhibit: Vec<u8>,
    /// Its table `meta`.
    pub meta: BTreeMap<String, String>,
    /// Its checkpoint.
    pub checkpoint: String,
    /// The signature over it.
    pub signature: Option<String>,
    /// Who signed.
    pub signer: String,
}

impl Part {
    /// The id of a part: of its seal.
    pub fn id_of(checkpoint: &str, signature: Option<&str>, signer: &str) -> model::Id {
        let parts = [checkpoint.as_bytes(), signature.unwrap_or_default().as_bytes(), signer.as_bytes()];
        model::Id::derive("bundle part", &parts)
    }

    /// Its table `meta` as a JSON object, members in order.
    pub fn meta_json(&self) -> String {
        let mut json = vec![b'{'];
        for (key, value) in &self.meta {
            if json.len() > 1 {
                json.push(b',');
            }
            write_string(key, &mut json);
            json.push(b':');
            write_string(value, &mut json);
        }
        json.push(b'}');
        // Made of texts and ASCII alone.
        String::from_utf8(json).unwrap_or_default()
    }

    fn seed(&self) -> Option<[u8; 32]> {
        self.meta.get("bundle_seed").and_then(|hex| Digest::parse(hex)).map(|digest| digest.0)
    }
}

/// Names a set of parts: SHA-256 over their ids in order.
pub fn set_digest<'i>(ids: impl Iterator<Item = &'i [u8]>) -> Digest {
    let mut hasher = sha2::Sha256::new();
    ids.for_each(|id| hasher.update(id));
    Digest(hasher.finalize().into())
}

/// What the rows of a part come to.
#[derive(Default)]
struct Sum {
    tree: Tree,
    rows: HashMap<&'static str, u64>,
}

/// Every part of a merged bundle.
pub struct Parts {
    parts: Vec<Part>,
    sums: Vec<Sum>,
}

/// Digests rows for the parts that they belong to; one for each thread.
#[derive(Clone)]
pub struct PartHashers {
    by_exhibit: HashMap<Vec<u8>, Vec<(usize, RowHasher)>>,
}

impl Parts {
    /// Reads the parts. What is wrong with one in itself is reported.
    pub fn read(connection: &Connection, report: &mut Report) -> rusqlite::Result<Parts> {
        let sql = "SELECT id, exhibit_id, meta, checkpoint, signature, signer FROM part ORDER BY id";
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        let mut parts = Vec::new();
        while let Some(row) = rows.next()? {
            let text: String = row.get(2)?;
            let meta = serde_json::from_str::<BTreeMap<String, String>>(&text);
            let readable = meta.is_ok();
            let part = Part {
                id: row.get(0)?,
                exhibit: row.get(1)?,
                meta: meta.unwrap_or_default(),
                checkpoint: row.get(3)?,
                signature: row.get(4)?,
                signer: row.get(5)?,
            };
            let mut wrong = |words: &str| report.wrong("part", Some("part"), Some(words_of(&part.id)), words);
            if part.id != Part::id_of(&part.checkpoint, part.signature.as_deref(), &part.signer).0 {
                wrong("its id is not that of its seal");
            }
            if !readable || part.meta_json() != text {
                wrong("its meta is no object of texts, written as this version writes it");
            }
            if part.seed().is_none() {
                wrong("its meta has no bundle_seed of 64 hexadecimal digits");
            }
            parts.push(part);
        }
        if parts.is_empty() {
            report.wrong("part", Some("part"), None, "a merged bundle has no parts");
        }
        let sums = parts.iter().map(|_| Sum::default()).collect();
        Ok(Parts { parts, sums })
    }

    /// The parts as read.
    pub fn into_parts(self) -> Vec<Part> {
        self.parts
    }

    /// How many there are, and which.
    pub fn name(&self) -> (usize, Digest) {
        (self.parts.len(), set_digest(self.parts.iter().map(|part| part.id.as_slice())))
    }

    /// Hashers for one thread.
    pub fn hashers(&self) -> PartHashers {
        let mut by_exhibit: HashMap<Vec<u8>, Vec<(usize, RowHasher)>> = HashMap::new();
        for (place, part) in self.parts.iter().enumerate() {
            let hasher = RowHasher::new(&part.seed().unwrap_or_default());
            by_exhibit.entry(part.exhibit.clone()).or_default().push((place, hasher));
        }
        PartHashers { by_exhibit }
    }

    /// Takes the leaves of the next rows of a table, each with the place of its part.
    pub fn push(&mut self, table: &'static str, leaves: &[(usize, [u8; 32])]) {
        for (place, leaf) in leaves {
            if let Some(sum) = self.sums.get_mut(*place) {
                sum.tree.push(*leaf);
                *sum.rows.entry(table).or_default() += 1;
            }
        }
    }

    /// Takes the rows of the parts' own tables `meta`: they are leaves between those of `message` and of `observable`.
    pub fn push_meta(&mut self) {
        let Some(table) = schema::table("meta") else { return };
        for (part, sum) in self.parts.iter().zip(&mut self.sums) {
            let mut hasher = RowHasher::new(&part.seed().unwrap_or_default());
            for (key, value) in &part.meta {
                sum.tree.push(hasher.leaf(table, &[Value::Text(key.clone()), Value::Text(value.clone())]));
            }
            sum.rows.insert("meta", part.meta.len() as u64);
        }
    }

    /// Compares what the rows of each part come to with what its unit signed.
    pub fn check(&self, connection: &Connection, report: &mut Report) -> rusqlite::Result<()> {
        let mut exhibits = connection.prepare("SELECT id FROM exhibit ORDER BY id")?;
        let mut rows = exhibits.query([])?;
        while let Some(row) = rows.next()? {
            let id: Vec<u8> = row.get(0)?;
            if !self.parts.iter().any(|part| part.exhibit == id) {
                report.wrong("part", Some("exhibit"), Some(words_of(&id)), "no part tells where it comes from");
            }
        }
        for (part, sum) in self.parts.iter().zip(&self.sums) {
            let sql = "SELECT case_label, number FROM exhibit WHERE id = ?1";
            let names = connection.query_row(sql, [&part.exhibit], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            let (case_label, number): (String, String) = names.unwrap_or_default();
            check_part(part, sum, (case_label, number), report);
        }
        Ok(())
    }
}

fn check_part(part: &Part, sum: &Sum, (case_label, number): (String, String), report: &mut Report) {
    let mut wrong = |words: String| report.wrong("part", Some("part"), Some(words_of(&part.id)), words);
    for table in schema::tables().iter().filter(|table| table.sealed()) {
        let counted = sum.rows.get(table.name).copied().unwrap_or(0).to_string();
        let told = part.meta.get(&format!("rows_{}", table.name));
        if told != Some(&counted) {
            let told = told.map_or("nothing", String::as_str);
            wrong(format!("it has {counted} {} rows, its meta says {told}", table.name));
        }
    }
    let Ok(key) = public_key(part.signature.as_deref(), &part.signer) else {
        return wrong("its signer is neither a public key nor `unsigned`".to_owned());
    };
    let fingerprint = key.as_ref().map(|key| key.fingerprint(HashAlg::Sha256).to_string());
    let origin = checkpoint::origin(fingerprint.as_deref(), &case_label, &number);
    let expected = checkpoint::text(&origin, sum.tree.size(), sum.tree.root());
    if part.checkpoint != expected {
        wrong(super::seal::difference(&part.checkpoint, &expected));
    }
    if let Some(words) = key.as_ref().and_then(|key| unsigned_by(key, &part.checkpoint, part.signature.as_deref())) {
        wrong(words.to_owned());
    }
    report.parts.push(PartSeal { case_label, number, signer: super::Signer::of(fingerprint, &part.signer) });
}

impl PartHashers {
    /// The leaves of a row for every part of an exhibit.
    pub fn leaves(&mut self, exhibit: &[u8], table: &'static Table, values: &[Value], leaves: &mut Vec<(usize, [u8; 32])>) {
        for (place, hasher) in self.by_exhibit.get_mut(exhibit).into_iter().flatten() {
            leaves.push((*place, hasher.leaf(table, values)));
        }
    }
}

fn words_of(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}
