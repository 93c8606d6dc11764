//! The five fields of a cron schedule (`0 18 5 12 *`), as far as sync windows need them: when it last began.
//!
//! Must not read a clock. Invariant: a schedule that is not read whole is none.

use jiff::civil::DateTime;
use jiff::{SignedDuration, Timestamp};

/// The months and days by name.
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// One field: the values that it takes, as bits, and whether it takes all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Field {
    bits: u64,
    any: bool,
}

/// A schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    minute: Field,
    hour: Field,
    day: Field,
    month: Field,
    weekday: Field,
}

impl Schedule {
    /// Reads one; `None` where it is another form.
    pub(super) fn read(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split_ascii_whitespace().collect();
        let [minute, hour, day, month, weekday] = parts.as_slice() else { return None };
        Some(Self {
            minute: field(minute, 0, 59, &[])?,
            hour: field(hour, 0, 23, &[])?,
            day: field(day, 1, 31, &[])?,
            month: field(month, 1, 12, &MONTHS)?,
            weekday: field(weekday, 0, 6, &DAYS)?,
        })
    }

    fn takes(&self, at: DateTime) -> bool {
        let is = |field: Field, value: i8| u32::try_from(value).is_ok_and(|value| field.bits & (1 << value) != 0);
        let day = is(self.day, at.day());
        let weekday = is(self.weekday, at.weekday().to_sunday_zero_offset());
        // Where both say something, either is enough.
        let on_day = if self.day.any || self.weekday.any { day && weekday } else { day || weekday };
        on_day && is(self.minute, at.minute()) && is(self.hour, at.hour()) && is(self.month, at.month())
    }

    /// The last minute that it takes, before `now` and less than `within` ago. `offset`: of its zone from UTC.
    pub(super) fn last(&self, now: Timestamp, within: SignedDuration, offset: SignedDuration) -> Option<Timestamp> {
        let earliest = now.checked_sub(within).ok()?;
        let seconds = now.as_second();
        let mut at = Timestamp::from_second(seconds - seconds.rem_euclid(60)).ok()?;
        if at == now {
            // What begins this very moment has not begun.
            at = at.checked_sub(SignedDuration::from_mins(1)).ok()?;
        }
        while at > earliest {
            let there = jiff::tz::Offset::UTC.to_datetime(at).checked_add(offset).ok()?;
            if self.takes(there) {
                return Some(at);
            }
            at = at.checked_sub(SignedDuration::from_mins(1)).ok()?;
        }
        None
    }
}

fn field(text: &str, least: u32, most: u32, names: &[&str]) -> Option<Field> {
    let mut bits = 0_u64;
    let mut any = false;
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<u32>().ok().filter(|step| *step > 0)?)),
            None => (part, None),
        };
        let number = |text: &str| {
            let named = names.iter().position(|name| text.eq_ignore_ascii_case(name)).and_then(|at| u32::try_from(at).ok());
            // Months are counted from 1.
            let value = named.map(|at| at + least).or_else(|| text.parse().ok())?;
            (least..=most).contains(&value).then_some(value)
        };
        let (from, to) = match (range, range.split_once('-')) {
            ("*" | "?", _) => {
                any |= step.is_none_or(|step| step == 1);
                (least, most)
            }
            (_, Some((from, to))) => (number(from)?, number(to)?),
            (one, None) => {
                let from = number(one)?;
                (from, if step.is_some() { most } else { from })
            }
        };
        if from > to {
            return None;
        }
        let step = usize::try_from(step.unwrap_or(1)).ok()?;
        (from..=to).step_by(step).for_each(|value| bits |= 1 << value);
    }
    Some(Field { bits, any })
}

/// A duration as Go writes it: `8h`, `1h30m`, `90.5s`.
pub(super) fn go_duration(text: &str) -> Option<SignedDuration> {
    let mut rest = text.trim();
    let mut seconds = 0.0_f64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (number, unit) = rest.split_at(end);
        let number: f64 = number.parse().ok()?;
        let end = unit.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(unit.len());
        let (unit, after) = unit.split_at(end);
        let factor = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        seconds += number * factor;
        rest = after;
    }
    SignedDuration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(schedule: &str, now: &str, hours: i64, offset: i64) -> Option<String> {
        let schedule = Schedule::read(schedule).unwrap_or_else(|| panic!("{schedule}"));
        let found = schedule.last(now.parse().unwrap(), SignedDuration::from_hours(hours), SignedDuration::from_hours(offset));
        found.map(|at| at.to_string())
    }

    #[test]
    fn a_schedule_began_last_when_it_says() {
        let now = "2026-12-05T19:30:15Z"; // A Saturday.
        for (schedule, hours, offset, wanted) in [
            ("0 18 5 12 *", 8, 0, Some("2026-12-05T18:00:00Z")),
            ("0 18 5 12 *", 1, 0, None),
            ("0 18 6 12 *", 8, 0, None),
            ("0 20 * * *", 1, 0, None),
            ("0 20 * * *", 1, 1, Some("2026-12-05T19:00:00Z")),
            ("*/15 * * * *", 1, 0, Some("2026-12-05T19:30:00Z")),
            ("0 17 * * fri", 48, 0, Some("2026-12-04T17:00:00Z")),
            ("0 17 * * 1-5", 48, 0, Some("2026-12-04T17:00:00Z")),
            ("0 17 1 * sat", 48, 0, Some("2026-12-05T17:00:00Z")),
            ("0 9-17/4 * Dec *", 24, 0, Some("2026-12-05T17:00:00Z")),
        ] {
            assert_eq!(last(schedule, now, hours, offset).as_deref(), wanted, "{schedule}");
        }
        assert_eq!(last("0 18 * * *", "2026-12-05T18:00:00Z", 1, 0), None, "what begins now has not begun");
    }

    #[test]
    fn what_is_no_schedule_is_none() {
        for text in ["", "* * * *", "60 * * * *", "* * 0 * *", "* * * 13 *", "5-1 * * * *", "*/0 * * * *", "@daily", "* * * * mo"] {
            assert_eq!(Schedule::read(text), None, "{text}");
        }
    }

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, seconds) in
            [("8h", Some(28_800)), ("1h30m", Some(5400)), ("1.5h", Some(5400)), ("90s", Some(90)), ("1d", None), ("", None), ("5", None)]
        {
            assert_eq!(go_duration(text).map(|found| found.as_secs()), seconds, "{text}");
        }
    }
}
