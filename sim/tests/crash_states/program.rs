//! Programs of file operations, and what is on the disk after a crash in or after them.
//!
//! Each round of [`crash_images`] runs the program on an empty disk, crashes the machine, boots it and reads every file. One
//! host does all rounds: the disk is lost between them, and each crash draws anew.

use sim::{
    disk::{self, File, OpenOptions},
    world::{Crash, DiskSpec, HostSpec, HostState, Personality, SimulationSpec, simulate},
};
use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::mpsc;

/// The directories, durable before a program begins.
pub const DIRS: [&str; 2] = ["/x", "/y"];
/// The names that programs use; the first two are in the first directory.
pub const NAMES: [&str; 3] = ["/x/a", "/x/b", "/y/a"];

/// The directory of a name.
pub fn dir_of(name: usize) -> usize {
    name / 2
}

/// One operation. Files are opened for it and closed after it.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Create(usize),
    /// Writes bytes that tell their place and the step.
    Write {
        name: usize,
        at: u64,
        len: usize,
    },
    SetLen(usize, u64),
    Fsync(usize),
    Fdatasync(usize),
    Rename(usize, usize),
    Remove(usize),
    SyncDir(usize),
    /// Lets the timers of the kernel run.
    WaitSeconds(u64),
}

/// What step number `number` writes at this position: never zero.
pub fn byte(number: usize, position: u64) -> u8 {
    1 + ((number as u64 * 97 + position / 64) % 255) as u8
}

/// The bytes of a write.
pub fn bytes(number: usize, at: u64, len: usize) -> Vec<u8> {
    (at..at + len as u64).map(|position| byte(number, position)).collect()
}

/// Whether the step can be done with these files: creating what is there, or using what is not, is left out of programs.
pub fn is_possible(step: &Step, names: &BTreeMap<usize, usize>) -> bool {
    match step {
        Step::Create(name) => !names.contains_key(name),
        Step::Rename(from, to) => from != to && names.contains_key(from),
        Step::Write { name, .. }
        | Step::SetLen(name, _)
        | Step::Fsync(name)
        | Step::Fdatasync(name)
        | Step::Remove(name) => names.contains_key(name),
        Step::SyncDir(_) | Step::WaitSeconds(_) => true,
    }
}

async fn open(name: usize) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(NAMES[name]).await
}

async fn run(number: usize, step: &Step) -> io::Result<()> {
    match *step {
        Step::Create(name) => {
            OpenOptions::new().write(true).create_new(true).open(NAMES[name]).await?;
            Ok(())
        }
        Step::Write { name, at, len } => open(name).await?.write_all_at(&bytes(number, at, len), at).await,
        Step::SetLen(name, len) => open(name).await?.set_len(len).await,
        Step::Fsync(name) => open(name).await?.sync_all().await,
        Step::Fdatasync(name) => open(name).await?.sync_data().await,
        Step::Rename(from, to) => disk::rename(NAMES[from], NAMES[to]).await,
        Step::Remove(name) => disk::remove_file(NAMES[name]).await,
        Step::SyncDir(dir) => disk::sync_dir(DIRS[dir]).await,
        Step::WaitSeconds(seconds) => {
            sim::time::sleep(Duration::from_secs(seconds)).await;
            Ok(())
        }
    }
}

/// Every file with its content.
pub type Image = BTreeMap<String, Vec<u8>>;

async fn read_image() -> io::Result<Image> {
    let mut image = Image::new();
    for dir in DIRS {
        for entry in disk::read_dir(dir).await? {
            let path = format!("{dir}/{}", entry.name);
            let content = disk::read(&path).await?;
            image.insert(path, content);
        }
    }
    Ok(image)
}

/// When the machine crashes.
#[derive(Clone, Copy, Debug)]
pub enum When {
    /// After the last step.
    AtTheEnd,
    /// So many nanoseconds after the first step began, times the number of the round.
    InSteps(u64),
}

/// What a crash left.
#[derive(Clone, Debug)]
pub struct Left {
    pub image: Image,
    /// So many steps had been completed. The next one was under way, unless that was all.
    pub completed: usize,
}

/// Every kind of file system.
pub const FILE_SYSTEMS: [Personality; 3] = [Personality::StrictPosix, Personality::Ext4Ordered, Personality::Xfs];

/// A disk on which nothing becomes durable by itself.
pub fn without_timers(personality: Personality) -> DiskSpec {
    const NEVER_NS: u64 = u64::MAX / 4;
    DiskSpec {
        journal_commit_ns: NEVER_NS,
        dirty_expire_ns: NEVER_NS,
        drain_ns_min: NEVER_NS,
        drain_ns_max: NEVER_NS,
        personality,
        ..DiskSpec::default()
    }
}

enum News {
    Began,
    Ended,
    Read(Image),
}

#[derive(Default)]
struct Progress {
    reads: bool,
    completed: usize,
}

/// Runs the program so many times, crashes it each time, and gives what was left.
pub fn crash_images(seed: u64, spec: DiskSpec, steps: &[Step], crash: Crash, when: When, rounds: u64) -> Vec<Left> {
    let steps = steps.to_vec();
    let simulation = SimulationSpec { seed, time_limit: Duration::MAX, ..SimulationSpec::default() };
    let finished = simulate(simulation, move |world| async move {
        let (sender, mut news) = mpsc::unbounded_channel();
        let progress = Arc::new(Mutex::new(Progress::default()));
        let shared = Arc::clone(&progress);
        let mut host = HostSpec::new("host", move || {
            let (steps, sender, shared) = (steps.clone(), sender.clone(), Arc::clone(&shared));
            async move {
                let reads = shared.lock().expect("one thread").reads;
                if reads {
                    let image = read_image().await.expect("a sound disk can be read");
                    return drop(sender.send(News::Read(image)));
                }
                for dir in DIRS {
                    disk::create_dir_all(dir).await.expect("made");
                }
                disk::sync_dir("/").await.expect("synced");
                drop(sender.send(News::Began));
                for (number, step) in steps.iter().enumerate() {
                    run(number, step).await.unwrap_or_else(|error| panic!("step {number}, {step:?}: {error}"));
                    shared.lock().expect("one thread").completed = number + 1;
                }
                drop(sender.send(News::Ended));
            }
        });
        host.disk = spec;
        let host = world.add_host(host);
        let mut left = Vec::new();
        for round in 0..rounds {
            *progress.lock().expect("one thread") = Progress::default();
            world.boot(host);
            assert!(matches!(news.recv().await, Some(News::Began)));
            match when {
                When::AtTheEnd => assert!(matches!(news.recv().await, Some(News::Ended))),
                When::InSteps(ns) => world.sleep(Duration::from_nanos(ns * (round + 1))).await,
            }
            world.crash(host, crash);
            while news.try_recv().is_ok() {}
            let completed =
                std::mem::replace(&mut *progress.lock().expect("one thread"), Progress { reads: true, completed: 0 })
                    .completed;
            world.boot(host);
            let Some(News::Read(image)) = news.recv().await else { panic!("the second life only reads") };
            left.push(Left { image, completed });
            if world.state(host) == HostState::Running {
                world.crash(host, Crash::Process);
            }
            world.crash(host, Crash::Disk);
        }
        left
    });
    finished.expect("nothing panics").value
}
