//! A master that has lost the end of its log, with and without a slave that still has it.

use std::{sync::Arc, time::Duration};

use ha::{MasterService, Role};
use sim::world::Crash;
use store::{OpenOptions, PutMessageStatus};

use crate::stage::{
    HA_PORT, Node, Setup, assert_same_log, log_of, on_nodes, open, put, put_ok, recover, serve, start_master,
    start_slave, until, until_equal,
};

/// A store whose log is flushed when it is told to, and not before.
fn unflushed(setup: &mut Setup) {
    setup.store.flush_interval_commit_log_ms = 3_600_000;
}

async fn flush(node: &Node, store: &Arc<store::MessageStore>) {
    let store = Arc::clone(store);
    node.run(move || async move { store.flush().await.expect("the drive works") }).await;
}

#[test]
fn a_master_takes_back_what_it_has_lost() {
    on_nodes(31, 2, |nodes| async move {
        let [a, b] = &nodes[..] else { unreachable!() };
        let (mut of_master, of_slave) = (Setup::new(a, Role::SyncMaster, 0), Setup::new(b, Role::Slave, 1));
        unflushed(&mut of_master);
        let master = serve(a, &of_master).await;
        let slave = start_slave(b, &of_slave, a).await;
        until(a, "it is in sync", || master.service.replicas().len() == 1).await;
        put_ok(a, &master.store, 10, 500).await;
        flush(a, &master.store).await;
        put_ok(a, &master.store, 60, 500).await;
        let before = log_of(a, &master.store).await;
        drop(master);
        a.crash(Crash::Power);
        a.boot();
        let master = start_master(a, &of_master, vec![of_slave.id()], None).await;
        assert!(master.recovery.to > master.recovery.from, "{:?}", master.recovery);
        assert_eq!(master.recovery.taken_from, Some(of_slave.id()));
        assert_eq!(master.recovery.to.0, before.1.len() as i64);
        assert!(log_of(a, &master.store).await == before, "byte for byte");
        assert_eq!(master.store.max_offset_in_queue("TopicA", 0).0, 70);
        until(a, "it follows again", || slave.status().connected && master.service.replicas().len() == 1).await;
        put_ok(a, &master.store, 10, 500).await;
        assert_same_log((a, &master), (b, &slave)).await;
        assert!(slave.truncations.lock().unwrap().is_empty());
    });
}

#[test]
fn a_master_that_lost_its_disk_takes_everything_back_of_the_longest_slave() {
    on_nodes(32, 3, |nodes| async move {
        let [a, b, c] = &nodes[..] else { unreachable!() };
        let of_master = Setup::new(a, Role::AsyncMaster, 0);
        let (of_b, of_c) = (Setup::new(b, Role::Slave, 1), Setup::new(c, Role::Slave, 2));
        let master = serve(a, &of_master).await;
        let slave_b = start_slave(b, &of_b, a).await;
        let slave_c = start_slave(c, &of_c, a).await;
        put_ok(a, &master.store, 40, 500).await;
        until_equal(&master, &slave_b, a).await;
        until_equal(&master, &slave_c, a).await;
        a.cut_off(b);
        put_ok(a, &master.store, 40, 500).await;
        until_equal(&master, &slave_c, a).await;
        let before = log_of(a, &master.store).await;
        drop(master);
        a.crash(Crash::Disk);
        a.heal(b);
        a.boot();
        let master = start_master(a, &of_master, vec![of_b.id(), of_c.id()], None).await;
        assert_eq!(master.recovery.taken_from, Some(of_c.id()));
        assert!(log_of(a, &master.store).await == before);
        until_equal(&master, &slave_b, a).await;
        put_ok(a, &master.store, 5, 500).await;
        until_equal(&master, &slave_b, a).await;
        until_equal(&master, &slave_c, a).await;
        assert_same_log((a, &master), (b, &slave_b)).await;
        assert_same_log((a, &master), (c, &slave_c)).await;
    });
}

#[test]
fn a_slave_that_dies_while_it_gives_the_tail_is_waited_for() {
    on_nodes(33, 2, |nodes| async move {
        let [a, b] = &nodes[..] else { unreachable!() };
        let (of_master, of_slave) = (Setup::new(a, Role::AsyncMaster, 0), Setup::new(b, Role::Slave, 1));
        let master = serve(a, &of_master).await;
        let slave = start_slave(b, &of_slave, a).await;
        put_ok(a, &master.store, 4000, 2000).await;
        until_equal(&master, &slave, a).await;
        let before = log_of(a, &master.store).await;
        drop((master, slave));
        a.crash(Crash::Disk);
        b.crash(Crash::Process);
        a.boot();
        let setup = of_master.clone();
        let expected = vec![of_slave.id()];
        let (store, service, recovered) = a
            .run(move || async move {
                let store = open(&setup.store, OpenOptions::default()).await;
                let addr = std::net::SocketAddr::from(([0, 0, 0, 0], HA_PORT));
                let service = MasterService::bind(addr, Arc::clone(&store), setup.identity, setup.ha).await.unwrap();
                let service = Arc::new(service);
                let (worker, of_worker) = (Arc::clone(&service), Arc::clone(&store));
                let recovered = sim::task::spawn(async move { recover(&worker, &of_worker, &expected, None).await });
                (store, service, recovered)
            })
            .await;
        b.boot();
        let slave = start_slave(b, &of_slave, a).await;
        until(a, "some of it has come", || store.max_physical_offset().0 > 0).await;
        assert!(store.max_physical_offset().0 < before.1.len() as i64, "not yet all of it");
        drop(slave);
        b.crash(Crash::Process);
        a.sleep(2000).await;
        assert!(!recovered.is_finished(), "it waits");
        b.boot();
        let _slave = start_slave(b, &of_slave, a).await;
        until(a, "the rest has come", || recovered.is_finished()).await;
        assert!(log_of(a, &store).await == before);
        drop(service);
    });
}

#[test]
fn without_its_slave_a_master_goes_on_and_the_slave_is_cut() {
    on_nodes(34, 2, |nodes| async move {
        let [a, b] = &nodes[..] else { unreachable!() };
        let (mut of_master, of_slave) = (Setup::new(a, Role::AsyncMaster, 0), Setup::new(b, Role::Slave, 1));
        unflushed(&mut of_master);
        let master = serve(a, &of_master).await;
        let slave = start_slave(b, &of_slave, a).await;
        put_ok(a, &master.store, 10, 500).await;
        flush(a, &master.store).await;
        put_ok(a, &master.store, 10, 500).await;
        until_equal(&master, &slave, a).await;
        drop(master);
        a.crash(Crash::Power);
        a.cut_off(b);
        a.boot();
        let master = start_master(a, &of_master, vec![of_slave.id()], Some(Duration::from_secs(5))).await;
        assert_eq!((master.recovery.taken_from.clone(), &master.recovery.missing), (None, &vec![of_slave.id()]));
        let parting = master.recovery.to.0;
        // As long as those that were lost: offsets alone would not tell.
        put_ok(a, &master.store, 15, 500).await;
        a.heal(b);
        until(a, "the slave is cut", || !slave.truncations.lock().unwrap().is_empty()).await;
        assert_eq!(*slave.truncations.lock().unwrap(), [parting]);
        until_equal(&master, &slave, a).await;
        assert_same_log((a, &master), (b, &slave)).await;
        let kept = b.world.disk_files(b.host).into_iter().filter(|(path, _)| path.starts_with("/store/diverged/"));
        assert!(kept.count() > 0, "what was cut off is kept for people");
        put_ok(a, &master.store, 3, 500).await;
        until_equal(&master, &slave, a).await;
    });
}

#[test]
fn while_a_master_waits_it_takes_nothing_and_gives_nothing() {
    on_nodes(35, 2, |nodes| async move {
        let [a, b] = &nodes[..] else { unreachable!() };
        let of_master = Setup::new(a, Role::SyncMaster, 0);
        let master = serve(a, &of_master).await;
        put(a, &master.store, b"x").await;
        drop(master);
        a.crash(Crash::Process);
        a.boot();
        let setup = of_master.clone();
        let (store, _service) = a
            .run(move || async move {
                let store = open(&setup.store, OpenOptions::default()).await;
                let addr = std::net::SocketAddr::from(([0, 0, 0, 0], HA_PORT));
                let service = MasterService::bind(addr, Arc::clone(&store), setup.identity, setup.ha).await.unwrap();
                store.refuse_puts(Some("recovering".into()));
                (store, Arc::new(service))
            })
            .await;
        let slave = start_slave(b, &Setup::new(b, Role::Slave, 1), a).await;
        a.sleep(60_000).await;
        assert_eq!(slave.store().max_physical_offset().0, 0);
        assert_eq!(slave.error(), "", "it is asked to wait, and does");
        assert_eq!(put(a, &store, b"y").await.status, PutMessageStatus::ServiceNotAvailable);
    });
}
