//! Every event of every kind's plan matters: programs that write, sync, read back, talk, resolve names and look at clocks see
//! something else when it is left out; and the counters of the machines say that it did something.
//!
//! What the programs saw is a transcript: each call with its outcome and how long it took. Two runs of one seed differ in
//! nothing but their plans, so that transcripts differ by what an event did, and by nothing else.

#![cfg(not(feature = "real"))]

use faults::{Cast, Fault, FaultKind, Group, Injected, Plan, Site, Targets, Window, generate, inject};
use sim::{
    disk::{self, OpenOptions},
    net::{TcpListener, TcpStream, resolve},
    time,
    world::{DiskSpec, HostSpec, Key, SimulationSpec, World, simulate},
};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const WINDOW: Window = Window { from_ms: 4_000, to_ms: 12_000 };
const HEAL_MS: u64 = 26_000;
const END_MS: u64 = 27_000;
const HOSTS: [&str; 8] =
    ["broker-a", "broker-a-s", "broker-b", "broker-b-s", "namesrv-0", "namesrv-1", "producer-0", "consumer-0"];
const BLOCK_BYTES: usize = 8_192;
const BLOCKS: u64 = 64;
/// How many seeds a kind may take until one of them shows what it does.
const SEEDS: u64 = 12;

/// What one call did, as its program saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    host: &'static str,
    call: &'static str,
    outcome: String,
    took_us: u64,
}

type Transcript = Arc<Mutex<Vec<Line>>>;

fn note(transcript: &Transcript, host: &'static str, call: &'static str, outcome: String, since: time::Instant) {
    let took_us = since.elapsed().as_micros() as u64;
    transcript.lock().expect("one thread").push(Line { host, call, outcome, took_us });
}

fn told<T: std::fmt::Debug>(result: &io::Result<T>) -> String {
    result.as_ref().map_or_else(|error| format!("{:?}", error.kind()), |value| format!("{value:?}"))
}

/// Reads a block and says whether it is whole: all its words are the same.
async fn read_block(file: &disk::File, number: u64) -> io::Result<String> {
    let mut block = vec![0; BLOCK_BYTES];
    let mut at = 0;
    while at < BLOCK_BYTES {
        match file.read_at(&mut block[at..], number * BLOCK_BYTES as u64 + at as u64).await? {
            0 => return Ok(format!("{at} bytes")),
            read => at += read,
        }
    }
    let is_whole = block.chunks(8).all(|word| word == &block[..8]);
    Ok(if is_whole { format!("{:?}", &block[..8]) } else { "damaged".to_owned() })
}

/// Writes block after block and a log, syncs and reads back; after a start everything.
async fn keep_files(host: &'static str, transcript: Transcript) {
    let since = time::Instant::now();
    let opened = OpenOptions::new().read(true).write(true).create(true).open("/blocks").await;
    note(&transcript, host, "open", told(&opened.as_ref().map(|_| ()).map_err(|error| error.kind().into())), since);
    let Ok(file) = opened else { return };
    for number in 0..BLOCKS {
        let since = time::Instant::now();
        note(&transcript, host, "recover", told(&read_block(&file, number).await), since);
    }
    let log = OpenOptions::new().write(true).create(true).open("/log").await.expect("a file can always be made");
    let (mut log_bytes, begun, wall_ms) = (0, time::Instant::now(), time::wall_clock_ms());
    for round in 1_u64.. {
        let block = round.to_le_bytes().repeat(BLOCK_BYTES / 8);
        let since = time::Instant::now();
        let written = file.write_all_at(&block, round % BLOCKS * BLOCK_BYTES as u64).await;
        note(&transcript, host, "write", told(&written), since);
        let since = time::Instant::now();
        note(&transcript, host, "sync", told(&file.sync_data().await), since);
        let since = time::Instant::now();
        let appended = log.write_all_at(&[7; 6_000], log_bytes).await;
        log_bytes += if appended.is_ok() { 6_000 } else { 0 };
        note(&transcript, host, "append", told(&appended), since);
        let since = time::Instant::now();
        note(&transcript, host, "read", told(&read_block(&file, round * 7 % BLOCKS).await), since);
        time::sleep(Duration::from_millis(250)).await;
        // What the wall clock shows beyond the monotonic one.
        let passed_ms = i64::try_from(begun.elapsed().as_millis()).expect("a short time");
        note(&transcript, host, "clock", (time::wall_clock_ms() - wall_ms - passed_ms).to_string(), begun);
    }
}

/// Answers every connection with what it sends.
async fn echo() {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 7))).await.expect("the port is free");
    loop {
        let (stream, _) = listener.accept().await.expect("the process lives");
        sim::task::spawn(async move {
            let (mut reader, mut writer) = stream.into_split();
            // The other end may break off at any time.
            let _ = tokio::io::copy(&mut reader, &mut writer).await;
        });
    }
}

async fn connect(to: &str) -> io::Result<TcpStream> {
    TcpStream::connect(resolve(&format!("{to}:7")).await?[0]).await
}

async fn exchange(stream: &mut TcpStream) -> io::Result<usize> {
    let mut answer = vec![0; 6_000];
    stream.write_all(&[7; 6_000]).await?;
    stream.read_exact(&mut answer).await?;
    Ok(answer.iter().filter(|byte| **byte == 7).count())
}

/// Talks to one other host over a connection that it keeps as long as it can.
async fn talk(host: &'static str, to: &'static str, transcript: Transcript) {
    let mut kept = None;
    loop {
        let since = time::Instant::now();
        let round = async {
            let mut stream = match kept.take() {
                Some(stream) => stream,
                None => connect(to).await?,
            };
            let exchanged = exchange(&mut stream).await?;
            kept = Some(stream);
            Ok(exchanged)
        };
        let done: io::Result<usize> =
            time::timeout(Duration::from_secs(3), round).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        note(&transcript, host, to, told(&done), since);
        time::sleep(Duration::from_millis(500)).await;
    }
}

fn cast() -> Cast {
    let name = str::to_owned;
    let group = |primary: &str| Group::of(primary, [format!("{primary}-s")]);
    Cast {
        groups: vec![group("broker-a"), group("broker-b")],
        registries: vec![name("namesrv-0"), name("namesrv-1")],
        clients: vec![name("producer-0"), name("consumer-0")],
        rooms: vec![
            vec![name("broker-a"), name("broker-b"), name("namesrv-0")],
            vec![name("broker-a-s"), name("broker-b-s"), name("namesrv-1")],
        ],
    }
}

/// The spares of the two primaries.
const SPARES: [&str; 2] = ["broker-a-spare", "broker-b-spare"];

fn site() -> Site {
    Site::of(HOSTS).with_spares(["broker-a", "broker-b"])
}

async fn harness(world: World, plan: Plan, transcript: Transcript) -> Vec<Injected> {
    let mut targets = Targets::new();
    for name in HOSTS.into_iter().chain(SPARES) {
        let transcript = Arc::clone(&transcript);
        let spec = HostSpec::new(name, move || {
            let transcript = Arc::clone(&transcript);
            async move {
                sim::task::spawn(echo());
                for to in HOSTS.into_iter().filter(|to| *to != name) {
                    sim::task::spawn(talk(name, to, Arc::clone(&transcript)));
                }
                keep_files(name, transcript).await;
            }
        });
        targets.insert(name.to_owned(), world.add_host(HostSpec { disk: DiskSpec::raid10(), ..spec }));
    }
    for name in HOSTS {
        world.boot(targets[name]);
    }
    let injected = inject(&world, &plan, &targets, HEAL_MS, |_, _| {}).await;
    world.sleep_until_ns(END_MS * 1_000_000).await;
    injected
}

/// What the programs saw under a plan, and what the machines counted.
fn run(plan: &Plan, seed: u64) -> (Vec<Line>, Vec<Injected>) {
    plan.check(&site(), HEAL_MS).expect("it can be carried out");
    let transcript = Transcript::default();
    let (shared, carried_out) = (Arc::clone(&transcript), plan.clone());
    let spec = SimulationSpec { seed, ..SimulationSpec::default() };
    let finished = simulate(spec, move |world| harness(world, carried_out, shared)).expect("nothing panics");
    let lines = std::mem::take(&mut *transcript.lock().expect("nobody holds it any more"));
    (lines, finished.value)
}

/// Whether each event of this kind's plan did something, by its counters and to the programs.
fn matters(kind: FaultKind, seed: u64) -> Result<(), String> {
    let plan =
        generate(&Fault::from(kind), Key::root(seed).derive("plan"), &cast(), WINDOW).expect("everybody is there");
    let (seen, injected) = run(&plan, seed);
    assert_eq!(injected.len(), plan.events.len());
    if let Some(idle) = injected.iter().find(|injected| injected.counts.is_empty()) {
        return Err(format!("nothing was counted: {}", idle.action));
    }
    for without in 0..plan.events.len() {
        let mut less = plan.clone();
        let left_out = less.events.remove(without);
        // Without the crash before it a disk cannot move: then it is the move that nothing is left of.
        if less.check(&site(), HEAL_MS).is_ok() && run(&less, seed).0 == seen {
            return Err(format!("nobody saw it: {}", left_out.action));
        }
    }
    Ok(())
}

fn each_matters(kinds: impl Iterator<Item = FaultKind>) {
    for kind in kinds {
        let mut why = String::new();
        let shown = (1..=SEEDS).any(|seed| matters(kind, seed).map_err(|told| why = told).is_ok());
        assert!(shown, "{kind}: none of {SEEDS} seeds shows it; the last: {why}");
    }
}

/// The kinds by thirds, so that they run side by side.
fn third(number: usize) -> impl Iterator<Item = FaultKind> {
    FaultKind::ALL.into_iter().skip(1).enumerate().filter(move |(at, _)| at % 3 == number).map(|(_, kind)| kind)
}

#[test]
fn every_kind_matters_first_third() {
    each_matters(third(0));
}

#[test]
fn every_kind_matters_second_third() {
    each_matters(third(1));
}

#[test]
fn every_kind_matters_last_third() {
    each_matters(third(2));
}

#[test]
fn nothing_is_counted_without_a_fault_and_the_same_is_seen_again() {
    let none = Plan::default();
    let (seen, injected) = run(&none, 1);
    assert!(injected.is_empty());
    assert!(seen.iter().all(|line| line.outcome != "damaged" && line.outcome != "TimedOut"));
    assert_eq!(run(&none, 1).0, seen);
}
