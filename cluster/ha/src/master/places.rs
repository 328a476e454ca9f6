//! The places on the HA port, of which there are a few: a master has a handful of slaves.
//!
//! Anybody can connect and say nothing, or nothing to the point. When all places are taken, one more connection gets the place of
//! one that has shown least: of those that have not said who they are, else of those that speak Apache's protocol, in which
//! nobody does. Among them it is the oldest one of the address that has most. Slaves of ours keep theirs.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::Notify;

/// What a connection has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// Nothing yet.
    Unknown,
    /// It speaks Apache's protocol.
    Apache,
    /// It belongs to this master's group, by what it says.
    Ours,
}

/// One connection's place.
#[derive(Debug, Default)]
pub(crate) struct Place {
    is_apache: AtomicBool,
    is_ours: AtomicBool,
    is_given_away: Notify,
}

impl Place {
    /// The connection has shown this.
    pub(crate) fn note(&self, standing: Standing) {
        match standing {
            Standing::Unknown => {}
            Standing::Apache => self.is_apache.store(true, Ordering::Relaxed),
            Standing::Ours => self.is_ours.store(true, Ordering::Relaxed),
        }
    }

    fn standing(&self) -> Standing {
        if self.is_ours.load(Ordering::Relaxed) {
            Standing::Ours
        } else if self.is_apache.load(Ordering::Relaxed) {
            Standing::Apache
        } else {
            Standing::Unknown
        }
    }

    /// Resolves when the connection has to end.
    pub(crate) async fn given_away(&self) {
        self.is_given_away.notified().await;
    }
}

/// All places.
#[derive(Debug)]
pub(crate) struct Places {
    max: usize,
    next: u64,
    /// By number: the oldest first.
    taken: BTreeMap<u64, (IpAddr, Arc<Place>)>,
}

impl Places {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, next: 0, taken: BTreeMap::new() }
    }

    /// A place for a connection from `address`, and its number. `None`: slaves of ours have them all.
    pub(crate) fn take(&mut self, address: IpAddr) -> Option<(u64, Arc<Place>)> {
        if self.taken.len() >= self.max {
            let (_, place) = self.taken.remove(&self.least()?)?;
            place.is_given_away.notify_one();
        }
        let (number, place) = (self.next, Arc::new(Place::default()));
        self.next += 1;
        self.taken.insert(number, (address, Arc::clone(&place)));
        Some((number, place))
    }

    /// The connection has ended.
    pub(crate) fn give_back(&mut self, number: u64) {
        self.taken.remove(&number);
    }

    /// Who has to go.
    fn least(&self) -> Option<u64> {
        let standing =
            self.taken.values().map(|(_, place)| place.standing()).min().filter(|least| *least < Standing::Ours)?;
        let of_standing = || self.taken.iter().filter(|(_, (_, place))| place.standing() == standing);
        let mut by_address: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for (_, (address, _)) in of_standing() {
            *by_address.entry(*address).or_default() += 1;
        }
        let most = by_address.values().max()?;
        of_standing().find(|(_, (address, _))| by_address.get(address) == Some(most)).map(|(number, _)| *number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn who_has_shown_least_makes_place_and_slaves_of_ours_stay() {
        let mut places = Places::new(4);
        let taken: Vec<_> = [1, 2, 2, 3].map(|last| places.take(address(last)).expect("there is a place")).into();
        taken[0].1.note(Standing::Apache);
        taken[3].1.note(Standing::Ours);
        // The older of the two at one address, although that of another has waited for longest.
        assert_eq!(places.least(), Some(1));
        let fifth = places.take(address(4)).expect("one makes place").1;
        assert!(!places.taken.contains_key(&1) && places.taken.len() == 4);
        assert_eq!(places.least(), Some(2));
        fifth.note(Standing::Ours);
        taken[2].1.note(Standing::Ours);
        assert_eq!(places.least(), Some(0), "nobody is unknown any more");
        taken[0].1.note(Standing::Ours);
        assert!(places.take(address(9)).is_none());
        places.give_back(3);
        assert!(places.take(address(9)).is_some());
    }
}
