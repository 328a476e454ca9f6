//! Random programs of file calls: each answer is that of the reference. The programs are the same on both machines.

use crate::{
    file_reference::{Answer, Call, Flags, Reference, SLOTS},
    stand::{Env, IS_REAL, run_alone},
};
use proptest::{prelude::*, test_runner::TestRunner};
use sim::disk::{self, File, OpenOptions};
use std::{
    io::{self, ErrorKind},
    sync::Arc,
};

/// Names of which each may be a file, a directory or nothing.
const PATHS: [&str; 6] = ["a", "b", "d", "d/a", "d/e", "d/e/a"];

fn path() -> impl Strategy<Value = &'static str> {
    prop_oneof![4 => Just("a"), 2 => Just("b"), 2 => Just("d"), 3 => Just("d/a"), 2 => Just("d/e"), 1 => Just("d/e/a")]
}

fn flags() -> impl Strategy<Value = Flags> {
    let usual = Just(Flags { read: true, write: true, create: true, ..Flags::default() });
    let any = any::<[bool; 5]>().prop_map(|[read, write, create, create_new, truncate]| Flags {
        read,
        write,
        create,
        create_new,
        truncate,
    });
    prop_oneof![2 => usual, 3 => any]
}

fn call() -> impl Strategy<Value = Call> {
    let slot = 0..SLOTS;
    let at = prop_oneof![Just(0_u64), 0..6_000_u64, Just(4_096), Just(20_000)];
    let len = prop_oneof![Just(0_usize), 1..700_usize, Just(4_096), Just(9_000)];
    let size = prop_oneof![Just(0_u64), 1..6_000_u64, Just(4_096), Just(30_000)];
    let place = || (slot.clone(), at.clone(), len.clone());
    prop_oneof![
        8 => (slot.clone(), path(), flags()).prop_map(|(slot, path, flags)| Call::Open { slot, path, flags }),
        1 => slot.clone().prop_map(Call::Close),
        8 => (place(), 1..=255_u8).prop_map(|((slot, at, len), fill)| Call::Write { slot, at, len, fill }),
        4 => place().prop_map(|(slot, at, len)| Call::Read { slot, at, len }),
        2 => place().prop_map(|(slot, at, len)| Call::ReadExact { slot, at, len }),
        2 => slot.clone().prop_map(Call::Len),
        3 => (slot.clone(), size.clone()).prop_map(|(slot, len)| Call::SetLen { slot, len }),
        2 => (slot.clone(), size.clone()).prop_map(|(slot, len)| Call::Preallocate { slot, len }),
        2 => (slot.clone(), size.clone(), size.clone()).prop_map(|(slot, from, to)| Call::Reserve { slot, from, to }),
        2 => (slot.clone(), size.clone()).prop_map(|(slot, from)| Call::Unreserve { slot, from }),
        2 => place().prop_map(|(slot, at, len)| Call::ZeroRange { slot, at, len }),
        1 => slot.clone().prop_map(Call::Data),
        1 => slot.clone().prop_map(Call::Lock),
        1 => slot.clone().prop_map(Call::Sync),
        1 => path().prop_map(Call::SyncDir),
        3 => path().prop_map(Call::MakeDirs),
        1 => path().prop_map(Call::List),
        2 => path().prop_map(Call::Remove),
        1 => path().prop_map(Call::RemoveTree),
        5 => (path(), path()).prop_map(|(from, to)| Call::Rename(from, to)),
        2 => path().prop_map(Call::Stat),
        1 => path().prop_map(Call::Exists),
        2 => path().prop_map(Call::ReadAll),
    ]
}

/// The machine under test, with its open files.
struct Machine {
    env: Env,
    slots: [Option<File>; SLOTS],
}

fn answer<T>(result: io::Result<T>, value: impl FnOnce(T) -> Answer) -> Answer {
    const EBADF: i32 = 9;
    match result {
        Ok(found) => value(found),
        Err(error) if error.raw_os_error() == Some(EBADF) => Answer::BadHandle,
        Err(error) => Answer::Failed(error.kind()),
    }
}

fn done(result: io::Result<()>) -> Answer {
    answer(result, |()| Answer::Done)
}

impl Machine {
    async fn call(&mut self, call: &Call) -> Answer {
        let path = |path: &str| self.env.path(path);
        match *call {
            Call::Open { slot, path: name, flags } => {
                let Flags { read, write, create, create_new, truncate } = flags;
                let mut options = OpenOptions::new();
                options.read(read).write(write).create(create).create_new(create_new).truncate(truncate);
                let opened = options.open(path(name)).await;
                answer(opened, |file| {
                    self.slots[slot] = Some(file);
                    Answer::Done
                })
            }
            Call::Close(slot) => self.slots[slot].take().map_or(Answer::NoHandle, |_| Answer::Done),
            Call::SyncDir(name) => done(disk::sync_dir(path(name)).await),
            Call::MakeDirs(name) => done(disk::create_dir_all(path(name)).await),
            Call::List(name) => answer(disk::read_dir(path(name)).await, |entries| {
                Answer::Names(entries.into_iter().map(|entry| (entry.name, entry.is_dir)).collect())
            }),
            Call::Remove(name) => done(disk::remove_file(path(name)).await),
            Call::RemoveTree(name) => done(disk::remove_dir_all(path(name)).await),
            Call::Rename(from, to) => done(disk::rename(path(from), path(to)).await),
            Call::Stat(name) => answer(disk::metadata(path(name)).await, |metadata| match metadata.is_dir {
                true => Answer::Directory,
                false => Answer::Number(metadata.len),
            }),
            Call::Exists(name) => answer(disk::exists(path(name)).await, Answer::Yes),
            Call::ReadAll(name) => answer(disk::read(path(name)).await, Answer::Bytes),
            Call::Write { slot, .. }
            | Call::Read { slot, .. }
            | Call::ReadExact { slot, .. }
            | Call::Len(slot)
            | Call::SetLen { slot, .. }
            | Call::Preallocate { slot, .. }
            | Call::ZeroRange { slot, .. }
            | Call::Data(slot)
            | Call::Reserve { slot, .. }
            | Call::Unreserve { slot, .. }
            | Call::Lock(slot)
            | Call::Sync(slot) => match &self.slots[slot] {
                None => Answer::NoHandle,
                Some(file) => on_handle(call, file).await,
            },
        }
    }
}

async fn on_handle(call: &Call, file: &File) -> Answer {
    match *call {
        Call::Write { at, len, fill, .. } => done(file.write_all_at(&vec![fill; len], at).await),
        Call::Read { at, len, .. } => {
            let mut bytes = vec![0; len];
            let read = file.read_at(&mut bytes, at).await;
            answer(read, |read| Answer::Bytes(bytes[..read].to_vec()))
        }
        Call::ReadExact { at, len, .. } => {
            let mut bytes = vec![0; len];
            let read = file.read_exact_at(&mut bytes, at).await;
            answer(read, |()| if len == 0 { Answer::Done } else { Answer::Bytes(bytes) })
        }
        Call::Len(_) => answer(file.len().await, Answer::Number),
        Call::SetLen { len, .. } => done(file.set_len(len).await),
        Call::Preallocate { len, .. } => done(file.preallocate(len).await),
        Call::Reserve { from, to, .. } => done(file.reserve(from..to).await),
        Call::Unreserve { from, .. } => done(file.unreserve(from).await),
        Call::ZeroRange { at, len, .. } => done(file.zero_range(at..at + len as u64).await),
        Call::Data(_) => answer(is_zero_outside_data(file).await, Answer::Yes),
        Call::Lock(_) => done(file.try_lock()),
        _ => done(file.sync_all().await),
    }
}

async fn is_zero_outside_data(file: &File) -> io::Result<bool> {
    let mut content = vec![0; usize::try_from(file.len().await?).expect("a small file")];
    // A handle that may not read is told so even of nothing.
    let read = file.read_at(&mut content[..], 0).await?;
    assert_eq!(read, content.len());
    let mut at = 0;
    while let Some(data) = file.next_data(at).await? {
        assert!(at <= data.start && data.start < data.end, "{data:?} from {at}");
        content[data.start as usize..data.end as usize].fill(0);
        at = data.end;
    }
    Ok(content.iter().all(|byte| *byte == 0))
}

/// The reference does not say how large a directory is, nor who has locked it.
fn is_same(machine: &Answer, reference: &Answer) -> bool {
    let of_directories = [Answer::Done, Answer::Failed(ErrorKind::WouldBlock)];
    let is_open = matches!(machine, Answer::Number(_)) || of_directories.contains(machine);
    machine == reference || (*reference == Answer::Directory && is_open)
}

fn short(answer: &Answer) -> String {
    let text = format!("{answer:?}");
    if text.len() > 300 { format!("{}… of {} characters", &text[..300], text.len()) } else { text }
}

async fn compare(env: Env, calls: Vec<Call>) {
    let mut machine = Machine { env, slots: Default::default() };
    let mut reference = Reference::default();
    let at_the_end = PATHS.iter().flat_map(|path| [Call::List(path), Call::ReadAll(path), Call::Stat(path)]);
    for (number, call) in calls.iter().cloned().chain(at_the_end).enumerate() {
        let (found, expected) = (machine.call(&call).await, reference.call(&call));
        assert!(
            is_same(&found, &expected),
            "call {number}, {call:?}: the machine says {}, the reference {}",
            short(&found),
            short(&expected)
        );
    }
}

#[test]
fn every_answer_of_a_random_program_is_that_of_the_reference() {
    let config =
        ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(if IS_REAL { 300 } else { 2_000 }) };
    let mut runner = TestRunner::new(config);
    let programs = proptest::collection::vec(call(), 1..60);
    let result = runner.run(&programs, |calls| {
        run_alone(Arc::new(move |env| Box::pin(compare(env, calls.clone()))));
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}
