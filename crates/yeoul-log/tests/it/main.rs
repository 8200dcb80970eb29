//! The log as its users have it: through the store's trait, on real files and on the simulated
//! disk.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic and tell figures"
)]

mod basics;
mod broken;
mod calls;
mod compact;
mod crash;
mod doctor;
mod faults;
mod flips;
mod full_disk;
mod model;
mod open_files;
mod planted;
mod retention;
mod space;
mod sums;
mod support;
mod throughput;
mod transactions;
mod workload;
