//! Every kind of fault does something: against a small cluster of programs that write, sync and talk, each kind leaves the
//! traces that it must leave, and all is well again after its end.

#![cfg(not(feature = "real"))]

use faults::{Cast, Effect, Fault, Group, Plan, Site, Targets, Window, generate, inject};
use sim::{
    disk::OpenOptions,
    net::{TcpListener, TcpStream, resolve},
    time,
    world::{DiskSpec, HostSpec, HostState, Key, MemberLoss, SimulationSpec, World, simulate},
};
use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const WINDOW: Window = Window { from_ms: 5_000, to_ms: 20_000 };
const HEAL_MS: u64 = 45_000;
const END_MS: u64 = 55_000;
const HOSTS: [&str; 8] =
    ["broker-a", "broker-a-s", "broker-b", "broker-b-s", "namesrv-0", "namesrv-1", "producer-0", "consumer-0"];

/// What the programs saw.
#[derive(Default)]
struct Seen {
    /// Per host: the slowest sync, and the longest time between two rounds (ms).
    slowest_sync_ms: BTreeMap<String, u64>,
    longest_gap_ms: BTreeMap<String, u64>,
    failed_syncs: BTreeMap<String, u64>,
    /// Per (from, to): the slowest exchange that succeeded (ms), and how many failed.
    slowest_exchange_ms: BTreeMap<(String, String), u64>,
    failed_exchanges: BTreeMap<(String, String), u64>,
    last_exchange_ms: BTreeMap<(String, String), u64>,
    /// Per host: the largest step of its wall clock against its monotonic one (ms).
    clock_step_ms: BTreeMap<String, u64>,
    starts: BTreeMap<String, u64>,
}

struct Run {
    plan: Plan,
    effects: Vec<Effect>,
    seen: Arc<Mutex<Seen>>,
    cut_packets: BTreeMap<(String, String), u64>,
    slowed_packets: u64,
    trace_hash: u64,
}

fn raise(of: &mut BTreeMap<String, u64>, host: &str, value: u64) {
    let highest = of.entry(host.to_owned()).or_default();
    *highest = value.max(*highest);
}

/// Writes and syncs all the time.
async fn keep_files(host: &'static str, seen: Arc<Mutex<Seen>>) {
    *seen.lock().expect("one thread").starts.entry(host.to_owned()).or_default() += 1;
    let file = OpenOptions::new().write(true).create(true).open("/f").await.expect("there is room");
    let begun = (time::Instant::now(), time::wall_clock_ms());
    let mut round = time::Instant::now();
    loop {
        file.write_all_at(&[1; 4096], 0).await.expect("there is room");
        let before = time::Instant::now();
        let synced = file.sync_data().await;
        let sync_ms = before.elapsed().as_millis() as u64;
        time::sleep(Duration::from_millis(50)).await;
        let passed_ms = i64::try_from(begun.0.elapsed().as_millis()).expect("a short time");
        let step_ms = (time::wall_clock_ms() - begun.1 - passed_ms).unsigned_abs();
        let mut seen = seen.lock().expect("one thread");
        raise(&mut seen.slowest_sync_ms, host, sync_ms);
        raise(&mut seen.longest_gap_ms, host, round.elapsed().as_millis() as u64);
        raise(&mut seen.clock_step_ms, host, step_ms);
        *seen.failed_syncs.entry(host.to_owned()).or_default() += u64::from(synced.is_err());
        round = time::Instant::now();
    }
}

/// Answers every connection with what it sends.
async fn echo() {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 7))).await.expect("the port is free");
    loop {
        let (stream, _) = listener.accept().await.expect("the process lives");
        sim::task::spawn(async move {
            let (mut reader, mut writer) = stream.into_split();
            // The other end may break off at any time.
            let _ = tokio::io::copy(&mut reader, &mut writer).await;
        });
    }
}

/// One exchange of 20 kB each way over a new connection.
async fn exchange(to: &str) -> io::Result<()> {
    let mut stream = TcpStream::connect(resolve(&format!("{to}:7")).await?[0]).await?;
    let mut answer = vec![0; 20_000];
    stream.write_all(&vec![7; 20_000]).await?;
    stream.read_exact(&mut answer).await?;
    Ok(())
}

/// Talks to everybody else, round and round.
async fn talk(from: &'static str, seen: Arc<Mutex<Seen>>) {
    loop {
        for to in HOSTS.into_iter().filter(|to| *to != from) {
            let before = time::Instant::now();
            let done = time::timeout(Duration::from_secs(2), exchange(to)).await;
            let took_ms = before.elapsed().as_millis() as u64;
            let now_ms = sim::world::now_ns().expect("a simulation") / 1_000_000;
            let mut seen = seen.lock().expect("one thread");
            let way = (from.to_owned(), to.to_owned());
            if matches!(done, Ok(Ok(()))) {
                let slowest = seen.slowest_exchange_ms.entry(way.clone()).or_default();
                *slowest = took_ms.max(*slowest);
                seen.last_exchange_ms.insert(way, now_ms);
            } else {
                *seen.failed_exchanges.entry(way).or_default() += 1;
            }
        }
        time::sleep(Duration::from_millis(700)).await;
    }
}

fn cast() -> Cast {
    let group = |primary: &str| Group::of(primary, [format!("{primary}-s")]);
    Cast {
        groups: vec![group("broker-a"), group("broker-b")],
        registries: vec!["namesrv-0".to_owned(), "namesrv-1".to_owned()],
        clients: vec!["producer-0".to_owned(), "consumer-0".to_owned()],
        rooms: Vec::new(),
    }
}

async fn harness(
    world: World,
    plan: Plan,
    seen: Arc<Mutex<Seen>>,
) -> (Vec<Effect>, BTreeMap<(String, String), u64>, u64) {
    let mut targets = Targets::new();
    for name in HOSTS {
        let seen = Arc::clone(&seen);
        let spec = HostSpec::new(name, move || {
            let seen = Arc::clone(&seen);
            async move {
                sim::task::spawn(echo());
                sim::task::spawn(talk(name, Arc::clone(&seen)));
                keep_files(name, seen).await;
            }
        });
        targets.insert(name.to_owned(), world.add_host(HostSpec { disk: DiskSpec::raid10(), ..spec }));
    }
    for host in targets.values() {
        world.boot(*host);
    }
    let mut effects = Vec::new();
    inject(&world, &plan, &targets, HEAL_MS, |_, effect| effects.push(effect)).await;
    assert!(targets.values().all(|host| world.state(*host) == HostState::Running), "all is healed");
    world.sleep_until_ns(END_MS * 1_000_000).await;
    let stats = world.net_stats();
    let name = |id| targets.iter().find(|(_, host)| **host == id).map(|(name, _)| name.clone()).expect("it has one");
    let cut = stats.links.iter().filter(|(_, link)| link.dropped_by_cut > 0);
    let cut = cut.map(|((from, to), link)| ((name(*from), name(*to)), link.dropped_by_cut)).collect();
    (effects, cut, stats.total.slowed)
}

fn run(fault: &str, seed: u64) -> Run {
    let fault: Fault = fault.parse().expect("a fault");
    let plan = generate(&fault, Key::root(seed).derive("plan"), &cast(), WINDOW).expect("everybody is there");
    plan.check(&Site::of(HOSTS), HEAL_MS).expect("it can be carried out");
    let seen = Arc::new(Mutex::new(Seen::default()));
    let (shared, carried_out) = (Arc::clone(&seen), plan.clone());
    let spec = SimulationSpec { seed, ..SimulationSpec::default() };
    let finished = simulate(spec, move |world| harness(world, carried_out, shared)).expect("nothing panics");
    let trace_hash = finished.trace_hash;
    let (effects, cut_packets, slowed_packets) = finished.value;
    let run = Run { plan, effects, seen, cut_packets, slowed_packets, trace_hash };
    run.assert_healed();
    run
}

impl Run {
    /// The host that the first event strikes.
    fn target(&self) -> &str {
        self.plan.events[0].action.host()
    }

    fn with<R>(&self, look: impl FnOnce(&Seen) -> R) -> R {
        look(&self.seen.lock().expect("nobody holds it any more"))
    }

    fn told(&self) -> Vec<String> {
        self.effects.iter().map(|effect| format!("{}: {effect}", effect.host())).collect()
    }

    /// Everybody reached everybody at the end.
    fn assert_healed(&self) {
        self.with(|seen| {
            for from in HOSTS {
                for to in HOSTS.into_iter().filter(|to| *to != from) {
                    let last_ms = seen.last_exchange_ms.get(&(from.to_owned(), to.to_owned())).copied();
                    assert!(last_ms >= Some(END_MS - 3_000), "{} → {}: {last_ms:?}; {:?}", from, to, self.told());
                }
            }
        });
    }

    fn starts(&self, host: &str) -> u64 {
        self.with(|seen| seen.starts[host])
    }

    /// The largest value of a map, and whose it is.
    fn largest(&self, of: impl FnOnce(&Seen) -> &BTreeMap<String, u64>) -> (String, u64) {
        self.with(|seen| {
            let largest = of(seen).iter().max_by_key(|(_, value)| **value).expect("everybody is in it");
            (largest.0.clone(), *largest.1)
        })
    }
}

fn stopped(run: &Run) -> Vec<&str> {
    run.effects.iter().filter(|effect| matches!(effect, Effect::Crashed { .. })).map(Effect::host).collect()
}

#[test]
fn nothing_breaks_without_a_fault() {
    let run = run("none", 1);
    assert!(run.effects.is_empty() && run.cut_packets.is_empty() && run.slowed_packets == 0);
    assert!(HOSTS.iter().all(|host| run.starts(host) == 1));
    assert!(run.with(|seen| seen.failed_exchanges.is_empty()));
    assert!(run.largest(|seen| &seen.slowest_sync_ms).1 < 20);
    assert_eq!(run.largest(|seen| &seen.failed_syncs).1, 0);
    assert!(run.largest(|seen| &seen.clock_step_ms).1 <= 1);
}

#[test]
fn crashes_stop_whom_they_name_and_nobody_else() {
    let one = ["broker-crash", "os-crash", "power-loss", "machine-loss", "disk-loss"];
    let slaves = ["slave-crash", "slave-os-crash", "slave-power-loss", "slave-disk-loss"];
    for fault in one.into_iter().chain(slaves).chain(["namesrv-crash", "power-loss-rack", "power-loss-all"]) {
        let run = run(fault, 2);
        let stopped = stopped(&run);
        let expected = match fault {
            "power-loss-rack" => 2,
            "power-loss-all" => 6,
            _ => 1,
        };
        assert_eq!(stopped.len(), expected, "{fault}");
        for host in HOSTS {
            assert_eq!(run.starts(host), 1 + u64::from(stopped.contains(&host)), "{fault} {host}");
        }
        let role = run.target();
        assert_eq!(role.ends_with("-s"), fault.starts_with("slave-"), "{fault} {role}");
        assert_eq!(role.starts_with("namesrv"), fault.starts_with("namesrv"), "{fault} {role}");
        let destroys = !fault.ends_with("crash") || fault.ends_with("os-crash");
        assert!(run.effects.iter().any(|effect| effect.takes().is_some()) == destroys, "{fault}");
        let lost_all = fault.ends_with("disk-loss") || fault == "machine-loss";
        let lost_files = run.effects.iter().filter_map(Effect::crash_report).any(|report| report.lost_files > 0);
        assert!(lost_files || !lost_all, "{fault}");
    }
}

#[test]
fn machines_that_fail_together_fail_at_one_instant_and_come_back_each_in_its_time() {
    let told = run("power-loss-all", 3).told();
    assert!(told[..6].iter().all(|line| line.contains("power cut")), "{told:?}");
    assert!(told[6..].iter().all(|line| line.contains("boots")) && told.len() == 12, "{told:?}");
}

#[test]
fn cuts_drop_packets_on_their_ways_and_on_no_others() {
    for fault in
        ["partition", "partition-in", "partition-out", "partition-slave", "partition-pair", "partition-namesrv"]
    {
        let run = run(fault, 4);
        let target = run.target().to_owned();
        let peers = run.plan.events[0].action.peers().to_vec();
        assert!(!run.cut_packets.is_empty(), "{fault}");
        for (from, to) in run.cut_packets.keys() {
            assert!(*from == target || *to == target, "{fault}: {from} → {to}");
            assert!(fault != "partition-in" || *to == target);
            assert!(fault != "partition-out" || *from == target);
            let other = if *from == target { to } else { from };
            assert!(peers.is_empty() || peers.contains(other), "{fault}: {from} → {to}");
        }
        assert_eq!(target.ends_with("-s"), fault == "partition-slave");
        assert!(run.with(|seen| seen.failed_exchanges.values().sum::<u64>()) > 0, "{fault}");
    }
}

#[test]
fn slow_disks_sync_slowly() {
    for fault in ["slow-disk", "slow-slave"] {
        for seed in [5, 6] {
            let run = run(fault, seed);
            let Effect::DiskSlowed { latency_ms, .. } = run.effects[0] else { panic!("{:?}", run.effects) };
            let (slowest, sync_ms) = run.largest(|seen| &seen.slowest_sync_ms);
            assert_eq!((slowest.as_str(), slowest.ends_with("-s")), (run.target(), fault == "slow-slave"));
            assert!(sync_ms >= latency_ms, "{fault}: {sync_ms} ms with {latency_ms} ms more");
        }
    }
}

#[test]
fn slow_links_slow_the_group_and_nobody_else() {
    let run = run("slow-link", 8);
    let (target, peers) = (run.target().to_owned(), run.plan.events[0].action.peers().to_vec());
    assert!(run.slowed_packets > 0);
    let Effect::LinkSlowed { latency_ms, bytes_per_s, .. } = run.effects[0] else { panic!("{:?}", run.effects) };
    let least_ms = 2 * latency_ms + 40_000 * 1_000 / bytes_per_s;
    let is_slow =
        |from: &String, to: &String| (*from == target && peers.contains(to)) || (*to == target && peers.contains(from));
    run.with(|seen| {
        let slow = seen.slowest_exchange_ms.iter().filter(|((from, to), _)| is_slow(from, to));
        assert!(slow.map(|(_, ms)| *ms).max() >= Some(least_ms.min(1_900)), "{least_ms}");
        let others = seen.slowest_exchange_ms.iter().filter(|((from, to), _)| !is_slow(from, to));
        assert!(others.map(|(_, ms)| *ms).max() < Some(60));
    });
}

#[test]
fn a_clock_steps_and_steps_back() {
    let run = run("clock-step", 9);
    let [Effect::ClockStepped { step_ms, .. }, Effect::ClockStepped { step_ms: back_ms, .. }] = run.effects[..] else {
        panic!("{:?}", run.effects);
    };
    assert_eq!(step_ms, -back_ms);
    let (target, seen_ms) = run.largest(|seen| &seen.clock_step_ms);
    assert_eq!(target, run.target());
    assert!(seen_ms.abs_diff(step_ms.unsigned_abs()) <= 1, "{seen_ms} {step_ms}");
}

#[test]
fn a_paused_process_stands_still_and_is_not_restarted() {
    let run = run("pause", 10);
    let paused_ms = run.plan.events[0].action.lasts_ms().expect("it goes on");
    let (target, gap_ms) = run.largest(|seen| &seen.longest_gap_ms);
    assert_eq!(target, run.target());
    assert!((paused_ms..paused_ms + 100).contains(&gap_ms), "{gap_ms} {paused_ms}");
    assert_eq!(run.starts(&target), 1);
}

#[test]
fn a_lost_member_degrades_and_is_replaced() {
    let run = run("disk-member-loss", 11);
    assert!(matches!(run.effects[0], Effect::MemberLost { loss: MemberLoss::Degraded, .. }));
    assert!(matches!(run.effects[1], Effect::MemberReplaced { .. }));
    assert_eq!((run.starts(run.target()), run.effects.len()), (1, 2));
}

#[test]
fn the_mirror_of_a_lost_member_takes_the_disk_with_it() {
    // One seed of those that draw the mirror before the rebuild.
    let run = (0..200).find_map(|seed| {
        let fault: Fault = "disk-member-loss+disk-member-loss".parse().expect("a fault");
        let plan = generate(&fault, Key::root(seed).derive("plan"), &cast(), WINDOW).expect("everybody is there");
        let [first, second] = &plan.events[..] else { panic!("{plan:?}") };
        let member = |event: &faults::PlannedEvent| match event.action {
            faults::Action::LoseMember { member, .. } => member,
            _ => panic!("{event:?}"),
        };
        let meanwhile = second.at_ms < first.at_ms + first.action.lasts_ms().unwrap_or(0);
        (meanwhile && member(first) ^ 1 == member(second)).then(|| run(&fault.to_string(), seed))
    });
    let run = run.expect("one of many seeds");
    assert!(run.effects.iter().any(|effect| effect.takes().is_some()), "{:?}", run.told());
    assert_eq!(run.starts(run.target()), 2);
}

#[test]
fn a_failing_sync_fails_once() {
    let run = run("fsync-error", 12);
    let (target, failed) = run.largest(|seen| &seen.failed_syncs);
    assert_eq!((target.as_str(), failed), (run.target(), 1));
    assert_eq!(run.with(|seen| seen.failed_syncs.values().sum::<u64>()), 1);
    assert_eq!(run.told(), [format!("{target}: next sync of a file will fail")]);
}

#[test]
fn sequences_heal_and_are_deterministic() {
    for fault in ["slave-power-loss+power-loss", "pause+os-crash", "machine-loss+power-loss-all"] {
        let run = || run(fault, 14);
        assert_eq!(run().trace_hash, run().trace_hash, "{fault}");
    }
    assert!(!run("slow-link+partition-pair+slave-crash", 14).effects.is_empty());
}
