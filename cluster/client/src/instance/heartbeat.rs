//! Telling brokers who is there (`sendHeartbeatToAllBroker`), and who leaves (`unregisterClient`).

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use protocol::body::{HeartbeatData, JsonBody, ProducerData};
use protocol::header::UnregisterClientRequestHeader;
use sim::time::Instant;

use super::ClientInstance;

/// A broker that was told within this time is not told again out of turn.
const HEARTBEAT_SOON_MIN: Duration = Duration::from_secs(1);

impl ClientInstance {
    /// The body of a heartbeat, and whether there is a consumer in it.
    fn heartbeat_body(&self) -> (Bytes, bool) {
        let (producers, consumers) = self.members();
        let inner = self.inner_producer.group();
        let groups = std::iter::once(inner).chain(producers.iter().map(|producer| producer.group()));
        let data = HeartbeatData {
            client_id: self.client_id.clone(),
            consumer_data_set: consumers.iter().map(|consumer| consumer.consumer_data()).collect(),
            producer_data_set: groups.map(|group| ProducerData { group_name: group.to_owned() }).collect(),
        };
        (data.encode(), !consumers.is_empty())
    }

    /// The brokers to tell: all of them, slaves only if there is a consumer.
    fn heartbeat_addrs(&self, with_slaves: bool) -> Vec<String> {
        let routes = self.routes.lock();
        let brokers = routes.brokers().filter(|(_, id, _)| with_slaves || id.is_master());
        brokers.map(|(_, _, addr)| addr.to_owned()).collect()
    }

    /// Tells every known broker who is there. One that is away hears it next time.
    pub(crate) async fn heartbeat_all(&self) {
        let (body, has_consumer) = self.heartbeat_body();
        let addrs = self.heartbeat_addrs(has_consumer);
        join_all(addrs.iter().map(|addr| self.heartbeat(addr, body.clone()))).await;
    }

    async fn heartbeat(&self, addr: &str, body: Bytes) {
        self.heartbeats.lock().insert(addr.to_owned(), Instant::now());
        match self.api.heartbeat(addr, body).await {
            Ok(()) => self.broker_answered(addr),
            Err(error) => {
                self.broker_failed(addr, &error);
                tracing::debug!(client = %self.client_id, %error, "heartbeat failed");
            }
        }
    }

    /// Tells one broker who is there, because it seems not to know: it was restarted, or lost our connection. Java's
    /// clients leave it in ignorance for up to 30 s.
    pub(crate) async fn heartbeat_soon(&self, addr: &str) {
        let now = Instant::now();
        let recent = |at: &Instant| now.saturating_duration_since(*at) < HEARTBEAT_SOON_MIN;
        if self.heartbeats.lock().get(addr).is_some_and(recent) {
            return;
        }
        let (body, _) = self.heartbeat_body();
        self.heartbeat(addr, body).await;
    }

    /// Tells the brokers that have come into a route, if they have to know: else they would take our queues for nobody's, and
    /// refuse our pulls, until the next round. What is learnt before the first round is told by it.
    pub(super) fn greet(&self, addrs: Vec<String>) {
        if addrs.is_empty() || self.heartbeats.lock().is_empty() {
            return;
        }
        let instance = self.this.clone();
        sim::task::spawn(async move {
            let Some(instance) = instance.upgrade() else { return };
            let (body, has_consumer) = instance.heartbeat_body();
            let wanted = instance.heartbeat_addrs(has_consumer);
            let told = addrs.iter().filter(|addr| wanted.contains(addr));
            join_all(told.map(|addr| instance.heartbeat(addr, body.clone()))).await;
        });
    }

    /// Forgets the brokers that no route names any more.
    pub(super) fn clean_offline_brokers(&self) {
        let mut routes = self.routes.lock();
        routes.clean_offline_brokers();
        self.heartbeats.lock().retain(|addr, _| routes.broker_name_of(addr).is_some());
    }

    /// Says to every broker that a group has lost a member. One that is away finds out by itself.
    pub(super) async fn unregister_client(&self, producer_group: Option<&str>, consumer_group: Option<&str>) {
        let header = UnregisterClientRequestHeader {
            client_id: self.client_id.clone(),
            producer_group: producer_group.map(str::to_owned),
            consumer_group: consumer_group.map(str::to_owned),
        };
        let addrs = self.heartbeat_addrs(true);
        // Who is not connected has forgotten us when the connection broke.
        let connected = addrs.iter().filter(|addr| self.api.remoting().is_connected(addr));
        let told = connected.map(|addr| async {
            if let Err(error) = self.api.unregister_client(addr, &header).await {
                tracing::debug!(client = %self.client_id, %error, "unregistering failed");
            }
        });
        join_all(told).await;
    }
}
