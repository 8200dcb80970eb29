//! Just enough of Rust's lexical rules to measure files and functions: comments, strings and
//! character literals become blanks (line breaks stay), so that braces can be counted. It is a
//! measure, not a parser; a macro that opens a brace in one branch may fool it by a few lines.

/// The same text with everything that is not code blanked. Line numbers stay as they are.
pub(super) fn code_only(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let end = end_of_blank(&chars, at);
        if end == at {
            out.push(c);
            at += 1;
            continue;
        }
        let blanked = chars.get(at..end).unwrap_or(&[]);
        out.extend(blanked.iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    out
}

/// Where the comment or literal that starts at `at` ends; `at` itself when none starts there.
fn end_of_blank(chars: &[char], at: usize) -> usize {
    let here = |offset: usize| chars.get(at + offset).copied();
    match (here(0), here(1)) {
        (Some('/'), Some('/')) => find(chars, at, |c, _| c == '\n'),
        (Some('/'), Some('*')) => end_of_block_comment(chars, at),
        (Some('"'), _) => end_of_string(chars, at),
        (Some('r'), Some('"' | '#')) if !follows_name(chars, at) => end_of_raw_string(chars, at),
        (Some('\''), Some('\\')) => {
            // The character after the backslash is never the closing quote.
            find(chars, at + 3, |c, _| c == '\'') + 1
        }
        (Some('\''), Some(_)) if here(2) == Some('\'') => at + 3,
        _ => at,
    }
}

fn find(chars: &[char], from: usize, is_end: impl Fn(char, usize) -> bool) -> usize {
    let rest = chars.iter().enumerate().skip(from);
    let mut ends = rest.filter(|(at, c)| is_end(**c, *at));
    ends.next().map_or(chars.len(), |(at, _)| at)
}

fn follows_name(chars: &[char], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|b| chars.get(b));
    before.is_some_and(|c| (c.is_alphanumeric() && *c != 'b') || *c == '_')
}

fn end_of_block_comment(chars: &[char], at: usize) -> usize {
    let mut depth = 0;
    let mut at = at;
    while at < chars.len() {
        match (chars.get(at), chars.get(at + 1)) {
            (Some('/'), Some('*')) => {
                depth += 1;
                at += 2;
            }
            (Some('*'), Some('/')) => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    chars.len()
}

fn end_of_string(chars: &[char], at: usize) -> usize {
    let mut at = at + 1;
    while let Some(c) = chars.get(at) {
        match c {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

fn end_of_raw_string(chars: &[char], at: usize) -> usize {
    let hashes = chars.iter().skip(at + 1).take_while(|c| **c == '#').count();
    let open = at + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return at;
    }
    let closes = |c: char, quote: usize| {
        c == '"'
            && chars.iter().skip(quote + 1).take(hashes).filter(|c| **c == '#').count() == hashes
    };
    (find(chars, open + 1, closes) + 1 + hashes).min(chars.len())
}

/// A function: where it starts and how many lines its signature and body take.
#[derive(Debug, PartialEq)]
pub(super) struct Function {
    pub(super) name: String,
    /// 1-based line of `fn`.
    pub(super) line: usize,
    pub(super) lines: usize,
}

/// The lines (0-based, half open) of each `#[cfg(test)] mod … { … }`.
pub(super) fn test_modules(code: &str) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if !line.trim_start().starts_with("#[cfg(test)]") {
            continue;
        }
        let opens = lines.get(at + 1).is_some_and(|next| {
            let next = next.trim_start();
            next.starts_with("mod ") && next.trim_end().ends_with('{')
        });
        if opens {
            found.push((at, at + lines_of_body(&lines, at)));
        }
    }
    found
}

/// Every function with a body, nested ones too.
pub(super) fn functions(code: &str) -> Vec<Function> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else {
            continue;
        };
        if has_body(&lines, at) {
            found.push(Function { name, line: at + 1, lines: lines_of_body(&lines, at) });
        }
    }
    found
}

fn function_name(line: &str) -> Option<String> {
    let trimmed = line.trim_start();
    let at = if trimmed.starts_with("fn ") { 0 } else { trimmed.find(" fn ")? + 1 };
    let name: String =
        trimmed.get(at + 3..)?.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

/// A declaration in a trait ends with `;` before any brace opens.
fn has_body(lines: &[&str], from: usize) -> bool {
    let mut brackets = 0_i32;
    for line in lines.iter().skip(from) {
        for c in line.chars() {
            match c {
                '(' | '[' => brackets += 1,
                ')' | ']' => brackets -= 1,
                ';' if brackets == 0 => return false,
                '{' if brackets == 0 => return true,
                _ => {}
            }
        }
    }
    false
}

/// From a line to the one that closes the first brace opened at or after it, counted inclusively.
fn lines_of_body(lines: &[&str], from: usize) -> usize {
    let mut depth = 0_i32;
    let mut opened = false;
    for (at, line) in lines.iter().enumerate().skip(from) {
        for c in line.chars() {
            depth += match c {
                '{' => 1,
                '}' => -1,
                _ => 0,
            };
            opened |= c == '{';
        }
        if opened && depth <= 0 {
            return at - from + 1;
        }
    }
    lines.len() - from
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_keep_lines_and_hide_braces() {
        let source = "a // {\n\"{ \\\" {\" /* { /* } */ { */ 'x' '{' '\\'' r#\"{\"\"#\nb";
        let code = code_only(source);
        assert_eq!(code.lines().count(), source.lines().count());
        assert!(!code.contains('{'), "{code:?}");
        assert!(code.starts_with('a') && code.ends_with('b'));
    }

    #[test]
    fn a_lifetime_is_not_a_literal() {
        assert_eq!(code_only("fn f<'a>(x: &'a str) {}"), "fn f<'a>(x: &'a str) {}");
    }

    #[test]
    fn functions_are_measured_from_fn_to_brace() {
        let code = "trait T {\n    fn declared(&self);\n}\npub(crate) fn body(\n    a: [u8; 3],\n) {\n    if a {\n    }\n}\n";
        let expected = Function { name: "body".to_owned(), line: 4, lines: 6 };
        assert_eq!(functions(code), [expected]);
    }

    #[test]
    fn test_modules_are_found() {
        let code = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n";
        assert_eq!(test_modules(code), [(1, 5)]);
        assert_eq!(test_modules("#[cfg(test)]\nmod tests;\n"), []);
    }
}
