//! Directory trees: names, links, holes, pipes, files that change while they are read, folders that cannot be read.

use crate::world::{Hook, Told, World, sha256};
use model::item::FileTime;
use model::{Body, Code, FileKind, ItemStatus, Kind};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn make(root: &Path, path: &str, content: &[u8]) -> PathBuf {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    path
}

/// A tree that holds one of everything, with what independent tools say of it.
#[test]
fn names_are_kept_byte_for_byte() {
    let root = folder();
    let names: [&[u8]; 9] = [
        b"\xff\xfe.txt",
        b"caf\xe9",
        b"new\nline",
        b"bell\x07\x1b[31m",
        "\u{202e}gpj.exe".as_bytes(),
        "e\u{301}".as_bytes(),
        "\u{e9}".as_bytes(),
        &[0xf0, 0x9f, 0x98, 0x80].repeat(63),
        b"-rf *;$(x)\\..\\y",
    ];
    for name in names {
        fs::write(root.path().join(OsStr::from_bytes(name)), name).unwrap();
    }
    let world = World::new();
    let told = world.take(root.path());
    for name in names {
        let raw = |item: &&model::Item| item.path_raw.as_deref().unwrap_or(item.path.as_bytes()) == name;
        let found: Vec<_> = told.items.iter().filter(raw).collect();
        assert_eq!(found.len(), 1, "{name:?}");
        assert_eq!(found[0].sha256.unwrap().to_string(), sha256(name));
        assert_eq!(found[0].path_raw.is_some(), std::str::from_utf8(name).is_err());
    }
    assert_eq!(told.items.len(), names.len());
    assert_eq!(told.reopen(&world, root.path()), names.len());
}

#[test]
fn links_are_recorded_and_never_followed() {
    let (root, outside) = (folder(), folder());
    make(outside.path(), "secret.txt", b"outside");
    make(root.path(), "in/a", b"a");
    symlink(outside.path(), root.path().join("out")).unwrap();
    symlink(outside.path().join("secret.txt"), root.path().join("file")).unwrap();
    symlink("loop", root.path().join("loop")).unwrap();
    symlink("..", root.path().join("in/up")).unwrap();
    symlink(OsStr::from_bytes(b"\xff"), root.path().join("dangling")).unwrap();
    fs::hard_link(root.path().join("in/a"), root.path().join("in/b")).unwrap();
    let told = World::new().take(root.path());
    assert_eq!(told.paths(), ["dangling", "file", "in/a", "in/b", "in/up", "loop", "out"]);
    for path in ["dangling", "file", "in/up", "loop", "out"] {
        let item = told.item(path);
        assert_eq!((item.file_kind, item.status, item.sha256), (FileKind::Symlink, ItemStatus::Skipped, None), "{path}");
        assert!(item.reason.as_deref().unwrap().starts_with("symlink"));
    }
    // A second name of a file is a file: each name is an item.
    assert_eq!((told.sha256("in/a"), told.sha256("in/b")), (sha256(b"a"), sha256(b"a")));
    assert_eq!(told.problems().count(), 0);
}

#[test]
fn pipes_sockets_and_devices_are_recorded_and_never_opened() {
    let root = folder();
    let path = |name: &str| root.path().join(name);
    // Opening a pipe without a writer would wait for ever.
    let mode = Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(CWD, path("fifo"), FileType::Fifo, mode, 0).unwrap();
    let _socket = UnixListener::bind(path("socket")).unwrap();
    let mut expected = vec![("fifo", FileKind::Fifo), ("socket", FileKind::Socket)];
    // /dev/zero's numbers: reading it would not end. Only root can make it.
    let zero = rustix::fs::makedev(1, 5);
    if rustix::fs::mknodat(CWD, path("char"), FileType::CharacterDevice, mode, zero).is_ok() {
        rustix::fs::mknodat(CWD, path("block"), FileType::BlockDevice, mode, rustix::fs::makedev(7, 200)).unwrap();
        expected.extend([("char", FileKind::CharDevice), ("block", FileKind::BlockDevice)]);
    }
    let told = World::new().take(root.path());
    assert_eq!(told.items.len(), expected.len());
    for (name, kind) in expected {
        let item = told.item(name);
        assert_eq!((item.file_kind, item.status, item.sha256), (kind, ItemStatus::Skipped, None));
        assert_eq!(item.reason.as_deref(), Some(kind.name()));
    }
    assert!(told.end.unwrap().complete);
    // The same as the whole exhibit.
    let told = World::new().take(&path("fifo"));
    assert_eq!(told.item("fifo").file_kind, FileKind::Fifo);
}

#[test]
fn holes_are_read_as_zeros_and_only_data_of_giants_are_read() {
    let root = folder();
    let address = b"1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2";
    let small = File::create(root.path().join("small")).unwrap();
    small.write_all_at(address, 3 << 20).unwrap();
    let giant = File::create(root.path().join("giant")).unwrap();
    // 8 TiB: read from end to end it would take an hour.
    giant.set_len(8 << 40).unwrap();
    giant.write_all_at(address, 5 << 40).unwrap();
    let told = World::new().take(root.path());
    let mut whole = vec![0; 3 << 20];
    whole.extend(address);
    assert_eq!(told.sha256("small"), sha256(&whole));
    assert_eq!(told.outcome("giant"), (ItemStatus::Skipped, vec![Code::CapBytes]));
    assert_eq!(told.item("giant").size_bytes, 8 << 40);
    for (path, place) in [("small", 3 << 20), ("giant", 5 << 40)] {
        let item = told.item(path).id;
        let found = told.bodies.values().find_map(|body| match body {
            Body::Sighting(sighting) if sighting.item == item => sighting.byte_offset,
            _ => None,
        });
        assert_eq!(found, Some(place), "{path}");
    }
}

/// Takes a tree in; at the moment when the item `victim` is about to be opened, `act` is done to it.
fn meddled(root: &Path, victim: &str, act: impl Fn(&Path) + Sync + Send) -> Told {
    let path = root.join(victim);
    let hook: Hook<'_> = Box::new(move |reading| {
        if reading == victim {
            act(&path);
        }
    });
    World::new().take_while(root, Some(&hook), None)
}

#[test]
fn what_changes_between_listing_and_reading_is_said() {
    let changed = |status| (status, vec![Code::ChangedDuringRead]);
    let outside = folder();
    let secret = make(outside.path(), "secret", b"secret");
    let tree = || {
        let root = folder();
        make(root.path(), "a/victim", b"content of the victim");
        make(root.path(), "b/neighbour", b"neighbour");
        root
    };
    let neighbour = |told: &Told| assert_eq!(told.sha256("b/neighbour"), sha256(b"neighbour"));

    let root = tree();
    let told = meddled(root.path(), "a/victim", |path| fs::remove_file(path).unwrap());
    assert_eq!(told.outcome("a/victim"), changed(ItemStatus::Failed));
    neighbour(&told);

    let root = tree();
    let told = meddled(root.path(), "a/victim", |path| File::options().write(true).open(path).unwrap().set_len(4).unwrap());
    assert_eq!(told.outcome("a/victim"), changed(ItemStatus::Partial));
    assert_eq!(told.sha256("a/victim"), sha256(b"cont"));

    let root = tree();
    let grow = |path: &Path| File::options().append(true).open(path).unwrap().write_all(b"!").unwrap();
    let told = meddled(root.path(), "a/victim", grow);
    assert_eq!(told.outcome("a/victim"), changed(ItemStatus::Partial));
    assert_eq!(told.sha256("a/victim"), sha256(b"content of the victim!"));

    // As many bytes, but others: the time tells.
    let root = tree();
    let told = meddled(root.path(), "a/victim", |path| {
        fs::write(path, b"CONTENT of the victim").unwrap();
        touch(path, 1, 0);
    });
    assert_eq!(told.outcome("a/victim"), changed(ItemStatus::Partial));

    // A link, a pipe or a folder put in its place.
    let swaps: [&(dyn Fn(&Path) + Sync + Send); 3] = [
        &|path| symlink(&secret, path).unwrap(),
        &|path| rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap(),
        &|path| fs::create_dir(path).unwrap(),
    ];
    for swap in swaps {
        let root = tree();
        let told = meddled(root.path(), "a/victim", |path| {
            fs::remove_file(path).unwrap();
            swap(path);
        });
        assert_eq!(told.outcome("a/victim"), changed(ItemStatus::Failed));
        neighbour(&told);
    }

    // A link to the outside put in place of its folder.
    let root = tree();
    make(outside.path(), "victim", b"content of the victim");
    let told = meddled(root.path(), "a/victim", |path| {
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
        symlink(outside.path(), path.parent().unwrap()).unwrap();
    });
    assert_eq!(told.outcome("a/victim"), changed(ItemStatus::Failed));
}

#[test]
fn a_file_that_shrinks_in_the_middle_of_its_reading_is_partial() {
    let root = folder();
    let address = b"1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2\n";
    let path = make(root.path(), "many.txt", &address.repeat(100_000));
    // The first batch leaves when the first buffers are scanned; 3.5 MB are far behind them.
    let hook: Hook<'_> = Box::new(|_| drop(File::options().write(true).open(&path).unwrap().set_len(35 * 60_000)));
    let world = World::new();
    let told = world.take_while(root.path(), None, Some(&hook));
    assert_eq!(told.outcome("many.txt"), (ItemStatus::Partial, vec![Code::ChangedDuringRead]));
    assert_eq!(told.item("many.txt").size_bytes, 35 * 60_000);
    assert_eq!(told.sha256("many.txt"), sha256(&address.repeat(60_000)));
}

/// Runs something as a user who is not root, in a thread of its own: the kernel keeps these ids for each thread.
fn as_nobody<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if rustix::process::geteuid().is_root() {
                let nobody = rustix::process::Uid::from_raw(65_534);
                rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
            }
            run()
        });
        thread.join().unwrap()
    })
}

#[test]
fn what_cannot_be_read_is_a_problem_and_its_neighbours_are_read() {
    let root = folder();
    make(root.path(), "open.txt", b"open");
    let file = make(root.path(), "closed.txt", b"closed");
    make(root.path(), "folder/inside.txt", b"inside");
    make(root.path(), "unsearched/inside.txt", b"inside");
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(root.path(), 0o755);
    mode(&file, 0o000);
    mode(&root.path().join("folder"), 0o000);
    mode(&root.path().join("unsearched"), 0o444);
    let told = as_nobody(|| World::new().take(root.path()));
    mode(&root.path().join("folder"), 0o755);
    mode(&root.path().join("unsearched"), 0o755);
    assert_eq!((told.outcome("open.txt"), told.sha256("open.txt")), ((ItemStatus::Plain, vec![]), sha256(b"open")));
    assert_eq!(told.outcome("closed.txt"), (ItemStatus::Failed, vec![Code::Unreadable]));
    let problems: Vec<_> = told.problems().filter(|problem| problem.item.is_none()).map(|it| (it.code, &it.detail[..])).collect();
    let listed = problems.iter().filter(|(code, _)| *code == Code::Unreadable).count();
    assert_eq!((problems.len(), listed), (2, 2), "{problems:?}");
    assert!(problems[0].1.contains("folder") || problems[1].1.contains("folder"));
    assert!(problems.iter().any(|(_, detail)| detail.contains("unsearched/inside.txt")));
    assert!(!told.end.unwrap().complete);
}

#[test]
fn a_disk_that_fails_is_a_problem() {
    // Address 0 of a process is never mapped: the kernel answers EIO, as a broken disk does.
    let told = World::new().take(Path::new("/proc/self/mem"));
    assert_eq!(told.outcome("mem"), (ItemStatus::Failed, vec![Code::Unreadable]));
}

/// Makes a folder below an open one and opens it.
fn descend(folder: &std::os::fd::OwnedFd, name: &str) -> std::os::fd::OwnedFd {
    rustix::fs::mkdirat(folder, name, Mode::from_raw_mode(0o755)).unwrap();
    rustix::fs::openat(folder, name, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

#[test]
fn paths_longer_than_the_kernel_takes_in_one_call_are_read() {
    let root = folder();
    let name = "n".repeat(200);
    let mut deep = rustix::fs::open(root.path(), OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
    for _ in 0..60 {
        deep = descend(&deep, &name);
    }
    let file = rustix::fs::openat(&deep, "deep.txt", OFlags::CREATE | OFlags::WRONLY, Mode::from_raw_mode(0o644)).unwrap();
    File::from(file).write_all(b"deep").unwrap();
    let world = World::new();
    let told = world.take(root.path());
    let path = format!("{}/deep.txt", vec![name; 60].join("/"));
    assert!(path.len() > 12_000);
    assert_eq!(told.sha256(&path), sha256(b"deep"));
    assert_eq!(told.end.as_ref().unwrap().directories, 60);
    assert_eq!(told.reopen(&world, root.path()), 1);
}

#[test]
fn ten_thousand_folders_one_in_the_other_are_walked() {
    let root = folder();
    let mut deep = rustix::fs::open(root.path(), OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
    for _ in 0..10_000 {
        deep = descend(&deep, "d");
    }
    let file = rustix::fs::openat(&deep, "f", OFlags::CREATE | OFlags::WRONLY, Mode::from_raw_mode(0o644)).unwrap();
    File::from(file).write_all(b"bottom").unwrap();
    let told = World::new().take(root.path());
    assert_eq!((told.items.len(), told.end.as_ref().unwrap().directories), (1, 10_000));
    assert_eq!(told.items[0].sha256.unwrap().to_string(), sha256(b"bottom"));
}

fn touch(path: &Path, seconds: i64, nanos: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanos as _ };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

#[test]
fn times_are_kept_to_the_nanosecond_before_1970_and_after_2038() {
    let root = folder();
    let times = [(-1, 999_999_999), (-2_000_000_000, 1), (0, 0), (2_147_483_648, 5), (4_102_444_800, 123_456_789)];
    for (number, (seconds, nanos)) in times.iter().enumerate() {
        let path = make(root.path(), &format!("d{number}/f"), b"x");
        touch(&path, *seconds, *nanos);
        touch(path.parent().unwrap(), *seconds, *nanos);
    }
    let told = World::new().take(root.path());
    let mut exact = 0;
    for (number, (seconds, nanos)) in times.iter().enumerate() {
        let path = format!("d{number}/f");
        // What the file system made of it is the truth: some cannot keep all of these.
        let truth = fs::symlink_metadata(root.path().join(&path)).unwrap();
        exact += usize::from((truth.mtime(), truth.mtime_nsec()) == (*seconds, *nanos));
        let expected = FileTime { seconds: truth.mtime(), nanos: truth.mtime_nsec() as u32 };
        let item = told.item(&path);
        assert_eq!((item.times.modified, item.times.accessed), (Some(expected), Some(expected)), "{path}");
        let changed = FileTime { seconds: truth.ctime(), nanos: truth.ctime_nsec() as u32 };
        assert_eq!((item.times.changed, item.times.local), (Some(changed), false));
        let folder = told.bodies.values().find_map(|body| match body {
            Body::Directory(row) if row.path == format!("d{number}") => Some(&**row),
            _ => None,
        });
        assert_eq!(folder.unwrap().times.modified, Some(expected));
    }
    assert!(exact >= 2);
}

#[test]
fn folders_keep_their_metadata_and_their_access_times() {
    let root = folder();
    make(root.path(), "a/b/f", b"x");
    fs::create_dir(root.path().join("empty")).unwrap();
    fs::set_permissions(root.path().join("a"), fs::Permissions::from_mode(0o1750)).unwrap();
    fs::set_permissions(root.path().join("a/b/f"), fs::Permissions::from_mode(0o4711)).unwrap();
    let paths = ["", "a", "a/b", "empty", "a/b/f"];
    // Older than a day and older than the content: by default the kernel would set these when they are read.
    paths.iter().for_each(|path| touch(&root.path().join(path), 1_000_000_000, 1));
    let told = World::new().take(root.path());
    let folders: Vec<_> =
        told.bodies.values().filter_map(|body| if let Body::Directory(it) = body { Some(it) } else { None }).collect();
    let mut names: Vec<&str> = folders.iter().map(|folder| folder.path.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["a", "a/b", "empty"]);
    for folder in folders {
        let truth = fs::symlink_metadata(root.path().join(&folder.path)).unwrap();
        assert_eq!((folder.mode, folder.owner), (Some(truth.mode()), Some((truth.uid(), truth.gid()))));
    }
    assert_eq!(told.item("a/b/f").mode.unwrap() & 0o7777, 0o4711);
    for path in paths {
        let truth = fs::symlink_metadata(root.path().join(path)).unwrap();
        assert_eq!((truth.atime(), truth.atime_nsec()), (1_000_000_000, 1), "{path:?}");
    }
}

#[test]
fn an_exhibit_can_be_empty_or_one_file_or_reached_by_a_link() {
    let root = folder();
    let world = World::new();
    let told = world.take(root.path());
    assert_eq!((told.items.len(), told.end.as_ref().unwrap().items, told.end.as_ref().unwrap().complete), (0, 0, true));
    assert_eq!(told.bodies.keys().filter(|(kind, _)| *kind == Kind::Exhibit).count(), 1);

    let file = make(root.path(), "tree/a.bin", b"\x01\x02\x03");
    let told = world.take(&file);
    assert_eq!((told.paths(), told.sha256("a.bin")), (vec!["a.bin"], sha256(b"\x01\x02\x03")));
    let exhibit = told.bodies.values().find_map(|body| if let Body::Exhibit(it) = body { Some(it) } else { None }).unwrap();
    assert_eq!((exhibit.container.as_str(), exhibit.size_bytes), ("file", 3));
    assert_eq!(exhibit.sha256, Some(sha256(b"\x01\x02\x03")));

    // The technician's own link is followed: it is no evidence.
    for (name, target) in [("link", "tree/a.bin"), ("tree-link", "tree")] {
        let link = root.path().join(name);
        symlink(target, &link).unwrap();
        let told = world.take(&link);
        assert_eq!((told.paths(), told.sha256("a.bin")), (vec!["a.bin"], sha256(b"\x01\x02\x03")), "{name}");
        assert_eq!(told.reopen(&world, &link), 1);
    }
}

#[test]
fn what_is_mounted_below_belongs_to_the_exhibit() {
    let root = folder();
    make(root.path(), "under/hidden", b"hidden");
    make(root.path(), "f", b"f");
    let script = "mount -t tmpfs none \"$0/under\" && printf x >\"$0/under/mounted\" && exec \"$@\"";
    let mut command = Command::new("unshare");
    let test = [&OsString::from("trees::inside_a_mount"), &"--exact".into(), &"--ignored".into()].map(OsString::clone);
    command.args(["-rm", "sh", "-c", script]).arg(root.path()).arg(std::env::current_exe().unwrap()).args(test);
    match command.env("EVIDENCE_WITH_MOUNT", root.path()).output() {
        Ok(output) if output.status.success() => {
            assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
        }
        // Without the right to mount there is nothing to see; anything else is a failure.
        Ok(output) => assert!(!String::from_utf8_lossy(&output.stdout).contains("panicked"), "{output:?}"),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound),
    }
}

#[test]
#[ignore = "run by what_is_mounted_below_belongs_to_the_exhibit, where something is mounted"]
fn inside_a_mount() {
    let root = std::env::var_os("EVIDENCE_WITH_MOUNT").unwrap();
    let told = World::new().take(Path::new(&root));
    assert_eq!(told.paths(), ["f", "under/mounted"]);
    assert_eq!(told.sha256("under/mounted"), sha256(b"x"));
}

#[test]
fn a_hundred_thousand_files_in_one_folder_are_all_items() {
    let root = folder();
    let opened = rustix::fs::open(root.path(), OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
    for number in 0..100_000 {
        let name = OsString::from_vec(format!("{number:06}").into_bytes());
        drop(rustix::fs::openat(&opened, &name, flags, Mode::from_raw_mode(0o644)).unwrap());
    }
    let told = World::new().take(root.path());
    assert_eq!(told.items.len(), 100_000);
    assert!(told.items.iter().all(|item| item.sha256 == Some(model::Digest::of(b""))));
}

#[test]
fn threads_and_order_change_nothing() {
    let root = folder();
    for number in 0..200 {
        make(root.path(), &format!("{}/{number}.txt", number % 7), format!("text {number} a{number}@example.org").as_bytes());
    }
    let digest = |workers| {
        let mut world = World::new();
        world.settings.workers = workers;
        world.take(root.path()).digest()
    };
    let one = digest(1);
    assert_eq!(one, digest(2));
    assert_eq!(one, digest(8));
}
