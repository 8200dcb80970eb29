//! What a batch gives back, and what hostile bytes cost.

use super::*;
use std::error::Error;
use std::io::Write;

type Outcome = Result<(), Box<dyn Error>>;

fn header(name: &'static str, value: Option<&'static str>) -> Header {
    Header {
        name: Bytes::from_static(name.as_bytes()),
        value: value.map(|value| Bytes::from_static(value.as_bytes())),
    }
}

fn sample(codec: Codec) -> Bytes {
    let mut builder = BatchBuilder::new(codec);
    let doubles = [header("h", Some("1")), header("h", Some("2")), header("h", None)];
    builder.push(1_000, None, None, &[]);
    builder.push(990, Some(b""), Some(b""), &doubles);
    builder.push(1_500, Some(b"key"), Some(&[b'v'; 4_000]), &[header("", Some(""))]);
    let last = "한글".repeat(60_000);
    builder.push(i64::MIN, None, Some(last.as_bytes()), &[]);
    builder.finish().expect("four records")
}

/// A batch around any bytes, its checksum right: what a hostile client can send.
fn wrap(attributes: i16, count: i32, records: &[u8]) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(0, None, None, &[]);
    let mut out = builder.finish().expect("one record")[..HEADER_BYTES].to_vec();
    out.extend_from_slice(records);
    let length = (out.len() - PREFIX_BYTES) as i32;
    put(&mut out, 8, length.to_be_bytes());
    put(&mut out, 21, attributes.to_be_bytes());
    put(&mut out, 23, (count - 1).to_be_bytes());
    put(&mut out, 57, count.to_be_bytes());
    let crc = crc32c::crc32c(&out[CRC_FROM..]);
    put(&mut out, 17, crc.to_be_bytes());
    Bytes::from(out)
}

#[test]
fn every_codec_gives_back_null_empty_and_repeated_headers() -> Outcome {
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let batch = sample(codec);
        let head = verify(&batch, 1 << 20)?;
        assert_eq!(head.codec(), codec);
        assert_eq!((head.record_count, head.max_timestamp_ms), (4, 1_500));
        let records = decode(&batch)?;
        assert_eq!(records.len(), 4);
        assert_eq!((&records[0].key, &records[0].value), (&None, &None));
        assert_eq!(records[1].key.as_deref(), Some(&b""[..]));
        assert_eq!(records[1].value.as_deref(), Some(&b""[..]));
        assert_eq!(records[1].timestamp_ms, 990);
        let values: Vec<_> = records[1].headers.iter().map(|h| h.value.clone()).collect();
        assert_eq!(values, [Some(Bytes::from("1")), Some(Bytes::from("2")), None]);
        assert_eq!(records[2].headers, [header("", Some(""))]);
        assert_eq!(records[3].timestamp_ms, i64::MIN);
        assert_eq!(records[3].offset, 3);
    }
    Ok(())
}

#[test]
fn raw_snappy_without_framing_is_read() -> Outcome {
    let plain = sample(Codec::None);
    let packed = snap::raw::Encoder::new().compress_vec(&plain[HEADER_BYTES..])?;
    let records = decode(&wrap(2, 4, &packed))?;
    assert_eq!(records.len(), 4);
    Ok(())
}

#[test]
fn offsets_and_times_can_be_given_without_decoding() -> Outcome {
    let mut batch = sample(Codec::Zstd).to_vec();
    place(&mut batch, 1_000, 7);
    let head = verify(&batch, usize::MAX)?;
    assert_eq!((head.base_offset, head.last_offset(), head.leader_epoch), (1_000, 1_003, 7));
    stamp(&mut batch, &head, 42);
    let head = verify(&batch, usize::MAX)?;
    assert!(head.is_log_append_time());
    let records = decode(&Bytes::from(batch))?;
    assert!(records.iter().all(|record| record.timestamp_ms == 42));
    assert_eq!(records[3].offset, 1_003);
    Ok(())
}

#[test]
fn golden_bytes_of_a_batch() {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.producer(9, 1, 5);
    builder.push(1_700_000_000_000, Some(b"k"), Some(b"v"), &[header("h", None)]);
    let batch = builder.finish().expect("one record");
    let hex: String = batch.iter().map(|byte| format!("{byte:02x}")).collect();
    let golden = concat!(
        "0000000000000000",
        "0000003d",
        "ffffffff",
        "02",
        "4c401b68",
        "0000",
        "00000000",
        "0000018bcfe56800",
        "0000018bcfe56800",
        "0000000000000009",
        "0001",
        "00000005",
        "00000001",
        "16",
        "00",
        "00",
        "00",
        "026b",
        "0276",
        "02",
        "0268",
        "01",
    );
    assert_eq!(hex, golden);
}

#[test]
fn every_truncation_and_bit_flip_is_noticed() {
    let mut builder = BatchBuilder::new(Codec::Gzip);
    builder.push(5, Some(b"key"), Some(&[b'a'; 300]), &[header("h", Some("x"))]);
    let batch = builder.finish().expect("one record");
    for cut in 0..batch.len() {
        assert!(verify(&batch[..cut], 1 << 20).is_err(), "cut at {cut}");
        assert!(decode(&batch.slice(..cut)).is_err(), "cut at {cut}");
    }
    // Base offset and leader epoch are the log's own and outside the checksum.
    for byte in (8..12).chain(16..batch.len()) {
        for bit in 0..8 {
            let mut flipped = batch.to_vec();
            flipped[byte] ^= 1 << bit;
            assert!(verify(&flipped, 1 << 20).is_err(), "byte {byte}, bit {bit}");
            // Whatever it gives, it must not panic.
            let _ = decode(&Bytes::from(flipped));
        }
    }
}

#[test]
fn cut_records_are_errors_not_panics() {
    let whole = sample(Codec::None);
    for cut in 0..200 {
        let records = &whole[HEADER_BYTES..HEADER_BYTES + cut];
        assert!(decode(&wrap(0, 4, records)).is_err(), "cut at {cut}");
    }
}

#[test]
fn lying_counts_are_refused_before_allocating() {
    let record = [12, 0, 0, 0, 1, 1, 0];
    assert!(decode(&wrap(0, 1, &record)).is_ok());
    assert!(verify(&wrap(0, i32::MAX, &record), 1 << 20).is_err());
    assert!(decode(&wrap(0, i32::MAX, &record)).is_err());
    // Headers: the count is huge, the bytes are not.
    let headers = [20, 0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f];
    assert!(matches!(decode(&wrap(0, 1, &headers)), Err(BatchError::Record { .. })));
    let negative = [13, 0, 0, 0, 1, 1, 0];
    assert!(decode(&wrap(0, 1, &negative)).is_err());
}

#[test]
fn bombs_cost_the_budget_and_no_more() -> Outcome {
    let zeros = vec![0u8; 80 << 20];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&zeros)?;
    let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
    lz4.write_all(&zeros)?;
    let packed = [
        (1, gzip.finish()?),
        (2, snap::raw::Encoder::new().compress_vec(&zeros)?),
        (3, lz4.finish()?),
        (4, zstd::stream::encode_all(&zeros[..], 1)?),
    ];
    for (codec, bytes) in packed {
        assert!(bytes.len() < 5 << 20, "codec {codec}: not much of a bomb");
        let error = decode(&wrap(codec, 1, &bytes)).err();
        assert!(matches!(error, Some(BatchError::Bomb { .. })), "codec {codec}: {error:?}");
    }
    // A snappy block that claims four gigabytes and has nothing.
    let claim = [0xff, 0xff, 0xff, 0xff, 0x0f];
    assert!(matches!(decode(&wrap(2, 1, &claim)), Err(BatchError::Bomb { .. })));
    Ok(())
}

#[test]
fn split_takes_batches_apart_and_stops_at_the_first_error() -> Outcome {
    let one = sample(Codec::None);
    let two = sample(Codec::Lz4);
    let both = [one.as_ref(), two.as_ref()].concat();
    let parts: Vec<_> = split(Bytes::from(both.clone())).collect::<Result<_, _>>()?;
    assert_eq!(parts, [one, two]);
    let cut = Bytes::from(both).slice(..both_len(&parts) - 1);
    let parts: Vec<_> = split(cut).collect();
    assert_eq!(parts.len(), 2);
    assert!(parts[0].is_ok() && parts[1].is_err());
    Ok(())
}

fn both_len(parts: &[Bytes]) -> usize {
    parts.iter().map(Bytes::len).sum()
}

#[test]
fn old_versions_and_wrong_sizes_say_so() {
    let batch = sample(Codec::None);
    let mut old = batch.to_vec();
    old[16] = 1;
    assert_eq!(verify(&old, 1 << 20), Err(BatchError::Magic(1)));
    let small = verify(&batch, 10);
    assert_eq!(small, Err(BatchError::TooLarge { bytes: batch.len(), limit: 10 }));
}

#[test]
fn what_is_sealed_and_cannot_be_read_is_found() -> Outcome {
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let good = sample(codec);
        check_records(&good)?;
        let garbage = wrap(codec as i16, 4, b"neither records nor packed by anything");
        assert!(verify(&garbage, 1 << 20).is_ok(), "{codec:?}: only its records are wrong");
        assert!(check_records(&garbage).is_err(), "{codec:?}");
    }
    let one = [12u8, 0, 0, 0, 1, 1, 0];
    let two = [12u8, 0, 0, 2, 1, 1, 0];
    check_records(&wrap(0, 2, &[one, two].concat()))?;
    assert!(check_records(&wrap(0, 2, &[one, one].concat())).is_err(), "one offset twice");
    assert!(check_records(&wrap(0, 1, &[one, two].concat())).is_err(), "bytes that follow");
    Ok(())
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_refused_or_decoded_but_never_panic(
        attributes in 0i16..8,
        count in -2i32..40,
        records in proptest::collection::vec(proptest::num::u8::ANY, 0..300),
    ) {
        let batch = wrap(attributes, count, &records);
        let _ = verify(&batch, 1 << 20);
        let checked = check_records(&batch);
        proptest::prop_assert!(checked.is_err() || decode(&batch).is_ok(), "{checked:?}");
        if let Ok(decoded) = decode(&batch) {
            proptest::prop_assert_eq!(decoded.len(), usize::try_from(count).unwrap_or(0));
        }
        let _ = split(Bytes::from(records)).count();
    }

    #[test]
    fn what_is_pushed_is_decoded(
        codec in 0usize..5,
        rows in proptest::collection::vec(
            (proptest::num::i64::ANY, proptest::option::of("[a-z가-힣]{0,9}"), proptest::option::of(".{0,200}")),
            1..30,
        ),
    ) {
        let codec = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd][codec];
        let mut builder = BatchBuilder::new(codec);
        for (at, key, value) in &rows {
            let headers = [header("n", None)];
            builder.push(*at, key.as_deref().map(str::as_bytes), value.as_deref().map(str::as_bytes), &headers);
        }
        let batch = builder.finish().expect("rows");
        proptest::prop_assert!(verify(&batch, 1 << 20).is_ok());
        proptest::prop_assert_eq!(check_records(&batch), Ok(()));
        let decoded = decode(&batch).expect("just built");
        let back: Vec<_> = decoded.iter().map(|record| {
            let text = |bytes: &Option<Bytes>| bytes.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            (record.timestamp_ms, text(&record.key), text(&record.value))
        }).collect();
        proptest::prop_assert_eq!(back, rows);
    }
}
