//! Names against a slow reference: after a crash the tree is that of some legal subset of the waiting operations.
//!
//! Legal is every subset that is closed under "came earlier and touched the same name or inode". The reference tries all
//! of them; so it knows exactly the legal outcomes.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const DIRS: [&str; 2] = ["/a", "/b"];
const NAMES: [&str; 3] = ["x", "y", "z"];

/// What a test does to the tree.
#[derive(Clone, Debug)]
enum Step {
    Create(usize),
    Remove(usize),
    Rename(usize, usize),
    SyncDir(usize),
}

/// Path → a number that stands for the file behind it.
type Tree = BTreeMap<String, u8>;

#[derive(Clone, Debug)]
struct Waiting {
    changes: Vec<(String, Option<u8>)>,
    inodes: BTreeSet<u8>,
    dirs: BTreeSet<usize>,
}

impl Waiting {
    fn conflicts_with(&self, earlier: &Waiting) -> bool {
        !self.inodes.is_disjoint(&earlier.inodes)
            || self.changes.iter().any(|(name, _)| earlier.changes.iter().any(|(other, _)| name == other))
    }

    fn apply(&self, tree: &mut Tree) {
        for (path, after) in &self.changes {
            match after {
                Some(file) => tree.insert(path.clone(), *file),
                None => tree.remove(path),
            };
        }
    }
}

fn path(place: usize) -> String {
    format!("{}/{}", DIRS[place / NAMES.len()], NAMES[place % NAMES.len()])
}

/// The trees that a crash may leave.
fn legal(durable: &Tree, waiting: &[Waiting]) -> BTreeSet<Vec<(String, u8)>> {
    (0..1_u32 << waiting.len())
        .filter(|subset| {
            (0..waiting.len()).filter(|later| subset & 1 << later != 0).all(|later| {
                (0..later)
                    .all(|earlier| subset & 1 << earlier != 0 || !waiting[later].conflicts_with(&waiting[earlier]))
            })
        })
        .map(|subset| {
            let mut tree = durable.clone();
            for (number, operation) in waiting.iter().enumerate() {
                if subset & 1 << number != 0 {
                    operation.apply(&mut tree);
                }
            }
            tree.into_iter().collect()
        })
        .collect()
}

/// Makes durable what the sync of a directory makes durable: its operations and what they depend on.
fn commit(dir: usize, durable: &mut Tree, waiting: &mut Vec<Waiting>) {
    let mut needed: Vec<bool> = waiting.iter().map(|operation| operation.dirs.contains(&dir)).collect();
    for _ in 0..waiting.len() {
        for later in 0..waiting.len() {
            for earlier in 0..later {
                needed[earlier] |= needed[later] && waiting[later].conflicts_with(&waiting[earlier]);
            }
        }
    }
    let mut rest = Vec::new();
    for (operation, needed) in waiting.drain(..).zip(needed) {
        if needed {
            operation.apply(durable);
        } else {
            rest.push(operation);
        }
    }
    *waiting = rest;
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let place = 0..DIRS.len() * NAMES.len();
    let step = prop_oneof![
        4 => place.clone().prop_map(Step::Create),
        2 => place.clone().prop_map(Step::Remove),
        4 => (place.clone(), place).prop_map(|(from, to)| Step::Rename(from, to)),
        1 => (0..DIRS.len()).prop_map(Step::SyncDir),
    ];
    proptest::collection::vec(step, 0..10)
}

proptest! {
    #[test]
    fn a_crash_leaves_a_legal_tree(seed: u64, steps in steps(), power: bool) {
        let mut stand = Stand::without_timers(seed);
        DIRS.iter().for_each(|dir| stand.mkdir(dir));
        stand.sync_dir("/");
        let (mut durable, mut now, mut waiting) = (Tree::new(), Tree::new(), Vec::<Waiting>::new());
        let mut files = 0;
        for step in steps {
            let mut operation = match step {
                Step::Create(place) if !now.contains_key(&path(place)) => {
                    files += 1;
                    let file = stand.open(&path(place));
                    stand.write(file, 0, &[files]);
                    stand.sync(file);
                    stand.disk.close(&mut stand.core, file);
                    Waiting { changes: vec![(path(place), Some(files))], inodes: [files].into(), dirs: [place / 3].into() }
                }
                Step::Remove(place) if now.contains_key(&path(place)) => {
                    stand.remove(&path(place));
                    let file = now[&path(place)];
                    Waiting { changes: vec![(path(place), None)], inodes: [file].into(), dirs: [place / 3].into() }
                }
                Step::Rename(from, to) if from != to && now.contains_key(&path(from)) => {
                    stand.rename(&path(from), &path(to));
                    let moved = now[&path(from)];
                    Waiting {
                        changes: vec![(path(from), None), (path(to), Some(moved))],
                        inodes: [moved].into(),
                        dirs: [from / 3, to / 3].into(),
                    }
                }
                Step::SyncDir(dir) => {
                    stand.sync_dir(DIRS[dir]);
                    commit(dir, &mut durable, &mut waiting);
                    continue;
                }
                _ => continue,
            };
            operation.inodes.extend(operation.changes.iter().filter_map(|(path, _)| now.get(path).copied()));
            operation.apply(&mut now);
            waiting.push(operation);
        }
        let tree = |stand: &Stand| -> Vec<(String, u8)> {
            stand.disk.cached_files().into_iter().map(|(path, bytes)| (path, bytes[0])).collect()
        };
        prop_assert_eq!(tree(&stand), Vec::from_iter(now));
        let legal = legal(&durable, &waiting);
        stand.crash(if power { Crash::Power } else { Crash::Os });
        prop_assert!(legal.contains(&tree(&stand)), "{:?} is not among {:?}", tree(&stand), legal);
        // A second crash finds nothing more to lose.
        let after = tree(&stand);
        stand.crash(Crash::Power);
        prop_assert_eq!(tree(&stand), after);
    }
}
