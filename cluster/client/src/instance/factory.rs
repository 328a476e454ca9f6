//! Which client id has which instance (`MQClientManager`).

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use super::ClientInstance;
use crate::config::ClientConfig;
use crate::lock::Lock;

/// The client instances of one process, by client id: producers and consumers that are built with (clones of) the same
/// factory, and configured to the same client id, share one instance. Without a factory each has an instance of its own.
///
/// It is a value and no global, because a simulation runs many processes in one.
#[derive(Clone, Default)]
pub struct ClientFactory {
    instances: Arc<Lock<BTreeMap<String, Weak<ClientInstance>>>>,
}

impl ClientFactory {
    /// No instances yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The instance of this configuration's client id (`getOrCreateMQClientInstance`). The first one's settings count.
    pub(crate) fn get_or_create(&self, config: &ClientConfig) -> Arc<ClientInstance> {
        let client_id = config.client_id();
        let mut instances = self.instances.lock();
        instances.retain(|_, instance| instance.strong_count() > 0);
        if let Some(instance) = instances.get(&client_id).and_then(Weak::upgrade).filter(|known| known.is_usable()) {
            return instance;
        }
        let instance = ClientInstance::new(client_id.clone(), config.clone());
        instances.insert(client_id, Arc::downgrade(&instance));
        instance
    }
}
