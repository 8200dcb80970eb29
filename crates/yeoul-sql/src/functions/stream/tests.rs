//! Each function by what `SELECT f(…)` gives in Seoul.

use arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::SessionContext;

use super::register;

/// The one value of `SELECT expression`, as text, in Seoul.
fn check(expression: &str, expected: &str) {
    assert_eq!(value(expression), expected, "{expression}");
}

fn value(expression: &str) -> String {
    let session = SessionContext::new();
    register(&session, chrono_tz::Asia::Seoul);
    let run = async {
        let batches = session.sql(&format!("SELECT {expression} AS v")).await?.collect().await?;
        datafusion::common::Result::Ok(pretty_format_batches(&batches)?.to_string())
    };
    let result: datafusion::common::Result<String> = futures::executor::block_on(run);
    match result {
        Ok(table) => {
            let cell = table.lines().nth(3).unwrap_or_default();
            cell.trim_matches(['|', ' ']).to_owned()
        }
        Err(error) => error.strip_backtrace().lines().next().unwrap_or_default().to_owned(),
    }
}

#[test]
fn numbers_and_texts_become_instants() {
    check("to_timestamp(1658042294)", "2022-07-17T07:18:14Z");
    check("to_timestamp(1658042294.5)", "2022-07-17T07:18:14.500Z");
    check("to_timestamp('1658042294')", "2022-07-17T07:18:14Z");
    check("to_timestamp('2022-07-17 16:18:14')", "2022-07-17T07:18:14Z");
    check("to_timestamp('2022-07-17T16:18:14.25Z')", "2022-07-17T16:18:14.250Z");
    check("to_timestamp('2022-07-17T16:18:14+0900')", "2022-07-17T07:18:14Z");
    check("to_timestamp('2022-07-17')", "2022-07-16T15:00:00Z");
    check("to_timestamp('17/07/2022 04:18 PM', 'dd/MM/yyyy hh:mm a')", "2022-07-17T07:18:00Z");
    check("to_timestamp('20220717161814', 'yyyyMMddHHmmss')", "2022-07-17T07:18:14Z");
    check("to_timestamp(CAST(NULL AS TEXT))", "");
    check("try_to_timestamp('soon')", "");
    check("timestamp_millis(1658042294500)", "2022-07-17T07:18:14.500Z");
}

#[test]
fn what_is_no_time_says_so() {
    check("to_timestamp('soon')", "Execution error: to_timestamp: `soon` is not a time");
    check(
        "to_timestamp(1658042294000)",
        "Execution error: to_timestamp: 1658042294000 seconds is beyond the year 9999: for \
         milliseconds use timestamp_millis",
    );
    assert!(value("date_format(0, 'QQ')").contains("`Q` in the date pattern"));
}

#[test]
fn javas_arrays_leave_out_zeros_and_count_nanoseconds() {
    check("timestamp_from_array([2023,11,23,10,5])", "2023-11-23T01:05:00Z");
    check("timestamp_from_array([2023,11,23,10,5,7])", "2023-11-23T01:05:07Z");
    check("timestamp_from_array([2023,11,23,10,5,7,5000000])", "2023-11-23T01:05:07.005Z");
    assert!(value("timestamp_from_array([2023,13,1])").contains("is not year, month"));
    assert!(value("timestamp_from_array([2023,NULL,1])").contains("is not year, month"));
}

#[test]
fn instants_are_written_in_the_zone() {
    check(
        "date_format(1658042294, 'yyyy-MM-dd''T''HH:mm:ssXXX EEE')",
        "2022-07-17T16:18:14+09:00 Sun",
    );
    check("from_unixtime(1658042294)", "2022-07-17 16:18:14");
    check("from_unixtime(1658042294, 'yyyyMMdd')", "20220717");
    check("unix_timestamp('2022-07-17 16:18:14')", "1658042294");
    check("to_date(1658100000)", "2022-07-18");
    check("hour(to_timestamp('2022-07-17T23:30:00Z'))", "8");
    check("dayofweek('2022-07-17')", "1");
}

#[test]
fn clocks_that_jump_are_read_as_java_does() {
    use super::pattern::local_to_utc;
    let zone = chrono_tz::America::New_York;
    let at = |text: &str| {
        let local = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap();
        local_to_utc(local, zone).unwrap()
    };
    // 02:30 does not exist on that day: 03:30 EDT; 01:30 exists twice: the earlier, EDT.
    assert_eq!(at("2024-03-10 02:30"), at("2024-03-10 03:30"));
    assert_eq!(at("2024-11-03 01:30") + 2 * 3_600_000_000, at("2024-11-03 02:30"));
}

#[test]
fn json_is_read_by_path() {
    let json = r#"'{"a":{"b":[1,{"c d":"여울"}],"n":null}}'"#;
    check(&format!("get_json_object({json}, '$.a.b[0]')"), "1");
    check(&format!("get_json_object({json}, '$.a.b[1][''c d'']')"), "여울");
    check(&format!("get_json_object({json}, '$.a.b[1]')"), r#"{"c d":"여울"}"#);
    check(&format!("get_json_object({json}, '$.a.n')"), "");
    check(&format!("get_json_object({json}, '$.x.y')"), "");
    check("get_json_object('{', '$.x')", "");
    assert!(value("get_json_object('{}', 'x')").contains("is not a path"));
}
