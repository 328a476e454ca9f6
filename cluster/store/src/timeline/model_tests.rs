use proptest::prelude::*;

use super::*;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// What the wall clock shows at the beginning, if it is right.
const WALL_MS: i64 = 1_767_225_600_000;

/// A machine with a store: true time, clocks that may be wrong, and what was stored when.
struct Machine {
    true_ms: i64,
    booted_ms: i64,
    boots: u32,
    /// How far the wall clock is ahead.
    ahead_ms: i64,
    frozen: Option<i64>,
    timeline: Timeline,
    base_ms: i64,
    noted: Noted,
    end: PhysicalOffset,
    last_timestamp_ms: Option<i64>,
    /// Offset, timestamp, and when it truly was.
    stored: Vec<(PhysicalOffset, i64, i64)>,
}

impl Machine {
    fn new() -> Machine {
        let clocks = Clocks { boot_id: "boot 0".to_owned(), since_boot_ms: 0, wall_ms: WALL_MS };
        let (timeline, now) = Timeline::resume(Noted::default(), PhysicalOffset(0), None, &clocks);
        let mut machine = Machine {
            true_ms: 0,
            booted_ms: 0,
            boots: 0,
            ahead_ms: 0,
            frozen: None,
            timeline,
            base_ms: now.ms(),
            noted: Noted::default(),
            end: PhysicalOffset(0),
            last_timestamp_ms: None,
            stored: Vec::new(),
        };
        machine.note();
        machine
    }

    fn wall_ms(&self) -> i64 {
        self.frozen.unwrap_or(WALL_MS + self.true_ms + self.ahead_ms)
    }

    fn now(&self) -> StoreTime {
        StoreTime(self.base_ms + self.true_ms - self.booted_ms)
    }

    fn clocks(&self) -> Clocks {
        let boot_id = format!("boot {}", self.boots);
        Clocks { boot_id, since_boot_ms: self.true_ms - self.booted_ms, wall_ms: self.wall_ms() }
    }

    /// What is in the file.
    fn note(&mut self) {
        let Clocks { boot_id, since_boot_ms, wall_ms } = self.clocks();
        let sighting = Some(Sighting { boot_id, since_boot_ms, at: self.now(), wall_ms });
        self.noted = Noted { sighting, anchors: self.timeline.anchors().to_vec() };
    }

    fn put(&mut self) {
        let timestamp_ms = self.wall_ms().max(self.last_timestamp_ms.unwrap_or(0));
        if let Some(at) = self.timeline.last().correction(timestamp_ms, self.now()) {
            let wall_ms = self.wall_ms() + at.ms_since(self.now());
            self.timeline.set(self.end, timestamp_ms, at, wall_ms, PhysicalOffset(0));
            // Appended at once, as by the task.
            self.noted.anchors = self.timeline.anchors().to_vec();
        }
        self.keep(timestamp_ms);
    }

    fn keep(&mut self, timestamp_ms: i64) {
        self.stored.push((self.end, timestamp_ms, self.true_ms));
        self.last_timestamp_ms = Some(timestamp_ms.max(self.last_timestamp_ms.unwrap_or(0)));
        self.end += 100;
    }

    /// Another process opens the store.
    fn open(&mut self) {
        let (timeline, now) = Timeline::resume(self.noted.clone(), self.end, self.last_timestamp_ms, &self.clocks());
        self.base_ms = now.ms() - (self.true_ms - self.booted_ms);
        self.timeline = timeline;
        self.note();
    }

    /// The machine boots after it was off for so long.
    fn reboot(&mut self, off_ms: i64) {
        self.true_ms += off_ms;
        self.booted_ms = self.true_ms;
        self.boots += 1;
        self.open();
    }

    /// For each record how long ago it was stored: by the timeline, and truly.
    fn ages(&self) -> impl Iterator<Item = (i64, i64)> {
        self.stored.iter().map(|&(offset, timestamp_ms, true_ms)| {
            let at = self.timeline.stored_at(offset, timestamp_ms, self.now());
            (self.now().ms_since(at), self.true_ms - true_ms)
        })
    }

    #[track_caller]
    fn knows_all_ages(&self) {
        for (index, (age_ms, true_age_ms)) in self.ages().enumerate() {
            let least_ms = true_age_ms - true_age_ms / 400 - 3 * SPACING_MS;
            assert!((least_ms..=true_age_ms).contains(&age_ms), "record {index}: {age_ms} ms, truly {true_age_ms}");
        }
    }
}

#[test]
fn while_the_clock_is_right_nothing_is_noted_but_the_opening() {
    let mut machine = Machine::new();
    for _ in 0..10_000 {
        machine.true_ms += 777;
        machine.put();
    }
    assert_eq!(machine.timeline.anchors().len(), 1);
    machine.knows_all_ages();
}

#[test]
fn what_is_stored_under_a_wrong_clock_is_as_old_as_it_is() {
    for ahead_ms in [-DAY_MS, -2_000, -30, 30, 2_000, DAY_MS, 3650 * DAY_MS] {
        let mut machine = Machine::new();
        machine.put();
        for ahead_ms in [ahead_ms, 0, -ahead_ms, ahead_ms, 0] {
            machine.ahead_ms = ahead_ms;
            for step_ms in [0, 1, 10, 5_000, 60_000] {
                machine.true_ms += step_ms;
                machine.put();
            }
            machine.open();
        }
        machine.true_ms += HOUR_MS;
        machine.knows_all_ages();
    }
}

#[test]
fn after_a_boot_the_wall_clock_tells_what_has_passed_but_not_for_certain() {
    let mut machine = Machine::new();
    machine.put();
    machine.true_ms += HOUR_MS;
    machine.put();
    machine.reboot(2 * DAY_MS);
    machine.put();
    machine.true_ms += 5_000;
    machine.knows_all_ages();
    let seen_ms = |machine: &Machine, index: usize| {
        let (offset, timestamp_ms, _) = machine.stored[index];
        machine.timeline.seen_age_ms(offset, timestamp_ms, machine.now())
    };
    let near = |seen_ms: i64, expected_ms: i64| (expected_ms - 100..=expected_ms + 10).contains(&seen_ms);
    assert!(near(seen_ms(&machine, 0), HOUR_MS + 5_000), "{}", seen_ms(&machine, 0));
    assert!(near(seen_ms(&machine, 1), 5_000), "{}", seen_ms(&machine, 1));
    assert!(near(seen_ms(&machine, 2), 5_000), "{}", seen_ms(&machine, 2));
    // A clock that is ahead after the boot is believed, but for nothing that is certain. What nobody noted was not seen either.
    machine.ahead_ms = 4 * DAY_MS;
    machine.reboot(1_000);
    machine.true_ms += 5_000;
    assert!(near(seen_ms(&machine, 1), 5_000), "{}", seen_ms(&machine, 1));
    // One that is behind: no time has passed.
    machine.ahead_ms = -DAY_MS;
    machine.reboot(1_000);
    assert!(machine.ages().all(|(age_ms, true_age_ms)| age_ms <= true_age_ms + 4 * DAY_MS));
    machine.put();
    machine.true_ms += 60_000;
    let (age_ms, true_age_ms) = machine.ages().last().unwrap();
    assert!(near(age_ms, true_age_ms));
}

#[test]
fn a_clock_that_was_ahead_when_the_machine_went_down_does_not_make_records_older() {
    let mut machine = Machine::new();
    machine.put();
    machine.ahead_ms = DAY_MS;
    machine.true_ms += 1_000;
    machine.put();
    machine.ahead_ms = 0;
    machine.true_ms += 1_000;
    machine.put();
    machine.reboot(HOUR_MS);
    machine.knows_all_ages();
}

#[test]
fn a_store_without_a_timeline_is_believed_by_its_timestamps() {
    let clocks = |wall_ms| Clocks { boot_id: "b".to_owned(), since_boot_ms: 9, wall_ms };
    let last_ms = WALL_MS + 10 * HOUR_MS;
    let (timeline, now) =
        Timeline::resume(Noted::default(), PhysicalOffset(1000), Some(last_ms), &clocks(last_ms + HOUR_MS));
    let age_ms = |timeline: &Timeline, now, timestamp_ms| {
        let at = timeline.stored_at(PhysicalOffset(500), timestamp_ms, now);
        (now.ms_since(at), timeline.seen_age_ms(PhysicalOffset(500), timestamp_ms, now))
    };
    let (age, seen) = age_ms(&timeline, now, WALL_MS);
    assert!((11 * HOUR_MS - 2..=11 * HOUR_MS).contains(&age) && (10 * HOUR_MS - 2..=10 * HOUR_MS).contains(&seen));
    // Its last record comes from the future.
    let (timeline, now) = Timeline::resume(Noted::default(), PhysicalOffset(1000), Some(last_ms), &clocks(WALL_MS));
    assert_eq!(age_ms(&timeline, now, last_ms), (0, 0));
    assert_eq!(age_ms(&timeline, now, last_ms + DAY_MS), (0, 0), "nothing is stored later than now");
}

#[test]
fn what_is_noted_stays_small_however_long_the_clock_stands_still() {
    let mut machine = Machine::new();
    machine.frozen = Some(WALL_MS);
    let mut true_ms_of = Vec::new();
    for index in 0..400_000 {
        machine.true_ms += 25;
        machine.put();
        true_ms_of.push(machine.true_ms);
        if index % 20_000 != 0 {
            machine.stored.pop();
        }
        assert!(machine.timeline.anchors().len() <= 2 * ANCHORS_MAX);
    }
    assert!(machine.timeline.anchors().len() > ANCHORS_MAX / 4, "and what is near is still told apart");
    machine.knows_all_ages();
    machine.open();
    machine.knows_all_ages();
}

#[test]
fn anchors_of_deleted_records_go_with_them() {
    let mut machine = Machine::new();
    machine.frozen = Some(WALL_MS);
    for _ in 0..ANCHORS_MAX {
        machine.true_ms += 25;
        machine.end += 100;
        let at = machine.now().plus_ms(SPACING_MS);
        machine.timeline.set(machine.end, WALL_MS, at, WALL_MS, machine.end - 50_000);
    }
    assert!(machine.timeline.anchors().len() < 600, "{}", machine.timeline.anchors().len());
    let (offset, true_ms) = (machine.end - 40_000, machine.true_ms - 400 * 25);
    let age_ms = machine.now().ms_since(machine.timeline.stored_at(offset, WALL_MS, machine.now()));
    assert!((9_900..=machine.true_ms - true_ms).contains(&age_ms), "{age_ms}");
}

#[test]
fn a_log_that_was_cut_forgets_what_was_noted_of_the_rest() {
    let mut machine = Machine::new();
    for ahead_ms in [0, DAY_MS, 0] {
        machine.ahead_ms = ahead_ms;
        machine.true_ms += 10_000;
        machine.put();
    }
    let last = machine.stored.pop().unwrap();
    machine.end = last.0;
    machine.last_timestamp_ms = machine.stored.last().map(|stored| stored.1);
    machine.open();
    assert!(machine.timeline.anchors().iter().rev().skip(1).all(|anchor| anchor.offset < machine.end));
    machine.true_ms += 1_000;
    machine.put();
    machine.true_ms += 1_000;
    machine.knows_all_ages();
}

/// A copy is put with the timestamp of its master.
fn copy(machine: &mut Machine, timestamp_ms: i64, fresh: bool) {
    if let Some(at) = machine.timeline.last().correction_of_copy(timestamp_ms, machine.now(), fresh) {
        machine.timeline.set(machine.end, timestamp_ms, at, machine.wall_ms(), PhysicalOffset(0));
    }
    machine.keep(timestamp_ms);
}

#[test]
fn copies_are_as_old_as_they_are_where_the_master_has_another_clock() {
    for master_ahead_ms in [-DAY_MS, -3_000, 0, 3_000, DAY_MS] {
        let mut slave = Machine::new();
        let mut master_last_ms = 0;
        for step_ms in [10_000, 1, 500, 60_000, 3] {
            slave.true_ms += step_ms;
            master_last_ms = master_last_ms.max(slave.wall_ms() + master_ahead_ms);
            copy(&mut slave, master_last_ms, true);
        }
        // The master's clock is set back, and its timestamps stand still.
        for _ in 0..100 {
            slave.true_ms += 1_000;
            copy(&mut slave, master_last_ms, true);
        }
        slave.true_ms += 30_000;
        for (age_ms, true_age_ms) in slave.ages() {
            assert!((true_age_ms - 500..=true_age_ms).contains(&age_ms), "{age_ms} ms, truly {true_age_ms}");
        }
    }
}

#[test]
fn copies_that_had_to_wait_are_older_than_their_copying() {
    let mut slave = Machine::new();
    slave.true_ms += HOUR_MS;
    slave.open();
    for minutes_ago in (0..60).rev() {
        let timestamp_ms = slave.wall_ms() - minutes_ago * 60_000;
        copy(&mut slave, timestamp_ms, false);
        let (stored, true_ms) = (slave.stored.last_mut().unwrap(), slave.true_ms);
        stored.2 = true_ms - minutes_ago * 60_000;
    }
    slave.true_ms += 1_000;
    slave.knows_all_ages();
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Pass(i64),
    Put,
    SetClock(i64),
    Freeze,
    Thaw,
    Open,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..100_i64).prop_map(Step::Pass),
        2 => (0..2 * HOUR_MS).prop_map(Step::Pass),
        8 => Just(Step::Put),
        2 => (-3 * DAY_MS..3 * DAY_MS).prop_map(Step::SetClock),
        1 => (-200..200_i64).prop_map(Step::SetClock),
        1 => Just(Step::Freeze),
        1 => Just(Step::Thaw),
        1 => Just(Step::Open),
    ]
}

proptest! {
    /// Whatever happens to the wall clock in one boot of a machine, ages are right, and never too high.
    #[test]
    fn in_one_boot_ages_are_right(steps in prop::collection::vec(step(), 1..200)) {
        let mut machine = Machine::new();
        for step in steps {
            match step {
                Step::Pass(ms) => machine.true_ms += ms,
                Step::Put => machine.put(),
                Step::SetClock(ahead_ms) => machine.ahead_ms = ahead_ms,
                Step::Freeze => machine.frozen = Some(machine.wall_ms()),
                Step::Thaw => machine.frozen = None,
                Step::Open => machine.open(),
            }
        }
        machine.knows_all_ages();
    }
}
