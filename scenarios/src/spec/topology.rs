//! Which machines there are, how they are called, and what they are like.
//!
//! Hosts are named as RocketMQ names its example files: the master `broker-a` has the slave `broker-a-s`, and if it has more
//! of them, `broker-a-s2` and so on; the next master is `broker-b`. A master and its slaves share the broker name, which is
//! the master's host name.

use faults::{Cast, Group, Machine, Site};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sim::world::{DiskSpec, Zone};

/// How many machines of each kind, each process on a machine of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    pub name_servers: u16,
    #[serde(default = "one")]
    pub masters: u16,
    /// Of each master.
    #[serde(default)]
    pub slaves: u16,
    pub producers: u16,
    /// All in one group, clustering.
    pub consumers: u16,
    /// Where a master and its slaves stand.
    #[serde(default)]
    pub placement: Placement,
    /// What the brokers' logs are kept on.
    #[serde(default)]
    pub disk: Disk,
    /// What the brokers' disks are formatted with.
    #[serde(default)]
    pub file_system: FileSystem,
}

fn one() -> u16 {
    1
}

/// Where the machines of one broker name stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// Each in a rack of its own.
    #[default]
    Spread,
    /// A master and its slaves in one rack: a shorter way between them.
    Rack,
}

/// What a broker's disk is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Disk {
    /// One drive.
    #[default]
    Single,
    /// Mirrored pairs of drives, striped.
    Raid10,
}

/// A file system: what it keeps of names and sizes when the machine crashes. The table of ARCHITECTURE.md, under "The simulated
/// machine", says how they differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FileSystem {
    /// Nothing but what POSIX promises: a store must not rely on more.
    #[default]
    StrictPosix,
    /// ext4 with `data=ordered`, its default.
    Ext4,
    /// XFS.
    Xfs,
}

impl FileSystem {
    /// All of them.
    pub const ALL: [FileSystem; 3] = [FileSystem::StrictPosix, FileSystem::Ext4, FileSystem::Xfs];

    /// The name in scenarios.
    pub fn name(self) -> &'static str {
        match self {
            FileSystem::StrictPosix => "strict-posix",
            FileSystem::Ext4 => "ext4",
            FileSystem::Xfs => "xfs",
        }
    }

    /// What it is, in one line.
    pub fn describe(self) -> &'static str {
        match self {
            FileSystem::StrictPosix => {
                "no more than POSIX promises: the default, which the others do not outdo in harshness"
            }
            FileSystem::Ext4 => "ext4, data=ordered: one journal, every 5 s; content before the name that it is given",
            FileSystem::Xfs => "XFS: one log, forced every 30 s; names and sizes in order, content on its own",
        }
    }
}

/// The machine of one broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerHost {
    /// The machine's name.
    pub host: String,
    /// The broker name, shared by a master and its slaves.
    pub broker: String,
    /// 0 for the master.
    pub broker_id: u16,
}

impl BrokerHost {
    pub fn is_master(&self) -> bool {
        self.broker_id == 0
    }
}

impl Topology {
    /// The broker names, in order.
    pub fn broker_names(&self) -> impl Iterator<Item = String> {
        (b'a'..=b'z').take(usize::from(self.masters)).map(|letter| format!("broker-{}", char::from(letter)))
    }

    /// The machines of all brokers: each master, and its slaves behind it.
    pub fn brokers(&self) -> Vec<BrokerHost> {
        let of_group = |broker: String| {
            (0..=self.slaves).map(move |broker_id| BrokerHost {
                host: match broker_id {
                    0 => broker.clone(),
                    1 => format!("{broker}-s"),
                    number => format!("{broker}-s{number}"),
                },
                broker: broker.clone(),
                broker_id,
            })
        };
        self.broker_names().flat_map(of_group).collect()
    }

    /// The hosts of a family such as the name servers, `namesrv-1` and so on.
    fn family(name: &'static str, count: u16) -> impl Iterator<Item = String> {
        (1..=count).map(move |number| format!("{name}-{number}"))
    }

    pub fn name_server_hosts(&self) -> impl Iterator<Item = String> {
        Topology::family("namesrv", self.name_servers)
    }

    pub fn producer_hosts(&self) -> impl Iterator<Item = String> {
        Topology::family("producer", self.producers)
    }

    pub fn consumer_hosts(&self) -> impl Iterator<Item = String> {
        Topology::family("consumer", self.consumers)
    }

    /// The hosts of the scenario in the order in which they are built: name servers, brokers, producers, consumers.
    pub fn host_names(&self) -> Vec<String> {
        self.name_server_hosts()
            .chain(self.brokers().into_iter().map(|broker| broker.host))
            .chain(self.producer_hosts())
            .chain(self.consumer_hosts())
            .collect()
    }

    /// The broker name that a host belongs to, if it is a broker's or waits to take the place of one.
    pub fn broker_of(&self, host: &str) -> Option<String> {
        let is_its = |broker: &BrokerHost| broker.host == host || Cast::spare_of(&broker.host) == host;
        self.brokers().into_iter().find(is_its).map(|broker| broker.broker)
    }

    /// Where each machine stands. The servers are in one data centre of two rooms: masters and every second name server in the
    /// first, slaves and the other name servers in the second, each in a rack of its own; or, placed by rack, a master and its
    /// slaves in one rack, and the groups by turns in the two rooms. Producers and consumers are in a data centre of their own.
    pub fn places(&self) -> Vec<(String, Zone)> {
        let zone = |data_centre, room, rack| Zone { data_centre, room, rack };
        let name_servers = (0..).zip(self.name_server_hosts()).map(|(at, host)| (host, zone(0, at % 2, at)));
        // Racks are numbered so that no two kinds of machines share one by chance.
        let brokers = self.brokers().into_iter().enumerate().map(|(at, broker)| {
            let group = at as u16 / (self.slaves + 1);
            let place = match self.placement {
                Placement::Spread => zone(0, u16::from(!broker.is_master()), 100 + at as u16),
                Placement::Rack => zone(0, group % 2, 100 + group),
            };
            (broker.host, place)
        });
        let clients = self.producer_hosts().chain(self.consumer_hosts());
        let clients = (0..).zip(clients).map(|(at, host)| (host, zone(1, 0, at)));
        name_servers.chain(brokers).chain(clients).collect()
    }

    /// The machines that a plan may name; `has_spares`: with one that waits to take the place of each broker's.
    pub fn site(&self, has_spares: bool) -> Site {
        let machine = |(host, zone): (String, Zone)| {
            // Only what keeps messages may have more than one drive.
            let raid = self.disk == Disk::Raid10 && self.broker_of(&host).is_some();
            let drives = if raid { DiskSpec::raid10().raid10.map_or(1, |raid| 2 * raid.pairs) } else { 1 };
            Machine { host, zone: zone_name(zone), spare_for: None, drives }
        };
        let site = Site { machines: self.places().into_iter().map(machine).collect() };
        let brokers = self.brokers();
        site.with_spares(brokers.iter().filter(|_| has_spares).map(|broker| broker.host.as_str()))
    }

    /// The servers of each room.
    fn rooms(&self, is_left_out: &impl Fn(&str) -> bool) -> Vec<Vec<String>> {
        let in_room = |room| {
            let servers = self.places().into_iter().filter(move |(_, zone)| (zone.data_centre, zone.room) == (0, room));
            servers.map(|(host, _)| host).filter(|host| !is_left_out(host)).collect()
        };
        vec![in_room(0), in_room(1)]
    }

    /// Whom faults can strike: the hosts by their parts, but for the brokers that `is_left_out`.
    pub fn cast(&self, is_left_out: impl Fn(&str) -> bool) -> Cast {
        let mut groups: Vec<Group> = Vec::new();
        let is_left_out = &is_left_out;
        for broker in self.brokers().into_iter().filter(|broker| !is_left_out(&broker.host)) {
            match groups.last_mut().filter(|group| group.primary == broker.broker) {
                Some(group) => {
                    group.secondaries.push(broker.host);
                    group.kept_by += 1;
                }
                None => groups.push(Group::alone(broker.host)),
            }
        }
        Cast {
            groups,
            registries: self.name_server_hosts().collect(),
            clients: self.producer_hosts().chain(self.consumer_hosts()).collect(),
            rooms: self.rooms(is_left_out),
        }
    }
}

/// The name of a zone, counted from 1: `dc-1/room-2/rack-3`.
fn zone_name(zone: Zone) -> String {
    format!("dc-{}/room-{}/rack-{}", zone.data_centre + 1, zone.room + 1, zone.rack + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_named_as_rocketmqs_files() {
        let topology = Topology {
            name_servers: 1,
            masters: 2,
            slaves: 2,
            producers: 1,
            consumers: 1,
            placement: Placement::Spread,
            disk: Disk::Single,
            file_system: FileSystem::StrictPosix,
        };
        let brokers =
            ["broker-a", "broker-a-s", "broker-a-s2", "broker-b", "broker-b-s", "broker-b-s2"].map(str::to_owned);
        assert_eq!(topology.host_names()[1..7], brokers);
        assert_eq!(topology.broker_of("broker-b-s2").as_deref(), Some("broker-b"));
        assert_eq!(topology.broker_of("broker-b-s2-spare").as_deref(), Some("broker-b"));
        assert_eq!(topology.broker_of("producer-1"), None);
        let cast = topology.cast(|host| host.starts_with("broker-b"));
        assert_eq!(cast.groups, [Group::of("broker-a", ["broker-a-s".to_owned(), "broker-a-s2".to_owned()])]);
    }

    #[test]
    fn masters_and_slaves_stand_in_two_rooms_or_each_pair_in_one_rack() {
        let mut topology = crate::catalogue::standard(crate::spec::Mode::TwoMastersTwoSlavesSync).topology;
        let site = topology.site(true);
        assert_eq!(site.hosts_in("dc-1/room-1"), ["namesrv-1", "broker-a", "broker-b"]);
        assert_eq!(site.hosts_in("dc-1/room-2"), ["namesrv-2", "broker-a-s", "broker-b-s"]);
        assert_eq!(site.hosts_in("dc-2").len(), 4);
        assert_eq!(site.spares(), ["broker-a-spare", "broker-a-s-spare", "broker-b-spare", "broker-b-s-spare"]);
        assert_eq!(topology.cast(|_| false).room_of("broker-b"), ["namesrv-1", "broker-a", "broker-b"]);
        topology.placement = Placement::Rack;
        let site = topology.site(false);
        assert_eq!(site.hosts_in("dc-1/room-2"), ["namesrv-2", "broker-b", "broker-b-s"]);
        let rack = &site.machine("broker-b").expect("it is there").zone;
        assert_eq!(site.hosts_in(rack), ["broker-b", "broker-b-s"]);
    }
}
