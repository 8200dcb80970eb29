//! Groups: what the commit log writes and syncs at once. A group starts on a 4 KiB boundary of a
//! slot with a header of its own checksum; the frames of several commits follow it.
//!
//! The header says which incarnation wrote it, where it lies, which group came before it and up
//! to which sequence all was synced when it was written. That is what lets recovery tell old
//! bytes of a reused slot from new ones, and a torn tail from damage. Bytes: `docs/formats/log.md`.

use crate::frame::Seal;

/// Groups start at multiples of this.
pub(crate) const ALIGN: u64 = 4096;
pub(crate) const HEADER_BYTES: usize = 64;
const MAGIC: [u8; 4] = *b"YLWG";
const VERSION: u8 = 2;
const CRC_AT: usize = 60;

/// The header of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupHeader {
    /// Counts the starts of this data directory.
    pub(crate) incarnation: u64,
    /// Sequence of the first frame.
    pub(crate) first_sequence: u64,
    /// Every frame up to this sequence was synced before this group was written.
    pub(crate) synced_upto: u64,
    pub(crate) frame_count: u32,
    /// Bytes of all frames, without this header and the padding behind.
    pub(crate) body_bytes: u32,
    /// The slot it was written to, and where: a copy elsewhere is not this group.
    pub(crate) slot: u64,
    pub(crate) position: u64,
    /// Size of the slot in units of [`ALIGN`]: a shorter file has lost groups.
    pub(crate) slot_blocks: u32,
    /// Checksum of the header of the group before, across slots and incarnations.
    pub(crate) previous: u32,
    /// Checksum of this header; computed by `encode`.
    pub(crate) crc: u32,
}

impl GroupHeader {
    /// The bytes, and the checksum among them. `salt` is this data directory's own random number:
    /// without it a producer's batch cannot hold bytes that read as a header.
    pub(crate) fn encode(&self, salt: u64) -> ([u8; HEADER_BYTES], u32) {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(&MAGIC);
        let [low, middle, high, _] = self.slot_blocks.to_le_bytes();
        out.extend_from_slice(&[VERSION, low, middle, high]);
        out.extend_from_slice(&self.incarnation.to_le_bytes());
        out.extend_from_slice(&self.first_sequence.to_le_bytes());
        out.extend_from_slice(&self.synced_upto.to_le_bytes());
        out.extend_from_slice(&self.frame_count.to_le_bytes());
        out.extend_from_slice(&self.body_bytes.to_le_bytes());
        out.extend_from_slice(&self.slot.to_le_bytes());
        out.extend_from_slice(&self.position.to_le_bytes());
        out.extend_from_slice(&self.previous.to_le_bytes());
        let crc = salted(salt, &out);
        out.extend_from_slice(&crc.to_le_bytes());
        let mut bytes = [0; HEADER_BYTES];
        bytes.copy_from_slice(&out);
        (bytes, crc)
    }

    /// `None`: no header of ours was written whole here.
    pub(crate) fn parse(bytes: &[u8], salt: u64) -> Option<Self> {
        let head = bytes.first_chunk::<HEADER_BYTES>()?;
        let crc = u32_at(head, CRC_AT)?;
        if !head.starts_with(&MAGIC)
            || head.get(4) != Some(&VERSION)
            || salted(salt, head.get(..CRC_AT)?) != crc
        {
            return None;
        }
        Some(Self {
            incarnation: u64_at(head, 8)?,
            first_sequence: u64_at(head, 16)?,
            synced_upto: u64_at(head, 24)?,
            frame_count: u32_at(head, 32)?,
            body_bytes: u32_at(head, 36)?,
            slot: u64_at(head, 40)?,
            position: u64_at(head, 48)?,
            // The version stands before it in the same four bytes.
            slot_blocks: u32_at(head, 4)? >> 8,
            previous: u32_at(head, 56)?,
            crc,
        })
    }

    /// Makes the checksum of a header's bytes good, whatever they say.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn reseal(bytes: &mut [u8], salt: u64) {
        let Some(head) = bytes.first_chunk_mut::<HEADER_BYTES>() else { return };
        let (fields, crc) = head.split_at_mut(CRC_AT);
        crc.copy_from_slice(&salted(salt, fields).to_le_bytes());
    }

    /// Sequence after the last frame.
    pub(crate) fn end_sequence(&self) -> u64 {
        self.first_sequence.saturating_add(u64::from(self.frame_count))
    }

    /// What the checksum of its frame at `index` begins with.
    pub(crate) fn seal(&self, salt: u64, index: u32) -> Seal {
        let sequence = self.first_sequence.saturating_add(u64::from(index));
        Seal { salt, incarnation: self.incarnation, sequence }
    }

    /// Bytes it takes in its slot.
    pub(crate) fn total_bytes(&self) -> u64 {
        padded(HEADER_BYTES as u64 + u64::from(self.body_bytes))
    }
}

fn salted(salt: u64, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&salt.to_le_bytes()), bytes)
}

/// Whether bytes begin as a group does; says nothing of whether they are one.
pub(crate) fn looks_like_one(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// Up to the next boundary.
pub(crate) fn padded(bytes: u64) -> u64 {
    bytes.div_ceil(ALIGN).saturating_mul(ALIGN)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk::<4>().map(|field| u32::from_le_bytes(*field))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk::<8>().map(|field| u64::from_le_bytes(*field))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes_of_a_header() {
        let header = GroupHeader {
            incarnation: 2,
            first_sequence: 0x1122,
            synced_upto: 0x1121,
            frame_count: 3,
            body_bytes: 500,
            slot: 7,
            position: 8192,
            slot_blocks: 0x0004_0506,
            previous: 0xdead_beef,
            crc: 0,
        };
        let (bytes, crc) = header.encode(99);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let golden = concat!(
            "594c5747",
            "02060504",
            "0200000000000000",
            "2211000000000000",
            "2111000000000000",
            "03000000",
            "f4010000",
            "0700000000000000",
            "0020000000000000",
            "efbeadde",
        );
        assert_eq!(hex, format!("{golden}{}", hex_of(crc)));
        assert_eq!(hex_of(crc), GOLDEN_CRC);
        assert_eq!(GroupHeader::parse(&bytes, 99), Some(GroupHeader { crc, ..header }));
        assert_eq!((header.end_sequence(), header.total_bytes()), (0x1125, 4096));
    }

    const GOLDEN_CRC: &str = "696ea305";

    fn hex_of(crc: u32) -> String {
        crc.to_le_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn every_bit_counts() {
        let header = GroupHeader {
            incarnation: 1,
            first_sequence: 1,
            synced_upto: 0,
            frame_count: 1,
            body_bytes: 1,
            slot: 0,
            position: 0,
            slot_blocks: 4,
            previous: 0,
            crc: 0,
        };
        let (bytes, _) = header.encode(99);
        for bit in 0..HEADER_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(GroupHeader::parse(&flipped, 99), None, "bit {bit}");
        }
    }
}
