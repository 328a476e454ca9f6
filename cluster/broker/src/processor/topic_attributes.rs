//! The attributes that 5.x gives topics, and which of them this broker can keep (`TopicAttributes`, `AttributeUtil`).
//!
//! A request brings changes: `+name=value` sets an attribute, `-name` takes it away. What asks for another kind of queue, of
//! cleaning or of message than there is here is refused: 5.x does something else with such a topic's messages, and the topic
//! would be taken for one of that kind. An attribute that says what is so anyway is kept and shown.

use std::collections::BTreeMap;

/// An attribute, and the values that are so here.
struct Attribute {
    name: &'static str,
    values: &'static [&'static str],
    /// What is not here that other values ask for.
    otherwise: &'static str,
}

const ATTRIBUTES: [Attribute; 4] = [
    Attribute { name: "cleanup.policy", values: &["DELETE"], otherwise: "there is no compaction" },
    Attribute {
        name: "message.type",
        values: &["UNSPECIFIED", "NORMAL", "FIFO", "DELAY", "MIXED"],
        otherwise: "there are messages with and without order, and with the levels of messageDelayLevel",
    },
    Attribute { name: "queue.type", values: &["SimpleCQ"], otherwise: "there is one kind of ConsumeQueue" },
    Attribute { name: "reserve.time", values: &["-1"], otherwise: "fileReservedTime is that of all topics" },
];

/// The changes in a header's text, `+name=value,-name`.
pub(crate) fn parse(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut changes = BTreeMap::new();
    for change in text.split(',').map(str::trim).filter(|change| !change.is_empty()) {
        let (name, value) = change.split_once('=').unwrap_or((change, ""));
        if changes.insert(name.trim().to_owned(), value.trim().to_owned()).is_some() {
            return Err(format!("attribute {name} is changed twice"));
        }
    }
    Ok(changes)
}

/// What a topic's attributes are after changes, or why they cannot be.
pub(crate) fn changed(
    known: Option<BTreeMap<String, String>>,
    changes: &BTreeMap<String, String>,
) -> Result<Option<BTreeMap<String, String>>, String> {
    let mut attributes = known.unwrap_or_default();
    for (change, value) in changes {
        if let Some(name) = change.strip_prefix('-') {
            attributes.remove(name);
            continue;
        }
        let name = change.strip_prefix('+').unwrap_or(change);
        let Some(attribute) = ATTRIBUTES.iter().find(|attribute| attribute.name == name) else {
            let names = ATTRIBUTES.map(|attribute| attribute.name).join(", ");
            return Err(format!("there is no attribute {name}: there are {names}"));
        };
        if !attribute.values.contains(&value.as_str()) {
            let values = attribute.values.join(", ");
            return Err(format!(
                "attribute {name}={value} cannot be kept: it can be {values}; {}",
                attribute.otherwise
            ));
        }
        attributes.insert(name.to_owned(), value.clone());
    }
    Ok(Some(attributes).filter(|attributes| !attributes.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(known: &[(&str, &str)], text: &str) -> Result<Vec<(String, String)>, String> {
        let known = known.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        changed(Some(known), &parse(text)?).map(|all| all.unwrap_or_default().into_iter().collect())
    }

    #[test]
    fn what_is_so_anyway_is_kept_and_what_is_not_is_refused() {
        let fifo = [("message.type".to_owned(), "FIFO".to_owned())];
        assert_eq!(after(&[], "+message.type=FIFO"), Ok(fifo.to_vec()));
        assert_eq!(after(&[("message.type", "NORMAL")], " +message.type=FIFO , -queue.type"), Ok(fifo.to_vec()));
        assert_eq!(after(&[("message.type", "FIFO")], ""), Ok(fifo.to_vec()));
        assert_eq!(after(&[("message.type", "FIFO")], "-message.type"), Ok(Vec::new()));
        for (refused, says) in [
            ("+message.type=TRANSACTION", "can be UNSPECIFIED, NORMAL"),
            ("+cleanup.policy=COMPACTION", "there is no compaction"),
            ("+queue.type=BatchCQ", "one kind of ConsumeQueue"),
            ("+reserve.time=1000", "fileReservedTime"),
            ("+colour=blue", "there is no attribute colour"),
            ("+message.type=FIFO,+message.type=NORMAL", "twice"),
        ] {
            let refusal = after(&[], refused).expect_err(refused);
            assert!(refusal.contains(says), "{refused}: {refusal}");
        }
    }
}
