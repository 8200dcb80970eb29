//! Makes of each line what it is: a record, a dead letter, or nothing (blank, header).
//!
//! Invariant: a line that finds no room in the commit changes nothing, so it can be given again.

use std::path::Path;

use yeoul_format::LineDecoder;

use super::reader::{LINE_BYTES_MAX, Line, Reader, Take};
use crate::source::commit::Commits;

/// A header is looked for in so much of a file's start.
const HEADER_BYTES_MAX: usize = 64 << 10;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// What the first line of a file is.
#[derive(Debug)]
pub(super) enum Header {
    /// A record like any other, or read already.
    Ready(LineDecoder),
    /// The names of the columns.
    Wanted,
    /// Unusable: so are the lines after it.
    Bad(String),
}

impl Header {
    /// What the file's first line means to a reader that starts where this one stands.
    pub(super) fn of(reader: &Reader, decoder: &LineDecoder) -> Self {
        if !decoder.expects_header() {
            return Self::Ready(decoder.clone());
        }
        if reader.offset() == 0 {
            return Self::Wanted;
        }
        let start = match reader.start(HEADER_BYTES_MAX) {
            Ok(start) => start,
            Err(error) => return Self::Bad(error.to_string()),
        };
        let line = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
        Self::named_by(line, decoder)
    }

    fn named_by(line: &[u8], decoder: &LineDecoder) -> Self {
        match decoder.with_header(line.strip_prefix(BOM).unwrap_or(line)) {
            Ok(decoder) => Self::Ready(decoder),
            Err(error) => Self::Bad(format!("the file's header is not usable: {error}")),
        }
    }
}

/// Makes of lines what they are.
pub(super) struct Taker<'t, 'a> {
    pub(super) decoder: &'t LineDecoder,
    pub(super) commits: &'t mut Commits<'a>,
    pub(super) record: &'t mut Vec<u8>,
    pub(super) timestamp_ms: i64,
}

impl Taker<'_, '_> {
    /// A record, a dead letter, or nothing. Changes nothing when the commit is full.
    pub(super) fn take(&mut self, line: Line<'_>, header: &mut Header, path: &Path) -> Take {
        let text = match line.text.strip_prefix(BOM) {
            Some(text) if line.at == 0 => text,
            _ => line.text,
        };
        if !self.commits.has_room(text.len()) {
            return Take::Full;
        }
        match self.judge(text, &line, header) {
            Ok(true) if !self.commits.has_room(self.record.len()) => return Take::Full,
            Ok(true) => self.commits.record(self.timestamp_ms, self.record),
            Ok(false) => self.commits.filtered(),
            Err(reason) => {
                let kept = text.get(..self.commits.value_bytes_max()).unwrap_or(text);
                let path = path.to_string_lossy();
                self.commits.dead(self.timestamp_ms, &reason, &path, line.at, kept);
            }
        }
        Take::Next
    }

    /// Whether the line is a record, which is made then, or why it is unusable.
    fn judge(&mut self, text: &[u8], line: &Line<'_>, header: &mut Header) -> Result<bool, String> {
        if let Some(bytes) = line.long_bytes {
            let max = LINE_BYTES_MAX;
            return Err(format!(
                "the line has {bytes} bytes, at most {max} are read; its start is kept"
            ));
        }
        let decoder = match header {
            Header::Ready(decoder) => decoder,
            Header::Bad(reason) => return Err(reason.clone()),
            Header::Wanted => {
                *header = Header::named_by(text, self.decoder);
                return match header {
                    Header::Bad(reason) => Err(reason.clone()),
                    _ => Ok(false),
                };
            }
        };
        if decoder.is_blank(text) {
            return Ok(false);
        }
        self.record.clear();
        decoder.decode(text, self.record).map_err(|error| error.to_string())?;
        let (bytes, max) = (self.record.len(), self.commits.value_bytes_max());
        if bytes > max {
            return Err(format!("the record has {bytes} bytes, the topic takes at most {max}"));
        }
        Ok(true)
    }
}
