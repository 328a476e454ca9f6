//! Directories that the store does not open, and does not touch.

use sim::disk;
use store::{StoreConfig, StoreError};

use crate::{
    machine::on_machine,
    support::{open, put, small_config, try_open, write_file},
};

/// Something done to a store.
type Harm = fn() -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// Makes a store with three files of log, does something to it, and expects it to be refused.
fn refused(shut_down: bool, harm: Harm) -> StoreError {
    refused_with(small_config(), shut_down, harm)
}

fn refused_with(config: StoreConfig, shut_down: bool, harm: Harm) -> StoreError {
    on_machine(1, move |machine| async move {
        machine
            .run(move || async move {
                let store = open(&small_config()).await;
                for number in 0..20 {
                    put(&store, "TopicA", 0, format!("{number}{}", "x".repeat(400))).await;
                }
                store.flush().await.unwrap();
                if shut_down {
                    store.shutdown().await.unwrap();
                }
                harm().await;
            })
            .await;
        let before = machine.files();
        let error = machine.run(move || async move { try_open(&config).await.map(drop).unwrap_err() }).await;
        assert_eq!(machine.files(), before, "nothing was changed");
        error
    })
}

#[test]
fn foreign_files_are_named() {
    let files: [(Harm, &str); 5] = [
        (|| Box::pin(write_file("/store/commitlog/notes.txt", b"x")), "commitlog/notes.txt"),
        (|| Box::pin(write_file("/store/commitlog/00000000000000000007", &[0; 4096])), "00000000000000000007"),
        (|| Box::pin(write_file("/store/consumequeue/notes", b"x")), "consumequeue/notes"),
        (|| Box::pin(write_file("/store/consumequeue/TopicA/q1/x", b"x")), "TopicA/q1"),
        (|| Box::pin(write_file("/store/consumequeue/TopicA/0/x", b"x")), "TopicA/0/x"),
    ];
    for (harm, name) in files {
        for shut_down in [false, true] {
            let error = refused(shut_down, harm);
            assert!(matches!(error, StoreError::ForeignFile { .. }), "{error}");
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}

#[test]
fn the_mount_point_of_a_drive_is_no_foreign_directory() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let store = open(&small_config()).await;
                put(&store, "TopicA", 0, "m").await;
                store.shutdown().await.unwrap();
                for directory in ["/store/commitlog", "/store/consumequeue"] {
                    disk::create_dir_all(format!("{directory}/lost+found")).await.unwrap();
                }
                let found = store::check::check(store::check::CheckOptions::new("/store")).await.unwrap();
                assert_eq!(found.findings, []);
                open(&small_config()).await.shutdown().await.unwrap();
            })
            .await;
    });
}

/// A drive that is not mounted: the mount point is there, or not even that.
#[test]
fn a_log_that_is_gone_as_a_whole_is_refused_after_a_good_shutdown_and_after_a_crash() {
    async fn remove_files() {
        for entry in disk::read_dir("/store/commitlog").await.unwrap() {
            disk::remove_file(format!("/store/commitlog/{}", entry.name)).await.unwrap();
        }
    }
    let harms: [Harm; 2] =
        [|| Box::pin(remove_files()), || Box::pin(async { disk::remove_dir_all("/store/commitlog").await.unwrap() })];
    for (harm, is_closed) in harms.into_iter().flat_map(|harm| [(harm, true), (harm, false)]) {
        let error = refused(is_closed, harm);
        assert!(matches!(error, StoreError::LogGone { .. }), "{error}");
        assert!(error.to_string().contains("/store/commitlog has no file"), "{error}");
    }
}

#[test]
fn truncated_files_are_named() {
    async fn truncate(path: &'static str, bytes: u64) {
        let file = disk::OpenOptions::new().write(true).open(path).await.unwrap();
        file.set_len(bytes).await.unwrap();
        file.sync_all().await.unwrap();
    }
    let harms: [Harm; 3] = [
        || Box::pin(truncate("/store/commitlog/00000000000000000000", 4000)),
        || Box::pin(truncate("/store/commitlog/00000000000000000000", 0)),
        || Box::pin(truncate("/store/commitlog/00000000000000004096", 5000)),
    ];
    for harm in harms {
        let error = refused(true, harm);
        assert!(matches!(error, StoreError::WrongLength { .. }), "{error}");
    }
    // The last file, with content: no crash of ours does that.
    let error = refused(true, || {
        Box::pin(async {
            disk::remove_file("/store/commitlog/00000000000000012288").await.unwrap();
            truncate("/store/commitlog/00000000000000008192", 4095).await;
        })
    });
    assert!(matches!(error, StoreError::WrongLength { .. }), "{error}");
}

#[test]
fn a_missing_file_is_named() {
    let error =
        refused(true, || Box::pin(async { disk::remove_file("/store/commitlog/00000000000000004096").await.unwrap() }));
    assert!(matches!(error, StoreError::MissingFile { .. }), "{error}");
    assert!(error.to_string().contains("00000000000000004096"), "{error}");
}

#[test]
fn another_file_size_is_named() {
    let config = StoreConfig { mapped_file_size_commit_log_bytes: 8192, ..small_config() };
    let error = refused_with(config, true, || Box::pin(async {}));
    assert!(matches!(error, StoreError::WrongLength { setting: "mappedFileSizeCommitLog", .. }), "{error}");
}

/// One queue's file of another length is damaged, and mended; all of them are of another setting.
#[test]
fn another_size_of_queue_files_is_named() {
    let config = StoreConfig { mapped_file_size_consume_queue_bytes: 20 * 4, ..small_config() };
    let error = refused_with(config, true, || {
        Box::pin(async {
            for file in ["00000000000000000160", "00000000000000000320"] {
                disk::remove_file(format!("/store/consumequeue/TopicA/0/{file}")).await.unwrap();
            }
        })
    });
    assert!(matches!(error, StoreError::WrongLength { setting: "mappedFileSizeConsumeQueue", .. }), "{error}");
}

#[test]
fn one_store_has_one_broker() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let store = open(&small_config()).await;
                let error = try_open(&small_config()).await.map(drop).unwrap_err();
                assert!(matches!(error, StoreError::Locked { .. }), "{error}");
                put(&store, "TopicA", 0, "still served").await;
            })
            .await;
    });
}

#[test]
fn settings_that_cannot_work_are_named() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let config = StoreConfig { mapped_file_size_consume_queue_bytes: 21, ..small_config() };
                let error = try_open(&config).await.map(drop).unwrap_err();
                assert!(matches!(error, StoreError::Setting { setting: "mappedFileSizeConsumeQueue", .. }), "{error}");
                assert!(!disk::exists("/store").await.unwrap());
            })
            .await;
    });
}
