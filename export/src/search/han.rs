//! Chinese as one script: a traditional character is searched as its simplified one.
//!
//! Whoever looks for 钱包 does not know whether a phone's owner comes from Taiwan, Hong Kong or the mainland. Only single characters are
//! mapped: where one simplified character stands for several traditional ones (发 for 發 and 髮) their words are one, too, which finds
//! more, never less. Source: `han.txt`.

use std::sync::LazyLock;

const PAIRS: &str = include_str!("han.txt");

/// The ideographs that the table knows: CJK extension A and the unified ideographs of the basic plane.
const FIRST: u32 = 0x3400;
const AFTER: u32 = 0xa000;

/// By ideograph what it is searched as; 0 where that is itself.
static SEARCHED_AS: LazyLock<Box<[u16]>> = LazyLock::new(|| {
    let mut table = vec![0; (AFTER - FIRST) as usize].into_boxed_slice();
    for pair in PAIRS.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace) {
        let mut characters = pair.chars().map(u32::from);
        let (Some(written), Some(searched)) = (characters.next(), characters.next()) else { continue };
        if let (Some(place), Ok(searched)) =
            (written.checked_sub(FIRST).and_then(|at| table.get_mut(at as usize)), u16::try_from(searched))
        {
            *place = searched;
        }
    }
    table
});

/// What an ideograph is searched as; every other character is itself.
pub fn simplified(character: char) -> char {
    if !(FIRST..AFTER).contains(&u32::from(character)) {
        return character;
    }
    let searched = SEARCHED_AS[(u32::from(character) - FIRST) as usize];
    match char::from_u32(searched.into()).unwrap_or('\0') {
        '\0' => character,
        searched => searched,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_is_read_and_none_leads_on() {
        let pairs: Vec<&str> = PAIRS.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace).collect();
        assert!(pairs.len() > 2_700, "{}", pairs.len());
        for pair in pairs {
            let characters: Vec<char> = pair.chars().collect();
            let [written, searched] = characters[..] else { panic!("{pair}") };
            assert_eq!(simplified(written), searched, "{pair}");
            assert_eq!(
                simplified(searched),
                searched,
                "{pair}: what is searched must be a fixed point, or a word and its text differ"
            );
        }
    }
}
