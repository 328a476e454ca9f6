//! Properties under random faults: exactly once and in order or an error; the same key, the same outcome.

use super::*;
use proptest::prelude::*;

/// What happens next on a connection whose ends are 0 (client) and 1 (server).
#[derive(Clone, Copy, Debug)]
enum Step {
    Write { end: usize, len: usize },
    Read { end: usize, len: usize },
    Shutdown { end: usize },
    Nodelay { end: usize },
    Cut { from: usize },
    Heal { from: usize },
    Link { from: usize, loss: f64, disorder: f64, latency_ns: u64, bandwidth: u64 },
    Jam { from: usize },
    Unjam { from: usize },
    Wait { ns: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let end = 0..2_usize;
    prop_oneof![
        8 => (end.clone(), 1..100_000_usize).prop_map(|(end, len)| Step::Write { end, len }),
        8 => (end.clone(), 1..200_000_usize).prop_map(|(end, len)| Step::Read { end, len }),
        1 => end.clone().prop_map(|end| Step::Nodelay { end }),
        1 => end.clone().prop_map(|end| Step::Shutdown { end }),
        2 => end.clone().prop_map(|from| Step::Cut { from }),
        3 => end.clone().prop_map(|from| Step::Heal { from }),
        1 => end.clone().prop_map(|from| Step::Jam { from }),
        2 => end.clone().prop_map(|from| Step::Unjam { from }),
        2 => (end, 0.0..0.4, 0.0..0.4, 1_000..50_000_000_u64, 100_000..2_000_000_000_u64).prop_map(
            |(from, loss, disorder, latency_ns, bandwidth)| Step::Link { from, loss, disorder, latency_ns, bandwidth }
        ),
        8 => prop_oneof![4 => 1_000..MS, 4 => MS..20 * S, 1 => 60 * S..600 * S].prop_map(|ns| Step::Wait { ns }),
    ]
}

struct Run {
    bench: Bench,
    ends: [(ProcessId, EndpointId); 2],
    written: [usize; 2],
    got: [usize; 2],
    finished: [bool; 2],
    failed: bool,
}

impl Run {
    fn new(seed: u64, config: NetConfig) -> Run {
        let mut bench = Bench::with_config(seed, config);
        let (client, server) = bench.pair();
        let ends = [(PA, client), (PB, server)];
        Run { bench, ends, written: [0; 2], got: [0; 2], finished: [false; 2], failed: false }
    }

    fn write(&mut self, end: usize, len: usize) {
        let (process, id) = self.ends[end];
        match self.bench.write(process, id, &pattern(self.written[end], len)) {
            Write::Took(taken) => self.written[end] += taken,
            Write::Blocked => {}
            Write::Failed(error) => {
                let expected = self.finished[end] && matches!(error, SocketError::BrokenPipe(_));
                self.failed |= !expected;
            }
        }
    }

    /// True when there was something.
    fn read(&mut self, end: usize, len: usize) -> bool {
        let (process, id) = self.ends[end];
        match self.bench.read_up_to(process, id, len) {
            Read::Nothing => return false,
            Read::Bytes(bytes) => {
                assert_eq!(bytes, pattern(self.got[end], bytes.len()), "out of order at {}", self.got[end]);
                self.got[end] += bytes.len();
                assert!(self.got[end] <= self.written[1 - end], "bytes that nobody wrote");
                return true;
            }
            Read::End => {
                let whole = self.finished[1 - end] && self.got[end] == self.written[1 - end];
                assert!(whole || self.failed, "the end before the end");
            }
            Read::Failed(error) => {
                assert!(matches!(error, SocketError::TimedOut(_) | SocketError::Reset(_) | SocketError::BrokenPipe(_)));
                self.failed = true;
            }
        }
        false
    }

    fn take(&mut self, step: Step) {
        let hosts = [A, B];
        let core = &mut self.bench.core;
        match step {
            Step::Write { end, len } => self.write(end, len),
            Step::Read { end, len } => {
                self.read(end, len);
            }
            Step::Shutdown { end } => {
                self.bench.net.shutdown(core, self.ends[end].0, self.ends[end].1);
                self.finished[end] = true;
            }
            Step::Nodelay { end } => {
                self.bench.net.set_nodelay(core, self.ends[end].0, self.ends[end].1, true).expect("alive");
            }
            Step::Cut { from } => self.bench.net.cut(core, hosts[from], hosts[1 - from]),
            Step::Heal { from } => self.bench.net.heal(core, hosts[from], hosts[1 - from]),
            Step::Jam { from } => self.bench.net.jam(core, hosts[from], hosts[1 - from]),
            Step::Unjam { from } => {
                self.bench.net.unjam(core, hosts[from], hosts[1 - from]);
            }
            Step::Link { from, loss, disorder, latency_ns, bandwidth } => {
                let link = LinkSpec {
                    loss,
                    corrupt: loss / 4.0,
                    duplicate: disorder,
                    reorder: disorder,
                    disorder_ns_mean: 2 * latency_ns,
                    latency_ns_min: latency_ns,
                    jitter_ns_mean: latency_ns,
                    bandwidth_bytes_per_s: bandwidth,
                    ..LinkSpec::LAN
                };
                self.bench.net.set_link(hosts[from], hosts[1 - from], link);
            }
            Step::Wait { ns } => self.bench.run_for(ns),
        }
    }

    /// Mends everything and reads until both streams are through.
    fn finish(&mut self) {
        for (from, to) in [(A, B), (B, A)] {
            while self.bench.net.is_cut(from, to) {
                self.bench.net.heal(&mut self.bench.core, from, to);
            }
            while self.bench.net.is_jammed(from, to) {
                self.bench.net.unjam(&mut self.bench.core, from, to);
            }
            self.bench.net.set_link(from, to, LinkSpec::LAN);
        }
        let limit_ns = self.bench.core.now_ns() + 2_000 * S;
        loop {
            while self.read(0, 65_536) | self.read(1, 65_536) {}
            if !self.bench.step(limit_ns) {
                break;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn bytes_arrive_exactly_once_in_order_or_the_connection_fails(
        seed in any::<u64>(),
        small in any::<bool>(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let config = if small {
            NetConfig { send_buffer_bytes: 5_000, receive_buffer_bytes: 3_000, ..NetConfig::default() }
        } else {
            NetConfig::default()
        };
        let mut run = Run::new(seed, config);
        for &step in &steps {
            run.take(step);
        }
        run.finish();
        // After a FIN a reader is not told of a time-out.
        let timed_out = run.bench.steps("net.timeout") > 0;
        if run.failed {
            prop_assert!(timed_out, "only silence breaks a connection");
        } else if !timed_out {
            prop_assert_eq!([run.got[1], run.got[0]], run.written, "everything is through");
        }
        for (process, id) in run.ends {
            run.bench.net.close(&mut run.bench.core, process, id);
        }
        run.bench.run_for(1_000 * S);
        run.bench.assert_empty();
    }

    #[test]
    fn the_same_key_gives_the_same_steps(seed in any::<u64>(), steps in prop::collection::vec(step(), 1..40)) {
        let hash = |seed| {
            let mut run = Run::new(seed, NetConfig::default());
            for &step in &steps {
                run.take(step);
            }
            run.finish();
            (run.bench.core.trace.hash(), run.bench.core.trace.count(), run.bench.core.now_ns())
        };
        prop_assert_eq!(hash(seed), hash(seed));
        prop_assert_ne!(hash(seed).0, hash(seed ^ 1).0);
    }
}

#[test]
fn a_connection_draws_from_nobody_elses_randomness() {
    let arrivals = |others: bool| {
        let mut bench = Bench::new(1);
        let (client, _) = bench.pair();
        if others {
            bench.net.listen(PA, address(A, 80)).expect("free");
            bench.connect(PA, address(A, 80));
            bench.connect(PA, address(B, 9876));
        }
        bench.run_until(S);
        bench.core.trace.take_kept();
        bench.write(PA, client, b"x");
        bench.run_for(S / 2);
        bench.core.trace.take_kept()
    };
    assert_eq!(arrivals(false), arrivals(true));
}
