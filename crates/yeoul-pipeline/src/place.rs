//! From a place in a stream's query to its place in the file, so that the planner's errors are
//! shown where the person wrote them.

use crate::model::{Named, Pipeline, StreamSpec};
use crate::report::Problem;
use crate::tree::Place;

impl Pipeline {
    /// Something wrong with a stream's query, found by who planned it. `line` and `column` are
    /// those of the query, from 1; without them the whole query is meant.
    pub fn sql_problem(
        &self,
        stream: &Named<StreamSpec>,
        at: Option<(u32, u32)>,
        message: &str,
        hint: Option<String>,
    ) -> Problem {
        let sql = &stream.spec.sql;
        let place = match at.and_then(|(line, column)| offset_of(sql, line, column)) {
            Some(start) => self.place_in_sql(stream, start, word_len(sql, start)),
            None => stream.place,
        };
        let mut problem = Problem::new(&self.source, Some(place), message);
        problem.hint = hint;
        problem
    }

    /// Something wrong with a component, found by who made it.
    pub fn problem<T>(
        &self,
        component: &Named<T>,
        field: Option<&str>,
        message: &str,
        hint: Option<String>,
    ) -> Problem {
        let fields = field.into_iter().collect::<Vec<_>>();
        self.problem_at(component, &fields, message, hint)
    }

    /// As [`Pipeline::problem`], at a field within fields; at the innermost that is there.
    pub fn problem_at<T>(
        &self,
        component: &Named<T>,
        fields: &[&str],
        message: &str,
        hint: Option<String>,
    ) -> Problem {
        let mut place = component.place;
        let mut node = Some(&component.node);
        for field in fields {
            node = node.and_then(|node| node.field(field));
            place = node.map_or(place, |node| node.place);
        }
        let mut problem = Problem::new(&self.source, Some(place), message);
        problem.hint = hint;
        problem
    }

    /// A part of a stream's query (bytes of the query) as a part of the file. YAML takes
    /// indentation and escapes away, so the line is found by its number and the part by its text.
    pub(crate) fn place_in_sql(
        &self,
        stream: &Named<StreamSpec>,
        start: usize,
        len: usize,
    ) -> Place {
        let node = stream.field("sql");
        let sql = &stream.spec.sql;
        let found = || {
            let before = sql.get(..start)?;
            let line_start = before.rfind('\n').map_or(0, |at| at + 1);
            let line_number = before.matches('\n').count();
            let line = sql.get(line_start..)?.lines().next()?;
            let text = self.source.text.get(node.start..)?;
            // A block begins on the line after its `|`; the parser may name either.
            let header = text.starts_with(['|', '>']);
            let mut offset = node.start;
            for (number, raw) in text.split_inclusive('\n').enumerate() {
                let wanted = number == line_number + usize::from(header);
                if wanted && let Some(at) = raw.find(line) {
                    return Some(offset + at + (start - line_start));
                }
                offset += raw.len();
            }
            None
        };
        found().map_or(node, |start| Place { start, len })
    }
}

/// Byte offset of a line and column (in characters), both from 1.
fn offset_of(text: &str, line: u32, column: u32) -> Option<usize> {
    let line_index = usize::try_from(line).ok()?.checked_sub(1)?;
    let column = usize::try_from(column).ok()?.checked_sub(1)?;
    let start: usize = text.split_inclusive('\n').take(line_index).map(str::len).sum();
    let rest = text.get(start..)?.lines().next().unwrap_or_default();
    let within = rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at);
    Some(start + within)
}

/// The length of the word that begins here, at least one character.
fn word_len(text: &str, start: usize) -> usize {
    let rest = text.get(start..).unwrap_or_default();
    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
    end.max(rest.chars().next().map_or(0, char::len_utf8))
}
