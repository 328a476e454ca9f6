//! Which fault points are active in a run, and when an active one fires.
//!
//! A site is named by `fault_point!` in the source. Whether it is active in a run is a function of (seed, name), as is then,
//! for each host of its own, the stream from which it draws at each evaluation: a site that is added or switched off
//! does not reshuffle the others. A site that fires leaves a step in the trace under its name. While fault points are not
//! armed, an evaluation is one look at a thread-local flag, and draws nothing.

use super::{core::HostId, kernel, key::Key, key::Stream};
use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
};

/// The probability that a site is active in a run: BUGGIFY's (`P_BUGGIFIED_SECTION_ACTIVATED`).
pub const ACTIVE_PROBABILITY: f64 = 0.25;

thread_local! {
    /// Whether the simulation of this thread has armed its fault points.
    static ARMED: Cell<bool> = const { Cell::new(false) };
}

/// Which sites are active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActiveSites {
    /// Each with [`ACTIVE_PROBABILITY`], by seed and name.
    Drawn,
    /// Those with these names, and no others.
    Named(BTreeSet<String>),
}

/// What became of one site in a run, see [`World::fault_points`](super::world::World::fault_points).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultPointCount {
    pub site: &'static str,
    /// Whether it was active: an inactive one never fires.
    pub is_active: bool,
    /// How often the program came by while fault points were armed.
    pub evaluated: u64,
    /// How often it fired.
    pub fired: u64,
}

struct Site {
    /// `None` when it is not active.
    key: Option<Key>,
    streams: BTreeMap<Option<HostId>, Stream>,
    evaluated: u64,
    fired: u64,
}

/// The fault points of one simulation.
pub struct FaultPoints {
    active: ActiveSites,
    sites: BTreeMap<&'static str, Site>,
}

impl Default for FaultPoints {
    fn default() -> FaultPoints {
        FaultPoints { active: ActiveSites::Named(BTreeSet::new()), sites: BTreeMap::new() }
    }
}

impl FaultPoints {
    /// From now on these sites are active, and fire. What was counted before is forgotten.
    pub fn arm(&mut self, active: ActiveSites) {
        *self = FaultPoints { active, sites: BTreeMap::new() };
        ARMED.set(true);
    }

    /// From now on none fires, and none is counted. What was counted stays.
    pub fn disarm() {
        ARMED.set(false);
    }

    /// What became of every site that the program came by, in the order of their names.
    pub fn counts(&self) -> Vec<FaultPointCount> {
        let count = |(name, site): (&&'static str, &Site)| FaultPointCount {
            site: name,
            is_active: site.key.is_some(),
            evaluated: site.evaluated,
            fired: site.fired,
        };
        self.sites.iter().map(count).collect()
    }

    fn fires(&mut self, root: Key, name: &'static str, rate: f64, host: Option<HostId>) -> bool {
        let active = &self.active;
        let site = self.sites.entry(name).or_insert_with(|| {
            let key = root.derive("fault point").derive(name);
            let is_active = match active {
                ActiveSites::Drawn => key.derive("active").stream().chance(ACTIVE_PROBABILITY),
                ActiveSites::Named(names) => names.contains(name),
            };
            Site { key: is_active.then_some(key), streams: BTreeMap::new(), evaluated: 0, fired: 0 }
        });
        site.evaluated += 1;
        let Some(key) = site.key else { return false };
        // The harness is no host; it has the key that no host has.
        let host_key = || key.index(host.map_or(u64::from(u32::MAX), |host| u64::from(host.0)));
        let fires = site.streams.entry(host).or_insert_with(|| host_key().stream()).chance(rate);
        site.fired += u64::from(fires);
        fires
    }
}

/// What `fault_point!` asks: whether this site, which fires with this probability when it is active, fires now.
pub fn fires(name: &'static str, rate: f64) -> bool {
    if !ARMED.get() {
        return false;
    }
    // Late drops may pass here after the simulation's end.
    kernel::try_with(|kernel| {
        let host = kernel.current().map(|process| process.host);
        let root = kernel.core.key();
        let fires = kernel.fault_points.fires(root, name, rate, host);
        if fires && let Some(host) = host {
            kernel.core.trace(host, name, 0, 0);
        }
        fires
    })
    .unwrap_or(false)
}
