//! A private match of two sets: `cargo run --release -p export --example match_speed [VALUES]` prints the seconds of each step, and those
//! of each side, against one hash and one multiplication a value on one core (the least that anybody must do).

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]

use export::UnitKey;
use export::matching::answer::answer;
use export::matching::finish::{finish, kept};
use export::matching::request::{Ask, Policy, accept, approve, request};
use export::matching::set::{KINDS, Set, Value, set};
use std::io::Write;
use std::time::Instant;
use voprf::{Ristretto255, VoprfServer};

fn values(numbers: std::ops::Range<u64>) -> Set {
    set(numbers.map(|number| Value { kind: "phone", app: None, value: format!("+855{number:09}") }))
}

fn main() {
    let size: u64 = std::env::args().nth(1).map_or(100_000, |word| word.parse().unwrap());
    let folder = std::env::temp_dir().join(format!("haul-match-speed-{}", std::process::id()));
    let [analyst, supervisor, answerer] = ["a", "s", "b"].map(|name| UnitKey::generate(&folder.join(name)).unwrap());
    std::fs::remove_dir_all(folder).unwrap();
    let (ours, theirs) = (values(0..size), values(size / 2..size / 2 + size));
    let ask = Ask {
        kinds: vec!["phone".into()],
        purpose: "speed".into(),
        basis: "none".into(),
        to: answerer.fingerprint(),
        sources: vec!["ab".into()],
        cap: 1 << 20,
        made: 0,
        until: 2,
    };
    let mut out = std::io::stdout().lock();
    let begin = Instant::now();
    let asked = request(&ours, &ask, &analyst).unwrap();
    let asking = begin.elapsed().as_secs_f64();
    let (_, file) = approve(&asked.file, &supervisor, 1).unwrap();
    let begin = Instant::now();
    let kinds = KINDS.map(str::to_owned);
    let vouch = |_: &str, _: &str| Ok("unit".to_owned());
    let policy = Policy { now: 1, cap: 1 << 20, kinds: &kinds, own: answerer.fingerprint(), vouch: &vouch };
    let answered = answer(&accept(&file, &policy).unwrap(), &theirs, &answerer, 1).unwrap();
    let answering = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    let found = finish(&kept(&asked.secret).unwrap(), &answered, &ours, 1).unwrap().len();
    let finishing = begin.elapsed().as_secs_f64();
    let server = VoprfServer::<Ristretto255>::new_from_seed(&[1; 32], b"").unwrap();
    let begin = Instant::now();
    for input in ours.keys().take(10_000) {
        server.evaluate(input).unwrap();
    }
    let least = begin.elapsed().as_secs_f64() / 10_000.0 * size as f64;
    writeln!(out, "{size} × {size}, {found} in common; files {} and {} bytes", file.len(), answered.len()).unwrap();
    writeln!(out, "request {asking:.2} s, answer {answering:.2} s, finish {finishing:.2} s").unwrap();
    let asker = asking + finishing;
    writeln!(out, "asking side {asker:.2} s ({:.2} of {least:.2} s)", asker / least).unwrap();
    writeln!(out, "answering side {answering:.2} s ({:.2} of {least:.2} s)", answering / least).unwrap();
}
