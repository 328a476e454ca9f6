//! What actions are made of.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One of the hosts of an [`Action::CrashTogether`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Down {
    /// The host's name.
    pub host: String,
    /// When it boots again, in milliseconds after the crash. Absent: only when everything is healed at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_after_ms: Option<u64>,
}

/// How a host stops, and so what it loses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CrashKind {
    /// `kill -9`: process memory.
    ProcessKill,
    /// Kernel panic: process memory and page cache.
    OsCrash,
    /// Power loss: process memory, page cache and the drive's cache.
    PowerLoss,
    /// The drive with everything on it.
    DiskLoss,
}

/// Which way a cut works, as seen from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    Both,
    /// What is sent to the host is lost.
    In,
    /// What the host sends is lost.
    Out,
}

/// One of the hosts of an [`Action::Swizzle`](super::Action::Swizzle).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Swizzled {
    /// The host's name.
    pub host: String,
    /// When it is jammed, in milliseconds after the swizzle began.
    pub jam_after_ms: u64,
    /// When it is released, in milliseconds after the swizzle began.
    pub release_after_ms: u64,
}

/// How a medium goes bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Damage {
    /// The sector cannot be read: EIO.
    LatentError,
    /// A bit of the sector has flipped, and nobody says so.
    BitRot,
}

/// How a name service goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum NameFault {
    /// Each answer takes so long, in milliseconds; at 5000 and more it comes too late.
    Slow { delay_ms: u64 },
    /// The server answers at once that it cannot.
    Failing,
    /// The server does not answer; a resolver gives up after 10 s.
    Silent,
}

/// How often which operation of a drive goes wrong: probabilities from 0 to 1, of those that reach the drive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DiskFaultRates {
    /// Reads fail with EIO.
    #[serde(skip_serializing_if = "is_zero")]
    pub read_error: f64,
    /// Writes fail, which the next sync of the file reports; the pages count as clean from then on.
    #[serde(skip_serializing_if = "is_zero")]
    pub write_error: f64,
    /// Syncs fail with EIO.
    #[serde(skip_serializing_if = "is_zero")]
    pub sync_error: f64,
    /// Reads return less than there is.
    #[serde(skip_serializing_if = "is_zero")]
    pub short_read: f64,
    /// Writes take less than they were given.
    #[serde(skip_serializing_if = "is_zero")]
    pub short_write: f64,
    /// Writes are confirmed, and never reach the medium.
    #[serde(skip_serializing_if = "is_zero")]
    pub lost_write: f64,
    /// Writes reach another place of the medium.
    #[serde(skip_serializing_if = "is_zero")]
    pub misdirected_write: f64,
    /// Reads return another place of the medium.
    #[serde(skip_serializing_if = "is_zero")]
    pub misdirected_read: f64,
    /// Reads return what stood there before it was last written.
    #[serde(skip_serializing_if = "is_zero")]
    pub stale_read: f64,
    /// The drive says that it has flushed its cache, and has not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub lying_sync: bool,
    /// The drive answers nothing until the end.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stalled: bool,
}

/// How often which packet of a link goes wrong: probabilities from 0 to 1. What is lost, doubled or overtaken an application
/// sees as delay alone, since TCP mends it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LinkFaultRates {
    /// Packets are lost.
    #[serde(skip_serializing_if = "is_zero")]
    pub loss: f64,
    /// Packets arrive twice.
    #[serde(skip_serializing_if = "is_zero")]
    pub duplicate: f64,
    /// Packets are overtaken by later ones.
    #[serde(skip_serializing_if = "is_zero")]
    pub reorder: f64,
    /// Packets are damaged, which a checksum notices: they are lost.
    #[serde(skip_serializing_if = "is_zero")]
    pub corrupt: f64,
    /// A bit of a packet flips, and no checksum notices.
    #[serde(skip_serializing_if = "is_zero")]
    pub undetected_corruption: f64,
}

fn is_zero(rate: &f64) -> bool {
    *rate == 0.0
}

impl DiskFaultRates {
    /// The rates with their names, in the plan's form.
    pub fn rates(&self) -> [(&'static str, f64); 9] {
        [
            ("read_error", self.read_error),
            ("write_error", self.write_error),
            ("sync_error", self.sync_error),
            ("short_read", self.short_read),
            ("short_write", self.short_write),
            ("lost_write", self.lost_write),
            ("misdirected_write", self.misdirected_write),
            ("misdirected_read", self.misdirected_read),
            ("stale_read", self.stale_read),
        ]
    }

    /// Whether syncs of files may fail.
    pub fn fails_syncs(&self) -> bool {
        self.write_error > 0.0 || self.sync_error > 0.0
    }
}

impl LinkFaultRates {
    /// The rates with their names, in the plan's form.
    pub fn rates(&self) -> [(&'static str, f64); 5] {
        [
            ("loss", self.loss),
            ("duplicate", self.duplicate),
            ("reorder", self.reorder),
            ("corrupt", self.corrupt),
            ("undetected_corruption", self.undetected_corruption),
        ]
    }
}

impl CrashKind {
    /// What happened, for people.
    pub fn describe(self) -> &'static str {
        match self {
            CrashKind::ProcessKill => "process killed",
            CrashKind::OsCrash => "kernel crashed",
            CrashKind::PowerLoss => "power cut",
            CrashKind::DiskLoss => "disk lost",
        }
    }
}

impl Direction {
    /// What a host that is cut off in this way meets, for people.
    pub fn describe(self) -> &'static str {
        match self {
            Direction::Both => "cut off both ways",
            Direction::In => "hears nothing",
            Direction::Out => "is not heard",
        }
    }
}
