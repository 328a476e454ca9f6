//! Which pages of a file have room reserved for them.

use std::ops::Range;

/// Pages in ranges, in order, which neither overlap nor touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct ReservedPages(Vec<Range<u64>>);

impl ReservedPages {
    /// How many they are.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|range| range.end - range.start).sum()
    }

    /// How many of them are among these pages.
    pub fn count_in(&self, pages: &Range<u64>) -> u64 {
        let within = |range: &Range<u64>| range.end.min(pages.end).saturating_sub(range.start.max(pages.start));
        self.0.iter().map(within).sum()
    }

    /// Whether this page is one of them.
    pub fn contains(&self, page: u64) -> bool {
        let after = self.0.partition_point(|range| range.start <= page);
        after > 0 && page < self.0[after - 1].end
    }

    /// Adds pages, of which some may be there.
    pub fn insert(&mut self, pages: Range<u64>) {
        if pages.is_empty() {
            return;
        }
        let first = self.0.partition_point(|range| range.end < pages.start);
        let last = self.0.partition_point(|range| range.start <= pages.end);
        let merged = self.0[first..last]
            .iter()
            .fold(pages, |merged, range| merged.start.min(range.start)..merged.end.max(range.end));
        self.0.splice(first..last, [merged]);
    }

    /// Takes away the pages from `page` on.
    pub fn cut(&mut self, page: u64) {
        self.0.retain(|range| range.start < page);
        if let Some(last) = self.0.last_mut() {
            last.end = last.end.min(page);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn ranges_are_the_set_of_their_pages(
            steps in prop::collection::vec((any::<bool>(), 0..60u64, 0..12u64), 0..40),
        ) {
            let (mut ranges, mut pages) = (ReservedPages::default(), BTreeSet::new());
            for (is_cut, at, len) in steps {
                if is_cut {
                    ranges.cut(at + 30);
                    pages.split_off(&(at + 30));
                } else {
                    ranges.insert(at..at + len);
                    pages.extend(at..at + len);
                }
                prop_assert_eq!(ranges.count(), pages.len() as u64);
                prop_assert_eq!(ranges.count_in(&(7..23)), pages.range(7..23).count() as u64);
                for page in 0..80 {
                    prop_assert_eq!(ranges.contains(page), pages.contains(&page));
                }
                let apart = ranges.0.windows(2).all(|pair| pair[0].end < pair[1].start);
                prop_assert!(apart && ranges.0.iter().all(|range| !range.is_empty()), "{:?}", ranges);
            }
        }
    }
}
