//! Hostile bytes, made by hand: frames, bodies, batches that no client writes.

use bytes::{BufMut, Bytes, BytesMut};
use yeoul_log::batch::{BatchBuilder, Codec, HEADER_BYTES};

use crate::client::batch;

/// A body behind its length.
pub(crate) fn framed(body: &[u8]) -> Vec<u8> {
    let mut frame = (body.len() as u32).to_be_bytes().to_vec();
    frame.extend_from_slice(body);
    frame
}

/// A request of any key and version, with an empty client id.
pub(crate) fn request(key: i16, version: i16, flexible: bool, body: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    out.put_i16(key);
    out.put_i16(version);
    out.put_i32(1);
    out.put_i16(0);
    if flexible {
        out.put_u8(0);
    }
    out.put_slice(body);
    framed(&out)
}

/// As compact lengths are written: the value plus one.
pub(crate) fn compact(value: u32) -> Vec<u8> {
    uvarint(value.wrapping_add(1))
}

pub(crate) fn uvarint(mut value: u32) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// One good record batch, changed, with length and checksum made good again.
pub(crate) fn changed(change: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut bytes = BytesMut::from(batch(&["value"]).as_ref());
    change(&mut bytes);
    resealed(bytes)
}

pub(crate) fn resealed(mut bytes: BytesMut) -> Bytes {
    let length = (bytes.len() as i32 - 12).to_be_bytes();
    bytes[8..12].copy_from_slice(&length);
    let crc = crc32c::crc32c(&bytes[21..]).to_be_bytes();
    bytes[17..21].copy_from_slice(&crc);
    bytes.freeze()
}

pub(crate) fn put<const N: usize>(bytes: &mut BytesMut, at: usize, value: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&value);
}

/// A batch that says it has `count` records, with any bytes in the place of them.
pub(crate) fn packed(codec: i16, count: i32, payload: &[u8]) -> Bytes {
    let mut bytes = BytesMut::from(&batch(&["value"])[..HEADER_BYTES]);
    put(&mut bytes, 21, codec.to_be_bytes());
    put(&mut bytes, 23, (count - 1).to_be_bytes());
    put(&mut bytes, 57, count.to_be_bytes());
    bytes.put_slice(payload);
    resealed(bytes)
}

/// The four codecs, each unpacking to one record of 20 MiB.
pub(crate) fn swelling() -> [(&'static str, Bytes); 4] {
    let value = vec![0; 20 << 20];
    let codecs = [
        ("gzip", Codec::Gzip),
        ("snappy", Codec::Snappy),
        ("lz4", Codec::Lz4),
        ("zstd", Codec::Zstd),
    ];
    codecs.map(|(name, codec)| {
        let mut builder = BatchBuilder::new(codec);
        builder.push(1_000, None, Some(&value), &[]);
        (name, builder.finish().expect("a record"))
    })
}

/// The four codecs, each unpacking to hundreds of MiB of zeros from about one MiB or less.
pub(crate) fn bombs() -> [(&'static str, Bytes); 4] {
    use std::io::Write;
    let zeros = vec![0; 1 << 20];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&zeros).expect("in memory");
    let gzip = gzip.finish().expect("in memory").repeat(900);
    let block = snap::raw::Encoder::new().compress_vec(&zeros).expect("in memory");
    let mut snappy = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
    for _ in 0..20 {
        snappy.extend_from_slice(&(block.len() as u32).to_be_bytes());
        snappy.extend_from_slice(&block);
    }
    // A raw block that only claims its size.
    let mut claim = uvarint(u32::MAX);
    claim.extend_from_slice(&[0xfe; 64]);
    snappy.extend_from_slice(&(claim.len() as u32).to_be_bytes());
    snappy.extend_from_slice(&claim);
    let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
    (0..200).for_each(|_| lz4.write_all(&zeros).expect("in memory"));
    let lz4 = lz4.finish().expect("in memory");
    let mut zstd = zstd::stream::Encoder::new(Vec::new(), 3).expect("in memory");
    (0..900).for_each(|_| zstd.write_all(&zeros).expect("in memory"));
    let zstd = zstd.finish().expect("in memory");
    [
        ("gzip", packed(1, 1, &gzip)),
        ("snappy", packed(2, 1, &snappy)),
        ("lz4", packed(3, 1, &lz4)),
        ("zstd", packed(4, 1, &zstd)),
    ]
}
