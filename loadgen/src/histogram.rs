//! Distributions of durations: recorded as an HdrHistogram, kept in a result as text.
//!
//! Three digits and 1 µs to 100 s: any two histograms of this program can be added up.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2Serializer};

use crate::result::Latency;

/// The shortest duration that is told apart from none.
pub const LOWEST_US: u64 = 1;
/// The longest duration; what takes longer counts as this.
pub const HIGHEST_US: u64 = 100_000_000;
/// Significant digits.
pub const DIGITS: u8 = 3;

/// The percentiles that a [`Latency`] names, rising.
pub const PERCENTILES: &[(&str, f64)] = &[
    ("p50", 0.50),
    ("p75", 0.75),
    ("p90", 0.90),
    ("p95", 0.95),
    ("p99", 0.99),
    ("p99.9", 0.999),
    ("p99.99", 0.9999),
    ("max", 1.0),
];

/// Longest text that is decoded: a full histogram takes about a tenth of it.
const TEXT_BYTES_MAX: usize = 4 << 20;
/// Of the V2 format: cookie, length, offset, digits, lowest, highest, ratio.
const HEADER_BYTES: usize = 40;

/// Why a histogram's text cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HistogramError {
    /// It is not base64, or longer than any histogram.
    #[error("the histogram is not base64 of at most {TEXT_BYTES_MAX} bytes")]
    NotBase64,
    /// Its header does not fit what follows, or is not that of the V2 format.
    #[error("the histogram is not in the V2 format of HdrHistogram, or it is cut short")]
    NotV2,
    /// The content is wrong.
    #[error("the histogram cannot be read: {0}")]
    Content(#[from] hdrhistogram::serialization::DeserializeError),
    /// Values of one do not fit the other.
    #[error("the histograms cannot be added up: {0}")]
    Range(#[from] hdrhistogram::AdditionError),
    /// No machine records that much: a file was made up.
    #[error("the histograms count more than 2^63 values")]
    TooMany,
}

/// An empty histogram of microseconds.
#[must_use]
pub fn empty() -> Histogram<u64> {
    Histogram::new_with_bounds(LOWEST_US, HIGHEST_US, DIGITS).expect("the bounds are constants")
}

impl Latency {
    /// What a result keeps of a histogram of microseconds. Of an empty one there are no percentiles.
    ///
    /// # Panics
    /// When a count does not fit 63 bits, which nobody has the time to reach by recording.
    #[must_use]
    pub fn from_histogram(histogram: &Histogram<u64>) -> Self {
        Self::checked(histogram).expect("recorded counts fit 63 bits")
    }

    fn checked(histogram: &Histogram<u64>) -> Result<Self, HistogramError> {
        let mut bytes = Vec::new();
        V2Serializer::new()
            .serialize(histogram, &mut bytes)
            .map_err(|_| HistogramError::TooMany)?;
        let mut percentiles_us = BTreeMap::new();
        if !histogram.is_empty() {
            for &(name, quantile) in PERCENTILES {
                percentiles_us.insert(name.to_owned(), at(histogram, quantile));
            }
        }
        Ok(Self {
            count: histogram.len(),
            mean_us: histogram.mean(),
            percentiles_us,
            histogram: BASE64.encode(bytes),
        })
    }

    /// The whole distribution.
    ///
    /// # Errors
    /// When the text is not that of a histogram. One that was never recorded (an empty text) is empty.
    pub fn to_histogram(&self) -> Result<Histogram<u64>, HistogramError> {
        if self.histogram.is_empty() {
            return Ok(empty());
        }
        if self.histogram.len() > TEXT_BYTES_MAX {
            return Err(HistogramError::NotBase64);
        }
        let bytes = BASE64.decode(&self.histogram).map_err(|_| HistogramError::NotBase64)?;
        // The decoder allocates what the header asks for, before it looks whether that is there.
        let header = bytes.get(..HEADER_BYTES).ok_or(HistogramError::NotV2)?;
        let length = header[4..8].iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
        if length != bytes.len() - HEADER_BYTES || header[8..12] != [0; 4] {
            return Err(HistogramError::NotV2);
        }
        Ok(Deserializer::new().deserialize(&mut bytes.as_slice())?)
    }

    /// All of them as one.
    ///
    /// # Errors
    /// When the text of one is not that of a histogram.
    pub fn merged<'a>(all: impl IntoIterator<Item = &'a Self>) -> Result<Self, HistogramError> {
        let mut sum = empty();
        for one in all {
            sum.add(one.to_histogram()?)?;
        }
        Self::checked(&sum)
    }

    /// One of [`PERCENTILES`] by its name, in microseconds.
    #[must_use]
    pub fn percentile(&self, name: &str) -> Option<f64> {
        self.percentiles_us.get(name).copied()
    }
}

/// The value that `quantile` (0 to 1) of all do not exceed, in microseconds.
#[must_use]
pub fn at(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    // The bucket's end can lie above anything that was recorded.
    let value = histogram.value_at_quantile(quantile).min(histogram.max());
    crate::units::float(value)
}

/// The percentile curve: quantile (0 to 1) and microseconds, each step of the distribution once, and
/// about `per_nine` points from one nine to the next.
#[must_use]
pub fn curve(histogram: &Histogram<u64>, per_nine: u32) -> Vec<(f64, f64)> {
    if histogram.is_empty() {
        return Vec::new();
    }
    // Beyond the one slowest there is nothing to be seen.
    let nines = crate::units::float(histogram.len()).log10().max(0.3);
    let mut points = Vec::new();
    for n in 0.. {
        let nine = f64::from(n) / f64::from(per_nine);
        if nine > nines {
            break;
        }
        let quantile = 1.0 - 10f64.powf(-nine);
        points.push((quantile, at(histogram, quantile)));
    }
    points.push((1.0 - 10f64.powf(-nines), at(histogram, 1.0)));
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl IntoIterator<Item = u64>) -> Histogram<u64> {
        let mut histogram = empty();
        for value in values {
            histogram.saturating_record(value);
        }
        histogram
    }

    #[test]
    fn percentiles_are_those_of_the_values() {
        let latency = Latency::from_histogram(&of(1..=1_000));
        assert_eq!(latency.count, 1_000);
        assert!((latency.mean_us - 500.5).abs() < 0.5, "{}", latency.mean_us);
        for (name, expected) in [("p50", 500.0), ("p90", 900.0), ("p99", 990.0), ("max", 1_000.0)] {
            assert_eq!(latency.percentile(name), Some(expected), "{name}");
        }
        assert_eq!(latency.percentiles_us.len(), PERCENTILES.len());
    }

    #[test]
    fn nothing_measured_has_no_percentiles() {
        let latency = Latency::from_histogram(&empty());
        assert_eq!((latency.count, latency.percentiles_us.len()), (0, 0));
        assert!(latency.to_histogram().unwrap().is_empty());
        assert!(Latency::default().to_histogram().unwrap().is_empty());
    }

    #[test]
    fn text_gives_the_histogram_back() {
        let histogram = of([1, 2, 2, 900, 50_000, 99_999_999, 200_000_000]);
        let latency = Latency::from_histogram(&histogram);
        assert_eq!(latency.to_histogram().unwrap(), histogram);
        let json = serde_json::to_string(&latency).unwrap();
        assert_eq!(serde_json::from_str::<Latency>(&json).unwrap(), latency);
    }

    #[test]
    fn merging_is_recording_everything_in_one() {
        let (low, high) = (of(1..=500), of(501..=1_000));
        let parts = [&low, &high].map(Latency::from_histogram);
        assert_eq!(Latency::merged(&parts).unwrap(), Latency::from_histogram(&of(1..=1_000)));
    }

    #[test]
    fn counts_that_nobody_recorded_are_refused() {
        let mut half = empty();
        half.record_n(5, 1 << 62).unwrap();
        let half = Latency::from_histogram(&half);
        assert!(matches!(Latency::merged([&half, &half]), Err(HistogramError::TooMany)));
    }

    #[test]
    fn broken_text_is_refused() {
        let whole = Latency::from_histogram(&of(1..=100));
        let bytes = BASE64.decode(&whole.histogram).unwrap();
        let with = |bytes: &[u8]| Latency { histogram: BASE64.encode(bytes), ..whole.clone() };
        for cut in 0..bytes.len() {
            assert_eq!(with(&bytes[..cut]).to_histogram().is_ok(), cut == 0, "cut at {cut}");
        }
        let mut huge = bytes.clone();
        huge[4..8].fill(0xff);
        assert!(matches!(with(&huge).to_histogram(), Err(HistogramError::NotV2)));
        // Any one byte changed is read or refused, without a panic.
        for at in 0..bytes.len() {
            for value in [0x00, 0x7f, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] = value;
                let _ = with(&changed).to_histogram();
            }
        }
        let text = Latency { histogram: "<no base64>".into(), ..whole };
        assert!(matches!(text.to_histogram(), Err(HistogramError::NotBase64)));
    }

    #[test]
    fn curve_rises_to_the_slowest() {
        let curve = curve(&of(1..=10_000), 10);
        assert!(curve.is_sorted_by(|a, b| a.0 <= b.0 && a.1 <= b.1), "{curve:?}");
        assert_eq!(curve.first(), Some(&(0.0, 1.0)));
        let slowest = curve.last().map(|point| point.1).unwrap();
        assert!((10_000.0..10_010.0).contains(&slowest), "{slowest}");
    }
}
