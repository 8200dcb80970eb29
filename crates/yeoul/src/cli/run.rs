//! `yeoul run`: a node that serves until it is told to stop.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use tokio::net::TcpListener;

use yeoul_kafka::Listener;
use yeoul_pipeline::{Pipeline, SystemVars};

use super::ports;
use crate::node::{Node, NodeOptions};
use crate::output::{self, Failure};

const HTTP_DEFAULT: &str = "127.0.0.1:8888";
const KAFKA_DEFAULT: &str = "127.0.0.1:9092";

#[derive(Debug, Clone, Args)]
pub(crate) struct RunArgs {
    /// Pipeline files, or folders of them; none makes an empty node
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ServeArgs {
    /// Where everything is kept
    #[arg(long)]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where the web app, Druid's and our own API answer (default 127.0.0.1:8888; port 0 picks one)
    #[arg(long)]
    pub(crate) http: Option<String>,
    /// A Kafka listener as LISTEN[=ADVERTISE], repeatable (default 127.0.0.1:9092)
    #[arg(long)]
    pub(crate) kafka: Vec<String>,
    /// A further name under which the web app may be reached
    #[arg(long)]
    pub(crate) allow_host: Vec<String>,
    /// Listen beyond this machine although there is no authentication
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Memory for queries, such as 512MB
    #[arg(long)]
    pub(crate) memory_limit: Option<String>,
    /// Written once everything serves: {"http":"…","kafka":["…"]}
    #[arg(long)]
    pub(crate) ready_file: Option<PathBuf>,
}

pub(crate) async fn run(args: RunArgs) -> Result<ExitCode, Failure> {
    // What they name may be in pipelines that the data directory keeps: the node looks at all.
    let pipelines = yeoul_pipeline::read_files(&args.files)
        .and_then(|files| yeoul_pipeline::parse_each(&files, &SystemVars))
        .map_err(|report| super::drawn(&report))?;
    let from_file = |find: fn(&Pipeline) -> Option<String>| pipelines.iter().find_map(find);
    let http = args.serve.http.clone().or_else(|| from_file(|file| file.node.http.clone()));
    let http = http.unwrap_or_else(|| HTTP_DEFAULT.into());
    let mut kafka = args.serve.kafka.clone();
    if kafka.is_empty() {
        kafka = pipelines.iter().find_map(|file| file.node.kafka.clone()).unwrap_or_default();
    }
    if kafka.is_empty() {
        kafka.push(KAFKA_DEFAULT.into());
    }
    let listeners = Listeners::bind(&http, &kafka, &args.serve, false).await?;
    let data_dir = args.serve.data_dir.clone().unwrap_or_else(|| "yeoul-data".into());
    let node = open(&args.serve, data_dir, &listeners)?;
    node.follow(pipelines)?;
    serve(node, listeners, &args.serve, &[]).await
}

/// Sockets that are bound before anything else happens, so that a taken port costs no work.
#[derive(Debug)]
pub(crate) struct Listeners {
    pub(crate) http: TcpListener,
    /// `localhost` is a socket for each family.
    pub(crate) kafka: Vec<(TcpListener, Listener)>,
    /// One per listener, as bound.
    pub(crate) kafka_addrs: Vec<SocketAddr>,
}

impl Listeners {
    /// With `next_free`, a taken port makes way for the next one, as the demo does.
    pub(crate) async fn bind(
        http: &str,
        kafka: &[String],
        args: &ServeArgs,
        next_free: bool,
    ) -> Result<Self, Failure> {
        let http = Listener { bind: http.to_owned(), advertise: None };
        let mut sockets = bind(http, "--http", args.insecure, next_free).await?;
        // The app's pages come from one socket; IPv4 is the one every browser tries.
        sockets.truncate(1);
        let Some((http, _)) = sockets.pop() else {
            return Err(Failure::new("--http names no address"));
        };
        let (mut kafka_sockets, mut kafka_addrs) = (Vec::new(), Vec::new());
        for text in kafka {
            let listener = Listener::parse(text).map_err(|what| {
                Failure::new(what).hint(
                    "--kafka takes LISTEN[=ADVERTISE], such as 127.0.0.1:9092 or \
                     0.0.0.0:9093=kafka:9093",
                )
            })?;
            let bound = bind(listener, "--kafka", args.insecure, next_free).await?;
            if let Some((socket, _)) = bound.first() {
                kafka_addrs.push(socket.local_addr()?);
            }
            kafka_sockets.extend(bound);
        }
        Ok(Self { http, kafka: kafka_sockets, kafka_addrs })
    }
}

async fn bind(
    mut listener: Listener,
    flag: &str,
    insecure: bool,
    next_free: bool,
) -> Result<Vec<(TcpListener, Listener)>, Failure> {
    loop {
        let name = listener.bind.clone();
        let addrs: Vec<SocketAddr> = tokio::net::lookup_host(&name)
            .await
            .map_err(|error| {
                Failure::new(format!("`{name}` is no address to listen on: {error}"))
                    .hint(format!("{flag} takes HOST:PORT, such as 127.0.0.1:8888"))
            })?
            .collect();
        let Some(addr) = addrs.first() else {
            return Err(Failure::new(format!("`{name}` names no address")));
        };
        if let Some(open) = addrs.iter().find(|addr| !addr.ip().is_loopback())
            && !insecure
        {
            return Err(Failure::new(format!(
                "{open} can be reached from other machines, and nothing asks them who they are"
            ))
            .hint("listen on 127.0.0.1, or say --insecure if the network itself is trusted"));
        }
        match listener.sockets().await {
            Ok(sockets) => {
                return Ok(sockets.into_iter().map(|socket| (socket, listener.clone())).collect());
            }
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                let port = addr.port();
                if next_free
                    && port < u16::MAX
                    && let Some((host, _)) = name.rsplit_once(':')
                {
                    listener.bind = format!("{host}:{}", port + 1);
                    continue;
                }
                let holder = ports::holder(port)
                    .map_or_else(String::new, |(pid, name)| format!(" by {name} (pid {pid})"));
                return Err(Failure::new(format!("{name} is taken{holder}")).hint(format!(
                    "choose another with {flag} HOST:PORT; port 0 picks a free one"
                )));
            }
            Err(error) => return Err(Failure::new(format!("cannot listen on {name}: {error}"))),
        }
    }
}

pub(crate) fn open(
    args: &ServeArgs,
    data_dir: PathBuf,
    listeners: &Listeners,
) -> Result<Arc<Node>, Failure> {
    Node::open(NodeOptions {
        data_dir,
        kafka: listeners.kafka_addrs.clone(),
        memory_bytes: match &args.memory_limit {
            Some(text) => Some(bytes_of(text)?),
            None => None,
        },
    })
}

/// Serves until Ctrl-C or SIGTERM, then stops in order. `welcome` is printed once all serves.
pub(crate) async fn serve(
    node: Arc<Node>,
    listeners: Listeners,
    args: &ServeArgs,
    welcome: &[String],
) -> Result<ExitCode, Failure> {
    let http = listeners.http.local_addr()?;
    let kafka = listeners.kafka_addrs.clone();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let faces = node.serve(listeners, args.allow_host.clone(), args.insecure, stopped).await?;
    if let Some(path) = &args.ready_file {
        write_ready(path, http, &kafka)?;
    }
    if welcome.is_empty() {
        let kafka: Vec<_> = kafka.iter().map(ToString::to_string).collect();
        output::remark(format!("web app  http://{http}\nKafka    {}", kafka.join(", ")));
    }
    welcome.iter().for_each(output::remark);
    let fatal = tokio::select! {
        () = asked_to_stop() => None,
        reason = node.failed() => Some(reason),
    };
    // Whoever waits for us must not take a second signal for a crash: it just goes faster.
    let _ = stop.send(true);
    tokio::select! {
        () = async { node.stop().await; faces.finish().await } => {}
        () = asked_to_stop() => output::remark("stopping without waiting; nothing acked is lost"),
    }
    match fatal {
        None => Ok(ExitCode::SUCCESS),
        Some(reason) => Err(Failure::new(reason)
            .hint("start it again: recovery reads the disk anew; `yeoul status` then tells more")),
    }
}

fn bytes_of(text: &str) -> Result<usize, Failure> {
    let bytes = yeoul_pipeline::parse_size(text).map_err(|error| {
        Failure::new(format!("--memory-limit `{text}`: {error}")).hint("give a size such as 512MB")
    })?;
    Ok(usize::try_from(bytes).unwrap_or(usize::MAX))
}

async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        },
        Err(_) => {
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "outside the data directory; renamed into place")]
fn write_ready(path: &Path, http: SocketAddr, kafka: &[SocketAddr]) -> Result<(), Failure> {
    let text = serde_json::json!({ "http": http, "kafka": kafka }).to_string();
    let partial = path.with_extension("partial");
    std::fs::write(&partial, text)?;
    std::fs::rename(&partial, path)?;
    Ok(())
}
