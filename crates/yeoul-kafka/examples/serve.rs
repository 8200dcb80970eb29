//! A Kafka listener over the simulated store, for trying clients by hand:
//! `cargo run -p yeoul-kafka --example serve -- 127.0.0.1:9092`. Nothing is kept.

use std::io;
use std::sync::Arc;

use yeoul_base::{MemStore, OsRand, SystemClock};
use yeoul_kafka::{KafkaOptions, KafkaServer, Listener};

#[tokio::main]
async fn main() -> io::Result<()> {
    let bind = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9092".into());
    let listener = Listener::parse(&bind).map_err(io::Error::other)?;
    let options = KafkaOptions { listeners: vec![listener], ..KafkaOptions::default() };
    let server = KafkaServer::bind(
        options,
        Arc::new(MemStore::new()),
        Arc::new(SystemClock::new()),
        Arc::new(OsRand::new()),
    )
    .await?;
    #[expect(clippy::print_stdout, reason = "an example for a terminal")]
    {
        println!("serving {:?}", server.addrs());
    }
    server
        .run(async {
            // Without a signal handler the process is killed instead, which is fine here.
            let _ = tokio::signal::ctrl_c().await;
        })
        .await;
    Ok(())
}
