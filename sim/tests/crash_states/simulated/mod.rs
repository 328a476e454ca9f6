//! The crashes of a simulated machine.
//!
//! Each round of [`crash_images`] runs the program on an empty disk, crashes the machine, boots it and reads every file. One
//! host does all rounds: the disk is lost between them, and each crash draws anew.

mod exhaustive;
mod patterns;
mod protocols;
mod random;

pub use patterns::expect;

use super::{
    contract::{Crash, Personality},
    program::{Image, Left, Step, prepare, read_image, run},
};
use sim::world::{self, DiskSpec, HostSpec, HostState, SimulationSpec, simulate};
use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::mpsc;

/// Where programs work.
const ROOT: &str = "/";

impl From<Personality> for world::Personality {
    fn from(personality: Personality) -> world::Personality {
        match personality {
            Personality::StrictPosix => world::Personality::StrictPosix,
            Personality::Ext4Ordered => world::Personality::Ext4Ordered,
            Personality::Xfs => world::Personality::Xfs,
        }
    }
}

impl From<Crash> for world::Crash {
    fn from(crash: Crash) -> world::Crash {
        match crash {
            Crash::Process => world::Crash::Process,
            Crash::Os => world::Crash::Os,
            Crash::Power => world::Crash::Power,
        }
    }
}

/// When the machine crashes.
#[derive(Clone, Copy, Debug)]
pub enum When {
    /// After the last step.
    AtTheEnd,
    /// So many nanoseconds after the first step began, times the number of the round.
    InSteps(u64),
}

/// A disk on which nothing becomes durable by itself.
pub fn without_timers(personality: Personality) -> DiskSpec {
    const NEVER_NS: u64 = u64::MAX / 4;
    DiskSpec {
        journal_commit_ns: NEVER_NS,
        dirty_expire_ns: NEVER_NS,
        drain_ns_min: NEVER_NS,
        drain_ns_max: NEVER_NS,
        personality: personality.into(),
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
                    let image = read_image(Path::new(ROOT)).await.expect("a sound disk can be read");
                    return drop(sender.send(News::Read(image)));
                }
                prepare(Path::new(ROOT)).await.expect("made");
                drop(sender.send(News::Began));
                for (number, step) in steps.iter().enumerate() {
                    run(Path::new(ROOT), number, step)
                        .await
                        .unwrap_or_else(|error| panic!("step {number}, {step:?}: {error}"));
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
            world.crash(host, crash.into());
            while news.try_recv().is_ok() {}
            let completed =
                std::mem::replace(&mut *progress.lock().expect("one thread"), Progress { reads: true, completed: 0 })
                    .completed;
            world.boot(host);
            let Some(News::Read(image)) = news.recv().await else { panic!("the second life only reads") };
            left.push(Left { image, completed });
            if world.state(host) == HostState::Running {
                world.crash(host, world::Crash::Process);
            }
            world.crash(host, world::Crash::Disk);
        }
        left
    });
    finished.expect("nothing panics").value
}
