//! The exact 95 % interval of a proportion (Clopper and Pearson, 1934).
//!
//! The bounds are quantiles of beta distributions, found by bisection on the binomial distribution itself: the lower bound
//! is the p at which seeing `successes` or more has probability 2.5 %, the upper one that at which seeing as few has.

/// Bounds of a proportion.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

/// The 95 % interval for the probability of which `successes` in `trials` independent trials is the outcome.
///
/// # Panics
/// When there are more successes than trials.
pub fn clopper_pearson_95(successes: u64, trials: u64) -> Interval {
    assert!(successes <= trials, "{successes} successes in {trials} trials");
    const TAIL: f64 = 0.025;
    if trials == 0 {
        return Interval { low: 0.0, high: 1.0 };
    }
    let low = match successes {
        0 => 0.0,
        // Rises with p.
        _ => bisect(|p| at_least(successes, trials, p) < TAIL),
    };
    let high = match successes {
        _ if successes == trials => 1.0,
        // P(X <= successes) falls with p.
        _ => bisect(|p| 1.0 - at_least(successes + 1, trials, p) > TAIL),
    };
    Interval { low, high }
}

/// The p in [0, 1] below which `below` holds.
fn bisect(below: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if below(middle) { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// P(X >= k) for X ~ Binomial(n, p), summed in logarithms.
fn at_least(k: u64, n: u64, p: f64) -> f64 {
    if p <= 0.0 {
        return if k == 0 { 1.0 } else { 0.0 };
    }
    if p >= 1.0 {
        return 1.0;
    }
    let (log_p, log_q) = (p.ln(), (-p).ln_1p());
    let mut log_choose = 0.0;
    let mut sum = 0.0;
    for i in 0..=n {
        if i > 0 {
            log_choose += ((n - i + 1) as f64).ln() - (i as f64).ln();
        }
        if i >= k {
            sum += (log_choose + i as f64 * log_p + (n - i) as f64 * log_q).exp();
        }
    }
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        // Reference values: R's binom.test.
        for (successes, trials, low, high) in
            [(0, 10, 0.0, 0.3085), (10, 10, 0.6915, 1.0), (5, 50, 0.0333, 0.2181), (1, 100, 0.000253, 0.05446)]
        {
            let interval = clopper_pearson_95(successes, trials);
            assert!((interval.low - low).abs() < 1e-4, "{successes}/{trials}: {interval:?}");
            assert!((interval.high - high).abs() < 1e-4, "{successes}/{trials}: {interval:?}");
        }
        assert_eq!(clopper_pearson_95(0, 0), Interval { low: 0.0, high: 1.0 });
    }
}
