//! How much goes in and out (`BrokerStatsManager`), by topic and by group, over the last minute, hour and day.
//!
//! Counting is an addition; all else happens when samples are taken, every ten seconds, some at a time: everybody counts here.
//!
//! Anybody can pull as ever new groups. So there is a limit to the figures by name ([`SERIES_MAX`]): beyond it what is new is
//! counted with all only. Those that have not moved for a day are forgotten, and for an hour if there are many.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use protocol::body::{BrokerStatsData, BrokerStatsItem};

/// How often samples are to be taken, in ms.
pub const SAMPLE_INTERVAL_MS: i64 = 10_000;
/// The most topics, and the most pairs of topic and group, of which there are figures of each kind.
pub const SERIES_MAX: usize = 32_768;
/// More are many.
const MANY_SERIES: usize = SERIES_MAX / 4;

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

    /// Whether nothing was counted for as long as these samples reach back, once there are all of them.
    fn is_idle(&self, many: bool) -> bool {
        let (samples, count) = if many { (&self.hour, HOUR.1) } else { (&self.day, DAY.1) };
        samples.len() == count && samples.front().is_some_and(|(_, totals)| *totals == self.totals)
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

/// Figures by a name: a topic, or `topic@group`.
#[derive(Debug, Default)]
struct ByName(BTreeMap<Box<str>, Series>);

impl ByName {
    fn add(&mut self, name: &str, messages: i64, bytes: i64) {
        if let Some(series) = self.0.get_mut(name) {
            series.add(messages, bytes);
        } else if self.0.len() < SERIES_MAX {
            self.0.entry(name.into()).or_default().add(messages, bytes);
        }
    }

    /// Takes samples of the next `count` after `after`; after which to go on, if there are more.
    fn sample(&mut self, now_ms: i64, after: Option<&str>, count: usize) -> Option<Box<str>> {
        let many = self.0.len() > MANY_SERIES;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let (mut seen, mut last) = (0, None);
        let mut idle = Vec::new();
        for (name, series) in self.0.range_mut::<str, _>((from, Bound::Unbounded)).take(count) {
            series.sample(now_ms);
            if series.is_idle(many) {
                idle.push(name.clone());
            }
            (seen, last) = (seen + 1, Some(name));
        }
        let next = last.filter(|_| seen == count).cloned();
        idle.iter().for_each(|name| drop(self.0.remove(name)));
        next
    }

    fn remove_topic_of_groups(&mut self, topic: &str) {
        let prefix = of_group(topic, "");
        let of_topic = self.0.range::<str, _>((Bound::Included(&*prefix), Bound::Unbounded));
        let names: Vec<Box<str>> =
            of_topic.map(|(name, _)| name.clone()).take_while(|name| name.starts_with(&prefix)).collect();
        names.iter().for_each(|name| drop(self.0.remove(name)));
    }
}

/// RocketMQ's name for a topic and a group.
fn of_group(topic: &str, group: &str) -> String {
    [topic, "@", group].concat()
}

/// How far a round of samples has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sampled(usize, Option<Box<str>>);

/// All figures of a broker.
#[derive(Debug, Default)]
pub struct Stats {
    /// All that was stored.
    pub put: Series,
    /// All that was given to consumers.
    pub get: Series,
    /// Pulls that found nothing, in `messages`.
    pub get_miss: Series,
    put_by_topic: ByName,
    get_by_group: ByName,
    send_back_by_group: ByName,
}

impl Stats {
    /// Messages were stored.
    pub fn count_put(&mut self, topic: &str, messages: i64, bytes: i64) {
        self.put.add(messages, bytes);
        self.put_by_topic.add(topic, messages, bytes);
    }

    /// Messages were given to a group.
    pub fn count_get(&mut self, group: &str, topic: &str, messages: i64, bytes: i64) {
        self.get.add(messages, bytes);
        self.get_by_group.add(&of_group(topic, group), messages, bytes);
    }

    /// A group sent a message back.
    pub fn count_send_back(&mut self, group: &str, topic: &str) {
        self.send_back_by_group.add(&of_group(topic, group), 1, 0);
    }

    /// Takes samples of `count` figures by name, and of the general ones at the beginning of a round; how far it has come, if there
    /// are more.
    pub fn sample(&mut self, now_ms: i64, from: Option<Sampled>, count: usize) -> Option<Sampled> {
        let Sampled(table, after) = from.unwrap_or_else(|| {
            for series in [&mut self.put, &mut self.get, &mut self.get_miss] {
                series.sample(now_ms);
            }
            Sampled(0, None)
        });
        let tables = [&mut self.put_by_topic, &mut self.get_by_group, &mut self.send_back_by_group];
        let last = tables.len() - 1;
        let next = tables.into_iter().nth(table)?.sample(now_ms, after.as_deref(), count);
        match next {
            Some(name) => Some(Sampled(table, Some(name))),
            None => (table < last).then_some(Sampled(table + 1, None)),
        }
    }

    /// How fast a group consumes its topics, in messages per second.
    #[must_use]
    pub fn group_get_tps(&self, group: &str, topic: &str) -> f64 {
        self.get_by_group.0.get(&*of_group(topic, group)).map_or(0.0, Series::messages_per_s)
    }

    /// A figure by RocketMQ's name for it and its key (a topic, or `topic@group`); `None` if it was never counted.
    #[must_use]
    pub fn view(&self, name: &str, key: &str) -> Option<BrokerStatsData> {
        let messages = |totals: &Totals| totals.messages;
        let bytes = |totals: &Totals| totals.bytes;
        match name {
            "TOPIC_PUT_NUMS" => self.put_by_topic.0.get(key).map(|series| series.view(messages)),
            "TOPIC_PUT_SIZE" => self.put_by_topic.0.get(key).map(|series| series.view(bytes)),
            "GROUP_GET_NUMS" => self.get_by_group.0.get(key).map(|series| series.view(messages)),
            "GROUP_GET_SIZE" => self.get_by_group.0.get(key).map(|series| series.view(bytes)),
            "SNDBCK_PUT_NUMS" => self.send_back_by_group.0.get(key).map(|series| series.view(messages)),
            "BROKER_PUT_NUMS" => Some(self.put.view(messages)),
            "BROKER_GET_NUMS" => Some(self.get.view(messages)),
            _ => None,
        }
    }

    /// Forgets a topic.
    pub fn remove_topic(&mut self, topic: &str) {
        self.put_by_topic.0.remove(topic);
        self.get_by_group.remove_topic_of_groups(topic);
        self.send_back_by_group.remove_topic_of_groups(topic);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A whole round; in how many slices.
    fn sample(stats: &mut Stats, now_ms: i64) -> usize {
        let mut slices = 0;
        let mut from = None;
        loop {
            from = stats.sample(now_ms, from, 100);
            slices += 1;
            if from.is_none() {
                return slices;
            }
        }
    }

    #[test]
    fn there_are_so_many_figures_and_no_more_and_what_is_idle_goes() {
        let mut stats = Stats::default();
        for number in 0..SERIES_MAX + 10 {
            stats.count_get(&format!("g{number}"), "T", 1, 10);
        }
        stats.count_put("T", 1, 10);
        assert_eq!(stats.get_by_group.0.len(), SERIES_MAX);
        assert_eq!(stats.get.totals.messages, SERIES_MAX as i64 + 10, "what is beyond is counted with all");
        // Each table's last slice may be an empty one.
        let slices = sample(&mut stats, 0);
        assert!((SERIES_MAX / 100..SERIES_MAX / 100 + 4).contains(&slices), "{slices}");
        let mut now_ms = 0;
        for _ in 0..8 {
            now_ms += HOUR.0;
            stats.count_get("g5", "T", 1, 10);
            sample(&mut stats, now_ms);
        }
        assert!(stats.get_by_group.0.len() <= MANY_SERIES, "there were many, and an hour is long");
        assert!(stats.view("GROUP_GET_NUMS", "T@g5").is_some(), "it was counted all the time");
        assert!(stats.view("TOPIC_PUT_NUMS", "T").is_some(), "there are few");
        for _ in 0..26 {
            now_ms += DAY.0;
            sample(&mut stats, now_ms);
        }
        assert!(stats.get_by_group.0.is_empty() && stats.put_by_topic.0.is_empty());
    }

    #[test]
    fn the_figures_of_a_topic_go_with_it() {
        let mut stats = Stats::default();
        for topic in ["T", "TT", "S", "T-"] {
            stats.count_put(topic, 1, 1);
            stats.count_get("g", topic, 1, 1);
            stats.count_send_back("h", topic);
        }
        stats.remove_topic("T");
        for (topic, is_there) in [("T", false), ("TT", true), ("S", true), ("T-", true)] {
            assert_eq!(stats.view("TOPIC_PUT_NUMS", topic).is_some(), is_there);
            assert_eq!(stats.view("GROUP_GET_NUMS", &of_group(topic, "g")).is_some(), is_there);
            assert_eq!(stats.view("SNDBCK_PUT_NUMS", &of_group(topic, "h")).is_some(), is_there);
        }
    }

    #[test]
    fn rates_are_over_the_last_minute() {
        let mut stats = Stats::default();
        for tick in 0..30 {
            sample(&mut stats, tick * SAMPLE_INTERVAL_MS);
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
