//! What legitimate senders notice of hostile clients, on the real binaries, over loopback.
//!
//! `cargo bench -p server --features real --bench hostile` (`-- --quick` for a look of some seconds at each; names, or parts of
//! them, for those attacks alone): four producers send a message of 1 KiB each every few milliseconds. The 99th percentile of how
//! long that takes is measured without and during each attack, in turns, so that what else the machine does falls on both; the
//! figure is the median of the rounds' ratios. Beside it stand the broker's memory during the attack and when it has been over for
//! a while, and sends that failed.
//!
//! The aim, at most 5 times, is printed and judged by people: a machine that is busy with other things misses it.

#[path = "hostile/attacks.rs"]
mod attacks;
#[path = "../tests/support/mod.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use attacks::{ATTACKS, Target};
use client::{Message, Producer, ProducerConfig, SendStatus};
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
    let extent = if std::env::args().any(|argument| argument == "--quick") { QUICK } else { FULL };
    let runtime = || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        runtime.expect("threads can be had")
    };
    // The senders wait for the broker, not for the attackers' own work.
    let hostile = runtime();
    runtime().block_on(measure(&extent, hostile.handle()));
    hostile.shutdown_background();
}

/// Whether this attack is measured: all are, unless some are named on the command line.
fn is_wanted(name: &str) -> bool {
    let mut named = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).peekable();
    named.peek().is_none() || named.any(|part| name.contains(&part))
}

async fn measure(extent: &Extent, hostile: &tokio::runtime::Handle) {
    println!(
        "sends beside hostile clients; real binaries, one master, asynchronous flush; aim: p99 at most {AIM} times"
    );
    println!(
        "{:<58} {:>9} {:>9} {:>6} {:>7} {:>7} {:>6}",
        "attack", "p99", "p99 then", "ratio", "MiB", "after", "failed"
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
        let memory = || machines.broker(BROKER).server.memory_mib();
        let before_mib = memory();
        let (mut rounds, mut most_mib, mut failed) = (Vec::new(), 0, 0);
        for _ in 0..extent.rounds {
            let (usual, _) = latencies(&producer, extent.round).await;
            let attackers = hostile.spawn((attack.run)(target.clone()));
            sleep(SETTLE).await;
            let (then, failures) = latencies(&producer, extent.round).await;
            most_mib = most_mib.max(memory().saturating_sub(before_mib));
            attackers.abort();
            // An error means that it was aborted.
            let _ = attackers.await;
            failed += failures;
            rounds.push((then.as_secs_f64() / usual.as_secs_f64(), usual, then));
            sleep(2 * SETTLE).await;
        }
        rounds.sort_by(|one, other| one.0.total_cmp(&other.0));
        let (ratio, usual, then) = rounds[rounds.len() / 2];
        sleep(2 * SETTLE).await;
        let left_mib = memory().saturating_sub(before_mib);
        let verdict = if ratio > AIM || failed > 0 { "  MISSED" } else { "" };
        let (usual, then) = (format!("{usual:.1?}"), format!("{then:.1?}"));
        println!(
            "{:<58} {usual:>9} {then:>9} {ratio:>6.1} {most_mib:>7} {left_mib:>7} {failed:>6}{verdict}",
            attack.name
        );
        producer.shutdown().await;
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
