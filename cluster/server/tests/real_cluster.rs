//! Clusters of real processes on loopback: what `kill -9` of a master or of a slave costs (nothing that was acknowledged),
//! and what is refused. The configurations are those of `deploy/conf`.
//!
//! Each test waits for what must become true, never for a time. `cargo test --release --features real -p server`.
#![cfg(feature = "real")]

mod support;

use std::io::Write;

use support::eventually;
use support::load::{Reader, Senders};
use support::machines::Machines;

const TOPIC: &str = "TopicTest";
const SENDERS: usize = 8;
/// Enough for several files of the log.
const MANY: usize = 5_000;
const SOME: usize = 300;

/// One test at a time: each of them is up to six servers.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads can be had");
    runtime.block_on(async {
        let _turn = TURN.lock().await;
        test.await;
    });
}

/// Two name servers, two masters, two slaves: a master dies during sends, and comes back.
async fn a_master_dies(mode: &str) {
    let mut machines = Machines::start(2).await;
    machines.start_pair(mode, "broker-a").await;
    machines.start_pair(mode, "broker-b").await;
    machines.create_topic(TOPIC, 2).await;
    let mut senders = Senders::start(&machines, TOPIC, SENDERS).await;
    senders.wait_for("broker-a", MANY).await;

    machines.broker_mut("broker-a").server.kill();
    senders.wait_for("broker-b", SOME).await;
    senders.stop().await;
    let before = senders.all_ok();
    if mode == "2m-2s-sync" {
        // Its master is dead: what the consumer gets of broker-a comes from the slave.
        let reader = Reader::start(&machines, "while-it-is-dead", TOPIC).await;
        reader.wait_for(&before).await;
        reader.stop().await;
    }

    machines.broker_mut("broker-a").server.start().await;
    machines.wait_for_slave("broker-a").await;
    senders.resume(SENDERS);
    senders.wait_for("broker-a", SOME).await;
    senders.stop().await;
    for master in ["broker-a", "broker-b"] {
        machines.check_equal(master).await;
    }
    let reader = Reader::start(&machines, "when-it-is-back", TOPIC).await;
    reader.wait_for(&senders.all_ok()).await;
    reader.stop().await;
}

/// A slave dies during sends, and comes back: it catches up, and the master had not to wait for it.
async fn a_slave_dies(mode: &str) {
    let mut machines = Machines::start(1).await;
    machines.start_pair(mode, "broker-a").await;
    machines.create_topic(TOPIC, 1).await;
    let mut senders = Senders::start(&machines, TOPIC, SENDERS).await;
    senders.wait_for("broker-a", MANY).await;

    machines.broker_mut("broker-a-s").server.kill();
    let end = machines.log_end("broker-a").await.expect("the master is there");
    eventually("the master takes messages without its slave", async || {
        machines.log_end("broker-a").await.is_some_and(|now| now > end + (1 << 20))
    })
    .await;
    if mode == "2m-2s-sync" {
        assert!(senders.other("SlaveNotAvailable") > 0, "a SYNC_MASTER says that no slave has the message");
    }

    machines.broker_mut("broker-a-s").server.start().await;
    senders.wait_for("broker-a", SOME).await;
    machines.wait_for_slave("broker-a").await;
    senders.wait_for("broker-a", SOME).await;
    senders.stop().await;
    machines.check_equal("broker-a").await;

    // And all of it can be read from the slave.
    machines.broker_mut("broker-a").server.kill();
    let reader = Reader::start(&machines, "from-the-slave", TOPIC).await;
    reader.wait_for(&senders.all_ok()).await;
    reader.stop().await;
}

#[test]
fn a_master_of_2m_2s_sync_is_killed_and_comes_back() {
    run(a_master_dies("2m-2s-sync"));
}

#[test]
fn a_master_of_2m_2s_async_is_killed_and_comes_back() {
    run(a_master_dies("2m-2s-async"));
}

#[test]
fn a_slave_of_2m_2s_sync_is_killed_and_catches_up() {
    run(a_slave_dies("2m-2s-sync"));
}

#[test]
fn a_slave_of_2m_2s_async_is_killed_and_catches_up() {
    run(a_slave_dies("2m-2s-async"));
}

#[test]
fn servers_stop_in_good_order_and_nothing_is_lost() {
    run(async {
        let mut machines = Machines::start(1).await;
        machines.start_pair("2m-2s-async", "broker-a").await;
        machines.create_topic(TOPIC, 1).await;
        let mut senders = Senders::start(&machines, TOPIC, SENDERS).await;
        senders.wait_for("broker-a", SOME).await;
        machines.broker_mut("broker-a").server.stop().await;
        senders.stop().await;
        // A master that is asked to stop gives its slave the rest first: even asynchronous replication loses nothing.
        let reader = Reader::start(&machines, "from-the-slave", TOPIC).await;
        reader.wait_for(&senders.all_ok()).await;
        reader.stop().await;
        machines.broker_mut("broker-a-s").server.stop().await;
    });
}

#[test]
fn a_rolling_restart_fails_no_send_and_loses_nothing() {
    run(async {
        let mut machines = Machines::start(2).await;
        machines.start_pair("2m-2s-sync", "broker-a").await;
        machines.start_pair("2m-2s-sync", "broker-b").await;
        machines.create_topic(TOPIC, 2).await;
        let mut senders = Senders::start(&machines, TOPIC, SENDERS).await;
        // Slaves first, as one does.
        for (name, pair) in
            [("broker-a-s", "broker-a"), ("broker-a", "broker-a"), ("broker-b-s", "broker-b"), ("broker-b", "broker-b")]
        {
            senders.wait_for("broker-a", SOME).await;
            senders.wait_for("broker-b", SOME).await;
            machines.broker_mut(name).server.stop().await;
            machines.broker_mut(name).server.start().await;
            machines.wait_for_slave(pair).await;
        }
        senders.wait_for("broker-a", SOME).await;
        senders.wait_for("broker-b", SOME).await;
        senders.stop().await;
        assert_eq!(senders.other("error"), 0, "a send that meets a broker on its way out is made again elsewhere");
        machines.check_equal("broker-a").await;
        machines.check_equal("broker-b").await;
        let reader = Reader::start(&machines, "afterwards", TOPIC).await;
        reader.wait_for(&senders.all_ok()).await;
        reader.stop().await;
    });
}

#[test]
fn what_cannot_be_served_is_refused_in_words() {
    run(async {
        let mut machines = Machines::start(1).await;
        machines.add("broker-a", "broker.conf", &[]).server.start().await;
        let (port, ha_port) = (machines.broker("broker-a").port, machines.broker("broker-a").port + 1);
        let store = machines.broker("broker-a").store.display().to_string();
        let (port, ha_port) = (port.to_string(), ha_port.to_string());
        let foreign = machines.broker("broker-a").store.with_extension("foreign");
        let photo = foreign.join("commitlog/holiday.jpg");
        support::write_file(&photo, "!");
        let foreign = foreign.display().to_string();
        /// Settings, and what the refusal says.
        type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);
        let cases: [Case<'_>; 9] = [
            (&[("storePathRootDir", &store)], &[&store, "locked by another process", "storePathRootDir"]),
            (&[("listenPort", &port)], &[&port, "cannot listen on", "listenPort"]),
            (&[("haListenPort", &ha_port)], &[&ha_port, "cannot listen for slaves", "haListenPort"]),
            (&[("storePathRootDir", "/proc/none/store")], &["/proc/none/store", "cannot create the directory"]),
            (&[("storePathRootDir", &foreign)], &["holiday.jpg", "does not belong to a store"]),
            (
                &[("storePathCommitLog", "/data/log")],
                &[".properties:", "storePathCommitLog", "commitlog in storePathRootDir"],
            ),
            (&[("aclEnable", "true")], &[".properties:", "aclEnable = true", "does not ask who sends"]),
            (&[("brokerRole", "EMPEROR")], &[".properties:", "EMPEROR", "SYNC_MASTER"]),
            (
                &[("fileReserverdTime", "4"), ("inSyncReplicas", "0")],
                &["did you mean fileReservedTime?", "inSyncReplicas = 0"],
            ),
        ];
        for (number, (settings, words)) in cases.into_iter().enumerate() {
            let (name, alias) = (format!("case-{number}"), [("brokerName", "broker-x")]);
            let settings = [&alias[..], settings].concat();
            let output = machines.add(&name, "broker.conf", &settings).server.refuses().await;
            for wanted in words {
                assert!(output.contains(wanted), "{settings:?}: it does not say {wanted}:\n{output}");
            }
            assert!(!output.contains("panicked"), "{output}");
        }
    });
}

#[test]
fn a_second_broker_of_the_same_name_and_id_does_not_start() {
    run(async {
        let mut machines = Machines::start(1).await;
        machines.start_pair("2m-2s-sync", "broker-a").await;
        for (twin, file) in [("twin-master", "broker-a"), ("twin-slave", "broker-a-s")] {
            let original = machines.broker(file).addr();
            let file = format!("2m-2s-sync/{file}.properties");
            let output = machines.add(twin, &file, &[]).server.refuses().await;
            for wanted in ["broker-a", &original, "brokerId", "stop that one"] {
                assert!(output.contains(wanted), "it does not say {wanted}:\n{output}");
            }
        }
        machines.wait_for_slave("broker-a").await;
    });
}

#[test]
fn a_slave_that_points_at_itself_does_not_start() {
    run(async {
        let mut machines = Machines::start(1).await;
        let port = support::machines::free_port();
        let (ha, address) = (port.to_string(), format!("127.0.0.1:{port}"));
        let own = [("haListenPort", ha.as_str()), ("haMasterAddress", address.as_str())];
        let output = machines.add("narcissus", "2m-2s-sync/broker-a-s.properties", &own).server.refuses().await;
        for wanted in ["narcissus.properties:", "haMasterAddress", &address, "master's"] {
            assert!(output.contains(wanted), "it does not say {wanted}:\n{output}");
        }
    });
}

#[test]
fn nonsense_on_the_ha_port_is_logged_and_does_no_harm() {
    run(async {
        let mut machines = Machines::start(1).await;
        machines.start_pair("2m-2s-sync", "broker-a").await;
        machines.create_topic(TOPIC, 1).await;
        let mut senders = Senders::start(&machines, TOPIC, SENDERS).await;
        senders.wait_for("broker-a", SOME).await;
        let nonsense: [&[u8]; 4] = [
            b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n",
            &[0xFF; 64],
            &i64::MAX.to_be_bytes(),
            &[0x80, 0, 0, 0, 0, 0, 0, 1],
        ];
        for bytes in nonsense {
            #[allow(clippy::disallowed_types, reason = "a peer that is no broker")]
            let mut peer = std::net::TcpStream::connect(machines.broker("broker-a").ha_addr()).expect("it listens");
            peer.write_all(bytes).expect("it reads");
            let from = peer.local_addr().expect("it is connected").to_string();
            eventually(&format!("the master says that {from} sends nonsense"), async || {
                let output = machines.broker("broker-a").server.output();
                output.lines().any(|line| line.contains(" WARN ") && line.contains(&from))
            })
            .await;
        }
        senders.wait_for("broker-a", SOME).await;
        senders.stop().await;
        assert_eq!(senders.other("SlaveNotAvailable"), 0, "the slave was there all the time");
        machines.check_equal("broker-a").await;
    });
}
