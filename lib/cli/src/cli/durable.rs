//! `--durability`, the same for every program that writes to the store.

use clap::{Args, ValueEnum};

use crate::store::{Durability, OpenOptions};

/// How the local store is written.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct StoreArgs {
    /// Whether what the local store tells survives a power cut.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "full",
        env = "CREEL_DURABILITY",
        hide_env_values = true,
        value_name = "full|relaxed"
    )]
    durability: Durable,
}

/// [`Durability`] as an argument.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Durable {
    /// It does.
    #[default]
    Full,
    /// It need not: for machines that are thrown away after the job.
    Relaxed,
}

impl StoreArgs {
    /// How to open the store.
    pub fn options(self) -> OpenOptions {
        let durability = match self.durability {
            Durable::Full => Durability::Full,
            Durable::Relaxed => Durability::Relaxed,
        };
        OpenOptions { durability, ..OpenOptions::default() }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::{CommandFactory, FromArgMatches, Parser};

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        store: StoreArgs,
    }

    #[test]
    fn the_store_is_told() {
        for (words, durability) in [
            (&["p"][..], Durability::Full),
            (&["p", "--durability", "full"], Durability::Full),
            (&["p", "--durability=relaxed"], Durability::Relaxed),
        ] {
            // Without the variable that the machine may have set.
            let command = Program::command().mut_arg("durability", |arg| arg.env(None::<&str>));
            let matches = command.try_get_matches_from(words).unwrap();
            let program = Program::from_arg_matches(&matches).unwrap();
            assert_eq!(program.store.options().durability, durability);
        }
    }
}
