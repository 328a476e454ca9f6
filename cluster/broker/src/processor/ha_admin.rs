//! Replication as others see it: `haStatus`, and what the brokers of one name ask one another.

use std::sync::atomic::Ordering;
use std::time::Duration;

use ha::{MasterAddr, PROTOCOL_EXTENDED, PROTOCOL_V1};
use protocol::RemotingCommand;
use protocol::body::{HaClientRuntimeInfo, HaConnectionRuntimeInfo, HaRuntimeInfo};
use quirks::Quirk;

use super::{Answer, success, success_body};
use crate::config_check::role_name;
use crate::core::Core;
use crate::replication::Replication;
use crate::replication::slave::{HA_SERVER_ADDR_FIELD, UP_MILLIS, VERSION_FIELD};

/// GET_BROKER_HA_STATUS (5.x): what `haStatus` shows. Rates and times of single transfers are not kept: they are 0.
pub(crate) fn status(core: &Core) -> Answer {
    let mut info = HaRuntimeInfo {
        master: !core.is_slave(),
        master_commit_log_max_offset: core.store.max_physical_offset().0,
        ..HaRuntimeInfo::default()
    };
    match core.replication.get() {
        Some(Replication::Master(service)) => {
            let replicas = service.replicas();
            let in_sync = replicas.iter().filter(|replica| replica.in_sync).count();
            info.in_sync_slave_nums = i32::try_from(in_sync).unwrap_or(i32::MAX);
            info.ha_connection_info = replicas
                .into_iter()
                .map(|replica| HaConnectionRuntimeInfo {
                    addr: replica.addr,
                    diff: i64::try_from(replica.behind_bytes).unwrap_or(i64::MAX),
                    in_sync: replica.in_sync,
                    slave_ack_offset: replica.acked.0,
                    ..HaConnectionRuntimeInfo::default()
                })
                .collect();
        }
        Some(Replication::Slave(service)) => {
            let status = service.status();
            info.ha_client_runtime_info = HaClientRuntimeInfo {
                is_activated: status.connected,
                master_addr: status.master.map(|MasterAddr { ha, .. }| ha).unwrap_or_default(),
                max_offset: core.store.max_physical_offset().0,
                ..HaClientRuntimeInfo::default()
            };
        }
        None => {}
    }
    Ok(success_body(&info))
}

/// What GET_BROKER_RUNTIME_INFO says of replication (ours: Apache's broker says nothing of it there).
pub(crate) fn runtime_info(core: &Core) -> Vec<(&'static str, String)> {
    let config = core.config();
    let mut info = vec![
        ("brokerName", config.broker_name.clone()),
        ("brokerId", config.broker_id.to_string()),
        ("brokerRole", role_name(config.ha.role).to_owned()),
        ("haEpochs", core.store.epochs().len().to_string()),
    ];
    match core.replication.get() {
        Some(Replication::Master(service)) => {
            let replicas = service.replicas();
            let in_sync = replicas.iter().filter(|replica| replica.in_sync);
            info.push(("haInSyncSlaveNums", in_sync.count().to_string()));
            let slowest = replicas.iter().map(|replica| replica.behind_bytes).max().unwrap_or(0);
            info.push(("haSlaveNums", replicas.len().to_string()));
            info.push(("haSlaveFallBehindBytes", slowest.to_string()));
            info.push(("haReplicatedOffset", core.store.replication().replicated().to_string()));
            info.push(("haRecovering", core.recovering.load(Ordering::Acquire).to_string()));
        }
        Some(Replication::Slave(service)) => {
            let status = service.status();
            let master = status.master.map(|master| master.ha).unwrap_or_default();
            info.push(("haMasterAddress", master));
            info.push(("haConnected", status.connected.to_string()));
            info.push(("haAckedOffset", status.acked.to_string()));
            info.push(("haLastError", status.last_error.unwrap_or_default()));
        }
        None => {}
    }
    info
}

/// `GET_HA_PROTOCOL_VERSION`: a slave asks before it opens a connection to the HA port.
pub(crate) fn protocol_version(core: &Core) -> Answer {
    // With this quirk both ends speak Apache's protocol, which compares nothing.
    let unchecked = core.config().quirks.has(Quirk::DivergenceUnchecked);
    let version = if core.is_slave() || unchecked { PROTOCOL_V1 } else { PROTOCOL_EXTENDED };
    let response = success().with_field(VERSION_FIELD, &version.to_string());
    Ok(if core.is_slave() { response } else { response.with_field(HA_SERVER_ADDR_FIELD, &core.ha_addr()) })
}

/// `MASTER_IS_BACK`: a slave asks the name servers at once where its master is, and connects anew.
pub(crate) fn master_is_back(core: &Core, request: &RemotingCommand) -> Answer {
    if let Some(Replication::Slave(service)) = core.replication.get() {
        let up = request.ext_fields.get(UP_MILLIS).and_then(|ms| ms.parse().ok()).map(Duration::from_millis);
        let master = service.status().master;
        if let Some(master) = master.filter(|_| service.master_is_back(up)) {
            // Connections to its ordinary port are from before its start, too.
            core.links.client.connect_anew(&master.remoting);
        }
        core.registrar.announce();
    }
    Ok(success())
}
