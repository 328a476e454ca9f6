//! The store's own ways to change files, and what of them a crash at any moment must leave.
//!
//! They are copied here as programs: `replace_file` (config files, the checkpoint), the same with a backup, and a segment of the
//! log that is created and appended to, while room is reserved for it step by step.

use super::program::{Image, NAMES, Step, bytes};

const A: usize = 0;
const B: usize = 1;
/// The backup: in another directory, because programs have two names in one only.
const C: usize = 2;
const LEN: usize = 5000;
const SEGMENT_BYTES: u64 = 16384;
const RESERVED_BYTES: u64 = 4096;

/// How far a program had come.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// So many steps had returned.
    pub done: usize,
    /// So many had begun, as far as one can tell.
    pub begun: usize,
}

/// A way to change files.
pub struct Protocol {
    pub name: &'static str,
    pub steps: Vec<Step>,
    /// Whether this may be left; if not, why.
    pub judge: fn(&Image, Progress) -> Result<(), String>,
}

pub fn protocols() -> [Protocol; 3] {
    let write = |name, at, len| Step::Write { name, at, len };
    let old = [Step::Create(A), write(A, 0, LEN), Step::Fsync(A), Step::SyncDir(0)];
    let new = [Step::Create(B), write(B, 0, LEN), Step::Fsync(B)];
    let swap = [Step::Rename(B, A), Step::SyncDir(0)];
    let keep = [Step::Rename(A, C), Step::SyncDir(0)];
    let (size, reserve) = (Step::SetLen(A, SEGMENT_BYTES), |from, to| Step::Reserve(A, from, to));
    let create = [Step::Create(A), size, reserve(0, RESERVED_BYTES), Step::Fsync(A), Step::SyncDir(0)];
    let more = [write(A, 600, LEN), reserve(RESERVED_BYTES, SEGMENT_BYTES), Step::Fdatasync(A)];
    let append = [&[write(A, 0, 600), Step::Fdatasync(A)][..], &more].concat();
    [
        Protocol { name: "replace a file", steps: [&old[..], &new, &swap].concat(), judge: replaced },
        Protocol {
            name: "replace a file, keep a backup",
            steps: [&old[..], &new, &keep, &swap].concat(),
            judge: replaced_with_backup,
        },
        Protocol { name: "create and append to a segment", steps: [&create[..], &append].concat(), judge: appended },
    ]
}

/// Of the old content and the new, the one that is there.
fn version(image: &Image, name: usize) -> Result<&'static str, String> {
    match image.get(NAMES[name]) {
        None => Ok("none"),
        Some(found) if *found == bytes(1, 0, LEN) => Ok("old"),
        Some(found) if *found == bytes(5, 0, LEN) => Ok("new"),
        Some(found) => Err(format!("{}: {} bytes of neither version", NAMES[name], found.len())),
    }
}

fn must(holds: bool, claim: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("broken: {claim}")) }
}

fn replaced(image: &Image, progress: Progress) -> Result<(), String> {
    if progress.done < 4 {
        return Ok(());
    }
    let found = version(image, A)?;
    must(found != "none", "one of the two is there")?;
    must(found == "old" || progress.begun > 7, "the new one comes by its rename")?;
    must(found == "new" || progress.done < 9, "what has returned is done")
}

fn replaced_with_backup(image: &Image, progress: Progress) -> Result<(), String> {
    if progress.done < 4 {
        return Ok(());
    }
    let (found, backup) = (version(image, A)?, version(image, C)?);
    must(found != "none" || backup == "old", "one of the two is there")?;
    must(found != "new" || backup == "old", "the old one is kept")?;
    must(found == "new" || progress.done < 11, "what has returned is done")
}

fn appended(image: &Image, progress: Progress) -> Result<(), String> {
    let Some(found) = image.get(NAMES[A]) else { return must(progress.done < 5, "the segment is there") };
    must(progress.done < 5 || found.len() as u64 == SEGMENT_BYTES, "it has its size")?;
    let is_written =
        |number: usize, at: usize, len: usize| found.get(at..at + len) == Some(&bytes(number, at as u64, len)[..]);
    must(progress.done < 7 || is_written(5, 0, 600), "the first append is durable")?;
    must(progress.done < 10 || is_written(7, 600, LEN), "the second append is durable")?;
    let rest = found.get(600 + LEN..).unwrap_or_default();
    must(rest.iter().all(|&byte| byte == 0), "the rest is zeros")
}
