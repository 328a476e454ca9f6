//! Several masters: a producer goes to another one, a consumer goes on with the queues of those that are there, and operators
//! take a master out of service.

use std::time::Duration;

use client::{Admin, ClientConfig, Producer, ProducerConfig, SendStatus};
use protocol::body::TopicConfig;
use protocol::{perm, response_code};
use sim::world::Crash;

use crate::fake::FakeBroker;
use crate::support::{
    CLUSTER, Inbox, TOPIC, bodies, consumer, create_topic, message, producer, run, run_fakes, sleep_ms, until,
};

const SECOND: Duration = Duration::from_secs(1);

async fn producer_with(config: &ClientConfig, producer: ProducerConfig) -> Producer {
    let builder = Producer::builder("producers").client_config(config.clone()).config(producer);
    builder.start().await.expect("started")
}

#[test]
fn a_pair_whose_master_is_gone_is_not_sent_to() {
    let (master, slave) = (FakeBroker::new("broker-a", 0), FakeBroker::new("broker-a", 1));
    let other = FakeBroker::new("broker-b", 0);
    run_fakes(
        &[&master, &slave, &other],
        |config| {
            Box::pin(async move {
                sleep_ms(10_000).await;
                let producer = producer(&config).await;
                for number in 0..200 {
                    let sent = producer.send(message(number)).await.expect("sent, perhaps by another master");
                    assert_eq!(sent.send_status, SendStatus::SendOk);
                    sleep_ms(100).await;
                }
                producer.shutdown().await;
            })
        },
        |stand| async move {
            stand.world.sleep(20 * SECOND).await;
            stand.world.crash(stand.brokers[0], Crash::Process);
        },
    );
    assert_eq!(slave.script().sends, 0);
    let (of_master, of_other) = (master.script().sends, other.script().sends);
    assert!((40..60).contains(&of_master) && of_master + of_other == 200, "{of_master} {of_other}");
}

/// Sends for a minute while a master goes without a word; how many sends failed, and the longest in seconds.
fn send_beside_a_silent_master(config: ProducerConfig) -> (usize, u64) {
    let (master, other) = (FakeBroker::new("broker-a", 0), FakeBroker::new("broker-b", 0));
    let noted = Inbox::default();
    let failures = noted.clone();
    let longest = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let slowest = std::sync::Arc::clone(&longest);
    run_fakes(
        &[&master, &other],
        |client| {
            Box::pin(async move {
                sleep_ms(10_000).await;
                let producer = producer_with(&client, config).await;
                for number in 0..200 {
                    let begin = sim::time::Instant::now();
                    if producer.send(message(number)).await.is_err() {
                        failures.push(number.to_string());
                    }
                    slowest.fetch_max(begin.elapsed().as_secs(), std::sync::atomic::Ordering::Relaxed);
                    sleep_ms(200).await;
                }
            })
        },
        |stand| async move {
            stand.world.sleep(20 * SECOND).await;
            stand.world.crash(stand.brokers[0], Crash::Power);
        },
    );
    (noted.len(), longest.load(std::sync::atomic::Ordering::Relaxed))
}

#[test]
fn a_silent_master_takes_all_the_time_there_is_unless_it_is_left_alone() {
    // As Java's client does by default: a send that meets the silent master has no time left for another one.
    let (failed, longest) = send_beside_a_silent_master(ProducerConfig::default());
    assert!(failed > 10, "{failed}");
    assert_eq!(longest, 3);
    let careful = ProducerConfig {
        send_latency_fault_enable: true,
        send_msg_max_timeout_per_request: Some(SECOND),
        ..ProducerConfig::default()
    };
    assert_eq!(send_beside_a_silent_master(careful), (0, 1));
}

#[test]
fn what_is_not_stored_well_enough_goes_to_another_broker_if_that_is_wanted() {
    let (master, other) = (FakeBroker::new("broker-a", 0), FakeBroker::new("broker-b", 0));
    master.script().send_code = response_code::FLUSH_SLAVE_TIMEOUT;
    run_fakes(
        &[&master, &other],
        |config| {
            Box::pin(async move {
                sleep_ms(10_000).await;
                let plain = producer(&config).await;
                let mut timeouts = 0;
                for number in 0..8 {
                    let sent = plain.send(message(number)).await.expect("sent");
                    timeouts += usize::from(sent.send_status == SendStatus::FlushSlaveTimeout);
                }
                assert_eq!(timeouts, 4);
                plain.shutdown().await;
                for send_latency_fault_enable in [false, true] {
                    let again = ProducerConfig {
                        retry_another_broker_when_not_store_ok: true,
                        send_latency_fault_enable,
                        ..ProducerConfig::default()
                    };
                    let producer = producer_with(&config, again).await;
                    for number in 0..8 {
                        let sent = producer.send(message(number)).await.expect("sent");
                        assert_eq!(sent.send_status, SendStatus::SendOk);
                        assert_eq!(sent.message_queue.broker_name, "broker-b");
                    }
                    producer.shutdown().await;
                }
            })
        },
        |_| std::future::ready(()),
    );
}

#[test]
fn the_queues_of_a_dead_master_wait_and_hold_up_no_others() {
    for crash in [Crash::Process, Crash::Power] {
        let (dead, alive) = (FakeBroker::new("broker-a", 0), FakeBroker::new("broker-b", 0));
        let inbox = Inbox::default();
        let (got, d, a, ended) = (inbox.clone(), dead.clone(), alive.clone(), Inbox::default());
        let end = ended.clone();
        let noted = inbox.clone();
        run_fakes(
            &[&dead, &alive],
            |config| {
                Box::pin(async move {
                    let consumer = consumer(&config, "consumers", &noted).start().await.expect("started");
                    until("the test ends", || ended.len() > 0).await;
                    consumer.shutdown().await;
                })
            },
            move |stand| async move {
                stand.world.sleep(20 * SECOND).await;
                d.put(0..10);
                stand.world.sleep(10 * SECOND).await;
                stand.world.crash(stand.brokers[0], crash);
                d.put(10..20);
                for number in 20..140 {
                    a.put(number..number + 1);
                    stand.world.sleep(2 * SECOND).await;
                    assert_eq!(got.len(), 10 + number - 19, "what is there is consumed at once");
                }
                assert_eq!(d.committed("consumers"), 10);
                stand.world.sleep(10 * SECOND).await;
                assert_eq!(a.committed("consumers"), 120);
                stand.world.boot(stand.brokers[0]);
                stand.world.sleep(60 * SECOND).await;
                assert_eq!(d.committed("consumers"), 20);
                end.push("now");
            },
        );
        assert_eq!(inbox.sorted(), bodies(140), "each arrived exactly once");
    }
}

#[test]
fn a_wiped_master_is_left_by_producers_and_read_by_consumers() {
    run(2, |config| {
        Box::pin(async move {
            let admin = create_topic(&config, 2).await;
            let inbox = Inbox::default();
            let consumer = consumer(&config, "consumers", &inbox).start().await.expect("started");
            let producer = producer(&config).await;
            send_to(&producer, 0..8, 4).await;
            // The group's retry topic, which came with the consumer, is registered: news that came later would undo the wiping.
            sleep_ms(1_000).await;
            for (name_server, wiped) in admin.wipe_write_perm_of_broker("broker-a").await {
                assert!(wiped.is_ok_and(|topics| topics > 1), "{name_server}");
            }
            // Known at the next round, or when a broker refuses.
            sleep_ms(35_000).await;
            send_to(&producer, 8..16, 0).await;
            // Brokers register every 30 s: what has not changed wipes nothing away.
            sleep_ms(70_000).await;
            send_to(&producer, 16..24, 0).await;
            for (name_server, added) in admin.add_write_perm_of_broker("broker-a").await {
                assert!(added.is_ok_and(|topics| topics > 1), "{name_server}");
            }
            sleep_ms(35_000).await;
            send_to(&producer, 24..32, 4).await;
            // As at Apache's: the broker does not know of it, and its next news gives the permission back.
            admin.wipe_write_perm_of_broker("broker-a").await;
            let news = TopicConfig::new("TopicB", 1, perm::PERM_READ | perm::PERM_WRITE);
            assert_eq!(admin.create_topic_in_cluster(CLUSTER, &news).await.expect("created").len(), 2);
            sleep_ms(35_000).await;
            send_to(&producer, 32..40, 4).await;
            until("all have arrived", || inbox.len() >= 40).await;
            assert_eq!(inbox.sorted(), bodies(40));
            let route = admin.examine_topic_route(TOPIC).await.expect("known");
            assert!(route.queue_datas.iter().all(|queues| perm::is_writable(queues.perm)));
            assert_eq!(admin.master_addrs("nowhere").await.expect("asked"), [""; 0]);
            consumer.shutdown().await;
        })
    });
}

/// Sends these, of which so many must go to `broker-a`.
async fn send_to(producer: &Producer, numbers: std::ops::Range<usize>, to_a: usize) {
    let mut count = 0;
    for number in numbers {
        let sent = producer.send(message(number)).await.expect("sent");
        count += usize::from(sent.message_queue.broker_name == "broker-a");
    }
    assert_eq!(count, to_a);
}

#[test]
fn a_broker_that_joins_gets_its_share() {
    let (first, second) = (FakeBroker::new("broker-a", 0), FakeBroker::new("broker-b", 0));
    let (a, b) = (first.clone(), second.clone());
    run_fakes(
        &[&first, &second],
        |config| {
            Box::pin(async move {
                let inbox = Inbox::default();
                let one = consumer(&config, "consumers", &inbox).start().await.expect("started");
                let two = consumer(&config, "consumers", &inbox).start().await.expect("started");
                let admin = Admin::start(config.clone()).expect("started");
                sleep_ms(60_000).await;
                let producer = producer(&config).await;
                send_to(&producer, 0..8, 8).await;
                sleep_ms(120_000).await;
                send_to(&producer, 8..16, 4).await;
                until("all have arrived", || inbox.len() >= 16).await;
                sleep_ms(20_000).await;
                assert_eq!(inbox.sorted(), bodies(16), "each arrived exactly once");
                assert_eq!((one.assigned_queues().len(), two.assigned_queues().len()), (2, 2));
                assert_eq!(admin.master_addrs(CLUSTER).await.expect("asked").len(), 2);
                one.shutdown().await;
                two.shutdown().await;
            })
        },
        move |stand| async move {
            stand.world.crash(stand.brokers[1], Crash::Process);
            stand.world.sleep(100 * SECOND).await;
            stand.world.boot(stand.brokers[1]);
        },
    );
    assert_eq!((a.script().members.len(), b.script().members.len()), (2, 2));
}
