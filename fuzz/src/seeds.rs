//! What each target begins with: a few whole inputs made by the code under test, so that the
//! fuzzer starts inside the formats and no corpus has to be kept.

use std::path::Path;

use bytes::Bytes;
use yeoul_log::batch::{BatchBuilder, Header};
use yeoul_log::fuzzing;

use crate::Target;
use crate::records::CODECS;

/// Writes a target's seeds as files; names are numbers.
pub(crate) fn write(target: &Target, folder: &Path) {
    std::fs::create_dir_all(folder).expect("the folder for seeds");
    for (at, seed) in (target.seeds)().into_iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{at:04}")), seed).expect("a seed");
    }
}

pub(crate) fn requests() -> Vec<Vec<u8>> {
    yeoul_kafka_wire::fuzzing::bodies()
}

pub(crate) fn frames() -> Vec<Vec<u8>> {
    yeoul_kafka_wire::fuzzing::frames()
}

/// Single requests, and some that follow one another.
pub(crate) fn listener() -> Vec<Vec<u8>> {
    let frames = frames();
    let mut seeds: Vec<Vec<u8>> = frames.chunks(40).map(<[Vec<u8>]>::concat).collect();
    seeds.extend(frames);
    seeds.extend(yeoul_kafka::fuzzing::conversations(&batch(0)));
    seeds
}

fn batch(codec: usize) -> Bytes {
    let mut builder = BatchBuilder::new(CODECS[codec]);
    let name = Bytes::from_static(b"header");
    let headers =
        [Header { name: name.clone(), value: Some(name.clone()) }, Header { name, value: None }];
    builder.producer(7, 0, 0);
    builder.push(1_000, Some(b"key"), Some(&[b'v'; 200]), &headers);
    builder.push(2_000, None, Some(b""), &[]);
    builder.push(1_500, Some(b""), None, &[]);
    builder.finish().expect("records")
}

pub(crate) fn batches() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for codec in 0..CODECS.len() {
        let batch = batch(codec);
        for how in [0, 1] {
            seeds.push([&[how][..], &batch].concat());
        }
        seeds.push([&[0][..], &batch, &batch].concat());
    }
    seeds
}

pub(crate) fn unpack() -> Vec<Vec<u8>> {
    let plain = b"one two three two one three two ".repeat(20);
    let mut seeds = Vec::new();
    for (at, codec) in (0u8..).zip(CODECS) {
        seeds.push([&[at, 0, 0][..], &fuzzing::pack(codec, &plain)].concat());
        seeds.push([&[at, 0, 0][..], &fuzzing::pack(codec, &vec![0; 3 << 20])].concat());
        seeds.push([&[0x80 | at, 0, 0][..], &plain].concat());
        seeds.push([&[0x80 | at, 128, 1][..], &plain].concat());
    }
    seeds
}

pub(crate) fn commit_log() -> Vec<Vec<u8>> {
    let samples = fuzzing::samples(&batch(0));
    samples.into_iter().map(|(how, bytes)| [&[how][..], &bytes].concat()).collect()
}

pub(crate) fn facts() -> Vec<Vec<u8>> {
    let mut seeds = vec![[&[0][..], &fuzzing::topic()].concat()];
    seeds.extend(
        yeoul_kafka::fuzzing::sample_facts().into_iter().map(|fact| [&[1][..], &fact].concat()),
    );
    let fates = yeoul_base::Fates::default().encode();
    seeds.push([&[2][..], &fates].concat());
    seeds
}

/// No damage, and one change of each kind to each of the first files.
pub(crate) fn directory() -> Vec<Vec<u8>> {
    let mut seeds = vec![vec![0], vec![1], vec![2], vec![3]];
    for kind in 0..8 {
        for file in 0..12 {
            seeds.push(vec![kind & 3, kind, file, 64, 0, 5, 3]);
        }
    }
    seeds
}
