//! The JSON Schema of the pipeline file, for editors, from the same types that read it.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};
use yeoul_connect::SourceConfig;
use yeoul_format::Decode;

use crate::model::{LookupSpec, NodeSettings, StreamSpec, TableSpec, TopicSpec};
use crate::read::RawTest;

/// The whole document (draft 2020-12).
pub fn schema() -> Value {
    let mut generator = SchemaGenerator::new(SchemaSettings::draft2020_12());
    let node = generator.subschema_for::<NodeSettings>();
    let topics = map_of::<TopicSpec>(&mut generator, "Topics and their settings, by name.");
    let lookups = map_of::<LookupSpec>(&mut generator, "Small keyed relations, by name.");
    let streams = map_of::<StreamSpec>(&mut generator, "Continuous queries, by name.");
    let tables = map_of::<TableSpec>(&mut generator, "Queryable tables, by name.");
    let tests = generator.subschema_for::<RawTest>();
    let source = source(&mut generator);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Yeoul pipeline",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "name": {
                "type": "string",
                "description": "Default: the file's name without its ending.",
            },
            "timezone": {
                "type": "string",
                "description": "IANA name such as Asia/Seoul; default UTC.",
            },
            "node": node,
            "topics": topics,
            "sources": {
                "type": "object",
                "description": "What brings records from outside into topics, by name.",
                "additionalProperties": source,
            },
            "lookups": lookups,
            "streams": streams,
            "tables": tables,
            "dashboards": {
                "type": "array",
                "description": "Files of dashboards.",
                "items": { "type": "string" },
            },
            "tests": {
                "type": "array",
                "description": "Records in, rows expected; run by `yeoul test`.",
                "items": tests,
            },
        },
        "$defs": generator.take_definitions(true),
    })
}

/// [`schema`] as it is printed.
pub fn schema_text() -> String {
    format!("{:#}", schema())
}

fn map_of<T: JsonSchema>(generator: &mut SchemaGenerator, about: &str) -> Value {
    let item = generator.subschema_for::<T>();
    // `name:` with nothing under it is a component with all defaults, where that is enough.
    json!({ "type": "object", "description": about, "additionalProperties": item })
}

/// One kind as a key, and beside it what all kinds share.
fn source(generator: &mut SchemaGenerator) -> Value {
    let decode = generator.subschema_for::<Decode>().to_value();
    let to = json!({
        "type": "string",
        "description": "The topic; default: the source's own name.",
    });
    let kinds = SourceConfig::json_schema(generator).to_value();
    let kinds = kinds.get("oneOf").and_then(Value::as_array).cloned().unwrap_or_default();
    let with_shared = |mut kind: Value| {
        if let Some(properties) = kind.get_mut("properties").and_then(Value::as_object_mut) {
            properties.extend(Map::from_iter([
                ("decode".to_owned(), decode.clone()),
                ("to".to_owned(), to.clone()),
            ]));
        }
        kind
    };
    json!({ "oneOf": kinds.into_iter().map(with_shared).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::de::variants_of;

    #[test]
    fn every_section_and_every_kind_is_described() {
        let schema = schema();
        for section in crate::read::SECTIONS {
            assert!(schema["properties"][section].is_object(), "{section}");
        }
        assert_eq!(schema["properties"].as_object().unwrap().len(), crate::read::SECTIONS.len());
        let kinds = schema["properties"]["sources"]["additionalProperties"]["oneOf"].clone();
        for (kind, name) in kinds.as_array().unwrap().iter().zip(variants_of::<SourceConfig>()) {
            let keys: Vec<_> = kind["properties"].as_object().unwrap().keys().collect();
            assert_eq!(keys, [*name, "decode", "to"]);
            assert_eq!(
                (&kind["required"], &kind["additionalProperties"]),
                (&json!([name]), &json!(false))
            );
        }
    }

    #[test]
    fn references_lead_somewhere() {
        let schema = schema();
        let text = schema.to_string();
        let mut references = 0;
        for part in text.split("\"$ref\":\"#/$defs/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(schema["$defs"][name].is_object(), "{name}");
            references += 1;
        }
        assert!(references > 5, "{references}");
        assert!(text.contains("Spark's DDL"), "doc comments are its descriptions");
    }
}
