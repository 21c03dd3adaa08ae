//! What the sandbox costs a unit that costs nothing else.

use crate::Test;
use crate::world::World;
use std::time::Instant;

pub const TESTS: &[Test] = &[("a_small_unit_costs_little", pace)];

/// Far below what a quiet machine does: a guard against a mistake of a factor, not a benchmark.
const UNITS_PER_SECOND: f64 = 1_000.0;

fn pace() {
    let mut world = World::new();
    world.settings = config::Settings { workers: 2, ..config::Settings::default() };
    // Ingest stages equal contents once: a hundred contents for all units.
    let units: Vec<_> =
        (0..20_000).map(|number| world.unit(&number.to_string(), format!("many {}", number % 100 / 33).as_bytes())).collect();
    let start = Instant::now();
    let outcome = world.run(&units);
    let rate = units.len() as f64 / start.elapsed().as_secs_f64();
    assert_eq!(outcome.parsed, units.len() as u64);
    eprintln!("{} units: {rate:.0}/s with 2 workers", units.len());
    assert!(rate > UNITS_PER_SECOND);
}
