//! The stage on S3, against a real S3 service on loopback.

use model::{Digest, Id};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use stream::stage::Stage;

/// A service that ends when this is dropped.
struct Service {
    process: Child,
    address: String,
}

impl Service {
    fn start() -> Service {
        let script = tests::root().join("scripts/s3-test-server");
        let mut process = Command::new(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut address).unwrap();
        assert!(address.starts_with("http://127.0.0.1:"), "the S3 service did not start: {address:?}");
        Service { process, address: address.trim().to_owned() }
    }

    fn options(&self) -> BTreeMap<String, String> {
        let options = [
            ("aws_endpoint", self.address.as_str()),
            ("aws_allow_http", "true"),
            ("aws_region", "us-east-1"),
            ("aws_access_key_id", "test"),
            ("aws_secret_access_key", "test"),
        ];
        options.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    fn make_bucket(&self, name: &str) {
        let target = format!("{}/{name}", self.address);
        let made = Command::new("python3")
            .args(["-c", "import sys, urllib.request as u; u.urlopen(u.Request(sys.argv[1], method='PUT'))", &target])
            .status()
            .unwrap();
        assert!(made.success());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ended = self.process.wait();
    }
}

#[test]
fn content_goes_to_a_bucket_and_comes_back() {
    let service = Service::start();
    service.make_bucket("raid");
    let stage = Stage::open("s3://raid/case 7", &service.options()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");

    // More than one part, exactly none, and one that is put at once.
    let large: Vec<u8> = (0..12_000_001u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for content in [large.as_slice(), b"", b"small"] {
        let digest = Digest::of(content);
        assert!(!stage.contains(digest).unwrap());
        assert!(stage.fetch(digest, &copy).is_err());
        // Staged again, as after a crash, it is there once.
        for number in 0..2u8 {
            let mut upload = stage.upload(Id([number; 16])).unwrap();
            content.chunks(1 << 20).for_each(|chunk| upload.write(chunk).unwrap());
            upload.finish(digest).unwrap();
        }
        assert_eq!(stage.fetch(digest, &copy).unwrap(), content.len() as u64);
        assert!(std::fs::read(&copy).unwrap() == content);
    }
    let digest = Digest::of(b"put");
    stage.put(digest, b"put").unwrap();
    assert!(stage.contains(digest).unwrap());

    let mut upload = stage.upload(Id([9; 16])).unwrap();
    upload.write(b"given up").unwrap();
    upload.abandon().unwrap();
    assert!(!stage.contains(Digest::of(b"given up")).unwrap());
}

#[test]
fn a_stage_out_of_reach_is_an_error() {
    let service = Service::start();
    let stage = Stage::open("s3://nowhere", &service.options()).unwrap();
    assert!(stage.put(Digest::of(b"x"), b"x").unwrap_err().to_string().contains("nowhere"));
    assert!(Stage::open("gopher://host/x", &BTreeMap::new()).is_err());
}
