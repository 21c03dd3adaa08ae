//! Blame: the guilty unit and no other, whatever the workers and the size of a child's batch.

use crate::Test;
use crate::world::{Outcome, World};
use model::{Body, Code, ItemStatus, WorkUnit};
use normalize::{Error, sandbox};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

pub const TESTS: &[Test] = &[
    ("exactly_the_guilty_unit_is_quarantined", blame),
    ("what_an_earlier_unit_left_behind_is_blamed_on_nobody", left_behind),
    ("a_child_killed_from_outside_is_blamed_on_nobody", killed_from_outside),
    ("databases_read_the_same_inside_and_outside", databases),
    ("children_are_replaced_after_their_batch", batches),
    ("scratch_is_private_and_empty_in_the_end", scratch),
    ("a_broken_world_is_an_error_and_no_problem", broken),
];

/// Everything of a run, in an order that does not depend on it.
fn sorted(outcome: &Outcome, without: &str) -> BTreeSet<Vec<u8>> {
    let guilty = outcome.item(without).id;
    let kept = outcome.bodies.iter().filter(|body| body.item() != Some(guilty) && body.id() != guilty);
    kept.map(model::wire::to_bytes).collect()
}

fn units(world: &World, seventh: &str) -> Vec<WorkUnit> {
    let content = |number: usize| if number == 7 { seventh.to_owned() } else { format!("many {number}") };
    (0..50).map(|number| world.unit(&number.to_string(), content(number).as_bytes())).collect()
}

fn blame() {
    for (workers, batch_items) in [(1, 256), (2, 256), (4, 3), (2, 1)] {
        let mut world = World::new();
        world.settings.workers = workers;
        world.settings.sandbox.batch_items = batch_items;
        let clean = world.run(&units(&world, "good"));
        clean.check_counts();
        for what in ["abort", "panic", "stack 10000000", "allocate 100000000", "forged_item"] {
            let hurt = world.run(&units(&world, what));
            hurt.check_counts();
            assert_eq!(sorted(&hurt, "7"), sorted(&clean, "7"), "{what}, {workers} workers");
            let failed: Vec<_> = hurt.bodies.iter().filter(|body| is_failed(body)).map(Body::id).collect();
            assert_eq!(failed, [hurt.item("7").id], "{what}, {workers} workers");
        }
    }
}

fn is_failed(body: &Body) -> bool {
    matches!(body, Body::Item(item) if item.status == ItemStatus::Failed)
}

/// Children that somebody kills from outside, many times: every unit comes out as if nobody had.
fn killed_from_outside() {
    let mut world = World::new();
    world.settings.workers = 2;
    let units: Vec<_> = (0..3_000).map(|number| world.unit(&number.to_string(), b"many 5")).collect();
    let clean = world.run(&units[..1]);
    let clean: BTreeSet<_> = clean.problems().into_iter().map(|(_, detail)| detail.to_owned()).collect();
    let kills = AtomicUsize::new(0);
    let parsed = |parsed: u64| {
        // At ten moments of the run, each time every child there is.
        if parsed / 300 <= kills.load(Ordering::Relaxed) as u64 / 2 {
            return;
        }
        for pid in crate::escapes::children() {
            let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
            // It may have ended by itself.
            let killed = rustix::process::kill_process(pid, rustix::process::Signal::TERM).is_ok();
            kills.fetch_add(usize::from(killed), Ordering::Relaxed);
        }
    };
    let outcome = world.run_watched(&world.context(), &units, &parsed).unwrap();
    let kills = kills.into_inner();
    assert!(kills > 2, "{kills} kills");
    assert_eq!(outcome.parsed, 3_000);
    outcome.bodies.iter().for_each(|body| assert!(!is_failed(body)));
    assert_eq!(outcome.problems().len(), 3_000 * clean.len());
    assert!(outcome.problems().iter().all(|(_, detail)| clean.contains(*detail)));
}

/// SQLite has all it needs in the sandbox: the samples give there what they give without.
fn databases() {
    let samples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/samples/phone/data/data");
    for name in ["com.android.providers.contacts/databases/contacts2.db", "com.android.providers.telephony/databases/mmssms.db"] {
        let world = World::new();
        let content = std::fs::read(samples.join(name)).unwrap();
        let unit = world.unit(name, &content);
        std::fs::create_dir(world.path("outside")).unwrap();
        std::fs::write(world.path("outside/main"), &content).unwrap();
        let artifacts = normalize::artifact::Set::load(None).unwrap();
        let mut outside: Vec<Body> = Vec::new();
        let limits = &world.settings.normalize;
        normalize::read::read_unit(&unit, &world.path("outside"), &artifacts, limits, &mut outside);
        let inside = world.run(&[unit]);
        inside.check_counts();
        assert!(inside.bodies.iter().filter(|body| matches!(body, Body::Record(_))).count() > 0, "{name}");
        assert_eq!(inside.bodies, outside, "{name}");
    }
}

/// A unit that only a used child dies on is read well by a fresh one.
fn left_behind() {
    let mut world = World::new();
    world.settings.workers = 1;
    let outcome = world.run_one("dies_when_used");
    assert_eq!(outcome.problems(), [(Code::Missing, "dies_when_used: DONE")]);
    assert_eq!(outcome.item("guilty").status, ItemStatus::Parsed);
}

fn batches() {
    let mut world = World::new();
    world.settings.workers = 1;
    world.settings.sandbox.batch_items = 1;
    // Every unit has a fresh child: none ever sees a used one.
    let units: Vec<_> = (0..10).map(|number| world.unit(&number.to_string(), b"dies_when_used")).collect();
    assert!(world.run(&units).problems().iter().all(|(_, detail)| *detail == "dies_when_used: DONE"));
}

fn scratch() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    let scratch = world.path("scratch");
    std::fs::create_dir(&scratch).unwrap();
    std::fs::write(scratch.join("left over"), b"x").unwrap();
    world.run_one("create temporary");
    assert_eq!(std::fs::metadata(&scratch).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(!scratch.join("left over").exists());
    assert!(!scratch.join("spool-0").exists());
}

fn broken() {
    let world = World::new();
    // Content that is not in the stage.
    let mut lost = world.unit("lost", b"good");
    lost.primary.content = model::Digest::of(b"never staged");
    assert!(matches!(world.try_run(&world.context(), &[lost]), Err(Error::Sandbox(sandbox::Error::Stage(_)))));
    // Content of another size.
    let mut cut = world.unit("cut", b"good");
    cut.primary.item.size_bytes += 1;
    assert!(matches!(world.try_run(&world.context(), &[cut]), Err(Error::Sandbox(sandbox::Error::Content { .. }))));
    // A program that is no parser child, and one that is not there.
    for child in ["/bin/true", "/nowhere"] {
        let context = normalize::Context { child: child.into(), ..world.context() };
        let outcome = world.try_run(&context, &[world.unit("good", b"good")]);
        assert!(matches!(outcome, Err(Error::Sandbox(sandbox::Error::Start { .. }))), "{child}");
    }
}
