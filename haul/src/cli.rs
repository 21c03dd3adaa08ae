//! What can be typed.

mod matching;

pub use matching::{Answer, Approve, Finish, Match, MatchCommand, Request};

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Turns seized devices into sealed evidence bundles.
#[derive(Parser, Debug)]
#[command(name = "haul", version, about, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Who does it and why.
    #[command(flatten)]
    pub by: By,
}

/// What every custody entry names.
#[derive(Args, Debug, Clone, Default)]
pub struct By {
    /// Who is at the keyboard, for the custody entry [default: who is logged in]
    #[arg(long, global = true, env = "HAUL_ACTOR", help_heading = "Custody")]
    pub actor: Option<String>,
    /// Why it is done, for the custody entry
    #[arg(long, global = true, help_heading = "Custody")]
    pub reason: Option<String>,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Make one sealed bundle of each EVIDENCE; typed again, it goes on where it stopped
    Run(Run),
    /// Propose the exhibits of a raid: a manifest for `haul run` to edit first
    Inventory(Inventory),
    /// Show what is walked, parsed, pending and failed, and (with --config) how far the workers of a fleet lag
    Status(Status),
    /// Check bundles: ledger, leaves, root, signature; the first thing that is wrong is named
    Verify(Verify),
    /// Join bundles of any units and cases into one; order, grouping and repetition change nothing
    Merge(Merge),
    /// What two bundles of your own have in common, or, by two files, what another unit and yours have
    Match(Match),
    /// Go back to the evidence and print the raw value that a record, sighting or item comes from
    Explain(Explain),
    /// Look for words, numbers, names and addresses in bundles
    Search(Search),
    /// Write a bundle in a form that other tools load
    Export(Export),
    /// Write a page that shows what bundles hold: chats, wallets, people, problems; no script, no network
    Report(Report),
    /// Give a part of a bundle to someone else: chosen rows, hidden fields, proof under the original seal, encrypted
    Share(Share),
    /// Open what another unit shared: decrypt, check, and put it in its place
    Open(Open),
    /// Make the unit's signing key
    Keygen(Keygen),
    /// The keys of other units: who is trusted, since when, for what
    Keys(Keys),
    /// Who did what with a bundle: show, check, hand over
    Custody(CustodyArguments),
    /// Create the topics of a fleet
    Topics(Topics),
    /// List every definition and parser, or try a definition of your own
    Artifacts(Artifacts),
}

/// `haul run`.
#[derive(Args, Debug, Clone)]
pub struct Run {
    /// Folders, files, archives; or a .toml manifest that lists a raid's exhibits
    #[arg(required = true)]
    pub evidence: Vec<PathBuf>,
    /// Label of the case
    #[arg(long = "case")]
    pub case_label: String,
    /// Folder for the bundles; it must not lie inside the evidence
    #[arg(long)]
    pub out: PathBuf,
    /// Exhibit number; the name of EVIDENCE unless given (one EVIDENCE only)
    #[arg(long)]
    pub exhibit: Option<String>,
    /// What the exhibit is
    #[arg(long, default_value = "unknown", value_parser = ["phone", "computer", "unknown"])]
    pub kind: String,
    /// Password or recovery key to try on what is encrypted (can be repeated)
    #[arg(long = "password", visible_alias = "recovery-key")]
    pub passwords: Vec<String>,
    /// File that holds a key: WhatsApp's `key` or `encrypted_backup.key`, or a text with the key's digits (can be repeated)
    #[arg(long = "key")]
    pub key_files: Vec<PathBuf>,
    /// Settings file; keys it leaves out have their defaults
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// Folder with artifact definitions of your own
    #[arg(long)]
    pub artifacts: Option<PathBuf>,
    /// Threads and parser processes [default: one per core]
    #[arg(long)]
    pub workers: Option<usize>,
    /// Parse although the kernel cannot confine the parsers; written in the run record
    #[arg(long)]
    pub weak_sandbox: bool,
    /// Do not sign the bundle; it says so
    #[arg(long)]
    pub unsigned: bool,
}

/// `haul inventory`.
#[derive(Args, Debug)]
pub struct Inventory {
    /// Folder in which the images, dumps and backups of a raid lie
    pub folder: PathBuf,
    /// Manifest to write; it must not lie inside the folder
    #[arg(short, long)]
    pub out: PathBuf,
}

/// `haul status`.
#[derive(Args, Debug)]
pub struct Status {
    /// Output folder of `haul run` or `haul-export`
    pub out: Option<PathBuf>,
    /// Settings of a fleet: shows the lag of its workers
    #[arg(long)]
    pub config: Option<PathBuf>,
}

/// `haul verify`.
#[derive(Args, Debug)]
pub struct Verify {
    /// Bundles to check
    #[arg(required_unless_present = "scripts")]
    pub bundles: Vec<PathBuf>,
    /// Write the scripts that check a bundle without Haul (Python's standard library alone) into this folder, too
    #[arg(long, value_name = "DIR")]
    pub scripts: Option<PathBuf>,
}

/// `haul merge`.
#[derive(Args, Debug)]
pub struct Merge {
    /// Bundles to join, merged or not
    #[arg(required = true)]
    pub bundles: Vec<PathBuf>,
    /// File to write; it must not exist
    #[arg(short, long)]
    pub out: PathBuf,
    /// Do not sign the merged bundle; it says so
    #[arg(long)]
    pub unsigned: bool,
}

/// `haul explain`.
#[derive(Args, Debug)]
pub struct Explain {
    /// The bundle
    pub bundle: PathBuf,
    /// Id of a record, sighting, secret, attachment, link or item: 32 hexadecimal digits
    pub id: String,
    /// Where the evidence lies now [default: as in the run record beside the bundle]
    #[arg(long)]
    pub evidence: Option<PathBuf>,
    /// Password or recovery key to try on what is encrypted (can be repeated)
    #[arg(long = "password", visible_alias = "recovery-key")]
    pub passwords: Vec<String>,
    /// File that holds a key: WhatsApp's `key` or `encrypted_backup.key`, or a text with the key's digits (can be repeated)
    #[arg(long = "key")]
    pub key_files: Vec<PathBuf>,
}

/// `haul search`.
#[derive(Args, Debug)]
pub struct Search {
    /// The bundles, then what to look for: `haul search a.sqlite b.sqlite "usdt boss"`; all words must be in a row
    #[arg(required = true)]
    pub bundles: Vec<PathBuf>,
    /// Words to look for (instead of the last argument; needed with --selectors)
    #[arg(long = "for", value_delimiter = ' ')]
    pub words: Vec<String>,
    /// File with one selector a line (`#` begins a remark; UTF-8 or UTF-16): rows that have any of them, phone numbers in any spelling
    #[arg(long)]
    pub selectors: Option<PathBuf>,
    /// Only this kind (can be repeated)
    #[arg(long = "kind", value_parser = clap::builder::PossibleValuesParser::new(export::search::KINDS))]
    pub kinds: Vec<String>,
    /// Only rows at or after this time (2024-05-01T00:00:00Z)
    #[arg(long)]
    pub since: Option<jiff::Timestamp>,
    /// Only rows before this time
    #[arg(long)]
    pub until: Option<jiff::Timestamp>,
    /// Only this exhibit number
    #[arg(long)]
    pub exhibit: Option<String>,
    /// The search index, kept in the user's cache folder: `auto` makes it for large bundles when it is missing or stale, `build` makes it
    /// anew, `none` reads every row; hits are the same
    #[arg(long, default_value = "auto", value_parser = ["auto", "build", "none"])]
    pub index: String,
    /// How hits are printed; `explain` goes back to the evidence for each
    #[arg(long, default_value = "table", value_parser = ["table", "jsonl", "explain"])]
    pub output: String,
}

impl Search {
    /// The last argument is the query where no option is.
    pub fn settle(mut self) -> Search {
        if self.words.is_empty()
            && self.selectors.is_none()
            && self.bundles.len() > 1
            && let Some(query) = self.bundles.pop()
        {
            self.words = query.to_string_lossy().split_whitespace().map(str::to_owned).collect();
        }
        self
    }
}

/// `haul export`.
#[derive(Args, Debug)]
pub struct Export {
    /// The form
    #[arg(long = "to", value_parser = clap::builder::PossibleValuesParser::new(export::exchange::FORMATS.iter().map(|format| format.name())))]
    pub format: String,
    /// The bundle
    pub bundle: PathBuf,
    /// File to write; a folder for csv
    #[arg(short, long)]
    pub out: PathBuf,
    /// Why the data leave the unit; written in the export
    #[arg(long)]
    pub purpose: Option<String>,
    /// Who gets them; written in the export
    #[arg(long)]
    pub recipient: Option<String>,
    /// How far they may travel (Traffic Light Protocol)
    #[arg(long, default_value = "amber", value_parser = ["clear", "green", "amber", "red"])]
    pub handling: String,
    /// Until when they may be kept (a date, 2027-01-31)
    #[arg(long)]
    pub retain_until: Option<jiff::civil::Date>,
    /// Who reads the CSV: a program, or a person with a spreadsheet (formulas and long numbers are quoted)
    #[arg(long, default_value = "raw", value_parser = ["raw", "spreadsheet"])]
    pub profile: String,
    /// Write names, numbers and texts of persons into a stop-payment packet
    #[arg(long)]
    pub include_persons: bool,
}

/// `haul report`.
#[derive(Args, Debug)]
pub struct Report {
    /// The bundles, merged or not
    #[arg(required = true)]
    pub bundles: Vec<PathBuf>,
    /// Page to write; a long report has its pages in a folder beside it (report.html, report_files)
    #[arg(short, long)]
    pub out: PathBuf,
    /// Write the values of seed phrases and private keys; they are masked otherwise
    #[arg(long)]
    pub show_secrets: bool,
}

/// `haul share`.
#[derive(Args, Debug)]
pub struct Share {
    /// A sealed and signed bundle, merged or not
    pub bundle: PathBuf,
    /// Who gets it: an SSH public key (a line, or a file of them) or `age1…` (can be repeated)
    #[arg(long = "to")]
    pub recipients: Vec<String>,
    /// File to write; it must not exist
    #[arg(short, long)]
    pub out: Option<PathBuf>,
    /// What may leave: unit, ngo, platform, stop-payment, or a file of your own (….toml)
    #[arg(long, default_value = "unit")]
    pub profile: String,
    /// Only rows that have all these words
    #[arg(long)]
    pub only: Option<String>,
    /// Only rows that have any line of this file
    #[arg(long)]
    pub selectors: Option<PathBuf>,
    /// Only these kinds, comma-separated
    #[arg(long, value_delimiter = ',', value_parser = clap::builder::PossibleValuesParser::new(export::search::KINDS))]
    pub kinds: Vec<String>,
    /// Only rows of this app
    #[arg(long)]
    pub app: Option<String>,
    /// Hide this field besides: table.column, or a column of every table (can be repeated)
    #[arg(long)]
    pub hide: Vec<String>,
    /// What the receiver may use it for
    #[arg(long)]
    pub purpose: String,
    /// How far it may travel (Traffic Light Protocol 2.0)
    #[arg(long, default_value = "amber", value_parser = ["red", "amber+strict", "amber", "green", "clear"])]
    pub handling: String,
    /// Until when it may be kept (a date, 2027-01-31)
    #[arg(long)]
    pub retain_until: jiff::civil::Date,
    /// Who the devices' owners are, said by you under your name (--actor) [default: unknown, possible victim]
    #[arg(long, requires = "actor")]
    pub owners: Option<String>,
    /// Show what would leave and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Write it readable for everyone
    #[arg(long, conflicts_with = "recipients")]
    pub unencrypted: bool,
}

/// `haul open`.
#[derive(Args, Debug)]
pub struct Open {
    /// The file that was sent
    pub file: PathBuf,
    /// Partial bundle to write; it must not exist
    #[arg(short, long)]
    pub out: PathBuf,
    /// Private key to open it with: SSH or age [default: the unit's own key]
    #[arg(long)]
    pub identity: Option<PathBuf>,
}

/// `haul keygen`.
#[derive(Args, Debug)]
pub struct Keygen {
    /// File to write [default: HAUL_KEY, else haul/unit_ed25519 in the configuration folder]
    pub path: Option<PathBuf>,
}

/// `haul keys`.
#[derive(Args, Debug)]
pub struct Keys {
    /// What to do with the keyring
    #[command(subcommand)]
    pub command: KeysCommand,
}

/// What can be done with the keyring.
#[derive(Subcommand, Debug)]
pub enum KeysCommand {
    /// List every key with its validity, use and revocation
    List,
    /// Add a unit's public key; compare its fingerprint by another way first
    Add {
        /// What you call the unit
        unit: String,
        /// Its public key: a file, or the line itself
        key: String,
        /// What it is for
        #[arg(long = "use", value_delimiter = ',', default_value = "seal", value_parser = clap::builder::PossibleValuesParser::new(export::keyring::USES))]
        uses: Vec<String>,
        /// First day on which it counts (2026-01-31)
        #[arg(long)]
        valid_from: Option<jiff::civil::Date>,
        /// Last day
        #[arg(long)]
        valid_until: Option<jiff::civil::Date>,
    },
    /// Revoke a key, for good
    Revoke {
        /// Its fingerprint, or the unit's name
        which: String,
    },
    /// Print a fingerprint as digits and as words to read out [default: of your own key]
    Fingerprint {
        /// A public key: a file, or the line itself
        key: Option<String>,
    },
}

/// `haul custody`.
#[derive(Args, Debug)]
pub struct CustodyArguments {
    /// What to do with the custody
    #[command(subcommand)]
    pub command: CustodyCommand,
}

/// What can be done with the custody of a bundle.
#[derive(Subcommand, Debug)]
pub enum CustodyCommand {
    /// Print every entry
    Show {
        /// The bundle
        bundle: PathBuf,
    },
    /// Check that no entry was changed, dropped or moved
    Verify {
        /// The bundles
        #[arg(required = true)]
        bundles: Vec<PathBuf>,
    },
    /// Write that the bundle was handed over
    HandOver {
        /// The bundle
        bundle: PathBuf,
        /// To whom
        #[arg(long)]
        to: String,
    },
    /// Write that the bundle was received
    Receive {
        /// The bundle
        bundle: PathBuf,
        /// From whom
        #[arg(long)]
        from: String,
    },
}

/// `haul topics`.
#[derive(Args, Debug)]
pub struct Topics {
    /// Settings file
    #[arg(long)]
    pub config: Option<PathBuf>,
}

/// `haul artifacts`.
#[derive(Args, Debug)]
pub struct Artifacts {
    /// Folder with artifact definitions of your own
    #[arg(long)]
    pub artifacts: Option<PathBuf>,
    /// What to do instead of listing.
    #[command(subcommand)]
    pub command: Option<ArtifactsCommand>,
}

/// What can be done with a definition.
#[derive(Subcommand, Debug)]
pub enum ArtifactsCommand {
    /// Check a definition by itself, and show what it reads from a database
    Check(ArtifactsCheck),
}

/// `haul artifacts check`.
#[derive(Args, Debug)]
pub struct ArtifactsCheck {
    /// The definition
    pub definition: PathBuf,
    /// A SQLite database to try it on; its -wal and -journal beside it are read with it, none of them is changed
    #[arg(long)]
    pub against: Option<PathBuf>,
    /// Rows of each kind to show
    #[arg(long, default_value_t = 3)]
    pub show: u32,
    /// Parse although the kernel cannot confine the parsers
    #[arg(long)]
    pub weak_sandbox: bool,
}
