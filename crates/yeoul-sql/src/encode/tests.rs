//! Every kind of value in every format.

use std::sync::Arc;

use arrow::array::{
    BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, ListArray, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::Field;

use super::*;

fn batch() -> RecordBatch {
    let time =
        TimestampMicrosecondArray::from(vec![Some(1_795_212_000_000_000), Some(1_001), None]);
    let list = ListArray::from_iter_primitive::<Int64Type, _, _>([
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
    ]);
    let decimal = Decimal128Array::from(vec![Some(1050), None, Some(-5)])
        .with_precision_and_scale(10, 2)
        .unwrap();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("__time", Arc::new(time.with_timezone("UTC"))),
        ("t", Arc::new(StringArray::from(vec![Some("x\\"), Some("역,\"1\"\n\u{1}"), None]))),
        ("n", Arc::new(Int64Array::from(vec![Some(i64::MAX), Some(-1), None]))),
        ("d", Arc::new(Float64Array::from(vec![Some(0.1), Some(f64::NAN), Some(2.0)]))),
        ("b", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
        ("day", Arc::new(Date32Array::from(vec![Some(0), None, Some(1)]))),
        ("c", Arc::new(decimal)),
        ("l", Arc::new(list)),
    ];
    let fields: Vec<_> = columns
        .iter()
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), true))
        .collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

fn written(style: Style, write: impl Fn(&Rows, usize, &mut String)) -> Vec<String> {
    let rows = Rows::new(&batch(), style).unwrap();
    (0..rows.len())
        .map(|row| {
            let mut out = String::new();
            write(&rows, row, &mut out);
            out
        })
        .collect()
}

#[test]
fn objects_hold_every_kind_of_value() {
    let rows = written(Style::default(), Rows::object);
    assert_eq!(
        rows[0],
        r#"{"__time":"2026-11-20T22:00:00.000Z","t":"x\\","n":9223372036854775807,"d":0.1,"b":true,"day":"1970-01-01","c":10.50,"l":"[1,null]"}"#
    );
    assert_eq!(
        rows[1],
        r#"{"__time":"1970-01-01T00:00:00.001001Z","t":"역,\"1\"\n\u0001","n":-1,"d":"NaN","b":false,"day":null,"c":null,"l":null}"#
    );
    for row in rows {
        serde_json::from_str::<serde_json::Value>(&row).unwrap();
    }
}

#[test]
fn a_face_may_forbid_the_plain_backslash() {
    let style =
        Style { plain_backslash_never: true, dates_as_instants: true, nested_as_json: false };
    let rows = written(style, Rows::array);
    assert_eq!(
        rows[0],
        r#"["2026-11-20T22:00:00.000Z","x\u005c",9223372036854775807,0.1,true,"1970-01-01T00:00:00.000Z",10.50,"[1,null]"]"#
    );
    assert_eq!(rows[2], r#"[null,null,null,2.0,null,"1970-01-02T00:00:00.000Z",-0.05,"[]"]"#);
}

#[test]
fn csv_quotes_what_must_be_quoted() {
    let rows = written(Style::default(), Rows::csv);
    assert_eq!(
        rows[0],
        r#"2026-11-20T22:00:00.000Z,x\,9223372036854775807,0.1,true,1970-01-01,10.50,"[1,null]""#
    );
    assert!(rows[1].contains(r#","역,""1""#), "{}", rows[1]);
}
