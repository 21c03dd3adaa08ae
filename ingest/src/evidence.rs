//! The only module that opens evidence: read-only, never following a link, never waiting on a pipe, never touching the access
//! time where the kernel allows that.

use model::FileKind;
use model::item::{FileTime, FileTimes};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, ResolveFlags, StatxFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the file system tells of one entry.
#[derive(Clone, Debug)]
pub struct Facts {
    /// File, link, pipe, …; `None` for a directory.
    pub kind: Option<FileKind>,
    /// Size, bytes.
    pub size: u64,
    /// Mode bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// All times, nanoseconds.
    pub times: FileTimes,
}

/// The exhibit's own place. A link there is the technician's and is followed; links below are evidence and are not.
pub fn resolve(path: &Path) -> io::Result<PathBuf> {
    if facts(path)?.kind == Some(FileKind::Symlink) { std::fs::canonicalize(path) } else { Ok(path.to_owned()) }
}

/// Longest path that the kernel takes in one call, with room for its last byte.
const PATH_BYTES_MAX: usize = 4000;
/// Bytes of a folder's entries that are fetched at a time.
const ENTRIES_BYTES: usize = 64 << 10;

/// A folder of the evidence. What is opened through it lies below it: no component of a path may be a link.
#[derive(Clone)]
pub struct Folder(Arc<OwnedFd>);

impl Folder {
    /// The folder that an exhibit lies in or is; it need not be readable.
    pub fn root(path: &Path) -> io::Result<Folder> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Folder(Arc::new(rustix::fs::open(path, flags, Mode::empty())?)))
    }

    /// Opens a file for reading, however long its path.
    pub fn open_file(&self, path: &[u8]) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        self.open(path, flags).map(File::from)
    }

    /// Opens a folder for listing, however long its path.
    pub fn open_folder(&self, path: &[u8]) -> io::Result<Folder> {
        let path = if path.is_empty() { b"." } else { path };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        Ok(Folder(Arc::new(self.open(path, flags)?)))
    }

    fn open(&self, mut path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
        let mut reached: Option<OwnedFd> = None;
        while path.len() > PATH_BYTES_MAX {
            let cut = path[..PATH_BYTES_MAX].iter().rposition(|byte| *byte == b'/').ok_or(Errno::NAMETOOLONG)?;
            let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            reached = Some(beneath(reached.as_ref().unwrap_or(&*self.0), &path[..cut], step)?);
            path = &path[cut + 1..];
        }
        let folder = reached.as_ref().unwrap_or(&*self.0);
        match beneath(folder, path, flags | OFlags::NOATIME) {
            // Only the owner and root may leave the access time alone.
            Err(Errno::PERM) => Ok(beneath(folder, path, flags)?),
            other => Ok(other?),
        }
    }

    /// Calls `each` with the name of every entry, in the order of the file system.
    pub fn entries(&self, each: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let mut buffer = vec![MaybeUninit::uninit(); ENTRIES_BYTES];
        let mut entries = RawDir::new(&self.0, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if ![b".".as_slice(), b".."].contains(&name) {
                each(name);
            }
        }
        Ok(())
    }

    /// The facts of an entry, of a link itself rather than its target.
    pub fn facts_in(&self, name: &[u8]) -> io::Result<Facts> {
        statx(&self.0, Path::new(OsStr::from_bytes(name)), AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Where a link points; `None` where asking would set the link's access time: unlike for files and folders, the kernel has no way
    /// to leave that alone but a mount that is read-only or `noatime`.
    pub fn link_target(&self, name: &[u8]) -> io::Result<Option<Vec<u8>>> {
        use rustix::fs::StatVfsMountFlags;
        let mount = rustix::fs::fstatvfs(&self.0)?.f_flag;
        if !mount.intersects(StatVfsMountFlags::RDONLY | StatVfsMountFlags::NOATIME) {
            return Ok(None);
        }
        Ok(Some(rustix::fs::readlinkat(&self.0, name, Vec::new())?.into_bytes()))
    }
}

/// Opens a path below a folder. Should a folder on the way be a link by now, it is not followed out.
fn beneath(folder: &OwnedFd, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    loop {
        return match rustix::fs::openat2(folder, path, flags, Mode::empty(), resolve) {
            // Something was renamed or mounted meanwhile: the kernel asks to try again.
            Err(Errno::AGAIN) => continue,
            // A kernel before 5.6, or a container that forbids what it does not know.
            Err(Errno::NOSYS | Errno::PERM) => rustix::fs::openat(folder, path, flags, Mode::empty()),
            other => other,
        };
    }
}

/// The facts of an entry, of a link itself rather than its target.
pub fn facts(path: &Path) -> io::Result<Facts> {
    statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW)
}

/// The facts of an open file.
pub fn facts_of(file: &File) -> io::Result<Facts> {
    statx(file, Path::new(""), AtFlags::EMPTY_PATH)
}

fn statx(folder: impl std::os::fd::AsFd, path: &Path, flags: AtFlags) -> io::Result<Facts> {
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    let stat = rustix::fs::statx(folder, path, flags, wanted)?;
    let has = |flag: StatxFlags| StatxFlags::from_bits_retain(stat.stx_mask).contains(flag);
    let time = |time: rustix::fs::StatxTimestamp| FileTime { seconds: time.tv_sec, nanos: time.tv_nsec };
    Ok(Facts {
        kind: kind(FileType::from_raw_mode(u32::from(stat.stx_mode))),
        size: stat.stx_size,
        mode: u32::from(stat.stx_mode),
        owner: (stat.stx_uid, stat.stx_gid),
        times: FileTimes {
            modified: Some(time(stat.stx_mtime)),
            accessed: Some(time(stat.stx_atime)),
            changed: Some(time(stat.stx_ctime)),
            created: has(StatxFlags::BTIME).then(|| time(stat.stx_btime)),
            local: false,
        },
    })
}

fn kind(file_type: FileType) -> Option<FileKind> {
    match file_type {
        FileType::Directory => None,
        FileType::Symlink => Some(FileKind::Symlink),
        FileType::Fifo => Some(FileKind::Fifo),
        FileType::Socket => Some(FileKind::Socket),
        FileType::CharacterDevice => Some(FileKind::CharDevice),
        FileType::BlockDevice => Some(FileKind::BlockDevice),
        _ => Some(FileKind::File),
    }
}

/// Bytes that are read by position: a disk that an image holds, a stretch of one.
pub trait Positioned: Send + Sync {
    /// Its size, bytes.
    fn size(&self) -> u64;

    /// Reads at most `buffer.len()` bytes at `offset`; 0 only at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Where the byte at an offset lies in what this is made of; `None` for one that is stored nowhere.
    fn beneath(&self, _offset: u64) -> Option<Beneath> {
        None
    }

    /// What it is, where that helps whoever looks for a byte: `disk`, `volume`.
    fn label(&self) -> Option<&'static str> {
        None
    }
}

/// Where bytes of a source lie in what the source is made of.
pub struct Beneath {
    /// What it is made of.
    pub source: Source,
    /// The first byte there.
    pub start: u64,
    /// How many bytes follow each other there.
    pub length: u64,
    /// Whether all of them together must be unpacked or decrypted to get at the byte.
    pub packed: bool,
}

/// What lies beside a file: the other parts of a split image.
pub trait Neighbours: Send + Sync {
    /// The file's own name.
    fn name(&self) -> &[u8];

    /// Opens the neighbour of that name, in the same folder or in folders below it.
    fn open(&self, name: &[u8]) -> io::Result<Source>;

    /// At least so many first bytes of the neighbour of that name, or all of it.
    fn begin(&self, name: &[u8], _bytes: u64) -> io::Result<Source> {
        self.open(name)
    }

    /// Opens the file of that name in the folder above, where the file's own folder has the name that is told.
    fn above(&self, folder: &[u8], name: &[u8]) -> io::Result<Source>;

    /// Whether neighbours are items of their own: not so where the evidence is given as one file.
    fn listed(&self) -> bool;
}

/// The folder above one that ends in a name: each empty, or with a slash at its end.
pub fn above<'p>(folder: &'p [u8], name: &[u8]) -> Option<&'p [u8]> {
    let above = folder.strip_suffix(b"/")?.strip_suffix(name)?;
    (above.is_empty() || above.ends_with(b"/")).then_some(above)
}

/// What lies beside a file of the evidence.
struct Beside {
    root: Folder,
    /// Path of the folder below the root: empty, or with a slash at its end.
    folder: Vec<u8>,
    name: Vec<u8>,
    listed: bool,
}

impl Neighbours for Beside {
    fn name(&self) -> &[u8] {
        &self.name
    }

    fn open(&self, name: &[u8]) -> io::Result<Source> {
        // A name comes from evidence: it may lead into folders below, and nowhere else.
        let leads_away = |part: &[u8]| part.is_empty() || part == b"." || part == b"..";
        if name.contains(&0) || name.split(|byte| *byte == b'/').any(leads_away) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Source::below(&self.root, &[&self.folder[..], name].concat(), self.listed)
    }

    fn above(&self, folder: &[u8], name: &[u8]) -> io::Result<Source> {
        let above = above(&self.folder, folder).ok_or(io::ErrorKind::NotFound)?;
        Source::below(&self.root, &[above, name].concat(), self.listed)
    }

    fn listed(&self) -> bool {
        self.listed
    }
}

/// Where bytes of a container lie: a file of the evidence, a temporary file, memory, or a disk in an image. Cloned cheaply; each
/// reader has a position of its own, so that threads read one container side by side.
#[derive(Clone)]
pub enum Source {
    /// A file, read by position.
    File(Arc<File>, u64),
    /// Memory.
    Memory(Arc<[u8]>),
    /// Bytes that a reader of ours makes from others.
    Virtual(Arc<dyn Positioned>),
    /// A source whose neighbours can be asked for.
    Among(Arc<Source>, Arc<dyn Neighbours>),
}

impl Source {
    /// A source over an open file; an error if it is something else (a pipe put where a file was listed, say).
    pub fn file(file: File) -> io::Result<Source> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let size = metadata.len();
        Ok(Source::File(Arc::new(file), size))
    }

    /// A file below a folder of the evidence, which knows its neighbours. `listed`: whether those are items of their own.
    pub fn below(root: &Folder, path: &[u8], listed: bool) -> io::Result<Source> {
        let file = Source::file(root.open_file(path)?)?;
        let cut = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        let beside = Beside { root: root.clone(), folder: path[..cut].to_vec(), name: path[cut..].to_vec(), listed };
        Ok(Source::Among(Arc::new(file), Arc::new(beside)))
    }

    /// Its size, bytes.
    pub fn size(&self) -> u64 {
        match self {
            Source::File(_, size) => *size,
            Source::Memory(bytes) => bytes.len() as u64,
            Source::Virtual(disk) => disk.size(),
            Source::Among(source, _) => source.size(),
        }
    }

    /// What lies beside it, where that is known.
    pub fn neighbours(&self) -> Option<&dyn Neighbours> {
        match self {
            Source::Among(_, neighbours) => Some(&**neighbours),
            _ => None,
        }
    }

    /// Reads at most `buffer.len()` bytes at `offset`; 0 only at the end.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Source::File(file, _) => file.read_at(buffer, offset),
            Source::Memory(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                let count = buffer.len().min(bytes.len() - start);
                buffer[..count].copy_from_slice(&bytes[start..start + count]);
                Ok(count)
            }
            Source::Virtual(disk) => disk.read_at(buffer, offset),
            Source::Among(source, _) => source.read_at(buffer, offset),
        }
    }

    /// Where the byte at an offset lies in what the source is made of; `None` at the bottom.
    pub fn beneath(&self, offset: u64) -> Option<Beneath> {
        match self {
            Source::File(..) | Source::Memory(_) => None,
            Source::Virtual(disk) => disk.beneath(offset),
            Source::Among(source, _) => source.beneath(offset),
        }
    }

    /// What it is, where that helps whoever looks for a byte.
    pub fn label(&self) -> Option<&'static str> {
        match self {
            Source::Virtual(disk) => disk.label(),
            _ => None,
        }
    }

    /// Whether two are the same bytes, not just equal ones.
    pub fn is(&self, other: &Source) -> bool {
        match (self, other) {
            (Source::Among(source, _), other) => source.is(other),
            (source, Source::Among(other, _)) => source.is(other),
            (Source::File(a, _), Source::File(b, _)) => Arc::ptr_eq(a, b),
            (Source::Memory(a), Source::Memory(b)) => Arc::ptr_eq(a, b),
            (Source::Virtual(a), Source::Virtual(b)) => std::ptr::addr_eq(Arc::as_ptr(a), Arc::as_ptr(b)),
            _ => false,
        }
    }

    /// Bytes that a file takes on disk: far fewer than its size where it is sparse.
    pub fn blocks_bytes(&self) -> u64 {
        match self {
            Source::File(file, size) => file.metadata().map_or(*size, |meta| std::os::unix::fs::MetadataExt::blocks(&meta) * 512),
            Source::Among(source, _) => source.blocks_bytes(),
            Source::Memory(_) | Source::Virtual(_) => self.size(),
        }
    }

    /// The first stretch of stored bytes at or after `from`, up to the next hole; `None` behind the last.
    pub fn extent(&self, from: u64) -> io::Result<Option<(u64, u64)>> {
        use rustix::fs::SeekFrom::{Data, Hole};
        match self {
            Source::Memory(_) | Source::Virtual(_) => Ok((from < self.size()).then_some((from, self.size()))),
            Source::Among(source, _) => source.extent(from),
            Source::File(file, _) => match rustix::fs::seek(file, Data(from)) {
                Ok(start) => Ok(Some((start, rustix::fs::seek(file, Hole(start))?))),
                Err(rustix::io::Errno::NXIO) => Ok(None),
                Err(error) => Err(error.into()),
            },
        }
    }

    /// The facts of a file as they are now.
    pub fn facts(&self) -> io::Result<Option<Facts>> {
        match self {
            Source::File(file, _) => facts_of(file).map(Some),
            Source::Among(source, _) => source.facts(),
            Source::Memory(_) | Source::Virtual(_) => Ok(None),
        }
    }

    /// A reader at the beginning.
    pub fn reader(&self) -> SourceReader {
        SourceReader { source: self.clone(), position: 0 }
    }
}

/// Reads and seeks in a [`Source`].
#[derive(Clone)]
pub struct SourceReader {
    source: Source,
    position: u64,
}

impl io::Read for SourceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read_at(buffer, self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl io::Seek for SourceReader {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        let target = match to {
            io::SeekFrom::Start(position) => i128::from(position),
            io::SeekFrom::Current(by) => i128::from(self.position) + i128::from(by),
            io::SeekFrom::End(by) => i128::from(self.source.size()) + i128::from(by),
        };
        let refused = |_| io::Error::new(io::ErrorKind::InvalidInput, "seek outside of the container");
        self.position = u64::try_from(target).map_err(refused)?;
        Ok(self.position)
    }
}
