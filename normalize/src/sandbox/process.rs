//! One child process, as its supervisor holds it: start it, give it a unit, listen, kill it.
//!
//! All three pipes are non-blocking on our side and waited for with a deadline, so that a child which neither reads nor
//! writes costs its time and nothing more.

use super::account::Account;
use super::child::{self, Job, Setup};
use super::confine::Support;
use super::death::Death;
use super::frame::{self, Tag};
use super::spool::{self, Spool};
use model::{WorkUnit, wire};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// A child has this long to lock itself in and load its definitions.
const START: Duration = Duration::from_secs(60);

/// Bytes of standard error that are kept.
const SAID_BYTES: usize = 4 << 10;

/// Bytes that the pipes to and from the child hold, if the host allows it.
const PIPE_BYTES: usize = 512 << 10;

/// Bytes read at a time, at least.
const READ_BYTES: usize = 64 << 10;

/// Limits of one unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Processor seconds.
    pub cpu_s: u64,
    /// Wall-clock time.
    pub wall: Duration,
    /// Bytes of bodies.
    pub output_bytes: u64,
    /// Bytes of the largest file that the child may write (SQLite plays a write-ahead log back into its database).
    pub file_bytes: u64,
}

impl Limits {
    /// The limits of a unit by its size, companions included.
    pub fn of(settings: &config::Sandbox, unit: &WorkUnit) -> Limits {
        /// Every started 256 MiB has its own time.
        const STEP_BYTES: u64 = 256 << 20;
        /// Every unit may give this much.
        const OUTPUT_FLOOR_BYTES: u64 = 16 << 20;
        let members = std::iter::once(&unit.primary).chain(&unit.companions);
        let size = members.fold(0u64, |sum, staged| sum.saturating_add(staged.item.size_bytes));
        let steps = size.div_ceil(STEP_BYTES).max(1);
        Limits {
            cpu_s: settings.cpu_s.saturating_mul(steps),
            wall: Duration::from_secs(settings.wall_s.saturating_mul(steps)),
            output_bytes: settings.output_ratio.saturating_mul(size).max(OUTPUT_FLOOR_BYTES),
            // A power of two, so that it seldom has to be set anew.
            file_bytes: size.saturating_mul(2).saturating_add(32 << 20).checked_next_power_of_two().unwrap_or(u64::MAX),
        }
    }
}

/// A running child.
pub struct Process {
    child: Child,
    pid: Pid,
    stdin: ChildStdin,
    stdout: ChildStdout,
    stderr: ChildStderr,
    /// What was read and not yet understood.
    buffer: Vec<u8>,
    /// The first bytes of its standard error.
    said: Vec<u8>,
    /// Largest frame that it may send.
    frame_cap: usize,
    /// Processor seconds and file size that it is limited to now; 0 before they are set.
    limits: [u64; 2],
    /// Time it was at work, an upper bound of the processor time it used.
    busy: Duration,
    /// Units it has read.
    pub units: u32,
    /// What it says of its confinement.
    pub support: Support,
}

/// What came out of waiting for a child.
enum Heard {
    /// Its next frame lies at the front of the buffer.
    Bytes,
    /// It closed its output.
    End,
    /// The deadline has passed.
    Late,
}

impl Process {
    /// Starts a child in its folder and waits until it has locked itself in.
    pub fn start(executable: &Path, folder: &Path, setup: &Setup) -> Result<Process, super::Error> {
        let begin = |source| super::Error::Start { source };
        let mut child = Command::new(executable)
            .arg(child::ARGUMENT)
            .env_clear()
            .current_dir(folder)
            // Ctrl-C in a terminal reaches a whole group of processes; what it means is the supervisor's concern.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(begin)?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(begin(io::Error::other("no pipes to the child")));
        };
        let pid = Pid::from_child(&child);
        let frame_cap = usize::try_from(setup.body_cap_bytes).unwrap_or(usize::MAX).saturating_add(2 * frame::CHUNK_BYTES);
        let support = Support { landlock: 0, seccomp: false };
        let (buffer, said) = (Vec::new(), Vec::new());
        let (limits, busy, units) = ([0; 2], Duration::ZERO, 0);
        let mut process = Process { child, pid, stdin, stdout, stderr, buffer, said, frame_cap, limits, busy, units, support };
        process.greet(setup)?;
        Ok(process)
    }

    fn greet(&mut self, setup: &Setup) -> Result<(), super::Error> {
        let begin = |source| super::Error::Start { source };
        nonblocking(&self.stdin)
            .and_then(|()| nonblocking(&self.stdout))
            .and_then(|()| nonblocking(&self.stderr))
            .map_err(begin)?;
        // A smaller pipe is slower and nothing else: a host may refuse more.
        let sized = rustix::pipe::fcntl_setpipe_size(&self.stdout, PIPE_BYTES)
            .and_then(|_| rustix::pipe::fcntl_setpipe_size(&self.stdin, PIPE_BYTES));
        if let Err(error) = sized {
            tracing::debug!("pipe size: {error}");
        }
        let deadline = Instant::now() + START;
        let mut message = Vec::new();
        frame::put(&mut message, Tag::Setup, &wire::to_bytes(setup));
        self.send(&message, deadline).map_err(begin)?;
        loop {
            match frame::take(&self.buffer, self.frame_cap) {
                Ok(Some((Tag::Ready, payload, taken))) => {
                    self.support = wire::from_bytes(payload).map_err(|error| begin(io::Error::other(error)))?;
                    self.buffer.drain(..taken);
                    return Ok(());
                }
                Ok(Some((Tag::Refused, payload, _))) => {
                    return Err(super::Error::Refused(String::from_utf8_lossy(payload).into_owned()));
                }
                Ok(None) => {}
                Ok(Some(_)) | Err(_) => return Err(begin(io::Error::other("the child does not speak as a parser child does"))),
            }
            match self.listen(deadline).map_err(begin)? {
                Heard::Bytes => {}
                Heard::End | Heard::Late => return Err(begin(io::Error::other("the child did not come up"))),
            }
        }
    }

    /// Has the child read a unit whose contents lie in its folder, or whose content is given. The bodies go to `spool`. The outer error is the world's;
    /// the inner one is the loss of this child, which must then be put down with [`Process::bury`].
    pub fn read(
        &mut self,
        unit: &WorkUnit,
        content: Option<&[u8]>,
        limits: Limits,
        spool: &mut Spool,
    ) -> Result<Result<(), Loss>, super::Error> {
        let start = Instant::now();
        let deadline = start.checked_add(limits.wall);
        // A wall clock beyond what the host can count is no limit; a year is as good.
        let deadline = deadline.unwrap_or(start + Duration::from_secs(31_536_000));
        self.units = self.units.saturating_add(1);
        self.limit(limits);
        let mut message = Vec::new();
        let (content_follows, output_cap_bytes) = (content.is_some(), limits.output_bytes);
        let job = Job { unit: unit.clone(), content_follows, output_cap_bytes };
        frame::put(&mut message, Tag::Job, &wire::to_bytes(&job));
        if let Some(content) = content {
            frame::put(&mut message, Tag::Content, content);
        }
        if let Err(error) = self.send(&message, deadline) {
            let late = error.kind() == io::ErrorKind::TimedOut;
            return Ok(Err(if late { Loss::Late } else { Loss::Ended }));
        }
        let outcome = self.hear_unit(unit, limits, deadline, spool);
        self.busy = self.busy.saturating_add(start.elapsed());
        outcome
    }

    /// Sets the limits that depend on the unit. Processor time is counted over the life of a process: what it was at work
    /// before bounds what it has used. They are soft limits, which the child cannot lift (its filter has no `prlimit`).
    fn limit(&mut self, limits: Limits) {
        let cpu_s = self.busy.as_secs().saturating_add(1).saturating_add(limits.cpu_s);
        let wanted = [(Resource::Cpu, cpu_s), (Resource::Fsize, limits.file_bytes)];
        for ((resource, value), set) in wanted.into_iter().zip(&mut self.limits) {
            if *set == value {
                continue;
            }
            *set = value;
            let new = Rlimit { current: Some(value), maximum: None };
            if let Err(error) = prlimit(Some(self.pid), resource, new) {
                // The child may be gone already, or the host caps us lower than that; the wall clock holds in any case.
                tracing::debug!("limit of a child: {error}");
            }
        }
    }

    fn hear_unit(
        &mut self,
        unit: &WorkUnit,
        limits: Limits,
        deadline: Instant,
        spool: &mut Spool,
    ) -> Result<Result<(), Loss>, super::Error> {
        let mut account = Account::new(unit);
        loop {
            let (tag, taken) = match frame::take(&self.buffer, self.frame_cap) {
                Err(frame::Garbled) => return Ok(Err(Loss::Lied("bytes that are no frame"))),
                Ok(None) => match self.listen(deadline).map_err(super::Error::Pipe)? {
                    Heard::Bytes => continue,
                    Heard::End => return Ok(Err(Loss::Ended)),
                    Heard::Late => return Ok(Err(Loss::Late)),
                },
                Ok(Some((tag, payload, taken))) => {
                    if tag == Tag::Bodies {
                        for bytes in frame::bodies(payload) {
                            let Ok(bytes) = bytes else { return Ok(Err(Loss::Lied("bytes that are no frame"))) };
                            match account.admit(bytes) {
                                Ok(body) => spool.push(spool::entry(&body, bytes)).map_err(super::Error::Scratch)?,
                                Err(lie) => return Ok(Err(Loss::Lied(lie.0))),
                            }
                        }
                        if spool.total_bytes() > limits.output_bytes {
                            return Ok(Err(Loss::Over));
                        }
                    }
                    (tag, taken)
                }
            };
            self.buffer.drain(..taken);
            match tag {
                Tag::Bodies => {}
                Tag::Over => return Ok(Err(Loss::Over)),
                Tag::End if !self.buffer.is_empty() => return Ok(Err(Loss::Lied("more than its unit"))),
                Tag::End => {
                    let distinct = spool.distinct().map_err(super::Error::Scratch)?;
                    let closed = account.close().map_err(|lie| Loss::Lied(lie.0));
                    return Ok(closed.and(if distinct { Ok(()) } else { Err(Loss::Lied("one body twice")) }));
                }
                _ => return Ok(Err(Loss::Lied("a frame out of turn"))),
            }
        }
    }

    /// Waits for output of the child and takes it.
    fn listen(&mut self, deadline: Instant) -> io::Result<Heard> {
        loop {
            self.buffer.reserve(READ_BYTES);
            match rustix::io::read(&self.stdout, rustix::buffer::spare_capacity(&mut self.buffer)) {
                Ok(0) => return Ok(Heard::End),
                Ok(_) => return Ok(Heard::Bytes),
                Err(rustix::io::Errno::AGAIN) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            let Some(left) = remaining(deadline) else { return Ok(Heard::Late) };
            let mut waited = [PollFd::new(&self.stdout, PollFlags::IN), PollFd::new(&self.stderr, PollFlags::IN)];
            wait(&mut waited, left)?;
            let chatter = waited.get(1).is_some_and(|stderr| stderr.revents().contains(PollFlags::IN));
            if chatter {
                self.overhear();
            }
        }
    }

    /// Takes what the child wrote to its standard error, and keeps the first of it.
    fn overhear(&mut self) {
        let mut heard = [0u8; SAID_BYTES];
        while let Ok(count @ 1..) = self.stderr.read(&mut heard) {
            let room = SAID_BYTES.saturating_sub(self.said.len()).min(count);
            self.said.extend(heard.iter().take(room));
        }
    }

    /// Writes to the child, which may have stopped reading.
    fn send(&mut self, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.stdin.write(bytes) {
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let left = remaining(deadline).ok_or(io::ErrorKind::TimedOut)?;
                    wait(&mut [PollFd::new(&self.stdin, PollFlags::OUT)], left)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Puts the child down, if it still lives, and says how it was lost.
    pub fn bury(mut self, loss: Loss) -> Result<Death, super::Error> {
        if loss != Loss::Ended {
            self.child.kill().map_err(super::Error::Pipe)?;
        }
        // A child that closed its output without ending is waited for as long as any other.
        let ended = self.end()?;
        self.overhear();
        Ok(match loss {
            Loss::Late => Death::Late,
            Loss::Over => Death::Over,
            Loss::Lied(what) => Death::Lied(what),
            Loss::Ended => match ended {
                Some(status) => Death::Ended { status, said: std::mem::take(&mut self.said) },
                None => Death::Lied("no end"),
            },
        })
    }

    /// Waits a moment for the end of a child that should be ending, then kills it (`None`).
    fn end(&mut self) -> Result<Option<std::process::ExitStatus>, super::Error> {
        let deadline = Instant::now() + Duration::from_secs(2);
        loop {
            if let Some(status) = self.child.try_wait().map_err(super::Error::Pipe)? {
                return Ok(Some(status));
            }
            if remaining(deadline).is_none() {
                self.child.kill().map_err(super::Error::Pipe)?;
                return self.child.wait().map(|_| None).map_err(super::Error::Pipe);
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // No child outlives its supervisor's interest, and none is left as a zombie.
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait().map(drop)) {
            tracing::debug!("end of a child: {error}");
        }
    }
}

/// How a child was lost, before it is known what its end was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loss {
    /// Its time is up.
    Late,
    /// It gave more than it may.
    Over,
    /// It said what no honest child says.
    Lied(&'static str),
    /// It closed its output or no longer reads.
    Ended,
}

fn nonblocking(pipe: &impl AsFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(pipe)?;
    Ok(rustix::fs::fcntl_setfl(pipe, flags | OFlags::NONBLOCK)?)
}

/// The time left; `None` when it is up.
fn remaining(deadline: Instant) -> Option<Duration> {
    deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
}

fn wait(pipes: &mut [PollFd<'_>], left: Duration) -> io::Result<()> {
    let left = Timespec::try_from(left).map_err(io::Error::other)?;
    match poll(pipes, Some(&left)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
