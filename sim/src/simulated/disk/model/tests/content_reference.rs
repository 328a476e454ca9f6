//! The content of a file against a slow reference that keeps every version since the last sync.
//!
//! After a kill the file is as it was. After a crash of the machine its size is one that it had since the last completed
//! sync began, and every byte is one that was there since then (or zero, where a version was shorter). If no version was
//! cut, then every sector is one that a version had, but for at most three after a power loss. With a journal the size may also be
//! one between those, and a block may be zeros.

use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Write {
        offset: u64,
        len: usize,
    },
    SetLen(u64),
    Preallocate(u64),
    Sync,
    /// A sync during which one write ends.
    SyncAround {
        offset: u64,
        len: usize,
    },
    /// A sync that is still under way at what comes next.
    BeginSync,
    Pass {
        ms: u64,
    },
    Kill,
    Crash {
        power: bool,
    },
}

fn personalities() -> impl Strategy<Value = Personality> {
    prop_oneof![Just(Personality::StrictPosix), Just(Personality::Ext4Ordered), Just(Personality::Xfs)]
}

const BYTES_MAX: u64 = 20_000;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let write = || (0..BYTES_MAX, 1_usize..6000);
    let step = prop_oneof![
        8 => write().prop_map(|(offset, len)| Step::Write { offset, len }),
        2 => (0..BYTES_MAX).prop_map(Step::SetLen),
        1 => (1..BYTES_MAX).prop_map(Step::Preallocate),
        2 => Just(Step::Sync),
        1 => write().prop_map(|(offset, len)| Step::SyncAround { offset, len }),
        1 => Just(Step::BeginSync),
        1 => (0_u64..40_000).prop_map(|ms| Step::Pass { ms }),
        1 => Just(Step::Kill),
        2 => any::<bool>().prop_map(|power| Step::Crash { power }),
    ];
    proptest::collection::vec(step, 1..25)
}

/// Every version since the last completed sync began.
struct Versions {
    all: Vec<Vec<u8>>,
    was_cut: bool,
}

impl Versions {
    fn last(&self) -> &Vec<u8> {
        self.all.last().expect("there is always a version")
    }

    fn push(&mut self, version: Vec<u8>) {
        self.was_cut |= version.len() < self.last().len();
        self.all.push(version);
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) {
        let (mut version, offset) = (self.last().clone(), offset as usize);
        version.resize(version.len().max(offset + bytes.len()), 0);
        version[offset..offset + bytes.len()].copy_from_slice(bytes);
        self.push(version);
    }

    fn resize(&mut self, len: u64) {
        let mut version = self.last().clone();
        version.resize(len as usize, 0);
        self.push(version);
    }

    fn forget_before(&mut self, first: usize) {
        self.all.drain(..first);
        self.was_cut = self.all.windows(2).any(|pair| pair[1].len() < pair[0].len());
    }

    fn check(&self, found: &[u8], torn_max: usize, personality: Personality) -> Result<(), TestCaseError> {
        let sizes = || self.all.iter().map(Vec::len);
        if personality == Personality::StrictPosix {
            prop_assert!(sizes().any(|len| len == found.len()), "a size that never was");
        } else {
            // Write-back reaches sizes in between.
            let is_between = sizes().min() <= Some(found.len()) && Some(found.len()) <= sizes().max();
            prop_assert!(is_between, "a size out of bounds: {}", found.len());
        }
        for (at, byte) in found.iter().enumerate() {
            let legal = self.all.iter().any(|version| version.get(at).copied().unwrap_or(0) == *byte);
            prop_assert!(legal, "byte {at} is {byte}, which was not there since the last sync");
        }
        // A block that no commit knows of reads as zeros, whatever was in it.
        if !self.was_cut && personality == Personality::StrictPosix {
            let foreign = found.chunks(512).enumerate().filter(|(number, sector)| {
                !self.all.iter().any(|version| {
                    let at = |index: usize| version.get(number * 512 + index).copied().unwrap_or(0);
                    sector.iter().enumerate().all(|(index, byte)| at(index) == *byte)
                })
            });
            prop_assert!(foreign.count() <= torn_max, "more than {torn_max} sectors that no version had");
        }
        Ok(())
    }
}

/// Bytes that tell where and in which write they were written.
fn pattern(write: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    stream(write).fill(&mut bytes);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]
    #[test]
    fn content_is_always_a_legal_one(seed: u64, steps in steps(), timers: bool, personality in personalities()) {
        let mut spec = if timers { DiskSpec::default() } else { Stand::timeless() };
        spec.personality = personality;
        let mut stand = Stand::with_spec(seed, spec);
        let mut file = stand.open("/f");
        stand.sync_dir("/");
        let mut versions = Versions { all: vec![Vec::new()], was_cut: false };
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Write { offset, len } => {
                    let bytes = pattern(number as u64, len);
                    stand.write(file, offset, &bytes);
                    versions.write(offset, &bytes);
                }
                Step::SetLen(len) => {
                    stand.set_len(file, len);
                    versions.resize(len);
                }
                Step::Preallocate(len) => {
                    stand.preallocate(file, len);
                    versions.resize(len.max(versions.last().len() as u64));
                }
                Step::Sync => {
                    stand.sync(file);
                    versions.forget_before(versions.all.len() - 1);
                }
                Step::SyncAround { offset, len } => {
                    let synced = versions.all.len() - 1;
                    let sync = stand.begin(Request::Sync { handle: file, all: true });
                    let bytes = pattern(number as u64, len);
                    stand.write(file, offset, &bytes);
                    versions.write(offset, &bytes);
                    while stand.outcome(sync).is_pending() {
                        stand.pass(1_000_000);
                    }
                    versions.forget_before(synced);
                }
                Step::BeginSync => {
                    let sync = stand.begin(Request::Sync { handle: file, all: false });
                    stand.disk.abandon(sync);
                }
                Step::Pass { ms } => stand.pass(ms * 1_000_000),
                Step::Kill => {
                    stand.crash(Crash::Process);
                    file = stand.open("/f");
                }
                Step::Crash { power } => {
                    stand.crash(if power { Crash::Power } else { Crash::Os });
                    let found = stand.content("/f").expect("its name is durable");
                    versions.check(&found, if power { 3 } else { 0 }, personality)?;
                    versions = Versions { all: vec![found], was_cut: false };
                    file = stand.open("/f");
                }
            }
            prop_assert_eq!(&stand.content("/f").expect("it is there"), versions.last());
            let durable = stand.disk.durable_files(stand.core.now_ns());
            versions.check(&durable[0].1, 0, personality)?;
        }
    }
}
