//! Times as lines show them, in UTC.

const DAY_MS: u64 = 86_400_000;

/// Appends `HH:MM:SS` of a moment in milliseconds since 1970.
pub(super) fn put_clock(out: &mut Vec<u8>, wall_ms: u64) {
    let seconds = wall_ms % DAY_MS / 1_000;
    let text = format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    out.extend_from_slice(text.as_bytes());
}

/// Appends `YYYY-MM-DD HH:MM:SS` when the moment is more than a day before `now_ms`, else the clock alone.
pub(super) fn put_moment(out: &mut Vec<u8>, wall_ms: u64, now_ms: u64) {
    if now_ms.saturating_sub(wall_ms) > DAY_MS {
        let (year, month, day) = civil(wall_ms / DAY_MS);
        out.extend_from_slice(format!("{year:04}-{month:02}-{day:02} ").as_bytes());
    }
    put_clock(out, wall_ms);
}

/// The Gregorian date of a day counted from 1970-01-01: whole eras of 400 years from 0000-03-01, then what is left.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(20_454), (2026, 1, 1));
        assert_eq!(civil(47_540), (2100, 2, 28));
        assert_eq!(civil(47_541), (2100, 3, 1));
    }

    #[test]
    fn what_is_old_has_a_date() {
        let shown = |wall_ms, now_ms| {
            let mut out = Vec::new();
            put_moment(&mut out, wall_ms, now_ms);
            String::from_utf8(out).unwrap()
        };
        let moment = 1_761_000_001_000;
        assert_eq!(shown(moment, moment + DAY_MS), "22:40:01");
        assert_eq!(shown(moment, moment + DAY_MS + 1), "2025-10-20 22:40:01");
        assert_eq!(shown(moment, 0), "22:40:01");
    }
}
