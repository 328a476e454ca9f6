//! Writes, cached reads and syncs of one program on one simulated disk.

use crate::SEED;
use sim::{
    disk::OpenOptions,
    world::{HostSpec, SimulationSpec, simulate},
};
use std::{io, sync::Arc};
use tokio::sync::Semaphore;

const ROUNDS: u64 = 25_000;
const BYTES: usize = 256;
/// A sync after so many rounds.
const ROUNDS_PER_SYNC: u64 = 50;
/// What one simulation does.
pub const OPERATIONS: u64 = 2 * ROUNDS + ROUNDS / ROUNDS_PER_SYNC;

/// Runs one simulation; its trace hash, so that nothing is optimised away.
pub fn run() -> u64 {
    let spec = SimulationSpec { seed: SEED, ..SimulationSpec::default() };
    let finished = simulate(spec, |world| async move {
        let done = Arc::new(Semaphore::new(0));
        let finish = Arc::clone(&done);
        let host = world.add_host(HostSpec::new("host", move || {
            let finish = Arc::clone(&finish);
            async move {
                work().await.expect("the disk is sound");
                finish.add_permits(1);
            }
        }));
        world.boot(host);
        drop(done.acquire().await.expect("never closed"));
    });
    finished.expect("nothing panics").trace_hash
}

async fn work() -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).create(true).open("/file").await?;
    let mut bytes = [7; BYTES];
    for round in 0..ROUNDS {
        let offset = round * BYTES as u64;
        file.write_all_at(&bytes, offset).await?;
        file.read_exact_at(&mut bytes, offset).await?;
        if round % ROUNDS_PER_SYNC == ROUNDS_PER_SYNC - 1 {
            file.sync_data().await?;
        }
    }
    Ok(())
}
