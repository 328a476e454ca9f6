//! From a fault, a random key and a cast to a plan.
//!
//! Each quantity has its own sub-key, so that two plans for the same seed differ only where their classes differ: the same
//! moment of the fault, for example, whatever the fault is. Cluster modes can thus be compared on the same faults.
//!
//! In a sequence each later fault strikes after the one before it has taken effect: in one case of three while that is still
//! in force, else within seconds of its end, when the group still recovers. A fault that would find nothing to take (its host
//! is down) waits for the end. Some kinds are several events, such as bits that flip and the crash after which they are read. All moments lie within the window; the faults that are not the last are short enough for that.

mod disk;
mod draws;
mod machine;
mod network;

use crate::{
    Action, Cast, Fault, FaultError, FaultKind, Group, Plan, PlannedEvent, Site,
    check::{Hold, holds},
};
use draws::Draws;
use sim::world::Key;

/// When a fault may strike, in simulated milliseconds since the start of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub from_ms: u64,
    pub to_ms: u64,
}

/// How long after the end of one fault the next of a sequence strikes.
const AFTER_MS: (u64, u64) = (50, 4_000);
/// How long after its beginning at the earliest, when it lasts.
const MEANWHILE_MS: (u64, u64) = (200, 6_000);

/// What one kind does: actions, each with its time in milliseconds after the first.
type Strike = Vec<(u64, Action)>;

/// The plan of this fault against a group of `cast` that the key draws, within `window`.
///
/// # Errors
/// When the cast has nobody for a kind to strike: no group with a secondary, no registry.
pub fn generate(fault: &Fault, key: Key, cast: &Cast, window: Window) -> Result<Plan, FaultError> {
    if fault.is_none() {
        return Ok(Plan::default());
    }
    let target = Target::draw(fault, key, cast)?;
    let site = Site::of(cast.hosts());
    let gaps = fault.kinds().len() as u64 - 1;
    // The longest way from one fault of a sequence to the next.
    let gap_ms_max = window.to_ms.saturating_sub(window.from_ms).checked_div(gaps).unwrap_or(u64::MAX);
    let mut events: Vec<PlannedEvent> = Vec::new();
    let mut taken: Vec<Hold> = Vec::new();
    // When the fault before this one began and ended.
    let mut before: Option<(u64, Option<u64>)> = None;
    for (number, kind) in (0..).zip(fault.kinds()) {
        let key = if number == 0 { key } else { key.derive("then").index(number) };
        let is_last = number == gaps;
        let draws = Draws { key, lasts_ms_max: if is_last { u64::MAX } else { gap_ms_max / 3 * 2 } };
        let lost = |host: &str| {
            // Down until everything is healed.
            taken.iter().any(|hold| hold.is_process_of(host) && hold.to_ms == u64::MAX)
        };
        let strike = target.strike(*kind, &draws, &lost)?;
        let at_ms = match before {
            None => 0,
            Some((at_ms, ends_ms)) => next_moment(&draws, at_ms, ends_ms, gap_ms_max, &strike, &taken, &site),
        };
        let ends_ms = strike.iter().map(|(after_ms, action)| Some(at_ms + after_ms + action.lasts_ms()?));
        before = Some((at_ms, ends_ms.collect::<Option<Vec<_>>>().and_then(|ends_ms| ends_ms.into_iter().max())));
        for (after_ms, action) in strike {
            taken.extend(holds(events.len(), at_ms + after_ms, &action, u64::MAX, &site));
            events.push(PlannedEvent { at_ms: at_ms + after_ms, action });
        }
    }
    // A fault that strikes while another one is in force may come before that one's last event.
    events.sort_by_key(|event| event.at_ms);
    // So far the first one struck at 0. What would leave the window as a whole begins earlier.
    let whole_ms = events.last().map_or(0, |event| event.at_ms);
    let draws = Draws { key, lasts_ms_max: u64::MAX };
    let moment_ms = draws.range("moment", (window.from_ms, window.to_ms));
    let from_ms = moment_ms.min(window.to_ms.saturating_sub(whole_ms)).max(window.from_ms);
    for event in &mut events {
        event.at_ms = (event.at_ms + from_ms).min(window.to_ms);
    }
    Ok(Plan::of(events))
}

/// When the next fault of a sequence strikes.
fn next_moment(
    draws: &Draws,
    before_ms: u64,
    ends_ms: Option<u64>,
    gap_ms_max: u64,
    strike: &Strike,
    taken: &[Hold],
    site: &Site,
) -> u64 {
    let (low, high) = AFTER_MS;
    let after_ms = draws.range("after", (low, high)).min(gap_ms_max / 3).max(1);
    let meanwhile = |ends_ms: u64| before_ms + draws.range("meanwhile", (MEANWHILE_MS.0, ends_ms - before_ms));
    let at_ms = match ends_ms {
        None => before_ms + draws.range("meanwhile", MEANWHILE_MS),
        Some(ends_ms) if ends_ms - before_ms > MEANWHILE_MS.0 && draws.below("overlap", 3) == 0 => meanwhile(ends_ms),
        Some(ends_ms) => ends_ms + after_ms,
    };
    let at_ms = at_ms.min(before_ms.saturating_add(gap_ms_max));
    let wanted = strike.iter().flat_map(|(offset_ms, action)| holds(0, at_ms + offset_ms, action, u64::MAX, site));
    let meets = |hold: Hold| {
        // The later of the two would find nothing left to take.
        let free = taken
            .iter()
            .filter(move |other| other.excludes(&hold) || (hold.from_ms <= other.from_ms && hold.excludes(other)));
        free.map(|other| other.to_ms).max()
    };
    wanted.filter_map(meets).max().map_or(at_ms, |free_ms| free_ms.saturating_add(after_ms))
}

/// Whom the faults of a plan strike: the same in all of a sequence.
struct Target<'a> {
    cast: &'a Cast,
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
            cast,
            group,
            secondary: pick("secondary", &group.secondaries),
            registry: pick("registry", &cast.registries),
            client: pick("client", &cast.clients),
        })
    }

    fn primary(&self) -> String {
        self.group.primary.clone()
    }

    fn secondary(&self, kind: FaultKind) -> Result<String, FaultError> {
        let groups = self.group.primary.clone();
        self.secondary.map(str::to_owned).ok_or(FaultError::NeedsSecondary { kind, groups })
    }

    fn registry(&self, kind: FaultKind) -> Result<String, FaultError> {
        self.registry.map(str::to_owned).ok_or(FaultError::NeedsRegistry { kind })
    }

    /// What a kind does to this target.
    fn strike(&self, kind: FaultKind, draws: &Draws, is_lost: &dyn Fn(&str) -> bool) -> Result<Strike, FaultError> {
        let strike = [
            machine::strike(self, kind, draws, is_lost)?,
            disk::strike(self, kind, draws)?,
            network::strike(self, kind, draws)?,
        ];
        Ok(strike.into_iter().flatten().next().unwrap_or_else(|| unreachable!("`{kind}` is of none of the three")))
    }
}

/// A strike of one action.
fn once(action: Action) -> Result<Option<Strike>, FaultError> {
    Ok(Some(vec![(0, action)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CrashKind, Direction};

    const WINDOW: Window = Window { from_ms: 10_000, to_ms: 30_000 };
    const HEAL_MS: u64 = 50_000;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn pairs() -> Cast {
        let group = |primary: &str| Group::of(primary, [format!("{primary}-s")]);
        Cast {
            groups: vec![group("broker-a"), group("broker-b")],
            registries: names(&["namesrv-0", "namesrv-1"]),
            clients: names(&["producer-0", "consumer-0"]),
            rooms: vec![
                names(&["broker-a", "broker-b", "namesrv-0"]),
                names(&["broker-a-s", "broker-b-s", "namesrv-1"]),
            ],
        }
    }

    /// The machines of a cast, with a spare for each primary.
    fn site(cast: &Cast) -> Site {
        Site::of(cast.hosts()).with_spares(cast.groups.iter().map(|group| group.primary.as_str()))
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
            let expected = moment(&pairs(), &FaultKind::PowerLoss).expect("a moment");
            for kind in FaultKind::ALL.into_iter().filter(|kind| *kind != FaultKind::None) {
                let plan = plan(kind.name(), seed, &pairs()).expect("everybody is there");
                let (first, last) = (&plan.events[0], &plan.events[plan.events.len() - 1]);
                // What would leave the window begins earlier.
                let early = first.at_ms < expected && last.at_ms == WINDOW.to_ms && plan.events.len() > 1;
                assert!(first.at_ms == expected || early, "{kind}: {plan:?}");
            }
            assert!((WINDOW.from_ms..=WINDOW.to_ms).contains(&expected));
            assert_eq!(moment(&single(), &FaultKind::PowerLoss), Some(expected), "in any mode");
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
                assert_eq!(plan(fault, seed, &single()), Ok(Plan::of(events)));
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
        let site = site(&cast);
        for fault in faults() {
            for seed in 0..12 {
                let plan = generate(&fault, Key::root(seed), &cast, WINDOW).expect("everybody is there");
                plan.check(&site, HEAL_MS).unwrap_or_else(|error| panic!("{fault}, seed {seed}: {error}\n{plan:#?}"));
                let count = if fault.is_none() { 0 } else { fault.kinds().len() };
                assert!((count..=2 * count).contains(&plan.events.len()), "{fault}");
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
            plan.check(&site(&cast), HEAL_MS).expect("they do not meet");
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
