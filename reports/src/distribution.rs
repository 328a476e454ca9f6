//! A distribution of measured values, kept exactly: how often each value was seen.
//!
//! Quantiles are by nearest rank: always a value that was measured, so that a reader can find the trial it belongs to. The
//! median of an even number of values is the lower one of the two in the middle.

use std::collections::BTreeMap;

/// Values and how often each was seen. Its memory grows with the different values, not with the trials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    seen: BTreeMap<u64, u64>,
    count: u64,
}

impl Distribution {
    /// Takes a value in.
    pub fn add(&mut self, value: u64) {
        *self.seen.entry(value).or_default() += 1;
        self.count += 1;
    }

    /// How many values were taken in.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The smallest value that at least this percentage of all values does not exceed; nothing when there is none.
    ///
    /// # Panics
    /// When it is more than a hundred per cent.
    pub fn quantile(&self, percent: u8) -> Option<u64> {
        assert!(percent <= 100, "{percent} %");
        let rank = (u128::from(self.count) * u128::from(percent)).div_ceil(100).max(1);
        let mut below = 0_u128;
        self.seen.iter().find_map(|(&value, &count)| {
            below += u128::from(count);
            (below >= rank).then_some(value)
        })
    }

    /// The value in the middle.
    pub fn median(&self) -> Option<u64> {
        self.quantile(50)
    }

    /// The largest value.
    pub fn max(&self) -> Option<u64> {
        self.seen.keys().next_back().copied()
    }
}

impl FromIterator<u64> for Distribution {
    fn from_iter<I: IntoIterator<Item = u64>>(values: I) -> Distribution {
        let mut distribution = Distribution::default();
        values.into_iter().for_each(|value| distribution.add(value));
        distribution
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[u64]) -> Distribution {
        values.iter().copied().collect()
    }

    #[test]
    fn quantiles_are_measured_values() {
        assert_eq!(of(&[]).median(), None);
        assert_eq!(of(&[]).max(), None);
        assert_eq!(of(&[7]).median(), Some(7));
        assert_eq!(of(&[9, 1]).median(), Some(1));
        assert_eq!(of(&[9, 1, 4]).median(), Some(4));
        assert_eq!(of(&[4, 4, 4, 1]).median(), Some(4));
        assert_eq!((of(&[3, 8, 5]).quantile(0), of(&[3, 8, 5]).quantile(100)), (Some(3), Some(8)));
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_values() {
        // Every value of a small generator, against the definition on a sorted list.
        let mut state = 1_u64;
        for length in 1..60_usize {
            let values = std::iter::repeat_with(|| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) % 40
            })
            .take(length)
            .collect::<Vec<_>>();
            let mut sorted = values.clone();
            sorted.sort_unstable();
            for percent in [1, 25, 50, 90, 95, 99, 100] {
                let rank = (length * usize::from(percent)).div_ceil(100);
                assert_eq!(of(&values).quantile(percent), Some(sorted[rank - 1]), "{percent} % of {sorted:?}");
            }
        }
    }
}
