//! Text into conditions, with the place and the nearest known name when it does not parse.

use super::figure::Plain;
use super::{Condition, Conditions, Figure, Operator};
use crate::histogram::PERCENTILES;
use crate::units::Unit;

/// Why conditions cannot be understood. Its text shows the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}\n  {text}\n  {}{}", " ".repeat(*column), "^".repeat((*width).max(1)))]
pub struct ParseError {
    /// All that was given.
    pub text: String,
    /// Where the mistake begins, in characters from 0.
    pub column: usize,
    /// How many characters it has.
    pub width: usize,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// Conditions, separated by commas, all of which must hold.
///
/// # Errors
/// When there is none, a name, operator, number or unit is unknown, or a duration has no unit.
pub fn parse(text: &str) -> Result<Conditions, ParseError> {
    // An error quotes the text in one line.
    let text = &*text.replace(char::is_control, " ");
    let mut all = Vec::new();
    let mut start = 0;
    for part in text.split(',') {
        all.push(condition(text, start, part)?);
        start += part.len() + 1;
    }
    Ok(Conditions { all })
}

/// A part of the text and where it begins, so that an error can show it.
#[derive(Clone, Copy)]
struct Piece<'a> {
    whole: &'a str,
    start: usize,
    text: &'a str,
}

impl<'a> Piece<'a> {
    fn trimmed(self) -> Self {
        let left = self.text.trim_start();
        let start = self.start + self.text.len() - left.len();
        Self { start, text: left.trim_end(), ..self }
    }

    fn split_at(self, at: usize) -> (Self, Self) {
        let (left, right) = self.text.split_at(at);
        (Self { text: left, ..self }, Self { start: self.start + at, text: right, ..self })
    }

    fn error(self, message: String) -> ParseError {
        ParseError {
            text: self.whole.to_owned(),
            column: self.whole[..self.start].chars().count(),
            width: self.text.chars().count(),
            message,
        }
    }
}

fn condition(whole: &str, start: usize, text: &str) -> Result<Condition, ParseError> {
    let piece = Piece { whole, start, text }.trimmed();
    if piece.text.is_empty() {
        return Err(piece.error("here a condition such as `p99<20ms` is missing".into()));
    }
    let Some(at) = piece.text.find(['<', '>', '=']) else {
        return Err(piece.error(format!(
            "`{}` has no limit: write a name, one of < <= > >= = and a number, as in `lost=0`",
            piece.text
        )));
    };
    let (name, rest) = piece.split_at(at);
    let (length, operator) = Operator::ALL
        .iter()
        .find(|(sign, _)| rest.text.starts_with(sign))
        .map(|(sign, operator)| (sign.len(), *operator))
        .expect("each of the three characters is an operator by itself");
    let figure = figure(name.trimmed())?;
    let limit = limit(&figure, rest.split_at(length).1.trimmed())?;
    Ok(Condition { figure, operator, limit, text: piece.text.to_owned() })
}

fn figure(name: Piece<'_>) -> Result<Figure, ParseError> {
    if name.text.is_empty() {
        return Err(name.error("before the operator the name of a figure is missing".into()));
    }
    Figure::named(name.text).ok_or_else(|| {
        let known = format!(
            "known are p50 to p99.99, max, mean, each also of one latency as in `chat.p99`, \
             {} and figure.NAME",
            Plain::ALL.map(|entry| entry.0).join(", ")
        );
        let message = match nearest(name.text) {
            Some(near) => format!("unknown figure `{}`, did you mean `{near}`?", name.text),
            None => format!("unknown figure `{}`; {known}", name.text),
        };
        name.error(message)
    })
}

/// The known name that differs in the fewest letters, when it is at most a third of them.
fn nearest(name: &str) -> Option<String> {
    let (of, last) = match name.rsplit_once('.') {
        Some((of, last)) if !last.starts_with(|c: char| c.is_ascii_digit()) => {
            (format!("{of}."), last)
        }
        _ => (String::new(), name),
    };
    let statistics = PERCENTILES.iter().map(|entry| entry.0).chain(["mean"]);
    let plain = Plain::ALL.iter().map(|entry| entry.0).filter(|_| of.is_empty());
    let (distance, near) = statistics
        .chain(plain)
        .map(|known| (strsim::damerau_levenshtein(last, known), known))
        .min_by_key(|(distance, _)| *distance)?;
    (distance <= (last.chars().count() / 3).max(1)).then(|| format!("{of}{near}"))
}

fn limit(figure: &Figure, piece: Piece<'_>) -> Result<f64, ParseError> {
    let digits = piece.text.find(|c: char| !(c.is_ascii_digit() || ".-+".contains(c)));
    let (number, suffix) = piece.split_at(digits.unwrap_or(piece.text.len()));
    let suffix = suffix.trimmed();
    let Ok(value) = number.text.parse::<f64>() else {
        let message = match piece.text {
            "" => "after the operator a number is missing".into(),
            text => format!("`{text}` is no number"),
        };
        return Err(piece.error(message));
    };
    let unit = figure.unit();
    if suffix.text.is_empty() {
        return match (figure, unit) {
            // A bare number would be read as milliseconds by some and as microseconds by others.
            (Figure::Latency { .. }, _) if value != 0.0 => Err(piece.error(format!(
                "`{}` is a duration and needs a unit: us, ms or s, as in `{figure}<{}ms`",
                piece.text, piece.text
            ))),
            (_, Unit::Bytes) if value != 0.0 => Err(piece.error(format!(
                "`{}` is a size and needs a unit: B, KB, MB, GB, KiB, MiB or GiB",
                piece.text
            ))),
            _ => Ok(value),
        };
    }
    let known = unit.suffixes();
    let exact = known.iter().find(|(name, _)| *name == suffix.text);
    let found = exact.or_else(|| {
        // Where no two suffixes differ by case alone, case does not matter.
        let mut fit = known.iter().filter(|(name, _)| name.eq_ignore_ascii_case(suffix.text));
        fit.next().filter(|first| fit.all(|other| other.1 == first.1))
    });
    match found {
        Some((_, factor)) => Ok(value * factor),
        None => {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            Err(suffix.error(format!(
                "unknown unit `{}`; a limit on `{figure}` can have {}",
                suffix.text,
                names.join(", ")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_in_the_unit_of_the_figure() {
        let cases = [
            ("p99<20ms", 20_000.0),
            ("p99 < 20 ms", 20_000.0),
            ("p99.9<=1.5s", 1_500_000.0),
            ("note.p99.99<250us", 250.0),
            ("a.b.p50<7µs", 7.0),
            ("mean>0", 0.0),
            ("lost=0", 0.0),
            ("faults<=1k", 1_000.0),
            ("delivered>=99.5%", 0.995),
            ("rate>=1.2M", 1_200_000.0),
            ("rate>=250k/s", 250_000.0),
            ("server_us<1.5", 1.5),
            ("server_busy<150%", 1.5),
            ("load_busy<0.9", 0.9),
            ("rss<64MiB", 67_108_864.0),
            ("rss<64MB", 64_000_000.0),
            ("rss<=64mb", 64_000_000.0),
            ("rss<=10 KB", 10_000.0),
            ("figure.reconnect_ms<5", 5.0),
            ("figure.delta>-5", -5.0),
        ];
        for (text, limit) in cases {
            let conditions = parse(text).unwrap_or_else(|error| panic!("{error}"));
            let found = conditions.all[0].limit;
            assert!((found - limit).abs() < 1e-9, "{text}: {found} against {limit}");
        }
    }

    #[test]
    fn figures_are_found_by_name() {
        let figure = |text: &str| parse(text).unwrap().all[0].figure.to_string();
        for name in ["p99", "p99.9", "max", "chat.p99.9", "a.b.max", "lost", "figure.x_ms", "rss"] {
            assert_eq!(figure(&format!("{name}>=0")), name);
        }
        let conditions = parse("p99<20ms , lost=0,rate >= 1k").unwrap();
        let texts: Vec<&str> = conditions.all.iter().map(|one| &*one.text).collect();
        assert_eq!(texts, ["p99<20ms", "lost=0", "rate >= 1k"]);
    }

    #[test]
    fn mistakes_show_their_place() {
        // Text, the part that is marked, and what is said of it.
        let cases = [
            ("", "", "is missing"),
            ("p99<20ms,", "", "is missing"),
            ("p99<20ms,,lost=0", "", "is missing"),
            ("p99", "p99", "has no limit"),
            ("lost=0, p9x<20ms", "p9x", "did you mean `p9"),
            ("losst=0", "losst", "did you mean `lost`?"),
            ("chat.p9O<1ms", "chat.p9O", "did you mean `chat.p9"),
            ("chat.meen<1ms", "chat.meen", "did you mean `chat.mean`?"),
            ("wibblewobble=0", "wibblewobble", "known are p50"),
            ("p100<1ms", "p100", "known are p50"),
            ("figure.<1", "figure.", "unknown figure"),
            ("<20ms", "", "name of a figure is missing"),
            ("lost=", "", "a number is missing"),
            ("lost=none", "none", "is no number"),
            ("lost=1-2", "1-2", "is no number"),
            ("p99<20", "20", "needs a unit"),
            ("rss<20", "20", "needs a unit"),
            ("p99<20 sec", "sec", "unknown unit `sec`"),
            ("µ.p99<1ms,p99<20µ", "µ", "can have us, µs, ms, s"),
            ("rate>1ms", "ms", "unknown unit"),
            ("lost=5%", "%", "unknown unit"),
        ];
        for (text, marked, said) in cases {
            let error = parse(text).expect_err(text);
            let chars: Vec<char> = text.chars().collect();
            let place: String = chars[error.column..error.column + error.width].iter().collect();
            assert_eq!(place, marked, "{error}");
            assert!(error.to_string().contains(said), "{error}");
        }
    }

    #[test]
    fn the_mark_stands_below_the_mistake() {
        let error = parse("p99<20ms,losst=0").unwrap_err().to_string();
        let expected =
            "unknown figure `losst`, did you mean `lost`?\n  p99<20ms,losst=0\n           ^^^^^";
        assert_eq!(error, expected);
    }

    #[test]
    fn any_text_parses_or_is_refused() {
        for text in ["\0", "<<<", "=,=", "p99<-", "p99<+.ms", "é<é", "a.<1", ".p99<1ms", "p.5<1ms"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
