//! Replicas: at the end every slave's log is its master's, byte for byte, from its beginning to its end.
//!
//! | what is seen | named |
//! |---|---|
//! | another record, or none, at a place at which the master has one | divergence |
//! | a slave's log that goes on behind the end of its master's | divergence |
//! | a slave's log that ends before its master's, although nothing is broken any more | not live |
//! | a slave's log that begins after its master's, although its own disk was never full | a history that was never copied |
//!
//! Records are compared by the checksum of all their bytes at the same physical offset, so that two different messages of
//! the same size are told apart (they are what Apache's broker leaves, `DefaultHAService` #1155).

use super::{
    finding,
    ledger::{Ledger, LogRecord, Replica},
};
use reports::Finding;
use std::cmp::Ordering;

/// What the replicas of all brokers say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replicas {
    /// One finding for each slave that differs.
    pub divergences: Vec<Finding>,
    /// In how many places they do.
    pub divergent_places: u64,
    /// Slaves without the beginning of their master's log.
    pub histories: Vec<Finding>,
    /// Slaves that did not catch up.
    pub behind: Vec<Finding>,
}

/// Compares every slave with its master.
pub fn find(ledger: &Ledger) -> Replicas {
    let mut found = Replicas::default();
    for slave in ledger.replicas.values().filter(|replica| !replica.is_master) {
        let is_its_master = |replica: &&Replica| replica.is_master && replica.broker == slave.broker;
        if let Some(master) = ledger.replicas.values().find(is_its_master) {
            compare(master, slave, ledger.was_full(&slave.host), &mut found);
        }
    }
    found
}

fn compare(master: &Replica, slave: &Replica, was_full: bool, found: &mut Replicas) {
    let (here, there) = (&slave.host, &master.host);
    let (from, to) = (master.min.max(slave.min), master.max.min(slave.max));
    let within = |replica: &Replica| {
        let from = replica.records.partition_point(|record| record.physical < from);
        let to = replica.records.partition_point(|record| record.physical < to);
        from..to.max(from)
    };
    let differing = differing(&master.records[within(master)], &slave.records[within(slave)]);
    if let Some((at, theirs, ours)) = differing.first() {
        let name = |record: &Option<&LogRecord>| match record {
            Some(LogRecord { id: Some(id), queue, offset, .. }) => format!("{id} ({queue} offset {offset})"),
            Some(LogRecord { queue, offset, .. }) => format!("a message of {queue} offset {offset}"),
            None => "no record".to_owned(),
        };
        let more = differing.len() - 1;
        let more = if more > 0 { format!(", and so on in {more} more places") } else { String::new() };
        found.divergences.push(finding(
            "divergence",
            format!(
                "at physical offset {at} {there} holds {}, and its slave {here} holds {}{more}",
                name(theirs),
                name(ours)
            ),
        ));
    }
    found.divergent_places += differing.len() as u64;
    if slave.max > master.max {
        found.divergences.push(finding(
            "divergence",
            format!("the log of {here} goes on to {}, beyond the end of its master's at {}", slave.max, master.max),
        ));
        found.divergent_places += 1;
    }
    if slave.max < master.max {
        found.behind.push(finding(
            "replicas",
            format!("{here} does not catch up: its log ends at {}, its master's at {}", slave.max, master.max),
        ));
    }
    // An empty slave has no beginning; that it is behind says it all. One that had no room has deleted its oldest files, as any
    // broker does by itself, and as its master may have done too.
    if slave.min > master.min && slave.max > slave.min && !was_full {
        found.histories.push(finding(
            "replicas",
            format!(
                "the log of {here} begins at {}, its master's at {}: what is before that has no second copy",
                slave.min, master.min
            ),
        ));
    }
}

type Difference<'a> = (u64, Option<&'a LogRecord>, Option<&'a LogRecord>);

/// Walks two logs at the same pace and collects the places at which they differ.
fn differing<'a>(master: &'a [LogRecord], slave: &'a [LogRecord]) -> Vec<Difference<'a>> {
    let mut differing = Vec::new();
    let (mut theirs, mut ours) = (master.iter().peekable(), slave.iter().peekable());
    loop {
        let order = match (theirs.peek(), ours.peek()) {
            (None, None) => return differing,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(one), Some(another)) => one.physical.cmp(&another.physical),
        };
        let one = if order.is_le() { theirs.next() } else { None };
        let another = if order.is_ge() { ours.next() } else { None };
        if one.map(|record| record.checksum) != another.map(|record| record.checksum)
            && let Some(record) = one.or(another)
        {
            differing.push((record.physical, one, another));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{history::Event, oracle::fixture::*};

    fn judge(events: &[Event]) -> Replicas {
        find(&Ledger::new(events))
    }

    /// The log of one replica: messages with these sequence numbers, 100 bytes each.
    fn log(is_master: bool, from: u64, sequences: &[u32]) -> Vec<Event> {
        let mut events = vec![replica(is_master, from, from + 100 * sequences.len() as u64)];
        let places = (0_u32..).map(|number| from + 100 * u64::from(number));
        events.extend(
            places
                .zip(sequences)
                .map(|(place, sequence)| record(is_master, place, *sequence, place.cast_signed() / 100)),
        );
        events
    }

    #[test]
    fn equal_logs_are_fine() {
        assert_eq!(judge(&[log(true, 0, &[1, 2, 3]), log(false, 0, &[1, 2, 3])].concat()), Replicas::default());
        assert_eq!(judge(&log(true, 0, &[1, 2, 3])), Replicas::default());
        // A master may have deleted old files that its slave still has.
        assert_eq!(judge(&[log(true, 100, &[2, 3]), log(false, 0, &[1, 2, 3])].concat()), Replicas::default());
    }

    #[test]
    fn other_messages_of_the_same_size_are_a_divergence() {
        // What exp_ha_divergence of 4.9.8 left: new3, new4 here and old3, old4 there, and equal again behind them.
        let found = judge(&[log(true, 0, &[0, 1, 2, 13, 14, 5]), log(false, 0, &[0, 1, 2, 3, 4, 5])].concat());
        assert_eq!((found.divergences.len(), found.divergent_places), (1, 2));
        let message = &found.divergences[0].message;
        assert!(message.starts_with("at physical offset 300 broker-a holds p1-000013"), "{message}");
        assert!(message.contains("broker-a-s holds p1-000003") && message.contains("1 more place"), "{message}");
    }

    #[test]
    fn a_record_where_the_other_has_none_is_a_divergence() {
        let mut history = [log(true, 0, &[1, 2]), log(false, 0, &[1])].concat();
        history.extend([replica(false, 0, 200), record(false, 150, 9, 9)]);
        assert_eq!(judge(&history).divergent_places, 2);
    }

    #[test]
    fn a_slave_that_goes_on_behind_its_master_is_a_divergence() {
        let found = judge(&[log(true, 0, &[1]), log(false, 0, &[1, 2])].concat());
        assert!(found.divergences[0].message.contains("beyond the end"), "{found:?}");
    }

    #[test]
    fn a_slave_that_stays_behind_is_not_live_and_one_without_the_history_is_named() {
        let found = judge(&[log(true, 0, &[1, 2]), log(false, 0, &[1])].concat());
        assert_eq!((found.divergent_places, found.behind.len(), found.histories.len()), (0, 1, 0));
        let found = judge(&[log(true, 0, &[1, 2]), log(false, 100, &[2])].concat());
        assert_eq!((found.divergent_places, found.behind.len(), found.histories.len()), (0, 0, 1));
    }

    #[test]
    fn a_slave_whose_own_disk_was_full_may_lack_the_beginning_and_nothing_else() {
        let logs = [log(true, 0, &[1, 2, 3]), log(false, 100, &[2, 3])].concat();
        let full = |host: &str| judge(&[vec![disk_full(5, host)], logs.clone()].concat());
        assert_eq!(full("broker-a-s"), Replicas::default());
        assert_eq!(full("broker-a").histories.len(), 1, "that its master had no room is no reason");
        let torn = [log(true, 0, &[1, 2, 3]), log(false, 100, &[9, 3])].concat();
        assert_eq!(judge(&[vec![disk_full(5, "broker-a-s")], torn].concat()).divergent_places, 1);
        let behind = [log(true, 0, &[1, 2, 3]), log(false, 100, &[2])].concat();
        assert_eq!(judge(&[vec![disk_full(5, "broker-a-s")], behind].concat()).behind.len(), 1);
    }
}
