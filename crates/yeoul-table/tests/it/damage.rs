//! Damaged files: whatever byte changed, a reader hears which file of which table it is, or gets
//! the rows that were written.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use yeoul_base::{Rand, SeededRand, SimDisk};
use yeoul_table::{Segment, Table, TableError, TableSpec};

use super::{columns, rows};

fn read(segment: &Segment) -> Result<Vec<RecordBatch>, TableError> {
    let file = segment.open()?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let batches: Result<Vec<_>, ArrowError> = builder.build()?.collect();
    Ok(batches?)
}

/// A table of one file over the simulated disk.
fn table(disk: &SimDisk, store: &yeoul_base::MemStore) -> Table {
    let clock = std::sync::Arc::new(yeoul_base::ManualClock::at_ms(1_000));
    let spec = TableSpec::new("films", "korean_movies", columns());
    let (store, disk) = (std::sync::Arc::new(store.clone()), std::sync::Arc::new(disk.clone()));
    Table::open(store, disk, clock, spec).unwrap()
}

#[test]
fn no_changed_byte_is_ever_read_as_if_it_were_true() {
    // Small: the whole file is the tail. Large: blocks before it.
    for (count, flips) in [(60, 400), (60_000, 200)] {
        let (disk, store) = (SimDisk::new(), yeoul_base::MemStore::new());
        let first = table(&disk, &store);
        first.append(rows(0, count)).unwrap();
        first.seal().unwrap();
        let snapshot = first.snapshot();
        let segment = &snapshot.segments[0];
        let written = read(segment).unwrap();
        let len = segment.meta.bytes;
        assert_eq!(segment.meta.tail_bytes < len, count > 1_000, "{len}");
        let rand = SeededRand::new(9);
        for flip in 0..flips {
            // Each byte of the small file's ends, the others by chance.
            let at = if flip < 40 { len - 1 - flip } else { rand.below(len) };
            let mask = 1 << rand.below(8);
            assert!(disk.flip(segment.path(), at, mask));
            let fresh = table(&disk, &store);
            let snapshot = fresh.snapshot();
            let damaged = &snapshot.segments[0];
            let error = match read(damaged) {
                Err(error) => error,
                Ok(batches) => panic!("byte {at} of {len}: {} batches", batches.len()),
            };
            // The library keeps only the text of an error in the middle of a file.
            let text = error.to_string();
            assert!(text.contains("table `films`"), "{text}");
            assert!(text.contains(&*segment.path().to_string_lossy()), "{text}");
            assert!(damaged.damage().is_some(), "the segment remembers: {text}");
            assert_eq!(fresh.damage().len(), 1);
            assert!(disk.flip(segment.path(), at, mask));
        }
        assert_eq!(read(segment).unwrap(), written);
    }
}

#[test]
fn compaction_goes_around_a_damaged_file() {
    let (disk, store) = (SimDisk::new(), yeoul_base::MemStore::new());
    let first = table(&disk, &store);
    for turn in 0..10 {
        first.append(rows(turn * 10, turn * 10 + 10)).unwrap();
        first.seal().unwrap();
    }
    let victim = first.snapshot().segments[4].clone();
    assert!(disk.flip(victim.path(), 100, 1));
    drop(first);
    let table = table(&disk, &store);
    let report = table.compact(&|| false).unwrap().unwrap();
    assert_eq!((report.files_in, report.rows_out), (9, 90));
    assert_eq!(table.snapshot().segments.len(), 2, "the damaged file is kept for whoever repairs");
    assert_eq!(table.damage().len(), 1);
}

#[test]
fn a_failing_call_of_the_disk_costs_nothing_but_the_try() {
    use yeoul_base::disk::sim::CallFault;

    let mut tried = 0;
    for fault in [CallFault::Eio, CallFault::Enospc, CallFault::Emfile, CallFault::Short] {
        for nth in (0..).step_by(3) {
            let (disk, store) = (SimDisk::new(), yeoul_base::MemStore::new());
            let table = table(&disk, &store);
            for turn in 0..8 {
                table.append(rows(turn * 10, turn * 10 + 10)).unwrap();
                table.seal().unwrap();
            }
            table.append(rows(80, 90)).unwrap();
            disk.fail_call(nth, fault);
            let sealed = table.seal();
            let folded = table.compact(&|| false);
            let failed = disk.take_failed_call();
            // Whatever failed: nothing is lost, and the next try makes it good.
            assert_eq!(super::offsets(&table.snapshot()), (0..90).collect::<Vec<_>>());
            table.seal().unwrap();
            while table.compact(&|| false).unwrap().is_some() {}
            let segments = table.snapshot().segments.len();
            assert!(segments <= 2, "{nth} {fault:?} {sealed:?} {folded:?}");
            assert_eq!(super::offsets(&table.snapshot()), (0..90).collect::<Vec<_>>());
            drop(table);
            let table = self::table(&disk, &store);
            assert_eq!(disk.image().files.len(), segments, "{nth} {fault:?}: only what is named");
            assert_eq!(super::offsets(&table.snapshot()), (0..90).collect::<Vec<_>>());
            tried += 1;
            if !failed {
                break;
            }
        }
    }
    assert!(tried > 40, "{tried}");
}
