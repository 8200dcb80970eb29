//! The functions of the language, each by the SQL that means the same.

use super::translate::compare;
use super::{Ast, ExpressionError, Sql, Ty, to_sql};
use crate::text::{joined, quoted};

type Result<T> = std::result::Result<T, ExpressionError>;
type Columns<'a> = &'a dyn Fn(&str) -> Option<Sql>;

/// One call: what stands in the text, and what it is in SQL.
struct Call<'a> {
    name: String,
    asts: &'a [Ast],
    sql: Vec<Sql>,
}

/// Translates a call of `name`.
pub(super) fn call(name: &str, asts: &[Ast], columns: Columns<'_>) -> Result<Sql> {
    let sql = asts.iter().map(|ast| to_sql(ast, columns)).collect::<Result<_>>()?;
    let call = Call { name: name.to_ascii_lowercase(), asts, sql };
    let made = match call.conditional()? {
        Some(made) => Some(made),
        None => match call.math()? {
            Some(made) => Some(made),
            None => match call.string()? {
                Some(made) => Some(made),
                None => match call.time()? {
                    Some(made) => Some(made),
                    None => call.nested()?,
                },
            },
        },
    };
    made.ok_or_else(|| ExpressionError::unsupported(format!("no function `{name}`")))
}

impl Call<'_> {
    fn takes(&self, least: usize, most: usize) -> Result<()> {
        let given = self.sql.len();
        if (least..=most).contains(&given) {
            return Ok(());
        }
        let wanted = match (least, most) {
            (least, most) if least == most => least.to_string(),
            (least, usize::MAX) => format!("{least} or more"),
            (least, most) => format!("{least} to {most}"),
        };
        let text = format!("`{}` takes {wanted} arguments, not {given}", self.name);
        Err(ExpressionError::invalid(text))
    }

    fn arg(&self, at: usize) -> Result<&Sql> {
        self.sql.get(at).ok_or_else(|| {
            ExpressionError::invalid(format!("`{}`: argument {} is missing", self.name, at + 1))
        })
    }

    /// A constant text; `None` when it is not there, null or empty.
    fn constant(&self, at: usize) -> Result<Option<&str>> {
        match self.asts.get(at) {
            None | Some(Ast::Null) => Ok(None),
            Some(Ast::String(text)) if text.is_empty() => Ok(None),
            Some(Ast::String(text)) => Ok(Some(text)),
            Some(_) => Err(ExpressionError::invalid(format!(
                "`{}`: argument {} must be a constant text",
                self.name,
                at + 1
            ))),
        }
    }

    fn needed(&self, at: usize) -> Result<&str> {
        self.constant(at)?.ok_or_else(|| {
            ExpressionError::invalid(format!("`{}`: argument {} is empty", self.name, at + 1))
        })
    }

    fn constant_long(&self, at: usize) -> Result<Option<i64>> {
        match self.asts.get(at) {
            None | Some(Ast::Null) => Ok(None),
            Some(Ast::Long(value)) => Ok(Some(*value)),
            Some(_) => Err(ExpressionError::invalid(format!(
                "`{}`: argument {} must be a constant number",
                self.name,
                at + 1
            ))),
        }
    }

    /// The value of a branch: an empty constant text is null.
    fn branch(&self, at: usize) -> Result<Sql> {
        match self.asts.get(at) {
            Some(Ast::String(text)) if text.is_empty() => Ok(Sql::null()),
            _ => self.arg(at).cloned(),
        }
    }

    fn branches(&self, at: impl Iterator<Item = usize>) -> Result<(Vec<Sql>, Ty)> {
        let values: Vec<Sql> = at.map(|at| self.branch(at)).collect::<Result<_>>()?;
        let ty = values.iter().fold(Ty::Null, |ty, value| ty.common(value.ty));
        let bring = |value: &Sql| if value.is_null() { value.clone() } else { value.cast(ty) };
        Ok((values.iter().map(bring).collect(), ty))
    }

    fn conditional(&self) -> Result<Option<Sql>> {
        let condition = |text: String| Ok(Some(Sql::new(text, Ty::Bool)));
        match self.name.as_str() {
            "if" => {
                self.takes(3, 3)?;
                let (values, ty) = self.branches([1, 2].into_iter())?;
                let [yes, no] = values.as_slice() else { return Ok(None) };
                let when = self.arg(0)?.as_bool();
                Ok(Some(case(&[(when, yes.text.clone())], Some(&no.text), ty)))
            }
            "case_searched" | "case_simple" => self.case().map(Some),
            "nvl" | "coalesce" => {
                self.takes(1, usize::MAX)?;
                let (mut values, ty) = self.branches(0..self.sql.len())?;
                values.retain(|value| !value.is_null());
                let texts: Vec<&str> = values.iter().map(|value| value.text.as_str()).collect();
                Ok(Some(match texts.as_slice() {
                    [] => Sql::null(),
                    [one] => Sql::new(*one, ty),
                    many => Sql::call("COALESCE", many, ty),
                }))
            }
            "nullif" => {
                self.takes(2, 2)?;
                let same = compare(self.arg(0)?, "=", self.arg(1)?)?.text;
                let first = self.arg(0)?;
                Ok(Some(case(&[(same, "NULL".to_owned())], Some(&first.text), first.ty)))
            }
            "isnull" | "notnull" => {
                self.takes(1, 1)?;
                let not = if self.name == "isnull" { "" } else { "NOT " };
                condition(format!("({} IS {not}NULL)", self.arg(0)?.text))
            }
            "istrue" | "isfalse" | "nottrue" | "notfalse" => {
                self.takes(1, 1)?;
                let test = match self.name.as_str() {
                    "istrue" => "IS TRUE",
                    "isfalse" => "IS FALSE",
                    "nottrue" => "IS NOT TRUE",
                    _ => "IS NOT FALSE",
                };
                condition(format!("({} {test})", self.arg(0)?.as_bool()))
            }
            "isdistinctfrom" | "notdistinctfrom" => {
                self.takes(2, 2)?;
                let not = if self.name == "isdistinctfrom" { "" } else { "NOT " };
                let (left, right) = (self.arg(0)?, self.arg(1)?);
                let ty = left.ty.common(right.ty);
                let (left, right) = (left.cast(ty).text, right.cast(ty).text);
                condition(format!("({left} IS {not}DISTINCT FROM {right})"))
            }
            "cast" => self.cast().map(Some),
            _ => Ok(None),
        }
    }

    /// `case_searched(when, then, .., else)` and `case_simple(value, is, then, .., else)`.
    fn case(&self) -> Result<Sql> {
        let first = usize::from(self.name == "case_simple");
        self.takes(first + 2, usize::MAX)?;
        let pairs = (self.sql.len() - first) / 2;
        let otherwise = (self.sql.len() - first) % 2 == 1;
        let at = (0..pairs).map(|pair| first + 2 * pair + 1);
        let (mut values, ty) = self.branches(at.chain(otherwise.then(|| self.sql.len() - 1)))?;
        let no = if otherwise { values.pop() } else { None };
        let mut arms = Vec::with_capacity(pairs);
        for (pair, value) in values.iter().enumerate() {
            let when = self.arg(first + 2 * pair)?;
            let when =
                if first == 0 { when.as_bool() } else { compare(self.arg(0)?, "=", when)?.text };
            arms.push((when, value.text.clone()));
        }
        Ok(case(&arms, no.as_ref().map(|no| no.text.as_str()), ty))
    }

    fn cast(&self) -> Result<Sql> {
        self.takes(2, 2)?;
        let wanted = self.needed(1)?.to_ascii_uppercase();
        let ty = match wanted.as_str() {
            "LONG" | "BIGINT" | "INTEGER" => Ty::Long,
            "DOUBLE" | "FLOAT" => Ty::Double,
            "STRING" | "VARCHAR" => Ty::String,
            _ => {
                let text =
                    format!("`cast` to `{wanted}` is not offered, only LONG, DOUBLE, STRING");
                return Err(ExpressionError::unsupported(text));
            }
        };
        Ok(self.arg(0)?.cast(ty))
    }

    fn math(&self) -> Result<Option<Sql>> {
        let made = match self.name.as_str() {
            "abs" | "round" => {
                self.takes(1, if self.name == "abs" { 1 } else { 2 })?;
                let value = self.arg(0)?.as_number();
                let function = self.name.to_ascii_uppercase();
                match self.sql.get(1) {
                    Some(digits) => {
                        Sql::call(&function, &[&value.text, &digits.as_long()], value.ty)
                    }
                    None => Sql::call(&function, &[&value.text], value.ty),
                }
            }
            "max" | "min" | "greatest" | "least" => {
                self.takes(1, usize::MAX)?;
                let (values, ty) = self.branches(0..self.sql.len())?;
                let function = if matches!(self.name.as_str(), "max" | "greatest") {
                    "GREATEST"
                } else {
                    "LEAST"
                };
                let texts: Vec<&str> = values.iter().map(|value| value.text.as_str()).collect();
                Sql::call(function, &texts, ty)
            }
            "pow" | "atan2" => {
                self.takes(2, 2)?;
                let function = if self.name == "pow" { "POWER" } else { "ATAN2" };
                let (x, y) = (self.arg(0)?.as_double(), self.arg(1)?.as_double());
                Sql::call(function, &[&x, &y], Ty::Double)
            }
            "div" => {
                self.takes(2, 2)?;
                let (x, y) = (self.arg(0)?.as_long(), self.arg(1)?.as_long());
                Sql::new(format!("({x} / NULLIF({y}, 0))"), Ty::Long)
            }
            "safe_divide" => {
                self.takes(2, 2)?;
                let (x, y) = (self.arg(0)?.as_double(), self.arg(1)?.as_double());
                Sql::new(format!("({x} / NULLIF({y}, 0.0))"), Ty::Double)
            }
            "remainder" => {
                self.takes(2, 2)?;
                let (x, y) = (self.arg(0)?.as_double(), self.arg(1)?.as_double());
                Sql::new(format!("({x} - {y} * ROUND({x} / {y}))"), Ty::Double)
            }
            "bitwiseand" | "bitwiseor" | "bitwiseshiftleft" | "bitwiseshiftright" => {
                self.takes(2, 2)?;
                let symbol = match self.name.as_str() {
                    "bitwiseand" => "&",
                    "bitwiseor" => "|",
                    "bitwiseshiftleft" => "<<",
                    _ => ">>",
                };
                let (x, y) = (self.arg(0)?.as_long(), self.arg(1)?.as_long());
                Sql::new(format!("({x} {symbol} {y})"), Ty::Long)
            }
            "pi" => Sql::double(std::f64::consts::PI),
            name => match double_function(name) {
                Some(function) => {
                    self.takes(1, 1)?;
                    Sql::call(function, &[&self.arg(0)?.as_double()], Ty::Double)
                }
                None => return Ok(None),
            },
        };
        Ok(Some(made))
    }

    fn string(&self) -> Result<Option<Sql>> {
        let made = match self.name.as_str() {
            "concat" => {
                self.takes(1, usize::MAX)?;
                let parts = self.sql.iter().map(Sql::as_string).collect();
                Sql::new(joined(parts, "||", "''"), Ty::String)
            }
            "lower" | "upper" | "reverse" => {
                self.takes(1, 1)?;
                let function = self.name.to_ascii_uppercase();
                Sql::call(&function, &[&self.arg(0)?.as_string()], Ty::String)
            }
            "strlen" => {
                self.takes(1, 1)?;
                Sql::call("CHAR_LENGTH", &[&self.arg(0)?.as_string()], Ty::Long)
            }
            "trim" | "ltrim" | "rtrim" => {
                self.takes(1, 2)?;
                let function = match self.name.as_str() {
                    "trim" => "BTRIM",
                    "ltrim" => "LTRIM",
                    _ => "RTRIM",
                };
                let letters = quoted(self.constant(1)?.unwrap_or(" "));
                Sql::call(function, &[&self.arg(0)?.as_string(), &letters], Ty::String)
            }
            "left" | "right" | "repeat" => {
                self.takes(2, 2)?;
                let (text, count) = (self.arg(0)?.as_string(), self.arg(1)?.as_long());
                Sql::call(&self.name.to_ascii_uppercase(), &[&text, &count], Ty::String)
            }
            "lpad" | "rpad" => {
                self.takes(3, 3)?;
                let (text, count) = (self.arg(0)?.as_string(), self.arg(1)?.as_long());
                let with = self.arg(2)?.as_string();
                Sql::call(&self.name.to_ascii_uppercase(), &[&text, &count, &with], Ty::String)
            }
            "replace" => {
                self.takes(3, 3)?;
                let texts: Vec<String> = self.sql.iter().map(Sql::as_string).collect();
                let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                Sql::call("REPLACE", &texts, Ty::String)
            }
            "substring" => {
                self.takes(2, 3)?;
                let length = self.constant_long(2)?.filter(|length| *length >= 0);
                substring(self.arg(0)?, &format!("{} + 1", self.arg(1)?.as_long()), length)
            }
            "strpos" => self.strpos()?,
            "contains_string" | "icontains_string" => {
                self.takes(2, 2)?;
                let fold = self.name == "icontains_string";
                contains(&self.arg(0)?.as_string(), &self.arg(1)?.as_string(), fold)
            }
            "like" => {
                self.takes(2, 3)?;
                let escape = self.constant(2)?.and_then(|text| text.chars().next());
                like(&self.arg(0)?.as_string(), self.needed(1)?, escape)
            }
            _ => return self.pattern(),
        };
        Ok(Some(made))
    }

    fn pattern(&self) -> Result<Option<Sql>> {
        let made = match self.name.as_str() {
            "regexp_like" => {
                self.takes(2, 2)?;
                let pattern = quoted(self.constant(1)?.unwrap_or_default());
                Sql::call("REGEXP_LIKE", &[&self.arg(0)?.as_string(), &pattern], Ty::Bool)
            }
            "regexp_extract" => {
                self.takes(2, 3)?;
                let index = self.constant_long(2)?.unwrap_or(0);
                regexp_extract(&self.arg(0)?.as_string(), self.needed(1)?, index)
            }
            "regexp_replace" => {
                self.takes(3, 3)?;
                let (text, with) = (self.arg(0)?.as_string(), self.arg(2)?.as_string());
                let pattern = quoted(self.needed(1)?);
                Sql::call("REGEXP_REPLACE", &[&text, &pattern, &with], Ty::String)
            }
            "format" => {
                self.takes(1, usize::MAX)?;
                let texts: Vec<&str> = self.sql.iter().map(|sql| sql.text.as_str()).collect();
                Sql::call("STRING_FORMAT", &texts, Ty::String)
            }
            "lookup" => {
                self.takes(2, 3)?;
                let lookup = quoted(self.needed(1)?);
                let key = self.arg(0)?.as_string();
                match self.constant(2)? {
                    Some(missing) => {
                        Sql::call("LOOKUP", &[&key, &lookup, &quoted(missing)], Ty::String)
                    }
                    None => Sql::call("LOOKUP", &[&key, &lookup], Ty::String),
                }
            }
            "parse_long" => {
                self.takes(1, 2)?;
                let text = self.arg(0)?.as_string();
                match self.constant_long(1)?.unwrap_or(10) {
                    10 => Sql::new(format!("TRY_CAST({text} AS BIGINT)"), Ty::Long),
                    radix => Sql::call("PARSE_LONG", &[&text, &radix.to_string()], Ty::Long),
                }
            }
            _ => return Ok(None),
        };
        Ok(Some(made))
    }

    /// From 0; -1 when it is not there.
    fn strpos(&self) -> Result<Sql> {
        self.takes(2, 3)?;
        let (hay, needle) = (self.arg(0)?.as_string(), self.arg(1)?.as_string());
        let Some(from) = self.constant_long(2)?.filter(|from| *from > 0) else {
            return Ok(Sql::new(format!("(STRPOS({hay}, {needle}) - 1)"), Ty::Long));
        };
        let found = format!("STRPOS(SUBSTR({hay}, {from} + 1), {needle})");
        let text = format!("CASE WHEN {found} > 0 THEN {found} + {from} - 1 ELSE -1 END");
        Ok(Sql::new(format!("({text})"), Ty::Long))
    }

    fn time(&self) -> Result<Option<Sql>> {
        let made = match self.name.as_str() {
            "timestamp_floor" | "timestamp_ceil" => {
                self.takes(2, 4)?;
                let function =
                    if self.name == "timestamp_floor" { "TIME_FLOOR" } else { "TIME_CEIL" };
                let origin = match self.asts.get(2) {
                    None | Some(Ast::Null) => None,
                    Some(Ast::String(text)) if text.is_empty() => None,
                    Some(_) => Some(self.arg(2)?.as_time()),
                };
                let time = self.arg(0)?.as_time();
                floor(function, &time, self.needed(1)?, origin.as_deref(), self.constant(3)?)
            }
            "timestamp_shift" => {
                self.takes(3, 4)?;
                let (time, count) = (self.arg(0)?.as_time(), self.arg(2)?.as_long());
                let zone = quoted(self.constant(3)?.unwrap_or("UTC"));
                let period = quoted(self.needed(1)?);
                Sql::call("TIME_SHIFT", &[&time, &period, &count, &zone], Ty::Time)
            }
            "timestamp_extract" => {
                self.takes(2, 3)?;
                let zone = quoted(self.constant(2)?.unwrap_or("UTC"));
                let unit = quoted(self.needed(1)?);
                Sql::call("TIME_EXTRACT", &[&self.arg(0)?.as_time(), &unit, &zone], Ty::Long)
            }
            "timestamp_format" => {
                self.takes(1, 3)?;
                let (pattern, zone) = (self.constant(1)?, self.constant(2)?);
                time_format(&self.arg(0)?.as_time(), pattern, zone)
            }
            "timestamp_parse" | "timestamp" | "unix_timestamp" => {
                self.takes(1, 3)?;
                let pattern = self.constant(1)?.map_or_else(|| "NULL".to_owned(), quoted);
                let zone = quoted(self.constant(2)?.unwrap_or("UTC"));
                let text = self.arg(0)?.as_string();
                let made = Sql::call("TIME_PARSE", &[&text, &pattern, &zone], Ty::Time);
                if self.name == "unix_timestamp" {
                    Sql::new(format!("({} / 1000)", made.as_long()), Ty::Long)
                } else {
                    made
                }
            }
            _ => return Ok(None),
        };
        Ok(Some(made))
    }

    fn nested(&self) -> Result<Option<Sql>> {
        let made = match self.name.as_str() {
            "json_value" => {
                self.takes(2, 3)?;
                let path = quoted(self.needed(1)?);
                let value = Sql::call("JSON_VALUE", &[&self.arg(0)?.text, &path], Ty::String);
                match self.constant(2)?.map(str::to_ascii_uppercase).as_deref() {
                    Some("LONG") => value.cast(Ty::Long),
                    Some("DOUBLE" | "FLOAT") => value.cast(Ty::Double),
                    _ => value,
                }
            }
            "json_query" => {
                self.takes(2, 2)?;
                let path = quoted(self.needed(1)?);
                Sql::call("JSON_QUERY", &[&self.arg(0)?.text, &path], Ty::Other)
            }
            "array_length" | "mv_length" => {
                self.takes(1, 1)?;
                let text = format!("CAST(ARRAY_LENGTH({}) AS BIGINT)", self.arg(0)?.text);
                Sql::new(text, Ty::Long)
            }
            "array_contains" | "mv_contains" => {
                self.takes(2, 2)?;
                Sql::call("ARRAY_HAS", &[&self.arg(0)?.text, &self.arg(1)?.text], Ty::Bool)
            }
            "array_to_string" | "mv_to_string" => {
                self.takes(2, 2)?;
                let between = self.arg(1)?.as_string();
                Sql::call("ARRAY_TO_STRING", &[&self.arg(0)?.text, &between], Ty::String)
            }
            "array_offset" | "mv_offset" | "array_ordinal" | "mv_ordinal" => {
                self.takes(2, 2)?;
                let more = if self.name.ends_with("offset") { " + 1" } else { "" };
                let list = self.arg(0)?;
                let ty = if list.ty == Ty::Numbers { Ty::Double } else { Ty::String };
                let at = format!("{}{more}", self.arg(1)?.as_long());
                Sql::call("ARRAY_ELEMENT", &[&list.text, &at], ty)
            }
            _ => return Ok(None),
        };
        Ok(Some(made))
    }
}

/// Functions of one double that give one.
fn double_function(name: &str) -> Option<&'static str> {
    Some(match name {
        "sqrt" => "SQRT",
        "cbrt" => "CBRT",
        "exp" => "EXP",
        "log" => "LN",
        "log10" => "LOG10",
        "ceil" => "CEIL",
        "floor" => "FLOOR",
        "signum" => "SIGNUM",
        "sin" => "SIN",
        "cos" => "COS",
        "tan" => "TAN",
        "cot" => "COT",
        "asin" => "ASIN",
        "acos" => "ACOS",
        "atan" => "ATAN",
        "sinh" => "SINH",
        "cosh" => "COSH",
        "tanh" => "TANH",
        "todegrees" => "DEGREES",
        "toradians" => "RADIANS",
        _ => return None,
    })
}

pub(crate) fn case(arms: &[(String, String)], no: Option<&str>, ty: Ty) -> Sql {
    if ty == Ty::Null {
        return Sql::null();
    }
    let mut text = "(CASE".to_owned();
    for (when, then) in arms {
        text.push_str(&format!(" WHEN {when} THEN {then}"));
    }
    if let Some(no) = no {
        text.push_str(&format!(" ELSE {no}"));
    }
    text.push_str(" END)");
    Sql::new(text, ty)
}

/// `from` counts from 1. What begins after the end is null.
pub(crate) fn substring(value: &Sql, from: &str, length: Option<i64>) -> Sql {
    let text = value.as_string();
    let length = length.map(|length| format!(", {length}")).unwrap_or_default();
    Sql::new(format!("NULLIF(SUBSTR({text}, {from}{length}), '')"), Ty::String)
}

pub(crate) fn contains(text: &str, part: &str, fold: bool) -> Sql {
    let text = if fold {
        format!("(STRPOS(LOWER({text}), LOWER({part})) > 0)")
    } else {
        format!("(STRPOS({text}, {part}) > 0)")
    };
    Sql::new(text, Ty::Bool)
}

/// SQL's escape is always `\` here: Druid has none unless it is given.
pub(crate) fn like(text: &str, pattern: &str, escape: Option<char>) -> Sql {
    let mut made = String::new();
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        if Some(letter) == escape {
            if let Some(next) = letters.next() {
                if matches!(next, '%' | '_' | '\\') {
                    made.push('\\');
                }
                made.push(next);
            }
        } else {
            if letter == '\\' {
                made.push('\\');
            }
            made.push(letter);
        }
    }
    Sql::new(format!("({text} LIKE {})", quoted(&made)), Ty::Bool)
}

pub(crate) fn regexp_extract(text: &str, pattern: &str, index: i64) -> Sql {
    Sql::call("REGEXP_EXTRACT", &[text, &quoted(pattern), &index.to_string()], Ty::String)
}

pub(crate) fn floor(
    function: &str,
    time: &str,
    period: &str,
    origin: Option<&str>,
    zone: Option<&str>,
) -> Sql {
    let zone = quoted(zone.unwrap_or("UTC"));
    Sql::call(function, &[time, &quoted(period), origin.unwrap_or("NULL"), &zone], Ty::Time)
}

pub(crate) fn time_format(time: &str, pattern: Option<&str>, zone: Option<&str>) -> Sql {
    let pattern = pattern.map_or_else(|| "NULL".to_owned(), quoted);
    let zone = quoted(zone.unwrap_or("UTC"));
    Sql::call("TIME_FORMAT", &[time, &pattern, &zone], Ty::String)
}
