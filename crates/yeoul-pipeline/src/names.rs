//! Which relations a query reads, without planning it: enough for the graph of a file (who feeds
//! whom, is there a circle). The planner has the last word.

/// A relation that a query reads, and where its name stands in the query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) name: String,
    /// Byte offset and length in the query.
    pub(crate) start: usize,
    pub(crate) len: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token<'a> {
    /// A name; quoted ones are not keywords.
    Word {
        text: String,
        quoted: bool,
        start: usize,
        len: usize,
    },
    Sign(&'a str),
}

impl Token<'_> {
    fn is_keyword(&self, keyword: &str) -> bool {
        matches!(self, Self::Word { text, quoted: false, .. } if text.eq_ignore_ascii_case(keyword))
    }

    fn is_sign(&self, sign: &str) -> bool {
        matches!(self, Self::Sign(text) if *text == sign)
    }
}

/// The names after FROM and JOIN, but for the query's own WITH names and functions.
pub(crate) fn reads(sql: &str) -> Vec<Read> {
    let tokens = tokens(sql);
    let own: Vec<&str> = tokens
        .windows(3)
        .filter_map(|three| match three {
            [Token::Word { text, .. }, then, open]
                if then.is_keyword("as") && open.is_sign("(") =>
            {
                Some(text.as_str())
            }
            _ => None,
        })
        .collect();
    let mut reads: Vec<Read> = Vec::new();
    // One entry per open parenthesis: whether FROM inside it belongs to a function, and whether
    // a FROM list is open, where a comma is followed by another relation.
    let mut depth = vec![(false, false)];
    for (index, token) in tokens.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|index| tokens.get(index));
        let Some(level) = depth.last_mut() else { break };
        let relation_follows = match token {
            Token::Sign("(") => {
                let function = ["extract", "trim", "substring", "overlay", "position"];
                let of_function =
                    before.is_some_and(|word| function.iter().any(|name| word.is_keyword(name)));
                depth.push((of_function, false));
                false
            }
            Token::Sign(")") => {
                if depth.len() > 1 {
                    depth.pop();
                }
                false
            }
            Token::Sign(",") => level.1,
            Token::Sign(_) => false,
            word if word.is_keyword("from") => {
                // `IS DISTINCT FROM` compares.
                let compares = before.is_some_and(|word| word.is_keyword("distinct"))
                    && index
                        .checked_sub(2)
                        .and_then(|index| tokens.get(index))
                        .is_some_and(|word| word.is_keyword("is") || word.is_keyword("not"));
                level.1 = !level.0 && !compares;
                level.1
            }
            word if word.is_keyword("join") => true,
            word => {
                let ends = ["where", "group", "order", "having", "limit", "union", "on", "select"];
                level.1 &= !ends.iter().any(|keyword| word.is_keyword(keyword));
                false
            }
        };
        if relation_follows
            && let Some(read) = relation(&tokens, index + 1)
            && !own.contains(&read.name.as_str())
        {
            reads.push(read);
        }
    }
    reads
}

/// A relation's name: the last part of `a.b`; not a function, a subquery or VALUES.
fn relation(tokens: &[Token<'_>], mut index: usize) -> Option<Read> {
    if tokens.get(index)?.is_keyword("lateral") {
        index += 1;
    }
    while tokens.get(index + 1).is_some_and(|sign| sign.is_sign(".")) {
        index += 2;
    }
    if tokens.get(index + 1).is_some_and(|sign| sign.is_sign("(")) {
        return None;
    }
    match tokens.get(index)? {
        Token::Word { text, start, len, .. } => {
            Some(Read { name: text.clone(), start: *start, len: *len })
        }
        Token::Sign(_) => None,
    }
}

fn tokens(sql: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(rest) = sql.get(at..).filter(|rest| !rest.is_empty()) {
        let len = if rest.starts_with("--") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if rest.starts_with('\'') {
            quoted_len(rest, '\'')
        } else if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '`')) {
            let len = quoted_len(rest, quote);
            let inner = rest.get(1..len.saturating_sub(1)).unwrap_or_default();
            let doubled = format!("{quote}{quote}");
            let text = inner.replace(&doubled, &quote.to_string());
            tokens.push(Token::Word { text, quoted: true, start: at, len });
            len
        } else {
            let word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
            let len = rest.find(|c: char| !word(c)).unwrap_or(rest.len());
            let first = rest.chars().next().map_or(1, char::len_utf8);
            if len > 0 {
                let text = rest.get(..len).unwrap_or_default().to_owned();
                tokens.push(Token::Word { text, quoted: false, start: at, len });
                len
            } else {
                let sign = rest.get(..first).unwrap_or_default();
                if !sign.trim().is_empty() {
                    tokens.push(Token::Sign(sign));
                }
                first
            }
        };
        at += len;
    }
    tokens
}

/// With both quotes; a doubled quote stands for itself. Without an end, to the end.
fn quoted_len(text: &str, quote: char) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
            return at + 1;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(sql: &str) -> Vec<String> {
        reads(sql).into_iter().map(|read| read.name).collect()
    }

    #[test]
    fn relations_are_found() {
        assert_eq!(
            names("SELECT a FROM movies m LEFT JOIN countries c ON m.movie = c.movie"),
            ["movies", "countries"]
        );
        assert_eq!(
            names("select * from \"bike-station-info\" b, 한글 where x in (select y from z)"),
            ["bike-station-info", "한글", "z"]
        );
        assert_eq!(names("SELECT * FROM topic.\"a-b\""), ["a-b"]);
        assert_eq!(names("SELECT * FROM (SELECT 1 FROM a) x JOIN LATERAL b ON true"), ["a", "b"]);
    }

    #[test]
    fn what_only_looks_like_a_relation_is_left_out() {
        assert_eq!(
            names(
                "WITH w AS (SELECT extract(year FROM ts), trim(both from x), b FROM a) -- from c\n\
                 SELECT 'from d', f(a, b) /* from e */ FROM w WHERE a IS NOT DISTINCT FROM b, g"
            ),
            ["a"]
        );
        assert_eq!(names("SELECT * FROM unnest(x) u"), [""; 0]);
        assert_eq!(names("SELECT 1 FROM"), [""; 0]);
        assert_eq!(names("SELECT ')' FROM \"a\"\"b\""), ["a\"b"]);
    }

    #[test]
    fn a_name_knows_its_place() {
        let sql = "SELECT * FROM movies";
        let read = &reads(sql)[0];
        assert_eq!(&sql[read.start..read.start + read.len], "movies");
    }
}
