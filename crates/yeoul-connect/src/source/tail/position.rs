//! Which file it is and how far it is read, as a fact. Bytes: `docs/formats/source-position.md`.
//!
//! A name is no identity: files are renamed, cut and made again. Device and inode say which file,
//! a hash of its head whether it still holds what was read.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use yeoul_base::fields::{FieldError, FieldReader, FieldWriter};
use yeoul_base::{FactKey, FactKind};

const VERSION: u8 = 1;
/// How much of a file's start is hashed: what was read of it, at most this.
pub(super) const HEAD_BYTES_MAX: usize = 1 << 10;
/// Longer paths are cut: they are for people.
const PATH_BYTES_MAX: usize = 4 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct FileId {
    pub(super) device: u64,
    pub(super) inode: u64,
}

impl FileId {
    pub(super) fn of(meta: &Metadata) -> Self {
        Self { device: meta.dev(), inode: meta.ino() }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    /// The end of the last line that was taken.
    pub(super) offset: u64,
    /// Bytes of the head that are hashed, at most `offset`.
    pub(super) head_bytes: u64,
    pub(super) head_hash: [u8; 16],
    /// How often the file was found to hold something else.
    pub(super) generation: u64,
    pub(super) seen_ms: i64,
    /// Where it was last seen.
    pub(super) path: String,
}

impl Position {
    pub(super) fn encode(&self) -> Bytes {
        let mut out = FieldWriter::versioned(VERSION);
        out.u64(self.offset).u64(self.head_bytes).id16(&self.head_hash).u64(self.generation);
        let path = self.path.get(..self.path.floor_char_boundary(PATH_BYTES_MAX));
        out.i64(self.seen_ms).str(path.unwrap_or_default());
        out.finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, FieldError> {
        let mut input = FieldReader::versioned(bytes, VERSION)?;
        let position = Self {
            offset: input.u64("offset")?,
            head_bytes: input.u64("head_bytes")?,
            head_hash: input.id16("head_hash")?,
            generation: input.u64("generation")?,
            seen_ms: input.i64("seen_ms")?,
            path: input.str("path")?.to_owned(),
        };
        input.end()?;
        Ok(position)
    }
}

/// The first half of the SHA-256.
pub(super) fn head_hash(head: &[u8]) -> [u8; 16] {
    let digest: [u8; 32] = Sha256::digest(head).into();
    let mut hash = [0; 16];
    hash.copy_from_slice(digest.split_at(16).0);
    hash
}

/// The fact that says that the source has looked at its files once.
pub(super) fn started_key(name: &str) -> FactKey {
    FactKey::new(FactKind::SourcePosition, [name.as_bytes(), b"\0s"].concat())
}

/// What the keys of a source's files start with.
pub(super) fn prefix(name: &str) -> Vec<u8> {
    [name.as_bytes(), b"\0f"].concat()
}

pub(super) fn key(name: &str, id: FileId) -> FactKey {
    let mut key = prefix(name);
    key.extend_from_slice(&id.device.to_be_bytes());
    key.extend_from_slice(&id.inode.to_be_bytes());
    FactKey::new(FactKind::SourcePosition, key)
}

/// The file of a key that starts with the prefix.
pub(super) fn id(name: &str, key: &[u8]) -> Option<FileId> {
    let (device, inode) = key.strip_prefix(prefix(name).as_slice())?.split_first_chunk::<8>()?;
    let inode: [u8; 8] = inode.try_into().ok()?;
    Some(FileId { device: u64::from_be_bytes(*device), inode: u64::from_be_bytes(inode) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_and_keys_are_those_of_the_document() {
        let position = Position {
            offset: 300,
            head_bytes: 3,
            head_hash: head_hash(b"abc"),
            generation: 1,
            seen_ms: 5,
            path: "a.tsv".into(),
        };
        let bytes = position.encode();
        let mut want = b"\x01\xac\x02\x03".to_vec();
        want.extend_from_slice(&[
            0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae,
            0x22, 0x23,
        ]);
        want.extend_from_slice(b"\x01\x0a\x05a.tsv");
        assert_eq!(bytes, want);
        assert_eq!(Position::decode(&bytes), Ok(position));
        assert!((0..bytes.len()).all(|cut| Position::decode(&bytes[..cut]).is_err()));

        let file = FileId { device: 0x0801, inode: 42 };
        let key = key("movies", file).key;
        assert_eq!(key.as_ref(), b"movies\0f\0\0\0\0\0\0\x08\x01\0\0\0\0\0\0\0\x2a");
        assert_eq!(id("movies", &key), Some(file));
        assert_eq!(id("movie", &key), None);
        assert_eq!(id("movies", &key[..20]), None);
    }
}
