//! The help of each command: the flags that concern it, and no others.

use std::ffi::OsString;

use clap::Command;

use super::collector_flags::is_collector_flag;

/// The flags that every command takes, and the commands that they concern. Whatever else there is
/// concerns the daemon alone.
const CONCERNS: [(&str, &[&str]); 2] = [
    ("config_file", &["run", "check", "indexes", "healthcheck"]),
    ("listen_address", &["run", "check", "healthcheck", "demo"]),
];

/// The same command, with the flags hidden that do not concern the one that these arguments name.
/// The daemon is what there is without a name; only `run --help` lists the collectors' flags.
pub(super) fn shown_for(command: Command, arguments: impl Iterator<Item = OsString>) -> Command {
    let names: Vec<_> = command.get_subcommands().map(|one| one.get_name().to_owned()).collect();
    let given = arguments.skip(1).filter_map(|argument| argument.into_string().ok());
    let named = given.into_iter().find(|argument| names.contains(argument));
    let is_shown = |id: &str| match named.as_deref() {
        None => !is_collector_flag(id),
        Some("run") => true,
        Some(named) => {
            CONCERNS.iter().any(|(flag, commands)| *flag == id && commands.contains(&named))
        }
    };
    let more =
        named.is_none().then_some("`poolwatch run --help` also lists the collectors' flags.");
    let command = command.mut_args(|flag| {
        let hidden =
            flag.is_hide_set() || flag.is_global_set() && !is_shown(flag.get_id().as_str());
        flag.hide(hidden)
    });
    match more {
        Some(more) => command.after_help(more.replace('`', "")),
        None => command,
    }
}
