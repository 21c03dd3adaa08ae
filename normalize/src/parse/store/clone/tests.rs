use super::*;

fn unhex(hex: &str) -> Vec<u8> {
    hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// `v8.serialize` of Node.js 20: an array with an object, numbers of all forms, a date, a map, a set, a sparse array, a wide string.
const V8: &str = "ff0f6f22086163636f756e747341016f2207616464726573732222544a52795777467339775446475a67334a627256726946624e66437567357444654322046e616d\
                  6500630c740069006c006c0020007167220877616c6c6574496422027731220a63726561746554696d654e00b08756febc78427b0424000122016e4905220175\
                  4e000000c00b5ae6412201664e000000000000f83f2201625422036e756c302203756e645f2201644400008056febc784222016d3b22016b49023a0222017327\
                  490249042c0222067370617273656103490049024904490640020322057661756c7422357b2264617461223a224141414141414141222c226976223a22424242\
                  4242424242222c2273616c74223a224343434343434343227d7b0c";

#[test]
fn what_v8_wrote() {
    let bytes = unhex(V8);
    let value = v8(&bytes).unwrap();
    assert_eq!(value["accounts"][0]["address"], "TJRyWwFs9wTFGZg3JbrVriFbNfCug5tDeC");
    assert_eq!(value["accounts"][0]["name"], "till 東");
    assert_eq!(value["accounts"][0]["createTime"], 1_700_000_000_123_u64);
    assert_eq!((&value["n"], &value["u"], &value["f"]), (&(-3).into(), &3_000_000_000_u64.into(), &1.5.into()));
    assert_eq!((value["m"]["k"].as_i64(), value["s"][1].as_i64(), value["sparse"]["2"].as_i64()), (Some(1), Some(2), Some(3)));
    assert!(value["vault"].as_str().unwrap().contains("salt"));
    // With the versions of IndexedDB and Blink before it.
    let blink = [&[0x03, 0xff, 0x14], &bytes[..]].concat();
    assert_eq!(v8(&blink), Some(value));
}

/// A structured clone: header, an object with a narrow, a wide string, numbers and an array.
fn clone() -> Vec<u8> {
    let word = |tag: u32, data: u32| (u64::from(tag) << 32 | u64::from(data)).to_le_bytes().to_vec();
    let narrow = |text: &str| {
        let mut bytes = word(0xffff_0004, 1 << 31 | text.len() as u32);
        bytes.extend_from_slice(text.as_bytes());
        bytes.resize(bytes.len().div_ceil(8) * 8, 0);
        bytes
    };
    let wide = |text: &str| {
        let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut bytes = word(0xffff_0004, units.len() as u32 / 2);
        bytes.extend(units);
        bytes.resize(bytes.len().div_ceil(8) * 8, 0);
        bytes
    };
    [
        word(0xfff1_0000, 2),
        word(0xffff_0008, 0),
        narrow("address"),
        narrow("TJRyWwFs9wTFGZg3JbrVriFbNfCug5tDeC"),
        narrow("name"),
        wide("till 東"),
        narrow("n"),
        1.5_f64.to_bits().to_le_bytes().to_vec(),
        narrow("list"),
        word(0xffff_0007, 1),
        word(0xffff_0003, 0),
        word(0xffff_0002, 1),
        word(0xffff_0013, 0),
        word(0xffff_0013, 0),
    ]
    .concat()
}

#[test]
fn what_firefox_packs() {
    let packed = snap::raw::Encoder::new().compress_vec(&clone()).unwrap();
    let value = firefox(&packed).unwrap();
    assert_eq!(value["address"], "TJRyWwFs9wTFGZg3JbrVriFbNfCug5tDeC");
    assert_eq!((&value["name"], &value["n"], &value["list"][0]), (&"till 東".into(), &1.5.into(), &true.into()));
    assert_eq!(firefox_key(b"0ebub\0").as_deref(), Some("data"));
    assert_eq!(firefox_key(b"\x10\x00"), None);
}

#[test]
fn flipped_or_cut_anywhere_they_end() {
    let bytes = unhex(V8);
    let plain = clone();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0xff;
        v8(&flipped);
        v8(&bytes[..at]);
    }
    for at in 0..plain.len() {
        let mut flipped = plain.clone();
        flipped[at] ^= 0xff;
        firefox(&snap::raw::Encoder::new().compress_vec(&flipped).unwrap());
        firefox(&snap::raw::Encoder::new().compress_vec(&plain[..at]).unwrap());
    }
    assert_eq!(v8(&[&[0xff, 15][..], &[b'o'; 10_000]].concat()), None);
}
