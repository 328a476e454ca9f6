//! What networks do: cut, jammed, slow, lossy ways; resets; names that are not resolved.

use super::{Draws, Strike, Target, once};
use crate::{Action, Direction, FaultError, FaultKind, LinkFaultRates, NameFault, Swizzled};

/// How long a cut or a jam lasts.
const CUT_MS: (u64, u64) = (2_000, 14_000);
/// How long a way is slow or bad.
const SLOW_MS: (u64, u64) = (4_000, 14_000);
/// Slow hardware comes in all grades, so its figures are drawn as a power of two times these. Gunawi et al., "Fail-Slow at
/// Scale" (FAST 2018), report network cards down to kbit/s.
const SLOW_LINK_LATENCY_MS: u64 = 1;
const SLOW_LINK_BYTES_PER_S: u64 = 64_000;
/// How often connections are reset, and how long it is from one time to the next.
const STORM_TIMES: (u64, u64) = (3, 40);
const STORM_MS: (u64, u64) = (20, 350);
/// How long it is from one jam or release of a swizzle to the next. FoundationDB's `RandomClogging` swizzles within some
/// seconds.
const SWIZZLE_MS: (u64, u64) = (100, 1_200);
/// How slowly names are resolved, as a power of two times this: up to 3.2 s. After 5 s a resolver asks again (`RES_TIMEOUT` of
/// glibc).
const NAMES_MS: u64 = 100;

/// What a kind of this family does.
pub fn strike(target: &Target, kind: FaultKind, draws: &Draws) -> Result<Option<Strike>, FaultError> {
    let host = || target.primary();
    let cut_ms = || Some(draws.lasts_ms("cut", CUT_MS));
    let slow_ms = || Some(draws.lasts_ms("slow", SLOW_MS));
    let isolate = |host, direction| Action::Isolate { host, direction, heal_after_ms: cut_ms() };
    let cut = |host, peers| Action::Cut { host, peers, direction: Direction::Both, heal_after_ms: cut_ms() };
    let bad = |faults| Action::BadLink { host: host(), peers: Vec::new(), faults, restore_after_ms: slow_ms() };
    let none = LinkFaultRates::default();
    let everybody = |purpose| draws.shuffled(purpose, target.cast.hosts().map(str::to_owned));
    once(match kind {
        FaultKind::Partition => isolate(host(), Direction::Both),
        FaultKind::PartitionIn => isolate(host(), Direction::In),
        FaultKind::PartitionOut => isolate(host(), Direction::Out),
        FaultKind::PartitionSlave => isolate(target.secondary(kind)?, Direction::Both),
        FaultKind::PartitionPair => cut(host(), target.group.secondaries.clone()),
        FaultKind::PartitionNamesrv => {
            let client = target.client.filter(|_| draws.below("side", 2) == 1);
            cut(client.map_or_else(host, str::to_owned), vec![target.registry(kind)?])
        }
        FaultKind::SlowLink => Action::SlowLink {
            host: host(),
            peers: target.group.secondaries.clone(),
            latency_ms: draws.grade("link-latency", SLOW_LINK_LATENCY_MS, 8),
            bytes_per_s: draws.grade("link-rate", SLOW_LINK_BYTES_PER_S, 7),
            restore_after_ms: slow_ms(),
        },
        FaultKind::Jam => {
            let direction = [Direction::Both, Direction::In, Direction::Out][draws.below("direction", 3) as usize];
            Action::Jam { host: host(), peers: Vec::new(), direction, release_after_ms: cut_ms() }
        }
        FaultKind::Swizzle => swizzle(target, draws),
        FaultKind::Bridge => {
            let mut hosts = everybody("bridge");
            let bridge = hosts.pop().unwrap_or_else(host);
            let other_side = hosts.split_off(hosts.len() / 2);
            Action::Bridge { host: bridge, one_side: hosts, other_side, heal_after_ms: cut_ms() }
        }
        FaultKind::Ring => Action::Ring { hosts: everybody("ring"), heal_after_ms: cut_ms() },
        FaultKind::ResetStorm => {
            let times = draws.range("storm-times", STORM_TIMES);
            let every_ms = draws.stage_ms("storm", STORM_MS, times);
            Action::ResetStorm { host: host(), peers: Vec::new(), times: times as u32, every_ms }
        }
        FaultKind::LossyLink => bad(LinkFaultRates { loss: draws.rate("loss", (2, 7)), ..none }),
        FaultKind::DuplicatingLink => bad(LinkFaultRates { duplicate: draws.rate("duplicate", (0, 5)), ..none }),
        FaultKind::ReorderingLink => bad(LinkFaultRates { reorder: draws.rate("reorder", (1, 6)), ..none }),
        FaultKind::SlowNames => return bad_names(target, draws),
        _ => return Ok(None),
    })
}

/// Three servers of four, at least two, the target among them, jammed in one order and released in another.
fn swizzle(target: &Target, draws: &Draws) -> Action {
    let mut servers = draws.shuffled("swizzle", target.cast.servers().map(str::to_owned));
    // The target is always among them.
    servers.sort_by_key(|host| *host != target.group.primary);
    servers.truncate((servers.len() * 3 / 4).max(2));
    let servers = draws.shuffled("swizzle-jam", servers);
    let every_ms = draws.stage_ms("swizzle-every", SWIZZLE_MS, 2 * servers.len() as u64);
    let release = draws.shuffled("swizzle-release", servers.iter().cloned());
    // All are jammed before the first is released.
    let whole_ms = servers.len() as u64 * every_ms;
    let swizzled = |(turn, host): (u64, &String)| {
        let later = (1..).zip(&release).find(|(_, other)| *other == host).map_or(1, |(turn, _)| turn);
        Swizzled { host: host.clone(), jam_after_ms: turn * every_ms, release_after_ms: whole_ms + later * every_ms }
    };
    Action::Swizzle { hosts: (0..).zip(&servers).map(swizzled).collect() }
}

/// The name services of all brokers and clients go wrong; soon a name server loses its connections, so that its name has to be
/// resolved anew.
fn bad_names(target: &Target, draws: &Draws) -> Result<Option<Strike>, FaultError> {
    let lasts_ms = draws.lasts_ms("slow", SLOW_MS);
    let fault = match draws.below("names-fault", 4) {
        0 => NameFault::Failing,
        1 => NameFault::Silent,
        _ => NameFault::Slow { delay_ms: draws.grade("names-delay", NAMES_MS, 6) },
    };
    let hosts = target.cast.groups.iter().flat_map(|group| group.members()).map(str::to_owned);
    let hosts = hosts.chain(target.cast.clients.iter().cloned()).collect();
    let registry = target.registry(FaultKind::SlowNames)?;
    let reset = Action::ResetStorm { host: registry, peers: Vec::new(), times: 3, every_ms: (lasts_ms / 4).max(1) };
    let names = Action::BadNames { hosts, fault, restore_after_ms: Some(lasts_ms) };
    Ok(Some(vec![(0, names), ((lasts_ms / 8).max(1), reset)]))
}
