//! `mqadmin`'s command line as people type it: what Apache's tool takes beyond what [`clap`] does.
//!
//! The name of a command is blind to letter case, `help` and `help COMMAND` are commands, and the value of an option may
//! begin with a hyphen (`-s -1`) unless it is itself an option of the command.

use clap::{Arg, Command, CommandFactory};

use super::CommandLine;

/// The arguments, without the program's name, in the form that [`CommandLine`] parses.
#[must_use]
pub fn normalised(arguments: impl IntoIterator<Item = String>) -> Vec<String> {
    let command_line = CommandLine::command();
    let mut out: Vec<String> = Vec::new();
    let mut command = None;
    let mut wants_help = false;
    let mut arguments = arguments.into_iter().peekable();
    while let Some(argument) = arguments.next() {
        if let Some(option) = option(&command_line, command, &argument) {
            let takes_value = option.get_action().takes_values() && !argument.contains('=');
            let is_value = |next: &String| {
                next.len() > 1 && next.starts_with('-') && self::option(&command_line, command, next).is_none()
            };
            match arguments.next_if(|next| takes_value && is_value(next)) {
                Some(value) => out.push(format!("{argument}={value}")),
                None => {
                    out.push(argument);
                    // So that a value is not taken for the command.
                    out.extend(arguments.next_if(|next| takes_value && !next.starts_with('-')));
                }
            }
        } else if command.is_none() && !wants_help && argument.eq_ignore_ascii_case("help") {
            wants_help = true;
        } else if command.is_none() && !argument.starts_with('-') {
            command = command_line.get_subcommands().find(|known| known.get_name().eq_ignore_ascii_case(&argument));
            out.push(command.map_or(argument, |command| command.get_name().to_owned()));
        } else {
            out.push(argument);
        }
    }
    if wants_help {
        out.push("--help".to_owned());
    }
    out
}

/// The option that an argument is: one of the command's, or one that stands before every command.
fn option<'a>(command_line: &'a Command, command: Option<&'a Command>, argument: &str) -> Option<&'a Arg> {
    let name = argument.split('=').next().unwrap_or(argument);
    let is_it = |arg: &&Arg| match name.strip_prefix("--") {
        Some(long) => arg.get_long() == Some(long),
        None => name.strip_prefix('-').is_some_and(|short| {
            let mut letters = short.chars();
            arg.get_short().is_some() && letters.next() == arg.get_short() && letters.next().is_none()
        }),
    };
    let own = command.and_then(|command| command.get_arguments().find(is_it));
    own.or_else(|| command_line.get_arguments().find(is_it))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn words(line: &str) -> Vec<String> {
        normalised(line.split(' ').map(str::to_owned))
    }

    #[test]
    fn commands_are_blind_to_letter_case_and_help_is_one() {
        for (typed, expected) in [
            ("topiclist", "topicList"),
            ("-n localhost:9876 UPDATETOPIC -c C -t T", "-n localhost:9876 updateTopic -c C -t T"),
            ("--namesrvAddr help:1 topicList", "--namesrvAddr help:1 topicList"),
            ("help", "--help"),
            ("HELP updatetopic", "updateTopic --help"),
            ("nonsense", "nonsense"),
            ("updateTopic -t help -c topicList", "updateTopic -t help -c topicList"),
        ] {
            assert_eq!(words(typed).join(" "), expected);
        }
    }

    #[test]
    fn a_value_may_begin_with_a_hyphen_unless_it_is_an_option() {
        for (typed, expected) in [
            ("resetOffsetByTime -g G -t T -s -1", "resetOffsetByTime -g G -t T -s=-1"),
            ("resetOffsetByTime -s -1 -g G -t T", "resetOffsetByTime -s=-1 -g G -t T"),
            ("updateBrokerConfig -b a:1 -k k --value -Xmx", "updateBrokerConfig -b a:1 -k k --value=-Xmx"),
            ("updateBrokerConfig -k -v 1", "updateBrokerConfig -k -v 1"),
            ("sendMessage -t T -p --", "sendMessage -t T -p=--"),
            ("sendMessage -t T -p -n", "sendMessage -t T -p -n"),
        ] {
            assert_eq!(words(typed).join(" "), expected);
        }
        let parsed = CommandLine::try_parse_from(
            [vec!["mqadmin".to_owned()], words("resetOffsetByTime -g G -t T -s -1")].concat(),
        );
        assert!(parsed.is_ok(), "{parsed:?}");
    }
}
