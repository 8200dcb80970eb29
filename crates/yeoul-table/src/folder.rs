//! A table's folder: how names become paths, and which files a table may call its own.
//!
//! Invariant: only files of the exact shapes this module makes are ever removed.

use std::path::{Path, PathBuf};

use tracing::{info, warn};
use yeoul_base::Disk;

use crate::error::TableError;
use crate::segment::SegmentId;

const ROOT: &str = "tables";
const SUFFIX: &str = ".parquet";
const TMP_SUFFIX: &str = ".parquet.tmp";

/// The folder of the table `name`, relative to the disk's root.
pub(crate) fn path(name: &str) -> PathBuf {
    let mut folder = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' {
            folder.push(char::from(byte));
        } else {
            folder.push_str(&format!("%{byte:02X}"));
        }
    }
    Path::new(ROOT).join(folder)
}

pub(crate) fn segment_file(folder: &Path, id: SegmentId) -> PathBuf {
    folder.join(format!("{id}{SUFFIX}"))
}

pub(crate) fn temporary_file(folder: &Path, id: SegmentId) -> PathBuf {
    folder.join(format!("{id}{TMP_SUFFIX}"))
}

fn own_id(file: &str) -> Option<SegmentId> {
    let stem = file.strip_suffix(TMP_SUFFIX).or_else(|| file.strip_suffix(SUFFIX))?;
    let lower = stem.len() == 16
        && stem.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if lower { u64::from_str_radix(stem, 16).ok().map(SegmentId) } else { None }
}

/// Makes the folder durable and removes what a crash left: own files that no fact names.
pub(crate) fn prepare(
    disk: &dyn Disk,
    folder: &Path,
    known: impl Fn(SegmentId) -> bool,
) -> Result<(), TableError> {
    disk.create_dir_all(folder).map_err(TableError::disk(folder))?;
    // Names are durable only when each folder above is synced.
    for above in [Path::new(""), Path::new(ROOT)] {
        disk.sync_dir(above).map_err(TableError::disk(above))?;
    }
    for entry in disk.list(folder).map_err(TableError::disk(folder))? {
        let Some(id) = own_id(&entry.name).filter(|_| !entry.is_dir) else {
            warn!(folder = %folder.display(), name = entry.name, "not a file of this table: left");
            continue;
        };
        if entry.name.ends_with(TMP_SUFFIX) || !known(id) {
            let file = folder.join(&entry.name);
            disk.remove_file(&file).map_err(TableError::disk(&file))?;
            info!(file = %file.display(), "removed: no commit refers to it");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_the_folder() {
        assert_eq!(path("bike-station_info"), Path::new("tables/bike-station_info"));
        assert_eq!(path("../x"), Path::new("tables/%2E%2E%2Fx"));
        assert_eq!(path("역"), Path::new("tables/%EC%97%AD"));
    }

    #[test]
    fn only_exact_shapes_are_own() {
        assert_eq!(own_id("00000001000000ff.parquet"), Some(SegmentId(0x1_0000_00ff)));
        assert_eq!(own_id("00000001000000ff.parquet.tmp"), Some(SegmentId(0x1_0000_00ff)));
        for other in ["1.parquet", "00000001000000FF.parquet", "x.txt", "+000001000000ff0.parquet"]
        {
            assert_eq!(own_id(other), None, "{other}");
        }
    }
}
