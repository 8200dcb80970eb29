//! A data directory that was damaged: opened, read, written to and opened again. Whatever the
//! damage, the log opens or says what is wrong; and unless a hostile hand made the checksums
//! fit, it never gives out a record other than the one that was written there.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use yeoul_base::disk::sim::Image;
use yeoul_base::{
    Append, Commit, FactKey, FactKind, Isolation, ManualClock, NewTopic, PartId, SeededRand,
    SimDisk, Store, StoreError,
};
use yeoul_log::{BatchBuilder, Codec, Log, LogOptions, PartitionReader, fuzzing};

/// What one change takes in the input.
const CHANGE_BYTES: usize = 6;
const NOW_MS: i64 = 1_700_000_000_000;

fn options() -> LogOptions {
    LogOptions {
        slot_bytes: [16 << 10; 3],
        group_bytes: 16 << 10,
        checkpoint_bytes: 1 << 30,
        hot_bytes: 0,
        // A file of zeros would be all that an execution is busy with.
        reserve_bytes: 0,
        unsplit_bytes: 64 << 10,
        segment_bytes: 600,
        inline: true,
        ..LogOptions::default()
    }
}

fn open(disk: &SimDisk) -> Option<Log> {
    let clock = Arc::new(ManualClock::at_ms(NOW_MS));
    let rand = Arc::new(SeededRand::new(7));
    Log::open(Arc::new(disk.clone()), clock, rand, options()).ok().map(|(log, _)| log)
}

fn batch(codec: Codec, values: &[String]) -> Bytes {
    let mut builder = BatchBuilder::new(codec);
    for value in values {
        builder.push(NOW_MS, Some(b"key"), Some(value.as_bytes()), &[]);
    }
    builder.finish().expect("values")
}

/// Directories to damage, and what every offset of every partition holds.
struct Base {
    images: Vec<Image>,
    salt: u64,
    values: BTreeMap<(PartId, i64), String>,
}

/// Two topics, two partitions each, several log segments, a snapshot and a commit log to replay;
/// once as a kill leaves it and once closed in order. As small as has all of that: what an
/// execution reads and checks is what it takes.
fn base() -> &'static Base {
    static BASE: OnceLock<Base> = OnceLock::new();
    BASE.get_or_init(|| {
        let disk = SimDisk::new();
        let log = open(&disk).expect("an empty directory");
        let mut values = BTreeMap::new();
        let mut parts = Vec::new();
        for name in ["one", "two"] {
            let new = NewTopic { name: name.into(), partitions: 2, config: BTreeMap::new() };
            parts.extend(log.create_topic(new).expect("made").partitions.iter().copied());
        }
        let mut next = BTreeMap::new();
        for round in 0..12 {
            if round == 8 {
                log.checkpoint().expect("a checkpoint");
            }
            let part = parts[round % parts.len()];
            let texts: Vec<_> =
                (0..2).map(|at| format!("{round}-{at}-{}", "x".repeat(90))).collect();
            let codec = if round % 3 == 0 { Codec::Lz4 } else { Codec::None };
            let first = next.entry(part).or_insert(0i64);
            for text in &texts {
                values.insert((part, *first), text.clone());
                *first += 1;
            }
            let fact = FactKey::new(FactKind::Schema, format!("fact {round}").into_bytes());
            let commit = Commit {
                appends: vec![Append { part, batch: batch(codec, &texts) }],
                facts: vec![(fact, Some(Bytes::from_static(b"value")))],
                ..Commit::default()
            };
            log.commit(commit).expect("committed");
        }
        let killed = disk.image();
        log.close();
        let images = vec![killed, disk.image()];
        let snapshot = images[0].files.iter().find_map(|(path, bytes)| {
            path.to_string_lossy().ends_with(".snap").then(|| fuzzing::salt(bytes))?
        });
        Base { images, salt: snapshot.expect("a snapshot"), values }
    })
}

/// Whether a change puts a whole file in the place of another: no disk does, and a log segment
/// does not say whose it is.
fn swaps_files(change: &[u8]) -> bool {
    change.first().is_some_and(|kind| kind % 8 == 6)
}

/// Damage as the input says: each six bytes are one change of one file.
fn damaged(image: &mut Image, changes: &[u8]) {
    for change in changes.chunks_exact(CHANGE_BYTES).take(64) {
        let [kind, file, high, low, fine, byte] = *change else { return };
        let count = image.files.len().max(1);
        let Some(path) = image.files.keys().nth(usize::from(file) % count).cloned() else { return };
        let Some(bytes) = image.files.get_mut(&path) else { return };
        let bytes = Arc::make_mut(bytes);
        let len = bytes.len();
        // Coarse, so that a mutation of one byte reaches every place of a slot; then fine.
        let at =
            (usize::from(high) << 8 | usize::from(low)) * len.max(1) / 65_536 + usize::from(fine);
        match kind % 8 {
            0 => {
                if let Some(one) = bytes.get_mut(at) {
                    *one ^= byte
                }
            }
            1 => {
                if let Some(one) = bytes.get_mut(at) {
                    *one = byte
                }
            }
            2 => bytes.truncate(at),
            3 => bytes.resize(len + usize::from(byte) * 16, byte),
            4 => {
                // A block that never reached the disk, or one that was erased.
                let from = at / 512 * 512;
                let to = (from + 512 * (usize::from(byte) % 9)).min(len);
                if let Some(hole) = bytes.get_mut(from..to) {
                    hole.fill(0);
                }
            }
            5 => {
                // A block written to the wrong place.
                let (from, to) = (at / 512 * 512, usize::from(byte) * 512);
                if let Some(block) = bytes.get(from..from + 512).map(<[u8]>::to_vec)
                    && let Some(place) = bytes.get_mut(to..to + 512)
                {
                    place.copy_from_slice(&block);
                }
            }
            6 => {
                // A file in the place of another.
                let other = image.files.keys().nth(usize::from(byte) % count).cloned();
                if let Some(other) = other.and_then(|other| image.files.get(&other).cloned()) {
                    image.files.insert(path, other);
                }
            }
            _ => {
                image.files.remove(&path);
                if byte & 1 == 1 {
                    image.files.insert(PathBuf::from(renamed(&path, byte)), Arc::default());
                }
            }
        }
    }
}

/// Another name in the same folder.
fn renamed(path: &std::path::Path, byte: u8) -> String {
    let text = path.to_string_lossy();
    match text.rsplit_once('.') {
        Some((stem, end)) if byte & 2 == 2 => format!("{stem}9.{end}"),
        _ => format!("{text}x"),
    }
}

fn reseal(image: &mut Image, salt: u64) {
    for (path, bytes) in &mut image.files {
        let path = path.to_string_lossy();
        if path.ends_with(".wal") {
            fuzzing::reseal_slot(Arc::make_mut(bytes).as_mut_slice(), salt);
        } else if path.ends_with(".snap") {
            fuzzing::reseal_snapshot(Arc::make_mut(bytes).as_mut_slice());
        }
    }
}

pub(crate) fn run(data: &[u8]) {
    let Some((how, changes)) = data.split_first() else { return };
    let base = base();
    let mut image = base.images[usize::from(how & 1)].clone();
    let hostile = how & 2 == 2;
    let natural = !hostile && !changes.chunks_exact(CHANGE_BYTES).any(swaps_files);
    damaged(&mut image, changes);
    if hostile {
        reseal(&mut image, base.salt);
    }
    let disk = SimDisk::from_image(&image);
    let Some(log) = open(&disk) else { return };
    let store: Arc<dyn Store> = Arc::new(log.clone());
    read_all(&store, natural.then_some(&base.values));
    let parts: Vec<_> =
        log.topics().by_name.values().flat_map(|topic| topic.partitions.to_vec()).take(8).collect();
    let mut added = Vec::new();
    for part in parts {
        let batch = batch(Codec::None, &["after".to_owned()]);
        let appended =
            log.commit(Commit { appends: vec![Append { part, batch }], ..Commit::default() });
        if let Ok(appended) = appended {
            added.push((part, appended.appends[0].base_offset));
        }
        let _ = log.offset_at(part, NOW_MS);
    }
    log.close();
    drop((log, store));
    // What opened once and was written to opens again and has it.
    let log = open(&disk).expect("a log that was opened and closed in order opens again");
    for (part, offset) in added {
        let read = log.read(part, offset, 1 << 16, Isolation::Uncommitted);
        // Behind damage in the same log segment it may not be reached, but it is not forgotten.
        let told = match &read {
            Ok(_) | Err(StoreError::Corrupt(_) | StoreError::Quarantined { .. }) => true,
            // A snapshot that a hostile hand made to fit may say anything of a log segment.
            Err(StoreError::Io(_)) => hostile,
            Err(_) => false,
        };
        assert!(told, "offset {offset} of partition {part}: {read:?}");
    }
}

/// Reads every partition to its end or its first damage.
fn read_all(store: &Arc<dyn Store>, expected: Option<&BTreeMap<(PartId, i64), String>>) {
    for topic in store.topics().by_name.values() {
        for part in topic.partitions.iter().take(8) {
            let Some(ends) = store.ends(*part) else { continue };
            let mut reader =
                PartitionReader::new(Arc::clone(store), *part, ends.start, Isolation::Committed);
            for _ in 0..200 {
                let records = match reader.next(1 << 14) {
                    Ok(records) if records.is_empty() => break,
                    Ok(records) => records,
                    Err(StoreError::BadBatch(_)) if reader.skip_bad().is_some() => continue,
                    Err(_) => break,
                };
                for record in records {
                    let Some(expected) = expected else { continue };
                    let value = record.value.unwrap_or_default();
                    let known = expected.get(&(*part, record.offset));
                    assert!(
                        known.map(String::as_bytes) == Some(value.as_ref()),
                        "partition {part} offset {}: {}",
                        record.offset,
                        String::from_utf8_lossy(&value)
                    );
                }
            }
        }
    }
}
