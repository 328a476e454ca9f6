//! What an hour of an almost idle cluster costs: CPU time (user and system) of one simulation, its boot included.
//!
//! `cargo bench -p scenarios --bench idle_cluster`. A name server, brokers with RocketMQ's default settings, a producer that
//! sends one message a minute and a consumer that gets it. Nothing is to be polled in such an hour: what is left are the
//! protocol's own periods, see ARCHITECTURE.md.
#![cfg(not(feature = "real"))]

use broker::{Broker, BrokerConfig};
use client::{
    Admin, ClientConfig, ConsumeFromWhere, ConsumeStatus, Message, Producer, PushConfig, PushConsumer, SendStatus,
};
use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use ha::Role;
use namesrv::{Namesrv, NamesrvConfig};
use protocol::{BrokerId, body::TopicConfig, perm};
use sim::{
    time,
    world::{HostSpec, SimulationSpec, World, simulate},
};
use sim_bench::CpuTime;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

/// The allocator of the `staticfire` command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SEED: u64 = 1;
const NAME_SERVER: &str = "namesrv:9876";
const TOPIC: &str = "Idle";
const MINUTES: u32 = 60;

/// What is built.
#[derive(Clone, Copy)]
struct Shape {
    name: &'static str,
    masters: u8,
    has_slaves: bool,
}

const SHAPES: [Shape; 3] = [
    Shape { name: "one master", masters: 1, has_slaves: false },
    Shape { name: "one master, one slave", masters: 1, has_slaves: true },
    Shape { name: "two masters, two slaves", masters: 2, has_slaves: true },
];

fn broker_names(shape: Shape) -> impl Iterator<Item = String> {
    (b'a'..b'a' + shape.masters).map(|letter| format!("broker-{}", char::from(letter)))
}

/// Runs one simulation: how many steps it took and how many messages were delivered.
fn run(shape: Shape) -> (u64, u32) {
    let spec = SimulationSpec { seed: SEED, ..SimulationSpec::default() };
    let finished = simulate(spec, move |world| hour(world, shape)).expect("nothing panics");
    (finished.trace_steps, finished.value)
}

async fn hour(world: World, shape: Shape) -> u32 {
    let delivered = Arc::new(AtomicU32::new(0));
    let boot = |spec| world.boot(world.add_host(spec));
    boot(HostSpec::new("namesrv", name_server));
    for name in broker_names(shape) {
        for id in 0..=i64::from(shape.has_slaves) {
            let config = broker_config(&name, BrokerId(id), shape);
            boot(HostSpec::new(format!("{name}-{id}"), move || broker(config.clone())));
        }
    }
    world.sleep(Duration::from_secs(1)).await;
    boot(HostSpec::new("operator", move || create_topic(shape)));
    world.sleep(Duration::from_secs(4)).await;
    let count = Arc::clone(&delivered);
    boot(HostSpec::new("consumer", move || consume(Arc::clone(&count))));
    boot(HostSpec::new("producer", produce));
    world.sleep(Duration::from_secs(60) * MINUTES).await;
    delivered.load(Ordering::Relaxed)
}

async fn name_server() {
    let server = Namesrv::start(NamesrvConfig::default()).await.expect("the machine is sound");
    server.run_until_terminated().await.expect("the machine is sound");
}

fn broker_config(name: &str, id: BrokerId, shape: Shape) -> BrokerConfig {
    let mut config = BrokerConfig::new(name, "/store");
    config.namesrv_addr = vec![NAME_SERVER.to_owned()];
    config.broker_id = id;
    config.ha.role = match (id.is_master(), shape.has_slaves) {
        (false, _) => Role::Slave,
        (true, true) => Role::SyncMaster,
        (true, false) => Role::AsyncMaster,
    };
    config
}

async fn broker(config: BrokerConfig) {
    let broker = Broker::start(config).await.expect("the machine is sound");
    broker.run_until_terminated().await.expect("the machine is sound");
}

fn client_config() -> ClientConfig {
    ClientConfig::new([NAME_SERVER])
}

/// Creates the topic on every master and goes.
async fn create_topic(shape: Shape) {
    let admin = Admin::start(client_config()).expect("the settings make sense");
    let topic = TopicConfig::new(TOPIC, 4, perm::PERM_READ | perm::PERM_WRITE);
    for name in broker_names(shape) {
        let address = admin.broker_addr(&name, BrokerId::MASTER).await.expect("the name server answers");
        let address = address.expect("it has registered");
        admin.create_topic(&address, &topic).await.expect("the broker answers");
    }
}

async fn produce() {
    let producer = Producer::builder("producers").client_config(client_config()).start().await;
    let producer = producer.expect("the settings make sense");
    loop {
        let message = Message::new(TOPIC, vec![7; 256]).with_keys(["idle"]).expect("a key without a separator");
        let sent = producer.send(message).await.expect("the cluster is sound");
        assert_eq!(sent.send_status, SendStatus::SendOk);
        time::sleep(Duration::from_secs(60)).await;
    }
}

async fn consume(delivered: Arc<AtomicU32>) {
    let config = PushConfig { consume_from_where: ConsumeFromWhere::FirstOffset, ..PushConfig::default() };
    let consumer = PushConsumer::builder("consumers")
        .client_config(client_config())
        .config(config)
        .subscribe(TOPIC, "*")
        .listener_with_context(move |messages, _| {
            delivered.fetch_add(u32::try_from(messages.len()).unwrap_or(u32::MAX), Ordering::Relaxed);
            std::future::ready(ConsumeStatus::ConsumeSuccess)
        })
        .start()
        .await;
    let _consumer = consumer.expect("the settings make sense");
    std::future::pending::<()>().await;
}

fn idle(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("idle-hour");
    group.sampling_mode(SamplingMode::Flat);
    for shape in SHAPES {
        let (steps, delivered) = run(shape);
        assert_eq!(delivered, MINUTES, "one message a minute");
        println!("{}: {steps} steps of the simulation", shape.name);
        group.bench_function(shape.name, |bencher| bencher.iter(|| run(shape)));
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .with_measurement(CpuTime)
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(3));
    targets = idle
}
criterion_main!(benches);
