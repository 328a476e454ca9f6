//! The clocks of one host: a monotonic one and a wall clock, each with a rate of its own.
//!
//! Both are straight lines over true time that can be bent: [`Clock::set_drift`] changes the rate of the crystal, which
//! both clocks follow, [`Clock::set_wall_drift`] that of the wall clock against the monotonic one (a clock daemon that
//! slews, or a hypervisor that corrects in small steps). The monotonic clock never goes back. It stands still while the
//! machine is suspended, as CLOCK_MONOTONIC does (clock_gettime(2): it "does not count time that the system is
//! suspended"); the wall clock is set right when the machine goes on (Linux: `timekeeping_inject_sleeptime64`). The wall
//! clock can also be stepped, and frozen: then it shows one time until it is thawed, when it shows what it would have
//! shown without.
//!
//! The clock since boot, CLOCK_BOOTTIME, is the monotonic one and the time spent suspended; it begins anew with each boot.
//!
//! Left out on purpose: leap seconds. The monotonic clock goes on through crashes: it only has to be monotonic within one
//! process, and nothing durable may depend on it.

/// The wall clock reads this at the start of the simulation on a host without offset: 2026-01-01T00:00:00Z.
pub const EPOCH_MS: i64 = 1_767_225_600_000;

const NS_PER_MS: i64 = 1_000_000;

/// How a host's clocks differ from true time when the host is added to the world.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClockSpec {
    /// The wall clock is ahead of true time by this (milliseconds; negative: behind).
    pub offset_ms: i64,
    /// Both clocks run fast by this (parts per million; negative: slow). Crystals do ±100.
    pub drift_ppm: i64,
}

/// A line: at `from_ns` of the clock below it shows `shows_ns`, and goes on from there fast by `ppm`.
#[derive(Clone, Copy, Debug)]
struct Line {
    from_ns: u64,
    shows_ns: i64,
    ppm: i64,
}

impl Line {
    fn at(&self, below_ns: u64) -> i64 {
        let passed_ns = i64::try_from(below_ns.saturating_sub(self.from_ns)).unwrap_or(i64::MAX);
        let drift_ns = match passed_ns.checked_mul(self.ppm) {
            Some(product) => product / 1_000_000,
            None => (i128::from(passed_ns) * i128::from(self.ppm) / 1_000_000) as i64,
        };
        self.shows_ns.saturating_add(passed_ns).saturating_add(drift_ns)
    }

    fn bend(&mut self, below_ns: u64, ppm: i64) {
        assert!(ppm > -1_000_000, "a clock that is slow by {ppm} ppm does not go forward");
        *self = Line { from_ns: below_ns, shows_ns: self.at(below_ns), ppm };
    }
}

/// The clocks of a host.
#[derive(Clone, Debug)]
pub struct Clock {
    /// The monotonic clock over true time.
    monotonic: Line,
    /// The wall clock over the monotonic one, in nanoseconds since [`EPOCH_MS`].
    wall: Line,
    /// The true time since which the machine is suspended.
    suspended_ns: Option<u64>,
    /// What the wall clock shows while it is frozen, in milliseconds since 1970.
    frozen_ms: Option<i64>,
    /// What the machine has spent suspended, up to the end of the last time.
    slept_ns: u64,
    /// What monotonic clock and sleep came to when the machine booted.
    booted_ns: u64,
}

impl Clock {
    /// Clocks as they are at true time 0.
    pub fn new(spec: ClockSpec) -> Clock {
        assert!(spec.drift_ppm > -1_000_000, "a clock that is slow by {} ppm does not go forward", spec.drift_ppm);
        Clock {
            monotonic: Line { from_ns: 0, shows_ns: 0, ppm: spec.drift_ppm },
            wall: Line { from_ns: 0, shows_ns: spec.offset_ms.saturating_mul(NS_PER_MS), ppm: 0 },
            suspended_ns: None,
            frozen_ms: None,
            slept_ns: 0,
            booted_ns: 0,
        }
    }

    /// The monotonic clock at a true time, both in nanoseconds.
    pub fn monotonic_ns(&self, true_ns: u64) -> u64 {
        self.monotonic.at(self.suspended_ns.unwrap_or(true_ns)).cast_unsigned()
    }

    /// The time since the machine booted, in nanoseconds.
    pub fn since_boot_ns(&self, true_ns: u64) -> u64 {
        self.running_and_asleep_ns(true_ns) - self.booted_ns
    }

    fn running_and_asleep_ns(&self, true_ns: u64) -> u64 {
        let asleep_ns = self.suspended_ns.map_or(0, |since_ns| true_ns.saturating_sub(since_ns));
        self.monotonic_ns(true_ns) + self.slept_ns + asleep_ns
    }

    /// The machine boots.
    pub fn boot(&mut self, true_ns: u64) {
        self.booted_ns = self.running_and_asleep_ns(true_ns);
    }

    /// The first true time at which the monotonic clock reads at least `monotonic_ns`; `u64::MAX` when it will not as
    /// things are: the machine is suspended, or that is too far away.
    pub fn true_ns(&self, monotonic_ns: u64) -> u64 {
        let Line { from_ns, shows_ns, ppm } = self.monotonic;
        let missing_ns = i128::from(monotonic_ns) - i128::from(shows_ns);
        if missing_ns <= 0 {
            return from_ns;
        }
        if self.suspended_ns.is_some() {
            return u64::MAX;
        }
        let rate = 1_000_000 + i128::from(ppm);
        let missing_ns = if ppm == 0 { missing_ns } else { (missing_ns * 1_000_000 + rate - 1) / rate };
        u64::try_from(missing_ns).map_or(u64::MAX, |missing_ns| from_ns.saturating_add(missing_ns))
    }

    /// The wall clock at a true time, in milliseconds since 1970.
    pub fn wall_ms(&self, true_ns: u64) -> i64 {
        self.frozen_ms.unwrap_or_else(|| EPOCH_MS + self.wall.at(self.monotonic_ns(true_ns)).div_euclid(NS_PER_MS))
    }

    /// How fast both clocks run, in parts per million.
    pub fn drift_ppm(&self) -> i64 {
        self.monotonic.ppm
    }

    /// How fast the wall clock runs against the monotonic one, in parts per million.
    pub fn wall_drift_ppm(&self) -> i64 {
        self.wall.ppm
    }

    /// From `true_ns` on both clocks run fast by `ppm`.
    pub fn set_drift(&mut self, true_ns: u64, ppm: i64) {
        self.monotonic.bend(self.suspended_ns.unwrap_or(true_ns), ppm);
    }

    /// From `true_ns` on the wall clock runs fast by `ppm` against the monotonic one.
    pub fn set_wall_drift(&mut self, true_ns: u64, ppm: i64) {
        self.wall.bend(self.monotonic_ns(true_ns), ppm);
    }

    /// Steps the wall clock, frozen or not.
    pub fn step(&mut self, step_ms: i64) {
        self.wall.shows_ns = self.wall.shows_ns.saturating_add(step_ms.saturating_mul(NS_PER_MS));
        self.frozen_ms = self.frozen_ms.map(|shown_ms| shown_ms.saturating_add(step_ms));
    }

    /// The wall clock shows the present time for ever; false when it does already.
    pub fn freeze(&mut self, true_ns: u64) -> bool {
        let was_running = self.frozen_ms.is_none();
        self.frozen_ms = Some(self.wall_ms(true_ns));
        was_running
    }

    /// The wall clock shows again what it would have shown without [`Clock::freeze`]; false when it was not frozen.
    pub fn thaw(&mut self) -> bool {
        self.frozen_ms.take().is_some()
    }

    /// The monotonic clock stands still.
    pub fn suspend(&mut self, true_ns: u64) {
        self.suspended_ns.get_or_insert(true_ns);
    }

    /// The monotonic clock goes on from where it stood, and the wall clock is set forward by the time in between; returns
    /// that time.
    pub fn resume(&mut self, true_ns: u64) -> u64 {
        let Some(suspended_ns) = self.suspended_ns.take() else {
            return 0;
        };
        let slept_ns = true_ns - suspended_ns;
        self.slept_ns += slept_ns;
        self.monotonic = Line { from_ns: true_ns, shows_ns: self.monotonic.at(suspended_ns), ..self.monotonic };
        self.wall.shows_ns = self.wall.shows_ns.saturating_add(i64::try_from(slept_ns).unwrap_or(i64::MAX));
        slept_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND_NS: u64 = 1_000_000_000;

    #[test]
    fn a_drifting_clock_reaches_its_deadline_and_not_before() {
        for drift_ppm in [-200, -1, 0, 1, 200] {
            let clock = Clock::new(ClockSpec { offset_ms: 0, drift_ppm });
            for deadline_ns in [0, 1, 999, 1_000_000, 123_456_789_012] {
                let true_ns = clock.true_ns(deadline_ns);
                assert!(clock.monotonic_ns(true_ns) >= deadline_ns);
                assert!(true_ns == 0 || clock.monotonic_ns(true_ns - 1) <= deadline_ns);
            }
        }
    }

    #[test]
    fn the_wall_clock_carries_offset_and_drift() {
        let clock = Clock::new(ClockSpec { offset_ms: -250, drift_ppm: 100 });
        assert_eq!(clock.wall_ms(0), EPOCH_MS - 250);
        assert_eq!(clock.wall_ms(10 * SECOND_NS), EPOCH_MS - 250 + 10_001);
    }

    #[test]
    fn a_frozen_wall_clock_follows_steps_only_and_is_right_again_when_thawed() {
        let mut clock = Clock::new(ClockSpec::default());
        assert!(clock.freeze(SECOND_NS));
        assert!(!clock.freeze(2 * SECOND_NS));
        assert_eq!(clock.wall_ms(5 * SECOND_NS), EPOCH_MS + 1_000);
        assert_eq!(clock.monotonic_ns(5 * SECOND_NS), 5 * SECOND_NS);
        clock.step(-300);
        assert_eq!(clock.wall_ms(6 * SECOND_NS), EPOCH_MS + 700);
        assert!(clock.thaw());
        assert!(!clock.thaw());
        assert_eq!(clock.wall_ms(6 * SECOND_NS), EPOCH_MS + 5_700);
    }

    #[test]
    fn a_suspended_machine_counts_no_time_and_is_set_right_afterwards() {
        let mut clock = Clock::new(ClockSpec::default());
        clock.suspend(2 * SECOND_NS);
        assert_eq!(clock.monotonic_ns(9 * SECOND_NS), 2 * SECOND_NS);
        assert_eq!(clock.true_ns(3 * SECOND_NS), u64::MAX);
        assert_eq!(clock.resume(12 * SECOND_NS), 10 * SECOND_NS);
        assert_eq!(clock.monotonic_ns(13 * SECOND_NS), 3 * SECOND_NS);
        assert_eq!(clock.true_ns(3 * SECOND_NS), 13 * SECOND_NS);
        assert_eq!(clock.wall_ms(13 * SECOND_NS), EPOCH_MS + 13_000);
    }

    #[test]
    fn the_clock_since_boot_counts_sleep_and_no_steps_and_begins_anew_with_each_boot() {
        let mut clock = Clock::new(ClockSpec { offset_ms: 500, drift_ppm: 0 });
        clock.boot(3 * SECOND_NS);
        clock.step(86_400_000);
        assert_eq!(clock.since_boot_ns(5 * SECOND_NS), 2 * SECOND_NS);
        clock.suspend(5 * SECOND_NS);
        assert_eq!(clock.since_boot_ns(9 * SECOND_NS), 6 * SECOND_NS);
        clock.resume(10 * SECOND_NS);
        clock.step(-86_400_000);
        assert_eq!(clock.since_boot_ns(12 * SECOND_NS), 9 * SECOND_NS);
        clock.boot(20 * SECOND_NS);
        assert_eq!(clock.since_boot_ns(21 * SECOND_NS), SECOND_NS);
    }

    #[test]
    fn the_wall_clock_can_have_a_rate_of_its_own() {
        let mut clock = Clock::new(ClockSpec::default());
        clock.set_wall_drift(SECOND_NS, 10_000);
        assert_eq!(clock.wall_ms(101 * SECOND_NS), EPOCH_MS + 102_000);
        assert_eq!(clock.monotonic_ns(101 * SECOND_NS), 101 * SECOND_NS);
    }

    #[derive(Clone, Copy, Debug)]
    enum Change {
        Drift(i64),
        WallDrift(i64),
        Step(i64),
        Freeze,
        Thaw,
        Suspend,
        Resume,
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            (-999_999_i64..1_000_000).prop_map(Change::Drift),
            (-999_999_i64..1_000_000).prop_map(Change::WallDrift),
            (-86_400_000_i64..86_400_000).prop_map(Change::Step),
            Just(Change::Freeze),
            Just(Change::Thaw),
            Just(Change::Suspend),
            Just(Change::Resume),
        ]
    }

    proptest! {
        /// Whatever is done to a clock: the monotonic one never goes back, nothing but steps, thaws and the end of a
        /// suspension moves the wall clock by a jump, and a deadline is never called reached before it is.
        #[test]
        fn the_monotonic_clock_never_goes_back(changes in prop::collection::vec((0..3_600 * SECOND_NS, change()), 1..40)) {
            let mut clock = Clock::new(ClockSpec { offset_ms: 17, drift_ppm: -30 });
            let mut now_ns = 0;
            for (after_ns, change) in changes {
                let (before_ns, before_since_boot_ns) = (clock.monotonic_ns(now_ns), clock.since_boot_ns(now_ns));
                now_ns += after_ns;
                let since_boot_ns = clock.since_boot_ns(now_ns);
                prop_assert!(since_boot_ns >= before_since_boot_ns);
                let (monotonic_ns, wall_ms) = (clock.monotonic_ns(now_ns), clock.wall_ms(now_ns));
                prop_assert!(monotonic_ns >= before_ns);
                match change {
                    Change::Drift(ppm) => clock.set_drift(now_ns, ppm),
                    Change::WallDrift(ppm) => clock.set_wall_drift(now_ns, ppm),
                    Change::Step(step_ms) => clock.step(step_ms),
                    Change::Freeze => drop(clock.freeze(now_ns)),
                    Change::Thaw => drop(clock.thaw()),
                    Change::Suspend => clock.suspend(now_ns),
                    Change::Resume => drop(clock.resume(now_ns)),
                }
                prop_assert_eq!(clock.monotonic_ns(now_ns), monotonic_ns);
                prop_assert_eq!(clock.since_boot_ns(now_ns), since_boot_ns);
                match change {
                    Change::Step(step_ms) => prop_assert_eq!(clock.wall_ms(now_ns), wall_ms + step_ms),
                    Change::Thaw | Change::Resume => {}
                    _ => prop_assert_eq!(clock.wall_ms(now_ns), wall_ms),
                }
                for wait_ns in [0, 1, SECOND_NS, 1_000 * SECOND_NS] {
                    let true_ns = clock.true_ns(monotonic_ns + wait_ns);
                    prop_assert!(true_ns == u64::MAX || clock.monotonic_ns(true_ns.max(now_ns)) >= monotonic_ns + wait_ns);
                }
            }
        }
    }
}
