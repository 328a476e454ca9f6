//! How far two logs are the same, by their epochs.

use protocol::PhysicalOffset;

use super::{EpochEntry, LogHistory};

/// How far two logs are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommonPoint {
    /// Up to here, as far as epochs tell.
    At(PhysicalOffset),
    /// They have no epoch in common: two different logs.
    Unrelated,
    /// One of them has no byte: there is nothing to compare.
    Empty,
}

/// How far `a` and `b` are the same. It does not matter which is which.
///
/// The newest epoch that both have decides: each has its bytes from the one master that wrote it, so they are the same up to
/// where it ends first. Bytes of unknown origin at the beginning of both count as one epoch, if they overlap: their checksums
/// must be compared, as those of all logs.
///
/// ```
/// use protocol::PhysicalOffset;
/// use store::{CommonPoint, EpochEntry, LogHistory, common_point};
///
/// let epoch = |id, start| EpochEntry { id, start: PhysicalOffset(start) };
/// let log = |epochs: &[_], max| LogHistory { epochs: epochs.to_vec(), min: PhysicalOffset(0), max: PhysicalOffset(max) };
/// // The master lost what it had written behind 500, and has begun epoch 8 there; the slave still has it.
/// let master = log(&[epoch(7, 0), epoch(8, 500)], 900);
/// let slave = log(&[epoch(7, 0)], 620);
/// assert_eq!(common_point(&master, &slave), CommonPoint::At(PhysicalOffset(500)));
/// ```
#[must_use]
pub fn common_point(a: &LogHistory, b: &LogHistory) -> CommonPoint {
    if a.is_empty() || b.is_empty() {
        return CommonPoint::Empty;
    }
    let at = |in_a: usize, in_b: usize| a.end_of(in_a).min(b.end_of(in_b)).min(a.max).min(b.max);
    for (in_a, epoch) in a.epochs.iter().enumerate().rev() {
        if epoch.id == EpochEntry::UNKNOWN_ID {
            continue;
        }
        if let Some(in_b) = b.epochs.iter().rposition(|other| other == epoch) {
            return CommonPoint::At(at(in_a, in_b));
        }
    }
    let begins_unknown = |log: &LogHistory| log.epochs.first().is_some_and(|first| first.id == EpochEntry::UNKNOWN_ID);
    if begins_unknown(a) && begins_unknown(b) {
        let common = at(0, 0);
        if common > a.min.max(b.min) {
            return CommonPoint::At(common);
        }
    }
    CommonPoint::Unrelated
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn epoch(id: u64, start: i64) -> EpochEntry {
        EpochEntry { id, start: PhysicalOffset(start) }
    }

    fn log(list: &[(u64, i64)], min: i64, max: i64) -> LogHistory {
        let epochs = list.iter().map(|(id, start)| epoch(*id, *start)).collect();
        LogHistory { epochs, min: PhysicalOffset(min), max: PhysicalOffset(max) }
    }

    fn common(a: &LogHistory, b: &LogHistory) -> CommonPoint {
        assert!(a.is_sound() && b.is_sound(), "{a:?} {b:?}");
        let point = common_point(a, b);
        assert_eq!(point, common_point(b, a));
        point
    }

    fn at(offset: i64) -> CommonPoint {
        CommonPoint::At(PhysicalOffset(offset))
    }

    #[test]
    fn the_newest_common_epoch_decides() {
        let master = log(&[(1, 0), (2, 100), (3, 200)], 0, 300);
        assert_eq!(common(&master, &master), at(300));
        assert_eq!(common(&master, &log(&[(1, 0), (2, 100)], 0, 150)), at(150), "a shorter one");
        assert_eq!(common(&master, &log(&[(1, 0), (2, 100)], 0, 250)), at(200), "the end of epoch 2 was lost");
        assert_eq!(common(&master, &log(&[(1, 0), (2, 100), (9, 170)], 0, 250)), at(170));
        assert_eq!(common(&master, &log(&[(2, 100), (3, 200)], 120, 280)), at(280), "old files were deleted");
        assert_eq!(common(&master, &log(&[(8, 0), (9, 10)], 0, 300)), CommonPoint::Unrelated);
        assert_eq!(common(&master, &log(&[(2, 0)], 0, 300)), CommonPoint::Unrelated, "the same number is not enough");
        assert_eq!(common(&master, &log(&[(1, 0)], 0, 0)), CommonPoint::Empty);
    }

    #[test]
    fn epochs_without_bytes_count_too() {
        let master = log(&[(1, 0), (2, 100), (3, 100)], 0, 300);
        assert_eq!(common(&master, &log(&[(1, 0), (2, 100)], 0, 180)), at(100));
        assert_eq!(common(&master, &log(&[(1, 0), (2, 100)], 0, 100)), at(100));
    }

    #[test]
    fn unknown_bytes_are_compared_where_they_overlap() {
        let apache = log(&[(0, 0)], 0, 300);
        assert_eq!(common(&apache, &log(&[(0, 100)], 100, 250)), at(250));
        assert_eq!(common(&apache, &log(&[(0, 0), (5, 200)], 0, 250)), at(200));
        assert_eq!(common(&apache, &log(&[(0, 300)], 300, 350)), CommonPoint::Unrelated);
        assert_eq!(common(&apache, &log(&[(4, 0)], 0, 300)), CommonPoint::Unrelated);
        let later = log(&[(4, 0), (0, 100)], 0, 300);
        assert_eq!(common(&apache, &later), CommonPoint::Unrelated, "copied from an Apache master after another life");
    }

    /// What happens to a pair of replicas of which only one is master at a time.
    #[derive(Clone, Debug)]
    enum Step {
        /// The master begins a new epoch and writes bytes.
        Life(u8),
        /// The slave truncates to the common point, and copies so many bytes and the epochs they are in.
        Copy(u8),
        /// The master loses its end.
        Lose(u8),
        /// The slave loses its end.
        SlaveLoses(u8),
        /// Old bytes are deleted.
        Delete(bool, u8),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        prop::collection::vec(
            prop_oneof![
                any::<u8>().prop_map(Step::Life),
                any::<u8>().prop_map(Step::Copy),
                any::<u8>().prop_map(Step::Lose),
                any::<u8>().prop_map(Step::SlaveLoses),
                (any::<bool>(), any::<u8>()).prop_map(|(of, bytes)| Step::Delete(of, bytes)),
            ],
            1..40,
        )
    }

    /// A log whose bytes are known: each is the number of the write that made it.
    #[derive(Clone, Debug, Default)]
    struct Replica {
        bytes: Vec<u64>,
        epochs: Vec<EpochEntry>,
        min: usize,
    }

    impl Replica {
        fn history(&self) -> LogHistory {
            let (min, max) = (PhysicalOffset(self.min as i64), PhysicalOffset(self.bytes.len() as i64));
            LogHistory { epochs: super::super::fit(&self.epochs, min, max), min, max }
        }

        fn cut(&mut self, end: usize) {
            self.bytes.truncate(end.max(self.min));
            self.epochs = self.history().epochs;
        }
    }

    proptest! {
        #[test]
        fn what_is_called_common_is_the_same(steps in steps()) {
            let (mut master, mut slave) = (Replica::default(), Replica::default());
            let mut writes = 0;
            for step in steps {
                match step {
                    Step::Life(bytes) => {
                        writes += 1;
                        let start = PhysicalOffset(master.bytes.len() as i64);
                        master.epochs.push(EpochEntry { id: writes, start });
                        for _ in 0..bytes {
                            writes += 1;
                            master.bytes.push(writes);
                        }
                    }
                    Step::Copy(bytes) => {
                        match common_point(&master.history(), &slave.history()) {
                            CommonPoint::At(point) => slave.cut(point.0 as usize),
                            CommonPoint::Empty if slave.history().is_empty() => {
                                slave = Replica { bytes: vec![0; master.min], min: master.min, ..Replica::default() };
                            }
                            CommonPoint::Empty | CommonPoint::Unrelated => continue,
                        }
                        if slave.bytes.len() < master.min {
                            continue;
                        }
                        let until = master.bytes.len().min(slave.bytes.len() + usize::from(bytes));
                        for offset in slave.bytes.len()..until {
                            let here = PhysicalOffset(offset as i64);
                            let of = master.history().epochs.iter().rfind(|epoch| epoch.start <= here).copied();
                            let of = of.expect("every byte is in an epoch");
                            if slave.epochs.last() != Some(&of) {
                                slave.epochs.push(of);
                            }
                            slave.bytes.push(master.bytes[offset]);
                        }
                    }
                    Step::Lose(bytes) => {
                        let end = master.bytes.len().saturating_sub(usize::from(bytes));
                        master.cut(end);
                    }
                    Step::SlaveLoses(bytes) => {
                        let end = slave.bytes.len().saturating_sub(usize::from(bytes));
                        slave.cut(end);
                    }
                    Step::Delete(of_master, bytes) => {
                        let replica = if of_master { &mut master } else { &mut slave };
                        replica.min = (replica.min + usize::from(bytes) / 4).min(replica.bytes.len());
                        replica.epochs = replica.history().epochs;
                    }
                }
                let (a, b) = (master.history(), slave.history());
                prop_assert!(a.is_sound() && b.is_sound(), "{a:?} {b:?}");
                let point = common_point(&a, &b);
                prop_assert_eq!(point, common_point(&b, &a));
                if let CommonPoint::At(point) = point {
                    let point = point.0 as usize;
                    let from = master.min.max(slave.min).min(point);
                    prop_assert!(point <= master.bytes.len() && point <= slave.bytes.len());
                    prop_assert_eq!(&master.bytes[from..point], &slave.bytes[from..point]);
                }
            }
        }
    }
}
