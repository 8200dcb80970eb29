//! Record batches, their codecs, and the commit log's own bytes.

use bytes::Bytes;
use yeoul_log::batch::{self, BatchBuilder, Codec, Record};
use yeoul_log::fuzzing;

pub(crate) const CODECS: [Codec; 5] =
    [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

/// The first byte's low bit says whether length and checksum are made good first.
pub(crate) fn batches(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    let mut bytes = rest.to_vec();
    if how & 1 == 1 {
        fuzzing::reseal_batch(&mut bytes);
    }
    let bytes = Bytes::from(bytes);
    let verified = batch::verify(&bytes, 1 << 20);
    let split: Vec<_> = batch::split(bytes.clone()).collect();
    let whole: usize = split.iter().flatten().map(Bytes::len).sum();
    assert!(whole <= bytes.len());
    let checked = verified.is_ok() && batch::check_records(&bytes).is_ok();
    let decoded = batch::decode(&bytes);
    assert!(!checked || decoded.is_ok(), "what is taken from a producer can be read: {decoded:?}");
    let Ok(records) = decoded else { return };
    let header = batch::BatchHeader::parse(&bytes).expect("it decoded");
    assert_eq!(records.len() as i64, i64::from(header.record_count));
    if verified.is_ok() {
        assert_eq!(records.len() as i64, i64::from(header.last_offset_delta) + 1);
    }
    again(&records);
}

/// Records that were read are the same after they were written and read again.
fn again(records: &[Record]) {
    let mut builder = BatchBuilder::new(Codec::None);
    for record in records {
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        builder.push(record.timestamp_ms, key, value, &record.headers);
    }
    let Some(built) = builder.finish() else { return };
    let read = batch::decode(&built).expect("what was just built");
    let same = |(one, other): (&Record, &Record)| {
        one.key == other.key
            && one.value == other.value
            && one.headers == other.headers
            && one.timestamp_ms == other.timestamp_ms
    };
    assert!(read.len() == records.len() && read.iter().zip(records).all(same));
}

/// The first byte chooses the codec and whether the rest is packed first and then damaged: no
/// fuzzer packs by chance.
pub(crate) fn unpack(data: &[u8]) {
    const LIMIT: usize = 1 << 20;
    let [how, at, mask, rest @ ..] = data else { return };
    let codec = CODECS[usize::from(how & 0x7f) % CODECS.len()];
    if how & 0x80 == 0 {
        let _ = fuzzing::unpack(codec, rest, LIMIT);
        return;
    }
    let mut packed = fuzzing::pack(codec, rest);
    if *mask == 0 {
        assert_eq!(fuzzing::unpack(codec, &packed, LIMIT).expect("as packed"), rest);
        return;
    }
    let place = usize::from(*at) * packed.len() / 256;
    if let Some(byte) = packed.get_mut(place) {
        *byte ^= mask;
    }
    let _ = fuzzing::unpack(codec, &packed, LIMIT);
}

/// Groups and frames of the commit log, snapshots.
pub(crate) fn commit_log(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    match how % 3 {
        0 => fuzzing::group(rest),
        1 => fuzzing::frame(rest),
        _ => fuzzing::snapshot(rest),
    }
}

/// Facts, by whose they are.
pub(crate) fn facts(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    match how % 3 {
        0 => fuzzing::facts(rest),
        1 => yeoul_kafka::fuzzing::facts(rest),
        _ => {
            let _ = yeoul_base::Fates::decode(rest);
        }
    }
}
