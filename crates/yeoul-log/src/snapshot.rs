//! Snapshots: all facts and what is known of every partition, at one sequence. Written beside,
//! synced, renamed, and the folder synced; two are kept. Bytes: `docs/formats/log.md`.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use yeoul_base::fields::{FieldError, FieldReader, FieldWriter};
use yeoul_base::{Disk, FactKey, FactKind, Offset, Open, PartId};

use crate::facts::Facts;
use crate::paths::{self, FileId};
use crate::planted::{self, Planted};
use crate::producers::{Producer, Producers, Sent};
use crate::rebuild::Synced;
use crate::txn::Aborted;

const MAGIC: [u8; 4] = *b"YLSN";
const VERSION: u8 = 2;
/// A snapshot that large would not fit the memory it was written from.
const SNAPSHOT_BYTES_MAX: u64 = 4 << 30;

/// A log segment as a snapshot names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentState {
    pub(crate) base: Offset,
    /// Behind the last offset it covers.
    pub(crate) end: Offset,
    pub(crate) generation: u32,
    pub(crate) len_bytes: u64,
    pub(crate) max_timestamp_ms: i64,
    pub(crate) created_ms: i64,
    pub(crate) checked_ms: i64,
    /// Checksum of its checksum file.
    pub(crate) sum: Option<u32>,
    /// Those whose marker lies in it, by marker.
    pub(crate) aborted: Vec<Aborted>,
}

impl SegmentState {
    pub(crate) fn file(&self, part: PartId) -> FileId {
        FileId { part, base: self.base, generation: self.generation }
    }
}

/// A partition as a snapshot keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartState {
    pub(crate) id: PartId,
    pub(crate) start: Offset,
    pub(crate) high: Offset,
    /// Compaction has left one record of each key below it.
    pub(crate) compacted: Offset,
    pub(crate) segments: Vec<SegmentState>,
    pub(crate) producers: Producers,
}

/// The state of the log after the frame `sequence`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) incarnation: u64,
    pub(crate) sequence: u64,
    /// Header checksum of the group that held `sequence`.
    pub(crate) chain: u32,
    /// This data directory's random number; see [`crate::group`].
    pub(crate) salt: u64,
    /// By id.
    pub(crate) parts: Vec<PartState>,
    pub(crate) facts: Facts,
    /// Batches of read-only partitions that no file has.
    pub(crate) held: Vec<(PartId, Bytes)>,
}

/// A snapshot file that is there, and what it keeps from being removed.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) name: String,
    pub(crate) sequence: u64,
    pub(crate) bytes: u64,
    pub(crate) files: BTreeSet<FileId>,
    /// How far the files were synced for it.
    pub(crate) synced: Synced,
    pub(crate) incarnation: u64,
    pub(crate) chain: u32,
}

impl Snapshot {
    pub(crate) fn name(&self) -> String {
        paths::snapshot_name(self.incarnation, self.sequence)
    }

    pub(crate) fn encode(&self) -> Bytes {
        let mut out = FieldWriter::versioned(VERSION);
        out.u64(self.incarnation).u64(self.sequence).u64(u64::from(self.chain)).u64(self.salt);
        out.u64(self.parts.len() as u64);
        for part in &self.parts {
            out.u64(u64::from(part.id.0)).i64(part.start).i64(part.high).i64(part.compacted);
            out.u64(part.segments.len() as u64);
            for segment in &part.segments {
                let SegmentState { base, end, generation, .. } = *segment;
                out.i64(base).i64(end).u64(u64::from(generation)).u64(segment.len_bytes);
                out.i64(segment.max_timestamp_ms).i64(segment.created_ms);
                out.i64(segment.checked_ms);
                // One more than a checksum, so that none is 0.
                out.u64(segment.sum.map_or(0, |sum| u64::from(sum) + 1));
                out.u64(segment.aborted.len() as u64);
                for txn in &segment.aborted {
                    out.i64(txn.producer_id).i64(txn.first).i64(txn.last).i64(txn.stable);
                }
            }
            encode_producers(&part.producers, &mut out);
        }
        out.u64(self.facts.size() as u64);
        for (key, value) in &self.facts {
            out.u64(key.kind as u64).bytes(&key.key).bytes(value);
        }
        out.u64(self.held.len() as u64);
        for (part, batch) in &self.held {
            out.u64(u64::from(part.0)).bytes(batch);
        }
        let payload = out.finish();
        let mut file = Self::head(payload.len());
        file.reserve(payload.len() + 4);
        file.extend_from_slice(&payload);
        let crc = crc32c::crc32c(&file);
        file.extend_from_slice(&crc.to_le_bytes());
        Bytes::from(file)
    }

    /// What precedes a payload of so many bytes.
    pub(crate) fn head(payload_bytes: usize) -> Vec<u8> {
        let mut head = MAGIC.to_vec();
        head.extend_from_slice(&(payload_bytes as u64).to_le_bytes());
        head
    }

    pub(crate) fn decode(file: &[u8]) -> Result<Self, FieldError> {
        let bad = |what| FieldError { field: "snapshot", what };
        let (body, crc) = file.split_last_chunk::<4>().ok_or(bad("cut short"))?;
        if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
            return Err(bad("checksum differs"));
        }
        let rest = body.strip_prefix(&MAGIC).ok_or(bad("not a snapshot"))?;
        let (len, payload) = rest.split_first_chunk::<8>().ok_or(bad("cut short"))?;
        if u64::from_le_bytes(*len) != payload.len() as u64 {
            return Err(bad("length differs"));
        }
        let mut input = FieldReader::versioned(payload, VERSION)?;
        let incarnation = input.u64("incarnation")?;
        let sequence = input.u64("sequence")?;
        let chain = input.u32("chain")?;
        let salt = input.u64("salt")?;
        let count = input.count("partitions", 6)?;
        let mut parts = Vec::with_capacity(count);
        for _ in 0..count {
            let id = PartId(input.u32("partition")?);
            let (start, high) = (input.i64("start")?, input.i64("high")?);
            if start < 0 || start > high {
                return Err(FieldError { field: "start", what: "lies beyond the end" });
            }
            let compacted = input.i64("compacted")?;
            let count = input.count("log segments", 9)?;
            let mut segments = Vec::with_capacity(count);
            for _ in 0..count {
                segments.push(SegmentState {
                    base: input.i64("base")?,
                    end: input.i64("end")?,
                    generation: input.u32("generation")?,
                    len_bytes: input.u64("length")?,
                    max_timestamp_ms: input.i64("timestamp")?,
                    created_ms: input.i64("created")?,
                    checked_ms: input.i64("checked")?,
                    sum: decode_sum(input.u64("sum")?)?,
                    aborted: decode_aborted(&mut input)?,
                });
            }
            let producers = decode_producers(&mut input)?;
            parts.push(PartState { id, start, high, compacted, segments, producers });
        }
        let mut facts = Facts::new_sync();
        for _ in 0..input.count("facts", 3)? {
            let kind = u8::try_from(input.u64("kind")?).ok().and_then(FactKind::from_u8);
            let kind = kind.ok_or(FieldError { field: "kind", what: "unknown" })?;
            let key = FactKey::new(kind, Bytes::copy_from_slice(input.bytes("key")?));
            facts.insert_mut(key, Bytes::copy_from_slice(input.bytes("value")?));
        }
        let mut held = Vec::new();
        for _ in 0..input.count("held batches", 2)? {
            let part = PartId(input.u32("partition")?);
            held.push((part, Bytes::copy_from_slice(input.bytes("batch")?)));
        }
        input.end()?;
        Ok(Self { incarnation, sequence, chain, salt, parts, facts, held })
    }

    pub(crate) fn kept(&self, bytes: u64) -> Kept {
        let files = |part: &PartState| {
            part.segments.iter().map(|segment| segment.file(part.id)).collect::<Vec<_>>()
        };
        let files = self.parts.iter().flat_map(files).collect();
        let ends = |part: &PartState| {
            let end = |known: &SegmentState| (known.file(part.id), (known.len_bytes, known.end));
            part.segments.iter().map(end).collect::<Vec<_>>()
        };
        let synced = self.parts.iter().flat_map(ends).collect();
        let (name, sequence) = (self.name(), self.sequence);
        let (incarnation, chain) = (self.incarnation, self.chain);
        Kept { name, sequence, bytes, files, synced, incarnation, chain }
    }

    /// Writes it so that it is there whole or not at all.
    pub(crate) fn write(&self, disk: &dyn Disk) -> io::Result<Kept> {
        const PIECE: usize = 64 << 10;
        let bytes = self.encode();
        let dir = Path::new(paths::SNAPSHOT_DIR);
        let path = path(&self.name());
        let beside = path.with_extension("tmp");
        let file = disk.open(&beside, Open::Create)?;
        file.set_len(0)?;
        let mut at = 0;
        for piece in bytes.chunks(PIECE) {
            file.write_all_at(piece, at)?;
            at += piece.len() as u64;
        }
        file.sync_data()?;
        disk.rename(&beside, &path)?;
        if !planted::is(Planted::NoSnapshotName) {
            disk.sync_dir(dir)?;
        }
        Ok(self.kept(bytes.len() as u64))
    }
}

pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(paths::SNAPSHOT_DIR).join(name)
}

pub(crate) fn read(disk: &dyn Disk, name: &str) -> io::Result<Result<Snapshot, FieldError>> {
    Ok(Snapshot::decode(&disk.read_all(&path(name), SNAPSHOT_BYTES_MAX)?))
}

fn decode_sum(field: u64) -> Result<Option<u32>, FieldError> {
    let bad = FieldError { field: "sum", what: "number above 32 bits" };
    field.checked_sub(1).map(|sum| u32::try_from(sum).map_err(|_| bad)).transpose()
}

fn encode_producers(producers: &Producers, out: &mut FieldWriter) {
    let mut ids: Vec<_> = producers.iter().collect();
    ids.sort_by_key(|(id, _)| **id);
    out.u64(ids.len() as u64);
    for (id, producer) in ids {
        out.i64(*id).i64(i64::from(producer.epoch)).i64(producer.last_ms);
        out.i64(producer.open.unwrap_or(-1));
        out.u64(producer.sent.len() as u64);
        for sent in &producer.sent {
            out.i64(i64::from(sent.first_sequence)).i64(i64::from(sent.last_sequence));
            out.i64(sent.base_offset).i64(sent.last_offset);
        }
    }
}

fn decode_aborted(input: &mut FieldReader<'_>) -> Result<Vec<Aborted>, FieldError> {
    let count = input.count("aborted transactions", 4)?;
    let mut aborted = Vec::with_capacity(count);
    for _ in 0..count {
        aborted.push(Aborted {
            producer_id: input.i64("producer id")?,
            first: input.i64("first offset")?,
            last: input.i64("marker")?,
            stable: input.i64("stable offset")?,
        });
    }
    Ok(aborted)
}

fn decode_producers(input: &mut FieldReader<'_>) -> Result<Producers, FieldError> {
    let small = |value: i64, field| {
        i32::try_from(value).map_err(|_| FieldError { field, what: "number above 32 bits" })
    };
    let mut producers = Producers::new();
    for _ in 0..input.count("producers", 5)? {
        let id = input.i64("producer id")?;
        let epoch = i16::try_from(input.i64("epoch")?)
            .map_err(|_| FieldError { field: "epoch", what: "number above 16 bits" })?;
        let last_ms = input.i64("last")?;
        let open = Some(input.i64("open transaction")?).filter(|first| *first >= 0);
        let mut producer = Producer { epoch, last_ms, open, ..Producer::default() };
        for _ in 0..input.count("batches", 4)? {
            producer.sent.push_back(Sent {
                first_sequence: small(input.i64("first sequence")?, "first sequence")?,
                last_sequence: small(input.i64("last sequence")?, "last sequence")?,
                base_offset: input.i64("base offset")?,
                last_offset: input.i64("last offset")?,
            });
        }
        producers.insert(id, producer);
    }
    Ok(producers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Snapshot {
        let sent = Sent { first_sequence: 0, last_sequence: 1, base_offset: 5, last_offset: 6 };
        let producer = Producer { epoch: 2, last_ms: 9, sent: [sent].into(), open: Some(6) };
        let segment = SegmentState {
            base: 5,
            end: 7,
            generation: 2,
            len_bytes: 300,
            max_timestamp_ms: -1,
            created_ms: 3,
            checked_ms: 4,
            sum: Some(5),
            aborted: vec![Aborted { producer_id: 3, first: 4, last: 5, stable: 6 }],
        };
        let mut facts = Facts::new_sync();
        facts.insert_mut(FactKey::new(FactKind::Schema, "k"), Bytes::from_static(b"v"));
        Snapshot {
            incarnation: 3,
            sequence: 70,
            chain: 0xffff_ffff,
            salt: 1,
            parts: vec![PartState {
                id: PartId(1),
                start: 5,
                high: 7,
                compacted: 6,
                segments: vec![segment],
                producers: [(4, producer)].into(),
            }],
            facts,
            held: vec![(PartId(1), Bytes::from_static(b"batch"))],
        }
    }

    #[test]
    fn golden_bytes_of_a_snapshot() -> Result<(), FieldError> {
        let bytes = sample().encode();
        let golden = concat!(
            "594c534e",
            "3500000000000000",
            "0203",
            "46",
            "ffffffff0f",
            "01",
            "01", // partitions: id, start, end, compacted
            "010a0e0c",
            "01", // log segments
            "0a0e02ac020106",
            "0806",       // checked, sum
            "0106080a0c", // aborted
            "010804120c",
            "0100020a0c",
            "01", // facts
            "09016b0176",
            "01", // held batches
            "01056261746368",
            "88c63bb5",
        );
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, golden);
        assert_eq!(Snapshot::decode(&bytes)?, sample());
        Ok(())
    }

    #[test]
    fn every_cut_and_flip_is_noticed() {
        let bytes = sample().encode();
        for cut in 0..bytes.len() {
            assert!(Snapshot::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Snapshot::decode(&flipped).is_err(), "bit {bit}");
        }
    }
}
