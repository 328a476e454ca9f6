//! The cost of the standard trial's traffic, in events: they are what the simulation spends its time on.

use super::*;

#[test]
fn a_request_and_its_response_cost_two_events() {
    const PAIRS: usize = 36_000;
    let mut bench = Bench::new(1);
    bench.core.trace = Trace::new(false);
    let (client, server) = bench.pair();
    for (process, id) in [(PA, client), (PB, server)] {
        bench.net.set_nodelay(&mut bench.core, process, id, true).expect("alive");
    }
    let (request, response) = (vec![1; 700], vec![2; 200]);
    let mut bytes = vec![0; 4_096];
    let before = bench.events;
    for pair in 0..PAIRS {
        let at_ns = S + pair as u64 * (60 * S / PAIRS as u64);
        bench.run_until(at_ns.max(bench.core.now_ns()));
        for (from, to, sent) in [((PA, client), (PB, server), &request), ((PB, server), (PA, client), &response)] {
            assert_eq!(bench.write(from.0, from.1, sent), Write::Took(sent.len()));
            loop {
                let mut buffer = ReadBuf::new(&mut bytes);
                let read = bench.net.read(&mut bench.core, to.0, to.1, &mut buffer, Waker::noop());
                if read.is_ready() {
                    assert_eq!(buffer.filled().len(), sent.len());
                    break;
                }
                assert!(bench.step(u64::MAX));
            }
        }
    }
    // The acknowledgements travel with the data; now and then one's time-out finds that it did.
    let events = (bench.events - before) as f64 / PAIRS as f64;
    assert!(events < 2.2, "{events} events per pair");
    assert_eq!(bench.net.stats().retransmissions, 0);
}
