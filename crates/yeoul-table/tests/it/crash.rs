//! Restarts at bad moments: no row is lost, none is there twice, nothing strange is touched.

use yeoul_base::rand::SeededRand;
use yeoul_base::{Rand, StoreError};
use yeoul_table::TableError;

use super::{PART, World, offsets, rows};

#[test]
fn a_second_opener_fences_the_first_and_its_files_are_removed() {
    let world = World::new();
    let zombie = world.open();
    zombie.append(rows(0, 50)).unwrap();
    let table = world.open();
    table.append(rows(0, 30)).unwrap();
    table.seal().unwrap();
    let refused = zombie.seal();
    assert!(matches!(refused, Err(TableError::Store(StoreError::Fenced { .. }))), "{refused:?}");
    assert_eq!(offsets(&zombie.snapshot()).len(), 50, "a failed seal loses nothing in memory");
    assert_eq!(world.files().len(), 2);
    let strange = world.folder.path().join("tables/films/notes.txt");
    std::fs::write(&strange, "mine").unwrap();
    drop((zombie, table));

    let table = world.open();
    assert_eq!(world.files().len(), 2, "the orphan is gone, the unknown file is not");
    assert!(strange.exists());
    assert_eq!(offsets(&table.snapshot()), (0..30).collect::<Vec<_>>());
}

#[test]
fn a_failed_seal_is_made_again_whole() {
    let world = World::new();
    let table = world.open();
    table.append(rows(0, 50)).unwrap();
    let folder = world.folder.path().join("tables/films");
    std::fs::remove_dir(&folder).unwrap();
    assert!(matches!(table.seal(), Err(TableError::Disk { .. })));
    table.append(rows(50, 60)).unwrap();
    std::fs::create_dir(&folder).unwrap();
    assert_eq!(table.seal().unwrap().unwrap().rows, 60);
    assert_eq!(table.committed_offset(PART), Some(60));
    assert_eq!(offsets(&table.snapshot()), (0..60).collect::<Vec<_>>());
}

#[test]
fn a_cut_or_changed_file_stops_the_read_and_nothing_else() {
    let world = World::new();
    let table = world.open();
    table.append(rows(0, 50)).unwrap();
    table.seal().unwrap();
    drop(table);
    let file = world.folder.path().join("tables/films").join(world.files().pop().unwrap());
    let mut bytes = std::fs::read(&file).unwrap();
    let at = bytes.len() - 100;
    bytes[at] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let table = world.open();
    let read = table.snapshot().segments.first().unwrap().footer();
    assert!(matches!(read, Err(TableError::Damaged { .. })), "{read:?}");
    drop(table);
    std::fs::write(&file, &bytes[..at]).unwrap();
    let table = world.open();
    assert_eq!(table.damage().len(), 1, "known when it is opened");
    let read = table.snapshot().segments.first().unwrap().open();
    assert!(matches!(read, Err(TableError::Damaged { .. })), "{read:?}");
    table.append(rows(50, 60)).unwrap();
    assert_eq!(table.seal().unwrap().unwrap().rows, 10, "it goes on");
}

#[test]
fn any_order_of_appends_seals_and_crashes_keeps_each_record_once() {
    for seed in 0..20 {
        let rand = SeededRand::new(seed);
        let world = World::new();
        let mut table = world.open();
        for _ in 0..40 {
            match rand.below(6) {
                0 => drop(table.seal().unwrap()),
                1 => {
                    drop(table);
                    table = world.open();
                }
                2 => {
                    // A crash between the files and the commit: the zombie's seal is refused.
                    let next = world.open();
                    let _ = table.seal();
                    drop(table);
                    drop(next);
                    table = world.open();
                }
                _ => {
                    let from = table.next_offset(PART).unwrap_or(0);
                    let count = 1 + rand.below(300) as i64;
                    table.append(rows(from, from + count)).unwrap();
                }
            }
            let next = table.next_offset(PART).unwrap_or(0);
            assert_eq!(offsets(&table.snapshot()), (0..next).collect::<Vec<_>>(), "seed {seed}");
            assert_eq!(table.fates().used, next as u64, "seed {seed}");
        }
    }
}
