//! What a broker registers with a name server (`RegisterBrokerBody`), in its two forms.
//!
//! The compressed form is zlib over
//! ```text
//! 4 length, DataVersion as JSON
//! 4 topics: { 4 length, "name readQueues writeQueues perm filterType[ attributes]" } ...
//! 4 length, list of filter servers as JSON
//! ```
//! and, from brokers of 5.0 on, topic-queue mappings, which are not read here.

use std::io::Write;

use bytes::{Buf, Bytes};
use flate2::Compression;
use serde::{Deserialize, Serialize};

use super::config::{DataVersion, TopicConfig, TopicConfigSerializeWrapper, TopicFilterType};
use super::{BodyError, JsonBody, json_body};
use crate::fastjson;
use crate::inflate::inflate;

/// The body of REGISTER_BROKER.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RegisterBrokerBody {
    /// Filter servers; none exist any more.
    pub filter_server_list: Vec<String>,
    /// The broker's topics.
    pub topic_config_serialize_wrapper: TopicConfigSerializeWrapper,
}

json_body!(RegisterBrokerBody);

fn wrong(reason: &'static str) -> BodyError {
    BodyError::Binary { body: "compressed RegisterBrokerBody", reason }
}

impl RegisterBrokerBody {
    /// Its compressed form.
    ///
    /// The form has no room for `order` and `topicSysFlag`: they arrive as their defaults, as they do between Apache's.
    #[must_use]
    pub fn encode_compressed(&self) -> Bytes {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::default());
        self.write_parts(&mut encoder).and_then(|()| encoder.finish()).expect("writing to memory does not fail").into()
    }

    fn write_parts(&self, out: &mut impl Write) -> std::io::Result<()> {
        fn part(out: &mut impl Write, bytes: &[u8]) -> std::io::Result<()> {
            // A broker's metadata is a few MiB at most; the frame limit is checked on the whole.
            out.write_all(&(bytes.len() as u32).to_be_bytes())?;
            out.write_all(bytes)
        }
        let wrapper = &self.topic_config_serialize_wrapper;
        part(out, &wrapper.data_version.encode())?;
        out.write_all(&(wrapper.topic_config_table.len() as u32).to_be_bytes())?;
        for config in wrapper.topic_config_table.values() {
            let filter_type = config.topic_filter_type.name();
            let TopicConfig { topic_name, read_queue_nums, write_queue_nums, perm, .. } = config;
            let line = format!("{topic_name} {read_queue_nums} {write_queue_nums} {perm} {filter_type}");
            part(out, line.as_bytes())?;
        }
        part(out, &serde_json::to_vec(&self.filter_server_list)?)
    }

    /// Reads either form, as the request's header says.
    ///
    /// # Errors
    /// It has not that form, or expands beyond the frame limit.
    pub fn decode_as(body: &[u8], compressed: bool) -> Result<Self, BodyError> {
        if compressed { Self::decode_compressed(body) } else { Self::decode(body) }
    }

    fn decode_compressed(body: &[u8]) -> Result<Self, BodyError> {
        let expanded = inflate(body).map_err(wrong)?;
        let mut rest = expanded.as_slice();
        let data_version = DataVersion::decode(part(&mut rest)?)?;
        let topics = rest.try_get_i32().map_err(|_| wrong("it ends early"))?;
        let mut wrapper = TopicConfigSerializeWrapper { data_version, ..TopicConfigSerializeWrapper::default() };
        for _ in 0..topics {
            let config = topic_config(part(&mut rest)?)?;
            wrapper.topic_config_table.insert(config.topic_name.clone(), config);
        }
        let filter_servers = part(&mut rest)?;
        let filter_server_list = fastjson::from_slice(filter_servers)
            .map_err(|source| BodyError::Json { body: "filterServerList of RegisterBrokerBody", source })?;
        Ok(Self { filter_server_list, topic_config_serialize_wrapper: wrapper })
    }
}

fn part<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], BodyError> {
    let length = rest.try_get_i32().map_err(|_| wrong("it ends early"))?;
    let (part, after) = usize::try_from(length)
        .ok()
        .and_then(|length| rest.split_at_checked(length))
        .ok_or_else(|| wrong("the length of a part does not fit"))?;
    *rest = after;
    Ok(part)
}

/// One line of the form, `TopicConfig.decode`.
fn topic_config(line: &[u8]) -> Result<TopicConfig, BodyError> {
    let line = std::str::from_utf8(line).map_err(|_| wrong("a topic is no UTF-8"))?;
    let mut words = line.splitn(6, ' ');
    let mut word = || words.next().ok_or_else(|| wrong("a topic has fewer than five parts"));
    let number = |word: &str| word.parse().map_err(|_| wrong("a topic has no number where one must be"));
    let topic_name = word()?.to_owned();
    let read_queue_nums = number(word()?)?;
    let write_queue_nums = number(word()?)?;
    let perm = number(word()?)?;
    let topic_filter_type =
        TopicFilterType::from_name(word()?).ok_or_else(|| wrong("a topic's filter type is unknown"))?;
    let attributes = words.next().and_then(|attributes| fastjson::from_str(attributes).ok());
    Ok(TopicConfig {
        attributes,
        perm,
        read_queue_nums,
        topic_filter_type,
        topic_name,
        write_queue_nums,
        ..TopicConfig::default()
    })
}
