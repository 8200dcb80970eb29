//! One record as a line of text, both ways: what `consume` writes, `produce` reads.

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value, json};
use yeoul_log::batch::{Header, Record};

/// How a record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// The value as it is
    Value,
    /// Key, tab, value
    KeyValue,
    /// Partition, offset, time, key, headers and value, divided by tabs
    Table,
    /// One JSON object a line: key, value, headers and place
    Json,
}

pub(super) fn write(
    out: &mut impl Write,
    format: Format,
    topic: &str,
    partition: i32,
    record: &Record,
) -> io::Result<()> {
    let value = record.value.as_deref().unwrap_or_default();
    match format {
        Format::Value => out.write_all(value)?,
        Format::KeyValue => {
            out.write_all(record.key.as_deref().unwrap_or_default())?;
            out.write_all(b"\t")?;
            out.write_all(value)?;
        }
        Format::Table => {
            let time = DateTime::from_timestamp_millis(record.timestamp_ms)
                .map(|time| time.to_rfc3339_opts(SecondsFormat::Millis, true));
            write!(out, "{partition}\t{}\t{}\t", record.offset, time.unwrap_or_default())?;
            out.write_all(record.key.as_deref().unwrap_or_default())?;
            out.write_all(b"\t")?;
            for (at, header) in record.headers.iter().enumerate() {
                let (name, value) = (&header.name, header.value.as_deref().unwrap_or_default());
                let comma = if at > 0 { "," } else { "" };
                let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
                write!(out, "{comma}{name}={value}")?;
            }
            out.write_all(b"\t")?;
            out.write_all(value)?;
        }
        Format::Json => out.write_all(as_json(topic, partition, record).to_string().as_bytes())?,
    }
    out.write_all(b"\n")
}

/// Texts as they are; where bytes are not UTF-8, key, value and headers are in base64 and
/// `encoding` says so.
fn as_json(topic: &str, partition: i32, record: &Record) -> Value {
    let is_text = |bytes: &Bytes| std::str::from_utf8(bytes).is_ok();
    let headers = record.headers.iter().filter_map(|header| header.value.as_ref());
    let readable = record.key.iter().chain(&record.value).chain(headers).all(is_text);
    let show = |bytes: &Option<Bytes>| match bytes {
        None => Value::Null,
        Some(bytes) if readable => Value::from(String::from_utf8_lossy(bytes).into_owned()),
        Some(bytes) => Value::from(STANDARD.encode(bytes)),
    };
    let headers: Vec<_> = record
        .headers
        .iter()
        .map(|header| json!([String::from_utf8_lossy(&header.name), show(&header.value)]))
        .collect();
    let mut out = Map::new();
    out.insert("topic".into(), topic.into());
    out.insert("partition".into(), partition.into());
    out.insert("offset".into(), record.offset.into());
    out.insert("timestamp_ms".into(), record.timestamp_ms.into());
    out.insert("key".into(), show(&record.key));
    out.insert("value".into(), show(&record.value));
    out.insert("encoding".into(), if readable { "utf8" } else { "base64" }.into());
    out.insert("headers".into(), headers.into());
    Value::Object(out)
}

/// A record to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Outgoing {
    pub(super) key: Option<Bytes>,
    pub(super) value: Option<Bytes>,
    pub(super) headers: Vec<Header>,
    pub(super) timestamp_ms: Option<i64>,
}

/// Reads what [`Format::Json`] writes. Place and topic are left out: they are the new topic's.
/// A value that is not a string is sent as its JSON text.
pub(super) fn from_json(line: &[u8]) -> Result<Outgoing, String> {
    let value: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let Value::Object(fields) = value else { return Err("it is not a JSON object".into()) };
    let known =
        ["topic", "partition", "offset", "timestamp_ms", "key", "value", "encoding", "headers"];
    if let Some(name) = fields.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(format!("`{name}` is not a field of a record ({})", known.join(", ")));
    }
    let base64 = match fields.get("encoding").and_then(Value::as_str) {
        None | Some("utf8") => false,
        Some("base64") => true,
        Some(other) => return Err(format!("encoding `{other}` is neither utf8 nor base64")),
    };
    let bytes = |name: &str, value: Option<&Value>| match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if base64 => match STANDARD.decode(text) {
            Ok(bytes) => Ok(Some(Bytes::from(bytes))),
            Err(error) => Err(format!("`{name}` is not base64: {error}")),
        },
        Some(Value::String(text)) => Ok(Some(Bytes::from(text.clone()))),
        Some(other) => Ok(Some(Bytes::from(other.to_string()))),
    };
    let mut headers = Vec::new();
    let pairs = match fields.get("headers") {
        None | Some(Value::Null) => &[],
        Some(Value::Array(pairs)) => pairs.as_slice(),
        Some(_) => return Err("`headers` is not a list of [name, value]".into()),
    };
    for pair in pairs {
        let Some([Value::String(name), value]) = pair.as_array().map(Vec::as_slice) else {
            return Err(format!("header {pair} is not [name, value]"));
        };
        let value = bytes("headers", Some(value))?;
        headers.push(Header { name: Bytes::from(name.clone()), value });
    }
    let timestamp_ms = match fields.get("timestamp_ms") {
        None | Some(Value::Null) => None,
        Some(value) => Some(value.as_i64().ok_or("`timestamp_ms` is not a whole number")?),
    };
    Ok(Outgoing {
        key: bytes("key", fields.get("key"))?,
        value: bytes("value", fields.get("value"))?,
        headers,
        timestamp_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: Option<&'static [u8]>, value: Option<&'static [u8]>) -> Record {
        let header = |value| Header {
            name: Bytes::from_static(b"h"),
            value: Some(Bytes::from_static(value)),
        };
        Record {
            offset: 5,
            timestamp_ms: 1_795_251_600_000,
            key: key.map(Bytes::from_static),
            value: value.map(Bytes::from_static),
            // The same name twice is legal and keeps its order.
            headers: vec![header(b"1"), header(b"2")],
        }
    }

    #[test]
    fn what_consume_writes_produce_reads() {
        let records = [
            record(Some(b"k"), Some("값".as_bytes())),
            record(None, None),
            record(Some(b""), Some(b"\xff\x00")),
        ];
        for record in records {
            let mut line = Vec::new();
            write(&mut line, Format::Json, "t", 1, &record).expect("to memory");
            let back = from_json(&line).expect("its own line");
            let Record { key, value, headers, timestamp_ms, .. } = record;
            assert_eq!(back, Outgoing { key, value, headers, timestamp_ms: Some(timestamp_ms) });
        }
    }

    #[test]
    fn a_bad_line_says_what_is_wrong() {
        let cases = [
            ("[1]", "not a JSON object"),
            (r#"{"valu":1}"#, "`valu` is not a field"),
            (r#"{"value":"*","encoding":"base64"}"#, "not base64"),
            (r#"{"headers":[["a"]]}"#, "not [name, value]"),
            (r#"{"timestamp_ms":"x"}"#, "whole number"),
        ];
        for (line, what) in cases {
            let error = from_json(line.as_bytes()).expect_err(line);
            assert!(error.contains(what), "{line}: {error}");
        }
        let number = from_json(br#"{"value":{"a":1}}"#).expect("an object is its text");
        assert_eq!(number.value.as_deref(), Some(&br#"{"a":1}"#[..]));
    }

    #[test]
    fn a_table_line_has_place_and_time() {
        let mut line = Vec::new();
        write(&mut line, Format::Table, "t", 2, &record(Some(b"k"), Some(b"v")))
            .expect("to memory");
        assert_eq!(line, b"2\t5\t2026-11-21T09:00:00.000Z\tk\th=1,h=2\tv\n");
    }
}
