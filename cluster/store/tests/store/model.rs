//! Any sequence of puts, flushes, crashes and recoveries agrees with a model.
//!
//! The model is the sequence of all records that were put, cut after each crash to what is found then:
//! * what is found is a prefix of what was put, and holds everything that had been promised to survive this kind of crash;
//! * it never grows again: no record that a crash took ever comes back;
//! * every ConsumeQueue is what the log says, offset by offset.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use protocol::{PhysicalOffset, message::parse_record};
use sim::{
    time::sleep,
    world::{Crash, Key, Stream},
};
use store::{FlushDiskType, MessageStore, PutMessageStatus, StoreConfig};

use crate::{
    machine::{Machine, on_machine},
    support::{STORE, all_bodies, message, open},
};

const TOPICS: [&str; 2] = ["TopicA", "%RETRY%group"];
const QUEUES: i32 = 3;

#[derive(Clone, Debug)]
struct Put {
    body: String,
    topic: &'static str,
    queue_id: i32,
}

#[derive(Default)]
struct Model {
    log: Vec<Put>,
    next_body: u64,
    /// How many records have been acknowledged as written.
    written: usize,
    /// How many have been promised to be on the drive.
    flushed: usize,
    /// The worst crash since the last look at the store.
    crash: Option<Crash>,
    /// How many incarnations saw the log end within what was put.
    cuts: usize,
}

fn config(stream: &mut Stream) -> StoreConfig {
    let flush_disk_type = if stream.below(2) == 0 { FlushDiskType::SyncFlush } else { FlushDiskType::AsyncFlush };
    StoreConfig {
        flush_disk_type,
        mapped_file_size_commit_log_bytes: [4096, 8192, 65_536][stream.below(3) as usize],
        mapped_file_size_consume_queue_bytes: 20 * [4, 50, 1000][stream.below(3) as usize],
        flush_interval_commit_log_ms: 50,
        flush_commit_log_thorough_interval_ms: 300,
        flush_interval_consume_queue_ms: 100,
        flush_consume_queue_thorough_interval_ms: 700,
        tail_cache_max_bytes: [0, 2000, 1 << 20][stream.below(3) as usize],
        ..StoreConfig::new(STORE)
    }
}

/// Compares what a store has with the model, and cuts the model to it.
async fn verify(store: &MessageStore, config: &StoreConfig, model: &Mutex<Model>) {
    let mut found = Vec::new();
    let segment_bytes = config.mapped_file_size_commit_log_bytes as i64;
    let mut offset = PhysicalOffset::ZERO;
    let mut last_ms = 0;
    while offset < store.max_physical_offset() {
        let Some(bytes) = store.look_message_by_offset(offset).await.unwrap() else {
            let next = PhysicalOffset(offset.0 + segment_bytes - offset.0 % segment_bytes);
            assert!(next <= store.max_physical_offset(), "a hole at {offset} of {}", store.max_physical_offset());
            offset = next;
            continue;
        };
        let record = parse_record(&bytes).unwrap();
        assert!(record.store_timestamp_ms >= last_ms, "store timestamps never run backwards");
        last_ms = record.store_timestamp_ms;
        found.push((
            record.topic.to_owned(),
            record.queue_id,
            record.queue_offset.0,
            String::from_utf8(record.body.to_vec()).unwrap(),
        ));
        offset += bytes.len() as i64;
    }
    let (log, promised, crash) = {
        let mut model = model.lock().unwrap();
        let crash = model.crash.take();
        let promised = match crash {
            None => model.log.len(),
            Some(Crash::Process) => model.written.max(model.flushed),
            Some(_) => model.flushed,
        };
        assert!(found.len() <= model.log.len(), "{} records of {} came back", found.len(), model.log.len());
        if found.len() < model.log.len() {
            model.cuts += 1;
        }
        model.log.truncate(found.len());
        // What recovery shows has been synced.
        (model.written, model.flushed) = (found.len(), found.len());
        (model.log.clone(), promised, crash)
    };
    assert!(found.len() >= promised, "after {crash:?}: {} records, {promised} had been promised", found.len());
    for ((topic, queue_id, _, body), put) in found.iter().zip(&log) {
        assert_eq!((topic.as_str(), *queue_id, body), (put.topic, put.queue_id, &put.body), "the log is a prefix");
    }
    for topic in TOPICS {
        for queue_id in 0..QUEUES {
            let of_queue = found.iter().filter(|(t, q, ..)| t == topic && *q == queue_id);
            let expected: Vec<_> = of_queue.map(|(_, _, offset, body)| (*offset, body.clone())).collect();
            let got = all_bodies(store, topic, queue_id).await;
            let got: Vec<_> = got.into_iter().zip(0..).map(|(body, offset)| (offset, body)).collect();
            assert_eq!(got, expected, "queue {topic}/{queue_id} is what the log says");
        }
    }
}

/// Puts at random for ever.
async fn work(store: Arc<MessageStore>, model: Arc<Mutex<Model>>, mut stream: Stream) {
    loop {
        let count = if stream.below(5) == 0 { 1 + stream.below(5) as usize } else { 1 };
        let topic = TOPICS[stream.below(2) as usize];
        let queue_id = stream.below(QUEUES as u64) as i32;
        let wait = stream.below(4) != 0;
        let (put, until) = {
            // Under one lock, so that the model has the order of the calls.
            let mut model = model.lock().unwrap();
            let messages: Vec<_> = (0..count)
                .map(|_| {
                    model.next_body += 1;
                    let padding = "x".repeat(stream.below(600) as usize);
                    let body = format!("{}-{padding}", model.next_body);
                    model.log.push(Put { body: body.clone(), topic, queue_id });
                    let mut message = message(topic, queue_id, body);
                    if !wait {
                        message.properties.push_str("\u{2}WAIT\u{1}false");
                    }
                    message
                })
                .collect();
            (store.put_batch(messages), model.log.len())
        };
        let task_model = Arc::clone(&model);
        let task_store = Arc::clone(&store);
        let answered = sim::task::spawn(async move {
            let result = put.await;
            assert_eq!(result.status, PutMessageStatus::PutOk, "{result:?}");
            let end = result.appended.unwrap().end_offset;
            let mut model = task_model.lock().unwrap();
            model.written = model.written.max(until);
            let is_sync = task_store.config().flush_disk_type == FlushDiskType::SyncFlush;
            if end <= task_store.flushed_offset() {
                model.flushed = model.flushed.max(until);
            } else {
                assert!(!(is_sync && wait), "acknowledged before it was flushed");
            }
            drop(model);
            // Under SYNC_FLUSH whoever has seen it may act on it.
            let confirmed = task_store.confirm_offset();
            assert!(!is_sync || confirmed <= task_store.flushed_offset());
        });
        if stream.below(3) == 0 {
            answered.await.unwrap();
        }
        match stream.below(40) {
            0 => {
                let until = model.lock().unwrap().written;
                store.flush().await.unwrap();
                let mut model = model.lock().unwrap();
                model.flushed = model.flushed.max(until);
            }
            1..8 => sleep(Duration::from_micros(stream.below(30_000))).await,
            _ => {}
        }
    }
}

async fn live_and_die(machine: Machine, mut stream: Stream) -> (usize, usize) {
    let model = Arc::new(Mutex::new(Model::default()));
    let config = config(&mut stream);
    for _ in 0..8 {
        let (config, model_here) = (config.clone(), Arc::clone(&model));
        let worker_stream = Key::root(stream.u64()).derive("worker").stream();
        let shut_down = stream.below(4) == 0;
        let life = Duration::from_micros(match stream.below(3) {
            0 => stream.below(10_000),
            1 => stream.below(300_000),
            _ => stream.below(1_500_000),
        });
        machine.start(move || async move {
            let store = Arc::new(open(&config).await);
            verify(&store, &config, &model_here).await;
            let worker = sim::task::spawn(work(Arc::clone(&store), Arc::clone(&model_here), worker_stream));
            if shut_down {
                sleep(life / 2).await;
                worker.abort();
                sleep(Duration::from_micros(1)).await;
                store.shutdown().await.unwrap();
                let mut model = model_here.lock().unwrap();
                model.flushed = model.log.len();
                model.written = model.log.len();
            }
            std::future::pending::<()>().await;
        });
        machine.sleep(life + if shut_down { Duration::from_secs(1) } else { Duration::ZERO }).await;
        let crash = [Crash::Process, Crash::Os, Crash::Power][stream.below(3) as usize];
        machine.crash(crash);
        machine.step_clock(stream.below(4000) as i64 - 2000);
        let mut model = model.lock().unwrap();
        // A process that died before it looked leaves what the crash before it left.
        model.crash = match model.crash {
            None | Some(Crash::Process) => Some(crash),
            worse => worse,
        };
    }
    let (config_last, model_last) = (config.clone(), Arc::clone(&model));
    machine
        .run(move || async move {
            let store = open(&config_last).await;
            verify(&store, &config_last, &model_last).await;
            store.shutdown().await.unwrap();
            let store = open(&config_last).await;
            assert!(!store.recovery_report().abnormal);
            verify(&store, &config_last, &model_last).await;
        })
        .await;
    let model = model.lock().unwrap();
    (model.log.len(), model.cuts)
}

#[test]
fn crashes_agree_with_the_model() {
    let only: Option<u64> = std::env::var("STORE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = only.map_or(0..60, |seed| seed..seed + 1);
    let (mut records, mut cuts) = (0, 0);
    for seed in seeds {
        let key = Key::root(seed).derive("store-model");
        let (survived, cut) =
            std::panic::catch_unwind(|| on_machine(seed, |machine| live_and_die(machine, key.stream())))
                .unwrap_or_else(|panic| {
                    eprintln!("again with: STORE_SEED={seed} cargo test -p store crashes_agree_with_the_model");
                    std::panic::resume_unwind(panic)
                });
        records += survived;
        cuts += cut;
    }
    if only.is_none() {
        assert!(records > 1000 && cuts > 50, "the test tests something: {records} records, {cuts} cuts");
    }
}
