//! Builds the hosts of a scenario: which program runs where, with which settings.

use crate::{
    recorder::Recorder,
    spec::{BROKER, Flush, Scenario},
    workload::{self, Client, Operator},
};
use broker::{Broker, BrokerConfig};
use namesrv::{Namesrv, NamesrvConfig};
use sim::world::{ClockSpec, HostId, HostSpec, World};
use std::{collections::BTreeMap, sync::Arc};
use store::FlushDiskType;

/// The clocks of the hosts are off by up to this, as under a working NTP…
const CLOCK_OFFSET_MS_MAX: u64 = 20;
/// …and run fast or slow by up to this.
const CLOCK_DRIFT_PPM_MAX: u64 = 50;

/// What brokers keep of their log in memory.
const TAIL_CACHE_BYTES: usize = 1 << 20;

/// The hosts of a scenario.
pub struct Hosts {
    pub name_servers: Vec<HostId>,
    pub brokers: Vec<HostId>,
    pub producers: Vec<HostId>,
    pub consumers: Vec<HostId>,
    pub operator: HostId,
    /// All but the operator's, for the plan of faults.
    pub by_name: BTreeMap<String, HostId>,
}

/// Adds all hosts to the world, switched off.
pub fn build(world: &World, scenario: &Arc<Scenario>, recorder: &Recorder, operator: &Operator) -> Hosts {
    let mut by_name = BTreeMap::new();
    let mut add = |name: String, program: HostSpec| {
        let mut spec = program;
        spec.clock = clock(world, &name);
        let id = world.add_host(spec);
        by_name.insert(name, id);
        id
    };
    let topology = &scenario.topology;
    let names =
        |family: &'static str, count: u16| (1..=count).map(move |number| (number, format!("{family}-{number}")));
    let name_servers = names("namesrv", topology.name_servers)
        .map(|(_, name)| add(name.clone(), name_server(&name, recorder)))
        .collect::<Vec<_>>();
    let addresses = names("namesrv", topology.name_servers).map(|(_, name)| format!("{name}:9876")).collect::<Vec<_>>();
    let brokers = vec![add(BROKER.to_owned(), broker(scenario, recorder, &addresses))];
    let client = |number: u16, name: &str| Client {
        scenario: Arc::clone(scenario),
        recorder: recorder.clone(),
        host: name.into(),
        number,
        name_servers: addresses.clone(),
    };
    let key = world.key().derive("bodies");
    let producers = names("producer", topology.producers)
        .map(|(number, name)| {
            let client = client(number, &name);
            add(name.clone(), HostSpec::new(name, move || workload::producer(client.clone(), key)))
        })
        .collect();
    let consumers = names("consumer", topology.consumers)
        .map(|(number, name)| {
            let client = client(number, &name);
            add(name.clone(), HostSpec::new(name, move || workload::consumer(client.clone())))
        })
        .collect();
    let (operator, operated) = (operator.clone(), client(1, "operator"));
    let operator = world.add_host(HostSpec::new("operator", move || operator.clone().program(operated.clone())));
    Hosts { name_servers, brokers, producers, consumers, operator, by_name }
}

/// The clock of a host: off by a little and drifting a little, each host in its own way.
fn clock(world: &World, host: &str) -> ClockSpec {
    let mut stream = world.key().derive("clock").derive(host).stream();
    let mut around_zero = |max: u64| stream.below(2 * max + 1).cast_signed() - max.cast_signed();
    ClockSpec { offset_ms: around_zero(CLOCK_OFFSET_MS_MAX), drift_ppm: around_zero(CLOCK_DRIFT_PPM_MAX) }
}

fn name_server(name: &str, recorder: &Recorder) -> HostSpec {
    let recorder = recorder.clone();
    let host = name.to_owned();
    HostSpec::new(name, move || {
        let (recorder, host) = (recorder.clone(), host.clone());
        async move {
            match Namesrv::start(NamesrvConfig::default()).await {
                Ok(server) => {
                    if let Err(error) = server.run_until_terminated().await {
                        recorder.note(&host, format!("stops: {error}"));
                    }
                }
                Err(error) => recorder.note(&host, format!("does not start: {error}")),
            }
        }
    })
}

fn broker(scenario: &Arc<Scenario>, recorder: &Recorder, name_servers: &[String]) -> HostSpec {
    let (scenario, recorder, name_servers) = (Arc::clone(scenario), recorder.clone(), name_servers.to_vec());
    HostSpec::new(BROKER, move || {
        let (scenario, recorder, name_servers) = (Arc::clone(&scenario), recorder.clone(), name_servers.clone());
        async move {
            match Broker::start(broker_config(&scenario, name_servers)).await {
                Ok(broker) => {
                    recorder.note(BROKER, "serves");
                    if let Err(error) = broker.run_until_terminated().await {
                        recorder.note(BROKER, format!("stops: {error}"));
                    }
                }
                Err(error) => recorder.note(BROKER, format!("refuses to start: {error}")),
            }
        }
    })
}

fn broker_config(scenario: &Scenario, name_servers: Vec<String>) -> BrokerConfig {
    let mut config = BrokerConfig::new(BROKER, "/store");
    config.namesrv_addr = name_servers;
    let (store, settings) = (&mut config.store, &scenario.broker);
    store.flush_disk_type = match scenario.flush {
        Flush::Async => FlushDiskType::AsyncFlush,
        Flush::Sync => FlushDiskType::SyncFlush,
    };
    // Little memory for the tail, so that a consumer that falls behind reads from the disk.
    store.tail_cache_max_bytes = TAIL_CACHE_BYTES;
    store.mapped_file_size_commit_log_bytes = settings.commit_log_file_bytes;
    store.mapped_file_size_consume_queue_bytes = settings.consume_queue_file_units * 20;
    store.flush_interval_commit_log_ms = settings.flush_interval_ms;
    store.flush_commit_log_least_pages = u64::from(settings.flush_least_pages);
    store.flush_commit_log_thorough_interval_ms = settings.flush_thorough_interval_ms;
    config
}
