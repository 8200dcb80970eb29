//! The `yeoul` binary: reads the command line, wires the crates into a node, starts and stops
//! them in order.

mod cli;
mod client;
mod kafka_cli;
mod node;
mod output;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cli::main()
}
