//! Whether Apache's slave may follow, by the only thing that it says: where its log ends. Pure.
//!
//! Its bytes cannot be compared: it does not answer questions. So it is believed only where this master knows the answer: what
//! was in the log before the present epoch began, and what it has itself sent to that address since. A slave whose log ends
//! elsewhere may hold what a former life of this master has lost (#1155): to continue it would make the two different for ever,
//! and to count its reports would acknowledge what no slave has.

use protocol::PhysicalOffset;
use quirks::{Quirk, QuirkSet};
use store::LogHistory;

use group::logs::first_offset;

/// What the master knows when the first report comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Knowledge<'a> {
    pub history: &'a LogHistory,
    /// Where the present epoch began.
    pub epoch_start: PhysicalOffset,
    /// Up to where this address has been sent the log in this life of the master.
    pub shipped: Option<PhysicalOffset>,
    pub file_bytes: u64,
    pub from_last_file: bool,
    pub quirks: QuirkSet,
}

/// What follows from the first report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FirstReport {
    /// The watermark goes there, whether it is true or not ([`Quirk::ReplicaOffsetBelieved`]).
    pub believed: Option<PhysicalOffset>,
    /// From where it is sent the log; or why it is sent nothing.
    pub outcome: Result<PhysicalOffset, String>,
}

/// Judges the first report of a slave of Apache's.
pub(crate) fn judge_first_report(knowledge: &Knowledge<'_>, report: PhysicalOffset) -> FirstReport {
    let Knowledge { history, quirks, .. } = knowledge;
    let beyond = report > history.max;
    let believed = (beyond && (quirks.has(Quirk::ReplicaOffsetBelieved) || quirks.has(Quirk::ReplicaOffsetUnguarded)))
        .then_some(report);
    FirstReport { believed, outcome: judge(knowledge, report, believed.is_some()) }
}

fn judge(knowledge: &Knowledge<'_>, report: PhysicalOffset, believed: bool) -> Result<PhysicalOffset, String> {
    let Knowledge { history, epoch_start, shipped, file_bytes, from_last_file, quirks } = *knowledge;
    if report == PhysicalOffset::ZERO {
        return Ok(first_offset(history, file_bytes, from_last_file));
    }
    if quirks.has(Quirk::DivergenceUnchecked) && (believed || report <= history.max) {
        return Ok(report);
    }
    let remedy = "move the slave's store directory aside and start it empty, or run it as a slave of this kind, which can be verified";
    if report > history.max {
        return Err(format!(
            "it has {report} bytes of log, more than this master's {}: the two have diverged; {remedy}",
            history.max
        ));
    }
    if report < history.min {
        return Err(format!("its log ends at {report}, and this master's begins at {}: {remedy}", history.min));
    }
    if report <= epoch_start || shipped.is_some_and(|shipped| report <= shipped) {
        return Ok(report);
    }
    Err(format!(
        "its log ends at {report}, which this master has not sent it since its epoch began at {epoch_start}: it may hold \
         messages that this master has lost, and Apache's protocol cannot tell; {remedy}"
    ))
}

#[cfg(test)]
mod tests {
    use store::EpochEntry;

    use super::*;

    fn history() -> LogHistory {
        let epochs = [(1, 0), (2, 3000)].map(|(id, start)| EpochEntry { id, start: PhysicalOffset(start) });
        LogHistory { epochs: epochs.to_vec(), min: PhysicalOffset(1000), max: PhysicalOffset(5500) }
    }

    fn judged(report: i64, change: impl Fn(&mut Knowledge<'_>)) -> (Option<i64>, Option<i64>) {
        let history = history();
        let mut knowledge = Knowledge {
            history: &history,
            epoch_start: PhysicalOffset(3000),
            shipped: None,
            file_bytes: 1000,
            from_last_file: false,
            quirks: QuirkSet::NONE,
        };
        change(&mut knowledge);
        let FirstReport { believed, outcome } = judge_first_report(&knowledge, PhysicalOffset(report));
        (believed.map(|offset| offset.0), outcome.ok().map(|offset| offset.0))
    }

    #[test]
    fn it_is_believed_only_where_the_master_knows_better() {
        assert_eq!(judged(0, |_| {}), (None, Some(1000)), "all there is");
        assert_eq!(judged(0, |knowledge| knowledge.from_last_file = true), (None, Some(5000)));
        assert_eq!(judged(3000, |_| {}), (None, Some(3000)), "from before this life");
        assert_eq!(judged(3001, |_| {}), (None, None), "from a lost life, maybe");
        let shipped = |knowledge: &mut Knowledge<'_>| knowledge.shipped = Some(PhysicalOffset(4000));
        assert_eq!(judged(4000, shipped), (None, Some(4000)));
        assert_eq!(judged(4001, shipped), (None, None));
        assert_eq!(judged(999, |_| {}), (None, None), "#3388: what it needs is gone");
        assert_eq!(judged(5501, |_| {}), (None, None), "#1155: it has more than the master");
    }

    #[cfg(not(feature = "real"))]
    #[test]
    fn with_quirks_it_is_believed_as_apache_does() {
        let with = |quirks: &'static [Quirk]| {
            move |knowledge: &mut Knowledge<'_>| {
                knowledge.quirks = quirks.iter().fold(QuirkSet::NONE, |set, quirk| set.with(*quirk));
            }
        };
        let unchecked = with(&[Quirk::DivergenceUnchecked]);
        assert_eq!(judged(3001, unchecked), (None, Some(3001)));
        assert_eq!(judged(5501, unchecked), (None, None));
        let apache_498 = with(&[Quirk::DivergenceUnchecked, Quirk::ReplicaOffsetBelieved]);
        assert_eq!(judged(5501, apache_498), (Some(5501), Some(5501)));
        assert_eq!(judged(5501, with(&[Quirk::ReplicaOffsetBelieved])), (Some(5501), None));
        let apache_53 = with(&[Quirk::DivergenceUnchecked, Quirk::ReplicaOffsetUnguarded]);
        assert_eq!(judged(5501, apache_53), (Some(5501), Some(5501)));
    }
}
