//! What legitimate senders notice of hostile clients, on the real binaries, over loopback.
//!
//! `cargo bench -p server --features real --bench hostile` (`-- --quick` for a look of some seconds at each; names, or parts of
//! them, for those attacks alone): four producers send a message of 1 KiB each every few milliseconds, and the 99th percentile of
//! how long that takes is measured three times in turns, so that what else the machine does falls on all:
//!
//! * *alone*;
//! * beside the attackers at work *elsewhere*, on a server of their own that answers SUCCESS to everything at once;
//! * beside the attackers at work on the *broker*.
//!
//! Real attackers sit on other machines. Here they are a process of their own (with that server in it) at the lowest priority,
//! and what they take of the processors all the same, for their own work and the kernel's for their sockets, is what the second
//! measurement has and the third has, too; answered at once, they do at least as much there. So the figure that judges the
//! broker is the third by the second, the median of the rounds; the third by the first stands beside it. Further columns: the CPU
//! seconds of the broker for each second of the attack and of the usual load; its memory during the attack and when it has been
//! over for a while; and sends that failed.
//!
//! The aim, at most 5 times, is printed and judged by people: a machine that is busy with other things misses it.

#[path = "hostile/attacks.rs"]
mod attacks;
#[path = "hostile/process.rs"]
mod process;
#[path = "../tests/support/mod.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use attacks::{ATTACKS, Target};
use client::{Message, Producer, ProducerConfig, SendStatus};
use process::{Attackers, Orders};
use sim::task;
use sim::time::{Instant, sleep, sleep_until};
use support::machines::Machines;

const BROKER: &str = "broker-a";
const TOPIC: &str = "TopicBench";
const SENDERS: usize = 4;
const BODY_BYTES: usize = 1024;
/// How often each sender sends.
const PERIOD: Duration = Duration::from_millis(4);
const AIM: f64 = 5.0;
/// How long an attack goes on before it is measured, and how long it has been over before it is measured without.
const SETTLE: Duration = Duration::from_millis(500);

/// How much is measured.
struct Extent {
    rounds: usize,
    round: Duration,
    /// Messages with one key, in the store from the beginning.
    hot: usize,
}

const FULL: Extent = Extent { rounds: 5, round: Duration::from_secs(3), hot: 200_000 };
const QUICK: Extent = Extent { rounds: 1, round: Duration::from_secs(2), hot: 20_000 };

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("threads can be had");
    if let Some(orders) = Orders::of_this_process() {
        return runtime.block_on(orders.obey());
    }
    let extent = if std::env::args().any(|argument| argument == "--quick") { QUICK } else { FULL };
    runtime.block_on(measure(&extent));
}

/// Whether this attack is measured: all are, unless some are named on the command line.
fn is_wanted(name: &str) -> bool {
    let mut named = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).peekable();
    named.peek().is_none() || named.any(|part| name.contains(&part))
}

async fn measure(extent: &Extent) {
    println!(
        "sends beside hostile clients; real binaries, one master, asynchronous flush; aim: p99 at most {AIM} times"
    );
    println!(
        "{:<58} {:>8} {:>9} {:>9} {:>6} {:>8} {:>11} {:>5} {:>5} {:>6}",
        "attack", "alone", "elsewhere", "broker", "ratio", "to alone", "CPU s / s", "MiB", "after", "failed"
    );
    for attack in ATTACKS.iter().filter(|attack| is_wanted(attack.name)) {
        // Each has a broker of its own: what one leaves behind does not fall on the next.
        let mut machines = Machines::start(1).await;
        machines.add(BROKER, "2m-noslave/broker-a.properties", &[]).server.start().await;
        machines.create_topic(TOPIC, 1).await;
        let config = ProducerConfig { send_msg_timeout: Duration::from_secs(30), ..ProducerConfig::default() };
        let producer = Producer::builder("bench").client_config(machines.client_config()).config(config).start().await;
        let producer = producer.expect("the settings are right");
        let addr = machines.broker(BROKER).addr();
        let target = Target::prepare(addr, &producer, if attack.is_on_hot_key { extent.hot } else { 0 }).await;
        latencies(&producer, SETTLE).await;
        let server = || &machines.broker(BROKER).server;
        let before_mib = server().memory_mib();
        let (mut rounds, mut most_mib, mut failed) = (Vec::new(), 0, 0);
        for _ in 0..extent.rounds {
            let begun_s = server().cpu_s();
            let (alone, _) = latencies(&producer, extent.round).await;
            let alone_s = server().cpu_s() - begun_s;
            let attackers = Attackers::start(attack, &target.of_a_sink());
            sleep(SETTLE).await;
            let (elsewhere, _) = latencies(&producer, extent.round).await;
            drop(attackers);
            sleep(SETTLE).await;
            let attackers = Attackers::start(attack, &target);
            sleep(SETTLE).await;
            let begun_s = server().cpu_s();
            let (then, failures) = latencies(&producer, extent.round).await;
            let then_s = server().cpu_s() - begun_s;
            most_mib = most_mib.max(server().memory_mib().saturating_sub(before_mib));
            drop(attackers);
            failed += failures;
            rounds.push(Round { alone, elsewhere, then, alone_s, then_s });
            sleep(2 * SETTLE).await;
        }
        rounds.sort_by(|one, other| one.ratio().total_cmp(&other.ratio()));
        let round = &rounds[rounds.len() / 2];
        sleep(2 * SETTLE).await;
        let left_mib = server().memory_mib().saturating_sub(before_mib);
        let verdict = if round.ratio() > AIM || failed > 0 { "  MISSED" } else { "" };
        let shown = |length: Duration| format!("{length:.1?}");
        let (alone, elsewhere, then) = (shown(round.alone), shown(round.elsewhere), shown(round.then));
        let per_s = |cpu_s: f64| cpu_s / extent.round.as_secs_f64();
        println!(
            "{:<58} {alone:>8} {elsewhere:>9} {then:>9} {:>6.1} {:>8.1} {:>5.2} {:>5.2} {most_mib:>5} {left_mib:>5} {failed:>6}{verdict}",
            attack.name,
            round.ratio(),
            round.then.as_secs_f64() / round.alone.as_secs_f64(),
            per_s(round.then_s),
            per_s(round.alone_s),
        );
        producer.shutdown().await;
    }
}

/// What one round has measured.
struct Round {
    alone: Duration,
    elsewhere: Duration,
    then: Duration,
    /// CPU seconds of the broker.
    alone_s: f64,
    then_s: f64,
}

impl Round {
    fn ratio(&self) -> f64 {
        self.then.as_secs_f64() / self.elsewhere.as_secs_f64()
    }
}

/// Sends for a while: the 99th percentile of how long it took, and how many failed.
async fn latencies(producer: &Producer, length: Duration) -> (Duration, usize) {
    let stop = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| {
            let (producer, stop) = (producer.clone(), Arc::clone(&stop));
            task::spawn(async move {
                let (mut taken, mut failed) = (Vec::new(), 0);
                let mut next = Instant::now();
                while !stop.load(Ordering::Acquire) {
                    let begin = Instant::now();
                    match producer.send(Message::new(TOPIC, vec![b'.'; BODY_BYTES])).await {
                        Ok(sent) if sent.send_status == SendStatus::SendOk => taken.push(begin.elapsed()),
                        _ => failed += 1,
                    }
                    next = Instant::now().max(next + PERIOD);
                    sleep_until(next).await;
                }
                (taken, failed)
            })
        })
        .collect();
    sleep(length).await;
    stop.store(true, Ordering::Release);
    let (mut all, mut failed) = (Vec::new(), 0);
    for sender in senders {
        let (taken, failures) = sender.await.expect("a sender does not panic");
        all.extend(taken);
        failed += failures;
    }
    all.sort_unstable();
    (all.get(all.len() * 99 / 100).copied().unwrap_or(length), failed)
}
