//! Liveness after healing: once everything is healed, sends succeed again and at every broker, every queue can be read, and
//! the group gets to the end of every queue. (That slaves catch up is what [`replicas`](super::replicas) looks at.)

use super::{finding, ledger::Ledger};
use reports::Finding;

/// What shows that the cluster is not live again; nothing when it is, or when the history does not say that it was healed.
pub fn find(ledger: &Ledger) -> Vec<Finding> {
    let Some(healed_at_ns) = ledger.healed_at_ns else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    let tried = ledger.messages.values().any(|entry| entry.sent_at_ns.is_some_and(|at_ns| at_ns >= healed_at_ns));
    if tried && ledger.acked_at_ns.last().is_none_or(|at_ns| *at_ns < healed_at_ns) {
        findings.push(finding("liveness", "no send succeeded after everything was healed".to_owned()));
    }
    for (broker, why) in &ledger.refusing {
        let text = format!("{broker} takes no sends although everything was healed: {why}");
        findings.push(finding("liveness", text));
    }
    for (queue, why) in &ledger.unreadable {
        findings.push(finding("liveness", format!("{queue} cannot be read: {why}")));
    }
    for end in &ledger.queues {
        let behind = end.max.saturating_sub(end.committed.unwrap_or(end.min).max(end.min));
        if behind > 0 {
            findings
                .push(finding("liveness", format!("the group is {behind} messages behind the end of {}", end.queue)));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{history::Event, oracle::fixture::*};

    const HEALED: Event = Event::Healed { at_ns: 50 * MS };

    #[test]
    fn a_cluster_that_goes_on_is_live() {
        let mut history = vec![HEALED];
        history.extend(good(1, 60, 0));
        history.push(offsets(0, 1, Some(1)));
        assert_eq!(find(&Ledger::new(&history)), []);
    }

    #[test]
    fn no_success_after_healing_is_not_live() {
        let mut history = good(1, 1, 0);
        history.extend([HEALED, send(2, 60), sent(2, 61, crate::history::Outcome::Unknown)]);
        assert_eq!(find(&Ledger::new(&history)).len(), 1);
    }

    #[test]
    fn a_group_that_does_not_get_to_the_end_is_not_live() {
        assert_eq!(find(&Ledger::new(&[HEALED, offsets(0, 3, Some(2))])).len(), 1);
        assert_eq!(find(&Ledger::new(&[HEALED, offsets(0, 3, None)])).len(), 1);
    }

    #[test]
    fn a_queue_that_cannot_be_read_is_not_live() {
        let event = Event::Unreadable { queue: QUEUE.into(), why: "time-out".into() };
        assert_eq!(find(&Ledger::new(&[HEALED, event])).len(), 1);
    }

    #[test]
    fn a_broker_that_takes_no_sends_is_not_live_unless_it_does_at_last() {
        let probe = |ok| Event::Probe { at_ns: 60 * MS, broker: "broker-a".into(), ok, why: Some("refused".into()) };
        assert_eq!(find(&Ledger::new(&[HEALED, probe(false)])).len(), 1);
        assert_eq!(find(&Ledger::new(&[HEALED, probe(false), probe(true)])), []);
    }
}
