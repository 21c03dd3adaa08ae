//! Same evidence, same bundle: any number of workers, either transport, any order of listing, any zone, language or clock.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use tests::broker::Broker;
use tests::command::{expect_code, haul_run, sha256};
use tests::crash::{Fleet, Report, Trials};
use tests::evidence::Size;
use tests::random::Random;

const SIZE: Size = Size { sms: 2_000, telegram: 1_000, pictures: 60 };

/// The library of Debian's package `faketime`.
fn libfaketime() -> PathBuf {
    let folder = format!("/usr/lib/{}-linux-gnu/faketime", std::env::consts::ARCH);
    let path = Path::new(&folder).join("libfaketime.so.1");
    assert!(path.exists(), "{} is missing: scripts/packages test", path.display());
    path
}

fn shuffler(folder: &Path) -> PathBuf {
    let library = folder.join("shuffle.so");
    let source = tests::root().join("tests/preload/shuffle.c");
    expect_code(Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl"), 0);
    library
}

type Surroundings<'a> = (&'a str, Box<dyn Fn(&mut Command) + 'a>);

#[test]
fn embedded_runs_give_one_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let trials = Trials::prepare(folder.path(), SIZE, 1);
    let (shuffle, clock) = (shuffler(folder.path()), libfaketime());
    let surroundings: [Surroundings<'_>; 4] = [
        ("plain", Box::new(|_| {})),
        (
            "zone and language",
            Box::new(|command| {
                command.env("TZ", "Asia/Kathmandu").env("LANG", "tr_TR.UTF-8").env("LC_ALL", "tr_TR.UTF-8");
            }),
        ),
        (
            "clock",
            Box::new(|command| {
                command.env("LD_PRELOAD", &clock).env("FAKETIME", "-3650d").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
            }),
        ),
        (
            "shuffled listings",
            Box::new(|command| {
                command.env("LD_PRELOAD", &shuffle).env("SHUFFLE_SEED", "7");
            }),
        ),
    ];
    for workers in ["1", "2", "8"] {
        for (name, change) in &surroundings {
            let out = folder.path().join(format!("{workers}-{name}"));
            let mut command = haul_run(trials.evidence(), &out, trials.key());
            command.args(["--workers", workers]);
            change(&mut command);
            expect_code(&mut command, 0);
            assert_eq!(sha256(&out.join("1.sqlite")), trials.expected(), "{workers} workers, {name}");
        }
    }
}

#[test]
fn fleets_give_the_same_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let trials = Trials::prepare(folder.path(), SIZE, 1);
    let broker = Broker::start(&folder.path().join("broker"));
    let mut trial = 0;
    for partitions in [1, 7] {
        for workers in [1, 2, 8] {
            trial += 1;
            let place = folder.path().join(format!("fleet-{trial}"));
            let fleet = Fleet::start(&trials, &place, &broker.address, trial, partitions, workers);
            fleet.run(&broker, 0, &mut Random(1), &mut Report::default()).unwrap();
            let found = sha256(&place.join("out/1.sqlite"));
            assert_eq!(found, trials.expected(), "{partitions} partitions, {workers} workers");
        }
    }
}
