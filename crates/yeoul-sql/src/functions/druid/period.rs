//! ISO periods (`PT1M`, `P1D`, `P1W`, `P3M`) and what they do to instants: floor and shift, in a
//! time zone where the length of a day depends on it.
//!
//! Invariant: `floor(t) <= t`, and two instants have the same floor or floors in their order.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;

/// A period as Druid writes it. Only one of the three is not zero when it can be floored to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Period {
    pub months: i32,
    pub days: i32,
    pub micros: i64,
    /// A period of weeks starts on Monday.
    weeks: bool,
}

const SECOND_US: i64 = 1_000_000;

impl Period {
    /// Reads `P[nY][nM][nW][nD][T[nH][nM][nS]]`.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix('P')?;
        let (date, time) = match rest.split_once('T') {
            Some((date, time)) if !time.is_empty() => (date, time),
            Some(_) => return None,
            None if rest.is_empty() => return None,
            None => (rest, ""),
        };
        let mut period = Self::default();
        for (number, unit) in parts(date)? {
            let number = i32::try_from(number).ok()?;
            match unit {
                'Y' => period.months = period.months.checked_add(number.checked_mul(12)?)?,
                'M' => period.months = period.months.checked_add(number)?,
                'W' => {
                    period.weeks = true;
                    period.days = period.days.checked_add(number.checked_mul(7)?)?;
                }
                'D' => period.days = period.days.checked_add(number)?,
                _ => return None,
            }
        }
        if let Some((whole, fraction)) = time.strip_suffix('S').and_then(|it| it.split_once('.')) {
            // Fractions only of seconds, and nothing beside them.
            let digits = fraction.len();
            if digits == 0 || digits > 6 || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
                return None;
            }
            let part = fraction.parse::<i64>().ok()? * 10_i64.pow(6 - digits as u32);
            let whole = whole.parse::<u32>().ok()?;
            period.micros = i64::from(whole).checked_mul(SECOND_US)?.checked_add(part)?;
            return Some(period);
        }
        for (number, unit) in parts(time)? {
            let seconds = match unit {
                'H' => 3_600,
                'M' => 60,
                'S' => 1,
                _ => return None,
            };
            let micros = number.checked_mul(seconds * SECOND_US)?;
            period.micros = period.micros.checked_add(micros)?;
        }
        Some(period)
    }

    /// Whether instants can be floored to it: one unit, and not nothing.
    pub fn can_floor(&self) -> bool {
        let units = [self.months != 0, self.days != 0, self.micros != 0];
        units.into_iter().filter(|used| *used).count() == 1
    }

    /// The last start of a period at or before `us`. Periods start at `origin_us`, else at local
    /// midnight, Monday or the first of January 1970. `None` outside the calendar.
    pub fn floor(&self, us: i64, origin_us: Option<i64>, zone: Tz) -> Option<i64> {
        if let Some(origin) = origin_us {
            return self.floor_from(us, origin, zone);
        }
        let local = local(us, zone)?;
        if self.months != 0 {
            let index = i64::from(local.year() - 1970) * 12 + i64::from(local.month0());
            let first = index - index.rem_euclid(i64::from(self.months));
            let year = i32::try_from(first.div_euclid(12)).ok()?.checked_add(1970)?;
            let month = u32::try_from(first.rem_euclid(12)).ok()? + 1;
            return instant(NaiveDate::from_ymd_opt(year, month, 1)?.and_hms_opt(0, 0, 0)?, zone);
        }
        if self.days != 0 {
            let epoch = NaiveDate::from_ymd_opt(1970, 1, 1)?;
            let day = local.date().signed_duration_since(epoch).num_days();
            // 1970-01-01 was a Thursday: three days after a Monday.
            let shift = if self.weeks { 3 } else { 0 };
            let back = (day + shift).rem_euclid(i64::from(self.days));
            let date = local.date().checked_sub_days(Days::new(u64::try_from(back).ok()?))?;
            return instant(date.and_hms_opt(0, 0, 0)?, zone);
        }
        if self.micros == 0 {
            return None;
        }
        let local_us = local.and_utc().timestamp_micros();
        us.checked_sub(local_us.rem_euclid(self.micros))
    }

    fn floor_from(&self, us: i64, origin: i64, zone: Tz) -> Option<i64> {
        if self.micros != 0 {
            return us.checked_sub(us.checked_sub(origin)?.rem_euclid(self.micros));
        }
        let (from, to) = (local(origin, zone)?, local(us, zone)?);
        let guess = if self.months != 0 {
            let months = |at: NaiveDateTime| i64::from(at.year()) * 12 + i64::from(at.month0());
            (months(to) - months(from)).div_euclid(i64::from(self.months))
        } else if self.days != 0 {
            (to - from).num_days().div_euclid(i64::from(self.days))
        } else {
            return None;
        };
        // Days of month and hours are not in the guess: it is at most one off either way.
        for count in [guess + 1, guess, guess - 1] {
            let start = self.shift(origin, count, zone)?;
            if start <= us {
                return Some(start);
            }
        }
        None
    }

    /// Whole periods from one instant to another, negative backwards.
    pub fn between(&self, from: i64, to: i64, zone: Tz) -> Option<i64> {
        if self.months == 0 && self.days == 0 {
            return to.checked_sub(from)?.checked_div(self.micros);
        }
        let (start, end) = (local(from, zone)?, local(to, zone)?);
        let mut count = if self.months != 0 {
            let months = |at: NaiveDateTime| i64::from(at.year()) * 12 + i64::from(at.month0());
            (months(end) - months(start)) / i64::from(self.months)
        } else {
            (end - start).num_days() / i64::from(self.days)
        };
        // The day of the month and the time of day are not in the guess.
        let step = (to - from).signum();
        if (self.shift(from, count, zone)? - to).signum() == step && step != 0 {
            count -= step;
        }
        Some(count)
    }

    /// `us` moved by `count` periods along the local calendar.
    pub fn shift(&self, us: i64, count: i64, zone: Tz) -> Option<i64> {
        let mut at = local(us, zone)?;
        let months = i64::from(self.months).checked_mul(count)?;
        let days = i64::from(self.days).checked_mul(count)?;
        if months == 0 && days == 0 {
            return us.checked_add(self.micros.checked_mul(count)?);
        }
        let amount = |number: i64| u32::try_from(number.unsigned_abs()).ok().map(Months::new);
        at = if months < 0 {
            at.checked_sub_months(amount(months)?)?
        } else {
            at.checked_add_months(amount(months)?)?
        };
        let amount = Days::new(days.unsigned_abs());
        at = if days < 0 { at.checked_sub_days(amount)? } else { at.checked_add_days(amount)? };
        instant(at, zone)?.checked_add(self.micros.checked_mul(count)?)
    }
}

fn parts(text: &str) -> Option<Vec<(i64, char)>> {
    let mut out = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let mut tail = tail.chars();
        out.push((number.parse().ok()?, tail.next()?));
        rest = tail.as_str();
    }
    Some(out)
}

pub(super) fn local(us: i64, zone: Tz) -> Option<NaiveDateTime> {
    let utc = DateTime::<Utc>::from_timestamp_micros(us)?;
    Some(if zone == Tz::UTC { utc.naive_utc() } else { utc.with_timezone(&zone).naive_local() })
}

/// The instant of a local time; the earlier of two, the first after a gap.
pub(super) fn instant(local: NaiveDateTime, zone: Tz) -> Option<i64> {
    if zone == Tz::UTC {
        return Some(local.and_utc().timestamp_micros());
    }
    if let Some(at) = zone.from_local_datetime(&local).earliest() {
        return Some(at.timestamp_micros());
    }
    // Clocks skip at most a few hours, on a quarter of an hour.
    (1..=96).find_map(|quarters| {
        let later = local.checked_add_signed(chrono::TimeDelta::minutes(15 * quarters))?;
        zone.from_local_datetime(&later).earliest().map(|at| at.timestamp_micros())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros()
    }

    fn floor(period: &str, at: &str, zone: Tz) -> i64 {
        Period::parse(period).unwrap().floor(us(at), None, zone).unwrap()
    }

    #[test]
    fn periods_are_read_or_refused() {
        assert_eq!(Period::parse("PT5M").unwrap().micros, 300 * SECOND_US);
        assert_eq!(Period::parse("P1Y2M").unwrap().months, 14);
        assert_eq!(Period::parse("P1DT12H").map(|period| period.can_floor()), Some(false));
        for bad in ["", "P", "PT", "5M", "P5", "PXM", "P1S", "PT1W", "P99999999999Y", "P-1D"] {
            assert_eq!(Period::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn floors_follow_the_zone() {
        let at = "2026-11-20T16:07:31.5Z";
        assert_eq!(floor("PT1M", at, Tz::UTC), us("2026-11-20T16:07:00Z"));
        assert_eq!(floor("P1D", at, Tz::UTC), us("2026-11-20T00:00:00Z"));
        // In Seoul it is the 21st already.
        assert_eq!(floor("P1D", at, Tz::Asia__Seoul), us("2026-11-20T15:00:00Z"));
        assert_eq!(floor("P1W", at, Tz::UTC), us("2026-11-16T00:00:00Z"));
        assert_eq!(floor("P3M", at, Tz::UTC), us("2026-10-01T00:00:00Z"));
        assert_eq!(floor("P1Y", at, Tz::UTC), us("2026-01-01T00:00:00Z"));
        assert_eq!(floor("PT1H", "1969-12-31T23:30:00Z", Tz::UTC), us("1969-12-31T23:00:00Z"));
    }

    #[test]
    fn an_origin_moves_the_starts() {
        let period = Period::parse("PT1H").unwrap();
        let origin = Some(us("2026-01-01T00:15:00Z"));
        assert_eq!(
            period.floor(us("2026-01-01T03:10:00Z"), origin, Tz::UTC),
            Some(us("2026-01-01T02:15:00Z"))
        );
        let period = Period::parse("P1M").unwrap();
        let origin = Some(us("2026-01-15T00:00:00Z"));
        assert_eq!(
            period.floor(us("2026-03-14T00:00:00Z"), origin, Tz::UTC),
            Some(us("2026-02-15T00:00:00Z"))
        );
    }

    #[test]
    fn shifts_follow_the_calendar() {
        let month = Period::parse("P1M").unwrap();
        assert_eq!(
            month.shift(us("2026-01-31T00:00:00Z"), 1, Tz::UTC),
            Some(us("2026-02-28T00:00:00Z"))
        );
        let day = Period::parse("P1D").unwrap();
        // New York's clocks went forward on 2026-03-08: that day had 23 hours.
        assert_eq!(
            day.shift(us("2026-03-07T17:00:00Z"), 1, Tz::America__New_York),
            Some(us("2026-03-08T16:00:00Z"))
        );
    }
}
