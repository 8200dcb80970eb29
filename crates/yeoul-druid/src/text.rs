//! Pieces of SQL text with the type Druid gives them: what native queries and Druid's
//! expressions are translated into.
//!
//! Invariant: names and values enter SQL only through [`name`] and the literal functions here, so
//! no text of a client can be anything but a name or a value.

use arrow::datatypes::DataType;

/// What Druid takes a value for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ty {
    /// A constant null, or a column that is not there.
    Null,
    /// 64 bits, signed.
    Long,
    Double,
    String,
    /// An SQL BOOLEAN made by an expression: a long 0 or 1 to Druid.
    Bool,
    /// A BOOLEAN column: Druid keeps these as the strings `true` and `false`.
    Flag,
    /// An SQL TIMESTAMP: milliseconds to Druid.
    Time,
    /// An array of strings: a multi-value dimension.
    Strings,
    /// An array of numbers.
    Numbers,
    /// The stored state of a sketch, by Druid's name of its kind.
    State(Sketch),
    /// Anything else; it can be returned, not computed with.
    Other,
}

/// Kinds of sketches whose states columns and aggregations hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sketch {
    Hll,
    Theta,
    Quantiles,
}

impl Ty {
    /// Of a column in a table.
    pub fn of(ty: &DataType) -> Self {
        match ty {
            DataType::Null => Self::Null,
            DataType::Boolean => Self::Flag,
            ty if ty.is_integer() => Self::Long,
            ty if ty.is_floating() || ty.is_decimal() => Self::Double,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::String,
            DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64 => Self::Time,
            DataType::Dictionary(_, values) => Self::of(values),
            DataType::List(item) | DataType::LargeList(item) => match Self::of(item.data_type()) {
                Self::String => Self::Strings,
                Self::Long | Self::Double => Self::Numbers,
                _ => Self::Other,
            },
            _ => Self::Other,
        }
    }

    /// Whether Druid computes with it as a number.
    pub fn is_number(self) -> bool {
        matches!(self, Self::Long | Self::Double | Self::Bool | Self::Time)
    }

    /// The type of a value that is one of these: what `if` and `nvl` give.
    pub fn common(self, other: Self) -> Self {
        match (self, other) {
            (Self::Null, ty) | (ty, Self::Null) => ty,
            (a, b) if a == b => a,
            (Self::Double, b) if b.is_number() => Self::Double,
            (a, Self::Double) if a.is_number() => Self::Double,
            (a, b) if a.is_number() && b.is_number() => Self::Long,
            _ => Self::String,
        }
    }
}

/// An SQL expression and its type. The text stands safely beside any operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sql {
    pub text: String,
    pub ty: Ty,
}

impl Sql {
    pub fn new(text: impl Into<String>, ty: Ty) -> Self {
        Self { text: text.into(), ty }
    }

    pub fn column(column: &str, ty: Ty) -> Self {
        Self::new(name(column), ty)
    }

    pub fn null() -> Self {
        Self::new("NULL", Ty::Null)
    }

    pub fn long(value: i64) -> Self {
        // The smallest number has no positive counterpart a parser could negate.
        match value {
            i64::MIN => Self::new("(-9223372036854775807 - 1)", Ty::Long),
            value if value < 0 => Self::new(format!("({value})"), Ty::Long),
            value => Self::new(value.to_string(), Ty::Long),
        }
    }

    pub fn double(value: f64) -> Self {
        let text = if value.is_finite() { format!("{value:?}") } else { format!("'{value}'") };
        Self::new(format!("CAST({text} AS DOUBLE)"), Ty::Double)
    }

    pub fn string(value: &str) -> Self {
        Self::new(quoted(value), Ty::String)
    }

    pub fn bool(value: bool) -> Self {
        Self::new(if value { "TRUE" } else { "FALSE" }, Ty::Bool)
    }

    /// An instant from milliseconds; `None` beyond what the engine's microseconds hold.
    pub fn millis(ms: i64) -> Option<Self> {
        ms.checked_mul(1_000)?;
        Some(Self::new(format!("MILLIS_TO_TIMESTAMP({})", Self::long(ms).text), Ty::Time))
    }

    pub fn call(function: &str, arguments: &[&str], ty: Ty) -> Self {
        Self::new(format!("{function}({})", arguments.join(", ")), ty)
    }

    pub fn is_null(&self) -> bool {
        self.ty == Ty::Null
    }

    /// As 64 bits; text that is no number is null.
    pub fn as_long(&self) -> String {
        let text = &self.text;
        match self.ty {
            Ty::Long => text.clone(),
            Ty::Null => "CAST(NULL AS BIGINT)".to_owned(),
            Ty::Bool | Ty::Flag => format!("CAST({text} AS BIGINT)"),
            Ty::Time => format!("TIMESTAMP_TO_MILLIS({text})"),
            Ty::Double => format!("TRY_CAST({text} AS BIGINT)"),
            Ty::String => format!(
                "COALESCE(TRY_CAST({text} AS BIGINT), TRY_CAST(TRY_CAST({text} AS DOUBLE) AS BIGINT))"
            ),
            _ => "CAST(NULL AS BIGINT)".to_owned(),
        }
    }

    pub fn as_double(&self) -> String {
        let text = &self.text;
        match self.ty {
            Ty::Double => text.clone(),
            Ty::Long => format!("CAST({text} AS DOUBLE)"),
            Ty::String => format!("TRY_CAST({text} AS DOUBLE)"),
            _ => format!("CAST({} AS DOUBLE)", self.as_long()),
        }
    }

    /// As a number of its own kind: a long stays one.
    pub fn as_number(&self) -> Self {
        match self.ty {
            Ty::Double => self.clone(),
            Ty::String => Self::new(self.as_double(), Ty::Double),
            _ => Self::new(self.as_long(), Ty::Long),
        }
    }

    pub fn as_string(&self) -> String {
        let text = &self.text;
        match self.ty {
            Ty::String => text.clone(),
            Ty::Null => "CAST(NULL AS VARCHAR)".to_owned(),
            Ty::Bool | Ty::Time => format!("CAST({} AS VARCHAR)", self.as_long()),
            Ty::Strings | Ty::Numbers => format!("ARRAY_TO_STRING({text}, ', ')"),
            _ => format!("CAST({text} AS VARCHAR)"),
        }
    }

    /// A condition, with Druid's idea of what is true.
    pub fn as_bool(&self) -> String {
        let text = &self.text;
        match self.ty {
            Ty::Bool | Ty::Flag => text.clone(),
            Ty::Long => format!("({text} <> 0)"),
            Ty::Double => format!("({text} <> 0.0)"),
            Ty::String => format!("(LOWER({text}) = 'true')"),
            Ty::Time => format!("({} <> 0)", self.as_long()),
            _ => "CAST(NULL AS BOOLEAN)".to_owned(),
        }
    }

    /// An instant: numbers are milliseconds, text is ISO 8601.
    pub fn as_time(&self) -> String {
        match self.ty {
            Ty::Time => self.text.clone(),
            Ty::String => format!("TIME_PARSE({})", self.text),
            _ => format!("MILLIS_TO_TIMESTAMP({})", self.as_long()),
        }
    }

    pub fn cast(&self, ty: Ty) -> Self {
        match ty {
            Ty::Long => Self::new(self.as_long(), ty),
            Ty::Double => Self::new(self.as_double(), ty),
            Ty::String => Self::new(self.as_string(), ty),
            Ty::Bool => Self::new(self.as_bool(), ty),
            Ty::Time => Self::new(self.as_time(), ty),
            _ => self.clone(),
        }
    }

    /// As Druid returns it: no SQL type that Druid has no counterpart of.
    pub fn plain(&self) -> Self {
        match self.ty {
            Ty::Bool | Ty::Time => self.cast(Ty::Long),
            Ty::Flag => self.cast(Ty::String),
            _ => self.clone(),
        }
    }
}

/// A name in double quotes.
pub(crate) fn name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text in single quotes.
pub(crate) fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// Joins conditions as a balanced tree: a long chain would nest as deep as it is long.
pub(crate) fn joined(mut parts: Vec<String>, word: &str, none: &str) -> String {
    match parts.len() {
        0 => none.to_owned(),
        1 => parts.swap_remove(0),
        count => {
            let rest = parts.split_off(count / 2);
            let (left, right) = (joined(parts, word, none), joined(rest, word, none));
            format!("({left} {word} {right})")
        }
    }
}
