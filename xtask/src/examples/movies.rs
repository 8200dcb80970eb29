//! `examples/movies`: 300 invented films in the shape of a real export. What makes that shape
//! hard is kept: trailing blank columns are cut off together with their tabs (rows of 5, 4 and 2
//! columns), a third of the years is blank inside a full row, titles hold commas, colons,
//! apostrophes and Chinese characters, and one English title is only a year.

use serde_json::{Value, json};

use super::Made;
use super::dice::Dice;

const ROWS: u64 = 300;
/// 2024-03-01 09:00:00 in Seoul, as Unix seconds.
const FIRST_TIME_S: u64 = 1_709_251_200;
const STEP_S: u64 = 600;
const FIRST_MOVIE: u64 = 20_001;

const ADJECTIVES: [(&str, &str); 14] = [
    ("푸른", "Blue"),
    ("조용한", "Quiet"),
    ("마지막", "The Last"),
    ("붉은", "Red"),
    ("잃어버린", "The Lost"),
    ("오래된", "Old"),
    ("눈부신", "Dazzling"),
    ("작은", "Little"),
    ("밤의", "Nocturnal"),
    ("떠도는", "Wandering"),
    ("느린", "Slow"),
    ("두 번째", "Second"),
    ("낯선", "Strange"),
    ("하얀", "White"),
];
const NOUNS: [(&str, &str); 22] = [
    ("골목", "Alley"),
    ("여울", "Riffle"),
    ("등대", "Lighthouse"),
    ("편지", "Letter"),
    ("우체국", "Post Office"),
    ("바다", "Sea"),
    ("기차", "Train"),
    ("정원", "Garden"),
    ("약속", "Promise"),
    ("탐정", "Detective"),
    ("국수집", "Noodle House"),
    ("겨울", "Winter"),
    ("자전거", "Bicycle"),
    ("옥상", "Rooftop"),
    ("산책", "Walk"),
    ("은행나무", "Ginkgo"),
    ("피아노", "Piano"),
    ("그림자", "Shadow"),
    ("섬", "Island"),
    ("새벽", "Dawn"),
    ("나침반", "Compass"),
    ("사진관", "Photo Studio"),
];
const HANJA: [(&str, &str); 5] = [
    ("月下山道", "Moonlit Mountain Road"),
    ("春日列車", "Train Of A Spring Day"),
    ("江南夜雨", "Night Rain In The South"),
    ("雪國書信", "Letters From The Snow"),
    ("秋風茶房", "Teahouse Of The Autumn Wind"),
];
const GRADES: [(&str, u64); 9] = [
    ("청소년 관람불가", 24),
    ("15세 관람가", 20),
    ("NR", 19),
    ("PG", 12),
    ("12세 관람가", 10),
    ("전체 관람가", 6),
    ("PG-13", 4),
    ("R", 3),
    ("G", 2),
];
const COUNTRIES: [&str; 10] =
    ["한국", "미국", "일본", "프랑스", "이탈리아", "영국", "홍콩", "독일", "스페인", "폴란드"];

struct Film {
    time_s: u64,
    movie: String,
    title: Option<String>,
    title_eng: Option<String>,
    year: Option<u64>,
    grade: Option<String>,
    countries: Vec<&'static str>,
}

pub(super) fn files() -> Vec<Made> {
    let films = films();
    vec![
        Made { path: "examples/movies/data/movies.tsv", content: films.iter().map(line).collect() },
        Made { path: "examples/movies/data/countries.csv", content: countries(&films) },
        Made {
            path: "examples/movies/expected/films.jsonl",
            content: films.iter().map(expected).collect(),
        },
    ]
}

fn films() -> Vec<Film> {
    let mut dice = Dice::new(0x796f_6575_6c01);
    (0..ROWS).map(|row| film(row, &mut dice)).collect()
}

fn film(row: u64, dice: &mut Dice) -> Film {
    let (title, english) = titles(dice);
    let made = dice.between(1958, 1994);
    let year = (!dice.percent(36)).then(|| made + dice.below(4));
    let grade = grade(dice);
    let countries = produced_in(dice);
    let mut film = Film {
        time_s: FIRST_TIME_S + row * STEP_S,
        movie: (FIRST_MOVIE + row).to_string(),
        title: Some(title),
        title_eng: Some(format!("{english} , {made}")),
        year,
        grade: Some(grade.to_owned()),
        countries,
    };
    // The cut rows sit at fixed places, so that the README and the tests can point at them.
    match row {
        37 | 151 => {
            film.title = None;
            film.title_eng = None;
            film.year = None;
            film.grade = None;
        }
        r if r % 36 == 20 => {
            film.year = None;
            film.grade = None;
        }
        r if r % 90 == 55 => {
            film.year = film.year.or(Some(made));
            film.grade = None;
        }
        210 => film.title_eng = Some(made.to_string()),
        250 => {
            film.title_eng = None;
            film.year = None;
        }
        _ => {}
    }
    film
}

/// A Korean title and its English counterpart, in one of the shapes that real titles have.
fn titles(dice: &mut Dice) -> (String, String) {
    let (adjective, adjective_en) = pair(dice, &ADJECTIVES);
    let (noun, noun_en) = pair(dice, &NOUNS);
    let (mut other, mut other_en) = pair(dice, &NOUNS);
    while other == noun {
        (other, other_en) = pair(dice, &NOUNS);
    }
    match dice.below(20) {
        0 => {
            let (hanja, meaning) = pair(dice, &HANJA);
            (hanja.to_owned(), format!("{hanja} , {meaning}"))
        }
        1 | 2 => (
            format!("{noun} 2 - {adjective} {other}"),
            format!("{noun_en} II: {adjective_en} {other_en}"),
        ),
        3 | 4 => (
            format!("{adjective} {noun}, 그리고 {other}"),
            format!("{adjective_en} {noun_en}, And A {other_en}"),
        ),
        5 | 6 => (format!("{noun}지기의 {other}"), format!("The {noun_en} Keeper's {other_en}")),
        7..=12 => (format!("{noun}의 {other}"), format!("{other_en} Of The {noun_en}")),
        _ => (format!("{adjective} {noun}"), format!("{adjective_en} {noun_en}")),
    }
}

fn pair(dice: &mut Dice, words: &[(&'static str, &'static str)]) -> (&'static str, &'static str) {
    let at = dice.below(words.len() as u64) as usize;
    words.get(at).copied().unwrap_or(("", ""))
}

fn grade(dice: &mut Dice) -> &'static str {
    let mut left = dice.below(GRADES.iter().map(|(_, weight)| weight).sum());
    for (name, weight) in GRADES {
        if left < weight {
            return name;
        }
        left -= weight;
    }
    "NR"
}

/// No country for one film in ten, several for one in five: the lookup keeps the first.
fn produced_in(dice: &mut Dice) -> Vec<&'static str> {
    if dice.percent(10) {
        return Vec::new();
    }
    let mut countries = vec![dice.pick(&COUNTRIES)];
    if dice.percent(20) {
        let second = dice.pick(&COUNTRIES);
        if !countries.contains(&second) {
            countries.push(second);
        }
    }
    countries
}

/// The row as the exporting tool writes it: trailing blank columns lose their tabs.
fn line(film: &Film) -> String {
    let year = film.year.map(|y| y.to_string()).unwrap_or_default();
    let columns = [
        film.time_s.to_string(),
        film.movie.clone(),
        film.title.clone().unwrap_or_default(),
        film.title_eng.clone().unwrap_or_default(),
        year,
        film.grade.clone().unwrap_or_default(),
    ];
    let mut line = columns.join("\t");
    line.truncate(line.trim_end_matches('\t').len());
    line.push('\n');
    line
}

fn countries(films: &[Film]) -> String {
    let mut csv = String::from("movie,country\n");
    for film in films {
        for country in &film.countries {
            csv.push_str(&format!("{},{country}\n", film.movie));
        }
    }
    csv
}

/// What the stream must write for this film and the table must hold: one JSON object a line.
fn expected(film: &Film) -> String {
    let row: Value = json!({
        "movie": film.movie,
        "title": film.title,
        "title_eng": film.title_eng,
        "year": film.year,
        "grade": film.grade,
        "ts": utc(film.time_s),
        "country": film.countries.first(),
    });
    format!("{row}\n")
}

/// RFC 3339 in UTC, for times of the generated rows only (March 2024).
fn utc(time_s: u64) -> String {
    let since = time_s - FIRST_TIME_S;
    // The first row is at midnight UTC of 2024-03-01.
    let (day, second) = (since / 86_400, since % 86_400);
    format!(
        "2024-03-{:02}T{:02}:{:02}:{:02}Z",
        day + 1,
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}
