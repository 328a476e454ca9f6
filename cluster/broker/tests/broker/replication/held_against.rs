//! Running masters held against the machine: what they were told and did is read from their log, and a fresh [`group::Forming`]
//! must do the same. Where a history begins, everything that has been acknowledged is in the log that begins it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use broker::{BrokerConfig, Role};
use group::transcript::{Entry, Line, Mismatch, TARGET, replay};
use group::{Event, Step};
use protocol::header::SendMessageResponseHeader;
use protocol::message_id::decode_offset_message_id;
use protocol::{BrokerId, PhysicalOffset, response_code as code};
use sim::time::sleep;
use sim::world::Crash;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Metadata, Subscriber};

use super::TOPIC;
use super::cluster::{Cluster, MASTER, SLAVE, SLAVE_2, play, until};

/// What was seen in one simulation, in order.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "there are some hundred of them")]
enum Seen {
    Line(Line),
    /// A message was acknowledged; its record begins here.
    Acknowledged(PhysicalOffset),
}

// Each simulation runs on a thread of its own.
thread_local! {
    static IS_WATCHED: Cell<bool> = const { Cell::new(false) };
    static SEEN: RefCell<Vec<Seen>> = const { RefCell::new(Vec::new()) };
}

fn note(seen: Seen) {
    SEEN.with_borrow_mut(|all| all.push(seen));
}

/// The log's lines of this target, and nothing else.
struct Transcripts;

struct LineOf(Option<String>);

impl Visit for LineOf {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "line" {
            self.0 = Some(value.to_owned());
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

impl Subscriber for Transcripts {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.target() == TARGET { Interest::sometimes() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == TARGET && IS_WATCHED.get()
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = LineOf(None);
        event.record(&mut line);
        if let Some(line) = line.0 {
            note(Seen::Line(serde_json::from_str(&line).expect("a line of the transcript")));
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The lines of each broker.
fn by_broker(seen: &[Seen]) -> BTreeMap<String, Vec<Line>> {
    let mut lines = BTreeMap::<String, Vec<Line>>::new();
    for seen in seen {
        if let Seen::Line(line) = seen {
            lines.entry(line.broker.clone()).or_default().push(line.clone());
        }
    }
    lines
}

/// How a transcript contradicts what is promised.
#[derive(Debug, thiserror::Error)]
enum Wrong {
    #[error(transparent)]
    Step(#[from] Mismatch),
    #[error("a history begins at {end} without the message at {acknowledged}, which was acknowledged")]
    Lost { end: PhysicalOffset, acknowledged: PhysicalOffset },
}

/// Looks at everything that was seen in a simulation; gives how many histories began.
fn check(seen: &[Seen]) -> Result<usize, Wrong> {
    for lines in by_broker(seen).values() {
        replay(lines)?;
    }
    let (mut begun, mut acknowledged) = (0, None);
    let mut ends = BTreeMap::<&str, PhysicalOffset>::new();
    for seen in seen {
        let line = match seen {
            Seen::Acknowledged(at) => {
                acknowledged = acknowledged.max(Some(*at));
                continue;
            }
            Seen::Line(line) => line,
        };
        match &line.entry {
            Entry::Start(start) => drop(ends.insert(&line.broker, start.history.max)),
            Entry::Event(Event::Took(_, own) | Event::NotTaken { history: own, .. }) => {
                ends.insert(&line.broker, own.max);
            }
            Entry::Step(Step::Begin { .. }) => {
                begun += 1;
                let end = ends[&*line.broker];
                if let Some(acknowledged) = acknowledged.filter(|at| *at >= end) {
                    return Err(Wrong::Lost { end, acknowledged });
                }
            }
            Entry::Event(_) | Entry::Step(_) => {}
        }
    }
    Ok(begun)
}

async fn send(cluster: &Cluster, host: &str, body: &str) {
    let sent = cluster.at(host).send(TOPIC, 0, body, "").await;
    assert_eq!(sent.code, code::SUCCESS, "{:?}", sent.remark);
    let answer: SendMessageResponseHeader = sent.header().expect("an answer");
    let (_, at) = decode_offset_message_id(&answer.msg_id).expect("a broker's id");
    note(Seen::Acknowledged(at));
}

async fn leads(cluster: &Cluster, host: &str) {
    until!(format!("{host} leads, with a slave"), {
        let view = cluster.find_group(host).await.unwrap_or_default();
        view.leads && view.slaves.iter().any(|slave| slave.in_sync)
    });
}

/// Plays a script with two slaves, and looks at what was seen.
fn watched<Fut>(
    seed: u64,
    change: impl Fn(&str, &mut BrokerConfig) + Send + Sync + 'static,
    script: impl Fn(Cluster) -> Fut + Send + Sync + 'static,
) -> Vec<Seen>
where
    Fut: Future<Output = ()> + Send + 'static,
{
    static LISTENS: Once = Once::new();
    LISTENS.call_once(|| tracing::subscriber::set_global_default(Transcripts).expect("nobody else listens"));
    let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
    let all = Arc::clone(&seen);
    let change = move |name: &str, config: &mut BrokerConfig| {
        IS_WATCHED.set(true);
        change(name, config);
    };
    play(seed, 2, change, move |cluster| {
        let (script, all) = (script(cluster), Arc::clone(&all));
        async move {
            script.await;
            *all.lock().unwrap() = SEEN.take();
        }
    });
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    let lines = by_broker(&seen).values().map(Vec::len).sum::<usize>();
    let begun = check(&seen).unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
    println!("seed {seed}: {lines} lines, {begun} beginnings");
    seen
}

fn nothing_is_flushed(_: &str, config: &mut BrokerConfig) {
    config.store.flush_interval_commit_log_ms = 600_000;
    config.store.flush_commit_log_thorough_interval_ms = 600_000;
}

/// Power, disks, name servers: what is lost of a master and comes back in other orders.
async fn losses(cluster: Cluster) {
    leads(&cluster, MASTER).await;
    send(&cluster, MASTER, "m0").await;
    for (number, crash) in [Crash::Power, Crash::Process, Crash::Disk, Crash::Os].into_iter().enumerate() {
        if number % 2 == 1 {
            cluster.crash("ns", Crash::Process).await;
        }
        cluster.crash(MASTER, crash).await;
        if number >= 2 {
            cluster.crash(SLAVE_2, Crash::Power).await;
        }
        cluster.boot(MASTER).await;
        sleep(Duration::from_secs(8)).await;
        if number % 2 == 1 {
            cluster.boot("ns").await;
        }
        if number >= 2 {
            cluster.boot(SLAVE_2).await;
        }
        leads(&cluster, MASTER).await;
        send(&cluster, MASTER, &format!("after {number}")).await;
    }
    // A name server that has forgotten everything, and a master that has lost everything.
    cluster.crash("ns", Crash::Disk).await;
    cluster.crash(MASTER, Crash::Disk).await;
    cluster.boot(MASTER).await;
    cluster.boot("ns").await;
    leads(&cluster, MASTER).await;
    send(&cluster, MASTER, "last").await;
}

#[test]
fn masters_that_lose_power_and_disks_do_what_the_machine_allows() {
    for seed in 70..76 {
        let seen = watched(seed, nothing_is_flushed, losses);
        assert!(check(&seen).is_ok_and(|begun| begun >= 6), "each of them began");
    }
}

#[test]
fn a_slave_that_is_made_master_does_what_the_machine_allows() {
    for seed in 80..84 {
        let is_promoted = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let at_boot = Arc::clone(&is_promoted);
        let change = move |name: &str, config: &mut BrokerConfig| {
            if at_boot.load(std::sync::atomic::Ordering::Relaxed) {
                match name {
                    SLAVE => (config.broker_id, config.ha.role) = (BrokerId::MASTER, Role::SyncMaster),
                    MASTER => (config.broker_id, config.ha.role) = (BrokerId(1), Role::Slave),
                    _ => {}
                }
            }
        };
        watched(seed, change, move |cluster| {
            let is_promoted = Arc::clone(&is_promoted);
            async move {
                leads(&cluster, MASTER).await;
                send(&cluster, MASTER, "m0").await;
                cluster.crash(MASTER, Crash::Power).await;
                cluster.stop(SLAVE).await;
                is_promoted.store(true, std::sync::atomic::Ordering::Relaxed);
                cluster.boot(SLAVE).await;
                leads(&cluster, SLAVE).await;
                send(&cluster, SLAVE, "m1").await;
                cluster.boot(MASTER).await;
                until!("both follow", {
                    cluster
                        .find_group(SLAVE)
                        .await
                        .is_some_and(|view| view.slaves.iter().filter(|s| s.in_sync).count() == 2)
                });
                send(&cluster, SLAVE, "m2").await;
                cluster.crash(SLAVE, Crash::Disk).await;
                cluster.boot(SLAVE).await;
                leads(&cluster, SLAVE).await;
                send(&cluster, SLAVE, "m3").await;
            }
        });
    }
}

/// The check finds a broker that breaks a rule: transcripts in which one step or one event is another.
#[test]
fn a_broker_that_breaks_a_rule_is_found() {
    let seen = watched(70, nothing_is_flushed, losses);
    let is_step = |wanted: fn(&Step) -> bool| move |seen: &Seen| matches!(seen, Seen::Line(Line { entry: Entry::Step(step), .. }) if wanted(step));
    let find = |is: &dyn Fn(&Seen) -> bool| seen.iter().rposition(is).expect("there is one");
    let (begin, wait, take) = (
        find(&is_step(|step| matches!(step, Step::Begin { .. }))),
        find(&is_step(|step| matches!(step, Step::Wait(..)))),
        find(&is_step(|step| matches!(step, Step::Take(..)))),
    );
    let took = find(&|seen| matches!(seen, Seen::Line(Line { entry: Entry::Event(Event::Took(..)), .. })));
    let changed = |change: &dyn Fn(&mut Vec<Seen>)| {
        let mut seen = seen.clone();
        change(&mut seen);
        check(&seen)
    };
    let put = |seen: &mut Vec<Seen>, at: usize, entry: Entry| {
        if let Seen::Line(line) = &mut seen[at] {
            line.entry = entry;
        }
    };
    let Seen::Line(Line { entry: Entry::Step(begins), .. }) = seen[begin].clone() else { panic!("a step") };
    let is_mismatch = |found: Result<usize, Wrong>| matches!(found, Err(Wrong::Step(Mismatch::Other { .. })));
    assert!(
        is_mismatch(changed(&|seen| put(seen, wait, Entry::Step(begins.clone())))),
        "it begins while it is to wait"
    );
    assert!(is_mismatch(changed(&|seen| put(seen, take, Entry::Step(begins.clone())))), "it begins without a tail");
    assert!(is_mismatch(changed(&|seen| drop(seen.remove(took)))), "it begins and has taken nothing");
    let other = |step: &Step| match step.clone() {
        Step::Begin { without, group, generation } => Step::Begin { without, group, generation: generation + 1 },
        other => other,
    };
    assert!(is_mismatch(changed(&|seen| put(seen, begin, Entry::Step(other(&begins))))), "another generation");
    let goes_on = changed(&|seen| {
        let again = seen[begin].clone();
        seen.insert(begin, again);
    });
    assert!(matches!(goes_on, Err(Wrong::Step(Mismatch::Ended { .. }))), "{goes_on:?}");
    // What is consistent in itself and loses something is found by what was acknowledged.
    let lost = changed(&|seen| seen.insert(begin, Seen::Acknowledged(PhysicalOffset(i64::MAX))));
    assert!(matches!(lost, Err(Wrong::Lost { .. })), "{lost:?}");
}
