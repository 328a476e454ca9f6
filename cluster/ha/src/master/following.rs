//! A slave that follows: the log one way, its reports the other, in one task.
//!
//! A report is judged against what was sent: whoever says that it has more is not believed in anything.

use std::{
    pin::pin,
    sync::atomic::{AtomicI64, Ordering},
};

use protocol::PhysicalOffset;
use sim::{
    net::OwnedWriteHalf,
    time::{Instant, sleep_until},
};

use super::{Shared, followers::Membership};
use crate::{
    error::HaError,
    frame::{Wire, decode_report},
    incoming::Incoming,
    send_log::LogSender,
};

/// How reports are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judge {
    /// None beyond what was sent.
    Sent,
    /// None beyond the master's end, as 4.9.8 does (`HAConnection`, the `else if` of #3016).
    MasterEnd,
    /// Everything is believed, as 5.x does.
    Nothing,
}

/// How a slave is followed up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course {
    pub wire: Wire,
    pub from: PhysicalOffset,
    pub judge: Judge,
}

/// Sends the log from `course.from` on and takes the reports, until the connection ends.
pub(crate) async fn follow(
    shared: &Shared,
    membership: &Membership,
    mut incoming: Incoming,
    outgoing: OwnedWriteHalf,
    course: Course,
    mut sent: impl FnMut(PhysicalOffset),
) -> Result<(), HaError> {
    let Course { wire, from, judge } = course;
    let shipped = AtomicI64::new(from.0);
    let sender = LogSender::new(&shared.store, &shared.config, wire, outgoing, &shipped);
    let reports = take_reports(shared, membership, &mut incoming, judge, &shipped);
    tokio::select! {
        biased;
        () = membership.replaced.notified() => Err(HaError::Replaced),
        error = reports => error,
        error = sender.run(&mut sent) => error.map(|never| match never {}),
    }
}

async fn take_reports(
    shared: &Shared,
    membership: &Membership,
    incoming: &mut Incoming,
    judge: Judge,
    shipped: &AtomicI64,
) -> Result<(), HaError> {
    let silence = shared.config.housekeeping_interval();
    let mut last = PhysicalOffset::ZERO;
    let mut heard_at = Instant::now();
    // Set too early it fires, finds nothing due and is set anew: cheaper than setting it for every report.
    let mut timer = pin!(sleep_until(heard_at + silence));
    loop {
        let mut newest = None;
        while let Some(report) = decode_report(&mut incoming.buffer)? {
            let most = match judge {
                Judge::Sent => PhysicalOffset(shipped.load(Ordering::Acquire)),
                Judge::MasterEnd => shared.store.max_physical_offset(),
                Judge::Nothing => PhysicalOffset(i64::MAX),
            };
            if report > most {
                return Err(HaError::Nonsense(format!("it acknowledges offset {report}, and can have {most} at most")));
            }
            if report < last {
                return Err(HaError::Nonsense(format!("it acknowledges offset {report} after {last}")));
            }
            last = report;
            newest = Some(report);
        }
        if sim::fault_point!("ha.master.connection-lost", 0.001) {
            return Err(HaError::Closed);
        }
        if let Some(report) = newest {
            membership.acked(report);
        }
        tokio::select! {
            biased;
            read = incoming.read() => {
                read?;
                heard_at = Instant::now();
            }
            () = &mut timer => {
                if heard_at + silence <= Instant::now() {
                    return Err(HaError::Silent(silence));
                }
                timer.as_mut().reset(heard_at + silence);
            }
        }
    }
}
