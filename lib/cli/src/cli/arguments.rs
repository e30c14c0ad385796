//! The command line by pflag's rules, which the scripts of the peers are written for.
//!
//! A boolean flag takes `=VALUE` and never the next word, in all of Go's spellings; a flag that is
//! given twice counts the last time. That holds for every flag of every verb: it is added to the
//! whole tree of commands, not to single arguments.

use std::ffi::OsString;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches, value_parser};

use super::{print_drawing, report_failure, say_drawing, takes_color, with_default_verb};

/// Reads this process's arguments. Where they ask for help or are wrong, that is shown, and the
/// exit code is returned.
///
/// # Errors
/// The exit code.
pub fn arguments<C: CommandFactory + FromArgMatches>(default_verb: &str) -> Result<C, u8> {
    let words = with_default_verb(&C::command(), std::env::args_os().collect(), default_verb);
    arguments_from(&words)
}

/// The same for words that have their verb.
///
/// # Errors
/// The exit code.
pub fn arguments_from<C: CommandFactory + FromArgMatches>(words: &[OsString]) -> Result<C, u8> {
    let command = C::command();
    let parsed = matches(&command, words)
        .and_then(|mut found| C::from_arg_matches_mut(&mut found))
        .map_err(|error| error.format(&mut command.clone()));
    parsed.map_err(|error| show(&error))
}

/// Parses `words` by pflag's rules.
fn matches(command: &Command, words: &[OsString]) -> Result<ArgMatches, clap::Error> {
    // Help is made from the plain tree: a boolean's value would be noise on every other line.
    match with_rules(command.clone(), Booleans::Bare).try_get_matches_from(words) {
        Err(error) if error.use_stderr() => {
            with_rules(command.clone(), Booleans::Valued).try_get_matches_from(words)
        }
        other => other,
    }
}

/// Shows what clap has to say; returns the exit code.
fn show(error: &clap::Error) -> u8 {
    let text = |color: bool| match color {
        true => error.render().ansi().to_string(),
        false => error.render().to_string(),
    };
    let code = u8::try_from(error.exit_code()).unwrap_or(2);
    if error.use_stderr() {
        say_drawing(&text(takes_color(&std::io::stderr())));
        return code;
    }
    match print_drawing(&text(takes_color(&std::io::stdout()))) {
        Ok(()) => code,
        Err(error) => report_failure("help", &error),
    }
}

/// A boolean in one of the spellings that Go's `strconv.ParseBool` takes.
///
/// # Errors
/// What is expected instead.
pub fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("expected true or false".to_owned()),
    }
}

/// What boolean flags may carry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Booleans {
    /// Nothing, where they are declared so.
    Bare,
    /// A value after `=`.
    Valued,
}

/// The whole tree of commands with pflag's rules.
fn with_rules(command: Command, booleans: Booleans) -> Command {
    let command = command.args_override_self(true).mut_args(|arg| rule(arg, booleans));
    command.mut_subcommands(|verb| with_rules(verb, booleans))
}

fn rule(arg: Arg, booleans: Booleans) -> Arg {
    let bare = matches!(arg.get_action(), ArgAction::SetTrue);
    let is_bool = arg.get_value_parser().type_id() == value_parser!(bool).type_id();
    if !(bare || is_bool) || arg.is_positional() {
        return arg;
    }
    let valued = |arg: Arg| {
        let parser = ValueParser::new(parse_bool);
        let arg = arg.value_parser(parser).num_args(0..=1).require_equals(true);
        arg.default_missing_value("true").action(ArgAction::Set)
    };
    match (bare, booleans) {
        (true, Booleans::Bare) => arg,
        (true, Booleans::Valued) => valued(arg.default_value("false")),
        (false, _) => valued(arg),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    const SPELLINGS: [(&str, bool); 12] = [
        ("1", true),
        ("t", true),
        ("T", true),
        ("true", true),
        ("TRUE", true),
        ("True", true),
        ("0", false),
        ("f", false),
        ("F", false),
        ("false", false),
        ("FALSE", false),
        ("False", false),
    ];

    /// A program with every way to declare a boolean, each before and after a verb.
    fn program() -> Command {
        let flag = |name: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue);
        let valued = |name: &'static str| {
            Arg::new(name).long(name).value_parser(value_parser!(bool)).action(ArgAction::Set)
        };
        Command::new("p")
            .arg(flag("quiet").short('q').global(true))
            .arg(Arg::new("root").long("root").global(true))
            .subcommand(
                Command::new("copy")
                    .arg(flag("all").short('a'))
                    .arg(flag("only").conflicts_with("all"))
                    .arg(valued("verify").num_args(0..=1).require_equals(true))
                    .arg(valued("keep").default_value("true"))
                    .arg(Arg::new("label").long("label").short('l').action(ArgAction::Append))
                    .arg(Arg::new("names").num_args(0..)),
            )
    }

    fn parse(line: &str) -> Result<ArgMatches, clap::Error> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        matches(&program(), &words)
    }

    fn copy(line: &str) -> ArgMatches {
        parse(line).unwrap_or_else(|error| panic!("{line}: {error}")).remove_subcommand().unwrap().1
    }

    #[test]
    fn every_spelling_of_every_boolean() {
        for flag in ["quiet", "all", "only", "verify", "keep"] {
            for (spelling, value) in SPELLINGS {
                let found = copy(&format!("p copy --{flag}={spelling} x"));
                assert_eq!(found.get_one(flag), Some(&value), "--{flag}={spelling}");
            }
            // The next word is never its value.
            for word in ["false", "true", "0"] {
                let found = copy(&format!("p copy --{flag} {word}"));
                assert_eq!(found.get_one(flag), Some(&true), "--{flag} {word}");
                assert_eq!(found.get_one::<String>("names").map(String::as_str), Some(word));
            }
            for wrong in ["", "yes", "no", "tRUE", "2", " true"] {
                let error = parse(&format!("p copy --{flag}={wrong}")).unwrap_err();
                assert!(error.to_string().contains(&format!("--{flag}")), "{error}");
            }
        }
        assert_eq!(copy("p copy").get_one("keep"), Some(&true));
        assert_eq!(copy("p copy").get_one::<bool>("verify"), None);
        assert_eq!(copy("p copy").get_one("all"), Some(&false));
    }

    #[test]
    fn short_flags_and_clusters() {
        for (line, quiet, all) in [
            ("p copy -q=false -a", false, true),
            ("p copy -qa", true, true),
            ("p copy -qa=0", true, false),
            ("p -q copy -a=F", true, false),
            ("p -q=f copy", false, false),
            ("p copy -qal=x", true, true),
            ("p copy -q=1 -lx", true, false),
        ] {
            let found = copy(line);
            let read = (found.get_one("quiet"), found.get_one("all"));
            assert_eq!(read, (Some(&quiet), Some(&all)), "{line}");
        }
    }

    #[test]
    fn the_last_one_counts() {
        let found = copy("p --root=a copy --all --all=false --verify=0 --verify --root b --root=c");
        assert_eq!(found.get_one("all"), Some(&false));
        assert_eq!(found.get_one("verify"), Some(&true));
        assert_eq!(found.get_one::<String>("root").map(String::as_str), Some("c"));
        let labels = copy("p copy -l a --label b --all=1 --all");
        assert_eq!(labels.get_many::<String>("label").unwrap().count(), 2);
    }

    #[test]
    fn help_shows_no_values_of_booleans() {
        let help = parse("p copy --help").unwrap_err().to_string();
        assert!(help.contains("--all ") && !help.contains("--all["), "{help}");
    }
}
