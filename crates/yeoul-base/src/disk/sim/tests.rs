//! The simulated disk against what real ones may do.

use super::*;
use crate::rand::SeededRand;

fn images(disk: &SimDisk, crash: Crash) -> Vec<Image> {
    let mut replay = disk.replay();
    while replay.step() {}
    (0..64).map(|seed| replay.image(crash, &SeededRand::new(seed))).collect()
}

fn file(image: &Image, path: &str) -> Option<Vec<u8>> {
    image.files.get(Path::new(path)).map(|bytes| bytes.to_vec())
}

#[test]
fn only_what_was_synced_survives_a_power_cut() -> io::Result<()> {
    let disk = SimDisk::new();
    disk.create_dir_all(Path::new("d"))?;
    let written = disk.open(Path::new("d/a"), Open::Create)?;
    written.write_all_at(b"one", 0)?;
    written.sync_data()?;
    let cut = |disk: &SimDisk| images(disk, Crash::PowerCut).remove(0);
    assert_eq!(cut(&disk), Image::default(), "a file's sync does not save its name");
    disk.sync_dir(Path::new("d"))?;
    assert_eq!(cut(&disk), Image::default(), "nor a folder's sync the folder's own name");
    disk.sync_dir(Path::new(""))?;
    assert_eq!(file(&cut(&disk), "d/a"), Some(b"one".to_vec()));
    written.write_all_at(b"two!", 0)?;
    let killed = disk.killed_at(disk.journal_len());
    assert_eq!(killed.image(), disk.image());
    assert_eq!(file(&cut(&killed), "d/a"), Some(b"one".to_vec()));
    disk.rename(Path::new("d/a"), Path::new("d/b"))?;
    assert_eq!(file(&cut(&disk), "d/a"), Some(b"one".to_vec()));
    assert_eq!(file(&images(&disk, Crash::Kill)[0], "d/b"), Some(b"two!".to_vec()));
    assert_eq!(file(&images(&disk, Crash::NoNames)[0], "d/a"), Some(b"two!".to_vec()));
    assert_eq!(file(&images(&disk, Crash::ZeroFilled)[0], "d/b"), Some(b"one\0".to_vec()));
    Ok(())
}

#[test]
fn torn_writes_come_in_every_mixture() -> io::Result<()> {
    let disk = SimDisk::new();
    let written = disk.open(Path::new("a"), Open::Create)?;
    disk.sync_dir(Path::new(""))?;
    written.write_all_at(&[1; 1024], 0)?;
    written.sync_data()?;
    written.write_all_at(&[2; 1024], 0)?;
    let seen: BTreeSet<_> = images(&disk, Crash::Torn { block_bytes: 512 })
        .iter()
        .filter_map(|image| file(image, "a"))
        .map(|bytes| (bytes[0], bytes[1023]))
        .collect();
    assert_eq!(seen, BTreeSet::from([(1, 1), (1, 2), (2, 1), (2, 2)]));
    Ok(())
}

#[test]
fn a_failed_sync_loses_the_bytes_though_they_read_back() -> io::Result<()> {
    let disk = SimDisk::new();
    let written = disk.open(Path::new("a"), Open::Create)?;
    disk.sync_dir(Path::new(""))?;
    written.write_all_at(b"lost", 0)?;
    disk.inject(Fault {
        action: Action::Sync,
        path: "a".into(),
        after: 0,
        times: 1,
        error: io::ErrorKind::Other,
    });
    assert!(written.sync_data().is_err());
    written.sync_data()?;
    let mut back = [0; 4];
    written.read_exact_at(&mut back, 0)?;
    assert_eq!(&back, b"lost");
    assert_eq!(file(&images(&disk, Crash::PowerCut)[0], "a"), Some(Vec::new()));
    Ok(())
}

#[test]
fn it_behaves_as_the_trait_says() -> io::Result<()> {
    let disk = SimDisk::new();
    let missing = disk.open(Path::new("a"), Open::Read).err().map(|error| error.kind());
    assert_eq!(missing, Some(io::ErrorKind::NotFound));
    assert!(disk.open(Path::new("d/a"), Open::Create).is_err(), "no such folder");
    disk.create_dir_all(Path::new("d/e"))?;
    disk.open(Path::new("d/a"), Open::CreateNew)?.write_all_at(b"x", 3)?;
    assert_eq!(disk.read_all(Path::new("d/a"), 9)?, b"\0\0\0x");
    let names: Vec<_> = disk.list(Path::new("d"))?.into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["a", "e"]);
    assert!(disk.remove_dir(Path::new("d")).is_err());
    let lock = disk.lock(Path::new("lock"), "17")?;
    assert!(disk.lock(Path::new("lock"), "18").is_err());
    drop(lock);
    assert!(disk.lock(Path::new("lock"), "18").is_ok());
    disk.set_capacity(Some(8));
    let full = disk.open(Path::new("d/a"), Open::Write)?.write_all_at(&[0; 20], 0).err();
    assert_eq!(full.map(|error| error.kind()), Some(io::ErrorKind::StorageFull));
    let again = SimDisk::from_image(&disk.image());
    assert_eq!(again.image(), disk.image());
    Ok(())
}
