//! The log as it flows: byte for byte, through roll-overs, restarts, cuts and retention.

use std::time::Duration;

use ha::Role;
use sim::world::Crash;
use store::{FlushDiskType, OpenOptions};

use crate::stage::{
    FILE_BYTES, Setup, assert_same_log, delete_old_files, log_files, on_nodes, open, put_ok, serve, start_slave, until,
    until_equal,
};

#[test]
fn a_slave_has_the_same_files_and_the_same_queues() {
    on_nodes(1, 2, |nodes| async move {
        let [a, b] = &nodes[..] else { unreachable!() };
        let master = serve(a, &Setup::new(a, Role::AsyncMaster, 0)).await;
        put_ok(a, &master.store, 50, 700).await;
        let slave = start_slave(b, &Setup::new(b, Role::Slave, 1), a).await;
        until_equal(&master, &slave, a).await;
        put_ok(a, &master.store, 50, 300).await;
        until_equal(&master, &slave, a).await;
        assert_same_log((a, &master), (b, &slave)).await;
        let full = |node| {
            let mut files = log_files(node);
            files.truncate((master.store.max_physical_offset().0 as u64 / FILE_BYTES) as usize);
            files
        };
        assert!(full(a).len() >= 3, "the log rolls over");
        assert_eq!(full(a), full(b), "whole files, with their blanks");
        assert_eq!(slave.store().max_offset_in_queue("TopicA", 0).0, 100);
        assert_eq!(slave.store().epochs(), master.store.epochs());
        let replicas = master.service.replicas();
        assert_eq!(replicas.len(), 1);
        assert!(replicas[0].in_sync && !replicas[0].is_v1, "{replicas:?}");
        assert_eq!((replicas[0].acked, replicas[0].behind_bytes), (master.store.max_physical_offset(), 0));
        assert_eq!(slave.status().acked, master.store.max_physical_offset());
    });
}

#[test]
fn restarts_of_either_side_go_on_where_they_were() {
    on_nodes(2, 2, |nodes| async move {
        let [a, b] = &nodes[..] else { unreachable!() };
        let (of_master, of_slave) = (Setup::new(a, Role::AsyncMaster, 0), Setup::new(b, Role::Slave, 1));
        let mut master = serve(a, &of_master).await;
        let mut slave = start_slave(b, &of_slave, a).await;
        for round in 0..4 {
            put_ok(a, &master.store, 20, 500).await;
            let crashed = if round % 2 == 0 { b } else { a };
            until_equal(&master, &slave, a).await;
            crashed.crash(Crash::Process);
            crashed.sleep(300).await;
            crashed.boot();
            if round % 2 == 0 {
                put_ok(a, &master.store, 20, 500).await;
                slave = start_slave(b, &of_slave, a).await;
            } else {
                master = serve(a, &of_master).await;
            }
            until_equal(&master, &slave, a).await;
        }
        put_ok(a, &master.store, 20, 500).await;
        until_equal(&master, &slave, a).await;
        assert_same_log((a, &master), (b, &slave)).await;
        assert_eq!(slave.store().max_offset_in_queue("TopicA", 0).0, 140);
        assert_eq!(slave.store().epochs().len(), 3, "one for each life of the master");
        assert_eq!(slave.truncations.lock().unwrap().len(), 0);
    });
}

#[test]
fn silence_closes_and_the_healed_link_is_used_again() {
    on_nodes(3, 2, |nodes| async move {
        let [a, b] = &nodes[..] else { unreachable!() };
        let master = serve(a, &Setup::new(a, Role::AsyncMaster, 0)).await;
        let slave = start_slave(b, &Setup::new(b, Role::Slave, 1), a).await;
        put_ok(a, &master.store, 5, 100).await;
        until_equal(&master, &slave, a).await;
        a.cut_off(b);
        a.sleep(26_000).await;
        assert!(master.service.replicas().is_empty(), "housekeeping has closed the connection");
        assert!(!slave.status().connected);
        put_ok(a, &master.store, 5, 100).await;
        a.heal(b);
        until_equal(&master, &slave, a).await;
        assert_same_log((a, &master), (b, &slave)).await;
    });
}

#[test]
fn heartbeats_keep_an_idle_connection() {
    on_nodes(4, 2, |nodes| async move {
        let [a, b] = &nodes[..] else { unreachable!() };
        let master = serve(a, &Setup::new(a, Role::AsyncMaster, 0)).await;
        let slave = start_slave(b, &Setup::new(b, Role::Slave, 1), a).await;
        until(a, "the slave follows", || slave.status().connected).await;
        let changes = *master.service.in_sync_changed().borrow();
        a.sleep(120_000).await;
        assert_eq!(*master.service.in_sync_changed().borrow(), changes, "it never went");
        assert!(slave.status().connected);
    });
}

#[test]
fn an_empty_slave_joins_a_master_whose_first_files_are_deleted() {
    on_nodes(5, 2, |nodes| async move {
        let [a, b] = &nodes[..] else { unreachable!() };
        let setup = Setup::new(a, Role::AsyncMaster, 0).with_short_retention(a).await;
        let master = serve(a, &setup).await;
        put_ok(a, &master.store, 100, 700).await;
        let min = delete_old_files(a, &master.store).await;
        let slave = start_slave(b, &Setup::new(b, Role::Slave, 1), a).await;
        until_equal(&master, &slave, a).await;
        assert_eq!(slave.store().min_physical_offset(), min);
        put_ok(a, &master.store, 10, 700).await;
        until_equal(&master, &slave, a).await;
        assert_same_log((a, &master), (b, &slave)).await;
        b.crash(Crash::Process);
        b.boot();
        let slave = start_slave(b, &Setup::new(b, Role::Slave, 1), a).await;
        put_ok(a, &master.store, 10, 700).await;
        until_equal(&master, &slave, a).await;
        assert_same_log((a, &master), (b, &slave)).await;
    });
}

#[test]
fn under_sync_flush_a_slave_vouches_for_its_drive() {
    on_nodes(6, 2, |nodes| async move {
        let [a, b] = &nodes[..] else { unreachable!() };
        let master = serve(a, &Setup::new(a, Role::AsyncMaster, 0)).await;
        let mut setup = Setup::new(b, Role::Slave, 1);
        setup.store.flush_disk_type = FlushDiskType::SyncFlush;
        let slave = start_slave(b, &setup, a).await;
        put_ok(a, &master.store, 20, 300).await;
        until(a, "the slave acknowledges", || slave.status().acked == master.store.max_physical_offset()).await;
        b.crash(Crash::Power);
        b.boot();
        let config = setup.store.clone();
        let end = b.run(move || async move { open(&config, OpenOptions::default()).await.max_physical_offset() }).await;
        assert_eq!(end, master.store.max_physical_offset());
    });
}

#[test]
fn flow_control_holds_the_rate() {
    on_nodes(7, 2, |nodes| async move {
        let [a, b] = &nodes[..] else { unreachable!() };
        let mut setup = Setup::new(a, Role::AsyncMaster, 0);
        setup.ha.ha_flow_control_enable = true;
        setup.ha.max_ha_transfer_byte_in_second = 10_000;
        let master = serve(a, &setup).await;
        put_ok(a, &master.store, 100, 700).await;
        let bytes = master.store.max_physical_offset().0;
        let slave = start_slave(b, &Setup::new(b, Role::Slave, 1), a).await;
        let started = a.world.now_ns();
        until_equal(&master, &slave, a).await;
        let took = Duration::from_nanos(a.world.now_ns() - started);
        // The last frame arrives when all of them have been paid for.
        let expected = Duration::from_millis(bytes as u64 / 10);
        assert!(took > expected.mul_f64(0.9) && took < expected.mul_f64(1.1), "{bytes} bytes in {took:?}");
    });
}
