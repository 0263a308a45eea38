//! The Mann-Whitney U test: whether one of two samples tends to be larger, whatever their shapes.

/// What the test found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranks {
    /// U of the second sample: how many pairs it wins, ties counting half.
    pub u: f64,
    /// The share of pairs in which the second sample's value is the larger, ties counting half.
    pub larger: f64,
    /// How far U is from what chance gives on average, in standard deviations, with corrections for
    /// ties and continuity. Never negative.
    pub z: f64,
}

impl Ranks {
    /// How likely such a difference, or a larger one, is by chance alone (two-sided, by the normal
    /// approximation, which is good from about eight values on), when `independent` (0 to 1) of each
    /// sample's values are worth counting, as [`independent`] says.
    #[must_use]
    pub fn p(&self, independent: f64) -> f64 {
        libm::erfc(self.z * (independent / 2.0).sqrt())
    }
}

/// Tests two samples against each other; `None` when one of them is empty.
#[must_use]
pub fn mann_whitney(a: &[f64], b: &[f64]) -> Option<Ranks> {
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let mut all: Vec<(f64, bool)> =
        a.iter().map(|&value| (value, false)).chain(b.iter().map(|&value| (value, true))).collect();
    all.sort_by(|left, right| left.0.total_cmp(&right.0));

    let (mut rank_sum, mut ties) = (0.0, 0.0);
    let mut before = 0.0;
    for equal in all.chunk_by(|left, right| left.0 == right.0) {
        let size = equal.len() as f64;
        // Equal values share the middle of the ranks that they take up.
        let rank = before + f64::midpoint(size, 1.0);
        rank_sum += rank * equal.iter().filter(|(_, is_b)| *is_b).count() as f64;
        ties += size.powi(3) - size;
        before += size;
    }
    let (n_a, n_b, n) = (a.len() as f64, b.len() as f64, all.len() as f64);
    let u = rank_sum - n_b * (n_b + 1.0) / 2.0;
    let mean = n_a * n_b / 2.0;
    let spread = (n_a * n_b / 12.0 * ((n + 1.0) - ties / (n * (n - 1.0)))).max(0.0).sqrt();
    let beyond = ((u - mean).abs() - 0.5).max(0.0);
    // All values are equal: nothing speaks for a difference.
    let z = if spread > 0.0 { beyond / spread } else { 0.0 };
    Some(Ranks { u, larger: u / (n_a * n_b), z })
}

/// Which share of values in the order of their time counts: neighbours that resemble each other (a
/// disturbance that lasts, a drift) say the same thing twice. From the correlation `r` of neighbours it
/// is `(1 - r) / (1 + r)`, as of a process in which each value leans on the one before.
#[must_use]
pub fn independent(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let spread: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let common: f64 = values.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum();
    // The sum over few values comes out too small, by about this much.
    let low = 1.0 / values.len() as f64;
    let r = if spread > 0.0 { (common / spread + low).clamp(0.0, 0.9) } else { 0.0 };
    (1.0 - r) / (1.0 + r)
}

/// The middle value; `None` of nothing.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(a: &[f64], b: &[f64], u: f64, p: f64) {
        let ranks = mann_whitney(a, b).unwrap();
        assert!((ranks.u - u).abs() < 1e-9, "U is {}, not {u}", ranks.u);
        let found = ranks.p(1.0);
        assert!((found - p).abs() < 5e-5, "p is {found}, not {p}");
    }

    /// By hand: b has the ranks 6 to 10, U = 40 - 15 = 25; z = (12.5 - 0.5) / sqrt(25 * 11 / 12)
    /// = 12 / 4.787136 = 2.506718; p = 2 * 0.0060929.
    #[test]
    fn separate_samples() {
        check(&[1.0, 2.0, 3.0, 4.0, 5.0], &[6.0, 7.0, 8.0, 9.0, 10.0], 25.0, 0.012_186);
        check(&[6.0, 7.0, 8.0, 9.0, 10.0], &[1.0, 2.0, 3.0, 4.0, 5.0], 0.0, 0.012_186);
    }

    /// By hand: the ranks of b are 2, 4, 6 and 8, U = 20 - 10 = 10; z = (2 - 0.5) / sqrt(16 * 9 / 12)
    /// = 1.5 / 3.464102 = 0.433013; p = 2 * 0.332503.
    #[test]
    fn interleaved_samples() {
        check(&[1.0, 3.0, 5.0, 7.0], &[2.0, 4.0, 6.0, 8.0], 10.0, 0.665_006);
    }

    /// By hand: 1 has rank 1, the three 2s rank 3, the two 3s rank 5.5, 4 rank 7; b = 2, 3, 4 has
    /// 15.5, U = 15.5 - 6 = 9.5 of 12; ties 24 + 6 = 30; spread^2 = 1 * (8 - 30 / 42) = 7.285714;
    /// z = (3.5 - 0.5) / 2.699206 = 1.111438; p = 2 * 0.133190.
    #[test]
    fn ties() {
        check(&[1.0, 2.0, 2.0, 3.0], &[2.0, 3.0, 4.0], 9.5, 0.266_379);
    }

    #[test]
    fn nothing_to_tell_apart() {
        check(&[5.0; 10], &[5.0; 10], 50.0, 1.0);
        assert_eq!(mann_whitney(&[], &[1.0]), None);
        assert_eq!(mann_whitney(&[1.0], &[]), None);
    }

    /// By hand: mean 2, deviations -1 1 -1 1 or -1 -1 1 1, spread 4; neighbours give -3 and 1, so that
    /// r is 0 and 1/4 + 1/4.
    #[test]
    fn neighbours_that_resemble_each_other_count_less() {
        assert!((independent(&[1.0, 3.0, 1.0, 3.0]) - 1.0).abs() < 1e-9);
        assert!((independent(&[1.0, 1.0, 3.0, 3.0]) - 1.0 / 3.0).abs() < 1e-9);
        assert!((independent(&[2.0; 9]) - 1.0).abs() < 1e-9);
    }

    /// Of two samples of one process, one in a hundred may look different.
    #[test]
    fn drift_is_not_taken_for_a_difference() {
        let mut dice = crate::sample::Dice(1);
        let mut drifting = || {
            let mut value = 0.0;
            let values = (0..60).map(|_| {
                value = 0.7 * value + dice.next() - 0.5;
                value
            });
            values.skip(20).collect::<Vec<f64>>()
        };
        let (mut naive, mut careful) = (0, 0);
        for _ in 0..1_000 {
            let (a, b) = (drifting(), drifting());
            let ranks = mann_whitney(&a, &b).unwrap();
            naive += u32::from(ranks.p(1.0) < 0.01);
            careful += u32::from(ranks.p(independent(&a).min(independent(&b))) < 0.01);
        }
        assert!(naive > 100, "{naive}: this test would not notice a missing correction");
        assert!(careful < 20, "{careful} of 1000 pairs look different, {naive} without correction");
    }

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
