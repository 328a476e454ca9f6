//! What a healthy cluster does for its clients.

use crate::support::{
    Inbox, QUEUES, TOPIC, bodies, consumer, create_topic, message, producer, queues_of, run, sleep_ms, until,
};
use client::{
    ClientConfig, ClientError, ClientFactory, ConsumeFromWhere, ConsumeStatus, Message, MessageModel, MessageQueue,
    Outcome, Producer, PullConsumer, PullStatus, PushConfig, PushConsumer, QueueOffset, SendStatus, ServiceState,
};

/// A broadcasting consumer of everything, with a name of its own.
async fn broadcaster(config: &ClientConfig, name: &str, inbox: &Inbox) -> PushConsumer {
    let config = ClientConfig { instance_name: name.into(), store_root: "/data/offsets".into(), ..config.clone() };
    let push = PushConfig {
        message_model: MessageModel::Broadcasting,
        consume_from_where: ConsumeFromWhere::FirstOffset,
        ..PushConfig::default()
    };
    consumer(&config, "consumers", inbox).config(push).start().await.expect("started")
}

#[test]
fn every_way_of_sending_arrives_once() {
    run(2, |config| {
        Box::pin(async move {
            let admin = create_topic(&config, 2).await;
            let producer = producer(&config).await;
            let inbox = Inbox::default();
            let consumer = consumer(&config, "consumers", &inbox).start().await.expect("started");
            // Round-robin over the four queues.
            for number in 0..8 {
                let sent = producer.send(message(number)).await.expect("sent");
                assert_eq!(sent.send_status, SendStatus::SendOk);
                assert_eq!(sent.queue_offset, QueueOffset(number as i64 / 4));
                let viewed = admin.view_message(&sent.offset_msg_id).await.expect("viewed");
                assert_eq!((viewed.msg_id, viewed.queue_offset), (sent.msg_id, sent.queue_offset));
            }
            let queue = MessageQueue::new(TOPIC, "broker-b", 1);
            let sent = producer.send_to_queue(message(8), &queue).await.expect("sent");
            assert_eq!(sent.message_queue, queue);
            let last = |queues: &[MessageQueue], _: &Message| queues.last().cloned();
            let sent = producer.send_with_selector(message(9), last).await.expect("sent");
            assert_eq!(sent.message_queue, queue);
            let none = producer.send_with_selector(message(9), |_, _| None).await;
            assert!(matches!(none, Err(ClientError::NoQueue { .. })), "{none:?}");
            producer.send_oneway(message(10)).await.expect("handed over");
            let (a, b) = (producer.send_async(message(11)), producer.send_async(message(12)));
            a.await.expect("sent");
            b.await.expect("sent");
            let sent = producer.send_batch((13..20).map(message).collect()).await.expect("sent");
            assert_eq!(sent.msg_id.split(',').count(), 7);
            assert_eq!(sent.offset_msg_id.split(',').count(), 7);
            let big = Message::new(TOPIC, vec![b'x'; 100_000]);
            producer.send(big).await.expect("sent");
            until("all have arrived", || inbox.len() >= 21).await;
            sleep_ms(30_000).await;
            let mut expected = bodies(20);
            expected.push("x".repeat(100_000));
            assert_eq!(inbox.sorted(), expected);
            consumer.shutdown().await;
            producer.shutdown().await;
        })
    });
}

#[test]
fn bad_messages_are_refused_and_the_life_cycle_is_kept() {
    run(1, |config| {
        Box::pin(async move {
            let _admin = create_topic(&config, 1).await;
            let factory = ClientFactory::new();
            let named = ClientConfig { instance_name: "shared".into(), ..config.clone() };
            let build = || Producer::builder("producers").client_config(named.clone()).client_factory(&factory);
            let producer = build().build().expect("built");
            assert_eq!(producer.state(), ServiceState::CreateJust);
            let early = producer.send(message(0)).await.expect_err("not started");
            assert!(matches!(early, ClientError::NotRunning { state: ServiceState::CreateJust, .. }));
            producer.start().await.expect("started");
            assert!(matches!(producer.start().await, Err(ClientError::NotRunning { .. })));
            let twice = build().build().expect("built");
            assert_eq!(twice.client_id(), producer.client_id());
            assert!(matches!(twice.start().await, Err(ClientError::GroupExists { .. })));
            assert_eq!(twice.state(), ServiceState::StartFailed);
            // Another group of the same instance.
            let inbox = Inbox::default();
            let listener = consumer(&named, "consumers", &inbox).client_factory(&factory);
            let listener = listener.start().await.expect("started");
            assert_eq!(listener.client_id(), producer.client_id());

            for bad in [Message::new(TOPIC, ""), Message::new("no good", "x"), Message::new("SCHEDULE_TOPIC_XXXX", "x")]
            {
                let refused = producer.send(bad).await.expect_err("refused");
                assert_eq!(refused.outcome(), Outcome::Fail, "{refused}");
            }
            let too_large = producer.send(Message::new(TOPIC, vec![0; 4 * 1024 * 1024 + 1])).await;
            assert!(matches!(too_large, Err(ClientError::Message { .. })));
            // A topic that does not exist is created by sending to it.
            let sent = producer.send(Message::new("TopicNew", "x")).await.expect("sent");
            assert_eq!(sent.queue_offset, QueueOffset(0));

            producer.shutdown().await;
            let late = producer.send(message(0)).await.expect_err("shut down");
            assert!(matches!(late, ClientError::NotRunning { state: ServiceState::ShutdownAlready, .. }));
            // The consumer still has the instance.
            let again = build().start().await.expect("started");
            assert_eq!(again.client_id(), listener.client_id());
            again.send(message(1)).await.expect("sent");
            until("it arrives", || inbox.len() == 1).await;
            listener.shutdown().await;
            again.shutdown().await;
        })
    });
}

#[test]
fn tags_are_filtered_exactly() {
    run(1, |config| {
        Box::pin(async move {
            let _admin = create_topic(&config, 1).await;
            let producer = producer(&config).await;
            let inbox = Inbox::default();
            let noted = inbox.clone();
            let consumer = PushConsumer::builder("consumers")
                .client_config(config.clone())
                // "Aa" and "BB" have the same hash, by which the broker filters.
                .subscribe(TOPIC, "Aa || other")
                .listener(move |messages| {
                    noted.push(messages[0].tags().unwrap_or("none"));
                    std::future::ready(ConsumeStatus::ConsumeSuccess)
                })
                .start()
                .await
                .expect("started");
            sleep_ms(1_000).await;
            for tag in ["Aa", "BB", "other", "tagX"] {
                producer.send(message(0).with_tags(tag).expect("a tag")).await.expect("sent");
            }
            producer.send(message(0)).await.expect("sent");
            sleep_ms(20_000).await;
            assert_eq!(inbox.sorted(), ["Aa", "other"]);
            let bad = consumer.subscribe(TOPIC, " || ").await;
            assert!(matches!(bad, Err(ClientError::Subscription { .. })));
            consumer.shutdown().await;
        })
    });
}

#[test]
fn members_share_queues_and_hand_them_over_without_repeating() {
    run(2, |config| {
        Box::pin(async move {
            let admin = create_topic(&config, 2).await;
            let producer = producer(&config).await;
            let inbox = Inbox::default();
            let one = consumer(&config, "consumers", &inbox).start().await.expect("started");
            until("one has all", || queues_of(&one).len() == 4).await;
            let two = consumer(&config, "consumers", &inbox).start().await.expect("started");
            until("they share", || queues_of(&one).len() == 2 && queues_of(&two).len() == 2).await;
            let mut all = [queues_of(&one), queues_of(&two)].concat();
            all.sort();
            all.dedup();
            assert_eq!(all.len(), 2 * QUEUES as usize);
            for number in 0..20 {
                producer.send(message(number)).await.expect("sent");
            }
            until("all have arrived", || inbox.len() >= 20).await;
            two.shutdown().await;
            // The broker told the one that is left.
            sleep_ms(2_000).await;
            assert_eq!(queues_of(&one).len(), 4);
            one.shutdown().await;
            for number in 20..40 {
                producer.send(message(number)).await.expect("sent");
            }
            let three = consumer(&config, "consumers", &inbox).start().await.expect("started");
            until("all have arrived", || inbox.len() >= 40).await;
            sleep_ms(20_000).await;
            assert_eq!(inbox.sorted(), bodies(40), "each arrived exactly once");
            for queue in all {
                let committed = admin.consumer_offset("consumers", &queue).await.expect("asked");
                assert_eq!(committed, Some(admin.max_offset(&queue).await.expect("asked")), "{queue}");
            }
            three.shutdown().await;
        })
    });
}

#[test]
fn what_fails_comes_back_later() {
    run(1, |config| {
        Box::pin(async move {
            let _admin = create_topic(&config, 1).await;
            let producer = producer(&config).await;
            let inbox = Inbox::default();
            let noted = inbox.clone();
            let consumer = PushConsumer::builder("consumers")
                .client_config(config.clone())
                .subscribe(TOPIC, "*")
                .listener(move |messages| {
                    let message = &messages[0];
                    noted.push(format!("{} {} {}", message.topic, message.msg_id, message.reconsume_times));
                    std::future::ready(match message.reconsume_times {
                        0 => ConsumeStatus::ReconsumeLater,
                        _ => ConsumeStatus::ConsumeSuccess,
                    })
                })
                .start()
                .await
                .expect("started");
            sleep_ms(1_000).await;
            let sent = producer.send(message(0)).await.expect("sent");
            until("it comes again", || inbox.len() >= 2).await;
            sleep_ms(60_000).await;
            let expected = [0, 1].map(|times| format!("{TOPIC} {} {times}", sent.msg_id));
            assert_eq!(inbox.sorted(), expected);
            consumer.shutdown().await;
        })
    });
}

#[test]
fn broadcasting_reaches_every_member_and_keeps_offsets_in_a_file() {
    run(1, |config| {
        Box::pin(async move {
            let _admin = create_topic(&config, 1).await;
            let producer = producer(&config).await;
            let (inbox, other) = (Inbox::default(), Inbox::default());
            let (one, two) = (broadcaster(&config, "one", &inbox).await, broadcaster(&config, "two", &other).await);
            for number in 0..10 {
                producer.send(message(number)).await.expect("sent");
            }
            until("both have all", || inbox.len() >= 10 && other.len() >= 10).await;
            one.shutdown().await;
            for number in 10..15 {
                producer.send(message(number)).await.expect("sent");
            }
            let one = broadcaster(&config, "one", &inbox).await;
            until("it goes on where it was", || inbox.len() >= 15).await;
            sleep_ms(20_000).await;
            assert_eq!(inbox.sorted(), bodies(15));
            assert_eq!(other.sorted(), bodies(15));
            one.shutdown().await;
            two.shutdown().await;
        })
    });
}

#[test]
fn pulling_by_hand() {
    run(1, |config| {
        Box::pin(async move {
            let _admin = create_topic(&config, 1).await;
            let producer = producer(&config).await;
            let consumer =
                PullConsumer::builder("pullers").client_config(config.clone()).start().await.expect("started");
            let queues = consumer.fetch_subscribe_message_queues(TOPIC).await.expect("fetched");
            assert_eq!(queues.len(), 2);
            let queue = &queues[1];
            for number in 0..5 {
                let tag = if number % 2 == 0 { "even" } else { "odd" };
                let message = message(number).with_tags(tag).expect("a tag");
                producer.send_to_queue(message, queue).await.expect("sent");
            }
            sleep_ms(100).await;
            // A broker lets a new group begin where it has been told that the queue goes.
            assert_eq!(consumer.max_offset(queue).await.expect("asked"), QueueOffset(5));
            let pulled = consumer.pull(queue, "*", QueueOffset(1), 2).await.expect("pulled");
            assert_eq!((pulled.pull_status, pulled.next_begin_offset), (PullStatus::Found, QueueOffset(3)));
            assert_eq!(pulled.msg_found_list.len(), 2);
            let pulled = consumer.pull(queue, "odd", QueueOffset(0), 32).await.expect("pulled");
            assert_eq!((pulled.msg_found_list.len(), pulled.next_begin_offset), (2, QueueOffset(5)));
            let pulled = consumer.pull(queue, "*", QueueOffset(5), 32).await.expect("pulled");
            assert_eq!(pulled.pull_status, PullStatus::NoNewMsg);
            let pulled = consumer.pull(queue, "*", QueueOffset(99), 32).await.expect("pulled");
            assert_eq!(pulled.pull_status, PullStatus::OffsetIllegal);
            assert!(pulled.next_begin_offset <= QueueOffset(5));
            let waiting = consumer.pull_block_if_not_found(queue, "*", QueueOffset(5), 32);
            let later = async {
                sleep_ms(3_000).await;
                producer.send_to_queue(message(5), queue).await.expect("sent");
            };
            let (pulled, ()) = tokio::join!(waiting, later);
            assert_eq!(pulled.expect("pulled").msg_found_list[0].body, "5");
            assert_eq!(consumer.min_offset(queue).await.expect("asked"), QueueOffset(0));
            assert_eq!(consumer.max_offset(queue).await.expect("asked"), QueueOffset(6));
            let now_ms = sim::time::wall_clock_ms();
            assert_eq!(consumer.search_offset(queue, now_ms - 1_000).await.expect("asked"), QueueOffset(5));
            assert_eq!(consumer.search_offset(queue, 0).await.expect("asked"), QueueOffset(0));
            consumer.update_consume_offset(queue, QueueOffset(4)).expect("running");
            assert_eq!(consumer.fetch_consume_offset(queue, false).await.expect("asked"), Some(QueueOffset(4)));
            sleep_ms(6_000).await;
            assert_eq!(consumer.fetch_consume_offset(queue, true).await.expect("asked"), Some(QueueOffset(4)));
            consumer.shutdown().await;
        })
    });
}
