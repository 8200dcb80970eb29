//! A node as a process, the commands that ask it, HTTP by hand, and a file that grows.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything may take before a test gives up: long enough for a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);
const POLL_EVERY: Duration = Duration::from_millis(20);

/// Polls until there is an answer. While there is none, `look` says what it saw instead.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let began = Instant::now();
    loop {
        match look() {
            Ok(seen) => return seen,
            Err(seen) if began.elapsed() > PATIENCE => {
                panic!("waited {PATIENCE:?} for {what}; last seen: {seen}")
            }
            Err(_) => std::thread::sleep(POLL_EVERY),
        }
    }
}

/// What a command said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.err);
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_yeoul"));
    for variable in ["YEOUL_URL", "YEOUL_TOKEN", "YEOUL_LOG", "RUST_BACKTRACE"] {
        command.env_remove(variable);
    }
    command.env("NO_COLOR", "1").env("COLUMNS", "100").stdin(Stdio::null());
    command
}

/// Runs a command to its end, in a folder, with this as its input.
pub(crate) fn yeoul_in(folder: &Path, args: &[&str], input: &str) -> Said {
    let mut command = binary();
    command.args(args).current_dir(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Reaped(command.spawn().expect("the binary starts"));
    // What these tests send fits a pipe.
    child.0.stdin.take().unwrap().write_all(input.as_bytes()).expect("the command reads");
    let out = read_all(child.0.stdout.take().unwrap());
    let err = read_all(child.0.stderr.take().unwrap());
    let status = wait_for(&format!("the end of yeoul {args:?}"), || {
        child.0.try_wait().unwrap().ok_or_else(|| "it runs".to_owned())
    });
    let code = status.code().unwrap_or(-1);
    Said { code, out: out.join().unwrap(), err: err.join().unwrap() }
}

pub(crate) fn yeoul(args: &[&str]) -> Said {
    yeoul_in(Path::new("."), args, "")
}

fn read_all(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).expect("UTF-8");
        text
    })
}

/// A process that does not outlive its test.
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// A node over one folder; its data directory is `data` in there.
pub(crate) struct Node {
    process: Reaped,
    log: PathBuf,
    /// `host:port` of the web face.
    pub(crate) http: String,
    pub(crate) kafka: String,
    url: String,
}

impl Node {
    /// `yeoul run` with these pipeline files, working in the folder.
    pub(crate) fn run(folder: &Path, files: &[&str]) -> Self {
        Self::start(folder, "run", files)
    }

    pub(crate) fn start(folder: &Path, command: &str, args: &[&str]) -> Self {
        let ready = folder.join("ready.json");
        // There is none before the first start.
        let _ = fs::remove_file(&ready);
        let log = folder.join("node.log");
        let out = File::create(&log).unwrap();
        let child = binary()
            .current_dir(folder)
            .arg(command)
            .args(args)
            .args(["--data-dir", "data", "--http", "127.0.0.1:0", "--kafka", "127.0.0.1:0"])
            .args(["--ready-file", "ready.json"])
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .expect("the binary starts");
        let mut process = Reaped(child);
        let text = wait_for("the ready file", || {
            let ended = process.0.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {}", fs::read_to_string(&log).unwrap());
            fs::read_to_string(&ready).map_err(|error| error.to_string())
        });
        let places: Value = serde_json::from_str(&text).unwrap();
        let http = places["http"].as_str().unwrap().to_owned();
        let kafka = places["kafka"][0].as_str().unwrap().to_owned();
        let url = format!("http://{http}");
        Self { process, log, http, kafka, url }
    }

    /// A command of this binary, asking this node over HTTP.
    pub(crate) fn ask(&self, args: &[&str]) -> Said {
        let mut all = args.to_vec();
        all.extend(["--url", &self.url]);
        yeoul(&all)
    }

    /// The rows of a query, or why there are none (yet).
    pub(crate) fn sql(&self, query: &str) -> Result<Vec<Vec<Value>>, String> {
        let body = serde_json::json!({ "query": query }).to_string();
        let answer = self.post("/api/v1/sql", &body);
        if answer.status != 200 {
            return Err(answer.body);
        }
        serde_json::from_value(answer.json()["rows"].clone()).map_err(|error| error.to_string())
    }

    /// Waits until a query of one number gives this one.
    pub(crate) fn wait_number(&self, query: &str, wanted: u64) {
        wait_for(&format!("{wanted} from {query}"), || {
            let rows = self.sql(query).map_err(|why| format!("{why}; log: {}", self.said()))?;
            if rows[0][0] == wanted { Ok(()) } else { Err(format!("{rows:?}")) }
        });
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "")
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Answer {
        self.send("POST", path, &["Content-Type: application/json"], body)
    }

    /// With a `Host` of its own when one is among the headers.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        let mut stream = TcpStream::connect(&self.http).expect("the node listens");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // HTTP/1.0: the answer ends with the connection and comes in one piece.
        let mut request = format!("{method} {path} HTTP/1.0\r\nContent-Length: {}\r\n", body.len());
        if !headers.iter().any(|header| header.starts_with("Host:")) {
            request.push_str(&format!("Host: {}\r\n", self.http));
        }
        headers.iter().for_each(|header| request.push_str(&format!("{header}\r\n")));
        request.push_str("\r\n");
        request.push_str(body);
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (headers, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = headers.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap();
        Answer { status, headers: headers.to_lowercase(), body: body.to_owned() }
    }

    /// An entry of `/api/v1/status` or `/api/v1/audit`.
    pub(crate) fn component(&self, api: &str, id: &str) -> Value {
        let all = self.get(&format!("/api/v1/{api}")).json();
        let found = all["components"].as_array().unwrap().iter();
        let mut found = found.filter(|entry| entry["id"] == id || entry["component"] == id);
        found.next().cloned().unwrap_or(Value::Null)
    }

    /// Threads by name: a component that was started anew has another. `None` where the system
    /// does not tell.
    pub(crate) fn thread(&self, name: &str) -> Option<u64> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.process.0.id())).ok()?;
        // The kernel keeps 15 bytes of a name.
        let name = &name[..name.len().min(15)];
        tasks.flatten().find_map(|task| {
            let comm = fs::read_to_string(task.path().join("comm")).ok()?;
            (comm.trim_end() == name).then(|| task.file_name().to_str()?.parse().ok())?
        })
    }

    /// What it wrote to its terminal.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// `kill -9`.
    pub(crate) fn kill(self) {
        drop(self);
    }

    /// Asks it to end, as Ctrl-C and service managers do.
    pub(crate) fn stop(mut self) -> ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.process.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let said = self.log.clone();
        wait_for("the node's end", || {
            let ended = self.process.0.try_wait().unwrap();
            ended.ok_or_else(|| fs::read_to_string(&said).unwrap_or_default())
        })
    }
}

/// Appends numbered lines, `{n}\tname {n}`, until it is stopped.
pub(crate) struct Writer {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(crate) fn start(path: &Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let written = Arc::new(AtomicU64::new(0));
        let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&written));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let first = count.load(Ordering::Relaxed);
                let lines: String =
                    (first..first + 7).map(|n| format!("{n}\tname {n}\n")).collect();
                // In two pieces, so that the file often ends within a line.
                let (head, tail) = lines.split_at(lines.len() - 3);
                file.write_all(head.as_bytes()).unwrap();
                std::thread::sleep(Duration::from_millis(2));
                file.write_all(tail.as_bytes()).unwrap();
                count.store(first + 7, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(3));
            }
        });
        Self { stop, written, thread: Some(thread) }
    }

    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// How many lines there are in the end.
    pub(crate) fn finish(mut self) -> u64 {
        self.end();
        self.written()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of the writer has told itself.
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.end();
    }
}
