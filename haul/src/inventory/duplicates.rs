//! Devices with the same bytes: two copies of one image, one backup taken over twice.

use super::devices::Device;
use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

/// Bytes read at a time.
const BUFFER_BYTES: usize = 1 << 20;

/// Marks every device whose bytes another before it has. Only devices of equal size and count of files are read.
pub fn mark(root: &Path, devices: &mut [Device]) -> Result<()> {
    let mut alike: HashMap<(u64, u64), Vec<usize>> = HashMap::new();
    for (at, device) in devices.iter().enumerate().filter(|(_, device)| device.bytes > 0) {
        alike.entry((device.files, device.bytes)).or_default().push(at);
    }
    for group in alike.into_values().filter(|group| group.len() > 1) {
        let mut known: HashMap<[u8; 32], usize> = HashMap::new();
        for at in group {
            let Some(device) = devices.get_mut(at) else { continue };
            match digest(root, device) {
                Ok(digest) => match known.get(&digest) {
                    Some(first) => device.same_as = Some(*first),
                    None => drop(known.insert(digest, at)),
                },
                // What cannot be read is no duplicate of anything; the run will tell.
                Err(error) => device.notes.push(format!("not compared with others: {error:#}")),
            }
        }
    }
    Ok(())
}

/// SHA-256 over the digests of its files, with their paths from the device.
fn digest(root: &Path, device: &Device) -> Result<[u8; 32]> {
    let mut whole = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let root = ingest::evidence::Folder::root(root)?;
    for (path, _) in &device.content {
        let mut file = root.open_file(path.as_bytes()).with_context(|| "cannot be opened")?;
        let mut own = Sha256::new();
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                count => own.update(buffer.get(..count).unwrap_or_default()),
            }
        }
        let name = if device.folder { path.strip_prefix(&device.path).unwrap_or(path) } else { "" };
        whole.update([&(name.len() as u64).to_le_bytes()[..], name.as_bytes(), &own.finalize()].concat());
    }
    Ok(whole.finalize().into())
}
