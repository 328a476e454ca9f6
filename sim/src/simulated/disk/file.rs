//! Open files, and the future of a call that takes time.

use super::model::{Disk, DiskError, HandleId, OperationId, Request};
pub use crate::file_types::OpenOptions;
use crate::simulated::{
    core::{Core, ProcessId},
    kernel::{self, Kernel},
};
use std::{
    future::poll_fn,
    io,
    ops::Range,
    path::Path,
    sync::Arc,
    task::{Poll, ready},
};

/// An open file. Clones share it.
#[derive(Clone, Debug)]
pub struct File(Arc<Opened>);

#[derive(Debug)]
struct Opened {
    handle: HandleId,
    process: ProcessId,
}

impl Drop for Opened {
    fn drop(&mut self) {
        // `None`: the simulation is over.
        let _ = kernel::try_with(|kernel| {
            let (disk, core) = kernel.disk(self.process.host);
            disk.close(core, self.handle);
        });
    }
}

impl OpenOptions {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// As [`std::fs::OpenOptions::open`].
    pub async fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let process = kernel::current_process();
        check_may_open(process)?;
        let handle =
            make(process, |disk, core, wall_ms| disk.open(core, process, self, path.as_ref(), wall_ms)).await?;
        Ok(File(Arc::new(Opened { handle, process })))
    }
}

impl File {
    fn enter<R>(&self, work: impl FnOnce(&mut Disk, HandleId) -> Result<R, DiskError>) -> io::Result<R> {
        enter(self.0.process, |disk, _, _| work(disk, self.0.handle))
    }

    /// Reads at `offset`; returns how many bytes were read, 0 at the end of the file. It may be fewer than asked for anywhere.
    ///
    /// # Errors
    /// When the file was not opened for reading; when the drive could not read what is at `offset`.
    pub async fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let (handle, len) = (self.0.handle, buffer.len() as u64);
        let request = |_| Request::Read { handle, offset, len };
        call_and(self.0.process, request, |disk, operation, readable| {
            let readable = usize::try_from(readable).map_or(buffer.len(), |readable| readable.min(buffer.len()));
            disk.read(operation, handle, &mut buffer[..readable], offset)
        })
        .await
    }

    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file ends before; as [`File::read_at`].
    pub async fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read_at(&mut buffer[filled..], offset + filled as u64).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => filled += read,
            }
        }
        Ok(())
    }

    /// Writes all of `bytes` at `offset`, into the page cache, in as many calls as it takes.
    ///
    /// # Errors
    /// `StorageFull` or `QuotaExceeded`, with a part written; when the file was not opened for writing; when the drive could not
    /// read a page that is to be written in part.
    pub async fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let handle = self.0.handle;
        let mut written = 0;
        loop {
            let (bytes, offset) = (&bytes[written..], offset + written as u64);
            let request = |wall_ms| Request::Write { handle, offset, bytes: bytes.to_vec(), wall_ms };
            let wrote = call(self.0.process, request).await?;
            written += usize::try_from(wrote).map_or(bytes.len(), |wrote| wrote.min(bytes.len()));
            if wrote >= bytes.len() as u64 {
                return Ok(());
            }
            if wrote == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
    }

    /// The size in bytes.
    ///
    /// # Errors
    /// When the process is dead.
    pub async fn len(&self) -> io::Result<u64> {
        make(self.0.process, |disk, _, _| disk.len(self.0.handle)).await
    }

    /// Cuts or extends the file to this size; new bytes are zero.
    ///
    /// # Errors
    /// When the file was not opened for writing.
    pub async fn set_len(&self, bytes: u64) -> io::Result<()> {
        let handle = self.0.handle;
        call(self.0.process, |wall_ms| Request::SetLen { handle, len: bytes, wall_ms }).await.map(|_| ())
    }

    /// Reserves room for the first `bytes` of the file and makes it at least that long, zero-filled.
    ///
    /// # Errors
    /// `StorageFull` when there is no room.
    pub async fn preallocate(&self, bytes: u64) -> io::Result<()> {
        let handle = self.0.handle;
        call(self.0.process, |wall_ms| Request::Preallocate { handle, len: bytes, wall_ms }).await.map(|_| ())
    }

    /// Reserves room for a part of the file, which keeps its size: what is written there later has room.
    ///
    /// # Errors
    /// `StorageFull` when there is no room: give back what may have been reserved all the same with [`File::unreserve`].
    /// `InvalidInput` when the part is empty or not within the file.
    pub async fn reserve(&self, part: Range<u64>) -> io::Result<()> {
        let handle = self.0.handle;
        let Range { start: from, end: to } = part;
        call(self.0.process, |wall_ms| Request::Reserve { handle, from, to, wall_ms }).await.map(|_| ())
    }

    /// Gives back what room is reserved from `from` on, rounded up to whole pages, and behind all that was ever written.
    ///
    /// # Errors
    /// When the file was not opened for writing.
    pub async fn unreserve(&self, from: u64) -> io::Result<()> {
        let handle = self.0.handle;
        call(self.0.process, |wall_ms| Request::Unreserve { handle, from, wall_ms }).await.map(|_| ())
    }

    /// The next stretch from `offset` on in which there may be something other than zeros; `None` if there is none up to the end.
    /// What was reserved and never written is no such stretch.
    ///
    /// # Errors
    /// When the process is dead.
    pub async fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        make(self.0.process, |disk, _, _| disk.next_data(self.0.handle, offset)).await
    }

    /// Makes a range of the file zero, as far as the file reaches. Room that was reserved stays so.
    ///
    /// # Errors
    /// When the file was not opened for writing; when the drive could not read a page that is zeroed in part.
    pub async fn zero_range(&self, range: Range<u64>) -> io::Result<()> {
        let handle = self.0.handle;
        let request = |wall_ms| Request::ZeroRange { handle, range, wall_ms };
        call(self.0.process, request).await.map(|_| ())
    }

    /// Makes the content and the size durable (`fdatasync`).
    ///
    /// # Errors
    /// EIO: see `model::sync` for what is left then.
    pub async fn sync_data(&self) -> io::Result<()> {
        let handle = self.0.handle;
        call(self.0.process, |_| Request::Sync { handle, all: false }).await.map(|_| ())
    }

    /// Makes the content and all metadata of the file durable (`fsync`); not its directory entry, see
    /// [`super::sync_dir`].
    ///
    /// # Errors
    /// As [`File::sync_data`].
    pub async fn sync_all(&self) -> io::Result<()> {
        let handle = self.0.handle;
        call(self.0.process, |_| Request::Sync { handle, all: true }).await.map(|_| ())
    }

    /// Takes the exclusive advisory lock of the file; it is held until the process ends or the file is closed.
    ///
    /// # Errors
    /// `WouldBlock` when another open file holds it.
    pub fn try_lock(&self) -> io::Result<()> {
        self.enter(|disk, handle| disk.try_lock(handle))
    }
}

/// Enters the disk of a process's host, with the reading of the host's wall clock.
pub(super) fn enter<R>(
    process: ProcessId,
    work: impl FnOnce(&mut Disk, &mut Core, i64) -> Result<R, DiskError>,
) -> io::Result<R> {
    kernel::with(|kernel| {
        if !kernel.operate(process) || !kernel.is_alive(process) {
            return Err(DiskError::Dead.into());
        }
        let now_ns = kernel.core.now_ns();
        let wall_ms = kernel.host(process.host).clock.wall_ms(now_ns);
        let (disk, core) = kernel.disk(process.host);
        work(disk, core, wall_ms).map_err(io::Error::from)
    })
}

/// Whether the process may open a file, if only for the time of a call.
pub(super) fn check_may_open(process: ProcessId) -> io::Result<()> {
    match kernel::with(|kernel| kernel.may_open(process)) {
        true => Ok(()),
        false => Err(DiskError::TooManyOpen.into()),
    }
}

/// As [`enter`], for a call that the process makes itself: pending for ever when the process is killed instead.
pub(super) async fn make<R>(
    process: ProcessId,
    work: impl FnOnce(&mut Disk, &mut Core, i64) -> Result<R, DiskError>,
) -> io::Result<R> {
    let made = enter(process, work);
    // Only a call that failed can be one that was never made.
    if made.is_err() && kernel::with(|kernel| kernel.was_killed(process)) {
        std::future::pending::<()>().await;
    }
    made
}

/// Makes a call and waits for its end: how many bytes were read or written.
pub(super) async fn call(process: ProcessId, request: impl FnOnce(i64) -> Request) -> io::Result<u64> {
    call_and(process, request, |_, _, bytes| Ok(bytes)).await
}

/// Makes a call, waits for its end, and at once does something with the disk.
async fn call_and<R>(
    process: ProcessId,
    request: impl FnOnce(i64) -> Request,
    mut finish: impl FnMut(&mut Disk, OperationId, u64) -> Result<R, DiskError>,
) -> io::Result<R> {
    let mut in_flight = InFlight { process, operation: None };
    let mut request = Some(request);
    // A call enters the kernel twice: to begin and to end.
    poll_fn(|context| {
        kernel::with(|kernel| {
            if let Some(request) = request.take() {
                match begin(kernel, process, request) {
                    Ok(operation) => in_flight.operation = Some(operation),
                    // Pending for ever: the process was killed instead of making the call.
                    Err(_) if kernel.was_killed(process) => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            let Some(operation) = in_flight.operation else { return Poll::Pending };
            let disk = in_flight.disk(kernel);
            let ended = ready!(disk.poll(operation, context.waker()));
            let finished = ended.and_then(|bytes| finish(disk, operation, bytes));
            in_flight.operation = None;
            Poll::Ready(finished)
        })
        .map_err(io::Error::from)
    })
    .await
}

fn begin(
    kernel: &mut Kernel,
    process: ProcessId,
    request: impl FnOnce(i64) -> Request,
) -> Result<OperationId, DiskError> {
    if !kernel.operate(process) || !kernel.is_alive(process) {
        return Err(DiskError::Dead);
    }
    let now_ns = kernel.core.now_ns();
    let wall_ms = kernel.host(process.host).clock.wall_ms(now_ns);
    let (disk, core) = kernel.disk(process.host);
    disk.begin(core, process, request(wall_ms))
}

/// A call whose end somebody waits for; when dropped before, the call goes on alone.
struct InFlight {
    process: ProcessId,
    operation: Option<OperationId>,
}

impl InFlight {
    fn disk<'a>(&self, kernel: &'a mut Kernel) -> &'a mut Disk {
        kernel.disk(self.process.host).0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(operation) = self.operation {
            // `None`: the simulation is over.
            let _ = kernel::try_with(|kernel| self.disk(kernel).abandon(operation));
        }
    }
}
