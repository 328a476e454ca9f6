//! Shapes of partitions in force: who can still connect to whom, and what comes through when they end.

use super::*;
use crate::world::{Stream, partition};

const HOSTS: u32 = 5;

fn process(host: HostId) -> ProcessId {
    ProcessId { host, incarnation: 1 }
}

/// Five hosts that all listen on port 80.
fn five(seed: u64) -> (Bench, Vec<HostId>) {
    let mut bench = Bench::new(seed);
    for number in 2..HOSTS {
        let (host, name) = (HostId(number), format!("host-{number}"));
        bench.net.add_host(host, &name, Ipv4Addr::new(10, 0, 0, number as u8 + 1));
        bench.net.on_host_up(&mut bench.core, host);
    }
    let hosts: Vec<HostId> = (0..HOSTS).map(HostId).collect();
    for &host in &hosts {
        bench.listen(process(host), 80);
    }
    (bench, hosts)
}

/// The pairs of hosts of which the first can connect to the second while these ways are cut.
fn connected_under(cuts: &[partition::Way]) -> Vec<(u32, u32)> {
    let (mut bench, hosts) = five(1);
    for &(from, to) in cuts {
        bench.net.cut(&mut bench.core, from, to);
    }
    let pairs: Vec<_> =
        hosts.iter().flat_map(|&from| hosts.iter().filter(move |&&to| to != from).map(move |&to| (from, to))).collect();
    let attempts: Vec<_> =
        pairs.into_iter().map(|(from, to)| (from, to, bench.connect(process(from), address(to, 80)))).collect();
    bench.run_for(S / 2);
    let mut is_open = |from, id| bench.net.poll_connected(process(from), id, Waker::noop()) == Poll::Ready(Ok(()));
    attempts.into_iter().filter(|&(from, _, id)| is_open(from, id)).map(|(from, to, _)| (from.0, to.0)).collect()
}

/// Testbeds §1.2 "symmetric partition".
#[test]
fn groups_connect_within_themselves() {
    let hosts: Vec<HostId> = (0..HOSTS).map(HostId).collect();
    let connected = connected_under(&partition::groups(&[&hosts[..2], &hosts[2..]]));
    assert_eq!(connected, [(0, 1), (1, 0), (2, 3), (2, 4), (3, 2), (3, 4), (4, 2), (4, 3)]);
    assert_eq!(connected_under(&[]).len(), 20);
}

/// Testbeds §1.2 "partial / non-transitive": over a bridge 0 connects to 2 and 2 to 4, but not 0 to 4.
#[test]
fn a_bridge_connects_to_both_halves() {
    let hosts: Vec<HostId> = (0..HOSTS).map(HostId).collect();
    let connected = connected_under(&partition::bridge(&hosts));
    assert!(connected.contains(&(0, 2)) && connected.contains(&(2, 4)) && !connected.contains(&(0, 4)));
    assert_eq!(connected.len(), 12);
}

/// Testbeds §1.2 "partial / non-transitive": on a ring of five everybody connects to its two neighbours.
#[test]
fn on_a_ring_neighbours_connect() {
    let hosts: Vec<HostId> = (0..HOSTS).map(HostId).collect();
    let connected = connected_under(&partition::majorities_ring(&hosts));
    assert_eq!(connected.len(), 10);
    assert!(connected.iter().all(|(from, to)| [1, 4].contains(&((to + HOSTS - from) % HOSTS))));
}

/// Testbeds §1.2 "one-way partition": a handshake needs both directions, whichever of them is cut.
#[test]
fn a_one_way_cut_breaks_handshakes_from_both_ends() {
    let connected = connected_under(&partition::one_way(&[A], &[B]));
    assert_eq!(connected.len(), 18);
    assert!(!connected.contains(&(0, 1)) && !connected.contains(&(1, 0)));
}

/// Testbeds §1.2 "swizzle-clog": nothing passes a host that is jammed, and nothing is lost once all are released.
#[test]
fn after_a_swizzle_everything_has_arrived() {
    let (mut bench, hosts) = five(2);
    let (client, server) = bench.pair();
    let mut stream: Stream = Key::root(4).stream();
    let steps = partition::swizzle(&hosts, &mut stream);
    assert!(steps.iter().any(|step| step.host == A || step.host == B), "this seed jams one of the two");
    let (mut written, mut jammed) = (0, 0);
    for step in steps {
        for (from, to) in partition::isolate(step.host, &hosts) {
            if step.jams {
                bench.net.jam(&mut bench.core, from, to);
            } else {
                bench.net.unjam(&mut bench.core, from, to);
            }
        }
        if let Write::Took(taken) = bench.write(PA, client, &pattern(written, 1_000)) {
            written += taken;
        }
        bench.run_for(S);
        jammed += usize::from(bench.net.is_jammed(A, B));
    }
    assert!(jammed > 0 && hosts.iter().all(|&from| hosts.iter().all(|&to| !bench.net.is_jammed(from, to))));
    bench.run_for(S);
    assert_eq!(bench.read(PB, server), Read::Bytes(pattern(0, written)));
    assert!(bench.net.stats().links[&(A, B)].jam_holds_injected > 0);
}
