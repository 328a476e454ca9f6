//! The shell, on a simulated host: futures, handles, and their end with the process.

use super::*;
use crate::simulated::{
    core::Crash,
    time,
    world::{HostSpec, SimulationSpec, simulate},
};
use std::{io, sync::Arc, sync::Mutex, time::Duration};

/// Runs a program on one host, crashes it after a second, boots it again and lets it run for another; what it found.
fn two_lives<F, Fut>(crash: Crash, program: F) -> Vec<String>
where
    F: Fn(u32, Arc<Mutex<Vec<String>>>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = io::Result<()>> + Send + 'static,
{
    let found = Arc::new(Mutex::new(Vec::new()));
    let (log, life) = (Arc::clone(&found), Arc::new(Mutex::new(0)));
    simulate(SimulationSpec { seed: 11, ..SimulationSpec::default() }, |world| async move {
        let host = world.add_host(HostSpec::new("host", move || {
            let mut life = life.lock().expect("one thread");
            *life += 1;
            let running = program(*life, Arc::clone(&log));
            async move { running.await.expect("no call fails") }
        }));
        for _ in 0..2 {
            world.boot(host);
            world.sleep(Duration::from_secs(1)).await;
            world.crash(host, crash);
        }
    })
    .expect("nothing panicked");
    let found = found.lock().expect("one thread");
    found.clone()
}

fn note(log: &Mutex<Vec<String>>, line: impl Into<String>) {
    log.lock().expect("one thread").push(line.into());
}

#[test]
fn a_program_finds_after_a_power_loss_what_it_had_synced() {
    let found = two_lives(Crash::Power, |life, log| async move {
        if life == 1 {
            create_dir_all("/store/log").await?;
            let file = OpenOptions::new().read(true).write(true).create_new(true).open("/store/log/0").await?;
            file.preallocate(8192).await?;
            file.write_all_at(b"hello", 4094).await?;
            file.sync_data().await?;
            for dir in ["/store/log", "/store", "/"] {
                sync_dir(dir).await?;
            }
            let mut buffer = [0; 5];
            file.read_exact_at(&mut buffer, 4094).await?;
            note(&log, String::from_utf8_lossy(&buffer));
            let beyond = file.read_exact_at(&mut buffer, 8190).await.expect_err("it ends before");
            note(&log, format!("{:?}", beyond.kind()));
            rename("/store/log/0", "/store/log/1").await?;
            sync_dir("/store/log").await?;
        } else {
            note(&log, format!("{:?}", read_dir("/store/log").await?));
            let content = read("/store/log/1").await?;
            note(&log, format!("{} {:?}", content.len(), &content[4094..4099]));
            note(&log, format!("{} {}", exists("/store/log/1").await?, exists("/store/log/0").await?));
            let usage = usage("/store").await?;
            note(&log, format!("{}", usage.total_bytes - usage.available_bytes));
            remove_file("/store/log/1").await?;
            remove_dir_all("/store").await?;
            note(&log, format!("{:?}", metadata("/store").await.expect_err("it is gone").kind()));
        }
        Ok(())
    });
    let expected = [
        "hello",
        "UnexpectedEof",
        r#"[DirEntry { name: "1", is_dir: false }]"#,
        "8192 [104, 101, 108, 108, 111]",
        "true false",
        "8192",
        "NotFound",
    ];
    assert_eq!(found, expected);
}

#[test]
fn the_lock_of_a_killed_process_is_free_and_its_writes_are_there() {
    let found = two_lives(Crash::Process, |life, log| async move {
        let file = OpenOptions::new().read(true).write(true).create(true).open("/lock").await?;
        note(&log, format!("{life} {:?} {}", file.try_lock().is_ok(), file.len().await?));
        let other = OpenOptions::new().write(true).open("/lock").await?;
        note(&log, format!("{:?}", other.try_lock().expect_err("it is held").kind()));
        file.write_all_at(b"unsynced", 0).await?;
        time::sleep(Duration::from_secs(3600)).await;
        Ok(())
    });
    assert_eq!(found, ["1 true 0", "WouldBlock", "2 true 8", "WouldBlock"]);
}

#[test]
fn a_dropped_call_goes_on() {
    let found = two_lives(Crash::Process, |life, log| async move {
        let file = OpenOptions::new().read(true).write(true).create(true).open("/f").await?;
        if life == 1 {
            let bytes = vec![1; 1 << 20];
            // The write takes 264 µs.
            let late = time::timeout(Duration::from_micros(20), file.write_all_at(&bytes, 0)).await;
            note(&log, format!("{} {}", late.is_err(), file.len().await?));
            time::sleep(Duration::from_millis(5)).await;
            note(&log, format!("{}", file.len().await?));
        }
        Ok(())
    });
    assert_eq!(found, ["true 0", "1048576"]);
}

#[test]
fn every_future_can_be_sent() {
    fn sendable<T: Send>(_: &T) {}
    fn check(file: &File, buffer: &mut [u8]) {
        sendable(file);
        sendable(&file.write_all_at(&[], 0));
        sendable(&file.read_at(buffer, 0));
        sendable(&file.sync_data());
        sendable(&OpenOptions::new().open("/f"));
        sendable(&sync_dir("/"));
        sendable(&read("/f"));
    }
    let _ = check;
}
