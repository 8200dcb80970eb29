//! Films as a real export has them: tab-separated, trailing blank columns cut off together with
//! their tabs, a third of the years blank, titles with commas and apostrophes.

use yeoul_base::Rand;

use super::{dice, pick};

/// Spark's DDL of the columns.
pub const COLUMNS: &str =
    "time INT, movie STRING, title STRING, title_eng STRING, year INT, grade STRING";

/// The first row is of 2024-03-01 09:00 in Seoul, and so on every ten minutes.
const FIRST_TIME_S: u64 = 1_709_251_200;
const STEP_S: u64 = 600;
const FIRST_MOVIE: u64 = 20_001;

const ADJECTIVES: [(&str, &str); 12] = [
    ("고요한", "Silent"),
    ("젊은", "Young"),
    ("먼", "Distant"),
    ("따뜻한", "Warm"),
    ("이상한", "Odd"),
    ("첫", "First"),
    ("길 잃은", "Stray"),
    ("빛나는", "Shining"),
    ("겨울의", "Wintry"),
    ("비 오는", "Rainy"),
    ("천 개의", "A Thousand"),
    ("잠든", "Sleeping"),
];
const NOUNS: [(&str, &str); 16] = [
    ("강", "River"),
    ("다리", "Bridge"),
    ("빵집", "Bakery"),
    ("전화", "Telephone"),
    ("계단", "Stairs"),
    ("우산", "Umbrella"),
    ("항구", "Harbour"),
    ("시계", "Clock"),
    ("사과", "Apple"),
    ("극장", "Theatre"),
    ("고래", "Whale"),
    ("정류장", "Stop"),
    ("연못", "Pond"),
    ("별", "Star"),
    ("목수", "Carpenter"),
    ("안개", "Fog"),
];
const GRADES: [&str; 9] =
    ["15세 관람가", "12세 관람가", "전체 관람가", "청소년 관람불가", "NR", "PG", "PG-13", "R", "G"];

/// Row number `number` (from 0), without its newline.
pub fn line(number: u64, seed: u64) -> String {
    let dice = dice(seed, number, 0);
    let word = |words: &[(&'static str, &'static str)]| {
        let at = dice.below(words.len() as u64) as usize;
        words.get(at).copied().unwrap_or_default()
    };
    let (adjective, adjective_eng) = word(&ADJECTIVES);
    let (noun, noun_eng) = word(&NOUNS);
    let (other, other_eng) = word(&NOUNS);
    let made = 1958 + dice.below(60);
    let (title, english) = match dice.below(6) {
        0 => (format!("{noun}, 그리고 {other}"), format!("The {noun_eng}, And The {other_eng}")),
        1 => (format!("{noun}의 {other}"), format!("The {noun_eng}'s {other_eng}")),
        2 => (format!("{adjective} {noun} 2"), format!("{adjective_eng} {noun_eng} II")),
        _ => (format!("{adjective} {noun}"), format!("{adjective_eng} {noun_eng}")),
    };
    let year =
        if dice.below(100) < 36 { String::new() } else { (made + dice.below(4)).to_string() };
    let time = FIRST_TIME_S.wrapping_add(number.wrapping_mul(STEP_S));
    let movie = FIRST_MOVIE.wrapping_add(number);
    let row = match dice.below(100) {
        0 => format!("{time}\t{movie}"),
        1..=3 => format!("{time}\t{movie}\t{title}\t{english} , {made}"),
        4 => format!("{time}\t{movie}\t{title}\t{english} , {made}\t{year}"),
        _ => {
            let grade = pick(&dice, &GRADES);
            format!("{time}\t{movie}\t{title}\t{english} , {made}\t{year}\t{grade}")
        }
    };
    row.trim_end_matches('\t').to_owned()
}

#[cfg(test)]
mod tests {
    use yeoul_format::{Columns, Decode, Delimited, LineDecoder};

    use super::*;

    #[test]
    fn rows_are_ragged_and_all_decode() {
        let columns = Columns::parse(COLUMNS).unwrap();
        let decode = Decode::Tsv(Delimited { columns, ..Delimited::default() });
        let decoder = LineDecoder::new(&decode).unwrap();
        let mut widths = [0; 7];
        let mut blank_years = 0;
        for number in 0..2_000 {
            let row = line(number, 1);
            decoder.decode(row.as_bytes(), &mut Vec::new()).unwrap();
            let fields: Vec<_> = row.split('\t').collect();
            widths[fields.len()] += 1;
            blank_years += usize::from(fields.get(4).is_some_and(|year| year.is_empty()));
        }
        assert!(
            widths[2] > 5 && widths[4] > 30 && widths[5] > 5 && widths[6] > 1_800,
            "{widths:?}"
        );
        assert!((600..800).contains(&blank_years), "{blank_years}");
        assert_eq!(line(5, 1), line(5, 1));
        assert!(line(0, 1).starts_with("1709251200\t20001"));
    }
}
