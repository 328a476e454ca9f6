//! Scenario files and single settings: `--set key=value` with the names of the scenario's TOML form.

use crate::{
    catalogue, knobs,
    nearest::did_you_mean,
    spec::{Scenario, ScenarioError},
};
use std::{fs, io, path::Path};

/// Why a scenario could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error(
        "unknown scenario `{name}`{near}; the scenarios are: {known} (or give the path of a .toml file)",
        near = did_you_mean(name, known().split(", ")),
        known = known()
    )]
    UnknownScenario { name: String },
    #[error("cannot read the scenario file `{path}`: {source}")]
    Read { path: String, source: io::Error },
    #[error("the scenario file `{path}` is not a scenario: {message}")]
    File { path: String, message: String },
    #[error("--set {setting}: write it as key=value, for example --set workload.messages_per_second=100")]
    NotAnAssignment { setting: String },
    #[error("--set {setting}: there is no `{key}`{near}; the keys there are: {known}", near = did_you_mean(key, known.split(", ")))]
    UnknownKey { setting: String, key: String, known: String },
    #[error("--set {setting}: {message}")]
    Value { setting: String, message: String },
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
}

fn known() -> String {
    catalogue::all().into_iter().map(|scenario| scenario.name).collect::<Vec<_>>().join(", ")
}

/// The scenario of the catalogue with this name, or the one in this `.toml` file.
///
/// # Errors
/// When there is none, or the file is no valid scenario.
pub fn load(name: &str) -> Result<Scenario, SettingsError> {
    if !name.ends_with(".toml") {
        return catalogue::find(name).ok_or_else(|| SettingsError::UnknownScenario { name: name.to_owned() });
    }
    let text =
        fs::read_to_string(Path::new(name)).map_err(|source| SettingsError::Read { path: name.to_owned(), source })?;
    toml::from_str(&text).map_err(|error| SettingsError::File {
        path: name.to_owned(),
        message: error.to_string().trim_end().to_owned(),
    })
}

/// Changes one field of a scenario: `schedule.heal_ms=40000`. A value that is not TOML is taken as text.
///
/// # Errors
/// When there is no such field, or the value is not of its kind.
pub fn set(scenario: &Scenario, setting: &str) -> Result<Scenario, SettingsError> {
    let setting = || setting.to_owned();
    let Some((path, text)) = setting().split_once('=').map(|(path, text)| (path.to_owned(), text.to_owned())) else {
        return Err(SettingsError::NotAnAssignment { setting: setting() });
    };
    let mut root = toml::Value::try_from(scenario).expect("a scenario is plain data");
    // A word for all knobs says whether they are drawn; those that are set stay so.
    let path = if path.trim() == "knobs" { "knobs.draw" } else { path.trim() };
    if let Some(knob) = path.strip_prefix("knobs.").and_then(knobs::find)
        && let Some(table) = root.get_mut("knobs").and_then(toml::Value::as_table_mut)
    {
        // Only those are there that are set.
        table.entry(knob.name).or_insert(toml::Value::Integer(0));
    }
    if let Some(host) = path.strip_prefix("profiles.")
        && let Some(table) = root.as_table_mut()
    {
        // Likewise.
        let profiles = table.entry("profiles").or_insert_with(|| toml::Table::new().into());
        profiles.as_table_mut().map(|profiles| profiles.entry(host).or_insert_with(|| String::new().into()));
    }
    let mut place = &mut root;
    for key in path.split('.') {
        let mut known = place.as_table().map(|table| table.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
        if path.starts_with("knobs.") {
            known = std::iter::once("draw").chain(knobs::names()).map(str::to_owned).collect();
        }
        let known = known.join(", ");
        place = match place.as_table_mut().and_then(|table| table.get_mut(key)) {
            Some(place) => place,
            None => return Err(SettingsError::UnknownKey { setting: setting(), key: key.to_owned(), known }),
        };
    }
    let parsed =
        format!("value = {}", text.trim()).parse::<toml::Table>().ok().and_then(|mut table| table.remove("value"));
    *place = parsed.unwrap_or_else(|| toml::Value::String(text.trim().to_owned()));
    root.try_into().map_err(|error: toml::de::Error| SettingsError::Value {
        setting: setting(),
        message: error.message().to_owned(),
    })
}

/// What a scenario sets beyond the one of the catalogue with its name, each as `key=value` for [`set`]. Flush, fault and plan
/// have options of their own on the command line. Nothing for a scenario that is not of the catalogue.
pub fn beyond_catalogue(scenario: &Scenario) -> Vec<String> {
    let Some(base) = catalogue::find(&scenario.name) else { return Vec::new() };
    let plain = |scenario: &Scenario| {
        let scenario = Scenario { flush: base.flush, fault: base.fault.clone(), plan: None, ..scenario.clone() };
        toml::Value::try_from(scenario).expect("a scenario is plain data")
    };
    let mut found = Vec::new();
    differences("", &plain(&base), &plain(scenario), &mut found);
    found
}

/// The fields of `changed` that `base` does not have with the same value.
fn differences(path: &str, base: &toml::Value, changed: &toml::Value, found: &mut Vec<String>) {
    match (base, changed) {
        (toml::Value::Table(base), toml::Value::Table(changed)) => {
            for (key, value) in changed {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match base.get(key) {
                    Some(base) => differences(&path, base, value, found),
                    // A table that the catalogue leaves out.
                    None if value.is_table() => differences(&path, &toml::Table::new().into(), value, found),
                    None => found.push(format!("{path}={value}")),
                }
            }
        }
        _ if base == changed => {}
        (_, toml::Value::String(text)) => found.push(format!("{path}={text}")),
        _ => found.push(format!("{path}={changed}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Flush, Mode};

    fn standard() -> Scenario {
        catalogue::standard(Mode::SingleMaster)
    }

    #[test]
    fn fields_are_set_by_their_path() {
        let changed = set(&standard(), "workload.messages_per_second=25").expect("a field");
        assert_eq!(changed.workload.messages_per_second, 25);
        assert_eq!(set(&standard(), "flush=sync").expect("text without quotes").flush, Flush::Sync);
        let mixed = set(&standard(), "profiles.broker-a=apache-5.3").expect("a broker");
        assert_eq!((mixed.profiles.len(), mixed.profiles["broker-a"].to_string()), (1, "apache-5.3".to_owned()));
        assert_eq!(set(&standard(), "workload.body_bytes=[64]").expect("a list").workload.body_bytes, [64]);
    }

    #[test]
    fn what_was_set_beyond_the_catalogue_can_be_set_again() {
        let settings = [
            "workload.body_bytes=[64, 128]",
            "schedule.heal_ms=40000",
            "workload.topic=Other",
            "profiles.broker-a=apache-5.3",
            "topology.file_system=ext4",
            "flush=sync",
        ];
        let changed = settings.iter().fold(standard(), |scenario, setting| set(&scenario, setting).expect("a field"));
        let found = beyond_catalogue(&changed);
        assert_eq!(found.len(), 5, "flush has an option of its own: {found:?}");
        let mut again = found.iter().fold(standard(), |scenario, setting| set(&scenario, setting).expect("a field"));
        again.flush = changed.flush;
        assert_eq!(again, changed);
        assert_eq!(beyond_catalogue(&standard()), Vec::<String>::new());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |setting| set(&standard(), setting).expect_err("wrong").to_string();
        assert!(error("workload.rate=1").contains("there is no `rate`"));
        assert!(error("workload.rate=1").contains("messages_per_second"));
        assert!(error("nonsense").contains("key=value"));
        assert!(error("workload.queues=many").contains("workload.queues=many"));
        let error = load("single-mast").expect_err("unknown").to_string();
        assert!(error.contains("`single-mast`") && error.contains("single-master"), "{error}");
    }
}
