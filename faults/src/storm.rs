//! Everything at once: a plan of as many kinds of faults as go together.
//!
//! Such a plan is no test of promises, since hardly any holds under it. It is a test of the machines: that a run is the same
//! again whatever breaks in it, and that nothing panics.

use crate::{Cast, FaultKind, Plan, Site, Window, generate};
use sim::world::Key;

/// The plan of all kinds against `cast`, and the kinds that are in it. Each has its own target and moment within `window`. They
/// are put together in an order that the key draws; a kind that would meet one before it, or that the cast has nobody for, is
/// left out. All is healed at `heal_ms`.
pub fn storm(key: Key, cast: &Cast, site: &Site, window: Window, heal_ms: u64) -> (Plan, Vec<FaultKind>) {
    let mut kinds = FaultKind::ALL.to_vec();
    let mut stream = key.derive("order").stream();
    // Fisher–Yates.
    for last in (1..kinds.len()).rev() {
        kinds.swap(last, stream.below(last as u64 + 1) as usize);
    }
    let mut plan = Plan::default();
    kinds.retain(|kind| {
        let Ok(of_kind) = generate(&(*kind).into(), key.derive(kind.name()), cast, window) else { return false };
        let mut both = plan.clone();
        both.events.extend(of_kind.events);
        let goes = !both.events.is_empty() && both.check(site, heal_ms).is_ok();
        if goes {
            plan = both;
        }
        goes && *kind != FaultKind::None
    });
    plan.events.sort_by_key(|event| event.at_ms);
    (plan, kinds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Group;
    use std::collections::BTreeSet;

    #[test]
    fn every_kind_has_its_turn_and_most_go_together() {
        let name = str::to_owned;
        let group = |primary: &str| Group::of(primary, [format!("{primary}-s")]);
        let cast = Cast {
            groups: vec![group("broker-a"), group("broker-b")],
            registries: vec![name("namesrv-0"), name("namesrv-1")],
            clients: vec![name("producer-0"), name("consumer-0")],
            rooms: Vec::new(),
        };
        let site = Site::of(cast.hosts()).with_spares(["broker-a", "broker-b"]);
        let window = Window { from_ms: 12_000, to_ms: 36_000 };
        let mut seen = BTreeSet::new();
        for seed in 0..100 {
            let (plan, kinds) = storm(Key::root(seed), &cast, &site, window, 50_000);
            plan.check(&site, 50_000).expect("what would meet is left out");
            assert!(kinds.len() > 20 && plan.events.len() >= kinds.len(), "{kinds:?}");
            assert!(plan.events.is_sorted_by_key(|event| event.at_ms));
            seen.extend(kinds);
        }
        assert_eq!(seen.len(), FaultKind::ALL.len() - 1, "all but none");
    }
}
