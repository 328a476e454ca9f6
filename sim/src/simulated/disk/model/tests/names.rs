//! Names: their rules, and what a crash takes of them.

use super::*;
use std::collections::BTreeMap;

#[test]
fn errors_are_those_of_a_file_system() {
    let mut stand = Stand::new(1);
    stand.mkdir("/d/e");
    stand.open("/d/f");
    let mut read = OpenOptions::new();
    read.read(true);
    let path = |path: &str| path.to_owned();
    assert_eq!(stand.open_with(&read, "/d/g"), Err(DiskError::NotFound { path: path("/d/g") }));
    let mut write = OpenOptions::new();
    write.write(true).create(true);
    assert_eq!(stand.open_with(&write, "/d"), Err(DiskError::IsADirectory { path: path("/d") }));
    assert_eq!(stand.open_with(&write, "/"), Err(DiskError::IsADirectory { path: path("/") }));
    let dir = stand.open_with(&read, "/").expect("a directory is opened to be synced");
    assert!(matches!(stand.read(dir, 0, 1), Err(DiskError::IsADirectory { .. })));
    assert_eq!(stand.open_with(&read, "/d/f/x"), Err(DiskError::NotADirectory { path: path("/d/f/x") }));
    assert_eq!(stand.open_with(&OpenOptions::new(), "/d/f"), Err(DiskError::BadOptions));
    let mut create_new = OpenOptions::new();
    create_new.write(true).create_new(true);
    assert_eq!(stand.open_with(&create_new, "/d/f"), Err(DiskError::AlreadyExists { path: path("/d/f") }));
    let disk = &mut stand.disk;
    let core = &mut stand.core;
    assert_eq!(disk.remove_file(core, HOST, Path::new("/d/e"), 0), Err(DiskError::IsADirectory { path: path("/d/e") }));
    assert_eq!(
        disk.create_dir_all(core, HOST, Path::new("/d/f/g"), 0),
        Err(DiskError::NotADirectory { path: path("/d/f/g") })
    );
    let mut rename = |from: &str, to: &str| disk.rename(core, HOST, Path::new(from), Path::new(to), 0);
    assert_eq!(rename("/d", "/d/e/x"), Err(DiskError::BadPath { path: path("/d/e/x") }));
    assert_eq!(rename("/d/f", "/d/e"), Err(DiskError::IsADirectory { path: path("/d/e") }));
    assert_eq!(rename("/d/e", "/d/f"), Err(DiskError::NotADirectory { path: path("/d/f") }));
    assert_eq!(rename("/x", "/y"), Err(DiskError::NotFound { path: path("/x") }));
    assert_eq!(rename("/d/f", "/d/f"), Ok(()));
}

#[test]
fn listings_are_sorted_and_metadata_tells_size_and_time() {
    let mut stand = Stand::new(1);
    stand.mkdir("/d/sub");
    for name in ["/d/b", "/d/a", "/d/c"] {
        stand.open(name);
    }
    let names: Vec<_> = stand.disk.read_dir(Path::new("d/./sub/..")).expect("it is there");
    let names: Vec<_> = names.into_iter().map(|entry| (entry.name, entry.is_dir)).collect();
    assert_eq!(names, [("a".into(), false), ("b".into(), false), ("c".into(), false), ("sub".into(), true)]);
    let file = stand.open("/d/a");
    stand.write(file, 10, b"x");
    let metadata = stand.disk.metadata(Path::new("/d/a")).expect("it is there");
    assert_eq!((metadata.len, metadata.is_dir, metadata.modified_ms), (11, false, 2));
    assert!(stand.disk.metadata(Path::new("/d")).expect("it is there").is_dir);
}

#[test]
fn an_unlinked_file_lives_while_it_is_open_and_gives_its_room_back_after() {
    let mut stand = Stand::new(1);
    let total = stand.disk.usage().total_bytes;
    let file = stand.open("/f");
    stand.preallocate(file, 1 << 20);
    stand.write(file, 0, b"alive");
    stand.remove("/f");
    assert_eq!(stand.disk.usage().available_bytes, total - (1 << 20));
    assert_eq!(stand.read(file, 0, 5), Ok(b"alive".to_vec()));
    stand.disk.close(&mut stand.core, file);
    assert_eq!(stand.disk.usage().available_bytes, total);
}

#[test]
fn a_new_name_needs_the_sync_of_its_directory_and_of_the_directories_above() {
    let mut outcomes = BTreeMap::<_, u32>::new();
    for seed in 0..200 {
        let mut stand = Stand::without_timers(seed);
        stand.mkdir("/d");
        let file = stand.open("/d/f");
        stand.write(file, 0, b"content");
        stand.sync(file);
        match seed % 3 {
            0 => {}
            1 => stand.sync_dir("/d"),
            _ => {
                stand.sync_dir("/d");
                stand.sync_dir("/");
            }
        }
        stand.crash(Crash::Power);
        if let Some(content) = stand.content("/d/f") {
            assert_eq!(content, b"content", "seed {seed}: the name came back without the synced content");
        }
        *outcomes.entry((seed % 3, stand.content("/d/f").is_some())).or_default() += 1;
    }
    assert!(outcomes[&(0, false)] > 10 && outcomes[&(0, true)] > 5, "{outcomes:?}");
    assert!(outcomes[&(1, false)] > 10 && outcomes[&(1, true)] > 10, "{outcomes:?}");
    assert_eq!(outcomes.get(&(2, false)), None, "a synced name was lost");
}

#[test]
fn an_unsynced_rename_happens_wholly_or_not_at_all() {
    let mut renamed = 0;
    for seed in 0..200 {
        let mut stand = Stand::without_timers(seed);
        let old = stand.open("/config");
        stand.write(old, 0, b"old");
        stand.sync(old);
        let new = stand.open("/config.tmp");
        stand.write(new, 0, b"new");
        stand.sync(new);
        stand.sync_dir("/");
        stand.rename("/config.tmp", "/config");
        stand.crash(if seed % 2 == 0 { Crash::Os } else { Crash::Power });
        match stand.paths().iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["/config"] => {
                assert_eq!(stand.content("/config").as_deref(), Some(&b"new"[..]));
                renamed += 1;
            }
            ["/config", "/config.tmp"] => {
                assert_eq!(stand.content("/config").as_deref(), Some(&b"old"[..]));
                assert_eq!(stand.content("/config.tmp").as_deref(), Some(&b"new"[..]));
            }
            ref other => panic!("seed {seed}: {other:?}"),
        }
    }
    assert!((20..180).contains(&renamed), "{renamed}");
}

#[test]
fn an_unsynced_removal_can_be_undone_with_the_content() {
    let mut back = 0;
    for seed in 0..100 {
        let mut stand = Stand::without_timers(seed);
        let file = stand.durable_file(5000);
        stand.disk.close(&mut stand.core, file);
        stand.remove("/f");
        let report = stand.crash(Crash::Power);
        if let Some(content) = stand.content("/f") {
            assert_eq!(content, vec![1; 5000]);
            assert_eq!(report.lost_entries, 1);
            back += 1;
        }
    }
    assert!((10..100).contains(&back), "{back}");
}

#[test]
fn a_removed_directory_can_come_back_and_a_lost_one_takes_its_files_with_it() {
    let (mut back, mut lost) = (0, 0);
    for seed in 0..100 {
        let mut stand = Stand::without_timers(seed);
        stand.mkdir("/old");
        let file = stand.open("/old/f");
        stand.sync_dir("/old");
        stand.sync_dir("/");
        stand.disk.close(&mut stand.core, file);
        stand.disk.remove_dir_all(&mut stand.core, HOST, Path::new("/old"), 0).expect("it is there");
        stand.mkdir("/new");
        stand.open("/new/f");
        stand.sync_dir("/new");
        let report = stand.crash(Crash::Os);
        back += u32::from(stand.content("/old/f").is_some());
        let new_is_there = stand.content("/new/f").is_some();
        assert_eq!(new_is_there, stand.disk.metadata(Path::new("/new")).is_ok());
        assert_eq!(report.lost_files, u64::from(!new_is_there));
        lost += u32::from(!new_is_there);
    }
    assert!(back > 10 && lost > 10, "{back} {lost}");
}

#[test]
fn syncing_one_directory_commits_what_a_rename_into_it_needs() {
    for seed in 0..50 {
        let mut stand = Stand::without_timers(seed);
        stand.mkdir("/a");
        stand.mkdir("/b");
        stand.sync_dir("/");
        stand.open("/a/x");
        stand.rename("/a/x", "/b/y");
        stand.sync_dir("/b");
        let report = stand.crash(Crash::Power);
        assert_eq!((stand.paths(), report.lost_entries), (vec!["/b/y".to_owned()], 0), "seed {seed}");
    }
}

#[test]
fn the_modification_time_needs_fsync() {
    for (all, expected_ms) in [(false, 1), (true, 2)] {
        let mut stand = Stand::without_timers(9);
        let file = stand.open("/f");
        stand.write(file, 0, b"x");
        stand.call(Request::Sync { handle: file, all }).expect("synced");
        stand.sync_dir("/");
        stand.crash(Crash::Os);
        assert_eq!(stand.disk.metadata(Path::new("/f")).expect("it is there").modified_ms, expected_ms);
    }
}
