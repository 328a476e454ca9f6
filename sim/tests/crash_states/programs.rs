//! Which programs are tried: random ones, and all small ones.

use super::{
    contract::{Contract, Promises},
    program::{NAMES, Step, is_possible},
};
use proptest::prelude::*;

fn step() -> impl Strategy<Value = Step> {
    let name = 0..NAMES.len();
    let at = prop_oneof![Just(0_u64), 0..3_000_u64, Just(4_000), Just(4_096)];
    let len = prop_oneof![1..600_usize, Just(512), Just(4_096), Just(6_000)];
    prop_oneof![
        4 => name.clone().prop_map(Step::Create),
        8 => (name.clone(), at.clone(), len.clone()).prop_map(|(name, at, len)| Step::Write { name, at, len }),
        2 => (name.clone(), at.clone()).prop_map(|(name, len)| Step::SetLen(name, len)),
        1 => (name.clone(), at.clone(), len.clone()).prop_map(|(name, at, len)| Step::ZeroRange { name, at, len }),
        1 => (name.clone(), at.clone()).prop_map(|(name, len)| Step::Preallocate(name, len + 1)),
        1 => (name.clone(), at.clone(), at).prop_map(|(name, from, to)| Step::Reserve(name, from, to)),
        2 => name.clone().prop_map(Step::Fsync),
        2 => name.clone().prop_map(Step::Fdatasync),
        3 => (name.clone(), name.clone()).prop_map(|(from, to)| Step::Rename(from, to)),
        1 => name.prop_map(Step::Remove),
        2 => (0..2_usize).prop_map(Step::SyncDir),
    ]
}

/// Programs of which every step can be done, with at most nine changes of names.
pub fn program(wait: bool) -> impl Strategy<Value = Vec<Step>> {
    let step = if wait {
        prop_oneof![5 => step(), 1 => (1..40_u64).prop_map(Step::WaitSeconds)].boxed()
    } else {
        step().boxed()
    };
    proptest::collection::vec(step, 1..16).prop_map(|steps| {
        let (mut contract, mut possible, mut changes) = (Contract::new(Promises::default()), Vec::new(), 0);
        for step in steps {
            let changes_names = matches!(step, Step::Create(_) | Step::Rename(..) | Step::Remove(_));
            if is_possible(&step, &contract.names) && (!changes_names || changes < 9) {
                changes += u32::from(changes_names);
                contract.complete(&step);
                possible.push(step);
            }
        }
        possible
    })
}

/// As CrashMonkey's ACE does it: every sequence of up to so many operations from a small alphabet.
pub fn small_programs(len_max: usize) -> Vec<Vec<Step>> {
    let write = |at, len| Step::Write { name: 0, at, len };
    let alphabet = [
        Step::Create(0),
        write(0, 512),
        write(512, 512),
        Step::SetLen(0, 2048),
        Step::Fsync(0),
        Step::Fdatasync(0),
        Step::Rename(0, 1),
        Step::Remove(0),
        Step::SyncDir(0),
    ];
    let (mut all, mut longest) = (Vec::new(), vec![Vec::new()]);
    for _ in 0..len_max {
        let mut longer = Vec::new();
        for program in &longest {
            for step in &alphabet {
                let names = Contract::after(Promises::default(), program).names;
                let is_repeated_sync = program.last() == Some(step);
                if is_possible(step, &names) && !is_repeated_sync && (!program.is_empty() || *step == Step::Create(0)) {
                    longer.push([program.clone(), vec![step.clone()]].concat());
                }
            }
        }
        all.extend(longer.iter().cloned());
        longest = longer;
    }
    all
}
