//! A host: its place, its clocks, what makes it stand still, and the life of the process on it.

use super::{
    clock::Clock,
    core::{HostId, ProcessId},
    executor::NodeId,
    memory::Memory,
    stall::{Stalls, Starving},
    strobe::Strobing,
};
use std::{net::Ipv4Addr, task::Waker};

/// Whether a host runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostState {
    /// No power, or a kernel that has not booted: the network hears nothing from it.
    Off,
    /// The kernel runs, no process does.
    Idle,
    /// A process runs.
    Running,
}

/// Where a host stands: what it shares a power supply, a switch or a roof with. Rooms are numbered within their data
/// centre, racks within their room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Zone {
    pub data_centre: u16,
    pub room: u16,
    pub rack: u16,
}

/// What fails at one instant: a rack, a room or a data centre with all that stands in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    DataCentre { data_centre: u16 },
    Room { data_centre: u16, room: u16 },
    Rack(Zone),
}

impl Place {
    /// Whether a host of this zone stands here.
    pub fn contains(self, zone: Zone) -> bool {
        match self {
            Place::DataCentre { data_centre } => zone.data_centre == data_centre,
            Place::Room { data_centre, room } => (zone.data_centre, zone.room) == (data_centre, room),
            Place::Rack(rack) => zone == rack,
        }
    }
}

/// What was done to a host and its process so far, and how long it lasted. Times are true time in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostStats {
    /// Crashes of any kind, whether or not a process ran.
    pub crashes_injected: u64,
    /// Pauses of the process, and how long it stood.
    pub pauses_injected: u64,
    pub paused_ns: u64,
    /// Suspensions of the machine, and how long it slept.
    pub suspensions_injected: u64,
    pub suspended_ns: u64,
    /// Arrivals, timers and ends of calls that a suspended machine dealt with later.
    pub suspended_events: u64,
    /// Time for which the process was off the CPU because of starvation, and how often it was taken off.
    pub throttled_ns: u64,
    pub throttles_injected: u64,
    /// Steps of the wall clock, those of a strobe included.
    pub clock_steps_injected: u64,
    pub clock_freezes_injected: u64,
    /// Changes of the rate of a clock.
    pub drifts_injected: u64,
    /// Processes killed for want of memory or at a chosen operation.
    pub oom_kills_injected: u64,
}

pub(super) struct Host {
    pub name: String,
    pub zone: Zone,
    pub address: Ipv4Addr,
    pub clock: Clock,
    pub state: HostState,
    /// Counts the processes that were started.
    pub incarnation: u32,
    /// Counts the boots of the machine itself.
    pub machine_boots: u32,
    /// The executor's node of the present process.
    pub node: Option<NodeId>,
    pub memory: Memory,
    /// How many files and sockets a process may have open; `None`: nobody counts.
    pub open_files_max: Option<u64>,
    pub stalls: Stalls,
    pub starving: Starving,
    pub strobing: Strobing,
    /// Has the running process been asked to terminate, and who waits for that.
    pub terminate: bool,
    pub terminate_wakers: Vec<Waker>,
    pub stats: HostStats,
}

impl Host {
    /// A machine that is switched off.
    pub fn new(name: String, zone: Zone, address: Ipv4Addr, clock: Clock) -> Host {
        Host {
            name,
            zone,
            address,
            clock,
            state: HostState::Off,
            incarnation: 0,
            machine_boots: 0,
            node: None,
            memory: Memory::default(),
            open_files_max: None,
            stalls: Stalls::default(),
            starving: Starving::default(),
            strobing: Strobing::default(),
            terminate: false,
            terminate_wakers: Vec::new(),
            stats: HostStats::default(),
        }
    }

    /// The present process, dead or alive.
    pub fn process(&self, id: HostId) -> ProcessId {
        ProcessId { host: id, incarnation: self.incarnation }
    }
}
