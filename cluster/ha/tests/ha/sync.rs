//! What a SYNC_MASTER answers, with as many slaves as there are.

use futures_util::future::BoxFuture;
use ha::Role;
use sim::world::Crash;
use store::PutMessageStatus;

use crate::stage::{Setup, assert_same_log, on_nodes, put, put_ok, serve, start_slave, until, until_equal};

#[test]
fn a_put_waits_for_a_slave_if_there_is_one() {
    on_nodes(21, 2, |nodes| async move {
        let [a, b] = &nodes[..] else { unreachable!() };
        let master = serve(a, &Setup::new(a, Role::SyncMaster, 0)).await;
        assert_eq!(put(a, &master.store, b"alone").await.status, PutMessageStatus::SlaveNotAvailable);
        assert_eq!(master.store.max_offset_in_queue("TopicA", 0).0, 1, "it is visible: its fate has been told");
        let slave = start_slave(b, &Setup::new(b, Role::Slave, 1), a).await;
        until(a, "it is in sync", || master.service.replicas().iter().any(|replica| replica.in_sync)).await;
        put_ok(a, &master.store, 20, 300).await;
        assert_eq!(slave.store().max_physical_offset(), master.store.max_physical_offset(), "before the answer");
        a.cut_off(b);
        assert_eq!(put(a, &master.store, b"cut off").await.status, PutMessageStatus::FlushSlaveTimeout);
        a.sleep(1000).await;
        assert_eq!(master.store.max_offset_in_queue("TopicA", 0).0, 22, "a slave that stands still holds nobody back");
        a.sleep(26_000).await;
        assert_eq!(put(a, &master.store, b"gone").await.status, PutMessageStatus::SlaveNotAvailable);
        a.heal(b);
        until_equal(&master, &slave, a).await;
        put_ok(a, &master.store, 5, 300).await;
        assert_same_log((a, &master), (b, &slave)).await;
    });
}

#[test]
fn three_in_sync_replicas_are_three_machines() {
    on_nodes(22, 3, |nodes| async move {
        let [a, b, c] = &nodes[..] else { unreachable!() };
        let mut setup = Setup::new(a, Role::SyncMaster, 0);
        setup.ha.in_sync_replicas = 3;
        setup.ha.min_in_sync_replicas = 2;
        let master = serve(a, &setup).await;
        let refused = put(a, &master.store, b"alone").await;
        assert_eq!(refused.status, PutMessageStatus::InSyncReplicasNotEnough);
        assert!(refused.appended.is_none());
        let first = start_slave(b, &Setup::new(b, Role::Slave, 1), a).await;
        until(a, "one is in sync", || master.service.replicas().len() == 1).await;
        assert_eq!(put(a, &master.store, b"two").await.status, PutMessageStatus::SlaveNotAvailable);
        let second = start_slave(c, &Setup::new(c, Role::Slave, 2), a).await;
        until(a, "two are in sync", || master.service.replicas().len() == 2).await;
        put_ok(a, &master.store, 10, 200).await;
        for slave in [&first, &second] {
            assert_eq!(slave.store().max_physical_offset(), master.store.max_physical_offset());
        }
        c.crash(Crash::Process);
        until(a, "one is gone", || master.service.replicas().len() == 1).await;
        assert_eq!(put(a, &master.store, b"two").await.status, PutMessageStatus::SlaveNotAvailable);
    });
}

#[test]
fn auto_in_sync_replicas_takes_those_that_are_there() {
    on_nodes(23, 3, |nodes| async move {
        let [a, b, _] = &nodes[..] else { unreachable!() };
        let mut setup = Setup::new(a, Role::SyncMaster, 0);
        setup.ha.in_sync_replicas = 3;
        setup.ha.enable_auto_in_sync_replicas = true;
        let master = serve(a, &setup).await;
        put_ok(a, &master.store, 3, 100).await;
        let slave = start_slave(b, &Setup::new(b, Role::Slave, 1), a).await;
        until(a, "it is in sync", || master.service.replicas().len() == 1).await;
        put_ok(a, &master.store, 3, 100).await;
        assert_eq!(slave.store().max_physical_offset(), master.store.max_physical_offset());
    });
}

#[test]
fn a_slave_too_far_behind_is_not_waited_for() {
    on_nodes(24, 2, |nodes| async move {
        let [a, b] = &nodes[..] else { unreachable!() };
        let mut setup = Setup::new(a, Role::SyncMaster, 0);
        setup.ha.ha_slave_fallbehind_max_bytes = 10_000;
        setup.ha.ha_flow_control_enable = true;
        setup.ha.max_ha_transfer_byte_in_second = 2_000;
        let master = serve(a, &setup).await;
        for _ in 0..40 {
            assert_eq!(put(a, &master.store, &[b'x'; 700]).await.status, PutMessageStatus::SlaveNotAvailable);
        }
        let slave = start_slave(b, &Setup::new(b, Role::Slave, 1), a).await;
        until(a, "it follows", || master.service.replicas().len() == 1).await;
        assert!(!master.service.replicas()[0].in_sync, "{:?}", master.service.replicas());
        assert_eq!(put(a, &master.store, b"x").await.status, PutMessageStatus::SlaveNotAvailable);
        let mut changed = master.service.in_sync_changed();
        changed.borrow_and_update();
        until_equal(&master, &slave, a).await;
        assert!(changed.has_changed().expect("the master lives"));
        a.sleep(1000).await;
        put_ok(a, &master.store, 1, 50).await;
    });
}

#[test]
fn one_slave_connected_twice_is_one_replica() {
    on_nodes(25, 2, |nodes| async move {
        let [a, b] = &nodes[..] else { unreachable!() };
        let mut setup = Setup::new(a, Role::SyncMaster, 0);
        setup.ha.in_sync_replicas = 3;
        let master = serve(a, &setup).await;
        let of_slave = Setup::new(b, Role::Slave, 1);
        let _slave = start_slave(b, &of_slave, a).await;
        until(a, "it is in sync", || master.service.replicas().len() == 1).await;
        // The machine loses its power: the master does not notice, and the slave connects anew.
        b.crash(Crash::Power);
        b.boot();
        let slave = start_slave(b, &of_slave, a).await;
        until(a, "it follows again", || slave.status().connected).await;
        assert_eq!(master.service.replicas().len(), 1);
        assert_eq!(put(a, &master.store, b"x").await.status, PutMessageStatus::SlaveNotAvailable);
    });
}

#[test]
fn a_replica_is_remembered_before_its_acknowledgements_count() {
    on_nodes(26, 2, |nodes| async move {
        let [a, b] = &nodes[..] else { unreachable!() };
        let master = serve(a, &Setup::new(a, Role::SyncMaster, 0)).await;
        let keeper = std::sync::Arc::new(Keeper::default());
        master.service.keep_group_with(std::sync::Arc::clone(&keeper) as _);
        let setup = Setup::new(b, Role::Slave, 1);
        let _slave = start_slave(b, &setup, a).await;
        until(a, "it is in sync", || master.service.replicas().len() == 1).await;
        assert_eq!(*keeper.0.lock().unwrap(), [setup.id(), setup.id()], "not before it could be written down");
        put_ok(a, &master.store, 1, 50).await;
    });
}

/// Writes down who joins, at the second attempt.
#[derive(Default)]
struct Keeper(std::sync::Mutex<Vec<ha::ReplicaId>>);

impl ha::GroupKeeper for Keeper {
    fn membership(&self) -> group::Membership {
        group::Membership::default()
    }

    fn last_id(&self) -> Option<protocol::BrokerId> {
        None
    }

    fn join(&self, replica: ha::ReplicaId) -> BoxFuture<'_, std::io::Result<()>> {
        Box::pin(async move {
            let mut notes = self.0.lock().unwrap();
            notes.push(replica);
            if notes.len() == 1 { Err(std::io::Error::other("the drive is full")) } else { Ok(()) }
        })
    }

    fn adopt(&self, _: group::Membership, _: Option<protocol::PhysicalOffset>) -> BoxFuture<'_, std::io::Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn refused(&self, _: Option<&str>) -> BoxFuture<'_, std::io::Result<()>> {
        Box::pin(async { Ok(()) })
    }
}
