//! Offsets: what the group has committed lies within the queue at the end, so that nothing is skipped that comes later
//! (an offset beyond the end) and nothing is asked for that is gone (one before the beginning).

use super::{finding, ledger::Ledger};
use reports::Finding;

/// Finds committed offsets outside of their queue, and bounds that cross.
pub fn find(ledger: &Ledger) -> Vec<Finding> {
    let mut findings = Vec::new();
    for end in &ledger.queues {
        let (queue, min, max) = (&end.queue, end.min, end.max);
        if min > max || min < 0 {
            findings.push(finding("offsets", format!("{queue} says that it goes from {min} to {max}")));
        }
        match end.committed {
            Some(committed) if committed > max => {
                let text = format!(
                    "the group has committed {committed} in {queue}, beyond its end at {max}: it will skip what comes"
                );
                findings.push(finding("offsets", text));
            }
            Some(committed) if committed < min => {
                findings.push(finding(
                    "offsets",
                    format!("the group has committed {committed} in {queue}, before its beginning at {min}"),
                ));
            }
            _ => {}
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::fixture::*;

    #[test]
    fn offsets_within_the_queue_are_fine_and_others_are_not() {
        let judge = |min, max, committed| find(&Ledger::new(&[offsets(min, max, committed)])).len();
        assert_eq!(judge(0, 5, Some(5)), 0);
        assert_eq!(judge(0, 5, None), 0);
        assert_eq!(judge(0, 5, Some(6)), 1);
        assert_eq!(judge(2, 5, Some(1)), 1);
        assert_eq!(judge(6, 5, None), 1);
    }
}
