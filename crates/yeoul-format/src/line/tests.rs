//! Decoding of lines, against the rows of the first pipeline's own input.

use proptest::prelude::*;

use super::*;
use crate::columns::Columns;

const MOVIES: &str =
    "time INT, movie STRING, title STRING, title_eng STRING, year INT, grade STRING";

fn tsv(columns: &str) -> LineDecoder {
    let columns = Columns::parse(columns).unwrap();
    LineDecoder::new(&Decode::Tsv(Delimited { columns, ..Delimited::default() })).unwrap()
}

fn csv(options: Delimited) -> LineDecoder {
    LineDecoder::new(&Decode::Csv(options)).unwrap()
}

fn decoded(decoder: &LineDecoder, line: &str) -> Result<String, DecodeError> {
    let mut out = b"kept".to_vec();
    let result = decoder.decode(line.as_bytes(), &mut out);
    let text = String::from_utf8(out).unwrap();
    let text = text.strip_prefix("kept").unwrap().to_owned();
    assert!(result.is_ok() || text.is_empty(), "an error must not leave bytes behind");
    result.map(|()| text)
}

#[test]
fn a_short_row_keeps_its_fields() {
    let decoder = tsv(MOVIES);
    assert_eq!(
        decoded(&decoder, "1658101694\t10100\t탑건\tTop Gun , 1986\t2018\t15세 관람가").unwrap(),
        r#"{"time":1658101694,"movie":"10100","title":"탑건","title_eng":"Top Gun , 1986","year":2018,"grade":"15세 관람가"}"#
    );
    assert_eq!(
        decoded(&decoder, "1658101694\t10225\r").unwrap(),
        r#"{"time":1658101694,"movie":"10225","title":null,"title_eng":null,"year":null,"grade":null}"#
    );
    assert_eq!(
        decoded(&decoder, "7\t1\tx\t \t\tNR\t\t").unwrap(),
        r#"{"time":7,"movie":"1","title":"x","title_eng":null,"year":null,"grade":"NR"}"#
    );
}

#[test]
fn a_field_that_does_not_parse_spoils_the_row_by_name() {
    let decoder = tsv(MOVIES);
    let error = decoded(&decoder, "time\tmovie\ttitle\ttitle_eng\tyear\tgrade").unwrap_err();
    assert_eq!(error.to_string(), "column `time`: `time` is not an int");
    let error = decoded(&decoder, "no tabs here").unwrap_err();
    assert!(error.to_string().contains("column `time`"), "{error}");
    let error = decoded(&decoder, "1\t2\t3\t4\t5\t6\t7").unwrap_err();
    assert!(error.to_string().contains("field 7"), "{error}");
    let mut out = Vec::new();
    let error = decoder.decode(b"1\t\xff\xfe", &mut out).unwrap_err();
    assert_eq!(error.to_string(), "not UTF-8 at byte 2");
}

#[test]
fn all_rows_of_the_real_input_decode() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/psyoblade-movies");
    let Ok(text) = std::fs::read_to_string(format!("{folder}/movies.tsv")) else {
        println!("skipped: the first pipeline's input is not beside the repository");
        return;
    };
    let decoder = tsv(MOVIES);
    let mut nulls = [0; 6];
    let mut rows = 0;
    for line in text.lines() {
        let row: serde_json::Value =
            serde_json::from_str(&decoded(&decoder, line).unwrap()).unwrap();
        for (index, value) in row.as_object().unwrap().values().enumerate() {
            nulls[index] += usize::from(value.is_null());
        }
        assert_eq!(row["movie"].as_str().unwrap().len(), 5);
        rows += 1;
    }
    // 340 years are blank, 32 more were cut off with the end of their rows.
    assert_eq!((rows, nulls[0], nulls[1], nulls[4]), (900, 0, 0, 372));

    let text = std::fs::read_to_string(format!("{folder}/movies_with_header.tsv")).unwrap();
    let failed: Vec<_> = text.lines().filter_map(|line| decoded(&decoder, line).err()).collect();
    assert_eq!(failed.len(), 1, "only the header");
    assert_eq!(failed[0].to_string(), "column `time`: `time` is not an int");
}

#[test]
fn csv_quotes_and_header() {
    let options = Delimited {
        columns: Columns::parse("n INT, d DOUBLE").unwrap(),
        header: true,
        ..Delimited::default()
    };
    let decoder = csv(options);
    assert!(decoder.expects_header());
    let file = decoder.with_header("d,\"na,me\",n\r".as_bytes()).unwrap();
    assert_eq!(
        decoded(&file, "126.94494910647887,\"a \"\"b\"\", c\",7").unwrap(),
        r#"{"d":126.94494910647887,"na,me":"a \"b\", c","n":7}"#
    );
    assert_eq!(decoded(&file, ",,").unwrap(), r#"{"d":null,"na,me":null,"n":null}"#);
    assert!(decoded(&file, "1,\"open,2").unwrap_err().to_string().contains("not closed"));
    assert!(decoded(&file, "1,\"a\"b,2").unwrap_err().to_string().contains("closing quote"));
    let error = decoder.with_header(b"a,b").unwrap_err();
    assert!(error.to_string().contains("does not name column `n`"), "{error}");
    assert!(decoder.with_header(b"n,d,n").is_err());
}

#[test]
fn every_type_is_written_as_json() {
    let decoder =
        tsv("b BOOL, d DOUBLE, t TIMESTAMP, e epoch_s, y DATE, j JSON, x BINARY, a ARRAY<INT>");
    let line = "TRUE\t+1.50\t2022-07-17 16:18:14\t1658042294\t2022-07-17\t{\"a\": 1}\tAAE=\t[1,2]";
    assert_eq!(
        decoded(&decoder, line).unwrap(),
        r#"{"b":true,"d":1.5,"t":"2022-07-17 16:18:14","e":1658042294,"y":"2022-07-17","j":{"a": 1},"x":"AAE=","a":[1,2]}"#
    );
    for (at, wrong) in ["ja", "1,5", "gestern", "x", "17.7.2022", "{", "%", "[1"].iter().enumerate()
    {
        let line = format!("{}{wrong}", "\t".repeat(at));
        assert!(decoded(&decoder, &line).is_err(), "{wrong}");
    }
}

#[test]
fn json_lines_must_be_objects() {
    let decoder = LineDecoder::new(&Decode::Json).unwrap();
    assert_eq!(decoded(&decoder, " {\"a\":1} \r").unwrap(), "{\"a\":1}");
    assert!(decoded(&decoder, "{\"a\":1").unwrap_err().to_string().contains("not JSON"));
    assert!(decoded(&decoder, "[1]").is_err());
    assert!(decoder.is_blank(b" \r") && !decoder.is_blank(b"x"));
    let raw = LineDecoder::new(&Decode::None).unwrap();
    assert_eq!(decoded(&raw, "any thing\r").unwrap(), "any thing");
    assert!(!raw.is_blank(b""));
}

#[test]
fn korean_code_pages() {
    let options = Delimited {
        columns: Columns::parse("name STRING, n INT").unwrap(),
        encoding: Some("euc-kr".into()),
        ..Delimited::default()
    };
    let decoder = csv(options.clone());
    let mut out = Vec::new();
    decoder.decode(b"\xb0\xa1,1", &mut out).unwrap();
    assert_eq!(out, r#"{"name":"가","n":1}"#.as_bytes());
    assert!(decoder.decode(b"\xff\xff,1", &mut out).is_err());
    let options = Delimited { encoding: Some("utf-16le".into()), ..options };
    assert!(LineDecoder::new(&Decode::Csv(options)).is_err());
}

#[test]
fn options_as_a_file_writes_them() {
    let decode: Decode = serde_json::from_str(
        r#"{"tsv":{"columns":{"time":"int","movie":"string"},"delimiter":"|"}}"#,
    )
    .unwrap();
    let names: Vec<_> =
        decode.schema().unwrap().columns.into_iter().map(|column| column.name).collect();
    assert_eq!(names, ["time", "movie"]);
    assert_eq!(serde_json::from_str::<Decode>("\"json\"").unwrap(), Decode::Json);
    let error = serde_json::from_str::<Decode>(r#"{"tsv":{"colums":{}}}"#).unwrap_err();
    assert!(error.to_string().contains("unknown field `colums`"), "{error}");
    assert!(LineDecoder::new(&Decode::Tsv(Delimited::default())).is_err());
}

proptest! {
    /// Whatever a line holds, what is written for it is one JSON object and a refusal writes
    /// nothing.
    #[test]
    fn any_line_becomes_json_or_nothing(
        line in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            "[0-9\",;a{}\\[\\]\\\\ +.eE:TZ-]{0,40}".prop_map(String::into_bytes),
        ]
    ) {
        let options = Delimited {
            columns: Columns::parse("i INT, d DOUBLE, j JSON, t TIMESTAMP, e epoch_ms, s STRING, b BINARY").unwrap(),
            ..Delimited::default()
        };
        for decode in [Decode::Json, Decode::Tsv(options.clone()), Decode::Csv(options)] {
            let mut out = Vec::new();
            match LineDecoder::new(&decode).unwrap().decode(&line, &mut out) {
                Ok(()) => prop_assert!(std::str::from_utf8(&out).is_ok_and(is_json)),
                Err(_) => prop_assert!(out.is_empty()),
            }
        }
    }
}
