//! The quirks by name, each with what it does and where Apache's project speaks of it.

use std::{fmt, str::FromStr};

macro_rules! quirks {
    ($( $variant:ident, $name:literal, $reference:literal, $about:literal; )+) => {
        /// A defect or default of Apache's brokers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Quirk {
            $( #[doc = $about] $variant, )+
        }

        impl Quirk {
            /// All of them.
            pub const ALL: [Quirk; [$( Quirk::$variant ),+].len()] = [$( Quirk::$variant ),+];

            /// The name on the command line and in records.
            pub fn name(self) -> &'static str {
                match self { $( Quirk::$variant => $name, )+ }
            }

            /// Apache's issue or pull request; of the few that nobody has reported, the class where they can be read.
            pub fn reference(self) -> &'static str {
                match self { $( Quirk::$variant => $reference, )+ }
            }

            /// What the broker does with it, in one line.
            pub fn describe(self) -> &'static str {
                match self { $( Quirk::$variant => $about, )+ }
            }
        }
    };
}

quirks! {
    StaleTailResurrection, "stale-tail-resurrection", "#10666",
        "recovery moves the log's end back in memory only: the bytes beyond stay, and rise again after the next crash";
    RecordOffsetUnchecked, "record-offset-unchecked", "#10017",
        "recovery takes any whole record for its own, wherever it says that it stands";
    BodyCrcOnly, "body-crc-only", "#7437",
        "a record's checksum covers its body alone: header and properties that a torn sector has damaged are believed";
    UnflushedVisible, "unflushed-visible", "#8239",
        "consumers are given messages that SYNC_FLUSH has not flushed yet";
    LeftOverOffsets, "left-over-offsets", "#8240",
        "offsets beyond the end of the log after a recovery are believed: new messages at them are skipped";
    CheckpointBeforeQueues, "checkpoint-before-queues", "#678",
        "the checkpoint claims ConsumeQueue units that are not on the drive yet";
    IndexDeletedOnRecovery, "index-deleted-on-recovery", "#8007",
        "recovery deletes index files that the checkpoint does not vouch for, and does not build them again in full";
    FlushErrorIgnored, "flush-error-ignored", "#9713, #2706",
        "the flushed position moves on although the sync failed";
    ConfigOverwritten, "config-overwritten", "#5905, #3401",
        "configuration files are overwritten in place without a sync";
    ReplicaOffsetBelieved, "replica-offset-believed", "#1155, #3015, #3016",
        "a slave's first report counts as an acknowledgement even beyond the master's own end";
    ReplicaOffsetUnguarded, "replica-offset-unguarded", "#3979 (RIP-34, against #3016)",
        "a slave that reports an offset beyond the master's end is kept, and its reports count";
    DivergenceUnchecked, "divergence-unchecked", "#1155",
        "a slave's log is continued at the offset that it names, whatever it holds before";
    TailNotTakenBack, "tail-not-taken-back", "alibaba/rocketmq#510",
        "a master that lost the end of its log serves at once and never asks its slaves for it";
    HistoryNotCopied, "history-not-copied", "#3661, #9580",
        "an empty slave is sent the last file of the log only";
    PageCacheAcks, "page-cache-acks", "DefaultHAClient",
        "a slave acknowledges what is in its page cache, even under SYNC_FLUSH";
    UnreplicatedVisible, "unreplicated-visible", "#2830",
        "consumers of a SYNC_MASTER are given messages that no slave has yet";
    InSyncReplicasOne, "in-sync-replicas-one", "#3979 (RIP-34)",
        "SYNC_MASTER waits for no slave: inSyncReplicas is 1 unless it is set";
    OffsetsReplaced, "offsets-replaced", "#1094, #1440",
        "a slave replaces its consumer offsets by the master's, even by older ones; a master never takes newer ones back";
    OffsetOverflowResets, "offset-overflow-resets", "#2181, #4215",
        "a group whose offset is far beyond the queue's end is sent to the queue's beginning";
    DelayOffsetsForgotten, "delay-offsets-forgotten", "#3473",
        "the progress of delayed delivery is not written when a broker stops";
    InternalPutsUnwaited, "internal-puts-unwaited", "ScheduleMessageService (WAIT=false)",
        "delivered delayed messages and retries are stored without waiting for flush or slave";
}

/// A name that no quirk has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownQuirk(pub String);

impl fmt::Display for UnknownQuirk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Quirk::ALL.map(Quirk::name).join(", ");
        write!(formatter, "unknown quirk `{}`; the quirks are: {names}", self.0)
    }
}

impl std::error::Error for UnknownQuirk {}

impl FromStr for Quirk {
    type Err = UnknownQuirk;
    fn from_str(name: &str) -> Result<Quirk, UnknownQuirk> {
        Quirk::ALL.into_iter().find(|quirk| quirk.name() == name).ok_or_else(|| UnknownQuirk(name.to_owned()))
    }
}

impl fmt::Display for Quirk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
