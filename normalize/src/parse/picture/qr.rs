//! QR codes in pictures.
//!
//! A picture is unpacked to grey only, and only if its header's size is within the bound. What looks for codes costs more than
//! unpacking: it runs only where rows cross the pattern of a code's corners.

use image::{ImageFormat, ImageReader, Limits};
use std::io::Cursor;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

/// Rows between those that are looked at for corners.
const ROW_STEP: usize = 3;
/// Difference of the lightest and darkest pixel of a row that can cross a corner.
const CONTRAST_LEAST: u8 = 48;
/// Narrowest corner, pixels: seven modules of two.
const WIDTH_LEAST: u32 = 14;
/// A picture with more places that look like corners is a texture: looking for codes among them would take time without bound.
const CORNERS_MOST: usize = 96;
/// Codes of one picture.
const CODES_MOST: usize = 64;

/// Why a picture was not searched.
#[derive(Debug, PartialEq, Eq)]
pub enum Unsearched {
    /// It has so many pixels.
    Large(u64),
    /// It is of no format that is unpacked.
    Format,
    /// Too much of it looks like a code.
    Noisy,
    /// It cannot be unpacked.
    Damaged,
}

/// A grey picture.
struct Grey {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

/// What the codes of a picture say, from its top.
pub fn codes(bytes: &[u8], pixels_most: u64) -> Result<Vec<Vec<u8>>, Unsearched> {
    let grey = unpacked(bytes, pixels_most)?;
    let mut found: Vec<Vec<u8>> = Vec::new();
    for turn in [Turn::Plain, Turn::Inverted] {
        let corners = grey.corners(turn);
        if corners < 3 {
            continue;
        }
        if corners > CORNERS_MOST {
            return Err(Unsearched::Noisy);
        }
        for step in [1, 2] {
            for code in grey.read(turn, step) {
                if found.len() < CODES_MOST && !found.contains(&code) {
                    found.push(code);
                }
            }
            if !found.is_empty() {
                break;
            }
        }
    }
    Ok(found)
}

/// A place that looks like a corner.
struct Corner {
    x: usize,
    y: usize,
}

/// Whether codes are dark on light.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Plain,
    Inverted,
}

fn unpacked(bytes: &[u8], pixels_most: u64) -> Result<Grey, Unsearched> {
    let fits = |width: usize, height: usize| {
        let pixels = (width as u64).saturating_mul(height as u64);
        if pixels > pixels_most { Err(Unsearched::Large(pixels)) } else { Ok(()) }
    };
    if bytes.starts_with(&[0xff, 0xd8, 0xff]) {
        let options =
            DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::Luma).set_max_width(1 << 16).set_max_height(1 << 16);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
        decoder.decode_headers().map_err(|_| Unsearched::Damaged)?;
        let (width, height) = decoder.dimensions().ok_or(Unsearched::Damaged)?;
        fits(width, height)?;
        let pixels = decoder.decode().map_err(|_| Unsearched::Damaged)?;
        return Grey::new(width, height, pixels);
    }
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|_| Unsearched::Damaged)?;
    if !matches!(reader.format(), Some(ImageFormat::Png | ImageFormat::Gif | ImageFormat::WebP | ImageFormat::Bmp)) {
        return Err(Unsearched::Format);
    }
    let (width, height) = {
        let probe = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|_| Unsearched::Damaged)?;
        probe.into_dimensions().map_err(|_| Unsearched::Damaged)?
    };
    fits(width as usize, height as usize)?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(pixels_most.saturating_mul(16));
    reader.limits(limits);
    let grey = reader.decode().map_err(|_| Unsearched::Damaged)?.into_luma8();
    Grey::new(grey.width() as usize, grey.height() as usize, grey.into_raw())
}

impl Grey {
    fn new(width: usize, height: usize, pixels: Vec<u8>) -> Result<Grey, Unsearched> {
        let whole = width > 0 && height > 0 && width.checked_mul(height).is_some_and(|count| count <= pixels.len());
        if whole { Ok(Grey { width, height, pixels }) } else { Err(Unsearched::Damaged) }
    }

    /// Places that look like the corners of codes: dark, light, three times dark, light, dark (ISO/IEC 18004, 6.3.3) across and down.
    fn corners(&self, turn: Turn) -> usize {
        let mut corners: Vec<Corner> = Vec::new();
        for (y, row) in self.pixels.chunks_exact(self.width).enumerate().step_by(ROW_STEP) {
            let (low, high) = row.iter().fold((u8::MAX, 0), |(low, high), pixel| (low.min(*pixel), high.max(*pixel)));
            if high - low >= CONTRAST_LEAST {
                crossings(row, turn, &mut |x, width, threshold| {
                    let known = |corner: &Corner| corner.x.abs_diff(x) < width && corner.y.abs_diff(y) < width;
                    if corners.len() <= CORNERS_MOST
                        && self.crosses_down(x, y, width, threshold, turn)
                        && !corners.iter().any(known)
                    {
                        corners.push(Corner { x, y });
                    }
                });
            }
        }
        corners.len()
    }

    /// Whether the column crosses a corner of about that width there, too.
    fn crosses_down(&self, x: usize, y: usize, width: usize, threshold: u32, turn: Turn) -> bool {
        let dark = |y: usize| {
            let pixel = self.pixels.get(y * self.width + x).copied().unwrap_or(255);
            (u32::from(pixel) < threshold) == (turn == Turn::Plain)
        };
        let run = |from: usize, wanted: bool, step: &dyn Fn(usize) -> Option<usize>| {
            let (mut at, mut length) = (from, 0u32);
            while let Some(next) =
                step(at).filter(|next| *next < self.height && dark(*next) == wanted && length as usize <= width)
            {
                (at, length) = (next, length + 1);
            }
            (at, length)
        };
        let (up, down) = (|y: usize| y.checked_sub(1), |y: usize| y.checked_add(1));
        let (top, above) = run(y, true, &up);
        let (top, light_above) = run(top, false, &up);
        let (_, first) = run(top, true, &up);
        let (bottom, below) = run(y, true, &down);
        let (bottom, light_below) = run(bottom, false, &down);
        let (_, last) = run(bottom, true, &down);
        let runs = [first, light_above, above + below + 1, light_below, last];
        let all = runs.iter().sum::<u32>() as usize;
        is_corner(&runs) && all * 2 >= width && all <= width * 2
    }

    fn read(&self, turn: Turn, step: usize) -> Vec<Vec<u8>> {
        let (width, height) = (self.width / step, self.height / step);
        let pixel = |x: usize, y: usize| {
            let mut sum = 0u32;
            for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)].into_iter().take(if step == 1 { 1 } else { 4 }) {
                sum += u32::from(self.pixels.get((y * step + dy) * self.width + x * step + dx).copied().unwrap_or(255));
            }
            let grey = u8::try_from(if step == 1 { sum } else { sum / 4 }).unwrap_or(255);
            if turn == Turn::Inverted { 255 - grey } else { grey }
        };
        let mut prepared = rqrr::PreparedImage::prepare_from_greyscale(width, height, pixel);
        prepared
            .detect_grids()
            .iter()
            .filter_map(|grid| {
                let mut bytes = Vec::new();
                grid.decode_to(&mut bytes).is_ok().then_some(bytes)
            })
            .collect()
    }
}

/// Gives the middle and width of every place where a row crosses the pattern, and what parts dark from light there.
fn crossings(row: &[u8], turn: Turn, each: &mut dyn FnMut(usize, usize, u32)) {
    // The mean of what came before adapts to shadows (Wellner's threshold, as readers of codes use it).
    let window = u32::try_from(row.len() / 8).unwrap_or(u32::MAX).clamp(8, 1 << 12);
    let mut mean = u32::from(row.first().copied().unwrap_or(0)) * window;
    let mut runs = [0u32; 5];
    let mut dark = false;
    for (x, pixel) in row.iter().enumerate() {
        let grey = u32::from(*pixel);
        mean = mean - mean / window + grey;
        let threshold = if turn == Turn::Plain { mean / window * 9 / 10 } else { mean / window * 10 / 9 };
        let is_dark = (grey < threshold) == (turn == Turn::Plain);
        if is_dark == dark {
            runs[4] += 1;
            continue;
        }
        if dark && is_corner(&runs) {
            let width: u32 = runs.iter().sum();
            each(x.saturating_sub((runs[4] + runs[3] + runs[2] / 2) as usize), width as usize, threshold);
        }
        runs.rotate_left(1);
        runs[4] = 1;
        dark = is_dark;
    }
}

/// Runs of one, one, three, one and one, within what a turned or blurred corner shows.
fn is_corner(runs: &[u32; 5]) -> bool {
    let [a, b, c, d, e] = *runs;
    let all = a + b + c + d + e;
    if all < WIDTH_LEAST {
        return false;
    }
    let near = |run: u32, parts: u32| {
        let (run, wanted) = (run * 14, all * parts * 2);
        run * 10 >= wanted * 4 && run * 10 <= wanted * 17
    };
    near(a, 1) && near(b, 1) && near(c, 3) && near(d, 1) && near(e, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_picture_is_not_searched() {
        assert_eq!(codes(b"", 1 << 20), Err(Unsearched::Format));
        assert_eq!(codes(b"\xff\xd8\xff\xe0", 1 << 20), Err(Unsearched::Damaged));
        // A head that promises 65,535 squared pixels.
        let head = b"\xff\xd8\xff\xc0\0\x0b\x08\xff\xff\xff\xff\x01\x01\x11\0\xff\xda\0\x08\x01\x01\0\0\x3f\0";
        assert!(matches!(codes(head, 1 << 20), Err(Unsearched::Large(_) | Unsearched::Damaged)));
    }

    #[test]
    fn textures_end_the_search() {
        let pixels = (0..1000 * 1000).map(|at| if at % 1000 / 4 % 7 == 0 || at / 1000 / 4 % 7 == 0 { 0 } else { 255 }).collect();
        let grey = Grey::new(1000, 1000, pixels).expect("a picture");
        assert!(grey.corners(Turn::Plain) <= CORNERS_MOST + 1);
    }
}
