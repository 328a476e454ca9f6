//! What a run is broken by: one class of faults, or up to three in sequence.
//!
//! Written `os-crash+power-loss`, on the command line, in files and in records alike. The second strikes after the first has
//! taken effect, on the same replica group: often while the group still recovers from the first.

use crate::FaultKind;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fmt, str::FromStr};

/// One to three [`FaultKind`]s in the order in which they strike. `none` stands alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fault(Vec<FaultKind>);

/// A fault that cannot be written, or that a cluster cannot be struck by.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    #[error("`{fault}`: {unknown}")]
    Unknown { fault: String, unknown: crate::UnknownFault },
    #[error("`{fault}` is a sequence of {count} faults; give one to {max}, joined by `+`", max = Fault::KINDS_MAX)]
    Count { fault: String, count: usize },
    #[error("`{fault}`: `none` cannot be part of a sequence; leave it out")]
    NoneInSequence { fault: String },
    #[error(
        "`{fault}`: after `{first}` there is nothing left that `{second}` could break before the end; put `{first}` last, or \
         take another fault"
    )]
    NothingLeft { fault: String, first: FaultKind, second: FaultKind },
    #[error(
        "the fault `{kind}` needs a slave, and in this mode no master has one (its groups: {groups}); take a mode with \
         slaves, or another fault"
    )]
    NeedsSecondary { kind: FaultKind, groups: String },
    #[error(
        "the fault `{kind}` needs a name server, and in this mode there is none; give the topology one, or take another fault"
    )]
    NeedsRegistry { kind: FaultKind },
    #[error("the fault `{kind}` needs a broker, and in this mode there is none")]
    NeedsGroup { kind: FaultKind },
}

impl Fault {
    /// How many kinds a sequence may have.
    pub const KINDS_MAX: usize = 3;

    /// Nothing breaks.
    pub fn none() -> Fault {
        Fault(vec![FaultKind::None])
    }

    /// A sequence.
    ///
    /// # Errors
    /// When there are none or too many, `none` is among several, or a kind leaves nothing for a later one to break.
    pub fn sequence(kinds: Vec<FaultKind>) -> Result<Fault, FaultError> {
        let fault = Fault(kinds);
        let count = fault.0.len();
        if count == 0 || count > Fault::KINDS_MAX {
            return Err(FaultError::Count { fault: fault.to_string(), count });
        }
        if count > 1 && fault.0.contains(&FaultKind::None) {
            return Err(FaultError::NoneInSequence { fault: fault.to_string() });
        }
        // A lost machine is down until everything is healed at the end.
        let lost = fault.0.iter().position(|kind| matches!(kind, FaultKind::MachineLoss | FaultKind::DiskMoved));
        let later = lost.map_or(&[][..], |at| &fault.0[at + 1..]);
        match (lost, later.iter().find(|kind| kind.needs_primary_alive())) {
            (Some(at), Some(&second)) => {
                Err(FaultError::NothingLeft { fault: fault.to_string(), first: fault.0[at], second })
            }
            _ => Ok(fault),
        }
    }

    /// The kinds, in the order in which they strike.
    pub fn kinds(&self) -> &[FaultKind] {
        &self.0
    }

    /// Whether nothing breaks.
    pub fn is_none(&self) -> bool {
        self.0 == [FaultKind::None]
    }

    /// The first kind, for what is grouped by it.
    pub fn first(&self) -> FaultKind {
        self.0[0]
    }

    /// Whether this kind is one of the sequence.
    pub fn has(&self, kind: FaultKind) -> bool {
        self.0.contains(&kind)
    }

    /// As [`FaultKind::needs_secondary`], for any of the sequence.
    pub fn needs_secondary(&self) -> bool {
        self.0.iter().any(|kind| kind.needs_secondary())
    }

    /// As [`FaultKind::needs_raid`], for any of the sequence.
    pub fn needs_raid(&self) -> bool {
        self.0.iter().any(|kind| kind.needs_raid())
    }

    /// What it does, for people.
    pub fn describe(&self) -> String {
        self.0.iter().map(|kind| kind.describe()).collect::<Vec<_>>().join("; then ")
    }
}

impl From<FaultKind> for Fault {
    fn from(kind: FaultKind) -> Fault {
        Fault(vec![kind])
    }
}

impl PartialEq<FaultKind> for Fault {
    fn eq(&self, kind: &FaultKind) -> bool {
        self.0 == [*kind]
    }
}

impl Default for Fault {
    fn default() -> Fault {
        Fault::none()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, number) in self.0.iter().zip(0..) {
            if number > 0 {
                formatter.write_str("+")?;
            }
            formatter.write_str(kind.name())?;
        }
        Ok(())
    }
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Fault, FaultError> {
        let kinds = text.split('+').map(|name| name.trim().parse::<FaultKind>()).collect::<Result<Vec<_>, _>>();
        Fault::sequence(kinds.map_err(|unknown| FaultError::Unknown { fault: text.to_owned(), unknown })?)
    }
}

impl TryFrom<String> for Fault {
    type Error = FaultError;

    fn try_from(text: String) -> Result<Fault, FaultError> {
        text.parse()
    }
}

impl From<Fault> for String {
    fn from(fault: Fault) -> String {
        fault.to_string()
    }
}

impl JsonSchema for Fault {
    fn schema_name() -> Cow<'static, str> {
        "Fault".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let name = FaultKind::ALL.map(FaultKind::name).join("|");
        json_schema!({
            "type": "string",
            "description": "One class of faults, or up to three in sequence, joined by `+`.",
            "pattern": format!("^({name})(\\+({name})){{0,{}}}$", Fault::KINDS_MAX - 1),
            "examples": ["power-loss", "os-crash+power-loss"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        text.parse::<Fault>().expect_err("not a fault").to_string()
    }

    #[test]
    fn a_fault_is_written_the_same_everywhere() {
        for text in ["none", "power-loss", "os-crash+power-loss", "slave-crash+slow-link+machine-loss"] {
            let fault: Fault = text.parse().expect("a fault");
            assert_eq!(fault.to_string(), text);
            let json = serde_json::to_string(&fault).expect("a string");
            assert_eq!(json, format!("{text:?}"));
            assert_eq!(serde_json::from_str::<Fault>(&json).expect("what was just written"), fault);
        }
        assert_eq!("power-loss".parse::<Fault>(), Ok(FaultKind::PowerLoss.into()));
        assert!(Fault::default().is_none());
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_remedy() {
        assert!(refused("os-crash+power-los").contains("`power-los`"));
        assert!(refused("pause+pause+pause+pause").contains("one to 3"));
        assert!(refused("none+pause").contains("leave it out"));
        assert!(refused("").contains("unknown fault ``"));
        assert!(refused("machine-loss+power-loss").contains("put `machine-loss` last"));
        for good in ["power-loss+machine-loss", "machine-loss+slave-power-loss", "machine-loss+power-loss-all"] {
            assert!(good.parse::<Fault>().is_ok(), "{good}");
        }
        let error = serde_json::from_str::<Fault>("\"none+pause\"").expect_err("refused from files too");
        assert!(error.to_string().contains("leave it out"), "{error}");
    }

    #[test]
    fn a_sequence_needs_what_any_of_it_needs() {
        let fault: Fault = "power-loss+slave-crash".parse().expect("a fault");
        assert!(fault.needs_secondary() && !fault.needs_raid() && fault.has(FaultKind::SlaveCrash));
        let fault: Fault = "disk-member-loss".parse().expect("a fault");
        assert!(!fault.needs_secondary() && fault.needs_raid() && fault == FaultKind::DiskMemberLoss);
    }
}
