//! A way that becomes long and narrow for a while.

use super::*;

fn slow(bench: &mut Bench, added_latency_ns: u64, bytes_per_s_max: u64) {
    let slowdown = Some(LinkSlowdown { added_latency_ns, bytes_per_s_max });
    bench.net.set_slowdown(A, B, slowdown);
    bench.net.set_slowdown(B, A, slowdown);
}

/// Moves `total` bytes from A to B; how long it took, and how many segments were sent again.
fn bulk(bench: &mut Bench, client: EndpointId, server: EndpointId, total: usize) -> (u64, u64) {
    let (begin_ns, resent) = (bench.core.now_ns(), bench.net.stats().retransmissions);
    let bytes = pattern(0, total);
    let (mut written, mut got) = (0, Vec::new());
    while got.len() < total {
        if let Write::Took(taken) = bench.write(PA, client, &bytes[written..]) {
            written += taken;
        }
        match bench.read(PB, server) {
            Read::Bytes(bytes) => got.extend(bytes),
            Read::Nothing => assert!(bench.step(u64::MAX), "the rest must come"),
            other => panic!("{other:?}"),
        }
    }
    assert!(got == bytes);
    (bench.core.now_ns() - begin_ns, bench.net.stats().retransmissions - resent)
}

#[test]
fn a_narrow_way_takes_its_time_without_resending_what_merely_waits() {
    for bytes_per_s in [32_000, 512_000, 4_000_000] {
        let mut bench = Bench::new(1);
        let (client, server) = bench.pair();
        let (fast_ns, _) = bulk(&mut bench, client, server, 1_000_000);
        assert!(fast_ns < 10 * MS, "{fast_ns}");
        slow(&mut bench, MS, bytes_per_s);
        let (slow_ns, resent) = bulk(&mut bench, client, server, 1_000_000);
        let ideal_ns = 1_000_000 * S / bytes_per_s;
        assert!((ideal_ns..ideal_ns + ideal_ns / 8).contains(&slow_ns), "{slow_ns} {ideal_ns}");
        assert_eq!(resent, 0);
        let slowed = bench.net.stats().total.slowed;
        assert!(slowed > 30, "{slowed}");
        for (from, to) in [(A, B), (B, A)] {
            bench.net.set_slowdown(from, to, None);
        }
        assert!(bulk(&mut bench, client, server, 1_000_000).0 < 20 * MS);
        assert_eq!(bench.net.stats().total.slowed, slowed);
    }
}

#[test]
fn a_long_way_delays_every_packet() {
    let mut bench = Bench::new(2);
    let (client, server) = bench.pair();
    slow(&mut bench, 50 * MS, 1_000_000_000);
    let begin_ns = bench.core.now_ns();
    assert_eq!(bench.write(PA, client, b"hello"), Write::Took(5));
    let (found, at_ns) = bench.await_read(PB, server);
    assert_eq!(found, Read::Bytes(b"hello".to_vec()));
    assert!((50 * MS..52 * MS).contains(&(at_ns - begin_ns)), "{}", at_ns - begin_ns);
}

#[test]
fn a_narrow_way_does_not_hold_up_what_goes_elsewhere() {
    let mut bench = Bench::new(3);
    let c = HostId(2);
    bench.net.add_host(c, "c", Ipv4Addr::new(10, 0, 0, 3));
    bench.net.on_host_up(&mut bench.core, c);
    let (client, _) = bench.pair();
    slow(&mut bench, MS, 10_000);
    assert_eq!(bench.write(PA, client, &pattern(0, 200_000)), Write::Took(200_000));
    bench.listen(ProcessId { host: c, incarnation: 1 }, 1);
    let other = bench.connect(PA, address(c, 1));
    let (result, took_ns) = bench.await_connect(PA, other);
    assert_eq!(result, Ok(()));
    assert!(took_ns < 10 * MS, "{took_ns}");
}

#[test]
fn what_a_slow_way_loses_is_sent_again() {
    let mut bench = Bench::new(4);
    let (client, server) = bench.pair();
    slow(&mut bench, 20 * MS, 100_000);
    assert_eq!(bench.write(PA, client, &pattern(0, 100_000)), Write::Took(100_000));
    bench.run_for(100 * MS);
    bench.net.cut(&mut bench.core, A, B);
    bench.run_for(3 * S);
    bench.net.heal(&mut bench.core, A, B);
    let mut got = Vec::new();
    while got.len() < 100_000 {
        match bench.await_read(PB, server).0 {
            Read::Bytes(bytes) => got.extend(bytes),
            other => panic!("{other:?}"),
        }
    }
    assert!(got == pattern(0, 100_000));
    assert!(bench.core.now_ns() < 20 * S, "{}", bench.core.now_ns());
    assert!(bench.net.stats().retransmissions > 0);
}

#[test]
fn other_properties_of_the_link_stay_as_they_are() {
    let mut bench = Bench::new(5);
    let lossy = LinkSpec { loss: 0.1, ..LinkSpec::LAN };
    slow(&mut bench, MS, 1_000_000);
    bench.net.set_link(A, B, lossy);
    assert_eq!(bench.net.link(A, B), lossy);
    bench.net.set_slowdown(A, B, None);
    assert_eq!(bench.net.link(A, B), lossy);
    assert_eq!(bench.net.link(B, A), LinkSpec::LAN);
}
