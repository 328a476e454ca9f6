//! Handles: how a file may be opened, what an open handle is good for, locks, times.

use crate::answers::{errno, kind};
use sim::{
    disk::{self, File, OpenOptions},
    time,
};
use std::{
    io::{self, ErrorKind},
    path::Path,
    time::Duration,
};

/// The errno of a call on a handle without the right to it.
const EBADF: Option<i32> = Some(9);

#[derive(Clone, Copy)]
struct Flags {
    read: bool,
    write: bool,
    create: bool,
    create_new: bool,
    truncate: bool,
}

const NONE: Flags = Flags { read: false, write: false, create: false, create_new: false, truncate: false };
const READ: Flags = Flags { read: true, ..NONE };
const WRITE: Flags = Flags { write: true, ..NONE };
const BOTH: Flags = Flags { read: true, write: true, ..NONE };

async fn open(path: impl AsRef<Path>, flags: Flags) -> io::Result<File> {
    let Flags { read, write, create, create_new, truncate } = flags;
    let mut options = OpenOptions::new();
    options.read(read).write(write).create(create).create_new(create_new).truncate(truncate).open(path).await
}

async fn create(path: impl AsRef<Path>) -> File {
    open(path, Flags { create: true, ..BOTH }).await.expect("created")
}

conformance! {
    async fn a_missing_file_or_parent_is_not_found(env: Env) {
        assert_eq!(kind(open(env.path("f"), READ).await), ErrorKind::NotFound);
        assert_eq!(kind(open(env.path("f"), BOTH).await), ErrorKind::NotFound);
        assert_eq!(kind(open(env.path("no/f"), Flags { create: true, ..BOTH }).await), ErrorKind::NotFound);
        assert_eq!(kind(disk::read(env.path("f")).await), ErrorKind::NotFound);
        assert_eq!(kind(disk::metadata(env.path("f")).await), ErrorKind::NotFound);
    }

    async fn create_new_creates_once(env: Env) {
        let new = Flags { create_new: true, ..WRITE };
        open(env.path("f"), new).await.expect("created");
        assert_eq!(kind(open(env.path("f"), new).await), ErrorKind::AlreadyExists);
        // It goes before the other flags.
        let flags = Flags { create: true, truncate: true, ..new };
        assert_eq!(kind(open(env.path("f"), flags).await), ErrorKind::AlreadyExists);
        open(env.path("f"), Flags { create: true, ..WRITE }).await.expect("there already");
    }

    async fn create_new_minds_directories(env: Env) {
        disk::create_dir_all(env.path("d")).await.expect("made");
        assert_eq!(kind(open(env.path("d"), Flags { create_new: true, ..WRITE }).await), ErrorKind::AlreadyExists);
    }

    async fn truncate_empties_at_opening(env: Env) {
        let file = create(env.path("f")).await;
        file.write_all_at(&[1; 5_000], 0).await.expect("written");
        open(env.path("f"), Flags { truncate: true, ..WRITE }).await.expect("opened");
        assert_eq!(file.len().await.expect("open"), 0);
        file.write_all_at(b"x", 100).await.expect("written");
        let mut bytes = [9; 101];
        file.read_exact_at(&mut bytes, 0).await.expect("read");
        assert_eq!(bytes[..100], [0; 100]);
    }

    async fn flags_that_make_no_sense_are_refused(env: Env) {
        create(env.path("f")).await;
        let senseless = [
            NONE,
            Flags { create: true, ..NONE },
            Flags { create: true, ..READ },
            Flags { create_new: true, ..READ },
            Flags { truncate: true, ..READ },
            Flags { truncate: true, ..NONE },
        ];
        for (number, flags) in senseless.into_iter().enumerate() {
            assert_eq!(kind(open(env.path("f"), flags).await), ErrorKind::InvalidInput, "number {number}");
            // They are looked at before the path.
            assert_eq!(kind(open(env.path("no/f"), flags).await), ErrorKind::InvalidInput, "number {number}");
        }
    }

    async fn a_handle_does_what_it_was_opened_for(env: Env) {
        create(env.path("f")).await.write_all_at(b"abc", 0).await.expect("written");
        let reader = open(env.path("f"), READ).await.expect("opened");
        assert_eq!(errno(reader.write_all_at(b"x", 0).await), EBADF);
        assert_eq!(kind(reader.set_len(1).await), ErrorKind::InvalidInput);
        assert_eq!(errno(reader.preallocate(10).await), EBADF);
        assert_eq!(errno(reader.reserve(0..2).await), EBADF);
        assert_eq!(errno(reader.reserve(0..20).await), EBADF);
        assert_eq!(errno(reader.unreserve(0).await), EBADF);
        reader.sync_data().await.expect("a sync needs no right");
        reader.sync_all().await.expect("a sync needs no right");
        assert_eq!(reader.len().await.expect("open"), 3);
        let writer = open(env.path("f"), WRITE).await.expect("opened");
        assert_eq!(errno(writer.read_at(&mut [0; 3], 0).await), EBADF);
        assert_eq!(errno(writer.read_exact_at(&mut [0; 3], 0).await), EBADF);
        assert_eq!(writer.len().await.expect("open"), 3);
    }

    async fn directories_are_no_files(env: Env) {
        disk::create_dir_all(env.path("d")).await.expect("made");
        assert_eq!(kind(open(env.path("d"), BOTH).await), ErrorKind::IsADirectory);
        assert_eq!(kind(open(env.path("d"), Flags { create: true, ..WRITE }).await), ErrorKind::IsADirectory);
        assert_eq!(kind(disk::read(env.path("d")).await), ErrorKind::IsADirectory);
        assert_eq!(kind(disk::remove_file(env.path("d")).await), ErrorKind::IsADirectory);
    }

    async fn a_directory_can_be_opened_for_reading_but_not_read(env: Env) {
        disk::create_dir_all(env.path("d")).await.expect("made");
        let dir = open(env.path("d"), READ).await.expect("opened");
        assert_eq!(kind(dir.read_at(&mut [0; 8], 0).await), ErrorKind::IsADirectory);
        dir.sync_all().await.expect("this is what sync_dir does");
    }

    async fn files_are_no_directories(env: Env) {
        create(env.path("f")).await;
        assert_eq!(kind(open(env.path("f/x"), READ).await), ErrorKind::NotADirectory);
        assert_eq!(kind(open(env.path("f/x"), Flags { create: true, ..WRITE }).await), ErrorKind::NotADirectory);
        assert_eq!(kind(disk::read_dir(env.path("f")).await), ErrorKind::NotADirectory);
        assert_eq!(kind(disk::metadata(env.path("f/x")).await), ErrorKind::NotADirectory);
        assert_eq!(kind(disk::remove_file(env.path("f/x")).await), ErrorKind::NotADirectory);
        assert_eq!(kind(disk::create_dir_all(env.path("f/x")).await), ErrorKind::NotADirectory);
        assert_eq!(kind(disk::exists(env.path("f/x")).await), ErrorKind::NotADirectory);
    }

    async fn an_unlinked_file_lives_on_in_its_handles(env: Env) {
        let file = create(env.path("f")).await;
        file.write_all_at(b"old", 0).await.expect("written");
        disk::remove_file(env.path("f")).await.expect("removed");
        assert!(!disk::exists(env.path("f")).await.expect("known"));
        file.write_all_at(b"er", 3).await.expect("written");
        let mut bytes = [0; 5];
        file.read_exact_at(&mut bytes, 0).await.expect("read");
        assert_eq!(&bytes, b"older");
        file.set_len(2).await.expect("cut");
        file.sync_all().await.expect("synced");
        // A new file of this name is another one.
        let new = create(env.path("f")).await;
        assert_eq!(new.len().await.expect("open"), 0);
        assert_eq!(file.len().await.expect("open"), 2);
    }

    async fn a_lock_has_one_holder_and_goes_with_its_handle(env: Env) {
        let first = create(env.path("f")).await;
        let second = open(env.path("f"), BOTH).await.expect("opened");
        let reader = open(env.path("f"), READ).await.expect("opened");
        first.try_lock().expect("free");
        first.try_lock().expect("its own");
        assert_eq!(kind(second.try_lock()), ErrorKind::WouldBlock);
        assert_eq!(kind(reader.try_lock()), ErrorKind::WouldBlock);
        // It is advisory.
        second.write_all_at(b"x", 0).await.expect("written");
        let clone = first.clone();
        drop(first);
        assert_eq!(kind(second.try_lock()), ErrorKind::WouldBlock);
        drop(clone);
        reader.try_lock().expect("free again; reading is enough");
        assert_eq!(kind(second.try_lock()), ErrorKind::WouldBlock);
    }

    async fn a_lock_is_of_the_file_and_not_of_its_name(env: Env) {
        let first = create(env.path("f")).await;
        first.try_lock().expect("free");
        disk::rename(env.path("f"), env.path("g")).await.expect("renamed");
        let new = create(env.path("f")).await;
        new.try_lock().expect("another file");
        let same = open(env.path("g"), BOTH).await.expect("opened");
        assert_eq!(kind(same.try_lock()), ErrorKind::WouldBlock);
    }

    async fn directories_can_be_locked_too(env: Env) {
        disk::create_dir_all(env.path("d")).await.expect("made");
        let first = open(env.path("d"), READ).await.expect("opened");
        let second = open(env.path("d"), READ).await.expect("opened");
        first.try_lock().expect("free");
        first.try_lock().expect("its own");
        assert_eq!(kind(second.try_lock()), ErrorKind::WouldBlock);
        drop(first);
        second.try_lock().expect("free again");
    }

    async fn metadata_tells_size_and_kind(env: Env) {
        create(env.path("f")).await.write_all_at(&[1; 1_234], 0).await.expect("written");
        disk::create_dir_all(env.path("d")).await.expect("made");
        let file = disk::metadata(env.path("f")).await.expect("there");
        assert!(file.len == 1_234 && !file.is_dir);
        assert!(disk::metadata(env.path("d")).await.expect("there").is_dir);
    }

    async fn times_of_modification_follow_the_wall_clock(env: Env) {
        // The kernel stamps files with the time of its last tick: up to 10 ms back (CONFIG_HZ of 100).
        let before_ms = time::wall_clock_ms() - 20;
        let file = create(env.path("f")).await;
        let created_ms = disk::metadata(env.path("f")).await.expect("there").modified_ms;
        assert!((before_ms..=time::wall_clock_ms()).contains(&created_ms));
        time::sleep(Duration::from_millis(60)).await;
        file.read_at(&mut [0; 8], 0).await.expect("read");
        assert_eq!(disk::metadata(env.path("f")).await.expect("there").modified_ms, created_ms, "a read is none");
        file.write_all_at(b"x", 0).await.expect("written");
        let written_ms = disk::metadata(env.path("f")).await.expect("there").modified_ms;
        assert!(written_ms >= created_ms + 30);
        time::sleep(Duration::from_millis(60)).await;
        file.set_len(0).await.expect("cut");
        let cut_ms = disk::metadata(env.path("f")).await.expect("there").modified_ms;
        assert!(cut_ms >= written_ms + 30);
        time::sleep(Duration::from_millis(60)).await;
        file.sync_all().await.expect("synced");
        disk::rename(env.path("f"), env.path("g")).await.expect("renamed");
        assert_eq!(disk::metadata(env.path("g")).await.expect("there").modified_ms, cut_ms, "a rename is none");
    }

    async fn names_in_a_directory_change_its_time(env: Env) {
        disk::create_dir_all(env.path("d")).await.expect("made");
        let mut last_ms = disk::metadata(env.path("d")).await.expect("there").modified_ms;
        for step in 0..3 {
            time::sleep(Duration::from_millis(60)).await;
            match step {
                0 => drop(create(env.path("d/f")).await),
                1 => disk::rename(env.path("d/f"), env.path("d/g")).await.expect("renamed"),
                _ => disk::remove_file(env.path("d/g")).await.expect("removed"),
            }
            let now_ms = disk::metadata(env.path("d")).await.expect("there").modified_ms;
            assert!(now_ms >= last_ms + 30, "step {step}");
            last_ms = now_ms;
        }
    }

    async fn usage_is_of_the_whole_disk(env: Env) {
        let usage = disk::usage(env.dir()).await.expect("there");
        assert!(usage.total_bytes > 1 << 20 && usage.available_bytes <= usage.total_bytes);
        assert_eq!(kind(disk::usage(env.path("no")).await), ErrorKind::NotFound);
    }
}
