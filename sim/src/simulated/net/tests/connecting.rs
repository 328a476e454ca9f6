//! Handshakes, ports, listeners.

use super::*;
use std::collections::BTreeSet;

#[test]
fn a_handshake_takes_one_round_trip() {
    let mut bench = Bench::new(1);
    let listener = bench.listen(PB, 80);
    let client = bench.connect(PA, address(B, 80));
    let (result, took_ns) = bench.await_connect(PA, client);
    assert_eq!(result, Ok(()));
    assert!((300_000..2 * MS).contains(&took_ns), "{took_ns}");
    assert!(bench.accept(PB, listener).is_none(), "the last part of the handshake is on its way");
    bench.run_for(MS);
    let (_, addresses) = bench.accept(PB, listener).expect("complete");
    assert_eq!(*addresses.peer.ip(), Ipv4Addr::new(10, 0, 0, 1));
    assert!((32_768..=60_999).contains(&addresses.peer.port()));
}

#[test]
fn a_closed_port_refuses_after_one_round_trip() {
    let mut bench = Bench::new(2);
    let client = bench.connect(PA, address(B, 80));
    let (result, took_ns) = bench.await_connect(PA, client);
    assert_eq!(result, Err(SocketError::Refused(v4(address(B, 80)))));
    assert!((300_000..2 * MS).contains(&took_ns), "{took_ns}");
    bench.net.close(&mut bench.core, PA, client);
    bench.assert_empty();
}

#[test]
fn a_dead_host_an_unknown_address_and_a_cut_time_out_after_127_s() {
    for (fault, to) in ["dead", "cut there", "cut back", "unknown"].into_iter().zip([B, B, B, HostId(7)]) {
        let mut bench = Bench::new(3);
        bench.listen(PB, 80);
        match fault {
            "dead" => bench.net.on_host_silenced(&mut bench.core, B),
            "cut there" => bench.net.cut(&mut bench.core, A, B),
            "cut back" => bench.net.cut(&mut bench.core, B, A),
            _ => {}
        }
        let to = address(to, 80);
        let client = bench.connect(PA, to);
        let (result, took_ns) = bench.await_connect(PA, client);
        assert_eq!((result, took_ns), (Err(SocketError::TimedOut(v4(to))), 127 * S), "{fault}");
        bench.net.close(&mut bench.core, PA, client);
        bench.run_for(200 * S);
        bench.assert_empty();
    }
}

/// Testbeds §1.2 "TCP truthfulness": SYN time-outs. `tcp_syn_retries` is 6.
#[test]
fn syns_are_sent_again_after_1_3_7_15_31_and_63_s() {
    let mut bench = Bench::new(4);
    bench.net.cut(&mut bench.core, A, B);
    let client = bench.connect(PA, address(B, 80));
    assert!(bench.await_connect(PA, client).0.is_err());
    let steps = bench.core.trace.take_kept();
    let cuts: Vec<u64> = steps.iter().filter(|step| step.step == "net.cut").map(|step| step.at_ns / S).collect();
    assert_eq!(cuts, [0, 1, 3, 7, 15, 31, 63]);
    assert_eq!(bench.net.stats().links[&(A, B)].dropped_by_cut, 7);
}

#[test]
fn a_connect_through_a_cut_that_heals_succeeds_at_the_next_syn() {
    let mut bench = Bench::new(5);
    bench.listen(PB, 80);
    bench.net.cut(&mut bench.core, B, A);
    let client = bench.connect(PA, address(B, 80));
    bench.run_until(2 * S);
    bench.net.heal(&mut bench.core, B, A);
    let (result, _) = bench.await_connect(PA, client);
    assert_eq!(result, Ok(()));
    assert_eq!(bench.core.now_ns() / S, 3);
}

#[test]
fn dropping_a_connect_leaves_nothing_behind() {
    let mut bench = Bench::new(6);
    let listener = bench.listen(PB, 80);
    let client = bench.connect(PA, address(B, 80));
    bench.net.close(&mut bench.core, PA, client);
    bench.run_for(S);
    assert!(bench.accept(PB, listener).is_none());
    bench.assert_empty();
    assert_eq!(bench.net.listeners[listener.slot as usize].half_open, 0);
}

/// `tcp_synack_retries` is 5.
#[test]
fn a_half_open_connection_is_forgotten_after_63_s() {
    let mut bench = Bench::new(7);
    let listener = bench.listen(PB, 80);
    bench.connect(PA, address(B, 80));
    bench.run_for(MS / 10);
    bench.net.on_host_silenced(&mut bench.core, A);
    bench.net.on_host_up(&mut bench.core, A);
    bench.net.cut(&mut bench.core, B, A);
    bench.run_until(62 * S);
    assert_eq!(bench.net.listeners[listener.slot as usize].half_open, 1);
    bench.run_until(64 * S);
    assert_eq!(bench.net.listeners[listener.slot as usize].half_open, 0);
    bench.assert_empty();
}

#[test]
fn addresses_in_use_and_of_others_cannot_be_bound() {
    let mut bench = Bench::new(9);
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 80));
    bench.listen(PB, 80);
    assert!(matches!(bench.net.listen(PB, address(B, 80)), Err(SocketError::AddressInUse(_))));
    assert!(matches!(bench.net.listen(PB, any), Err(SocketError::AddressInUse(_))));
    assert!(bench.net.listen(PB, SocketAddr::from((Ipv4Addr::LOCALHOST, 80))).is_ok());
    assert!(matches!(bench.net.listen(PB, address(A, 81)), Err(SocketError::AddressNotAvailable { .. })));
    assert!(bench.net.listen(PA, any).is_ok(), "another host has its own ports");
    let ports: BTreeSet<u16> = (0..50).map(|_| bench.net.listen(PB, address(B, 0)).expect("free").1.port()).collect();
    assert_eq!(ports.len(), 50);
    assert!(ports.iter().all(|port| (32_768..=60_999).contains(port)));
}

#[test]
fn a_wildcard_listener_hears_the_network_and_loopback() {
    let mut bench = Bench::new(10);
    bench.net.listen(PB, SocketAddr::from((Ipv4Addr::UNSPECIFIED, 80))).expect("free");
    for (process, ip) in [(PA, Ipv4Addr::new(10, 0, 0, 2)), (PB, Ipv4Addr::new(10, 0, 0, 2)), (PB, Ipv4Addr::LOCALHOST)]
    {
        let client = bench.connect(process, SocketAddr::from((ip, 80)));
        let (result, took_ns) = bench.await_connect(process, client);
        assert_eq!(result, Ok(()));
        assert_eq!(took_ns < 100_000, process == PB, "loopback is fast: {took_ns}");
    }
    let client = bench.connect(PA, SocketAddr::from((Ipv4Addr::LOCALHOST, 80)));
    assert!(matches!(bench.await_connect(PA, client).0, Err(SocketError::Refused(_))));
}

#[test]
fn ipv6_is_unreachable() {
    let mut bench = Bench::new(11);
    let result = bench.net.connect(&mut bench.core, PA, "[::1]:80".parse().expect("an address"));
    assert!(matches!(result, Err(SocketError::Unreachable(_))));
}

#[test]
fn a_closed_listener_resets_what_waits_and_frees_its_port() {
    let mut bench = Bench::new(12);
    let listener = bench.listen(PB, 80);
    let client = bench.connect(PA, address(B, 80));
    bench.run_for(10 * MS);
    bench.net.close_listener(&mut bench.core, PB, listener);
    bench.run_for(10 * MS);
    assert_eq!(bench.await_connect(PA, client).0, Ok(()));
    assert_eq!(bench.read(PA, client), Read::Failed(SocketError::Reset(v4(address(B, 80)))));
    bench.listen(PB, 80);
}

/// `TCP_TIMEWAIT_LEN` is 60 s.
#[test]
fn a_port_in_time_wait_is_not_used_again() {
    let mut bench = Bench::new(13);
    let listener = bench.listen(PB, 80);
    let mut ports = BTreeSet::new();
    for _ in 0..20 {
        let (client, addresses) = bench.net.connect(&mut bench.core, PA, address(B, 80)).expect("a port is free");
        assert!(ports.insert(addresses.local.port()));
        bench.run_for(10 * MS);
        let (server, _) = bench.accept(PB, listener).expect("connected");
        bench.net.close(&mut bench.core, PA, client);
        bench.run_for(10 * MS);
        bench.net.close(&mut bench.core, PB, server);
        bench.run_for(10 * MS);
    }
    assert_eq!(bench.net.endpoints.len(), 20, "the side that closed first waits");
    bench.run_for(61 * S);
    bench.assert_empty();
}

#[test]
fn a_waiting_accept_is_woken() {
    let mut bench = Bench::new(14);
    let listener = bench.listen(PB, 80);
    assert!(bench.accept(PB, listener).is_none());
    bench.connect(PA, address(B, 80));
    let mut woken = 0;
    while bench.core.next_due_ns().filter(|&at_ns| at_ns < S / 2).is_some_and(|at_ns| {
        bench.core.set_now_ns(at_ns);
        true
    }) {
        while let Some(Event::Net(event)) = bench.core.next_due() {
            bench.core.take_wakers();
            bench.net.on_event(&mut bench.core, event);
            woken += usize::from(bench.net.listeners[listener.slot as usize].wakers.is_empty());
        }
    }
    assert!(woken > 0);
    assert!(bench.accept(PB, listener).is_some());
}
