//! What does not go together is refused in words, and does no harm.
use std::time::Duration;

use broker::Role;
use protocol::BrokerId;
use protocol::response_code as code;
use sim::time::sleep;

use crate::TOPIC;
use crate::cluster::{MASTER, SLAVE, play, until};

#[test]
fn a_second_broker_of_the_same_name_and_id_does_not_start() {
    play(
        1,
        1,
        |name, config| {
            // Both would be the master.
            if name == SLAVE {
                config.ha.role = Role::AsyncMaster;
                config.broker_id = BrokerId::MASTER;
            } else {
                config.ha.role = Role::AsyncMaster;
            }
        },
        |cluster| async move {
            // They started at the same moment: now one of them is there, and the other comes.
            sleep(Duration::from_secs(1)).await;
            cluster.stop(SLAVE).await;
            cluster.stop(MASTER).await;
            cluster.boot(MASTER).await;
            until!("up", cluster.try_send(MASTER, TOPIC, "m").await == Some(code::SUCCESS));
            cluster.boot(SLAVE).await;
            until!("refused", {
                cluster.end_of(SLAVE).is_some_and(|end| end.contains("there is a broker broker-a with brokerId 0"))
            });
            assert!(cluster.end_of(SLAVE).unwrap().contains(&cluster.addr(MASTER)));
            cluster.holds(MASTER, TOPIC, &["m"]).await;
        },
    );
}

#[test]
fn settings_that_do_not_go_together_stop_the_start() {
    play(
        2,
        1,
        |name, config| {
            if name == SLAVE {
                config.broker_id = BrokerId::MASTER;
            }
        },
        |cluster| async move {
            until!("refused", cluster.end_of(SLAVE).is_some());
            assert!(cluster.end_of(SLAVE).unwrap().contains("brokerId"));
        },
    );
}
