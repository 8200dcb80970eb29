//! A Kafka listener over a data directory and nothing else, for trying clients by hand and for
//! tests that kill it:
//! `cargo run -p yeoul-kafka --example serve -- DATA_DIR HOST:PORT[,HOST:PORT…] [READY_FILE [NAME=NUMBER...]]`.
//! The names are sizes of the log; small ones make it turn over slots, checkpoints and files soon.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use yeoul_base::{OsRand, RealDisk, SystemClock};
use yeoul_kafka::{KafkaOptions, KafkaServer, Listener};
use yeoul_log::{Log, LogOptions};

#[tokio::main]
async fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().ok_or_else(|| io::Error::other("serve DATA_DIR [HOST:PORT]"))?;
    let bind = args.next().unwrap_or_else(|| "127.0.0.1:9092".into());
    let ready_file = args.next();
    let clock = Arc::new(SystemClock::new());
    let rand = Arc::new(OsRand::new());
    let disk = Arc::new(RealDisk::new(&dir)?);
    let (closed, mut fatal) = watch::channel(None);
    let (log, _) = Log::open(disk, clock.clone(), rand.clone(), log_options(args, closed)?)
        .map_err(io::Error::other)?;
    let listeners = bind.split(',').map(Listener::parse).collect::<Result<_, _>>();
    let listeners = listeners.map_err(io::Error::other)?;
    let options = KafkaOptions { listeners, ..KafkaOptions::default() };
    let server = KafkaServer::bind(options, Arc::new(log.clone()), clock, rand).await?;
    #[expect(clippy::print_stdout, reason = "an example for a terminal")]
    {
        println!("serving {:?}", server.addrs());
    }
    if let Some(file) = ready_file {
        let kafka: Vec<_> = server.addrs().iter().map(|addr| format!("\"{addr}\"")).collect();
        let text = format!("{{\"http\":\"127.0.0.1:0\",\"kafka\":[{}]}}", kafka.join(","));
        #[expect(clippy::disallowed_methods, reason = "not a file of the data directory")]
        std::fs::write(file, text)?;
    }
    let mut ended = fatal.clone();
    server
        .run(async move {
            // As the binary does: what cannot be written any more must not be served either.
            tokio::select! {
                // Without a signal handler the process is killed instead, which the log survives.
                _ = tokio::signal::ctrl_c() => {}
                _ = ended.wait_for(Option::is_some) => {}
            }
        })
        .await;
    if let Some(reason) = fatal.borrow_and_update().clone() {
        return Err(io::Error::other(format!("the log has closed itself: {reason}")));
    }
    log.close();
    Ok(())
}

fn log_options(
    words: impl Iterator<Item = String>,
    closed: watch::Sender<Option<String>>,
) -> io::Result<LogOptions> {
    let on_fatal = move |reason: &str| {
        let _ = closed.send(Some(reason.to_owned()));
    };
    let mut options = LogOptions { on_fatal: Some(Arc::new(on_fatal)), ..LogOptions::default() };
    for word in words {
        let (name, number) = word
            .split_once('=')
            .and_then(|(name, number)| Some((name, number.parse::<u64>().ok()?)))
            .ok_or_else(|| io::Error::other(format!("`{word}` is not NAME=NUMBER")))?;
        let size = usize::try_from(number).map_err(io::Error::other)?;
        match name {
            "slot_bytes" => options.slot_bytes = [number; 3],
            "group_bytes" => options.group_bytes = size,
            "checkpoint_bytes" => options.checkpoint_bytes = number,
            "wal_bytes_max" => options.wal_bytes_max = number,
            "hot_bytes" => options.hot_bytes = size,
            "segment_bytes" => options.segment_bytes = number,
            "retention_every_ms" => options.retention_every = Duration::from_millis(number),
            other => return Err(io::Error::other(format!("there is no size `{other}`"))),
        }
    }
    Ok(options)
}
