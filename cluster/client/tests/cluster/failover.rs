//! Reads from slaves: while the master is away, when it asks for it, and back again. Scripted pairs, so that every lag of a
//! slave can be had.

use std::time::Duration;

use client::{Admin, ClientConfig, ConsumeFromWhere, MessageQueue, PullConsumer, PullStatus, PushConfig, QueueOffset};
use protocol::BrokerId;
use sim::world::Crash;

use crate::fake::FakeBroker;
use crate::support::{
    Body, CLUSTER, Inbox, QUEUES, Stand, TOPIC, bodies, consumer, queues_of, run_fakes, sleep_ms, until,
};

const SECOND: Duration = Duration::from_secs(1);
const GROUP: &str = "consumers";

fn pair() -> (FakeBroker, FakeBroker) {
    (FakeBroker::new("broker-a", 0), FakeBroker::new("broker-a", 1))
}

/// Runs one consumer beside a pair until `fault` has ended.
fn run_consumer<H, Fut>(master: &FakeBroker, slave: &FakeBroker, from: ConsumeFromWhere, inbox: &Inbox, fault: H)
where
    H: FnOnce(Stand) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let (inbox, ended) = (inbox.clone(), Inbox::default());
    let end = ended.clone();
    run_fakes(
        &[master, slave],
        move |config| {
            Box::pin(async move {
                let push = PushConfig { consume_from_where: from, ..PushConfig::default() };
                let consumer = consumer(&config, GROUP, &inbox).config(push).start().await.expect("started");
                until("the test ends", || ended.len() > 0).await;
                consumer.shutdown().await;
            })
        },
        move |stand| async move {
            fault(stand).await;
            end.push("now");
        },
    );
}

/// The master goes; what both replicas have is consumed from the slave, and committed there; it comes back.
fn master_goes_and_comes_back(crash: Crash, moves_within: Duration) {
    let ((master, slave), inbox) = (pair(), Inbox::default());
    master.put(0..20);
    slave.put(0..20);
    let (m, s, got) = (master.clone(), slave.clone(), inbox.clone());
    run_consumer(&master, &slave, ConsumeFromWhere::FirstOffset, &inbox, move |stand| async move {
        stand.world.sleep(20 * SECOND).await;
        assert_eq!((got.len(), m.committed(GROUP), s.committed(GROUP)), (20, 20, 0));
        assert_eq!(s.script().pulls, 0, "the master is there");
        stand.world.crash(stand.brokers[0], crash);
        m.put(20..30);
        s.put(20..30);
        stand.world.sleep(moves_within).await;
        assert_eq!(got.len(), 30, "the slave has them");
        stand.world.sleep(10 * SECOND).await;
        assert_eq!((m.committed(GROUP), s.committed(GROUP)), (20, 30));
        stand.world.boot(stand.brokers[0]);
        m.put(30..40);
        stand.world.sleep(60 * SECOND).await;
        assert_eq!((got.len(), m.committed(GROUP), s.committed(GROUP)), (40, 40, 30));
        let pulls = s.script().pulls;
        stand.world.sleep(30 * SECOND).await;
        assert_eq!(s.script().pulls, pulls, "the master is asked again");
    });
    assert_eq!(inbox.sorted(), bodies(40), "each arrived exactly once");
}

#[test]
fn a_killed_master_is_replaced_by_its_slave_and_comes_back() {
    master_goes_and_comes_back(Crash::Process, 5 * SECOND);
}

#[test]
fn a_silent_master_is_replaced_long_before_the_name_servers_forget_it() {
    // A pull is held for up to 30 s before its silence is noticed, or a heartbeat notices it.
    master_goes_and_comes_back(Crash::Power, 45 * SECOND);
}

#[test]
fn a_suggested_slave_is_followed_and_left_again() {
    let ((master, slave), inbox) = (pair(), Inbox::default());
    master.script().suggests = 1;
    slave.script().suggests = 1;
    let (m, s) = (master.clone(), slave.clone());
    run_consumer(&master, &slave, ConsumeFromWhere::FirstOffset, &inbox, move |stand| async move {
        stand.world.sleep(20 * SECOND).await;
        assert_eq!(m.script().pulls, QUEUES as usize, "one pull of each queue brought the suggestion");
        m.put(0..10);
        s.put(0..10);
        stand.world.sleep(10 * SECOND).await;
        assert_eq!(m.committed(GROUP), 10, "offsets are the master's all the same");
        s.script().suggests = 0;
        stand.world.sleep(5 * SECOND).await;
        m.script().suggests = 0;
        stand.world.sleep(5 * SECOND).await;
        let (of_master, of_slave) = (m.script().pulls, s.script().pulls);
        stand.world.sleep(10 * SECOND).await;
        assert!(m.script().pulls > of_master);
        assert_eq!(s.script().pulls, of_slave);
    });
    assert_eq!(inbox.sorted(), bodies(10));
}

#[test]
fn a_slave_that_lags_moves_no_offset() {
    let ((master, slave), inbox) = (pair(), Inbox::default());
    master.put(0..20);
    slave.put(0..12);
    let (m, s, got) = (master.clone(), slave.clone(), inbox.clone());
    run_consumer(&master, &slave, ConsumeFromWhere::FirstOffset, &inbox, move |stand| async move {
        stand.world.sleep(20 * SECOND).await;
        stand.world.crash(stand.brokers[0], Crash::Process);
        stand.world.sleep(100 * SECOND).await;
        assert!(s.script().pulls > 0, "the slave is asked");
        assert_eq!((got.len(), s.committed(GROUP)), (20, 20), "what is consumed stays consumed");
        stand.world.boot(stand.brokers[0]);
        m.put(20..30);
        stand.world.sleep(60 * SECOND).await;
        assert_eq!(m.committed(GROUP), 30);
    });
    assert_eq!(inbox.sorted(), bodies(30), "each arrived exactly once");
}

#[test]
fn a_slave_that_has_not_heard_of_a_group_lets_nobody_begin_at_its_end() {
    let ((master, slave), inbox) = (pair(), Inbox::default());
    for queue in 0..QUEUES {
        master.script().offsets.insert((GROUP.into(), queue), 3);
    }
    master.put(0..10);
    slave.put(0..10);
    let (m, s, noted) = (master.clone(), slave.clone(), inbox.clone());
    let admin_and_consumer = move |config: ClientConfig| {
        Box::pin(async move {
            let (admin, inbox) = (Admin::start(config.clone()).expect("started"), noted);
            // Until the master is away; before it comes, there is no route.
            sleep_ms(8_000).await;
            while !admin.master_addrs(CLUSTER).await.is_ok_and(|masters| masters.is_empty()) {
                sleep_ms(500).await;
            }
            let push = PushConfig { consume_from_where: ConsumeFromWhere::LastOffset, ..PushConfig::default() };
            let consumer = consumer(&config, GROUP, &inbox).config(push).start().await.expect("started");
            sleep_ms(60_000).await;
            assert_eq!(queues_of(&consumer), [], "only the master knows where to begin");
            until("the master knows", || inbox.len() >= 4).await;
            consumer.shutdown().await;
        }) as Body
    };
    run_fakes(&[&master, &slave], admin_and_consumer, move |stand| async move {
        stand.world.sleep(10 * SECOND).await;
        stand.world.crash(stand.brokers[0], Crash::Process);
        stand.world.sleep(100 * SECOND).await;
        assert_eq!(s.committed(GROUP), 0);
        stand.world.boot(stand.brokers[0]);
        stand.world.sleep(60 * SECOND).await;
        assert_eq!(m.committed(GROUP), 10);
    });
    assert_eq!(inbox.sorted(), ["6", "7", "8", "9"]);
}

#[test]
fn replicas_are_read_one_by_one() {
    let (master, slave) = pair();
    master.put(0..10);
    slave.put(0..6);
    slave.script().offsets.insert((GROUP.into(), 0), 2);
    run_fakes(
        &[&master, &slave],
        |config| {
            Box::pin(async move {
                let admin = Admin::start(config.clone()).expect("started");
                let queue = MessageQueue::new(TOPIC, "broker-a", 0);
                let mut read = Vec::new();
                // Both have registered then.
                sleep_ms(10_000).await;
                for id in [0, 1] {
                    let addr = admin.broker_addr("broker-a", BrokerId(id)).await.expect("asked").expect("known");
                    let committed = admin.consumer_offset_at(&addr, GROUP, &queue).await.expect("asked");
                    assert_eq!(committed, (id == 1).then_some(QueueOffset(2)));
                    let mut next = admin.min_offset_at(&addr, &queue).await.expect("asked");
                    let end = admin.max_offset_at(&addr, &queue).await.expect("asked");
                    let mut of_replica = Vec::new();
                    while next < end {
                        let pulled = admin.pull_from(&addr, &queue, next, 32).await.expect("pulled");
                        assert_eq!(pulled.pull_status, PullStatus::Found);
                        let bodies = pulled.msg_found_list.iter().map(|message| message.body.clone());
                        of_replica.extend(bodies.map(|body| String::from_utf8_lossy(&body).into_owned()));
                        next = pulled.next_begin_offset;
                    }
                    read.push(of_replica.join(" "));
                }
                assert_eq!(read, ["0 2 4 6 8", "0 2 4"]);
                assert_eq!(admin.broker_addr("broker-a", BrokerId(2)).await.expect("asked"), None);
            })
        },
        |_| std::future::ready(()),
    );
}

#[test]
fn pulling_by_hand_goes_on_from_the_slave() {
    let (master, slave) = pair();
    master.put(0..4);
    slave.put(0..4);
    let m = master.clone();
    run_fakes(
        &[&master, &slave],
        |config| {
            Box::pin(async move {
                let consumer = PullConsumer::builder(GROUP).client_config(config).start().await.expect("started");
                let queue = MessageQueue::new(TOPIC, "broker-a", 1);
                // Both have registered then.
                sleep_ms(10_000).await;
                assert_eq!(consumer.fetch_subscribe_message_queues(TOPIC).await.expect("fetched").len(), 2);
                consumer.update_consume_offset(&queue, QueueOffset(2)).expect("running");
                consumer.persist_consume_offsets().await;
                sleep_ms(20_000).await;
                // The master has gone without a word. The first who asks it waits; the others need not.
                let _ = consumer.pull(&queue, "*", QueueOffset(0), 32).await;
                let pulled = consumer.pull(&queue, "*", QueueOffset(0), 32).await.expect("the slave is there");
                assert_eq!(pulled.msg_found_list.len(), 2);
                assert_eq!(consumer.max_offset(&queue).await.expect("asked"), QueueOffset(2));
                let stored = consumer.fetch_consume_offset(&queue, true).await.expect("asked");
                assert_eq!(stored, None, "nobody has told the slave");
                consumer.update_consume_offset(&queue, QueueOffset(1)).expect("running");
                assert_eq!(consumer.fetch_consume_offset(&queue, false).await.expect("asked"), Some(QueueOffset(1)));
                consumer.shutdown().await;
            })
        },
        |stand| async move {
            stand.world.sleep(15 * SECOND).await;
            assert_eq!(m.committed(GROUP), 2);
            stand.world.crash(stand.brokers[0], Crash::Power);
        },
    );
    assert_eq!(slave.committed(GROUP), 1, "the slave has been told at the end");
}
