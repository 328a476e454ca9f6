//! Keep-alive and a program's own patience, with Linux's figures; filters.

use super::*;
use crate::{net::KeepAlive, world::Verdict};
use std::{sync::Arc, time::Duration};

fn keepalive(bench: &mut Bench, client: EndpointId, keepalive: KeepAlive) {
    bench.net.set_keepalive(&mut bench.core, PA, client, Some(keepalive)).expect("alive");
}

/// `tcp_keepalive_time` 7200 s, `tcp_keepalive_intvl` 75 s, `tcp_keepalive_probes` 9.
#[test]
fn a_dead_peer_of_an_idle_connection_is_noticed_after_7875_s() {
    let mut bench = Bench::new(1);
    let (client, _) = bench.pair();
    let begin_ns = bench.core.now_ns();
    keepalive(&mut bench, client, KeepAlive::default());
    bench.net.on_host_silenced(&mut bench.core, B);
    let (found, at_ns) = bench.await_read(PA, client);
    assert_eq!(found, Read::Failed(SocketError::TimedOut(remote(&bench, client))));
    assert_eq!((at_ns - begin_ns) / S, 7_200 + 9 * 75);
    assert_eq!(bench.net.stats().keepalive_probes, 9);
}

#[test]
fn a_live_peer_answers_a_probe_every_7200_s_for_ever() {
    let mut bench = Bench::new(2);
    let (client, server) = bench.pair();
    keepalive(&mut bench, client, KeepAlive::default());
    bench.run_for(10 * 7_200 * S + S);
    assert_eq!(bench.net.stats().keepalive_probes, 10);
    bench.write(PB, server, b"x");
    assert_eq!(bench.await_read(PA, client).0, Read::Bytes(b"x".to_vec()));
    bench.net.set_keepalive(&mut bench.core, PA, client, None).expect("alive");
    bench.run_for(100 * 7_200 * S);
    assert_eq!(bench.net.stats().keepalive_probes, 10, "it was switched off");
}

/// Testbeds §1.2 "TCP truthfulness": half-open; the peer has rebooted, and its answer to the first probe is a reset.
#[test]
fn a_probe_finds_out_that_the_peer_has_rebooted() {
    let mut bench = Bench::new(3);
    let (client, _) = bench.pair();
    let figures = KeepAlive { idle: Duration::from_secs(30), interval: Duration::from_secs(5), probes: 3 };
    keepalive(&mut bench, client, figures);
    bench.run_for(10 * S);
    bench.net.on_host_silenced(&mut bench.core, B);
    bench.net.on_host_up(&mut bench.core, B);
    let begin_ns = bench.core.now_ns();
    let (found, at_ns) = bench.await_read(PA, client);
    assert_eq!(found, Read::Failed(SocketError::Reset(remote(&bench, client))));
    assert_eq!((at_ns - begin_ns) / S, 20);
}

#[test]
fn traffic_puts_the_first_probe_off_and_data_in_flight_takes_its_place() {
    let mut bench = Bench::new(4);
    let (client, server) = bench.pair();
    let figures = KeepAlive { idle: Duration::from_secs(30), interval: Duration::from_secs(5), probes: 3 };
    keepalive(&mut bench, client, figures);
    for _ in 0..10 {
        bench.run_for(20 * S);
        bench.write(PB, server, b"x");
    }
    assert_eq!(bench.net.stats().keepalive_probes, 0);
    bench.run_for(S);
    bench.net.cut(&mut bench.core, A, B);
    bench.write(PA, client, b"y");
    bench.run_for(300 * S);
    assert_eq!(bench.net.stats().keepalive_probes, 0);
    assert!(bench.net.stats().retransmissions > 8);
}

/// TCP_USER_TIMEOUT counts from the first time that something is sent again: `tcp_clamp_rto_to_user_timeout`.
#[test]
fn a_user_timeout_ends_the_patience_with_what_is_not_acknowledged() {
    let mut bench = Bench::new(5);
    let (client, _) = bench.pair();
    bench.net.set_user_timeout(PA, client, Some(Duration::from_secs(10))).expect("alive");
    bench.run_for(3_600 * S);
    bench.net.cut(&mut bench.core, A, B);
    let begin_ns = bench.core.now_ns();
    bench.write(PA, client, b"hello?");
    let (found, at_ns) = bench.await_read(PA, client);
    assert_eq!(found, Read::Failed(SocketError::TimedOut(remote(&bench, client))));
    assert!((10_200..10_250).contains(&((at_ns - begin_ns) / MS)), "{}", at_ns - begin_ns);
}

/// A user timeout may be longer than `tcp_retries2` would last, and holds for keep-alive probes as well.
#[test]
fn a_user_timeout_replaces_the_numbers_of_retries() {
    let mut bench = Bench::new(6);
    let (client, _) = bench.pair();
    bench.net.set_user_timeout(PA, client, Some(Duration::from_secs(3_000))).expect("alive");
    bench.net.on_host_silenced(&mut bench.core, B);
    let begin_ns = bench.core.now_ns();
    bench.write(PA, client, b"hello?");
    assert!(matches!(bench.await_read(PA, client).0, Read::Failed(SocketError::TimedOut(_))));
    assert_eq!((bench.core.now_ns() - begin_ns) / S, 3_000);

    let mut bench = Bench::new(7);
    let (client, _) = bench.pair();
    bench.net.set_user_timeout(PA, client, Some(Duration::from_secs(40))).expect("alive");
    let figures = KeepAlive { idle: Duration::from_secs(30), interval: Duration::from_secs(5), probes: 100 };
    keepalive(&mut bench, client, figures);
    bench.net.on_host_silenced(&mut bench.core, B);
    let begin_ns = bench.core.now_ns();
    assert!(matches!(bench.await_read(PA, client).0, Read::Failed(SocketError::TimedOut(_))));
    assert_eq!((bench.core.now_ns() - begin_ns) / S, 40);
}

/// A reader that stays slow for longer than the writer's patience loses the connection though it answers every probe.
#[test]
fn a_shut_window_outlasts_everything_but_a_user_timeout() {
    for limit in [None, Some(Duration::from_secs(60))] {
        let mut bench = Bench::new(8);
        let (client, _) = bench.pair();
        bench.net.set_user_timeout(PA, client, limit).expect("alive");
        for _ in 0..2 {
            bench.write(PA, client, &pattern(0, 256 * 1024));
            bench.run_for(S);
        }
        bench.run_for(600 * S);
        let expected = match limit {
            None => Write::Blocked,
            Some(_) => Write::Failed(SocketError::TimedOut(remote(&bench, client))),
        };
        assert_eq!(bench.write(PA, client, b"x"), expected);
    }
}

/// What begins with `B` meets the verdict, and nothing else does.
fn with_filter(verdict: Verdict) -> (Bench, EndpointId, EndpointId) {
    let mut bench = Bench::new(9);
    let (client, server) = bench.pair();
    bench.net.set_nodelay(&mut bench.core, PA, client, true).expect("alive");
    let judge = move |passing: &crate::world::Passing<'_>| {
        assert_eq!((passing.source.ip(), passing.destination.port()), (&Ipv4Addr::new(10, 0, 0, 1), 9876));
        if passing.payload().starts_with(b"B") { verdict } else { Verdict::Pass }
    };
    bench.net.set_filter(A, B, Some(Arc::new(judge)));
    for message in [b"A1", b"B1", b"A2"] {
        bench.write(PA, client, message);
    }
    bench.run_for(20 * MS);
    (bench, client, server)
}

/// Testbeds §1.2 "fault by message type".
#[test]
fn a_filter_stalls_one_kind_of_message() {
    let (mut bench, _, server) = with_filter(Verdict::Drop);
    assert_eq!(bench.read(PB, server), Read::Bytes(b"A1".to_vec()));
    bench.run_for(5 * S);
    assert_eq!(bench.read(PB, server), Read::Nothing, "TCP sends it again, and the filter drops it again");
    assert!(bench.net.stats().links[&(A, B)].filter_hits_injected > 3);
    bench.net.set_filter(A, B, None);
    assert_eq!(bench.await_read(PB, server).0, Read::Bytes(b"B1A2".to_vec()));
}

#[test]
fn a_filter_delays_one_kind_of_message() {
    let (mut bench, _, server) = with_filter(Verdict::Delay { ns: MS });
    assert_eq!(bench.read(PB, server), Read::Bytes(b"A1B1A2".to_vec()));
    assert_eq!(bench.net.stats().total.filter_hits_injected, 1);
}

#[test]
fn a_filter_resets_on_one_kind_of_message() {
    let (mut bench, client, server) = with_filter(Verdict::Reset);
    assert!(matches!(bench.read(PA, client), Read::Failed(SocketError::Reset(_))));
    assert_eq!(bench.read(PB, server), Read::Bytes(b"A1".to_vec()));
    assert!(matches!(bench.read(PB, server), Read::Failed(SocketError::Reset(_))));
    assert_eq!(bench.net.stats().resets_injected, 1);
}
