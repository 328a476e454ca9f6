//! How much a plan may take: a plan with a budget never exceeds what a replica group can survive.
//!
//! Under [`Budget::OneCopyLeft`] one member of each group keeps everything that it had: whatever the plan does, there is a whole
//! copy of every byte, and what is lost is the cluster's own fault. A group's members are struck in the order of the plan, each as
//! often as the plan likes, until only one of them has lost nothing; from then on what would take from that one is weakened: a crash
//! of its machine becomes the kill of its process, and what damages its disk is left out. Where all members are struck at one
//! instant, a key says which of them is spared. The plan tells what was spared, and why.
//!
//! A copy counts as lost for the rest of the plan, also when it has been made again from another one since: a plan does not know
//! how far that is.

use crate::{Action, Cast, CrashKind, Down, Plan, PlannedEvent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sim::world::Key;
use std::{collections::BTreeSet, fmt};

/// What a plan may take from a replica group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Budget {
    /// Everything: faults strike as they are drawn.
    #[default]
    Unlimited,
    /// All but one copy: one member of each group loses nothing that it had written.
    OneCopyLeft,
}

/// What a plan leaves out for its budget's sake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spared {
    /// Simulated milliseconds since the start of the run.
    pub at_ms: u64,
    /// The host that has the last whole copy of its group.
    pub host: String,
    /// What would have been done to it.
    pub from: String,
    /// What is done instead. Absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead: Option<String>,
}

impl Budget {
    /// The plan as far as this budget allows it.
    pub fn applied(self, plan: &Plan, cast: &Cast, key: Key) -> Plan {
        match self {
            Budget::Unlimited => plan.clone(),
            Budget::OneCopyLeft => one_copy_left(plan, cast, key),
        }
    }
}

impl fmt::Display for Spared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spared { host, from, instead, .. } = self;
        let instead = instead.as_deref().unwrap_or("nothing");
        write!(formatter, "{host} is spared, as the last whole copy of its group, from: {from}; instead: {instead}")
    }
}

/// The hosts that lose something which they had written, or may.
fn takes_from(action: &Action) -> Vec<&str> {
    match action {
        Action::Crash { crash, .. } | Action::CrashTogether { crash, .. } | Action::CrashLoop { crash, .. }
            if *crash == CrashKind::ProcessKill =>
        {
            Vec::new()
        }
        Action::Crash { .. } | Action::CrashTogether { .. } | Action::CrashLoop { .. } => action.hosts(),
        Action::DiskFaults { faults, .. } if !faults.destroys() => Vec::new(),
        // A full disk costs the oldest files. A drive of an array costs nothing by itself, but no second one may follow.
        Action::DiskFaults { .. }
        | Action::DamageMedia { .. }
        | Action::FillDisk { .. }
        | Action::LoseMember { .. }
        | Action::FailSync { .. } => action.hosts(),
        Action::Isolate { .. }
        | Action::Cut { .. }
        | Action::SlowDisk { .. }
        | Action::SlowLink { .. }
        | Action::StepClock { .. }
        | Action::Pause { .. }
        | Action::DropCaches { .. }
        | Action::MoveDisk { .. }
        | Action::Jam { .. }
        | Action::Swizzle { .. }
        | Action::Bridge { .. }
        | Action::Ring { .. }
        | Action::ResetStorm { .. }
        | Action::BadLink { .. }
        | Action::BadNames { .. }
        | Action::LimitMemory { .. }
        | Action::StarveCpu { .. }
        | Action::OutOfMemory { .. }
        | Action::Suspend { .. }
        | Action::FreezeClock { .. }
        | Action::DriftClock { .. }
        | Action::StrobeClock { .. }
        // A plan for a budget has the hosts of its zones.
        | Action::CrashZone { .. } => Vec::new(),
    }
}

fn one_copy_left(plan: &Plan, cast: &Cast, key: Key) -> Plan {
    let mut taken = BTreeSet::<String>::new();
    // Those that have the last whole copy from some moment on.
    let mut keepers = BTreeSet::<String>::new();
    let mut made = Plan { spared: plan.spared.clone(), ..Plan::default() };
    let mut order = plan.events.iter().collect::<Vec<_>>();
    order.sort_by_key(|event| event.at_ms);
    for event in order {
        let struck = takes_from(&event.action);
        let mut spared = BTreeSet::new();
        for group in &cast.groups {
            let is_taken = |host: &&str| taken.contains(*host) || struck.contains(host);
            if !group.members().all(|host| is_taken(&host)) {
                continue;
            }
            // Of those that had everything until now, one.
            let whole = group.members().filter(|host| !taken.contains(*host)).collect::<Vec<_>>();
            let keeper = match whole.iter().find(|host| keepers.contains(**host)) {
                Some(keeper) => *keeper,
                None => {
                    let mut stream = key.derive("keeper").derive(&group.primary).stream();
                    whole[stream.below(whole.len() as u64) as usize]
                }
            };
            keepers.insert(keeper.to_owned());
            spared.insert(keeper);
        }
        taken.extend(struck.iter().filter(|host| !spared.contains(**host)).map(|host| (*host).to_owned()));
        match &event.action {
            // Its machine was not stopped, so that its disk is still in it.
            Action::MoveDisk { host, .. } if keepers.contains(host) => made.spare(event, host, None),
            _ if spared.is_empty() => made.events.push(event.clone()),
            _ => weaken(event, &spared, &mut made),
        }
    }
    made
}

/// Adds what is left of an event when these hosts are spared.
fn weaken(event: &PlannedEvent, spared: &BTreeSet<&str>, made: &mut Plan) {
    let host = event.action.host();
    match &event.action {
        Action::Crash { boot_after_ms, .. } => made.spare(event, host, Some(kill(host, *boot_after_ms))),
        Action::CrashLoop { times, down_ms, up_ms, .. } => {
            let (host, crash) = (host.to_owned(), CrashKind::ProcessKill);
            let kills = Action::CrashLoop { host, crash, times: *times, down_ms: *down_ms, up_ms: *up_ms };
            made.spare(event, event.action.host(), Some(kills));
        }
        Action::CrashTogether { crash, hosts } => {
            let (kept, others): (Vec<Down>, Vec<Down>) =
                hosts.iter().cloned().partition(|down| spared.contains(down.host.as_str()));
            if !others.is_empty() {
                let action = Action::CrashTogether { crash: *crash, hosts: others };
                made.events.push(PlannedEvent { at_ms: event.at_ms, action });
            }
            for Down { host, boot_after_ms } in kept {
                made.spare(event, &host, Some(kill(&host, boot_after_ms)));
            }
        }
        _ => made.spare(event, host, None),
    }
}

fn kill(host: &str, boot_after_ms: Option<u64>) -> Action {
    Action::Crash { host: host.to_owned(), crash: CrashKind::ProcessKill, boot_after_ms }
}

impl Plan {
    /// Has something done to a host instead of an event, and says so.
    fn spare(&mut self, event: &PlannedEvent, host: &str, instead: Option<Action>) {
        self.spared.push(Spared {
            at_ms: event.at_ms,
            host: host.to_owned(),
            from: event.action.to_string(),
            instead: instead.as_ref().map(ToString::to_string),
        });
        self.events.extend(instead.map(|action| PlannedEvent { at_ms: event.at_ms, action }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fault, FaultKind, Group, Site, Window, generate};

    fn cast() -> Cast {
        let name = str::to_owned;
        let group = |primary: &str| Group { primary: name(primary), secondaries: vec![format!("{primary}-s")] };
        Cast {
            groups: vec![group("broker-a"), group("broker-b")],
            registries: vec![name("namesrv-1")],
            clients: vec![name("producer-1")],
            rooms: vec![vec![name("broker-a"), name("broker-b")], vec![name("broker-a-s"), name("broker-b-s")]],
        }
    }

    fn drawn(fault: &Fault, seed: u64, cast: &Cast) -> Plan {
        let window = Window { from_ms: 12_000, to_ms: 36_000 };
        generate(fault, Key::root(seed).derive("plan"), cast, window).expect("everybody is there")
    }

    fn within(plan: &Plan, cast: &Cast, seed: u64) -> Plan {
        Budget::OneCopyLeft.applied(plan, cast, Key::root(seed))
    }

    /// The members of a group that lose something.
    fn losers<'a>(plan: &'a Plan, group: &'a Group) -> BTreeSet<&'a str> {
        let struck = plan.events.iter().flat_map(|event| takes_from(&event.action));
        struck.filter(|host| group.members().any(|member| member == *host)).collect()
    }

    /// Testbeds §1.1 "recoverability-aware fault budget": of no group do all members lose something, whatever two kinds strike it, and
    /// what is left can be carried out.
    #[test]
    fn no_plan_takes_the_last_copy() {
        let cast = cast();
        let mut site = Site::of(cast.hosts());
        let spare = |host: &str| crate::Machine {
            host: Cast::spare_of(host),
            zone: "dc-1/room-1/rack-1".to_owned(),
            is_spare: true,
        };
        site.machines.extend(["broker-a", "broker-b"].map(spare));
        let (mut exceeded, mut kept) = (0, 0);
        for first in FaultKind::ALL {
            for second in FaultKind::ALL {
                let Ok(fault) = Fault::sequence(vec![first, second]) else { continue };
                for seed in 0..4 {
                    let plan = drawn(&fault, seed, &cast);
                    let spared = within(&plan, &cast, seed);
                    let all = |plan: &Plan| cast.groups.iter().any(|group| losers(plan, group).len() == 2);
                    assert!(!all(&spared), "{fault}, seed {seed}: {spared:#?}");
                    spared.check(&site, 50_000).unwrap_or_else(|error| panic!("{fault}, seed {seed}: {error}"));
                    if all(&plan) {
                        exceeded += 1;
                        assert!(!spared.spared.is_empty(), "{fault}: it says so");
                    } else if spared == plan {
                        kept += 1;
                    } else {
                        panic!("{fault}, seed {seed}: nothing had to be spared: {:?}", spared.spared);
                    }
                }
            }
        }
        assert!(exceeded > 1_000 && kept > 1_000, "{exceeded} {kept}");
    }

    #[test]
    fn the_later_crash_becomes_a_kill_and_the_later_damage_nothing() {
        let cast = cast();
        let plan = within(&drawn(&"slave-power-loss+power-loss".parse().expect("a fault"), 1, &cast), &cast, 1);
        let [slave, master] = &plan.events[..] else { panic!("{plan:?}") };
        assert!(matches!(slave.action, Action::Crash { crash: CrashKind::PowerLoss, .. }));
        assert!(matches!(master.action, Action::Crash { crash: CrashKind::ProcessKill, .. }));
        assert_eq!(plan.spared[0].host, master.action.host());
        let told = plan.spared[0].to_string();
        assert!(told.contains("power cut") && told.contains("process killed"), "{told}");
        let plan = within(&drawn(&"slave-disk-loss+bit-rot".parse().expect("a fault"), 1, &cast), &cast, 1);
        assert!(!plan.events.iter().any(|event| matches!(event.action, Action::DamageMedia { .. })), "{plan:?}");
        assert_eq!(plan.spared.iter().filter(|spared| spared.instead.is_none()).count(), 1, "{:?}", plan.spared);
    }

    #[test]
    fn of_those_that_fail_together_each_has_its_turn_to_be_spared() {
        let cast = cast();
        let spared = |seed| {
            let plan = within(&drawn(&FaultKind::PowerLossAll.into(), 1, &cast), &cast, seed);
            assert!(plan.events.iter().all(|event| event.at_ms == plan.events[0].at_ms), "still one instant");
            plan.spared.iter().map(|spared| spared.host.clone()).collect::<Vec<_>>()
        };
        let all = (0..40).map(spared).collect::<BTreeSet<_>>();
        assert!(all.iter().all(|hosts| hosts.len() == 2), "one of each group: {all:?}");
        assert_eq!(all.len(), 4, "{all:?}");
    }

    #[test]
    fn an_only_copy_is_always_spared() {
        let alone = Cast { groups: vec![Group::alone("broker-a")], ..cast() };
        let plan = within(&drawn(&FaultKind::PowerLoss.into(), 1, &alone), &alone, 1);
        assert!(matches!(plan.events[0].action, Action::Crash { crash: CrashKind::ProcessKill, .. }), "{plan:?}");
    }

    #[test]
    fn without_a_budget_a_plan_stays_as_it_is() {
        let cast = cast();
        let plan = drawn(&FaultKind::PowerLossAll.into(), 1, &cast);
        assert_eq!(Budget::Unlimited.applied(&plan, &cast, Key::root(1)), plan);
    }
}
