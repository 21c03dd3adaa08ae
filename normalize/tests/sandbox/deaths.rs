//! Whatever a unit does to its child costs that unit, has its code, and reads the same each time.

use crate::Test;
use crate::world::{Outcome, World};
use model::{Code, ItemStatus};

pub const TESTS: &[Test] = &[
    ("a_parser_that_dies_is_quarantined", died),
    ("a_parser_that_is_late_is_quarantined", late),
    ("a_parser_that_takes_too_much_is_quarantined", too_much),
    ("a_parser_that_lies_is_quarantined", lied),
    ("companions_end_with_their_primary", companions),
    ("the_output_cap_holds", output_cap),
    ("chatter_on_standard_error_is_nobodys_concern", chatter),
];

fn quarantined(world: &World, what: &str, code: Code, detail: &str) {
    check_quarantine(&world.run_one(what), what, code, detail);
}

fn check_quarantine(outcome: &Outcome, what: &str, code: Code, detail: &str) {
    assert_eq!(outcome.problems(), [(code, detail)], "{what}");
    let item = outcome.item("guilty");
    assert_eq!((item.status, item.reason.as_deref()), (ItemStatus::Failed, Some(code.name())), "{what}");
    assert_eq!(item.definition, None);
    assert_eq!(outcome.bodies.len(), 2, "{what}: a problem and the item, nothing of what was said before the death");
    assert_eq!(crate::escapes::children(), Vec::<u32>::new(), "{what}: no child is left");
}

fn died() {
    let world = World::new();
    for (what, detail) in [
        ("panic", "the parser died: panic"),
        ("abort", "the parser died: aborted"),
        ("exit 0", "the parser died: exited before its time"),
        ("exit 7", "the parser died: exited before its time"),
        ("signal 15", "the parser died: killed by a signal"),
        ("signal 9", "the parser died: killed by a signal"),
        ("fault", "the parser died: stack overflow or invalid memory access"),
        ("stack 10000000", "the parser died: stack overflow or invalid memory access"),
    ] {
        quarantined(&world, what, Code::ParserDied, detail);
    }
}

fn late() {
    let mut world = World::new();
    let detail = "the parser used up its time";
    // Processor time first, then the wall clock alone. No neighbours: on a busy machine they would be late too.
    for (cpu_s, wall_s, what) in [(1, 60, "spin"), (1, 2, "sleep"), (1, 2, "half_frame"), (1_000, 1, "spin")] {
        world.settings.sandbox.cpu_s = cpu_s;
        world.settings.sandbox.wall_s = wall_s;
        let outcome = world.run(&[world.unit("guilty", what.as_bytes())]);
        check_quarantine(&outcome, what, Code::Timeout, detail);
    }
    quarantined(&World::new(), "hang_up", Code::ParserLied, "the parser sent no end");
}

fn too_much() {
    let world = World::new();
    for size in ["1000", "100000000", "10000000000"] {
        quarantined(&world, &format!("allocate {size}"), Code::CapMemory, "the parser used up its memory");
    }
    quarantined(&world, "fill", Code::CapOutput, "the parser used up its output");
    quarantined(&world, "babble", Code::CapOutput, "the parser used up its output");
}

fn lied() {
    let world = World::new();
    for (what, lie) in [
        ("huge_frame", "bytes that are no frame"),
        ("unknown_frame", "bytes that are no frame"),
        ("no_bodies", "bytes that are no frame"),
        ("early_ready", "a frame out of turn"),
        ("no_body", "bytes that are no body"),
        ("forged_item", "an item that is not its own"),
        ("forged_exhibit", "another exhibit"),
        ("forged_stage", "a problem of another stage"),
        ("forged_end", "a body that is not a parser's"),
        ("forged_name", "an item that is not as it was staged"),
        ("forged_count", "another count than it sent"),
        ("said_twice", "one body twice"),
        ("no_end", "an item without an end"),
        ("two_ends", "an item ended twice"),
    ] {
        quarantined(&world, what, Code::ParserLied, &format!("the parser sent {lie}"));
    }
}

fn companions() {
    let world = World::new();
    let mut guilty = world.unit("guilty", b"abort");
    world.companion(&mut guilty, "guilty-wal", b"log");
    let outcome = world.run_between(guilty);
    assert_eq!(outcome.problems(), [(Code::ParserDied, "the parser died: aborted")]);
    for path in ["guilty", "guilty-wal"] {
        assert_eq!(outcome.item(path).status, ItemStatus::Failed);
    }
    let mut good = world.unit("guilty", b"read main-wal");
    world.companion(&mut good, "guilty-wal", b"log");
    let outcome = world.run_between(good);
    assert_eq!(outcome.problems(), [(Code::Missing, "read: DONE")]);
    assert_eq!(outcome.item("guilty-wal").status, ItemStatus::Parsed);
}

/// A floor of 16 MiB is always allowed: problems up to it come through the file of the spool as well.
fn output_cap() {
    let mut world = World::new();
    world.settings.sandbox.output_ratio = 1;
    let outcome = world.run_one("many 900");
    assert_eq!(outcome.problems().len(), 900);
    assert_eq!(outcome.item("guilty").status, ItemStatus::Parsed);
}

fn chatter() {
    let outcome = World::new().run_one("chatter");
    assert_eq!(outcome.problems(), [(Code::Missing, "chatter: DONE")]);
}
