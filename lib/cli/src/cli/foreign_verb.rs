//! Verbs of other programs, the peers' and Creel's own, given where the name of an image would
//! stand: wrong usage, told with the right program, never an image of that name.

use std::ffi::{OsStr, OsString};

use clap::Command;

use crate::error::Error;

/// A verb and what stands for it. Names of well-known images (`registry`, `buildpack-deps`) do not
/// belong here.
const VERBS: &[(&str, &str)] = &[
    ("add", "creel-build add"),
    ("append", "creel-build from, copy and commit"),
    ("artifact", "creel-copy --with-referrers and creel-inspect tree"),
    ("attach", "creel-run attach"),
    ("auth", "creel-copy login"),
    ("backup", "creel-copy sync REPOSITORY oci:DIR"),
    ("blob", "creel-copy IMAGE oci:DIR"),
    ("bud", "creel-build DIR"),
    ("build", "creel-build DIR"),
    ("build-using-dockerfile", "creel-build DIR"),
    ("buildx", "creel-build DIR"),
    ("catalog", "creel-copy tags REPOSITORY"),
    ("cat", "creel-inspect cat IMAGE PATH"),
    ("check", "creel-inspect check"),
    ("commit", "creel-build commit"),
    ("config", "creel-inspect --config IMAGE"),
    ("container", "creel-run"),
    ("containers", "creel-build containers"),
    ("copy", "creel-copy SRC DST"),
    ("cp", "creel-copy SRC DST"),
    ("create", "creel-run create IMAGE"),
    ("delete", "creel-copy delete IMAGE"),
    ("df", "creel-inspect df"),
    ("diff", "creel-inspect diff IMAGE IMAGE"),
    ("digest", "creel-copy digest IMAGE"),
    ("discover", "creel-inspect tree --referrers IMAGE"),
    ("events", "creel-run events"),
    ("exec", "creel-run exec"),
    ("experimental-image-proxy", "nothing in Creel"),
    ("export", "creel-inspect extract IMAGE"),
    ("extract", "creel-inspect extract IMAGE"),
    ("fetch", "creel-copy IMAGE"),
    ("files", "creel-inspect files IMAGE"),
    ("flatten", "creel-build --squash"),
    ("from", "creel-build from IMAGE"),
    ("gc", "creel-copy gc LAYOUT"),
    ("generate-sigstore-key", "nothing in Creel"),
    ("grep", "creel-inspect grep"),
    ("head", "creel-copy digest IMAGE"),
    ("history", "creel-inspect history IMAGE"),
    ("image", "creel-copy, creel-inspect or creel-build"),
    ("images", "creel-inspect images"),
    ("import", "creel-copy docker-archive:FILE store:NAME"),
    ("index", "creel-inspect tree IMAGE"),
    ("info", "creel-inspect df"),
    ("inspect", "creel-inspect IMAGE"),
    ("kill", "creel-run kill"),
    ("layers", "creel-inspect layers IMAGE"),
    ("layout", "creel-copy gc LAYOUT"),
    ("list", "creel-copy tags REPOSITORY"),
    ("list-tags", "creel-copy tags REPOSITORY"),
    ("load", "creel-copy docker-archive:FILE store:NAME"),
    ("login", "creel-copy login"),
    ("logout", "creel-copy logout"),
    ("logs", "creel-run logs"),
    ("ls", "creel-copy tags REPOSITORY"),
    ("manifest", "creel-inspect --raw IMAGE"),
    ("manifest-digest", "creel-copy digest FILE"),
    ("mount", "creel-inspect mount IMAGE"),
    ("mutate", "creel-build from, config and commit"),
    ("packages", "creel-inspect packages IMAGE"),
    ("ping", "creel-copy login HOST"),
    ("prune", "creel-copy prune"),
    ("ps", "creel-run ps"),
    ("pull", "creel-copy IMAGE"),
    ("push", "creel-copy store:NAME docker://HOST/NAME"),
    ("raw", "creel-inspect --raw IMAGE"),
    ("rebase", "creel-build"),
    ("remove", "creel-copy rm NAME"),
    ("repo", "creel-copy tags REPOSITORY"),
    ("resolve", "creel-copy digest IMAGE"),
    ("restore", "creel-copy sync oci:DIR REPOSITORY"),
    ("rm", "creel-copy rm NAME"),
    ("rmi", "creel-copy rm NAME"),
    ("run", "creel-run IMAGE"),
    ("save", "creel-copy store:NAME docker-archive:FILE:NAME"),
    ("sbom", "creel-inspect sbom IMAGE"),
    ("search", "creel-copy tags REPOSITORY"),
    ("sign", "nothing in Creel"),
    ("standalone-sign", "nothing in Creel"),
    ("standalone-verify", "nothing in Creel"),
    ("start", "creel-run start"),
    ("stat", "creel-inspect IMAGE"),
    ("stop", "creel-run stop"),
    ("sync", "creel-copy sync"),
    ("system", "creel-inspect df and creel-copy prune"),
    ("tag", "creel-copy tag"),
    ("tags", "creel-copy tags REPOSITORY"),
    ("tree", "creel-inspect tree IMAGE"),
    ("umount", "creel-inspect umount"),
    ("unmount", "creel-inspect umount"),
    ("unpack", "creel-inspect extract IMAGE"),
    ("untag", "creel-copy rm --no-prune NAME"),
    ("untrusted-signature-dump-without-verification", "nothing in Creel"),
    ("validate", "creel-inspect validate IMAGE"),
    ("version", "--version"),
    ("waste", "creel-inspect waste IMAGE"),
];

/// What to say of `words`, the arguments as given, where [`with_default_verb`] put the default
/// verb of `command` in front of a verb of another program.
///
/// [`with_default_verb`]: super::with_default_verb
pub fn foreign_verb(
    command: &Command,
    given: &[OsString],
    completed: &[OsString],
) -> Option<Error> {
    if given.len() == completed.len() {
        return None;
    }
    let at = given.iter().zip(completed).position(|(given, completed)| given != completed)?;
    // What follows `--` is never a verb.
    explain(command.get_name(), &given[at])
}

fn explain(program: &str, word: &OsStr) -> Option<Error> {
    let word = word.to_str()?;
    let (_, instead) = VERBS.iter().find(|(verb, _)| *verb == word)?;
    Some(Error::usage(format!(
        "{program} has no verb {word:?}: use {instead} (an image of that name: docker://{word})"
    )))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::with_default_verb;
    use super::*;

    fn said(line: &str) -> Option<String> {
        let command = Command::new("creel-copy")
            .arg(clap::Arg::new("root").long("root").global(true))
            .subcommand(Command::new("copy"))
            .subcommand(Command::new("tags").alias("ls"));
        let given: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let completed = with_default_verb(&command, given.clone(), "copy");
        foreign_verb(&command, &given, &completed).map(|error| error.chain())
    }

    #[test]
    fn a_foreign_verb_names_the_right_program() {
        for (line, program) in [
            ("creel-copy inspect h/app:1", "creel-inspect IMAGE"),
            ("creel-copy pull h/app:1", "creel-copy IMAGE"),
            ("creel-copy --root x push a b", "store:NAME"),
            ("creel-copy run a", "creel-run IMAGE"),
            ("creel-copy build .", "creel-build DIR"),
            ("creel-copy version", "--version"),
        ] {
            let said = said(line).unwrap();
            assert!(said.contains(program) && said.contains("docker://"), "{said}");
        }
        for line in [
            "creel-copy a b",
            "creel-copy ls inspect",
            "creel-copy copy inspect h/app:1",
            "creel-copy docker://inspect h/app:1",
            "creel-copy inspect:1 h/app:1",
            "creel-copy -- inspect h/app:1",
            "creel-copy a inspect",
            "creel-copy registry h/registry",
            "creel-copy",
        ] {
            assert_eq!(said(line), None, "{line}");
        }
    }

    #[test]
    fn the_table_is_sorted_and_says_each_verb_once() {
        let mut words: Vec<_> = VERBS.iter().map(|(verb, _)| *verb).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), VERBS.len());
    }
}
