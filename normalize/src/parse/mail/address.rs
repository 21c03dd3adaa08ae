//! Who sent a message and whom it was for.

use mail_parser::{Addr, Address, Header, HeaderName, HeaderValue, Message};

/// The roles of people and the headers that give them (RFC 5322, 3.6.2 and 3.6.3).
const ROLES: &[(&str, HeaderName<'static>)] = &[
    ("from", HeaderName::From),
    ("sender", HeaderName::Sender),
    ("reply_to", HeaderName::ReplyTo),
    ("to", HeaderName::To),
    ("cc", HeaderName::Cc),
    ("bcc", HeaderName::Bcc),
];

/// A person that a header names.
#[derive(Clone, PartialEq, Debug)]
pub struct Person {
    /// `from`, `to`, `cc`, …
    pub role: &'static str,
    /// Which of that role in the message, from 0.
    pub number: usize,
    /// The address, its domain in lower case; where there is none, what stands in its place.
    pub key: String,
    /// The name beside the address.
    pub name: Option<String>,
    /// First byte of the header in the message, and its bytes.
    pub place: (u32, u32),
}

/// Everybody that the headers of a message name, in the order of roles and headers.
pub fn people(message: &Message<'_>) -> Vec<Person> {
    let headers = message.parts.first().map(|part| part.headers.as_slice()).unwrap_or_default();
    let mut people = Vec::new();
    for (role, wanted) in ROLES {
        let mut number = 0;
        for header in headers.iter().filter(|header| header.name == *wanted) {
            for address in addresses(&header.value) {
                people.extend(person(role, number, address, header));
                number += 1;
            }
        }
    }
    people
}

fn addresses<'h>(value: &'h HeaderValue<'_>) -> Vec<&'h Addr<'h>> {
    match value {
        HeaderValue::Address(Address::List(list)) => list.iter().collect(),
        HeaderValue::Address(Address::Group(groups)) => groups.iter().flat_map(|group| &group.addresses).collect(),
        _ => Vec::new(),
    }
}

fn person(role: &'static str, number: usize, address: &Addr<'_>, header: &Header<'_>) -> Option<Person> {
    let text = |text: &Option<std::borrow::Cow<'_, str>>| {
        text.as_ref().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    let (name, written) = (text(&address.name), text(&address.address));
    let key = match &written {
        Some(address) => address
            .rsplit_once('@')
            .map_or_else(|| address.clone(), |(local, domain)| format!("{local}@{}", domain.to_lowercase())),
        None => name.clone()?,
    };
    let place = (header.offset_field, header.offset_end.saturating_sub(header.offset_field));
    Some(Person { role, number, key, name: name.filter(|_| written.is_some()), place })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail_parser::MessageParser;

    #[test]
    fn people_of_every_header() {
        let raw = b"To: Team: a@EXAMPLE.org, \"B, C\" <b@example.org>;\r\nFrom: root\r\nCc: x@y.z\r\nCc: =?utf-8?q?J=C3=B6rg?= <j@y.z>\r\n\r\n";
        let message = MessageParser::default().parse(raw.as_slice()).expect("a message");
        let seen: Vec<_> =
            people(&message).into_iter().map(|person| (person.role, person.number, person.key, person.name)).collect();
        let name = |name: &str| Some(name.to_owned());
        assert_eq!(
            seen,
            [
                ("from", 0, "root".to_owned(), None),
                ("to", 0, "a@example.org".to_owned(), None),
                ("to", 1, "b@example.org".to_owned(), name("B, C")),
                ("cc", 0, "x@y.z".to_owned(), None),
                ("cc", 1, "j@y.z".to_owned(), name("J\u{f6}rg")),
            ]
        );
    }
}
