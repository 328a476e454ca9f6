use sim::world::{HostSpec, SimulationSpec, simulate};

use super::*;

fn path(number: usize) -> PathBuf {
    format!("/{number}").into()
}

/// Runs a program on a machine on which a process may have so many files open.
fn on_machine<Fut>(open_files_max: Option<u64>, program: impl Fn() -> Fut + Send + Sync + 'static)
where
    Fut: Future<Output = ()> + Send + 'static,
{
    let finished = simulate(SimulationSpec::default(), |world| async move {
        let (done, finished) = tokio::sync::oneshot::channel();
        let done = Arc::new(Mutex::new(Some(done)));
        let program = Arc::new(program);
        let host = world.add_host(HostSpec::new("machine", move || {
            let (program, done) = (Arc::clone(&program), lock(&done).take());
            async move {
                program().await;
                let _ = done.map(|done| done.send(()));
            }
        }));
        world.limit_open_files(host, open_files_max);
        world.boot(host);
        finished.await.expect("the program ended");
    });
    finished.unwrap_or_else(|panicked| panic!("{panicked}"));
}

async fn create(files: &OpenFiles, number: usize) -> Arc<CachedFile> {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).open(path(number)).await.expect("a file");
    files.adopt(file)
}

fn open(files: &[Arc<CachedFile>]) -> Vec<usize> {
    (0..files.len()).filter(|number| files[*number].is_open()).collect()
}

#[test]
fn those_that_were_not_used_lately_are_closed_but_for_what_is_kept_or_not_synced() {
    on_machine(None, || async {
        let files = OpenFiles::new(3);
        let mut all = Vec::new();
        for number in 0..3 {
            all.push(create(&files, number).await);
        }
        let written = files.file_to_write(&all[0], || path(0)).await.unwrap();
        written.write_all_at(b"x", 0).await.unwrap();
        all[1].keep_open(true);
        for number in 3..8 {
            all.push(create(&files, number).await);
        }
        assert_eq!(open(&all), [0, 1, 7], "one is not synced, one is kept");
        files.file(&all[2], || path(2)).await.unwrap();
        assert_eq!(open(&all), [0, 1, 2]);
        let writes = all[0].writes();
        files.file_to_write(&all[0], || path(0)).await.unwrap().write_all_at(b"y", 1).await.unwrap();
        written.sync_data().await.unwrap();
        all[0].note_synced(writes);
        all[1].keep_open(false);
        all.push(create(&files, 8).await);
        files.file(&all[8], || path(8)).await.unwrap();
        all.push(create(&files, 9).await);
        assert_eq!(open(&all), [0, 8, 9], "a write that came during the sync is not synced");
        let mut content = [0; 2];
        files.file(&all[0], || path(0)).await.unwrap().read_exact_at(&mut content, 0).await.unwrap();
        assert_eq!(&content, b"xy");
    });
}

#[test]
fn when_the_process_may_open_nothing_more_those_that_are_idle_make_way() {
    on_machine(Some(12), || async {
        let files = OpenFiles::new(100);
        let mut all = Vec::new();
        for number in 0..10 {
            all.push(create(&files, number).await);
        }
        let other = Arc::new(CachedFile::default());
        let _holding: Vec<_> = [create(&files, 10).await, create(&files, 11).await].into();
        files.file(&other, || path(0)).await.expect("there is room for one more");
        assert!(open(&all).is_empty(), "they are opened again when they are used");
        files.file(&all[3], || path(3)).await.expect("there is room for one more");
    });
}
