//! Specs in, what feeds the table out; and what is refused, with its place.

use serde_json::json;
use yeoul_format::ColumnType;
use yeoul_stream::{Reads, TimeFormat};
use yeoul_table::{Granularity, RollupBy};

use super::*;

fn spec(change: impl FnOnce(&mut Value)) -> Value {
    let mut spec = json!({
        "type": "kafka",
        "spec": {
            "ioConfig": {
                "topic": "films",
                "consumerProperties": { "bootstrap.servers": "elsewhere:9092" },
                "inputFormat": { "type": "json" },
            },
            "tuningConfig": { "type": "kafka", "anything": 1 },
            "dataSchema": {
                "dataSource": "movies",
                "timestampSpec": { "column": "at", "format": "posix" },
                "transformSpec": {
                    "transforms": [
                        { "type": "expression", "name": "loud", "expression": "upper(\"title\")" },
                    ],
                    "filter": { "type": "selector", "dimension": "grade", "value": "PG" },
                },
                "dimensionsSpec": { "dimensions": ["loud", { "type": "long", "name": "year" }] },
                "metricsSpec": [
                    { "type": "count", "name": "rows" },
                    { "type": "longSum", "name": "seats", "fieldName": "n" },
                ],
                "granularitySpec": { "segmentGranularity": "month", "queryGranularity": "PT1H" },
            },
        },
    });
    change(&mut spec);
    spec
}

#[test]
fn a_spec_says_what_a_pipeline_file_would() {
    let spec = spec(|_| {});
    let supervised = supervised(&spec).unwrap();
    assert_eq!((supervised.id.as_str(), supervised.topic.as_str()), ("movies", "films"));
    assert!(!supervised.suspended && supervised.from_start);
    let ingest = table(&spec, "movies", "films").unwrap();
    let time = ingest.time.unwrap();
    assert_eq!(time.column, "at");
    assert!(matches!(time.format, TimeFormat::Epoch(_)));
    assert_eq!(ingest.granularity, Granularity::Month);
    let rollup = ingest.rollup.unwrap();
    assert_eq!(rollup.by, RollupBy::Hour);
    assert_eq!(rollup.dimensions.unwrap(), ["loud", "year"]);
    assert_eq!(rollup.metrics[1].sql.as_deref(), Some("\"n\""));
    let Reads::Exactly(fields) = ingest.reads else { panic!() };
    assert_eq!(fields.len(), 1);
    assert_eq!((fields[0].name.as_str(), &fields[0].ty), ("year", &Some(ColumnType::Int)));
    assert_eq!(ingest.transforms[0].ty, Some(ColumnType::String));
}

#[test]
fn the_shapes_that_are_seen_in_the_wild_are_one_spec() {
    let wrapped = spec(|_| {});
    let mut bare = wrapped["spec"].clone();
    bare["type"] = json!("kafka");
    assert_eq!(supervised(&bare).unwrap().id, "movies");
    let old = json!({
        "type": "kafka",
        "dataSchema": {
            "dataSource": "movies",
            "parser": { "type": "string", "parseSpec": {
                "format": "json",
                "timestampSpec": { "column": "at", "format": "auto" },
                "dimensionsSpec": { "dimensions": [], "dimensionExclusions": ["x"] },
            } },
            "metricsSpec": [{ "type": "doubleSum", "name": "sum_n", "fieldName": "n" }],
        },
        "ioConfig": { "topic": "films", "consumerProperties": {} },
    });
    assert_eq!(supervised(&old).unwrap().topic, "films");
    let ingest = table(&old, "movies", "films").unwrap();
    let Reads::Members { text, except } = ingest.reads else { panic!() };
    assert!(text);
    assert_eq!(except, ["x", "at", "n", "sum_n"]);
    assert!(ingest.rollup.is_some(), "rollup unless told otherwise");
}

#[test]
fn without_rollup_a_metric_is_the_rows_own_value() {
    let spec = spec(|spec| {
        spec["spec"]["dataSchema"]["granularitySpec"] =
            json!({ "rollup": false, "queryGranularity": "day" });
    });
    let ingest = table(&spec, "movies", "films").unwrap();
    assert!(ingest.rollup.is_none());
    assert_eq!(ingest.round, RollupBy::Day);
    assert_eq!(ingest.select.unwrap(), ["loud", "year", "rows", "seats"]);
    assert_eq!(ingest.transforms[1].sql, "1");
}

#[test]
fn what_would_change_rows_is_done_or_refused_with_its_place() {
    type Change = fn(&mut Value);
    let cases: [(Change, &str, &str); 17] = [
        (|s| s["type"] = json!("kinesis"), "$.type", "kinesis"),
        (|s| s["spec"]["ioConfig"]["topicPattern"] = json!("a.*"), "topicPattern", "not offered"),
        (
            |s| s["spec"]["ioConfig"]["lateMessageRejectionPeriod"] = json!("PT1H"),
            "lateMessageRejectionPeriod",
            "leave it out",
        ),
        (
            |s| s["spec"]["ioConfig"]["consumerProperties"]["sasl.jaas.config"] = json!("x"),
            "$.spec.ioConfig.consumerProperties.sasl.jaas.config",
            "leave it out",
        ),
        (
            |s| s["spec"]["ioConfig"]["inputFormat"]["type"] = json!("avro_ocf"),
            "inputFormat.type",
            "json, csv",
        ),
        (
            |s| {
                s["spec"]["ioConfig"]["inputFormat"]["flattenSpec"] =
                    json!({ "fields": [{ "type": "jq", "name": "x", "expr": ".x" }] })
            },
            "flattenSpec.fields[0].type",
            "jq",
        ),
        (
            |s| {
                s["spec"]["ioConfig"]["inputFormat"]["flattenSpec"] =
                    json!({ "fields": [{ "type": "path", "name": "x", "expr": "$..x" }] })
            },
            "fields[0].expr",
            "many values",
        ),
        (
            |s| s["spec"]["dataSchema"]["metricsSpec"][1]["type"] = json!("javascript"),
            "metricsSpec[1].type",
            "longSum",
        ),
        (
            |s| s["spec"]["dataSchema"]["metricsSpec"][1]["fieldName"] = json!(null),
            "metricsSpec[1]",
            "fieldName",
        ),
        (
            |s| s["spec"]["dataSchema"]["granularitySpec"]["queryGranularity"] = json!("fortnight"),
            "queryGranularity",
            "fortnight",
        ),
        (
            |s| {
                s["spec"]["dataSchema"]["granularitySpec"]["queryGranularity"] =
                    json!({ "type": "period", "period": "P1D", "timeZone": "Asia/Seoul" })
            },
            "queryGranularity.timeZone",
            "UTC",
        ),
        (
            |s| {
                s["spec"]["dataSchema"]["transformSpec"]["transforms"][0]["expression"] =
                    json!("upper(")
            },
            "transforms[0].expression",
            "",
        ),
        (
            |s| s["spec"]["dataSchema"]["transformSpec"]["filter"]["type"] = json!("javascript"),
            "transformSpec.filter",
            "javascript",
        ),
        (
            |s| s["spec"]["dataSchema"]["dimensionsSpec"]["spatialDimensions"] = json!([{}]),
            "spatialDimensions",
            "not offered",
        ),
        (
            |s| {
                s["spec"]["dataSchema"]["dimensionsSpec"]["dimensions"][0] =
                    json!({ "type": "map", "name": "x" })
            },
            "dimensions[0].type",
            "map",
        ),
        (
            |s| s["spec"]["dataSchema"]["timestampSpec"]["format"] = json!("xxxx"),
            "timestampSpec.format",
            "week years",
        ),
        (
            |s| s["spec"]["dataSchema"]["projections"] = json!([]),
            "dataSchema.projections",
            "leave it out",
        ),
    ];
    for (change, path, part) in cases {
        let spec = spec(change);
        let error = supervised(&spec).err().or_else(|| table(&spec, "m", "t").err());
        let error = error.unwrap_or_else(|| panic!("{path} was taken"));
        assert!(error.path.contains(path), "{path}: {error}");
        assert!(error.message.contains(part), "{path}: {error}");
    }
}
