//! Makes records up on time. The position is the number of the next record, so a restart neither
//! repeats nor skips one; what a record holds follows from the seed, its number and its time.
//!
//! What was due while the source did not run is not made up for: numbers go on, time jumps.

use std::time::Duration;

use bytes::Bytes;
use yeoul_base::fields::{FieldError, FieldReader, FieldWriter};
use yeoul_base::{FactKey, FactKind, StoreError};
use yeoul_format::{Decode, Delimited, LineDecoder};

use super::commit::Commits;
use super::{Env, SourceState};
use crate::config::{GenerateConfig, Shape};
use crate::shapes::{self, bikes, heartrate, movies};

const VERSION: u8 = 1;
const DEFAULT_RATE: f64 = 10.0;
const DEFAULT_EVERY_MS: f64 = 10_000.0;
/// Waiting for what is due ends at least so often, to hear of a stop.
const TICK_MS: f64 = 250.0;
/// A gap longer than this was a pause, not a delay.
const PAUSE_MS: f64 = 5_000.0;

/// See the module's head; bytes in `docs/formats/source-position.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position {
    /// Records made so far.
    next: u64,
    /// When round `anchor_round` was due, in Unix milliseconds.
    anchor_ms: i64,
    anchor_round: u64,
}

impl Position {
    fn encode(&self) -> Bytes {
        let mut out = FieldWriter::versioned(VERSION);
        out.u64(self.next).i64(self.anchor_ms).u64(self.anchor_round);
        out.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self, FieldError> {
        let mut input = FieldReader::versioned(bytes, VERSION)?;
        let position = Self {
            next: input.u64("next")?,
            anchor_ms: input.i64("anchor_ms")?,
            anchor_round: input.u64("anchor_round")?,
        };
        input.end()?;
        Ok(position)
    }
}

/// The rhythm: rounds of `size` records, one round each `every_ms`.
struct Rounds {
    size: u64,
    every_ms: f64,
}

impl Rounds {
    fn new(config: &GenerateConfig) -> Self {
        match config.shape {
            Shape::Bikes => Self {
                size: config.stations.map_or(bikes::STATIONS as u64, u64::from).max(1),
                every_ms: config
                    .every
                    .map_or(DEFAULT_EVERY_MS, |every| every.0.as_secs_f64() * 1e3),
            },
            Shape::Movies | Shape::Heartrate => {
                Self { size: 1, every_ms: 1_000.0 / config.rate.unwrap_or(DEFAULT_RATE).max(1e-3) }
            }
        }
    }

    fn due_ms(&self, position: &Position, round: u64) -> f64 {
        let rounds = round.saturating_sub(position.anchor_round) as f64;
        position.anchor_ms as f64 + rounds * self.every_ms
    }
}

/// Runs until told to stop, or until an error.
pub(super) fn run(env: &Env, config: &GenerateConfig) -> Result<(), StoreError> {
    let decoder = decoder(env, config.shape)?;
    let rounds = Rounds::new(config);
    let key = key(&env.name);
    let mut commits = Commits::open(env)?;
    let mut committed = env.store.fact(key.kind, &key.key);
    let mut position = match &committed {
        Some(bytes) => Position::decode(bytes).map_err(|error| {
            StoreError::Corrupt(format!("position of source {}: {error}", env.name))
        })?,
        None => Position { next: 0, anchor_ms: env.clock.now_ms(), anchor_round: 0 },
    };
    while !env.shared.stopped() {
        if config.count.is_some_and(|count| position.next >= count) {
            commits.settle()?;
            let message = format!("made all {} records it was asked for", position.next);
            env.shared.say(SourceState::Stopped, Some(message));
            if env.shared.wait(Duration::from_secs(3_600)) {
                break;
            }
            continue;
        }
        env.shared.say(SourceState::Running, None);
        let now_ms = env.clock.now_ms();
        let wait_ms = rounds.due_ms(&position, position.next / rounds.size) - now_ms as f64;
        if wait_ms > 0.0 {
            commits.settle()?;
            env.shared.wait(Duration::from_secs_f64(wait_ms.min(TICK_MS) / 1e3));
            continue;
        }
        // A round once begun keeps its time, also over a restart: its records belong together.
        if wait_ms < -rounds.every_ms - PAUSE_MS && position.next.is_multiple_of(rounds.size) {
            position.anchor_ms = now_ms;
            position.anchor_round = position.next / rounds.size;
        }
        make(env, config, &rounds, &decoder, &mut position, &mut commits);
        let next = position.encode();
        commits.position(key.clone(), committed.replace(next.clone()), Some(next));
        commits.submit()?;
    }
    commits.settle()
}

/// Adds what is due to the commit, as far as it fits.
fn make(
    env: &Env,
    config: &GenerateConfig,
    rounds: &Rounds,
    decoder: &Option<LineDecoder>,
    position: &mut Position,
    commits: &mut Commits<'_>,
) {
    let now_ms = env.clock.now_ms();
    let mut record = Vec::new();
    loop {
        let number = position.next;
        let due_ms = rounds.due_ms(position, number / rounds.size);
        if due_ms > now_ms as f64 || config.count.is_some_and(|count| number >= count) {
            return;
        }
        let made = match config.shape {
            Shape::Bikes => {
                let station = usize::try_from(number % rounds.size).unwrap_or(0);
                bikes::record(station, (due_ms / 1e3).floor() as i64, config.seed)
            }
            Shape::Movies => movies::line(number, config.seed),
            Shape::Heartrate => heartrate::record(number, due_ms as i64, config.seed),
        };
        record.clear();
        let result = match decoder {
            Some(decoder) => decoder.decode(made.as_bytes(), &mut record),
            None => {
                record.extend_from_slice(made.as_bytes());
                Ok(())
            }
        };
        if !commits.has_room(record.len().max(made.len())) {
            return;
        }
        match result {
            Ok(()) => commits.record(now_ms, &record),
            Err(error) => {
                commits.dead(now_ms, &error.to_string(), "generated", number, made.as_bytes());
            }
        }
        position.next += 1;
    }
}

/// The pipeline's decoder, or for lines of fields the shape's own columns.
fn decoder(env: &Env, shape: Shape) -> Result<Option<LineDecoder>, StoreError> {
    if env.decoder.is_some() || shape != Shape::Movies {
        return Ok(env.decoder.clone());
    }
    let columns = shapes::columns(shape);
    let decode = Decode::Tsv(Delimited { columns, ..Delimited::default() });
    LineDecoder::new(&decode).map(Some).map_err(|error| StoreError::Invalid(error.to_string()))
}

fn key(name: &str) -> FactKey {
    FactKey::new(FactKind::SourcePosition, [name.as_bytes(), b"\0g"].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_survives_its_bytes() {
        let position = Position { next: 2_700, anchor_ms: 1_713_970_800_000, anchor_round: 3 };
        let bytes = position.encode();
        assert_eq!(Position::decode(&bytes), Ok(position));
        assert_eq!(bytes.as_ref(), b"\x01\x8c\x15\x80\x96\xf7\x89\xe2\x63\x03");
        assert!(Position::decode(&bytes[..3]).is_err());
    }
}
