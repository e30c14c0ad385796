//! `RUN` and its mounts.

use super::super::dockerfile::{self, CommandLine, Instruction, MountKind, Sharing, Word};
use super::evaluate::Evaluator;
use super::globals::CACHE_NAMESPACE;
use super::{Input, Mount, Operation, Run, paths};

/// The argument vector, whether a shell is in front, and a script's name with its text.
type Arguments = (Vec<String>, bool, Option<(String, String)>);

impl Evaluator<'_> {
    pub(super) fn run(
        &mut self,
        instruction: &Instruction,
        written: &dockerfile::Run,
    ) -> Option<(Operation, bool)> {
        let mut certain = self.state.known;
        let (arguments, shell, script) = self.arguments(written)?;
        let mut mounts = Vec::new();
        let mut agents = 0;
        for word in &written.mounts {
            if let Some(mount) = self.mount(instruction, word, agents, &mut certain) {
                agents += usize::from(mount.kind == MountKind::Ssh);
                mounts.push(mount);
            }
        }
        let build_arguments = self.build_arguments(instruction)?;
        let run = Run {
            arguments,
            shell,
            script,
            mounts,
            network: written.network,
            security: written.security,
            devices: written.devices.clone(),
            environment: self.state.scope.clone(),
            build_arguments,
            workdir: self.state.workdir.clone(),
            user: self.state.user.clone(),
        };
        Some((Operation::Run(Box::new(run)), certain))
    }

    /// The argument vector, whether a shell is in front, and a script with its own interpreter.
    fn arguments(&mut self, written: &dockerfile::Run) -> Option<Arguments> {
        let text = match &written.command {
            CommandLine::Exec(words) => return Some((words.clone(), false, None)),
            CommandLine::Shell(_) => written.shell_text().unwrap_or_default(),
        };
        let mut arguments = self.shell();
        if let Some(script) = written.script().filter(|_| text.starts_with("#!")) {
            let name = match script.file_name() {
                Ok(name) => name,
                Err(problem) => {
                    self.error(script.span, problem);
                    return None;
                }
            };
            arguments.push(format!("/dev/pipes/{name}"));
            return Some((arguments, true, Some((name, text))));
        }
        arguments.push(text);
        Some((arguments, true, None))
    }

    /// Declared arguments with what they are now, in the order of first declaration.
    fn build_arguments(&mut self, instruction: &Instruction) -> Option<Vec<(String, String)>> {
        use super::super::expand::Variables;
        if let Err(error) = self.budget.pay(self.state.size()) {
            self.error(instruction.span, error.to_string());
            return None;
        }
        let mut seen = std::collections::HashMap::new();
        let mut out: Vec<(String, String)> = Vec::new();
        for (name, value) in &self.state.declared {
            let now = self.state.scope.get(name).map(str::to_owned);
            let now = now.or_else(|| value.clone()).unwrap_or_default();
            match seen.get(name) {
                Some(at) => out[*at] = (name.clone(), now),
                None => {
                    seen.insert(name, out.len());
                    out.push((name.clone(), now));
                }
            }
        }
        Some(out)
    }

    fn mount(
        &mut self,
        instruction: &Instruction,
        word: &Word,
        agents: usize,
        certain: &mut bool,
    ) -> Option<Mount> {
        let span = word.span;
        let mut sure = true;
        let mut expand = |text: &str| {
            let lexer = self.lexer();
            let expansion = lexer
                .expand(text, &self.state.scope, self.budget)
                .map_err(|error| format!("failed to process {text:?}: {error}"))?;
            self.advise_unset(instruction, &expansion.unset, span);
            let value = self.value(expansion);
            sure &= value.certain;
            Ok(value.text)
        };
        let parsed = dockerfile::Mount::parse(word, &mut expand);
        *certain &= sure;
        let mount = match parsed {
            Ok(mount) => mount,
            // What depends on an unknown base may still become right.
            Err(_) if !sure => return None,
            Err(mut problem) => {
                problem.span = self.place(problem.span);
                self.found.push(problem);
                return None;
            }
        };
        let out = self.with_defaults(word, mount, agents)?;
        if out.target.as_deref() == Some("/") && sure {
            self.error(span, "invalid mount target \"/\"");
            return None;
        }
        Some(out)
    }

    fn with_defaults(
        &mut self,
        word: &Word,
        mount: dockerfile::Mount,
        agents: usize,
    ) -> Option<Mount> {
        let from = match (&mount.from, mount.kind) {
            (Some(from), MountKind::Bind | MountKind::Cache) => {
                Some(self.input(word, from, false)?)
            }
            (None, MountKind::Bind) => Some(Input::Context),
            _ => None,
        };
        match Mount::settled(mount, from, agents, |target| self.target(target)) {
            Ok(mount) => Some(self.in_namespace(mount)),
            Err(problem) => {
                self.error(word.span, problem);
                None
            }
        }
    }

    /// A mount with the ID of its cache in the namespace that an argument gives, if one does.
    fn in_namespace(&self, mut mount: Mount) -> Mount {
        if let (MountKind::Cache, Some(namespace), Some(id)) =
            (mount.kind, self.options.argument(CACHE_NAMESPACE), &mount.id)
            && !namespace.is_empty()
        {
            mount.id = Some(cleaned(&format!("{namespace}/{id}")));
        }
        mount
    }

    /// A target as seen from the working directory.
    fn target(&self, target: &str) -> Option<String> {
        match &self.state.workdir {
            Some(workdir) => Some(paths::join(workdir, target)),
            None if target.starts_with('/') => Some(paths::join("/", target)),
            None => Some(target.to_owned()),
        }
    }
}

impl Mount {
    /// A mount with all that it does not say filled in. `agents` counts those before it, `place`
    /// tells what a target means.
    pub(in crate::build) fn settled(
        mount: dockerfile::Mount,
        from: Option<Input>,
        agents: usize,
        place: impl Fn(&str) -> Option<String>,
    ) -> Result<Mount, &'static str> {
        let target = mount.target.as_deref();
        let base = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
        let mut out = Mount {
            kind: mount.kind,
            from,
            source: mount.source.clone(),
            target: place(target.unwrap_or_default()),
            read_only: mount.read_only,
            size: mount.size,
            id: mount.id.clone(),
            sharing: mount.sharing.unwrap_or(Sharing::Shared),
            required: mount.required,
            env: mount.env,
            mode: mount.mode,
            uid: mount.uid,
            gid: mount.gid,
        };
        match mount.kind {
            MountKind::Cache if out.id.is_none() => out.id = target.map(cleaned),
            MountKind::Secret => {
                let id = mount.source.or(mount.id).or(target.map(base));
                let id = id.ok_or("invalid secret mount. one of source, target required")?;
                match (target, &out.env) {
                    (None, Some(_)) => out.target = None,
                    (None, None) => out.target = Some(format!("/run/secrets/{}", base(&id))),
                    (Some(_), _) => {}
                }
                out.id = Some(id);
                out.source = None;
            }
            MountKind::Ssh if mount.source.is_some() => return Err("ssh does not support source"),
            MountKind::Ssh => {
                out.id.get_or_insert_with(|| "default".to_owned());
                if target.is_none() {
                    out.target = Some(format!("/run/buildkit/ssh_agent.{agents}"));
                }
            }
            _ => {}
        }
        Ok(out)
    }
}

/// A cache's name where only its target is given: the target, cleaned, not made absolute.
fn cleaned(target: &str) -> String {
    match target.starts_with('/') {
        true => paths::join("/", target),
        false => super::super::dockerignore::clean(target),
    }
}
