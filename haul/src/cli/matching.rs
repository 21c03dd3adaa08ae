//! `haul match`: what can be typed.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `haul match`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Match {
    /// Match with another unit, neither seeing the other's values, by two files
    #[command(subcommand)]
    pub command: Option<MatchCommand>,
    /// A bundle of your own, merged or not
    #[arg(required = true)]
    pub first: Option<PathBuf>,
    /// Another
    #[arg(required = true)]
    pub second: Option<PathBuf>,
    /// One JSON object a line
    #[arg(long)]
    pub jsonl: bool,
}

/// The steps of a private match.
#[derive(Subcommand, Debug)]
pub enum MatchCommand {
    /// The analyst asks: writes the request, and beside it a secret that must stay
    Request(Request),
    /// The supervisor allows it: shows what is asked and signs, with a key of their own
    Approve(Approve),
    /// The other unit answers, if it trusts both keys and its own limits allow it
    Answer(Answer),
    /// The asking unit reads the answer and learns which values both have; the secret is destroyed
    Finish(Finish),
}

/// `haul match request`.
#[derive(Args, Debug)]
pub struct Request {
    /// The bundles whose values are asked for
    #[arg(required = true)]
    pub bundles: Vec<PathBuf>,
    /// The unit that may answer: its name in your keyring, its public key's file, or the line itself
    #[arg(long)]
    pub to: String,
    /// What to match
    #[arg(long, value_delimiter = ',', default_value = "email,handle,phone,wallet", value_parser = clap::builder::PossibleValuesParser::new(export::matching::set::KINDS))]
    pub kinds: Vec<String>,
    /// Why; the supervisor and the other unit read it
    #[arg(long)]
    pub purpose: String,
    /// The law or agreement that allows it
    #[arg(long)]
    pub basis: String,
    /// Most values that may be asked, padding included (sets are padded to powers of two)
    #[arg(long, default_value_t = 131_072)]
    pub cap: u64,
    /// Days until the request is void
    #[arg(long, default_value_t = 14, value_parser = clap::value_parser!(u16).range(1..=90))]
    pub days: u16,
    /// The request to write; `OUT.secret` beside it stays here
    #[arg(short, long)]
    pub out: PathBuf,
}

/// `haul match approve`.
#[derive(Args, Debug)]
pub struct Approve {
    /// The analyst's request
    pub request: PathBuf,
    /// The request with both signatures, to be sent
    #[arg(short, long)]
    pub out: PathBuf,
}

/// `haul match answer`.
#[derive(Args, Debug)]
pub struct Answer {
    /// The other unit's request
    pub request: PathBuf,
    /// The bundles that answer
    #[arg(required = true)]
    pub bundles: Vec<PathBuf>,
    /// Most values that the other unit may ask, padding included
    #[arg(long, default_value_t = 131_072)]
    pub cap: u64,
    /// What may be matched
    #[arg(long, value_delimiter = ',', default_value = "email,handle,phone,wallet", value_parser = clap::builder::PossibleValuesParser::new(export::matching::set::KINDS))]
    pub kinds: Vec<String>,
    /// The answer to write, to be sent back
    #[arg(short, long)]
    pub out: PathBuf,
}

/// `haul match finish`.
#[derive(Args, Debug)]
pub struct Finish {
    /// The secret that `haul match request` wrote
    pub secret: PathBuf,
    /// The other unit's answer
    pub answer: PathBuf,
    /// The bundles that the request was made from
    #[arg(required = true)]
    pub bundles: Vec<PathBuf>,
    /// One JSON object a line
    #[arg(long)]
    pub jsonl: bool,
}
