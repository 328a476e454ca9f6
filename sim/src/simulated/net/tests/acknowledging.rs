//! When acknowledgements go out, and what a program notices of it.

use super::*;

/// A connection whose first segments are long acknowledged, so that none is quick any more, `nodelay` at both ends or not.
fn settled(nodelay: bool) -> (Bench, EndpointId, EndpointId) {
    let mut bench = Bench::new(1);
    let (client, server) = bench.pair();
    for (process, id) in [(PA, client), (PB, server)] {
        bench.net.set_nodelay(&mut bench.core, process, id, nodelay).expect("alive");
    }
    for _ in 0..20 {
        exchange(&mut bench, client, server);
    }
    bench.core.trace.take_kept();
    (bench, client, server)
}

/// A request and its response, a millisecond after the one before.
fn exchange(bench: &mut Bench, client: EndpointId, server: EndpointId) {
    bench.run_for(MS);
    for (from, to) in [((PA, client), (PB, server)), ((PB, server), (PA, client))] {
        assert_eq!(bench.write(from.0, from.1, b"some bytes"), Write::Took(10));
        assert_eq!(bench.await_read(to.0, to.1).0, Read::Bytes(b"some bytes".to_vec()));
    }
}

#[test]
fn responses_and_requests_carry_the_acknowledgements() {
    let (mut bench, client, server) = settled(true);
    for _ in 0..30 {
        exchange(&mut bench, client, server);
    }
    assert_eq!(bench.steps("net.ack"), 0);
    // The last response is acknowledged alone, 40 ms after it came.
    bench.run_for(39 * MS);
    assert_eq!(bench.steps("net.ack"), 0);
    bench.run_for(2 * MS);
    assert_eq!(bench.steps("net.ack"), 1);
    assert!(!bench.net.endpoints[server.slot as usize].send.in_flight());
}

/// Nagle at the one end and a delayed acknowledgement at the other: why programs set TCP_NODELAY.
#[test]
fn two_small_writes_before_a_read_take_40_ms_without_nodelay() {
    for nodelay in [false, true] {
        let (mut bench, client, server) = settled(nodelay);
        bench.run_for(MS);
        let begin_ns = bench.core.now_ns();
        bench.write(PA, client, b"head");
        bench.write(PA, client, b"body");
        let mut got = Vec::new();
        while got.len() < 8 {
            match bench.await_read(PB, server).0 {
                Read::Bytes(bytes) => got.extend(bytes),
                other => panic!("{other:?}"),
            }
        }
        let took_ns = bench.core.now_ns() - begin_ns;
        let expected = if nodelay { 0..2 * MS } else { 40 * MS..43 * MS };
        assert!(expected.contains(&took_ns), "{nodelay} {took_ns}");
    }
}

#[test]
fn more_than_one_full_segment_is_acknowledged_at_once() {
    let (mut bench, client, _) = settled(true);
    bench.write(PA, client, &pattern(0, 1_449));
    bench.run_for(2 * MS);
    assert_eq!(bench.steps("net.ack"), 1);
}

/// A stream in one direction: what its reader reads is acknowledged as it reads, or, where it has answered before, every second
/// segment of it.
#[test]
fn a_program_that_reads_and_does_not_answer_acknowledges_by_reading() {
    for has_answered in [false, true] {
        let mut bench = Bench::new(1);
        let (client, server) = bench.pair();
        bench.net.set_nodelay(&mut bench.core, PA, client, true).expect("alive");
        if has_answered {
            exchange(&mut bench, client, server);
        }
        bench.run_for(S);
        bench.core.trace.take_kept();
        // More than the quick acknowledgements at the beginning of a burst.
        for _ in 0..40 {
            bench.run_for(MS);
            bench.write(PA, client, b"x");
            assert_eq!(bench.await_read(PB, server).0, Read::Bytes(b"x".to_vec()));
        }
        bench.run_for(MS);
        assert!(!bench.net.endpoints[client.slot as usize].send.in_flight());
        assert_eq!(bench.steps("net.ack"), if has_answered { 20 } else { 40 });
    }
}

/// `tcp_fin`: the acknowledgement waits for the program's own close.
#[test]
fn a_close_answers_a_close_in_one_segment() {
    let (mut bench, client, server) = settled(true);
    bench.net.close(&mut bench.core, PA, client);
    assert_eq!(bench.await_read(PB, server).0, Read::End);
    bench.net.close(&mut bench.core, PB, server);
    bench.run_for(10 * MS);
    let steps: Vec<_> = bench.core.trace.take_kept().into_iter().map(|step| step.step).collect();
    assert_eq!(steps, ["net.fin", "net.fin", "net.ack"]);
    bench.run_for(61 * S);
    bench.assert_empty();
}
