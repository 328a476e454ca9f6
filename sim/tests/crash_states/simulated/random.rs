//! Random programs: whatever they do and whenever the crash comes, the contract holds.

use super::{
    super::{
        contract::{Contract, Crash, FILE_SYSTEMS, Personality, Promises},
        program::Step,
        programs::program,
    },
    When, crash_images, without_timers,
};
use proptest::{prelude::*, test_runner::TestCaseError};
use sim::world::DiskSpec;

fn file_systems() -> impl Strategy<Value = Personality> {
    proptest::sample::select(FILE_SYSTEMS.to_vec())
}

/// The disk as it comes, with the kernel's timers.
pub fn with_timers(personality: Personality) -> DiskSpec {
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
    (on, spec): (Personality, DiskSpec),
    seed: u64,
    steps: &[Step],
    crash: Crash,
    when: When,
    rounds: u64,
) -> Result<(), TestCaseError> {
    let promises = Promises::of(on);
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
        check((on, without_timers(on)), seed, &steps, crash, When::AtTheEnd, 40)?;
    }

    #[test]
    fn a_crash_in_a_program(seed: u64, on in file_systems(), steps in program(false), crash in crashes(), ns in 100..400_000_u64) {
        check((on, with_timers(on)), seed, &steps, crash, When::InSteps(ns), 40)?;
    }

    #[test]
    fn a_crash_after_the_timers_have_run(seed: u64, on in file_systems(), steps in program(true), crash in crashes()) {
        check((on, with_timers(on)), seed, &steps, crash, When::AtTheEnd, 20)?;
    }
}
