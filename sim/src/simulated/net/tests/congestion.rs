//! The congestion window at work: how long transfers take that the receiver's window alone would let through at once.

use super::*;

/// A way of 50 ms in each direction, that loses this part of its packets on the way there.
fn far(loss: f64) -> (Bench, EndpointId, EndpointId) {
    let mut bench = Bench::with_config(
        1,
        NetConfig { send_buffer_bytes: 4 << 20, receive_buffer_bytes: 4 << 20, ..NetConfig::default() },
    );
    let (client, server) = bench.pair();
    bench.net.set_nodelay(&mut bench.core, PA, client, true).expect("alive");
    let way = LinkSpec {
        latency_ns_min: 50 * MS,
        jitter_ns_mean: 0,
        tail_probability: 0.0,
        bandwidth_bytes_per_s: 1_000_000_000,
        ..LinkSpec::LAN
    };
    bench.net.set_link(A, B, LinkSpec { loss, ..way });
    bench.net.set_link(B, A, way);
    (bench, client, server)
}

/// RFC 6928 and slow start: ten segments, then twenty, forty and so on, one round trip each.
#[test]
fn a_short_transfer_takes_as_many_round_trips_as_slow_start_needs() {
    for (segments, round_trips) in [(9, 0), (27, 1), (60, 2), (130, 3), (270, 4)] {
        let (mut bench, client, server) = far(0.0);
        let took_ms = transfer(&mut bench, client, server, segments * 1_448) / MS;
        assert_eq!(took_ms / 50, 1 + 2 * round_trips, "{segments} segments took {took_ms} ms");
    }
}

/// `tcp_slow_start_after_idle`.
#[test]
fn after_a_pause_a_connection_starts_slowly_again() {
    let (mut bench, client, server) = far(0.0);
    transfer(&mut bench, client, server, 1_000_000);
    bench.run_for(10 * MS);
    let warm_ms = transfer(&mut bench, client, server, 200_000) / MS;
    bench.run_for(60 * S);
    let cold_ms = transfer(&mut bench, client, server, 200_000) / MS;
    assert!(warm_ms < 60 && cold_ms > 300, "{warm_ms} {cold_ms}");
}

/// The response function of CUBIC with its Reno-friendly region (RFC 9438, section 5; Mathis et al. 1997 for Reno): at 1 % loss
/// and 100 ms a window of about 1.2 to 1.5 / sqrt(0.01) segments, some 200 kB/s, whatever the line could carry.
#[test]
fn loss_bounds_the_throughput_of_a_long_way() {
    let (mut bench, client, server) = far(0.01);
    let took_ns = transfer(&mut bench, client, server, 20_000_000);
    let kb_per_s = 20_000_000 * 1_000_000 / took_ns;
    assert!((100..350).contains(&kb_per_s), "{kb_per_s} kB/s");
    let (mut bench, client, server) = far(0.0);
    let clean_ns = transfer(&mut bench, client, server, 20_000_000);
    assert!(clean_ns * 20 < took_ns, "{clean_ns} {took_ns}");
}

/// After a partition of a minute the sender begins with one segment, not with all that was on its way.
#[test]
fn after_a_time_out_a_sender_begins_with_one_segment() {
    let (mut bench, client, server) = far(0.0);
    transfer(&mut bench, client, server, 1_000_000);
    bench.net.cut(&mut bench.core, A, B);
    assert_eq!(bench.write(PA, client, &pattern(0, 300_000)), Write::Took(300_000));
    bench.run_for(60 * S);
    bench.net.heal(&mut bench.core, A, B);
    bench.core.trace.take_kept();
    let begin_ns = bench.core.now_ns();
    let mut got = 0;
    while got < 300_000 {
        match bench.await_read(PB, server).0 {
            Read::Bytes(bytes) => got += bytes.len(),
            other => panic!("{other:?}"),
        }
    }
    let steps = bench.core.trace.take_kept();
    let mut arrivals = steps.iter().filter(|step| step.step == "net.data").map(|step| step.at_ns);
    let (first_ns, second_ns) = (arrivals.next().expect("one"), arrivals.next().expect("two"));
    assert!(second_ns - first_ns >= 100 * MS, "the second waits for the first one's acknowledgement");
    // 1, 2, 4 … 128 segments: 300 kB take eight round trips from the first one on.
    let took_ms = (bench.core.now_ns() - first_ns) / MS;
    assert!((600..900).contains(&took_ms), "{took_ms} {begin_ns}");
}
