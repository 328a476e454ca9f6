//! Settings of Apache's brokers (4.9.8 and 5.3.3) that this broker does not have, so that a `broker.conf` that served there
//! says what becomes of each of its lines.
//!
//! Most concern how Apache's broker does its work, or what this one does not do, and have no effect here: the user is told
//! why. With some the user would get something else than was asked for, without access control or with a log at another
//! place: those are refused unless they say what is the case here anyway.

/// Settings without effect, for one reason.
struct WithoutEffect {
    why: &'static str,
    /// Their names, between blanks.
    keys: &'static str,
}

impl WithoutEffect {
    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.keys.split_ascii_whitespace()
    }
}

/// A setting that can have one value only.
struct Fixed {
    key: &'static str,
    value: &'static str,
    why: &'static str,
}

/// What is to be said about a setting of Apache's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It has no effect here.
    WithoutEffect {
        /// Why not.
        why: &'static str,
    },
    /// It says what is the case.
    AsItIs,
    /// It asks for what cannot be had.
    Refused {
        /// Its name.
        key: &'static str,
        /// What it must be.
        value: &'static str,
        /// And why.
        why: &'static str,
    },
}

/// What is to be said about this setting, if Apache's brokers have it.
pub(super) fn find(key: &str, text: &str) -> Option<Known> {
    if let Some(Fixed { key, value, why }) = FIXED.iter().find(|fixed| fixed.key == key) {
        let is_so = text.trim() == *value;
        return Some(if is_so { Known::AsItIs } else { Known::Refused { key, value, why } });
    }
    WITHOUT_EFFECT
        .iter()
        .find(|group| group.names().any(|name| name == key))
        .map(|group| Known::WithoutEffect { why: group.why })
}

/// Those that have one value only, with it.
pub(super) fn fixed() -> impl Iterator<Item = (&'static str, &'static str)> {
    FIXED.iter().map(|fixed| (fixed.key, fixed.value))
}

/// All of them.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FIXED.iter().map(|fixed| fixed.key).chain(WITHOUT_EFFECT.iter().flat_map(WithoutEffect::names))
}

/// Those that are refused unless they say what is so.
const FIXED: &[Fixed] = &[
    Fixed { key: "aclEnable", value: "false", why: NO_ACL },
    Fixed { key: "authenticationEnabled", value: "false", why: NO_ACL },
    Fixed { key: "authorizationEnabled", value: "false", why: NO_ACL },
    Fixed { key: "useTLS", value: "false", why: "connections are not encrypted; put a tunnel between the machines" },
    Fixed { key: "duplicationEnable", value: "false", why: "a broker has one log; take a slave for a second copy" },
    Fixed {
        key: "enableConsumeQueueExt",
        value: "false",
        why: "the units of such ConsumeQueues lead to files that this broker does not have",
    },
    Fixed {
        key: "enableControllerMode",
        value: "false",
        why: "roles do not change by themselves here; say brokerRole and brokerId",
    },
    Fixed {
        key: "enableDLegerCommitLog",
        value: "false",
        why: "a DLedger log has another form; take brokerRole=SYNC_MASTER with slaves",
    },
    Fixed { key: "fetchNameSrvAddrByDnsLookup", value: "false", why: IN_NAMESRV_ADDR },
    Fixed { key: "fetchNamesrvAddrByAddressServer", value: "false", why: IN_NAMESRV_ADDR },
    Fixed { key: "isBrokerContainer", value: "false", why: "each broker is a process of its own" },
    Fixed { key: "isInBrokerContainer", value: "false", why: "each broker is a process of its own" },
    Fixed { key: "messageStorePlugIn", value: "", why: "there are no plug-ins" },
    Fixed { key: "msgTraceTopicName", value: "RMQ_SYS_TRACE_TOPIC", why: "the topic for traces has this name" },
    Fixed { key: "readOnlyCommitLogStorePaths", value: "", why: "the log lies in one directory" },
    Fixed { key: "storeType", value: "default", why: "there is one kind of store, in Apache's default format" },
];

const NO_ACL: &str = "this broker does not ask who sends: keep strangers away from its ports by other means";
const IN_NAMESRV_ADDR: &str = "name servers are those in namesrvAddr; a host name there may have several addresses";

/// Those without effect.
const WITHOUT_EFFECT: &[WithoutEffect] = &[
    WithoutEffect {
        why: "there are no thread pools and no locks to choose: each request is a task of its own",
        keys: "ackMessageThreadPoolNums ackThreadPoolQueueCapacity adminBrokerThreadPoolNums adminBrokerThreadPoolQueueCapacity \
            asyncSendEnable batchDispatchRequestThreadPoolNums clientAsyncSemaphoreValue clientCallbackExecutorThreads \
            clientManageThreadPoolNums clientManagerThreadPoolQueueCapacity clientOnewaySemaphoreValue clientWorkerThreads \
            consumerManageThreadPoolNums consumerManagerThreadPoolQueueCapacity debugLockEnable disableCallbackExecutor \
            disableNettyWorkerGroup dispatchCqCacheNum dispatchCqThreads dispatchFromSenderThread enableAsyncReput \
            enableBuildConsumeQueueConcurrently endTransactionPoolQueueCapacity endTransactionThreadPoolNums \
            heartbeatThreadPoolNums heartbeatThreadPoolQueueCapacity litePullMessageThreadPoolNums \
            litePullThreadPoolQueueCapacity loadBalanceProcessorThreadPoolNums loadBalanceThreadPoolQueueCapacity \
            maxAsyncPutMessageRequests processReplyMessageThreadPoolNums pullMessageThreadPoolNums \
            pullThreadPoolQueueCapacity putMessageFutureThreadPoolNums putThreadPoolQueueCapacity queryMessageThreadPoolNums \
            queryThreadPoolQueueCapacity recoverConcurrently recoverThreadPoolNums replyThreadPoolQueueCapacity \
            sendMessageThreadPoolNums serverAsyncSemaphoreValue serverCallbackExecutorThreads serverNettyWorkerGroupEnable \
            serverOnewaySemaphoreValue serverSelectorThreads serverWorkerThreads spinLockCollisionRetreatOptimalDegree \
            topicQueueLockNum useABSLock useReentrantLockWhenPutMessage waitTimeMillsInAckQueue \
            waitTimeMillsInAdminBrokerQueue waitTimeMillsInHeartbeatQueue waitTimeMillsInLitePullQueue \
            waitTimeMillsInPullQueue waitTimeMillsInTransactionQueue",
    },
    WithoutEffect {
        why: "files are written and read, not mapped into memory",
        keys: "accessMessageInMemoryHotRatio accessMessageInMemoryMaxRatio cgColdReadThreshold cleanSwapedMapInterval \
            coldCtrStrategyEnable coldDataFlowControlEnable coldDataScanEnable commitCommitLogLeastPages \
            commitCommitLogThoroughInterval commitIntervalCommitLog commitLogForceSwapMapInterval commitLogSwapMapInterval \
            commitLogSwapMapReserveFileNum dataReadAheadEnable deleteCommitLogFilesInterval deleteConsumeQueueFilesInterval \
            destroyMapedFileIntervalForcibly fastFailIfNoBufferInStorePool flushLeastPagesWhenWarmMapedFile \
            globalColdReadThreshold logicQueueForceSwapMapInterval logicQueueSwapMapInterval logicQueueSwapMapReserveFileNum \
            mappedFileSwapEnable putConsumeQueueDataByFileChannel redeleteHangedFileInterval transferMsgByHeap \
            transientStorePoolEnable transientStorePoolSize usePIDColdCtrStrategy wakeCommitWhenPutMessage \
            wakeFlushWhenPutMessage warmMapedFileEnable",
    },
    WithoutEffect {
        why: "sockets have the settings of the operating system",
        keys: "channelNotActiveInterval clientChannelMaxIdleTimeSeconds clientCloseSocketIfTimeout \
            clientPooledByteBufAllocatorEnable clientSocketRcvBufSize clientSocketSndBufSize connectTimeoutMillis \
            enableFastChannelEventProcess enableNetWorkFlowControl enableReconnectForGoAway enableShutdownGracefully \
            maxReconnectIntervalTimeSeconds printChannelGroups printChannelGroupsMinNum serverPooledByteBufAllocatorEnable \
            serverSocketBacklog serverSocketRcvBufSize serverSocketSndBufSize shutdownWaitTimeSeconds socksProxyConfig \
            useEpollNativeSelector writeBufferHighWaterMark writeBufferLowWaterMark",
    },
    WithoutEffect {
        why: "every name server in namesrvAddr is told everything each time",
        keys: "cleanOfflineBrokerInterval compressedRegister enableSingleTopicRegister enableSplitRegistration \
            fetchNamesrvAddrInterval forceRegister scanAvailableNameSrv splitRegistrationSize updateNameServerAddrPeriod",
    },
    WithoutEffect {
        why: "everything lies below storePathRootDir, and the log of the process goes to standard error",
        keys: "abortFile isolateLogEnable rocketmqHome storeCheckpoint storePathConsumeQueue storePathConsumerQueue \
            storePathIndex",
    },
    WithoutEffect {
        why: "it belongs to the controller mode",
        keys: "allAckInSyncStateSet asyncLearner brokerElectionPriority checkSyncStateSetPeriod controllerAddr \
            controllerHeartBeatTimeoutMills dLegerGroup dLegerPeers dLegerSelfId fetchControllerAddrByDnsLookup \
            haMaxTimeSlaveNotCatchup maxSlaveResendLength preferredLeaderId storePathBrokerIdentity \
            storePathDLedgerCommitLog storePathEpochFile syncBrokerMetadataPeriod syncControllerMetadataPeriod \
            syncFromLastFile syncMasterFlushOffsetWhenStartup totalReplicas",
    },
    WithoutEffect {
        why: "a slave serves reads and takes over nothing else",
        keys: "brokerHeartbeatInterval brokerNotActiveTimeoutMillis compatibleWithOldNameSrv enableRemoteEscape \
            enableSlaveActingMaster forwardTimeout lockInStrictMode sendHeartbeatTimeoutMillis skipPreOnline \
            syncBrokerMemberGroupPeriod",
    },
    WithoutEffect {
        why: "delayed messages are delivered in the order of their level",
        keys: "enableScheduleAsyncDeliver scheduleAsyncDeliverMaxPendingLimit scheduleAsyncDeliverMaxResendNum2Blocked",
    },
    WithoutEffect {
        why: "there are no transactional messages",
        keys: "checkTransactionMessageEnable rejectTransactionMessage transactionCheckInterval transactionCheckMax \
            transactionMetricFlushInterval transactionOpBatchInterval transactionOpMsgMaxSize transactionTimeOut",
    },
    WithoutEffect {
        why: "there are no timer messages, but for the levels of messageDelayLevel",
        keys: "allowRecallWhenBrokerNotWriteable disappearTimeAfterStart mappedFileSizeTimerLog maxDelayTime \
            recallMessageEnable timerColdDataCheckIntervalMs timerCongestNumEachSlot timerEnableCheckMetrics \
            timerEnableRetryUntilSuccess timerFlushIntervalMs timerGetMessageThreadNum timerInterceptDelayLevel \
            timerMaxDelaySec timerMetricSmallThreshold timerPrecisionMs timerProgressLogIntervalMs timerPutMessageThreadNum \
            timerRollWindowSlot timerSkipUnknownError timerStopEnqueue timerWheelEnable",
    },
    WithoutEffect {
        why: "there is no POP consumption",
        keys: "appendAckAsync appendCkAsync defaultMessageRequestMode defaultPopShareQueueNum \
            enableNotifyAfterPopOrderLockRelease enableNotifyBeforePopCalculateLag enablePopBatchAck enablePopBufferMerge \
            enablePopLog enablePopMessageThreshold enableRetryTopicV2 enableSkipLongAwaitingAck initPopOffsetByCheckMsgInMem \
            loadBalancePollNameServerInterval maxPopPollingSize popCkMaxBufferSize popCkOffsetMaxQueueSize \
            popCkStayBufferTime popCkStayBufferTimeOut popConsumerFSServiceInit popConsumerKVServiceEnable \
            popConsumerKVServiceInit popConsumerKVServiceLog popFromRetryProbability popInflightMessageThreshold \
            popLongPollingForceNotifyInterval popPollingMapSize popPollingSize popResponseReturnActualRetryTopic \
            popReviveMaxAttemptTimes popReviveMaxReturnSizePerRead retrieveMessageFromPopRetryTopicV1 reviveAckWaitMs \
            reviveInterval reviveMaxSlow reviveQueueNum reviveScanTime serverLoadBalancerEnable skipWhenCKRePutReachMaxTimes",
    },
    WithoutEffect {
        why: "there are no filters but tags",
        keys: "bitMapLengthConsumeQueueExt enableCalcFilterBitMap enablePropertyFilter expectConsumerNumUseFilter \
            filterDataCleanTimeSpan filterServerNums filterSupportRetry mappedFileSizeConsumeQueueExt \
            maxErrorRateOfBloomFilter maxFilterMessageSize",
    },
    WithoutEffect {
        why: "there are no light message queues, batch queues and compaction",
        keys: "compactionCqMappedFileSize compactionMappedFileSize compactionScheduleInternal compactionThreadNum \
            enableCompaction enableLmq enableLmqStats enableMultiDispatch mapperFileSizeBatchConsumeQueue maxChecksumRange \
            maxLmqConsumeQueueNum maxOffsetMapSize searchBcqByCacheEnable",
    },
    WithoutEffect {
        why: "there is no RocksDB store",
        keys: "bottomMostCompressionTypeForConsumeQueueStore cleanRocksDBDirtyCQIntervalMin configManagerVersion \
            enableRocksDBLog memTableFlushIntervalMs realTimePersistRocksDBConfig replicasPerDiskPartition \
            rocksdbCQDoubleWriteEnable rocksdbCompressionType rocksdbFlushWalFrequency rocksdbWalFileRollingThreshold \
            statRocksDBCQIntervalSec",
    },
    WithoutEffect {
        why: "there is no access control",
        keys: "aclCacheExpiredSecond aclCacheMaxNum aclCacheRefreshSecond authConfigPath authenticationMetadataProvider \
            authenticationProvider authenticationStrategy authenticationWhitelist authorizationMetadataProvider \
            authorizationProvider authorizationStrategy authorizationWhitelist initAuthenticationUser \
            innerClientAuthenticationCredentials migrateAuthFromV1Enabled statefulAuthenticationCacheExpiredSecond \
            statefulAuthenticationCacheMaxNum statefulAuthorizationCacheExpiredSecond statefulAuthorizationCacheMaxNum \
            userCacheExpiredSecond userCacheMaxNum userCacheRefreshSecond",
    },
    WithoutEffect {
        why: "figures are what brokerStatus and brokerConsumeStats show",
        keys: "accountStatsEnable accountStatsPrintZeroValues autoDeleteUnusedStats commercialBaseCount commercialBigCount \
            commercialEnable commercialSizePerMsg commercialTimerCount commercialTransCount configBlackList \
            enableScheduleMessageStats estimateAccumulation flushConsumerOffsetHistoryInterval maxStatsIdleTimeInMinutes \
            metricGrpcExporterIntervalInMills metricGrpcExporterTimeOutInMills metricLoggingExporterIntervalInMills \
            metricsExporterType metricsGrpcExporterHeader metricsGrpcExporterTarget metricsInDelta metricsLabel \
            metricsOtelCardinalityLimit metricsPromExporterHost metricsPromExporterPort sampleCountThreshold sampleSteps",
    },
    WithoutEffect {
        why: "nothing in this broker depends on it",
        keys: "autoMessageVersionOnTopicLen broadcastOffsetExpireMaxSecond broadcastOffsetExpireSecond \
            clearRetryTopicWhenDeleteTopic consumerFallbehindThreshold consumerOffsetUpdateVersionStep \
            correctLogicMinOffsetForceInterval correctLogicMinOffsetSleepInterval defaultQueryMaxNum \
            delayOffsetUpdateVersionStep disableConsumeIfConsumerReadSlowly diskFallRecorded enableBatchPush isEnableBatchPush \
            enableBroadcastOffsetStore enableCleanExpiredOffset enableCreateSysGroup enableDetailStat enableMixedMessageType \
            enableRegisterProducer forceVerifyPropCRC highSpeedMode litePullMessageEnable \
            logicalDiskSpaceCleanForciblyThreshold maxBatchDeleteFilesNum maxConsumeQueueScan maxMsgsNumBatch \
            maxRecoveryCommitlogFiles maxTopicLength messageIndexSafe offsetCheckInSlave pullBatchMaxMessageCount \
            putMessageTimeout putMsgIndexHightWater readUnCommitted realTimeNotifyConsumerChange recheckReputOffsetFromCq \
            rejectPullConsumerEnable startAcceptSendRequestTimeStamp storeReplyMessageEnable subscriptionExpiredTimeout \
            travelCqFileNumWhenGetMessage useServerSideResetOffset useStaticSubscription validateSystemTopicWhenUpdateTopic",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_said_once_and_none_of_our_own_is_among_them() {
        let all: Vec<&str> = names().collect();
        let mut once = all.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), all.len());
        for key in all {
            assert!(crate::settings::find(key).is_none(), "{key}");
        }
    }
}
