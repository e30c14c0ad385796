//! Global arguments: `ARG` before the first `FROM`, and those that are always there.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::diagnostic::{Diagnostic, Diagnostics};
use super::super::dockerfile::{ArgDefinition, Dockerfile, Kind};
use super::super::expand::{Budget, Lexer, Scope, Variables};
use super::{Argument, PlanOptions};
use crate::spec::Platform;

/// Names that hold proxies; any case is taken.
const PROXIES: [&str; 5] = ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"];

/// Arguments that mean something to the builder itself and need no declaration.
const SPECIAL: [&str; 12] = [
    "BUILDKIT_BUILD_NAME",
    "BUILDKIT_CACHE_MOUNT_NS",
    "BUILDKIT_CONTEXT_KEEP_GIT_DIR",
    "BUILDKIT_DOCKERFILE_CHECK",
    "BUILDKIT_INLINE_CACHE",
    "BUILDKIT_MULTI_PLATFORM",
    "BUILDKIT_SANDBOX_HOSTNAME",
    "BUILDKIT_SBOM_SCAN_CONTEXT",
    "BUILDKIT_SBOM_SCAN_STAGE",
    "BUILDKIT_SYNTAX",
    "SOURCE_DATE_EPOCH",
    "TARGETSTAGE",
];

/// Values that `FROM` and bare `ARG`s of stages see.
#[derive(Clone, Debug, Default)]
pub(super) struct Globals {
    pub scope: Scope,
    pub arguments: Vec<Arc<Argument>>,
    /// Where the last declaration of each is.
    by_name: HashMap<String, usize>,
}

/// Whether an argument holds a proxy.
pub(super) fn is_proxy(name: &str) -> bool {
    PROXIES.iter().any(|proxy| name.eq_ignore_ascii_case(proxy))
}

/// Whether an argument may be given without being declared.
pub(super) fn needs_no_declaration(name: &str) -> bool {
    is_proxy(name)
        || SPECIAL.contains(&name)
        || automatic(&PlanOptions::default()).any(|(n, _)| n == name)
}

/// Arguments about the platforms, and their values.
fn automatic(options: &PlanOptions) -> impl Iterator<Item = (&'static str, String)> {
    let (build, target) = (options.build_platform.clone(), options.platform.clone());
    let version = |platform: &Platform| platform.os_version.clone().unwrap_or_default();
    let variant = |platform: &Platform| platform.variant.clone().unwrap_or_default();
    let without_version = Platform { os_version: None, ..build.clone() };
    [
        ("BUILDPLATFORM", without_version.to_string()),
        ("BUILDOS", build.os.clone()),
        ("BUILDOSVERSION", version(&build)),
        ("BUILDARCH", build.architecture.clone()),
        ("BUILDVARIANT", variant(&build)),
        ("TARGETPLATFORM", target.to_string()),
        ("TARGETOS", target.os.clone()),
        ("TARGETOSVERSION", version(&target)),
        ("TARGETARCH", target.architecture.clone()),
        ("TARGETVARIANT", variant(&target)),
    ]
    .into_iter()
}

/// Works out all global arguments. Without `given`, as if no `--build-arg` were there.
pub(super) fn evaluate(
    file: &Dockerfile,
    options: &PlanOptions,
    given: bool,
    budget: &mut Budget,
    found: &mut Diagnostics,
) -> Globals {
    let mut out = Globals::default();
    let last = file.stages.last().and_then(|stage| stage.from.folded_name());
    let target = options.target.clone().or(last).unwrap_or_else(|| "default".to_owned());
    for (name, value) in automatic(options).chain([("TARGETSTAGE", target)]) {
        let value = options.argument(name).map_or(value, str::to_owned);
        // These are few and short.
        let _ = out.scope.set(name, &value, true, budget);
    }
    for instruction in &file.globals {
        let Kind::Arg(definitions) = &instruction.kind else { continue };
        for definition in definitions {
            let value = options.argument(&definition.name.text).filter(|_| given);
            if let Err(problem) = out.define(definition, value, file.directives.escape, budget) {
                found.push(problem);
            }
        }
    }
    out
}

impl Globals {
    fn define(
        &mut self,
        definition: &ArgDefinition,
        given: Option<&str>,
        escape: char,
        budget: &mut Budget,
    ) -> Result<(), Diagnostic> {
        let name = &definition.name.text;
        let mut uses = Vec::new();
        let value = match (given, &definition.default) {
            (Some(value), _) => Some(value.to_owned()),
            (None, Some(word)) => {
                let failed = |error| {
                    let text = format!("failed to process {:?}: {error}", word.text);
                    Diagnostic::error(word.span, text)
                };
                let expansion =
                    Lexer::new(escape).expand(&word.text, &self.scope, budget).map_err(failed)?;
                uses = expansion.used;
                Some(expansion.text)
            }
            (None, None) => None,
        };
        if let Some(value) = &value {
            self.scope
                .set(name, value, true, budget)
                .map_err(|error| Diagnostic::error(definition.name.span, error.to_string()))?;
        }
        self.by_name.insert(name.clone(), self.arguments.len());
        self.arguments.push(Arc::new(Argument {
            name: name.clone(),
            value,
            description: definition.description.clone(),
            span: definition.name.span,
            uses,
        }));
        Ok(())
    }

    /// The last declaration of an argument.
    pub(super) fn declared(&self, name: &str) -> Option<&Arc<Argument>> {
        self.by_name.get(name).and_then(|at| self.arguments.get(*at))
    }

    /// Whether `FROM` may use a name without a word.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.scope.get(name).is_some() || self.declared(name).is_some()
    }
}
