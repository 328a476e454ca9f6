//! Memory that runs out, and the kernel that kills for it.
//!
//! What is simulated is the memory of a control group (`memory.max`): it is charged for the page cache and for the buffers
//! of sockets. A page cache can be reclaimed and never kills: it lets pages go, and writers wait (`disk/model/cache.rs`).
//! The buffers of sockets cannot: when they alone exceed the limit, the next operation of the process has the kernel
//! kill it, as by `kill -9`.
//!
//! What is **not** seen is the heap of the process. An allocator could count by host what its tasks ask for, if each block
//! carried its owner (buffers pass from host to host by reference count); but what is made once per thread or process in
//! somebody's poll (a logger's buffer, a lazy static, a table of the kernel's that grows) would be charged to whichever host
//! comes first, so that with a log, with a kept trace or after another run the same seed would be killed at another step.
//!
//! Its exhaustion is simulated from the other end. Under Linux's overcommit an allocation does not fail; the process is
//! killed wherever it happens to be when it touches the page. [`Memory::dies_at`] chooses that place: the process ends
//! instead of beginning its N-th operation from now on, be it on a file, on a socket or on a timer. Between two operations
//! that end at once there is no point at which the executor could kill it, and this is the only fault that strikes there.
//!
//! A killed process must not take one more step. The task that runs cannot be taken off the CPU, but it can be kept from
//! coming back: the operation in which the kill strikes, and every later one, is pending for ever.

use super::{
    core::{Crash, HostId, ProcessId},
    executor,
    host::HostState,
    kernel::Kernel,
};

/// The memory of a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Of the process's control group; `None`: there is enough.
    pub limit_bytes: Option<u64>,
    /// The process is killed instead of this operation, counted from 1; `None`: it is not.
    pub dies_at: Option<u64>,
}

impl Memory {
    fn is_short(self) -> bool {
        self.limit_bytes.is_some() || self.dies_at.is_some()
    }
}

/// Who is short of memory, and who died of it.
#[derive(Default)]
pub struct Shortage {
    /// How many hosts have a limit or a countdown.
    short: u32,
    /// Killed processes, until their hosts boot the next one.
    killed: Vec<ProcessId>,
}

impl Kernel {
    /// A process begins an operation. False when it is killed instead: then whoever asks must be pending for ever.
    pub fn operate(&mut self, process: ProcessId) -> bool {
        (self.shortage.short == 0 && self.shortage.killed.is_empty()) || self.operate_short(process)
    }

    /// As [`Kernel::operate`], of the polled task's process.
    pub fn operate_current(&mut self) -> bool {
        if self.shortage.short == 0 && self.shortage.killed.is_empty() {
            return true;
        }
        self.current().is_none_or(|process| self.operate_short(process))
    }

    /// Whether a process was killed for want of memory, and its host has not booted another one since.
    pub fn was_killed(&self, process: ProcessId) -> bool {
        self.shortage.killed.contains(&process)
    }

    fn operate_short(&mut self, process: ProcessId) -> bool {
        if !self.is_alive(process) {
            return !self.was_killed(process);
        }
        let Memory { limit_bytes, dies_at } = self.host(process.host).memory;
        if let Some(operations) = dies_at {
            self.host(process.host).memory.dies_at = Some(operations.saturating_sub(1));
        }
        let exceeded = limit_bytes.is_some_and(|limit| self.net.buffered_bytes(process.host) > limit);
        if !exceeded && dies_at.is_none_or(|operations| operations > 1) {
            return true;
        }
        self.oom_kill(process);
        false
    }

    fn oom_kill(&mut self, process: ProcessId) {
        let host = process.host;
        let Memory { limit_bytes, .. } = self.host(host).memory;
        self.set_memory(host, Memory { limit_bytes, dies_at: None });
        self.core.trace(host, "oom-kill", u64::from(process.incarnation), 0);
        let entry = self.host(host);
        entry.state = HostState::Idle;
        entry.stats.oom_kills_injected += 1;
        self.shortage.killed.push(process);
        self.net.on_process_killed(&mut self.core, process);
        let (disk, core) = self.disk(host);
        disk.crash(core, host, Crash::Process);
        if let Some(node) = self.release_process(host) {
            executor::kill(node);
        }
    }

    /// Changes the memory of a host.
    pub fn set_memory(&mut self, host: HostId, memory: Memory) {
        let before = std::mem::replace(&mut self.host(host).memory, memory);
        self.shortage.short += u32::from(memory.is_short());
        self.shortage.short -= u32::from(before.is_short());
    }

    /// A new process begins on a host: no task of an earlier one is left.
    pub fn forget_killed(&mut self, host: HostId) {
        self.shortage.killed.retain(|process| process.host != host);
    }
}
