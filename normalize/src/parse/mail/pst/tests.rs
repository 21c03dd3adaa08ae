//! A real store of Outlook (java-libpst's `dist-list.pst`, whose contents libpff and readpst count), as it is and recoded, cut and broken.

use super::crypt::Crypt;
use super::file::{Block, Store};
use super::*;
use crate::evidence::{Scratch, problems, records};
use model::Body;
use model::record::Record;
use std::collections::BTreeMap;
use std::path::Path;

fn fixture() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/pst/dist_list/input/dist-list.pst");
    std::fs::read(path).expect("the fixture")
}

fn read(content: &[u8]) -> Vec<Body> {
    Scratch::new("outlook.pst", content).parse(&Pst)
}

/// What records say, without where they stand.
fn told(bodies: &[Body]) -> Vec<String> {
    let mut told: Vec<String> = records(bodies)
        .into_iter()
        .map(|record| {
            let mut record = record.clone();
            let provenance = match &mut record {
                Record::Message(message) => &mut message.provenance,
                Record::Contact(contact) => &mut contact.provenance,
                Record::ContactPoint(point) => &mut point.provenance,
                Record::Attachment(attachment) => &mut attachment.provenance,
                Record::Account(account) => &mut account.provenance,
                Record::Participant(participant) => &mut participant.provenance,
                Record::Thread(thread) => &mut thread.provenance,
                other => panic!("{other:?}"),
            };
            provenance.item = model::Id::default();
            serde_json::to_string(&record).expect("a record")
        })
        .collect();
    told.sort();
    told
}

/// The store with its data hidden in another way, every checksum right.
fn recoded(content: &[u8], method: u8) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.pst");
    std::fs::write(&path, content).expect("written");
    let Ok(mut store) = Store::open(std::fs::File::open(&path).expect("a file")) else { panic!("no store") };
    let mut out = content.to_vec();
    for block in store.blocks.clone().into_iter().filter(|block| block.bid & 2 == 0) {
        let Block { bid, at, size } = block;
        let mut data = store.read(block).expect("a block");
        // The cyclic way undoes itself.
        Crypt::of(method).expect("a method").uncover(&mut data, bid);
        let (at, end) = (at as usize, (at + store.layout.room(size)) as usize);
        out[at..at + data.len()].copy_from_slice(&data);
        let sum = store.sum(&data);
        out[end - 12..end - 8].copy_from_slice(&sum.to_le_bytes());
    }
    out[513] = method;
    let (partial, full) = (store.sum(&out[8..479]), store.sum(&out[8..524]));
    out[4..8].copy_from_slice(&partial.to_le_bytes());
    out[524..528].copy_from_slice(&full.to_le_bytes());
    out
}

#[test]
fn contacts_lists_and_calendars_are_read() {
    let bodies = read(&fixture());
    let records = records(&bodies);
    let contacts: Vec<_> = records
        .iter()
        .filter_map(|record| if let Record::Contact(contact) = record { contact.display_name.as_deref() } else { None })
        .collect();
    assert_eq!(contacts, ["test dist list", "contact name 1"]);
    let points: Vec<_> = records
        .iter()
        .filter_map(|record| if let Record::ContactPoint(point) = record { point.value.as_deref() } else { None })
        .collect();
    assert!(points.contains(&"contact1@rjohnson.id.au"), "{points:?}");
    let events: Vec<_> = records
        .iter()
        .filter_map(|record| if let Record::Message(message) = record { Some(message) } else { None })
        .filter(|message| message.provenance.state == State::Live)
        .map(|message| (message.subject.as_deref(), message.message_type.as_deref()))
        .collect();
    assert!(events.contains(&(Some("Test appointment"), Some("event"))), "{events:?}");
    assert_eq!(problems(&bodies), []);
}

#[test]
fn every_way_of_hiding_reads_alike() {
    let content = fixture();
    let plain = told(&read(&content));
    for method in [0, 2] {
        let bodies = read(&recoded(&content, method));
        assert_eq!((told(&bodies), problems(&bodies)), (plain.clone(), vec![]), "{method}");
    }
    let locked = read(&{
        let mut content = content;
        content[513] = 0x10;
        content
    });
    let Some(Body::Item(item)) = locked.last() else { panic!("no item") };
    assert_eq!(item.status, model::ItemStatus::Locked);
}

#[test]
fn a_page_that_is_gone_costs_what_only_it_held() {
    let content = fixture();
    let whole = told(&read(&content)).len();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.pst");
    std::fs::write(&path, &content).expect("written");
    let Ok(store) = Store::open(std::fs::File::open(&path).expect("a file")) else { panic!("no store") };
    for page in &store.pages {
        let mut broken = content.clone();
        broken[*page as usize..][..400].fill(0xee);
        let bodies = read(&broken);
        assert!(!problems(&bodies).is_empty(), "page {page}");
        let Some(Body::Item(item)) = bodies.last() else { panic!("no item") };
        assert_eq!(item.status, model::ItemStatus::Partial, "page {page}");
    }
    // The root of the tree of blocks: its leaves are found again by what they are.
    let root = u64::from_le_bytes(content[240..248].try_into().expect("eight bytes")) as usize;
    let mut broken = content;
    broken[root..root + 512].fill(0);
    let bodies = read(&broken);
    assert!(told(&bodies).len() * 2 > whole, "{} of {whole}", told(&bodies).len());
}

#[test]
fn flipped_and_cut_stores_end() {
    let content = fixture();
    let mut state = 5u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    for round in 0..200 {
        let mut content = content.clone();
        for _ in 0..=round {
            // What is in use begins behind the maps.
            let at = random() % content.len();
            content[at] = random() as u8;
        }
        if round % 4 == 0 {
            content.truncate(random() % content.len());
            content[..4].copy_from_slice(b"!BDN");
        }
        Scratch::new("a.pst", &content).run(|input, emit| Pst.parse(input, emit));
    }
}

/// Folders, subjects and attachments of a store in the corpus are those that libpff exports.
#[test]
fn a_store_of_mails_is_read_as_libpff_reads_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus/mail/pst/Outlook-velociraptor.pst");
    if !path.exists() {
        return;
    }
    let bodies = Scratch::of(&path).parse(&Pst);
    let (mut inbox, mut sent, mut attachments, mut kinds) = (Vec::new(), Vec::new(), 0, BTreeMap::new());
    for record in records(&bodies) {
        match record {
            Record::Message(message) if message.provenance.state == State::Live => {
                let extra: serde_json::Value = serde_json::from_str(message.extra.as_deref().unwrap_or("{}")).expect("JSON");
                let folder = extra["folder"].as_str().unwrap_or_default().to_owned();
                let list = if folder.ends_with("Inbox") { &mut inbox } else { &mut sent };
                match folder.rsplit('/').next() {
                    Some("Inbox" | "Sent Items") => list.push(message.subject.clone().unwrap_or_default()),
                    other => *kinds.entry(other.unwrap_or_default().to_owned()).or_insert(0) += 1,
                }
            }
            Record::Attachment(attachment) if attachment.provenance.state == State::Live => attachments += 1,
            _ => {}
        }
    }
    for list in [&mut inbox, &mut sent] {
        list.sort();
    }
    assert_eq!(
        inbox,
        [
            "HTML body",
            "Microsoft Office Outlook Test Message",
            "Microsoft Outlook Test Message",
            "Multiple attachments",
            "check sent date of this message",
            "message 1",
            "message 1",
            "message 2",
            "message 2",
            "this message contains embedded MSG",
        ]
    );
    assert_eq!(
        sent,
        [
            "HTML body",
            "Multiple attachments",
            "check sent date of this message",
            "message 1",
            "message 1",
            "message 2",
            "message 2",
            "this message contains embedded MSG",
        ]
    );
    assert_eq!(attachments, 34, "{kinds:?}");
    assert_eq!(problems(&bodies), []);
}
