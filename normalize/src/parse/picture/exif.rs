//! EXIF of pictures: where and when a camera says it took them (CIPA DC-008; read by the `kamadak-exif` library).

use crate::emit::Emit;
use ::exif::{Exif, In, Rational, Reader, Tag, Value};
use model::record::{Location, Record};
use model::{Code, Locator, Stamp};
use serde_json::Map;
use std::io::Cursor;

/// What records are of.
const APP: &str = "EXIF";
/// Longest text of a field that is kept.
const TEXT_MOST: usize = 4096;

/// Puts where a picture was taken; how many places it tells. A picture without EXIF tells none.
pub fn read(content: &[u8], emit: &mut Emit<'_>) -> usize {
    let exif = match Reader::new().continue_on_error(true).read_from_container(&mut Cursor::new(content)) {
        Ok(exif) => exif,
        Err(::exif::Error::PartialResult(partial)) => {
            let (exif, errors) = partial.into_inner();
            for error in errors {
                emit.problem(Code::DocumentDamaged, format!("EXIF is not whole: {}", model::text::escape(&error.to_string())));
            }
            exif
        }
        Err(::exif::Error::NotFound(_)) => return 0,
        Err(error) => {
            // Most of what is cut or made up: nothing is known to be lost but where an EXIF begins.
            if memchr::memmem::find(content.get(..1 << 16).unwrap_or(content), b"Exif\0\0").is_some() {
                let detail = model::text::escape(&error.to_string().to_lowercase());
                emit.problem(Code::DocumentDamaged, format!("EXIF cannot be read: {detail}"));
            }
            return 0;
        }
    };
    cut(&exif, emit);
    let (Some(latitude), Some(longitude)) = (angle(&exif, Tag::GPSLatitude), angle(&exif, Tag::GPSLongitude)) else { return 0 };
    let signed = |degrees: f64, reference: Tag, negative: char| {
        let turned = text(&exif, reference).is_some_and(|text| text.to_ascii_uppercase().starts_with(negative));
        let value = if turned { -degrees } else { degrees };
        format!("{value}")
    };
    let place = Locator::Pointer { pointer: "/exif/gps".to_owned(), offset: 0, length: content.len() as u64 };
    let location = Location {
        provenance: emit.provenance(place),
        app: APP.to_owned(),
        latitude: Some(signed(latitude, Tag::GPSLatitudeRef, 'S')),
        longitude: Some(signed(longitude, Tag::GPSLongitudeRef, 'W')),
        accuracy_m: rational(&exif, Tag::GPSHPositioningError).map(|metres| format!("{metres}")),
        located: located(&exif),
        source: Some("photo".to_owned()),
        label: None,
        extra: extra(&exif),
    };
    emit.ledger("EXIF positions", "location", None, 1, 1, None);
    // Locations are never turned away.
    let _taken = emit.record(Record::Location(Box::new(location)));
    1
}

/// Tells of texts that are longer than what is kept.
fn cut(exif: &Exif, emit: &mut Emit<'_>) {
    for field in exif.fields() {
        let Value::Ascii(lines) = &field.value else { continue };
        let line = lines.join(&b'\n');
        if line.len() > TEXT_MOST {
            let detail = format!("EXIF {}: a text of {} bytes, of which {TEXT_MOST} are kept", field.tag, line.len());
            emit.problem(Code::CapValue, detail);
        }
    }
}

fn values(exif: &Exif, tag: Tag) -> Option<&Value> {
    exif.get_field(tag, In::PRIMARY).map(|field| &field.value)
}

/// Degrees of an angle in degrees, minutes and seconds. `None` where a part has no value: 0/0 is how cameras without a fix fill it.
fn angle(exif: &Exif, tag: Tag) -> Option<f64> {
    let Value::Rational(parts) = values(exif, tag)? else { return None };
    let part = |at: usize| match parts.get(at) {
        None if at > 0 => Some(0.0),
        Some(Rational { num, denom }) if *denom > 0 => Some(f64::from(*num) / f64::from(*denom)),
        _ => None,
    };
    Some(part(0)? + part(1)? / 60.0 + part(2)? / 3600.0)
}

fn rational(exif: &Exif, tag: Tag) -> Option<f64> {
    match values(exif, tag)? {
        Value::Rational(parts) => parts.first().filter(|part| part.denom > 0).map(Rational::to_f64),
        _ => None,
    }
}

fn text(exif: &Exif, tag: Tag) -> Option<String> {
    let Value::Ascii(lines) = values(exif, tag)? else { return None };
    // Several strings in one field: of the photographer and of the editor.
    let line = lines.join(&b'\n');
    let text = String::from_utf8_lossy(line.get(..TEXT_MOST).unwrap_or(&line)).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// When it was taken, by the camera's clock: UTC only where its offset is told. Else the time of the satellites, which is UTC.
fn located(exif: &Exif) -> Option<Stamp> {
    let taken =
        text(exif, Tag::DateTimeOriginal).or_else(|| text(exif, Tag::DateTimeDigitized)).or_else(|| text(exif, Tag::DateTime));
    match taken {
        Some(taken) => {
            let offset = text(exif, Tag::OffsetTimeOriginal).or_else(|| text(exif, Tag::OffsetTime));
            let utc_us = offset.and_then(|offset| utc(&taken, &offset));
            Some(Stamp::text(taken, utc_us))
        }
        None => {
            let (date, time) = satellites(exif)?;
            let raw = format!("{date} {time}");
            let utc_us = utc(&raw, "+00:00");
            Some(Stamp::text(raw, utc_us))
        }
    }
}

/// Date and time of the satellites.
fn satellites(exif: &Exif) -> Option<(String, String)> {
    let Value::Rational(parts) = values(exif, Tag::GPSTimeStamp)? else { return None };
    let part = |at: usize| parts.get(at).filter(|part| part.denom > 0).map(|part| part.num / part.denom);
    let time = format!("{:02}:{:02}:{:02}", part(0)?, part(1)?, part(2)?);
    Some((text(exif, Tag::GPSDateStamp)?, time))
}

/// `2024:05:06 07:08:09` at that offset, in microseconds since 1970 UTC.
fn utc(taken: &str, offset: &str) -> Option<i64> {
    let time = jiff::civil::DateTime::strptime("%Y:%m:%d %H:%M:%S", taken).ok()?;
    let (sign, digits) = offset.split_at_checked(1)?;
    let (hours, minutes) = digits.split_once(':')?;
    let seconds = hours.parse::<i32>().ok()?.checked_mul(3600)?.checked_add(minutes.parse::<i32>().ok()?.checked_mul(60)?)?;
    let seconds = match sign {
        "+" => seconds,
        "-" => -seconds,
        _ => return None,
    };
    let offset = jiff::tz::Offset::from_seconds(seconds).ok()?;
    Some(offset.to_timestamp(time).ok()?.as_microsecond())
}

/// The raw values, and which camera.
fn extra(exif: &Exif) -> Option<String> {
    let mut extra = Map::new();
    for (name, tag) in [("gps_latitude", Tag::GPSLatitude), ("gps_longitude", Tag::GPSLongitude)] {
        if let Some(Value::Rational(parts)) = values(exif, tag) {
            let raw: Vec<String> = parts.iter().take(8).map(|part| format!("{}/{}", part.num, part.denom)).collect();
            extra.insert(name.to_owned(), raw.join(" ").into());
        }
    }
    let texts = [
        ("gps_latitude_ref", Tag::GPSLatitudeRef),
        ("gps_longitude_ref", Tag::GPSLongitudeRef),
        ("gps_map_datum", Tag::GPSMapDatum),
        ("gps_processing_method", Tag::GPSProcessingMethod),
        ("make", Tag::Make),
        ("model", Tag::Model),
        ("serial", Tag::BodySerialNumber),
        ("owner", Tag::CameraOwnerName),
        ("software", Tag::Software),
        ("image_unique_id", Tag::ImageUniqueID),
        ("original_time", Tag::DateTimeOriginal),
        ("original_offset", Tag::OffsetTimeOriginal),
        ("digitized_time", Tag::DateTimeDigitized),
        ("changed_time", Tag::DateTime),
    ];
    extra.extend(texts.into_iter().filter_map(|(name, tag)| Some((name.to_owned(), text(exif, tag)?.into()))));
    if let Some(metres) = rational(exif, Tag::GPSAltitude) {
        let below = matches!(values(exif, Tag::GPSAltitudeRef), Some(Value::Byte(reference)) if reference.first() == Some(&1));
        let metres = if below { -metres } else { metres };
        extra.insert("altitude_m".to_owned(), format!("{metres}").into());
    }
    if let Some((date, time)) = satellites(exif) {
        extra.insert("gps_time_utc".to_owned(), format!("{date} {time}").into());
    }
    (!extra.is_empty()).then(|| serde_json::Value::Object(extra).to_string())
}
