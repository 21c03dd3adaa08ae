//! The segments of an image of either EWF generation: files beside each other, numbered in their endings.

use crate::evidence::Source;
use crate::open::Trouble;
use model::Code;

/// Most segments that are followed.
const SEGMENTS_MAX: usize = 20_000;

/// How a generation names its segments.
pub struct Naming {
    /// The format's name.
    pub what: &'static str,
    /// The name of the segment of a number, by that of any other.
    pub name: fn(&[u8], usize) -> Option<Vec<u8>>,
}

/// An image's segments.
pub struct Segments {
    /// In their order, the first included.
    pub sources: Vec<Source>,
    /// All but the first, by name.
    pub parts: Vec<(Vec<u8>, Source)>,
    /// That one is not there.
    pub missing: Option<Trouble>,
}

impl Naming {
    /// Whether a file with that number in its header is an image's first segment; false for a later one whose first lies beside it.
    ///
    /// # Errors
    /// That it is a later one and its first is not there; a first whose number is damaged is not its own.
    pub fn is_first(&self, source: &Source, number: u64) -> Result<bool, Trouble> {
        let has_first = || {
            let Some(beside) = source.neighbours() else { return false };
            (self.name)(beside.name(), 1).is_some_and(|name| name != beside.name() && beside.open(&name).is_ok())
        };
        match number {
            1 => Ok(true),
            _ if has_first() => Ok(false),
            _ => Err(Trouble::new(Code::Missing, format!("segment {number} of an {} image whose first is not there", self.what))),
        }
    }

    /// Follows the segments from the first, giving each with its place; `read` says whether it was the last.
    pub fn follow(&self, first: &Source, read: &mut dyn FnMut(&Source, usize) -> bool) -> Segments {
        let mut segments = Segments { sources: vec![first.clone()], parts: Vec::new(), missing: None };
        let mut done = read(first, 0);
        while !done && segments.sources.len() < SEGMENTS_MAX {
            let place = segments.sources.len();
            let name = first.neighbours().and_then(|beside| (self.name)(beside.name(), place + 1));
            let next = name.clone().zip(first.neighbours()).and_then(|(name, beside)| beside.open(&name).ok());
            let (Some(name), Some(next)) = (name, next) else {
                let detail = format!("segment {} of the {} image is not there: it holds what follows", place + 1, self.what);
                segments.missing = Some(Trouble::new(Code::Missing, detail));
                break;
            };
            done = read(&next, place);
            segments.parts.push((name, next.clone()));
            segments.sources.push(next);
        }
        segments
    }
}
