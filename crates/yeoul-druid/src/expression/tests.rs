//! The language as Druid reads it, and what hostile texts are answered.

use super::*;

/// `n` is a long, `d` a double, `s` a string, `t` an instant, `b` a BOOLEAN, `m` multi-value.
fn sql(text: &str) -> Result<Sql, ExpressionError> {
    let columns = |name: &str| {
        let ty = match name {
            "n" => Ty::Long,
            "d" => Ty::Double,
            "s" => Ty::String,
            "__time" => Ty::Time,
            "b" => Ty::Flag,
            "m" => Ty::Strings,
            _ => return None,
        };
        Some(Sql::new(crate::text::name(name), ty))
    };
    to_sql(&parse(text)?, &columns)
}

fn text(expression: &str) -> String {
    sql(expression).unwrap_or_else(|error| panic!("{expression}: {error}")).text
}

#[test]
fn operators_bind_as_in_druid() {
    let cases = [
        ("n + n * 2", r#"("n" + ("n" * 2))"#),
        ("(n + n) * 2", r#"(("n" + "n") * 2)"#),
        ("n - n - 1", r#"(("n" - "n") - 1)"#),
        ("-n ^ 2", r#"TRY_CAST(POWER(CAST((- "n") AS DOUBLE), CAST(2 AS DOUBLE)) AS BIGINT)"#),
        ("n / 2", r#"("n" / NULLIF(2, 0))"#),
        ("d / 2", r#"("d" / CAST(2 AS DOUBLE))"#),
        ("s + 'x'", r#"("s" || 'x')"#),
        ("s + 1", r#"(TRY_CAST("s" AS DOUBLE) + CAST(1 AS DOUBLE))"#),
        ("n < 2 && n > 1 || b", r#"((("n" < 2) AND ("n" > 1)) OR "b")"#),
        ("!(n == 1)", r#"(NOT ("n" = 1))"#),
        ("-5", "(-5)"),
        ("- 5 - -5", "((-5) - (-5))"),
        ("unknown + 1", "NULL"),
    ];
    for (expression, expected) in cases {
        assert_eq!(text(expression), expected, "{expression}");
    }
}

#[test]
fn strings_are_compared_with_numbers_as_numbers() {
    assert_eq!(text("s == 'x'"), r#"("s" = 'x')"#);
    assert_eq!(text("s == 1"), r#"(TRY_CAST("s" AS DOUBLE) = CAST(1 AS DOUBLE))"#);
    assert_eq!(text("b == 'true'"), r#"(CAST("b" AS VARCHAR) = 'true')"#);
    assert_eq!(text("m == 'x'"), r#"ARRAY_HAS("m", 'x')"#);
    assert_eq!(text("n == null"), "CAST(NULL AS BOOLEAN)");
    assert_eq!(text("5 <= __time"), r#"(MILLIS_TO_TIMESTAMP(5) <= "__time")"#);
    assert_eq!(text("__time / 2"), r#"(TIMESTAMP_TO_MILLIS("__time") / NULLIF(2, 0))"#);
}

#[test]
fn what_turnilo_sends_is_understood() {
    let shift = "timestamp_floor(nvl(if((1795130580000<=__time && __time<1795216980000),\
                 __time,''),timestamp_shift(__time,'P1D',1,'Asia\\u002fSeoul')),'PT1H','','Asia\\u002fSeoul')";
    assert_eq!(
        sql(shift).unwrap(),
        Sql::new(
            r#"TIME_FLOOR(COALESCE((CASE WHEN ((MILLIS_TO_TIMESTAMP(1795130580000) <= "__time") AND ("__time" < MILLIS_TO_TIMESTAMP(1795216980000))) THEN "__time" ELSE NULL END), TIME_SHIFT("__time", 'P1D', 1, 'Asia/Seoul')), 'PT1H', NULL, 'Asia/Seoul')"#,
            Ty::Time
        )
    );
    assert_eq!(
        text("nvl(if(10<\"n\",'many',''),'few')"),
        r#"COALESCE((CASE WHEN (10 < "n") THEN 'many' ELSE NULL END), 'few')"#
    );
    assert_eq!(
        text(r#"if("n"!=0,(cast("n",'DOUBLE')/"n"),null)"#),
        r#"(CASE WHEN ("n" <> 0) THEN (CAST("n" AS DOUBLE) / CAST("n" AS DOUBLE)) ELSE NULL END)"#
    );
    assert_eq!(text(r"like(s,'a\u0025~_%','~')"), r#"("s" LIKE 'a%\_%')"#);
    assert_eq!(text(r"concat(s,'\uD83D\uDE00')"), "(\"s\" || '😀')");
}

#[test]
fn values_of_branches_come_to_one_type() {
    assert_eq!(sql("if(b, 1, 2.0)").unwrap().ty, Ty::Double);
    assert_eq!(sql("if(b, n, 's')").unwrap().ty, Ty::String);
    assert_eq!(sql("case_searched(n == 1, 'a', n == 2, 'b')").unwrap().ty, Ty::String);
    assert_eq!(
        text("case_simple(s, 'a', 1, 'b', 2, 3)"),
        r#"(CASE WHEN ("s" = 'a') THEN 1 WHEN ("s" = 'b') THEN 2 ELSE 3 END)"#
    );
    assert_eq!(text("nvl('', n)"), r#""n""#);
    assert_eq!(text("substring(s, 1, 2)"), r#"NULLIF(SUBSTR("s", 1 + 1, 2), '')"#);
    assert_eq!(text("strpos(s, 'a')"), r#"(STRPOS("s", 'a') - 1)"#);
}

#[test]
fn a_text_of_a_client_is_never_sql() {
    assert_eq!(text(r#"s == '\' OR 1=1 --'"#), r#"("s" = ''' OR 1=1 --')"#);
    let odd = |name: &str| Some(Sql::new(crate::text::name(name), Ty::Long));
    let made = to_sql(&parse(r#""a\"b" + 1"#).unwrap(), &odd).unwrap();
    assert_eq!(made.text, r#"("a""b" + 1)"#);
}

#[test]
fn wrong_texts_are_refused_with_their_place() {
    let error = |text: &str| sql(text).unwrap_err().to_string();
    assert_eq!(error("n + "), "a value is expected at the end");
    assert_eq!(error("n n"), "an operator or the end is expected (character 3 of the expression)");
    assert_eq!(error("'open"), "a closing ' is missing (character 1 of the expression)");
    assert_eq!(error("nope(1)"), "no function `nope`");
    assert_eq!(error("if(1)"), "`if` takes 3 arguments, not 1");
    assert!(sql("map((x) -> x + 1, m)").is_err());
    assert_eq!(
        error("99999999999999999999"),
        "`99999999999999999999` is not a number (character 1 of the expression)"
    );
}

#[test]
fn hostile_texts_stay_within_the_budget() {
    for hostile in [
        "(".repeat(100_000),
        "-".repeat(100_000),
        "!".repeat(100_000),
        format!("1{}", "+1".repeat(50_000)),
        format!("1{}", "^1".repeat(50_000)),
        format!("1{}", "||1".repeat(50_000)),
        format!("{}1{}", "abs(".repeat(5_000), ")".repeat(5_000)),
        "[".repeat(10_000),
        "\"".to_owned(),
        "\\".to_owned(),
        "1e".to_owned(),
        "'\\u12".to_owned(),
        "'\\ud800\\u".to_owned(),
    ] {
        let _ = sql(&hostile);
    }
    // Each level holds the one below three times.
    let mut doubling = "n".to_owned();
    for _ in 0..12 {
        doubling = format!("remainder({doubling}, {doubling})");
    }
    assert!(sql(&doubling).is_err());
    let many = vec!["n == 1"; 400].join(" || ");
    assert!(sql(&many).is_ok());
}
