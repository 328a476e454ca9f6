//! From a judged history to the record of a run.

use crate::{
    history::Event,
    oracle::{Judgement, judge, ledger::broker_of, loss::LostMessage},
    promise::Promise,
};
use reports::{Availability, BrokerAvailability, Finding, LossPromise, TimelineEntry, Verdict};

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
    pub availability: Availability,
}

/// Asks all oracles and holds what they say against the promise.
pub fn judge_against(events: &[Event], promise: &Promise) -> Judged {
    let judgement = judge(events);
    let mut findings = Vec::new();
    // What names the defect comes before what it leads to.
    for list in [&judgement.replicas.divergences, &judgement.replicas.histories, &judgement.resurrections] {
        findings.extend(list.iter().take(FINDINGS_MAX).cloned());
    }
    skipped(&judgement, &mut findings);
    broken_loss(&judgement, promise, &mut findings);
    for list in [&judgement.phantoms, &judgement.corruptions, &judgement.order, &judgement.offsets] {
        findings.extend(list.iter().take(FINDINGS_MAX).cloned());
    }
    let not_live = judgement.not_live.iter().chain(&judgement.replicas.behind).cloned().collect::<Vec<_>>();
    let verdict = match (findings.is_empty(), not_live.is_empty()) {
        (false, _) => Verdict::Broken,
        (true, false) => Verdict::NotLive,
        (true, true) => Verdict::Held,
    };
    findings.extend(not_live.into_iter().take(FINDINGS_MAX));
    Judged {
        verdict,
        findings,
        oldest_lost_ms: judgement.loss.oldest_ms(),
        unavailable_ms: longest_gap_ms(&judgement, &judgement.ledger.acked_at_ns),
        availability: availability(&judgement),
        judgement,
    }
}

/// Acknowledged messages that stand in their queue and were passed over, which no promise covers.
fn skipped(judgement: &Judgement, findings: &mut Vec<Finding>) {
    let told = judgement.loss.lost.iter().filter(|lost| lost.skipped).map(|lost| {
        let place = judgement.ledger.messages.get(&lost.id).and_then(|entry| entry.stored.first());
        let place =
            place.map_or_else(|| "in its queue".to_owned(), |(queue, offset)| format!("at {queue} offset {offset}"));
        let message =
            format!("{} was acknowledged and stands {place}; the group moved past it and was never given it", lost.id);
        Finding { oracle: "skipped".to_owned(), message }
    });
    findings.extend(told.take(FINDINGS_MAX));
}

/// The losses that the promise does not cover.
fn broken_loss(judgement: &Judgement, promise: &Promise, findings: &mut Vec<Finding>) {
    let beyond = judgement.loss.lost.iter().filter(|lost| !lost.skipped).filter_map(|lost| {
        let why = match (lost.fault_at_ns, lost.age_ns) {
            (Some(fault_at_ns), Some(age_ns)) => beyond(judgement, promise, lost, fault_at_ns, age_ns)?,
            _ => "is gone, and no fault came after its acknowledgement".to_owned(),
        };
        Some(Finding { oracle: "loss".to_owned(), message: format!("{} {why}", lost.id) })
    });
    findings.extend(beyond.take(FINDINGS_MAX));
}

/// Why a loss is one that the promise does not cover, of which a fault at this moment is the cause; nothing if it is covered.
fn beyond(
    judgement: &Judgement,
    promise: &Promise,
    lost: &LostMessage,
    fault_at_ns: u64,
    age_ns: u64,
) -> Option<String> {
    let entry = judgement.ledger.messages.get(&lost.id)?;
    let broker = entry.answered_place.as_ref().map(|(queue, _)| broker_of(queue));
    let allowed = promise.allowed(broker, entry.answered_at_ns, fault_at_ns);
    let age_ms = age_ns.div_ceil(1_000_000);
    match allowed.loss {
        _ if lost.deleted && allowed.oldest => None,
        LossPromise::Host => None,
        LossPromise::Window { bound_ms } if age_ms <= bound_ms => None,
        _ if lost.deleted => Some("is gone from the beginning of its queue, which nobody may delete".to_owned()),
        LossPromise::None | LossPromise::Oldest => {
            Some(format!("is gone; it was acknowledged {age_ms} ms before the fault"))
        }
        LossPromise::Window { bound_ms } => Some(format!(
            "is gone; it was acknowledged {age_ms} ms before the fault, beyond the bound of {bound_ms} ms"
        )),
    }
}

/// By broker name: the longest time without a successful send and without a delivery while there was load. Only what the
/// history names is known; a broker of which nothing was ever heard is not in it.
fn availability(judgement: &Judgement) -> Availability {
    let of_broker = |service: &crate::oracle::ledger::Service| BrokerAvailability {
        longest_without_send_ms: longest_gap_ms(judgement, &service.acked_at_ns),
        longest_without_delivery_ms: longest_gap_ms(judgement, &service.delivered_at_ns),
    };
    let brokers = judgement.ledger.service.iter();
    Availability { brokers: brokers.map(|(broker, service)| (broker.to_string(), of_broker(service))).collect() }
}

/// The longest time between two of these moments, in rising order, while there was load.
fn longest_gap_ms(judgement: &Judgement, moments_ns: &[u64]) -> u64 {
    let ledger = &judgement.ledger;
    let (Some(from), Some(to)) = (ledger.load_from_ns, ledger.load_to_ns) else {
        return 0;
    };
    if ledger.counts.sent == 0 {
        return 0;
    }
    if to < from {
        return 0;
    }
    let mut last = from;
    let mut longest = 0;
    for at_ns in moments_ns.iter().copied().filter(|at_ns| (from..=to).contains(at_ns)).chain([to]) {
        longest = longest.max(at_ns.saturating_sub(last));
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
            Event::Probe { at_ns, broker, ok: false, why } => {
                let why = why.as_deref().unwrap_or("no reason is given");
                Some(entry(*at_ns, format!("✗ {broker}: takes no send: {why}")))
            }
            Event::End { at_ns } => Some(entry(*at_ns, "  every queue was read; the run is over".to_owned())),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{oracle::fixture::*, promise::Allowed};

    fn promise(loss: LossPromise) -> Promise {
        Promise::of(Allowed { loss, oldest: false, source: "" })
    }

    fn verdict(events: &[Event], loss: LossPromise) -> Verdict {
        judge_against(events, &promise(loss)).verdict
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

    /// Retention takes the beginning of a queue, and excuses nothing else; and it is excused by a full disk alone.
    #[test]
    fn what_a_full_disk_deletes_is_held_where_the_promise_says_so_and_nothing_else_is() {
        let history = |fault| vec![send(1, 1), acked(1, 2, 0), send(2, 3), acked(2, 4, 1), fault, offsets(1, 1, None)];
        let judge = |events: &[Event], oldest, loss| {
            let judged = judge_against(events, &Promise::of(Allowed { loss, oldest, source: "" }));
            judged.findings.into_iter().map(|finding| finding.message).collect::<Vec<_>>()
        };
        let full = [history(disk_full(10, "broker-a")), vec![delivered(2, 12, 1), stored(2, 1)]].concat();
        assert_eq!(judge(&full, true, LossPromise::None), [""; 0]);
        let told = judge(&full, false, LossPromise::None);
        assert!(told[0].contains("gone from the beginning of its queue"), "{told:?}");
        // The second message is gone too, and lies behind the beginning.
        let told = judge(&history(disk_full(10, "broker-a")), true, LossPromise::None);
        assert!(told.len() == 1 && told[0].contains("no fault came after"), "{told:?}");
        let power = judge(&history(power_loss(10)), true, LossPromise::None);
        assert_eq!(power.len(), 2, "no disk was full: {power:?}");
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
    fn a_defect_is_named_before_what_it_leads_to() {
        let oracles = |events: &[Event]| {
            let judged = judge_against(events, &promise(LossPromise::Host));
            judged.findings.into_iter().map(|finding| finding.oracle).collect::<Vec<_>>()
        };
        let diverged = [replica(true, 0, 100), record(true, 0, 1, 0), replica(false, 0, 100), record(false, 0, 2, 0)];
        assert_eq!(oracles(&diverged), ["divergence"]);
        let passed_over = [send(1, 10), acked(1, 11, 0), stored(1, 0), power_loss(20)];
        assert_eq!(oracles(&passed_over), ["skipped"]);
        let risen = [send(1, 1), acked(1, 2, 1), power_loss(5), send(2, 10), acked(2, 11, 0), delivered(1, 3, 1)];
        let back = [delivered(2, 12, 0), stored(2, 0), stored(1, 1)];
        assert_eq!(oracles(&[risen.to_vec(), back.to_vec()].concat()), ["resurrection"]);
    }

    /// A small history in which all there is happens.
    fn everything() -> String {
        let documentation = include_str!("history.rs");
        documentation.lines().filter_map(|line| line.strip_prefix("//! {")).map(|rest| format!("{{{rest}\n")).collect()
    }

    proptest::proptest! {
        /// Somebody's file, damaged in any way: refused with its line, or judged.
        #[test]
        fn a_damaged_history_panics_nobody(
            damages in proptest::collection::vec((0_usize..5, 0_usize..10_000, proptest::prelude::any::<i64>()), 1..4),
        ) {
            let mut text = everything().into_bytes();
            for (kind, at, number) in damages {
                let lines = text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>();
                if text.is_empty() {
                    break;
                }
                let (line, byte) = (at % lines.len(), at % text.len());
                text = match kind {
                    0 => [&lines[..line], &lines[line + 1..]].concat().concat(),
                    1 => [&lines[..=line], &lines[line..]].concat().concat(),
                    2 => text[..byte].to_vec(),
                    3 => [&text[..byte], &number.to_be_bytes()[..1], &text[byte + 1..]].concat(),
                    // Another number where one begins.
                    _ => match text[byte..].iter().position(u8::is_ascii_digit) {
                        Some(digit) => {
                            let rest = text[byte + digit..].iter().position(|b| !b.is_ascii_digit()).unwrap_or(1);
                            let (from, to) = (byte + digit, byte + digit + rest);
                            [&text[..from], number.unsigned_abs().to_string().as_bytes(), &text[to..]].concat()
                        }
                        None => text,
                    },
                };
            }
            if let Ok(events) = crate::history::read(&text[..]) {
                judge_against(&events, &promise(LossPromise::None));
            }
        }
    }

    #[test]
    fn a_slave_that_stays_behind_is_not_live() {
        assert_eq!(verdict(&[replica(true, 0, 200), replica(false, 0, 100)], LossPromise::None), Verdict::NotLive);
    }

    #[test]
    fn each_broker_has_its_own_longest_gap() {
        let history = [
            Event::Load { at_ns: 0 },
            send(1, 1),
            acked(1, 10, 0),
            delivered(1, 500, 0),
            Event::Unload { at_ns: 1_000 * MS },
        ];
        let judged = judge_against(&history, &promise(LossPromise::None));
        let expected = BrokerAvailability { longest_without_send_ms: 990, longest_without_delivery_ms: 500 };
        assert_eq!(judged.availability.brokers.into_iter().collect::<Vec<_>>(), [("broker-a".to_owned(), expected)]);
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
        assert_eq!(judge_against(&history, &promise(LossPromise::None)).unavailable_ms, 4_000);
    }
}
