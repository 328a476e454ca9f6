//! `mqadmin`'s commands: what an operator asks of name servers and brokers, under RocketMQ's names and options.
//!
//! Each command is a struct of its options with a `run` that gives the text to print; one file for each family. They speak
//! remoting directly, so that what they show is what the servers said. Times are those of the machine's zone, as with Apache's
//! tool.
//!
//! A command that concerns several servers goes on when one of them does not answer or refuses: it shows and does the rest,
//! and names what is missing ([`AdminError::Partial`]).

mod arguments;
mod broker;
mod connection;
mod group;
mod message;
mod query;
mod replica_group;
mod republish;
mod session;
mod store_check;
mod text;
mod topic;

use clap::{Parser, Subcommand};

pub use arguments::normalised;
pub use session::{AdminError, Session};
pub use text::Times;

/// The command line of `mqadmin`.
#[derive(Debug, Parser)]
#[command(name = "mqadmin", version, about = "Administers a cluster", disable_help_subcommand = true)]
pub struct CommandLine {
    /// The name servers, host:port, several separated by semicolons; or the environment variable NAMESRV_ADDR.
    #[arg(short = 'n', long = "namesrvAddr", value_name = "ADDRESSES", global = true)]
    pub namesrv_addr: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
#[command(rename_all = "camelCase")]
pub enum Command {
    /// Create a topic, or change it
    UpdateTopic(topic::UpdateTopic),
    /// Change what a topic permits
    UpdateTopicPerm(topic::UpdateTopicPerm),
    /// Delete a topic from the brokers and the name servers
    DeleteTopic(topic::DeleteTopic),
    /// List all topics
    TopicList(topic::TopicList),
    /// Show where a topic is
    TopicRoute(topic::TopicRoute),
    /// Show a topic's queues and their offsets
    TopicStatus(topic::TopicStatus),
    /// List all clusters and their brokers
    ClusterList(broker::ClusterList),
    /// Show a broker's figures
    BrokerStatus(broker::BrokerStatus),
    /// Show the members, histories and needs of replica groups
    ReplicaGroup(replica_group::ReplicaGroup),
    /// Take a slave that is gone for good out of its replica group
    RemoveReplica(replica_group::RemoveReplica),
    /// Let a master begin without what it waits for
    BeginHistory(replica_group::BeginHistory),
    /// Send what only a set-aside part of a log has into the living topics
    Republish(republish::Republish),
    /// Show a broker's settings
    GetBrokerConfig(broker::GetBrokerConfig),
    /// Change a setting of running brokers
    UpdateBrokerConfig(broker::UpdateBrokerConfig),
    /// Take the write permission from all topics of a broker
    WipeWritePerm(broker::WipeWritePerm),
    /// Give the write permission back to all topics of a broker
    AddWritePerm(broker::AddWritePerm),
    /// Create a consumer group, or change it
    UpdateSubGroup(group::UpdateSubGroup),
    /// Delete a consumer group
    DeleteSubGroup(group::DeleteSubGroup),
    /// Show the members of a consumer group
    ConsumerConnection(connection::ShowConsumers),
    /// Show the members of a producer group
    ProducerConnection(connection::ShowProducers),
    /// Show how far consumer groups are
    ConsumerProgress(group::ConsumerProgress),
    /// Set a consumer group back or forward to a time
    ResetOffsetByTime(group::ResetOffsetByTime),
    /// Show a message by its offset message id
    QueryMsgById(message::QueryMsgById),
    /// Find messages by one of their keys
    QueryMsgByKey(query::QueryMsgByKey),
    /// Show a message by the id that its producer gave it
    QueryMsgByUniqueKey(query::QueryMsgByUniqueKey),
    /// Look for damage in a store directory, changing nothing
    StoreCheck(store_check::StoreCheck),
    /// Send a message
    SendMessage(message::SendMessage),
    /// Show the messages of a topic, of a time, with some tags
    PrintMsg(message::PrintMsg),
    /// Show the messages of a topic
    ConsumeMessage(message::ConsumeMessage),
}

impl Command {
    /// Does it; gives what to print.
    ///
    /// # Errors
    /// A server does not answer, or refuses.
    pub async fn run(&self, session: &Session) -> Result<String, AdminError> {
        match self {
            Self::UpdateTopic(command) => command.run(session).await,
            Self::UpdateTopicPerm(command) => command.run(session).await,
            Self::DeleteTopic(command) => command.run(session).await,
            Self::TopicList(command) => command.run(session).await,
            Self::TopicRoute(command) => command.run(session).await,
            Self::TopicStatus(command) => command.run(session).await,
            Self::ClusterList(command) => command.run(session).await,
            Self::BrokerStatus(command) => command.run(session).await,
            Self::ReplicaGroup(command) => command.run(session).await,
            Self::RemoveReplica(command) => command.run(session).await,
            Self::BeginHistory(command) => command.run(session).await,
            Self::Republish(command) => command.run(session).await,
            Self::GetBrokerConfig(command) => command.run(session).await,
            Self::UpdateBrokerConfig(command) => command.run(session).await,
            Self::WipeWritePerm(command) => command.run(session).await,
            Self::AddWritePerm(command) => command.run(session).await,
            Self::UpdateSubGroup(command) => command.run(session).await,
            Self::DeleteSubGroup(command) => command.run(session).await,
            Self::ConsumerConnection(command) => command.run(session).await,
            Self::ProducerConnection(command) => command.run(session).await,
            Self::ConsumerProgress(command) => command.run(session).await,
            Self::ResetOffsetByTime(command) => command.run(session).await,
            Self::QueryMsgById(command) => command.run(session).await,
            Self::QueryMsgByKey(command) => command.run(session).await,
            Self::QueryMsgByUniqueKey(command) => command.run(session).await,
            Self::StoreCheck(command) => command.run().await,
            Self::SendMessage(command) => command.run(session).await,
            Self::PrintMsg(command) => command.run(session).await,
            Self::ConsumeMessage(command) => command.run(session).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_has_rocketmqs_names() {
        let command = CommandLine::command();
        command.clone().debug_assert();
        let names: Vec<_> = command.get_subcommands().map(clap::Command::get_name).collect();
        for name in
            ["updateTopic", "consumerProgress", "resetOffsetByTime", "queryMsgById", "getBrokerConfig", "wipeWritePerm"]
        {
            assert!(names.contains(&name), "{name}");
        }
    }
}
