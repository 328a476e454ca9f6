//! Builds the hosts of a scenario: which program runs where, with which settings.

use crate::{
    operator::Operator,
    recorder::Recorder,
    spec::{BrokerHost, BrokerSettings, Disk, FileSystem, Flush, Mode, Placement, Scenario},
    workload::{self, Client},
};
use broker::{Broker, BrokerConfig};
use faults::{Action, Cast, Plan};
use ha::Role;
use namesrv::{Namesrv, NamesrvConfig};
use protocol::BrokerId;
use quirks::QuirkSet;
use sim::world::{ClockSpec, DiskSpec, HostId, HostSpec, LinkSpec, World};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use store::FlushDiskType;

/// The clocks of the hosts are off by up to this, as under a working NTP…
const CLOCK_OFFSET_MS_MAX: u64 = 20;
/// …and run fast or slow by up to this.
const CLOCK_DRIFT_PPM_MAX: u64 = 50;

/// What brokers keep of their log in memory.
const TAIL_CACHE_BYTES: usize = 1 << 20;

/// Small index files (`maxHashSlotNum`, `maxIndexNum`), so that they roll over too.
const INDEX_SLOTS: u32 = 500;
const INDEX_ENTRIES: u32 = 2_000;

/// The way between two machines of one rack: one switch instead of three.
const SAME_RACK: LinkSpec = LinkSpec { latency_ns_min: 40_000, jitter_ns_mean: 10_000, ..LinkSpec::LAN };

/// The directory of a broker's store.
pub const STORE: &str = "/store";

/// The hosts of a scenario.
pub struct Hosts {
    pub name_servers: Vec<HostId>,
    pub brokers: Vec<(BrokerHost, HostId)>,
    pub producers: Vec<HostId>,
    pub consumers: Vec<HostId>,
    pub operator: HostId,
    /// By the host on which it began: as which version a broker runs when it starts the next time.
    pub versions: BTreeMap<String, Version>,
    /// All but the operator's, for the plan of faults: spares too, which are switched off.
    pub by_name: BTreeMap<String, HostId>,
    /// How often the broker of each machine was started.
    lives: BTreeMap<String, Lives>,
}

/// How often a broker was started, counted by its program.
type Lives = Arc<AtomicU64>;

/// Which of Apache's defects a broker has when it starts the next time: an operator may install another version.
#[derive(Clone, Debug)]
pub struct Version(Arc<Mutex<QuirkSet>>);

impl Version {
    fn new(quirks: QuirkSet) -> Version {
        Version(Arc::new(Mutex::new(quirks)))
    }

    /// Installs another version.
    pub fn install(&self, quirks: QuirkSet) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = quirks;
    }

    fn installed(&self) -> QuirkSet {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hosts {
    /// Puts each spare machine that has got the disk of another into that one's place.
    pub fn replace_moved(&mut self, plan: &Plan) {
        for event in &plan.events {
            if let Action::MoveDisk { host, to, .. } = &event.action {
                let (from, to) = (self.by_name[host], self.by_name[to]);
                self.brokers.iter_mut().filter(|(_, id)| *id == from).for_each(|(_, id)| *id = to);
            }
        }
    }

    /// How often the broker on this machine was started.
    pub fn lives(&self, machine: &str) -> u64 {
        self.lives.get(machine).map_or(0, |lives| lives.load(Ordering::Relaxed))
    }

    /// The machines that are to run when everything is healed: not those whose disk is in another, nor spares without one.
    pub fn in_use(&self) -> impl Iterator<Item = HostId> {
        let brokers = self.brokers.iter().map(|(_, id)| *id);
        self.name_servers.iter().copied().chain(brokers).chain(self.producers.iter().chain(&self.consumers).copied())
    }
}

/// Adds all hosts to the world, switched off.
pub fn build(world: &World, scenario: &Arc<Scenario>, recorder: &Recorder, operator: &Operator) -> Hosts {
    let mut by_name = BTreeMap::new();
    let places = scenario.topology.places().into_iter().collect::<BTreeMap<_, _>>();
    let mut add = |name: String, program: HostSpec| {
        let mut spec = program;
        spec.clock = clock(world, &name);
        spec.zone = places.get(&name).copied().unwrap_or_default();
        let id = world.add_host(spec);
        by_name.insert(name, id);
        id
    };
    let topology = &scenario.topology;
    let name_servers = topology
        .name_server_hosts()
        .map(|name| add(name.clone(), name_server(&name, scenario, recorder)))
        .collect::<Vec<_>>();
    let addresses = topology.name_server_hosts().map(|name| format!("{name}:9876")).collect::<Vec<_>>();
    let versions = topology.brokers().into_iter();
    let versions = versions
        .map(|BrokerHost { host, .. }| (host.clone(), Version::new(scenario.quirk_set(&host))))
        .collect::<BTreeMap<_, _>>();
    let mut lives: BTreeMap<String, Lives> = BTreeMap::new();
    let mut broker_spec = |name: &str, host: &BrokerHost| {
        let config = broker_config(scenario, addresses.clone(), host);
        let lives = lives.entry(name.to_owned()).or_default();
        broker(scenario, recorder, config, versions[&host.host].clone(), Arc::clone(lives), name)
    };
    let brokers = topology.brokers().into_iter();
    let brokers = brokers.map(|host| (host.clone(), add(host.host.clone(), broker_spec(&host.host, &host))));
    let brokers = brokers.collect::<Vec<_>>();
    let client = |number: u16, name: &str| Client {
        scenario: Arc::clone(scenario),
        recorder: recorder.clone(),
        host: name.into(),
        number,
        name_servers: addresses.clone(),
    };
    let bodies = world.key().derive("bodies").u64();
    let producers = (1..).zip(topology.producer_hosts());
    let producers = producers
        .map(|(number, name)| {
            let client = client(number, &name);
            add(name.clone(), HostSpec::new(name, move || workload::producer(client.clone(), bodies)))
        })
        .collect();
    let consumers = (1..).zip(topology.consumer_hosts());
    let consumers = consumers
        .map(|(number, name)| {
            let client = client(number, &name);
            add(name.clone(), HostSpec::new(name, move || workload::consumer(client.clone())))
        })
        .collect();
    if scenario.has_spares() {
        for (host, _) in &brokers {
            let name = Cast::spare_of(&host.host);
            add(name.clone(), broker_spec(&name, host));
        }
    }
    let (operator, operated) = (operator.clone(), client(0, "operator"));
    let operator =
        world.add_host(HostSpec::new("operator", move || operator.clone().program(operated.clone(), bodies)));
    if topology.placement == Placement::Rack {
        shorten_ways(world, &brokers);
    }
    Hosts { name_servers, brokers, producers, consumers, operator, versions, by_name, lives }
}

/// Puts the machines of each broker name into one rack.
fn shorten_ways(world: &World, brokers: &[(BrokerHost, HostId)]) {
    for (one, from) in brokers {
        for (another, to) in brokers {
            if one.broker == another.broker && from != to {
                world.set_link(*from, *to, SAME_RACK);
            }
        }
    }
}

/// The clock of a host: off by a little and drifting a little, each host in its own way.
fn clock(world: &World, host: &str) -> ClockSpec {
    let mut stream = world.key().derive("clock").derive(host).stream();
    let mut around_zero = |max: u64| stream.below(2 * max + 1).cast_signed() - max.cast_signed();
    ClockSpec { offset_ms: around_zero(CLOCK_OFFSET_MS_MAX), drift_ppm: around_zero(CLOCK_DRIFT_PPM_MAX) }
}

fn name_server(name: &str, scenario: &Scenario, recorder: &Recorder) -> HostSpec {
    let recorder = recorder.clone();
    let mut config = NamesrvConfig::default();
    scenario.knobs.turn_name_server(&mut config);
    let host = name.to_owned();
    HostSpec::new(name, move || {
        let (config, recorder, host) = (config.clone(), recorder.clone(), host.clone());
        async move {
            match Namesrv::start(config).await {
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

/// The machine `name` with this broker on it.
fn broker(
    scenario: &Scenario,
    recorder: &Recorder,
    config: BrokerConfig,
    version: Version,
    lives: Lives,
    name: &str,
) -> HostSpec {
    let (recorder, host) = (recorder.clone(), name.to_owned());
    let mut spec = HostSpec::new(host.clone(), move || {
        let (mut config, recorder, host) = (config.clone(), recorder.clone(), host.clone());
        config.quirks = version.installed();
        lives.fetch_add(1, Ordering::Relaxed);
        async move {
            match Broker::start(config).await {
                Ok(broker) => {
                    recorder.note(&host, "serves");
                    if let Err(error) = broker.run_until_terminated().await {
                        recorder.note(&host, format!("stops: {error}"));
                    }
                }
                Err(error) => recorder.note(&host, format!("refuses to start: {error}")),
            }
        }
    });
    spec.disk = DiskSpec {
        raid10: match scenario.topology.disk {
            Disk::Single => None,
            Disk::Raid10 => DiskSpec::raid10().raid10,
        },
        ..match scenario.topology.file_system {
            FileSystem::StrictPosix => DiskSpec::default(),
            FileSystem::Ext4 => DiskSpec::ext4(),
            FileSystem::Xfs => DiskSpec::xfs(),
        }
    };
    spec
}

fn broker_config(scenario: &Scenario, name_servers: Vec<String>, host: &BrokerHost) -> BrokerConfig {
    let settings = &scenario.broker;
    let mut config = BrokerConfig::new(host.broker.as_str(), STORE);
    config.namesrv_addr = name_servers;
    config.broker_id = BrokerId(i64::from(host.broker_id));
    config.slave_read_enable = settings.slave_read_enable;
    config.slave_synchronize_interval_ms = settings.slave_metadata_interval_ms;
    // As deployed, unless the scenario says otherwise.
    config.ha_tail_recovery_timeout_ms = match scenario.mode {
        Mode::TwoMastersTwoSlavesSync => None,
        _ => (settings.tail_recovery_timeout_ms != BrokerSettings::default().tail_recovery_timeout_ms)
            .then_some(settings.tail_recovery_timeout_ms),
    };
    let ha = &mut config.ha;
    ha.role = match scenario.mode {
        _ if !host.is_master() => Role::Slave,
        Mode::TwoMastersTwoSlavesSync => Role::SyncMaster,
        Mode::SingleMaster | Mode::TwoMastersNoSlave | Mode::TwoMastersTwoSlavesAsync => Role::AsyncMaster,
    };
    ha.slave_timeout_ms = settings.slave_timeout_ms;
    ha.in_sync_replicas = usize::from(settings.in_sync_replicas);
    ha.min_in_sync_replicas = usize::from(settings.min_in_sync_replicas);
    let store = &mut config.store;
    store.flush_disk_type = match scenario.flush {
        Flush::Async => FlushDiskType::AsyncFlush,
        Flush::Sync => FlushDiskType::SyncFlush,
    };
    // Little memory for the tail, so that a consumer that falls behind reads from the disk.
    store.tail_cache_max_bytes = TAIL_CACHE_BYTES;
    store.max_hash_slot_num = INDEX_SLOTS;
    store.max_index_num = INDEX_ENTRIES;
    store.mapped_file_size_commit_log_bytes = settings.commit_log_file_bytes;
    store.mapped_file_size_consume_queue_bytes = settings.consume_queue_file_units * 20;
    store.flush_interval_commit_log_ms = settings.flush_interval_ms;
    store.flush_commit_log_least_pages = u64::from(settings.flush_least_pages);
    store.flush_commit_log_thorough_interval_ms = settings.flush_thorough_interval_ms;
    scenario.knobs.turn_broker(&mut config);
    config
}
