//! `inputFormat`, and the older `parser`: how a record's value is read, and which places of it.

use yeoul_format::{ColumnType, Columns, Decode, Delimited, Step, parse_place};
use yeoul_stream::{ReadField, ValueFormat};

use super::at::At;
use super::{Parts, SpecError};

/// What a value is and which places of it have names.
#[derive(Debug, Default)]
pub(super) struct Input {
    pub(super) value: ValueFormat,
    /// Fields of a `flattenSpec`.
    pub(super) fields: Vec<ReadField>,
    /// Whether the members of the record are fields by their own names.
    pub(super) discover: bool,
}

/// The `parseSpec` of an older spec.
pub(super) fn parse_spec<'a>(parts: &Parts<'a>) -> Result<Option<At<'a>>, SpecError> {
    let Some(parser) = parts.data.field("parser") else { return Ok(None) };
    if let Some(kind) = parser.field("type")
        && kind.text()? != "string"
        && kind.text()? != "json"
    {
        return Err(kind.error("only parsers of type `string` are offered"));
    }
    if let Some(encoding) = parser.field("encoding")
        && !encoding.text()?.eq_ignore_ascii_case("utf-8")
    {
        return Err(encoding.error("records are UTF-8"));
    }
    parser.needed("parseSpec").map(Some)
}

pub(super) fn read(parts: &Parts<'_>) -> Result<Input, SpecError> {
    let format = parts.io.as_ref().and_then(|io| io.field("inputFormat"));
    if let Some(format) = format {
        return of(&format, "type");
    }
    match parse_spec(parts)? {
        Some(parse_spec) => of(&parse_spec, "format"),
        None => {
            Err(parts.io.as_ref().unwrap_or(&parts.data).error(
                "`inputFormat` is missing: { \"type\": \"json\" } for records of JSON objects",
            ))
        }
    }
}

fn of(format: &At<'_>, kind: &str) -> Result<Input, SpecError> {
    let kind = format.needed(kind)?;
    match kind.text()? {
        "json" | "jsonLowercase" => json(format),
        "csv" => delimited(format, true),
        "tsv" => delimited(format, false),
        "regex" => {
            let pattern = format.needed("pattern")?;
            let columns = match format.field("columns") {
                Some(columns) => columns.texts()?,
                None => return Err(format.error("`columns` names the groups of the pattern")),
            };
            no_lists(format)?;
            let regex = pattern.text()?.to_owned();
            let value = ValueFormat::Pattern { regex, columns };
            Ok(Input { value, fields: Vec::new(), discover: true })
        }
        "kafka" => {
            for part in ["keyFormat", "headerFormat"] {
                if let Some(part) = format.field(part) {
                    return Err(
                        part.error("keys and headers are not read into tables: leave it out")
                    );
                }
            }
            of(&format.needed("valueFormat")?, "type")
        }
        other => {
            Err(kind.error(&format!("`{other}` is not offered: json, csv, tsv and regex are")))
        }
    }
}

fn json(format: &At<'_>) -> Result<Input, SpecError> {
    let mut input = Input { discover: true, ..Input::default() };
    let Some(flatten) = format.field("flattenSpec") else { return Ok(input) };
    flatten.only(&["useFieldDiscovery", "fields", "type"])?;
    if let Some(discover) = flatten.field("useFieldDiscovery") {
        input.discover = discover.flag()?;
    }
    for field in flatten.field("fields").map_or(Ok(Vec::new()), |fields| fields.list())? {
        input.fields.push(flattened(&field)?);
    }
    Ok(input)
}

fn flattened(field: &At<'_>) -> Result<ReadField, SpecError> {
    let read = |name: &str, place: Vec<Step>| ReadField { name: name.into(), place, ty: None };
    if let Some(name) = field.value.as_str() {
        return Ok(read(name, vec![Step::Key(name.to_owned())]));
    }
    field.only(&["type", "name", "expr", "nodes"])?;
    let name = field.needed("name")?.text()?;
    let kind = field.needed("type")?;
    match kind.text()? {
        "root" => {
            let key = field.field("expr").map_or(Ok(name), |expr| expr.text())?;
            Ok(read(name, vec![Step::Key(key.to_owned())]))
        }
        "path" => {
            let expr = field.needed("expr")?;
            let place = parse_place(expr.text()?).map_err(|what| expr.error(&what))?;
            Ok(read(name, place))
        }
        "tree" => {
            let nodes = field.needed("nodes")?.texts()?;
            Ok(read(name, nodes.into_iter().map(Step::Key).collect()))
        }
        other => {
            Err(kind
                .error(&format!("fields of type `{other}` are not offered: `path` and `root` are")))
        }
    }
}

fn no_lists(format: &At<'_>) -> Result<(), SpecError> {
    match format.field("listDelimiter") {
        Some(list) => Err(list.error("lists within fields are not offered: leave it out")),
        None => Ok(()),
    }
}

fn delimited(format: &At<'_>, comma: bool) -> Result<Input, SpecError> {
    no_lists(format)?;
    for header in ["findColumnsFromHeader", "hasHeaderRow"] {
        if let Some(header) = format.field(header)
            && header.flag()?
        {
            return Err(header.error("a record is one line: name the `columns`"));
        }
    }
    if let Some(skip) = format.field("skipHeaderRows")
        && skip.number()? > 0
    {
        return Err(skip.error("a record is one line, so there is no header to skip"));
    }
    let columns = format.needed("columns")?;
    let names = columns.texts()?;
    let delimiter = match format.field("delimiter") {
        Some(given) => {
            let mut chars = given.text()?.chars();
            match (chars.next(), chars.next()) {
                (Some(one), None) => Some(one),
                _ => return Err(given.error("one character is expected")),
            }
        }
        None => None,
    };
    let typed: serde_json::Map<_, _> = names
        .iter()
        .map(|name| (name.clone(), serde_json::Value::String(ColumnType::String.to_string())))
        .collect();
    let typed: Columns = serde_json::from_value(serde_json::Value::Object(typed))
        .map_err(|error| columns.error(&error.to_string()))?;
    let options = Delimited { columns: typed, delimiter, ..Delimited::default() };
    let decode = if comma { Decode::Csv(options) } else { Decode::Tsv(options) };
    Ok(Input { value: ValueFormat::Line(decode), fields: Vec::new(), discover: true })
}
