//! What a program sees of each switch: a client sends a request every 10 ms and awaits the answer, for 1 s before the fault, 3 s
//! under it and 4 s after it. Every run happens twice and must leave the same trace.

use crate::{
    net::{TcpListener, TcpStream, resolve},
    task, time,
    world::{
        HostId, HostSpec, LatencyDistribution, LinkSlowdown, LinkSpec, NetStats, SimulationSpec, Verdict, World,
        simulate,
    },
};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SERVER: HostId = HostId(0);
const CLIENT: HostId = HostId(1);
const REQUEST_BYTES: usize = 8_000;

/// What the client saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    answers: u64,
    /// Answers that were not what it had sent.
    wrong: u64,
    slowest_ms: u128,
    errors: Vec<io::ErrorKind>,
}

async fn serve() {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 7))).await.expect("the port is free");
    while let Ok((mut stream, _)) = listener.accept().await {
        task::spawn(async move {
            let mut request = vec![0; REQUEST_BYTES];
            while stream.read_exact(&mut request).await.is_ok() && stream.write_all(&request).await.is_ok() {}
        });
    }
}

async fn connect() -> io::Result<TcpStream> {
    let address = resolve("server:7").await?[0];
    let stream = time::timeout(Duration::from_millis(500), TcpStream::connect(address)).await;
    let stream = stream.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn ask(stream: &mut Option<TcpStream>, number: u64) -> io::Result<bool> {
    let stream = match stream {
        Some(stream) => stream,
        None => stream.insert(connect().await?),
    };
    let request: Vec<u8> = (0..REQUEST_BYTES as u64).map(|at| (at ^ number) as u8).collect();
    stream.write_all(&request).await?;
    let mut answer = vec![0; REQUEST_BYTES];
    stream.read_exact(&mut answer).await?;
    Ok(answer == request)
}

async fn client(seen: Arc<Mutex<Seen>>) {
    let mut stream = None;
    for number in 0.. {
        let begin = time::Instant::now();
        let result = ask(&mut stream, number).await;
        let took_ms = begin.elapsed().as_millis();
        if result.is_err() {
            stream = None;
        }
        {
            let mut seen = seen.lock().expect("one thread");
            seen.slowest_ms = seen.slowest_ms.max(took_ms);
            match result {
                Ok(right) => {
                    seen.answers += 1;
                    seen.wrong += u64::from(!right);
                }
                Err(error) => seen.errors.push(error.kind()),
            }
        }
        time::sleep(Duration::from_millis(10)).await;
    }
}

fn once(seed: u64, breaks: fn(&World), mends: fn(&World)) -> (Seen, NetStats, u64) {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let shared = Arc::clone(&seen);
    let finished = simulate(SimulationSpec { seed, ..SimulationSpec::default() }, move |world| async move {
        world.add_host(HostSpec::new("server", serve));
        world.add_host(HostSpec::new("client", move || client(Arc::clone(&shared))));
        for (from, to) in [(SERVER, CLIENT), (CLIENT, SERVER)] {
            world.set_link(from, to, CLEAN);
        }
        world.boot(SERVER);
        world.boot(CLIENT);
        world.sleep(Duration::from_secs(1)).await;
        breaks(&world);
        world.sleep(Duration::from_secs(3)).await;
        mends(&world);
        world.sleep(Duration::from_secs(4)).await;
        world.net_stats()
    })
    .expect("nothing panics");
    let seen = seen.lock().expect("one thread").clone();
    (seen, finished.value, finished.trace_hash)
}

/// What the client saw, and the counters.
fn under(breaks: fn(&World), mends: fn(&World)) -> (Seen, NetStats) {
    let (first, second) = (once(1, breaks, mends), once(1, breaks, mends));
    assert_eq!(first, second, "the same seed");
    assert!(first.0.answers > 100, "it works before and after: {:?}", first.0);
    (first.0, first.1)
}

const CLEAN: LinkSpec = LinkSpec { tail_probability: 0.0, ..LinkSpec::LAN };

fn both(world: &World, link: LinkSpec) {
    world.set_link(CLIENT, SERVER, link);
    world.set_link(SERVER, CLIENT, link);
}

fn clean(world: &World) {
    both(world, CLEAN);
}

#[test]
fn a_healthy_network_shows_nothing() {
    let (seen, stats) = under(|_| {}, |_| {});
    assert_eq!((seen.wrong, seen.slowest_ms < 5, &seen.errors[..]), (0, true, &[][..]), "{seen:?}");
    assert!(seen.answers > 600);
    let total = stats.total;
    let injected = total.jam_holds_injected + total.corruptions_injected + total.duplicates_injected;
    assert_eq!(injected + total.reorders_injected + total.bit_flips_injected + total.filter_hits_injected, 0);
}

#[test]
fn a_jam_is_a_pause() {
    let (seen, stats) = under(|world| world.jam(CLIENT, SERVER), |world| assert!(world.unjam(CLIENT, SERVER) > 0));
    assert!((2_980..3_010).contains(&seen.slowest_ms), "it ends with the jam and not with a retry: {seen:?}");
    assert!(seen.wrong == 0 && seen.errors.is_empty(), "{seen:?}");
    assert!(stats.links[&(CLIENT, SERVER)].jam_holds_injected > 0 && stats.total.dropped_by_cut == 0);
}

#[test]
fn a_cut_is_a_longer_pause() {
    let (seen, stats) = under(|world| world.cut(SERVER, CLIENT), |world| world.heal(SERVER, CLIENT));
    assert!(seen.slowest_ms > 3_000 && seen.errors.is_empty(), "{seen:?}");
    assert!(stats.links[&(SERVER, CLIENT)].dropped_by_cut > 0);
}

#[test]
fn reset_connections_are_an_error_and_new_ones_work() {
    let (seen, stats) = under(|world| assert_eq!(world.reset_connections(CLIENT, SERVER), 1), |_| {});
    assert_eq!((&seen.errors[..], stats.resets_injected), (&[io::ErrorKind::ConnectionReset][..], 1));
}

#[test]
fn loss_and_damage_are_delay() {
    let lossy = under(|world| both(world, LinkSpec { loss: 0.2, ..CLEAN }), clean);
    let damaged = under(|world| both(world, LinkSpec { corrupt: 0.2, ..CLEAN }), clean);
    for (seen, stats) in [&lossy, &damaged] {
        assert!(seen.slowest_ms >= 200 && seen.errors.is_empty() && seen.wrong == 0, "{seen:?}");
        assert!(stats.retransmissions > 20);
    }
    assert!(lossy.1.total.lost > 20 && damaged.1.total.corruptions_injected > 20);
}

#[test]
fn reordering_is_delay_and_duplicates_are_nothing() {
    let reorders = |world: &World| both(world, LinkSpec { reorder: 0.5, disorder_ns_mean: 20_000_000, ..CLEAN });
    let (seen, stats) = under(reorders, clean);
    assert!(seen.slowest_ms > 10 && seen.errors.is_empty() && seen.wrong == 0, "{seen:?}");
    assert!(stats.total.reorders_injected > 50);
    let (seen, stats) = under(|world| both(world, LinkSpec { duplicate: 1.0, ..CLEAN }), clean);
    assert!(seen.slowest_ms < 10 && seen.errors.is_empty() && seen.wrong == 0, "{seen:?}");
    assert!(stats.total.duplicates_injected > 1_000 && stats.retransmissions == 0);
}

#[test]
fn undetected_corruption_is_a_wrong_answer() {
    let (seen, stats) = under(|world| both(world, LinkSpec { undetected_corruption: 0.02, ..CLEAN }), clean);
    assert!(seen.wrong > 0 && seen.errors.is_empty(), "{seen:?}");
    assert!(stats.total.bit_flips_injected >= seen.wrong);
}

#[test]
fn latencies_and_narrow_ways_are_delay() {
    let far = |world: &World| {
        let distribution = LatencyDistribution::LogNormal { sigma: 1.0 };
        both(world, LinkSpec { latency_ns_min: 50_000_000, jitter_ns_mean: 10_000_000, distribution, ..CLEAN });
    };
    let (seen, _) = under(far, clean);
    assert!(seen.slowest_ms > 110 && seen.errors.is_empty(), "{seen:?}");
    let slow = |world: &World| {
        world.slow_link(CLIENT, SERVER, LinkSlowdown { added_latency_ns: 0, bytes_per_s_max: 20_000 });
    };
    let (seen, stats) = under(slow, |world| world.restore_link(CLIENT, SERVER));
    assert!(seen.slowest_ms >= 400 && seen.errors.is_empty(), "{seen:?}");
    assert!(stats.total.slowed > 0);
}

#[test]
fn a_stuffed_accept_queue_lets_no_new_connection_in() {
    let stuff = |world: &World| {
        world.stuff_accept_queues(SERVER);
        assert_eq!(world.reset_connections(CLIENT, SERVER), 1);
    };
    let (seen, stats) = under(stuff, |world| world.drain_accept_queues(SERVER));
    assert_eq!(seen.errors[..2], [io::ErrorKind::ConnectionReset, io::ErrorKind::TimedOut]);
    assert!(stats.accept_overflows_injected > 3 && stats.accept_overflows == stats.accept_overflows_injected);
}

#[test]
fn a_filter_hits_the_messages_that_it_is_meant_for() {
    let filter = |world: &World| {
        // How request number 0x77 begins, and every 256th after it.
        let judge = |it: &crate::world::Passing<'_>| match it.payload().first() {
            Some(0x77) if it.payload().get(1) == Some(&0x76) => Verdict::Reset,
            _ => Verdict::Pass,
        };
        world.set_link_filter(CLIENT, SERVER, Some(Arc::new(judge)));
    };
    let (seen, stats) = under(filter, |world| world.set_link_filter(CLIENT, SERVER, None));
    assert!(!seen.errors.is_empty() && seen.errors.iter().all(|&it| it == io::ErrorKind::ConnectionReset), "{seen:?}");
    assert_eq!(stats.total.filter_hits_injected, seen.errors.len() as u64);
    assert!(seen.answers > 500);
}
