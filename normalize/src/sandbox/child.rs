//! The child: locks itself in, then reads one unit after another and tells what it found.
//!
//! It is the same executable as its supervisor, run again with [`ARGUMENT`] as its only argument, an empty environment and
//! its scratch folder as working directory. It dies rather than recover: a panic, an overflow of the stack or a refused
//! allocation ends the process, and the supervisor finds out what that means for the unit.

use super::confine;
use super::frame::{self, Tag};
use crate::artifact;
use crate::emit::Outlet;
use crate::read::read_content;
use model::{Body, WorkUnit, wire};
use serde::{Deserialize, Serialize};
use std::io::{self, BufReader, Read, Write};
use std::path::Path;
use std::process::exit;

/// The hidden first argument that makes a process a parser child.
pub const ARGUMENT: &str = "--parser-child";

/// Exit code after a panic: the parser is wrong, not the evidence.
pub const EXIT_PANIC: i32 = 101;

/// Exit code of a child that cannot begin or has lost its supervisor.
const EXIT_REFUSED: i32 = 3;

/// Exit code of a child that said all it may.
const EXIT_OVER: i32 = 4;

/// What a child is told before it locks itself in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Setup {
    /// Address space, bytes.
    pub memory_bytes: u64,
    /// Bytes of one encoded body.
    pub body_cap_bytes: u64,
    /// Whether to go on where the kernel offers too little.
    pub weak: bool,
    /// Limits of what is read.
    pub limits: config::Normalize,
    /// Definitions given beside the embedded ones (`--artifacts`): file name and text, sorted by name. The child cannot open
    /// them itself.
    pub definitions: Vec<(String, String)>,
}

/// One unit to read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// The unit; its contents lie in the scratch folder, or follow in a frame of their own.
    pub unit: WorkUnit,
    /// Whether the content follows.
    pub content_follows: bool,
    /// Bytes of bodies that it may give.
    pub output_cap_bytes: u64,
}

/// Reads units, inside the sandbox.
pub trait Reader {
    /// Reads the unit whose content is given or lies in `folder` and puts every body it gives.
    fn read(&mut self, unit: &WorkUnit, content: Option<&[u8]>, folder: &Path, outlet: &mut dyn Outlet);
}

/// Makes the reader, after the process has locked itself in and before it sees evidence. The text says why it cannot.
pub type Prepare = fn(&Setup) -> Result<Box<dyn Reader>, String>;

/// Becomes a parser child, and never returns, if the process was started as one. Every program that can be the supervisor's
/// `child` calls this first thing in `main`, before it has opened a file or started a thread.
pub fn enter_if_asked() {
    enter_with(|setup| Ok(Box::new(Units::new(setup)?)));
}

/// The same with another reader: for tests of the sandbox itself.
pub fn enter_with(prepare: Prepare) {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == ARGUMENT) {
        exit(live(prepare));
    }
}

/// The reader of every program but tests: identifies and parses by the definitions and parsers of this crate.
struct Units {
    artifacts: artifact::Set,
    limits: config::Normalize,
}

impl Units {
    fn new(setup: &Setup) -> Result<Units, String> {
        let artifacts = artifact::Set::with(&setup.definitions).map_err(|error| error.to_string())?;
        Ok(Units { artifacts, limits: setup.limits.clone() })
    }
}

impl Reader for Units {
    fn read(&mut self, unit: &WorkUnit, content: Option<&[u8]>, folder: &Path, outlet: &mut dyn Outlet) {
        read_content(unit, content, folder, &self.artifacts, &self.limits, outlet);
    }
}

/// A child's life; the exit code.
fn live(prepare: Prepare) -> i32 {
    std::panic::set_hook(Box::new(|_| exit(EXIT_PANIC)));
    let mut input = BufReader::with_capacity(64 << 10, io::stdin());
    let mut output = io::stdout();
    let (folder, mut reader) = match begin(&mut input, prepare) {
        Ok((support, folder, reader, body_cap)) => {
            if frame::write(&mut output, Tag::Ready, &wire::to_bytes(&support)).is_err() {
                return EXIT_REFUSED;
            }
            (folder, Serving { reader, body_cap })
        }
        Err(reason) => {
            let told = frame::write(&mut output, Tag::Refused, reason.as_bytes());
            return if told.is_ok() { EXIT_REFUSED } else { EXIT_PANIC };
        }
    };
    reader.serve(&mut input, &folder)
}

type Begun = (confine::Support, std::path::PathBuf, Box<dyn Reader>, u64);

fn begin(input: &mut impl Read, prepare: Prepare) -> Result<Begun, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let (tag, payload) = frame::read(input).map_err(|error| text(&error))?.ok_or("no setup")?;
    if tag != Tag::Setup {
        return Err("no setup".to_owned());
    }
    let setup: Setup = wire::from_bytes(&payload).map_err(|error| text(&error))?;
    let folder = std::env::current_dir().map_err(|error| text(&error))?;
    let support = confine::enter(&folder, setup.memory_bytes, setup.weak).map_err(|error| text(&error))?;
    let reader = prepare(&setup)?;
    Ok((support, folder, reader, setup.body_cap_bytes))
}

struct Serving {
    reader: Box<dyn Reader>,
    body_cap: u64,
}

impl Serving {
    /// Reads units until the supervisor closes the stream.
    fn serve(&mut self, input: &mut impl Read, folder: &Path) -> i32 {
        loop {
            let job: Job = match frame::read(input) {
                Ok(None) => return 0,
                Ok(Some((Tag::Job, payload))) => match wire::from_bytes(&payload) {
                    Ok(job) => job,
                    Err(_) => return EXIT_REFUSED,
                },
                Ok(Some(_)) | Err(_) => return EXIT_REFUSED,
            };
            let content = match job.content_follows.then(|| frame::read(input)) {
                None => None,
                Some(Ok(Some((Tag::Content, content)))) => Some(content),
                Some(_) => return EXIT_REFUSED,
            };
            let mut outlet = FrameOutlet::new(io::stdout(), job.output_cap_bytes, self.body_cap);
            self.reader.read(&job.unit, content.as_deref(), folder, &mut outlet);
            if outlet.end().is_err() {
                return EXIT_REFUSED;
            }
        }
    }
}

/// Where the bodies of a unit go: into frames, up to the unit's cap.
struct FrameOutlet<W: Write> {
    output: W,
    /// Room for a frame's length and tag, then bodies that were not written yet.
    gathered: Vec<u8>,
    left_bytes: u64,
    body_cap: u64,
}

/// Bytes in front of a frame's payload.
const HEADER_BYTES: usize = frame::LENGTH_BYTES + 1;

impl<W: Write> FrameOutlet<W> {
    fn new(output: W, cap_bytes: u64, body_cap: u64) -> FrameOutlet<W> {
        FrameOutlet { output, gathered: vec![0; HEADER_BYTES], left_bytes: cap_bytes, body_cap }
    }

    /// Closes the frame of gathered bodies in place.
    fn close(&mut self) {
        if self.gathered.len() == HEADER_BYTES {
            self.gathered.clear();
            return;
        }
        let length = u32::try_from(self.gathered.len() - frame::LENGTH_BYTES).unwrap_or(u32::MAX);
        if let Some(header) = self.gathered.first_chunk_mut::<HEADER_BYTES>() {
            let [a, b, c, d] = length.to_le_bytes();
            *header = [a, b, c, d, Tag::Bodies as u8];
        }
    }

    fn send(&mut self) -> io::Result<()> {
        self.output.write_all(&self.gathered)?;
        self.output.flush()?;
        self.gathered.clear();
        self.gathered.resize(HEADER_BYTES, 0);
        Ok(())
    }

    fn gather(&mut self, body: &[u8]) -> Result<(), i32> {
        let size = body.len() as u64;
        let Some(left) = self.left_bytes.checked_sub(size).filter(|_| size <= self.body_cap) else {
            self.gathered.clear();
            frame::put(&mut self.gathered, Tag::Over, &[]);
            return Err(self.send().map_or(EXIT_REFUSED, |()| EXIT_OVER));
        };
        self.left_bytes = left;
        frame::put_body(&mut self.gathered, body);
        if self.gathered.len() >= frame::CHUNK_BYTES {
            self.close();
            self.send().map_err(|_| EXIT_REFUSED)?;
        }
        Ok(())
    }

    /// Sends what is left and the end of the unit, in one write.
    fn end(mut self) -> io::Result<()> {
        self.close();
        frame::put(&mut self.gathered, Tag::End, &[]);
        self.send()
    }
}

impl<W: Write> Outlet for FrameOutlet<W> {
    fn put(&mut self, body: Body) {
        // A parser cannot be stopped from outside its code, so the process ends here; the supervisor has been told why.
        if let Err(code) = self.gather(&wire::to_bytes(&body)) {
            exit(code);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The frames in a child's output.
    fn frames(mut bytes: &[u8]) -> Vec<(Tag, Vec<u8>)> {
        let mut all = Vec::new();
        while let Some((tag, payload, taken)) = frame::take(bytes, 1 << 30).unwrap() {
            all.push((tag, payload.to_vec()));
            bytes = &bytes[taken..];
        }
        assert!(bytes.is_empty());
        all
    }

    #[test]
    fn a_small_unit_is_one_write() {
        struct Counted<'a>(&'a mut Vec<Vec<u8>>);
        impl Write for Counted<'_> {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.push(bytes.to_vec());
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut writes = Vec::new();
        let mut outlet = FrameOutlet::new(Counted(&mut writes), 1 << 20, 1 << 20);
        outlet.gather(b"one").unwrap();
        outlet.gather(b"two").unwrap();
        outlet.end().unwrap();
        assert_eq!(writes.len(), 1);
        let got = frames(&writes[0]);
        assert_eq!(got[0].0, Tag::Bodies);
        let bodies: Vec<_> = frame::bodies(&got[0].1).map(Result::unwrap).collect();
        assert_eq!(bodies, [b"one", b"two"]);
        assert_eq!(got[1], (Tag::End, Vec::new()));
    }

    #[test]
    fn a_unit_without_bodies_is_its_end() {
        let mut output = Vec::new();
        FrameOutlet::new(&mut output, 10, 10).end().unwrap();
        assert_eq!(frames(&output), [(Tag::End, Vec::new())]);
    }

    #[test]
    fn large_output_is_cut_into_chunks() {
        let mut output = Vec::new();
        let mut outlet = FrameOutlet::new(&mut output, 1 << 30, 1 << 30);
        for _ in 0..100 {
            outlet.gather(&[7; 10_000]).unwrap();
        }
        outlet.end().unwrap();
        let got = frames(&output);
        assert!(got.len() >= 4 && got.iter().all(|(_, payload)| payload.len() <= frame::CHUNK_BYTES + 10_004));
        let bodies: usize = got.iter().map(|(_, payload)| frame::bodies(payload).count()).sum();
        assert_eq!(bodies, 100);
    }

    #[test]
    fn the_cap_holds_to_the_byte() {
        for (size, over) in [(99, false), (100, false), (101, true)] {
            let mut output = Vec::new();
            let mut outlet = FrameOutlet::new(&mut output, 100, 1 << 20);
            assert_eq!(outlet.gather(&vec![1; size]).is_err(), over, "{size} bytes");
            drop(outlet);
            assert_eq!(frames(&output).first().map(|(tag, _)| *tag), over.then_some(Tag::Over));
        }
        let mut outlet = FrameOutlet::new(Vec::new(), 1 << 20, 10);
        assert_eq!(outlet.gather(&[1; 10]), Ok(()));
        assert_eq!(outlet.gather(&[1; 11]), Err(EXIT_OVER));
    }
}
