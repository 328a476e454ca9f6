//! Delays where the master's clock was wrong and a slave has taken its place.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use broker::Role;
use protocol::BrokerId;
use sim::time::{Instant, sleep};
use sim::world::Crash;

use super::TOPIC;
use super::cluster::{MASTER, SLAVE, play, until};

#[test]
fn a_slave_that_has_become_master_keeps_the_delays_of_a_master_whose_clock_was_wrong() {
    const DAY_MS: i64 = 86_400_000;
    for (seed, step_ms) in (0..).zip([0, -2_000, -DAY_MS, DAY_MS]) {
        let promoted = Arc::new(AtomicBool::new(false));
        let is_promoted = Arc::clone(&promoted);
        play(
            seed,
            1,
            move |name, config| {
                if name == SLAVE && is_promoted.load(Ordering::Relaxed) {
                    (config.broker_id, config.ha.role) = (BrokerId::MASTER, Role::AsyncMaster);
                }
            },
            move |cluster| {
                let promoted = Arc::clone(&promoted);
                async move {
                    cluster.in_sync(1).await;
                    // Longer than what had to wait for a slave may take.
                    sleep(Duration::from_secs(6)).await;
                    cluster.at(MASTER).send_ok(TOPIC, 0, "before", "").await;
                    cluster.order(move |world, hosts| world.step_clock(hosts[MASTER], step_ms)).await;
                    cluster.at(MASTER).send_ok(TOPIC, 0, "after", "").await;
                    sleep(Duration::from_secs(1)).await;
                    let began = Instant::now();
                    cluster.at(MASTER).send_ok(TOPIC, 0, "late", "DELAY\u{1}4").await;
                    cluster.crash(MASTER, Crash::Power).await;
                    cluster.stop(SLAVE).await;
                    promoted.store(true, Ordering::Relaxed);
                    cluster.boot(SLAVE).await;
                    until!("delivered", {
                        let messages = cluster.messages(SLAVE, TOPIC).await.unwrap_or_default();
                        messages.last().is_some_and(|last| last == "late")
                    });
                    let took = began.elapsed();
                    assert!((30_000..31_000).contains(&took.as_millis()), "{step_ms}: {took:?}");
                }
            },
        );
    }
}
