//! Programs that the runtime runs beside the container: those that named devices need, no others.

use oci_spec::runtime::{Hook, HookBuilder, Hooks};

use crate::error::{Error, ErrorKind, Result};
use crate::runtime::cdi::{CdiEdits, CdiHook};

pub(super) fn hooks(named: &CdiEdits) -> Result<Option<Hooks>> {
    if named.hooks.is_empty() {
        return Ok(None);
    }
    let mut hooks = Hooks::default();
    // One that is in use in old specifications, and that runtimes still know.
    let mut prestart = Vec::new();
    let [mut runtime, mut container, mut start, mut started, mut stopped] =
        [const { Vec::new() }; 5];
    for asked in &named.hooks {
        let list = match asked.hook_name.as_str() {
            "prestart" => &mut prestart,
            "createRuntime" => &mut runtime,
            "createContainer" => &mut container,
            "startContainer" => &mut start,
            "poststart" => &mut started,
            "poststop" => &mut stopped,
            other => {
                return Err(Error::unsupported(format!(
                    "hook {other:?} of a device specification"
                )));
            }
        };
        list.push(hook(asked)?);
    }
    let some = |list: Vec<Hook>| (!list.is_empty()).then_some(list);
    #[allow(deprecated)]
    hooks.set_prestart(some(prestart));
    hooks.set_create_runtime(some(runtime));
    hooks.set_create_container(some(container));
    hooks.set_start_container(some(start));
    hooks.set_poststart(some(started));
    hooks.set_poststop(some(stopped));
    Ok(Some(hooks))
}

fn hook(asked: &CdiHook) -> Result<Hook> {
    let mut hook = HookBuilder::default().path(asked.path.clone());
    if let Some(args) = &asked.args {
        hook = hook.args(args.clone());
    }
    if let Some(env) = &asked.env {
        hook = hook.env(env.clone());
    }
    if let Some(timeout) = asked.timeout {
        hook = hook.timeout(timeout);
    }
    hook.build().map_err(|error| Error::caused(ErrorKind::Invalid, "hook of a device", error))
}
