//! The fault points of the cluster, by name, and which of them a scenario turns on.
//!
//! A fault point is a rare branch of the cluster's code that a run may make common: `sim::fault_point!` says how. The list
//! here is what `staticfire list` shows; `tests/tests/fault_points.rs` compares it with the source. Every branch is one that
//! a real machine takes too. When everything is healed, fault points are off as well.

use reports::FaultPointCount;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use sim::world::{ActiveSites, World};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

/// A fault point: the name at its place in the source, and what happens when it fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    pub name: &'static str,
    pub about: &'static str,
}

const fn site(name: &'static str, about: &'static str) -> Site {
    Site { name, about }
}

/// All fault points, in the order of their names.
pub const SITES: &[Site] = &[
    site(
        "broker.client.expires-early",
        "a client that sent no heartbeat for 12 s is forgotten, and its channel closed",
    ),
    site("broker.metadata.round-skipped", "a slave does not copy its master's tables in this round"),
    site("broker.notice.lost", "a consumer is not told that its group has changed"),
    site("broker.offsets.not-written", "consumerOffset.json is not written in this round"),
    site("broker.pull.few-messages", "a pull is given two messages at most"),
    site("broker.pull.held-briefly", "a pull without messages is held for 5 ms instead of 15 s"),
    site("broker.pull.woken-late", "pulls that wait are answered 50 ms late"),
    site("broker.registration.round-lost", "the name servers do not hear of a broker in this round"),
    site("broker.send.queue-full", "a send is refused with SYSTEM_BUSY"),
    site("client.consume.slow", "a listener is called 200 ms late"),
    site("client.heartbeat.round-lost", "no broker hears of a client in this round"),
    site("client.offsets.not-stored", "a consumer does not commit in this round"),
    site("client.pull.late", "a consumer waits for 50 ms before it pulls"),
    site("client.pull.one-message", "a consumer asks for one message"),
    site("client.rebalance.early", "a consumer rebalances after half a second instead of 20"),
    site("client.route.round-skipped", "a client does not ask for its routes in this round"),
    site("ha.master.connection-lost", "a master closes the connection of a slave"),
    site("ha.read.short", "a read between master and slave gives 7 bytes at most"),
    site("ha.send.late", "a piece of the log is sent 50 ms late"),
    site("ha.send.no-heartbeat", "a master does not say that it is there"),
    site("ha.send.short-frame", "a piece of the log has 61 bytes at most"),
    site("ha.slave.connection-lost", "a slave closes the connection to its master"),
    site("ha.slave.each-frame-written", "a slave writes each piece of the log by itself"),
    site("ha.slave.late-report", "a slave reports 50 ms late what it has"),
    site("namesrv.route.unknown", "a name server does not know a topic, as one that has just been started"),
    site("namesrv.scan.skipped", "a name server does not look for silent brokers in this round"),
    site("remoting.client.connection-dropped", "a client closes a connection before it asks, and connects anew"),
    site("remoting.connect.fails", "a connection cannot be made: no local port is free"),
    site("remoting.invoke.early-timeout", "a request is given up after 1 ms"),
    site("remoting.read.short", "a read gives 7 bytes at most"),
    site("remoting.write.short", "a write takes 11 bytes"),
    site("store.append.file-ended-early", "the rest of a CommitLog file is left blank"),
    site("store.append.group-of-one", "a message is written by itself"),
    site("store.append.next-file-late", "the next CommitLog file is not made ahead of time"),
    site("store.checkpoint.not-written", "the checkpoint is not written in this round"),
    site("store.dispatch.lags", "messages become visible 20 ms late"),
    site("store.flush.early-round", "an asynchronous flush comes after a sixteenth of its interval"),
    site("store.flush.group-gathers", "a synchronous flush begins 20 ms late"),
    site("store.flush.thorough-round", "an asynchronous flush takes everything, however little it is"),
    site("store.get.one-message", "a read of a queue gives one message"),
    site(
        "store.get.reader-far-behind",
        "a reader is taken for one that is far behind, and advised to read from a slave",
    ),
    site("store.index.early-flush", "the index is written now"),
    site("store.index.round-skipped", "the index is not continued in this round"),
    site("store.log.not-in-memory", "a record is read from its file though it is in memory"),
    site("store.put.flush-timeout", "a put does not wait for its flush: FLUSH_DISK_TIMEOUT"),
    site("store.put.slave-timeout", "a put does not wait for its slaves: FLUSH_SLAVE_TIMEOUT"),
    site("store.queue-flush.thorough-round", "all ConsumeQueues are flushed, and the checkpoint is written"),
    site("store.segment.holes-unknown", "the file system does not say where a file was never written"),
];

/// Which fault points a scenario turns on: `"off"`, `"on"` (a quarter of them, drawn by the seed), or a list of names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FaultPoints {
    #[default]
    Off,
    On,
    Only(BTreeSet<String>),
}

impl FaultPoints {
    /// Whether none can fire.
    pub fn is_off(&self) -> bool {
        *self == FaultPoints::Off
    }

    /// The first name in it that is no fault point's.
    pub fn unknown(&self) -> Option<&str> {
        let FaultPoints::Only(names) = self else { return None };
        names.iter().map(String::as_str).find(|name| SITES.iter().all(|site| site.name != *name))
    }

    /// Lets them fire from now on.
    pub fn arm(&self, world: &World) {
        match self {
            FaultPoints::Off => {}
            FaultPoints::On => world.arm_fault_points(ActiveSites::Drawn),
            FaultPoints::Only(names) => world.arm_fault_points(ActiveSites::Named(names.clone())),
        }
    }
}

/// What the active ones did, for the record.
pub fn counts(world: &World) -> BTreeMap<String, FaultPointCount> {
    let active = world.fault_points().into_iter().filter(|count| count.is_active);
    active
        .map(|count| (count.site.to_owned(), FaultPointCount { evaluated: count.evaluated, fired: count.fired }))
        .collect()
}

impl Serialize for FaultPoints {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            FaultPoints::Off => serializer.serialize_str("off"),
            FaultPoints::On => serializer.serialize_str("on"),
            FaultPoints::Only(names) => names.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for FaultPoints {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<FaultPoints, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written<'a> {
            Word(Cow<'a, str>),
            Names(BTreeSet<String>),
        }
        let wrong = || D::Error::custom("fault_points is \"off\", \"on\" or a list of the names that `list` shows");
        match Written::deserialize(deserializer).map_err(|_| wrong())? {
            Written::Word(word) if word == "off" => Ok(FaultPoints::Off),
            Written::Word(word) if word == "on" => Ok(FaultPoints::On),
            Written::Word(_) => Err(wrong()),
            Written::Names(names) => Ok(FaultPoints::Only(names)),
        }
    }
}

impl JsonSchema for FaultPoints {
    fn schema_name() -> Cow<'static, str> {
        "FaultPoints".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names = SITES.iter().map(|site| site.name).collect::<Vec<_>>();
        json_schema!({ "anyOf": [
            { "enum": ["off", "on"] },
            { "type": "array", "items": { "enum": names } },
        ] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{catalogue, settings::set, spec::Mode};

    #[test]
    fn sites_are_listed_in_order_and_once() {
        assert!(SITES.is_sorted_by(|one, next| one.name < next.name));
    }

    #[test]
    fn they_are_set_as_a_word_or_as_names() {
        let standard = catalogue::standard(Mode::SingleMaster);
        assert!(standard.fault_points.is_off());
        let with = |value: &str| set(&standard, &format!("fault_points={value}"));
        assert_eq!(with("on").expect("a word").fault_points, FaultPoints::On);
        let only = with(r#"["store.dispatch.lags"]"#).expect("a list");
        only.check().expect("known");
        assert_eq!(only.fault_points, FaultPoints::Only(BTreeSet::from(["store.dispatch.lags".to_owned()])));
        assert_eq!(set(&only, "fault_points=off").expect("a word"), standard);
        assert!(with("sometimes").expect_err("no such word").to_string().contains("\"on\""));
        let unknown = with(r#"["store.melts"]"#).expect("a list").check().expect_err("unknown").to_string();
        assert!(unknown.contains("store.melts"), "{unknown}");
    }
}
