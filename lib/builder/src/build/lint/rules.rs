//! The rules: their names, and what each wants.

/// Whose rule it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// BuildKit has it, with this name and this message.
    BuildKit,
    /// Only here.
    Creel,
}

/// One rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name in `# check=`.
    pub name: &'static str,
    /// What it wants, in one sentence.
    pub summary: &'static str,
    /// Whose it is.
    pub whose: Whose,
    /// Counts only when it is switched on.
    pub experimental: bool,
}

impl Rule {
    /// Where it is explained.
    pub fn url(&self) -> Option<String> {
        if self.whose == Whose::Creel || self.name == INVALID_BASE_IMAGE_PLATFORM.name {
            return None;
        }
        Some(format!("https://docs.docker.com/go/dockerfile/rule/{}/", kebab(self.name)))
    }
}

/// `StageNameCasing` as `stage-name-casing`; capitals in a row are one word.
fn kebab(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (at, letter) in letters.iter().enumerate() {
        let starts = letter.is_uppercase()
            && (letters.get(at.wrapping_sub(1)).is_some_and(|c| c.is_lowercase())
                || letters.get(at + 1).is_some_and(|c| c.is_lowercase()));
        if starts && at > 0 {
            out.push('-');
        }
        out.extend(letter.to_lowercase());
    }
    out
}

macro_rules! rules {
    (@flag) => { false };
    (@flag experimental) => { true };
    ($($constant:ident $name:literal $whose:ident $summary:literal $($experimental:ident)?;)*) => {
        $(
            #[doc = $summary]
            pub static $constant: Rule = Rule {
                name: $name,
                summary: $summary,
                whose: Whose::$whose,
                experimental: rules!(@flag $($experimental)?),
            };
        )*
        /// All rules.
        pub static ALL: &[&Rule] = &[$(&$constant),*];
    };
}

rules! {
    STAGE_NAME_CASING "StageNameCasing" BuildKit "Names of stages are written in lower case.";
    FROM_AS_CASING "FromAsCasing" BuildKit "AS is written in the same case as FROM.";
    NO_EMPTY_CONTINUATION "NoEmptyContinuation" BuildKit "No blank lines inside an instruction: they are to become errors.";
    CONSISTENT_INSTRUCTION_CASING "ConsistentInstructionCasing" BuildKit "All instructions of a file are written in the same case.";
    DUPLICATE_STAGE_NAME "DuplicateStageName" BuildKit "Every stage has a name of its own.";
    RESERVED_STAGE_NAME "ReservedStageName" BuildKit "No stage is called scratch or context.";
    JSON_ARGS_RECOMMENDED "JSONArgsRecommended" BuildKit "CMD and ENTRYPOINT are JSON arrays, so that signals reach the program and not a shell.";
    MAINTAINER_DEPRECATED "MaintainerDeprecated" BuildKit "An author is named by a label, not by MAINTAINER.";
    UNDEFINED_ARG_IN_FROM "UndefinedArgInFrom" BuildKit "FROM uses only arguments that are declared above it.";
    WORKDIR_RELATIVE_PATH "WorkdirRelativePath" BuildKit "The first WORKDIR of a stage is absolute, so that it does not depend on the base image.";
    UNDEFINED_VAR "UndefinedVar" BuildKit "Variables are defined before they are used.";
    MULTIPLE_INSTRUCTIONS_DISALLOWED "MultipleInstructionsDisallowed" BuildKit "CMD, ENTRYPOINT and HEALTHCHECK stand once in a stage: only the last one counts.";
    LEGACY_KEY_VALUE_FORMAT "LegacyKeyValueFormat" BuildKit "ENV and LABEL are written with an equals sign.";
    INVALID_BASE_IMAGE_PLATFORM "InvalidBaseImagePlatform" BuildKit "A base image is for the platform that is built for.";
    REDUNDANT_TARGET_PLATFORM "RedundantTargetPlatform" BuildKit "FROM does not ask for the target platform: it gets it anyway.";
    SECRETS_USED_IN_ARG_OR_ENV "SecretsUsedInArgOrEnv" BuildKit "Secrets are mounted, not passed by ARG or ENV: those stay in the image.";
    INVALID_DEFAULT_ARG_IN_FROM "InvalidDefaultArgInFrom" BuildKit "The defaults of global arguments make valid image names.";
    FROM_PLATFORM_FLAG_CONST_DISALLOWED "FromPlatformFlagConstDisallowed" BuildKit "FROM --platform is a variable, so that the file builds for other platforms too.";
    COPY_IGNORED_FILE "CopyIgnoredFile" BuildKit "Nothing is copied that .dockerignore leaves out.";
    INVALID_DEFINITION_DESCRIPTION "InvalidDefinitionDescription" BuildKit "A comment right above a stage or an argument describes it, its name first." experimental;
    EXPOSE_PROTO_CASING "ExposeProtoCasing" BuildKit "Protocols of ports are written in lower case.";
    EXPOSE_INVALID_FORMAT "ExposeInvalidFormat" BuildKit "EXPOSE names ports of the container only: addresses and host ports mean nothing there.";

    HEREDOC_ERREXIT "HeredocErrexit" Creel "A script in a here-document stops at its first failure (set -e): otherwise only its last line counts.";
    PIPEFAIL_MISSING "PipefailMissing" Creel "A failure in front of a pipe counts (set -o pipefail): otherwise only its last command does.";
    APT_LISTS_LEFT "AptListsLeft" Creel "Package lists are removed in the RUN that fetched them, or kept in a cache mount.";
    UNPINNED_BASE_IMAGE "UnpinnedBaseImage" Creel "Base images have a version or a digest: latest is another image tomorrow.";
    SECRET_FILE_COPIED "SecretFileCopied" Creel "Files that usually hold secrets are not copied into an image.";
    SOURCES_NEED_DIRECTORY "SourcesNeedDirectory" Creel "Several sources go into a directory, written with a slash at its end.";
    INVALID_ONBUILD_TRIGGER "InvalidOnbuildTrigger" Creel "ONBUILD holds an instruction that images built on this one can execute.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_have_pages() {
        for (rule, page) in [
            (&STAGE_NAME_CASING, Some("stage-name-casing")),
            (&JSON_ARGS_RECOMMENDED, Some("json-args-recommended")),
            (&SECRETS_USED_IN_ARG_OR_ENV, Some("secrets-used-in-arg-or-env")),
            (&INVALID_BASE_IMAGE_PLATFORM, None),
            (&PIPEFAIL_MISSING, None),
        ] {
            let url =
                page.map(|page| format!("https://docs.docker.com/go/dockerfile/rule/{page}/"));
            assert_eq!(rule.url(), url);
        }
        assert_eq!(ALL.iter().filter(|rule| rule.whose == Whose::BuildKit).count(), 22);
        assert_eq!(ALL.iter().filter(|rule| rule.experimental).count(), 1);
    }
}
