//! Random programs: whatever they do and whenever the crash comes, the contract holds.

use super::{
    contract::{Contract, Promises},
    program::{FILE_SYSTEMS, NAMES, Step, When, crash_images, is_possible, without_timers},
};
use proptest::{prelude::*, test_runner::TestCaseError};
use sim::world::{Crash, DiskSpec, Personality};

fn step() -> impl Strategy<Value = Step> {
    let name = 0..NAMES.len();
    let at = prop_oneof![Just(0_u64), 0..3_000_u64, Just(4_000), Just(4_096)];
    let len = prop_oneof![1..600_usize, Just(512), Just(4_096), Just(6_000)];
    prop_oneof![
        4 => name.clone().prop_map(Step::Create),
        8 => (name.clone(), at.clone(), len).prop_map(|(name, at, len)| Step::Write { name, at, len }),
        2 => (name.clone(), at).prop_map(|(name, len)| Step::SetLen(name, len)),
        2 => name.clone().prop_map(Step::Fsync),
        2 => name.clone().prop_map(Step::Fdatasync),
        3 => (name.clone(), name.clone()).prop_map(|(from, to)| Step::Rename(from, to)),
        1 => name.prop_map(Step::Remove),
        2 => (0..2_usize).prop_map(Step::SyncDir),
    ]
}

/// Programs of which every step can be done, with at most nine changes of names.
fn program(wait: bool) -> impl Strategy<Value = Vec<Step>> {
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

fn file_systems() -> impl Strategy<Value = Personality> {
    proptest::sample::select(FILE_SYSTEMS.to_vec())
}

/// The disk as it comes, with the kernel's timers.
fn with_timers(personality: Personality) -> DiskSpec {
    match personality {
        Personality::StrictPosix => DiskSpec::default(),
        Personality::Ext4Ordered => DiskSpec::ext4(),
        Personality::Xfs => DiskSpec::xfs(),
    }
}

fn crashes() -> impl Strategy<Value = Crash> {
    prop_oneof![1 => Just(Crash::Process), 2 => Just(Crash::Os), 4 => Just(Crash::Power)]
}

fn check(
    spec: DiskSpec,
    seed: u64,
    steps: &[Step],
    crash: Crash,
    when: When,
    rounds: u64,
) -> Result<(), TestCaseError> {
    let promises = Promises::of(spec.personality);
    for (round, left) in crash_images(seed, spec, steps, crash, when, rounds).into_iter().enumerate() {
        let mut contract = Contract::after(promises, &steps[..left.completed]);
        if let Some(step) = steps.get(left.completed) {
            contract.begin(step);
        }
        if let Err(reason) = contract.check(&left.image, crash) {
            let sizes: Vec<_> = left.image.iter().map(|(path, content)| (path, content.len())).collect();
            return Err(TestCaseError::fail(format!(
                "round {round}, after {} steps, {crash:?} left {sizes:?}: {reason}",
                left.completed
            )));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(250) })]

    #[test]
    fn a_crash_after_a_program(seed: u64, on in file_systems(), steps in program(false), crash in crashes()) {
        check(without_timers(on), seed, &steps, crash, When::AtTheEnd, 40)?;
    }

    #[test]
    fn a_crash_in_a_program(seed: u64, on in file_systems(), steps in program(false), crash in crashes(), ns in 100..400_000_u64) {
        check(with_timers(on), seed, &steps, crash, When::InSteps(ns), 40)?;
    }

    #[test]
    fn a_crash_after_the_timers_have_run(seed: u64, on in file_systems(), steps in program(true), crash in crashes()) {
        check(with_timers(on), seed, &steps, crash, When::AtTheEnd, 20)?;
    }
}
