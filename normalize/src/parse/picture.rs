//! Pictures: QR codes in them (wallets, invitations, logins), and where and when a camera says it took them.
//!
//! What a code says is kept as a record of its own, with the picture and the code's number as its place, and searched like any text.

mod exif;
pub mod qr;
#[cfg(test)]
mod tests;

use crate::emit::Emit;
use crate::parse::node::pointer_step;
use crate::parse::{Input, Outcome, Parser};
use model::record::{self, Record};
use model::{Code, Locator};
use qr::Unsearched;

/// What records of codes are of.
const APP: &str = "QR code";
/// Largest picture that is read: as much as is staged, and some.
const PICTURE_MOST: u64 = 64 << 20;

/// The parser of pictures.
pub struct Picture;

impl Parser for Picture {
    fn name(&self) -> &'static str {
        "picture"
    }

    fn version(&self) -> u32 {
        1
    }

    fn identify(&self, input: &Input<'_>) -> bool {
        is_picture(input.head)
    }

    fn reads_whole(&self) -> bool {
        true
    }

    fn parse(&self, input: &Input<'_>, emit: &mut Emit<'_>) -> Outcome {
        let content = match input.content(PICTURE_MOST, "picture", emit) {
            Ok(content) => content,
            Err(outcome) => return outcome,
        };
        let located = exif::read(&content, emit);
        let place = (0, content.len() as u64);
        match codes(&content, "", place, input.limits.qr_pixels_most, emit) {
            Ok(0) if located == 0 => Outcome::plain(),
            Ok(_) => Outcome::parsed(),
            Err(reason) => {
                let outcome = if located == 0 { Outcome::plain() } else { Outcome::parsed() };
                Outcome { reason: Some(reason), ..outcome }
            }
        }
    }
}

/// Whether content is a picture of a kind that is read: by its first bytes.
pub fn is_picture(head: &[u8]) -> bool {
    match head {
        [0xff, 0xd8, 0xff, ..] | [0x89, b'P', b'N', b'G', ..] | [b'G', b'I', b'F', b'8', ..] => true,
        [b'I', b'I', b'*', 0, ..] | [b'M', b'M', 0, b'*', ..] => true,
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => true,
        // A bitmap says its size and where its pixels are: two letters alone begin many texts.
        [b'B', b'M', _, _, _, _, 0, 0, 0, 0, _, _, 0, 0, ..] => true,
        [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => {
            [b"heic".as_slice(), b"heix", b"mif1", b"msf1", b"avif"].iter().any(|known| brand.starts_with(known))
        }
        _ => false,
    }
}

/// Puts what the codes of a picture say; how many there are. `name` is what the picture is called inside of the item, and `place` where
/// it stands. The error is why it was not searched.
pub fn codes(bytes: &[u8], name: &str, place: (u64, u64), pixels_most: u64, emit: &mut Emit<'_>) -> Result<usize, String> {
    if pixels_most == 0 {
        return Ok(0);
    }
    let codes = match qr::codes(bytes, pixels_most) {
        Ok(codes) => codes,
        Err(Unsearched::Large(pixels)) => return Err(format!("{pixels} pixels: not searched for QR codes")),
        Err(Unsearched::Noisy) => return Err("a texture: not searched for QR codes".to_owned()),
        Err(Unsearched::Damaged) => return Err("cannot be unpacked: not searched for QR codes".to_owned()),
        Err(Unsearched::Format) => return Ok(0),
    };
    for (number, code) in (1u64..).zip(&codes) {
        let way = if name.is_empty() { String::new() } else { format!("/{}", pointer_step(name)) };
        let locator = Locator::Pointer { pointer: format!("{way}/qr/{number}"), offset: place.0, length: place.1 };
        put(code, locator, emit);
    }
    if !codes.is_empty() && name.is_empty() {
        emit.ledger("QR codes", "message", None, codes.len() as u64, codes.len() as u64, None);
    }
    Ok(codes.len())
}

fn put(code: &[u8], locator: Locator, emit: &mut Emit<'_>) {
    let text = match std::str::from_utf8(code) {
        Ok(text) => text.to_owned(),
        Err(_) => {
            let text = encoding_rs::WINDOWS_1252.decode_without_bom_handling(code).0.into_owned();
            emit.problem(Code::TextInvalid, format!("QR code of {} bytes that are not UTF-8", code.len()));
            text
        }
    };
    let record = record::Message {
        provenance: emit.provenance(locator),
        app: APP.to_owned(),
        thread_key: None,
        sender: None,
        recipient: None,
        outgoing: None,
        sent: None,
        received: None,
        edited: None,
        text: Some(text),
        subject: None,
        message_type: Some("qr_code".to_owned()),
        message_key: None,
        quoted_key: None,
        quoted_text: None,
        quoted_sender: None,
        forwarded: None,
        status: None,
        extra: None,
    };
    // Places of codes are distinct, and messages are never turned away.
    let _taken = emit.record(Record::Message(Box::new(record)));
}
