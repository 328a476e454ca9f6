//! `staticfire list`

use super::{CliError, Exit, args::ListArguments, output};
use crate::{
    catalogue,
    spec::{Flush, Mode},
};
use faults::FaultKind;
use serde_json::json;

/// The oracles, and what each objects to.
const ORACLES: [(&str, &str); 7] = [
    ("loss", "acknowledged messages that are gone, or stored and never delivered"),
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
            "faults": FaultKind::ALL.map(|fault| json!({ "name": fault.name(), "about": fault.describe() })),
            "scenarios": scenarios.iter().map(|s| json!({ "name": s.name, "about": s.about })).collect::<Vec<_>>(),
            "oracles": ORACLES.map(|(name, about)| json!({ "name": name, "about": about })),
        }))?;
        return Ok(Exit::Held);
    }
    let mut text = String::new();
    let mut section = |title: &str, rows: Vec<(String, String)>| {
        text.push_str(title);
        text.push('\n');
        for (name, about) in rows {
            text.push_str(&format!("  {name:<15} {about}\n"));
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
    section("oracles", ORACLES.map(|(name, about)| named(name, about)).into());
    output::print(text.trim_end_matches('\n'))?;
    output::print("\n")?;
    Ok(Exit::Held)
}
