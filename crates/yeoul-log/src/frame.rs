//! Frames: one commit as bytes. A frame is there whole or not at all. Its checksum covers its
//! place in the order of commits, its facts, the header of each batch and transactions' ends; the
//! records of a batch have Kafka's own checksum, which that header holds. So the log is never
//! summed twice, and damage to records leaves known which offsets it took. Bytes:
//! `docs/formats/log.md`.

use std::ops::Range;

use bytes::Bytes;
use thiserror::Error;
use yeoul_base::{FactKey, FactKind, Offset, PartId};

use crate::batch::{self, HEADER_BYTES as BATCH_HEADER_BYTES};
use crate::group::u32_at;
use crate::planted::{self, Planted};

/// Length and checksum before the payload.
pub(crate) const PREFIX_BYTES: usize = 8;

/// What a frame's checksum begins with. Slots are used again: where only the header of a group
/// reached the disk, whole frames of the slot's last use may follow it at the very same places.
/// They are of another sequence or incarnation, and so they are torn like anything else.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seal {
    /// The data directory's own random number.
    pub(crate) salt: u64,
    pub(crate) incarnation: u64,
    /// The commit's own; never given twice within an incarnation.
    pub(crate) sequence: u64,
}

impl Seal {
    /// Over the payload but its `holes`, which are in order.
    fn checksum(self, len: u32, payload: &[u8], holes: &[Range<usize>]) -> u32 {
        let start = [self.salt, self.incarnation, self.sequence]
            .iter()
            .fold(0, |crc, field| crc32c::crc32c_append(crc, &field.to_le_bytes()));
        // The length is covered too: a checksum over nothing must not fit a length of nothing.
        let mut crc = crc32c::crc32c_append(start, &len.to_le_bytes());
        let mut at = 0;
        for hole in holes {
            crc = crc32c::crc32c_append(crc, payload.get(at..hole.start).unwrap_or_default());
            at = hole.end;
        }
        crc32c::crc32c_append(crc, payload.get(at..).unwrap_or_default())
    }
}

/// What of a batch its own checksum covers and the frame's does not. A transaction's end decides
/// over records that lie elsewhere: like a fact, it is covered by the frame.
fn hole(batch: &[u8]) -> Range<usize> {
    const ATTRIBUTES_LOW: usize = 22;
    const CONTROL: u8 = 0x20;
    let control = batch.get(ATTRIBUTES_LOW).is_none_or(|byte| byte & CONTROL != 0);
    if control {
        batch.len()..batch.len()
    } else {
        BATCH_HEADER_BYTES.min(batch.len())..batch.len()
    }
}

/// A frame as it was read back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Decoded {
    pub(crate) frame: Frame,
    /// Which of the appends fail their batch's checksum.
    pub(crate) bad: Vec<usize>,
}

/// What a frame changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Frame {
    /// Batches with their offsets in them.
    pub(crate) appends: Vec<(PartId, Bytes)>,
    pub(crate) facts: Vec<(FactKey, Option<Bytes>)>,
    /// Partitions whose first readable offset moves up.
    pub(crate) starts: Vec<(PartId, Offset)>,
}

/// The bytes are no frame, though their checksum may hold.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum FrameError {
    #[error("checksum differs or the frame is cut short")]
    Torn,
    #[error("{0}")]
    Malformed(&'static str),
}

/// Bytes a frame takes, with its prefix.
pub(crate) fn encoded_bytes(frame: &Frame) -> usize {
    let appends: usize = frame.appends.iter().map(|(_, batch)| 8 + batch.len()).sum();
    let facts: usize = frame
        .facts
        .iter()
        .map(|(key, value)| 6 + key.key.len() + value.as_ref().map_or(0, |value| 4 + value.len()))
        .sum();
    PREFIX_BYTES + 12 + appends + facts + frame.starts.len() * 12
}

/// Writes a frame behind what `out` holds; the batches' places in `out` are told by `placed`, so
/// that the caller can give them their offsets before the checksum is made.
pub(crate) fn encode(
    frame: &Frame,
    seal: Seal,
    out: &mut Vec<u8>,
    mut place: impl FnMut(usize, &mut [u8]),
) -> Vec<Range<usize>> {
    let from = out.len();
    out.extend_from_slice(&[0; PREFIX_BYTES]);
    let mut ranges = Vec::with_capacity(frame.appends.len());
    let mut holes = Vec::with_capacity(frame.appends.len());
    put_u32(out, frame.appends.len());
    for (index, (part, batch)) in frame.appends.iter().enumerate() {
        out.extend_from_slice(&part.0.to_le_bytes());
        put_u32(out, batch.len());
        let at = out.len();
        out.extend_from_slice(batch);
        if let Some(copy) = out.get_mut(at..) {
            place(index, copy);
        }
        let hole = hole(batch);
        holes.push(at + hole.start - from - PREFIX_BYTES..at + hole.end - from - PREFIX_BYTES);
        ranges.push(at..at + batch.len());
    }
    put_u32(out, frame.facts.len());
    for (key, value) in &frame.facts {
        out.push(key.kind as u8);
        out.push(u8::from(value.is_some()));
        put_u32(out, key.key.len());
        out.extend_from_slice(&key.key);
        if let Some(value) = value {
            put_u32(out, value.len());
            out.extend_from_slice(value);
        }
    }
    put_u32(out, frame.starts.len());
    for (part, start) in &frame.starts {
        out.extend_from_slice(&part.0.to_le_bytes());
        out.extend_from_slice(&start.to_le_bytes());
    }
    close(seal, out, from, &holes);
    ranges
}

fn close(seal: Seal, out: &mut [u8], from: usize, holes: &[Range<usize>]) {
    let payload = out.get(from + PREFIX_BYTES..).unwrap_or_default();
    let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let crc = seal.checksum(len, payload, holes);
    if let Some(prefix) = out.get_mut(from..from + PREFIX_BYTES) {
        prefix[..4].copy_from_slice(&len.to_le_bytes());
        prefix[4..].copy_from_slice(&crc.to_le_bytes());
    }
}

/// Makes the checksum of a frame's bytes good, whatever they say.
#[cfg(any(test, fuzzing))]
pub(crate) fn reseal(seal: Seal, out: &mut [u8], from: usize) {
    let payload = Bytes::copy_from_slice(out.get(from + PREFIX_BYTES..).unwrap_or_default());
    let holes = appends(&payload).map_or_else(|_| Vec::new(), |(_, holes, _)| holes);
    close(seal, out, from, &holes);
}

fn put_u32(out: &mut Vec<u8>, value: usize) {
    // A frame is at most 32 MiB, which the caller has checked.
    out.extend_from_slice(&u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes());
}

/// Reads the frame at the start of `body` and cuts it off. Batches are slices of `body`.
pub(crate) fn decode(body: &mut Bytes, seal: Seal) -> Result<Decoded, FrameError> {
    let len = u32_at(body, 0).ok_or(FrameError::Torn)?;
    let stored = u32_at(body, 4).ok_or(FrameError::Torn)?;
    let end = PREFIX_BYTES.saturating_add(len as usize);
    if body.len() < end {
        return Err(FrameError::Torn);
    }
    let payload = body.slice(PREFIX_BYTES..end);
    // Where the batches lie must be known to sum the rest: until then nothing is believed.
    let (appends, holes, rest) = appends(&payload).map_err(|_| FrameError::Torn)?;
    let torn = seal.checksum(len, &payload, &holes) != stored;
    if torn && !planted::is(Planted::TornFrames) {
        return Err(FrameError::Torn);
    }
    let bad = |(index, (_, batch)): (usize, &(PartId, Bytes))| {
        batch::check_stored(batch).is_err().then_some(index)
    };
    let bad = appends.iter().enumerate().filter_map(bad).collect();
    let frame = parse(appends, rest)?;
    let _ = body.split_to(end);
    Ok(Decoded { frame, bad })
}

type Appends = Vec<(PartId, Bytes)>;

fn appends(payload: &Bytes) -> Result<(Appends, Vec<Range<usize>>, Bytes), FrameError> {
    let mut rest = payload.clone();
    let count = count(&mut rest, 8)?;
    let mut appends = Vec::with_capacity(count);
    let mut holes = Vec::with_capacity(count);
    for _ in 0..count {
        let part = PartId(take_u32(&mut rest)?);
        let batch = take_run(&mut rest)?;
        let at = payload.len() - rest.len() - batch.len();
        let hole = hole(&batch);
        holes.push(at + hole.start..at + hole.end);
        appends.push((part, batch));
    }
    Ok((appends, holes, rest))
}

fn parse(appends: Appends, mut rest: Bytes) -> Result<Frame, FrameError> {
    let mut frame = Frame { appends, ..Frame::default() };
    for _ in 0..count(&mut rest, 6)? {
        let head = take(&mut rest, 2)?;
        let kind = head
            .first()
            .and_then(|kind| FactKind::from_u8(*kind))
            .ok_or(FrameError::Malformed("unknown kind of fact"))?;
        let key = FactKey::new(kind, Bytes::copy_from_slice(&take_run(&mut rest)?));
        let value = match head.get(1) {
            Some(0) => None,
            // A copy: a fact must not keep the whole group in memory.
            Some(1) => Some(Bytes::copy_from_slice(&take_run(&mut rest)?)),
            _ => return Err(FrameError::Malformed("a fact is neither put nor deleted")),
        };
        frame.facts.push((key, value));
    }
    for _ in 0..count(&mut rest, 12)? {
        let part = PartId(take_u32(&mut rest)?);
        let start = take(&mut rest, 8)?;
        let start = start.first_chunk::<8>().map_or(0, |field| i64::from_le_bytes(*field));
        frame.starts.push((part, start));
    }
    if rest.is_empty() { Ok(frame) } else { Err(FrameError::Malformed("bytes after its end")) }
}

fn count(rest: &mut Bytes, min_bytes: usize) -> Result<usize, FrameError> {
    let count = take_u32(rest)? as usize;
    if count > rest.len() / min_bytes {
        return Err(FrameError::Malformed("more elements than bytes"));
    }
    Ok(count)
}

fn take(rest: &mut Bytes, len: usize) -> Result<Bytes, FrameError> {
    if len > rest.len() {
        return Err(FrameError::Malformed("an element ends beyond the frame"));
    }
    Ok(rest.split_to(len))
}

fn take_u32(rest: &mut Bytes) -> Result<u32, FrameError> {
    let field = take(rest, 4)?;
    u32_at(&field, 0).ok_or(FrameError::Malformed("a number ends beyond the frame"))
}

fn take_run(rest: &mut Bytes) -> Result<Bytes, FrameError> {
    let len = take_u32(rest)? as usize;
    take(rest, len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchBuilder, Codec};

    const SEAL: Seal = Seal { salt: 1, incarnation: 2, sequence: 3 };

    fn sample_batch() -> Bytes {
        let mut builder = BatchBuilder::new(Codec::None);
        builder.push(5, None, Some(b"value"), &[]);
        builder.finish().expect("a record")
    }

    fn sample() -> Frame {
        Frame {
            appends: vec![(PartId(3), sample_batch())],
            facts: vec![
                (FactKey::new(FactKind::Schema, "k"), Some(Bytes::from_static(b"vv"))),
                (FactKey::new(FactKind::Topic, ""), None),
            ],
            starts: vec![(PartId(4), 9)],
        }
    }

    #[test]
    fn golden_bytes_of_a_frame() {
        let mut out = Vec::new();
        let ranges = encode(&sample(), SEAL, &mut out, |index, batch| {
            assert_eq!(index, 0);
            batch::place(batch, 0x1122, 9);
        });
        assert_eq!(ranges, vec![20..20 + sample_batch().len()]);
        assert_eq!(out.len(), encoded_bytes(&sample()));
        let hex: String = out.iter().map(|byte| format!("{byte:02x}")).collect();
        let golden = concat!(
            "7c000000",
            "85d0ffc3",
            "01000000",
            "03000000",
            "49000000",
            "0000000000001122",
            "0000003d",
            "00000009",
            "02",
            "24334fd5",
            "0000",
            "00000000",
            "0000000000000005",
            "0000000000000005",
            "ffffffffffffffff",
            "ffff",
            "ffffffff",
            "00000001",
            "16000000010a76616c756500",
            "02000000",
            "09",
            "01",
            "01000000",
            "6b",
            "02000000",
            "7676",
            "01",
            "00",
            "00000000",
            "01000000",
            "04000000",
            "0900000000000000",
        );
        assert_eq!(hex, golden);
        let mut body = Bytes::from(out);
        let decoded = decode(&mut body, SEAL).expect("whole");
        assert_eq!(decoded.bad, Vec::<usize>::new());
        assert_eq!(decoded.frame.facts, sample().facts);
        assert_eq!(decoded.frame.starts, sample().starts);
        assert!(body.is_empty());
    }

    #[test]
    fn every_cut_and_flip_is_torn_or_tells_which_batch_is_bad() {
        let mut out = Vec::new();
        let ranges = encode(&sample(), SEAL, &mut out, |_, _| {});
        for cut in 0..out.len() {
            let mut body = Bytes::copy_from_slice(&out[..cut]);
            assert_eq!(decode(&mut body, SEAL), Err(FrameError::Torn), "cut at {cut}");
        }
        let records = ranges[0].start + BATCH_HEADER_BYTES..ranges[0].end;
        for bit in 0..out.len() * 8 {
            let mut flipped = out.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let decoded = decode(&mut Bytes::from(flipped), SEAL);
            if records.contains(&(bit / 8)) {
                assert_eq!(decoded.map(|decoded| decoded.bad), Ok(vec![0]), "bit {bit}");
            } else {
                assert!(decoded.is_err(), "bit {bit}");
            }
        }
        assert!(decode(&mut Bytes::from_static(&[0; 64]), SEAL).is_err(), "zeros are no frame");
    }

    #[test]
    fn a_transactions_end_is_covered_like_a_fact() {
        let mut marker = sample_batch().to_vec();
        marker[22] |= 0x20;
        let crc = crc32c::crc32c(&marker[21..]);
        marker[17..21].copy_from_slice(&crc.to_be_bytes());
        let frame = Frame { appends: vec![(PartId(3), marker.into())], ..Frame::default() };
        let mut out = Vec::new();
        encode(&frame, SEAL, &mut out, |_, _| {});
        for bit in 0..out.len() * 8 {
            let mut flipped = out.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&mut Bytes::from(flipped), SEAL).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_whole_frame_of_the_slots_last_use_is_torn() {
        let mut out = Vec::new();
        encode(&sample(), SEAL, &mut out, |_, _| {});
        let others = [
            Seal { sequence: 4, ..SEAL },
            Seal { incarnation: 3, ..SEAL },
            Seal { salt: 2, ..SEAL },
        ];
        for other in others {
            let mut body = Bytes::copy_from_slice(&out);
            assert_eq!(decode(&mut body, other), Err(FrameError::Torn), "{other:?}");
        }
    }
}
