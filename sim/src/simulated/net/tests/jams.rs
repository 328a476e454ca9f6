//! Jams (clogging: delay everything, then release) and connections that the world resets.

use super::*;

/// Testbeds §1.2 "clogging": what is on its way and what is sent meanwhile is held, and comes when the jam ends.
#[test]
fn a_jam_holds_everything_and_then_delivers_it_in_order() {
    let mut bench = Bench::new(1);
    let (client, server) = bench.pair();
    bench.write(PA, client, b"on its way, ");
    bench.net.jam(&mut bench.core, A, B);
    bench.run_for(100 * MS);
    bench.write(PA, client, b"sent meanwhile");
    bench.write(PB, server, b"the way back is free");
    bench.run_for(10 * S);
    assert_eq!(bench.read(PB, server), Read::Nothing);
    assert!(matches!(bench.read(PA, client), Read::Bytes(_)));
    let released = bench.net.unjam(&mut bench.core, A, B);
    assert!(released >= 2, "{released}");
    assert_eq!(bench.net.stats().links[&(A, B)].jam_holds_injected, released as u64);
    bench.run_for(MS);
    // What Nagle kept back leaves with the first acknowledgement.
    let mut got = Vec::new();
    while got.len() < 26 {
        match bench.await_read(PB, server).0 {
            Read::Bytes(bytes) => got.extend(bytes),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(got, b"on its way, sent meanwhile");
    assert!(bench.net.stats().retransmissions > 0, "ten seconds without an answer");
    assert_eq!(bench.net.stats().total.dropped_by_cut, 0);
}

#[test]
fn jams_add_up() {
    let mut bench = Bench::new(2);
    let (client, server) = bench.pair();
    bench.net.jam(&mut bench.core, A, B);
    bench.net.jam(&mut bench.core, A, B);
    bench.write(PA, client, b"x");
    bench.run_for(50 * MS);
    assert_eq!(bench.net.unjam(&mut bench.core, A, B), 0);
    bench.run_for(50 * MS);
    assert_eq!(bench.read(PB, server), Read::Nothing);
    assert_eq!(bench.net.unjam(&mut bench.core, A, B), 1);
    bench.run_for(MS);
    assert_eq!(bench.read(PB, server), Read::Bytes(b"x".to_vec()));
    assert_eq!(bench.net.unjam(&mut bench.core, A, B), 0, "there is none any more");
}

#[test]
fn a_connect_into_a_jam_succeeds_when_it_ends() {
    let mut bench = Bench::new(3);
    bench.listen(PB, 80);
    bench.net.jam(&mut bench.core, B, A);
    let client = bench.connect(PA, address(B, 80));
    bench.run_for(10 * S);
    assert!(bench.net.poll_connected(PA, client, Waker::noop()).is_pending());
    bench.net.unjam(&mut bench.core, B, A);
    let (result, took_ns) = bench.await_connect(PA, client);
    assert_eq!((result, took_ns), (Ok(()), 0));
}

/// A jam may outlast what it holds: the sender reboots, and the receiver still gets what the dead kernel had sent.
#[test]
fn what_a_jam_holds_outlives_its_sender_but_not_a_cut() {
    for is_cut in [false, true] {
        let mut bench = Bench::new(4);
        let (client, server) = bench.pair();
        bench.net.jam(&mut bench.core, A, B);
        bench.write(PA, client, b"from the grave");
        bench.run_for(S);
        bench.net.on_host_silenced(&mut bench.core, A);
        bench.run_for(S);
        if is_cut {
            bench.net.cut(&mut bench.core, A, B);
        }
        bench.net.unjam(&mut bench.core, A, B);
        bench.run_for(S);
        let expected = if is_cut { Read::Nothing } else { Read::Bytes(b"from the grave".to_vec()) };
        assert_eq!(bench.read(PB, server), expected);
    }
}

/// Testbeds §1.2 "TCP truthfulness": resets; a storm hits every connection of a pair at one instant, at both ends.
#[test]
fn a_reset_storm_is_told_to_both_programs_at_once() {
    let mut bench = Bench::new(5);
    let (client, server) = bench.pair();
    let listener = bench.listen(PA, 80);
    let backward = bench.connect(PB, address(A, 80));
    assert_eq!(bench.await_connect(PB, backward).0, Ok(()));
    bench.run_for(MS);
    let (forward, _) = bench.accept(PA, listener).expect("connected");
    let half_open = bench.connect(PA, address(B, 9876));
    bench.write(PA, client, b"never read");
    bench.run_for(20_000);
    assert_eq!(bench.net.reset_connections(&mut bench.core, A, B), 3);
    assert_eq!(bench.net.stats().resets_injected, 3);
    for (process, id) in [(PA, client), (PB, server), (PA, forward), (PB, backward)] {
        assert!(matches!(bench.read(process, id), Read::Failed(SocketError::Reset(_))));
        assert!(matches!(bench.write(process, id, b"x"), Write::Failed(SocketError::BrokenPipe(_))));
    }
    assert!(matches!(bench.await_connect(PA, half_open).0, Err(SocketError::Refused(_))));
    assert_eq!(bench.net.reset_connections(&mut bench.core, A, B), 0, "what is dead is not reset again");
    for (process, id) in [(PA, client), (PB, server), (PA, forward), (PB, backward), (PA, half_open)] {
        bench.net.close(&mut bench.core, process, id);
    }
    bench.run_for(100 * S);
    bench.assert_empty();
}

#[test]
fn connections_to_others_survive_a_reset_storm() {
    let mut bench = Bench::new(6);
    let c = HostId(2);
    bench.net.add_host(c, "c", Ipv4Addr::new(10, 0, 0, 3));
    bench.net.on_host_up(&mut bench.core, c);
    let (client, server) = bench.pair();
    assert_eq!(bench.net.reset_connections(&mut bench.core, A, c), 0);
    assert_eq!(bench.net.reset_connections(&mut bench.core, A, A), 0);
    bench.write(PA, client, b"x");
    assert_eq!(bench.await_read(PB, server).0, Read::Bytes(b"x".to_vec()));
}
