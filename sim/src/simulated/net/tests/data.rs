//! Bytes on a healthy connection: order, windows, half close, Nagle.

use super::*;

#[test]
fn bytes_arrive_after_one_way() {
    let mut bench = Bench::new(1);
    let (client, server) = bench.pair();
    let begin_ns = bench.core.now_ns();
    assert_eq!(bench.write(PA, client, b"hello"), Write::Took(5));
    let (found, at_ns) = bench.await_read(PB, server);
    assert_eq!(found, Read::Bytes(b"hello".to_vec()));
    assert!((150_000..MS).contains(&(at_ns - begin_ns)), "{}", at_ns - begin_ns);
    bench.run_for(10 * MS);
    assert_eq!(bench.read(PB, server), Read::Nothing);
}

#[test]
fn vectored_writes_travel_as_one_segment() {
    let mut bench = Bench::new(2);
    let (client, server) = bench.pair();
    let slices = [IoSlice::new(b"head"), IoSlice::new(b""), IoSlice::new(b"body")];
    let result = bench.net.write(&mut bench.core, PA, client, &slices, Waker::noop());
    assert!(matches!(result, Poll::Ready(Ok(8))));
    assert_eq!(bench.await_read(PB, server).0, Read::Bytes(b"headbody".to_vec()));
    assert_eq!(bench.steps("net.data"), 1);
}

/// Testbeds §1.2 "bandwidth / bounded buffers / backpressure": a slow reader.
#[test]
fn a_peer_that_does_not_read_blocks_the_writer_at_both_buffers() {
    let mut bench = Bench::new(3);
    let (client, server) = bench.pair();
    let mut written = 0;
    loop {
        match bench.write(PA, client, &pattern(written, 10_000)) {
            Write::Took(taken) => written += taken,
            Write::Blocked if bench.core.now_ns() > 10 * S => break,
            Write::Blocked => bench.run_for(S),
            Write::Failed(error) => panic!("{error}"),
        }
    }
    assert_eq!(written, 512 * 1024);
    // A shut window is probed for ever, and never an error as long as the peer answers.
    bench.run_for(3_600 * S);
    assert_eq!(bench.write(PA, client, b"x"), Write::Blocked);
    assert!(bench.steps("net.probe") > 30);

    let mut got = Vec::new();
    while got.len() < written {
        match bench.await_read(PB, server).0 {
            Read::Bytes(bytes) => got.extend(bytes),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(got, pattern(0, written));
    assert_eq!(bench.write(PA, client, b"x"), Write::Took(1));
}

#[test]
fn a_window_opens_by_an_update_and_not_by_the_next_probe() {
    let mut bench = Bench::new(4);
    let (client, server) = bench.pair();
    let bytes = pattern(0, 256 * 1024);
    assert_eq!(bench.write(PA, client, &bytes), Write::Took(bytes.len()));
    bench.run_for(S);
    assert_eq!(bench.write(PA, client, &bytes), Write::Took(bytes.len()));
    bench.run_for(600 * S);
    let begin_ns = bench.core.now_ns();
    assert!(matches!(bench.read(PB, server), Read::Bytes(_)));
    let (found, at_ns) = bench.await_read(PB, server);
    assert!(matches!(found, Read::Bytes(_)));
    assert!(at_ns - begin_ns < 10 * MS, "{}", at_ns - begin_ns);
}

/// Testbeds §1.2 "bandwidth / bounded buffers / backpressure".
#[test]
fn bandwidth_limits_a_bulk_transfer_and_slows_its_neighbours() {
    let mut bench = Bench::new(5);
    let (client, server) = bench.pair();
    bench.net.set_link(A, B, LinkSpec { bandwidth_bytes_per_s: 1_000_000, ..LinkSpec::LAN });
    let took_ms = transfer(&mut bench, client, server, 4_000_000) / MS;
    assert!((4_000..4_600).contains(&took_ms), "4 MB at 1 MB/s and 6 % of headers took {took_ms} ms");
    assert_eq!(bench.net.stats().retransmissions, 0, "a queue is no loss");
}

/// A half-closed peer can answer for as long as it likes.
#[test]
fn a_half_close_ends_one_direction_only() {
    let mut bench = Bench::new(6);
    let (client, server) = bench.pair();
    assert_eq!(bench.write(PA, client, b"last words"), Write::Took(10));
    bench.net.shutdown(&mut bench.core, PA, client);
    assert_eq!(bench.write(PA, client, b"more"), Write::Failed(SocketError::BrokenPipe(remote(&bench, client))));
    assert_eq!(bench.await_read(PB, server).0, Read::Bytes(b"last words".to_vec()));
    assert_eq!(bench.await_read(PB, server).0, Read::End);
    assert_eq!(bench.read(PB, server), Read::End);
    bench.run_for(3_600 * S);
    assert_eq!(bench.write(PB, server, b"answer"), Write::Took(6));
    assert_eq!(bench.await_read(PA, client).0, Read::Bytes(b"answer".to_vec()));
    bench.net.close(&mut bench.core, PB, server);
    assert_eq!(bench.await_read(PA, client).0, Read::End);
    bench.net.close(&mut bench.core, PA, client);
    bench.run_for(61 * S);
    bench.assert_empty();
}

#[test]
fn what_was_written_before_a_close_still_arrives() {
    let mut bench = Bench::new(7);
    let (client, server) = bench.pair();
    let bytes = pattern(0, 200_000);
    assert_eq!(bench.write(PA, client, &bytes), Write::Took(bytes.len()));
    bench.net.close(&mut bench.core, PA, client);
    let mut got = Vec::new();
    while let Read::Bytes(some) = bench.await_read(PB, server).0 {
        got.extend(some);
    }
    assert_eq!(got, bytes);
}

#[test]
fn small_writes_wait_for_acknowledgements_unless_nodelay() {
    for nodelay in [false, true] {
        let mut bench = Bench::new(8);
        let (client, _) = bench.pair();
        bench.net.set_nodelay(&mut bench.core, PA, client, nodelay).expect("alive");
        for _ in 0..10 {
            assert_eq!(bench.write(PA, client, b"tick"), Write::Took(4));
        }
        bench.run_for(10 * MS);
        assert_eq!(bench.steps("net.data"), if nodelay { 10 } else { 2 });
    }
}

#[test]
fn reads_take_no_more_than_they_ask_for() {
    let mut bench = Bench::new(9);
    let (client, server) = bench.pair();
    bench.write(PA, client, b"abcdef");
    bench.write(PA, client, b"ghi");
    bench.run_for(10 * MS);
    assert_eq!(bench.read_up_to(PB, server, 4), Read::Bytes(b"abcd".to_vec()));
    assert_eq!(bench.read_up_to(PB, server, 4), Read::Bytes(b"efgh".to_vec()));
    assert_eq!(bench.read_up_to(PB, server, 4), Read::Bytes(b"i".to_vec()));
    assert_eq!(bench.read_up_to(PB, server, 4), Read::Nothing);
}

#[test]
fn sockets_belong_to_their_process() {
    let mut bench = Bench::new(10);
    let (client, _) = bench.pair();
    assert_eq!(bench.write(PB, client, b"x"), Write::Failed(SocketError::ProcessEnded));
    assert_eq!(bench.read(PB, client), Read::Failed(SocketError::ProcessEnded));
    bench.net.close(&mut bench.core, PB, client);
    assert_eq!(bench.write(PA, client, b"x"), Write::Took(1));
}
