//! The hostile parser: the content of a unit is a word that says what it tries, and its argument.
//!
//! An attempt that comes back is told as a problem: `blocked: <errno>` or `DONE`.

use model::{Body, Code, Digest, Id, WorkUnit, wire};
use normalize::emit::{Emit, Outlet};
use normalize::parse::Outcome;
use normalize::sandbox::child::{Reader, Setup};
use std::ffi::CString;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

pub fn prepare(setup: &Setup) -> Result<Box<dyn Reader>, String> {
    let artifacts = normalize::artifact::Set::with(&setup.definitions).map_err(|error| error.to_string())?;
    Ok(Box::new(Evil { artifacts, limits: setup.limits.clone() }))
}

/// Hostile, except that databases are read as they should be.
struct Evil {
    artifacts: normalize::artifact::Set,
    limits: config::Normalize,
}

/// Units that this process has read.
static READ: AtomicU32 = AtomicU32::new(0);

impl Reader for Evil {
    fn read(&mut self, unit: &WorkUnit, content: Option<&[u8]>, folder: &Path, outlet: &mut dyn Outlet) {
        READ.fetch_add(1, Ordering::Relaxed);
        if let Some(content) = content {
            fs::write(folder.join("main"), content).unwrap();
        }
        let content = fs::read(folder.join("main")).unwrap();
        if content.starts_with(b"SQLite format 3") {
            return normalize::read::read_unit(unit, folder, &self.artifacts, &self.limits, outlet);
        }
        let content = String::from_utf8(content).unwrap();
        let (word, argument) = content.split_once(' ').unwrap_or((&content, ""));
        // A vector first: hostile words change it or throw it away.
        let mut bodies: Vec<Body> = Vec::new();
        let mut emit = Emit::new(unit, "evil", Digest::of(b"evil"), 1_000, &mut bodies);
        if word == "many" {
            for number in 0..argument.parse::<u64>().unwrap() {
                emit.problem(Code::Missing, format!("{number:0>40}"));
            }
        } else {
            let outcome = match attempt(word, argument) {
                Ok(()) => format!("{word}: DONE"),
                Err(error) => format!("{word}: blocked: {}", errno(&error)),
            };
            emit.problem(Code::Missing, outcome);
        }
        emit.finish(Outcome::parsed());
        forge(word, unit, &mut bodies);
        bodies.into_iter().for_each(|body| outlet.put(body));
        if word == "twice_ended" {
            say(&frame(b'E', b""));
        }
    }
}

fn errno(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EPERM) => "EPERM".to_owned(),
        Some(libc::EACCES) => "EACCES".to_owned(),
        Some(libc::EBADF) => "EBADF".to_owned(),
        _ => format!("{error}"),
    }
}

/// A raw system call, so that nothing in a library refuses before the kernel does.
#[allow(unsafe_code, reason = "a hostile parser calls the kernel by itself")]
fn call(number: libc::c_long, arguments: [usize; 6]) -> io::Result<usize> {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: callers pass pointers to live values or null; what is attempted must fail, and the test fails if it does not.
    let outcome = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    usize::try_from(outcome).map_err(|_| io::Error::last_os_error())
}

fn call0(number: libc::c_long) -> io::Result<()> {
    call(number, [0; 6]).map(drop)
}

/// `F_SETSIG` of fcntl(2), which libc does not name everywhere.
const F_SETSIG: usize = 10;

const HERE: usize = libc::AT_FDCWD as usize;

/// Calls with one path as argument `index`.
fn with_path(number: libc::c_long, path: &str, index: usize, mut arguments: [usize; 6]) -> io::Result<()> {
    let path = CString::new(path).unwrap();
    arguments[index] = path.as_ptr() as usize;
    call(number, arguments).map(drop)
}

fn number(text: &str) -> usize {
    text.parse().unwrap()
}

#[allow(clippy::too_many_lines, reason = "one line for each attempt")]
fn attempt(word: &str, argument: &str) -> io::Result<()> {
    match word {
        "good" | "companions" => Ok(()),
        // Files.
        "read" => fs::read(argument).map(drop),
        "list" => fs::read_dir(argument).map(drop),
        "siblings" => {
            let answers = ["../child-0", "../child-1"].map(fs::read_dir);
            assert!(answers.iter().any(Result::is_ok), "its own folder");
            answers.into_iter().try_for_each(|answer| answer.map(drop))
        }
        "write" => fs::File::options().write(true).open(argument).map(drop),
        "create" => fs::write(argument, b"evil"),
        "remove" => fs::remove_file(argument),
        "truncate" => with_path(libc::SYS_truncate, argument, 0, [0; 6]),
        "rename" => fs::rename("main", argument),
        "rename_in" => fs::rename(argument, "stolen"),
        "hard_link" => fs::hard_link(argument, "stolen"),
        "symlink" => std::os::unix::fs::symlink(argument, "main-wal"),
        "chmod" => with_path(libc::SYS_fchmodat, argument, 1, [HERE, 0, 0o777, 0, 0, 0]),
        "chown" => with_path(libc::SYS_fchownat, argument, 1, [HERE, 0, 1, 1, 0, 0]),
        "touch" => with_path(libc::SYS_utimensat, argument, 1, [HERE, 0, 0, 0, 0, 0]),
        "xattr" => {
            let name = CString::new("user.evil").unwrap();
            with_path(libc::SYS_setxattr, argument, 0, [0, name.as_ptr() as usize, name.as_ptr() as usize, 4, 0, 0])
        }
        "mkdir" => fs::create_dir("folder"),
        "mknod" => with_path(libc::SYS_mknodat, "fifo", 1, [HERE, 0, libc::S_IFIFO as usize | 0o666, 0, 0, 0]),
        "chroot" => with_path(libc::SYS_chroot, ".", 0, [0; 6]),
        "chdir" => std::env::set_current_dir(argument),
        "inherited" => (3..200)
            .map(|fd| call(libc::SYS_lseek, [fd, 0, 0, 0, 0, 0]).map(drop))
            .find(Result::is_ok)
            .unwrap_or_else(|| Err(io::Error::from_raw_os_error(libc::EBADF))),
        // The network.
        "tcp" => std::net::TcpStream::connect(argument).map(drop),
        "udp" => std::net::UdpSocket::bind("127.0.0.1:0").map(drop),
        "unix" => std::os::unix::net::UnixStream::connect(argument).map(drop),
        "netlink" => call(libc::SYS_socket, [libc::AF_NETLINK as usize, libc::SOCK_RAW as usize, 0, 0, 0, 0]).map(drop),
        "socketpair" => std::os::unix::net::UnixStream::pair().map(drop),
        // Processes and threads.
        "exec" => {
            let null = [0usize; 1];
            with_path(libc::SYS_execve, "/bin/true", 0, [0, null.as_ptr() as usize, null.as_ptr() as usize, 0, 0, 0])
        }
        "spawn" => std::process::Command::new("/bin/true").spawn().map(drop),
        "fork" => call(libc::SYS_clone, [libc::SIGCHLD as usize, 0, 0, 0, 0, 0]).map(drop),
        "clone3" => call0(libc::SYS_clone3),
        "threads" => (0..1_000).try_for_each(|_| {
            std::thread::Builder::new().spawn(|| std::thread::sleep(std::time::Duration::from_secs(9))).map(drop)
        }),
        "memfd_exec" => {
            let name = CString::new("evil").unwrap();
            let memory = call(libc::SYS_memfd_create, [name.as_ptr() as usize, 0, 0, 0, 0, 0])?;
            let empty = CString::new("").unwrap();
            call(libc::SYS_execveat, [memory, empty.as_ptr() as usize, 0, 0, libc::AT_EMPTY_PATH as usize, 0]).map(drop)
        }
        "execveat" => call0(libc::SYS_execveat),
        // Other processes.
        "ptrace" => call(libc::SYS_ptrace, [libc::PTRACE_ATTACH as usize, number(argument), 0, 0, 0, 0]).map(drop),
        "vm_read" => call(libc::SYS_process_vm_readv, [number(argument), 0, 0, 0, 0, 0]).map(drop),
        "vm_write" => call(libc::SYS_process_vm_writev, [number(argument), 0, 0, 0, 0, 0]).map(drop),
        "kill" => call(libc::SYS_kill, [number(argument), libc::SIGTERM as usize, 0, 0, 0, 0]).map(drop),
        "kill_all" => call(libc::SYS_kill, [usize::MAX, 0, 0, 0, 0, 0]).map(drop),
        "tgkill" => call(libc::SYS_tgkill, [number(argument), number(argument), 0, 0, 0, 0]).map(drop),
        "tkill" => call(libc::SYS_tkill, [number(argument), 0, 0, 0, 0, 0]).map(drop),
        "sigqueue" => call(libc::SYS_rt_sigqueueinfo, [number(argument), 0, 0, 0, 0, 0]).map(drop),
        "pidfd" => call(libc::SYS_pidfd_open, [number(argument), 0, 0, 0, 0, 0]).map(drop),
        "setown" => call(libc::SYS_fcntl, [0, libc::F_SETOWN as usize, number(argument), 0, 0, 0]).map(drop),
        "setsig" => call(libc::SYS_fcntl, [0, F_SETSIG, 9, 0, 0, 0]).map(drop),
        "priority" => call(libc::SYS_setpriority, [0, number(argument), 19, 0, 0, 0]).map(drop),
        // The kernel.
        "io_uring" => {
            let parameters = [0u8; 256];
            call(libc::SYS_io_uring_setup, [1, parameters.as_ptr() as usize, 0, 0, 0, 0]).map(drop)
        }
        "bpf" => call0(libc::SYS_bpf),
        "keyctl" => call0(libc::SYS_keyctl),
        "add_key" => call0(libc::SYS_add_key),
        "mount" => call0(libc::SYS_mount),
        "unshare" => call(libc::SYS_unshare, [libc::CLONE_NEWUSER as usize, 0, 0, 0, 0, 0]).map(drop),
        "setns" => call0(libc::SYS_setns),
        "perf" => call0(libc::SYS_perf_event_open),
        "userfaultfd" => call0(libc::SYS_userfaultfd),
        "open_by_handle" => call0(libc::SYS_open_by_handle_at),
        "openat2" => call0(libc::SYS_openat2),
        "ioctl" => call(libc::SYS_ioctl, [0, libc::TIOCSTI as usize, 0, 0, 0, 0]).map(drop),
        "reboot" => call0(libc::SYS_reboot),
        "settime" => call0(libc::SYS_clock_settime),
        "sethostname" => call0(libc::SYS_sethostname),
        // Its own limits.
        "setuid" => call0(libc::SYS_setuid),
        "capset" => call0(libc::SYS_capset),
        "prctl" => call(libc::SYS_prctl, [libc::PR_SET_PDEATHSIG as usize, 0, 0, 0, 0, 0]).map(drop),
        "prlimit" => {
            let infinite = [u64::MAX; 2];
            call(libc::SYS_prlimit64, [0, libc::RLIMIT_CPU as usize, infinite.as_ptr() as usize, 0, 0, 0]).map(drop)
        }
        "executable_memory" => map(libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC).map(drop),
        "make_executable" => {
            let page = map(libc::PROT_READ | libc::PROT_WRITE)?;
            call(libc::SYS_mprotect, [page, 4096, (libc::PROT_READ | libc::PROT_EXEC) as usize, 0, 0, 0]).map(drop)
        }
        "environment" => match std::env::vars_os().next() {
            None => Err(io::Error::from_raw_os_error(libc::EPERM)),
            Some(_) => Ok(()),
        },
        other => die(other, argument),
    }
}

fn map(protection: libc::c_int) -> io::Result<usize> {
    let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as usize;
    call(libc::SYS_mmap, [0, 4096, protection as usize, flags, usize::MAX, 0])
}

/// Ways to lose a child.
fn die(word: &str, argument: &str) -> io::Result<()> {
    match word {
        "panic" => panic!("a bug"),
        "abort" => std::process::abort(),
        "exit" => std::process::exit(number(argument) as i32),
        "stack" => Err(io::Error::other(format!("{}", deeper(number(argument) as u64)))),
        "fault" => fault(),
        "signal" => {
            let own = std::process::id() as usize;
            call(libc::SYS_tgkill, [own, own, number(argument), 0, 0, 0]).map(drop)
        }
        "allocate" => {
            let mut all: Vec<Vec<u8>> = Vec::new();
            loop {
                all.push(vec![1; number(argument)]);
            }
        }
        "spin" => loop {
            std::hint::spin_loop();
        },
        "sleep" => loop {
            std::thread::sleep(std::time::Duration::from_secs(1));
        },
        "fill" => {
            let mut file = fs::File::create("big")?;
            loop {
                file.write_all(&[0; 1 << 20])?;
            }
        }
        "hang_up" => {
            call(libc::SYS_close, [1, 0, 0, 0, 0, 0])?;
            die("sleep", "")
        }
        "huge_frame" => say_and_wait(&u32::MAX.to_le_bytes()),
        "unknown_frame" => say_and_wait(&frame(b'?', b"")),
        "early_ready" => say_and_wait(&frame(b'R', b"")),
        "no_bodies" => say_and_wait(&frame(b'B', b"\x05\0\0\0abc")),
        "no_body" => say_and_wait(&frame(b'B', b"\x03\0\0\0\xff\xff\xff")),
        "half_frame" => say_and_wait(b"\x10\0\0\0B"),
        "babble" => loop {
            let problem = model::Problem {
                exhibit: super::world::EXHIBIT,
                item: Some(model::Item::id_of(super::world::EXHIBIT, None, b"guilty", 0, false)),
                stage: model::Stage::Normalize,
                code: Code::Missing,
                detail: "x".repeat(100_000),
            };
            let body = wire::to_bytes(&Body::Problem(problem));
            let mut payload = u32::try_from(body.len()).unwrap().to_le_bytes().to_vec();
            payload.extend_from_slice(&body);
            say(&frame(b'B', &payload));
        },
        "chatter" => {
            // More than a pipe holds, on standard error: nobody must wait for it.
            io::stderr().write_all(&vec![b'e'; 4 << 20])
        }
        "dies_when_used" if READ.load(Ordering::Relaxed) > 1 => std::process::abort(),
        "dies_when_used" | "forged_item" | "forged_exhibit" | "forged_stage" | "forged_count" | "forged_name" | "forged_end"
        | "said_twice" | "no_end" | "two_ends" | "twice_ended" | "directory" => Ok(()),
        other => panic!("unknown word {other}"),
    }
}

/// Reads where nothing is mapped.
#[allow(unsafe_code, reason = "an invalid memory access is what is tried")]
fn fault() -> io::Result<()> {
    let nowhere = std::hint::black_box(64usize) as *const u8;
    // SAFETY: none; the process is to die here.
    let byte = unsafe { nowhere.read_volatile() };
    Err(io::Error::other(byte.to_string()))
}

/// Uses the stack for real at every level.
#[allow(unconditional_recursion, reason = "the end of the stack is what is tried")]
fn deeper(level: u64) -> u64 {
    let room = std::hint::black_box([level; 64]);
    if level == 0 { room[1] } else { deeper(level - 1) + std::hint::black_box(room[3]) }
}

fn frame(tag: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len() + 1).unwrap().to_le_bytes();
    [&length, &[tag][..], payload].concat()
}

/// Writes to the supervisor behind the sandbox's back.
fn say(bytes: &[u8]) {
    let mut output = io::stdout();
    output.write_all(bytes).and_then(|()| output.flush()).unwrap();
}

fn say_and_wait(bytes: &[u8]) -> io::Result<()> {
    say(bytes);
    die("sleep", "")
}

/// Changes what an honest parser would have said.
fn forge(word: &str, unit: &WorkUnit, bodies: &mut Vec<Body>) {
    let other = Id([9; 16]);
    let problem = |exhibit, item, stage| {
        Body::Problem(model::Problem { exhibit, item, stage, code: Code::Missing, detail: "forged".to_owned() })
    };
    let (exhibit, item) = (unit.primary.item.exhibit, unit.primary.item.id);
    match word {
        "forged_item" => bodies.push(problem(exhibit, Some(other), model::Stage::Normalize)),
        "forged_exhibit" => bodies.push(problem(other, Some(item), model::Stage::Normalize)),
        "forged_stage" => bodies.push(problem(exhibit, Some(item), model::Stage::Ingest)),
        "said_twice" => {
            bodies.extend(bodies.iter().find(|body| matches!(body, Body::Problem(_))).cloned());
            bodies.iter_mut().for_each(|body| {
                if let Body::Item(item) = body {
                    item.announced += 1;
                }
            });
        }
        "forged_count" => bodies.push(problem(exhibit, Some(item), model::Stage::Normalize)),
        "forged_end" => {
            bodies.push(Body::End(model::ExhibitEnd { exhibit, items: 0, directories: 0, problems: 0, complete: true }))
        }
        "no_end" => bodies.retain(|body| !matches!(body, Body::Item(_))),
        "two_ends" => bodies.extend(bodies.iter().filter(|body| matches!(body, Body::Item(_))).cloned().collect::<Vec<_>>()),
        "forged_name" => bodies.iter_mut().for_each(|body| {
            if let Body::Item(item) = body {
                item.path = "innocent".to_owned();
            }
        }),
        _ => {}
    }
}
