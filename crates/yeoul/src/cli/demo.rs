//! `yeoul demo`: an example of `examples/`, unpacked beside its data and run, with data that
//! keeps coming.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "unpacks beside the data directory, not into it"
)]

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use clap::{Args, ValueEnum};
use rust_embed::RustEmbed;

use super::run::{self, Listeners, ServeArgs};
use crate::output::{self, Failure};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Demo {
    /// Stations of a city's public bikes, typed and joined with their districts
    Bikes,
    /// A growing file of films, joined with countries
    Movies,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DemoArgs {
    #[arg(value_enum, default_value = "bikes")]
    demo: Demo,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(RustEmbed)]
#[folder = "../../examples"]
struct Examples;

/// Films come at this pace, one line each.
const FILM_EVERY: Duration = Duration::from_millis(50);
/// So many of the films to come have a country.
const FILMS_TO_COME: u64 = 50_000;
const COUNTRIES: [&str; 6] = ["한국", "일본", "프랑스", "미국", "독일", "폴란드"];

pub(crate) async fn demo(args: DemoArgs) -> Result<ExitCode, Failure> {
    let name = match args.demo {
        Demo::Bikes => "bikes",
        Demo::Movies => "movies",
    };
    let root =
        args.serve.data_dir.clone().unwrap_or_else(|| format!("yeoul-data-demo-{name}").into());
    let example = root.join("example");
    let fresh = !example.exists();
    unpack(name, &example)?;
    if fresh && args.demo == Demo::Movies {
        add_countries(&example)?;
    }
    let http = args.serve.http.as_deref().unwrap_or("127.0.0.1:8888");
    let kafka = match args.serve.kafka.as_slice() {
        [] => vec!["127.0.0.1:9092".to_owned()],
        given => given.to_vec(),
    };
    let listeners = Listeners::bind(http, &kafka, &args.serve, true).await?;
    let welcome = welcome(args.demo, &listeners, &root)?;
    let node = run::open(&args.serve, root, &listeners)?;
    node.follow(super::check::load(&[example.join("pipeline.yaml")])?)?;
    let films = match args.demo {
        Demo::Movies => Some(Films::start(example.join("data/movies.tsv"))),
        Demo::Bikes => None,
    };
    let done = run::serve(node, listeners, &args.serve, &welcome).await;
    drop(films);
    done
}

/// Writes the example's files that are not there yet: what was changed by hand, or has grown,
/// stays.
fn unpack(name: &str, to: &Path) -> Result<(), Failure> {
    let prefix = format!("{name}/");
    for path in Examples::iter().filter(|path| path.starts_with(&prefix)) {
        let Some(file) = Examples::get(&path) else { continue };
        let target = to.join(path.trim_start_matches(&prefix));
        if target.exists() {
            continue;
        }
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&target, file.data)?;
    }
    Ok(())
}

/// The example's countries end with its films: those to come get one, too.
fn add_countries(example: &Path) -> Result<(), Failure> {
    let mut rows = String::new();
    let films = fs::read_to_string(example.join("data/movies.tsv"))?.lines().count() as u64;
    for (film, country) in (films..films + FILMS_TO_COME).zip(COUNTRIES.iter().cycle()) {
        let line = yeoul_connect::movies::line(film, 1);
        if let Some(movie) = line.split('\t').nth(1) {
            rows.push_str(&format!("{movie},{country}\n"));
        }
    }
    let file = OpenOptions::new().append(true).open(example.join("data/countries.csv"));
    file?.write_all(rows.as_bytes())?;
    Ok(())
}

fn welcome(demo: Demo, listeners: &Listeners, root: &Path) -> Result<Vec<String>, Failure> {
    let http = listeners.http.local_addr()?;
    let kafka = listeners.kafka_addrs.first().map(ToString::to_string);
    let kafka = kafka.unwrap_or_default();
    let (topic, query) = match demo {
        Demo::Bikes => (
            "bike-station-info",
            "SELECT district, sum(bikes) AS bikes FROM stations GROUP BY district ORDER BY bikes DESC LIMIT 5",
        ),
        Demo::Movies => (
            "korean_movies",
            "SELECT country, count(*) AS films FROM films GROUP BY country ORDER BY films DESC",
        ),
    };
    Ok(vec![
        format!("\n  http://{http}   ← open this\n"),
        format!(
            "  Its data and its pipeline file are in {}. Try, in another terminal:",
            root.display()
        ),
        format!("    yeoul status --url http://{http}"),
        format!("    yeoul sql --url http://{http} \"{query}\""),
        format!("    yeoul consume {topic} --bootstrap-server {kafka} --from beginning --max 3"),
        format!("    kcat -b {kafka} -t {topic} -C -o -3 -e"),
        "  Ctrl-C ends it; the next start goes on where it stopped.".to_owned(),
    ])
}

/// Appends films to a file until dropped.
struct Films {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Films {
    fn start(file: PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let write = move || -> std::io::Result<()> {
            let mut next = fs::read_to_string(&file)?.lines().count() as u64;
            let mut out = OpenOptions::new().append(true).open(&file)?;
            while !stopped.load(Ordering::Relaxed) {
                let mut line = yeoul_connect::movies::line(next, 1);
                line.push('\n');
                out.write_all(line.as_bytes())?;
                next += 1;
                std::thread::sleep(FILM_EVERY);
            }
            Ok(())
        };
        let thread = std::thread::spawn(move || {
            if let Err(error) = write() {
                output::remark(format!("no more films: {error}"));
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Films {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // The thread told its trouble itself.
            let _ = thread.join();
        }
    }
}
