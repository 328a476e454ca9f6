//! Write-back that fails: what syncs tell, to whom, and what is on the drive afterwards. The model says the same in `errseq`,
//! `sync` and the row "a refused page of growth" of `personality`; its own tests ask it.
//!
//! The drive is an image in a full file system in memory: it takes what overwrites a block that it has, and refuses new ones.

use super::{
    batch::write_back,
    on_kernel,
    volume::{Cut, Kind, Volume},
};
use sim::disk::{self, File, OpenOptions};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// The drive has no room, which is what its refusal says here, or is off.
const REFUSALS: [i32; 2] = [5, 28];
const PAGE: usize = 4096;

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

async fn open(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).create(true).open(path).await.expect("it can be opened")
}

/// A file system with a file of one durable page.
fn with_durable_page(kind: Kind) -> (Volume, PathBuf) {
    let mut volume = Volume::fresh(kind);
    let path = volume.root().join("f");
    block_on(async {
        let file = open(&path).await;
        file.write_all_at(&[1; PAGE], 0).await.expect("there is room");
        file.sync_all().await.expect("the drive is sound");
        disk::sync_dir(volume.root()).await.expect("the drive is sound");
    });
    // The allocator forgets what it had set aside for the file.
    volume.boot();
    (volume, path)
}

/// What a sync says.
#[derive(Debug, PartialEq)]
enum Told {
    Well,
    Refused,
}
use Told::{Refused, Well};

async fn sync(file: &File) -> Told {
    match file.sync_data().await {
        Ok(()) => Well,
        Err(error) if REFUSALS.iter().any(|&refusal| error.raw_os_error() == Some(refusal)) => Refused,
        Err(error) => panic!("{error}"),
    }
}

on_kernel!(
    a_refused_page_is_told_once_to_each_open_file_and_is_clean_then,
    what_nobody_was_told_of_is_told_to_who_opens_next,
    a_refused_page_written_again_is_on_the_drive_except_on_ext4,
    after_a_shutdown_syncs_and_writes_fail_for_good
);

fn a_refused_page_is_told_once_to_each_open_file_and_is_clean_then(kind: Kind) {
    let (mut volume, path) = with_durable_page(kind);
    block_on(async {
        let first = open(&path).await;
        let second = open(&path).await;
        let refusing = volume.refuse_new_blocks();
        first.write_all_at(&[2; PAGE], PAGE as u64).await.expect("the page cache has room");
        assert_eq!(sync(&first).await, Refused);
        assert_eq!(sync(&first).await, Well, "told once");
        assert_eq!(sync(&second).await, Refused, "another open file has a right to know");
        assert_eq!(sync(&second).await, Well);
        assert_eq!(sync(&open(&path).await).await, Well, "who opens later is not told");
        drop(refusing);
        assert_eq!(sync(&first).await, Well, "the page is clean: nothing is written");
        let content = disk::read(&path).await.expect("it is in memory");
        assert_eq!(content[PAGE..], [2; PAGE], "programs go on reading it");
    });
    volume.boot();
    let content = block_on(disk::read(&path)).expect("it can be read");
    assert_eq!(content[..PAGE], [1; PAGE]);
    let grown = match kind {
        Kind::Ext4 => vec![0; PAGE],
        Kind::Xfs => Vec::new(),
    };
    assert!(content[PAGE..] == grown, "{} bytes are left", content.len());
}

fn what_nobody_was_told_of_is_told_to_who_opens_next(kind: Kind) {
    let (volume, path) = with_durable_page(kind);
    block_on(async {
        let first = open(&path).await;
        let refusing = volume.refuse_new_blocks();
        first.write_all_at(&[2; PAGE], PAGE as u64).await.expect("the page cache has room");
        write_back(&path);
        // Nothing says when write-back has failed.
        sim::time::sleep(Duration::from_millis(300)).await;
        let late = open(&path).await;
        assert_eq!(sync(&late).await, Refused, "nobody had been told");
        assert_eq!(sync(&open(&path).await).await, Well, "now somebody has");
        assert_eq!(sync(&first).await, Refused);
        drop(refusing);
    });
}

/// On ext4 its block stays unwritten, whatever later syncs say: `mpage_map_buffers` counts what it submits as written.
fn a_refused_page_written_again_is_on_the_drive_except_on_ext4(kind: Kind) {
    let (mut volume, path) = with_durable_page(kind);
    let copy = volume.root().join("copy");
    block_on(async {
        let file = open(&path).await;
        let refusing = volume.refuse_new_blocks();
        file.write_all_at(&[2; PAGE], PAGE as u64).await.expect("the page cache has room");
        assert_eq!(sync(&file).await, Refused);
        drop(refusing);
        let content = disk::read(&path).await.expect("it is in memory");
        file.write_all_at(&content, 0).await.expect("the page cache has room");
        assert_eq!(sync(&file).await, Well);
        let copy = open(&copy).await;
        copy.write_all_at(&content, 0).await.expect("the page cache has room");
        assert_eq!(sync(&copy).await, Well);
        disk::sync_dir(volume.root()).await.expect("the drive is sound");
    });
    volume.cut_power(Cut::AtOnce);
    volume.boot();
    let content = block_on(disk::read(&path)).expect("it can be read");
    let again = if kind == Kind::Ext4 { 0 } else { 2 };
    assert!(content == [[1; PAGE], [again; PAGE]].concat(), "{} {:?}", content.len(), content.get(PAGE));
    let copy = block_on(disk::read(&copy)).expect("it can be read");
    assert!(copy == [[1; PAGE], [2; PAGE]].concat(), "a new file has new blocks");
}

fn after_a_shutdown_syncs_and_writes_fail_for_good(kind: Kind) {
    let (mut volume, path) = with_durable_page(kind);
    block_on(async {
        let file = open(&path).await;
        file.write_all_at(&[2; PAGE], 0).await.expect("the page cache has room");
        volume.cut_power(Cut::AtOnce);
        assert_eq!(sync(&file).await, Refused);
        assert_eq!(sync(&file).await, Refused, "not once only");
        assert!(file.write_all_at(&[3; PAGE], 0).await.is_err());
    });
    volume.boot();
    assert_eq!(block_on(disk::read(&path)).expect("it can be read"), [1; PAGE]);
}
