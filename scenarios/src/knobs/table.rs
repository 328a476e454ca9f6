//! The knobs: names, ranges, and the setting that each turns. Names begin with whose setting it is and end in its unit; those
//! of fields of the scenario are the fields' own, and they are set there.

use crate::spec::{FileSystem, Scenario};
use broker::BrokerConfig;
use client::{AllocateMessageQueueStrategy, ClientConfig, ProducerConfig, PushConfig};
use namesrv::NamesrvConfig;
use std::time::Duration;

/// A setting that a run may draw.
#[derive(Debug)]
pub struct Knob {
    pub name: &'static str,
    /// What it is in RocketMQ's words.
    pub about: &'static str,
    /// The least value; where 0 and 1 are all there is, they are off and on.
    pub low: u64,
    /// The greatest value.
    pub high: u64,
    pub(super) place: Place,
}

/// What a knob turns.
#[derive(Debug)]
pub(super) enum Place {
    /// A field of the scenario: the promise depends on it, or the operator needs it.
    Scenario {
        get: fn(&Scenario) -> u64,
        set: fn(&mut Scenario, u64),
    },
    Broker(fn(&mut BrokerConfig, u64)),
    NameServer(fn(&mut NamesrvConfig, u64)),
    Client(fn(&mut ClientConfig, u64)),
    Producer(fn(&mut ProducerConfig, u64)),
    Consumer(fn(&mut PushConfig, u64)),
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

const fn knob(name: &'static str, about: &'static str, low: u64, high: u64, place: Place) -> Knob {
    Knob { name, about, low, high, place }
}

const fn broker(name: &'static str, about: &'static str, low: u64, high: u64, set: fn(&mut BrokerConfig, u64)) -> Knob {
    knob(name, about, low, high, Place::Broker(set))
}

const fn client(name: &'static str, about: &'static str, low: u64, high: u64, set: fn(&mut ClientConfig, u64)) -> Knob {
    knob(name, about, low, high, Place::Client(set))
}

const fn producer(
    name: &'static str,
    about: &'static str,
    low: u64,
    high: u64,
    set: fn(&mut ProducerConfig, u64),
) -> Knob {
    knob(name, about, low, high, Place::Producer(set))
}

const fn consumer(name: &'static str, about: &'static str, low: u64, high: u64, set: fn(&mut PushConfig, u64)) -> Knob {
    knob(name, about, low, high, Place::Consumer(set))
}

fn size(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

fn small(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// All knobs.
pub const ALL: &[Knob] = &[
    knob(
        "topology.file_system",
        "strict-posix, ext4, xfs",
        0,
        2,
        Place::Scenario {
            get: |scenario| scenario.topology.file_system as u64,
            set: |scenario, value| scenario.topology.file_system = FileSystem::ALL[size(value).min(2)],
        },
    ),
    knob(
        "workload.queues",
        "writeQueueNums, readQueueNums",
        1,
        16,
        Place::Scenario {
            get: |scenario| scenario.workload.queues.into(),
            set: |scenario, value| scenario.workload.queues = small(value) as u16,
        },
    ),
    knob(
        "broker.commit_log_file_bytes",
        "mappedFileSizeCommitLog",
        32 * KIB,
        4 * MIB,
        Place::Scenario {
            get: |scenario| scenario.broker.commit_log_file_bytes,
            // A file must hold the largest message.
            set: |scenario, value| {
                let largest = scenario.workload.body_bytes.iter().copied().max().unwrap_or(0);
                scenario.broker.commit_log_file_bytes = value.max(u64::from(largest) + 4096);
            },
        },
    ),
    knob(
        "broker.consume_queue_file_units",
        "mappedFileSizeConsumeQueue / 20",
        10,
        5_000,
        Place::Scenario {
            get: |scenario| scenario.broker.consume_queue_file_units,
            set: |scenario, value| scenario.broker.consume_queue_file_units = value,
        },
    ),
    knob(
        "broker.flush_interval_ms",
        "flushIntervalCommitLog",
        1,
        2_000,
        Place::Scenario {
            get: |scenario| scenario.broker.flush_interval_ms,
            set: |scenario, value| scenario.broker.flush_interval_ms = value,
        },
    ),
    knob(
        "broker.flush_least_pages",
        "flushCommitLogLeastPages",
        0,
        16,
        Place::Scenario {
            get: |scenario| scenario.broker.flush_least_pages.into(),
            set: |scenario, value| scenario.broker.flush_least_pages = small(value),
        },
    ),
    knob(
        "broker.flush_thorough_interval_ms",
        "flushCommitLogThoroughInterval",
        100,
        10_000,
        Place::Scenario {
            get: |scenario| scenario.broker.flush_thorough_interval_ms,
            set: |scenario, value| scenario.broker.flush_thorough_interval_ms = value,
        },
    ),
    knob(
        "broker.slave_timeout_ms",
        "slaveTimeout",
        5,
        5_000,
        Place::Scenario {
            get: |scenario| scenario.broker.slave_timeout_ms,
            set: |scenario, value| scenario.broker.slave_timeout_ms = value,
        },
    ),
    knob(
        "broker.slave_metadata_interval_ms",
        "slaveSynchronizeInterval",
        100,
        10_000,
        Place::Scenario {
            get: |scenario| scenario.broker.slave_metadata_interval_ms,
            set: |scenario, value| scenario.broker.slave_metadata_interval_ms = value,
        },
    ),
    knob(
        "broker.slave_read_enable",
        "slaveReadEnable",
        0,
        1,
        Place::Scenario {
            get: |scenario| scenario.broker.slave_read_enable.into(),
            set: |scenario, value| scenario.broker.slave_read_enable = value != 0,
        },
    ),
    broker("store_queue_flush_interval_ms", "flushIntervalConsumeQueue", 10, 5_000, |config, value| {
        config.store.flush_interval_consume_queue_ms = value;
    }),
    broker("store_queue_flush_least_pages", "flushConsumeQueueLeastPages", 0, 4, |config, value| {
        config.store.flush_consume_queue_least_pages = value;
    }),
    broker(
        "store_queue_flush_thorough_interval_ms",
        "flushConsumeQueueThoroughInterval",
        100,
        60_000,
        |config, value| {
            config.store.flush_consume_queue_thorough_interval_ms = value;
        },
    ),
    broker("store_sync_flush_timeout_ms", "syncFlushTimeout", 1, 5_000, |config, value| {
        config.store.sync_flush_timeout_ms = value;
    }),
    broker("store_transfer_count_in_memory", "maxTransferCountOnMessageInMemory", 1, 64, |config, value| {
        config.store.max_transfer_count_on_message_in_memory = size(value);
    }),
    broker("store_transfer_in_memory_bytes", "maxTransferBytesOnMessageInMemory", 1, 256 * KIB, |config, value| {
        config.store.max_transfer_bytes_on_message_in_memory = size(value);
    }),
    broker("store_transfer_count_in_disk", "maxTransferCountOnMessageInDisk", 1, 16, |config, value| {
        config.store.max_transfer_count_on_message_in_disk = size(value);
    }),
    broker("store_transfer_in_disk_bytes", "maxTransferBytesOnMessageInDisk", 1, 64 * KIB, |config, value| {
        config.store.max_transfer_bytes_on_message_in_disk = size(value);
    }),
    broker("store_in_memory_bytes", "accessMessageInMemoryMaxRatio, in bytes", 4 * KIB, 1 << 30, |config, value| {
        config.store.access_message_in_memory_max_bytes = value;
    }),
    broker("store_tail_cache_bytes", "the log's tail in memory", 0, 4 * MIB, |config, value| {
        config.store.tail_cache_max_bytes = size(value);
    }),
    broker("store_index_slots", "maxHashSlotNum", 2, 2_000, |config, value| {
        config.store.max_hash_slot_num = small(value);
    }),
    broker("store_index_entries", "maxIndexNum", 200, 10_000, |config, value| {
        config.store.max_index_num = small(value)
    }),
    broker("store_check_crc_on_recover", "checkCRCOnRecover", 0, 1, |config, value| {
        config.store.check_crc_on_recover = value != 0;
    }),
    broker("broker_flush_consumer_offset_interval_ms", "flushConsumerOffsetInterval", 50, 10_000, |config, value| {
        config.flush_consumer_offset_interval_ms = value;
    }),
    broker("broker_register_period_ms", "registerNameServerPeriod", 1_000, 60_000, |config, value| {
        config.register_name_server_period_ms = value;
    }),
    broker("broker_long_polling", "longPollingEnable", 0, 1, |config, value| config.long_polling_enable = value != 0),
    broker("broker_short_polling_ms", "shortPollingTimeMills", 10, 2_000, |config, value| {
        config.short_polling_time_ms = value;
    }),
    broker("broker_send_queue_capacity", "sendThreadPoolQueueCapacity", 1, 10_000, |config, value| {
        config.send_thread_pool_queue_capacity = size(value);
    }),
    broker("broker_wait_time_in_send_queue_ms", "waitTimeMillsInSendQueue", 5, 1_000, |config, value| {
        config.wait_time_in_send_queue_ms = value;
    }),
    broker("broker_max_pull_nums", "maxPullNums", 1, 1_024, |config, value| {
        config.max_pull_nums = small(value).cast_signed();
    }),
    broker("broker_notify_consumer_ids_changed", "notifyConsumerIdsChangedEnable", 0, 1, |config, value| {
        config.notify_consumer_ids_changed_enable = value != 0;
    }),
    broker("broker_channel_expired_ms", "channelExpiredTimeout", 35_000, 120_000, |config, value| {
        config.channel_expired_timeout_ms = value;
    }),
    broker("ha_heartbeat_interval_ms", "haSendHeartbeatInterval", 50, 5_000, |config, value| {
        config.ha.ha_send_heartbeat_interval_ms = value;
    }),
    broker("ha_housekeeping_interval_ms", "haHousekeepingInterval", 6_000, 20_000, |config, value| {
        config.ha.ha_housekeeping_interval_ms = value;
    }),
    broker("ha_transfer_batch_bytes", "haTransferBatchSize", 100, 256 * KIB, |config, value| {
        config.ha.ha_transfer_batch_size_bytes = size(value);
    }),
    broker("ha_slave_fallbehind_max_bytes", "haSlaveFallbehindMax", 4 * KIB, 256 * MIB, |config, value| {
        config.ha.ha_slave_fallbehind_max_bytes = value;
    }),
    broker(
        "ha_transfer_bytes_per_s_max",
        "haFlowControlEnable, maxHaTransferByteInSecond",
        MIB,
        100 * MIB,
        |config, value| {
            config.ha.ha_flow_control_enable = true;
            config.ha.max_ha_transfer_byte_in_second = value;
        },
    ),
    knob(
        "namesrv_scan_interval_ms",
        "scanNotActiveBrokerInterval",
        100,
        10_000,
        Place::NameServer(|config, value| {
            config.settings.scan_not_active_broker_interval = Duration::from_millis(value);
        }),
    ),
    client("client_poll_name_server_interval_ms", "pollNameServerInterval", 500, 30_000, |config, value| {
        config.poll_name_server_interval = Duration::from_millis(value);
    }),
    client("client_heartbeat_interval_ms", "heartbeatBrokerInterval", 500, 30_000, |config, value| {
        config.heartbeat_broker_interval = Duration::from_millis(value);
    }),
    client("client_persist_offset_interval_ms", "persistConsumerOffsetInterval", 50, 10_000, |config, value| {
        config.persist_consumer_offset_interval = Duration::from_millis(value);
    }),
    client("client_api_timeout_ms", "mqClientApiTimeout", 200, 5_000, |config, value| {
        config.mq_client_api_timeout = Duration::from_millis(value);
    }),
    producer("producer_send_timeout_ms", "sendMsgTimeout", 200, 5_000, |config, value| {
        config.send_msg_timeout = Duration::from_millis(value);
    }),
    producer("producer_retry_times", "retryTimesWhenSendFailed", 0, 5, |config, value| {
        config.retry_times_when_send_failed = size(value);
    }),
    producer("producer_retry_another_broker", "retryAnotherBrokerWhenNotStoreOK", 0, 1, |config, value| {
        config.retry_another_broker_when_not_store_ok = value != 0;
    }),
    producer("producer_compress_over_bytes", "compressMsgBodyOverHowmuch", 32, 8 * KIB, |config, value| {
        config.compress_msg_body_over_howmuch_bytes = Some(size(value));
    }),
    producer("producer_latency_fault", "sendLatencyFaultEnable", 0, 1, |config, value| {
        config.send_latency_fault_enable = value != 0;
    }),
    consumer("consumer_thread_max", "consumeThreadMax", 1, 64, |config, value| config.consume_thread_max = size(value)),
    consumer("consumer_message_batch_max", "consumeMessageBatchMaxSize", 1, 32, |config, value| {
        config.consume_message_batch_max_size = size(value);
    }),
    consumer("consumer_pull_batch", "pullBatchSize", 1, 256, |config, value| {
        config.pull_batch_size = small(value).cast_signed();
    }),
    consumer("consumer_pull_threshold", "pullThresholdForQueue", 1, 1_000, |config, value| {
        config.pull_threshold_for_queue = size(value);
    }),
    consumer("consumer_pull_threshold_bytes", "pullThresholdSizeForQueue, in bytes", 1, 100 * MIB, |config, value| {
        config.pull_threshold_size_for_queue_bytes = size(value);
    }),
    consumer("consumer_max_span", "consumeConcurrentlyMaxSpan", 1, 2_000, |config, value| {
        config.consume_concurrently_max_span = value.cast_signed();
    }),
    consumer("consumer_suspend_max_ms", "brokerSuspendMaxTimeMillis", 50, 20_000, |config, value| {
        config.broker_suspend_max = Duration::from_millis(value);
    }),
    consumer("consumer_pull_delay_on_error_ms", "pullTimeDelayMillsWhenException", 50, 3_000, |config, value| {
        config.pull_delay_when_exception = Duration::from_millis(value);
    }),
    consumer("consumer_allocate_by_circle", "AllocateMessageQueueAveragelyByCircle", 0, 1, |config, value| {
        let strategies = [AllocateMessageQueueStrategy::Averagely, AllocateMessageQueueStrategy::AveragelyByCircle];
        config.allocate_message_queue_strategy = strategies[size(value)];
    }),
];
