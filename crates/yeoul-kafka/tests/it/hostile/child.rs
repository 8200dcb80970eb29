//! A listener in a process of its own, so that its memory and its open files are its own: this
//! test binary, started again.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child as Process, ChildStdin, Command};
use yeoul_base::{OsRand, RealDisk, SystemClock};
use yeoul_kafka::{KafkaOptions, KafkaServer, Listener};
use yeoul_log::{Log, LogOptions};

const FOLDER: &str = "YEOUL_HOSTILE_FOLDER";
const MEMORY: &str = "YEOUL_HOSTILE_MEMORY";
/// Of requests and of answers in the child.
pub(crate) const MEMORY_BYTES: usize = 32 << 20;

pub(crate) struct Child {
    pub(crate) addr: SocketAddr,
    process: Process,
    /// Its end is the child's.
    _input: ChildStdin,
    _dir: TempDir,
}

impl Child {
    /// With so many open files at most.
    pub(crate) async fn start(files: u32) -> Self {
        let dir = TempDir::new().expect("a folder");
        let exe = std::env::current_exe().expect("this test");
        let mut process = Command::new("sh")
            .args(["-c", &format!("ulimit -n {files} && exec \"$0\" \"$@\"")])
            .arg(exe)
            .args(["--exact", "hostile::child::serve_for_other_tests", "--ignored", "--nocapture"])
            .env(FOLDER, dir.path())
            .env(MEMORY, MEMORY_BYTES.to_string())
            // What is measured is our own memory, not the allocator's pools for threads.
            .env("MALLOC_ARENA_MAX", "2")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the child starts");
        let input = process.stdin.take().expect("piped");
        let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let addr = loop {
            let line = tokio::time::timeout(Duration::from_secs(30), lines.next_line()).await;
            let line = line.expect("in time").expect("readable").expect("an address");
            if let Some((_, addr)) = line.split_once("serving ") {
                break addr.trim().parse().expect("an address");
            }
        };
        // What the test harness prints at its end must find a reader.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { addr, process, _input: input, _dir: dir }
    }

    /// Bytes from `/proc/PID/status`: `VmRSS` now, `VmHWM` at the highest.
    pub(crate) fn memory(&self, field: &str) -> u64 {
        let pid = self.process.id().expect("it still runs");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("the field");
        let kib = line.trim_matches([':', ' ', '\t']).split_whitespace().next();
        kib.and_then(|kib| kib.parse::<u64>().ok()).expect("a number") << 10
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a server for other tests"]
async fn serve_for_other_tests() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let memory = std::env::var(MEMORY).ok().and_then(|bytes| bytes.parse().ok());
    let memory = memory.unwrap_or(MEMORY_BYTES);
    let clock = Arc::new(SystemClock::new());
    let rand = Arc::new(OsRand::new());
    let disk = Arc::new(RealDisk::new(folder).expect("a data directory"));
    let log_options = LogOptions { slot_bytes: [4 << 20; 3], ..LogOptions::default() };
    let (log, _) =
        Log::open(disk, clock.clone(), rand.clone(), log_options).expect("an undamaged log");
    let options = KafkaOptions {
        listeners: vec![Listener::parse("127.0.0.1:0").expect("an address")],
        request_memory_bytes: memory,
        answer_memory_bytes: memory,
        stall_max: Duration::from_secs(5),
        ..KafkaOptions::default()
    };
    let server = KafkaServer::bind(options, Arc::new(log.clone()), clock, rand).await;
    let server = server.expect("a free port");
    println!("serving {}", server.addrs()[0]);
    let mut input = Vec::new();
    let ended = async {
        // Whatever ends the parent ends its pipe.
        let _ = tokio::io::stdin().read_to_end(&mut input).await;
    };
    server.run(ended).await;
    log.close();
}
