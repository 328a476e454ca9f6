//! What clients do when brokers and name servers go and come back.

use std::time::Duration;

use client::{ClientError, MessageQueue, Outcome, QueueOffset, SendStatus};
use protocol::body::{ConsumerRunningInfo, JsonBody};
use protocol::header::{
    GetConsumerRunningInfoRequestHeader, ResetOffsetRequestHeader, UpdateConsumerOffsetRequestHeader,
};
use protocol::{RemotingCommand, request_code, response_code};
use sim::world::Crash;

use crate::support::{
    Inbox, QUEUES, TOPIC, ask_master, bodies, consumer, create_topic, message, producer, run, run_with, sleep_ms, until,
};

const SECOND: Duration = Duration::from_secs(1);

/// Sends messages one after the other, 100 ms apart; the bodies of those that were acknowledged, and how many were not.
async fn send_all(producer: &client::Producer, count: usize) -> (Vec<String>, usize) {
    let (mut acknowledged, mut failed) = (Vec::new(), 0);
    for number in 0..count {
        match producer.send(message(number)).await {
            Ok(sent) if sent.send_status == SendStatus::SendOk => acknowledged.push(number.to_string()),
            Ok(_) | Err(_) => failed += 1,
        }
        sleep_ms(100).await;
    }
    acknowledged.sort();
    (acknowledged, failed)
}

#[test]
fn a_broker_that_is_killed_and_comes_back_loses_nothing() {
    let test = |seed| {
        run_with(
            seed,
            1,
            |config| {
                Box::pin(async move {
                    let _admin = create_topic(&config, 1).await;
                    let producer = producer(&config).await;
                    let inbox = Inbox::default();
                    let one = consumer(&config, "consumers", &inbox).start().await.expect("started");
                    let two = consumer(&config, "consumers", &inbox).start().await.expect("started");
                    let (acknowledged, _) = send_all(&producer, 200).await;
                    assert!(acknowledged.len() >= 100, "{}", acknowledged.len());
                    until("all that was acknowledged arrives", || {
                        let got = inbox.sorted();
                        acknowledged.iter().all(|body| got.binary_search(body).is_ok())
                    })
                    .await;
                    one.shutdown().await;
                    two.shutdown().await;
                })
            },
            |stand| async move {
                stand.world.sleep(12 * SECOND).await;
                stand.world.crash(stand.brokers[0], Crash::Process);
                stand.world.sleep(3 * SECOND).await;
                stand.world.boot(stand.brokers[0]);
            },
        )
    };
    let (first, second) = (test(7), test(7));
    assert_eq!(first.trace_hash, second.trace_hash, "the same seed gives the same run");
    for seed in 8..20 {
        assert_ne!(first.trace_hash, test(seed).trace_hash);
    }
}

#[test]
fn another_broker_takes_over_what_a_dead_one_cannot() {
    run_with(
        3,
        2,
        |config| {
            Box::pin(async move {
                let _admin = create_topic(&config, 2).await;
                let producer = producer(&config).await;
                let inbox = Inbox::default();
                let consumer = consumer(&config, "consumers", &inbox).start().await.expect("started");
                let (acknowledged, failed) = send_all(&producer, 300).await;
                // Only what was under way when the broker died may have an unknown outcome, and it is sent again.
                assert_eq!(failed, 0);
                until("all have arrived", || {
                    let got = inbox.sorted();
                    acknowledged.iter().filter(|body| got.binary_search(body).is_ok()).count() >= 299
                })
                .await;
                consumer.shutdown().await;
            })
        },
        |stand| async move {
            stand.world.sleep(15 * SECOND).await;
            stand.world.crash(stand.brokers[0], Crash::Process);
        },
    );
}

#[test]
fn silence_leaves_the_outcome_unknown() {
    run_with(
        5,
        1,
        |config| {
            Box::pin(async move {
                let _admin = create_topic(&config, 1).await;
                let producer = producer(&config).await;
                producer.send(message(0)).await.expect("sent");
                sleep_ms(20_000).await;
                let error = producer.send(message(1)).await.expect_err("the broker has no power");
                assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
                let error = producer.send(message(2)).await.expect_err("there is no connection any more");
                assert_eq!(error.outcome(), Outcome::Fail, "{error}");
                assert!(matches!(error, ClientError::Send { .. }), "{error}");
                sleep_ms(60_000).await;
                producer.send(message(3)).await.expect("the broker is back");
            })
        },
        |stand| async move {
            stand.world.sleep(15 * SECOND).await;
            stand.world.crash(stand.brokers[0], Crash::Power);
            stand.world.sleep(45 * SECOND).await;
            stand.world.boot(stand.brokers[0]);
        },
    );
}

#[test]
fn name_servers_may_be_away() {
    run_with(
        6,
        2,
        |config| {
            Box::pin(async move {
                let _admin = create_topic(&config, 2).await;
                let producer = producer(&config).await;
                let inbox = Inbox::default();
                let consumer = consumer(&config, "consumers", &inbox).start().await.expect("started");
                let (acknowledged, failed) = send_all(&producer, 1_500).await;
                assert_eq!((acknowledged.len(), failed), (1_500, 0));
                until("all have arrived", || inbox.len() >= 1_500).await;
                assert_eq!(inbox.sorted(), bodies(1_500));
                consumer.shutdown().await;
            })
        },
        |stand| async move {
            stand.world.sleep(15 * SECOND).await;
            for host in &stand.name_servers {
                stand.world.crash(*host, Crash::Power);
            }
            stand.world.sleep(100 * SECOND).await;
            for host in &stand.name_servers {
                stand.world.boot(*host);
            }
        },
    );
}

#[test]
fn an_offset_beyond_the_queue_is_corrected() {
    run(1, |config| {
        Box::pin(async move {
            let admin = create_topic(&config, 1).await;
            let producer = producer(&config).await;
            // The group has an offset that the queue never had: as after a crash that lost the tail.
            for queue_id in 0..QUEUES {
                let header = UpdateConsumerOffsetRequestHeader {
                    consumer_group: "consumers".into(),
                    topic: TOPIC.into(),
                    queue_id,
                    commit_offset: QueueOffset(1_000),
                    broker_name: None,
                };
                let request = RemotingCommand::request(request_code::UPDATE_CONSUMER_OFFSET, &header);
                ask_master(&admin, "broker-a", request).await;
            }
            let inbox = Inbox::default();
            let consumer = consumer(&config, "consumers", &inbox).start().await.expect("started");
            sleep_ms(10_000).await;
            for number in 0..20 {
                producer.send(message(number)).await.expect("sent");
            }
            until("all have arrived", || inbox.len() >= 20).await;
            sleep_ms(20_000).await;
            assert_eq!(inbox.sorted(), bodies(20));
            let queue = MessageQueue::new(TOPIC, "broker-a", 0);
            let committed = admin.consumer_offset("consumers", &queue).await.expect("asked");
            assert_eq!(committed, Some(admin.max_offset(&queue).await.expect("asked")));
            consumer.shutdown().await;
        })
    });
}

#[test]
fn an_operator_looks_into_a_consumer_and_moves_it_back() {
    run(1, |config| {
        Box::pin(async move {
            let admin = create_topic(&config, 1).await;
            let producer = producer(&config).await;
            let inbox = Inbox::default();
            let consumer = consumer(&config, "consumers", &inbox).start().await.expect("started");
            for number in 0..10 {
                producer.send(message(number)).await.expect("sent");
            }
            until("all have arrived", || inbox.len() >= 10).await;

            let header = GetConsumerRunningInfoRequestHeader {
                consumer_group: "consumers".into(),
                client_id: consumer.client_id().into(),
                jstack_enable: false,
            };
            let request = RemotingCommand::request(request_code::GET_CONSUMER_RUNNING_INFO, &header);
            let response = ask_master(&admin, "broker-a", request).await;
            assert_eq!(response.code, response_code::SUCCESS, "{:?}", response.remark);
            let info = ConsumerRunningInfo::decode(&response.body).expect("running info");
            let queue = MessageQueue::new(TOPIC, "broker-a", 0);
            assert_eq!(info.mq_table[&queue].commit_offset, QueueOffset(5));

            consumer.suspend();
            let header = ResetOffsetRequestHeader {
                topic: TOPIC.into(),
                group: "consumers".into(),
                timestamp: 0,
                is_force: true,
                ..ResetOffsetRequestHeader::default()
            };
            let request = RemotingCommand::request(request_code::INVOKE_BROKER_TO_RESET_OFFSET, &header);
            let response = ask_master(&admin, "broker-a", request).await;
            assert_eq!(response.code, response_code::SUCCESS, "{:?}", response.remark);
            sleep_ms(30_000).await;
            assert_eq!(inbox.len(), 10, "a suspended consumer pulls nothing");
            consumer.resume();
            until("all have arrived again", || inbox.len() >= 20).await;
            sleep_ms(20_000).await;
            assert_eq!(inbox.len(), 20);
            consumer.shutdown().await;
        })
    });
}
