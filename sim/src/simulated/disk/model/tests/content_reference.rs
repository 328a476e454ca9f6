//! The content of a file against a slow reference that keeps every version since the last sync.
//!
//! After a kill the file is as it was. After a crash of the machine its size is one that it had since the last completed
//! sync began, and every byte is one that was there since then (or zero, where a version was shorter). If no version was
//! cut, then every sector is one that a version had, but for at most three after a power loss.

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

const BYTES_MAX: u64 = 20_000;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let write = || (0..BYTES_MAX, 1_usize..6000);
    let step = prop_oneof![
        8 => write().prop_map(|(offset, len)| Step::Write { offset, len }),
        2 => (0..BYTES_MAX).prop_map(Step::SetLen),
        1 => (0..BYTES_MAX).prop_map(Step::Preallocate),
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

    fn check(&self, found: &[u8], torn_max: usize) -> Result<(), TestCaseError> {
        prop_assert!(self.all.iter().any(|version| version.len() == found.len()), "a size that never was");
        for (at, byte) in found.iter().enumerate() {
            let legal = self.all.iter().any(|version| version.get(at).copied().unwrap_or(0) == *byte);
            prop_assert!(legal, "byte {at} is {byte}, which was not there since the last sync");
        }
        if !self.was_cut {
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
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn content_is_always_a_legal_one(seed: u64, steps in steps(), timers: bool) {
        let mut stand = if timers { Stand::new(seed) } else { Stand::without_timers(seed) };
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
                    versions.check(&found, if power { 3 } else { 0 })?;
                    versions = Versions { all: vec![found], was_cut: false };
                    file = stand.open("/f");
                }
            }
            prop_assert_eq!(&stand.content("/f").expect("it is there"), versions.last());
            let durable = stand.disk.durable_files(stand.core.now_ns());
            versions.check(&durable[0].1, 0)?;
        }
    }
}
