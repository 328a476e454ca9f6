//! Which machine has whose disk, at each moment of a plan.
//!
//! Every machine but a spare begins with a disk of its own. [`Action::MoveDisk`] takes it to the spare that stands in for that
//! machine; what happens to the disk from then on happens in the spare, and the machine that it was taken from has none. A
//! *home* is the machine that a disk began in: whoever asks what became of its content goes by that name.

use crate::{Action, Cast, Plan};

/// The moves of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disks {
    /// When, from where and to where. A checked plan moves each disk once.
    moves: Vec<(u64, String, String)>,
}

impl Disks {
    /// The moves that a plan makes.
    pub fn of(plan: &Plan) -> Disks {
        let moves = plan.events.iter().filter_map(|event| match &event.action {
            Action::MoveDisk { host, to, .. } => Some((event.at_ms, host.clone(), to.clone())),
            _ => None,
        });
        Disks { moves: moves.collect() }
    }

    /// The machine that has the disk whose home is `home`.
    pub fn machine_of<'a>(&'a self, home: &'a str, at_ms: u64) -> &'a str {
        self.until(at_ms).find(|(_, from, _)| from == home).map_or(home, |(.., to)| to)
    }

    /// The home of the disk that is in this machine; nothing when there is none in it.
    pub fn home_of<'a>(&'a self, machine: &'a str, at_ms: u64) -> Option<&'a str> {
        if let Some((_, from, _)) = self.until(at_ms).find(|(.., to)| to == machine) {
            return Some(from);
        }
        let is_empty = Cast::is_spare(machine) || self.until(at_ms).any(|(_, from, _)| from == machine);
        (!is_empty).then_some(machine)
    }

    fn until(&self, at_ms: u64) -> impl Iterator<Item = &(u64, String, String)> {
        self.moves.iter().filter(move |(moved_ms, ..)| *moved_ms <= at_ms)
    }

    /// Whether the disk of this machine will be put into another one.
    pub fn leaves(&self, machine: &str, after_ms: u64) -> bool {
        self.moves.iter().any(|(moved_ms, from, _)| *moved_ms > after_ms && from == machine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PlannedEvent;

    #[test]
    fn a_disk_is_at_home_until_it_is_moved() {
        let moved = |at_ms, host: &str| PlannedEvent {
            at_ms,
            action: Action::MoveDisk { host: host.to_owned(), to: Cast::spare_of(host), boot_after_ms: None },
        };
        let disks = Disks::of(&Plan::of(vec![moved(200, "b"), moved(100, "a")]));
        assert_eq!((disks.machine_of("a", 99), disks.machine_of("a", 100)), ("a", "a-spare"));
        assert_eq!((disks.home_of("a", 99), disks.home_of("a", 100)), (Some("a"), None));
        assert_eq!((disks.home_of("a-spare", 99), disks.home_of("a-spare", 100)), (None, Some("a")));
        assert_eq!((disks.home_of("b", 150), disks.home_of("b-spare", 150)), (Some("b"), None));
        assert_eq!((disks.machine_of("c", 999), disks.home_of("c", 999)), ("c", Some("c")));
        assert!(disks.leaves("b", 199) && !disks.leaves("b", 200) && !disks.leaves("c", 0));
    }
}
