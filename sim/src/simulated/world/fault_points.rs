//! The switch of the control panel for fault points, see [`fault_point!`](crate::fault_point!).

use super::World;
use crate::simulated::{
    fault_point::{ActiveSites, FaultPointCount, FaultPoints},
    kernel,
};

impl World {
    /// From now on the active fault points fire, each by its own probability. Counting begins anew.
    pub fn arm_fault_points(&self, active: ActiveSites) {
        kernel::with(|kernel| kernel.fault_points.arm(active));
    }

    /// From now on no fault point fires. Without effect if they were not armed.
    pub fn disarm_fault_points(&self) {
        FaultPoints::disarm();
    }

    /// Every site that a program came by while fault points were armed, in the order of their names.
    pub fn fault_points(&self) -> Vec<FaultPointCount> {
        kernel::with(|kernel| kernel.fault_points.counts())
    }
}

#[cfg(test)]
mod tests {
    use crate::world::{ActiveSites, FaultPointCount, Finished, HostSpec, SimulationSpec, simulate};
    use std::{collections::BTreeSet, time::Duration};

    const EVALUATIONS: u64 = 20_000;

    /// Two hosts that come by two sites many times.
    fn run(seed: u64, active: Option<ActiveSites>) -> Finished<Vec<FaultPointCount>> {
        let spec = SimulationSpec { seed, keep_trace: true, ..SimulationSpec::default() };
        simulate(spec, |world| async move {
            if let Some(active) = active {
                world.arm_fault_points(active);
            }
            for name in ["one", "two"] {
                let host = world.add_host(HostSpec::new(name, || async {
                    for _ in 0..EVALUATIONS {
                        let _ = crate::fault_point!("test.usual");
                        let _ = crate::fault_point!("test.rare", 0.01);
                    }
                    sim_sleep().await;
                }));
                world.boot(host);
            }
            world.sleep(Duration::from_secs(1)).await;
            world.disarm_fault_points();
            let counts = world.fault_points();
            assert!(!crate::fault_point!("test.usual") && counts == world.fault_points(), "disarmed is off");
            counts
        })
        .expect("nothing panics")
    }

    async fn sim_sleep() {
        crate::time::sleep(Duration::from_millis(1)).await;
    }

    fn named(names: &[&str]) -> Option<ActiveSites> {
        Some(ActiveSites::Named(names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>()))
    }

    #[test]
    fn they_fire_at_the_rate_asked_for() {
        let counts = run(1, named(&["test.usual", "test.rare"])).value;
        let seen = |site| counts.iter().find(|count| count.site == site).expect("came by");
        for (site, rate) in [("test.usual", 0.25), ("test.rare", 0.01)] {
            let count = seen(site);
            assert_eq!(count.evaluated, 2 * EVALUATIONS);
            let (mean, deviation) = (rate * count.evaluated as f64, (rate * count.evaluated as f64).sqrt());
            assert!((count.fired as f64 - mean).abs() < 4.0 * deviation, "{count:?}");
        }
    }

    #[test]
    fn a_quarter_of_the_runs_has_a_site_active() {
        let active = (0..400).filter(|seed| {
            let counts = run_once(*seed);
            counts.iter().any(|count| count.is_active)
        });
        // 400 draws of 1/4: the standard deviation is 8.7.
        let active = active.count();
        assert!((65..=135).contains(&active), "{active} of 400");
    }

    fn run_once(seed: u64) -> Vec<FaultPointCount> {
        simulate(SimulationSpec { seed, ..SimulationSpec::default() }, |world| async move {
            world.arm_fault_points(ActiveSites::Drawn);
            let _ = crate::fault_point!("test.once");
            world.fault_points()
        })
        .expect("nothing panics")
        .value
    }

    #[test]
    fn what_is_not_armed_costs_and_changes_nothing() {
        let off = run(1, None);
        assert_eq!(off.value, []);
        let inactive = run(1, named(&[]));
        assert_eq!(inactive.trace_hash, off.trace_hash, "inactive sites leave no step");
        assert!(inactive.value.iter().all(|count| count.fired == 0 && count.evaluated == 2 * EVALUATIONS));
    }

    #[test]
    fn a_site_does_not_disturb_another_and_the_same_seed_gives_the_same_run() {
        let steps = |run: Finished<_>| {
            run.trace
                .into_iter()
                .filter(|step| step.step == "test.rare")
                .map(|step| (step.at_ns, step.host))
                .collect::<Vec<_>>()
        };
        let both = run(9, named(&["test.usual", "test.rare"]));
        assert_eq!(both.trace_hash, run(9, named(&["test.usual", "test.rare"])).trace_hash);
        let alone = steps(run(9, named(&["test.rare"])));
        assert!(!alone.is_empty());
        assert_eq!(steps(both), alone);
        assert_ne!(steps(run(10, named(&["test.rare"]))).len(), 0);
    }
}
