//! Topics, groups and the progress of delayed delivery: copied to slaves, and had back from them.
use protocol::body::{JsonBody, SubscriptionGroupConfig, TopicConfigSerializeWrapper};
use protocol::header::{CreateTopicRequestHeader, DeleteTopicRequestHeader};
use protocol::{request_code, response_code as code};
use sim::world::Crash;

use super::TOPIC;
use super::cluster::{Cluster, MASTER, SLAVE, play, until};

fn new_topic(name: &str) -> CreateTopicRequestHeader {
    CreateTopicRequestHeader {
        topic: name.into(),
        default_topic: "TBW102".into(),
        read_queue_nums: 2,
        write_queue_nums: 2,
        perm: 6,
        topic_filter_type: "SINGLE_TAG".into(),
        ..Default::default()
    }
}

async fn has_topic(cluster: &Cluster, host: &str, name: &str) -> bool {
    let response = cluster.at(host).ask(request_code::GET_ALL_TOPIC_CONFIG, &()).await;
    TopicConfigSerializeWrapper::decode(&response.body).unwrap().topic_config_table.contains_key(name)
}

#[test]
fn topics_and_groups_are_copied_and_only_the_master_changes_them() {
    play(
        1,
        1,
        |_, _| {},
        |cluster| async move {
            cluster.in_sync(1).await;
            let (master, slave) = (cluster.at(MASTER), cluster.at(SLAVE));
            assert_eq!(master.ask(request_code::UPDATE_AND_CREATE_TOPIC, &new_topic(TOPIC)).await.code, code::SUCCESS);
            let group = SubscriptionGroupConfig { retry_max_times: 3, ..SubscriptionGroupConfig::new("cg") };
            let code_200 = request_code::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP;
            assert_eq!(master.ask_with(code_200, &(), group.encode()).await.code, code::SUCCESS);
            until!("copied", has_topic(&cluster, SLAVE, TOPIC).await);
            let refused = slave.ask(request_code::UPDATE_AND_CREATE_TOPIC, &new_topic("Other")).await;
            assert_eq!(refused.code, code::SYSTEM_ERROR);
            assert!(refused.remark.unwrap().contains("slave"));
            assert_eq!(slave.ask_with(code_200, &(), group.encode()).await.code, code::SYSTEM_ERROR);
            master.send_ok(TOPIC, 0, "old", "").await;
            cluster.holds(SLAVE, TOPIC, &["old"]).await;
            let delete = DeleteTopicRequestHeader { topic: TOPIC.into() };
            assert_eq!(master.ask(request_code::DELETE_TOPIC_IN_BROKER, &delete).await.code, code::SUCCESS);
            until!("gone", !has_topic(&cluster, SLAVE, TOPIC).await);
            // The topic begins anew, on both.
            assert_eq!(master.send_ok(TOPIC, 0, "new", "").await, 0);
            until!("copied", has_topic(&cluster, SLAVE, TOPIC).await);
            cluster.holds(SLAVE, TOPIC, &["new"]).await;
            // They are durable on the slave.
            cluster.crash(SLAVE, Crash::Power).await;
            cluster.boot(SLAVE).await;
            cluster.answers(SLAVE).await;
            assert!(has_topic(&cluster, SLAVE, TOPIC).await);
        },
    );
}

#[test]
fn a_master_with_an_empty_disk_has_everything_back_before_it_serves() {
    play(
        2,
        1,
        |_, _| {},
        |cluster| async move {
            cluster.in_sync(1).await;
            let (master, slave) = (cluster.at(MASTER), cluster.at(SLAVE));
            assert_eq!(master.ask(request_code::UPDATE_AND_CREATE_TOPIC, &new_topic(TOPIC)).await.code, code::SUCCESS);
            for number in 0..4 {
                master.send_ok(TOPIC, 0, &format!("m{number}"), "").await;
            }
            master.send_ok(TOPIC, 0, "late", "DELAY\u{1}1").await;
            cluster.holds(SLAVE, TOPIC, &["m0", "m1", "m2", "m3", "late"]).await;
            master.pull("cg", TOPIC, 0).await;
            assert_eq!(master.commit("cg", TOPIC, 3).await, code::SUCCESS);
            until!("copied", slave.committed("cg", TOPIC).await == Some(3));
            until!("delivery known to the slave", {
                cluster.runtime_info(SLAVE).await.contains_key("scheduleMessageOffset_1")
            });
            cluster.crash(MASTER, Crash::Disk).await;
            cluster.boot(MASTER).await;
            cluster.in_sync(1).await;
            cluster.holds(MASTER, TOPIC, &["m0", "m1", "m2", "m3", "late"]).await;
            assert!(has_topic(&cluster, MASTER, TOPIC).await);
            assert_eq!(master.committed("cg", TOPIC).await, Some(3));
            assert_eq!(master.send_ok(TOPIC, 0, "next", "").await, 5, "nothing was delivered twice");
            cluster.holds(SLAVE, TOPIC, &["m0", "m1", "m2", "m3", "late", "next"]).await;
        },
    );
}
