//! The scanner against the public conformance files, against serde_json, and at its limits.

use std::io::Read;

use proptest::prelude::*;

use super::*;

#[test]
fn values_keep_their_text() {
    let mut scanner = Scanner::new(r#" {"a" : 1e5 , "b\u0041":[1, {"c":"}"}] ,"c":"가\n"} "#);
    scanner.open(b'{').unwrap();
    let mut first = true;
    let mut seen = Vec::new();
    while let Some((key, value)) = scanner.member(&mut first).unwrap() {
        seen.push((key, value.kind, value.text));
    }
    scanner.end().unwrap();
    assert_eq!(
        seen,
        [
            ("a", Kind::Number, "1e5"),
            ("b\\u0041", Kind::Array, r#"[1, {"c":"}"}]"#),
            ("c", Kind::String, r#""가\n""#),
        ]
    );
}

#[test]
fn what_is_not_json_is_refused() {
    for text in [
        "",
        " ",
        "{",
        "[",
        "]",
        "[1,]",
        "{\"a\":1,}",
        "{\"a\"}",
        "{a:1}",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "+1",
        "nul",
        "tru",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\t\"",
        "\"a",
        "[1 2]",
        "1 2",
        "{\"a\":1 \"b\":2}",
        "[}",
        "{]",
        "NaN",
        "'a'",
        "[1}",
        "{\"a\":[}",
    ] {
        assert!(!is_json(text), "{text}");
    }
}

#[test]
fn depth_and_keys_are_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(is_json(&nested(128)));
    assert!(!is_json(&nested(129)));
    assert!(!is_json(&"[".repeat(1 << 20)));
    let keys = |count: usize| format!("{{{}}}", vec!["\"\":0"; count].join(","));
    assert!(is_json(&keys(KEYS_MAX as usize)));
    assert!(!is_json(&keys(KEYS_MAX as usize + 1)));
}

#[test]
fn escapes_are_resolved_and_half_surrogates_refused() {
    assert_eq!(
        unescape(r#"a\"\\\/\b\f\n\r\t\uac00\ud83d\ude00z"#).unwrap(),
        "a\"\\/\u{8}\u{c}\n\r\t가😀z"
    );
    assert!(unescape(r"\ud83d").is_err());
    assert!(unescape(r"\ude00x").is_err());
    assert!(unescape(r"\ud83dA").is_err());
}

/// Name and content of each file of a tar archive.
fn tar_files(mut tar: &[u8]) -> Vec<(String, Vec<u8>)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_matches(['\0', ' ']).to_owned();
    let mut files = Vec::new();
    while tar.len() >= 512 && tar[0] != 0 {
        let len = usize::from_str_radix(&text(&tar[124..136]), 8).unwrap();
        files.push((text(&tar[..100]), tar[512..512 + len].to_vec()));
        tar = &tar[512 + len.next_multiple_of(512)..];
    }
    files
}

#[test]
fn conformance_files() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/data/json-conformance/test_parsing_even.tar.gz"
    );
    let Ok(packed) = std::fs::read(path) else {
        println!("skipped: no conformance files beside the repository");
        return;
    };
    let mut tar = Vec::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut tar).unwrap();
    let (mut yes, mut no) = (0, 0);
    for (path, bytes) in tar_files(&tar) {
        let name = path.rsplit('/').next().unwrap();
        let ours = std::str::from_utf8(&bytes).is_ok_and(is_json);
        // Files named y_ must be read, n_ must not; what i_ means is each parser's own.
        if name.starts_with("y_") {
            assert!(ours, "{name} is JSON");
            yes += 1;
        } else if name.starts_with("n_") {
            assert!(!ours, "{name} is not JSON");
            no += 1;
        }
    }
    assert_eq!((yes, no), (47, 94));
}

proptest! {
    #[test]
    fn agrees_with_serde_json(text in r#"[\[\]{}",:0-9.eE+\-ntrufalse\\ \n가]{0,24}"#) {
        let theirs = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
        prop_assert_eq!(is_json(&text), theirs, "{}", text);
    }

    #[test]
    fn strings_survive(text in "\\PC*|[\\x00-\\x7f]*") {
        let mut out = Vec::new();
        write_str(&text, &mut out);
        let written = String::from_utf8(out).unwrap();
        let raw = Scanner::new(&written).value().unwrap();
        prop_assert_eq!(raw.unescaped().unwrap(), text);
    }
}
