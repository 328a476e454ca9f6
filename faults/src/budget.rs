//! How much a plan may take: a plan with a budget never exceeds what a replica group can survive.
//!
//! Under [`Budget::OneCopyLeft`] each group keeps a whole copy of everything on members that lose nothing: on the primary, or on so
//! many of the others that one of them has each thing (where each thing is on two of three, on two). A group's members are struck in
//! the order of the plan, each as often as the plan likes, until no more may be; from then on what would take from the others is
//! weakened: a crash of a machine becomes the kill of its process, and what damages its disk is left out. Where members are struck
//! at one instant, a key says which of them are spared. The plan tells what was spared, and why.
//!
//! What is taken from whom is [`Action::tolls`]'s to say. A copy is where its disk is, in whatever machine. It counts as lost for the
//! rest of the plan, also when it has been made again from another one since: a plan does not know how far that is. A full disk
//! counts too, although nothing breaks by it: what is deleted for want of room is the settings' doing.

use crate::{Action, Cast, CrashKind, Disks, Down, Group, Plan, PlannedEvent};
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
    /// All but one copy: in each group, members that have everything lose nothing that they had written.
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

fn one_copy_left(plan: &Plan, cast: &Cast, key: Key) -> Plan {
    let disks = Disks::of(plan);
    // Copies go by the machines that their disks began in, wherever these are by now.
    let mut taken = BTreeSet::<String>::new();
    // Those that keep what they have from some moment on.
    let mut keepers = BTreeSet::<String>::new();
    let mut made = Plan { spared: plan.spared.clone(), ..Plan::default() };
    let mut order = plan.events.iter().collect::<Vec<_>>();
    order.sort_by_key(|event| event.at_ms);
    for event in order {
        let home = |machine: &str| disks.home_of(machine, event.at_ms).unwrap_or(machine).to_owned();
        let struck = event.action.tolls().iter().map(|toll| home(toll.host)).collect::<BTreeSet<_>>();
        let mut spared = BTreeSet::new();
        for group in &cast.groups {
            spared.extend(spare(group, &taken, &struck, &keepers, key));
        }
        keepers.extend(spared.iter().cloned());
        taken.extend(struck.into_iter().filter(|host| !spared.contains(host)));
        // The machine of a keeper was not stopped, so that its disk is still in it, and its spare has none.
        let is_kept = |machine: &str| match &event.action {
            Action::MoveDisk { host, .. } => machine == host && keepers.contains(host),
            _ => Cast::is_spare(machine) && keepers.contains(&home(machine)),
        };
        let is_spared = |machine: &str| spared.contains(&home(machine)) || is_kept(machine);
        weaken(event, &is_spared, &disks, &mut made);
    }
    made
}

/// Which of the struck members of a group are spared, so that everything can still be had from those that are left: those that
/// have been before, then others by the key.
fn spare(
    group: &Group,
    taken: &BTreeSet<String>,
    struck: &BTreeSet<String>,
    keepers: &BTreeSet<String>,
    key: Key,
) -> Vec<String> {
    let mut stream = key.derive("keeper").derive(&group.primary).stream();
    let (struck, left): (Vec<&str>, Vec<&str>) =
        group.members().filter(|host| !taken.contains(*host)).partition(|host| struck.contains(*host));
    let (mut spared, mut others): (Vec<&str>, Vec<&str>) = struck.into_iter().partition(|host| keepers.contains(*host));
    while !group.have_everything(left.iter().chain(&spared).copied()) && !others.is_empty() {
        spared.push(others.swap_remove(stream.below(others.len() as u64) as usize));
    }
    spared.into_iter().map(str::to_owned).collect()
}

/// Adds what is left of an event where these machines are spared.
fn weaken(event: &PlannedEvent, is_spared: &dyn Fn(&str) -> bool, disks: &Disks, made: &mut Plan) {
    let machines = event.action.machines();
    let spared = machines.iter().copied().filter(|machine| is_spared(machine)).collect::<Vec<_>>();
    let Some(host) = spared.first() else {
        made.events.push(event.clone());
        return;
    };
    // A spare that has got no disk has no process that could be killed.
    let kills = |host: &str, instead| if disks.home_of(host, event.at_ms) == Some(host) { Some(instead) } else { None };
    match &event.action {
        Action::Crash { boot_after_ms, .. } => made.spare(event, host, kills(host, kill(host, *boot_after_ms))),
        Action::CrashLoop { times, down_ms, up_ms, .. } => {
            let (name, crash) = ((*host).to_owned(), CrashKind::ProcessKill);
            let instead = Action::CrashLoop { host: name, crash, times: *times, down_ms: *down_ms, up_ms: *up_ms };
            made.spare(event, host, kills(host, instead));
        }
        Action::CrashTogether { crash, hosts } => {
            let (kept, others): (Vec<Down>, Vec<Down>) = hosts.iter().cloned().partition(|down| is_spared(&down.host));
            if !others.is_empty() {
                let action = Action::CrashTogether { crash: *crash, hosts: others };
                made.events.push(PlannedEvent { at_ms: event.at_ms, action });
            }
            for Down { host, boot_after_ms } in kept {
                made.spare(event, &host, kills(&host, kill(&host, boot_after_ms)));
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
    use crate::{Fault, FaultKind, Site, Window, generate};

    fn cast() -> Cast {
        let name = str::to_owned;
        let group = |primary: &str| Group::of(primary, [format!("{primary}-s")]);
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
        let struck = plan.events.iter().flat_map(|event| event.action.tolls()).map(|toll| toll.host);
        struck.filter(|host| group.members().any(|member| member == *host)).collect()
    }

    /// Testbeds §1.1 "recoverability-aware fault budget": of no group do all members lose something, whatever two kinds strike it, and
    /// what is left can be carried out.
    #[test]
    fn no_plan_takes_the_last_copy() {
        let cast = cast();
        let site = Site::of(cast.hosts()).with_spares(["broker-a", "broker-b"]);
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

    /// Reads a plan's events for the groups of [`cast`].
    fn written(events: &[(u64, &str)]) -> Plan {
        let event = |(at_ms, action): &(u64, &str)| format!("[[events]]\nat_ms = {at_ms}\naction = {{ {action} }}\n");
        toml::from_str(&events.iter().map(event).collect::<String>()).expect("a plan")
    }

    /// Of three members each thing is on two, and which those are nobody knows: one of the secondaries alone may lack something.
    #[test]
    fn one_of_two_secondaries_has_not_everything() {
        let secondaries = ["broker-a-s", "broker-a-s2"].map(str::to_owned);
        let mut group = Group { kept_by: 2, ..Group::of("broker-a", secondaries) };
        assert!(group.have_everything(["broker-a"]) && group.have_everything(["broker-a-s", "broker-a-s2"]));
        assert!(!group.have_everything(["broker-a-s2"]) && !group.have_everything([]));
        let lost = |host: &str| format!(r#"kind = "crash", host = "{host}", crash = "disk-loss", boot_after_ms = 500"#);
        let (slave, master) = (lost("broker-a-s"), lost("broker-a"));
        let plan = written(&[(100, &slave), (5_000, &master)]);
        let spared = |group: &Group| {
            let cast = Cast { groups: vec![group.clone()], ..cast() };
            within(&plan, &cast, 1).spared.into_iter().map(|spared| spared.host).collect::<Vec<_>>()
        };
        assert_eq!(spared(&group), ["broker-a"], "with two slaves gone the third member is not enough");
        group.kept_by = 3;
        assert_eq!(spared(&group), [""; 0], "it has everything");
    }

    /// A disk counts for the machine that it began in, in whatever machine it is struck.
    #[test]
    fn a_disk_that_was_moved_is_still_its_groups_copy() {
        let stops = r#"kind = "crash", host = "broker-a", crash = "os-crash""#;
        let moves = r#"kind = "move-disk", host = "broker-a", to = "broker-a-spare", boot_after_ms = 100"#;
        let slave = r#"kind = "crash", host = "broker-a-s", crash = "power-loss", boot_after_ms = 100"#;
        let spare = r#"kind = "crash", host = "broker-a-spare", crash = "disk-loss", boot_after_ms = 100"#;
        let plan = within(&written(&[(100, stops), (200, moves), (900, spare), (2_000, slave)]), &cast(), 1);
        assert_eq!(plan.spared.iter().map(|spared| spared.host.as_str()).collect::<Vec<_>>(), ["broker-a-s"]);
        // Where the last copy is not moved, its spare has nothing that could be struck.
        let plan = within(&written(&[(50, slave), (400, stops), (500, moves), (900, spare)]), &cast(), 1);
        let done = plan.events.iter().map(|event| event.action.to_string()).collect::<Vec<_>>();
        assert_eq!(done.len(), 2, "{done:?}");
        assert!(done[1].starts_with("broker-a: process killed"), "{done:?}");
        let site = Site::of(cast().hosts()).with_spares(["broker-a"]);
        assert_eq!(plan.check(&site, 50_000), Ok(()));
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
