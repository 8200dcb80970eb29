//! The checksum file of a closed log segment: CRC32C of each block of 1 MiB. Written and synced
//! before the commit log that holds the same records is used again, and pinned by its own
//! checksum in every snapshot that names the log segment. Bytes: `docs/formats/log.md`.
//!
//! It is no cache. One that is missing is made again only if the bytes there give exactly the
//! checksum the snapshot names; otherwise something rotted, and batches are judged one by one.

use std::io;

use yeoul_base::{Disk, Open};

use crate::paths::FileId;

/// Bytes one checksum covers; the last block may be shorter.
pub(crate) const BLOCK_BYTES: u64 = 1 << 20;
const MAGIC: [u8; 4] = *b"YLSM";
const VERSION: u8 = 1;
const HEAD_BYTES: usize = 40;
/// Of a log segment of 2 GiB, twice over.
pub(crate) const FILE_BYTES_MAX: u64 = 16 << 10;

/// Checksums of one file's blocks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Sums {
    pub(crate) len_bytes: u64,
    pub(crate) blocks: Vec<u32>,
}

impl Sums {
    /// The file's bytes, and their last four as a number: what a snapshot pins.
    pub(crate) fn encode(&self, id: FileId) -> (Vec<u8>, u32) {
        let mut out = Vec::with_capacity(HEAD_BYTES + self.blocks.len() * 4 + 4);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[VERSION, 0, 0, 0]);
        out.extend_from_slice(&id.part.0.to_le_bytes());
        out.extend_from_slice(&id.generation.to_le_bytes());
        out.extend_from_slice(&id.base.to_le_bytes());
        out.extend_from_slice(&self.len_bytes.to_le_bytes());
        out.extend_from_slice(&u32::try_from(BLOCK_BYTES).unwrap_or(u32::MAX).to_le_bytes());
        let count = u32::try_from(self.blocks.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&count.to_le_bytes());
        debug_assert_eq!(out.len(), HEAD_BYTES);
        self.blocks.iter().for_each(|crc| out.extend_from_slice(&crc.to_le_bytes()));
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        (out, crc)
    }

    /// Reads back what [`Sums::encode`] made for that file, if it is what was pinned.
    pub(crate) fn decode(file: &[u8], id: FileId, pinned: u32) -> Option<Self> {
        let (body, crc) = file.split_last_chunk::<4>()?;
        let (_, blocks) = body.split_at_checked(HEAD_BYTES)?;
        let len_bytes =
            body.get(24..)?.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes))?;
        let blocks = blocks.chunks_exact(4).filter_map(|crc| crc.first_chunk::<4>());
        let blocks = blocks.map(|crc| u32::from_le_bytes(*crc)).collect();
        let sums = Self { len_bytes, blocks };
        // Every other field is right when the same bytes come out again.
        let same = u32::from_le_bytes(*crc) == pinned && sums.encode(id).0 == file;
        let whole = sums.blocks.len() as u64 == sums.len_bytes.div_ceil(BLOCK_BYTES);
        (same && whole).then_some(sums)
    }

    /// Writes and syncs the file; its name is durable with its folder's next sync. Returns what
    /// is to be pinned.
    pub(crate) fn write(&self, disk: &dyn Disk, id: FileId) -> io::Result<u32> {
        let (bytes, crc) = self.encode(id);
        let file = disk.open(&id.sum(), Open::Create)?;
        file.set_len(0)?;
        file.write_all_at(&bytes, 0)?;
        file.sync_data()?;
        Ok(crc)
    }
}

/// Sums up bytes as they go by, from the file's start.
#[derive(Debug, Default)]
pub(crate) struct Summer {
    sums: Sums,
    open: u32,
}

impl Summer {
    pub(crate) fn add(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = BLOCK_BYTES - self.sums.len_bytes % BLOCK_BYTES;
            let take = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
            let (now, later) = bytes.split_at(take);
            self.open = crc32c::crc32c_append(self.open, now);
            self.sums.len_bytes += take as u64;
            if self.sums.len_bytes.is_multiple_of(BLOCK_BYTES) {
                self.sums.blocks.push(std::mem::take(&mut self.open));
            }
            bytes = later;
        }
    }

    pub(crate) fn finish(mut self) -> Sums {
        if !self.sums.len_bytes.is_multiple_of(BLOCK_BYTES) {
            self.sums.blocks.push(self.open);
        }
        self.sums
    }
}

#[cfg(test)]
mod tests {
    use yeoul_base::PartId;

    use super::*;

    const ID: FileId = FileId { part: PartId(3), base: 5, generation: 2 };

    #[test]
    fn golden_bytes_of_a_checksum_file() {
        let mut summer = Summer::default();
        summer.add(b"123456789");
        let sums = summer.finish();
        let (bytes, crc) = sums.encode(ID);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let golden = concat!(
            "594c534d",
            "01000000",
            "03000000",
            "02000000",
            "0500000000000000",
            "0900000000000000",
            "00001000",
            "01000000",
            "839206e3", // the checksum of 123456789, as everywhere
        );
        assert_eq!(hex, format!("{golden}{:08x}", crc.swap_bytes()));
        assert_eq!(Sums::decode(&bytes, ID, crc), Some(sums));
    }

    #[test]
    fn nothing_but_what_was_pinned_is_believed() {
        let mut summer = Summer::default();
        // In odd pieces over three blocks.
        let bytes: Vec<u8> = (0..2_500_000u32).map(|n| n as u8).collect();
        bytes.chunks(99_991).for_each(|piece| summer.add(piece));
        let sums = summer.finish();
        let expected: Vec<_> = bytes.chunks(BLOCK_BYTES as usize).map(crc32c::crc32c).collect();
        assert_eq!(sums.blocks, expected);

        let (file, crc) = sums.encode(ID);
        assert!(Sums::decode(&file, FileId { generation: 3, ..ID }, crc).is_none());
        assert!(Sums::decode(&file, ID, crc ^ 1).is_none());
        for cut in 0..file.len() {
            assert!(Sums::decode(&file[..cut], ID, crc).is_none(), "cut at {cut}");
        }
        for bit in 0..file.len() * 8 {
            let mut flipped = file.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Sums::decode(&flipped, ID, crc).is_none(), "bit {bit}");
        }
    }

    #[test]
    fn an_exact_number_of_blocks_has_no_empty_one_behind() {
        let mut summer = Summer::default();
        summer.add(&vec![7; BLOCK_BYTES as usize]);
        let sums = summer.finish();
        assert_eq!(sums.blocks.len(), 1);
        let (file, crc) = sums.encode(ID);
        assert_eq!(Sums::decode(&file, ID, crc), Some(sums));
    }
}
