//! From a judged history to the record of a run.

use crate::{
    history::Event,
    oracle::{Judgement, judge},
    promise::Promise,
};
use reports::{Finding, LossPromise, TimelineEntry, Verdict};

/// How many findings of one oracle a record carries before the rest is only counted.
const FINDINGS_MAX: usize = 50;

/// A history, judged against a promise.
#[derive(Clone, Debug)]
pub struct Judged {
    pub judgement: Judgement,
    pub verdict: Verdict,
    pub findings: Vec<Finding>,
    pub oldest_lost_ms: u64,
    pub unavailable_ms: u64,
}

/// Asks all oracles and holds what they say against the promise.
pub fn judge_against(events: &[Event], promise: &Promise) -> Judged {
    let judgement = judge(events);
    let mut findings = Vec::new();
    broken_loss(&judgement, promise, &mut findings);
    for list in [&judgement.phantoms, &judgement.corruptions, &judgement.order, &judgement.offsets] {
        findings.extend(list.iter().take(FINDINGS_MAX).cloned());
    }
    let verdict = match (findings.is_empty(), judgement.not_live.is_empty()) {
        (false, _) => Verdict::Broken,
        (true, false) => Verdict::NotLive,
        (true, true) => Verdict::Held,
    };
    findings.extend(judgement.not_live.iter().take(FINDINGS_MAX).cloned());
    Judged {
        verdict,
        findings,
        oldest_lost_ms: judgement.loss.oldest_ms(),
        unavailable_ms: unavailable_ms(&judgement),
        judgement,
    }
}

/// The losses that the promise does not cover. What is stored and yet never delivered is covered by none.
fn broken_loss(judgement: &Judgement, promise: &Promise, findings: &mut Vec<Finding>) {
    let beyond = judgement.loss.lost.iter().filter_map(|lost| {
        let age = lost.age_ns.map(|ns| ns.div_ceil(1_000_000));
        let why = match (promise.loss, age) {
            _ if lost.undelivered => "is stored, and the group was never given it".to_owned(),
            (_, None) => "is gone, and no fault came after its acknowledgement".to_owned(),
            (LossPromise::Host, Some(_)) => return None,
            (LossPromise::None, Some(age)) => format!("is gone; it was acknowledged {age} ms before the fault"),
            (LossPromise::Window { bound_ms }, Some(age)) if age <= bound_ms => return None,
            (LossPromise::Window { bound_ms }, Some(age)) => {
                format!("is gone; it was acknowledged {age} ms before the fault, beyond the bound of {bound_ms} ms")
            }
        };
        Some(Finding { oracle: "loss".to_owned(), message: format!("{} {why}", lost.id) })
    });
    findings.extend(beyond.take(FINDINGS_MAX));
}

/// The longest time without a successful send while there was load.
fn unavailable_ms(judgement: &Judgement) -> u64 {
    let ledger = &judgement.ledger;
    let (Some(from), Some(to)) = (ledger.load_from_ns, ledger.load_to_ns) else {
        return 0;
    };
    if ledger.counts.sent == 0 {
        return 0;
    }
    let mut last = from;
    let mut longest = 0;
    for at_ns in ledger.acked_at_ns.iter().copied().filter(|at_ns| (from..=to).contains(at_ns)).chain([to]) {
        longest = longest.max(at_ns - last);
        last = at_ns;
    }
    longest / 1_000_000
}

/// What was done to the cluster and what it said, for people.
pub fn timeline(events: &[Event]) -> Vec<TimelineEntry> {
    let entry = |at_ns: u64, what: String| TimelineEntry { at_ms: at_ns / 1_000_000, what };
    events
        .iter()
        .filter_map(|event| match event {
            Event::Fault { at_ns, host, what, .. } => Some(entry(*at_ns, format!("✗ {host}: {what}"))),
            Event::Note { at_ns, host, what } => Some(entry(*at_ns, format!("  {host}: {what}"))),
            Event::Load { at_ns } => Some(entry(*at_ns, "  load begins".to_owned())),
            Event::Unload { at_ns } => Some(entry(*at_ns, "  load ends".to_owned())),
            Event::Healed { at_ns } => Some(entry(*at_ns, "✓ everything is healed".to_owned())),
            Event::End { at_ns } => Some(entry(*at_ns, "  every queue was read; the run is over".to_owned())),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::fixture::*;

    fn verdict(events: &[Event], loss: LossPromise) -> Verdict {
        judge_against(events, &Promise { loss, source: "" }).verdict
    }

    #[test]
    fn a_loss_within_the_window_is_held_and_one_beyond_it_is_not() {
        let history = |acked_ms| vec![send(1, acked_ms), acked(1, acked_ms, 0), power_loss(1_000), offsets(0, 0, None)];
        let window = LossPromise::Window { bound_ms: 500 };
        assert_eq!(verdict(&history(501), window), Verdict::Held);
        assert_eq!(verdict(&history(499), window), Verdict::Broken);
        assert_eq!(verdict(&history(999), LossPromise::None), Verdict::Broken);
        assert_eq!(verdict(&history(1), LossPromise::Host), Verdict::Held);
        // No fault came after it: nothing explains its loss.
        assert_eq!(verdict(&history(1_001), LossPromise::Host), Verdict::Broken);
    }

    #[test]
    fn what_is_stored_but_never_delivered_breaks_every_promise() {
        let history = [send(1, 10), acked(1, 11, 0), stored(1, 0), power_loss(20)];
        for loss in [LossPromise::None, LossPromise::Window { bound_ms: 500 }, LossPromise::Host] {
            assert_eq!(verdict(&history, loss), Verdict::Broken);
        }
    }

    #[test]
    fn a_stuck_cluster_is_not_live_unless_it_is_broken_too() {
        let stuck = vec![Event::Healed { at_ns: 0 }, offsets(0, 3, Some(1))];
        assert_eq!(verdict(&stuck, LossPromise::None), Verdict::NotLive);
        assert_eq!(verdict(&[stuck, vec![stored(9, 0)]].concat(), LossPromise::None), Verdict::Broken);
    }

    #[test]
    fn the_longest_gap_counts_as_unavailable() {
        let history = [
            Event::Load { at_ns: 0 },
            send(1, 1),
            acked(1, 10, 0),
            send(2, 20),
            acked(2, 4_010, 1),
            Event::Unload { at_ns: 5_000 * MS },
        ];
        assert_eq!(judge_against(&history, &Promise { loss: LossPromise::None, source: "" }).unavailable_ms, 4_000);
    }
}
