//! Whether a test's expectation holds: the named fields of each row, rows in any order, exactly
//! as many rows.

use serde_json::{Map, Value};

use crate::model::TestSpec;

/// Rows shown in a message.
const SHOWN_MAX: usize = 5;
/// Rows of one topic or table in one test; bounds the work of finding partners.
const ROWS_MAX: usize = 1_000;

type Row = Map<String, Value>;

impl TestSpec {
    /// What is not as expected, a text each; empty: the test passes. `actual` gives the rows of a
    /// topic or table by its name.
    pub fn failures(&self, mut actual: impl FnMut(&str) -> Vec<Value>) -> Vec<String> {
        let failure = |(name, expected): &(String, Vec<Row>)| {
            compare(expected, &actual(name)).err().map(|why| format!("`{name}`: {why}"))
        };
        self.expect.iter().filter_map(failure).collect()
    }
}

/// Compares the rows of one topic or table.
pub fn compare(expected: &[Row], actual: &[Value]) -> Result<(), String> {
    if expected.len().max(actual.len()) > ROWS_MAX {
        let (want, got) = (expected.len(), actual.len());
        return Err(format!("expected {want} rows, got {got}: a test compares {ROWS_MAX} at most"));
    }
    let partners = pair_up(expected, actual);
    let unmatched: Vec<&Row> = expected
        .iter()
        .zip(&partners)
        .filter_map(|(row, partner)| partner.is_none().then_some(row))
        .collect();
    if unmatched.is_empty() && expected.len() == actual.len() {
        return Ok(());
    }
    let mut text = String::new();
    if expected.len() != actual.len() {
        let rows = |count: usize| if count == 1 { "row" } else { "rows" };
        let (want, got) = (expected.len(), actual.len());
        text = format!("expected {want} {}, got {got}", rows(want));
    }
    let mut line = |one: String| {
        text.push_str(if text.is_empty() { "" } else { "\n  " });
        text.push_str(&one);
    };
    for row in unmatched.iter().take(SHOWN_MAX) {
        let free = actual.iter().enumerate().filter(|(index, _)| !partners.contains(&Some(*index)));
        match free.min_by_key(|(_, actual)| differences(row, actual).len()) {
            Some((_, closest)) => {
                line(format!(
                    "expected {}, but {}",
                    json(row),
                    differences(row, closest).join(", ")
                ));
            }
            None => line(format!("expected {}, but there is no such row", json(row))),
        }
    }
    if unmatched.is_empty() {
        let extra =
            actual.iter().enumerate().filter(|(index, _)| !partners.contains(&Some(*index)));
        for (_, row) in extra.take(SHOWN_MAX) {
            line(format!("not expected: {row}"));
        }
    }
    Err(text)
}

/// For each expected row an actual one of its own, as many as can be. A row that names few fields
/// must not take the only partner of a row that names more, so partners move (augmenting paths).
fn pair_up(expected: &[Row], actual: &[Value]) -> Vec<Option<usize>> {
    let fits: Vec<Vec<usize>> = expected
        .iter()
        .map(|row| (0..actual.len()).filter(|at| holds(row, actual.get(*at))).collect())
        .collect();
    let mut taken_by: Vec<Option<usize>> = vec![None; actual.len()];
    for row in 0..expected.len() {
        let mut seen = vec![false; actual.len()];
        settle(row, &fits, &mut taken_by, &mut seen);
    }
    let partner = |row: usize| taken_by.iter().position(|by| *by == Some(row));
    (0..expected.len()).map(partner).collect()
}

/// Finds a partner for `row`, moving others if need be. The depth is at most `ROWS_MAX`.
fn settle(
    row: usize,
    fits: &[Vec<usize>],
    taken_by: &mut [Option<usize>],
    seen: &mut [bool],
) -> bool {
    for &at in fits.get(row).map_or(&[][..], Vec::as_slice) {
        if std::mem::replace(seen.get_mut(at).unwrap_or(&mut true), true) {
            continue;
        }
        let holder = taken_by.get(at).copied().flatten();
        if holder.is_none_or(|holder| settle(holder, fits, taken_by, seen)) {
            if let Some(slot) = taken_by.get_mut(at) {
                *slot = Some(row);
            }
            return true;
        }
    }
    false
}

fn holds(expected: &Row, actual: Option<&Value>) -> bool {
    actual.is_some_and(|actual| differences(expected, actual).is_empty())
}

/// The named fields that are otherwise; a missing field is null.
fn differences(expected: &Row, actual: &Value) -> Vec<String> {
    let differs = |(name, want): (&String, &Value)| {
        let got = actual.get(name).unwrap_or(&Value::Null);
        (!equal(want, got)).then(|| format!("`{name}` is {got}"))
    };
    expected.iter().filter_map(differs).collect()
}

/// Numbers by value (1 is 1.0), a timestamp with or without its `Z`.
fn equal(want: &Value, got: &Value) -> bool {
    match (want, got) {
        (Value::Number(want), Value::Number(got)) => {
            want == got || (want.as_f64() == got.as_f64() && (want.is_f64() || got.is_f64()))
        }
        (Value::String(want), Value::String(got)) => {
            let is_time = |text: &str| text.as_bytes().get(10) == Some(&b'T');
            want == got || (is_time(got) && got.strip_suffix('Z') == Some(want))
        }
        (Value::Array(want), Value::Array(got)) => {
            want.len() == got.len() && want.iter().zip(got).all(|(want, got)| equal(want, got))
        }
        (Value::Object(want), Value::Object(got)) => {
            want.len() == got.len()
                && want.iter().all(|(name, want)| got.get(name).is_some_and(|got| equal(want, got)))
        }
        _ => want == got,
    }
}

fn json(row: &Row) -> String {
    serde_json::to_string(row).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<Row> {
        serde_json::from_str(text).unwrap()
    }

    fn of(expected: &str, actual: &str) -> Result<(), String> {
        let actual: Vec<Value> = serde_json::from_str(actual).unwrap();
        compare(&rows(expected), &actual)
    }

    #[test]
    fn named_fields_in_any_order() {
        let actual = r#"[{"a":1,"b":"x","c":null},{"a":2,"b":"y","c":2.0}]"#;
        assert_eq!(of(r#"[{"a":2,"c":2},{"b":"x"}]"#, actual), Ok(()));
        assert_eq!(of(r#"[{"none":null},{"a":1}]"#, actual), Ok(()));
        assert_eq!(of("[]", "[]"), Ok(()));
        let time = r#"[{"t":"2023-11-23T10:05:00Z"}]"#;
        assert_eq!(of(r#"[{"t":"2023-11-23T10:05:00"}]"#, time), Ok(()));
        assert!(of(r#"[{"t":"2023-11-23T10:05:01"}]"#, time).is_err());
    }

    #[test]
    fn a_row_with_few_fields_does_not_take_anothers_partner() {
        // The first expected row fits both; the second fits only the first actual one.
        assert_eq!(of(r#"[{"a":1},{"a":1,"b":2}]"#, r#"[{"a":1,"b":2},{"a":1,"b":3}]"#), Ok(()));
        assert!(of(r#"[{"a":1},{"a":1}]"#, r#"[{"a":1},{"a":2}]"#).is_err());
    }

    #[test]
    fn a_failure_says_what_is_otherwise() {
        assert_eq!(
            of(r#"[{"movie":"1","year":1971}]"#, r#"[{"movie":"1","year":"1971"}]"#),
            Err(r#"expected {"movie":"1","year":1971}, but `year` is "1971""#.to_owned())
        );
        assert_eq!(
            of("[]", r#"[{"a":1}]"#),
            Err("expected 0 rows, got 1\n  not expected: {\"a\":1}".to_owned())
        );
        assert_eq!(
            of(r#"[{"a":1}]"#, "[]"),
            Err("expected 1 row, got 0\n  expected {\"a\":1}, but there is no such row".to_owned())
        );
        // Above 2^53 doubles run together; integers must not.
        assert!(of(r#"[{"a":9007199254740993}]"#, r#"[{"a":9007199254740992}]"#).is_err());
    }
}
