//! Maintenance windows: `sun:05:00-sun:06:00`, in UTC.

/// A week, in milliseconds.
const WEEK: u64 = 7 * 24 * 3_600_000;
/// The days, from the one that 1970 began on.
const DAYS: [&str; 7] = ["thu", "fri", "sat", "sun", "mon", "tue", "wed"];

/// How long it is until the window begins next, in milliseconds; nothing while it is open, or where it is none.
pub(super) fn until(window: &str, now: u64) -> u64 {
    let Some((begin, end)) = window.split_once('-').and_then(|(begin, end)| Some((moment(begin)?, moment(end)?))) else { return 0 };
    let at = now % WEEK;
    let is_open = (at + WEEK - begin) % WEEK < (end + WEEK - begin) % WEEK;
    if is_open { 0 } else { (begin + WEEK - at) % WEEK }
}

fn moment(text: &str) -> Option<u64> {
    let mut parts = text.split(':');
    let named = parts.next()?;
    let day = u64::try_from(DAYS.iter().position(|day| *day == named)?).ok()?;
    let (hour, minute): (u64, u64) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Some(((day * 24 + hour) * 60 + minute) * 60_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_waited_for_until_it_opens() {
        const HOUR: u64 = 3_600_000;
        // 1970-01-01 was a Thursday.
        assert_eq!(until("thu:02:00-thu:03:00", 0), 2 * HOUR);
        assert_eq!(until("thu:02:00-thu:03:00", 2 * HOUR + 5), 0, "it is open");
        assert_eq!(until("thu:02:00-thu:03:00", 3 * HOUR), WEEK - HOUR);
        assert_eq!(until("sun:05:00-sun:06:00", WEEK), 3 * 24 * HOUR + 5 * HOUR);
        assert_eq!(until("wed:23:30-thu:00:30", 60_000), 0, "over the end of the week");
    }
}
