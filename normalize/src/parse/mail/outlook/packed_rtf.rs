//! Rich Text as Outlook packs it (MS-OXRTFCP): a window of 4096 bytes that begins with the words most texts have.

/// What the window begins with (2.1.2.1).
const WORDS: &[u8] = b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \\fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx";
/// Bytes of the window.
const WINDOW: usize = 4096;
/// Bytes of the head: packed size, size, kind, checksum.
const HEAD: usize = 16;
/// Largest text: 64 MiB.
const TEXT_MOST: usize = 64 << 20;

/// Unpacks a text; whether it is whole.
pub fn unpacked(packed: &[u8]) -> (Vec<u8>, bool) {
    let (Some(head), Some(body)) = (packed.get(..HEAD), packed.get(HEAD..)) else { return (packed.to_vec(), false) };
    let number = |at: usize| head.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes) as usize;
    let size = number(4).min(TEXT_MOST);
    match head.get(8..12) {
        Some(b"MELA") => (body.get(..size.min(body.len())).unwrap_or_default().to_vec(), body.len() >= size),
        Some(b"LZFu") => copied(body, size),
        _ => (packed.to_vec(), false),
    }
}

fn copied(body: &[u8], size: usize) -> (Vec<u8>, bool) {
    let mut window = [b' '; WINDOW];
    for (to, from) in window.iter_mut().zip(WORDS) {
        *to = *from;
    }
    let (mut at, mut out) = (WORDS.len(), Vec::new());
    let mut bytes = body.iter().copied();
    let mut put = |byte: u8, window: &mut [u8; WINDOW], out: &mut Vec<u8>| {
        if let Some(to) = window.get_mut(at) {
            *to = byte;
        }
        at = (at + 1) % WINDOW;
        out.push(byte);
        at
    };
    let mut end = WORDS.len();
    while let Some(control) = bytes.next() {
        for bit in 0..8u32 {
            if out.len() >= size && control >> bit & 1 == 0 {
                return (out, true);
            }
            let Some(first) = bytes.next() else {
                let whole = out.len() >= size;
                return (out, whole);
            };
            if control >> bit & 1 == 0 {
                end = put(first, &mut window, &mut out);
                continue;
            }
            let Some(second) = bytes.next() else { return (out, false) };
            let reference = usize::from(u16::from_be_bytes([first, second]));
            let (from, length) = (reference >> 4, (reference & 0xf) + 2);
            // The end is a reference to where the next byte goes.
            if from == end {
                let whole = out.len() >= size;
                return (out, whole);
            }
            for step in 0..length {
                let byte = window.get((from + step) % WINDOW).copied().unwrap_or(b' ');
                end = put(byte, &mut window, &mut out);
            }
            if out.len() > TEXT_MOST {
                return (out, false);
            }
        }
    }
    let whole = out.len() >= size;
    (out, whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specifications_examples() {
        // MS-OXRTFCP, 3.1.1 and 3.2.
        let simple = b"\x2d\0\0\0\x2b\0\0\0LZFu\xf1\xc5\xc7\xa7\x03\0\x0a\0rcpg125\x42\x32\x0a\xf3 hel\x09\0\x20bw\x05\xb0ld}\x0a\x80\x0f\xa0";
        assert_eq!(unpacked(simple), (b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n".to_vec(), true));
        let circle = b"\x1a\0\0\0\x1c\0\0\0LZFu\xe2\xd4\x4b\x51\x41\0\x04\x20WXYZ\x0d\x6e\x7d\x01\x0e\xb0";
        assert_eq!(unpacked(circle), (b"{\\rtf1 WXYZWXYZWXYZWXYZWXYZ}".to_vec(), true));
        assert!(!unpacked(&simple[..30]).1);
        assert_eq!(unpacked(b"short"), (b"short".to_vec(), false));
    }
}
