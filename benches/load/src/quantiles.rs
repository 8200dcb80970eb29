//! Quantiles of durations, from all of them.

use std::time::Duration;

use serde_json::{Value, json};

/// Milliseconds at the usual places; sorts what it is given.
pub(crate) fn of(mut samples: Vec<Duration>) -> Value {
    samples.sort_unstable();
    let at = |per_mille: usize| {
        let place = (samples.len().saturating_sub(1) * per_mille).div_ceil(1_000);
        samples.get(place).map_or(0.0, |sample| sample.as_secs_f64() * 1_000.0)
    };
    json!({
        "count": samples.len(), "p50_ms": at(500), "p90_ms": at(900), "p99_ms": at(990),
        "p999_ms": at(999), "max_ms": at(1_000),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_among_few_and_many() {
        let figures = of((1..=1_000).rev().map(Duration::from_millis).collect());
        assert_eq!(figures["p50_ms"], 501.0);
        assert_eq!(figures["p99_ms"], 991.0);
        assert_eq!(figures["max_ms"], 1_000.0);
        assert_eq!(of(vec![Duration::from_millis(7)])["p99_ms"], 7.0);
        assert_eq!(of(Vec::new())["count"], 0);
    }
}
