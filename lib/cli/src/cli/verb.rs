//! The main job needs no verb: `creel-copy A B` is `creel-copy copy A B`.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command};

/// Puts `default` in front of the first word that is neither a global option nor a verb.
///
/// A verb counts only as the first word after global options; what follows `--` is never one. Where
/// `-h` is an option of the default verb with a value, it asks for help only when it stands alone.
pub fn with_default_verb(command: &Command, args: Vec<OsString>, default: &str) -> Vec<OsString> {
    let mut position = 1;
    while let Some(word) = args.get(position) {
        let text = word.to_string_lossy();
        if text == "--" || !text.starts_with('-') || text == "-" {
            break;
        }
        if text == "-h" && args.len() > position + 1 && has_own_h(command, default) {
            break;
        }
        if matches!(text.as_ref(), "-h" | "--help" | "-V" | "--version") {
            return args;
        }
        match global_option(command, &text) {
            Some(words) => position += words,
            None => break,
        }
    }
    let verb = args.get(position).is_some_and(|word| {
        let word = word.to_string_lossy();
        word == "help" || command.find_subcommand(word.as_ref()).is_some()
    });
    let mut args = args;
    if !verb && position < args.len() {
        args.insert(position, default.into());
    }
    args
}

/// Whether `-h` is something else than help in a verb.
fn has_own_h(command: &Command, verb: &str) -> bool {
    let own = |verb: &Command| verb.get_arguments().any(|arg| arg.get_short() == Some('h'));
    command.find_subcommand(verb).is_some_and(own)
}

/// How many words a global option takes up, or `None` if `word` is not one.
fn global_option(command: &Command, word: &str) -> Option<usize> {
    let takes_value = |arg: &Arg| matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    let find = |matches: &dyn Fn(&Arg) -> bool| command.get_arguments().find(|arg| matches(arg));
    if let Some(long) = word.strip_prefix("--") {
        let (name, value) = match long.split_once('=') {
            Some((name, _)) => (name, true),
            None => (long, false),
        };
        let arg = find(&|arg| {
            arg.get_long() == Some(name)
                || arg.get_all_aliases().is_some_and(|all| all.contains(&name))
        })?;
        return Some(if takes_value(arg) && !value { 2 } else { 1 });
    }
    let mut letters = word.strip_prefix('-')?.chars();
    let arg = find(&|arg| arg.get_short() == letters.clone().next())?;
    letters.next();
    Some(if takes_value(arg) && letters.next().is_none() { 2 } else { 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(line: &str) -> String {
        let command = Command::new("p")
            .arg(Arg::new("root").long("root").global(true))
            .arg(Arg::new("quiet").short('q').long("quiet").action(ArgAction::SetTrue))
            .subcommand(
                Command::new("copy").arg(Arg::new("all").long("all").action(ArgAction::SetTrue)),
            )
            .subcommand(Command::new("tags"));
        let args = line.split(' ').map(OsString::from).collect();
        let done: Vec<String> = with_default_verb(&command, args, "copy")
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        done.join(" ")
    }

    #[test]
    fn the_default_verb_is_filled_in() {
        for (given, full) in [
            ("p a b", "p copy a b"),
            ("p tags a", "p tags a"),
            ("p --root tags a b", "p --root tags copy a b"),
            ("p --root=x -q tags", "p --root=x -q tags"),
            ("p --all a b", "p copy --all a b"),
            ("p -- tags b", "p copy -- tags b"),
            ("p --help", "p --help"),
            ("p a tags", "p copy a tags"),
            ("p", "p"),
        ] {
            assert_eq!(completed(given), full);
        }
    }
}
