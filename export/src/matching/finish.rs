//! What the requester learns: which of its own values the other unit has too.

use super::answer::tag;
use super::chunks::{CHUNK, in_chunks};
use super::file;
use super::file::{ANSWER, POINT, PROOF, Parts, RequestHeader, TAG};
use super::refusal::Refusal;
use super::request::SLOT;
use super::set::{Input, Set, Value};
use crate::{Error, keyring};
use model::Digest;
use std::collections::BTreeSet;
use voprf::{EvaluationElement, Group, Proof, Ristretto255, VoprfClient};

type Point = <Ristretto255 as Group>::Elem;

/// What a requester kept, taken apart.
pub struct Kept<'a> {
    /// The request as it was made.
    pub header: RequestHeader,
    line: &'a str,
    slots: Vec<&'a [u8]>,
}

/// Takes apart what [`request`](super::request::request) said to keep.
pub fn kept(secret: &[u8]) -> Result<Kept<'_>, Error> {
    let (header, line, slots) = file::take_line::<RequestHeader>(secret)?;
    file::request_fault(&header)?;
    let slots: Vec<&[u8]> = slots.chunks(SLOT).collect();
    if slots.len() as u64 != header.bucket || slots.last().is_none_or(|last| last.len() != SLOT) {
        return Err(Refusal::Form("what was kept of the request is shorter or longer than it says").into());
    }
    Ok(Kept { header, line, slots })
}

/// Checks an answer whole, and only then opens it: signer, time, session, request, sizes, every point and every proof. Gives the values
/// of `set` that both units have; `set` must be what the request was made from.
pub fn finish<'s>(kept: &Kept<'_>, answer: &[u8], set: &'s Set, now: i64) -> Result<Vec<&'s Value>, Error> {
    let Parts { header, line, signatures, body } = file::answer(answer, kept.header.bucket)?;
    let [signature] = &signatures[..] else { return Err(Refusal::Signature("it needs one, of the unit that answers").into()) };
    if !signature.holds(ANSWER, line) {
        return Err(Refusal::Signature("the answering unit's does not hold").into());
    }
    let (_, fingerprint) = keyring::canonical(&signature.signer)?;
    if fingerprint != kept.header.to {
        return Err(Refusal::Signer(format!("{fingerprint} was not asked")).into());
    }
    if now >= kept.header.until {
        return Err(Refusal::Expired(kept.header.until).into());
    }
    let request = file::digest(kept.line);
    if header.session != kept.header.session || header.request != request.to_string() {
        return Err(Refusal::Session.into());
    }
    let (evaluated, tags) = body.split_at(body.len() - header.bucket as usize * TAG);
    let tags: Vec<&[u8]> = tags.chunks(TAG).collect();
    if !tags.is_sorted_by(|a, b| a < b) {
        return Err(Refusal::Form("its tags are not in order").into());
    }
    let public = Digest::parse(&header.public).ok_or(Refusal::Point(0))?;
    let public = <Ristretto255 as Group>::deserialize_elem(&public.0).map_err(|_| Refusal::Point(0))?;
    let opened = open(kept, evaluated, public, request, &tags.into_iter().collect())?;
    // Padding is not in the set. A value that is not there any more was not asked by this set.
    Ok(opened.iter().filter_map(|input| set.get(input)).collect())
}

/// The inputs whose tag the answer has. Every chunk's proof is checked before anything is given.
fn open(kept: &Kept<'_>, body: &[u8], public: Point, request: Digest, tags: &BTreeSet<&[u8]>) -> Result<Vec<Input>, Error> {
    let chunks: Vec<&[u8]> = body.chunks(PROOF + CHUNK * POINT).collect();
    let found = in_chunks(&kept.slots, |number, slots| {
        let (proof, points) = chunks.get(number).and_then(|chunk| chunk.split_at_checked(PROOF)).ok_or(Refusal::Proof(number))?;
        let proof = Proof::<Ristretto255>::deserialize(proof).map_err(|_| Refusal::Proof(number))?;
        let point = |(place, bytes): (usize, &[u8])| {
            EvaluationElement::<Ristretto255>::deserialize(bytes).map_err(|_| Refusal::Point(number * CHUNK + place))
        };
        let points = points.chunks(POINT).enumerate().map(point).collect::<Result<Vec<_>, _>>()?;
        let broken = |_| Refusal::Form("what was kept of the request is damaged");
        let clients = slots.iter().map(|slot| VoprfClient::<Ristretto255>::deserialize(&slot[..2 * POINT]).map_err(broken));
        let clients = clients.collect::<Result<Vec<_>, _>>()?;
        let inputs: Vec<&[u8]> = slots.iter().map(|slot| &slot[2 * POINT..]).collect();
        let outputs =
            VoprfClient::batch_finalize(&inputs, &clients, &points, &proof, public).map_err(|_| Refusal::Proof(number))?;
        let mut found = Vec::new();
        for (input, output) in inputs.iter().zip(outputs) {
            let output = output.map_err(broken)?;
            if tags.contains(tag(request, &output).as_slice()) {
                found.push(Input::try_from(*input).map_err(|_| Refusal::Form("what was kept of the request is damaged"))?);
            }
        }
        Ok(found)
    })?;
    Ok(found.concat())
}

#[cfg(test)]
mod tests {
    use super::super::answer::answer;
    use super::super::file::{ANALYST, AnswerHeader, SUPERVISOR, Signature};
    use super::super::request::{Ask, Asked, Policy, accept, approve, request};
    use super::super::set::{KINDS, LEAST, set};
    use super::*;
    use crate::UnitKey;
    use std::path::Path;

    const NOW: i64 = 1_000;

    /// An asking unit with an analyst and a supervisor, an answering one, and a stranger.
    struct World {
        analyst: UnitKey,
        supervisor: UnitKey,
        answerer: UnitKey,
        stranger: UnitKey,
        folder: std::path::PathBuf,
    }

    impl World {
        fn new(name: &str) -> World {
            let folder = std::env::temp_dir().join(format!("haul-match-{}-{name}", std::process::id()));
            let key = |name: &str| UnitKey::generate(&Path::new(&folder).join(name)).unwrap();
            let [analyst, supervisor, answerer, stranger] = ["analyst", "supervisor", "answerer", "stranger"].map(key);
            World { analyst, supervisor, answerer, stranger, folder }
        }

        fn ask(&self) -> Ask {
            Ask {
                kinds: vec!["wallet".into(), "phone".into()],
                purpose: "case 7/2026".into(),
                basis: "agreement of 2024, article 3".into(),
                to: self.answerer.fingerprint(),
                sources: vec!["ab".into()],
                cap: 131_072,
                made: NOW,
                until: NOW + 1_000,
            }
        }

        fn asked(&self, values: &Set) -> (Asked, Vec<u8>) {
            let asked = request(values, &self.ask(), &self.analyst).unwrap();
            let (_, file) = approve(&asked.file, &self.supervisor, NOW).unwrap();
            (asked, file)
        }

        fn accept_with(&self, file: &[u8], change: impl Fn(&mut Policy<'_>)) -> Result<super::super::request::Accepted, Error> {
            let vouch = |line: &str, used: &str| match (used, line) {
                ("match", line) if line == self.analyst.public_line() => Ok("Bangkok".to_owned()),
                ("supervise", line) if line == self.supervisor.public_line() => Ok("Bangkok".to_owned()),
                _ => Err("a stranger".to_owned()),
            };
            let kinds = KINDS.map(str::to_owned);
            let mut policy =
                Policy { now: NOW + 1, cap: 131_072, kinds: &kinds, own: self.answerer.fingerprint(), vouch: &vouch };
            change(&mut policy);
            accept(file, &policy)
        }

        fn accept(&self, file: &[u8]) -> Result<super::super::request::Accepted, Error> {
            self.accept_with(file, |_| {})
        }
    }

    impl Drop for World {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.folder).unwrap();
        }
    }

    fn values(numbers: impl IntoIterator<Item = u64>) -> Set {
        set(numbers.into_iter().map(|number| Value { kind: "phone", app: None, value: format!("+855{number:09}") }))
    }

    fn code<T>(result: Result<T, Error>) -> &'static str {
        match result {
            Ok(_) => "taken",
            Err(Error::Refused(refusal)) => refusal.code(),
            Err(_) => "error",
        }
    }

    /// Small numbers that repeat, from a fixed seed (SplitMix64).
    struct Seeded(u64);

    impl Seeded {
        fn below(&mut self, limit: u64) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed ^ (mixed >> 31)) % limit
        }
    }

    /// Empty, disjoint, equal and overlapping sets, and some larger than a chunk.
    #[test]
    fn it_equals_the_plain_intersection_on_a_thousand_pairs() {
        let world = World::new("pairs");
        let mut seeded = Seeded(6);
        for pair in 0..1_000 {
            let (most, range) = if pair % 250 == 0 { (5_000, 9_000) } else { (70, 90) };
            let mut some = || {
                let size = seeded.below(most);
                values((0..size).map(|_| seeded.below(range)).collect::<Vec<_>>())
            };
            let (mut ours, mut theirs) = (some(), some());
            match pair % 50 {
                1 => ours.clear(),
                2 => theirs.clear(),
                3 => theirs = ours.clone(),
                4 => theirs = values(range..range + 20),
                _ => {}
            }
            let (asked, file) = world.asked(&ours);
            let accepted = world.accept(&file).unwrap();
            let answered = answer(&accepted, &theirs, &world.answerer, NOW).unwrap();
            let mut found = finish(&kept(&asked.secret).unwrap(), &answered, &ours, NOW + 2).unwrap();
            found.sort();
            let mut plain: Vec<&Value> =
                ours.iter().filter(|(input, _)| theirs.contains_key(*input)).map(|(_, value)| value).collect();
            plain.sort();
            assert_eq!(found, plain, "pair {pair}");
        }
    }

    /// One bit of each byte flipped, every length: nothing is taken.
    #[test]
    fn damaged_files_are_refused() {
        let world = World::new("damaged");
        let (asked, file) = world.asked(&values(0..9));
        let answered = answer(&world.accept(&file).unwrap(), &values(5..20), &world.answerer, NOW).unwrap();
        let kept_of = kept(&asked.secret).unwrap();
        let ours = values(0..9);
        let finish = |answer: &[u8]| finish(&kept_of, answer, &ours, NOW + 2);
        assert_eq!(finish(&answered).unwrap().len(), 4);
        for place in 0..file.len() {
            let mut damaged = file.clone();
            damaged[place] ^= 1 << (place % 8);
            assert_ne!(code(world.accept(&damaged)), "taken", "request, byte {place}");
        }
        for place in 0..answered.len() {
            let mut damaged = answered.clone();
            damaged[place] ^= 1 << (place % 8);
            assert_ne!(code(finish(&damaged)), "taken", "answer, byte {place}");
        }
        for length in 0..file.len() {
            assert_ne!(code(world.accept(&file[..length])), "taken");
        }
        for length in 0..answered.len() {
            assert_ne!(code(finish(&answered[..length])), "taken");
        }
        assert_ne!(code(world.accept(&[&file[..], b"x"].concat())), "taken");
        assert_ne!(code(finish(&[&answered[..], b"x"].concat())), "taken");
        let cut = &asked.secret[..asked.secret.len() - 1];
        assert_eq!(code(kept(cut).map(|_| ())), "form");
    }

    /// A request whose header was changed and signed anew by both keys of the unit.
    fn signed(world: &World, file: &[u8], change: impl Fn(&mut RequestHeader, &mut Vec<u8>)) -> Vec<u8> {
        let parts = file::request(file).unwrap();
        let (mut header, mut body) = (parts.header.clone(), parts.body.to_vec());
        change(&mut header, &mut body);
        header.body = Digest::of(&body).to_string();
        let line = file::line(&header).unwrap();
        let analyst = Signature::make(&world.analyst, ANALYST, &line).unwrap();
        file::write(&line, &[analyst, Signature::make(&world.supervisor, SUPERVISOR, &line).unwrap()], &body).unwrap()
    }

    /// A member changed in the text, signatures as they were.
    #[test]
    fn no_member_of_a_request_can_be_changed_by_others() {
        let world = World::new("members");
        let (_, file) = world.asked(&values(0..9));
        let parts = file::request(&file).unwrap();
        let members = serde_json::to_value(&parts.header).unwrap();
        for (name, value) in members.as_object().unwrap() {
            let mut changed = members.clone();
            changed[name] = match value {
                serde_json::Value::String(text) => format!("{text}0").into(),
                serde_json::Value::Number(number) => (number.as_i64().unwrap() + 1).into(),
                _ => serde_json::json!(["email"]),
            };
            let text = changed.to_string();
            let body = parts.body;
            let forged = file::write(&text, &parts.signatures, body).unwrap();
            assert_ne!(code(world.accept(&forged)), "taken", "{name}");
            // Signed by a stranger, it is no better.
            let roles = [ANALYST, SUPERVISOR].map(|role| Signature::make(&world.stranger, role, &text).unwrap());
            assert_ne!(code(world.accept(&file::write(&text, &roles, body).unwrap())), "taken", "{name}");
        }
    }

    #[test]
    fn requests_beyond_what_is_allowed_are_refused_with_their_reason() {
        let world = World::new("policy");
        let (asked, file) = world.asked(&values(0..100));
        assert_eq!(asked.header.bucket, 128);
        assert_eq!(code(world.accept(&file)), "taken");
        assert_eq!(code(world.accept(&asked.file)), "signature", "the analyst alone");
        assert_eq!(code(world.accept_with(&file, |policy| policy.now = NOW + 1_000)), "expired");
        assert_eq!(code(world.accept_with(&file, |policy| policy.cap = 127)), "cap");
        assert_eq!(code(world.accept_with(&file, |policy| policy.own = world.stranger.fingerprint())), "recipient");
        assert_eq!(code(world.accept_with(&file, |policy| policy.kinds = &[])), "kinds");
        let cap = Ask { cap: 64, ..world.ask() };
        assert_eq!(code(request(&values(0..100), &cap, &world.analyst).map(|_| ())), "cap");
        // Roles are not to be swapped, nor be one person's.
        let parts = file::request(&file).unwrap();
        let [analyst, supervisor] = &parts.signatures[..] else { panic!("two signatures") };
        let with = |signatures: &[Signature]| file::write(parts.line, signatures, parts.body).unwrap();
        for wrong in [&[supervisor.clone(), analyst.clone()][..], &[analyst.clone(), analyst.clone()], &[]] {
            assert_eq!(code(world.accept(&with(wrong))), "signature");
        }
        let both = [ANALYST, SUPERVISOR].map(|role| Signature::make(&world.analyst, role, parts.line).unwrap());
        assert_eq!(code(world.accept(&with(&both))), "signature");
        assert_eq!(code(approve(&asked.file, &world.analyst, NOW).map(|_| ())), "signature");
        assert_eq!(code(approve(&asked.file, &world.supervisor, NOW + 1_000).map(|_| ())), "expired");
        assert_eq!(code(approve(&file, &world.stranger, NOW).map(|_| ())), "signature", "allowed twice");
        let stranger = Signature::make(&world.stranger, SUPERVISOR, parts.line).unwrap();
        assert_eq!(code(world.accept(&with(&[analyst.clone(), stranger]))), "signer");
    }

    /// What a unit that does not keep to the protocol could sign.
    #[test]
    fn dishonest_requests_are_refused() {
        let world = World::new("dishonest");
        let (_, file) = world.asked(&values(0..9));
        let refused = |change: &dyn Fn(&mut RequestHeader, &mut Vec<u8>)| code(world.accept(&signed(&world, &file, change)));
        assert_eq!(refused(&|_, _| {}), "taken");
        // The identity is all zeros, and first in order; a negative or too large encoding is not canonical (RFC 9496 §A.3).
        assert_eq!(refused(&|_, body| body[..POINT].fill(0)), "point");
        assert_eq!(
            refused(&|_, body| {
                let at = body.len() - POINT;
                body[at..].fill(0xff);
            }),
            "point"
        );
        assert_eq!(
            refused(&|_, body| {
                // One more in its first byte leaves the last point the last in order.
                let last = body.len() - POINT;
                body[last] |= 1;
            }),
            "point"
        );
        assert_eq!(refused(&|_, body| body.copy_within(..POINT, POINT)), "form");
        assert_eq!(refused(&|_, body| body.rotate_left(POINT)), "form");
        assert_eq!(
            refused(&|header, body| {
                header.bucket = 63;
                body.truncate(63 * POINT);
            }),
            "form"
        );
        assert_eq!(refused(&|header, _| header.cap = LEAST - 1), "cap");
        assert_eq!(refused(&|header, _| header.kinds = vec!["name".into()]), "kinds");
        assert_eq!(refused(&|header, _| header.kinds.reverse()), "form");
        assert_eq!(refused(&|header, _| header.until = header.made), "expired");
        assert_eq!(refused(&|header, _| header.normal = "haul-values-0".into()), "version");
        assert_eq!(refused(&|header, _| header.suite.push('2')), "version");
        assert_eq!(refused(&|header, _| header.purpose = " ".into()), "form");
        assert_eq!(refused(&|header, _| header.session = "x".repeat(32)), "form");
    }

    #[test]
    fn dishonest_and_foreign_answers_are_refused_and_nothing_is_learned() {
        let world = World::new("answers");
        let (ours, theirs) = (values(0..100), values(50..150));
        let (asked, file) = world.asked(&ours);
        let (other, other_file) = world.asked(&ours);
        let [accepted, other_accepted] = [&file, &other_file].map(|file| world.accept(file).unwrap());
        let honest = answer(&accepted, &theirs, &world.answerer, NOW).unwrap();
        let kept_of = kept(&asked.secret).unwrap();
        let finished = |bytes: &[u8], now: i64| code(finish(&kept_of, bytes, &ours, now));
        assert_eq!(finished(&honest, NOW + 2), "taken");
        assert_eq!(finished(&honest, NOW + 1_000), "expired");
        assert_eq!(code(finish(&kept(&other.secret).unwrap(), &honest, &ours, NOW)), "session");
        let foreign = answer(&other_accepted, &theirs, &world.answerer, NOW).unwrap();
        assert_eq!(finished(&foreign, NOW), "session");
        assert_eq!(finished(&answer(&accepted, &theirs, &world.stranger, NOW).unwrap(), NOW), "signer");

        let parts = file::answer(&honest, asked.header.bucket).unwrap();
        let resigned = |change: &dyn Fn(&mut AnswerHeader, &mut Vec<u8>)| {
            let (mut header, mut body) = (parts.header.clone(), parts.body.to_vec());
            change(&mut header, &mut body);
            header.body = Digest::of(&body).to_string();
            let line = file::line(&header).unwrap();
            finished(&file::write(&line, &[Signature::make(&world.answerer, ANSWER, &line).unwrap()], &body).unwrap(), NOW)
        };
        assert_eq!(resigned(&|_, _| {}), "taken");
        let foreign = file::answer(&foreign, asked.header.bucket).unwrap();
        // Another session's answer said to be to this one; another key; another proof.
        assert_eq!(resigned(&|_, body| *body = foreign.body.to_vec()), "proof");
        assert_eq!(resigned(&|header, _| header.public = foreign.header.public.clone()), "proof");
        assert_eq!(resigned(&|header, _| header.public = "0".repeat(64)), "point");
        assert_eq!(resigned(&|_, body| body[..PROOF].copy_from_slice(&foreign.body[..PROOF])), "proof");
        let point = |place: usize| PROOF + place * POINT..PROOF + (place + 1) * POINT;
        // Two points swapped, one marked with another key, the identity.
        assert_eq!(
            resigned(&|_, body| {
                let first = body[point(0)].to_vec();
                body.copy_within(point(1), PROOF);
                body[point(1)].copy_from_slice(&first);
            }),
            "proof"
        );
        assert_eq!(resigned(&|_, body| body[point(7)].copy_from_slice(&foreign.body[point(7)])), "proof");
        assert_eq!(resigned(&|_, body| body[point(7)].fill(0)), "point");
        assert_eq!(
            resigned(&|_, body| {
                let end = body.len();
                body[end - TAG..].fill(0);
            }),
            "form"
        );
        assert_eq!(resigned(&|header, _| header.request = foreign.header.request.clone()), "session");
        assert_eq!(resigned(&|header, _| header.bucket *= 2), "form");
    }

    /// Neither the length nor any tag tells how much is common, and sessions cannot be compared.
    #[test]
    fn sessions_share_nothing_and_sizes_show_by_bucket() {
        let world = World::new("sessions");
        let answers: Vec<Vec<u8>> = [values(0..64), values(1_000..1_040), values(0..64)]
            .iter()
            .map(|theirs| {
                let (_, file) = world.asked(&values(0..64));
                answer(&world.accept(&file).unwrap(), theirs, &world.answerer, NOW).unwrap()
            })
            .collect();
        let body = |answer: &[u8]| file::answer(answer, 64).unwrap().body.to_vec();
        let [first, second, third] = &answers.iter().map(|answer| body(answer)).collect::<Vec<_>>()[..] else { panic!() };
        assert_eq!(first.len(), second.len());
        let tags = |body: &[u8]| body[body.len() - 64 * TAG..].chunks(TAG).map(<[u8]>::to_vec).collect::<BTreeSet<_>>();
        assert_eq!(tags(first).len(), 64);
        assert!(tags(first).is_disjoint(&tags(third)), "the same set under another key");
    }
}
