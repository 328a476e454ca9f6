//! The store's update protocols on simulated disks, crashed at any moment.

use super::{
    super::{
        contract::{Crash, FILE_SYSTEMS},
        protocols::{Progress, protocols},
    },
    When, crash_images,
    random::with_timers,
    without_timers,
};

const ROUNDS: u64 = 60;

#[test]
fn the_stores_protocols_hold_at_any_moment() {
    for protocol in protocols() {
        for file_system in FILE_SYSTEMS {
            for crash in [Crash::Process, Crash::Os, Crash::Power] {
                for (seed, when) in
                    [When::AtTheEnd, When::InSteps(20_000), When::InSteps(90_000)].into_iter().enumerate()
                {
                    let spec = if seed == 0 { without_timers(file_system) } else { with_timers(file_system) };
                    for left in crash_images(seed as u64, spec, &protocol.steps, crash, when, ROUNDS) {
                        let progress = Progress { done: left.completed, begun: left.completed + 1 };
                        if let Err(reason) = (protocol.judge)(&left.image, progress) {
                            panic!("{}, {file_system:?}, {crash:?}, {progress:?}: {reason}", protocol.name);
                        }
                    }
                }
            }
        }
    }
}
