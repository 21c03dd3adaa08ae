//! Attributes of XML elements.

use crate::emit::Emit;
use model::Code;
use quick_xml::XmlVersion;
use quick_xml::events::BytesStart;

/// An attribute that is there and cannot be read: no quotes, an unknown entity.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Unreadable;

/// The text of an element's attribute; `None` where it has none of that name.
///
/// # Errors
/// It, or one before it, cannot be read.
pub fn attribute(element: &BytesStart<'_>, name: &str) -> Result<Option<String>, Unreadable> {
    let found = element.try_get_attribute(name).map_err(|_| Unreadable)?;
    let text = found.map(|found| found.normalized_value(XmlVersion::Implicit1_0)).transpose().map_err(|_| Unreadable)?;
    Ok(text.map(|text| text.into_owned()))
}

/// The same, where the element goes on without what cannot be read, which is told.
pub fn attribute_or_told(element: &BytesStart<'_>, name: &str, offset: u64, emit: &mut Emit<'_>) -> Option<String> {
    attribute(element, name).unwrap_or_else(|Unreadable| {
        emit.problem(Code::ValueUndecodable, format!("attribute {name} of the element at byte {offset}"));
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_not_what_is_not_there() {
        let of = |text: &str| attribute(&BytesStart::from_content(text, 1), "name");
        assert_eq!(of("s name=\"a &amp; b\""), Ok(Some("a & b".to_owned())));
        assert_eq!(of("s other=\"a\""), Ok(None));
        for damaged in ["s name=a", "s name=\"&unknown;\""] {
            assert_eq!(of(damaged), Err(Unreadable), "{damaged}");
        }
    }
}
