//! The machines that a plan may name, where they stand, and what their disks are made of.

use crate::Cast;

/// The smallest RAID10 has this many drives.
pub(crate) const RAID_DRIVES_MIN: u16 = 4;

/// One machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its host name.
    pub host: String,
    /// Where it stands, from the data centre down to the rack: `dc-1/room-2/rack-3`.
    pub zone: String,
    /// The machine whose place it waits to take, switched off and without a disk; nothing where it is no spare.
    pub spare_for: Option<String>,
    /// How many drives its disk is made of.
    pub drives: u16,
}

impl Machine {
    /// Whether it waits to take the place of another.
    pub fn is_spare(&self) -> bool {
        self.spare_for.is_some()
    }
}

/// All machines of a scenario, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Site {
    pub machines: Vec<Machine>,
}

impl Site {
    /// Machines of these names in one rack, each with the smallest RAID10.
    pub fn of<'a>(hosts: impl IntoIterator<Item = &'a str>) -> Site {
        let machine = |host: &str| Machine {
            host: host.to_owned(),
            zone: "dc-1/room-1/rack-1".to_owned(),
            spare_for: None,
            drives: RAID_DRIVES_MIN,
        };
        Site { machines: hosts.into_iter().map(machine).collect() }
    }

    /// The same with a spare for each of these machines, in its place and with drives like its own.
    #[must_use]
    pub fn with_spares<'a>(mut self, hosts: impl IntoIterator<Item = &'a str>) -> Site {
        let spare = |host: &str| {
            let machine = self.machine(host)?;
            let spare_for = Some(host.to_owned());
            Some(Machine { host: Cast::spare_of(host), spare_for, ..machine.clone() })
        };
        let spares = hosts.into_iter().filter_map(spare).collect::<Vec<_>>();
        self.machines.extend(spares);
        self
    }

    /// The machine of this name.
    pub fn machine(&self, host: &str) -> Option<&Machine> {
        self.machines.iter().find(|machine| machine.host == host)
    }

    /// The names of all machines.
    pub fn hosts(&self) -> Vec<&str> {
        self.machines.iter().map(|machine| machine.host.as_str()).collect()
    }

    /// The names of the spare ones.
    pub fn spares(&self) -> Vec<&str> {
        self.machines.iter().filter(|machine| machine.is_spare()).map(|machine| machine.host.as_str()).collect()
    }

    /// The hosts of a zone: a data centre, a room or a rack. Spares are switched off, and so not among them.
    pub fn hosts_in(&self, zone: &str) -> Vec<&str> {
        let is_in = |place: &str| place.strip_prefix(zone).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let inside = self.machines.iter().filter(|machine| !machine.is_spare() && is_in(&machine.zone));
        inside.map(|machine| machine.host.as_str()).collect()
    }

    /// The names of all zones that have hosts: data centres, rooms and racks.
    pub fn zones(&self) -> Vec<&str> {
        let parts = |zone: &'_ str| zone.match_indices('/').map(|(at, _)| at).chain([zone.len()]).collect::<Vec<_>>();
        let all = self.machines.iter().filter(|machine| !machine.is_spare());
        let mut zones =
            all.flat_map(|machine| parts(&machine.zone).into_iter().map(|to| &machine.zone[..to])).collect::<Vec<_>>();
        zones.sort_unstable();
        zones.dedup();
        zones
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_holds_what_stands_below_it() {
        let zones = ["dc-1/room-1/rack-1", "dc-1/room-1/rack-12", "dc-1/room-2/rack-3"];
        let mut site = Site::of(["a", "b", "c"]);
        for (machine, zone) in site.machines.iter_mut().zip(zones) {
            machine.zone = zone.to_owned();
        }
        let site = site.with_spares(["c"]);
        assert_eq!(site.hosts_in("dc-1/room-1"), ["a", "b"]);
        assert_eq!(site.hosts_in("dc-1/room-1/rack-1"), ["a"]);
        assert_eq!(site.hosts_in("dc-1"), ["a", "b", "c"]);
        assert!(site.hosts_in("dc").is_empty() && site.hosts_in("room-1").is_empty());
        assert_eq!(site.zones()[..3], ["dc-1", "dc-1/room-1", "dc-1/room-1/rack-1"]);
        assert_eq!((site.zones().len(), site.spares()), (6, vec!["c-spare"]));
    }
}
