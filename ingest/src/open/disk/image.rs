//! Image formats: one file a format, and one line in [`IMAGES`].

mod bands;
mod ewf;
mod ewf2;
mod ewf2_text;
mod ewf_segments;
mod ewf_table;
mod qcow2;
mod sparse;
mod split;
mod tree;
mod udif;
mod vdi;
mod vhd;
mod vhdx;
mod vmdk;

use super::volume::FileSystem;
use crate::evidence::Source;
use crate::open::{Damage, Trouble};
use md5::Digest;
use model::Code;
use std::io::{self, Read};

pub use udif::is_udif;
pub use vhd::is_fixed;

/// A disk that an image holds.
pub struct Opened {
    /// The disk.
    pub disk: Source,
    /// What was wrong with the image, beyond single bytes of it.
    pub troubles: Vec<Trouble>,
    /// Hashes of the disk that the image stores.
    pub stored: Stored,
    /// The image's other files, by name.
    pub parts: Vec<(Vec<u8>, Source)>,
    /// What names the files on the disk, where that is the image itself and no file system.
    pub tree: Option<Box<dyn FileSystem>>,
}

impl Opened {
    /// A disk without anything to say of it.
    pub fn new(disk: Source) -> Opened {
        Opened { disk, troubles: Vec::new(), stored: Stored::default(), parts: Vec::new(), tree: None }
    }
}

/// Hashes that an image stores of its disk, lower-case hex.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stored {
    /// MD5.
    pub md5: Option<String>,
    /// SHA-1.
    pub sha1: Option<String>,
}

/// An image format.
pub struct Image {
    /// Its name.
    pub name: &'static str,
    /// Whether content that begins so is one.
    pub recognize: fn(&[u8]) -> bool,
    /// Opens it. `None`: a later part, read through the first.
    pub open: fn(&Source) -> Result<Option<Opened>, Trouble>,
}

/// Every format that its beginning tells.
pub const IMAGES: &[Image] = &[
    ewf::IMAGE,
    ewf2::IMAGE,
    qcow2::IMAGE,
    vmdk::IMAGE,
    vhd::IMAGE,
    vhdx::IMAGE,
    vdi::IMAGE,
    sparse::IMAGE,
    bands::IMAGE,
    bands::BUNDLE,
];

/// Those that only their end or their name tells: tried where nothing is told by the beginning.
pub const ENDINGS: &[Image] = &[udif::IMAGE, vhd::FIXED, split::IMAGE];

/// A file beside an image, by the last part of the name that the image tells.
fn beside(source: &Source, name: &[u8]) -> Option<Source> {
    let last = name.rsplit(|byte| matches!(byte, b'/' | b'\\')).next().unwrap_or_default();
    source.neighbours()?.open(last).ok()
}

/// Whether a file is a later part of an image that is read through another: `begins` knows the beginning of a disk.
pub fn is_part(source: &Source, begins: &dyn Fn(&Source) -> bool) -> bool {
    split::is_later_part(source, begins) || vmdk::is_flat_extent(source) || bands::is_band(source)
}

impl Stored {
    /// What is told of a disk whose stored hashes hold.
    pub fn words(&self) -> Option<String> {
        let md5 = self.md5.as_ref().map(|md5| format!("stored MD5 {md5} holds"));
        let sha1 = self.sha1.as_ref().map(|sha1| format!("stored SHA-1 {sha1} holds"));
        let words: Vec<String> = md5.into_iter().chain(sha1).collect();
        (!words.is_empty()).then(|| words.join(", "))
    }
}

/// A disk read to its end and held against the hashes that its image stores.
pub struct Verified<R> {
    inner: R,
    stored: Stored,
    md5: Option<md5::Md5>,
    sha1: Option<sha1::Sha1>,
}

impl<R: Read> Verified<R> {
    /// A reader at the beginning.
    pub fn new(inner: R, stored: &Stored) -> Verified<R> {
        let (md5, sha1) = (stored.md5.is_some().then(md5::Md5::new), stored.sha1.is_some().then(sha1::Sha1::new));
        Verified { inner, stored: stored.clone(), md5, sha1 }
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        if count == 0 && !buffer.is_empty() {
            let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            let md5 = self.md5.take().map(|md5| ("MD5", hex(&md5.finalize()), self.stored.md5.take()));
            let sha1 = self.sha1.take().map(|sha1| ("SHA-1", hex(&sha1.finalize()), self.stored.sha1.take()));
            for (name, found, stored) in md5.into_iter().chain(sha1) {
                if let Some(stored) = stored.filter(|stored| *stored != found) {
                    let detail = format!("the image stores {name} {stored}, what is read has {found}");
                    return Err(Damage::error(Code::ChecksumMismatch, &detail));
                }
            }
        }
        if let Some(md5) = &mut self.md5 {
            md5.update(&buffer[..count]);
        }
        if let Some(sha1) = &mut self.sha1 {
            sha1.update(&buffer[..count]);
        }
        Ok(count)
    }
}
