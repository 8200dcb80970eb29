//! Text → tree. Operators from strong to weak: `-` and `!`, `^` (from the right), `* / %`,
//! `+ -`, comparisons, `&& ||` (of equal strength, from the left).

use super::{Ast, DEPTH_MAX, ExpressionError, NODES_MAX, Operator, SQL_BYTES_MAX};

/// Reads an expression.
///
/// # Errors
/// When the text is not an expression or is larger than the limits.
pub fn parse(text: &str) -> Result<Ast, ExpressionError> {
    if text.len() > SQL_BYTES_MAX {
        let message =
            format!("the expression has {} bytes, at most {SQL_BYTES_MAX} are allowed", text.len());
        return Err(ExpressionError::invalid(message));
    }
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0, nodes: 0 };
    let tree = parser.binary(WEAKEST)?;
    match parser.peek() {
        None => Ok(tree),
        Some(_) => Err(parser.unexpected("an operator or the end")),
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Long(i64),
    Double(f64),
    String(String),
    /// The flag: whether it was quoted, which no function or `null` is.
    Name(String, bool),
    Symbol(&'static str),
}

/// Longer ones first.
const SYMBOLS: [&str; 22] = [
    "<=", ">=", "==", "!=", "&&", "||", "->", "+", "-", "*", "/", "%", "^", "<", ">", "!", "(",
    ")", ",", "[", "]", "=",
];

/// The operators of one strength, from weak to strong.
const LEVELS: [&[(&str, Operator)]; 5] = [
    &[("&&", Operator::And), ("||", Operator::Or)],
    &[
        ("<", Operator::Less),
        ("<=", Operator::LessEqual),
        (">", Operator::Greater),
        (">=", Operator::GreaterEqual),
        ("==", Operator::Equal),
        ("!=", Operator::NotEqual),
    ],
    &[("+", Operator::Plus), ("-", Operator::Minus)],
    &[("*", Operator::Times), ("/", Operator::Divide), ("%", Operator::Modulo)],
    &[("^", Operator::Power)],
];
const WEAKEST: usize = 0;

fn tokens(text: &str) -> Result<Vec<(usize, Token)>, ExpressionError> {
    let mut scan = Scan { rest: text, column: 1 };
    let mut found = Vec::new();
    while let Some(first) = scan.rest.chars().next() {
        if first.is_whitespace() {
            scan.skip(first.len_utf8());
            continue;
        }
        let column = scan.column;
        let token = scan.token(first).map_err(|error| match error.column {
            Some(_) => error,
            None => error.at(column),
        })?;
        found.push((column, token));
        if found.len() > NODES_MAX * 4 {
            return Err(too_large());
        }
    }
    Ok(found)
}

fn too_large() -> ExpressionError {
    ExpressionError::invalid(format!(
        "the expression has too many parts, at most {NODES_MAX} are allowed"
    ))
}

struct Scan<'a> {
    rest: &'a str,
    column: usize,
}

impl<'a> Scan<'a> {
    /// Goes on by bytes that end at a character.
    fn skip(&mut self, bytes: usize) -> &'a str {
        let (before, after) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.column += before.chars().count();
        self.rest = after;
        before
    }

    fn while_bytes(&mut self, from: usize, keep: impl Fn(u8) -> bool) -> &'a str {
        let more = self.rest.bytes().skip(from).take_while(|byte| keep(*byte)).count();
        self.skip(from + more)
    }

    fn token(&mut self, first: char) -> Result<Token, ExpressionError> {
        match first {
            '\'' | '"' => {
                let text = self.string(first)?;
                Ok(if first == '"' { Token::Name(text, true) } else { Token::String(text) })
            }
            '0'..='9' | '.' => self.number(),
            'a'..='z' | 'A'..='Z' | '_' | '$' => {
                let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$';
                Ok(Token::Name(self.while_bytes(0, word).to_owned(), false))
            }
            _ => match SYMBOLS.iter().find(|symbol| self.rest.starts_with(**symbol)) {
                // One `=` is not Druid's, but can only mean one thing.
                Some(&"=") => {
                    self.skip(1);
                    Ok(Token::Symbol("=="))
                }
                Some(symbol) => {
                    self.skip(symbol.len());
                    Ok(Token::Symbol(symbol))
                }
                None => Err(ExpressionError::invalid(format!("`{first}` is not expected"))),
            },
        }
    }

    fn number(&mut self) -> Result<Token, ExpressionError> {
        let text = self.rest;
        let mut digits = self.while_bytes(0, |byte| byte.is_ascii_digit()).len();
        let whole = digits;
        let tail = text.as_bytes();
        if tail.get(digits) == Some(&b'.') {
            digits += 1;
            digits += tail.iter().skip(digits).take_while(|byte| byte.is_ascii_digit()).count();
        }
        if matches!(tail.get(digits), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(tail.get(digits + 1), Some(b'+' | b'-')));
            let from = digits + 1 + sign;
            let power = tail.iter().skip(from).take_while(|byte| byte.is_ascii_digit()).count();
            if power > 0 {
                digits = from + power;
            }
        }
        self.skip(digits - whole);
        let text = text.get(..digits).unwrap_or_default();
        let bad = || ExpressionError::invalid(format!("`{text}` is not a number"));
        if digits == whole {
            return text.parse().map(Token::Long).map_err(|_| bad());
        }
        text.parse().map(Token::Double).map_err(|_| bad())
    }

    fn string(&mut self, quote: char) -> Result<String, ExpressionError> {
        let mut out = String::new();
        self.skip(1);
        loop {
            let Some(next) = self.rest.chars().next() else {
                return Err(ExpressionError::invalid(format!("a closing {quote} is missing")));
            };
            self.skip(next.len_utf8());
            if next == quote {
                return Ok(out);
            }
            if next != '\\' {
                out.push(next);
                continue;
            }
            let escaped = self.rest.chars().next();
            self.skip(escaped.map_or(0, char::len_utf8));
            out.push(match escaped {
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('u') => self.unicode()?,
                Some(same @ ('\'' | '"' | '\\' | '/')) => same,
                _ => return Err(ExpressionError::invalid("an unknown escape after `\\`")),
            });
        }
    }

    /// Four hexadecimal digits, or two times four for a character beyond them.
    fn unicode(&mut self) -> Result<char, ExpressionError> {
        let bad = || ExpressionError::invalid("`\\u` needs four hexadecimal digits");
        let unit = |scan: &mut Self| -> Option<u32> {
            let digits = scan.rest.get(..4)?;
            let value = u32::from_str_radix(digits, 16).ok()?;
            scan.skip(4);
            Some(value)
        };
        let high = unit(self).ok_or_else(bad)?;
        if !(0xd800..0xdc00).contains(&high) {
            // A lone half of a pair is no character; readers show this one in its place.
            return Ok(char::from_u32(high).unwrap_or('\u{fffd}'));
        }
        if !self.rest.starts_with("\\u") {
            return Ok('\u{fffd}');
        }
        self.skip(2);
        let low = unit(self).ok_or_else(bad)?;
        let both = 0x1_0000 + ((high - 0xd800) << 10) + low.wrapping_sub(0xdc00);
        Ok(char::from_u32(both).unwrap_or('\u{fffd}'))
    }
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    at: usize,
    depth: usize,
    nodes: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(_, token)| token)
    }

    fn take(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Symbol(next)) if *next == symbol);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, symbol: &str) -> Result<(), ExpressionError> {
        if self.take(symbol) { Ok(()) } else { Err(self.unexpected(&format!("`{symbol}`"))) }
    }

    fn unexpected(&self, wanted: &str) -> ExpressionError {
        match self.tokens.get(self.at) {
            Some((column, Token::Symbol("->"))) => {
                ExpressionError::unsupported("functions over arrays (`x -> ..`) are not offered")
                    .at(*column)
            }
            Some((column, _)) => {
                ExpressionError::invalid(format!("{wanted} is expected")).at(*column)
            }
            None => ExpressionError::invalid(format!("{wanted} is expected at the end")),
        }
    }

    fn deeper<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, ExpressionError>,
    ) -> Result<T, ExpressionError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            let message = format!("the expression is nested deeper than {DEPTH_MAX}");
            return Err(ExpressionError::invalid(message));
        }
        let result = read(self);
        self.depth -= 1;
        result
    }

    fn node(&mut self, node: Ast) -> Result<Ast, ExpressionError> {
        self.nodes += 1;
        if self.nodes > NODES_MAX { Err(too_large()) } else { Ok(node) }
    }

    /// The operators of `level` and the stronger ones. A chain nests to the left, so its length
    /// counts as depth.
    fn binary(&mut self, level: usize) -> Result<Ast, ExpressionError> {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        let mut chain = 0;
        let result = loop {
            let operator = match self.peek() {
                Some(Token::Symbol(next)) => operators.iter().find(|(symbol, _)| symbol == next),
                _ => None,
            };
            let Some((_, operator)) = operator else { break Ok(left) };
            self.at += 1;
            if matches!(operator, Operator::And | Operator::Or) {
                let right = self.binary(level + 1)?;
                left = self.condition(*operator, left, right)?;
                continue;
            }
            chain += 1;
            self.depth += 1;
            if self.depth > DEPTH_MAX {
                let message = format!("the expression is nested deeper than {DEPTH_MAX}");
                break Err(ExpressionError::invalid(message));
            }
            // `^` takes all that follows at its own level first.
            let from = if *operator == Operator::Power { level } else { level + 1 };
            let right = self.binary(from)?;
            left = self.node(Ast::Binary(*operator, Box::new(left), Box::new(right)))?;
        };
        self.depth -= chain;
        result
    }

    /// Conditions of one kind are one node, however many there are.
    fn condition(
        &mut self,
        operator: Operator,
        left: Ast,
        right: Ast,
    ) -> Result<Ast, ExpressionError> {
        let both = match (operator, left) {
            (Operator::And, Ast::All(mut parts)) => {
                parts.push(right);
                Ast::All(parts)
            }
            (Operator::Or, Ast::Any(mut parts)) => {
                parts.push(right);
                Ast::Any(parts)
            }
            (Operator::And, left) => Ast::All(vec![left, right]),
            (_, left) => Ast::Any(vec![left, right]),
        };
        self.node(both)
    }

    fn unary(&mut self) -> Result<Ast, ExpressionError> {
        if self.take("-") {
            let inner = self.deeper(Self::unary)?;
            return match inner {
                Ast::Long(value) => Ok(Ast::Long(-value)),
                Ast::Double(value) => Ok(Ast::Double(-value)),
                inner => self.node(Ast::Minus(Box::new(inner))),
            };
        }
        if self.take("!") {
            let inner = self.deeper(Self::unary)?;
            return self.node(Ast::Not(Box::new(inner)));
        }
        self.primary()
    }

    fn primary(&mut self) -> Result<Ast, ExpressionError> {
        if self.take("(") {
            let inner = self.deeper(|parser| parser.binary(WEAKEST))?;
            self.expect(")")?;
            return Ok(inner);
        }
        if self.take("[") {
            let items = self.deeper(|parser| parser.items("]"))?;
            return self.node(Ast::Array(items));
        }
        let Some(token) = self.peek().cloned() else {
            return Err(self.unexpected("a value"));
        };
        let node = match token {
            Token::Long(value) => Ast::Long(value),
            Token::Double(value) => Ast::Double(value),
            Token::String(text) => Ast::String(text),
            Token::Name(name, quoted) => {
                self.at += 1;
                if !quoted && self.take("(") {
                    let arguments = self.deeper(|parser| parser.items(")"))?;
                    return self.node(Ast::Call(name, arguments));
                }
                let null = !quoted && name.eq_ignore_ascii_case("null");
                return self.node(if null { Ast::Null } else { Ast::Name(name) });
            }
            Token::Symbol(_) => return Err(self.unexpected("a value")),
        };
        self.at += 1;
        self.node(node)
    }

    /// Expressions with commas between, up to the closing symbol.
    fn items(&mut self, end: &str) -> Result<Vec<Ast>, ExpressionError> {
        let mut items = Vec::new();
        if self.take(end) {
            return Ok(items);
        }
        loop {
            items.push(self.binary(WEAKEST)?);
            if self.take(end) {
                return Ok(items);
            }
            self.expect(",")?;
        }
    }
}
