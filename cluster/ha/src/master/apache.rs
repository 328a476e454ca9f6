//! A slave of Apache's (or of ours, when both are told to compare nothing): it opens with where its log ends.

use std::{net::SocketAddr, sync::Arc};

use protocol::PhysicalOffset;
use quirks::Quirk;
use sim::net::OwnedWriteHalf;

use super::{
    Shared,
    following::{Course, Judge, follow},
    places::{Place, Standing},
};
use crate::{
    apache_slave::{FirstReport, Knowledge, judge_first_report},
    error::HaError,
    frame::Wire,
    incoming::Incoming,
};

/// Serves a slave of Apache's whose first report was `report`.
pub(crate) async fn serve(
    shared: &Arc<Shared>,
    incoming: Incoming,
    outgoing: OwnedWriteHalf,
    peer: SocketAddr,
    place: &Place,
    report: PhysicalOffset,
) -> Result<(), HaError> {
    if !*shared.serving.borrow() {
        shared.candidates.push(group::Event::HeardApaches { host: peer.ip().to_string(), end: report });
        return Err(HaError::Refused("this master does not serve yet: the slave will try again".to_owned()));
    }
    let history = shared.store.history();
    let quirks = shared.config.quirks;
    let FirstReport { believed, outcome } = judge_first_report(
        &Knowledge {
            history: &history,
            epoch_start: shared.store.epochs().last().map_or(history.max, |epoch| epoch.start),
            shipped: shared.followers.shipped_v1(peer.ip()),
            file_bytes: shared.file_bytes(),
            from_last_file: shared.config.sends_last_file_only(),
            quirks,
        },
        report,
    );
    if let Some(believed) = believed {
        shared.store.replication().advance(believed);
    }
    let from = outcome.map_err(HaError::Refused)?;
    tracing::info!(%peer, %report, %from, "HA: a slave with Apache's protocol follows");
    let judge = if quirks.has(Quirk::ReplicaOffsetUnguarded) {
        Judge::Nothing
    } else if quirks.has(Quirk::ReplicaOffsetBelieved) {
        Judge::MasterEnd
    } else {
        Judge::Sent
    };
    place.note(Standing::Apache);
    let membership = shared.followers.join_v1(peer);
    membership.acked(report);
    shared.followers.note_shipped_v1(peer.ip(), from);
    let sent = |end| shared.followers.note_shipped_v1(peer.ip(), end);
    follow(shared, &membership, incoming, outgoing, Course { wire: Wire::V1, from, judge }, sent).await
}
