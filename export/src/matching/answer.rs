//! The second file: the requester's points evaluated with a key made for this session, proofs that it was one key, and the answering
//! unit's own set as tags under the same key.

use super::chunks::{CHUNK, in_chunks};
use super::file;
use super::file::{ANSWER, AnswerHeader, SUITE, Signature, TAG};
use super::refusal::Refusal;
use super::request::Accepted;
use super::set::{Input, Set, bucket};
use crate::{Error, UnitKey};
use model::Digest;
use sha2::{Digest as _, Sha256};
use ssh_key::rand_core::{OsRng, RngCore};
use std::collections::BTreeSet;
use voprf::{Group, Ristretto255, VoprfServer};

/// The tag of an output: 16 bytes of SHA-256 over the request's digest and the output, so that it means nothing elsewhere.
pub(super) fn tag(request: Digest, output: &[u8]) -> [u8; TAG] {
    let hash = Sha256::new_with_prefix("haul match tag v1").chain_update(request.0).chain_update(output).finalize();
    let mut tag = [0; TAG];
    tag.copy_from_slice(&hash[..TAG]);
    tag
}

/// Answers a request that was accepted. The session's key is made here, and gone when this returns: nobody, this unit included, can
/// evaluate another value with it.
pub fn answer(accepted: &Accepted, set: &Set, key: &UnitKey, now: i64) -> Result<Vec<u8>, Error> {
    let too_many = || Refusal::Cap { asked: set.len() as u64, cap: super::set::MOST };
    let size = bucket(set.len()).ok_or_else(too_many)?;
    let server = VoprfServer::<Ristretto255>::new(&mut OsRng).map_err(|_| Refusal::Form("no session key could be made"))?;
    let mut body = Vec::new();
    for chunk in evaluate(&server, accepted)? {
        body.extend_from_slice(&chunk);
    }
    for tag in tags(&server, accepted.digest, set, size)? {
        body.extend_from_slice(&tag);
    }
    let public = <Ristretto255 as Group>::serialize_elem(server.get_public_key());
    let header = AnswerHeader {
        body: Digest::of(&body).to_string(),
        bucket: size,
        chunk: CHUNK as u64,
        file: "haul-match-answer".to_owned(),
        made: now,
        public: public.iter().map(|byte| format!("{byte:02x}")).collect(),
        request: accepted.digest.to_string(),
        session: accepted.header.session.clone(),
        suite: SUITE.to_owned(),
        version: 1,
    };
    let line = file::line(&header)?;
    file::write(&line, &[Signature::make(key, ANSWER, &line)?], &body)
}

/// Each chunk: its proof, then the evaluated points in the order of the request.
fn evaluate(server: &VoprfServer<Ristretto255>, accepted: &Accepted) -> Result<Vec<Vec<u8>>, Error> {
    in_chunks(&accepted.points, |_, chunk| {
        // It fails for batches above 65,535 only.
        let points = chunk.to_vec();
        let evaluated = server.batch_blind_evaluate(&mut OsRng, &points).map_err(|_| Refusal::Form("a chunk is too long"))?;
        let mut bytes = evaluated.proof.serialize().to_vec();
        for message in &evaluated.messages {
            bytes.extend_from_slice(&message.serialize());
        }
        Ok(bytes)
    })
}

/// The set's tags and random ones up to the bucket, sorted: outputs look random, so neither order nor form tells which are which.
fn tags(server: &VoprfServer<Ristretto255>, request: Digest, set: &Set, size: u64) -> Result<BTreeSet<[u8; TAG]>, Error> {
    let inputs: Vec<Input> = set.keys().copied().collect();
    let chunks = in_chunks(&inputs, |_, chunk| {
        let one = |input: &Input| {
            let output = server.evaluate(input).map_err(|_| Refusal::Form("an input is too long"))?;
            Ok(tag(request, &output))
        };
        chunk.iter().map(one).collect::<Result<Vec<_>, Error>>()
    })?;
    let mut tags: BTreeSet<[u8; TAG]> = chunks.into_iter().flatten().collect();
    while (tags.len() as u64) < size {
        let mut padding = [0; TAG];
        OsRng.fill_bytes(&mut padding);
        tags.insert(padding);
    }
    Ok(tags)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssh_key::rand_core::{CryptoRng, Error as RandomError};
    use voprf::{BlindedElement, EvaluationElement, VoprfClient};

    /// Gives the scalars of a test vector: each is asked for as 64 bytes, little endian, and reduced.
    struct Given(Vec<u8>);

    impl RngCore for Given {
        fn next_u32(&mut self) -> u32 {
            unreachable!()
        }
        fn next_u64(&mut self) -> u64 {
            unreachable!()
        }
        fn fill_bytes(&mut self, bytes: &mut [u8]) {
            bytes.fill(0);
            bytes[..32].copy_from_slice(&self.0);
        }
        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), RandomError> {
            self.fill_bytes(bytes);
            Ok(())
        }
    }

    impl CryptoRng for Given {}

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    /// Input, blind, blinded element, evaluation element, output: RFC 9497, appendix A.1.2.
    const VECTORS: [[&str; 5]; 2] = [
        [
            "00",
            "64d37aed22a27f5191de1c1d69fadb899d8862b58eb4220029e036ec4c1f6706",
            "863f330cc1a1259ed5a5998a23acfd37fb4351a793a5b3c090b642ddc439b945",
            "aa8fa048764d5623868679402ff6108d2521884fa138cd7f9c7669a9a014267e",
            "b58cfbe118e0cb94d79b5fd6a6dafb98764dff49c14e1770b566e42402da1a7da4d8527693914139caee5bd03903af43a491351d23b430948dd50cde10d32b3c",
        ],
        [
            "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a",
            "222a5e897cf59db8145db8d16e597e8facb80ae7d4e26d9881aa6f61d645fc0e",
            "90a0145ea9da29254c3a56be4fe185465ebb3bf2a1801f7124bbbadac751e654",
            "cc5ac221950a49ceaa73c8db41b82c20372a4c8d63e5dded2db920b7eee36a2a",
            "8a9a2f3c7f085b65933594309041fc1898d42d0858e59f90814ae90571a6df60356f4610bf816f27afdd84f47719e480906d27ecd994985890e5f539e7ea74b6",
        ],
    ];

    /// The batch of two: key, blinded and evaluated points, proof and outputs are those that the RFC prints.
    #[test]
    fn the_vectors_of_rfc_9497_agree() {
        let server = VoprfServer::<Ristretto255>::new_from_seed(&[0xa3; 32], b"test key").unwrap();
        let public = <Ristretto255 as Group>::serialize_elem(server.get_public_key());
        assert_eq!(public.to_vec(), hex("c803e2cc6b05fc15064549b5920659ca4a77b2cca6f04f6b357009335476ad4e"));
        let mut clients = Vec::new();
        let mut points = Vec::new();
        for [input, blind, blinded, _, output] in VECTORS {
            let made = VoprfClient::<Ristretto255>::blind(&hex(input), &mut Given(hex(blind))).unwrap();
            assert_eq!(made.message.serialize().to_vec(), hex(blinded));
            assert_eq!(server.evaluate(&hex(input)).unwrap().to_vec(), hex(output));
            points.push(BlindedElement::deserialize(&hex(blinded)).unwrap());
            clients.push(made.state);
        }
        let random = "419c4f4f5052c53c45f3da494d2b67b220d02118e0857cdbcf037f9ea84bbe0c";
        let answered = server.batch_blind_evaluate(&mut Given(hex(random)), &points).unwrap();
        let messages: Vec<EvaluationElement<_>> = answered.messages;
        for ([_, _, _, evaluated, _], message) in VECTORS.iter().zip(&messages) {
            assert_eq!(message.serialize().to_vec(), hex(evaluated));
        }
        let proof = "cc203910175d786927eeb44ea847328047892ddf8590e723c37205cb74600b0a5ab5337c8eb4ceae0494c2cf89529dcf94572ed267473d567aeed6ab873dee08";
        assert_eq!(answered.proof.serialize().to_vec(), hex(proof));
        let inputs = VECTORS.map(|[input, ..]| hex(input));
        let outputs =
            VoprfClient::batch_finalize(&inputs, &clients, &messages, &answered.proof, server.get_public_key()).unwrap();
        for ([.., expected], output) in VECTORS.iter().zip(outputs) {
            assert_eq!(output.unwrap().to_vec(), hex(expected));
        }
    }
}
