//! Completions and manual pages, made from the argument definitions.

use std::io::Write;
use std::path::Path;

use clap::Command;

use crate::error::{IoContext, Result};

/// A shell that completions can be written for.
pub type Shell = clap_complete::Shell;

/// Writes the completion script of `command` for `shell`.
pub fn completion(command: &mut Command, shell: Shell, out: &mut dyn Write) {
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, command, name, &mut &mut *out);
}

/// Writes `NAME.1` and a page per verb (`NAME-VERB.1`, `NAME-VERB-VERB.1`) into `directory`.
pub fn man_pages(command: &Command, directory: &Path) -> Result<()> {
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
