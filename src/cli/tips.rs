//! Options that people know from other programs, and what to give instead.

use clap::builder::{StyledStr, UnknownArgumentValueParser};
use clap::{Arg, ArgAction, Command};

/// Each option, and what to do instead.
const TIPS: [(&str, &str); 15] = [
    ("token", "set HF_TOKEN, or log in with 'hf auth login': tokens on a command line are seen by other users"),
    ("hf-token", "set HF_TOKEN, or log in with 'hf auth login': tokens on a command line are seen by other users"),
    ("model-id", "name the model by itself, or with --model"),
    ("model-name", "name the model by itself, or with --model"),
    ("model-path", "name the folder by itself, or with --model"),
    ("repo-id", "name the model by itself, or with --model"),
    ("gpu", "--device cuda"),
    ("cuda", "--device cuda"),
    ("cpu", "--device cpu"),
    ("num-gpus", "--device auto takes all GPUs, and --device cuda:0,1 those two"),
    ("batch-size", "there is none: as many modules are in work as there is memory for"),
    ("trust-remote-code", "there is no need: no code of a model is ever run"),
    ("local-files-only", "--offline"),
    ("out", "-o DIR for the folder of all files, --output FILE for the file of all numbers"),
    ("yes", "there is nothing to confirm: files of other models are replaced only with --overwrite"),
];

/// `command`, which answers these options with a tip. Those that it has are left as they are.
pub fn with_tips(command: Command) -> Command {
    let is_known = |command: &Command, name: &str| {
        command.get_arguments().any(|argument| argument.get_long().is_some_and(|long| long == name))
    };
    TIPS.into_iter().fold(command, |command, (name, tip)| {
        if is_known(&command, name) {
            return command;
        }
        let parser = UnknownArgumentValueParser::suggest(StyledStr::from(tip));
        command.arg(Arg::new(name).long(name).action(ArgAction::SetTrue).value_parser(parser).hide(true))
    })
}
