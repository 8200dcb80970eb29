//! Rows out, and rows out and in again.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Float32Array, Float64Array, Int64Array, ListArray,
    StringArray, StringDictionaryBuilder, StringViewArray, TimestampMicrosecondArray,
    TimestampNanosecondArray, UInt64Array,
};
use arrow::datatypes::Int32Type as DictionaryKey;
use proptest::prelude::*;

use super::*;
use crate::columns::Columns;
use crate::row::{RowDecoder, RowOptions};
use crate::schema::{Origin, Schema as TopicSchema};

fn encoded(columns: Vec<(&str, ArrayRef)>) -> Vec<String> {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap();
    rows(&batch)
}

fn rows(batch: &RecordBatch) -> Vec<String> {
    let encoder = RowEncoder::new(&batch.schema());
    (0..batch.num_rows())
        .map(|row| {
            let mut out = Vec::new();
            encoder.encode(batch, row, &mut out);
            let text = String::from_utf8(out).unwrap();
            assert!(is_json(&text), "{text}");
            text
        })
        .collect()
}

#[test]
fn numbers_are_exact() {
    let doubles = vec![Some(126.94494910647887), Some(1.0), Some(1e300), Some(f64::NAN), None];
    let ints = vec![i64::MAX, i64::MIN, 0, 1, 2];
    let big = vec![u64::MAX, 0, 1, 2, 3];
    let floats = vec![0.1f32, 2.5, f32::INFINITY, -0.0, 1e-7];
    let got = encoded(vec![
        ("d", Arc::new(Float64Array::from(doubles))),
        ("i", Arc::new(Int64Array::from(ints))),
        ("u", Arc::new(UInt64Array::from(big))),
        ("f", Arc::new(Float32Array::from(floats))),
    ]);
    assert_eq!(
        got[0],
        r#"{"d":126.94494910647887,"i":9223372036854775807,"u":18446744073709551615,"f":0.1}"#
    );
    assert_eq!(got[1], r#"{"d":1.0,"i":-9223372036854775808,"u":0,"f":2.5}"#);
    assert!(
        got[2].starts_with(r#"{"d":1e+300,"#) || got[2].starts_with(r#"{"d":1e300,"#),
        "{}",
        got[2]
    );
    assert!(got[2].ends_with(r#""f":"Infinity"}"#));
    assert!(got[3].starts_with(r#"{"d":"NaN""#));
    assert!(got[4].starts_with(r#"{"d":null"#));
}

#[test]
fn times_have_the_fewest_digits() {
    let second = 1_658_042_294_000_000;
    let times = vec![second, second + 500_000, second + 1, -1, i64::MAX];
    let nanos = vec![1_658_042_294_123_456_789, 0, -1, 1, 1_000];
    let got = encoded(vec![
        ("t", Arc::new(TimestampMicrosecondArray::from(times).with_timezone("+09:00"))),
        ("n", Arc::new(TimestampNanosecondArray::from(nanos))),
        ("y", Arc::new(Date32Array::from(vec![0, 1, -1, 19_190, i32::MAX]))),
    ]);
    assert_eq!(
        got[0],
        r#"{"t":"2022-07-17T07:18:14Z","n":"2022-07-17T07:18:14.123456Z","y":"1970-01-01"}"#
    );
    assert!(got[1].starts_with(r#"{"t":"2022-07-17T07:18:14.500Z","n":"1970-01-01T00:00:00Z""#));
    assert!(got[2].contains(r#""t":"2022-07-17T07:18:14.000001Z""#));
    assert!(got[3].contains(r#""t":"1969-12-31T23:59:59.999999Z""#));
    assert!(got[3].contains(r#""y":"2022-07-17""#));
}

#[test]
fn text_and_json() {
    let json = Field::new("j", DataType::Utf8, true)
        .with_metadata([(TYPE_METADATA.to_owned(), "json".to_owned())].into());
    let schema = Schema::new(vec![json, Field::new("한글", DataType::Utf8View, true)]);
    let batch = RecordBatch::try_new(
        Arc::new(schema),
        vec![
            Arc::new(StringArray::from(vec![Some(" {\"a\": [1] } "), Some("not json"), None])),
            Arc::new(StringViewArray::from(vec!["탑건 \"1986\"", "a\nb\u{1}", "😀/"])),
        ],
    )
    .unwrap();
    assert_eq!(
        rows(&batch),
        [
            r#"{"j":{"a": [1] },"한글":"탑건 \"1986\""}"#,
            r#"{"j":"not json","한글":"a\nb\u0001"}"#,
            r#"{"j":null,"한글":"😀/"}"#,
        ]
    );
    let mut out = Vec::new();
    RowEncoder::new(&batch.schema()).encode(&batch, 3, &mut out);
    assert!(out.is_empty(), "there is no fourth row");
}

#[test]
fn nested_dictionary_and_decimal() {
    let list = ListArray::from_iter_primitive::<Int64Type, _, _>(vec![
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
    ]);
    let mut dictionary = StringDictionaryBuilder::<DictionaryKey>::new();
    dictionary.append_value("서울");
    dictionary.append_null();
    dictionary.append_value("부산");
    let decimal =
        Decimal128Array::from(vec![12_345, -5, 0]).with_precision_and_scale(10, 2).unwrap();
    let got = encoded(vec![
        ("l", Arc::new(list)),
        ("c", Arc::new(dictionary.finish())),
        ("m", Arc::new(decimal)),
    ]);
    assert_eq!(
        got,
        [
            r#"{"l":[1,null],"c":"서울","m":123.45}"#,
            r#"{"l":null,"c":null,"m":-0.05}"#,
            r#"{"l":[],"c":"부산","m":0.00}"#,
        ]
    );
}

proptest! {
    /// What the encoder writes, the decoder reads as the same rows.
    #[test]
    fn out_and_in_again(
        cells in prop::collection::vec(
            (any::<Option<i64>>(), any::<Option<f64>>(), any::<Option<String>>(),
             prop::option::of(-62_135_596_800_000_000i64..253_402_300_800_000_000),
             prop::option::of(prop::collection::vec(any::<Option<bool>>(), 0..4))),
            0..20,
        )
    ) {
        let ddl = "i INT, d DOUBLE, s STRING, t TIMESTAMP, a ARRAY<BOOLEAN>, j JSON, x STRUCT<y: DATE>";
        let schema = TopicSchema::new(Columns::parse(ddl).unwrap().into_vec(), Origin::Declared);
        let mut decoder = RowDecoder::new(&schema, RowOptions::default());
        for (i, d, s, t, a) in cells {
            let d = d.filter(|d| d.is_finite());
            let record = serde_json::json!({
                "i": i, "d": d, "s": s, "a": a, "j": {"s": s}, "x": {"y": "2024-02-29"},
                "t": t.map(|t| DateTime::from_timestamp_micros(t).unwrap().to_rfc3339()),
            });
            decoder.push(Some(record.to_string().as_bytes())).unwrap();
        }
        let batch = decoder.finish().unwrap();
        for row in rows(&batch) {
            decoder.push(Some(row.as_bytes())).unwrap();
        }
        prop_assert_eq!(decoder.finish().unwrap(), batch);
    }
}
