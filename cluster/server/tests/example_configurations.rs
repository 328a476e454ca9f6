//! Every file under `deploy/conf` is a broker that starts: no key of it is unknown, none is refused, and they go together.
#![allow(
    clippy::disallowed_methods,
    reason = "the files of this repository are read as they are, outside of any simulation"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use broker::{BrokerConfig, Role, settings};
use server::{Properties, broker_settings};

fn configurations() -> BTreeMap<String, PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/conf");
    let mut found = BTreeMap::new();
    let mut directories = vec![root.clone()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).expect("deploy/conf is part of the repository") {
            let path = entry.expect("it can be listed").path();
            let is_settings =
                path.extension().is_some_and(|extension| extension == "conf" || extension == "properties");
            if path.is_dir() {
                directories.push(path);
            } else if is_settings {
                let name = path.strip_prefix(&root).expect("it lies below").display().to_string();
                found.insert(name, path);
            }
        }
    }
    found
}

fn load(path: &Path) -> BrokerConfig {
    let text = std::fs::read(path).expect("it can be read");
    let properties = Properties::parse(path, &text).expect("it is a property file");
    let mut config = BrokerConfig::new("unnamed", "store");
    for setting in properties.settings() {
        let set = settings::set(&mut config, &setting.key, &setting.value);
        set.unwrap_or_else(|error| panic!("{}:{}: {error}", path.display(), setting.line));
    }
    // As the option -n of the README beside them.
    settings::set(&mut config, "namesrvAddr", "namesrv-host:9876").expect("it is an address");
    broker_settings::check(&config, Some(&properties)).unwrap_or_else(|error| panic!("{error}"));
    config
}

#[test]
fn every_example_configuration_is_taken_whole() {
    let expected = [
        ("broker.conf", "broker-a", 0, Role::AsyncMaster),
        ("2m-noslave/broker-a.properties", "broker-a", 0, Role::AsyncMaster),
        ("2m-noslave/broker-b.properties", "broker-b", 0, Role::AsyncMaster),
        ("2m-noslave/broker-trace.properties", "broker-trace", 0, Role::AsyncMaster),
        ("2m-2s-async/broker-a.properties", "broker-a", 0, Role::AsyncMaster),
        ("2m-2s-async/broker-a-s.properties", "broker-a", 1, Role::Slave),
        ("2m-2s-async/broker-b.properties", "broker-b", 0, Role::AsyncMaster),
        ("2m-2s-async/broker-b-s.properties", "broker-b", 1, Role::Slave),
        ("2m-2s-sync/broker-a.properties", "broker-a", 0, Role::SyncMaster),
        ("2m-2s-sync/broker-a-s.properties", "broker-a", 1, Role::Slave),
        ("2m-2s-sync/broker-b.properties", "broker-b", 0, Role::SyncMaster),
        ("2m-2s-sync/broker-b-s.properties", "broker-b", 1, Role::Slave),
    ];
    let expected: BTreeMap<_, _> =
        expected.into_iter().map(|(file, name, id, role)| (file.to_owned(), (name.to_owned(), id, role))).collect();
    let found: BTreeMap<_, _> = configurations()
        .into_iter()
        .map(|(file, path)| {
            let config = load(&path);
            (file, (config.broker_name, config.broker_id.0, config.ha.role))
        })
        .collect();
    let text = |table: &BTreeMap<String, _>| format!("{table:#?}");
    assert_eq!(text(&found), text(&expected));
}
