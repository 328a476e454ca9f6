//! Accept queues that overflow, and addresses that are used again. The rules are Linux's (`tcp_ipv4.c`, `tcp_minisocks.c`).

use super::*;

fn with_backlog(seed: u64, backlog: usize) -> (Bench, ListenerId) {
    let mut bench = Bench::with_config(seed, NetConfig { backlog, ..NetConfig::default() });
    let listener = bench.listen(PB, 80);
    (bench, listener)
}

fn is_connected(bench: &mut Bench, id: EndpointId) -> bool {
    bench.net.poll_connected(PA, id, Waker::noop()) == Poll::Ready(Ok(()))
}

/// `sk_acceptq_is_full`: one more than the backlog fits; after that SYNs are dropped, and sent again after 1 s.
#[test]
fn a_full_accept_queue_drops_syns_until_somebody_accepts() {
    let (mut bench, listener) = with_backlog(1, 1);
    for _ in 0..2 {
        let client = bench.connect(PA, address(B, 80));
        assert_eq!(bench.await_connect(PA, client).0, Ok(()));
    }
    bench.run_until(S / 2);
    let begin_ns = bench.core.now_ns();
    let late = bench.connect(PA, address(B, 80));
    bench.run_for(S / 2);
    assert!(!is_connected(&mut bench, late));
    assert_eq!(bench.net.stats().accept_overflows, 1);
    assert!(bench.accept(PB, listener).is_some());
    assert_eq!(bench.await_connect(PA, late).0, Ok(()));
    assert_eq!((bench.core.now_ns() - begin_ns) / S, 1);
}

/// `net.core.somaxconn` bounds what a program asks for.
#[test]
fn the_system_limits_the_backlog() {
    let config = NetConfig { backlog: 1_000, backlog_max: 3, ..NetConfig::default() };
    let mut bench = Bench::with_config(2, config);
    let listener = bench.listen(PB, 80);
    for _ in 0..10 {
        bench.connect(PA, address(B, 80));
        bench.run_for(10 * MS);
    }
    assert_eq!(bench.net.listeners[listener.slot as usize].queue.len(), 4);
}

/// `tcp_abort_on_overflow` is 0: the last part of the handshake is dropped, the client takes itself for connected and writes;
/// `tcp_synack_retries` is 5: after 63 s the server has forgotten, and what the client sends again is reset.
#[test]
fn a_client_is_connected_to_a_server_that_never_heard_of_it() {
    let (mut bench, listener) = with_backlog(3, 0);
    let clients = [(); 3].map(|()| bench.connect(PA, address(B, 80)));
    bench.run_for(100 * MS);
    assert!(clients.iter().all(|&client| is_connected(&mut bench, client)));
    let queue = |bench: &Bench| {
        let listener = &bench.net.listeners[listener.slot as usize];
        (listener.queue.len(), listener.half_open)
    };
    assert_eq!(queue(&bench), (1, 2));
    let begin_ns = bench.core.now_ns();
    for client in clients {
        assert_eq!(bench.write(PA, client, b"hello"), Write::Took(5));
    }
    bench.run_for(60 * S);
    assert_eq!(queue(&bench), (1, 2));
    // Whose handshake came last is left to the link.
    let outside = clients.into_iter().find(|client| bench.net.endpoints[client.slot as usize].send.in_flight());
    let (found, at_ns) = bench.await_read(PA, outside.expect("two are not acknowledged"));
    assert_eq!(found, Read::Failed(SocketError::Reset(v4(address(B, 80)))));
    assert!((63..120).contains(&((at_ns - begin_ns) / S)), "{}", at_ns - begin_ns);
    assert_eq!(queue(&bench), (1, 0));
    assert!(bench.net.stats().accept_overflows > 10);
    assert_eq!(bench.net.stats().accept_overflows_injected, 0);
}

/// When there is room in time, what the client has sent again completes the handshake, and nothing is lost.
#[test]
fn a_client_that_overflowed_gets_in_when_there_is_room() {
    let (mut bench, listener) = with_backlog(4, 0);
    let clients = [(); 2].map(|()| bench.connect(PA, address(B, 80)));
    bench.run_for(100 * MS);
    for client in clients {
        bench.write(PA, client, b"hello");
    }
    bench.run_for(5 * S);
    let (first, _) = bench.accept(PB, listener).expect("one fits");
    assert_eq!(bench.read(PB, first), Read::Bytes(b"hello".to_vec()));
    bench.run_for(10 * S);
    let (second, _) = bench.accept(PB, listener).expect("there was room");
    assert_eq!(bench.read(PB, second), Read::Bytes(b"hello".to_vec()));
}

/// The world can fill a queue that the simulated clients alone would not: connects time out, and go through once it is drained.
#[test]
fn a_stuffed_accept_queue_lets_nobody_in() {
    let mut bench = Bench::new(5);
    bench.listen(PB, 80);
    bench.net.stuff_accept_queues(B, true);
    let client = bench.connect(PA, address(B, 80));
    let (result, took_ns) = bench.await_connect(PA, client);
    assert_eq!((result, took_ns), (Err(SocketError::TimedOut(v4(address(B, 80)))), 127 * S));
    assert_eq!(bench.net.stats().accept_overflows_injected, 7);
    bench.net.stuff_accept_queues(B, false);
    let client = bench.connect(PA, address(B, 80));
    assert_eq!(bench.await_connect(PA, client).0, Ok(()));
}

/// `ip_local_port_range` is 32768 to 60999: 28,232 connections to one address, then EADDRNOTAVAIL. Other addresses have ports
/// left, and `TCP_TIMEWAIT_LEN` after they were closed so has this one.
#[test]
fn ephemeral_ports_run_out_towards_one_address() {
    let mut bench = Bench::new(6);
    for (from, to) in [(A, B), (B, A)] {
        bench.net.set_link(from, to, LinkSpec { tail_probability: 0.0, jitter_ns_mean: 0, ..LinkSpec::LAN });
    }
    let listener = bench.listen(PB, 80);
    for _ in 0..28_232 {
        let client = bench.connect(PA, address(B, 80));
        bench.run_for(MS / 2);
        let (server, _) = bench.accept(PB, listener).expect("connected");
        bench.net.close(&mut bench.core, PA, client);
        bench.run_for(MS / 5);
        bench.net.close(&mut bench.core, PB, server);
        bench.core.trace.take_kept();
    }
    let exhausted = bench.net.connect(&mut bench.core, PA, address(B, 80)).expect_err("every port waits");
    assert_eq!(exhausted, SocketError::PortsExhausted(v4(address(B, 80))));
    assert_eq!(std::io::Error::from(exhausted).kind(), std::io::ErrorKind::AddrNotAvailable);
    assert!(bench.net.connect(&mut bench.core, PA, address(B, 81)).is_ok());
    bench.run_for(60 * S);
    assert!(bench.net.connect(&mut bench.core, PA, address(B, 80)).is_ok());
}

/// SO_REUSEADDR, which tokio sets: connections in TIME_WAIT do not keep a port from being listened on.
#[test]
fn a_port_with_connections_in_time_wait_can_be_bound() {
    let mut bench = Bench::new(7);
    let (client, server) = bench.pair();
    bench.net.close(&mut bench.core, PB, server);
    bench.run_for(MS);
    bench.net.close(&mut bench.core, PA, client);
    bench.run_for(MS);
    bench.net.on_process_killed(&mut bench.core, PB);
    assert_eq!(bench.net.endpoints.len(), 1, "the server closed first and waits");
    assert!(bench.net.listen(ProcessId { incarnation: 2, ..PB }, address(B, 9876)).is_ok());
}

/// Makes A forget everything and begin with the port that it used last.
fn reboot_onto_port(bench: &mut Bench, port: u16) {
    bench.net.on_host_silenced(&mut bench.core, A);
    bench.net.on_host_up(&mut bench.core, A);
    bench.net.hosts[A.0 as usize].restart_ports(u64::from(port - 32_768));
}

/// `tcp_timewait_state_process`: a SYN with newer sequence numbers ends TIME_WAIT.
#[test]
fn a_new_connection_may_use_addresses_that_wait_at_the_server() {
    let mut bench = Bench::new(8);
    let (client, server) = bench.pair();
    let port = bench.net.endpoints[client.slot as usize].route.local.port();
    bench.net.close(&mut bench.core, PB, server);
    bench.run_for(MS);
    bench.net.close(&mut bench.core, PA, client);
    bench.run_for(MS);
    reboot_onto_port(&mut bench, port);
    let again = bench.connect(PA, address(B, 9876));
    assert_eq!(bench.net.endpoints[again.slot as usize].route.local.port(), port);
    let (result, took_ns) = bench.await_connect(PA, again);
    assert_eq!(result, Ok(()));
    assert!(took_ns < 10 * MS, "{took_ns}");
}

/// Testbeds §1.2 "TCP truthfulness": half-open; the server still holds the connection of a client that has rebooted. The
/// client's SYN is answered by a challenge (RFC 5961), which the client resets; its next SYN, after 1 s, connects.
#[test]
fn a_rebooted_client_on_its_old_port_ends_the_half_open_connection() {
    let mut bench = Bench::new(9);
    let (client, server) = bench.pair();
    let port = bench.net.endpoints[client.slot as usize].route.local.port();
    reboot_onto_port(&mut bench, port);
    let again = bench.connect(PA, address(B, 9876));
    assert_eq!(bench.net.endpoints[again.slot as usize].route.local.port(), port);
    let (result, took_ns) = bench.await_connect(PA, again);
    assert_eq!((result, took_ns / S), (Ok(()), 1));
    assert!(matches!(bench.read(PB, server), Read::Failed(SocketError::Reset(_))));
}
