//! Kills, crashes, cuts and loss: what each does to connections, and when the other end hears of it.

use super::*;

#[test]
fn a_killed_process_says_fin_when_it_has_read_everything() {
    let mut bench = Bench::new(1);
    let (client, server) = bench.pair();
    bench.net.on_process_killed(&mut bench.core, PB);
    let (found, at_ns) = bench.await_read(PA, client);
    assert_eq!(found, Read::End);
    assert!(at_ns < 30 * MS);
    // Data to the orphan is answered by a reset: in CLOSE_WAIT, Linux calls that EPIPE.
    assert_eq!(bench.write(PA, client, b"anyone there?"), Write::Took(13));
    bench.run_for(10 * MS);
    assert_eq!(bench.write(PA, client, b"?"), Write::Failed(SocketError::BrokenPipe(remote(&bench, client))));
    assert_eq!(bench.read(PA, client), Read::End);
    // The dead process's sockets answer with an error, and closing them does nothing.
    assert_eq!(bench.read(PB, server), Read::Failed(SocketError::ProcessEnded));
    bench.net.close(&mut bench.core, PB, server);
    bench.net.close(&mut bench.core, PA, client);
    bench.run_for(S);
    bench.assert_empty();
}

/// Linux's `tcp_close`: what is unread makes it a reset.
#[test]
fn a_killed_process_says_rst_when_something_is_unread() {
    let mut bench = Bench::new(2);
    let (client, _) = bench.pair();
    bench.write(PA, client, b"unread");
    bench.run_for(10 * MS);
    bench.net.on_process_killed(&mut bench.core, PB);
    assert_eq!(bench.await_read(PA, client).0, Read::Failed(SocketError::Reset(remote(&bench, client))));
    // The error is told once; after that it is the end, and a broken pipe.
    assert_eq!(bench.read(PA, client), Read::End);
    assert_eq!(bench.write(PA, client, b"x"), Write::Failed(SocketError::BrokenPipe(remote(&bench, client))));
}

#[test]
fn a_killed_process_says_rst_to_data_that_is_on_its_way() {
    let mut bench = Bench::new(3);
    let (client, _) = bench.pair();
    bench.write(PA, client, b"crossing");
    bench.net.on_process_killed(&mut bench.core, PB);
    bench.run_for(10 * MS);
    // The FIN came before the reset: reads see the end, and writes hear why.
    assert_eq!(bench.read(PA, client), Read::End);
    assert_eq!(bench.write(PA, client, b"x"), Write::Failed(SocketError::BrokenPipe(remote(&bench, client))));
    let refused = bench.connect(PA, address(B, 9876));
    assert!(matches!(bench.await_connect(PA, refused).0, Err(SocketError::Refused(_))), "its listeners are gone too");
    assert_eq!(bench.net.listen(PB, address(B, 1)).unwrap_err(), SocketError::ProcessEnded);
    assert!(bench.net.listen(ProcessId { incarnation: 2, ..PB }, address(B, 9876)).is_ok());
}

#[test]
fn what_arrived_before_a_reset_can_still_be_read() {
    let mut bench = Bench::new(4);
    let (client, server) = bench.pair();
    bench.write(PA, client, b"unread");
    bench.write(PB, server, b"a will");
    bench.run_for(10 * MS);
    bench.net.on_process_killed(&mut bench.core, PB);
    bench.run_for(10 * MS);
    assert_eq!(bench.read(PA, client), Read::Bytes(b"a will".to_vec()));
    assert!(matches!(bench.read(PA, client), Read::Failed(SocketError::Reset(_))));
}

/// Testbeds §1.2 "TCP truthfulness": no FIN after power loss. `tcp_retries2` is 15.
#[test]
fn power_loss_is_silent_and_noticed_after_924_s() {
    let mut bench = Bench::new(5);
    let (client, _) = bench.pair();
    bench.net.on_host_silenced(&mut bench.core, B);
    bench.run_for(7 * 24 * 3_600 * S);
    assert_eq!(bench.read(PA, client), Read::Nothing, "nobody asked: an idle peer never notices");
    let begin_ns = bench.core.now_ns();
    assert_eq!(bench.write(PA, client, b"hello?"), Write::Took(6));
    let (found, at_ns) = bench.await_read(PA, client);
    assert_eq!(found, Read::Failed(SocketError::TimedOut(remote(&bench, client))));
    // 924.6 s are for a time-out of exactly 200 ms; it is a round trip more.
    assert!((9_246..9_255).contains(&((at_ns - begin_ns) / (S / 10))), "{}", at_ns - begin_ns);
    assert_eq!(bench.net.stats().retransmissions, 15);
    assert_eq!(bench.write(PA, client, b"x"), Write::Failed(SocketError::BrokenPipe(remote(&bench, client))));
}

/// Testbeds §1.2 "TCP truthfulness": half-open connections end with a reset.
#[test]
fn a_rebooted_host_resets_what_it_does_not_know() {
    let mut bench = Bench::new(6);
    let (client, _) = bench.pair();
    bench.net.on_host_silenced(&mut bench.core, B);
    bench.write(PA, client, b"hello?");
    bench.run_for(30 * S);
    assert_eq!(bench.read(PA, client), Read::Nothing);
    bench.net.on_host_up(&mut bench.core, B);
    let (found, at_ns) = bench.await_read(PA, client);
    assert_eq!(found, Read::Failed(SocketError::Reset(remote(&bench, client))));
    // Sent again 0.2, 0.6, 1.4, 3, 6.2, 12.6, 25.4 and 51 s after the first time.
    assert_eq!(at_ns / S, 51);
    bench.net.close(&mut bench.core, PA, client);
    bench.assert_empty();
}

#[test]
fn power_loss_takes_what_waits_in_the_network_card() {
    let mut bench = Bench::new(7);
    let (client, server) = bench.pair();
    bench.net.set_link(A, B, LinkSpec { bandwidth_bytes_per_s: 1_000_000, ..LinkSpec::LAN });
    bench.write(PA, client, &pattern(0, 200_000));
    bench.run_for(100 * MS);
    bench.net.on_host_silenced(&mut bench.core, A);
    bench.run_for(S);
    let Read::Bytes(got) = bench.read(PB, server) else { panic!("the first segment was sent") };
    assert_eq!(got.len(), 30 * 1_448, "at 1 MB/s, ten and then twenty segments left in 0.1 s");
    assert_eq!(bench.net.stats().links[&(A, B)].dropped_by_silence, 1);
}

/// Testbeds §1.2 "one-way partition".
#[test]
fn a_cut_of_either_direction_delays_and_nothing_else() {
    for (from, to) in [(A, B), (B, A)] {
        let mut bench = Bench::new(8);
        let (client, server) = bench.pair();
        bench.net.cut(&mut bench.core, from, to);
        let begin_ns = bench.core.now_ns();
        bench.write(PA, client, b"through");
        bench.run_for(10 * S);
        let early = bench.read(PB, server);
        assert_eq!(early == Read::Nothing, from == A, "data passes where only the way back is cut: {early:?}");
        assert!(bench.net.stats().links[&(from, to)].dropped_by_cut >= 6);
        bench.net.heal(&mut bench.core, from, to);
        bench.run_for(10 * S);
        assert_eq!(bench.read(PB, server), if from == A { Read::Bytes(b"through".to_vec()) } else { Read::Nothing });
        let sender = &bench.net.endpoints[client.slot as usize];
        assert!(!sender.send.in_flight(), "acknowledged by now");
        assert!(bench.core.now_ns() - begin_ns == 20 * S);
    }
}

#[test]
fn a_sender_gives_up_behind_a_cut_even_while_it_hears_its_peer() {
    let mut bench = Bench::new(9);
    let (client, server) = bench.pair();
    bench.net.cut(&mut bench.core, A, B);
    bench.write(PA, client, b"unheard");
    let begin_ns = bench.core.now_ns();
    loop {
        match bench.read(PA, client) {
            Read::Nothing | Read::Bytes(_) => {}
            Read::Failed(SocketError::TimedOut(_)) => break,
            other => panic!("{other:?}"),
        }
        bench.write(PB, server, b"still here");
        bench.run_for(S);
    }
    assert!((924..=927).contains(&((bench.core.now_ns() - begin_ns) / S)));
}

#[test]
fn a_cut_takes_what_is_in_flight() {
    let mut bench = Bench::new(10);
    let (client, server) = bench.pair();
    bench.write(PA, client, b"in flight");
    bench.net.cut(&mut bench.core, A, B);
    bench.run_for(100 * MS);
    assert_eq!(bench.read(PB, server), Read::Nothing);
    assert_eq!(bench.net.stats().links[&(A, B)].dropped_by_cut, 1);
}

#[test]
fn cuts_add_up() {
    let mut bench = Bench::new(11);
    bench.net.cut(&mut bench.core, A, B);
    bench.net.cut(&mut bench.core, A, B);
    bench.net.heal(&mut bench.core, A, B);
    assert!(bench.net.is_cut(A, B) && !bench.net.is_cut(B, A));
    bench.net.heal(&mut bench.core, A, B);
    assert!(!bench.net.is_cut(A, B));
}

#[test]
fn an_orphan_whose_peer_is_gone_gives_up_after_102_s() {
    let mut bench = Bench::new(12);
    let (client, _) = bench.pair();
    bench.net.cut(&mut bench.core, A, B);
    bench.write(PA, client, b"farewell");
    bench.net.on_process_killed(&mut bench.core, PA);
    let alive = |bench: &Bench| bench.net.endpoints.iter().any(|(_, endpoint)| endpoint.id == client);
    bench.run_for(102 * S);
    assert!(alive(&bench));
    bench.run_for(S);
    assert!(!alive(&bench));
}

#[test]
fn an_orphan_whose_peer_never_reads_gives_up() {
    let mut bench = Bench::new(13);
    let (client, _) = bench.pair();
    for _ in 0..2 {
        bench.write(PA, client, &pattern(0, 256 * 1024));
        bench.run_for(S);
    }
    bench.net.close(&mut bench.core, PA, client);
    bench.run_for(600 * S);
    assert!(bench.net.endpoints.iter().all(|(_, endpoint)| endpoint.id != client));
}

/// `tcp_fin_timeout` is 60 s.
#[test]
fn an_orphan_waits_60_s_for_its_peers_fin() {
    let mut bench = Bench::new(14);
    let (client, server) = bench.pair();
    bench.net.close(&mut bench.core, PA, client);
    bench.run_for(59 * S);
    assert_eq!(bench.net.endpoints.len(), 2);
    bench.run_for(2 * S);
    assert_eq!(bench.net.endpoints.len(), 1);
    bench.net.close(&mut bench.core, PB, server);
    bench.run_for(S);
    bench.assert_empty();
}

#[test]
fn loss_is_delay_and_never_an_error_or_a_wrong_byte() {
    let mut bench = Bench::new(15);
    let (client, server) = bench.pair();
    for (from, to) in [(A, B), (B, A)] {
        bench.net.set_link(from, to, LinkSpec { loss: 0.05, ..LinkSpec::LAN });
    }
    transfer(&mut bench, client, server, 3_000_000);
    let stats = bench.net.stats();
    assert!(stats.total.lost > 0 && stats.retransmissions >= stats.links[&(A, B)].lost, "{stats:?}");
}

#[test]
fn three_duplicate_acknowledgements_repair_a_loss_before_the_time_out() {
    let mut bench = Bench::new(16);
    let (client, server) = bench.pair();
    bench.net.set_nodelay(&mut bench.core, PA, client, true).expect("alive");
    bench.net.cut(&mut bench.core, A, B);
    bench.write(PA, client, b"0");
    bench.net.heal(&mut bench.core, A, B);
    for _ in 0..4 {
        bench.write(PA, client, b"1");
    }
    let begin_ns = bench.core.now_ns();
    let (found, at_ns) = bench.await_read(PB, server);
    assert!(matches!(found, Read::Bytes(_)));
    assert!(at_ns - begin_ns < 50 * MS, "{}", at_ns - begin_ns);
}
