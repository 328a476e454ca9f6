//! What GET_BROKER_CONFIG answers: every setting that this broker has, and every one that Apache's 4.9.8 answers beside them,
//! because tools take them for granted: `mqadmin exportConfigs` ends with a NullPointerException where one is missing.

use super::{IN_SECONDS, all, apache};
use crate::config::BrokerConfig;

/// The settings that have no effect here, with the defaults of Apache's broker on a machine with one processor.
const WITHOUT_EFFECT: &str = "\
    accessMessageInMemoryMaxRatio=40 adminBrokerThreadPoolNums=16 autoDeleteUnusedStats=false \
    bitMapLengthConsumeQueueExt=64 channelNotActiveInterval=60000 clientAsyncSemaphoreValue=65535 \
    clientCallbackExecutorThreads=1 clientChannelMaxIdleTimeSeconds=120 clientCloseSocketIfTimeout=true \
    clientManageThreadPoolNums=32 clientManagerThreadPoolQueueCapacity=1000000 clientOnewaySemaphoreValue=65535 \
    clientPooledByteBufAllocatorEnable=false clientSocketRcvBufSize=0 clientSocketSndBufSize=0 clientWorkerThreads=4 \
    commercialBaseCount=1 commercialBigCount=1 commercialEnable=true commercialTimerCount=1 commercialTransCount=1 \
    commitCommitLogLeastPages=4 commitCommitLogThoroughInterval=200 commitIntervalCommitLog=200 \
    compressedRegister=false configBlackList=configBlackList;brokerConfigPath connectTimeoutMillis=3000 \
    consumerFallbehindThreshold=17179869184 consumerManageThreadPoolNums=32 \
    consumerManagerThreadPoolQueueCapacity=1000000 debugLockEnable=false defaultQueryMaxNum=32 \
    deleteCommitLogFilesInterval=100 deleteConsumeQueueFilesInterval=100 destroyMapedFileIntervalForcibly=120000 \
    disableConsumeIfConsumerReadSlowly=false diskFallRecorded=true enableCalcFilterBitMap=false \
    enableDetailStat=true enableLmq=false enableMultiDispatch=false enablePropertyFilter=false \
    enableScheduleAsyncDeliver=false enableScheduleMessageStats=true endTransactionPoolQueueCapacity=100000 \
    endTransactionThreadPoolNums=10 expectConsumerNumUseFilter=32 fastFailIfNoBufferInStorePool=false \
    filterDataCleanTimeSpan=86400000 filterServerNums=0 filterSupportRetry=false \
    flushConsumerOffsetHistoryInterval=60000 flushLeastPagesWhenWarmMapedFile=4096 forceRegister=true \
    heartbeatThreadPoolNums=1 heartbeatThreadPoolQueueCapacity=50000 highSpeedMode=false isEnableBatchPush=false \
    isolateLogEnable=false mappedFileSizeConsumeQueueExt=50331648 maxDelayTime=40 maxErrorRateOfBloomFilter=20 \
    maxLmqConsumeQueueNum=20000 maxMsgsNumBatch=64 messageIndexSafe=false offsetCheckInSlave=false \
    processReplyMessageThreadPoolNums=18 pullMessageThreadPoolNums=18 pullThreadPoolQueueCapacity=100000 \
    putMessageFutureThreadPoolNums=1 putMsgIndexHightWater=600000 putThreadPoolQueueCapacity=10000 \
    queryMessageThreadPoolNums=9 queryThreadPoolQueueCapacity=20000 redeleteHangedFileInterval=120000 \
    rejectTransactionMessage=false replyThreadPoolQueueCapacity=10000 scheduleAsyncDeliverMaxPendingLimit=2000 \
    scheduleAsyncDeliverMaxResendNum2Blocked=3 sendMessageThreadPoolNums=1 serverAsyncSemaphoreValue=64 \
    serverCallbackExecutorThreads=0 serverOnewaySemaphoreValue=256 serverPooledByteBufAllocatorEnable=true \
    serverSelectorThreads=3 serverSocketBacklog=1024 serverSocketRcvBufSize=0 serverSocketSndBufSize=0 \
    serverWorkerThreads=8 startAcceptSendRequestTimeStamp=0 storeReplyMessageEnable=true \
    transactionCheckInterval=60000 transactionCheckMax=15 transactionTimeOut=6000 transferMsgByHeap=true \
    transientStorePoolEnable=false transientStorePoolSize=5 useEpollNativeSelector=false \
    useReentrantLockWhenPutMessage=true waitTimeMillsInHeartbeatQueue=31000 waitTimeMillsInPullQueue=5000 \
    waitTimeMillsInTransactionQueue=3000 warmMapedFileEnable=false writeBufferHighWaterMark=0 \
    writeBufferLowWaterMark=0";

fn without_effect() -> impl Iterator<Item = (&'static str, &'static str)> {
    WITHOUT_EFFECT.split_ascii_whitespace().filter_map(|pair| pair.split_once('='))
}

/// All keys with their values, in alphabetical order.
pub fn answered(config: &BrokerConfig) -> Vec<(&'static str, String)> {
    let mut answered: Vec<(&'static str, String)> = all(config).collect();
    for (in_seconds, in_ms) in IN_SECONDS {
        let ms = answered.iter().find(|(key, _)| *key == in_ms).and_then(|(_, ms)| ms.parse::<u64>().ok());
        answered.extend(ms.map(|ms| (in_seconds, (ms / 1_000).to_string())));
    }
    answered.extend(apache::fixed().chain(without_effect()).map(|(key, value)| (key, value.to_owned())));
    answered.sort_unstable();
    answered
}

/// Whether a setting that has no effect is said to have this value.
pub(super) fn is_answered(key: &str, value: &str) -> bool {
    without_effect().any(|pair| pair == (key, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{SettingError, set, set_at_run_time};

    /// What `MixAll.object2Properties` makes of the four configurations of Apache's broker 4.9.8.
    const OF_APACHE: &str = include_str!("../../tests/golden/settings-4.9.8.txt");

    #[test]
    fn whatever_apaches_broker_answers_is_answered_once() {
        let answered = answered(&BrokerConfig::new("b", "s"));
        let keys: Vec<&str> = answered.iter().map(|(key, _)| *key).collect();
        let missing: Vec<&str> = OF_APACHE.lines().filter(|key| !keys.contains(key)).collect();
        assert!(missing.is_empty(), "{missing:?}");
        let mut once = keys.clone();
        once.dedup();
        assert_eq!(once, keys);
    }

    #[test]
    fn what_is_answered_can_be_sent_back() {
        let config = BrokerConfig::new("b", "s");
        let mut again = config.clone();
        for (key, value) in answered(&config) {
            set_at_run_time(&mut again, key, &value).unwrap();
            // Before the start the user is told that it has no effect.
            let set = set(&mut again, key, &value);
            assert!(matches!(set, Ok(()) | Err(SettingError::WithoutEffect { .. })), "{key}: {set:?}");
        }
        assert!(all(&config).eq(all(&again)));
    }
}
