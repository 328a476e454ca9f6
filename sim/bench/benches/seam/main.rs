//! What the simulated machines cost, beside madsim's own network and turmoil on the same work.
//!
//! `cargo bench -p sim-bench`. The measure is CPU time of the process (user and system), which other work on the machine
//! disturbs least; criterion's "elem/s" are requests, or disk operations, per CPU second. Every simulation runs on a fresh OS
//! thread and is a function of its seed, so that all samples do the same work.
//!
//! * `exchange`: five hosts, on each a server and clients of the next host's server; a request and its response are 256
//!   bytes each. With one client per host nothing is ever in parallel on a connection or a host; with sixteen much is.
//! * `idle`: the same hosts, one exchange per host and second, for an hour; turmoil, which pays for every tick of every
//!   host, for a minute.
//! * `disk`: one program that writes, reads what it wrote, and syncs now and then. The others have nothing to compare.
//!
//! The three do not do the same for an exchange. Ours sends segments and acknowledgements through cards, links and windows;
//! madsim's passes each flush through a channel after a delay; turmoil's has segments and FINs, but no acknowledgement. Links
//! take 1 to 10 ms with madsim and turmoil, which is madsim's default, and 0.15 ms with ours.

#![cfg(not(feature = "real"))]

mod disk;
mod seam;
mod stock_madsim;
mod turmoil_net;

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use sim_bench::CpuTime;
use std::time::Duration;

/// The allocator of the `staticfire` command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Hosts in a ring: each asks the next.
const HOSTS: usize = 5;
/// The size of a request, and of a response.
const BODY_BYTES: usize = 256;
const SEED: u64 = 1;

/// How much is exchanged in one simulation.
#[derive(Clone, Copy)]
struct Exchange {
    clients_per_host: usize,
    requests_per_client: usize,
    /// How long a client waits between a response and its next request.
    pause: Duration,
}

impl Exchange {
    /// 20,000 exchanges, one after another.
    const SEQUENTIAL: Exchange = Exchange { clients_per_host: 1, requests_per_client: 4_000, pause: Duration::ZERO };
    /// 20,000 exchanges, up to 80 at once.
    const CONCURRENT: Exchange = Exchange { clients_per_host: 16, requests_per_client: 250, pause: Duration::ZERO };

    /// One exchange per host and second.
    const fn idle(seconds: usize) -> Exchange {
        Exchange { clients_per_host: 1, requests_per_client: seconds, pause: Duration::from_secs(1) }
    }

    fn requests(self) -> usize {
        HOSTS * self.clients_per_host * self.requests_per_client
    }
}

fn exchange(criterion: &mut Criterion<CpuTime>) {
    for (name, work) in [("exchange-sequential", Exchange::SEQUENTIAL), ("exchange-concurrent", Exchange::CONCURRENT)] {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(work.requests() as u64)).sampling_mode(SamplingMode::Flat);
        group.bench_function("seam", |bencher| bencher.iter(|| seam::run(work)));
        group.bench_function("madsim", |bencher| bencher.iter(|| stock_madsim::run(work)));
        group.bench_function("turmoil", |bencher| bencher.iter(|| turmoil_net::run(work)));
    }
}

fn idle(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("idle");
    group.sampling_mode(SamplingMode::Flat);
    group.bench_function("seam, an hour", |bencher| bencher.iter(|| seam::run(Exchange::idle(3_600))));
    group.bench_function("madsim, an hour", |bencher| bencher.iter(|| stock_madsim::run(Exchange::idle(3_600))));
    group.bench_function("turmoil, a minute", |bencher| bencher.iter(|| turmoil_net::run(Exchange::idle(60))));
}

fn disk(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("disk");
    group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(disk::OPERATIONS));
    group.bench_function("write, cached read, fdatasync", |bencher| bencher.iter(disk::run));
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .with_measurement(CpuTime)
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2));
    targets = exchange, idle, disk
}
criterion_main!(benches);
