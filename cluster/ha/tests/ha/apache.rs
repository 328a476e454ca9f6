//! Peers that speak Apache's protocol: slaves and masters made of plain sockets, and ours that fall back to it.

use std::{net::SocketAddr, time::Duration};

use ha::{PROTOCOL_V1, Role};
use sim::{
    net::{TcpListener, TcpStream},
    world::Crash,
};
use store::PutMessageStatus;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::stage::{
    FILE_BYTES, HA_PORT, Node, Setup, assert_same_log, delete_old_files, log_of, on_nodes, put, put_ok, serve,
    start_slave_speaking, until, until_equal, wait_there,
};

/// What a slave of Apache's that reports `first` gets within a while, reporting what it has as it goes: the offset of the
/// first frame and all bodies. Empty when the connection is closed.
async fn apache_slave(node: &Node, master: &Node, first: i64, reports: Vec<i64>) -> Option<(i64, Vec<u8>)> {
    let addr: SocketAddr = master.addr(HA_PORT).parse().unwrap();
    node.run(move || async move {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(&first.to_be_bytes()).await.unwrap();
        for report in reports {
            stream.write_all(&report.to_be_bytes()).await.unwrap();
        }
        let (mut start, mut body) = (None, Vec::new());
        loop {
            let mut header = [0; 12];
            match sim::time::timeout(Duration::from_secs(7), stream.read_exact(&mut header)).await {
                Err(_) => return start.map(|start| (start, body)),
                Ok(Err(_)) => return None,
                Ok(Ok(_)) => {}
            }
            let offset = i64::from_be_bytes(header[..8].try_into().unwrap());
            let size = i32::from_be_bytes(header[8..].try_into().unwrap());
            assert_eq!(offset, *start.get_or_insert(offset) + body.len() as i64, "Apache's slave would close here");
            if size == 0 && !body.is_empty() {
                return start.map(|start| (start, body));
            }
            assert!(size <= 32 << 10);
            let mut part = vec![0; size as usize];
            stream.read_exact(&mut part).await.unwrap();
            body.extend_from_slice(&part);
            let end = start.unwrap() + body.len() as i64;
            stream.write_all(&end.to_be_bytes()).await.unwrap();
        }
    })
    .await
}

#[test]
fn a_slave_of_apaches_gets_the_whole_log() {
    on_nodes(51, 2, |nodes| async move {
        let [a, b] = &nodes[..] else { unreachable!() };
        let master = serve(a, &Setup::new(a, Role::AsyncMaster, 0)).await;
        put_ok(a, &master.store, 60, 700).await;
        let log = log_of(a, &master.store).await.1;
        assert!(apache_slave(b, a, 0, vec![]).await == Some((0, log.clone())));
        // It was sent that in this life: it may go on.
        let middle = log.len() as i64 / 2;
        assert!(apache_slave(b, a, middle, vec![]).await == Some((middle, log[middle as usize..].to_vec())));
    });
}

#[test]
fn a_slave_of_apaches_that_cannot_be_verified_is_closed_and_never_counted() {
    on_nodes(52, 2, |nodes| async move {
        let [a, b] = &nodes[..] else { unreachable!() };
        let setup = Setup::new(a, Role::SyncMaster, 0);
        let master = serve(a, &setup).await;
        for _ in 0..20 {
            put(a, &master.store, &[b'x'; 300]).await;
        }
        let end = master.store.max_physical_offset().0;
        // More than there is (#1155, #3015), and what this life never sent it.
        for first in [end + 1, end, end / 2] {
            assert_eq!(apache_slave(b, a, first, vec![]).await, None);
            assert_eq!(put(a, &master.store, b"x").await.status, PutMessageStatus::SlaveNotAvailable);
        }
        // The second report is no more believed than the first (#3016).
        assert_eq!(apache_slave(b, a, 0, vec![1 << 40]).await, None);
        assert!(master.store.replication().replicated().0 <= end);
        // What the log held before this life began can be gone on with.
        let end = master.store.max_physical_offset().0;
        drop(master);
        a.crash(Crash::Process);
        a.boot();
        let master = serve(a, &setup).await;
        put(a, &master.store, b"new").await;
        let (start, body) = apache_slave(b, a, end, vec![]).await.expect("it follows");
        assert_eq!((start, start + body.len() as i64), (end, master.store.max_physical_offset().0));
    });
}

#[test]
fn a_slave_whose_offset_the_master_does_not_have_is_closed() {
    // #3388: Apache's connection stands for ever.
    on_nodes(53, 2, |nodes| async move {
        let [a, b] = &nodes[..] else { unreachable!() };
        let setup = Setup::new(a, Role::AsyncMaster, 0).with_short_retention(a).await;
        let master = serve(a, &setup).await;
        put_ok(a, &master.store, 60, 700).await;
        let min = delete_old_files(a, &master.store).await;
        assert!(min.0 > 100);
        assert_eq!(apache_slave(b, a, 100, vec![]).await, None);
        assert_eq!(apache_slave(b, a, 0, vec![]).await.expect("an empty one follows").0, min.0);
    });
}

#[test]
fn our_two_ends_speak_it_too() {
    on_nodes(54, 2, |nodes| async move {
        let [a, b] = &nodes[..] else { unreachable!() };
        let master = serve(a, &Setup::new(a, Role::SyncMaster, 0)).await;
        let slave = start_slave_speaking(b, &Setup::new(b, Role::Slave, 1), a, PROTOCOL_V1).await;
        until(a, "it follows", || master.service.replicas().len() == 1).await;
        put_ok(a, &master.store, 60, 700).await;
        until_equal(&master, &slave, a).await;
        assert_same_log((a, &master), (b, &slave)).await;
        assert!(slave.status().is_v1 && master.service.replicas()[0].is_v1);
        drop(slave);
        // Again, from a part that is compared first.
        b.crash(Crash::Process);
        b.boot();
        let slave = start_slave_speaking(b, &Setup::new(b, Role::Slave, 1), a, PROTOCOL_V1).await;
        until(a, "it follows", || {
            master.service.replicas().iter().any(|replica| replica.acked == master.store.max_physical_offset())
        })
        .await;
        put_ok(a, &master.store, 60, 700).await;
        until_equal(&master, &slave, a).await;
        assert_same_log((a, &master), (b, &slave)).await;
    });
}

/// A master of Apache's: sends `log` from where it is asked, and then heartbeats; the reports it got.
async fn apache_master(node: &Node, log: Vec<u8>, millis: u64) -> Vec<i64> {
    node.run(move || async move {
        let listener = TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], HA_PORT))).await.unwrap();
        let mut reports = Vec::new();
        let deadline = sim::time::Instant::now() + Duration::from_millis(millis);
        while let Ok(accepted) = sim::time::timeout(deadline - sim::time::Instant::now(), listener.accept()).await {
            let (mut stream, _) = accepted.unwrap();
            let mut report = [0; 8];
            if stream.read_exact(&mut report).await.is_err() {
                continue;
            }
            let asked = i64::from_be_bytes(report);
            reports.push(asked);
            let mut at = if asked == 0 { log.len() - log.len() % FILE_BYTES as usize } else { asked as usize };
            loop {
                let file_end = at + FILE_BYTES as usize - at % FILE_BYTES as usize;
                let end = log.len().min(at + 5000).min(file_end).max(at);
                let mut frame = (at as i64).to_be_bytes().to_vec();
                frame.extend_from_slice(&((end - at) as i32).to_be_bytes());
                frame.extend_from_slice(&log[at.min(end).min(log.len())..end.min(log.len())]);
                if stream.write_all(&frame).await.is_err() {
                    break;
                }
                at = end;
                let pause = if at >= log.len() { 1000 } else { 1 };
                let read = sim::time::timeout(Duration::from_millis(pause), stream.read_exact(&mut report)).await;
                match read {
                    Ok(Ok(_)) => reports.push(i64::from_be_bytes(report)),
                    Ok(Err(_)) => break,
                    Err(_) => {}
                }
                if sim::time::Instant::now() >= deadline {
                    break;
                }
            }
        }
        reports
    })
    .await
}

#[test]
fn our_slave_compares_before_it_follows_a_master_of_apaches() {
    on_nodes(55, 3, |nodes| async move {
        let [a, b, c] = &nodes[..] else { unreachable!() };
        let origin = serve(c, &Setup::new(c, Role::AsyncMaster, 0)).await;
        put_ok(c, &origin.store, 100, 700).await;
        let log = log_of(c, &origin.store).await.1;
        let setup = Setup::new(b, Role::Slave, 1);
        let slave = start_slave_speaking(b, &setup, a, PROTOCOL_V1).await;
        // An empty one takes what comes: the last file.
        let cut = FILE_BYTES as usize * 2 + 3000;
        let reports = apache_master(a, log[..cut].to_vec(), 8000).await;
        assert_eq!(reports.first(), Some(&0));
        let whole = slave.store().max_physical_offset().0;
        assert!(whole > FILE_BYTES as i64 * 2 && whole <= cut as i64, "whole records: {whole}");
        assert_eq!(slave.store().min_physical_offset().0, FILE_BYTES as i64 * 2);
        // It goes on, after it has seen its own bytes again.
        let reports = apache_master(a, log.clone(), 16_000).await;
        assert!(reports[0] < whole, "{reports:?}");
        assert_eq!(slave.store().max_physical_offset().0, log.len() as i64);
        assert!(log_of(b, &slave.store()).await.1 == log[FILE_BYTES as usize * 2..]);
        // A master that is shorter gets no acknowledgement beyond its end, and nothing is appended.
        let shorter = log.len() - 2000;
        let reports = apache_master(a, log[..shorter].to_vec(), 16_000).await;
        assert!(reports.iter().all(|report| *report <= shorter as i64), "{reports:?}");
        // When it has grown again, differently, it is found out.
        let mut other = log[..shorter].to_vec();
        other.extend_from_slice(&[0x55; 4000]);
        let reports = apache_master(a, other, 16_000).await;
        assert!(reports.iter().all(|report| *report <= shorter as i64), "{reports:?}");
        assert!(slave.error().contains("diverged"), "{}", slave.error());
        assert!(log_of(b, &slave.store()).await.1 == log[FILE_BYTES as usize * 2..], "nothing was overwritten");
        wait_there(b, 10).await;
    });
}
