//! Tests of the model, without any executor: a [`Stand`] holds a disk and a core and moves the time by hand.

mod cache;
mod calls;
mod content_reference;
mod damage;
mod drive;
mod failing_sync;
mod faults;
mod names;
mod names_reference;
mod personality;
mod space;
mod stall;
mod statistics;
mod tiers;

use super::{
    CrashReport, Disk, DiskError, DiskFaults, DiskSlowdown, DiskSpec, HandleId, MediaDamage, MediaDamageKind,
    MemberState, OperationId, Personality, Request,
};
use crate::simulated::{
    core::{Core, Crash, Event, HostId, ProcessId},
    disk::OpenOptions,
    key::Stream,
    trace::Trace,
};
use std::{
    path::Path,
    task::{Poll, Waker},
};

const HOST: HostId = HostId(3);
const SECOND_NS: u64 = 1_000_000_000;

/// A disk on a bench.
struct Stand {
    core: Core,
    disk: Disk,
    process: ProcessId,
}

impl Stand {
    fn new(seed: u64) -> Stand {
        Stand::with_spec(seed, DiskSpec::default())
    }

    fn with_spec(seed: u64, spec: DiskSpec) -> Stand {
        let core = Core::new(seed, Trace::new(false));
        let key = core.key().derive("disk").index(u64::from(HOST.0));
        Stand { disk: Disk::new(spec, key), core, process: ProcessId { host: HOST, incarnation: 1 } }
    }

    /// A disk on which nothing becomes durable by itself, so that a test sees only what it asked for.
    fn without_timers(seed: u64) -> Stand {
        Stand::with_spec(seed, Stand::timeless())
    }

    fn timeless() -> DiskSpec {
        DiskSpec {
            journal_commit_ns: u64::MAX / 4,
            dirty_expire_ns: u64::MAX / 4,
            drain_ns_min: u64::MAX / 4,
            drain_ns_max: u64::MAX / 4,
            ..DiskSpec::default()
        }
    }

    /// Lets time pass, and what is due happen.
    fn run_until(&mut self, at_ns: u64) {
        while let Some(next_ns) = self.core.next_due_ns().filter(|&next_ns| next_ns <= at_ns) {
            self.core.set_now_ns(next_ns.max(self.core.now_ns()));
            while let Some(Event::Disk(host, event)) = self.core.next_due() {
                self.disk.on_event(&mut self.core, host, event);
            }
        }
        self.core.set_now_ns(at_ns);
    }

    fn pass(&mut self, ns: u64) {
        self.run_until(self.core.now_ns() + ns);
    }

    fn open(&mut self, path: &str) -> HandleId {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true);
        self.open_with(&options, path).expect("the path can be opened")
    }

    fn open_with(&mut self, options: &OpenOptions, path: &str) -> Result<HandleId, DiskError> {
        self.disk.open(&mut self.core, self.process, options, Path::new(path), 1)
    }

    fn begin(&mut self, request: Request) -> OperationId {
        self.disk.begin(&mut self.core, self.process, request).expect("the call is entered")
    }

    fn outcome(&mut self, operation: OperationId) -> Poll<Result<u64, DiskError>> {
        self.disk.poll(operation, Waker::noop())
    }

    /// Makes a call and lets time pass until it ends.
    fn call(&mut self, request: Request) -> Result<(), DiskError> {
        let operation = self.disk.begin(&mut self.core, self.process, request)?;
        loop {
            if let Poll::Ready(result) = self.outcome(operation) {
                return result.map(|_| ());
            }
            let next_ns = self.core.next_due_ns().expect("a call in flight has an event to come");
            self.run_until(next_ns);
        }
    }

    fn write(&mut self, handle: HandleId, offset: u64, bytes: &[u8]) {
        self.call(Request::Write { handle, offset, bytes: bytes.to_vec(), wall_ms: 2 }).expect("written");
    }

    /// Reads once, as far as one call gets.
    fn read(&mut self, handle: HandleId, offset: u64, len: u64) -> Result<Vec<u8>, DiskError> {
        let operation = self.disk.begin(&mut self.core, self.process, Request::Read { handle, offset, len })?;
        let readable = loop {
            if let Poll::Ready(result) = self.outcome(operation) {
                break result?;
            }
            let next_ns = self.core.next_due_ns().expect("a call in flight has an event to come");
            self.run_until(next_ns);
        };
        let mut bytes = vec![0; readable.min(len) as usize];
        let read = self.disk.read(operation, handle, &mut bytes, offset)?;
        bytes.truncate(read);
        Ok(bytes)
    }

    fn set_faults(&mut self, faults: DiskFaults) {
        self.disk.set_faults(&mut self.core, HOST, faults);
    }

    /// Empties the page cache of what is clean.
    fn go_cold(&mut self) -> u64 {
        self.disk.drop_caches(self.core.now_ns())
    }

    fn set_len(&mut self, handle: HandleId, len: u64) {
        self.call(Request::SetLen { handle, len, wall_ms: 2 }).expect("resized");
    }

    fn preallocate(&mut self, handle: HandleId, len: u64) {
        self.call(Request::Preallocate { handle, len, wall_ms: 2 }).expect("reserved");
    }

    fn sync(&mut self, handle: HandleId) {
        self.call(Request::Sync { handle, all: false }).expect("synced");
    }

    fn sync_dir(&mut self, path: &str) {
        self.call(Request::SyncDir { path: path.into() }).expect("synced");
    }

    fn rename(&mut self, from: &str, to: &str) {
        self.disk.rename(&mut self.core, HOST, Path::new(from), Path::new(to), 3).expect("renamed");
    }

    fn remove(&mut self, path: &str) {
        self.disk.remove_file(&mut self.core, HOST, Path::new(path), 3).expect("removed");
    }

    fn mkdir(&mut self, path: &str) {
        self.disk.create_dir_all(&mut self.core, HOST, Path::new(path), 3).expect("made");
    }

    /// Crashes; the next process begins at once.
    fn crash(&mut self, crash: Crash) -> CrashReport {
        let report = self.disk.crash(&mut self.core, HOST, crash);
        self.process.incarnation += 1;
        report
    }

    /// The content of a file as the next process finds it.
    fn content(&self, path: &str) -> Option<Vec<u8>> {
        self.disk.cached_files().into_iter().find(|(other, _)| other == path).map(|(_, bytes)| bytes)
    }

    fn paths(&self) -> Vec<String> {
        self.disk.cached_files().into_iter().map(|(path, _)| path).collect()
    }

    /// A file `/f` of `len` bytes of 1, durable with its name.
    fn durable_file(&mut self, len: usize) -> HandleId {
        let file = self.open("/f");
        self.write(file, 0, &vec![1; len]);
        self.sync(file);
        self.sync_dir("/");
        file
    }
}

/// Sector `number` of some content, by its first byte and whether all its bytes are the same.
fn sector(content: &[u8], number: usize) -> (u8, bool) {
    let bytes = &content[number * 512..(number + 1) * 512];
    (bytes[0], bytes.iter().all(|&byte| byte == bytes[0]))
}

fn stream(seed: u64) -> Stream {
    crate::simulated::key::Key::root(seed).derive("test").stream()
}
