//! Shapes of partitions: pure functions from lists of hosts to the directed ways that a fault cuts or jams.
//!
//! The names are those of Jepsen's `nemesis.clj` (bridge, majorities ring) and FoundationDB's `RandomClogging` (swizzle). A
//! way is (from, to) and stands for one direction; no function names the way of a host to itself. Results are sorted.

use super::{HostId, Stream};
use std::collections::BTreeSet;

/// The way from one host to another.
pub type Way = (HostId, HostId);

fn sorted(ways: impl IntoIterator<Item = Way>) -> Vec<Way> {
    let ways: BTreeSet<Way> = ways.into_iter().filter(|(from, to)| from != to).collect();
    ways.into_iter().collect()
}

/// All ways from one group to another, and none back: what a broken route or one direction of a fibre does.
pub fn one_way(from: &[HostId], to: &[HostId]) -> Vec<Way> {
    sorted(from.iter().flat_map(|&from| to.iter().map(move |&to| (from, to))))
}

/// All ways between two groups, in both directions.
pub fn between(left: &[HostId], right: &[HostId]) -> Vec<Way> {
    sorted(one_way(left, right).into_iter().chain(one_way(right, left)))
}

/// All ways between different groups: inside of a group everybody hears everybody.
pub fn groups(groups: &[&[HostId]]) -> Vec<Way> {
    let pairs =
        groups.iter().enumerate().flat_map(|(at, left)| groups[at + 1..].iter().map(move |right| (left, right)));
    sorted(pairs.flat_map(|(left, right)| between(left, right)))
}

/// All ways to and from one host.
pub fn isolate(host: HostId, hosts: &[HostId]) -> Vec<Way> {
    between(&[host], hosts)
}

/// Two halves that hear each other only through the host in the middle, which hears and is heard by all: connectivity is not
/// transitive. The halves are the first and the last hosts of the list; with an even number the second is larger. Fewer
/// than three hosts give nothing.
pub fn bridge(hosts: &[HostId]) -> Vec<Way> {
    if hosts.len() < 3 {
        return Vec::new();
    }
    let middle = (hosts.len() - 1) / 2;
    between(&hosts[..middle], &hosts[middle + 1..])
}

/// Every host hears a majority, itself included, and no two hosts hear the same one: its neighbours on a ring in the order of
/// the list. Where majorities are even one neighbour more is on the right, and some ways are cut in one direction only. Fewer
/// than three hosts give nothing, since there a majority is everybody.
pub fn majorities_ring(hosts: &[HostId]) -> Vec<Way> {
    let count = hosts.len();
    let majority = count / 2 + 1;
    if majority == count {
        return Vec::new();
    }
    let left = (majority - 1) / 2;
    let unheard = |listener: usize| {
        // Positions on the ring, counted from the leftmost neighbour that is heard.
        let first = listener + count - left;
        (majority..count).map(move |step| (hosts[(first + step) % count], hosts[listener]))
    };
    sorted((0..count).flat_map(unheard))
}

/// One step of a [`swizzle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwizzleStep {
    /// Whose ways, to and from all others, are jammed or released: those of [`isolate`].
    pub host: HostId,
    /// Jammed by this step, or released.
    pub jams: bool,
}

/// A swizzle: some of the hosts are jammed one after the other, and released one after the other in another order.
///
/// Every host takes part with probability ½, at least one does. Jams first, then releases; when each step happens is the
/// caller's choice. Nothing for no hosts.
pub fn swizzle(hosts: &[HostId], stream: &mut Stream) -> Vec<SwizzleStep> {
    let mut chosen: Vec<HostId> = hosts.iter().copied().filter(|_| stream.chance(0.5)).collect();
    if chosen.is_empty()
        && let Some(&host) = hosts.get(stream.below(hosts.len() as u64) as usize)
    {
        chosen.push(host);
    }
    let mut steps = Vec::new();
    for jams in [true, false] {
        shuffle(&mut chosen, stream);
        steps.extend(chosen.iter().map(|&host| SwizzleStep { host, jams }));
    }
    steps
}

/// Fisher and Yates.
fn shuffle(hosts: &mut [HostId], stream: &mut Stream) {
    for last in (1..hosts.len()).rev() {
        hosts.swap(last, stream.below(last as u64 + 1) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulated::key::Key;
    use proptest::prelude::*;

    fn hosts(count: u32) -> Vec<HostId> {
        (0..count).map(HostId).collect()
    }

    /// Whom a host hears, itself included.
    fn heard(by: HostId, hosts: &[HostId], cuts: &[Way]) -> BTreeSet<HostId> {
        hosts.iter().copied().filter(|&from| !cuts.contains(&(from, by))).collect()
    }

    /// Testbeds §1.2 "symmetric partition" and "one-way partition".
    #[test]
    fn groups_are_cut_both_ways_and_one_way_cuts_only_one() {
        let all = hosts(4);
        let cuts = groups(&[&all[..1], &all[1..3], &all[3..]]);
        assert_eq!(cuts.len(), 10);
        assert!(cuts.iter().all(|&(from, to)| cuts.contains(&(to, from))));
        assert!(!cuts.contains(&(all[1], all[2])));
        assert_eq!(one_way(&all[..1], &all), [1, 2, 3].map(|to| (all[0], HostId(to))));
        assert_eq!(isolate(all[3], &all), between(&all[3..], &all[..3]));
    }

    /// Testbeds §1.2 "partial / non-transitive": bridge.
    #[test]
    fn a_bridge_is_heard_by_all_and_the_halves_are_apart() {
        assert_eq!(bridge(&hosts(2)), []);
        for count in 3..9 {
            let all = hosts(count);
            let cuts = bridge(&all);
            let middle = all[(count as usize - 1) / 2];
            assert_eq!(heard(middle, &all, &cuts).len(), count as usize);
            assert!(cuts.contains(&(all[0], all[count as usize - 1])));
            assert!(cuts.iter().all(|&(from, to)| from != middle && to != middle && cuts.contains(&(to, from))));
        }
    }

    /// Testbeds §1.2 "partial / non-transitive": majorities ring.
    #[test]
    fn on_a_majorities_ring_every_host_hears_another_majority() {
        assert_eq!(majorities_ring(&hosts(2)), []);
        for count in 3..10 {
            let all = hosts(count);
            let cuts = majorities_ring(&all);
            let views: BTreeSet<_> = all.iter().map(|&host| heard(host, &all, &cuts)).collect();
            assert_eq!(views.len(), count as usize, "no two hosts hear the same");
            assert!(views.iter().all(|view| view.len() == count as usize / 2 + 1), "{count}: {views:?}");
            assert!(all.iter().all(|&host| heard(host, &all, &cuts).contains(&host)));
        }
    }

    proptest! {
        /// Testbeds §1.2 "swizzle-clog": whoever is jammed is released, once, after the last jam.
        #[test]
        fn a_swizzle_releases_whom_it_jams(seed in any::<u64>(), count in 0..12_u32) {
            let all = hosts(count);
            let steps = swizzle(&all, &mut Key::root(seed).stream());
            let (jams, releases): (Vec<_>, Vec<_>) = steps.iter().partition(|step| step.jams);
            prop_assert_eq!(jams.is_empty(), count == 0);
            prop_assert!(steps[..jams.len()].iter().all(|step| step.jams));
            let set = |steps: &[&SwizzleStep]| steps.iter().map(|step| step.host).collect::<BTreeSet<_>>();
            prop_assert_eq!(set(&jams), set(&releases));
            prop_assert_eq!((set(&jams).len(), releases.len()), (jams.len(), jams.len()));
            prop_assert!(set(&jams).is_subset(&all.into_iter().collect()));
        }
    }

    #[test]
    fn swizzles_release_in_another_order_than_they_jam() {
        let differs = (0..100).filter(|&seed| {
            let steps = swizzle(&hosts(8), &mut Key::root(seed).stream());
            let order = |jams| steps.iter().filter(|step| step.jams == jams).map(|step| step.host).collect::<Vec<_>>();
            order(true) != order(false)
        });
        assert!(differs.count() > 80);
    }
}
