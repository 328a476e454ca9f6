//! `staticfire list`

use super::{CliError, Exit, args::ListArguments, output};
use crate::{
    catalogue,
    fault_points::SITES,
    knobs::{self, Knob},
    spec::{FileSystem, Flush, Mode},
};
use faults::FaultKind;
use quirks::{Profile, Quirk};
use serde_json::json;

/// The oracles, and what each objects to.
const ORACLES: [(&str, &str); 11] = [
    ("loss", "acknowledged messages that are gone"),
    ("skipped", "acknowledged messages that stand in their queue and were passed over"),
    ("resurrection", "messages that stand in their queue again after they had been gone from it"),
    ("divergence", "replicas that hold different messages at the same place"),
    ("replicas", "slaves that do not catch up, or lack the beginning of their master's log"),
    ("phantom", "messages that nobody sent, or whose send had definitely failed"),
    ("corruption", "bodies other than those that were sent"),
    ("duplicates", "nothing; counts repeated deliveries by cause"),
    ("order", "a queue in which a later send stands before an earlier one"),
    ("offsets", "committed offsets outside of their queue"),
    ("liveness", "a cluster that does not work again after everything was healed"),
];

pub fn list(arguments: &ListArguments) -> Result<Exit, CliError> {
    let scenarios = catalogue::all();
    if arguments.json {
        output::print_json(&json!({
            "modes": Mode::ALL.map(|mode| json!({ "name": mode.name(), "about": mode.describe() })),
            "flush": Flush::ALL.map(Flush::name),
            "faults": FaultKind::ALL
                .iter()
                .map(|fault| json!({ "name": fault.name(), "about": fault.describe() }))
                .collect::<Vec<_>>(),
            "scenarios": scenarios.iter().map(|s| json!({ "name": s.name, "about": s.about })).collect::<Vec<_>>(),
            "profiles": Profile::ALL.map(|profile| json!({
                "name": profile.name(), "quirks": profile.quirks().map(Quirk::name).collect::<Vec<_>>(),
            })),
            "quirks": Quirk::ALL.map(|quirk| json!({
                "name": quirk.name(), "about": quirk.describe(), "reference": quirk.reference(),
            })),
            "file_systems": FileSystem::ALL.map(|f| json!({ "name": f.name(), "about": f.describe() })),
            "fault_points": SITES.iter().map(|s| json!({ "name": s.name, "about": s.about })).collect::<Vec<_>>(),
            "knobs": knobs::ALL.iter().map(|k| json!({
                "name": k.name, "about": k.about, "low": k.low, "high": k.high,
            })).collect::<Vec<_>>(),
            "oracles": ORACLES.map(|(name, about)| json!({ "name": name, "about": about })),
        }))?;
        return Ok(Exit::Held);
    }
    let mut text = String::new();
    let mut section = |title: &str, rows: Vec<(String, String)>| {
        text.push_str(title);
        text.push('\n');
        for (name, about) in rows {
            text.push_str(&format!("  {name:<25} {about}\n"));
        }
        text.push('\n');
    };
    let named = |name: &str, about: &str| (name.to_owned(), about.to_owned());
    section("scenarios", scenarios.iter().map(|s| named(&s.name, &s.about)).collect());
    section("modes (--mode)", Mode::ALL.map(|mode| named(mode.name(), mode.describe())).into());
    section(
        "flush (--flush)",
        vec![
            named("async", "acknowledged once in the page cache (ASYNC_FLUSH)"),
            named("sync", "acknowledged once on the disk (SYNC_FLUSH)"),
        ],
    );
    section("faults (--fault)", FaultKind::ALL.map(|fault| named(fault.name(), fault.describe())).into());
    let count = |profile: Profile| match profile.quirks().count() {
        0 => "RocketMQ as it should be".to_owned(),
        count => format!("{count} known defects and defaults of that version"),
    };
    section("profiles (--profile)", Profile::ALL.map(|profile| (profile.name().to_owned(), count(profile))).into());
    section(
        "quirks (--set quirks=[\"+NAME\", \"-NAME\"])",
        Quirk::ALL
            .map(|quirk| (quirk.name().to_owned(), format!("{} ({})", quirk.describe(), quirk.reference())))
            .into(),
    );
    section(
        "file systems (--set topology.file_system=NAME)",
        FileSystem::ALL.map(|system| named(system.name(), system.describe())).into(),
    );
    section(
        "fault points (--set fault_points=on, or =[\"NAME\"])",
        SITES.iter().map(|site| named(site.name, site.about)).collect(),
    );
    let knob = |knob: &Knob| (knob.name.to_owned(), format!("{} to {}: {}", knob.low, knob.high, knob.about));
    section("knobs (--set knobs=random, or knobs.NAME=VALUE)", knobs::ALL.iter().map(knob).collect());
    section("oracles", ORACLES.map(|(name, about)| named(name, about)).into());
    output::print(text.trim_end_matches('\n'))?;
    output::print("\n")?;
    Ok(Exit::Held)
}
