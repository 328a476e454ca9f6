//! Topics, groups and offsets on disk: what was answered is there after a restart, whatever became of one of the files; and what
//! could not be written takes no message that would be lost with it.

use std::time::Duration;

use crate::support::{Stage, play};
use protocol::body::{JsonBody, SubscriptionGroupConfig, TopicConfigSerializeWrapper};
use protocol::header::{CreateTopicRequestHeader, DeleteTopicRequestHeader};
use protocol::{RemotingCommand, request_code, response_code as code};
use sim::disk;
use sim::time::sleep;
use sim::world::{Crash, DiskFaults};

const TOPICS: &str = "/store/config/topics.json";
const GROUPS: &str = "/store/config/subscriptionGroup.json";
const OFFSETS: &str = "/store/config/consumerOffset.json";

async fn create(stage: &Stage, topic: &str, queue_nums: i32, perm: i32) -> RemotingCommand {
    let header = CreateTopicRequestHeader {
        topic: topic.into(),
        default_topic: "TBW102".into(),
        read_queue_nums: queue_nums,
        write_queue_nums: queue_nums,
        perm,
        topic_filter_type: "SINGLE_TAG".into(),
        ..Default::default()
    };
    stage.ask(request_code::UPDATE_AND_CREATE_TOPIC, &header).await
}

async fn create_group(stage: &Stage, group: &SubscriptionGroupConfig) -> RemotingCommand {
    stage.ask_with(request_code::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, &(), group.encode()).await
}

async fn delete(stage: &Stage, topic: &str) {
    let header = DeleteTopicRequestHeader { topic: topic.into() };
    assert_eq!(stage.ask(request_code::DELETE_TOPIC_IN_BROKER, &header).await.code, code::SUCCESS);
}

/// The topics that the broker has.
async fn topics(stage: &Stage) -> TopicConfigSerializeWrapper {
    TopicConfigSerializeWrapper::decode(&stage.ask(request_code::GET_ALL_TOPIC_CONFIG, &()).await.body).unwrap()
}

async fn write(path: &str, bytes: Vec<u8>) {
    let mut options = disk::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).open(path).await.unwrap();
    file.write_all_at(&bytes, 0).await.unwrap();
    file.sync_all().await.unwrap();
}

/// Makes topics until no more can be written: what is reserved already takes some on a full drive, too.
async fn use_up(stage: &Stage) {
    for number in 0..100_000 {
        if create(stage, &format!("Filler{number}"), 1, 6).await.code != code::SUCCESS {
            return;
        }
    }
    panic!("a full drive takes any number of topics");
}

/// Turns a file into something else.
async fn damage(path: &str, how: impl FnOnce(String) -> String) {
    let text = String::from_utf8(disk::read(path).await.unwrap()).unwrap();
    write(path, how(text).into_bytes()).await;
}

#[test]
fn a_topic_that_cannot_be_written_takes_no_message_until_it_is() {
    for how in ["a full drive", "a failing drive"] {
        play(
            1,
            |_| {},
            move |stage| async move {
                stage.send_ok("Before", 0, "x", "").await;
                sleep(Duration::from_secs(5)).await;
                let break_it = move |world: &sim::world::World, host| match how {
                    "a full drive" => world.fill_disk(host, Some(0)),
                    _ => world.set_disk_faults(host, DiskFaults { sync_error: 1.0, ..DiskFaults::default() }),
                };
                stage.world(break_it).await;
                use_up(&stage).await;
                let made = create(&stage, "Made", 1, 6).await;
                assert_eq!(made.code, code::SYSTEM_ERROR);
                let remark = made.remark.unwrap_or_default();
                assert!(remark.contains("topics.json was not written") && remark.contains("tried again"), "{remark}");
                for topic in ["Made", "Automatic"] {
                    let sent = stage.send(topic, 0, "lost?", "").await;
                    assert_eq!(sent.code, code::SYSTEM_ERROR, "{topic}");
                    assert!(sent.remark.unwrap_or_default().contains("topics.json was not written"), "{topic}");
                }
                for number in 0.. {
                    let config = SubscriptionGroupConfig::new(format!("filler{number}"));
                    let answer = create_group(&stage, &config).await;
                    if answer.code != code::SUCCESS {
                        assert!(answer.remark.unwrap_or_default().contains("subscriptionGroup.json was not written"));
                        break;
                    }
                    assert!(number < 100_000 && how == "a full drive");
                }
                let group = SubscriptionGroupConfig { retry_max_times: 3, ..SubscriptionGroupConfig::new("group") };
                assert_ne!(create_group(&stage, &group).await.code, code::SUCCESS);
                stage
                    .world(|world, host| {
                        world.fill_disk(host, None);
                        world.clear_disk_faults(host);
                    })
                    .await;
                sleep(Duration::from_secs(3)).await;
                // Nothing more was asked: it was written by itself.
                stage.crash(Crash::Power).await;
                stage.boot().await;
                for topic in ["Made", "Automatic"] {
                    assert!(topics(&stage).await.topic_config_table.contains_key(topic), "{topic}");
                    stage.send_ok(topic, 0, "kept", "").await;
                    assert_eq!(stage.pull("cg", topic, 0).await.bodies(), ["kept"]);
                }
                let groups = stage.ask(request_code::GET_ALL_SUBSCRIPTIONGROUP_CONFIG, &()).await;
                assert!(String::from_utf8_lossy(&groups.body).contains("\"retryMaxTimes\":3"));
            },
        );
    }
}

#[test]
fn a_table_that_could_not_be_written_is_written_by_the_stop() {
    play(
        2,
        |_| {},
        |stage| async move {
            stage.send_ok("Before", 0, "x", "").await;
            stage.world(|world, host| world.fill_disk(host, Some(0))).await;
            use_up(&stage).await;
            assert_eq!(create(&stage, "Made", 1, 6).await.code, code::SYSTEM_ERROR);
            stage.heartbeat("c@1", "group", "Before", "*").await;
            stage.world(|world, host| world.fill_disk(host, None)).await;
            stage.restart().await;
            let topics = topics(&stage).await.topic_config_table;
            assert!(topics.contains_key("Made") && topics.contains_key("%RETRY%group"));
        },
    );
}

#[test]
fn what_was_answered_is_there_after_a_power_loss_at_once() {
    play(
        3,
        |_| {},
        |stage| async move {
            for number in 0..10 {
                let (topic, group) = (format!("Topic{number}"), format!("group{number}"));
                assert_eq!(create(&stage, &topic, 3, 4).await.code, code::SUCCESS);
                let config = SubscriptionGroupConfig { consume_enable: false, ..SubscriptionGroupConfig::new(&*group) };
                assert_eq!(create_group(&stage, &config).await.code, code::SUCCESS);
                if number > 0 {
                    delete(&stage, &format!("Topic{}", number - 1)).await;
                }
                sleep(Duration::from_millis(number * 300)).await;
                stage.crash(Crash::Power).await;
                stage.boot().await;
                let topics = topics(&stage).await.topic_config_table;
                let own: Vec<_> = topics.values().filter(|topic| topic.topic_name.starts_with("Topic")).collect();
                assert_eq!(own.len(), 1, "{own:?}");
                assert_eq!((own[0].topic_name.as_str(), own[0].read_queue_nums, own[0].perm), (&*topic, 3, 4));
                let groups = stage.ask(request_code::GET_ALL_SUBSCRIPTIONGROUP_CONFIG, &()).await;
                let text = String::from_utf8_lossy(&groups.body).into_owned();
                assert_eq!(text.matches("\"consumeEnable\":false").count() as u64, number + 1);
            }
        },
    );
}

/// What is done to topics.json, its backup and its journal while the broker is down, and whether the settings of a topic survive it.
#[test]
fn no_damage_to_the_tables_hides_what_was_acknowledged() {
    type Damage = fn() -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;
    let damages: [(&str, bool, Damage); 8] = [
        ("missing", true, || Box::pin(async { disk::remove_file(TOPICS).await.unwrap() })),
        ("empty", true, || Box::pin(write(TOPICS, Vec::new()))),
        ("cut off", true, || Box::pin(damage(TOPICS, |text| text[..text.len() / 2].to_owned()))),
        ("another name", true, || Box::pin(damage(TOPICS, |text| text.replace("\"Kept\"", "\"Kepu\"")))),
        ("without the topic", true, || {
            Box::pin(async {
                let mut table = TopicConfigSerializeWrapper::decode(&disk::read(TOPICS).await.unwrap()).unwrap();
                table.topic_config_table.remove("Kept");
                write(TOPICS, table.encode().to_vec()).await;
            })
        }),
        ("an older backup alone", false, || {
            Box::pin(async {
                disk::remove_file(TOPICS).await.unwrap();
                let older = br#"{"dataVersion":{"counter":1,"timestamp":1},"topicConfigTable":{}}"#;
                write(&format!("{TOPICS}.bak"), older.to_vec()).await;
            })
        }),
        ("an older store of another version", false, || {
            Box::pin(async {
                disk::remove_file(format!("{TOPICS}.journal")).await.unwrap();
                for path in [TOPICS.to_owned(), format!("{TOPICS}.bak")] {
                    write(&path, br#"{"topicConfigTable":{}}"#.to_vec()).await;
                }
            })
        }),
        ("no table at all", false, || {
            Box::pin(async {
                for suffix in ["", ".bak", ".journal"] {
                    disk::remove_file(format!("{TOPICS}{suffix}")).await.unwrap();
                }
            })
        }),
    ];
    for (what, is_exact, damage) in damages {
        play(
            4,
            |config| config.auto_create_topic_enable = false,
            move |stage| async move {
                assert_eq!(create(&stage, "Kept", 6, 6).await.code, code::SUCCESS);
                assert_eq!(create(&stage, "Deleted", 6, 6).await.code, code::SUCCESS);
                stage.send_ok("Kept", 2, "kept", "").await;
                stage.send_ok("Kept", 0, "kept", "").await;
                stage.send_ok("Deleted", 0, "gone", "").await;
                delete(&stage, "Deleted").await;
                stage.restart_after(damage()).await;
                let topics = topics(&stage).await.topic_config_table;
                let queue_nums = topics.get("Kept").map(|topic| topic.read_queue_nums);
                assert_eq!(queue_nums, Some(if is_exact { 6 } else { 3 }), "{what}");
                assert!(!topics.contains_key("Deleted"), "{what}: it was deleted on purpose");
                assert_eq!(stage.pull("cg", "Kept", 0).await.bodies(), ["kept"], "{what}");
                stage.send_ok("Kept", 1, "more", "").await;
                stage.restart().await;
                assert!(self::topics(&stage).await.topic_config_table.contains_key("Kept"), "{what}: it is kept now");
            },
        );
    }
}

#[test]
fn a_group_that_only_an_older_table_lacks_is_known_by_its_offsets() {
    play(
        5,
        |config| config.auto_create_subscription_group = false,
        |stage| async move {
            for group in ["kept", "blocked"] {
                let consume_enable = group == "kept";
                let config = SubscriptionGroupConfig { consume_enable, ..SubscriptionGroupConfig::new(group) };
                assert_eq!(create_group(&stage, &config).await.code, code::SUCCESS);
            }
            stage.send_ok("TopicA", 0, "one", "").await;
            assert_eq!(stage.pull("kept", "TopicA", 0).await.bodies(), ["one"]);
            assert_eq!(stage.commit("kept", "TopicA", 1).await, code::SUCCESS);
            // A damaged table costs nothing.
            stage.restart_after(write(GROUPS, b"{".to_vec())).await;
            let groups = stage.ask(request_code::GET_ALL_SUBSCRIPTIONGROUP_CONFIG, &()).await;
            assert!(String::from_utf8_lossy(&groups.body).contains("\"consumeEnable\":false"));
            // And an older one not the group that has committed something.
            let older = async {
                disk::remove_file(GROUPS).await.unwrap();
                write(&format!("{GROUPS}.bak"), b"{}".to_vec()).await;
            };
            stage.restart_after(older).await;
            assert_ne!(stage.pull("kept", "TopicA", 1).await.code, code::SUBSCRIPTION_GROUP_NOT_EXIST);
            assert_eq!(stage.committed("kept", "TopicA").await, Some(1));
        },
    );
}

#[test]
fn committed_offsets_survive_damage_to_their_file_after_a_stop() {
    play(
        6,
        |_| {},
        |stage| async move {
            for number in 1..=3 {
                stage.send_ok("TopicA", 0, "x", "").await;
                stage.pull("cg", "TopicA", number - 1).await;
                assert_eq!(stage.commit("cg", "TopicA", number).await, code::SUCCESS);
                sleep(Duration::from_secs(6)).await;
            }
            stage.restart_after(write(OFFSETS, b"{\"offsetTable\":{".to_vec())).await;
            assert_eq!(stage.committed("cg", "TopicA").await, Some(3));
        },
    );
}

/// A store whose table grows goes back to a broker that knows nothing of the journal.
#[test]
fn after_a_stop_the_file_alone_says_everything() {
    play(
        7,
        |_| {},
        |stage| async move {
            for number in 0..30 {
                assert_eq!(create(&stage, &format!("Topic{number}"), 1, 6).await.code, code::SUCCESS);
            }
            let check = async {
                let table = TopicConfigSerializeWrapper::decode(&disk::read(TOPICS).await.unwrap()).unwrap();
                assert!((0..30).all(|number| table.topic_config_table.contains_key(&format!("Topic{number}"))));
                let journal = String::from_utf8(disk::read(format!("{TOPICS}.journal")).await.unwrap()).unwrap();
                assert_eq!(journal.lines().count(), 1, "{journal}");
            };
            stage.restart_after(check).await;
            // And soon after the last change also without a stop.
            assert_eq!(create(&stage, "Later", 1, 6).await.code, code::SUCCESS);
            sleep(Duration::from_secs(3)).await;
            let files = stage.world(|world, host| world.disk_files(host)).await;
            let text = files.into_iter().find(|(path, _)| path == TOPICS).map(|(_, bytes)| bytes).unwrap();
            assert!(String::from_utf8_lossy(&text).contains("Later"));
        },
    );
}
