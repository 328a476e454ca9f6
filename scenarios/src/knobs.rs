//! Knobs: settings of brokers, name servers and clients that a run may draw, from tiny extremes up to the usual.
//!
//! Half of the knobs stay as they are, a fourth of the others takes an end of its range, the rest is drawn evenly over the
//! orders of magnitude. Each is a function of (seed, name), so that a new knob does not reshuffle the others. What a scenario
//! sets itself is not drawn. The values are in the record; promises are worked out with them.
//!
//! The ranges leave out what would break a promise by itself (a log that is deleted at once) or only make everything stand
//! still for longer than a run.

mod table;

pub use table::{ALL, Knob};

use crate::{
    catalogue,
    spec::{Scenario, ScenarioError},
};
use broker::BrokerConfig;
use client::{ClientConfig, ProducerConfig, PushConfig};
use namesrv::NamesrvConfig;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error, ser::SerializeMap};
use sim::world::Key;
use std::{borrow::Cow, collections::BTreeMap};
use table::Place;

/// The knobs of a scenario: whether they are drawn, and those that are set. Written as `"off"`, `"random"`, or a table with
/// `draw` and knobs by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Knobs {
    /// Draw those that are not set.
    pub is_random: bool,
    /// Those that are set, here or in the scenario's own fields, and, once [`Knobs::turned`], those that were drawn.
    values: BTreeMap<&'static str, u64>,
}

/// The knob of this name that scenarios may set under `knobs`.
pub fn find(name: &str) -> Option<&'static Knob> {
    ALL.iter().find(|knob| knob.name == name && !knob.is_scenario_field())
}

/// The words for `--set knobs.…`.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().filter(|knob| !knob.is_scenario_field()).map(|knob| knob.name)
}

/// The scenario as this seed runs it: with the values of all knobs.
pub fn turned(scenario: &Scenario, seed: u64) -> Scenario {
    let mut turned = scenario.clone();
    if !scenario.knobs.is_random {
        return turned;
    }
    let (key, standard) = (Key::root(seed).derive("knobs"), catalogue::standard(scenario.mode));
    for knob in ALL {
        if turned.knobs.values.contains_key(knob.name) {
            continue;
        }
        if let Place::Scenario { get, .. } = knob.place
            && get(scenario) != get(&standard)
        {
            continue;
        }
        let Some(value) = knob.draw(key) else { continue };
        turned.knobs.values.insert(knob.name, value);
        if let Place::Scenario { set, .. } = knob.place {
            set(&mut turned, value);
        }
    }
    turned
}

/// The scenario with these values of its knobs, as [`turned`] has once drawn them: those that a record holds.
///
/// # Errors
/// When there is no such knob (any more).
pub fn turned_to(scenario: &Scenario, values: &BTreeMap<String, u64>) -> Result<Scenario, UnknownKnob> {
    let mut turned = scenario.clone();
    for (name, value) in values {
        let knob = ALL.iter().find(|knob| knob.name == name).ok_or_else(|| UnknownKnob(name.clone()))?;
        turned.knobs.values.insert(knob.name, *value);
        if let Place::Scenario { set, .. } = knob.place {
            set(&mut turned, *value);
        }
    }
    Ok(turned)
}

/// A name that no knob has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no knob `{0}`; `staticfire list` shows them")]
pub struct UnknownKnob(String);

impl Knob {
    /// The value that the seed gives it; `None`: it stays as it is.
    fn draw(&self, key: Key) -> Option<u64> {
        let mut stream = key.derive(self.name).stream();
        if stream.chance(0.5) {
            return None;
        }
        if stream.chance(0.25) {
            return Some(if stream.chance(0.5) { self.low } else { self.high });
        }
        // One more than the value, so that 0 has a logarithm.
        let (low, high) = ((self.low + 1) as f64, (self.high + 1) as f64);
        let value = (low.ln() + stream.unit() * (high / low).ln()).exp().round() as u64 - 1;
        Some(value.clamp(self.low, self.high))
    }

    /// Whether it is a field of the scenario itself, and is set there.
    fn is_scenario_field(&self) -> bool {
        matches!(self.place, Place::Scenario { .. })
    }
}

impl Knobs {
    /// All values, by name.
    pub fn values(&self) -> &BTreeMap<&'static str, u64> {
        &self.values
    }

    /// Whether all settings are as the scenario says.
    pub fn is_off(&self) -> bool {
        !self.is_random && self.values.is_empty()
    }

    /// Refuses what is out of range.
    ///
    /// # Errors
    /// The first that is.
    pub fn check(&self) -> Result<(), ScenarioError> {
        for (name, value) in &self.values {
            if let Some(Knob { name, low, high, .. }) = find(name)
                && !(low..=high).contains(&value)
            {
                return Err(ScenarioError::Knob { name, value: *value, low: *low, high: *high });
            }
        }
        Ok(())
    }

    /// Turns a broker's knobs.
    pub fn turn_broker(&self, config: &mut BrokerConfig) {
        self.each(|place, value| {
            if let Place::Broker(set) = place {
                set(config, value);
            }
        });
    }

    /// Turns a name server's knobs.
    pub fn turn_name_server(&self, config: &mut NamesrvConfig) {
        self.each(|place, value| {
            if let Place::NameServer(set) = place {
                set(config, value);
            }
        });
    }

    /// Turns the knobs that all clients have.
    pub fn turn_client(&self, config: &mut ClientConfig) {
        self.each(|place, value| {
            if let Place::Client(set) = place {
                set(config, value);
            }
        });
    }

    /// Turns a producer's knobs.
    pub fn turn_producer(&self, config: &mut ProducerConfig) {
        self.each(|place, value| {
            if let Place::Producer(set) = place {
                set(config, value);
            }
        });
    }

    /// Turns a consumer's knobs.
    pub fn turn_consumer(&self, config: &mut PushConfig) {
        self.each(|place, value| {
            if let Place::Consumer(set) = place {
                set(config, value);
            }
        });
    }

    fn each(&self, mut turn: impl FnMut(&Place, u64)) {
        for knob in ALL {
            if let Some(value) = self.values.get(knob.name) {
                turn(&knob.place, *value);
            }
        }
    }
}

impl Serialize for Knobs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1 + self.values.len()))?;
        map.serialize_entry("draw", if self.is_random { "random" } else { "off" })?;
        for (name, value) in &self.values {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Knobs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Knobs, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Value<'a> {
            Number(u64),
            Word(Cow<'a, str>),
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written<'a> {
            Word(Cow<'a, str>),
            Table(BTreeMap<String, Value<'a>>),
        }
        let is_random = |word: &str| match word {
            "random" => Ok(true),
            "off" => Ok(false),
            _ => Err(D::Error::custom(format!("knobs are \"off\" or \"random\", not \"{word}\""))),
        };
        let wrong = |_| D::Error::custom("knobs are \"off\", \"random\", or a table of numbers by name");
        let table = match Written::deserialize(deserializer).map_err(wrong)? {
            Written::Word(word) => return Ok(Knobs { is_random: is_random(&word)?, values: BTreeMap::new() }),
            Written::Table(table) => table,
        };
        let mut knobs = Knobs::default();
        for (name, value) in table {
            match (find(&name), value) {
                (_, Value::Word(word)) if name == "draw" => knobs.is_random = is_random(&word)?,
                (Some(knob), Value::Number(value)) => drop(knobs.values.insert(knob.name, value)),
                (Some(_), Value::Word(word)) => {
                    return Err(D::Error::custom(format!("knobs.{name} is a number, not \"{word}\"")));
                }
                (None, _) => return Err(D::Error::custom(format!("there is no knob `{name}`"))),
            }
        }
        Ok(knobs)
    }
}

impl JsonSchema for Knobs {
    fn schema_name() -> Cow<'static, str> {
        "Knobs".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let knob = |name| {
            let Knob { about, low, high, .. } = find(name)?;
            Some((
                name.to_owned(),
                serde_json::json!({ "type": "integer", "description": about, "minimum": low, "maximum": high }),
            ))
        };
        let mut properties = names().filter_map(knob).collect::<serde_json::Map<_, _>>();
        properties.insert("draw".to_owned(), serde_json::json!({ "enum": ["off", "random"] }));
        json_schema!({ "anyOf": [
            { "enum": ["off", "random"] },
            { "type": "object", "properties": properties, "additionalProperties": false },
        ] })
    }
}

#[cfg(test)]
mod tests;
