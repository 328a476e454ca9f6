//! Programs of file operations, and what is on the disk afterwards.

use sim::disk::{self, File, OpenOptions};
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

/// The directories, durable before a program begins.
pub const DIRS: [&str; 2] = ["x", "y"];
/// The names that programs use; the first two are in the first directory.
pub const NAMES: [&str; 3] = ["x/a", "x/b", "y/a"];

/// The directory of a name.
pub fn dir_of(name: usize) -> usize {
    name / 2
}

/// One operation. Files are opened for it and closed after it.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Create(usize),
    /// Writes bytes that tell their place and the step.
    Write {
        name: usize,
        at: u64,
        len: usize,
    },
    SetLen(usize, u64),
    /// Reserves room for the beginning, and makes the file at least that long.
    Preallocate(usize, u64),
    /// Reserves room between two places, as far as that lies within the file.
    Reserve(usize, u64, u64),
    /// Zeroes a range, as far as the file reaches.
    ZeroRange {
        name: usize,
        at: u64,
        len: usize,
    },
    Fsync(usize),
    Fdatasync(usize),
    Rename(usize, usize),
    Remove(usize),
    SyncDir(usize),
    /// Lets the timers of the kernel run.
    WaitSeconds(u64),
}

/// What step number `number` writes at this position: never zero.
pub fn byte(number: usize, position: u64) -> u8 {
    1 + ((number as u64 * 97 + position / 64) % 255) as u8
}

/// The bytes of a write.
pub fn bytes(number: usize, at: u64, len: usize) -> Vec<u8> {
    (at..at + len as u64).map(|position| byte(number, position)).collect()
}

/// Whether the step can be done with these files: creating what is there, or using what is not, is left out of programs.
pub fn is_possible(step: &Step, names: &BTreeMap<usize, usize>) -> bool {
    match step {
        Step::Create(name) => !names.contains_key(name),
        Step::Rename(from, to) => from != to && names.contains_key(from),
        Step::Write { name, .. }
        | Step::SetLen(name, _)
        | Step::Preallocate(name, _)
        | Step::ZeroRange { name, .. }
        | Step::Reserve(name, ..)
        | Step::Fsync(name)
        | Step::Fdatasync(name)
        | Step::Remove(name) => names.contains_key(name),
        Step::SyncDir(_) | Step::WaitSeconds(_) => true,
    }
}

async fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path).await
}

/// Makes the directories of a program, which works below `root`.
pub async fn prepare(root: &Path) -> io::Result<()> {
    for dir in DIRS {
        disk::create_dir_all(root.join(dir)).await?;
    }
    disk::sync_dir(root).await
}

/// Does one step of a program.
pub async fn run(root: &Path, number: usize, step: &Step) -> io::Result<()> {
    let path = |name: usize| -> PathBuf { root.join(NAMES[name]) };
    match *step {
        Step::Create(name) => {
            OpenOptions::new().write(true).create_new(true).open(path(name)).await?;
            Ok(())
        }
        Step::Write { name, at, len } => open(&path(name)).await?.write_all_at(&bytes(number, at, len), at).await,
        Step::SetLen(name, len) => open(&path(name)).await?.set_len(len).await,
        Step::Preallocate(name, len) => open(&path(name)).await?.preallocate(len).await,
        Step::Reserve(name, from, to) => {
            let file = open(&path(name)).await?;
            let to = to.min(file.len().await?);
            if from < to { file.reserve(from..to).await } else { Ok(()) }
        }
        Step::ZeroRange { name, at, len } => open(&path(name)).await?.zero_range(at..at + len as u64).await,
        Step::Fsync(name) => open(&path(name)).await?.sync_all().await,
        Step::Fdatasync(name) => open(&path(name)).await?.sync_data().await,
        Step::Rename(from, to) => disk::rename(path(from), path(to)).await,
        Step::Remove(name) => disk::remove_file(path(name)).await,
        Step::SyncDir(dir) => disk::sync_dir(root.join(DIRS[dir])).await,
        Step::WaitSeconds(seconds) => {
            sim::time::sleep(Duration::from_secs(seconds)).await;
            Ok(())
        }
    }
}

/// Every file with its content.
pub type Image = BTreeMap<String, Vec<u8>>;

/// What there is of a program's files.
pub async fn read_image(root: &Path) -> io::Result<Image> {
    let mut image = Image::new();
    for dir in DIRS {
        for entry in disk::read_dir(root.join(dir)).await? {
            let content = disk::read(root.join(dir).join(&entry.name)).await?;
            image.insert(format!("{dir}/{}", entry.name), content);
        }
    }
    Ok(image)
}

/// What a crash left.
#[derive(Clone, Debug)]
pub struct Left {
    pub image: Image,
    /// So many steps had been completed. The next one was under way, unless that was all.
    pub completed: usize,
}
