//! Which machines there are, how they are called, and what they are like.
//!
//! Hosts are named as RocketMQ names its example files: the master `broker-a` has the slave `broker-a-s`, and if it has more
//! of them, `broker-a-s2` and so on; the next master is `broker-b`. A master and its slaves share the broker name, which is
//! the master's host name.

use faults::{Cast, Group};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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

    /// The broker name that a host belongs to, if it is a broker's.
    pub fn broker_of(&self, host: &str) -> Option<String> {
        self.brokers().into_iter().find(|broker| broker.host == host).map(|broker| broker.broker)
    }

    /// Whom faults can strike: the hosts by their parts, but for the brokers that `is_left_out`.
    pub fn cast(&self, is_left_out: impl Fn(&str) -> bool) -> Cast {
        let mut groups: Vec<Group> = Vec::new();
        for broker in self.brokers().into_iter().filter(|broker| !is_left_out(&broker.host)) {
            match groups.last_mut().filter(|group| group.primary == broker.broker) {
                Some(group) => group.secondaries.push(broker.host),
                None => groups.push(Group { primary: broker.host, secondaries: Vec::new() }),
            }
        }
        Cast {
            groups,
            registries: self.name_server_hosts().collect(),
            clients: self.producer_hosts().chain(self.consumer_hosts()).collect(),
        }
    }
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
        };
        let brokers =
            ["broker-a", "broker-a-s", "broker-a-s2", "broker-b", "broker-b-s", "broker-b-s2"].map(str::to_owned);
        assert_eq!(topology.host_names()[1..7], brokers);
        assert_eq!(topology.broker_of("broker-b-s2").as_deref(), Some("broker-b"));
        assert_eq!(topology.broker_of("producer-1"), None);
        let cast = topology.cast(|host| host.starts_with("broker-b"));
        assert_eq!(
            cast.groups,
            [Group {
                primary: "broker-a".to_owned(),
                secondaries: vec!["broker-a-s".to_owned(), "broker-a-s2".to_owned()]
            }]
        );
    }
}
