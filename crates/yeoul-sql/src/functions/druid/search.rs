//! `MATCH(column, 'word "a phrase" -not')`: words in text, without regard to case.
//!
//! Text is a row of *runs*: words of letters and digits, and stretches of Hangul, Han or kana,
//! where no blank tells one word from the next. A word is found whole, a stretch anywhere within
//! one: `망원` finds `망원역`. That is what an index of words and of pairs of neighbouring
//! characters can answer, so an index changes no answer.
//!
//! Invariant: a text and a query are cut the same way, so what was copied out of a text and put
//! in quotes finds that text.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use datafusion::common::{Result, exec_err};
use icu_normalizer::ComposingNormalizerBorrowed;

use super::call::{Call, Definition, Gives, Takes};

/// Words and phrases of one query.
const TERMS_MAX: usize = 64;

/// Stand for the ends of a word and for what separates runs; no text has them afterwards.
const WORD_START: char = '\u{2}';
const WORD_END: char = '\u{3}';
const GAP: char = '\u{1}';

pub(super) static FUNCTIONS: &[Definition] = &[Definition {
    name: "match",
    aliases: &[],
    least: 2,
    takes: &[Takes::Text, Takes::Text],
    endless: false,
    gives: Gives::Bool,
    invoke,
}];

/// Scripts that are written without blanks between words, and Hangul, whose words take endings
/// and grow together.
fn is_dense(c: char) -> bool {
    matches!(u32::from(c),
        0x1100..=0x11FF | 0x3040..=0x30FF | 0x3130..=0x318F | 0x31F0..=0x31FF | 0x3400..=0x4DBF
        | 0x4E00..=0x9FFF | 0xA960..=0xA97F | 0xAC00..=0xD7FF | 0xF900..=0xFAFF
        | 0xFF66..=0xFF9F | 0x20000..=0x2FA1F)
}

/// A mark that belongs to the letter before it.
fn is_mark(c: char) -> bool {
    matches!(u32::from(c), 0x0300..=0x036F | 0x3099..=0x309A)
}

/// The runs of a text as one text in which a row of runs is a part.
fn runs(text: &str, out: &mut String) {
    out.clear();
    let (mut in_word, mut gap) = (false, false);
    let composed;
    let text = if text.is_ascii() {
        text
    } else {
        // Composed: macOS writes Hangul in its parts.
        composed = ComposingNormalizerBorrowed::new_nfc().normalize(text);
        composed.as_ref()
    };
    for c in text.chars() {
        let dense = is_dense(c);
        if !(dense || c.is_alphanumeric() || (in_word && is_mark(c))) {
            if in_word {
                out.push(WORD_END);
                in_word = false;
            }
            gap = true;
            continue;
        }
        if in_word && dense {
            out.push(WORD_END);
            in_word = false;
        }
        if gap && !out.is_empty() {
            out.push(GAP);
        }
        gap = false;
        if dense {
            out.push(c);
            continue;
        }
        if !in_word {
            out.push(WORD_START);
            in_word = true;
        }
        out.extend(c.to_lowercase());
    }
    if in_word {
        out.push(WORD_END);
    }
}

/// What a text must have and must not have.
#[derive(Debug, PartialEq, Eq)]
struct Query {
    wanted: Vec<String>,
    unwanted: Vec<String>,
}

impl Query {
    fn parse(text: &str) -> std::result::Result<Self, String> {
        let mut query = Self { wanted: Vec::new(), unwanted: Vec::new() };
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let (without, term) = match rest.strip_prefix('-') {
                Some(term) => (true, term),
                None => (false, rest),
            };
            let (term, after) = match term.strip_prefix('"') {
                Some(phrase) => match phrase.split_once('"') {
                    Some(parts) => parts,
                    None => return Err("a quote is not closed".into()),
                },
                None => {
                    let end = term.find(|c: char| c.is_whitespace() || c == '"');
                    term.split_at(end.unwrap_or(term.len()))
                }
            };
            let mut found = String::new();
            runs(term, &mut found);
            if !found.is_empty() {
                if without { &mut query.unwanted } else { &mut query.wanted }.push(found);
            }
            if query.wanted.len() + query.unwanted.len() > TERMS_MAX {
                return Err(format!("more than {TERMS_MAX} words"));
            }
            rest = after.trim_start();
        }
        if query.wanted.is_empty() && query.unwanted.is_empty() {
            return Err("there is no word in it".into());
        }
        Ok(query)
    }

    fn finds(&self, runs: &str) -> bool {
        self.wanted.iter().all(|term| runs.contains(term.as_str()))
            && !self.unwanted.iter().any(|term| runs.contains(term.as_str()))
    }
}

fn invoke(call: &Call) -> Result<ArrayRef> {
    let query = match call.constant(1)?.map(Query::parse) {
        Some(Ok(query)) => query,
        Some(Err(problem)) => return exec_err!("MATCH: {problem}"),
        None => return exec_err!("MATCH: the second argument is a text such as 'word -not'"),
    };
    let mut cut = String::new();
    let found = call.text(0)?.iter().map(|text| {
        runs(text?, &mut cut);
        Some(query.finds(&cut))
    });
    Ok(Arc::new(found.collect::<BooleanArray>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(query: &str, text: &str) -> bool {
        let mut cut = String::new();
        runs(text, &mut cut);
        Query::parse(query).unwrap().finds(&cut)
    }

    #[test]
    fn words_are_found_whole_and_hangul_within() {
        let text = "102. 망원역 1번출구 앞: New iPhone15출시, ÉCOLE d'été";
        for query in [
            "망원역",
            "망원",
            "원역",
            "역",
            "출구",
            "iphone15",
            "NEW",
            "école",
            "été",
            "102",
            "\"망원역 1번출구\"",
            "\"출구 앞\"",
            "\"new iphone15출시\"",
            "망원 -합정",
            "iPhone15출시",
            "-합정",
            "\"102. 망원역\"",
            "d'été",
        ] {
            assert!(finds(query, text), "{query}");
        }
        for query in [
            "역출구",
            "phone15",
            "iphone",
            "역앞",
            "망원 -출시",
            "\"앞 망원역\"",
            "-망원",
            "ecole",
            "10",
            "\"원역 번출구\"",
        ] {
            assert!(!finds(query, text), "{query}");
        }
    }

    /// What a Mac writes and what a phone writes is the same word.
    #[test]
    fn composed_and_decomposed_text_are_the_same() {
        let decomposed = "\u{1106}\u{1161}\u{11bc}\u{110b}\u{116f}\u{11ab} e\u{301}te\u{301}";
        assert!(finds("망원", decomposed) && finds("été", decomposed));
        assert!(finds(decomposed, "서울 망원 été"));
        assert!(finds("\u{1112}\u{1161}\u{11ab}", "한국"));
    }

    #[test]
    fn a_query_without_words_is_refused() {
        for query in ["", "  ", "-", "!?", "\"", "\"open"] {
            assert!(Query::parse(query).is_err(), "{query}");
        }
        assert!(Query::parse(&"a ".repeat(65)).is_err());
    }

    /// A text copied whole into quotes finds itself, whatever is in it.
    #[test]
    fn a_quoted_text_finds_itself() {
        for text in
            ["a-b c", "서울시 마포구 망원동", "x1출y2", "한글 English 漢字かな", "e\u{301}a"]
        {
            assert!(finds(&format!("\"{text}\""), text), "{text}");
        }
    }
}
