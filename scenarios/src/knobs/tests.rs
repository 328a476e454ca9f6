//! Tests of the knobs.

use super::*;
use crate::{settings, spec::Mode};
use std::collections::BTreeSet;

fn random(mode: Mode) -> Scenario {
    settings::set(&catalogue::standard(mode), "knobs=random").expect("a word")
}

#[test]
fn every_knob_turns_something_and_has_a_name_of_its_own() {
    let state = |knob: &Knob, value: u64| {
        let mut scenario = catalogue::standard(Mode::SingleMaster);
        if let Place::Scenario { get, set } = knob.place {
            set(&mut scenario, value);
            return get(&scenario).to_string();
        }
        let knobs = Knobs { is_random: false, values: BTreeMap::from([(knob.name, value)]) };
        let (mut broker, mut namesrv) = (BrokerConfig::new("b", "s"), NamesrvConfig::default());
        let (mut client, mut producer, mut consumer) =
            (ClientConfig::new(["n:1"]), ProducerConfig::default(), PushConfig::default());
        knobs.turn_broker(&mut broker);
        knobs.turn_name_server(&mut namesrv);
        knobs.turn_client(&mut client);
        knobs.turn_producer(&mut producer);
        knobs.turn_consumer(&mut consumer);
        format!("{broker:?} {namesrv:?} {client:?} {producer:?} {consumer:?}")
    };
    let names = ALL.iter().map(|knob| knob.name).collect::<BTreeSet<_>>();
    assert_eq!(names.len(), ALL.len());
    for knob in ALL {
        assert!(knob.low < knob.high, "{}", knob.name);
        assert_ne!(state(knob, knob.low), state(knob, knob.high), "{} turns nothing", knob.name);
    }
}

#[test]
fn what_is_drawn_is_in_range_and_makes_a_scenario() {
    for mode in Mode::ALL {
        for seed in 0..100 {
            let turned = turned(&random(mode), seed);
            turned.check().unwrap_or_else(|error| panic!("{mode}, seed {seed}: {error}"));
            for (name, value) in turned.knobs.values() {
                let knob = ALL.iter().find(|knob| knob.name == *name).expect("in the table");
                assert!((knob.low..=knob.high).contains(value), "{name} = {value}");
            }
        }
    }
}

#[test]
fn every_knob_is_drawn_at_both_ends_and_between_in_some_run() {
    let runs = (0..200).map(|seed| turned(&random(Mode::TwoMastersTwoSlavesSync), seed)).collect::<Vec<_>>();
    for knob in ALL {
        let values = runs.iter().map(|run| run.knobs.values().get(knob.name).copied());
        let values = values.collect::<BTreeSet<_>>();
        assert!(values.contains(&None), "{} always changes", knob.name);
        assert!(values.contains(&Some(knob.low)) && values.contains(&Some(knob.high)), "{}", knob.name);
        assert!(values.len() > 3 || knob.high - knob.low < 3, "{}: {values:?}", knob.name);
    }
}

#[test]
fn what_is_set_is_not_drawn_and_the_rest_does_not_change() {
    let all = turned(&random(Mode::SingleMaster), 3);
    for setting in ["knobs.consumer_pull_batch=7", "broker.flush_interval_ms=77"] {
        let set = settings::set(&random(Mode::SingleMaster), setting).expect("a field");
        assert!(set.knobs.is_random, "setting one does not switch the others off");
        let turned = turned(&set, 3);
        let others = |scenario: &Scenario| {
            let mut values = scenario.knobs.values().clone();
            values.retain(|name, _| !setting.contains(name));
            values
        };
        assert_eq!(others(&turned), others(&all), "{setting}");
        let is_kept = turned.broker.flush_interval_ms == 77 || turned.knobs.values()["consumer_pull_batch"] == 7;
        assert!(is_kept, "{setting}");
    }
}

#[test]
fn off_is_off() {
    let standard = catalogue::standard(Mode::SingleMaster);
    assert!(standard.knobs.is_off());
    assert_eq!(turned(&standard, 1), standard);
    assert_eq!(settings::set(&random(Mode::SingleMaster), "knobs=off").expect("a word"), standard);
}

#[test]
fn settings_can_be_set_again_and_what_is_wrong_is_named() {
    let standard = catalogue::standard(Mode::SingleMaster);
    let set = settings::set(&random(Mode::SingleMaster), "knobs.ha_heartbeat_interval_ms=60").expect("a knob");
    let words = settings::beyond_catalogue(&set);
    assert_eq!(words, ["knobs.draw=random", "knobs.ha_heartbeat_interval_ms=60"]);
    let again = words.iter().fold(standard.clone(), |scenario, word| settings::set(&scenario, word).expect("a field"));
    assert_eq!(again, set);

    let error = |setting| settings::set(&standard, setting).expect_err("wrong").to_string();
    assert!(error("knobs.speed=9").contains("consumer_pull_batch"));
    assert!(error("knobs=wild").contains("random"));
    assert!(error("knobs.consumer_pull_batch=many").contains("number"));
    let out = settings::set(&standard, "knobs.consumer_pull_batch=0").expect("a number").check().expect_err("range");
    assert!(out.to_string().contains("1 to 256"), "{out}");
}
