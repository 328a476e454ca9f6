//! Whose behaviour the brokers have, as scenario files write it: a profile, and single quirks added to it or taken away.

use crate::nearest::did_you_mean;
use quirks::{Profile, Quirk, QuirkSet, UnknownQuirk};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::{borrow::Cow, fmt, str::FromStr};

/// A [`Profile`], written by its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProfileName(pub Profile);

/// A quirk added to a profile (`+name`) or taken away from it (`-name`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuirkChange {
    pub quirk: Quirk,
    pub is_added: bool,
}

/// A text that is no such change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuirkChangeError {
    #[error("`{0}`: write +NAME to add a quirk, or -NAME to take one away")]
    NoSign(String),
    #[error("{0}{near}", near = near(.0))]
    Unknown(#[from] UnknownQuirk),
}

fn near(unknown: &UnknownQuirk) -> String {
    did_you_mean(&unknown.0, Quirk::ALL.map(Quirk::name))
}

/// The quirks of a profile after these changes, in their order.
pub fn quirk_set(profile: ProfileName, changes: &[QuirkChange]) -> QuirkSet {
    let change = |set: QuirkSet, change: &QuirkChange| {
        if change.is_added { set.with(change.quirk) } else { set.without(change.quirk) }
    };
    changes.iter().fold(profile.0.quirk_set(), change)
}

impl fmt::Display for ProfileName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.name())
    }
}

impl FromStr for ProfileName {
    type Err = quirks::UnknownProfile;
    fn from_str(name: &str) -> Result<ProfileName, quirks::UnknownProfile> {
        name.parse().map(ProfileName)
    }
}

impl fmt::Display for QuirkChange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", if self.is_added { '+' } else { '-' }, self.quirk)
    }
}

impl FromStr for QuirkChange {
    type Err = QuirkChangeError;
    fn from_str(text: &str) -> Result<QuirkChange, QuirkChangeError> {
        let (is_added, name) = match text.split_at_checked(1) {
            Some(("+", name)) => (true, name),
            Some(("-", name)) => (false, name),
            _ => return Err(QuirkChangeError::NoSign(text.to_owned())),
        };
        Ok(QuirkChange { quirk: name.parse()?, is_added })
    }
}

impl Serialize for ProfileName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ProfileName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ProfileName, D::Error> {
        <Cow<'de, str>>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl Serialize for QuirkChange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for QuirkChange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<QuirkChange, D::Error> {
        <Cow<'de, str>>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for ProfileName {
    fn schema_name() -> Cow<'static, str> {
        "Profile".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": Profile::ALL.map(Profile::name) })
    }
}

impl JsonSchema for QuirkChange {
    fn schema_name() -> Cow<'static, str> {
        "QuirkChange".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names = Quirk::ALL.map(Quirk::name).join("|");
        json_schema!({ "type": "string", "pattern": format!("^[+-]({names})$") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quirks_are_added_and_taken_away() {
        let changes = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("a change")).collect::<Vec<_>>();
        let apache = ProfileName(Profile::Apache498);
        assert!(quirk_set(apache, &[]).has(Quirk::StaleTailResurrection));
        assert!(!quirk_set(apache, &changes(&["-stale-tail-resurrection"])).has(Quirk::StaleTailResurrection));
        let one = quirk_set(ProfileName::default(), &changes(&["+stale-tail-resurrection"]));
        assert_eq!(one.iter().collect::<Vec<_>>(), [Quirk::StaleTailResurrection]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |text: &str| text.parse::<QuirkChange>().expect_err("wrong").to_string();
        assert!(error("stale-tail-resurrection").contains("+NAME"));
        assert!(error("+stale").contains("`stale`"));
        assert!(error("").contains("+NAME"));
    }
}
