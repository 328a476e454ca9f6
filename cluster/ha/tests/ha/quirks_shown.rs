//! Each quirk of Apache's replication beside what ours does.

use std::{sync::Arc, time::Duration};

use ha::Role;
use quirks::Quirk;
use sim::world::Crash;
use store::{FlushDiskType, PutMessageStatus};

use crate::stage::{
    FILE_BYTES, Node, Setup, log_of, on_nodes, put, put_ok, serve, start_master, start_slave, until, until_equal,
};

/// What came of the experiment of `exp_ha_divergence_498.txt`.
#[derive(Debug, PartialEq, Eq)]
struct Divergence {
    /// How the two puts after the master's loss were answered.
    answers: [PutMessageStatus; 2],
    /// Whether the logs are equal in the end.
    equal: bool,
    /// Whether the slave still has what the master lost, and the master does not.
    slave_has_old: bool,
}

/// A SYNC_MASTER and its slave have five messages; the master loses two, and takes new ones of the same size.
async fn diverge(nodes: &[Node], quirks: &[Quirk]) -> Divergence {
    let [a, b] = nodes else { unreachable!() };
    let mut of_master = Setup::new(a, Role::SyncMaster, 0).with_quirks(quirks);
    of_master.store.flush_interval_commit_log_ms = 3_600_000;
    let of_slave = Setup::new(b, Role::Slave, 1).with_quirks(quirks);
    let master = serve(a, &of_master).await;
    let slave = start_slave(b, &of_slave, a).await;
    until(a, "it follows", || master.service.replicas().len() == 1).await;
    put_ok(a, &master.store, 3, 900).await;
    let store = Arc::clone(&master.store);
    a.run(move || async move { store.flush().await.expect("the drive works") }).await;
    for _ in 0..2 {
        assert!(put(a, &master.store, &[b'o'; 900]).await.is_ok());
    }
    until_equal(&master, &slave, a).await;
    drop(master);
    a.crash(Crash::Power);
    a.boot();
    let master = start_master(a, &of_master, vec![of_slave.id()], None).await;
    for _ in 0..600 {
        if master.service.replicas().len() == 1 {
            break;
        }
        a.sleep(20).await;
    }
    let mut answers = [PutMessageStatus::UnknownError; 2];
    for answer in &mut answers {
        *answer = put(a, &master.store, &[b'n'; 900]).await.status;
    }
    a.sleep(30_000).await;
    // Replication goes on behind it.
    put(a, &master.store, &[b'm'; 900]).await;
    a.sleep(10_000).await;
    let (ours, theirs) = (log_of(a, &master.store).await.1, log_of(b, &slave.store()).await.1);
    let has_old = |log: &[u8]| log.windows(100).any(|window| window == [b'o'; 100]);
    Divergence { answers, equal: ours == theirs, slave_has_old: has_old(&theirs) && !has_old(&ours) }
}

const OK: [PutMessageStatus; 2] = [PutMessageStatus::PutOk; 2];

#[test]
fn a_diverged_slave_acknowledges_what_it_does_not_have() {
    on_nodes(61, 2, |nodes| async move {
        let ours = diverge(&nodes, &[]).await;
        assert_eq!(ours, Divergence { answers: OK, equal: true, slave_has_old: false });
    });
    on_nodes(61, 2, |nodes| async move {
        let quirks = [Quirk::DivergenceUnchecked, Quirk::TailNotTakenBack, Quirk::ReplicaOffsetBelieved];
        let apache_498 = diverge(&nodes, &quirks).await;
        assert_eq!(apache_498, Divergence { answers: OK, equal: false, slave_has_old: true });
    });
    on_nodes(61, 2, |nodes| async move {
        let quirks = [Quirk::DivergenceUnchecked, Quirk::TailNotTakenBack, Quirk::ReplicaOffsetUnguarded];
        let apache_53 = diverge(&nodes, &quirks).await;
        assert_eq!(apache_53, Divergence { answers: OK, equal: false, slave_has_old: true });
    });
}

#[test]
fn without_belief_the_diverged_slave_is_closed_at_least() {
    on_nodes(62, 2, |nodes| async move {
        let quirks = [Quirk::DivergenceUnchecked, Quirk::TailNotTakenBack];
        let outcome = diverge(&nodes, &quirks).await;
        assert_ne!(outcome.answers[0], PutMessageStatus::PutOk);
        assert!(!outcome.equal && outcome.slave_has_old, "{outcome:?}");
    });
}

#[test]
fn a_log_of_other_lengths_is_continued_within_a_record() {
    on_nodes(63, 2, |nodes| async move {
        let [a, b] = &nodes[..] else { unreachable!() };
        let quirks = [Quirk::DivergenceUnchecked];
        let of_slave = Setup::new(b, Role::Slave, 1).with_quirks(&quirks);
        // The slave's store is of another history, and ends where no record of the master's does.
        let stranger = serve(b, &Setup::new(b, Role::AsyncMaster, 0)).await;
        put_ok(b, &stranger.store, 3, 333).await;
        let old = log_of(b, &stranger.store).await.1;
        drop(stranger);
        b.crash(Crash::Process);
        b.boot();
        let master = serve(a, &Setup::new(a, Role::AsyncMaster, 0).with_quirks(&quirks)).await;
        put_ok(a, &master.store, 30, 700).await;
        let slave = start_slave(b, &of_slave, a).await;
        until_equal(&master, &slave, a).await;
        let (ours, theirs) = (log_of(a, &master.store).await.1, log_of(b, &slave.store()).await.1);
        assert!(theirs[..old.len()] == old && theirs[old.len()..] == ours[old.len()..]);
    });
}

#[test]
fn an_empty_slave_gets_the_last_file_only() {
    for (quirks, expected) in [(vec![], 0), (vec![Quirk::HistoryNotCopied], 3 * FILE_BYTES as i64)] {
        on_nodes(64, 2, move |nodes| async move {
            let [a, b] = &nodes[..] else { unreachable!() };
            let master = serve(a, &Setup::new(a, Role::AsyncMaster, 0).with_quirks(&quirks)).await;
            put_ok(a, &master.store, 65, 700).await;
            let slave = start_slave(b, &Setup::new(b, Role::Slave, 1).with_quirks(&quirks), a).await;
            until_equal(&master, &slave, a).await;
            assert_eq!(slave.store().min_physical_offset().0, expected);
        });
    }
}

#[test]
fn a_page_cache_is_acknowledged_for_a_drive() {
    for (quirks, is_safe) in [(vec![], true), (vec![Quirk::PageCacheAcks], false)] {
        on_nodes(65, 2, move |nodes| async move {
            let [a, b] = &nodes[..] else { unreachable!() };
            let master = serve(a, &Setup::new(a, Role::AsyncMaster, 0).with_quirks(&quirks)).await;
            let mut setup = Setup::new(b, Role::Slave, 1).with_quirks(&quirks);
            setup.store.flush_disk_type = FlushDiskType::SyncFlush;
            let slave = start_slave(b, &setup, a).await;
            until(a, "it follows", || master.service.replicas().len() == 1).await;
            let mut unsafe_acks = 0;
            for number in 0..200 {
                put(a, &master.store, &[b'a'; 500]).await;
                // At any moment, not only when all is quiet.
                a.world.sleep(Duration::from_micros(37 * number)).await;
                let acked = master.service.replicas()[0].acked;
                unsafe_acks += usize::from(acked > slave.store().flushed_offset());
            }
            assert_eq!(unsafe_acks == 0, is_safe, "{unsafe_acks}");
        });
    }
}

#[test]
fn a_lost_tail_is_not_asked_for() {
    for (quirks, comes_back) in [(vec![], true), (vec![Quirk::TailNotTakenBack], false)] {
        on_nodes(66, 2, move |nodes| async move {
            let [a, b] = &nodes[..] else { unreachable!() };
            let of_slave = Setup::new(b, Role::Slave, 1).with_quirks(&quirks);
            let of_master = Setup::new(a, Role::AsyncMaster, 0).with_quirks(&quirks);
            let master = serve(a, &of_master).await;
            let slave = start_slave(b, &of_slave, a).await;
            put_ok(a, &master.store, 10, 500).await;
            until_equal(&master, &slave, a).await;
            let end = master.store.max_physical_offset();
            drop(master);
            a.crash(Crash::Disk);
            a.boot();
            let master = start_master(a, &of_master, vec![of_slave.id()], None).await;
            assert_eq!(master.store.max_physical_offset() == end, comes_back);
        });
    }
}

#[test]
fn sync_master_waits_for_nobody() {
    for (quirks, status) in
        [(vec![], PutMessageStatus::SlaveNotAvailable), (vec![Quirk::InSyncReplicasOne], PutMessageStatus::PutOk)]
    {
        on_nodes(67, 1, move |nodes| async move {
            let setup = Setup::new(&nodes[0], Role::SyncMaster, 0).with_quirks(&quirks);
            let master = serve(&nodes[0], &setup).await;
            assert_eq!(put(&nodes[0], &master.store, b"x").await.status, status);
        });
    }
}
