//! All fuzz targets in one binary: `YEOUL_FUZZ` names the target, libFuzzer's own options follow.
//! With `YEOUL_FUZZ_SEEDS=FOLDER` it writes the target's seeds there and ends.
//!
//! Run by `cargo xtask fuzz`, which sets the flags that instrument the code. What is called must
//! return for every input; a panic, a hang or memory beyond libFuzzer's limits is the finding.
#![no_main]

mod directory;
mod listener;
mod records;
mod seeds;
mod wire;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

/// A target: its name, what it runs, and what it begins with.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&[u8]),
    pub(crate) seeds: fn() -> Vec<Vec<u8>>,
}

/// `xtask/src/fuzz.rs` has the same names.
const TARGETS: [Target; 8] = [
    Target { name: "frames", run: wire::frames, seeds: seeds::frames },
    Target { name: "requests", run: wire::requests, seeds: seeds::requests },
    Target { name: "batches", run: records::batches, seeds: seeds::batches },
    Target { name: "unpack", run: records::unpack, seeds: seeds::unpack },
    Target { name: "commitlog", run: records::commit_log, seeds: seeds::commit_log },
    Target { name: "facts", run: records::facts, seeds: seeds::facts },
    Target { name: "directory", run: directory::run, seeds: seeds::directory },
    Target { name: "listener", run: listener::run, seeds: seeds::listener },
];

static TARGET: OnceLock<&'static Target> = OnceLock::new();

fn target() -> &'static Target {
    TARGET.get_or_init(|| {
        let name = std::env::var("YEOUL_FUZZ").unwrap_or_default();
        TARGETS.iter().find(|target| target.name == name).unwrap_or_else(|| {
            let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
            eprintln!("YEOUL_FUZZ={name} is none of {}", names.join(", "));
            std::process::exit(2);
        })
    })
}

fuzz_target!(
    init: {
        let target = target();
        if let Some(folder) = std::env::var_os("YEOUL_FUZZ_SEEDS") {
            seeds::write(target, std::path::Path::new(&folder));
            std::process::exit(0);
        }
    },
    |data: &[u8]| {
        (target().run)(data);
    }
);
