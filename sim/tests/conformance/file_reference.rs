//! A file system in memory, as the manual pages describe it: what every answer is compared with.
//!
//! It knows nothing of time, durability or room. Errors are the kinds of `io::ErrorKind`; EBADF, which has none, is "EBADF".

use std::{collections::BTreeMap, io::ErrorKind};

/// How a file is opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flags {
    pub read: bool,
    pub write: bool,
    pub create: bool,
    pub create_new: bool,
    pub truncate: bool,
}

/// One call. Paths are relative to the directory of the test; handles are kept in slots.
#[derive(Clone, Debug)]
pub enum Call {
    Open {
        slot: usize,
        path: &'static str,
        flags: Flags,
    },
    Close(usize),
    Write {
        slot: usize,
        at: u64,
        len: usize,
        fill: u8,
    },
    Read {
        slot: usize,
        at: u64,
        len: usize,
    },
    ReadExact {
        slot: usize,
        at: u64,
        len: usize,
    },
    Len(usize),
    SetLen {
        slot: usize,
        len: u64,
    },
    Preallocate {
        slot: usize,
        len: u64,
    },
    Reserve {
        slot: usize,
        from: u64,
        to: u64,
    },
    Unreserve {
        slot: usize,
        from: u64,
    },
    ZeroRange {
        slot: usize,
        at: u64,
        len: usize,
    },
    /// Whether everything outside the stretches of data is zero.
    Data(usize),
    Lock(usize),
    Sync(usize),
    SyncDir(&'static str),
    MakeDirs(&'static str),
    List(&'static str),
    Remove(&'static str),
    RemoveTree(&'static str),
    Rename(&'static str, &'static str),
    Stat(&'static str),
    Exists(&'static str),
    ReadAll(&'static str),
}

/// What a call answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Done,
    /// There is no handle in the slot.
    NoHandle,
    Bytes(Vec<u8>),
    Number(u64),
    Directory,
    Yes(bool),
    Names(Vec<(String, bool)>),
    Failed(ErrorKind),
    BadHandle,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Node {
    Dir,
    File(usize),
}

#[derive(Clone, Copy, Debug)]
struct Handle {
    node: Node,
    read: bool,
    write: bool,
}

/// How many slots there are.
pub const SLOTS: usize = 3;

#[derive(Debug, Default)]
pub struct Reference {
    /// By path; the root has none.
    tree: BTreeMap<String, Node>,
    files: Vec<Vec<u8>>,
    handles: [Option<Handle>; SLOTS],
    /// File → the slot that has locked it.
    locks: BTreeMap<usize, usize>,
}

type Outcome = Result<Answer, Answer>;

fn fail<T>(kind: ErrorKind) -> Result<T, Answer> {
    Err(Answer::Failed(kind))
}

fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(parent, _)| parent)
}

fn is_below(path: &str, dir: &str) -> bool {
    path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))
}

impl Reference {
    /// What the call answers.
    pub fn call(&mut self, call: &Call) -> Answer {
        self.outcome(call).unwrap_or_else(|failure| failure)
    }

    /// The directory of a path must be there.
    fn check_parent(&self, path: &str) -> Result<(), Answer> {
        let Some(parent) = parent(path) else { return Ok(()) };
        match self.find(parent)? {
            Some(Node::Dir) => Ok(()),
            Some(Node::File(_)) => fail(ErrorKind::NotADirectory),
            None => fail(ErrorKind::NotFound),
        }
    }

    fn find(&self, path: &str) -> Result<Option<Node>, Answer> {
        self.check_parent(path)?;
        Ok(self.tree.get(path).copied())
    }

    fn get(&self, path: &str) -> Result<Node, Answer> {
        self.find(path)?.ok_or(Answer::Failed(ErrorKind::NotFound))
    }

    fn outcome(&mut self, call: &Call) -> Outcome {
        match *call {
            Call::Open { slot, path, flags } => self.open(slot, path, flags),
            Call::Close(slot) => {
                let closed = self.handles[slot].take().ok_or(Answer::NoHandle)?;
                if let Node::File(file) = closed.node {
                    self.locks.retain(|&locked, holder| (locked, *holder) != (file, slot));
                }
                Ok(Answer::Done)
            }
            Call::MakeDirs(path) => self.make_dirs(path),
            Call::List(path) => match self.get(path)? {
                Node::File(_) => fail(ErrorKind::NotADirectory),
                Node::Dir => {
                    let below = self.tree.iter().filter(|(other, _)| parent(other) == Some(path));
                    let name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
                    Ok(Answer::Names(below.map(|(path, node)| (name(path), *node == Node::Dir)).collect()))
                }
            },
            Call::Remove(path) => match self.get(path)? {
                Node::Dir => fail(ErrorKind::IsADirectory),
                Node::File(_) => {
                    self.tree.remove(path);
                    Ok(Answer::Done)
                }
            },
            Call::RemoveTree(path) => match self.get(path)? {
                Node::File(_) => fail(ErrorKind::NotADirectory),
                Node::Dir => {
                    self.tree.retain(|other, _| other != path && !is_below(other, path));
                    Ok(Answer::Done)
                }
            },
            Call::Rename(from, to) => self.rename(from, to),
            Call::Stat(path) => match self.get(path)? {
                Node::Dir => Ok(Answer::Directory),
                Node::File(file) => Ok(Answer::Number(self.files[file].len() as u64)),
            },
            Call::Exists(path) => match self.find(path) {
                Err(Answer::Failed(ErrorKind::NotFound)) => Ok(Answer::Yes(false)),
                found => Ok(Answer::Yes(found?.is_some())),
            },
            Call::ReadAll(path) => match self.get(path)? {
                Node::Dir => fail(ErrorKind::IsADirectory),
                Node::File(file) => Ok(Answer::Bytes(self.files[file].clone())),
            },
            Call::SyncDir(path) => self.get(path).map(|_| Answer::Done),
            Call::Write { slot, .. }
            | Call::Read { slot, .. }
            | Call::ReadExact { slot, .. }
            | Call::Len(slot)
            | Call::SetLen { slot, .. }
            | Call::Preallocate { slot, .. }
            | Call::ZeroRange { slot, .. }
            | Call::Data(slot)
            | Call::Reserve { slot, .. }
            | Call::Unreserve { slot, .. }
            | Call::Lock(slot)
            | Call::Sync(slot) => {
                let handle = self.handles[slot].ok_or(Answer::NoHandle)?;
                self.on_handle(call, slot, handle)
            }
        }
    }

    fn open(&mut self, slot: usize, path: &str, flags: Flags) -> Outcome {
        let Flags { read, write, create, create_new, truncate } = flags;
        if !write && (!read || create || create_new || truncate) {
            return fail(ErrorKind::InvalidInput);
        }
        let node = match self.find(path)? {
            Some(_) if create_new => return fail(ErrorKind::AlreadyExists),
            Some(Node::Dir) if write => return fail(ErrorKind::IsADirectory),
            Some(node) => node,
            None if create || create_new => {
                self.files.push(Vec::new());
                let node = Node::File(self.files.len() - 1);
                self.tree.insert(path.to_owned(), node);
                node
            }
            None => return fail(ErrorKind::NotFound),
        };
        if let (Node::File(file), true) = (node, truncate) {
            self.files[file].clear();
        }
        // The handle that was in the slot is closed.
        self.locks.retain(|_, holder| *holder != slot);
        self.handles[slot] = Some(Handle { node, read, write });
        Ok(Answer::Done)
    }

    fn make_dirs(&mut self, path: &str) -> Outcome {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        for end in ends {
            match self.tree.get(&path[..end]) {
                Some(Node::Dir) => {}
                Some(Node::File(_)) if end == path.len() => return fail(ErrorKind::AlreadyExists),
                Some(Node::File(_)) => return fail(ErrorKind::NotADirectory),
                None => drop(self.tree.insert(path[..end].to_owned(), Node::Dir)),
            }
        }
        Ok(Answer::Done)
    }

    fn rename(&mut self, from: &str, to: &str) -> Outcome {
        self.check_parent(from)?;
        self.check_parent(to)?;
        let moved = self.get(from)?;
        if moved == Node::Dir && is_below(to, from) {
            return fail(ErrorKind::InvalidInput);
        }
        if is_below(from, to) && self.tree.get(to) == Some(&Node::Dir) {
            return fail(ErrorKind::DirectoryNotEmpty);
        }
        if from == to {
            return Ok(Answer::Done);
        }
        match (moved, self.tree.get(to)) {
            (Node::File(_), Some(Node::Dir)) => return fail(ErrorKind::IsADirectory),
            (Node::Dir, Some(Node::File(_))) => return fail(ErrorKind::NotADirectory),
            (Node::Dir, Some(Node::Dir)) if self.tree.keys().any(|path| is_below(path, to)) => {
                return fail(ErrorKind::DirectoryNotEmpty);
            }
            _ => {}
        }
        let all = std::mem::take(&mut self.tree);
        let (moving, mut rest): (BTreeMap<_, _>, BTreeMap<_, _>) =
            all.into_iter().filter(|(path, _)| path != to).partition(|(path, _)| path == from || is_below(path, from));
        rest.extend(moving.into_iter().map(|(path, node)| (format!("{to}{}", &path[from.len()..]), node)));
        self.tree = rest;
        Ok(Answer::Done)
    }

    fn on_handle(&mut self, call: &Call, slot: usize, handle: Handle) -> Outcome {
        let Handle { node, read, write } = handle;
        match *call {
            // std makes no call for nothing.
            Call::Write { len: 0, .. } | Call::ReadExact { len: 0, .. } => return Ok(Answer::Done),
            Call::Write { .. } if !write => return Err(Answer::BadHandle),
            Call::Preallocate { len: 0, .. } => return fail(ErrorKind::InvalidInput),
            Call::Preallocate { .. } | Call::Reserve { .. } | Call::Unreserve { .. } if !write => {
                return Err(Answer::BadHandle);
            }
            Call::ZeroRange { .. } if !write => return Err(Answer::BadHandle),
            Call::SetLen { .. } if !write => return fail(ErrorKind::InvalidInput),
            Call::Read { .. } | Call::ReadExact { .. } | Call::Data(_) if !read => return Err(Answer::BadHandle),
            _ => {}
        }
        let Node::File(file) = node else {
            return match call {
                Call::Read { .. } | Call::ReadExact { .. } | Call::Data(_) => fail(ErrorKind::IsADirectory),
                // The size of a directory is the file system's own business; its lock is not kept account of here.
                Call::Len(_) | Call::Lock(_) => Ok(Answer::Directory),
                _ => Ok(Answer::Done),
            };
        };
        let content = &mut self.files[file];
        match *call {
            Call::Write { at, len, fill, .. } => {
                let (at, end) = (at as usize, at as usize + len);
                content.resize(content.len().max(end), 0);
                content[at..end].fill(fill);
            }
            Call::Read { at, len, .. } => {
                let from = content.len().min(at as usize);
                return Ok(Answer::Bytes(content[from..content.len().min(from + len)].to_vec()));
            }
            Call::ReadExact { at, len, .. } => {
                let found = content.get(at as usize..at as usize + len);
                return found
                    .map(|found| Answer::Bytes(found.to_vec()))
                    .ok_or(Answer::Failed(ErrorKind::UnexpectedEof));
            }
            Call::Len(_) => return Ok(Answer::Number(content.len() as u64)),
            Call::SetLen { len, .. } => content.resize(len as usize, 0),
            Call::Preallocate { len, .. } => content.resize(content.len().max(len as usize), 0),
            Call::Reserve { from, to, .. } if from >= to || to > content.len() as u64 => {
                return fail(ErrorKind::InvalidInput);
            }
            Call::ZeroRange { at, len, .. } => {
                let (from, until) = (content.len().min(at as usize), content.len().min(at as usize + len));
                content[from..until].fill(0);
            }
            Call::Data(_) => return Ok(Answer::Yes(true)),
            Call::Lock(_) => {
                let holder = *self.locks.entry(file).or_insert(slot);
                if holder != slot {
                    return fail(ErrorKind::WouldBlock);
                }
            }
            _ => {}
        }
        Ok(Answer::Done)
    }
}
