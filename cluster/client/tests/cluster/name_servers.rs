//! Name servers that know different things: one that was restarted empty, one that does not hear of a broker.

use std::time::Duration;

use client::{ClientConfig, Message};
use sim::world::Crash;

use crate::support::{Inbox, bodies, consumer, create_topic, message, producer, run_with, sleep_ms, until};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_name_server_that_has_forgotten_everything_makes_no_client_fail() {
    run_with(
        1,
        2,
        |config| {
            Box::pin(async move {
                let _admin = create_topic(&config, 2).await;
                let inbox = Inbox::default();
                let consumer = consumer(&config, "consumers", &inbox).start().await.expect("started");
                let running = producer(&config).await;
                // The brokers registered some 20 s ago, and one name server has just been restarted.
                sleep_ms(25_000).await;
                for number in 0..8 {
                    running.send(message(number)).await.expect("the known route is kept");
                    // Each chooses a name server for itself.
                    let fresh = producer(&ClientConfig { instance_name: number.to_string(), ..config.clone() }).await;
                    fresh.send(message(8 + number)).await.expect("the other name server knows");
                    fresh.shutdown().await;
                }
                until("all have arrived", || inbox.len() >= 16).await;
                assert_eq!(inbox.sorted(), bodies(16));
                consumer.shutdown().await;
            })
        },
        |stand| async move {
            stand.world.sleep(20 * SECOND).await;
            stand.world.crash(stand.name_servers[0], Crash::Process);
            stand.world.sleep(SECOND).await;
            stand.world.boot(stand.name_servers[0]);
        },
    );
}

#[test]
fn clients_that_see_different_routes_lose_nothing() {
    run_with(
        2,
        2,
        |config| {
            Box::pin(async move {
                let _admin = create_topic(&config, 2).await;
                let inbox = Inbox::default();
                // One keeps to each of the name servers.
                let of = |name_server: &str| ClientConfig::new([name_server]);
                let one = consumer(&of("ns-1:9876"), "consumers", &inbox).start().await.expect("started");
                let two = consumer(&of("ns-2:9876"), "consumers", &inbox).start().await.expect("started");
                let (left, right) = (producer(&of("ns-1:9876")).await, producer(&of("ns-2:9876")).await);
                for number in 0..300 {
                    let producer = if number % 2 == 0 { &left } else { &right };
                    producer.send(message(number)).await.expect("sent");
                    sleep_ms(1_000).await;
                }
                until("all have arrived", || {
                    let got = inbox.sorted();
                    bodies(300).iter().all(|body| got.binary_search(body).is_ok())
                })
                .await;
                one.shutdown().await;
                two.shutdown().await;
            })
        },
        |stand| async move {
            let (broker, name_server) = (stand.brokers[0], stand.name_servers[0]);
            stand.world.sleep(20 * SECOND).await;
            stand.world.cut(broker, name_server);
            stand.world.cut(name_server, broker);
            stand.world.sleep(200 * SECOND).await;
            stand.world.heal(broker, name_server);
            stand.world.heal(name_server, broker);
        },
    );
}

/// A topic that its first message makes is known to no name server: all of them are asked.
#[test]
fn a_name_server_that_hangs_does_not_hold_up_the_first_message_of_each_topic() {
    run_with(
        3,
        1,
        |config| {
            Box::pin(async move {
                let _admin = create_topic(&config, 1).await;
                let running = producer(&config).await;
                running.send(message(0)).await.expect("both name servers are there");
                sleep_ms(25_000).await;
                for number in 0..5 {
                    let asked_at = sim::time::Instant::now();
                    running.send(Message::new(format!("New{number}"), "x")).await.expect("one name server is there");
                    // Once it is found out, by the question for a route and by the broker.
                    let at_most_ms = if number == 0 { 3_000 } else { 300 };
                    assert!(asked_at.elapsed().as_millis() < at_most_ms, "{number}: {:?}", asked_at.elapsed());
                }
            })
        },
        |stand| async move {
            stand.world.sleep(20 * SECOND).await;
            assert!(stand.world.pause(stand.name_servers[0]));
        },
    );
}
