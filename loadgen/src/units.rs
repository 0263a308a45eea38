//! Figures as people write and read them: `410 µs`, `1.23 M/s`, `48.1 MB`, `99.98 %`.

/// What a number counts. It decides how it is written, and which units it may be given in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// A number of things, or one without a unit.
    #[default]
    Count,
    /// Things a second.
    PerSecond,
    /// A duration in microseconds.
    Micros,
    /// A duration in seconds.
    Seconds,
    /// A size in bytes.
    Bytes,
    /// A part of one.
    Share,
    /// Cores of CPU.
    Cores,
}

const PREFIXES: &[(&str, f64)] = &[("k", 1e3), ("K", 1e3), ("M", 1e6), ("G", 1e9)];

impl Unit {
    /// The suffixes that a number may be given with, and what they multiply it by.
    #[must_use]
    pub fn suffixes(self) -> &'static [(&'static str, f64)] {
        match self {
            Self::Count => PREFIXES,
            Self::PerSecond => &[
                ("k/s", 1e3),
                ("M/s", 1e6),
                ("/s", 1.0),
                ("k", 1e3),
                ("K", 1e3),
                ("M", 1e6),
                ("G", 1e9),
            ],
            Self::Micros => &[("us", 1.0), ("µs", 1.0), ("ms", 1e3), ("s", 1e6)],
            Self::Seconds => &[("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0)],
            Self::Bytes => &[
                ("B", 1.0),
                ("kB", 1e3),
                ("KB", 1e3),
                ("MB", 1e6),
                ("GB", 1e9),
                ("KiB", 1024.0),
                ("MiB", 1_048_576.0),
                ("GiB", 1_073_741_824.0),
            ],
            Self::Share => &[("%", 0.01)],
            Self::Cores => &[("%", 0.01), ("cores", 1.0)],
        }
    }

    /// The number with its unit, in three significant digits where more would only be noise.
    #[must_use]
    pub fn show(self, value: f64) -> String {
        if !value.is_finite() {
            return "-".to_owned();
        }
        match self {
            Self::Count => prefixed(value, "", 9_999.5),
            Self::PerSecond => prefixed(value, "/s", 9_999.5),
            Self::Micros => duration(value),
            Self::Seconds => duration(value * 1e6),
            Self::Bytes => bytes(value),
            Self::Share => share(value),
            Self::Cores => format!("{value:.2}"),
        }
    }
}

impl Unit {
    /// A number on an axis: without zeros at its end, and without what the axis says.
    #[must_use]
    pub fn tick(self, value: f64) -> String {
        if value == 0.0 {
            return "0".to_owned();
        }
        let shown = match self {
            // The same prefix all along the axis.
            Self::Count | Self::PerSecond => prefixed(value, "", 999.5),
            _ => self.show(value),
        };
        let (number, unit) = shown.split_once(' ').unwrap_or((&shown, ""));
        let number = match number.contains('.') {
            true => number.trim_end_matches('0').trim_end_matches('.'),
            false => number,
        };
        format!("{number} {unit}").trim_end().to_owned()
    }
}

/// Three significant digits, without an exponent and without zeros that say nothing.
fn three_digits(value: f64) -> String {
    match value.abs() {
        size if size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        size if size >= 0.0995 || size == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// With a prefix from `whole` on.
fn prefixed(value: f64, per: &str, whole: f64) -> String {
    let size = value.abs();
    let (factor, prefix) = match size {
        _ if size >= 999.5e6 => (1e9, "G"),
        _ if size >= 999.5e3 => (1e6, "M"),
        _ if size >= whole => (1e3, "k"),
        _ => (1.0, ""),
    };
    // Whole numbers that people can take in at a glance stay whole.
    let number = match prefix {
        "" if value.fract() == 0.0 || size >= 99.95 => format!("{value:.0}"),
        _ => three_digits(value / factor),
    };
    match (prefix, per) {
        ("", "") => number,
        (prefix, per) => format!("{number} {prefix}{per}"),
    }
}

fn duration(us: f64) -> String {
    match us.abs() {
        size if size >= 999.5e3 => format!("{} s", three_digits(us / 1e6)),
        size if size >= 99.95 => format!("{} ms", three_digits(us / 1e3)),
        size if size >= 9.995 => format!("{us:.1} µs"),
        _ => format!("{us:.2} µs"),
    }
}

fn bytes(value: f64) -> String {
    let (factor, unit) = match value.abs() {
        size if size >= 999.5e6 => (1e9, "GB"),
        size if size >= 999.5e3 => (1e6, "MB"),
        size if size >= 9_999.5 => (1e3, "kB"),
        _ => return format!("{value:.0} B"),
    };
    format!("{} {unit}", three_digits(value / factor))
}

/// A share that is not quite whole is never rounded to 100 %, nor one above nothing to 0 %.
fn share(value: f64) -> String {
    let percent = value * 100.0;
    if percent == 100.0 || percent == 0.0 {
        return format!("{percent:.0} %");
    }
    let gap = percent.abs().min((100.0 - percent).abs());
    match gap {
        _ if gap >= 9.95 => format!("{percent:.0} %"),
        _ if gap >= 0.0995 => format!("{percent:.1} %"),
        _ if gap >= 0.001 => format!("{percent:.3} %"),
        _ if percent.abs() < 1.0 => "< 0.001 %".to_owned(),
        _ => format!("{percent:.6} %"),
    }
}

/// A whole number with thin groups of three: `12 345 678`.
#[must_use]
pub fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A Unix time as `2026-01-31 23:59:59 UTC`.
#[must_use]
pub fn date(unix_s: f64) -> String {
    // The year 9999 and the year 0: beyond, it is no time of a run.
    if !(-62_167_219_200.0..253_402_300_800.0).contains(&unix_s) {
        return "-".to_owned();
    }
    let seconds = unix_s.floor() as i64;
    let (days, time) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days from 1 March of the year 0, so that the leap day is the last of a year.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) =
        (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (time / 3_600, time / 60 % 60, time % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// A whole number of things for arithmetic; exact below 2^53.
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_for_people() {
        let cases = [
            (Unit::PerSecond, 1_230_000.0, "1.23 M/s"),
            (Unit::PerSecond, 52_340.0, "52.3 k/s"),
            (Unit::PerSecond, 980.4, "980 /s"),
            (Unit::PerSecond, 0.5, "0.50 /s"),
            (Unit::Count, 12.0, "12"),
            (Unit::Count, 9_999.0, "9999"),
            (Unit::Count, 10_000.0, "10.0 k"),
            (Unit::Count, 999_999.0, "1.00 M"),
            (Unit::Micros, 410.0, "0.41 ms"),
            (Unit::Micros, 12_300.0, "12.3 ms"),
            (Unit::Micros, 85.0, "85.0 µs"),
            (Unit::Micros, 1.52, "1.52 µs"),
            (Unit::Micros, 999_999.0, "1.00 s"),
            (Unit::Seconds, 10.0, "10.0 s"),
            (Unit::Bytes, 48_100_000.0, "48.1 MB"),
            (Unit::Bytes, 1_100.0, "1100 B"),
            (Unit::Share, 1.0, "100 %"),
            (Unit::Share, 0.999_98, "99.998 %"),
            (Unit::Share, 0.999_999_9, "99.999990 %"),
            (Unit::Share, 0.2, "20 %"),
            (Unit::Share, 0.0, "0 %"),
            (Unit::Cores, 1.897, "1.90"),
            (Unit::Count, f64::NAN, "-"),
        ];
        for (unit, value, text) in cases {
            assert_eq!(unit.show(value), text, "{value} as {unit:?}");
        }
    }

    #[test]
    fn times_are_written_as_dates() {
        let cases = [
            (0.0, "1970-01-01 00:00:00 UTC"),
            (951_782_399.9, "2000-02-28 23:59:59 UTC"),
            (951_782_400.0, "2000-02-29 00:00:00 UTC"),
            (1_798_761_599.0, "2026-12-31 23:59:59 UTC"),
            (4_107_542_400.0, "2100-03-01 00:00:00 UTC"),
            (f64::NAN, "-"),
            (1e300, "-"),
        ];
        for (unix_s, text) in cases {
            assert_eq!(date(unix_s), text);
        }
    }

    #[test]
    fn whole_numbers_are_grouped() {
        for (value, text) in [(0, "0"), (999, "999"), (1_000, "1 000"), (12_345_678, "12 345 678")]
        {
            assert_eq!(grouped(value), text);
        }
    }
}
