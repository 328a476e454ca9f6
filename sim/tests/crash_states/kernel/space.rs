//! A full file system: what is written of a write that does not fit, and of a reservation.

use super::{
    on_kernel,
    volume::{Cut, Kind, Volume},
};
use rustix::fs::statvfs;
use sim::disk::{self, OpenOptions};
use std::io::ErrorKind;

const PAGE: usize = 4096;
const ROOM_PAGES: usize = 64;
/// XFS holds back a few and gives them when it must.
const SPARE_PAGES: usize = 8;

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

on_kernel!(
    a_write_that_does_not_fit_is_refused_or_ends_at_a_page,
    page_by_page_all_room_can_be_written_and_syncs_have_room_for_it,
    a_reservation_that_does_not_fit_takes_what_there_is_on_ext4,
    what_a_reservation_within_a_file_took_is_given_back
);

fn a_write_that_does_not_fit_is_refused_or_ends_at_a_page(kind: Kind) {
    let volume = Volume::fresh(kind);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    volume.fill_up(ROOM_PAGES * PAGE);
    for (number, (at, pages)) in
        [(0, ROOM_PAGES + 1), (0, 2 * ROOM_PAGES), (1, ROOM_PAGES + 1), (1, 4 * ROOM_PAGES)].into_iter().enumerate()
    {
        let path = volume.root().join(format!("f{number}"));
        block_on(async {
            let file = options.open(&path).await.expect("a name has room");
            let refused = file.write_all_at(&vec![2; pages * PAGE], (at * PAGE) as u64).await;
            assert_eq!(refused.expect_err("there is not so much room").kind(), ErrorKind::StorageFull);
            let len = file.len().await.expect("it is open") as usize;
            let written_pages = (len / PAGE).saturating_sub(at);
            println!(
                "{}: of {pages} pages from page {at}, with room for {ROOM_PAGES}: {written_pages} written",
                kind.name()
            );
            assert!(written_pages <= ROOM_PAGES + SPARE_PAGES && len.is_multiple_of(PAGE), "{len}");
            if kind == Kind::Xfs {
                assert_eq!(written_pages, 0, "a run of new blocks has room, or has not");
            }
            file.sync_all().await.expect("what was taken has room");
            file.set_len(0).await.expect("it can be cut");
            // A small write fits.
            file.write_all_at(&[3; PAGE], 0).await.expect("one page has room");
            file.sync_all().await.expect("what was taken has room");
            disk::remove_file(&path).await.expect("it is there");
            disk::sync_dir(volume.root()).await.expect("the drive is sound");
        });
        volume.settle();
    }
}

fn page_by_page_all_room_can_be_written_and_syncs_have_room_for_it(kind: Kind) {
    let mut volume = Volume::fresh(kind);
    volume.fill_up(ROOM_PAGES * PAGE);
    let path = volume.root().join("f");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    let written = block_on(async {
        let file = options.open(&path).await.expect("a name has room");
        let mut pages = 0;
        while file.write_all_at(&[2; PAGE], (pages * PAGE) as u64).await.is_ok() {
            pages += 1;
        }
        assert!((ROOM_PAGES..=ROOM_PAGES + SPARE_PAGES).contains(&pages), "{pages} of {ROOM_PAGES}");
        let again = file.write_all_at(&[4; PAGE], 0).await;
        again.expect("what is there can be overwritten");
        file.sync_all().await.expect("nothing is refused at write-back");
        disk::sync_dir(volume.root()).await.expect("the drive is sound");
        pages
    });
    volume.cut_power(Cut::AtOnce);
    volume.boot();
    let content = block_on(disk::read(&path)).expect("it can be read");
    assert_eq!(content.len(), written * PAGE);
    assert!(content[..PAGE] == [4; PAGE] && content[PAGE..].iter().all(|&byte| byte == 2));
}

fn a_reservation_that_does_not_fit_takes_what_there_is_on_ext4(kind: Kind) {
    let volume = Volume::fresh(kind);
    volume.fill_up(ROOM_PAGES * PAGE);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    block_on(async {
        let file = options.open(volume.root().join("f")).await.expect("a name has room");
        let refused = file.preallocate((4 * ROOM_PAGES * PAGE) as u64).await;
        assert_eq!(refused.expect_err("there is not so much room").kind(), ErrorKind::StorageFull);
        let pages = file.len().await.expect("it is open") as usize / PAGE;
        println!("{}: of {} pages, with room for {ROOM_PAGES}: {pages} reserved", kind.name(), 4 * ROOM_PAGES);
        match kind {
            Kind::Ext4 => assert!(pages > 0 && pages <= ROOM_PAGES + SPARE_PAGES, "{pages}"),
            Kind::Xfs => assert_eq!(pages, 0),
        }
        let beside = disk::usage(volume.root()).await.expect("it is mounted").available_bytes as usize / PAGE;
        assert!(beside + pages <= ROOM_PAGES + SPARE_PAGES, "what was reserved is taken");
    });
}

fn what_a_reservation_within_a_file_took_is_given_back(kind: Kind) {
    let mut volume = Volume::fresh(kind);
    let path = volume.root().join("f");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    let size = 16 * ROOM_PAGES * PAGE;
    block_on(async {
        let file = options.open(&path).await.expect("a name has room");
        file.set_len(size as u64).await.expect("a hole takes no room");
        file.write_all_at(&[2; PAGE], 0).await.expect("there is room");
        file.sync_all().await.expect("the drive is sound");
        options.open(volume.root().join("filler-2")).await.expect("a name has room");
    });
    volume.fill_up(ROOM_PAGES * PAGE);
    // What is kept for root can be had here.
    let room = || statvfs(volume.root()).expect("it is mounted").f_bfree as usize;
    let before = room();
    block_on(async {
        let file = OpenOptions::new().read(true).write(true).open(&path).await.expect("it is there");
        let refused = file.reserve(PAGE as u64..(4 * ROOM_PAGES * PAGE) as u64).await;
        assert_eq!(refused.expect_err("there is not so much room").kind(), ErrorKind::StorageFull);
        println!("{}: with room for {before} pages: {} left", kind.name(), room());
        file.unreserve(PAGE as u64).await.expect("it is a hole");
        file.sync_all().await.expect("the drive is sound");
    });
    volume.settle();
    block_on(async {
        let left = room();
        assert!(left.abs_diff(before) <= 1, "{left} of {before} pages");
        let file = OpenOptions::new().read(true).write(true).open(&path).await.expect("it is there");
        let part = PAGE as u64..(ROOM_PAGES / 2 * PAGE) as u64;
        file.reserve(part.clone()).await.expect("there is room");
        file.sync_all().await.expect("the drive is sound");
        volume.settle();
        let left = room();
        assert!(before - left >= ROOM_PAGES / 2 - 1, "{left} of {before} pages");
        // XFS wants room for all of a reservation, whatever of it is reserved already.
        let again = file.reserve(part.start..(ROOM_PAGES * PAGE) as u64).await;
        assert_eq!(again.is_err(), kind == Kind::Xfs, "{again:?}");
        file.unreserve(part.end).await.expect("it is a hole");
        // What is full does not keep what has room from being written.
        let filler = OpenOptions::new().write(true).open(volume.root().join("filler-2")).await.expect("it is there");
        let mut at = 0;
        while filler.write_all_at(&[3; PAGE], at).await.is_ok() {
            at += PAGE as u64;
        }
        file.write_all_at(&vec![4; (part.end - part.start) as usize], part.start).await.expect("it is reserved");
        file.sync_data().await.expect("it is reserved");
    });
    volume.cut_power(Cut::AtOnce);
    volume.boot();
    let content = block_on(disk::read(&path)).expect("it can be read");
    let reserved_end = ROOM_PAGES / 2 * PAGE;
    assert!(content.len() == size && content[..PAGE] == [2; PAGE]);
    assert!(content[PAGE..reserved_end].iter().all(|&byte| byte == 4));
    assert!(content[reserved_end..].iter().all(|&byte| byte == 0));
}
