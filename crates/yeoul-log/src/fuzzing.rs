//! What the fuzz targets in `fuzz/` call: the decoders of what lies on disk, each with the
//! checksums made good first, because no fuzzer finds a CRC by itself. Only compiled for fuzzing
//! and for this crate's own tests, which run the inputs that once failed.
//!
//! Invariant: every function here returns for every input; a panic is the finding.

use std::sync::Arc;

use bytes::Bytes;
use yeoul_base::{
    Append, Commit, FactKey, FactKind, ManualClock, NewTopic, PartId, SeededRand, SimDisk, Store,
    TopicId, TopicInfo,
};

use crate::batch::{self, BatchError, Codec};
use crate::frame::{self, Decoded, Frame, PREFIX_BYTES, Seal};
use crate::group::{self, ALIGN, GroupHeader, HEADER_BYTES};
use crate::snapshot::Snapshot;
use crate::topics;
use crate::{Log, LogOptions};

const SEAL: Seal = Seal { salt: 1, incarnation: 2, sequence: 3 };

/// A group as recovery takes it apart: its header, then frame after frame.
pub fn group(data: &[u8]) {
    let mut slot = data.to_vec();
    let salt = 1;
    let header = GroupHeader::parse(&slot, salt);
    reseal_slot(&mut slot, salt);
    let Some(header) = GroupHeader::parse(&slot, salt).or(header) else { return };
    let _ = (header.end_sequence(), header.total_bytes());
    let from = HEADER_BYTES.min(slot.len());
    let mut body = Bytes::from(slot).split_off(from);
    for index in 0..header.frame_count {
        match frame::decode(&mut body, header.seal(salt, index)) {
            Ok(decoded) => again(&decoded),
            Err(_) => break,
        }
    }
}

/// A frame's payload behind a right checksum.
pub fn frame(payload: &[u8]) {
    let mut sealed = vec![0; PREFIX_BYTES];
    sealed.extend_from_slice(payload);
    frame::reseal(SEAL, &mut sealed, 0);
    let mut body = Bytes::from(sealed);
    if let Ok(decoded) = frame::decode(&mut body, SEAL) {
        assert!(body.is_empty(), "a frame left bytes of its own");
        again(&decoded);
    }
}

/// What was read is what is written.
fn again(frame: &Decoded) {
    let mut out = Vec::new();
    frame::encode(&frame.frame, SEAL, &mut out, |_, _| {});
    assert_eq!(out.len(), frame::encoded_bytes(&frame.frame));
    let read = frame::decode(&mut Bytes::from(out), SEAL);
    assert_eq!(read.as_ref(), Ok(frame));
}

/// A snapshot's payload behind a right head and checksum.
pub fn snapshot(payload: &[u8]) {
    let _ = Snapshot::decode(payload);
    let mut file = Snapshot::head(payload.len());
    file.extend_from_slice(payload);
    let crc = crc32c::crc32c(&file);
    file.extend_from_slice(&crc.to_le_bytes());
    if let Ok(snapshot) = Snapshot::decode(&file) {
        let written = snapshot.encode();
        assert_eq!(Snapshot::decode(&written).as_ref(), Ok(&snapshot));
    }
}

/// The facts that the log reads itself.
pub fn facts(data: &[u8]) {
    if let Ok(topic) = topics::decode("t", data) {
        let written = topics::encode(&topic);
        assert_eq!(topics::decode("t", &written).ok(), Some(topic));
    }
}

/// Unpacks as a batch's records would be.
///
/// # Errors
/// Bytes that are not the codec's, or too many of them.
pub fn unpack(codec: Codec, packed: &[u8], limit: usize) -> Result<Vec<u8>, BatchError> {
    let unpacked = codec.unpack(packed, limit)?;
    assert!(unpacked.len() <= limit, "{codec:?} gave {} of {limit}", unpacked.len());
    Ok(unpacked)
}

/// What [`unpack`] reads back.
pub fn pack(codec: Codec, plain: &[u8]) -> Vec<u8> {
    codec.pack(plain).unwrap_or_default()
}

/// Gives a batch the length and checksum its bytes ask for.
pub fn reseal_batch(bytes: &mut [u8]) {
    let Some(length) = bytes.len().checked_sub(batch::PREFIX_BYTES) else { return };
    if bytes.len() < batch::HEADER_BYTES {
        return;
    }
    let length = i32::try_from(length).unwrap_or(i32::MAX);
    batch::put(bytes, 8, length.to_be_bytes());
    let crc = crc32c::crc32c(bytes.get(batch::CRC_FROM..).unwrap_or_default());
    batch::put(bytes, 17, crc.to_be_bytes());
}

/// Makes the checksums of all groups of a slot, and of their frames, fit what they now hold:
/// damage that only a hostile hand leaves.
pub fn reseal_slot(slot: &mut [u8], salt: u64) {
    let align = usize::try_from(ALIGN).unwrap_or(usize::MAX);
    for block in (0..slot.len()).step_by(align) {
        let Some(at) = slot.get_mut(block..) else { return };
        if !group::looks_like_one(at) || at.len() < HEADER_BYTES {
            continue;
        }
        GroupHeader::reseal(at, salt);
        let Some(header) = GroupHeader::parse(at, salt) else { continue };
        let mut from = HEADER_BYTES;
        for index in 0..header.frame_count {
            let Some(len) = group::u32_at(at, from) else { break };
            let end = from.saturating_add(PREFIX_BYTES).saturating_add(len as usize);
            let Some(whole) = at.get_mut(..end) else { break };
            frame::reseal(header.seal(salt, index), whole, from);
            from = end;
        }
    }
}

/// Makes a snapshot file's length and checksum fit what it now holds.
pub fn reseal_snapshot(file: &mut [u8]) {
    let Some((body, crc)) = file.split_last_chunk_mut::<4>() else { return };
    let head = Snapshot::head(0).len();
    let Some(payload) = body.len().checked_sub(head) else { return };
    if let Some(start) = body.get_mut(..head) {
        start.copy_from_slice(&Snapshot::head(payload));
    }
    *crc = crc32c::crc32c(body).to_le_bytes();
}

/// The random number in a snapshot that the checksums of its directory begin with.
pub fn salt(file: &[u8]) -> Option<u64> {
    Snapshot::decode(file).ok().map(|snapshot| snapshot.salt)
}

/// Seeds: whole inputs of [`group`] (0), [`frame`] (1) and [`snapshot`] (2).
pub fn samples(batch: &Bytes) -> Vec<(u8, Vec<u8>)> {
    let frame = Frame {
        appends: vec![(PartId(3), batch.clone())],
        facts: vec![
            (FactKey::new(FactKind::Topic, "t"), Some(Bytes::from(topic()))),
            (FactKey::new(FactKind::Schema, "k"), None),
        ],
        starts: vec![(PartId(4), 9)],
    };
    let mut sealed = Vec::new();
    frame::encode(&frame, SEAL, &mut sealed, |_, _| {});
    let header = GroupHeader {
        incarnation: 1,
        first_sequence: 1,
        synced_upto: 0,
        frame_count: 2,
        body_bytes: u32::try_from(sealed.len() * 2).unwrap_or(0),
        slot: 0,
        slot_blocks: 4,
        position: 0,
        previous: 0,
        crc: 0,
    };
    let (head, _) = header.encode(1);
    let group = [&head[..], &sealed, &sealed].concat();
    let payload = sealed.get(PREFIX_BYTES..).unwrap_or_default().to_vec();
    vec![(0, group), (1, payload), (2, inside_of_a_snapshot(batch))]
}

/// As the log writes it, so that it has whatever a snapshot has by now.
fn inside_of_a_snapshot(batch: &Bytes) -> Vec<u8> {
    let disk = SimDisk::new();
    let options = LogOptions {
        slot_bytes: [16 << 10; 3],
        reserve_bytes: 0,
        inline: true,
        ..LogOptions::default()
    };
    let clock = Arc::new(ManualClock::at_ms(1_700_000_000_000));
    let rand = Arc::new(SeededRand::new(7));
    let Ok((log, _)) = Log::open(Arc::new(disk.clone()), clock, rand, options) else {
        return Vec::new();
    };
    let new = NewTopic { name: "t".into(), partitions: 2, config: Default::default() };
    if let Ok(topic) = log.create_topic(new)
        && let Some(part) = topic.partitions.first()
    {
        let appends = vec![Append { part: *part, batch: batch.clone() }];
        let _ = log.commit(Commit { appends, ..Commit::default() });
    }
    log.close();
    let image = disk.image();
    let newest =
        image.files.iter().rfind(|(path, _)| path.extension().is_some_and(|e| e == "snap"));
    let payload = |file: &[u8]| {
        let from = Snapshot::head(0).len();
        Some(file.get(from..file.len().checked_sub(4)?)?.to_vec())
    };
    newest.and_then(|(_, file)| payload(file)).unwrap_or_default()
}

/// A seed: a topic's fact.
pub fn topic() -> Vec<u8> {
    let topic = TopicInfo {
        name: "t".into(),
        id: TopicId([7; 16]),
        partitions: vec![PartId(3), PartId(4)].into(),
        config: [("retention.ms".to_owned(), "1000".to_owned())].into(),
        created_ms: 5,
    };
    topics::encode(&topic).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::BatchBuilder;

    /// Found by the target `directory`: such a partition was opened, and its records were in no
    /// range that anybody could ask for.
    #[test]
    fn a_snapshot_whose_partition_starts_behind_its_end_is_refused() {
        let mut builder = BatchBuilder::new(Codec::None);
        builder.push(1, None, Some(b"v"), &[]);
        let payload = inside_of_a_snapshot(&builder.finish().expect("a record"));
        let open = |payload: &[u8]| {
            let mut file = Snapshot::head(payload.len());
            file.extend_from_slice(payload);
            let crc = crc32c::crc32c(&file);
            file.extend_from_slice(&crc.to_le_bytes());
            Snapshot::decode(&file)
        };
        let mut snapshot = open(&payload).expect("as written");
        let part = snapshot.parts.first_mut().expect("a partition");
        part.start = part.high + 1;
        let refused = Snapshot::decode(&snapshot.encode()).expect_err("start beyond end");
        assert_eq!(refused.field, "start");
    }

    #[test]
    fn every_seed_goes_through() {
        let mut builder = BatchBuilder::new(Codec::None);
        builder.push(1, None, Some(b"v"), &[]);
        for (kind, seed) in samples(&builder.finish().expect("a record")) {
            assert!(seed.len() > 64, "kind {kind} is empty");
            match kind {
                0 => group(&seed),
                1 => frame(&seed),
                _ => snapshot(&seed),
            }
        }
        facts(&topic());
    }
}
