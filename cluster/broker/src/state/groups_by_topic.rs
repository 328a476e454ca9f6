//! Which groups have to do with a topic: the other side of a table by group, so that who asks about one topic, or deletes it,
//! does not walk through all groups.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// Groups by topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupsByTopic(BTreeMap<String, BTreeSet<String>>);

impl GroupsByTopic {
    /// The group has to do with the topic.
    pub fn insert(&mut self, topic: &str, group: &str) {
        match self.0.get_mut(topic) {
            Some(groups) if groups.contains(group) => {}
            Some(groups) => drop(groups.insert(group.to_owned())),
            None => drop(self.0.insert(topic.to_owned(), BTreeSet::from([group.to_owned()]))),
        }
    }

    /// The group has nothing to do with the topic any more.
    pub fn remove(&mut self, topic: &str, group: &str) {
        if let Some(groups) = self.0.get_mut(topic) {
            groups.remove(group);
            if groups.is_empty() {
                self.0.remove(topic);
            }
        }
    }

    /// Nobody has to do with the topic any more; who had.
    pub fn remove_topic(&mut self, topic: &str) -> BTreeSet<String> {
        self.0.remove(topic).unwrap_or_default()
    }

    /// Who has to do with the topic.
    pub fn all(&self, topic: &str) -> impl Iterator<Item = &str> {
        self.0.get(topic).into_iter().flatten().map(String::as_str)
    }

    /// The next `most` groups of a topic after `after`; and where to go on, if there may be more.
    #[must_use]
    pub fn some(&self, topic: &str, after: Option<&str>, most: usize) -> (Vec<String>, Option<String>) {
        let Some(groups) = self.0.get(topic) else { return (Vec::new(), None) };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let some: Vec<String> = groups.range::<str, _>((from, Bound::Unbounded)).take(most).cloned().collect();
        let next = some.last().filter(|_| some.len() == most).cloned();
        (some, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_given_by_topic_some_at_a_time() {
        let mut table = GroupsByTopic::default();
        for (topic, group) in [("T", "c"), ("T", "a"), ("U", "a"), ("T", "b"), ("T", "a")] {
            table.insert(topic, group);
        }
        let (first, next) = table.some("T", None, 2);
        assert_eq!((first, next.as_deref()), (vec!["a".to_owned(), "b".to_owned()], Some("b")));
        assert_eq!(table.some("T", Some("b"), 2), (vec!["c".to_owned()], None));
        table.remove("U", "a");
        assert_eq!(table.remove_topic("T").len(), 3);
        assert_eq!(table, GroupsByTopic::default());
    }
}
