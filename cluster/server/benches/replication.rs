//! What replication costs, on the real binaries, over loopback.
//!
//! `cargo bench -p server --features real --bench replication` (`-- --quick` for a look of some seconds; `-- throughput`,
//! `lag` or `catch-up` for that part alone):
//!
//! * **throughput** of 64 concurrent senders of 1 KiB bodies, to an ASYNC_MASTER and to a SYNC_MASTER, each with its slave:
//!   rounds in turn, so that what else the machine does falls on both; the figure is the median of the rounds' ratios.
//!   Beside it the CPU time that a message costs in each process, which other work on the machine disturbs least;
//! * **lag** of the asynchronous pair: from a message's SEND_OK until the slave says that it has it. What a question to the
//!   slave takes is part of it, and printed beside it;
//! * **catch-up**: the speed at which a slave that begins empty gets the whole log, beside two plain copies of the same bytes
//!   in the same minute: through the file system (read, write, fsync), and through a loopback connection into a file. What is
//!   copied goes through both: the slower one is the limit.
//!
//! The aims are printed beside the figures and judged by people: a machine that is busy with other things misses them.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "plain copies are what replication is compared with"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use client::{Message, MessageQueue, Producer, ProducerConfig, SendStatus};
use sim::task;
use sim::time::{Instant, sleep};
use support::eventually;
use support::load::BODY_BYTES;
use support::machines::Machines;

const TOPIC: &str = "TopicBench";
const SENDERS: usize = 64;
/// The chunk of a plain copy.
const CHUNK_BYTES: usize = 1 << 20;

/// How much is measured.
struct Extent {
    rounds: usize,
    round: Duration,
    lag_samples: usize,
    catch_up_bytes: u64,
    catch_ups: usize,
}

const FULL: Extent =
    Extent { rounds: 27, round: Duration::from_secs(1), lag_samples: 2_000, catch_up_bytes: 600 << 20, catch_ups: 5 };
const QUICK: Extent =
    Extent { rounds: 10, round: Duration::from_millis(250), lag_samples: 100, catch_up_bytes: 16 << 20, catch_ups: 1 };

fn main() {
    let extent = if std::env::args().any(|argument| argument == "--quick") { QUICK } else { FULL };
    // One thread: what the senders take, the brokers have not.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("threads can be had");
    runtime.block_on(measure(&extent));
}

async fn measure(extent: &Extent) {
    println!("replication over loopback; real binaries, asynchronous flush");
    let mut asynchronous = Pair::start("2m-2s-async").await;
    if is_wanted("throughput") {
        let synchronous = Pair::start("2m-2s-sync").await;
        throughput(&asynchronous, &synchronous, extent).await;
        synchronous.producer.shutdown().await;
    }
    if is_wanted("lag") {
        lag(&asynchronous, extent).await;
    }
    if is_wanted("catch-up") {
        catch_up(&mut asynchronous, extent).await;
    }
    asynchronous.producer.shutdown().await;
}

/// Whether this part is measured: all are, unless some are named on the command line.
fn is_wanted(part: &str) -> bool {
    let mut named = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).peekable();
    named.peek().is_none() || named.any(|name| name == part)
}

/// A master with a slave, and a producer.
struct Pair {
    machines: Machines,
    producer: Producer,
}

impl Pair {
    async fn start(mode: &str) -> Self {
        let mut machines = Machines::start(1).await;
        // RocketMQ's file size.
        machines.common.retain(|(key, _)| *key != "mappedFileSizeCommitLog");
        machines.start_pair(mode, "broker-a").await;
        machines.create_topic(TOPIC, 1).await;
        let builder = Producer::builder("bench").client_config(machines.client_config());
        let producer = builder.config(ProducerConfig::default()).start().await.expect("the settings are right");
        Self { machines, producer }
    }

    async fn send(&self) -> (MessageQueue, i64) {
        let sent = self.producer.send(Message::new(TOPIC, vec![b'.'; BODY_BYTES])).await.expect("the broker is there");
        assert_eq!(sent.send_status, SendStatus::SendOk, "both brokers are there");
        (sent.message_queue, sent.queue_offset.0)
    }

    /// Messages per second that 64 senders get SEND_OK for.
    async fn round(&self, length: Duration) -> f64 {
        let (count, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let senders: Vec<_> = (0..SENDERS)
            .map(|_| {
                let (producer, count, stop) = (self.producer.clone(), Arc::clone(&count), Arc::clone(&stop));
                task::spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        let sent = producer.send(Message::new(TOPIC, vec![b'.'; BODY_BYTES])).await;
                        if sent.is_ok_and(|sent| sent.send_status == SendStatus::SendOk) {
                            count.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                })
            })
            .collect();
        let begin = Instant::now();
        sleep(length).await;
        let per_second = count.load(Ordering::Relaxed) as f64 / begin.elapsed().as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        for sender in senders {
            sender.await.expect("a sender does not panic");
        }
        per_second
    }

    /// CPU seconds so far, then waits: of the producers (this process), of the master, of the slave.
    fn costs(&self) -> [f64; 6] {
        let [master, slave] = ["broker-a", "broker-a-s"].map(|name| &self.machines.broker(name).server);
        let producers = std::process::id();
        let cpu_s = [support::server::cpu_s(producers), master.cpu_s(), slave.cpu_s()];
        let waits = [support::server::waits(producers), master.waits(), slave.waits()];
        [cpu_s, waits].concat().try_into().expect("three and three")
    }

    /// How many bytes of the log the slave has not got.
    async fn backlog(&self) -> f64 {
        let (slave, master) = (self.machines.log_end("broker-a-s").await, self.machines.log_end("broker-a").await);
        master.unwrap_or(0).saturating_sub(slave.unwrap_or(0)) as f64
    }

    /// Waits until the slave has all.
    async fn settle(&self) {
        eventually("the slave has all", async || {
            let (master, slave) = (self.machines.log_end("broker-a").await, self.machines.log_end("broker-a-s").await);
            master.is_some() && master == slave
        })
        .await;
    }
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

/// The value below which this part of them lies.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * part).round() as usize]
}

/// Median, and from the least to the greatest.
fn spread(values: Vec<f64>, digits: usize) -> String {
    let values = sorted(values);
    let (least, greatest) = (values[0], values[values.len() - 1]);
    format!("{:.digits$} ({least:.digits$} … {greatest:.digits$})", quantile(&values, 0.5))
}

async fn throughput(asynchronous: &Pair, synchronous: &Pair, extent: &Extent) {
    // Not counted: connections, routes, first pages.
    for pair in [asynchronous, synchronous] {
        pair.round(extent.round / 2).await;
    }
    let (mut of_async, mut of_sync, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    // What `Pair::costs` counts, and messages.
    let mut costs = [([0.0; 6], 0.0); 2];
    let (mut backlogs, mut idle) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for round in 0..extent.rounds {
        // Either goes first in turn: the second one finds the disk busy with the first one's pages.
        let mut figures = [0.0; 2];
        for place in [round % 2, 1 - round % 2] {
            let pair = [asynchronous, synchronous][place];
            let (before, idle_before) = (pair.costs(), machine_idle_s());
            figures[place] = pair.round(extent.round).await;
            idle[place].push((machine_idle_s() - idle_before) / extent.round.as_secs_f64());
            backlogs[place].push(pair.backlog().await / 1e3);
            pair.settle().await;
            let (sums, messages) = &mut costs[place];
            *messages += figures[place] * extent.round.as_secs_f64();
            for (sum, (after, before)) in sums.iter_mut().zip(pair.costs().into_iter().zip(before)) {
                *sum += after - before;
            }
        }
        let [a, b] = figures;
        of_async.push(a);
        of_sync.push(b);
        ratios.push(b / a);
    }
    println!("throughput, {SENDERS} senders, {BODY_BYTES} bytes     messages/s: median (least … greatest)");
    println!("  ASYNC_MASTER with a slave          {}", spread(of_async, 0));
    println!("  SYNC_MASTER with a slave           {}", spread(of_sync, 0));
    println!("  ratio                              {}   aim: at least 0.90", spread(ratios, 3));
    let names = ["asynchronous", "synchronous"];
    println!("CPU time of a message                µs: producers, master, slave; all");
    for (name, (sums, messages)) in names.iter().zip(&costs) {
        let [producers, master, slave, ..] = sums.map(|cpu_s| cpu_s * 1e6 / messages);
        println!("  {name:<34} {producers:.1}, {master:.1}, {slave:.1}; {:.1}", producers + master + slave);
    }
    println!("waits of threads for 100 messages    producers, master, slave");
    for (name, (sums, messages)) in names.iter().zip(&costs) {
        let [.., producers, master, slave] = sums.map(|waits| waits * 100.0 / messages);
        println!("  {name:<34} {producers:.1}, {master:.1}, {slave:.1}");
    }
    println!("at the end of a round                processors idle; kB that the slave has not got");
    for ((name, idle), backlogs) in names.iter().zip(idle).zip(backlogs) {
        println!("  {name:<34} {}; {}", spread(idle, 2), spread(backlogs, 0));
    }
}

/// CPU seconds that this machine has idled so far, all processors together (`/proc/stat`, in ticks of 10 ms).
fn machine_idle_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/stat").expect("this is Linux");
    // user, nice, system, idle, iowait.
    let fields = stat.lines().next().unwrap_or_default().split_whitespace().skip(4).take(2);
    fields.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0
}

async fn lag(pair: &Pair, extent: &Extent) {
    println!("lag of the asynchronous slave        ms: median, p99");
    for (name, pause) in
        [("one message at a time", Duration::ZERO), ("with 2 ms between them", Duration::from_millis(2))]
    {
        let slave = pair.machines.broker("broker-a-s").addr();
        let (mut lags, mut questions) = (Vec::new(), Vec::new());
        for _ in 0..extent.lag_samples {
            let (queue, offset) = pair.send().await;
            let begin = Instant::now();
            loop {
                let asked = Instant::now();
                let end = pair.machines.admin.max_offset_at(&slave, &queue).await.expect("the slave is there");
                questions.push(asked.elapsed().as_secs_f64() * 1e3);
                if end.0 > offset {
                    break;
                }
            }
            lags.push(begin.elapsed().as_secs_f64() * 1e3);
            if !pause.is_zero() {
                sleep(pause).await;
            }
        }
        let (lags, questions) = (sorted(lags), sorted(questions));
        println!(
            "  {name:<34} {:.3}, {:.3}   aim: median below 2; a question takes {:.3}",
            quantile(&lags, 0.5),
            quantile(&lags, 0.99),
            quantile(&questions, 0.5)
        );
    }
}

async fn catch_up(pair: &mut Pair, extent: &Extent) {
    while pair.machines.log_end("broker-a").await.expect("the master is there") < extent.catch_up_bytes {
        pair.round(extent.round).await;
    }
    pair.settle().await;
    let end = pair.machines.log_end("broker-a").await.expect("the master is there");
    let log = pair.machines.broker("broker-a").store.join("commitlog");
    let (mut slaves, mut disks, mut networks) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..extent.catch_ups {
        let slave = pair.machines.broker_mut("broker-a-s");
        slave.server.kill();
        std::fs::remove_dir_all(&slave.store).expect("the slave is dead");
        let target = slave.store.with_extension("copy");
        // The master's pages that are still to be written would slow down whoever comes first.
        files(&log)
            .iter()
            .for_each(|file| File::open(file).and_then(|file| file.sync_all()).expect("it can be synced"));
        disks.push(mb_per_s(end, || copy_by_disk(&log, &target, end)));
        networks.push(mb_per_s(end, || copy_by_network(&log, &target, end)));
        std::fs::remove_file(&target).expect("it was just written");
        slaves.push(one_catch_up(&mut pair.machines, end).await);
        pair.settle().await;
    }
    let ratios = |plain: &[f64]| slaves.iter().zip(plain).map(|(slave, plain)| slave / plain).collect::<Vec<_>>();
    let slower: Vec<f64> = disks.iter().zip(&networks).map(|(disk, network)| disk.min(*network)).collect();
    println!("catch-up of an empty slave, {} MB   MB/s: median (least … greatest)", end / 1_000_000);
    println!("  plain copy, read + write + fsync   {}", spread(disks.clone(), 0));
    println!("  plain copy, loopback into a file   {}", spread(networks.clone(), 0));
    println!("  the slave                          {}", spread(slaves.clone(), 0));
    println!("  ratio to the disk's copy           {}", spread(ratios(&disks), 2));
    println!("  ratio to the network's copy        {}", spread(ratios(&networks), 2));
    println!("  ratio to the slower of them        {}   aim: at least 0.70", spread(ratios(&slower), 2));
}

fn mb_per_s(bytes: u64, copy: impl FnOnce()) -> f64 {
    let begin = Instant::now();
    copy();
    bytes as f64 / 1e6 / begin.elapsed().as_secs_f64()
}

/// From the first byte that is in the slave's log to the last.
async fn one_catch_up(machines: &mut Machines, end: u64) -> f64 {
    machines.broker_mut("broker-a-s").server.start().await;
    let mut begun = None;
    loop {
        let now = Instant::now();
        let has = machines.log_end("broker-a-s").await.unwrap_or(0);
        match begun {
            None if has > 0 => begun = Some((now, has)),
            Some((begin, first)) if has >= end => {
                return (end - first) as f64 / 1e6 / (Instant::now() - begin).as_secs_f64();
            }
            _ => sleep(Duration::from_millis(2)).await,
        }
    }
}

fn files(log: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(log).map(|entries| entries.flatten().map(|entry| entry.path()).collect());
    let mut files: Vec<PathBuf> = entries.unwrap_or_default();
    files.sort();
    files
}

/// Calls `take` with the log's bytes in `[0, end)`, a chunk at a time.
fn read_log(log: &Path, end: u64, mut take: impl FnMut(&[u8])) {
    let mut left = end;
    let mut chunk = vec![0; CHUNK_BYTES];
    for file in files(log) {
        let mut file = File::open(file).expect("the master's log is there");
        while left > 0 {
            let read = file.read(&mut chunk).expect("it can be read");
            if read == 0 {
                break;
            }
            let read = read.min(usize::try_from(left).unwrap_or(usize::MAX));
            take(&chunk[..read]);
            left -= read as u64;
        }
    }
    assert_eq!(left, 0, "the log is shorter than its broker says");
}

fn copy_by_disk(log: &Path, target: &Path, end: u64) {
    let mut copy = File::create(target).expect("the work directory can be written");
    read_log(log, end, |bytes| copy.write_all(bytes).expect("there is room"));
    copy.sync_all().expect("the disk takes it");
}

fn copy_by_network(log: &Path, target: &Path, end: u64) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there is a port");
    let addr = listener.local_addr().expect("it listens");
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let (mut from, _) = listener.accept().expect("it comes");
            let mut copy = File::create(target).expect("the work directory can be written");
            let mut chunk = vec![0; CHUNK_BYTES];
            loop {
                match from.read(&mut chunk).expect("the other end is a thread") {
                    0 => break,
                    read => copy.write_all(&chunk[..read]).expect("there is room"),
                }
            }
        });
        let mut to = TcpStream::connect(addr).expect("it listens");
        read_log(log, end, |bytes| to.write_all(bytes).expect("the other end is a thread"));
    });
}
