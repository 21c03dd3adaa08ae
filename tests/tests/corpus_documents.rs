//! Records of real chat exports and address books against what `MANIFEST.tsv` and the peers' own tests say is in them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use model::SecretKind;
use model::record::Message;
use model::{Body, ItemStatus, Record};
use normalize::artifact::Set;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use tests::unit::Unit;

/// The corpus beside the project, where there is one.
fn corpus(path: &str) -> Option<PathBuf> {
    Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus").join(path)).filter(|path| path.exists())
}

/// What one document gave.
struct Read {
    records: Vec<Record>,
    problems: Vec<String>,
    status: ItemStatus,
}

impl Read {
    fn of(path: &Path) -> Read {
        let mut read = Read { records: Vec::new(), problems: Vec::new(), status: ItemStatus::Plain };
        for body in Unit::of(path).read(&Set::load(None).unwrap()) {
            match body {
                Body::Record(record) => read.records.push(record),
                Body::Problem(problem) => read.problems.push(format!("{}: {}", problem.code.name(), problem.detail)),
                Body::Ledger(row) => assert!(row.adds_up() && row.rejected == 0, "{row:?}"),
                Body::Item(item) => read.status = item.status,
                _ => {}
            }
        }
        read
    }

    fn count(&self, kind: &str) -> usize {
        self.records.iter().filter(|record| record.kind() == kind).count()
    }

    fn points(&self, wanted: &str) -> usize {
        let is_wanted = |record: &&Record| matches!(record, Record::ContactPoint(point) if point.kind == wanted);
        self.records.iter().filter(is_wanted).count()
    }

    fn messages(&self) -> Vec<&Message> {
        self.records
            .iter()
            .filter_map(|record| if let Record::Message(message) = record { Some(&**message) } else { None })
            .collect()
    }

    /// Messages that somebody wrote: the app's own lines left out.
    fn written(&self) -> Vec<&Message> {
        self.messages().into_iter().filter(|message| message.message_type.as_deref() != Some("system")).collect()
    }

    fn senders(&self) -> BTreeSet<&str> {
        self.written().into_iter().filter_map(|message| message.sender.as_deref()).collect()
    }
}

/// The number behind a word of a manifest row (`counted VCARD=6 TEL=9`).
fn counted(truth: &str, word: &str) -> Option<usize> {
    let (_, rest) = truth.split_once(&format!("{word}="))?;
    rest.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}

#[test]
fn vcards_have_as_many_cards_numbers_and_addresses_as_counted() {
    let Some(manifest) = corpus("MANIFEST.tsv") else { return };
    let mut files = 0;
    for row in std::fs::read_to_string(manifest).unwrap().lines().filter(|row| row.starts_with("contacts/")) {
        let columns: Vec<_> = row.split('\t').collect();
        let (path, truth) = (columns[0], columns[columns.len() - 1]);
        let Some(cards) = counted(truth, "VCARD").filter(|_| path.ends_with(".vcf")) else { continue };
        let read = Read::of(&corpus(path).unwrap());
        assert_eq!((read.status, read.count("contact")), (ItemStatus::Parsed, cards), "{path}: {:?}", read.problems);
        let told = (counted(truth, "TEL").unwrap_or(0), counted(truth, "EMAIL").unwrap_or(0));
        assert_eq!((read.points("phone"), read.points("email")), told, "{path}");
        files += 1;
    }
    assert!(files >= 15, "{files} files");
}

#[test]
fn whatsapp_texts_read_as_the_peer_reads_them() {
    let Some(target) = corpus("chat-exports/whatsapp/chatminer-target.json") else { return };
    let target: Vec<Value> = serde_json::from_slice(&std::fs::read(target).unwrap()).unwrap();
    let wanted: BTreeSet<(String, String, String)> = target
        .iter()
        .map(|entry| ["timestamp", "author", "message"].map(|key| entry[key].as_str().unwrap().to_owned()).into())
        .collect();
    for name in ["_mmddyy__24hrs", "ddmmyy_24hrs", "mmddyyyy_12hrs", "yyyymmdd_24hrs"] {
        // The peer's names have an underscore for each bracket.
        let Some(path) = corpus(&format!("chat-exports/whatsapp/chatminer-test_{name}.txt")) else { return };
        let read = Read::of(&path);
        assert_eq!(read.problems, Vec::<String>::new(), "{name}");
        let told: BTreeSet<_> = read
            .written()
            .iter()
            .map(|message| {
                let extra: Value = serde_json::from_str(message.extra.as_ref().unwrap()).unwrap();
                let time = extra["local_time"].as_str().unwrap().to_owned();
                (time, message.sender.clone().unwrap(), message.text.as_ref().unwrap().replace('\n', " "))
            })
            .collect();
        assert_eq!(told, wanted, "{name}");
        assert!(read.written().iter().all(|message| message.sent.as_ref().unwrap().utc_us.is_none()));
    }
}

#[test]
fn whatsapp_texts_have_as_many_messages_as_told() {
    let folder = "chat-exports/whatsapp";
    for (name, all) in
        [("whatstk-lorem", 500), ("whatstk-lorem-merge-part1", 300), ("whatstk-pokemon", 20), ("chat-analytics-4A_11M", 14)]
    {
        let Some(path) = corpus(&format!("{folder}/{name}.txt")) else { return };
        let read = Read::of(&path);
        assert_eq!((read.messages().len(), read.status), (all, ItemStatus::Parsed), "{name}");
    }
    let Some(path) = corpus(&format!("{folder}/chat-analytics-4A_11M.txt")) else { return };
    // 4A_11M: the file's name. Five people write; the peer counts four of them.
    assert_eq!(Read::of(&path).written().len(), 11);
}

#[test]
fn telegram_exports_have_as_many_messages_as_told() {
    let Some(path) = corpus("chat-exports/telegram/chat-analytics-DM_2A_7M.json") else { return };
    let read = Read::of(&path);
    // The peer counts the phone call, a service entry, among the seven messages.
    assert_eq!((read.messages().len(), read.written().len() + read.count("call"), read.senders().len()), (8, 7, 2));
    assert_eq!(read.count("call"), 1);
    assert_eq!((read.problems.len(), read.status), (0, ItemStatus::Parsed));
    let Some(path) = corpus("chat-exports/telegram/chatminer-test_single_export.json") else { return };
    let read = Read::of(&path);
    let target: Vec<Value> =
        serde_json::from_slice(&std::fs::read(corpus("chat-exports/telegram/chatminer-target.json").unwrap()).unwrap()).unwrap();
    // The peer joins the parts of a text with a space.
    let told: Vec<_> = read
        .messages()
        .iter()
        .map(|message| (message.sender.clone().unwrap(), message.text.clone().unwrap().replace(' ', "")))
        .collect();
    let wanted: Vec<_> = target
        .iter()
        .map(|entry| (entry["author"].as_str().unwrap().to_owned(), entry["message"].as_str().unwrap().replace(' ', "")))
        .collect();
    assert_eq!(told, wanted);
}

/// The names of the files are the peer's counts; of Instagram's the peer expects two.
#[test]
fn exports_of_discord_messenger_and_instagram_have_as_many_messages_as_told() {
    for (path, messages, senders) in [
        // A call is a message of Discord's that the peer leaves out.
        ("discord/chat-analytics-DM_2A_2M.json", 3, 2),
        // Two people wrote; what the peer takes for the other three authors is not in the file's `author` fields.
        ("discord/chat-analytics-SV_5A_5M.json", 5, 2),
        ("messenger/chat-analytics-2A_7M.json", 7, 2),
        ("instagram/chatminer-test_export.json", 2, 2),
    ] {
        let Some(file) = corpus(&format!("chat-exports/{path}")) else { return };
        let read = Read::of(&file);
        assert_eq!((read.messages().len(), read.senders().len()), (messages, senders), "{path}");
        assert_eq!((read.problems.len(), read.status), (0, ItemStatus::Parsed), "{path}");
    }
}

/// The manifest's count of a workspace: 4 users, 2 channels of 102 and 56 messages.
#[test]
fn a_workspace_of_slack_has_as_many_messages_as_counted() {
    let Some(file) = corpus("chat-exports/slack/testarchive.zip") else { return };
    let mut archive = zip::ZipArchive::new(std::fs::File::open(file).unwrap()).unwrap();
    let (mut records, mut threads) = (BTreeMap::new(), BTreeMap::new());
    for number in 0..archive.len() {
        let mut entry = archive.by_index(number).unwrap();
        let (path, mut content) = (entry.name().unwrap().into_owned(), Vec::new());
        std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
        for body in Unit::new(&path, &content).read(&Set::load(None).unwrap()) {
            let Body::Record(record) = body else { continue };
            if let Record::Message(message) = &record {
                *threads.entry(message.thread_key.clone().unwrap()).or_insert(0) += 1;
            }
            let kept = !matches!(&record, Record::Thread(thread) if thread.implied);
            let kept =
                kept && !matches!(&record, Record::Account(account) if !path.ends_with("users.json") && account.extra.is_none());
            *records.entry(record.kind()).or_insert(0) += u32::from(kept);
        }
    }
    assert_eq!(threads, BTreeMap::from([("enrique".to_owned(), 102), ("traveling-sailor".to_owned(), 56)]));
    assert_eq!((records["message"], records["thread"], records["account"]), (158, 2, 4), "{records:?}");
}

#[test]
fn documents_of_other_kinds_are_not_claimed() {
    for folder in ["chat-exports", "case-uco", "watchlists"] {
        let Some(folder) = corpus(folder) else { return };
        let mut folders = vec![folder];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                let text = path.to_string_lossy().into_owned();
                if path.is_dir() {
                    folders.push(path);
                } else if std::fs::metadata(&path).unwrap().len() < 8 << 20
                    && !["/whatsapp/", "/telegram/", "/discord/", "/messenger/", "/instagram/"]
                        .iter()
                        .any(|kind| text.contains(kind))
                {
                    let read = Read::of(&path);
                    let said = (read.count("message"), read.count("contact"));
                    assert_eq!(said, (0, 0), "{text}");
                }
            }
        }
    }
}

/// Accounts of wallets: addresses that the manifest's independent scan names are accounts, vaults are secrets, and what is encrypted as a
/// whole says which key it wants.
#[test]
fn wallets() {
    use ItemStatus::{Locked, Parsed};
    const METAMASK: &str = "0x66f9c09118b1c726bc24811a611baf60af42070a";
    let samples: [(&str, ItemStatus, Option<&str>, bool); 13] = [
        ("btcrecover/metamask.android.persist-root", Parsed, Some(METAMASK), true),
        ("btcrecover/metamask.ios.persist-root", Parsed, Some(METAMASK), true),
        ("btcrecover/metamask/nkbihfbeogaeaoehlefnkodbefgpgknn/000003.log", Parsed, Some(METAMASK), true),
        ("btcrecover/metamask_vault_v11_12_1.txt", Parsed, None, true),
        ("btcrecover/utc-keystore-v3-pbkdf2-custom.json", Parsed, None, true),
        ("btcrecover/electrum28-100kbwallet", Locked, None, false),
        ("btcrecover/electrum41-wallet", Locked, None, false),
        ("btcrecover/electrum-wallet", Parsed, Some("12zaz6pab6lhzgszfcc6g9ubswzwesespt"), true),
        ("btcrecover/electrum27-multisig-wallet", Parsed, Some("34lk5mlnttfqnmngkkivyfsrybkw5yyy65"), true),
        ("btcrecover/electrum4_4_3_unencrypted", Parsed, Some("bc1q0fhvy203qdsxeczmg3egz064jtntk8jhgarhvp"), true),
        (
            "metamask-vaults/chromium-108.0_5359.98_4.10.24.2/000003.log",
            Parsed,
            Some("0x1aece8ddbbc4cc2dcdfa47fc78750a6e9910e80a"),
            true,
        ),
        ("metamask-vaults/chrome-119.0.6045.199-macos-arm64/000006.log", Parsed, None, true),
        ("metamask-vaults/chromium-94.0.4606.81_4.17/000003.log", Parsed, None, true),
    ];
    let set = Set::load(None).unwrap();
    let mut wrong = Vec::new();
    for (sample, status, account, vault) in samples {
        let Some(path) = corpus(&format!("wallets/{sample}")) else { return };
        let (mut keys, mut vaults, mut found) = (BTreeSet::new(), 0, ItemStatus::Plain);
        for body in Unit::of(&path).read(&set) {
            match body {
                Body::Record(Record::Account(account)) => drop(keys.insert(account.account_key.to_lowercase())),
                Body::Secret(secret) if secret.kind == SecretKind::Vault => vaults += 1,
                Body::Item(item) => found = item.status,
                Body::Ledger(row) => assert!(row.adds_up(), "{row:?}"),
                _ => {}
            }
        }
        if found != status || account.is_some_and(|account| !keys.contains(account)) || (vaults > 0) != vault {
            wrong.push(format!("{sample}: {}, {vaults} vaults, accounts {keys:?}", found.name()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Wallets of Bitcoin Core and its kin: as many keys and descriptors as `db_dump` and `sqlite3` count in them, one encrypted master key, the
/// chain, and an address that the manifest's independent scan names.
#[test]
fn core_wallets() {
    let samples: [(&str, &str, &str, usize, usize, Option<&str>); 5] = [
        ("dogecoincore-1.14.2-wallet.dat", "dogecoin", "public_key", 203, 1, Some("D9tUWRmNkEadHWd5JSvcz5yW9rxHhs196m")),
        ("litecoincore-0.18.1-wallet.dat", "litecoin", "public_key", 4002, 1, None),
        ("bitcoincore-0.21.1-wallet.dat", "bitcoin", "descriptor", 6, 1, None),
        ("bitcoinj-wallet.wallet", "bitcoin", "public_key", 1, 1, None),
        ("multibit.wallet.bitcoinj.clear", "bitcoin", "public_key", 1, 0, None),
    ];
    let set = Set::load(None).unwrap();
    let mut wrong = Vec::new();
    for (sample, chain, what, wanted, vaults_wanted, address) in samples {
        let Some(path) = corpus(&format!("wallets/btcrecover/{sample}")) else { return };
        let (mut keys, mut vaults, mut found, mut named) = (0, 0, ItemStatus::Plain, address.is_none());
        for body in Unit::of(&path).read(&set) {
            match body {
                Body::Record(Record::Account(account)) => {
                    keys += usize::from(account.extra.is_some_and(|extra| extra.contains(&format!("\"{what}\":"))));
                    named |= address == Some(account.account_key.as_str());
                    if account.chain.as_deref() != Some(chain) {
                        wrong.push(format!("{sample}: chain {:?}", account.chain));
                    }
                }
                Body::Secret(secret) if secret.kind == SecretKind::Vault => vaults += 1,
                Body::Item(item) => found = item.status,
                Body::Problem(problem) => wrong.push(format!("{sample}: {}", problem.detail)),
                Body::Ledger(row) => assert!(row.adds_up(), "{row:?}"),
                _ => {}
            }
        }
        if found != ItemStatus::Parsed || keys != wanted || vaults != vaults_wanted || !named {
            wrong.push(format!("{sample}: {}, {keys} keys, {vaults} vaults, named {named}", found.name()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// MetaMask's state on an iPhone has twelve transactions (`grep -o transactionHash`): one that came, others that went.
#[test]
fn transactions_of_a_phone() {
    let Some(path) = corpus("wallets/btcrecover/metamask.ios.persist-root") else { return };
    let (mut came, mut went, mut tokens) = (0, 0, 0);
    for body in Unit::of(&path).read(&Set::load(None).unwrap()) {
        if let Body::Record(Record::Message(message)) = body {
            assert_eq!(message.message_type.as_deref(), Some("transaction"));
            assert!(message.sent.is_some_and(|sent| sent.utc_us.is_some()));
            came += u32::from(message.outgoing == Some(false));
            went += u32::from(message.outgoing == Some(true));
            tokens += u32::from(message.extra.is_some_and(|extra| extra.contains("token_to")));
        }
    }
    assert_eq!(came + went, 12, "{came} came, {went} went");
    assert!(came > 0 && tokens > 0, "{tokens} of tokens");
}
