//! Makes archives byte by byte, so that they can lie.

use std::io::Write;

/// Deflates.
pub fn deflate(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

pub fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

pub fn crc32(content: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(content);
    crc.sum()
}

/// Where the sizes of a member stand.
#[derive(Clone, Copy, PartialEq)]
pub enum Sizes {
    /// In the local header.
    Local,
    /// Behind the data, with or without a signature.
    Behind { signature: bool },
}

/// One member of a zip; what the two headers say can differ.
#[derive(Clone)]
pub struct Member {
    pub name: Vec<u8>,
    pub local_name: Vec<u8>,
    pub method: u16,
    pub local_method: u16,
    pub data: Vec<u8>,
    pub size: u32,
    pub local_size: u32,
    pub packed: u32,
    pub crc: u32,
    pub mode: u16,
    pub extra: Vec<u8>,
    pub sizes: Sizes,
}

impl Member {
    fn new(name: &[u8], content: &[u8], method: u16, data: Vec<u8>) -> Member {
        Member {
            name: name.to_vec(),
            local_name: name.to_vec(),
            method,
            local_method: method,
            size: content.len() as u32,
            local_size: content.len() as u32,
            packed: data.len() as u32,
            data,
            crc: crc32(content),
            mode: 0,
            extra: Vec::new(),
            sizes: Sizes::Local,
        }
    }

    pub fn stored(name: impl AsRef<[u8]>, content: &[u8]) -> Member {
        Member::new(name.as_ref(), content, 0, content.to_vec())
    }

    pub fn deflated(name: impl AsRef<[u8]>, content: &[u8]) -> Member {
        Member::new(name.as_ref(), content, 8, deflate(content))
    }

    /// Packed by a method that the caller did himself.
    pub fn packed(name: impl AsRef<[u8]>, content: &[u8], method: u16, data: Vec<u8>) -> Member {
        Member::new(name.as_ref(), content, method, data)
    }

    fn flags(&self) -> u16 {
        if self.sizes == Sizes::Local { 0 } else { 8 }
    }
}

/// A zip in the making.
#[derive(Default, Clone)]
pub struct Zip {
    pub bytes: Vec<u8>,
    central: Vec<u8>,
    count: u64,
}

impl Zip {
    /// Writes a member; where its local header lies.
    pub fn add(&mut self, member: &Member) -> u32 {
        let at = self.bytes.len() as u32;
        let behind = member.sizes != Sizes::Local;
        let sizes = if behind { [0; 3] } else { [member.crc, member.packed, member.local_size] };
        self.bytes.extend(b"PK\x03\x04\x14\0");
        [member.flags(), member.local_method, 0x6000, 0x5a21].iter().for_each(|field| self.bytes.extend(field.to_le_bytes()));
        sizes.iter().for_each(|field| self.bytes.extend(field.to_le_bytes()));
        self.bytes.extend((member.local_name.len() as u16).to_le_bytes());
        self.bytes.extend(0u16.to_le_bytes());
        self.bytes.extend(&member.local_name);
        self.bytes.extend(&member.data);
        if let Sizes::Behind { signature } = member.sizes {
            if signature {
                self.bytes.extend(b"PK\x07\x08");
            }
            [member.crc, member.packed, member.size].iter().for_each(|field| self.bytes.extend(field.to_le_bytes()));
        }
        self.point(member, at);
        at
    }

    /// Only the directory's header, for a local one that lies somewhere.
    pub fn point(&mut self, member: &Member, at: u32) {
        let central = &mut self.central;
        central.extend(b"PK\x01\x02\x14\x03\x14\0");
        [member.flags(), member.method, 0x6000, 0x5a21].iter().for_each(|field| central.extend(field.to_le_bytes()));
        [member.crc, member.packed, member.size].iter().for_each(|field| central.extend(field.to_le_bytes()));
        let lengths = [member.name.len() as u16, member.extra.len() as u16, 0, 0, 0];
        lengths.iter().for_each(|field| central.extend(field.to_le_bytes()));
        central.extend((u32::from(member.mode) << 16).to_le_bytes());
        central.extend(at.to_le_bytes());
        central.extend(&member.name);
        central.extend(&member.extra);
        self.count += 1;
    }

    /// The archive, with a comment.
    pub fn end(&self, told: u16, comment: &[u8]) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        let start = bytes.len() as u32;
        bytes.extend(&self.central);
        bytes.extend(b"PK\x05\x06\0\0\0\0");
        [told, told].iter().for_each(|field| bytes.extend(field.to_le_bytes()));
        [self.central.len() as u32, start].iter().for_each(|field| bytes.extend(field.to_le_bytes()));
        bytes.extend((comment.len() as u16).to_le_bytes());
        bytes.extend(comment);
        bytes
    }
}

/// A zip of these members.
pub fn zip(members: &[Member]) -> Vec<u8> {
    let mut zip = Zip::default();
    for member in members {
        zip.add(member);
    }
    zip.end(members.len() as u16, b"")
}

/// A tar header in the form of ustar.
#[derive(Clone)]
pub struct Header(pub [u8; 512]);

impl Header {
    pub fn new(name: &[u8], kind: u8, size: u64) -> Header {
        let mut header = Header([0; 512]);
        header.put(0, &name[..name.len().min(100)]);
        header.put(100, b"0000644\0");
        header.put(108, b"0000001\0");
        header.put(116, b"0000002\0");
        header.put(124, format!("{size:011o}\0").as_bytes());
        header.put(136, b"14371573100\0");
        header.0[156] = kind;
        header.put(257, b"ustar\x0000");
        header
    }

    pub fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    pub fn link(mut self, target: &[u8]) -> Header {
        self.put(157, target);
        self
    }

    /// With its checksum.
    pub fn sealed(mut self) -> [u8; 512] {
        self.put(148, b"        ");
        let sum: u32 = self.0.iter().map(|byte| u32::from(*byte)).sum();
        self.put(148, format!("{sum:06o}\0 ").as_bytes());
        self.0
    }
}

/// A tar in the making.
#[derive(Default, Clone)]
pub struct Tar(pub Vec<u8>);

impl Tar {
    pub fn file(self, name: impl AsRef<[u8]>, content: &[u8]) -> Tar {
        self.entry(Header::new(name.as_ref(), b'0', content.len() as u64), content)
    }

    /// A header and what follows it, padded.
    pub fn entry(mut self, header: Header, content: &[u8]) -> Tar {
        self.0.extend(header.sealed());
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// An extended header of these lines before the next entry.
    pub fn pax(self, lines: &[(&str, &[u8])]) -> Tar {
        let mut content = Vec::new();
        for (key, value) in lines {
            let rest = key.len() + value.len() + 3;
            let digits = (1..9).find(|digits| (rest + digits).to_string().len() == *digits).unwrap();
            content.extend(format!("{} {key}=", rest + digits).bytes());
            content.extend(*value);
            content.push(b'\n');
        }
        self.entry(Header::new(b"PaxHeaders/x", b'x', content.len() as u64), &content)
    }

    /// With the two empty blocks at its end.
    pub fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}
