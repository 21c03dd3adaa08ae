//! Artifact definitions: TOML files with SQL that say what an app leaves in a SQLite database and how it is read.
//!
//! A definition names its app, has `[[variant]]`s (generations of the schema: the first whose required tables and columns
//! all exist wins), and each variant has queries whose column aliases are fields of `model::record`. Every table and
//! column that a query uses must be declared in `require` or `optional`; what is optional and absent stands in as an empty
//! table or a NULL column, so that one query reads all generations that differ in columns only. A definition is checked
//! when it is loaded: its SQL is prepared against the declared tables, so a misspelt column, function or field is an error
//! of the definition and never of an exhibit.

pub mod carved;
mod check;
mod columns;
pub mod database;
mod lava;
mod ledger;
mod query;
pub mod schema;
pub mod shadow;
mod unknown;

pub use lava::NAME as LAVA;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use model::Digest;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The definitions that were embedded at build time: name and text.
const EMBEDDED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/artifacts.rs"));

/// Why definitions cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder or a file in it cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A definition is not TOML of the right keys and types.
    #[error("definition {name}: {source}")]
    Toml {
        /// Name of the definition.
        name: String,
        /// Line, column and reason.
        source: Box<toml::de::Error>,
    },
    /// A definition that cannot work.
    #[error("definition {name}: {reason}")]
    Definition {
        /// Name of the definition.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// One definition.
#[derive(Debug)]
pub struct Artifact {
    /// Stem of its file: `whatsapp_android`.
    pub name: String,
    /// SHA-256 of its file.
    pub sha256: Digest,
    /// What it says.
    pub text: Text,
    /// Names and paths at which a database that no variant fits is drift.
    expected: GlobSet,
}

/// What a definition file says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// The app: `WhatsApp`.
    pub app: String,
    /// `android`, `ios`, `windows`, …
    pub platform: String,
    /// What it is proven on.
    pub evidence: Proof,
    /// Why it is read in this way: sources, units, traps.
    pub why: String,
    /// Globs of item paths and file names (`msgstore*.db`, `**/com.whatsapp/databases/*.db`) where this app's database is
    /// expected: if it is there and no variant fits, that is drift. Content alone decides what is read.
    #[serde(default)]
    pub expected: Vec<String>,
    /// Generations of the schema, the first that fits wins.
    pub variant: Vec<Variant>,
}

/// What a definition is proven on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Proof {
    /// Databases of real devices, whose counts and values are known from another tool.
    Real,
    /// Documentation and other readers' code only.
    Documentation,
}

impl Proof {
    /// The word in a definition.
    pub fn name(self) -> &'static str {
        match self {
            Proof::Real => "real",
            Proof::Documentation => "documentation",
        }
    }
}

/// Tables and their columns.
pub type Tables = BTreeMap<String, Vec<String>>;

/// One generation of the schema.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Tables and columns that must exist. One name may end in `*`: it stands for every table that begins so and has the columns
    /// (`Chat_*`), and its queries are run for each of them, with the pattern in their SQL replaced by the table's name.
    pub require: Tables,
    /// Tables and columns that queries use if they exist.
    #[serde(default)]
    pub optional: Tables,
    /// What is read, in this order.
    pub query: Vec<Query>,
}

/// One query: rows of one table become records of one kind.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// Kind of record: `message`, `thread`, `account`, `participant`, `contact`, `contact_point`, `call`, `attachment`,
    /// `visit`, `location`.
    pub record: String,
    /// The table whose rows become records; the SQL gives each of its rows once and names it by its own name.
    pub row_table: String,
    /// `SELECT … FROM row_table LEFT JOIN …`: no WHERE, GROUP, ORDER or LIMIT of its own.
    pub sql: String,
    /// Rows that are no record, and why: they are counted, not lost.
    #[serde(default)]
    pub skip: Vec<Skip>,
    /// For `contact_point`: the table of its contact, whose rowid is the field `contact_row`.
    pub contact_table: Option<String>,
    /// For `attachment`: the table of its message, whose rowid is the field `message_row`.
    pub message_table: Option<String>,
}

/// Rows of the row table that give no record.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skip {
    /// SQL condition over the columns of the row table, named by table.
    pub r#where: String,
    /// Why such a row is no record; stands in the ledger.
    pub reason: String,
}

/// All definitions of a run, by name.
#[derive(Debug)]
pub struct Set {
    artifacts: Vec<Artifact>,
}

impl Set {
    /// The embedded definitions, and those of a folder (`*.toml`): same name replaces, other names add.
    pub fn load(folder: Option<&Path>) -> Result<Set, Error> {
        Set::with(&folder.map(read_folder).transpose()?.unwrap_or_default())
    }

    /// The embedded definitions, and those given as name and text: same name replaces, other names add. The sandbox's child
    /// gets them so, because it cannot open the folder. The given ones are checked; the embedded ones a test has checked, and a
    /// hundred of them would cost each start of each child what it costs to read a small phone.
    pub fn with(added: &[(String, String)]) -> Result<Set, Error> {
        let mut texts: BTreeMap<&str, (&str, Checked)> = BTreeMap::new();
        texts.extend(EMBEDDED.iter().map(|(name, text)| (*name, (*text, Checked::Before))));
        texts.extend(added.iter().map(|(name, text)| (name.as_str(), (text.as_str(), Checked::Now))));
        let artifacts = texts.iter().map(|(name, (text, checked))| parse(name, text, *checked)).collect::<Result<_, _>>()?;
        Ok(Set { artifacts })
    }

    /// The definitions, in order of their names.
    pub fn artifacts(&self) -> &[Artifact] {
        &self.artifacts
    }

    /// Digest over all names and files: what `--artifacts` changes, it changes.
    pub fn digest(&self) -> Digest {
        let mut all = Vec::new();
        for artifact in &self.artifacts {
            all.extend_from_slice(artifact.name.as_bytes());
            all.push(0);
            all.extend_from_slice(&artifact.sha256.0);
        }
        Digest::of(&all)
    }

    /// One line for each definition: name, app, platform, kinds of records, generations of the schema, what it is proven on, the folder
    /// of its fixtures (for those that come with Haul), digest.
    pub fn list(&self) -> Vec<String> {
        let line = |artifact: &Artifact| {
            let Text { app, platform, variant, evidence, .. } = &artifact.text;
            let generations =
                if variant.len() == 1 { "1 generation".to_owned() } else { format!("{} generations", variant.len()) };
            let own =
                EMBEDDED.iter().any(|(name, text)| *name == artifact.name && Digest::of(text.as_bytes()) == artifact.sha256);
            let fixture = if own { format!(" · tests/fixtures/{}", artifact.name) } else { String::new() };
            let (name, kinds, evidence) = (&artifact.name, artifact.kinds().join(", "), evidence.name());
            format!("{name} · {app} · {platform} · {kinds} · {generations} · {evidence}{fixture} · sha256 {}", artifact.sha256)
        };
        self.artifacts.iter().map(line).collect()
    }
}

/// Names and texts of the definitions in a folder, in no particular order.
pub fn read_folder(folder: &Path) -> Result<Vec<(String, String)>, Error> {
    let refuse = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Read { path, source }
    };
    let mut texts = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(refuse(folder))? {
        let path = entry.map_err(refuse(folder))?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            texts.push((name, std::fs::read_to_string(&path).map_err(refuse(&path))?));
        }
    }
    Ok(texts)
}

/// When the queries of a definition are tried against the tables that it declares.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Checked {
    /// When Haul was tested: it is embedded as it was then.
    Before,
    /// When it is loaded.
    Now,
}

/// Reads one definition, and checks it if nobody has.
fn parse(name: &str, text: &str, checked: Checked) -> Result<Artifact, Error> {
    let sha256 = Digest::of(text.as_bytes());
    let text: Text = toml::from_str(text).map_err(|source| Error::Toml { name: name.to_owned(), source: Box::new(source) })?;
    let refuse = |reason: String| Error::Definition { name: name.to_owned(), reason };
    if checked == Checked::Now {
        check::check(&text).map_err(refuse)?;
    }
    let expected = globs(&text.expected).map_err(|error| refuse(error.to_string()))?;
    Ok(Artifact { name: name.to_owned(), sha256, text, expected })
}

/// A pattern without `/` is a file name, in whatever folder; letters of either case are the same.
fn globs(patterns: &[String]) -> Result<GlobSet, globset::Error> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let pattern = if pattern.contains('/') { pattern.clone() } else { format!("**/{pattern}") };
        set.add(GlobBuilder::new(&pattern).case_insensitive(true).literal_separator(true).build()?);
    }
    set.build()
}

impl Artifact {
    /// Kinds of the records that it gives, each once, in the order of its queries.
    pub fn kinds(&self) -> Vec<&str> {
        let mut kinds: Vec<&str> = Vec::new();
        for query in self.text.variant.iter().flat_map(|variant| &variant.query) {
            if !kinds.contains(&query.record.as_str()) {
                kinds.push(&query.record);
            }
        }
        kinds
    }

    /// Whether this app's database is expected at that path.
    pub fn expects(&self, path: &str) -> bool {
        self.expected.is_match(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
app = "App"
platform = "android"
evidence = "documentation"
why = "because"
expected = ["chats*.db"]
[[variant]]
require = { chat = ["id", "body", "at"] }
[[variant.query]]
record = "message"
row_table = "chat"
sql = "SELECT chat.id AS row_id, unix_ms(chat.at) AS sent_time, chat.body AS text FROM chat"
"#;

    fn reason(from: &str, to: &str) -> String {
        assert!(TEXT.contains(from), "{from}");
        parse("app", &TEXT.replace(from, to), Checked::Now).unwrap_err().to_string()
    }

    #[test]
    fn embedded_definitions_are_valid_and_say_why() {
        for (name, text) in EMBEDDED {
            parse(name, text, Checked::Now).unwrap();
        }
        let set = Set::load(None).unwrap();
        assert!(set.artifacts().iter().any(|artifact| artifact.name == "whatsapp_android"));
        assert_eq!(set.list().len(), set.artifacts().len());
    }

    #[test]
    fn what_is_misspelt_is_an_error_of_the_definition() {
        assert!(parse("app", TEXT, Checked::Now).is_ok());
        assert!(reason("AS text", "AS txt").contains("txt"));
        assert!(reason("unix_ms(", "unix_mss(").contains("unix_mss"));
        assert!(reason("body AS", "bodi AS").contains("bodi"));
        assert!(reason("chat.id AS row_id, ", "").contains("row_id"));
        assert!(reason("why = \"because\"", "").contains("why"));
        assert!(reason("why = \"because\"", "why = \" \"").contains("why"));
        assert!(reason("record = \"message\"", "record = \"mesage\"").contains("mesage"));
        assert!(reason("[[variant.query]]", "[[variant.query]]\nlimit = 1").contains("limit"));
    }

    #[test]
    fn queries_cannot_drop_rows() {
        for end in ["FROM chat WHERE body <> ''", "FROM chat LIMIT 5", "FROM chat GROUP BY body", "FROM chat JOIN chat AS b ON 1"]
        {
            assert!(parse("app", &TEXT.replace("FROM chat", end), Checked::Now).is_err(), "{end}");
        }
        assert!(
            parse("app", &TEXT.replace("FROM chat", "FROM chat LEFT OUTER JOIN main.chat AS b ON b.id = chat.id"), Checked::Now)
                .is_ok()
        );
    }

    #[test]
    fn columns_that_another_table_could_have_are_named_with_their_table() {
        let join = TEXT.replace("FROM chat", "FROM chat LEFT JOIN peer ON peer.chat_id = chat.id");
        let two = join.replace("\"at\"] }", "\"at\"], peer = [\"chat_id\"] }");
        assert!(parse("app", &two, Checked::Now).is_ok());
        let bare = parse("app", &two.replace("chat.body AS", "body AS"), Checked::Now).unwrap_err().to_string();
        assert!(bare.contains("ambiguous"), "{bare}");
    }

    #[test]
    fn a_unit_adds_and_replaces_definitions() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("zz_own.toml"), TEXT).unwrap();
        std::fs::write(folder.path().join("whatsapp_android.toml"), TEXT).unwrap();
        std::fs::write(folder.path().join("notes.txt"), "not a definition").unwrap();
        let (own, embedded) = (Set::load(Some(folder.path())).unwrap(), Set::load(None).unwrap());
        assert_eq!(own.artifacts().len(), embedded.artifacts().len() + 1);
        assert_ne!(own.digest(), embedded.digest());
        let whatsapp = own.artifacts().iter().find(|artifact| artifact.name == "whatsapp_android").unwrap();
        assert_eq!(whatsapp.sha256, Digest::of(TEXT.as_bytes()));
        assert!(Set::load(Some(&folder.path().join("missing"))).is_err());
    }

    #[test]
    fn paths_are_expected_by_name_or_whole() {
        let artifact = parse("app", TEXT, Checked::Now).unwrap();
        assert!(artifact.expects("data/data/app/CHATS-2.db"));
        assert!(artifact.expects("chats.db"));
        assert!(!artifact.expects("chats.db/other.db"));
    }
}
