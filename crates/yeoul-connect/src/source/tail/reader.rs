//! One open file, line by line, and the watch over whether it still is the file it was.
//!
//! Invariant: `offset()` is the end of the last line given out; `head` is what the file started
//! with when that was read. A last line without its newline is held back and read again when the
//! file has changed. Memory: one line at most, the rest of a longer one is only counted.

use std::fs::{File, Metadata};
use std::io::{self, BufRead};
use std::os::unix::fs::{FileExt, MetadataExt};

use super::position::HEAD_BYTES_MAX;

/// Longer lines go to the dead letters …
pub(super) const LINE_BYTES_MAX: usize = 1 << 20;
/// … with so much of their start.
const LONG_KEPT_BYTES: usize = 256 << 10;
const READ_BYTES: usize = 256 << 10;
/// After so much of one file the others have their turn.
const TURN_BYTES: usize = 4 << 20;

/// A line without its newline.
#[derive(Debug)]
pub(super) struct Line<'a> {
    /// Where it starts in the file.
    pub(super) at: u64,
    pub(super) text: &'a [u8],
    /// The whole length of a line too long to be kept.
    pub(super) long_bytes: Option<u64>,
}

/// What the taker of a line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Take {
    /// Taken.
    Next,
    /// Not taken: give it again after a commit.
    Full,
}

/// Why reading paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pause {
    Full,
    /// There is more, but others wait.
    Turn,
    End,
}

#[derive(Debug)]
struct Long {
    at: u64,
    bytes: u64,
    kept: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Reader {
    file: File,
    buffer: Vec<u8>,
    /// Of the buffer: what was given out.
    taken: usize,
    /// Where the buffer starts in the file.
    base: u64,
    long: Option<Long>,
    head: Vec<u8>,
    /// Size and modification time at the last look.
    seen: Option<(u64, i64, i64)>,
    pub(super) size: u64,
    pub(super) generation: u64,
    /// All there was has been read.
    pub(super) at_end: bool,
}

impl Reader {
    pub(super) fn new(file: File) -> Self {
        Self {
            file,
            buffer: Vec::new(),
            taken: 0,
            base: 0,
            long: None,
            head: Vec::new(),
            seen: None,
            size: 0,
            generation: 0,
            at_end: true,
        }
    }

    pub(super) fn offset(&self) -> u64 {
        self.long.as_ref().map_or(self.base + self.taken as u64, |long| long.at)
    }

    pub(super) fn head(&self) -> &[u8] {
        &self.head
    }

    /// The bytes at the start of the file, fewer when it is shorter.
    pub(super) fn start(&self, bytes: usize) -> io::Result<Vec<u8>> {
        let mut out = vec![0; bytes];
        let mut len = 0;
        while let Some(rest) = out.get_mut(len..)
            && !rest.is_empty()
        {
            match self.file.read_at(rest, len as u64)? {
                0 => break,
                read => len += read,
            }
        }
        out.truncate(len);
        Ok(out)
    }

    /// Goes on at `offset`, up to which the file was read before.
    pub(super) fn seek(&mut self, offset: u64, generation: u64) -> io::Result<()> {
        let head = usize::try_from(offset).unwrap_or(usize::MAX).min(HEAD_BYTES_MAX);
        self.head = self.start(head)?;
        self.base = offset;
        self.generation = generation;
        Ok(())
    }

    /// Goes to the end of the last whole line.
    pub(super) fn seek_end(&mut self) -> io::Result<()> {
        let mut end = self.file.metadata()?.len();
        let floor = end.saturating_sub(LINE_BYTES_MAX as u64);
        let mut chunk = vec![0; 64 << 10];
        while end > floor {
            let from = end.saturating_sub(chunk.len() as u64).max(floor);
            let len = usize::try_from(end - from).unwrap_or(0);
            let Some(part) = chunk.get_mut(..len) else { break };
            self.file.read_exact_at(part, from)?;
            if let Some(newline) = part.iter().rposition(|byte| *byte == b'\n') {
                return self.seek(from + newline as u64 + 1, self.generation);
            }
            end = from;
        }
        // One line without an end, or nothing: from its beginning, or within a hopeless one.
        self.seek(floor, self.generation)
    }

    /// Looks whether the file changed since all of it was read. When it holds something else
    /// now, reading starts again at 0 and the answer is true.
    pub(super) fn look(&mut self) -> io::Result<bool> {
        let meta = self.file.metadata()?;
        self.size = meta.len();
        if !self.at_end {
            return Ok(false);
        }
        let stamp = Some((meta.len(), meta.mtime(), meta.mtime_nsec()));
        if stamp == self.seen {
            return Ok(false);
        }
        let read_end = self.base + self.buffer.len() as u64;
        let other = self.size < self.offset()
            || (self.long.is_some() && self.size < read_end)
            || self.start(self.head.len())? != self.head;
        if other {
            self.long = None;
            self.head.clear();
            self.base = 0;
            self.generation += 1;
        } else if self.long.is_none() {
            self.base = self.offset();
        } else {
            self.base = read_end;
        }
        // A line held back may have been rewritten: it is read again.
        self.buffer.clear();
        self.taken = 0;
        self.seen = stamp;
        self.at_end = false;
        Ok(other)
    }

    /// Gives out lines until something makes it pause.
    pub(super) fn read(&mut self, mut take: impl FnMut(Line<'_>) -> Take) -> io::Result<Pause> {
        let mut read_bytes = 0;
        while !self.at_end {
            let rest = self.buffer.get(self.taken..).unwrap_or_default();
            if let Some(len) = newline(rest) {
                if !self.give(len, &mut take) {
                    return Ok(Pause::Full);
                }
                continue;
            }
            if self.long.is_some() || rest.len() > LINE_BYTES_MAX {
                self.swallow();
            }
            if read_bytes >= TURN_BYTES {
                return Ok(Pause::Turn);
            }
            let read = self.fill()?;
            read_bytes += read;
            self.at_end = read == 0;
        }
        Ok(Pause::End)
    }

    /// Gives out a line of so many bytes that stands next in the buffer, and eats its newline.
    fn give(&mut self, len: usize, take: &mut impl FnMut(Line<'_>) -> Take) -> bool {
        let text = self.buffer.get(self.taken..self.taken + len).unwrap_or_default();
        let at = self.base + self.taken as u64;
        let line = match &self.long {
            Some(long) => {
                let bytes = long.bytes + len as u64;
                Line { at: long.at, text: &long.kept, long_bytes: Some(bytes) }
            }
            None if len > LINE_BYTES_MAX => {
                let kept = text.get(..LONG_KEPT_BYTES).unwrap_or(text);
                Line { at, text: kept, long_bytes: Some(len as u64) }
            }
            None => Line { at, text, long_bytes: None },
        };
        if take(line) == Take::Full {
            return false;
        }
        if let Some(long) = self.long.take() {
            remember(&mut self.head, long.at, &long.kept);
        } else {
            let end = (self.taken + len + 1).min(self.buffer.len());
            remember(&mut self.head, at, self.buffer.get(self.taken..end).unwrap_or_default());
        }
        self.taken += len + 1;
        true
    }

    /// Gives out what stands after the last newline: nobody will end that line any more.
    pub(super) fn read_unended(&mut self, mut take: impl FnMut(Line<'_>) -> Take) -> bool {
        let len = self.buffer.len() - self.taken;
        if len == 0 && self.long.is_none() {
            return true;
        }
        let given = self.give(len, &mut take);
        if given {
            // There was no newline to eat.
            self.taken = self.buffer.len();
        }
        given
    }

    /// Puts a line that is too long aside, counting its bytes.
    fn swallow(&mut self) {
        let part = self.buffer.get(self.taken..).unwrap_or_default();
        let at = self.base + self.taken as u64;
        let long = self.long.get_or_insert_with(|| Long { at, bytes: 0, kept: Vec::new() });
        let room = LONG_KEPT_BYTES - long.kept.len();
        long.kept.extend_from_slice(part.get(..room).unwrap_or(part));
        long.bytes += part.len() as u64;
        self.taken = self.buffer.len();
    }

    fn fill(&mut self) -> io::Result<usize> {
        self.buffer.drain(..self.taken);
        self.base += self.taken as u64;
        self.taken = 0;
        let len = self.buffer.len();
        self.buffer.resize(len + READ_BYTES, 0);
        let space = self.buffer.get_mut(len..).unwrap_or_default();
        let read = self.file.read_at(space, self.base + len as u64);
        self.buffer.truncate(len + *read.as_ref().unwrap_or(&0));
        match read {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.fill(),
            read => read,
        }
    }

    pub(super) fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }
}

/// Keeps the file's first bytes as they are given out.
fn remember(head: &mut Vec<u8>, at: u64, bytes: &[u8]) {
    if head.len() < HEAD_BYTES_MAX && at == head.len() as u64 {
        let room = HEAD_BYTES_MAX - head.len();
        head.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }
}

/// The standard library's search is the quick one, and this is the way to it.
fn newline(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    let last = rest.skip_until(b'\n').ok()?.checked_sub(1)?;
    (bytes.get(last) == Some(&b'\n')).then_some(last)
}
