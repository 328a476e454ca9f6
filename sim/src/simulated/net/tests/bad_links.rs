//! Ways that lose, damage, repeat and reorder packets: TCP repairs all of it, and a program sees delay alone. The figures are
//! Linux's.

use super::*;

/// A transfer over a bad way there and a good one back; the counters of the way, what was sent again, milliseconds.
fn over(link: LinkSpec) -> (LinkStats, u64, u64) {
    let mut bench = Bench::new(1);
    let (client, server) = bench.pair();
    bench.net.set_link(A, B, link);
    let took_ns = transfer(&mut bench, client, server, 4_000_000);
    let stats = bench.net.stats();
    (stats.links[&(A, B)], stats.retransmissions, took_ns / MS)
}

/// Within four standard deviations of the binomial distribution.
fn assert_rate(seen: u64, asked: f64, packets: u64) {
    let (expected, deviation) = (asked * packets as f64, (asked * (1.0 - asked) * packets as f64).sqrt());
    assert!((seen as f64 - expected).abs() < 4.0 * deviation, "{seen} of {packets}, asked for {asked}");
}

const CLEAN: LinkSpec = LinkSpec { tail_probability: 0.0, ..LinkSpec::LAN };

/// Testbeds §1.2 "loss": the rate asked for is the rate seen, and what is lost is sent again.
#[test]
fn loss_comes_at_its_rate_and_is_repaired() {
    let (_, _, clean_ms) = over(CLEAN);
    let (stats, resent, took_ms) = over(LinkSpec { loss: 0.02, ..CLEAN });
    assert_rate(stats.lost, 0.02, stats.delivered + stats.lost);
    // Only what was lost goes again, but for the odd time-out.
    assert!((stats.lost..stats.lost * 5 / 4).contains(&resent), "{resent} for {}", stats.lost);
    assert!(clean_ms < 10 && took_ms > 2 * clean_ms, "{clean_ms} {took_ms}");
}

/// Testbeds §1.2 "corruption": a checksum turns it into loss.
#[test]
fn damage_comes_at_its_rate_and_is_loss_for_tcp() {
    let (stats, resent, _) = over(LinkSpec { corrupt: 0.02, ..CLEAN });
    assert_rate(stats.corruptions_injected, 0.02, stats.delivered + stats.corruptions_injected);
    assert!(resent >= stats.corruptions_injected && stats.lost == 0);
}

/// Testbeds §1.2 "duplication": the second copy is acknowledged again, and nothing is sent again because of that.
#[test]
fn duplicates_come_at_their_rate_and_are_thrown_away() {
    let (stats, resent, _) = over(LinkSpec { duplicate: 0.1, ..CLEAN });
    assert_rate(stats.duplicates_injected, 0.1, stats.delivered - stats.duplicates_injected);
    assert_eq!(resent, 0);
}

/// Testbeds §1.2 "reordering": later segments wait in the out-of-order queue.
#[test]
fn reordered_segments_come_at_their_rate_and_wait_for_the_late_ones() {
    let (_, _, clean_ms) = over(CLEAN);
    let link = LinkSpec { reorder: 0.05, disorder_ns_mean: 300_000, ..CLEAN };
    let (stats, resent, took_ms) = over(link);
    assert_rate(stats.reorders_injected, 0.05, stats.delivered);
    // Once it has seen reordering, a connection waits a round trip before it sends again.
    assert!(resent < stats.reorders_injected / 2, "{resent} for {}", stats.reorders_injected);
    assert!(took_ms > clean_ms, "{clean_ms} {took_ms}");
    assert!(bench_of_one_late_segment().0 < 20, "a time-out would take 200 ms");
}

/// One segment that comes 10 ms late between others: when the first byte after it was read, in milliseconds, and what was
/// sent again.
fn bench_of_one_late_segment() -> (u64, u64) {
    let mut bench = Bench::new(2);
    let (client, server) = bench.pair();
    bench.net.set_nodelay(&mut bench.core, PA, client, true).expect("alive");
    bench.net.set_link(A, B, LinkSpec { reorder: 1.0, disorder_ns_mean: 10 * MS, ..CLEAN });
    bench.write(PA, client, b"0");
    bench.net.set_link(A, B, CLEAN);
    let begin_ns = bench.core.now_ns();
    bench.write(PA, client, b"1");
    let (found, at_ns) = bench.await_read(PB, server);
    assert!(matches!(found, Read::Bytes(_)));
    ((at_ns - begin_ns) / MS, bench.net.stats().retransmissions)
}

/// `TCP_TIMEOUT_MIN_US` and RACK: with one later segment the loss is certain after a quarter of a round trip and 2 ms.
#[test]
fn one_later_segment_proves_a_loss_after_the_reordering_window() {
    let mut bench = Bench::new(3);
    let (client, server) = bench.pair();
    bench.net.set_nodelay(&mut bench.core, PA, client, true).expect("alive");
    for (from, to) in [(A, B), (B, A)] {
        bench.net.set_link(from, to, CLEAN);
    }
    bench.net.cut(&mut bench.core, A, B);
    bench.write(PA, client, b"0");
    bench.net.heal(&mut bench.core, A, B);
    bench.write(PA, client, b"1");
    let begin_ns = bench.core.now_ns();
    let (found, at_ns) = bench.await_read(PB, server);
    assert_eq!(found, Read::Bytes(b"01".to_vec()));
    assert!((2 * MS..4 * MS).contains(&(at_ns - begin_ns)), "{}", at_ns - begin_ns);
}

/// `tcp_schedule_loss_probe`: when the last two segments on a bad way are lost, the last is sent again after two round trips
/// and 2 ms, and its selective acknowledgement proves the loss of the other.
#[test]
fn lost_last_segments_are_probed_for() {
    let mut bench = Bench::new(9);
    let (client, server) = bench.pair();
    bench.net.set_nodelay(&mut bench.core, PA, client, true).expect("alive");
    bench.net.set_link(B, A, CLEAN);
    bench.net.set_link(A, B, LinkSpec { loss: 1e-9, ..CLEAN });
    bench.write(PA, client, b"0");
    bench.net.cut(&mut bench.core, A, B);
    bench.write(PA, client, b"1");
    bench.write(PA, client, b"2");
    bench.net.heal(&mut bench.core, A, B);
    let begin_ns = bench.core.now_ns();
    let mut got = Vec::new();
    while got.len() < 3 {
        match bench.await_read(PB, server).0 {
            Read::Bytes(bytes) => got.extend(bytes),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(got, b"012");
    let took_ns = bench.core.now_ns() - begin_ns;
    assert!((2 * MS..8 * MS).contains(&took_ns), "{took_ns}");
    bench.run_for(S);
    assert_eq!(bench.net.stats().retransmissions, 2);
}

/// A bad way carries frames of one MSS, 1,448 bytes with time stamps; a good one takes segments of up to 64 KiB.
#[test]
fn a_bad_way_carries_frames_of_one_mss() {
    let packets = |link| over(link).0.delivered;
    let (good, bad) = (packets(CLEAN), packets(LinkSpec { loss: 1e-9, ..CLEAN }));
    assert!((4_000_000 / 65_536..4_000_000 / 5_000).contains(&good), "{good}");
    assert!((4_000_000 / 1_448..4_000_000 / 1_300).contains(&bad), "{bad}");
}

/// `TCP_RTO_MIN`: nothing later proves that the last segment is lost, so the time-out must: the round trip and 200 ms.
#[test]
fn a_lost_last_segment_takes_the_time_out_of_200_ms() {
    let mut bench = Bench::new(4);
    let (client, server) = bench.pair();
    bench.net.cut(&mut bench.core, A, B);
    bench.write(PA, client, b"0");
    bench.net.heal(&mut bench.core, A, B);
    let begin_ns = bench.core.now_ns();
    let (_, at_ns) = bench.await_read(PB, server);
    assert!((200 * MS..203 * MS).contains(&(at_ns - begin_ns)), "{}", at_ns - begin_ns);
}

/// `TCP_RTO_MAX`: the time-out doubles up to 120 s.
#[test]
fn time_outs_double_up_to_120_s() {
    let mut bench = Bench::new(5);
    let (client, _) = bench.pair();
    bench.net.cut(&mut bench.core, A, B);
    bench.core.trace.take_kept();
    let begin_ns = bench.core.now_ns();
    bench.write(PA, client, b"x");
    bench.run_for(920 * S);
    let steps = bench.core.trace.take_kept();
    let sent: Vec<u64> = steps.iter().filter(|it| it.step == "net.cut").map(|it| it.at_ns - begin_ns).collect();
    let waits: Vec<u64> = sent.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(waits.len(), 15);
    assert!((200 * MS..202 * MS).contains(&waits[0]), "{}", waits[0]);
    assert!(waits.iter().zip(0..).all(|(&wait, times)| wait == (waits[0] << times).min(120 * S)), "{waits:?}");
}

/// Four holes in one window are filled in one round trip, and nothing else is sent again.
#[test]
fn selective_acknowledgements_repair_several_losses_at_once() {
    let mut bench = Bench::new(6);
    let (client, server) = bench.pair();
    bench.net.set_nodelay(&mut bench.core, PA, client, true).expect("alive");
    for (from, to) in [(A, B), (B, A)] {
        bench.net.set_link(from, to, CLEAN);
    }
    for number in 0..12_u8 {
        if number % 3 == 1 {
            bench.net.cut(&mut bench.core, A, B);
        }
        bench.write(PA, client, &[number]);
        if number % 3 == 1 {
            bench.net.heal(&mut bench.core, A, B);
        }
    }
    let begin_ns = bench.core.now_ns();
    bench.run_for(20 * MS);
    assert_eq!(bench.read(PB, server), Read::Bytes((0..12).collect()));
    assert_eq!(bench.net.stats().retransmissions, 4);
    let sender = &bench.net.endpoints[client.slot as usize];
    assert!(sender.scoreboard.is_idle() && !sender.send.in_flight());
    assert!(bench.core.now_ns() - begin_ns == 20 * MS);
}

/// Testbeds §1.2 "corruption", undetected: the program reads wrong bytes, one bit per packet that was hit, and the sender's
/// copy stays right.
#[test]
fn undetected_corruption_flips_bits_that_the_program_reads() {
    let mut bench = Bench::new(7);
    let (client, server) = bench.pair();
    bench.net.set_link(A, B, LinkSpec { undetected_corruption: 0.05, ..CLEAN });
    let total = 1_000_000;
    let (mut written, mut got) = (0, Vec::new());
    while got.len() < total {
        while written < total
            && let Write::Took(taken) = bench.write(PA, client, &pattern(written, (total - written).min(7_000)))
        {
            written += taken;
        }
        match bench.await_read(PB, server).0 {
            Read::Bytes(bytes) => got.extend(bytes),
            other => panic!("{other:?}"),
        }
    }
    let flipped: u32 = got.iter().zip(pattern(0, total)).map(|(got, sent)| (got ^ sent).count_ones()).sum();
    let stats = bench.net.stats().total;
    assert_eq!(u64::from(flipped), stats.bit_flips_injected);
    assert_rate(stats.bit_flips_injected, 0.05, bench.net.stats().links[&(A, B)].delivered - 2);
}

/// Testbeds §1.2 "latency distribution, per link": one slow way does not slow the other.
#[test]
fn latency_is_a_property_of_one_way() {
    let mut bench = Bench::new(8);
    let (client, server) = bench.pair();
    let far = LinkSpec {
        latency_ns_min: 40 * MS,
        jitter_ns_mean: 10 * MS,
        distribution: LatencyDistribution::LogNormal { sigma: 1.0 },
        latency_ns_max: 300 * MS,
        ..CLEAN
    };
    bench.net.set_link(A, B, far);
    let (mut there, mut back) = (Vec::new(), Vec::new());
    for _ in 0..300 {
        for (from, to, took) in [((PA, client), (PB, server), &mut there), ((PB, server), (PA, client), &mut back)] {
            bench.run_for(S);
            let begin_ns = bench.core.now_ns();
            bench.write(from.0, from.1, b"x");
            let (_, at_ns) = bench.await_read(to.0, to.1);
            took.push(at_ns - begin_ns);
        }
    }
    let mean_ms = there.iter().sum::<u64>() / 300 / MS;
    assert!((47..54).contains(&mean_ms), "{mean_ms}");
    assert!(there.iter().all(|took| (40 * MS..=301 * MS).contains(took)));
    assert!(back.iter().all(|&took| took < MS));
}
