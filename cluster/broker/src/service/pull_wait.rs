//! Long polling: the pulls that wait, who wakes them, and the task that answers them (`PullRequestHoldService`).
//!
//! A pull that finds nothing is put into the [`PullHold`] and its request ends without an answer. The store's listener
//! takes out whom a message wakes, the clock whom time wakes; one task reads for them and answers through their channels.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use protocol::RemotingCommand;
use protocol::header::PullMessageRequestHeader;
use remoting::{Channel, ChannelId};
use sim::task::{self, yield_now};
use store::DispatchRequest;
use tokio::sync::Notify;

use crate::core::{Core, lock};
use crate::processor::pull;
use crate::state::pull_hold::{HeldPull, Hold, Place, PullHold};

/// What is needed to answer a pull later.
pub(crate) struct WaitingPull {
    pub channel: Channel,
    /// The request without its body and fields: what a response is made in reply to.
    pub request: RemotingCommand,
    pub header: PullMessageRequestHeader,
}

#[derive(Default)]
pub(crate) struct PullWait {
    hold: Mutex<PullHold<ChannelId, WaitingPull>>,
    woken: Mutex<Vec<HeldPull<WaitingPull>>>,
    /// Somebody was woken, or the earliest deadline has changed.
    wake: Notify,
}

impl PullWait {
    /// Holds a pull. If a message has come since it looked, it is woken at once; so it is when there is no room for it.
    pub(crate) fn hold(&self, core: &Core, pull: HeldPull<WaitingPull>) {
        let WaitingPull { channel, header, .. } = &pull.payload;
        let (handle, group) = (channel.clone(), header.consumer_group.clone());
        let channel = handle.id();
        let (topic, queue_id) = (header.topic.clone(), header.queue_id);
        let queue_offset = pull.queue_offset;
        let place = Place { channel, group: &group, topic: &topic, queue_id };
        let mut given_back = Vec::new();
        let mut hold = lock(&self.hold);
        // A message that comes from now on finds it; one that has come between the look and now has told nobody.
        let has_come = core.store.max_offset_in_queue(&topic, queue_id).0 > queue_offset;
        let held = if has_come || handle.peer_has_finished() {
            given_back.push(pull);
            Hold::Later
        } else {
            hold.hold(place, pull, &mut given_back)
        };
        if !handle.is_open() {
            // It has ended while the pull looked.
            drop(hold.take_channel(channel));
        }
        drop(hold);
        if !given_back.is_empty() {
            lock(&self.woken).append(&mut given_back);
            self.wake.notify_one();
        } else if held == Hold::First {
            self.wake.notify_one();
        }
    }

    /// A connection has ended: nobody waits for its pulls any more.
    pub(crate) fn forget_channel(&self, channel: ChannelId) {
        drop(lock(&self.hold).take_channel(channel));
    }

    /// A client will send nothing more: it is told at once that its pulls have found nothing.
    pub(crate) fn give_back(&self, core: &Arc<Core>, channel: ChannelId) {
        let pulls = lock(&self.hold).take_channel(channel);
        if pulls.is_empty() {
            return;
        }
        let core = Arc::clone(core);
        task::spawn(async move {
            for (number, pull) in (1_usize..).zip(pulls) {
                if number.is_multiple_of(ANSWERS_AT_A_TIME) {
                    yield_now().await;
                }
                let WaitingPull { channel, request, header } = pull.payload;
                let found = pull::found_nothing(&core, &header);
                if channel.send(found.into_response(&core, &header).in_reply_to(&request)).is_err() {
                    // It was not only the end of its requests.
                    return;
                }
            }
        });
    }

    /// A message has become visible.
    pub(crate) fn message_arrived(&self, message: &DispatchRequest) {
        let mut hold = lock(&self.hold);
        if hold.is_empty() {
            return;
        }
        let mut woken = lock(&self.woken);
        let before = woken.len();
        let next_offset = message.queue_offset.0 + 1;
        hold.message_arrived(&message.topic, message.queue_id, next_offset, message.tags_code, &mut woken);
        let any = woken.len() > before;
        drop(woken);
        drop(hold);
        if any {
            self.wake.notify_one();
        }
    }

    /// Whoever waits may have to be told something else now: all are answered anew.
    pub(crate) fn wake_all(&self) {
        // Everybody's time has come, as far as the table is concerned.
        lock(&self.hold).expired(i64::MAX, &mut lock(&self.woken));
        self.wake.notify_one();
    }

    /// How many pulls wait.
    pub(crate) fn len(&self) -> usize {
        lock(&self.hold).len()
    }
}

/// How late a wake-up is that comes late.
const LATE: Duration = Duration::from_millis(50);
/// So many are answered before others have their turn.
const ANSWERS_AT_A_TIME: usize = 64;

/// Answers pulls that were woken, for ever.
pub(crate) async fn run(core: Arc<Core>) {
    let wait = &core.pull_wait;
    loop {
        let earliest = lock(&wait.hold).earliest_deadline_ms();
        match earliest {
            Some(deadline_ms) => {
                tokio::select! {
                    biased;
                    () = wait.wake.notified() => {}
                    () = sim::time::sleep_until(core.instant_of(deadline_ms)) => {}
                }
            }
            None => wait.wake.notified().await,
        }
        if sim::fault_point!("broker.pull.woken-late", 0.05) {
            sim::time::sleep(LATE).await;
        }
        let mut woken = std::mem::take(&mut *lock(&wait.woken));
        lock(&wait.hold).expired(core.now_ms(), &mut woken);
        for (number, pull) in (1_usize..).zip(woken) {
            if number.is_multiple_of(ANSWERS_AT_A_TIME) {
                yield_now().await;
            }
            let WaitingPull { channel, request, header } = pull.payload;
            if !channel.is_open() {
                continue;
            }
            let found = pull::read(&core, &channel, &header, &pull.subscription).await;
            let response = found.into_response(&core, &header).in_reply_to(&request);
            if let Err(error) = channel.send(response) {
                tracing::debug!(%error, "a pull was not answered");
            }
        }
    }
}
