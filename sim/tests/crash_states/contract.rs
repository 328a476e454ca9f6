//! The contract: what a crash may leave, written from the manual pages and not from the model.
//!
//! For every image there must be a history that allows it:
//!
//! * **Names.** A set of the operations on names that were not yet durable survived. POSIX only demands that what touches the same
//!   name or the same file keeps its order and that a rename is atomic; a journal keeps the order of all (`in_order`).
//! * **Sizes.** Each file has a size that it had since its last sync; where growth follows the write-back of content
//!   (`sizes_follow_content`), also the end of a page on the way from one to another; on ext4 also the end of room that was
//!   reserved within it.
//! * **Content.** Each sector (after an OS crash: each page) is as it was at some time since the last sync of the file; room
//!   that was gained and not written reads as zeros. Up to three sectors per power loss may be torn: the beginning of one
//!   version and the end of another. Where a cut was not yet durable, single bytes may be of different times.
//!
//! From this follows the contract of fsync: what was synced and not changed since has one version only, which must be there.
//! A killed process loses nothing that a call has returned from.

use super::program::{Image, NAMES, Step, bytes, dir_of};
use std::collections::{BTreeMap, BTreeSet};

pub const PAGE_BYTES: usize = 4096;
pub const SECTOR_BYTES: usize = 512;
/// A drive that loses power is in the act of writing at most this many sectors.
const TORN_SECTORS_MAX: usize = 3;

/// The kinds of file systems, as `sim::world` has them, which the real machine has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Personality {
    StrictPosix,
    Ext4Ordered,
    Xfs,
}

/// Every kind of file system.
pub const FILE_SYSTEMS: [Personality; 3] = [Personality::StrictPosix, Personality::Ext4Ordered, Personality::Xfs];

/// What stops, as `sim::world` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    Process,
    Os,
    Power,
}

/// What a file system promises beyond POSIX.
#[derive(Clone, Copy, Debug, Default)]
pub struct Promises {
    /// Operations on names survive in their order, whatever they touch.
    pub in_order: bool,
    /// An fsync of a file whose name is new makes durable that name and everything before it.
    pub fsync_keeps_new_names: bool,
    /// A file's size grows when its content is written back, page by page.
    pub sizes_follow_content: bool,
    /// Room that is reserved within a file becomes its size, where that had not grown yet.
    pub reserved_room_is_size: bool,
}

impl Promises {
    /// What each kind of file system promises; the sources are in the model's `personality`.
    pub fn of(personality: Personality) -> Promises {
        let has_journal = personality != Personality::StrictPosix;
        Promises {
            in_order: has_journal,
            fsync_keeps_new_names: has_journal,
            sizes_follow_content: has_journal,
            reserved_room_is_size: personality == Personality::Ext4Ordered,
        }
    }
}

/// Changes of names that are one operation.
#[derive(Clone, Debug)]
pub struct NameOperation {
    pub changes: Vec<(usize, Option<usize>)>,
    files: BTreeSet<usize>,
}

impl NameOperation {
    fn meets(&self, other: &NameOperation) -> bool {
        !self.files.is_disjoint(&other.files)
            || self.changes.iter().any(|(name, _)| other.changes.iter().any(|(there, _)| name == there))
    }

    fn touches_dir(&self, dir: usize) -> bool {
        self.changes.iter().any(|&(name, _)| dir_of(name) == dir)
    }
}

/// A file: its content at every moment since it was last synced.
#[derive(Clone, Debug, Default)]
pub struct FileHistory {
    pub versions: Vec<Vec<u8>>,
    /// Sizes that it may have besides.
    other_sizes: Vec<usize>,
    /// It was cut since.
    pub was_cut: bool,
}

impl FileHistory {
    fn now(&self) -> &Vec<u8> {
        self.versions.last().expect("a file has a content")
    }

    fn write(&mut self, at: u64, bytes: &[u8]) {
        let mut content = self.now().clone();
        let end = at as usize + bytes.len();
        if content.len() < end {
            content.resize(end, 0);
        }
        content[at as usize..end].copy_from_slice(bytes);
        self.versions.push(content);
    }
}

/// The state of all files, with everything that is not durable yet.
#[derive(Clone, Debug, Default)]
pub struct Contract {
    promises: Promises,
    pub files: Vec<FileHistory>,
    /// Name → file, as programs see it.
    pub names: BTreeMap<usize, usize>,
    pub durable: BTreeMap<usize, usize>,
    pub waiting: Vec<NameOperation>,
    steps: usize,
    /// The write that was under way: where it began, so that a killed process may leave a part of it.
    partial_from: Option<usize>,
}

impl Contract {
    pub fn new(promises: Promises) -> Contract {
        Contract { promises, ..Contract::default() }
    }

    /// The contract after these steps.
    pub fn after(promises: Promises, steps: &[Step]) -> Contract {
        let mut contract = Contract::new(promises);
        steps.iter().for_each(|step| contract.complete(step));
        contract
    }

    fn file(&mut self, name: usize) -> &mut FileHistory {
        let file = self.names[&name];
        &mut self.files[file]
    }

    fn change_names(&mut self, changes: Vec<(usize, Option<usize>)>) {
        let before = changes.iter().filter_map(|(name, _)| self.names.get(name).copied());
        let files = changes.iter().filter_map(|(_, after)| *after).chain(before).collect();
        let operation = NameOperation { changes, files };
        apply(&operation, &mut self.names);
        self.waiting.push(operation);
    }

    /// A step has returned.
    pub fn complete(&mut self, step: &Step) {
        let number = self.steps;
        self.steps += 1;
        match *step {
            Step::Create(name) => {
                self.files.push(FileHistory { versions: vec![Vec::new()], ..FileHistory::default() });
                self.change_names(vec![(name, Some(self.files.len() - 1))]);
            }
            Step::Write { name, at, len } => self.file(name).write(at, &bytes(number, at, len)),
            Step::SetLen(name, len) => {
                let file = self.file(name);
                let mut content = file.now().clone();
                file.was_cut |= content.len() > len as usize;
                content.resize(len as usize, 0);
                file.versions.push(content);
            }
            Step::Preallocate(name, len) => {
                let is_size = self.promises.reserved_room_is_size;
                let file = self.file(name);
                let mut content = file.now().clone();
                if is_size {
                    file.other_sizes.push(len as usize);
                }
                content.resize(content.len().max(len as usize), 0);
                file.versions.push(content);
            }
            Step::ZeroRange { name, at, len } => {
                let is_size = self.promises.reserved_room_is_size;
                let file = self.file(name);
                let mut content = file.now().clone();
                let (from, until) = (content.len().min(at as usize), content.len().min(at as usize + len));
                if is_size && from < until {
                    file.other_sizes.push(until);
                }
                content[from..until].fill(0);
                file.versions.push(content);
            }
            Step::Fsync(name) | Step::Fdatasync(name) => {
                let file = self.file(name);
                file.versions.drain(..file.versions.len() - 1);
                file.other_sizes.clear();
                file.was_cut = false;
                let file = self.names[&name];
                if self.promises.fsync_keeps_new_names
                    && matches!(step, Step::Fsync(_))
                    && let Some(last) = self.waiting.iter().rposition(|operation| operation.files.contains(&file))
                {
                    self.make_durable(|number, _| number <= last);
                }
            }
            Step::Rename(from, to) => {
                let moved = self.names[&from];
                self.change_names(vec![(from, None), (to, Some(moved))]);
            }
            Step::Remove(name) => self.change_names(vec![(name, None)]),
            Step::SyncDir(dir) => self.sync_dir(dir),
            Step::Reserve(..) | Step::WaitSeconds(_) => {}
        }
    }

    /// A step was under way when the crash came: it may have happened, or the first pages of a write.
    pub fn begin(&mut self, step: &Step) {
        match *step {
            Step::Write { name, at, len } => {
                let (number, file) = (self.steps, self.file(name));
                let from = file.versions.len() - 1;
                let whole = bytes(number, at, len);
                let before = file.now().clone();
                let mut ends: Vec<usize> =
                    (1..=len).filter(|end| (at as usize + end).is_multiple_of(PAGE_BYTES)).collect();
                ends.push(len);
                for end in ends {
                    file.versions.push(before.clone());
                    file.write(at, &whole[..end]);
                }
                self.partial_from = Some(from);
            }
            Step::SetLen(name, _) | Step::Preallocate(name, _) | Step::ZeroRange { name, .. } => {
                let from = self.file(name).versions.len() - 1;
                self.complete(step);
                self.partial_from = Some(from);
            }
            // A sync that did not return may have done nothing or everything; what it covers may survive anyway.
            Step::Fsync(_) | Step::Fdatasync(_) | Step::SyncDir(_) | Step::WaitSeconds(_) => {}
            // These take no time, or change nothing that can be read.
            Step::Create(_) | Step::Rename(..) | Step::Remove(_) | Step::Reserve(..) => {}
        }
    }

    #[cfg(feature = "real")]
    /// A sync has returned, and promises nothing.
    pub fn ignore(&mut self) {
        self.steps += 1;
    }

    fn sync_dir(&mut self, dir: usize) {
        let mut needed: Vec<bool> = self.waiting.iter().map(|operation| operation.touches_dir(dir)).collect();
        if self.promises.in_order {
            if let Some(last) = needed.iter().rposition(|&needed| needed) {
                needed[..last].fill(true);
            }
        } else {
            for later in (0..needed.len()).rev() {
                for earlier in 0..later {
                    needed[earlier] |= needed[later] && self.waiting[later].meets(&self.waiting[earlier]);
                }
            }
        }
        self.make_durable(|number, _| needed[number]);
    }

    fn make_durable(&mut self, is_durable: impl Fn(usize, &NameOperation) -> bool) {
        let mut waiting = Vec::new();
        for (number, operation) in std::mem::take(&mut self.waiting).into_iter().enumerate() {
            if is_durable(number, &operation) {
                apply(&operation, &mut self.durable);
            } else {
                waiting.push(operation);
            }
        }
        self.waiting = waiting;
    }

    /// Every state of the names that a crash may leave.
    pub fn legal_names(&self) -> BTreeSet<BTreeMap<usize, usize>> {
        let count = self.waiting.len();
        let is_legal = |set: u32| {
            let survives = |number: usize| set & 1 << number != 0;
            (0..count).filter(|&later| survives(later)).all(|later| {
                (0..later).all(|earlier| {
                    let ordered = self.promises.in_order || self.waiting[later].meets(&self.waiting[earlier]);
                    survives(earlier) || !ordered
                })
            })
        };
        (0..1_u32 << count)
            .filter(|&set| is_legal(set))
            .map(|set| {
                let mut names = self.durable.clone();
                let surviving = self.waiting.iter().enumerate().filter(|(number, _)| set & 1 << number != 0);
                surviving.for_each(|(_, operation)| apply(operation, &mut names));
                names
            })
            .collect()
    }

    /// Whether the crash may leave this image; if not, why.
    pub fn check(&self, image: &Image, crash: Crash) -> Result<(), String> {
        if crash == Crash::Process {
            return self.check_unharmed(image);
        }
        let legal = self.legal_names();
        let mut reasons = Vec::new();
        for names in legal {
            match self.check_content(&names, image, crash) {
                Ok(()) => return Ok(()),
                Err(reason) => reasons.push(reason),
            }
        }
        Err(format!("no history allows it; tried: {}", reasons.join("; ")))
    }

    fn check_unharmed(&self, image: &Image) -> Result<(), String> {
        check_paths(&self.names, image)?;
        for (&name, &file) in &self.names {
            let history = &self.files[file];
            let from = self.partial_from.filter(|from| *from < history.versions.len());
            let allowed = &history.versions[from.unwrap_or(history.versions.len() - 1)..];
            if !allowed.contains(&image[NAMES[name]]) {
                return Err(format!("{}: a killed process lost something", NAMES[name]));
            }
        }
        Ok(())
    }

    fn check_content(&self, names: &BTreeMap<usize, usize>, image: &Image, crash: Crash) -> Result<(), String> {
        check_paths(names, image)?;
        let mut torn = 0;
        for (&name, &file) in names {
            let found = &image[NAMES[name]];
            torn += self.files[file]
                .check(found, crash, self.promises.sizes_follow_content)
                .map_err(|reason| format!("{}: {reason}", NAMES[name]))?;
        }
        if torn > TORN_SECTORS_MAX { Err(format!("{torn} sectors are torn")) } else { Ok(()) }
    }
}

fn check_paths(names: &BTreeMap<usize, usize>, image: &Image) -> Result<(), String> {
    if image.keys().eq(names.keys().map(|&name| NAMES[name])) {
        return Ok(());
    }
    Err(format!("names {:?}", names.keys().map(|&name| NAMES[name]).collect::<Vec<_>>()))
}

fn apply(operation: &NameOperation, names: &mut BTreeMap<usize, usize>) {
    for &(name, after) in &operation.changes {
        match after {
            Some(file) => names.insert(name, file),
            None => names.remove(&name),
        };
    }
}

impl FileHistory {
    fn at(version: &[u8], position: usize) -> u8 {
        version.get(position).copied().unwrap_or(0)
    }

    /// How many sectors are torn, if this content is possible.
    fn check(&self, found: &[u8], crash: Crash, sizes_follow_content: bool) -> Result<usize, String> {
        let had_size = |wanted: &dyn Fn(usize) -> bool| {
            self.versions.iter().any(|version| wanted(version.len()))
                || self.other_sizes.iter().any(|&size| wanted(size))
        };
        let is_on_the_way = sizes_follow_content
            && found.len().is_multiple_of(PAGE_BYTES)
            && had_size(&|len| len <= found.len())
            && had_size(&|len| len >= found.len());
        if !is_on_the_way && !had_size(&|len| len == found.len()) {
            return Err(format!("{} bytes: a size that it never had", found.len()));
        }
        let unit = if crash == Crash::Os { PAGE_BYTES } else { SECTOR_BYTES };
        let mut torn = 0;
        for (number, part) in found.chunks(unit).enumerate() {
            let start = number * unit;
            let is_at = |version: &[u8], range: std::ops::Range<usize>| {
                range.into_iter().all(|at| part[at] == Self::at(version, start + at))
            };
            if self.versions.iter().any(|version| is_at(version, 0..part.len())) {
                continue;
            }
            if self.was_cut {
                let known = |at: usize| {
                    part[at] == 0 || self.versions.iter().any(|version| part[at] == Self::at(version, start + at))
                };
                if (0..part.len()).all(known) {
                    continue;
                }
            }
            let is_torn = crash == Crash::Power
                && (1..part.len()).any(|cut| {
                    self.versions.iter().any(|version| is_at(version, 0..cut))
                        && self.versions.iter().any(|version| is_at(version, cut..part.len()))
                });
            if !is_torn {
                return Err(format!("bytes {start}..{}: a content that it never had", start + part.len()));
            }
            torn += 1;
        }
        Ok(torn)
    }
}
