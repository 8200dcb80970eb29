//! Records in: types, blanks, errors that leave nothing behind, `_rest`, limits.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use proptest::prelude::*;

use super::*;
use crate::columns::Columns;
use crate::encode::RowEncoder;
use crate::infer::infer;
use crate::schema::Origin;

fn decoder(ddl: &str, rest: bool) -> RowDecoder {
    let schema = Schema::new(Columns::parse(ddl).unwrap().into_vec(), Origin::Declared);
    RowDecoder::new(&schema, RowOptions { rest, ..RowOptions::default() })
}

fn push(decoder: &mut RowDecoder, record: &str) -> Result<(), RowError> {
    decoder.push(Some(record.as_bytes()))
}

fn rows(batch: &RecordBatch) -> Vec<String> {
    let encoder = RowEncoder::new(&batch.schema());
    (0..batch.num_rows())
        .map(|row| {
            let mut out = Vec::new();
            encoder.encode(batch, row, &mut out);
            String::from_utf8(out).unwrap()
        })
        .collect()
}

#[test]
fn a_declared_number_accepts_a_string_and_a_blank_is_null() {
    let mut rows = decoder("i INT, d DOUBLE, s STRING, b BOOLEAN, t TIMESTAMP, e epoch_ms", false);
    push(&mut rows, r#"{"i":"13","d":" 37.55564880 ","s":7,"b":"true","t":"2022-07-17T16:18:14+09:00","e":"1658042294001"}"#).unwrap();
    push(&mut rows, r#"{"i":"","d":" ","s":"","b":"","t":"","e":""}"#).unwrap();
    push(&mut rows, r#"{"s":{"a":[1]},"i":3.0,"e":"2022-07-17 07:18:14"}"#).unwrap();
    let batch = rows.finish().unwrap();
    let (i, d) = (
        batch.column(0).as_primitive::<Int64Type>(),
        batch.column(1).as_primitive::<Float64Type>(),
    );
    assert_eq!((i.value(0), i.is_null(1), i.value(2)), (13, true, 3));
    assert_eq!((d.value(0), d.is_null(1)), (37.5556488, true));
    let s = batch.column(2).as_string::<i32>();
    assert_eq!((s.value(0), s.value(1), s.value(2)), ("7", "", r#"{"a":[1]}"#));
    assert!(batch.column(3).as_boolean().value(0) && batch.column(3).is_null(1));
    let t = batch.column(4).as_primitive::<TimestampMicrosecondType>();
    assert_eq!((t.value(0), t.is_null(1)), (1_658_042_294_000_000, true));
    let e = batch.column(5).as_primitive::<TimestampMicrosecondType>();
    assert_eq!(
        (e.value(0), e.is_null(1), e.value(2)),
        (1_658_042_294_001_000, true, 1_658_042_294_000_000)
    );
    assert_eq!(rows.rows(), 0);
}

#[test]
fn a_bad_row_adds_nothing() {
    let mut decoder = decoder("a INT, l ARRAY<INT>, o STRUCT<x: INT, y: STRING>, s STRING", true);
    let good = r#"{"s":"x","o":{"y":"z","x":2,"more":1},"l":[1,"2",null],"a":1,"new":{"b":[ ]},"n\u0065w2":1}"#;
    push(&mut decoder, good).unwrap();
    for (bad, reason) in [
        (r#"{"new":1,"s":"y","l":[1,2],"o":{"x":1},"a":"x"}"#, "column `a`: `x` is not an int"),
        (r#"{"s":"y","a":1,"l":[1,2,"z"]}"#, "column `l`: element 2: `z` is not an int"),
        (r#"{"s":"y","a":1,"o":{"y":"long","x":[]}}"#, "column `o`: `x`: `[]` is not an int"),
        (r#"{"a":9223372036854775808}"#, "beyond 64 bits"),
        (r#"{"a":1,"l":{}}"#, "column `l`"),
        (r#"{"a":true}"#, "`true` is not an int"),
        (r#"{"a":1,"s":"\ud800"}"#, "surrogate"),
        (r#"{"s":"tail","a":1"#, "expected `,`"),
        (r#"{"a":1} x"#, "text after the value"),
        ("[1]", "not a JSON object"),
        ("plain", "not a JSON object"),
    ] {
        let error = push(&mut decoder, bad).unwrap_err();
        assert!(error.to_string().contains(reason), "{bad}: {error}");
        assert_eq!(decoder.rows(), 1);
    }
    assert_eq!(decoder.push(None), Err(RowError::Null));
    assert!(matches!(decoder.push(Some(b"{\"a\":\"\xff\"}")), Err(RowError::Utf8(6))));
    push(&mut decoder, good).unwrap();
    let batch = decoder.finish().unwrap();
    let want = r#"{"a":1,"l":[1,2,null],"o":{"x":2,"y":"z"},"s":"x","_rest":{"o.more":1,"new":{"b":[ ]},"n\u0065w2":1}}"#;
    assert_eq!(rows(&batch), [want, want]);
}

#[test]
fn an_inferred_type_gives_way_to_rest() {
    let schema = infer([br#"{"n":1,"l":[1]}"#.as_slice()].into_iter());
    let mut strict = RowDecoder::new(
        &Schema { origin: Origin::Declared, ..schema.clone() },
        RowOptions::default(),
    );
    let mut lenient = RowDecoder::new(&schema, RowOptions { rest: true, ..RowOptions::default() });
    let record = r#"{"n":"x","l":[1,"y"],"later":2}"#;
    assert!(push(&mut strict, record).is_err());
    push(&mut lenient, record).unwrap();
    push(&mut lenient, r#"{"n":2}"#).unwrap();
    assert_eq!(
        rows(&lenient.finish().unwrap()),
        [
            r#"{"n":null,"l":null,"_rest":{"n":"x","l":[1,"y"],"later":2}}"#,
            r#"{"n":2,"l":null,"_rest":null}"#,
        ]
    );
}

#[test]
fn keys_in_any_order_escaped_or_twice() {
    let mut decoder = decoder("a INT, 역 STRING", false);
    for record in [
        r#"{"a":1,"역":"x"}"#,
        r#"{"역":"x","a":1}"#,
        r#"{"\u0061":1,"\uc5ed":"x"}"#,
        r#"{"a":7,"a":1,"역":"x"}"#,
        r#"{"z":0,"a":1,"y":0,"역":"x","a":1}"#,
    ] {
        push(&mut decoder, record).unwrap();
    }
    for row in rows(&decoder.finish().unwrap()) {
        assert_eq!(row, r#"{"a":1,"역":"x"}"#);
    }
}

#[test]
fn local_times_and_raw_topics() {
    let schema = Schema::new(Columns::parse("t TIMESTAMP").unwrap().into_vec(), Origin::Declared);
    let options = RowOptions { zone: chrono_tz::Asia::Seoul, rest: false };
    let mut decoder = RowDecoder::new(&schema, options);
    push(&mut decoder, r#"{"t":"2022-07-17 16:18:14"}"#).unwrap();
    assert!(push(&mut decoder, r#"{"t":1658042294}"#).unwrap_err().to_string().contains("epoch_s"));
    assert_eq!(rows(&decoder.finish().unwrap()), [r#"{"t":"2022-07-17T07:18:14Z"}"#]);

    let mut raw = RowDecoder::new(&infer(std::iter::empty()), RowOptions::default());
    raw.push(Some(b"\xff anything")).unwrap();
    raw.push(None).unwrap();
    let batch = raw.finish().unwrap();
    assert_eq!((batch.num_rows(), batch.num_columns()), (2, 0));
}

#[test]
fn hostile_records_are_refused() {
    let mut decoder = decoder("a JSON", true);
    let deep = format!("{{\"a\":{}", "[".repeat(1_000_000));
    assert!(push(&mut decoder, &deep).unwrap_err().to_string().contains("128 deep"));
    let wide = format!("{{{}\"a\":1}}", "\"k\":0,".repeat(70_000));
    assert!(push(&mut decoder, &wide).unwrap_err().to_string().contains("keys"));
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(RECORD_BYTES_MAX));
    assert!(matches!(push(&mut decoder, &long), Err(RowError::TooLarge(_))));
    assert_eq!(decoder.finish().unwrap().num_rows(), 0);
}

#[test]
fn bikes_as_the_city_sends_them() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/data/seoul-bike/rentBikeStatus_rows_20210404075820.json"
    );
    let Ok(text) = std::fs::read_to_string(path) else {
        println!("skipped: the city's rows are not beside the repository");
        return;
    };
    let list: Vec<Box<serde_json::value::RawValue>> = serde_json::from_str(&text).unwrap();
    let mut decoder = decoder(
        "rackTotCnt INT, stationName STRING, parkingBikeTotCnt INT, shared INT, \
         stationLatitude DOUBLE, stationLongitude DOUBLE, stationId STRING",
        true,
    );
    for record in &list {
        push(&mut decoder, record.get()).unwrap();
    }
    let batch = decoder.finish().unwrap();
    assert_eq!(batch.num_rows(), list.len());
    for column in batch.columns().iter().take(7) {
        assert_eq!(column.null_count(), 0);
    }
    assert_eq!(batch.column(7).null_count(), list.len(), "nothing is left over");
}

proptest! {
    /// Whatever comes, a refused record leaves the batch as it was and the next one is read.
    #[test]
    fn any_bytes_leave_whole_rows(
        records in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..40),
                r#"\{("[alosz]":(1|-0|"x"|\[[12,]*\]|\{"x":["1]?\}|null|1e9),?){0,4}\}?"#
                    .prop_map(String::into_bytes),
            ],
            0..40,
        )
    ) {
        let mut rows = decoder("a INT, l ARRAY<INT>, o STRUCT<x: INT>, s STRING", true);
        let mut taken = 0;
        for record in &records {
            taken += usize::from(rows.push(Some(record)).is_ok());
            prop_assert_eq!(rows.rows(), taken);
        }
        rows.push(Some(b"{\"a\":1}")).unwrap();
        let batch = rows.finish().unwrap();
        prop_assert_eq!(batch.num_rows(), taken + 1);
        prop_assert_eq!(batch.column(0).as_primitive::<Int64Type>().value(taken), 1);
    }
}

#[test]
fn places_within_a_record_have_columns_and_the_record_is_kept_whole() {
    use crate::extract::{Extract, parse_place};
    use crate::types::ColumnType;

    let at = |name: &str, ty, place: &str| Extract::at(name, ty, parse_place(place).unwrap());
    let extracts = [
        Extract::member("user", ColumnType::Json),
        at("user.n", ColumnType::Int, "$.user.n"),
        at("first", ColumnType::String, "$.tags[0]"),
        at("deep", ColumnType::Double, "$.o.p[1].q"),
        at("again", ColumnType::String, "$.user.n"),
    ];
    let options = RowOptions { rest: true, ..RowOptions::default() };
    let mut decoder = RowDecoder::extracting(&extracts, false, options);
    for record in [
        r#"{"user":{"n":7,"m":1},"tags":["a","b"],"o":{"p":[0,{"q":2.5}]}}"#,
        r#"{"user":{"n":"x"},"tags":[],"o":{"p":[0]},"z":1}"#,
        r#"{"user":"text","tags":"none"}"#,
        r#"{"user":{"n":1},"user":{"m":2}}"#,
    ] {
        decoder.push(Some(record.as_bytes())).unwrap();
    }
    assert!(decoder.push(Some(br#"{"user":{"n":1},"tags":["x""#)).is_err());
    let rows = decoder.finish().unwrap();
    let text = |column: usize| {
        let column = arrow::compute::cast(rows.column(column), &DataType::Utf8).unwrap();
        let column = AsArray::as_string::<i32>(&column).clone();
        column.iter().map(|it| it.unwrap_or("-").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(text(0), [r#"{"n":7,"m":1}"#, r#"{"n":"x"}"#, r#""text""#, r#"{"m":2}"#]);
    assert_eq!(text(1), ["7", "-", "-", "-"]);
    assert_eq!(text(2), ["a", "-", "-", "-"]);
    assert_eq!(text(3), ["2.5", "-", "-", "-"]);
    assert_eq!(text(4), ["7", "x", "-", "-"]);
    assert_eq!(
        text(5),
        [
            r#"{"tags":["a","b"],"o":{"p":[0,{"q":2.5}]}}"#,
            r#"{"tags":[],"o":{"p":[0]},"z":1}"#,
            r#"{"tags":"none"}"#,
            "-"
        ]
    );
    let mut strict = RowDecoder::extracting(&extracts, true, options);
    let error = strict.push(Some(br#"{"user":{"n":"x"}}"#)).unwrap_err();
    assert!(error.to_string().contains("column `user.n`: `x` is not an int"), "{error}");
}
