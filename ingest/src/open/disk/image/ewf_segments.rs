//! The segments of an image of either EWF generation: files beside each other, numbered in their endings.

use crate::evidence::Source;
use crate::open::Trouble;
use model::Code;
use std::io;

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
    /// Why what follows the last of them is not read.
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
            let (name, next) = match self.next(first, place + 1) {
                Ok(found) => found,
                Err(trouble) => {
                    segments.missing = Some(trouble);
                    return segments;
                }
            };
            done = read(&next, place);
            segments.parts.push((name, next.clone()));
            segments.sources.push(next);
        }
        if !done {
            let detail = format!("the {} image has more than {SEGMENTS_MAX} segments: what follows is not read", self.what);
            segments.missing = Some(Trouble::new(Code::CapEntries, detail));
        }
        segments
    }

    /// The segment of a number, with its name; else why there is none, and that what it holds is lost.
    fn next(&self, first: &Source, number: usize) -> Result<(Vec<u8>, Source), Trouble> {
        let of = format!("segment {number} of the {} image", self.what);
        let Some(beside) = first.neighbours() else {
            let detail = format!("{of} cannot be looked for here: it holds what follows");
            return Err(Trouble::new(Code::Missing, detail));
        };
        let Some(name) = (self.name)(beside.name(), number) else {
            let detail = format!("{of} has no name that follows from the first's: it holds what follows");
            return Err(Trouble::new(Code::Missing, detail));
        };
        match beside.open(&name) {
            Ok(next) => Ok((name, next)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Trouble::new(Code::Missing, format!("{of} is not there: it holds what follows")))
            }
            Err(error) => {
                let detail = format!("{of} is there and cannot be opened ({}): it holds what follows", error.kind());
                Err(Trouble::new(Code::Unreadable, detail))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Neighbours;
    use std::sync::Arc;

    /// A folder in which segments up to a number are, and the next cannot be opened for some reason.
    struct Folder(usize, io::ErrorKind);

    impl Neighbours for Folder {
        fn name(&self) -> &[u8] {
            b"1"
        }

        fn open(&self, name: &[u8]) -> io::Result<Source> {
            let number: usize = std::str::from_utf8(name).unwrap().parse().unwrap();
            if number > self.0 { Err(self.1.into()) } else { Ok(Source::Memory(Arc::from(name))) }
        }

        fn above(&self, _folder: &[u8], _name: &[u8]) -> io::Result<Source> {
            Err(io::ErrorKind::NotFound.into())
        }

        fn listed(&self) -> bool {
            true
        }
    }

    /// What is told where an image that never says "last" lies in a folder.
    fn told(folder: Folder) -> (usize, Trouble) {
        let naming = Naming { what: "E01", name: |_, number| (number < 30_000).then(|| number.to_string().into_bytes()) };
        let first = Source::Among(Arc::new(Source::Memory(Arc::from(&b"1"[..]))), Arc::new(folder));
        let segments = naming.follow(&first, &mut |_, _| false);
        (segments.sources.len(), segments.missing.unwrap())
    }

    #[test]
    fn why_segments_end_is_told() {
        let (count, trouble) = told(Folder(3, io::ErrorKind::NotFound));
        assert_eq!((count, trouble.code), (3, Code::Missing));
        assert_eq!(trouble.detail, "segment 4 of the E01 image is not there: it holds what follows");
        let (count, trouble) = told(Folder(3, io::ErrorKind::PermissionDenied));
        assert_eq!((count, trouble.code), (3, Code::Unreadable));
        assert_eq!(
            trouble.detail,
            "segment 4 of the E01 image is there and cannot be opened (permission denied): it holds what follows"
        );
        let (count, trouble) = told(Folder(usize::MAX, io::ErrorKind::NotFound));
        assert_eq!((count, trouble.code), (SEGMENTS_MAX, Code::CapEntries));
        assert_eq!(trouble.detail, "the E01 image has more than 20000 segments: what follows is not read");
    }

    #[test]
    fn an_image_that_ends_is_whole() {
        let naming = Naming { what: "E01", name: |_, number| Some(number.to_string().into_bytes()) };
        let neighbours = Arc::new(Folder(usize::MAX, io::ErrorKind::NotFound));
        let first = Source::Among(Arc::new(Source::Memory(Arc::from(&b"1"[..]))), neighbours);
        let segments = naming.follow(&first, &mut |_, place| place + 1 == SEGMENTS_MAX);
        assert_eq!((segments.sources.len(), segments.parts.len(), segments.missing), (SEGMENTS_MAX, SEGMENTS_MAX - 1, None));
        assert_eq!(segments.parts[1].0, b"3");
        let alone = naming.follow(&Source::Memory(Arc::from(&b"1"[..])), &mut |_, _| false).missing.unwrap();
        assert_eq!((alone.code, alone.detail.contains("cannot be looked for")), (Code::Missing, true));
    }
}
