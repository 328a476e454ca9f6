//! Many programs at once on one file system, each in a directory of its own, and one power cut for all of them.
//!
//! The programs take turns by lot, so that one's syncs commit what others did. Meanwhile somebody else now and then has a file written
//! back early (`POSIX_FADV_DONTNEED` starts that, as memory pressure would), syncs a file of his own, or lets time pass.

use super::volume::{Cut, Volume, cut_power_of};
use crate::program::{Left, NAMES, Step, prepare, read_image, run};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use rustix::fs::{Advice, fadvise, syncfs};
use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::runtime::Runtime;

/// When the power is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    AfterAll,
    /// While the programs go on.
    Meanwhile,
}

/// How a batch is run.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    pub cut: Cut,
    pub moment: Moment,
    /// How likely somebody else does something before a step.
    pub meddling: f64,
    /// All programs wait for each other after so many steps.
    pub settled: usize,
    pub seed: u64,
}

impl Manner {
    /// A manner by lot.
    pub fn drawn(seed: u64) -> Manner {
        let mut rng = StdRng::seed_from_u64(seed);
        Manner {
            cut: if rng.random_bool(0.8) { Cut::AtOnce } else { Cut::AfterCommit },
            moment: if rng.random_bool(0.5) { Moment::AfterAll } else { Moment::Meanwhile },
            settled: 0,
            meddling: *[0.0, 0.02, 0.1, 0.4].choose(&mut rng).expect("it is not empty"),
            seed: rng.random(),
        }
    }
}

/// What a program did, and what was left of it.
pub struct Outcome {
    pub steps: Vec<Step>,
    pub left: Left,
    /// The step after the completed ones was refused: the power was off, and it may have done something before.
    pub is_interrupted: bool,
    /// The last completed step is a sync that returned while the power was being cut. A kernel that is shut down under a sync may
    /// call it a success, because it finds nothing left to wait for: what waited has been thrown away (`jbd2_complete_transaction`,
    /// `xlog_cil_force_seq`). When the power really fails, no program lives to hear it.
    pub has_doubtful_sync: bool,
}

struct Running {
    root: PathBuf,
    steps: Vec<Step>,
    completed: usize,
    is_interrupted: bool,
    has_doubtful_sync: bool,
}

impl Running {
    fn has_ended(&self) -> bool {
        self.is_interrupted || self.completed == self.steps.len()
    }
}

/// Runs the programs, cuts the power, and says what is there after the next boot.
pub fn run_batch(volume: &mut Volume, programs: Vec<Vec<Step>>, manner: Manner) -> Vec<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let root = volume.root();
    let mut rng = StdRng::seed_from_u64(manner.seed);
    let mut running: Vec<Running> = Vec::new();
    for (number, steps) in programs.into_iter().enumerate() {
        let root = root.join(number.to_string());
        runtime.block_on(prepare(&root)).expect("there is room");
        running.push(Running { root, steps, completed: 0, is_interrupted: false, has_doubtful_sync: false });
    }
    let neighbour = root.join("neighbour");
    syncfs(File::create(&neighbour).expect("there is room")).expect("the power is on");

    for program in &mut running {
        while program.completed < manner.settled.min(program.steps.len()) {
            step(&runtime, program, false);
        }
    }
    syncfs(File::open(&root).expect("it is mounted")).expect("the power is on");

    let all_steps: usize = running.iter().map(|program| program.steps.len() - program.completed).sum();
    let cut_after = rng.random_range(0..=all_steps);
    let mut cutting = None;
    let mut done = 0;
    // In turns of some steps, or one program after the other.
    let turn_steps_max = *[1, 3, usize::MAX].choose(&mut rng).expect("it is not empty");
    let mut waiting: Vec<usize> = (0..running.len()).collect();
    while !waiting.is_empty() {
        let pick = rng.random_range(0..waiting.len());
        let number = waiting[pick];
        for _ in 0..rng.random_range(1..=turn_steps_max) {
            if running[number].has_ended() {
                break;
            }
            if manner.moment == Moment::Meanwhile && done == cut_after && cutting.is_none() {
                let (root, cut) = (root.clone(), manner.cut);
                cutting = Some(std::thread::spawn(move || cut_power_of(&root, cut)));
            }
            if rng.random_bool(manner.meddling) {
                meddle(&running, &neighbour, &mut rng);
            }
            step(&runtime, &mut running[number], cutting.is_some());
            done += 1;
        }
        if running[number].has_ended() {
            waiting.swap_remove(pick);
        }
    }
    match cutting {
        Some(cutting) => cutting.join().expect("it was cut"),
        None => volume.cut_power(manner.cut),
    }
    // Its blocking threads may hold files.
    drop(runtime);
    volume.boot();

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let outcomes = running.into_iter().map(|program| {
        let image = runtime.block_on(read_image(&program.root)).expect("a recovered file system can be read");
        fs::remove_dir_all(&program.root).expect("the power is on");
        Outcome {
            steps: program.steps,
            left: Left { image, completed: program.completed },
            is_interrupted: program.is_interrupted,
            has_doubtful_sync: program.has_doubtful_sync,
        }
    });
    outcomes.collect()
}

fn step(runtime: &Runtime, program: &mut Running, may_be_off: bool) {
    let (number, step) = (program.completed, &program.steps[program.completed]);
    match runtime.block_on(run(&program.root, number, step)) {
        Ok(()) => {
            program.completed += 1;
            let is_sync = matches!(step, Step::Fsync(_) | Step::Fdatasync(_) | Step::SyncDir(_));
            program.has_doubtful_sync = may_be_off && is_sync;
        }
        Err(error) if may_be_off => {
            let is_power = matches!(error.raw_os_error(), Some(5 | 30 | 108));
            assert!(is_power, "step {number} of {:?}: {error}", program.steps);
            program.is_interrupted = true;
        }
        Err(error) => panic!("step {number} of {:?}: {error}", program.steps),
    }
}

/// Somebody else does something. What it fails to do does not matter.
fn meddle(running: &[Running], neighbour: &Path, rng: &mut StdRng) {
    match rng.random_range(0..10) {
        0..6 => {
            let program = running.choose(rng).expect("there are programs");
            write_back(&program.root.join(NAMES.choose(rng).expect("there are names")));
        }
        6..8 => {
            let file = File::options().append(true).open(neighbour);
            let _ = file.and_then(|mut file| file.write_all(&[1; 10]).and_then(|()| file.sync_all()));
        }
        _ => std::thread::sleep(Duration::from_micros(rng.random_range(0..2_000))),
    }
}

/// Has a file written back without waiting for it, and without a commit.
pub fn write_back(path: &Path) {
    if let Ok(file) = File::open(path) {
        // What was not begun now is begun by somebody else, or never.
        let _ = fadvise(&file, 0, None, Advice::DontNeed);
    }
}
