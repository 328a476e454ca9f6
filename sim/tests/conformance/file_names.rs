//! Names: directories, renames, removals, what a name may be.

use crate::answers::kind;
use sim::disk::{self, DirEntry, File, OpenOptions};
use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

async fn create(path: impl AsRef<Path>, content: &[u8]) -> File {
    let file = OpenOptions::new().read(true).write(true).create(true).open(path).await.expect("created");
    file.write_all_at(content, 0).await.expect("written");
    file
}

async fn names(dir: impl AsRef<Path>) -> Vec<String> {
    disk::read_dir(dir).await.expect("a directory").into_iter().map(|entry| entry.name).collect()
}

conformance! {
    async fn directories_are_made_with_their_parents_and_again(env: Env) {
        disk::create_dir_all(env.path("a/b/c")).await.expect("made");
        disk::create_dir_all(env.path("a/b")).await.expect("there already");
        disk::create_dir_all(env.path("a/b/c")).await.expect("there already");
        disk::create_dir_all(env.dir()).await.expect("there already");
        assert!(disk::metadata(env.path("a/b/c")).await.expect("there").is_dir);
        create(env.path("f"), b"").await;
        assert_eq!(kind(disk::create_dir_all(env.path("f")).await), ErrorKind::AlreadyExists);
        assert_eq!(kind(disk::create_dir_all(env.path("f/d")).await), ErrorKind::NotADirectory);
    }

    async fn entries_are_sorted_by_name(env: Env) {
        for name in ["b", "a", "C", "10", "9", ".hidden", "ä"] {
            create(env.path(name), b"").await;
        }
        disk::create_dir_all(env.path("dir")).await.expect("made");
        let entries = disk::read_dir(env.dir()).await.expect("a directory");
        let entry = |name: &str, is_dir| DirEntry { name: name.to_owned(), is_dir };
        let expected = [
            entry(".hidden", false),
            entry("10", false),
            entry("9", false),
            entry("C", false),
            entry("a", false),
            entry("b", false),
            entry("dir", true),
            entry("ä", false),
        ];
        assert_eq!(entries, expected);
        assert!(disk::read_dir(env.path("dir")).await.expect("a directory").is_empty());
        assert_eq!(kind(disk::read_dir(env.path("no")).await), ErrorKind::NotFound);
    }

    async fn a_rename_replaces_and_old_handles_keep_the_old_file(env: Env) {
        let old = create(env.path("f"), b"old").await;
        create(env.path("f.tmp"), b"newer").await;
        disk::rename(env.path("f.tmp"), env.path("f")).await.expect("renamed");
        assert_eq!(names(env.dir()).await, ["f"]);
        assert_eq!(disk::read(env.path("f")).await.expect("read"), b"newer");
        let mut bytes = [0; 3];
        old.read_exact_at(&mut bytes, 0).await.expect("it lives");
        assert_eq!(&bytes, b"old");
        old.write_all_at(b"!", 3).await.expect("written");
        assert_eq!(disk::read(env.path("f")).await.expect("read"), b"newer");
    }

    async fn a_handle_follows_its_file_through_renames(env: Env) {
        let file = create(env.path("a"), b"x").await;
        disk::create_dir_all(env.path("d")).await.expect("made");
        disk::rename(env.path("a"), env.path("d/b")).await.expect("renamed");
        file.write_all_at(b"yz", 1).await.expect("written");
        assert_eq!(disk::read(env.path("d/b")).await.expect("read"), b"xyz");
        assert!(!disk::exists(env.path("a")).await.expect("known"));
    }

    async fn a_rename_to_itself_changes_nothing(env: Env) {
        create(env.path("f"), b"x").await;
        disk::rename(env.path("f"), env.path("f")).await.expect("nothing to do");
        assert_eq!(disk::read(env.path("f")).await.expect("read"), b"x");
    }

    async fn renames_that_cannot_be(env: Env) {
        create(env.path("f"), b"").await;
        disk::create_dir_all(env.path("full/x")).await.expect("made");
        disk::create_dir_all(env.path("empty")).await.expect("made");
        let rename = async |from: &str, to: &str| kind(disk::rename(env.path(from), env.path(to)).await);
        assert_eq!(rename("no", "g").await, ErrorKind::NotFound);
        assert_eq!(rename("f", "no/g").await, ErrorKind::NotFound);
        assert_eq!(rename("f", "empty").await, ErrorKind::IsADirectory);
        assert_eq!(rename("empty", "f").await, ErrorKind::NotADirectory);
        assert_eq!(rename("empty", "full").await, ErrorKind::DirectoryNotEmpty);
        assert_eq!(rename("full", "full/inside").await, ErrorKind::InvalidInput);
        assert_eq!(rename("f/x", "g").await, ErrorKind::NotADirectory);
        assert_eq!(rename("f", "f/x").await, ErrorKind::NotADirectory);
    }

    async fn directories_are_renamed_with_what_is_in_them(env: Env) {
        disk::create_dir_all(env.path("d/e")).await.expect("made");
        let file = create(env.path("d/e/f"), b"x").await;
        disk::create_dir_all(env.path("empty")).await.expect("made");
        disk::rename(env.path("d"), env.path("empty")).await.expect("an empty directory is replaced");
        assert_eq!(names(env.dir()).await, ["empty"]);
        file.write_all_at(b"y", 1).await.expect("written");
        assert_eq!(disk::read(env.path("empty/e/f")).await.expect("read"), b"xy");
    }

    async fn removals(env: Env) {
        create(env.path("f"), b"").await;
        disk::remove_file(env.path("f")).await.expect("removed");
        assert_eq!(kind(disk::remove_file(env.path("f")).await), ErrorKind::NotFound);
        assert_eq!(kind(disk::remove_file(env.path("no/f")).await), ErrorKind::NotFound);
        disk::create_dir_all(env.path("d/e/e")).await.expect("made");
        let open = create(env.path("d/e/f"), b"alive").await;
        create(env.path("d/g"), b"").await;
        disk::remove_dir_all(env.path("d")).await.expect("removed");
        assert!(names(env.dir()).await.is_empty());
        let mut bytes = [0; 5];
        open.read_exact_at(&mut bytes, 0).await.expect("it lives in its handle");
        assert_eq!(kind(disk::remove_dir_all(env.path("d")).await), ErrorKind::NotFound);
        create(env.path("f"), b"").await;
        assert_eq!(kind(disk::remove_dir_all(env.path("f")).await), ErrorKind::NotADirectory);
    }

    async fn a_removed_directory_takes_no_files_and_can_be_made_anew(env: Env) {
        disk::create_dir_all(env.path("d")).await.expect("made");
        disk::remove_dir_all(env.path("d")).await.expect("removed");
        let mut options = OpenOptions::new();
        options.write(true).create(true);
        assert_eq!(kind(options.open(env.path("d/f")).await), ErrorKind::NotFound);
        disk::create_dir_all(env.path("d")).await.expect("made");
        assert!(names(env.path("d")).await.is_empty());
    }

    async fn directories_are_synced_by_their_path(env: Env) {
        disk::create_dir_all(env.path("d")).await.expect("made");
        create(env.path("d/f"), b"").await;
        disk::sync_dir(env.path("d")).await.expect("synced");
        disk::sync_dir(env.dir()).await.expect("synced");
        assert_eq!(kind(disk::sync_dir(env.path("no")).await), ErrorKind::NotFound);
        // open(2) and fsync(2) do not ask what it is.
        disk::sync_dir(env.path("d/f")).await.expect("a file's content is synced");
    }

    async fn names_have_at_most_255_bytes(env: Env) {
        let longest = "x".repeat(255);
        create(env.path(&longest), b"x").await;
        assert_eq!(names(env.dir()).await, [longest.as_str()]);
        let too_long = format!("{longest}x");
        let mut options = OpenOptions::new();
        options.write(true).create(true);
        assert_eq!(kind(options.open(env.path(&too_long)).await), ErrorKind::InvalidFilename);
        assert_eq!(kind(disk::metadata(env.path(&too_long)).await), ErrorKind::InvalidFilename);
        assert_eq!(kind(disk::create_dir_all(env.path(&too_long)).await), ErrorKind::InvalidFilename);
        assert_eq!(kind(disk::rename(env.path(&longest), env.path(&too_long)).await), ErrorKind::InvalidFilename);
        // 255 bytes, not characters.
        assert_eq!(kind(options.open(env.path(&"ä".repeat(128))).await), ErrorKind::InvalidFilename);
        options.open(env.path(&"ä".repeat(127))).await.expect("254 bytes");
    }

    async fn paths_have_at_most_4095_bytes(env: Env) {
        let mut path = env.path("d");
        while path.as_os_str().len() < 4_096 {
            path.push("d".repeat(100));
        }
        assert_eq!(kind(disk::metadata(&path).await), ErrorKind::InvalidFilename);
        assert_eq!(kind(disk::remove_file(&path).await), ErrorKind::InvalidFilename);
    }

    async fn paths_may_go_around(env: Env) {
        disk::create_dir_all(env.path("d")).await.expect("made");
        create(env.path("f"), b"x").await;
        let around: PathBuf = env.path("d/../d/./../f");
        assert_eq!(disk::read(&around).await.expect("read"), b"x");
        assert_eq!(kind(disk::read(env.path("no/../f")).await), ErrorKind::NotFound);
        assert_eq!(kind(disk::read(env.path("f/../f")).await), ErrorKind::NotADirectory);
        // The slash at the end asks for a directory.
        assert_eq!(kind(disk::read(env.path("f/")).await), ErrorKind::NotADirectory);
        assert!(disk::metadata(env.path("d/")).await.expect("there").is_dir);
    }

    async fn what_is_empty_or_ends_in_a_zero_is_no_path(env: Env) {
        assert_eq!(kind(disk::read("").await), ErrorKind::NotFound);
        assert_eq!(kind(disk::metadata(env.path("a\0b")).await), ErrorKind::InvalidInput);
        let mut options = OpenOptions::new();
        options.write(true).create(true);
        assert_eq!(kind(options.open(env.path("a\0b")).await), ErrorKind::InvalidInput);
    }
}
