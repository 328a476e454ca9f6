//! The table of update protocols on simulated disks: each test crashes until it has seen everything in its row, and nothing else.

use super::{
    super::{
        contract::{Crash, FILE_SYSTEMS},
        patterns::Row,
    },
    When, crash_images, without_timers,
};
use std::collections::BTreeSet;

const ROUNDS: u64 = 200;
const BATCHES_MAX: u64 = 40;

/// Crashes until everything that is possible was seen; panics at anything else.
pub fn expect(row: &Row) {
    for (number, file_system) in FILE_SYSTEMS.into_iter().enumerate() {
        for crash in [Crash::Os, Crash::Power] {
            let expected = row.possible(number, crash);
            let mut seen = BTreeSet::new();
            for batch in 0..BATCHES_MAX {
                let spec = without_timers(file_system);
                let left = crash_images(batch, spec, &row.steps, crash, When::AtTheEnd, ROUNDS);
                seen.extend(left.iter().map(|left| (row.outcome)(&left.image)));
                // One more batch than is needed to see everything, so that something else has a chance too.
                if batch > 0 && seen.is_superset(&expected) {
                    break;
                }
            }
            assert_eq!(seen, expected, "{crash:?}, {file_system:?}");
        }
    }
}
