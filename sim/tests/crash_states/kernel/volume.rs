//! A small file system of the kernel's, in a file in memory, that can lose its power.
//!
//! The guard takes everything away when it is dropped; the loop device detaches itself when the file system is unmounted.

use super::run;
use crate::contract::Personality;
use rustix::fs::{FallocateFlags, fallocate, syncfs};
use std::{
    io::Write,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// A kind of file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ext4,
    Xfs,
}

/// Room for the file system and its journal; what nobody writes takes no memory.
const IMAGE_BYTES: u64 = 96 << 20;
/// The memory for it, with something to spare for names.
const MEMORY_BYTES: u64 = IMAGE_BYTES + (8 << 20);
const BLOCK_BYTES: usize = 4096;
/// A pause between attempts to unmount, and how many: the kernel may still be writing.
const UNMOUNT_PAUSE: std::time::Duration = std::time::Duration::from_millis(20);
const UNMOUNT_ATTEMPTS: u32 = 250;

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Ext4 => "ext4",
            Kind::Xfs => "xfs",
        }
    }

    pub fn mkfs(self) -> &'static str {
        match self {
            Kind::Ext4 => "mkfs.ext4",
            Kind::Xfs => "mkfs.xfs",
        }
    }

    /// What the simulation calls it.
    pub fn personality(self) -> Personality {
        match self {
            Kind::Ext4 => Personality::Ext4Ordered,
            Kind::Xfs => Personality::Xfs,
        }
    }

    fn make(self, image: &Path) -> Result<(), String> {
        let image = path_str(image);
        match self {
            // Small file systems have blocks of 1 KiB by default.
            Kind::Ext4 => {
                run("mkfs.ext4", &["-q", "-F", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0", image])
            }
            // XFS refuses to be smaller than 300 MB, unless it believes that it is being tested.
            Kind::Xfs => run(
                "env",
                &["TEST_DIR=x", "TEST_DEV=x", "QA_CHECK_FS=x", "mkfs.xfs", "-q", "-f", "-b", "size=4096", image],
            ),
        }
        .map(drop)
    }
}

/// What a power cut does with what the journal holds in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// It is lost: a power cut.
    AtOnce,
    /// It is written first: the journal's timer had just ended.
    AfterCommit,
}

/// The file system, mounted or not.
pub struct Volume {
    kind: Kind,
    dir: TempDir,
    has_memory: bool,
    is_mounted: bool,
}

fn path_str(path: &Path) -> &str {
    path.to_str().expect("a temporary directory has a plain name")
}

/// Whether such a file system can be mounted here at all.
pub fn probe(kind: Kind) -> Result<(), String> {
    let mut volume = Volume::new(kind)?;
    volume.unmount()
}

impl Volume {
    /// A new file system, mounted.
    pub fn fresh(kind: Kind) -> Volume {
        Volume::new(kind).expect("it was tried before")
    }

    /// A new file system, mounted, or what stands in its way.
    fn new(kind: Kind) -> Result<Volume, String> {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).map_err(|error| error.to_string())?;
        let mut volume = Volume { kind, dir, has_memory: false, is_mounted: false };
        let memory = volume.memory();
        std::fs::create_dir(&memory).map_err(|error| error.to_string())?;
        run("mount", &["-t", "tmpfs", "-o", &format!("size={MEMORY_BYTES}"), "none", path_str(&memory)])?;
        volume.has_memory = true;
        std::fs::create_dir(volume.root()).map_err(|error| error.to_string())?;
        volume.make()?;
        volume.mount()?;
        Ok(volume)
    }

    /// Where the image lies.
    pub fn memory(&self) -> PathBuf {
        self.dir.path().join("memory")
    }

    pub fn image(&self) -> PathBuf {
        self.memory().join("image")
    }

    /// Where it is mounted.
    pub fn root(&self) -> PathBuf {
        self.memory().join("root")
    }

    fn make(&self) -> Result<(), String> {
        let image = std::fs::File::create(self.image()).map_err(|error| error.to_string())?;
        image.set_len(IMAGE_BYTES).map_err(|error| error.to_string())?;
        drop(image);
        self.kind.make(&self.image())
    }

    pub fn mount(&mut self) -> Result<(), String> {
        run("mount", &["-t", self.kind.name(), "-o", "loop", path_str(&self.image()), path_str(&self.root())])?;
        self.is_mounted = true;
        Ok(())
    }

    pub fn unmount(&mut self) -> Result<(), String> {
        if !self.is_mounted {
            return Ok(());
        }
        let mut result = Ok(String::new());
        for _ in 0..UNMOUNT_ATTEMPTS {
            result = run("umount", &[path_str(&self.root())]);
            if result.is_ok() {
                self.is_mounted = false;
                break;
            }
            std::thread::sleep(UNMOUNT_PAUSE);
        }
        result.map(drop)
    }

    /// The power fails. Calls that come afterwards fail too.
    pub fn cut_power(&self, cut: Cut) {
        cut_power_of(&self.root(), cut);
    }

    /// From now on, while the guard lives, the drive refuses every block that it does not have yet, which are the free ones.
    pub fn refuse_new_blocks(&self) -> Refusing {
        // Journal and tables are on the drive for good…
        let image = std::fs::File::options().write(true).open(self.image()).expect("it is there");
        fallocate(&image, FallocateFlags::empty(), 0, IMAGE_BYTES).expect("there is memory");
        syncfs(std::fs::File::open(self.root()).expect("it is mounted")).expect("the drive is sound");
        // …and what is free is not.
        run("fstrim", &[path_str(&self.root())]).expect("a loop device forgets what is free");
        let filler = self.memory().join("filler");
        fill(&filler, 0);
        Refusing { filler }
    }

    /// Fills it up, but for so many bytes, or a few pages more, which file systems keep for themselves.
    pub fn fill_up(&self, left_bytes: usize) {
        fill(&self.root().join("filler"), left_bytes as u64);
        self.settle();
    }

    /// Everything is written, and what was removed is free again.
    pub fn settle(&self) {
        syncfs(std::fs::File::open(self.root()).expect("it is mounted")).expect("the drive is sound");
    }

    /// The machine boots after a power cut: the file system recovers.
    pub fn boot(&mut self) {
        self.unmount().expect("nobody has it open");
        self.mount().expect("it recovers");
    }
}

/// The power of what is mounted there fails.
pub fn cut_power_of(root: &Path, cut: Cut) {
    let command = match cut {
        Cut::AtOnce => "shutdown",
        Cut::AfterCommit => "shutdown -f",
    };
    run("xfs_io", &["-x", "-c", command, path_str(root)]).expect("it can be shut down");
}

/// Writes until nothing more has room, and gives some of it back.
fn fill(path: &Path, left_bytes: u64) {
    let mut file = std::fs::File::create(path).expect("a name has room");
    let mut piece_bytes = 1 << 20;
    let mut len = 0;
    while piece_bytes >= BLOCK_BYTES {
        match file.write(&vec![255; piece_bytes]) {
            Ok(written) => len += written as u64,
            Err(_) => piece_bytes /= 2,
        }
    }
    file.sync_all().expect("what was taken has room");
    file.set_len(len.saturating_sub(left_bytes)).expect("it can be cut");
    file.sync_all().expect("what was taken has room");
}

/// The drive refuses new blocks until this is dropped.
pub struct Refusing {
    filler: PathBuf,
}

impl Drop for Refusing {
    fn drop(&mut self) {
        // Should it fail, the memory goes with the mount, and the test that waits for a sound drive fails.
        let _ = std::fs::remove_file(&self.filler);
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let mut result = self.unmount();
        if result.is_err() {
            result = run("umount", &["--lazy", path_str(&self.root())]).map(drop);
        }
        if self.has_memory {
            let memory = run("umount", &[path_str(&self.memory())])
                .or_else(|_| run("umount", &["--lazy", path_str(&self.memory())]));
            result = result.and(memory.map(drop));
        }
        if let Err(reason) = result
            && !std::thread::panicking()
        {
            panic!("{reason}");
        }
    }
}
