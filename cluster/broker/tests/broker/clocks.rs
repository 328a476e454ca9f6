//! Delays while the wall clock of the broker's machine is wrong, through raw remoting requests to a broker in the simulation.

use std::time::Duration;

use crate::support::{Stage, play};
use protocol::header::ConsumerSendMsgBackRequestHeader;
use protocol::{request_code, response_code as code};
use sim::time::{Instant, sleep};
use sim::world::{ClockStrobe, Crash, HostId, World};

const DAY_MS: i64 = 86_400_000;

/// What happens to a clock before a message is sent, and while it waits.
type Trouble = (&'static str, fn(&World, HostId), fn(&World, HostId));

fn set(world: &World, host: HostId, step_ms: i64) {
    world.step_clock(host, step_ms);
}

fn freeze(world: &World, host: HostId) {
    assert!(world.freeze_clock(host), "it runs");
}

fn thaw(world: &World, host: HostId) {
    assert!(world.thaw_clock(host), "it is frozen");
}

const TROUBLES: [Trouble; 11] = [
    ("nothing", |_, _| {}, |_, _| {}),
    ("set back by 2 s", |world, host| set(world, host, -2_000), |_, _| {}),
    ("set back by a day", |world, host| set(world, host, -DAY_MS), |_, _| {}),
    ("ahead by a day", |world, host| set(world, host, DAY_MS), |_, _| {}),
    ("ahead by a day, and back", |world, host| set(world, host, DAY_MS), |world, host| set(world, host, -DAY_MS)),
    ("behind by a day, and right", |world, host| set(world, host, -DAY_MS), |world, host| set(world, host, DAY_MS)),
    ("ahead while it waits", |_, _| {}, |world, host| set(world, host, DAY_MS)),
    ("set back while it waits", |_, _| {}, |world, host| set(world, host, -3_600_000)),
    ("frozen", freeze, |_, _| {}),
    ("frozen, and thawed", freeze, thaw),
    (
        "strobed",
        |world, host| world.strobe_clock(host, ClockStrobe { step_ms: 3_600_000, period_ns: 7_000_000 }),
        |_, _| {},
    ),
];

/// Sends with a delay of 5 s in the midst of a trouble; how long the message takes, if the broker is restarted meanwhile or not.
async fn time_of_5_s(stage: &Stage, trouble: &Trouble, restart: Option<Option<Crash>>) -> Duration {
    let (_, before, meanwhile) = *trouble;
    stage.send_ok("TopicB", 0, "before", "").await;
    stage.world(before).await;
    // Timestamps may stand still from here on.
    stage.send_ok("TopicB", 0, "after", "").await;
    sleep(Duration::from_millis(300)).await;
    let began = Instant::now();
    stage.send_ok("TopicA", 0, "late", "DELAY\u{1}2").await;
    stage.world(meanwhile).await;
    stage.send_ok("TopicB", 0, "meanwhile", "").await;
    match restart {
        None => {}
        Some(None) => stage.restart().await,
        Some(Some(crash)) => {
            stage.crash(crash).await;
            stage.boot().await;
        }
    }
    let pulled = stage.pull_tags("cg", "TopicA", 0, "*", 15_000).await;
    let took = began.elapsed();
    assert_eq!(pulled.bodies(), ["late"]);
    took
}

#[test]
fn a_delay_is_kept_whatever_the_wall_clock_does() {
    for (seed, trouble) in (0..).zip(TROUBLES) {
        play(
            seed,
            |_| {},
            move |stage| async move {
                let took = time_of_5_s(&stage, &trouble, None).await;
                assert!((5_000..5_200).contains(&took.as_millis()), "{}: {took:?}", trouble.0);
            },
        );
    }
}

#[test]
fn a_delay_is_kept_over_a_restart_whatever_the_wall_clock_does() {
    for (seed, trouble) in (0..).zip(TROUBLES) {
        for restart in [None, Some(Crash::Process)] {
            play(
                seed,
                |_| {},
                move |stage| async move {
                    let took = time_of_5_s(&stage, &trouble, Some(restart)).await;
                    assert!((5_000..5_400).contains(&took.as_millis()), "{}, {restart:?}: {took:?}", trouble.0);
                },
            );
        }
    }
}

#[test]
fn over_a_boot_of_the_machine_a_delay_begins_anew_at_worst() {
    for (seed, trouble) in (0..).zip(TROUBLES) {
        play(
            seed,
            |config| config.store.flush_disk_type = store::FlushDiskType::SyncFlush,
            move |stage| async move {
                let took = time_of_5_s(&stage, &trouble, Some(Some(Crash::Power))).await;
                // Where only the wall clock knows how long the machine was down, a wrong one is believed.
                let is_told_wrong =
                    ["ahead while", "and right", "thawed", "strobed"].iter().any(|wrong| trouble.0.contains(wrong));
                let least_ms = if is_told_wrong { 0 } else { 5_000 };
                assert!((least_ms..7_000).contains(&took.as_millis()), "{}: {took:?}", trouble.0);
            },
        );
    }
}

#[test]
fn a_suspended_machine_has_let_the_time_pass() {
    play(
        3,
        |_| {},
        |stage| async move {
            stage.send_ok("TopicA", 0, "late", "DELAY\u{1}5").await;
            sleep(Duration::from_secs(5)).await;
            stage.world(|world, host| assert!(world.suspend(host))).await;
            sleep(Duration::from_secs(50)).await;
            stage.world(|world, host| assert!(world.wake(host))).await;
            let began = Instant::now();
            let pulled = stage.pull_tags("cg", "TopicA", 0, "*", 15_000).await;
            assert_eq!(pulled.bodies(), ["late"]);
            // The minute is over 5 s after it wakes, and it looks at least every 10 s.
            assert!((4_000..11_000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
        },
    );
}

#[test]
fn a_message_that_nobody_can_consume_does_not_race_through_its_retries() {
    for step_ms in [DAY_MS, -DAY_MS] {
        play(
            4,
            |_| {},
            move |stage| async move {
                stage.send_ok("TopicA", 0, "poison", "").await;
                stage.world(move |world, host| set(world, host, step_ms)).await;
                stage.send_ok("TopicB", 0, "x", "").await;
                stage.world(move |world, host| set(world, host, -step_ms)).await;
                let mut offset = stage.pull("cg", "TopicA", 0).await.messages[0].commit_log_offset;
                for (retry, delay_ms) in [10_000, 30_000, 60_000, 120_000].into_iter().enumerate() {
                    let back = ConsumerSendMsgBackRequestHeader { offset, group: "cg".into(), ..Default::default() };
                    let began = Instant::now();
                    let sent = stage.ask(request_code::CONSUMER_SEND_MSG_BACK, &back).await;
                    assert_eq!(sent.code, code::SUCCESS);
                    let message = loop {
                        let pulled = stage.pull_tags("cg", "%RETRY%cg", retry as i64, "*", 15_000).await;
                        if let Some(message) = pulled.messages.into_iter().next() {
                            break message;
                        }
                    };
                    assert!((delay_ms..delay_ms + 200).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
                    offset = message.commit_log_offset;
                }
            },
        );
    }
}
