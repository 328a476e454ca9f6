//! Operators' mistakes: who has a name, an id or a disk that is another's is refused in words that say what is known, what is
//! missing and what to do; and nothing that was acknowledged is lost by it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker::{BrokerConfig, Role};
use protocol::{BrokerId, request_code, response_code as code};
use sim::time::sleep;
use sim::world::Crash;

use super::TOPIC;
use super::cluster::{Cluster, MASTER, SLAVE, SLAVE_2, play, until};

type Setting = fn(&mut BrokerConfig);

/// What is changed in the configuration of a host, from its next start on.
#[derive(Clone, Default)]
struct Settings(Arc<Mutex<BTreeMap<&'static str, Setting>>>);

impl Settings {
    fn set(&self, host: &'static str, change: Setting) {
        self.0.lock().unwrap().insert(host, change);
    }

    fn apply(&self, host: &str, config: &mut BrokerConfig) {
        if let Some(change) = self.0.lock().unwrap().get(host) {
            change(config);
        }
    }
}

/// Runs a script with an ASYNC_MASTER, if `role` says so, and so many slaves.
fn play_with<Fut>(
    seed: u64,
    slaves: usize,
    role: Role,
    settings: Settings,
    script: impl Fn(Cluster, Settings) -> Fut + Send + Sync + 'static,
) where
    Fut: Future<Output = ()> + Send + 'static,
{
    let at_boot = settings.clone();
    let change = move |host: &str, config: &mut BrokerConfig| {
        if host == MASTER {
            config.ha.role = role;
        }
        at_boot.apply(host, config);
    };
    play(seed, slaves, change, move |cluster| script(cluster, settings.clone()));
}

fn async_master(config: &mut BrokerConfig) {
    (config.broker_id, config.ha.role) = (BrokerId::MASTER, Role::AsyncMaster);
}

async fn send(cluster: &Cluster, host: &str, bodies: &[&str]) {
    for body in bodies {
        cluster.at(host).send_ok(TOPIC, 0, body, "").await;
    }
}

async fn refusal(cluster: &Cluster, host: &'static str) -> String {
    let mut why: Option<String>;
    until!(format!("{host} is refused"), {
        why = cluster.find_group(host).await.and_then(|view| view.refused);
        why.is_some()
    });
    why.unwrap()
}

#[test]
fn a_second_slave_with_the_id_of_a_connected_one_is_refused() {
    let settings = Settings::default();
    // It does not hear from name servers that its id is taken.
    settings.set(SLAVE_2, |config| {
        config.broker_id = BrokerId(1);
        config.ha_master_address = Some("master:10912".to_owned());
    });
    play_with(50, 2, Role::SyncMaster, settings, |cluster, _| async move {
        cluster.crash(SLAVE_2, Crash::Process).await;
        cluster.in_sync(1).await;
        send(&cluster, MASTER, &["m0"]).await;
        cluster.partition(SLAVE_2, "ns", true).await;
        cluster.boot(SLAVE_2).await;
        let why = refusal(&cluster, SLAVE_2).await;
        for words in ["brokerId 1 is already connected from", &cluster.addr(SLAVE), "its own brokerId"] {
            assert!(why.contains(words), "{why}");
        }
        cluster.partition(SLAVE_2, "ns", false).await;
        sleep(Duration::from_secs(40)).await;
        send(&cluster, MASTER, &["m1"]).await;
        cluster.holds(SLAVE, TOPIC, &["m0", "m1"]).await;
        let view = cluster.group(MASTER).await;
        let member = &view.membership.members[0];
        assert_eq!((member.broker_id, &member.addr), (BrokerId(1), &cluster.addr(SLAVE)), "{view:?}");
    });
}

#[test]
fn the_disks_of_two_slaves_that_were_exchanged_are_refused_until_they_are_put_back() {
    play_with(51, 2, Role::SyncMaster, Settings::default(), |cluster, _| async move {
        cluster.in_sync(2).await;
        send(&cluster, MASTER, &["m0"]).await;
        cluster.holds(SLAVE_2, TOPIC, &["m0"]).await;
        for host in [SLAVE, SLAVE_2] {
            cluster.crash(host, Crash::Power).await;
        }
        cluster.swap_disks(SLAVE, SLAVE_2).await;
        for host in [SLAVE, SLAVE_2] {
            cluster.boot(host).await;
        }
        let why = refusal(&cluster, SLAVE_2).await;
        let command = format!("mqadmin removeReplica -b {} -i 2", cluster.addr(MASTER));
        for words in ["broker 2 at", "has the store that was broker 1's", &command] {
            assert!(why.contains(words), "{why}");
        }
        assert!(refusal(&cluster, SLAVE).await.contains("broker 2's"));
        // Clients do not find them meanwhile.
        until!("unregistered", cluster.registered().await == [0]);
        sleep(Duration::from_secs(60)).await;
        assert_eq!(cluster.registered().await, [0]);
        for host in [SLAVE, SLAVE_2] {
            cluster.stop(host).await;
        }
        for host in [SLAVE, SLAVE_2] {
            cluster.crash(host, Crash::Power).await;
        }
        cluster.swap_disks(SLAVE, SLAVE_2).await;
        for host in [SLAVE, SLAVE_2] {
            cluster.boot(host).await;
        }
        cluster.in_sync(2).await;
        until!("registered", cluster.registered().await == [0, 1, 2]);
        send(&cluster, MASTER, &["m1"]).await;
        for host in [SLAVE, SLAVE_2] {
            cluster.holds(host, TOPIC, &["m0", "m1"]).await;
        }
    });
}

/// It finds its master at another address, too, although it does not register.
#[test]
fn a_refused_slave_is_registered_again_when_another_master_takes_it() {
    let settings = Settings::default();
    // The third machine is to stand in for the master's.
    settings.set(SLAVE_2, |config| config.broker_name = "elsewhere".to_owned());
    play_with(62, 2, Role::AsyncMaster, settings, |cluster, settings| async move {
        cluster.in_sync(1).await;
        send(&cluster, MASTER, &["m0", "m1"]).await;
        cluster.holds(SLAVE, TOPIC, &["m0", "m1"]).await;
        cluster.crash(SLAVE_2, Crash::Disk).await;
        cluster.crash(SLAVE, Crash::Process).await;
        cluster.crash(MASTER, Crash::Power).await;
        // An empty machine begins in the master's place, and an operator gives up what the slave has.
        cluster.swap_disks(MASTER, SLAVE_2).await;
        cluster.boot(MASTER).await;
        until!("waits", cluster.find_group(MASTER).await.is_some_and(|view| view.waits_for.is_some()));
        cluster.ask(MASTER, protocol::request_code::BEGIN_HISTORY, &[("acceptLoss", "true")]).await;
        until!("leads", cluster.try_send(MASTER, TOPIC, "other").await == Some(code::SUCCESS));
        cluster.boot(SLAVE).await;
        refusal(&cluster, SLAVE).await;
        until!("unregistered", cluster.registered().await == [0]);
        // The right disk is found, and put into another machine.
        cluster.crash(MASTER, Crash::Power).await;
        settings.set(SLAVE_2, async_master);
        cluster.boot(SLAVE_2).await;
        until!("taken", cluster.find_group(SLAVE_2).await.is_some_and(|view| view.leads && view.slaves.len() == 1));
        until!("registered", cluster.registered().await == [0, 1]);
        cluster.holds(SLAVE, TOPIC, &["m0", "m1"]).await;
    });
}

#[test]
fn of_two_masters_of_one_name_that_start_at_one_moment_one_takes_messages() {
    for seed in 52..56 {
        let settings = Settings::default();
        settings.set(SLAVE, async_master);
        play_with(seed, 1, Role::AsyncMaster, settings, |cluster, _| async move {
            let (mut first, mut second) = (0, 0);
            until!("one takes messages and the other has ended", {
                first += u32::from(cluster.try_send(MASTER, TOPIC, "m").await == Some(code::SUCCESS));
                second += u32::from(cluster.try_send(SLAVE, TOPIC, "m").await == Some(code::SUCCESS));
                [MASTER, SLAVE].iter().any(|host| cluster.end_of(host).is_some()) && first + second > 0
            });
            assert!(first == 0 || second == 0, "both have taken messages: {first} and {second}");
            let (loser, winner) = if first == 0 { (MASTER, SLAVE) } else { (SLAVE, MASTER) };
            let end = cluster.end_of(loser).expect("it has ended");
            let addr = cluster.addr(winner);
            assert!(end.contains("with brokerId 0") && end.contains(&addr), "{end}");
        });
    }
}

/// The old master comes back where it hears nobody, begins, and hears then that another one leads.
#[test]
fn a_master_that_another_one_has_gone_past_takes_no_more_messages() {
    for seed in 56..62 {
        play_with(seed, 1, Role::AsyncMaster, Settings::default(), |cluster, settings| async move {
            cluster.in_sync(1).await;
            send(&cluster, MASTER, &["m0"]).await;
            cluster.holds(SLAVE, TOPIC, &["m0"]).await;
            cluster.crash(MASTER, Crash::Process).await;
            cluster.stop(SLAVE).await;
            settings.set(SLAVE, async_master);
            cluster.boot(SLAVE).await;
            until!("promoted", cluster.try_send(SLAVE, TOPIC, "m1").await == Some(code::SUCCESS));
            for host in [SLAVE, "ns"] {
                cluster.partition(MASTER, host, true).await;
            }
            cluster.boot(MASTER).await;
            until!("the old master leads", cluster.try_send(MASTER, TOPIC, "stray").await == Some(code::SUCCESS));
            for host in [SLAVE, "ns"] {
                cluster.partition(MASTER, host, false).await;
            }
            let mut seen;
            until!(format!("the old master has ended, but {seen:?}"), {
                seen = cluster.find_group(MASTER).await;
                cluster.end_of(MASTER).is_some()
            });
            let end = cluster.end_of(MASTER).unwrap_or_default();
            for words in ["to form the replica group anew", "with brokerId 0", &cluster.addr(SLAVE)] {
                assert!(end.contains(words), "{end}");
            }
            send(&cluster, SLAVE, &["m2"]).await;
            cluster.holds(SLAVE, TOPIC, &["m0", "m1", "m2"]).await;
            // Demoted it is refused, for it has led as well: the stray message stays where it is.
            settings.set(MASTER, |config| (config.broker_id, config.ha.role) = (BrokerId(1), Role::Slave));
            cluster.boot(MASTER).await;
            let why = refusal(&cluster, MASTER).await;
            assert!(why.contains("another master") && why.contains("mqadmin republish"), "{why}");
        });
    }
}

/// Name servers have forgotten that there was a later master, and the older one does not hear who has followed it.
#[test]
fn a_slave_that_has_followed_a_later_master_is_not_cut_by_an_older_one() {
    play_with(57, 2, Role::AsyncMaster, Settings::default(), |cluster, settings| async move {
        cluster.in_sync(2).await;
        send(&cluster, MASTER, &["m0"]).await;
        cluster.holds(SLAVE_2, TOPIC, &["m0"]).await;
        cluster.crash(MASTER, Crash::Process).await;
        cluster.stop(SLAVE).await;
        settings.set(SLAVE, async_master);
        cluster.boot(SLAVE).await;
        until!("promoted", cluster.try_send(SLAVE, TOPIC, "m1").await == Some(code::SUCCESS));
        cluster.holds(SLAVE_2, TOPIC, &["m0", "m1"]).await;
        cluster.crash(SLAVE, Crash::Disk).await;
        cluster.crash("ns", Crash::Disk).await;
        cluster.partition(MASTER, SLAVE_2, true).await;
        cluster.boot("ns").await;
        cluster.boot(MASTER).await;
        until!("the old master leads", cluster.try_send(MASTER, TOPIC, "other").await == Some(code::SUCCESS));
        cluster.partition(MASTER, SLAVE_2, false).await;
        let why = refusal(&cluster, SLAVE_2).await;
        for words in ["another master of this group", "generation 2", "Only the slave has", "mqadmin republish"] {
            assert!(why.contains(words), "{why}");
        }
        // Its store is whole: as the master it has everything.
        cluster.stop(SLAVE_2).await;
        cluster.stop(MASTER).await;
        settings.set(SLAVE_2, async_master);
        cluster.boot(SLAVE_2).await;
        cluster.answers(SLAVE_2).await;
        cluster.holds(SLAVE_2, TOPIC, &["m0", "m1"]).await;
    });
}

#[test]
fn a_group_keeps_its_identity_when_the_master_and_the_name_servers_have_lost_everything() {
    for role in [Role::SyncMaster, Role::AsyncMaster] {
        play_with(58, 1, role, Settings::default(), |cluster, _| async move {
            cluster.in_sync(1).await;
            send(&cluster, MASTER, &["m0"]).await;
            cluster.holds(SLAVE, TOPIC, &["m0"]).await;
            let group = cluster.group(SLAVE).await.membership.group;
            cluster.crash("ns", Crash::Disk).await;
            cluster.crash(MASTER, Crash::Disk).await;
            cluster.boot("ns").await;
            // The slave tells the new name server of itself.
            sleep(Duration::from_secs(10)).await;
            cluster.boot(MASTER).await;
            cluster.in_sync(1).await;
            send(&cluster, MASTER, &["m1"]).await;
            cluster.holds(SLAVE, TOPIC, &["m0", "m1"]).await;
            assert!(group.is_some());
            assert_eq!(cluster.group(MASTER).await.membership.group, group);
        });
    }
}

/// Slaves copy the tables of a master that leads. One that waits for what it has lost has fewer topics: a slave that copied those
/// would drop the rest, and their queues.
#[test]
fn a_master_that_waits_gives_nobody_its_tables() {
    play_with(61, 1, Role::SyncMaster, Settings::default(), |cluster, _| async move {
        cluster.in_sync(1).await;
        send(&cluster, MASTER, &["m0"]).await;
        let tables = [
            request_code::GET_ALL_TOPIC_CONFIG,
            request_code::GET_ALL_SUBSCRIPTIONGROUP_CONFIG,
            request_code::GET_ALL_CONSUMER_OFFSET,
            request_code::GET_ALL_DELAY_OFFSET,
        ];
        cluster.stop(SLAVE).await;
        cluster.crash(MASTER, Crash::Disk).await;
        cluster.boot(MASTER).await;
        cluster.answers(MASTER).await;
        for table in tables {
            let answer = cluster.ask(MASTER, table, &[]).await;
            assert_eq!(answer.code, code::SERVICE_NOT_AVAILABLE, "{table}: {answer:?}");
        }
        cluster.boot(SLAVE).await;
        cluster.in_sync(1).await;
        for table in tables {
            assert_eq!(cluster.ask(MASTER, table, &[]).await.code, code::SUCCESS, "{table}");
        }
        cluster.holds(SLAVE, TOPIC, &["m0"]).await;
    });
}

#[test]
fn a_slaves_disk_in_the_masters_machine_and_the_masters_in_the_slaves_lose_nothing() {
    for role in [Role::SyncMaster, Role::AsyncMaster] {
        play_with(59, 1, role, Settings::default(), move |cluster, _| async move {
            cluster.in_sync(1).await;
            send(&cluster, MASTER, &["m0"]).await;
            cluster.holds(SLAVE, TOPIC, &["m0"]).await;
            cluster.crash(SLAVE, Crash::Os).await;
            until!("noticed", cluster.group(MASTER).await.slaves.is_empty());
            cluster.try_send(MASTER, TOPIC, "m1").await;
            for host in [MASTER, SLAVE] {
                cluster.stop(host).await;
                cluster.crash(host, Crash::Power).await;
            }
            cluster.swap_disks(MASTER, SLAVE).await;
            for host in [SLAVE, MASTER] {
                cluster.boot(host).await;
            }
            cluster.in_sync(1).await;
            send(&cluster, MASTER, &["m2"]).await;
            for host in [MASTER, SLAVE] {
                // Of a SYNC_MASTER the second one was not acknowledged: no slave had it.
                let all: &[&str] = if role == Role::SyncMaster { &["m0", "m2"] } else { &["m0", "m1", "m2"] };
                cluster.holds(host, TOPIC, all).await;
            }
        });
    }
}

/// The master's own disk is gone, and its machine is given the slave's: that is a promotion, with an empty slave beside it.
#[test]
fn a_slaves_disk_in_the_masters_machine_alone_waits_or_has_everything() {
    for role in [Role::SyncMaster, Role::AsyncMaster] {
        play_with(60, 1, role, Settings::default(), |cluster, _| async move {
            cluster.in_sync(1).await;
            send(&cluster, MASTER, &["m0"]).await;
            cluster.holds(SLAVE, TOPIC, &["m0"]).await;
            cluster.crash(MASTER, Crash::Disk).await;
            cluster.stop(SLAVE).await;
            cluster.crash(SLAVE, Crash::Power).await;
            cluster.swap_disks(MASTER, SLAVE).await;
            for host in [MASTER, SLAVE] {
                cluster.boot(host).await;
            }
            sleep(Duration::from_secs(30)).await;
            let view = cluster.group(MASTER).await;
            if !view.leads {
                let why = view.waits_for.unwrap_or_default();
                assert!(why.contains("the last master") && why.contains("beginHistory"), "{why}");
                cluster.ask(MASTER, protocol::request_code::BEGIN_HISTORY, &[("acceptLoss", "true")]).await;
            }
            cluster.in_sync(1).await;
            send(&cluster, MASTER, &["m1"]).await;
            for host in [MASTER, SLAVE] {
                cluster.holds(host, TOPIC, &["m0", "m1"]).await;
            }
        });
    }
}

#[test]
fn the_store_of_another_group_of_the_same_name_is_refused() {
    let settings = Settings::default();
    // A cluster of its own, with the same names, that knows no name server.
    settings.set(SLAVE_2, |config| {
        async_master(config);
        config.namesrv_addr.clear();
    });
    play_with(61, 2, Role::SyncMaster, settings, |cluster, settings| async move {
        cluster.in_sync(1).await;
        send(&cluster, MASTER, &["m0"]).await;
        send(&cluster, SLAVE_2, &["theirs"]).await;
        cluster.stop(SLAVE_2).await;
        settings.set(SLAVE_2, |_| {});
        cluster.boot(SLAVE_2).await;
        let why = refusal(&cluster, SLAVE_2).await;
        assert!(why.contains("is of replica group") && why.contains("the disk of another group"), "{why}");
        // A master that has lost its disk does not take it for its own, either.
        cluster.stop(SLAVE).await;
        cluster.crash(MASTER, Crash::Disk).await;
        cluster.boot(MASTER).await;
        sleep(Duration::from_secs(20)).await;
        let why = cluster.group(MASTER).await.waits_for.unwrap_or_default();
        assert!(why.contains("broker 1 at"), "{why}");
        cluster.boot(SLAVE).await;
        cluster.in_sync(1).await;
        cluster.holds(MASTER, TOPIC, &["m0"]).await;
        assert!(refusal(&cluster, SLAVE_2).await.contains("the disk of another group"));
    });
}
