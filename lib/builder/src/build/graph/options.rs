//! What a plan depends on besides the file.

use std::collections::BTreeSet;

use crate::spec::{ImageConfig, Platform, Reference};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct PlanOptions {
    /// `--target`: a stage's name or number; the last one without it.
    pub target: Option<String>,
    /// `--build-arg`, each name once.
    pub build_arguments: Vec<(String, String)>,
    /// What is built for.
    pub platform: Platform,
    /// What it is built on.
    pub build_platform: Platform,
    /// Names given by `--build-context`, as [`context_key`] makes them.
    pub contexts: BTreeSet<String>,
    /// Look at all stages, not only at those that the target needs.
    pub all_stages: bool,
}

impl Default for PlanOptions {
    fn default() -> PlanOptions {
        PlanOptions {
            target: None,
            build_arguments: Vec::new(),
            platform: Platform::host(),
            build_platform: Platform::host(),
            contexts: BTreeSet::new(),
            all_stages: false,
        }
    }
}

impl PlanOptions {
    /// The value of a `--build-arg`.
    pub(super) fn argument(&self, name: &str) -> Option<&str> {
        self.build_arguments
            .iter()
            .find(|(given, _)| given == name)
            .map(|(_, value)| value.as_str())
    }

    /// The context that stands for a name, for this platform first.
    pub(super) fn context(&self, name: &str, platform: Option<&Platform>) -> Option<String> {
        // These two names mean what they always mean.
        if self.contexts.is_empty()
            || name.eq_ignore_ascii_case("scratch")
            || name.eq_ignore_ascii_case("context")
        {
            return None;
        }
        let key = context_key(name);
        let special = format!("{key}::{}", platform.unwrap_or(&self.platform));
        [special, key].into_iter().find(|key| self.contexts.contains(key))
    }
}

/// The form in which names of contexts are compared: as Docker shows an image, `:latest` left out.
pub fn context_key(name: &str) -> String {
    let (name, platform) = match name.split_once("::") {
        Some((name, platform)) => (name, Some(platform)),
        None => (name, None),
    };
    let key = match Reference::parse(name) {
        Ok(reference) => {
            let familiar = reference.familiar();
            familiar.strip_suffix(":latest").map(str::to_owned).unwrap_or(familiar)
        }
        Err(_) => name.to_lowercase(),
    };
    match platform {
        Some(platform) => format!("{key}::{platform}"),
        None => key,
    }
}

/// What an image contributes to the stage that starts from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BaseImage {
    /// `NAME=value`; an entry without `=` has an empty value.
    pub env: Vec<String>,
    /// The working directory.
    pub workdir: String,
    /// The user.
    pub user: String,
    /// `SHELL`.
    pub shell: Vec<String>,
    /// Triggers.
    pub on_build: Vec<String>,
    /// What it is for.
    pub platform: Option<Platform>,
}

impl BaseImage {
    /// What a base without a config contributes.
    pub fn empty() -> BaseImage {
        BaseImage { workdir: "/".to_owned(), ..BaseImage::default() }
    }

    /// What a config contributes.
    pub fn of(config: &ImageConfig) -> BaseImage {
        let container = &config.fields().config;
        BaseImage {
            env: container.env.clone(),
            workdir: container.working_dir.clone(),
            user: container.user.clone(),
            shell: container.shell.clone(),
            on_build: container.on_build.clone(),
            platform: Some(config.platform()),
        }
    }
}

/// What names of contexts begin with where [`Bases`] is asked.
pub const CONTEXT_BASE: &str = "context:";

/// What [`Bases`] is asked for where a context that `--build-context` gives stands for the base.
pub fn context_base(key: &str) -> String {
    format!("{CONTEXT_BASE}{key}")
}

/// Asks for a base image by its full name, or [`context_base`], and platform; `None` where it is
/// not known.
pub type Bases<'a> = &'a mut dyn FnMut(&str, &Platform) -> Option<BaseImage>;
