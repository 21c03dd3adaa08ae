//! What of a row names a person: a number, an address, an app's own id of an account.
//!
//! Two rows that have one of these alike are linked, with the value as the reason; nothing else links (no names, no pictures, no guesses),
//! and no row is changed or merged for it. Inside an exhibit the links are sealed (`seal/people.rs`); across exhibits the same rule is
//! applied when bundles are read (`report/persons.rs`).

use model::recognize::{Found, find_in_text};
use model::{ObservableKind, State};

/// Apps whose ids of accounts are the same everywhere: on every device, in every file. Ids of anything else (SIM cards, calendars, the
/// system's list of accounts) are of one device alone.
const APPS: [&str; 25] = [
    "Discord",
    "Facebook",
    "Facebook Messenger",
    "Google Chat",
    "Instagram",
    "KakaoTalk",
    "Kik",
    "LINE",
    "Messenger",
    "Microsoft Teams",
    "Potato Chat",
    "Signal",
    "Skype",
    "Snapchat",
    "Tango",
    "Telegram",
    "Threema",
    "TikTok",
    "Tinder",
    "Viber",
    "WeChat",
    "WhatsApp",
    "WhatsApp Business",
    "Zalo",
    "imo",
];

/// Where a value is one of a kind.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Space {
    /// Phone numbers in E.164.
    Phone,
    /// E-mail addresses, letters' case aside (an Apple id is one).
    Email,
    /// Ids of accounts of one app.
    App(String),
}

impl Space {
    /// A word for it that no other space has.
    pub fn word(&self) -> String {
        match self {
            Space::Phone => "phone".to_owned(),
            Space::Email => "email".to_owned(),
            Space::App(app) => format!("app {app}"),
        }
    }
}

/// A value that names a person, and the column that it stands in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// Where the value is one of a kind.
    pub space: Space,
    /// The value, as it is compared.
    pub value: String,
    /// The column of the row.
    pub field: &'static str,
}

/// The columns of an account that can name a person.
pub struct Account<'a> {
    /// The app.
    pub app: &'a str,
    /// The app's own id.
    pub key: &'a str,
    /// The second id that the evidence maps to it.
    pub same_as: Option<&'a str>,
    /// Its number in E.164.
    pub phone: Option<&'a str>,
    /// The chain, of a wallet's account.
    pub chain: Option<&'a str>,
}

/// Why two rows with a value of that space are linked.
pub fn reason(space: &Space, record_field: &str) -> &'static str {
    match space {
        Space::Phone => "same_phone",
        Space::Email => "same_email",
        Space::App(_) if record_field == "same_as" => "same_as",
        Space::App(_) => "same_account",
    }
}

/// Two accounts that apps of one device hold for their user's own.
pub const SAME_DEVICE_OWNER: &str = "same_device_owner";

/// What names the person of an account. A wallet's address names no person: sightings tell where else it is.
pub fn of_account(account: &Account<'_>) -> Vec<Identity> {
    let mut found = Vec::new();
    if account.chain.is_some() {
        return found;
    }
    // The system's own list has the type before the name.
    let key = match account.app {
        "Android accounts" => account.key.split_once(':').map_or("", |(_, name)| name),
        _ => account.key,
    };
    let texts = [("account_key", Some(key)), ("same_as", account.same_as), ("phone", account.phone)];
    for (field, text) in texts.into_iter().filter_map(|(field, text)| text.map(|text| (field, text))) {
        if let Some((space, value)) = number_or_address(text) {
            found.push(Identity { space, value, field });
        } else if field != "phone"
            && let Some((space, value)) = of_key(account.app, text)
        {
            found.push(Identity { space, value, field });
        }
    }
    found
}

/// What names the person of a point of a contact.
pub fn of_contact_point(kind: &str, value: Option<&str>, raw: &str) -> Option<Identity> {
    let (text, field) = value.map_or((raw, "raw"), |value| (value, "value"));
    let (space, value) = number_or_address(text)?;
    // What looks like a number may be anything where the evidence does not call it one.
    let fits = matches!((&space, kind), (Space::Phone, "phone") | (Space::Email, "email"));
    fits.then_some(Identity { space, value, field })
}

/// What names the owner in a fact that a device tells of itself.
pub fn of_device(kind: &str, value: Option<&str>, raw: &str) -> Option<Identity> {
    let (text, field) = value.map_or((raw, "raw"), |value| (value, "value"));
    if !["account", "phone_number"].contains(&kind) {
        return None;
    }
    let (space, value) = number_or_address(text)?;
    Some(Identity { space, value, field })
}

/// An app's own id of an account, where it is the same in every file of the app.
pub fn of_key(app: &str, key: &str) -> Option<(Space, String)> {
    if !APPS.contains(&app) || key.is_empty() || is_local(key) {
        return None;
    }
    let (app, key) = match app {
        // Both apps' ids are of one network.
        "WhatsApp" | "WhatsApp Business" if key.contains('@') => ("WhatsApp", key),
        "WhatsApp" | "WhatsApp Business" => return None,
        // Exports write `user` before the number that databases have alone.
        "Telegram" => (app, key.strip_prefix("user").filter(|id| is_number(id)).unwrap_or(key)),
        _ => (app, key),
    };
    Some((Space::App(app.to_owned()), key.to_owned()))
}

/// A place in one database that stands in where an app has no id (`person:12`, `row 3`).
fn is_local(key: &str) -> bool {
    let parts = key.split_once([':', ' ']);
    parts.is_some_and(|(word, number)| word != "live" && is_number(number) && word.bytes().all(|byte| byte.is_ascii_lowercase()))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A text that is a number in E.164 or an e-mail address, and nothing else.
fn number_or_address(text: &str) -> Option<(Space, String)> {
    if let Some(digits) = text.strip_prefix('+') {
        return (is_number(digits) && (7..=15).contains(&digits.len())).then(|| (Space::Phone, text.to_owned()));
    }
    if !text.contains('@') || text.len() > 320 {
        return None;
    }
    find_in_text(text).into_iter().find_map(|find| match find.found {
        Found::Observable(observable) if observable.kind == ObservableKind::EmailAddress => {
            let whole = find.offset == 0 && find.length == text.len() as u64;
            whole.then(|| (Space::Email, text.to_ascii_lowercase()))
        }
        _ => None,
    })
}

/// Live rows before others.
pub fn state_rank(state: State) -> i64 {
    match state {
        State::Live => 0,
        State::Superseded => 1,
        State::Recovered => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(app: &str, key: &str, same_as: Option<&str>, phone: Option<&str>) -> Vec<(String, String, &'static str)> {
        let found = of_account(&Account { app, key, same_as, phone, chain: None });
        found.into_iter().map(|identity| (identity.space.word(), identity.value, identity.field)).collect()
    }

    fn triple(space: &str, value: &str, field: &'static str) -> (String, String, &'static str) {
        (space.to_owned(), value.to_owned(), field)
    }

    #[test]
    fn ids_of_apps_numbers_and_addresses_name_a_person() {
        let lid = account("WhatsApp", "1234@lid", Some("15550100@s.whatsapp.net"), Some("+15550100"));
        let jid = triple("app WhatsApp", "15550100@s.whatsapp.net", "same_as");
        assert_eq!(lid, [triple("app WhatsApp", "1234@lid", "account_key"), jid, triple("phone", "+15550100", "phone")]);
        assert_eq!(account("Telegram", "user77", None, None), account("Telegram", "77", None, None));
        assert_eq!(account("Messages", "Dara@Example.org", None, None), [triple("email", "dara@example.org", "account_key")]);
        assert_eq!(account("iOS accounts", "A1-B2", Some("d@example.org"), None), [triple("email", "d@example.org", "same_as")]);
        let google = account("Android accounts", "com.google:d@example.org", None, None);
        assert_eq!(google, [triple("email", "d@example.org", "account_key")]);
        assert_eq!(account("WeChat", "wxid_abc", None, None), [triple("app WeChat", "wxid_abc", "account_key")]);
    }

    #[test]
    fn what_is_of_one_device_or_one_file_names_nobody() {
        for (app, key) in [
            ("Android accounts", "com.whatsapp:WhatsApp"),
            ("Android telephony", "row 1"),
            ("Viber", "person:12"),
            ("LINE", "user:7"),
            ("WhatsApp", "Mom"),
            ("Unheard of", "4711"),
            ("iOS accounts", "local"),
            ("Messages", "72345"),
            ("Telegram", ""),
        ] {
            assert_eq!(account(app, key, None, None), [], "{app} {key}");
        }
        let wallet =
            Account { app: "MetaMask", key: "d@example.org", same_as: None, phone: Some("+15550100"), chain: Some("tron") };
        assert_eq!(of_account(&wallet), []);
        assert_eq!(of_contact_point("address", None, "+15550100"), None);
        assert_eq!(of_device("serial", None, "+15550100"), None);
    }
}
