//! What leaves a bundle, by whom it goes to: the profiles in `config/share`.

use crate::Error;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// The profiles that come with Haul, by name.
const EMBEDDED: &[(&str, &str)] = &[
    ("ngo", include_str!("../share/ngo.toml")),
    ("platform", include_str!("../share/platform.toml")),
    ("stop-payment", include_str!("../share/stop-payment.toml")),
    ("unit", include_str!("../share/unit.toml")),
];

/// Which rows are taken, and which of their columns are shown. What is not listed is hidden.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its name: the file's.
    #[serde(skip)]
    pub name: String,
    /// What it is for.
    pub why: String,
    /// Whether nothing is taken without a query.
    #[serde(default)]
    pub query: bool,
    /// Whether the app must be named whose rows are taken.
    #[serde(default)]
    pub app: bool,
    /// Observables of these kinds alone may leave, whatever is asked for; of any if empty.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// What is taken where nobody asks for something else.
    #[serde(default)]
    pub take: Vec<Take>,
    /// The columns that are shown of each table; rows of other tables do not leave.
    pub show: BTreeMap<String, Vec<String>>,
}

/// Rows of one table.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Take {
    /// The table.
    pub table: String,
    /// Of observables and of what devices tell of themselves: these kinds; all if empty.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// Of accounts: only those of the device itself.
    #[serde(default)]
    pub owner: bool,
}

impl Profile {
    /// The profile of that name, or in that file (`….toml`).
    ///
    /// # Errors
    /// No such profile; a file that cannot be read or says something else.
    pub fn named(name: &str) -> Result<Profile, Error> {
        let path = Path::new(name);
        let text = match EMBEDDED.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => (*text).to_owned(),
            None if name.ends_with(".toml") => {
                std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?
            }
            None => {
                let known: Vec<_> = EMBEDDED.iter().map(|(name, _)| *name).collect();
                return Err(Error::Value(format!(
                    "no profile {name}: there are {}, and files that end in .toml",
                    known.join(", ")
                )));
            }
        };
        let profile: Profile =
            toml::from_str(&text).map_err(|source| Error::Toml { path: path.to_owned(), source: Box::new(source) })?;
        let stem = path.file_stem().map_or_else(|| name.to_owned(), |stem| stem.to_string_lossy().into_owned());
        Ok(Profile { name: stem, ..profile })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_that_comes_with_haul_can_be_read() {
        for (name, _) in EMBEDDED {
            let profile = Profile::named(name).unwrap();
            assert_eq!(profile.name, *name);
            assert!(profile.query || !profile.take.is_empty());
            assert!(profile.take.iter().all(|take| take.table == "sighting" || profile.show.contains_key(&take.table)));
        }
        assert!(Profile::named("nobody").is_err());
        assert!(Profile::named("/no/such.toml").is_err());
    }
}
