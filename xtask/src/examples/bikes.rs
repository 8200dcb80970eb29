//! `examples/bikes`: the lookup that gives each station of the bike generator its district. The
//! generator (`generate: { shape: bikes }` of yeoul-connect) numbers its stations `ST-1` to
//! `ST-2700` and spreads them evenly over the 25 districts of Seoul in the order below; this file
//! repeats that rule, and a whole-node test joins the two so that they cannot drift apart.

use super::Made;

const STATIONS: usize = 2_700;

/// Seoul's 25 districts in the order of the Korean alphabet, with the part of the city they are in.
const DISTRICTS: [(&str, &str); 25] = [
    ("강남구", "동남권"),
    ("강동구", "동남권"),
    ("강북구", "동북권"),
    ("강서구", "서남권"),
    ("관악구", "서남권"),
    ("광진구", "동북권"),
    ("구로구", "서남권"),
    ("금천구", "서남권"),
    ("노원구", "동북권"),
    ("도봉구", "동북권"),
    ("동대문구", "동북권"),
    ("동작구", "서남권"),
    ("마포구", "서북권"),
    ("서대문구", "서북권"),
    ("서초구", "동남권"),
    ("성동구", "동북권"),
    ("성북구", "동북권"),
    ("송파구", "동남권"),
    ("양천구", "서남권"),
    ("영등포구", "서남권"),
    ("용산구", "도심권"),
    ("은평구", "서북권"),
    ("종로구", "도심권"),
    ("중구", "도심권"),
    ("중랑구", "동북권"),
];

pub(super) fn files() -> Vec<Made> {
    let mut csv = String::from("stationId,district,region\n");
    for station in 0..STATIONS {
        let at = station * DISTRICTS.len() / STATIONS;
        if let Some((district, region)) = DISTRICTS.get(at) {
            csv.push_str(&format!("ST-{},{district},{region}\n", station + 1));
        }
    }
    vec![Made { path: "examples/bikes/data/stations.csv", content: csv }]
}
