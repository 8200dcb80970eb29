//! Which rows stay, and what becomes of a file that comes late or changes.

use yeoul_base::ManualClock;

use super::*;

fn spec(path: PathBuf, key: &[&str], keep: Keep) -> LookupSpec {
    LookupSpec {
        name: "countries".into(),
        path,
        format: None,
        key: key.iter().map(|name| (*name).to_owned()).collect(),
        keep,
        reload: Some(Duration::from_secs(60)),
    }
}

fn shown(rows: &RecordBatch) -> Vec<String> {
    let text = arrow::util::pretty::pretty_format_batches(std::slice::from_ref(rows)).unwrap();
    let text = text.to_string();
    let lines = text.lines().skip(3);
    let rows = lines.filter(|line| line.starts_with('|'));
    rows.map(|line| line.split_whitespace().collect::<String>()).collect()
}

#[test]
fn the_kept_row_is_the_one_asked_for() {
    let file = b"movie,country\n10225,\xed\x95\x9c\xea\xb5\xad\n10225,US\n,XX\n007,JP\n";
    let rows = parse(file, LookupFormat::Csv).unwrap();
    // 007 is no number, so the column stays text.
    assert_eq!(rows.column(0).data_type(), &DataType::Utf8);
    let key = ["movie".to_owned()];
    assert_eq!(
        shown(&keyed(rows.clone(), &key, Keep::First).unwrap()),
        ["|10225|한국|", "|007|JP|"]
    );
    assert_eq!(shown(&keyed(rows.clone(), &key, Keep::Last).unwrap()), ["|10225|US|", "|007|JP|"]);
    let refused = keyed(rows.clone(), &key, Keep::Error).unwrap_err();
    assert!(refused.contains("`10225` appears more than once"), "{refused}");
    assert_eq!(keyed(rows.clone(), &[], Keep::First).unwrap().num_rows(), 4);
    assert!(keyed(rows, &["film".into()], Keep::First).unwrap_err().contains("movie, country"));
}

#[test]
fn a_file_that_comes_later_or_changes_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("countries.csv");
    let clock = Arc::new(ManualClock::at_ms(1_000));
    let lookups = Lookups::new([spec(path.clone(), &["movie"], Keep::First)], clock.clone());
    assert!(lookups.schema("countries").unwrap().unwrap_err().contains("countries.csv"));
    assert!(lookups.schema("other").is_none());
    put(&path, "movie,rank\n1,5\n");
    clock.advance(Duration::from_secs(61));
    lookups.refresh();
    assert_eq!(lookups.status()[0].version, 1);
    // Before its time nothing is read; a value that does not fit leaves the old rows.
    put(&path, "movie,rank\n1,high\n");
    lookups.refresh();
    assert_eq!(lookups.status()[0].problem, None);
    clock.advance(Duration::from_secs(61));
    lookups.refresh();
    let status = lookups.status().remove(0);
    assert_eq!((status.version, status.rows), (1, 1));
    assert!(status.problem.unwrap().contains("column `rank`"));
    put(&path, "movie,rank\n1,6\n2,7\n");
    clock.advance(Duration::from_secs(61));
    lookups.refresh();
    let status = lookups.status().remove(0);
    assert_eq!((status.version, status.rows, status.problem), (2, 2, None));
}

#[expect(clippy::disallowed_methods, reason = "a test's own file")]
fn put(path: &std::path::Path, text: &str) {
    std::fs::write(path, text).unwrap();
}
