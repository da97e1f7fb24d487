//! Options that people know from other programs, and what to give instead.

use clap::builder::{StyledStr, UnknownArgumentValueParser};
use clap::{Arg, Command};

/// Each option, what to do instead, and the option for which that is, if it is for one.
const TIPS: [(&str, &str, Option<&str>); 16] = [
    ("token", "set HF_TOKEN, or log in with 'hf auth login': tokens on a command line are seen by other users", None),
    (
        "hf-token",
        "set HF_TOKEN, or log in with 'hf auth login': tokens on a command line are seen by other users",
        None,
    ),
    ("model-id", "name the model by itself, or with --model", Some("model")),
    ("model-name", "name the model by itself, or with --model", Some("model")),
    ("model-path", "name the folder by itself, or with --model", Some("model")),
    ("repo-id", "name the model by itself, or with --model", Some("model")),
    ("gpu", "--device cuda", Some("device")),
    ("cuda", "--device cuda", Some("device")),
    ("cpu", "--device cpu", Some("device")),
    ("num-gpus", "--device auto takes all GPUs, and --device cuda:0,1 those two", Some("device")),
    ("batch-size", "there is none: as many modules are in work as there is memory for", Some("device")),
    ("trust-remote-code", "there is no need: no code of a model is ever run", None),
    ("local-files-only", "--offline", Some("offline")),
    ("out", "--output-dir DIR for the folder of all files, --output FILE for one of them", Some("output-dir")),
    ("json", "--format json", Some("format")),
    ("yes", "there is nothing to confirm: files of other models are replaced only with --overwrite", Some("overwrite")),
];

/// `command`, which answers these options with a tip. Those that it has are left as they are.
pub fn with_tips(command: Command) -> Command {
    let is_known = |command: &Command, name: &str| {
        command.get_arguments().any(|argument| argument.get_long().is_some_and(|long| long == name))
    };
    TIPS.into_iter().fold(command, |command, (name, tip, option)| {
        if is_known(&command, name) || option.is_some_and(|option| !is_known(&command, option)) {
            return command;
        }
        // With or without a value, it is told that it is not known.
        let parser = UnknownArgumentValueParser::suggest(StyledStr::from(tip));
        command.arg(
            Arg::new(name)
                .long(name)
                .num_args(0..=1)
                .default_missing_value("")
                .value_name("VALUE")
                .value_parser(parser)
                .hide(true),
        )
    })
}
