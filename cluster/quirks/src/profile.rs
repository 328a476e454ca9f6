//! Whose behaviour a cluster has: ours, or that of a version of Apache's broker.

use std::{fmt, str::FromStr};

use crate::{Quirk, QuirkSet};

/// A set of quirks by the version that has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// RocketMQ as it should be: no quirk.
    #[default]
    Hardened,
    /// Apache RocketMQ 4.9.8.
    Apache498,
    /// Apache RocketMQ 5.3.
    Apache53,
}

/// What 4.9.8 and 5.3 have in common.
const BOTH: [Quirk; 14] = [
    Quirk::StaleTailResurrection,
    Quirk::RecordOffsetUnchecked,
    Quirk::BodyCrcOnly,
    Quirk::LeftOverOffsets,
    Quirk::CheckpointBeforeQueues,
    Quirk::IndexDeletedOnRecovery,
    Quirk::FlushErrorIgnored,
    Quirk::DivergenceUnchecked,
    Quirk::TailNotTakenBack,
    Quirk::HistoryNotCopied,
    Quirk::PageCacheAcks,
    Quirk::UnreplicatedVisible,
    Quirk::OffsetsReplaced,
    Quirk::InternalPutsUnwaited,
];

/// What only 4.9.8 has.
const ONLY_498: [Quirk; 4] =
    [Quirk::UnflushedVisible, Quirk::ConfigOverwritten, Quirk::ReplicaOffsetBelieved, Quirk::DelayOffsetsForgotten];

/// What neither has any more, but older brokers have: to be switched on by name.
#[cfg(test)]
const OLDER: [Quirk; 1] = [Quirk::OffsetOverflowResets];

/// What only 5.3 has.
const ONLY_53: [Quirk; 2] = [Quirk::ReplicaOffsetUnguarded, Quirk::InSyncReplicasOne];

impl Profile {
    /// All profiles.
    pub const ALL: [Profile; 3] = [Profile::Hardened, Profile::Apache498, Profile::Apache53];

    /// The name on the command line and in scenario files.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Hardened => "hardened",
            Profile::Apache498 => "apache-4.9.8",
            Profile::Apache53 => "apache-5.3",
        }
    }

    /// The quirks that it is meant to have.
    pub fn quirks(self) -> impl Iterator<Item = Quirk> {
        let (common, own): (&[Quirk], &[Quirk]) = match self {
            Profile::Hardened => (&[], &[]),
            Profile::Apache498 => (&BOTH, &ONLY_498),
            Profile::Apache53 => (&BOTH, &ONLY_53),
        };
        common.iter().chain(own).copied()
    }

    /// The same as a set. Without the feature `quirks` it is always empty.
    pub fn quirk_set(self) -> QuirkSet {
        #[cfg(all(feature = "quirks", not(feature = "real")))]
        return self.quirks().fold(QuirkSet::NONE, QuirkSet::with);
        #[cfg(not(all(feature = "quirks", not(feature = "real"))))]
        QuirkSet::NONE
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A name that no profile has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownProfile(pub String);

impl fmt::Display for UnknownProfile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Profile::ALL.map(Profile::name).join(", ");
        write!(formatter, "unknown profile `{}`; the profiles are: {names}", self.0)
    }
}

impl std::error::Error for UnknownProfile {}

impl FromStr for Profile {
    type Err = UnknownProfile;
    fn from_str(name: &str) -> Result<Profile, UnknownProfile> {
        Profile::ALL.into_iter().find(|profile| profile.name() == name).ok_or_else(|| UnknownProfile(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_quirk_belongs_to_a_version() {
        for quirk in Quirk::ALL {
            let in_profile = Profile::ALL.iter().any(|profile| profile.quirks().any(|has| has == quirk));
            assert!(in_profile != OLDER.contains(&quirk), "{quirk}");
        }
        assert_eq!(Profile::Hardened.quirks().count(), 0);
    }

    #[test]
    fn most_quirks_have_an_issue_of_apaches_project() {
        let number = |reference: &str| {
            let digits = reference.split('#').nth(1)?.split(|c: char| !c.is_ascii_digit()).next()?;
            digits.parse::<u32>().ok()
        };
        let without: Vec<_> = Quirk::ALL.into_iter().filter(|quirk| number(quirk.reference()).is_none()).collect();
        // Read in the source, and reported by nobody.
        assert_eq!(without, [Quirk::PageCacheAcks, Quirk::InternalPutsUnwaited]);
        for profile in [Profile::Apache498, Profile::Apache53] {
            assert!(profile.quirks().filter(|quirk| number(quirk.reference()).is_some()).count() >= 14, "{profile}");
        }
    }

    #[test]
    fn names_are_read_back() {
        for profile in Profile::ALL {
            assert_eq!(profile.name().parse(), Ok(profile));
        }
        for quirk in Quirk::ALL {
            assert_eq!(quirk.name().parse(), Ok(quirk));
        }
        assert!("apache-3".parse::<Profile>().expect_err("no such profile").to_string().contains("hardened"));
    }
}
