//! A Kafka listener over a data directory and nothing else, for trying clients by hand:
//! `cargo run -p yeoul-kafka --example serve -- DATA_DIR 127.0.0.1:9092 [READY_FILE]`.

use std::io;
use std::sync::Arc;

use yeoul_base::{OsRand, RealDisk, SystemClock};
use yeoul_kafka::{KafkaOptions, KafkaServer, Listener};
use yeoul_log::{Log, LogOptions};

#[tokio::main]
async fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().ok_or_else(|| io::Error::other("serve DATA_DIR [HOST:PORT]"))?;
    let bind = args.next().unwrap_or_else(|| "127.0.0.1:9092".into());
    let clock = Arc::new(SystemClock::new());
    let rand = Arc::new(OsRand::new());
    let disk = Arc::new(RealDisk::new(dir)?);
    let (log, _) = Log::open(disk, clock.clone(), rand.clone(), LogOptions::default())
        .map_err(io::Error::other)?;
    let listener = Listener::parse(&bind).map_err(io::Error::other)?;
    let options = KafkaOptions { listeners: vec![listener], ..KafkaOptions::default() };
    let server = KafkaServer::bind(options, Arc::new(log.clone()), clock, rand).await?;
    #[expect(clippy::print_stdout, reason = "an example for a terminal")]
    {
        println!("serving {:?}", server.addrs());
    }
    if let Some(file) = args.next() {
        let kafka: Vec<_> = server.addrs().iter().map(|addr| format!("\"{addr}\"")).collect();
        let text = format!("{{\"http\":\"127.0.0.1:0\",\"kafka\":[{}]}}", kafka.join(","));
        #[expect(clippy::disallowed_methods, reason = "not a file of the data directory")]
        std::fs::write(file, text)?;
    }
    server
        .run(async {
            // Without a signal handler the process is killed instead, which the log survives.
            let _ = tokio::signal::ctrl_c().await;
        })
        .await;
    log.close();
    Ok(())
}
