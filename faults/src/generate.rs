//! From a fault, a random key and a cast to a plan.
//!
//! Each quantity has its own sub-key, so that two plans for the same seed differ only where their classes differ: the same
//! moment of the fault, for example, whatever the fault is. Cluster modes can thus be compared on the same faults.
//!
//! In a sequence each later fault strikes after the one before it has taken effect: in one case of three while that is still
//! in force, else within seconds of its end, when the group still recovers. A fault that would find nothing to take (its host
//! is down) waits for the end. All moments lie within the window; the faults that are not the last are short enough for that.

use crate::{
    Action, Cast, CrashKind, Direction, Down, Fault, FaultError, FaultKind, Group, Plan, PlannedEvent,
    check::{Hold, holds},
};
use sim::world::Key;

/// When a fault may strike, in simulated milliseconds since the start of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub from_ms: u64,
    pub to_ms: u64,
}

/// How long a killed process stays away: a supervisor's restart delay, or an operator's.
const RESTART_MS: (u64, u64) = (500, 6_000);
/// How long a machine needs from its crash until its broker starts: short for a simulated boot, so that a run stays short.
const REBOOT_MS: (u64, u64) = (3_000, 9_000);
/// What machines that lost power together need in addition, each for itself: in any order.
const REBOOT_SPREAD_MS: (u64, u64) = (0, 8_000);
/// How long a cut lasts.
const CUT_MS: (u64, u64) = (2_000, 14_000);
/// How long a disk, a drive or a link is slow or away.
const SLOW_MS: (u64, u64) = (4_000, 14_000);
/// How long a process stands still: from a live migration's last copy to a hypervisor that is out of memory.
const PAUSE_MS: (u64, u64) = (1_000, 15_000);
/// How long after the end of one fault the next of a sequence strikes.
const AFTER_MS: (u64, u64) = (50, 4_000);
/// How long after its beginning at the earliest, when it lasts.
const MEANWHILE_MS: (u64, u64) = (200, 6_000);

/// Slow hardware comes in all grades, so its figures are drawn as a power of two times these. Gunawi et al., "Fail-Slow at
/// Scale" (FAST 2018), report disks down to 100 kB/s, and network cards down to kbit/s.
const SLOW_DISK_LATENCY_MS: u64 = 5;
const SLOW_DISK_BYTES_PER_S: u64 = 50_000;
const SLOW_LINK_LATENCY_MS: u64 = 1;
const SLOW_LINK_BYTES_PER_S: u64 = 64_000;
const CLOCK_STEP_MS: u64 = 200;

/// The smallest RAID10 has this many drives; drives with higher numbers are not the targets of generated plans.
const RAID_MEMBERS: u64 = 4;

/// The plan of this fault against a group of `cast` that the key draws, within `window`.
///
/// # Errors
/// When the cast has nobody for a kind to strike: no group with a secondary, no registry.
pub fn generate(fault: &Fault, key: Key, cast: &Cast, window: Window) -> Result<Plan, FaultError> {
    if fault.is_none() {
        return Ok(Plan::default());
    }
    let target = Target::draw(fault, key, cast)?;
    let gaps = fault.kinds().len() as u64 - 1;
    // The longest way from one fault of a sequence to the next.
    let gap_ms_max = window.to_ms.saturating_sub(window.from_ms).checked_div(gaps).unwrap_or(u64::MAX);
    let mut events: Vec<PlannedEvent> = Vec::new();
    let mut taken: Vec<Hold> = Vec::new();
    for (number, kind) in (0..).zip(fault.kinds()) {
        let key = if number == 0 { key } else { key.derive("then").index(number) };
        let is_last = number == gaps;
        let draws = Draws { key, lasts_ms_max: if is_last { u64::MAX } else { gap_ms_max / 3 * 2 } };
        let lost = |host: &str| {
            // Down until everything is healed.
            taken.iter().any(|hold| hold.is_process_of(host) && hold.to_ms == u64::MAX)
        };
        let action = target.action(*kind, &draws, cast, &lost)?;
        let at_ms = match events.last() {
            None => 0,
            Some(before) => {
                let ends_ms = before.action.lasts_ms().map(|lasts_ms| before.at_ms + lasts_ms);
                draws.next_moment(before.at_ms, ends_ms, gap_ms_max, &action, &taken)
            }
        };
        taken.extend(holds(events.len(), at_ms, &action, u64::MAX));
        events.push(PlannedEvent { at_ms, action });
    }
    // So far the first one struck at 0. A sequence that would leave the window as a whole begins earlier.
    let whole_ms = events.last().map_or(0, |event| event.at_ms);
    let draws = Draws { key, lasts_ms_max: u64::MAX };
    let moment_ms = draws.range("moment", (window.from_ms, window.to_ms));
    let from_ms = moment_ms.min(window.to_ms.saturating_sub(whole_ms)).max(window.from_ms);
    for event in &mut events {
        event.at_ms += from_ms;
    }
    Ok(Plan { events })
}

/// The random quantities of one fault of a sequence.
struct Draws {
    key: Key,
    /// It lasts no longer than this, for the sake of those that follow.
    lasts_ms_max: u64,
}

impl Draws {
    fn range(&self, purpose: &str, (low, high): (u64, u64)) -> u64 {
        self.key.derive(purpose).stream().range(low, high)
    }

    fn below(&self, purpose: &str, bound: u64) -> u64 {
        self.key.derive(purpose).stream().below(bound)
    }

    fn lasts_ms(&self, purpose: &str, range: (u64, u64)) -> u64 {
        self.range(purpose, range).min(self.lasts_ms_max).max(1)
    }

    /// `unit` times a power of two, of which there are `grades`.
    fn grade(&self, purpose: &str, unit: u64, grades: u64) -> u64 {
        unit << self.below(purpose, grades)
    }

    /// When the next fault of a sequence strikes.
    fn next_moment(
        &self,
        before_ms: u64,
        ends_ms: Option<u64>,
        gap_ms_max: u64,
        action: &Action,
        taken: &[Hold],
    ) -> u64 {
        let (low, high) = AFTER_MS;
        let after_ms = self.range("after", (low, high)).min(gap_ms_max / 3).max(1);
        let meanwhile = |ends_ms: u64| before_ms + self.range("meanwhile", (MEANWHILE_MS.0, ends_ms - before_ms));
        let at_ms = match ends_ms {
            None => before_ms + self.range("meanwhile", MEANWHILE_MS),
            Some(ends_ms) if ends_ms - before_ms > MEANWHILE_MS.0 && self.below("overlap", 3) == 0 => {
                meanwhile(ends_ms)
            }
            Some(ends_ms) => ends_ms + after_ms,
        };
        let at_ms = at_ms.min(before_ms.saturating_add(gap_ms_max));
        let wanted = holds(0, at_ms, action, u64::MAX);
        let free_ms =
            wanted.iter().flat_map(|hold| taken.iter().filter(|other| other.excludes(hold))).map(|hold| hold.to_ms);
        free_ms.max().map_or(at_ms, |free_ms| free_ms.saturating_add(after_ms))
    }
}

/// Whom the faults of a plan strike: the same in all of a sequence.
struct Target<'a> {
    group: &'a Group,
    /// The slave among those of the group, if it has any.
    secondary: Option<&'a str>,
    registry: Option<&'a str>,
    client: Option<&'a str>,
}

impl<'a> Target<'a> {
    fn draw(fault: &Fault, key: Key, cast: &'a Cast) -> Result<Target<'a>, FaultError> {
        let one_of = |purpose: &str, count: usize| key.derive(purpose).stream().below(count as u64) as usize;
        let needing = fault.kinds().iter().find(|kind| kind.needs_secondary());
        let groups = cast.groups.iter().filter(|group| needing.is_none() || !group.secondaries.is_empty());
        let groups = groups.collect::<Vec<_>>();
        let Some(group) = groups.get(one_of("group", groups.len())) else {
            return Err(match needing {
                Some(kind) if !cast.groups.is_empty() => {
                    let primaries = cast.groups.iter().map(|group| group.primary.as_str());
                    FaultError::NeedsSecondary { kind: *kind, groups: primaries.collect::<Vec<_>>().join(", ") }
                }
                _ => FaultError::NeedsGroup { kind: fault.first() },
            });
        };
        let pick = |purpose, names: &'a [String]| names.get(one_of(purpose, names.len())).map(String::as_str);
        Ok(Target {
            group,
            secondary: pick("secondary", &group.secondaries),
            registry: pick("registry", &cast.registries),
            client: pick("client", &cast.clients),
        })
    }

    fn action(
        &self,
        kind: FaultKind,
        draws: &Draws,
        cast: &Cast,
        is_lost: &dyn Fn(&str) -> bool,
    ) -> Result<Action, FaultError> {
        let primary = || self.group.primary.clone();
        let secondary = || {
            let groups = self.group.primary.clone();
            self.secondary.map(str::to_owned).ok_or(FaultError::NeedsSecondary { kind, groups })
        };
        let registry = || self.registry.map(str::to_owned).ok_or(FaultError::NeedsRegistry { kind });
        let restart_ms = || Some(draws.lasts_ms("restart", RESTART_MS));
        let reboot_ms = || Some(draws.lasts_ms("reboot", REBOOT_MS));
        let cut_ms = || Some(draws.lasts_ms("cut", CUT_MS));
        let slow_ms = || Some(draws.lasts_ms("slow", SLOW_MS));
        let crash = |host, crash, boot_after_ms| Action::Crash { host, crash, boot_after_ms };
        let isolate = |host, direction| Action::Isolate { host, direction, heal_after_ms: cut_ms() };
        let cut = |host, peers| Action::Cut { host, peers, direction: Direction::Both, heal_after_ms: cut_ms() };
        let slow_disk = |host| Action::SlowDisk {
            host,
            latency_ms: draws.grade("disk-latency", SLOW_DISK_LATENCY_MS, 6),
            bytes_per_s: draws.grade("disk-rate", SLOW_DISK_BYTES_PER_S, 8),
            restore_after_ms: slow_ms(),
        };
        let power_off = |hosts: Vec<&str>| {
            let reboot_ms = draws.range("reboot", REBOOT_MS);
            let down = |(number, host): (u64, &str)| {
                let mut stream = draws.key.derive("spread").index(number).stream();
                let spread_ms = stream.range(REBOOT_SPREAD_MS.0, REBOOT_SPREAD_MS.1);
                let boot_after_ms = (reboot_ms + spread_ms).min(draws.lasts_ms_max).max(1);
                Down { host: host.to_owned(), boot_after_ms: Some(boot_after_ms) }
            };
            let hosts = (0..).zip(hosts).filter(|(_, host)| !is_lost(host)).map(down).collect();
            Action::CrashTogether { crash: CrashKind::PowerLoss, hosts }
        };
        Ok(match kind {
            FaultKind::None => unreachable!("`none` stands alone, and its plan is empty"),
            FaultKind::BrokerCrash => crash(primary(), CrashKind::ProcessKill, restart_ms()),
            FaultKind::OsCrash => crash(primary(), CrashKind::OsCrash, reboot_ms()),
            FaultKind::PowerLoss => crash(primary(), CrashKind::PowerLoss, reboot_ms()),
            FaultKind::PowerLossRack => power_off(self.group.members().collect()),
            FaultKind::PowerLossAll => power_off(cast.servers().collect()),
            FaultKind::DiskLoss => crash(primary(), CrashKind::DiskLoss, reboot_ms()),
            FaultKind::MachineLoss => crash(primary(), CrashKind::DiskLoss, None),
            FaultKind::DiskMemberLoss => {
                let member = draws.below("member", RAID_MEMBERS) as u16;
                Action::LoseMember { host: primary(), member, replace_after_ms: slow_ms() }
            }
            FaultKind::Partition => isolate(primary(), Direction::Both),
            FaultKind::PartitionIn => isolate(primary(), Direction::In),
            FaultKind::PartitionOut => isolate(primary(), Direction::Out),
            FaultKind::SlaveCrash => crash(secondary()?, CrashKind::ProcessKill, restart_ms()),
            FaultKind::SlaveOsCrash => crash(secondary()?, CrashKind::OsCrash, reboot_ms()),
            FaultKind::SlavePowerLoss => crash(secondary()?, CrashKind::PowerLoss, reboot_ms()),
            FaultKind::SlaveDiskLoss => crash(secondary()?, CrashKind::DiskLoss, reboot_ms()),
            FaultKind::PartitionSlave => isolate(secondary()?, Direction::Both),
            FaultKind::PartitionPair => cut(primary(), self.group.secondaries.clone()),
            FaultKind::NamesrvCrash => crash(registry()?, CrashKind::ProcessKill, restart_ms()),
            FaultKind::PartitionNamesrv => {
                let client = self.client.filter(|_| draws.below("side", 2) == 1);
                cut(client.map_or_else(primary, str::to_owned), vec![registry()?])
            }
            FaultKind::SlowDisk => slow_disk(primary()),
            FaultKind::SlowSlave => slow_disk(secondary()?),
            FaultKind::SlowLink => Action::SlowLink {
                host: primary(),
                peers: self.group.secondaries.clone(),
                latency_ms: draws.grade("link-latency", SLOW_LINK_LATENCY_MS, 8),
                bytes_per_s: draws.grade("link-rate", SLOW_LINK_BYTES_PER_S, 7),
                restore_after_ms: slow_ms(),
            },
            FaultKind::ClockStep => {
                let least_ms = draws.grade("clock-step", CLOCK_STEP_MS, 11);
                let step_ms = draws.range("clock-step-within", (least_ms, 2 * least_ms)).cast_signed();
                let backward = draws.below("clock-direction", 2) == 1;
                let step_ms = if backward { -step_ms } else { step_ms };
                Action::StepClock { host: primary(), step_ms, correct_after_ms: cut_ms() }
            }
            FaultKind::Pause => {
                Action::Pause { host: primary(), resume_after_ms: Some(draws.lasts_ms("pause", PAUSE_MS)) }
            }
            FaultKind::FsyncError => Action::FailSync { host: primary() },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window { from_ms: 10_000, to_ms: 30_000 };
    const HEAL_MS: u64 = 50_000;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn pairs() -> Cast {
        let group = |primary: &str| Group { primary: primary.to_owned(), secondaries: vec![format!("{primary}-s")] };
        Cast {
            groups: vec![group("broker-a"), group("broker-b")],
            registries: names(&["namesrv-0", "namesrv-1"]),
            clients: names(&["producer-0", "consumer-0"]),
        }
    }

    fn single() -> Cast {
        Cast { groups: vec![Group::alone("broker-a")], ..pairs() }
    }

    fn plan(fault: &str, seed: u64, cast: &Cast) -> Result<Plan, FaultError> {
        generate(&fault.parse().expect("a fault"), Key::root(seed).derive("plan"), cast, WINDOW)
    }

    /// All sequences of two kinds, and the single ones.
    fn faults() -> Vec<Fault> {
        let one = FaultKind::ALL.map(|kind| Fault::sequence(vec![kind])).into_iter();
        let two = FaultKind::ALL.into_iter().flat_map(|a| FaultKind::ALL.map(|b| Fault::sequence(vec![a, b])));
        one.chain(two).filter_map(Result::ok).collect()
    }

    #[test]
    fn all_classes_strike_at_the_same_moment_for_the_same_seed() {
        for seed in 0..20 {
            let moment =
                |cast: &Cast, kind: &FaultKind| Some(plan(kind.name(), seed, cast).ok()?.events.first()?.at_ms);
            let moments = FaultKind::ALL.iter().filter_map(|kind| moment(&pairs(), kind)).collect::<Vec<_>>();
            assert_eq!(moments.len(), FaultKind::ALL.len() - 1);
            assert!(moments.iter().all(|at_ms| *at_ms == moments[0]));
            assert!((WINDOW.from_ms..=WINDOW.to_ms).contains(&moments[0]));
            assert_eq!(moment(&single(), &FaultKind::PowerLoss), Some(moments[0]), "in any mode");
        }
    }

    #[test]
    fn each_quantity_has_a_key_of_its_own() {
        // Written out: seeds that people have noted must go on meaning what they meant.
        for seed in 0..20 {
            let draw =
                |purpose: &str, low, high| Key::root(seed).derive("plan").derive(purpose).stream().range(low, high);
            let host = || "broker-a".to_owned();
            let crash = |crash, boot_after_ms| Action::Crash { host: host(), crash, boot_after_ms };
            let direction = Direction::In;
            let expected = [
                ("broker-crash", crash(CrashKind::ProcessKill, Some(draw("restart", 500, 6_000)))),
                ("power-loss", crash(CrashKind::PowerLoss, Some(draw("reboot", 3_000, 9_000)))),
                ("machine-loss", crash(CrashKind::DiskLoss, None)),
                (
                    "partition-in",
                    Action::Isolate { host: host(), direction, heal_after_ms: Some(draw("cut", 2_000, 14_000)) },
                ),
            ];
            for (fault, action) in expected {
                let at_ms = draw("moment", 10_000, 30_000);
                let events = vec![PlannedEvent { at_ms, action }];
                assert_eq!(plan(fault, seed, &single()), Ok(Plan { events }));
            }
        }
    }

    #[test]
    fn seeds_differ_and_every_group_and_slave_has_its_turn() {
        assert_eq!(plan("power-loss", 1, &pairs()), plan("power-loss", 1, &pairs()));
        assert_ne!(plan("power-loss", 1, &pairs()), plan("power-loss", 2, &pairs()));
        let hosts = |fault: &str| {
            let host = |seed| plan(fault, seed, &pairs()).expect("a plan").events[0].action.host().to_owned();
            (0..40).map(host).collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>()
        };
        assert_eq!(hosts("power-loss"), ["broker-a", "broker-b"]);
        assert_eq!(hosts("slave-crash"), ["broker-a-s", "broker-b-s"]);
        assert_eq!(hosts("namesrv-crash"), ["namesrv-0", "namesrv-1"]);
        assert_eq!(hosts("partition-namesrv"), ["broker-a", "broker-b", "consumer-0", "producer-0"]);
    }

    #[test]
    fn every_plan_of_one_or_two_can_be_carried_out_and_keeps_to_its_window() {
        let cast = pairs();
        let hosts = cast.servers().chain(cast.clients.iter().map(String::as_str)).collect::<Vec<_>>();
        for fault in faults() {
            for seed in 0..12 {
                let plan = generate(&fault, Key::root(seed), &cast, WINDOW).expect("everybody is there");
                plan.check(&hosts, HEAL_MS).unwrap_or_else(|error| panic!("{fault}, seed {seed}: {error}"));
                let count = if fault.is_none() { 0 } else { fault.kinds().len() };
                assert_eq!(plan.events.len(), count, "{fault}");
                let moments = plan.events.iter().map(|event| event.at_ms).collect::<Vec<_>>();
                assert!(moments.is_sorted(), "{fault}, seed {seed}: {moments:?}");
                assert!(
                    moments.iter().all(|at_ms| (WINDOW.from_ms..=WINDOW.to_ms).contains(at_ms)),
                    "{fault}, seed {seed}: {moments:?}"
                );
            }
        }
    }

    #[test]
    fn sequences_of_three_keep_to_a_short_window_too() {
        let cast = pairs();
        let window = Window { from_ms: 5_000, to_ms: 9_000 };
        let fault: Fault = "slave-power-loss+power-loss+power-loss-all".parse().expect("a fault");
        for seed in 0..50 {
            let plan = generate(&fault, Key::root(seed), &cast, window).expect("everybody is there");
            plan.check(&cast.servers().collect::<Vec<_>>(), HEAL_MS).expect("they do not meet");
            assert!(plan.events.iter().all(|event| (5_000..=9_000).contains(&event.at_ms)), "{plan:?}");
        }
    }

    #[test]
    fn the_second_strikes_the_same_group_often_right_after_the_end_of_the_first() {
        let (mut meanwhile, mut after) = (0, 0);
        for seed in 0..60 {
            let plan = plan("slave-power-loss+power-loss", seed, &pairs()).expect("a plan");
            let (slave, master) = (&plan.events[0], &plan.events[1]);
            assert_eq!(slave.action.host(), format!("{}-s", master.action.host()));
            let back_ms = slave.at_ms + slave.action.lasts_ms().expect("it boots again");
            if master.at_ms < back_ms {
                meanwhile += 1;
            } else {
                assert!(master.at_ms <= back_ms + AFTER_MS.1);
                after += 1;
            }
        }
        assert!(meanwhile > 5 && after > 25, "{meanwhile} {after}");
    }

    #[test]
    fn all_machines_lose_power_at_once_and_boot_in_any_order() {
        let mut orders = std::collections::BTreeSet::new();
        for seed in 0..20 {
            let plan = plan("power-loss-all", seed, &pairs()).expect("a plan");
            let Action::CrashTogether { crash: CrashKind::PowerLoss, hosts } = &plan.events[0].action else {
                panic!("{plan:?}");
            };
            assert_eq!(hosts.len(), 6);
            let mut order = hosts.iter().map(|down| (down.boot_after_ms, &down.host)).collect::<Vec<_>>();
            order.sort();
            orders.insert(order.into_iter().map(|(_, host)| host.clone()).collect::<Vec<_>>());
        }
        assert!(orders.len() > 15, "{}", orders.len());
        let rack = plan("power-loss-rack", 1, &pairs()).expect("a plan");
        assert_eq!(rack.events[0].action.hosts().len(), 2);
        let rest = plan("machine-loss+power-loss-rack", 1, &pairs()).expect("a plan");
        assert_eq!(rest.events[1].action.hosts().len(), 1, "the lost machine has no power to lose");
    }

    #[test]
    fn a_fault_that_finds_nobody_to_strike_says_so() {
        for kind in FaultKind::ALL {
            let planned = plan(kind.name(), 1, &single());
            assert_eq!(planned.is_err(), kind.needs_secondary(), "{kind}");
        }
        let error = plan("power-loss+slave-crash", 1, &single()).expect_err("no slave").to_string();
        assert!(error.contains("`slave-crash` needs a slave") && error.contains("broker-a"), "{error}");
        let alone = Cast { registries: Vec::new(), ..single() };
        let error = plan("namesrv-crash", 1, &alone).expect_err("no name server").to_string();
        assert!(error.contains("needs a name server"), "{error}");
        assert!(plan("power-loss", 1, &Cast::default()).is_err());
    }

    #[test]
    fn only_groups_with_secondaries_are_drawn_for_faults_that_need_one() {
        let mut cast = pairs();
        cast.groups[0].secondaries.clear();
        for seed in 0..20 {
            let plan = plan("partition-pair", seed, &cast).expect("one group will do");
            assert_eq!(plan.events[0].action.hosts(), ["broker-b", "broker-b-s"]);
        }
    }
}
