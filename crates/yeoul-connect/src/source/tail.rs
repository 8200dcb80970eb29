//! Follows files line by line into a topic, across rotation, truncation and restarts.
//!
//! - Which file: device and inode; whether it still holds what was read: its first bytes.
//! - A file that is renamed away or removed is read to its end, until nothing came for
//!   [`ROTATE_WAIT`]; then its last line counts even without a newline.
//! - Files there at the very first start begin where `read_from` says, later ones at 0.
//! - Lines become records, dead letters or nothing (blank, header), and the position moves in
//!   the same commit.

mod files;
mod position;
mod reader;
mod taker;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use yeoul_base::StoreError;
use yeoul_format::{Decode, LineDecoder};

use super::commit::Commits;
use super::{Env, FileStatus, SourceState};
use crate::config::{ReadFrom, TailConfig};
use files::Match;
use position::{FileId, Position, head_hash};
use reader::{Pause, Reader};
use taker::{Header, Taker};

/// How long a file without a name is watched after its last line.
const ROTATE_WAIT: Duration = Duration::from_secs(5);
/// How often folders are looked through for files that came or went.
const SCAN_EVERY: Duration = Duration::from_secs(1);
/// How often quiet files are looked at; while lines come, more often.
const POLL: Duration = Duration::from_millis(250);
const POLL_BUSY: Duration = Duration::from_millis(25);
/// A source is busy for so long after its last line.
const BUSY_FOR: Duration = Duration::from_secs(2);
/// Each holds a file descriptor.
const FILES_MAX: usize = 1_000;
/// Positions of files that are gone; they come back when a volume is mounted again.
const GONE_POSITIONS_MAX: usize = 1_000;
/// Behind by more than this is catching up.
const CATCHING_UP_BYTES: u64 = 1 << 20;

struct Tailed {
    id: FileId,
    path: PathBuf,
    reader: Reader,
    header: Header,
    /// The position as the store has it, or will once what is in flight is durable.
    committed: Option<Bytes>,
    /// Offset and generation of that position.
    placed: (u64, u64),
    /// Since when no name leads to it.
    gone: Option<Duration>,
    active: Duration,
    trouble: Option<String>,
}

struct Tail<'a> {
    env: &'a Env,
    config: &'a TailConfig,
    commits: Commits<'a>,
    decoder: LineDecoder,
    files: Vec<Tailed>,
    /// Positions of files that are not open.
    known: BTreeMap<FileId, (Bytes, Position)>,
    /// Whether the source has looked at its files before.
    started: bool,
    scanned: Option<Duration>,
    scan_trouble: Option<String>,
    last_line: Option<Duration>,
    /// Memory for the record being made.
    record: Vec<u8>,
}

/// Runs until told to stop, or until an error of the store.
pub(super) fn run(env: &Env, config: &TailConfig) -> Result<(), StoreError> {
    let mut tail = Tail::load(env, config)?;
    while !env.shared.stopped() {
        let now = env.clock.monotonic();
        if tail.scanned.is_none_or(|at| now.saturating_sub(at) >= SCAN_EVERY) {
            tail.scan(now)?;
            tail.scanned = Some(now);
        }
        let more = tail.pump(now)?;
        if !more {
            tail.commits.settle()?;
            tail.drop_drained(now)?;
        }
        tail.publish();
        if !more {
            let busy = tail.last_line.is_some_and(|at| now.saturating_sub(at) < BUSY_FOR);
            env.shared.wait(if busy { POLL_BUSY } else { POLL });
        }
    }
    tail.commits.settle()?;
    tail.publish();
    Ok(())
}

impl<'a> Tail<'a> {
    fn load(env: &'a Env, config: &'a TailConfig) -> Result<Self, StoreError> {
        let commits = Commits::open(env)?;
        let started = position::started_key(&env.name);
        let mut known = BTreeMap::new();
        let prefix = position::prefix(&env.name);
        for (key, bytes) in env.store.facts(yeoul_base::FactKind::SourcePosition, &prefix) {
            let wrong = |what: String| {
                StoreError::Corrupt(format!("position of source {}: {what}", env.name))
            };
            let id = position::id(&env.name, &key).ok_or_else(|| wrong("bad key".into()))?;
            let position = Position::decode(&bytes).map_err(|error| wrong(error.to_string()))?;
            known.insert(id, (bytes, position));
        }
        let raw = LineDecoder::new(&Decode::None);
        let decoder = env.decoder.clone().map_or(raw, Ok);
        Ok(Self {
            env,
            config,
            commits,
            decoder: decoder.map_err(|error| StoreError::Invalid(error.to_string()))?,
            files: Vec::new(),
            known,
            started: env.store.fact(started.kind, &started.key).is_some(),
            scanned: None,
            scan_trouble: None,
            last_line: None,
            record: Vec::new(),
        })
    }

    /// Opens files that came, notes which have lost their name.
    fn scan(&mut self, now: Duration) -> Result<(), StoreError> {
        let first = self.scanned.is_none();
        let found = files::find(&self.env.base_dir, self.config);
        self.scan_trouble = None;
        for file in &mut self.files {
            match found.iter().find(|found| found.id == file.id) {
                Some(found) => {
                    file.path.clone_from(&found.path);
                    file.gone = None;
                }
                None => {
                    file.gone.get_or_insert(now);
                }
            }
        }
        for found in &found {
            if self.files.iter().any(|file| file.id == found.id) {
                continue;
            }
            if self.files.len() >= FILES_MAX {
                self.scan_trouble =
                    Some(format!("more than {FILES_MAX} files match; the others wait"));
                break;
            }
            self.open(found, now);
        }
        if first {
            self.open_renamed(now);
        }
        if !self.started {
            // From here on files that appear are new ones, whatever `read_from` says.
            self.commits.position(
                position::started_key(&self.env.name),
                None,
                Some(Bytes::from_static(&[1])),
            );
            self.started = true;
            self.submit()?;
        }
        self.forget_gone()
    }

    /// Files that were renamed while the source did not run: their rest is read first.
    fn open_renamed(&mut self, now: Duration) {
        for found in files::renamed(&self.known) {
            if self.files.len() < FILES_MAX && self.files.iter().all(|file| file.id != found.id) {
                self.open(&found, now);
                if let Some(file) = self.files.last_mut().filter(|file| file.id == found.id) {
                    file.gone = Some(now);
                }
            }
        }
        // Those without a name come first, in the order they were last seen.
        self.files.sort_by_key(|file| file.gone.is_none());
    }

    fn open(&mut self, found: &Match, now: Duration) {
        let mut reader = match files::open(found) {
            Ok(reader) => reader,
            Err(error) => {
                self.scan_trouble = Some(format!("{}: {error}", found.path.display()));
                return;
            }
        };
        let known = self.known.get(&found.id);
        let placed = match known {
            Some((_, position)) => resume(&mut reader, position),
            None if !self.started && self.config.read_from == ReadFrom::End => reader.seek_end(),
            None => Ok(()),
        };
        if let Err(error) = placed {
            self.scan_trouble = Some(format!("{}: {error}", found.path.display()));
            return;
        }
        let known = self.known.remove(&found.id);
        let placed = known.as_ref().map_or((0, 0), |(_, known)| (known.offset, known.generation));
        let header = Header::of(&reader, &self.decoder);
        self.files.push(Tailed {
            id: found.id,
            path: found.path.clone(),
            reader,
            header,
            placed,
            committed: known.map(|(bytes, _)| bytes),
            gone: None,
            active: now,
            trouble: None,
        });
    }

    /// Reads what there is, each file in its turn; says whether there is more.
    fn pump(&mut self, now: Duration) -> Result<bool, StoreError> {
        let mut more = false;
        for index in 0..self.files.len() {
            while let Some(file) = self.files.get_mut(index) {
                let timestamp_ms = self.env.clock.now_ms();
                let before = (file.reader.offset(), file.reader.generation);
                let mut taker = Taker {
                    decoder: &self.decoder,
                    commits: &mut self.commits,
                    record: &mut self.record,
                    timestamp_ms,
                };
                let pause = read(file, &mut taker);
                let moved = before != (file.reader.offset(), file.reader.generation);
                if moved {
                    file.active = now;
                    self.last_line = Some(now);
                }
                match pause {
                    Ok(pause) => {
                        file.trouble = None;
                        more |= pause != Pause::End;
                        if pause == Pause::Full {
                            self.submit()?;
                            if self.env.shared.stopped() {
                                return Ok(false);
                            }
                            continue;
                        }
                    }
                    Err(error) => file.trouble = Some(error.to_string()),
                }
                break;
            }
        }
        self.submit()?;
        Ok(more)
    }

    /// Commits what was gathered, with the positions of all files that moved. "The end" of a file
    /// at the first start is such a move: it must outlive a crash before the first line.
    fn submit(&mut self) -> Result<(), StoreError> {
        for file in &mut self.files {
            let placed = (file.reader.offset(), file.reader.generation);
            if placed == file.placed {
                continue;
            }
            let head = file.reader.head();
            let position = Position {
                offset: placed.0,
                head_bytes: head.len() as u64,
                head_hash: head_hash(head),
                generation: placed.1,
                seen_ms: self.env.clock.now_ms(),
                path: file.path.to_string_lossy().into_owned(),
            };
            let next = position.encode();
            let expect = file.committed.replace(next.clone());
            self.commits.position(position::key(&self.env.name, file.id), expect, Some(next));
            file.placed = placed;
        }
        self.commits.submit()
    }

    /// Closes files without a name that have been quiet for long enough.
    fn drop_drained(&mut self, now: Duration) -> Result<(), StoreError> {
        let mut index = 0;
        while let Some(file) = self.files.get_mut(index) {
            let quiet = file.gone.is_some_and(|gone| {
                now.saturating_sub(gone.max(file.active)) >= ROTATE_WAIT && file.reader.at_end
            });
            if !quiet {
                index += 1;
                continue;
            }
            let timestamp_ms = self.env.clock.now_ms();
            let Tailed { reader, header, path, .. } = file;
            let mut taker = Taker {
                decoder: &self.decoder,
                commits: &mut self.commits,
                record: &mut self.record,
                timestamp_ms,
            };
            if !reader.read_unended(|line| taker.take(line, header, path)) {
                // Full: next time there is room.
                return self.submit();
            }
            self.submit()?;
            let file = self.files.remove(index);
            if let Some((bytes, position)) = file
                .committed
                .and_then(|bytes| Position::decode(&bytes).ok().map(|position| (bytes, position)))
            {
                self.known.insert(file.id, (bytes, position));
            }
        }
        Ok(())
    }

    /// Deletes the oldest positions of files that are gone, beyond what is worth keeping.
    fn forget_gone(&mut self) -> Result<(), StoreError> {
        let surplus = self.known.len().saturating_sub(GONE_POSITIONS_MAX);
        if surplus == 0 {
            return Ok(());
        }
        let mut oldest: Vec<_> =
            self.known.iter().map(|(id, (_, position))| (position.seen_ms, *id)).collect();
        oldest.sort_unstable();
        for (_, id) in oldest.into_iter().take(surplus) {
            if let Some((bytes, _)) = self.known.remove(&id) {
                self.commits.position(position::key(&self.env.name, id), Some(bytes), None);
            }
        }
        self.submit()
    }

    fn publish(&self) {
        let files: Vec<_> = self
            .files
            .iter()
            .map(|file| FileStatus {
                path: file.path.to_string_lossy().into_owned(),
                offset: file.reader.offset(),
                size: file.reader.size.max(file.reader.offset()),
            })
            .collect();
        let lag_bytes = files.iter().map(|file| file.size - file.offset).sum();
        let trouble = self.files.iter().find_map(|file| {
            file.trouble.as_ref().map(|what| format!("{}: {what}", file.path.display()))
        });
        let message = trouble.or_else(|| self.scan_trouble.clone());
        let (state, message) = if files.is_empty() {
            let none = || format!("no file matches {}", self.config.path.join(", "));
            (SourceState::Waiting, Some(message.unwrap_or_else(none)))
        } else if lag_bytes > CATCHING_UP_BYTES {
            (SourceState::CatchingUp, message)
        } else {
            (SourceState::Running, message)
        };
        let mut status = self.env.shared.status();
        status.state = state;
        status.message = message;
        status.files = files;
        status.lag_bytes = lag_bytes;
    }
}

/// Goes on where the file was left, or at 0 when it holds something else now.
fn resume(reader: &mut Reader, position: &Position) -> io::Result<()> {
    let size = reader.metadata()?.len();
    let head_bytes = usize::try_from(position.head_bytes).unwrap_or(usize::MAX);
    if size < position.offset || head_bytes > position::HEAD_BYTES_MAX {
        return reader.seek(0, position.generation + 1);
    }
    let head = reader.start(head_bytes)?;
    if head.len() == head_bytes && head_hash(&head) == position.head_hash {
        reader.seek(position.offset, position.generation)
    } else {
        reader.seek(0, position.generation + 1)
    }
}

/// Reads one file until its turn is over.
fn read(file: &mut Tailed, taker: &mut Taker<'_, '_>) -> io::Result<Pause> {
    let Tailed { reader, header, path, .. } = file;
    if reader.look()? && taker.decoder.expects_header() {
        *header = Header::Wanted;
    }
    reader.read(|line| taker.take(line, header, path))
}
