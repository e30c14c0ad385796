//! Flags as Go's pflag reads them, since that is what scripts for Docker and podman are written for.
//!
//! Owns the step before clap: `-eA=1`, `-e=A`, `-ieA=a`, `-it=false`, `--rm=False` and values that
//! begin with a hyphen become `--NAME=VALUE`, the one spelling that clap and pflag read alike. A
//! switch with a false value is left out, and so is what was said of it before. Does not know what
//! flags mean; what it does not know is left to clap, which explains it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use clap::builder::ValueParser;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches};

/// The command of a program: of a flag that is given twice, the last one counts.
pub fn command<C: CommandFactory>() -> Command {
    overriding(C::command())
}

fn overriding(command: Command) -> Command {
    let verbs: Vec<String> =
        command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
    let own = command.args_override_self(true);
    verbs.into_iter().fold(own, |command, verb| command.mut_subcommand(verb, overriding))
}

/// Reads the words of a command line, the program's name first.
///
/// # Errors
/// Wrong usage, and requests for help; printed they say what to do.
pub fn read<C: FromArgMatches>(
    command: &mut Command,
    words: Vec<OsString>,
) -> Result<C, clap::Error> {
    let mut matches = matches(command, words)?;
    C::from_arg_matches_mut(&mut matches).map_err(|error| error.format(command))
}

/// [`read`] as far as clap's own types.
///
/// # Errors
/// The same.
pub fn matches(command: &mut Command, words: Vec<OsString>) -> Result<ArgMatches, clap::Error> {
    let words = spell_out(command, words)
        .map_err(|mistake| command.error(ErrorKind::ValueValidation, mistake))?;
    command.try_get_matches_from_mut(words)
}

/// Rewrites flags into the spelling that clap and pflag read alike.
///
/// # Errors
/// Names a flag whose boolean value is none.
fn spell_out(command: &Command, words: Vec<OsString>) -> Result<Vec<OsString>, String> {
    let mut words = words.into_iter();
    let mut out = Spelled::default();
    out.words.extend(words.next().map(|program| (None, program)));
    let mut level = Level::of(command);
    let mut has_arguments = false;
    while let Some(word) = words.next() {
        let bytes = word.as_bytes();
        if bytes == b"--" {
            out.push(word);
            break;
        }
        if let Some(long) = bytes.strip_prefix(b"--") {
            out.long(&level, long, &mut words)?;
        } else if bytes.len() > 1 && bytes[0] == b'-' {
            out.short(&level, &bytes[1..], &mut words)?;
        } else {
            let verb = if has_arguments { None } else { level.verb(&word) };
            out.push(word);
            match verb {
                Some(verb) => level = verb,
                // What follows belongs to the program that is run.
                None if level.takes_the_rest() => break,
                None => has_arguments = true,
            }
        }
    }
    out.words.extend(words.map(|word| (None, word)));
    Ok(out.words.into_iter().map(|(_, word)| word).collect())
}

/// A verb with the flags that can be said there.
struct Level<'c> {
    command: &'c Command,
    flags: Vec<&'c Arg>,
}

impl<'c> Level<'c> {
    fn of(command: &'c Command) -> Level<'c> {
        Level { command, flags: command.get_arguments().collect() }
    }

    /// The verb that `word` names here; flags that are global stay.
    fn verb(&self, word: &OsStr) -> Option<Level<'c>> {
        let command = self.command.find_subcommand(word)?;
        let global = self.flags.iter().copied().filter(|flag| flag.is_global_set());
        Some(Level { command, flags: command.get_arguments().chain(global).collect() })
    }

    fn takes_the_rest(&self) -> bool {
        self.command.get_positionals().any(Arg::is_trailing_var_arg_set)
    }

    fn long(&self, name: &[u8]) -> Option<&'c Arg> {
        let name = std::str::from_utf8(name).ok()?;
        let named = |flag: &&&Arg| {
            flag.get_long() == Some(name)
                || flag.get_all_aliases().is_some_and(|all| all.contains(&name))
        };
        self.flags.iter().find(named).copied()
    }

    fn short(&self, letter: u8) -> Option<&'c Arg> {
        self.flags.iter().find(|flag| flag.get_short() == Some(char::from(letter))).copied()
    }
}

/// What may follow a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Nothing; a boolean can be given with `=`.
    Switch,
    /// A boolean with `=`; alone it is true.
    Boolean,
    /// A value with `=`; alone it means something.
    Optional,
    /// A value.
    Value,
    /// Nothing that is known here.
    Other,
}

fn kind(flag: &Arg) -> Kind {
    let optional = flag.get_num_args().is_some_and(|range| range.min_values() == 0);
    let boolean = flag.get_value_parser().type_id() == ValueParser::bool().type_id();
    match flag.get_action() {
        ArgAction::SetTrue => Kind::Switch,
        ArgAction::Set | ArgAction::Append if optional && boolean => Kind::Boolean,
        ArgAction::Set | ArgAction::Append if optional => Kind::Optional,
        ArgAction::Set | ArgAction::Append => Kind::Value,
        _ => Kind::Other,
    }
}

/// Words with the flag that each stands for.
#[derive(Default)]
struct Spelled<'c> {
    words: Vec<(Option<&'c str>, OsString)>,
}

impl<'c> Spelled<'c> {
    fn push(&mut self, word: OsString) {
        self.words.push((None, word));
    }

    /// `NAME` or `NAME=VALUE`, without the hyphens.
    fn long(
        &mut self,
        level: &Level<'c>,
        text: &[u8],
        rest: &mut impl Iterator<Item = OsString>,
    ) -> Result<(), String> {
        let at = text.iter().position(|&b| b == b'=');
        let (name, value) = match at {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        let Some(flag) = level.long(name) else {
            self.push(word(b"--", text));
            return Ok(());
        };
        match (kind(flag), value) {
            (Kind::Other, _) => self.push(word(b"--", text)),
            (kind, Some(value)) => self.value(flag, kind, value)?,
            (Kind::Value, None) => self.next(flag, rest.next())?,
            (kind, None) => self.alone(flag, kind),
        }
        Ok(())
    }

    /// Letters without the hyphen: each may be the last, with its value attached.
    fn short(
        &mut self,
        level: &Level<'c>,
        letters: &[u8],
        rest: &mut impl Iterator<Item = OsString>,
    ) -> Result<(), String> {
        let mut left = letters;
        while let [letter, after @ ..] = left {
            let known = level.short(*letter).map(|flag| (flag, kind(flag)));
            let Some((flag, kind)) = known.filter(|(_, kind)| *kind != Kind::Other) else {
                self.push(word(b"-", left));
                return Ok(());
            };
            match (kind, after) {
                (kind, [b'=', value @ ..]) if !value.is_empty() => {
                    return self.value(flag, kind, value);
                }
                (Kind::Value, []) => return self.next(flag, rest.next()),
                (Kind::Value, value) => return self.value(flag, Kind::Value, value),
                (kind, _) => self.alone(flag, kind),
            }
            left = after;
        }
        Ok(())
    }

    /// A flag whose value is the next word, if there is one.
    fn next(&mut self, flag: &'c Arg, value: Option<OsString>) -> Result<(), String> {
        match value {
            Some(value) => self.value(flag, Kind::Value, value.as_bytes()),
            None => {
                self.alone(flag, Kind::Value);
                Ok(())
            }
        }
    }

    fn value(&mut self, flag: &'c Arg, kind: Kind, value: &[u8]) -> Result<(), String> {
        let value = match kind {
            Kind::Switch => {
                let wanted = boolean(flag, value)?;
                self.words.retain(|(other, _)| *other != Some(flag.get_id().as_str()));
                if wanted {
                    self.alone(flag, kind);
                }
                return Ok(());
            }
            Kind::Boolean if boolean(flag, value)? => b"true",
            Kind::Boolean => &b"false"[..],
            _ => value,
        };
        let id = Some(flag.get_id().as_str());
        let short = [b'-', flag.get_short().unwrap_or_default() as u8];
        match flag.get_long() {
            Some(long) => {
                self.words.push((id, word(b"--", &[long.as_bytes(), b"=", value].concat())))
            }
            // Attached, clap might take it for an argument.
            None if !value.starts_with(b"-") => {
                self.words.extend([&short, value].map(|part| (id, word(b"", part))));
            }
            None => self.words.push((id, word(&short, &[b"=", value].concat()))),
        }
        Ok(())
    }

    /// A flag with nothing attached to it.
    fn alone(&mut self, flag: &'c Arg, kind: Kind) {
        let mut name = match flag.get_long() {
            Some(long) => format!("--{long}"),
            None => format!("-{}", flag.get_short().unwrap_or_default()),
        };
        if kind == Kind::Boolean {
            name.push_str("=true");
        }
        self.words.push((Some(flag.get_id().as_str()), name.into()));
    }
}

fn word(hyphens: &[u8], text: &[u8]) -> OsString {
    OsString::from_vec([hyphens, text].concat())
}

/// What Go's `strconv.ParseBool` takes.
fn boolean(flag: &Arg, value: &[u8]) -> Result<bool, String> {
    match value {
        b"1" | b"t" | b"T" | b"true" | b"True" | b"TRUE" => Ok(true),
        b"0" | b"f" | b"F" | b"false" | b"False" | b"FALSE" => Ok(false),
        _ => {
            let value = String::from_utf8_lossy(value);
            Err(format!("invalid value {value:?} for {}: expected true or false", shown(flag)))
        }
    }
}

/// `-t, --tty`.
fn shown(flag: &Arg) -> String {
    match (flag.get_short(), flag.get_long()) {
        (Some(short), Some(long)) => format!("-{short}, --{long}"),
        (None, Some(long)) => format!("--{long}"),
        (short, None) => format!("-{}", short.unwrap_or_default()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::{Args, Parser, Subcommand};

    use super::*;

    #[derive(Parser)]
    #[command(name = "p")]
    struct Program {
        #[arg(long, global = true)]
        root: Option<String>,
        #[command(subcommand)]
        verb: Verb,
    }

    #[derive(Subcommand)]
    enum Verb {
        Run(Run),
        Volume {
            #[command(subcommand)]
            verb: VolumeVerb,
        },
    }

    #[derive(Args)]
    struct Run {
        #[arg(short, long)]
        env: Vec<String>,
        #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", action = ArgAction::Set)]
        interactive: bool,
        #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", action = ArgAction::Set)]
        tty: bool,
        #[arg(short, long)]
        detach: bool,
        #[arg(short = 'm', long, alias = "mem")]
        memory: Option<String>,
        #[arg(short = 'n')]
        number: Option<i64>,
        #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "auto")]
        squash: Option<String>,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    }

    #[derive(Subcommand)]
    enum VolumeVerb {
        Rm {
            #[arg(short, long)]
            force: bool,
            names: Vec<String>,
        },
    }

    fn spelled(line: &str) -> Result<String, String> {
        let words = line.split(' ').map(OsString::from).collect();
        let words = spell_out(&command::<Program>(), words)?;
        Ok(words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn one_spelling_for_all() {
        for (given, spelled_out) in [
            ("p run -eA=1 i", "p run --env=A=1 i"),
            ("p run -e=A i", "p run --env=A i"),
            ("p run -e=A=1 i", "p run --env=A=1 i"),
            ("p run -e== i", "p run --env== i"),
            ("p run -e= i", "p run --env== i"),
            ("p run -e A i", "p run --env=A i"),
            ("p run -ieA=a i", "p run --interactive=true --env=A=a i"),
            ("p run -ie A i", "p run --interactive=true --env=A i"),
            ("p run -it=false i", "p run --interactive=true --tty=false i"),
            ("p run -i=0 -t=T i", "p run --interactive=false --tty=true i"),
            ("p run -itd i", "p run --interactive=true --tty=true --detach i"),
            ("p run -di=f i", "p run --detach --interactive=false i"),
            ("p run -d=1 i", "p run --detach i"),
            ("p run -d=false i", "p run i"),
            ("p run -d -d=false i", "p run i"),
            ("p run -d=false -d i", "p run --detach i"),
            ("p run --detach=False i", "p run i"),
            ("p run --detach=TRUE i", "p run --detach i"),
            ("p run --tty=False i", "p run --tty=false i"),
            ("p run --tty i", "p run --tty=true i"),
            ("p run --env --tty i", "p run --env=--tty i"),
            ("p run --env -- i", "p run --env=-- i"),
            ("p run -m -1 i", "p run --memory=-1 i"),
            ("p run -m-1 i", "p run --memory=-1 i"),
            ("p run --mem 1 i", "p run --memory=1 i"),
            ("p run --memory= i", "p run --memory= i"),
            ("p run -n5 i", "p run -n 5 i"),
            ("p run -n=-5 i", "p run -n=-5 i"),
            ("p run -n 5 i", "p run -n 5 i"),
            ("p run --squash i", "p run --squash i"),
            ("p run --squash=all i", "p run --squash=all i"),
            // The program's own flags are left alone, and what is behind two hyphens.
            ("p run i -it=false -e", "p run i -it=false -e"),
            ("p run -d i -- -d=false", "p run --detach i -- -d=false"),
            ("p run -d -- i -d=0", "p run --detach -- i -d=0"),
            ("p run - -d=0", "p run - -d=0"),
            // Verbs of verbs, global flags anywhere.
            ("p --root r run --root=s i", "p --root=r run --root=s i"),
            ("p run --root s -d=0 i", "p run --root=s i"),
            ("p volume rm a -f=0 b -f", "p volume rm a b --force"),
            ("p volume --root r rm a", "p volume --root=r rm a"),
            ("p volume rm rm -f=0", "p volume rm rm"),
            // What is not known is left to clap.
            ("p run --what=1 -x=1 -dx i", "p run --what=1 -x=1 --detach -x i"),
            ("p run -e", "p run --env"),
            ("p run ---d i", "p run ---d i"),
            ("p -h", "p -h"),
            ("p", "p"),
        ] {
            assert_eq!(spelled(given).unwrap(), spelled_out, "{given}");
        }
    }

    #[test]
    fn what_is_no_boolean_names_its_flag() {
        for (given, says) in [
            ("p run -t=no i", "invalid value \"no\" for -t, --tty: expected true or false"),
            ("p run -id=x i", "invalid value \"x\" for -d, --detach: expected true or false"),
            ("p run --tty= i", "invalid value \"\" for -t, --tty: expected true or false"),
            (
                "p run --detach=tRUE i",
                "invalid value \"tRUE\" for -d, --detach: expected true or false",
            ),
        ] {
            assert_eq!(spelled(given).unwrap_err(), says, "{given}");
        }
    }

    #[test]
    fn the_last_of_several_counts_and_lists_grow() {
        let mut command = command::<Program>();
        let line = "p --root a run --root b -m 1 --memory=2 -dd -n1 -n2 -eA -e B i -- -x";
        let words = line.split(' ').map(OsString::from).collect();
        let program = read::<Program>(&mut command, words).unwrap();
        assert_eq!(program.root.as_deref(), Some("b"));
        let Verb::Run(run) = program.verb else { unreachable!() };
        assert_eq!((run.memory.as_deref(), run.number, run.detach), (Some("2"), Some(2), true));
        assert_eq!((run.interactive, run.tty, run.squash), (false, false, None));
        assert_eq!(run.env, ["A", "B"]);
        assert_eq!(run.words, ["i", "--", "-x"]);
        let words = "p volume rm -f a -f".split(' ').map(OsString::from).collect();
        let Verb::Volume { verb: VolumeVerb::Rm { force, names } } =
            read::<Program>(&mut command, words).unwrap().verb
        else {
            unreachable!()
        };
        assert_eq!((force, names), (true, vec!["a".to_owned()]));
    }
}
