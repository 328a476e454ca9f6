//! How much goes in and out (`BrokerStatsManager`), by topic and by group, over the last minute, hour and day.
//!
//! Counting is an addition; all else happens when [`Stats::sample`] is called, every ten seconds.

use std::collections::{BTreeMap, VecDeque};

use protocol::body::{BrokerStatsData, BrokerStatsItem};

/// How often [`Stats::sample`] is to be called, in ms.
pub const SAMPLE_INTERVAL_MS: i64 = 10_000;

/// Sums that only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Messages.
    pub messages: i64,
    /// Bytes of their records.
    pub bytes: i64,
}

/// Sums with their recent history.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// Since the broker started.
    pub totals: Totals,
    minute: VecDeque<(i64, Totals)>,
    hour: VecDeque<(i64, Totals)>,
    day: VecDeque<(i64, Totals)>,
}

/// One window: how far back, how many samples.
const MINUTE: (i64, usize) = (SAMPLE_INTERVAL_MS, 7);
const HOUR: (i64, usize) = (600_000, 7);
const DAY: (i64, usize) = (3_600_000, 25);

impl Series {
    /// Counts.
    pub const fn add(&mut self, messages: i64, bytes: i64) {
        self.totals.messages += messages;
        self.totals.bytes += bytes;
    }

    fn sample(&mut self, now_ms: i64) {
        for (samples, (interval_ms, count)) in
            [(&mut self.minute, MINUTE), (&mut self.hour, HOUR), (&mut self.day, DAY)]
        {
            // A little early counts as in time: the sampling task's ticks are not exact.
            let due = samples.back().is_none_or(|(at_ms, _)| now_ms - at_ms >= interval_ms - SAMPLE_INTERVAL_MS / 2);
            if due {
                samples.push_back((now_ms, self.totals));
                if samples.len() > count {
                    samples.pop_front();
                }
            }
        }
    }

    /// Messages per second over the last minute.
    #[must_use]
    pub fn messages_per_s(&self) -> f64 {
        window(&self.minute, |totals| totals.messages).tps
    }

    /// The figures of the three windows.
    #[must_use]
    pub fn view(&self, of: fn(&Totals) -> i64) -> BrokerStatsData {
        BrokerStatsData {
            stats_day: window(&self.day, of),
            stats_hour: window(&self.hour, of),
            stats_minute: window(&self.minute, of),
        }
    }
}

fn window(samples: &VecDeque<(i64, Totals)>, of: fn(&Totals) -> i64) -> BrokerStatsItem {
    match (samples.front(), samples.back()) {
        (Some((from_ms, first)), Some((to_ms, last))) if to_ms > from_ms => {
            let sum = of(last) - of(first);
            let events = last.messages - first.messages;
            let avgpt = if events > 0 { sum as f64 / events as f64 } else { 0.0 };
            BrokerStatsItem { sum, tps: sum as f64 * 1000.0 / (to_ms - from_ms) as f64, avgpt }
        }
        _ => BrokerStatsItem::default(),
    }
}

/// All figures of a broker.
#[derive(Debug, Default)]
pub struct Stats {
    /// All that was stored.
    pub put: Series,
    /// All that was given to consumers.
    pub get: Series,
    /// Pulls that found nothing, in `messages`.
    pub get_miss: Series,
    put_by_topic: BTreeMap<String, Series>,
    get_by_group: BTreeMap<String, BTreeMap<String, Series>>,
    send_back_by_group: BTreeMap<String, BTreeMap<String, Series>>,
}

impl Stats {
    /// Messages were stored.
    pub fn count_put(&mut self, topic: &str, messages: i64, bytes: i64) {
        self.put.add(messages, bytes);
        entry(&mut self.put_by_topic, topic).add(messages, bytes);
    }

    /// Messages were given to a group.
    pub fn count_get(&mut self, group: &str, topic: &str, messages: i64, bytes: i64) {
        self.get.add(messages, bytes);
        entry(entry(&mut self.get_by_group, group), topic).add(messages, bytes);
    }

    /// A group sent a message back.
    pub fn count_send_back(&mut self, group: &str, topic: &str) {
        entry(entry(&mut self.send_back_by_group, group), topic).add(1, 0);
    }

    /// Takes samples of all figures.
    pub fn sample(&mut self, now_ms: i64) {
        for series in [&mut self.put, &mut self.get, &mut self.get_miss] {
            series.sample(now_ms);
        }
        let by_group = self.get_by_group.values_mut().chain(self.send_back_by_group.values_mut());
        for series in self.put_by_topic.values_mut().chain(by_group.flat_map(BTreeMap::values_mut)) {
            series.sample(now_ms);
        }
    }

    /// How fast a group consumes its topics, in messages per second.
    #[must_use]
    pub fn group_get_tps(&self, group: &str, topic: &str) -> f64 {
        self.get_by_group.get(group).and_then(|topics| topics.get(topic)).map_or(0.0, Series::messages_per_s)
    }

    /// A figure by RocketMQ's name for it and its key (a topic, or `topic@group`); `None` if it was never counted.
    #[must_use]
    pub fn view(&self, name: &str, key: &str) -> Option<BrokerStatsData> {
        let by_group = |map: &BTreeMap<String, BTreeMap<String, Series>>, of: fn(&Totals) -> i64| {
            let (topic, group) = key.split_once('@')?;
            map.get(group)?.get(topic).map(|series| series.view(of))
        };
        match name {
            "TOPIC_PUT_NUMS" => self.put_by_topic.get(key).map(|series| series.view(|totals| totals.messages)),
            "TOPIC_PUT_SIZE" => self.put_by_topic.get(key).map(|series| series.view(|totals| totals.bytes)),
            "GROUP_GET_NUMS" => by_group(&self.get_by_group, |totals| totals.messages),
            "GROUP_GET_SIZE" => by_group(&self.get_by_group, |totals| totals.bytes),
            "SNDBCK_PUT_NUMS" => by_group(&self.send_back_by_group, |totals| totals.messages),
            "BROKER_PUT_NUMS" => Some(self.put.view(|totals| totals.messages)),
            "BROKER_GET_NUMS" => Some(self.get.view(|totals| totals.messages)),
            _ => None,
        }
    }

    /// Forgets a topic.
    pub fn remove_topic(&mut self, topic: &str) {
        self.put_by_topic.remove(topic);
        for topics in self.get_by_group.values_mut().chain(self.send_back_by_group.values_mut()) {
            topics.remove(topic);
        }
    }
}

fn entry<'a, V: Default>(map: &'a mut BTreeMap<String, V>, key: &str) -> &'a mut V {
    if !map.contains_key(key) {
        map.insert(key.to_owned(), V::default());
    }
    map.get_mut(key).expect("the key is there: it was inserted above if it was missing")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_over_the_last_minute() {
        let mut stats = Stats::default();
        for tick in 0..30 {
            stats.sample(tick * SAMPLE_INTERVAL_MS);
            stats.count_put("T", 20, 2000);
            stats.count_get("g", "T", 10, 1000);
        }
        assert!((stats.put.messages_per_s() - 2.0).abs() < 1e-9);
        assert!((stats.group_get_tps("g", "T") - 1.0).abs() < 1e-9);
        let view = stats.view("TOPIC_PUT_SIZE", "T").unwrap();
        assert_eq!(view.stats_minute.sum, 12_000);
        assert!((view.stats_minute.avgpt - 100.0).abs() < 1e-9);
        assert!(stats.view("GROUP_GET_NUMS", "T@g").is_some());
        assert!(stats.view("TOPIC_PUT_NUMS", "none").is_none());
    }
}
