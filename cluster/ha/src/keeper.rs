//! What a member keeps of its group, durably: the broker does it, and tells the name servers.

use std::io;

use futures_util::future::BoxFuture;
use group::Membership;
use protocol::{BrokerId, PhysicalOffset};

use crate::ReplicaId;

/// The membership of this member.
pub trait GroupKeeper: Send + Sync {
    /// As it is kept now.
    fn membership(&self) -> Membership;

    /// As which broker the store was last a member.
    fn last_id(&self) -> Option<BrokerId>;

    /// A master: a slave joins. Resolves when that is durable here and, of a new member, at a witness: only then does what it
    /// acknowledges count.
    fn join(&self, replica: ReplicaId) -> BoxFuture<'_, io::Result<()>>;

    /// The membership is another one now; and until the log ends at `copying_until` it is a part of another's. Resolves when that
    /// is durable.
    fn adopt(&self, membership: Membership, copying_until: Option<PhysicalOffset>) -> BoxFuture<'_, io::Result<()>>;

    /// A slave: the master refuses its log, or has taken it again. A log that is refused is not shown to consumers.
    fn refused(&self, why: Option<&str>) -> BoxFuture<'_, io::Result<()>>;
}
