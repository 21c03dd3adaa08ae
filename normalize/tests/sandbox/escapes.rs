//! Whatever a parser tries to reach is out of reach: every attempt is made, and every one is refused by the kernel.

use crate::Test;
use crate::world::World;
use model::Code;
use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

pub const TESTS: &[Test] = &[
    ("files_outside_are_out_of_reach", files),
    ("the_network_is_out_of_reach", network),
    ("processes_are_out_of_reach", processes),
    ("the_kernel_is_out_of_reach", kernel),
    ("its_own_folder_is_in_reach", own_folder),
    ("inherited_descriptors_are_closed", inherited),
    ("privileges_are_gone", privileges),
];

/// Makes every attempt, each as a unit of its own, and compares the kernel's answers.
fn refused(world: &World, attempts: &[(&str, String, &str)]) {
    let units: Vec<_> = attempts
        .iter()
        .enumerate()
        .map(|(number, (word, argument, _))| world.unit(&format!("{number}"), format!("{word} {argument}").as_bytes()))
        .collect();
    let outcome = world.run(&units);
    outcome.check_counts();
    let mut wrong = Vec::new();
    for (number, (word, argument, answer)) in attempts.iter().enumerate() {
        let item = outcome.item(&format!("{number}")).id;
        let got: Vec<_> = outcome
            .bodies
            .iter()
            .filter(|body| body.item() == Some(item))
            .filter_map(|body| match body {
                model::Body::Problem(problem) => Some((problem.code, problem.detail.clone())),
                _ => None,
            })
            .collect();
        if got != [(Code::Missing, format!("{word}: blocked: {answer}"))] {
            wrong.push(format!("{word} {argument}: {got:?}"));
        }
    }
    assert!(wrong.is_empty(), "not refused as expected:\n{}", wrong.join("\n"));
}

fn files() {
    let world = World::new();
    let evidence = world.path("evidence");
    fs::create_dir(&evidence).unwrap();
    let file = evidence.join("chat.db");
    fs::write(&file, b"as it was").unwrap();
    let before = fs::metadata(&file).unwrap();
    let (evidence, file) = (evidence.to_str().unwrap().to_owned(), file.to_str().unwrap().to_owned());
    let scratch = world.path("scratch").to_str().unwrap().to_owned();
    let stage = world.path("stage").to_str().unwrap().to_owned();
    world.stage();
    fs::write(world.path("stage/secret"), b"another item's content").unwrap();
    let attempts = [
        ("read", file.clone(), "EACCES"),
        ("write", file.clone(), "EACCES"),
        ("create", format!("{evidence}/chat.db-shm"), "EACCES"),
        ("remove", file.clone(), "EACCES"),
        ("truncate", file.clone(), "EPERM"),
        ("rename", format!("{evidence}/moved"), "EPERM"),
        ("rename_in", file.clone(), "EPERM"),
        ("hard_link", file.clone(), "EPERM"),
        ("symlink", file.clone(), "EPERM"),
        ("chmod", file.clone(), "EPERM"),
        ("chown", file.clone(), "EPERM"),
        ("touch", file.clone(), "EPERM"),
        ("xattr", file.clone(), "EPERM"),
        ("list", evidence, "EACCES"),
        ("list", stage, "EACCES"),
        ("list", scratch.clone(), "EACCES"),
        ("read", format!("{scratch}/../stage/secret"), "EACCES"),
        ("create", format!("{scratch}/spool-0"), "EACCES"),
        ("create", "../outside".to_owned(), "EACCES"),
        ("list", "/".to_owned(), "EACCES"),
        ("read", "/etc/passwd".to_owned(), "EACCES"),
        ("read", "/proc/1/environ".to_owned(), "EACCES"),
        ("read", "/proc/self/maps".to_owned(), "EACCES"),
        ("write", "/proc/self/mem".to_owned(), "EACCES"),
        ("write", "/dev/null".to_owned(), "EACCES"),
        ("create", "/tmp/evil".to_owned(), "EACCES"),
        ("create", "/dev/shm/evil".to_owned(), "EACCES"),
        ("mkdir", String::new(), "EPERM"),
        ("mknod", String::new(), "EPERM"),
        ("chroot", String::new(), "EPERM"),
        ("chdir", "/".to_owned(), "EPERM"),
        ("open_by_handle", String::new(), "EPERM"),
        ("openat2", String::new(), "EPERM"),
    ];
    refused(&world, &attempts);
    // Another child's folder: of the two, each child can list its own only.
    refused(&world, &[("siblings", String::new(), "EACCES"), ("siblings", String::new(), "EACCES")]);
    let after = fs::metadata(&file).unwrap();
    assert_eq!(fs::read(&file).unwrap(), b"as it was");
    assert_eq!(before.modified().unwrap(), after.modified().unwrap());
    assert_eq!(before.permissions(), after.permissions());
    assert_eq!(fs::read_dir(world.path("evidence")).unwrap().count(), 1);
}

fn network() {
    let world = World::new();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    tcp.set_nonblocking(true).unwrap();
    let unix_path = world.path("socket");
    let unix = UnixListener::bind(&unix_path).unwrap();
    unix.set_nonblocking(true).unwrap();
    let attempts = [
        ("tcp", tcp.local_addr().unwrap().to_string(), "EPERM"),
        ("udp", String::new(), "EPERM"),
        ("unix", unix_path.to_str().unwrap().to_owned(), "EPERM"),
        ("netlink", String::new(), "EPERM"),
        ("socketpair", String::new(), "EPERM"),
    ];
    refused(&world, &attempts);
    assert!(tcp.accept().is_err() && unix.accept().is_err(), "nobody came");
}

fn processes() {
    let own = std::process::id().to_string();
    let attempts: Vec<_> = [
        ("exec", ""),
        ("spawn", ""),
        ("fork", ""),
        ("clone3", ""),
        ("threads", ""),
        ("memfd_exec", ""),
        ("execveat", ""),
        ("ptrace", own.as_str()),
        ("vm_read", &own),
        ("vm_write", &own),
        ("kill", &own),
        ("kill_all", ""),
        ("tgkill", &own),
        ("tkill", &own),
        ("sigqueue", &own),
        ("pidfd", &own),
        ("setown", &own),
        ("setsig", ""),
        ("priority", &own),
    ]
    .map(|(word, argument)| (word, argument.to_owned(), "EPERM"))
    .to_vec();
    refused(&World::new(), &attempts);
}

fn kernel() {
    let words = [
        "io_uring",
        "bpf",
        "keyctl",
        "add_key",
        "mount",
        "unshare",
        "setns",
        "perf",
        "userfaultfd",
        "ioctl",
        "reboot",
        "settime",
        "sethostname",
        "setuid",
        "capset",
        "prctl",
        "prlimit",
        "executable_memory",
        "make_executable",
        "environment",
    ];
    refused(&World::new(), &words.map(|word| (word, String::new(), "EPERM")));
}

fn own_folder() {
    let world = World::new();
    for what in ["create temporary", "read main", "write main", "list .", "remove main"] {
        let (word, _) = what.split_once(' ').unwrap();
        assert_eq!(world.run_one(what).problems(), [(Code::Missing, format!("{word}: DONE").as_str())]);
    }
}

fn inherited() {
    let world = World::new();
    let secret = world.path("secret");
    fs::write(&secret, b"secret").unwrap();
    let file = fs::File::open(&secret).unwrap();
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
    refused(&world, &[("inherited", String::new(), "EBADF")]);
}

/// What the kernel says of a child in its life: `/proc/<pid>/status`, proc(5).
fn privileges() {
    let mut world = World::new();
    world.settings.sandbox.wall_s = 3;
    let mut seen = None;
    let guilty = world.unit("guilty", b"sleep");
    std::thread::scope(|scope| {
        let run = scope.spawn(|| world.run(&[guilty]));
        while !run.is_finished() && seen.is_none() {
            // The filter is the last step: a child that has it has locked itself in.
            let mut statuses = children().into_iter().filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/status")).ok());
            seen = statuses.find(|status| status.contains("\nSeccomp:\t2\n"));
        }
        run.join().unwrap();
    });
    let status = seen.expect("a child was seen");
    let line = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)).unwrap().trim().to_owned();
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(line(set), "0000000000000000", "{set}");
    }
    assert_eq!(line("NoNewPrivs:"), "1");
    assert_eq!(line("Seccomp:"), "2", "filter mode");
    assert_eq!(line("Threads:"), "1");
}

/// Processes whose parent we are.
pub fn children() -> Vec<u32> {
    let own = std::process::id().to_string();
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc").unwrap() {
        let Ok(pid) = entry.unwrap().file_name().to_string_lossy().parse::<u32>() else { continue };
        // A process can end while we look.
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        if status.lines().any(|line| line.strip_prefix("PPid:").is_some_and(|parent| parent.trim() == own)) {
            pids.push(pid);
        }
    }
    pids
}
