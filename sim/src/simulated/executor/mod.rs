//! The executor: runs the tasks of all hosts on the thread of the simulation, and moves the time.
//!
//! A whole simulation is one poll of one task of madsim's. madsim has prepared the thread for it: the clocks and random numbers
//! that libc gives to whoever asks there are simulated, and the standard hash maps are seeded. In that poll [`run`] alternates:
//! tasks that are ready are polled, in random order, until there is none; then the time jumps to the next event of the agenda.
//! Each poll takes 50 to 100 ns of simulated time, so that programs that poll for ever do not stop the clock, and events that
//! become due meanwhile happen in between. Order and duration are keyed draws.
//!
//! Why not madsim's own executor: it polls like this too, but through locks, tracing spans and two more timers for each event
//! of ours, which took as long as the models.
//!
//! A task belongs to a *node*, one life of a process, and ends with it: futures of killed nodes are dropped between two
//! polls, never within one. Wakers hold no future, so that waking and dropping them does nothing else. They may be called on
//! the thread of the simulation only; there is no other.

mod join;
#[cfg(test)]
mod tests;

pub use join::{JoinError, JoinHandle};

use super::{
    core::ProcessId,
    kernel,
    key::{Key, Stream},
    misuse,
};
use join::Spawned;
use slab::Slab;
use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

thread_local! {
    static TASKS: RefCell<Tasks> = const { RefCell::new(Tasks { tasks: Slab::new(), nodes: Vec::new(), serial: 0 }) };
    static READY: RefCell<Vec<Arc<TaskRef>>> = const { RefCell::new(Vec::new()) };
    static CURRENT: Cell<Option<(NodeId, Option<ProcessId>)>> = const { Cell::new(None) };
}

/// One life of a process as the executor knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(u32);

/// The harness, which is no process.
const HARNESS: NodeId = NodeId(0);

struct Node {
    process: Option<ProcessId>,
    paused: bool,
    killed: bool,
    /// Tasks that were woken while the node was paused.
    set_aside: Vec<Arc<TaskRef>>,
}

impl Node {
    fn new(process: Option<ProcessId>) -> Node {
        Node { process, paused: false, killed: false, set_aside: Vec::new() }
    }
}

type Work = Pin<Box<dyn Future<Output = ()>>>;

struct Task {
    me: Arc<TaskRef>,
    node: NodeId,
    aborted: bool,
    /// `None` while it is polled.
    work: Option<Work>,
}

/// What wakes a task: its slot, and the serial number that tells the tenants of a slot apart.
struct TaskRef {
    slot: u32,
    serial: u64,
    /// Whether it is in the ready queue, or set aside.
    is_queued: AtomicBool,
}

impl Wake for TaskRef {
    fn wake(self: Arc<TaskRef>) {
        if !self.is_queued.load(Relaxed) {
            self.is_queued.store(true, Relaxed);
            enqueue(self);
        }
    }

    fn wake_by_ref(self: &Arc<TaskRef>) {
        if !self.is_queued.load(Relaxed) {
            self.is_queued.store(true, Relaxed);
            enqueue(Arc::clone(self));
        }
    }
}

fn enqueue(task: Arc<TaskRef>) {
    // An error means that the thread ends: nothing runs any more.
    let _ = READY.try_with(|ready| ready.borrow_mut().push(task));
}

struct Tasks {
    tasks: Slab<Task>,
    nodes: Vec<Node>,
    serial: u64,
}

impl Tasks {
    fn add(&mut self, node: NodeId, work: Work) -> Arc<TaskRef> {
        self.serial += 1;
        let entry = self.tasks.vacant_entry();
        let slot = u32::try_from(entry.key()).expect("fewer than 2^32 tasks at once");
        let me = Arc::new(TaskRef { slot, serial: self.serial, is_queued: AtomicBool::new(true) });
        entry.insert(Task { me: Arc::clone(&me), node, aborted: false, work: Some(work) });
        me
    }

    fn get(&mut self, task: &TaskRef) -> Option<&mut Task> {
        self.tasks.get_mut(task.slot as usize).filter(|entry| entry.me.serial == task.serial)
    }

    /// What is to be done with a task that is ready.
    fn take(&mut self, task: &Arc<TaskRef>) -> Turn {
        let Tasks { tasks, nodes, .. } = self;
        let slot = task.slot as usize;
        let Some(entry) = tasks.get_mut(slot).filter(|entry| entry.me.serial == task.serial) else {
            return Turn::Nothing;
        };
        let id = entry.node;
        let node = &mut nodes[id.0 as usize];
        if entry.aborted || node.killed {
            let work = entry.work.take();
            tasks.remove(slot);
            return work.map_or(Turn::Nothing, |work| Turn::Drop(id, node.process, work));
        }
        if node.paused {
            node.set_aside.push(Arc::clone(task));
            return Turn::Nothing;
        }
        task.is_queued.store(false, Relaxed);
        entry.work.take().map_or(Turn::Nothing, |work| Turn::Poll(id, node.process, work))
    }
}

enum Turn {
    Nothing,
    Poll(NodeId, Option<ProcessId>, Work),
    Drop(NodeId, Option<ProcessId>, Work),
}

/// The process of the task that is being polled; `None` in the harness.
pub fn current_process() -> Option<ProcessId> {
    CURRENT.get().and_then(|(_, process)| process)
}

/// Begins the life of a process.
pub fn create_node(process: ProcessId) -> NodeId {
    TASKS.with_borrow_mut(|tasks| {
        let id = NodeId(u32::try_from(tasks.nodes.len()).expect("fewer than 2^32 processes"));
        tasks.nodes.push(Node::new(Some(process)));
        id
    })
}

/// Starts a task on the node of the task that is being polled.
///
/// # Panics
/// Outside of a simulation.
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let (node, _) = CURRENT.get().expect("tasks are started by tasks: call this from within `world::simulate`");
    spawn_on(node, future)
}

/// Starts a task on a node.
pub fn spawn_on<F: Future + 'static>(node: NodeId, future: F) -> JoinHandle<F::Output> {
    let (work, join) = Spawned::new(future);
    let task = TASKS.with_borrow_mut(|tasks| tasks.add(node, Box::pin(work)));
    enqueue(Arc::clone(&task));
    JoinHandle::new(task, join)
}

/// Makes the tasks of a node stand still. Their wake-ups are kept.
pub fn pause(node: NodeId) {
    TASKS.with_borrow_mut(|tasks| tasks.nodes[node.0 as usize].paused = true);
}

/// Lets the tasks of a node go on.
pub fn resume(node: NodeId) {
    let set_aside = TASKS.with_borrow_mut(|tasks| {
        let node = &mut tasks.nodes[node.0 as usize];
        node.paused = false;
        std::mem::take(&mut node.set_aside)
    });
    READY.with_borrow_mut(|ready| ready.extend(set_aside));
}

/// Ends a node: its tasks are not polled again, and are dropped before the time moves on.
pub fn kill(node: NodeId) {
    resume(node);
    let tasks = TASKS.with_borrow_mut(|tasks| {
        tasks.nodes[node.0 as usize].killed = true;
        tasks
            .tasks
            .iter()
            .filter(|(_, task)| task.node == node)
            .map(|(_, task)| Arc::clone(&task.me))
            .collect::<Vec<_>>()
    });
    tasks.into_iter().for_each(Wake::wake);
}

fn abort(task: &Arc<TaskRef>) {
    // An error means that the thread ends, and all tasks with it.
    let _ = TASKS.try_with(|tasks| {
        if let Some(task) = tasks.borrow_mut().get(task) {
            task.aborted = true;
        }
    });
    task.wake_by_ref();
}

/// Runs what `main` makes, and all that it starts, until it has its output; drops all tasks that are left then.
///
/// # Panics
/// As the tasks do; when nothing will ever happen again; when it goes on for longer than `time_limit`.
pub fn run<F: Future + 'static>(key: Key, time_limit: Duration, main: impl FnOnce() -> F) -> F::Output
where
    F::Output: 'static,
{
    let on_panic = OnPanic;
    TASKS.with_borrow_mut(|tasks| tasks.nodes.push(Node::new(None)));
    CURRENT.set(Some((HARNESS, None)));
    let mut stream = key.derive("executor").stream();
    let finished = Rc::new(Cell::new(false));
    let finish = Rc::clone(&finished);
    // It may start tasks before it is polled.
    let main = main();
    let mut main = spawn_on(HARNESS, async move {
        let output = main.await;
        finish.set(true);
        output
    });
    let limit_ns = u64::try_from(time_limit.as_nanos()).unwrap_or(u64::MAX);
    while !finished.get() {
        if !run_one(&mut stream) {
            let now_ns = kernel::advance_to_next().expect("no events, all tasks will block forever");
            assert!(now_ns < limit_ns, "time limit exceeded: {time_limit:?}");
        }
    }
    let Poll::Ready(Ok(output)) = Pin::new(&mut main).poll(&mut Context::from_waker(Waker::noop())) else {
        unreachable!("the harness is finished, and nobody aborts it");
    };
    std::mem::forget(on_panic);
    output
}

/// Takes one task of those that are ready, if there are any.
fn run_one(stream: &mut Stream) -> bool {
    let (task, draw) = {
        let taken = READY.with_borrow_mut(|ready| {
            let count = ready.len();
            (count > 0).then(|| {
                let draw = stream.u64();
                (ready.swap_remove((((draw >> 32) * count as u64) >> 32) as usize), draw)
            })
        });
        let Some(taken) = taken else { return false };
        taken
    };
    match TASKS.with_borrow_mut(|tasks| tasks.take(&task)) {
        Turn::Nothing => return true,
        Turn::Drop(node, process, work) => {
            CURRENT.set(Some((node, process)));
            drop(work);
        }
        Turn::Poll(node, process, mut work) => {
            CURRENT.set(Some((node, process)));
            let slot = task.slot as usize;
            let waker = Waker::from(task);
            let poll = work.as_mut().poll(&mut Context::from_waker(&waker));
            if poll.is_ready() {
                drop(TASKS.with_borrow_mut(|tasks| tasks.tasks.remove(slot)));
                drop(work);
            } else {
                TASKS.with_borrow_mut(|tasks| tasks.tasks[slot].work = Some(work));
            }
        }
    }
    misuse::check();
    CURRENT.set(Some((HARNESS, None)));
    kernel::advance_by(50 + (((draw & u64::from(u32::MAX)) * 50) >> 32));
    true
}

/// Drops all tasks, in a fixed order, and those that are started meanwhile. When one panics the others are left for the next
/// call.
pub fn drop_all() {
    loop {
        let taken = TASKS.with_borrow_mut(|Tasks { tasks, nodes, .. }| {
            let (slot, node) = tasks.iter().next().map(|(slot, task)| (slot, task.node))?;
            Some((node, nodes[node.0 as usize].process, tasks.remove(slot)))
        });
        let Some((node, process, task)) = taken else { break };
        CURRENT.set(Some((node, process)));
        drop(task);
        misuse::check();
    }
    CURRENT.set(None);
    READY.with_borrow_mut(Vec::clear);
}

/// Says on which host a panic happened.
struct OnPanic;

impl Drop for OnPanic {
    fn drop(&mut self) {
        if let Some(process) = current_process() {
            let name = kernel::try_with(|kernel| kernel.host(process.host).name.clone()).unwrap_or_default();
            eprintln!("context: host {name}, process {}", process.incarnation);
        }
    }
}
