//! Completions and manual pages, made from the argument definitions.

use std::path::{Path, PathBuf};

use clap::{Command, Subcommand};

use crate::error::{IoContext, Result};

/// The verbs of every program that tell of its arguments.
#[derive(Subcommand)]
pub enum DocsVerb {
    /// Print a completion script.
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a directory.
    #[command(hide = true)]
    Man {
        /// The directory.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

impl DocsVerb {
    /// Does it for `command`.
    pub fn run(&self, command: &mut Command) -> Result<()> {
        match self {
            DocsVerb::Completion { shell } => {
                let (name, mut script) = (command.get_name().to_owned(), Vec::new());
                clap_complete::generate(*shell, command, name, &mut script);
                super::print(&script)
            }
            DocsVerb::Man { directory } => man_pages(command, directory),
        }
    }
}

/// Writes `NAME.1` and a page per verb (`NAME-VERB.1`, `NAME-VERB-VERB.1`) into `directory`.
fn man_pages(command: &Command, directory: &Path) -> Result<()> {
    std::fs::create_dir_all(directory).doing(|| format!("creating {}", directory.display()))?;
    let mut built = command.clone().disable_help_subcommand(true);
    built.build();
    write_pages(&built, built.get_name(), directory)
}

fn write_pages(command: &Command, name: &str, directory: &Path) -> Result<()> {
    write_page(command, name, directory)?;
    let mut verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    verbs.try_for_each(|verb| write_pages(verb, &format!("{name}-{}", verb.get_name()), directory))
}

fn write_page(command: &Command, name: &str, directory: &Path) -> Result<()> {
    let path = directory.join(format!("{name}.1"));
    let mut page = Vec::new();
    let named = command.clone().name(name.to_owned());
    clap_mangen::Man::new(named)
        .render(&mut page)
        .doing(|| format!("writing the page of {name}"))?;
    std::fs::write(&path, page).doing(|| format!("writing {}", path.display()))
}
