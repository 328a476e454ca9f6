//! Peers that do not belong, logs that do not fit, and bytes that are no protocol at all.

use std::net::SocketAddr;

use ha::Role;
use sim::{net::TcpStream, world::Crash};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::stage::{
    HA_PORT, Setup, assert_same_log, delete_old_files, log_of, on_nodes, put_ok, serve, start_slave, until, until_equal,
};

#[test]
fn a_slave_that_does_not_belong_is_told_why() {
    on_nodes(41, 3, |nodes| async move {
        let [a, b, c] = &nodes[..] else { unreachable!() };
        let master = serve(a, &Setup::new(a, Role::AsyncMaster, 0)).await;
        put_ok(a, &master.store, 5, 100).await;
        let good = start_slave(b, &Setup::new(b, Role::Slave, 1), a).await;
        until_equal(&master, &good, a).await;
        type Change = fn(&mut Setup);
        let cases: [(Change, &str); 6] = [
            (|setup| setup.identity.cluster_name = "other".into(), "belongs to other/broker-a"),
            (|setup| setup.identity.broker_name = "broker-b".into(), "belongs to c/broker-b"),
            (|setup| setup.identity.broker_id.0 = 0, "brokerId 0"),
            (|setup| setup.identity.broker_id.0 = 1, "already connected"),
            (|setup| setup.identity.broker_addr = "10.0.0.1:10911".into(), "points this slave at itself"),
            (|setup| setup.store.mapped_file_size_commit_log_bytes *= 2, "mappedFileSizeCommitLog"),
        ];
        for (change, why) in cases {
            let mut setup = Setup::new(c, Role::Slave, 2);
            change(&mut setup);
            let slave = start_slave(c, &setup, a).await;
            until(a, why, || slave.error().contains(why)).await;
            assert_eq!(slave.store().max_physical_offset().0, 0);
            drop(slave);
            c.crash(Crash::Disk);
            c.boot();
        }
        assert_eq!(master.service.replicas().len(), 1, "the good one is not disturbed");
        put_ok(a, &master.store, 5, 100).await;
        until_equal(&master, &good, a).await;
    });
}

#[test]
fn a_log_of_another_history_is_never_merged() {
    on_nodes(42, 2, |nodes| async move {
        let [a, b] = &nodes[..] else { unreachable!() };
        let master = serve(a, &Setup::new(a, Role::SyncMaster, 0)).await;
        let stranger = serve(b, &Setup::new(b, Role::AsyncMaster, 0)).await;
        put_ok(b, &stranger.store, 20, 300).await;
        let before = log_of(b, &stranger.store).await;
        drop(stranger);
        b.crash(Crash::Process);
        b.boot();
        let slave = start_slave(b, &Setup::new(b, Role::Slave, 1), a).await;
        until(a, "it is refused", || {
            slave.error().contains("the master has lost its log") || slave.error().contains("no epoch in common")
        })
        .await;
        for _ in 0..30 {
            crate::stage::put(a, &master.store, &[b'x'; 300]).await;
        }
        a.sleep(6000).await;
        assert!(slave.error().contains("no epoch in common"), "{}", slave.error());
        assert!(log_of(b, &slave.store()).await == before);
        assert!(master.service.replicas().is_empty());
        assert!(slave.truncations.lock().unwrap().is_empty());
    });
}

#[test]
fn damage_before_the_common_point_is_found() {
    on_nodes(43, 2, |nodes| async move {
        let [a, b] = &nodes[..] else { unreachable!() };
        let master = serve(a, &Setup::new(a, Role::AsyncMaster, 0)).await;
        let setup = Setup::new(b, Role::Slave, 1);
        let slave = start_slave(b, &setup, a).await;
        put_ok(a, &master.store, 40, 300).await;
        until_equal(&master, &slave, a).await;
        let (store, service) = (slave.store(), slave);
        b.run(move || async move { store.shutdown().await.expect("it closes") }).await;
        drop(service);
        b.crash(Crash::Process);
        b.boot();
        // A byte of an address: no checksum of the record covers it.
        b.run(|| async {
            let path = "/store/commitlog/00000000000000000000";
            let file = sim::disk::OpenOptions::new().read(true).write(true).open(path).await.unwrap();
            file.write_all_at(&[9], 61).await.unwrap();
            file.sync_all().await.unwrap();
        })
        .await;
        let slave = start_slave(b, &setup, a).await;
        until(a, "it is refused", || slave.error().contains("differ")).await;
        assert!(slave.truncations.lock().unwrap().is_empty());
    });
}

#[test]
fn what_the_slave_needs_is_deleted_and_it_is_told_so() {
    on_nodes(44, 2, |nodes| async move {
        let [a, b] = &nodes[..] else { unreachable!() };
        let of_master = Setup::new(a, Role::AsyncMaster, 0).with_short_retention(a).await;
        let master = serve(a, &of_master).await;
        let setup = Setup::new(b, Role::Slave, 1);
        let slave = start_slave(b, &setup, a).await;
        put_ok(a, &master.store, 3, 300).await;
        until_equal(&master, &slave, a).await;
        let end = slave.store().max_physical_offset();
        drop(slave);
        b.crash(Crash::Process);
        put_ok(a, &master.store, 100, 700).await;
        let min = delete_old_files(a, &master.store).await;
        assert!(min > end);
        b.boot();
        let slave = start_slave(b, &setup, a).await;
        until(a, "it is refused", || slave.error().contains("not there any more")).await;
    });
}

/// All connections that there may be, each kept busy with a byte now and then.
#[test]
fn who_sends_byte_by_byte_does_not_keep_the_slave_out() {
    on_nodes(46, 3, |nodes| async move {
        let [a, b, c] = &nodes[..] else { unreachable!() };
        let master = serve(a, &Setup::new(a, Role::AsyncMaster, 0)).await;
        put_ok(a, &master.store, 5, 100).await;
        let addr: SocketAddr = a.addr(HA_PORT).parse().unwrap();
        c.run(move || async move {
            let mut streams = Vec::new();
            for _ in 0..128 {
                let mut stream = TcpStream::connect(addr).await.unwrap();
                stream.write_all(&[0xF5, b'S', b'F', b'H', b'A', b'/', b'1', b'\n', 0, 0, 4, 0]).await.unwrap();
                streams.push(stream);
            }
            sim::task::spawn(async move {
                loop {
                    for stream in &mut streams {
                        // An error means that it was closed.
                        let _ = stream.write_all(b" ").await;
                    }
                    sim::time::sleep(std::time::Duration::from_secs(4)).await;
                }
            });
        })
        .await;
        // haHousekeepingInterval, 20 s, is for the whole of a message.
        let slave = start_slave(b, &Setup::new(b, Role::Slave, 1), a).await;
        until_equal(&master, &slave, a).await;
    });
}

/// As many as there may be and more, which connect again as soon as they are closed.
#[test]
fn who_says_nothing_does_not_keep_the_slave_waiting() {
    for opening in [&b""[..], &[0xF5, b'S', b'F', b'H', b'A', b'/', b'1', b'\n', 0, 0, 4, 0], &[0; 8]] {
        on_nodes(47, 3, |nodes| async move {
            let [a, b, c] = &nodes[..] else { unreachable!() };
            let master = serve(a, &Setup::new(a, Role::AsyncMaster, 0)).await;
            put_ok(a, &master.store, 5, 100).await;
            let addr: SocketAddr = a.addr(HA_PORT).parse().unwrap();
            c.run(move || async move {
                for _ in 0..200 {
                    sim::task::spawn(async move {
                        loop {
                            let mut stream = TcpStream::connect(addr).await.unwrap();
                            // Errors mean that it was closed.
                            let _ = stream.write_all(opening).await;
                            let _ = stream.read_to_end(&mut Vec::new()).await;
                            sim::time::sleep(std::time::Duration::from_millis(100)).await;
                        }
                    });
                }
            })
            .await;
            a.sleep(1_000).await;
            let slave = start_slave(b, &Setup::new(b, Role::Slave, 1), a).await;
            // haHousekeepingInterval would be 20 s.
            a.sleep(2_000).await;
            assert_eq!(slave.store().max_physical_offset(), master.store.max_physical_offset(), "{:?}", slave.status());
            put_ok(a, &master.store, 5, 100).await;
            until_equal(&master, &slave, a).await;
            assert!(slave.status().connected, "it keeps its place");
        });
    }
}

#[test]
fn nonsense_on_the_port_disturbs_nobody() {
    on_nodes(45, 3, |nodes| async move {
        let [a, b, c] = &nodes[..] else { unreachable!() };
        let master = serve(a, &Setup::new(a, Role::AsyncMaster, 0)).await;
        let slave = start_slave(b, &Setup::new(b, Role::Slave, 1), a).await;
        put_ok(a, &master.store, 5, 100).await;
        until_equal(&master, &slave, a).await;
        let addr: SocketAddr = a.addr(HA_PORT).parse().unwrap();
        c.run(move || async move {
            let magic = [0xF5, b'S', b'F', b'H', b'A', b'/', b'1', b'\n'];
            for round in 0..300_u64 {
                let mut stream = TcpStream::connect(addr).await.unwrap();
                let mut bytes = Vec::new();
                match round % 6 {
                    0 => {}
                    1 => bytes.extend_from_slice(&magic),
                    2 => {
                        bytes.extend_from_slice(&magic);
                        bytes.extend_from_slice(&i32::MAX.to_be_bytes());
                    }
                    3 => {
                        bytes.extend_from_slice(&magic);
                        bytes.extend_from_slice(&1000_i32.to_be_bytes());
                    }
                    4 => bytes.extend_from_slice(&0_i64.to_be_bytes()),
                    _ => {
                        let hello = br#"{"protocol":1,"clusterName":"c","brokerName":"broker-a","brokerId":7,"brokerAddr":"x:1","commitLogFileSize":16384,"minOffset":0,"maxOffset":0,"epochs":[]}"#;
                        bytes.extend_from_slice(&magic);
                        bytes.extend_from_slice(&(hello.len() as i32).to_be_bytes());
                        bytes.extend_from_slice(hello);
                    }
                }
                for _ in 0..sim::rng::below("fuzz length", 400) {
                    bytes.push(sim::rng::below("fuzz", 256) as u8);
                }
                stream.write_all(&bytes).await.unwrap();
                if round % 2 == 0 {
                    // Some go, some wait for an answer.
                    let mut answer = [0; 64];
                    let _ = sim::time::timeout(std::time::Duration::from_millis(50), stream.read(&mut answer)).await;
                }
            }
        })
        .await;
        put_ok(a, &master.store, 5, 100).await;
        until_equal(&master, &slave, a).await;
        assert_same_log((a, &master), (b, &slave)).await;
        a.sleep(30_000).await;
        assert_eq!(master.service.replicas().len(), 1, "{:?}", master.service.replicas());
    });
}
