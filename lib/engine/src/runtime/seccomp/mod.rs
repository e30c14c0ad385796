//! Which system calls a container may use.
//!
//! Owns Docker's default profile (`table`) and the reading of profiles in Docker's format
//! (`profile`), and resolves their conditions for one host and one set of capabilities. Pure.
//! Promise: the result holds only what an OCI runtime understands. Does not load filters.

mod profile;
mod table;

use std::collections::{BTreeSet, HashSet};

use oci_spec::runtime::{
    Arch, Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSeccompFilterFlag, LinuxSeccompOperator, LinuxSyscall,
};

use super::options::SeccompChoice;
use crate::error::{Error, ErrorKind, Result};

/// What conditions of a profile are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeccompHost {
    /// The processor in Go's names.
    pub architecture: String,
    /// The kernel's first two numbers.
    pub kernel: (u32, u32),
    /// Whether the kernel runs programs of the 386. Where it does not run another processor's
    /// programs, a filter need not know their calls, which saves a third of its making: whoever
    /// makes such a call is ended instead of refused.
    pub ia32: bool,
    /// Whether the kernel runs x32 programs.
    pub x32: bool,
}

/// The filter of a container with the bounding set `capabilities`; `None` for no filter.
///
/// Fails when a person's profile cannot be understood.
pub fn resolve(
    choice: &SeccompChoice,
    host: &SeccompHost,
    capabilities: &HashSet<Capability>,
) -> Result<Option<LinuxSeccomp>> {
    let profile = match choice {
        SeccompChoice::Unconfined => return Ok(None),
        SeccompChoice::Default => table::default_profile(),
        SeccompChoice::Profile { name, json } => {
            let reading = || format!("decoding seccomp profile {name} failed");
            profile::parse(json).map_err(|error| error.while_doing(reading()))?
        }
    };
    profile.resolve(host, capabilities).map(Some)
}

/// A profile with its conditions.
#[derive(Clone, Debug)]
struct Profile {
    default_action: LinuxSeccompAction,
    default_errno: Option<u32>,
    architectures: Vec<Arch>,
    families: Vec<(Arch, Vec<Arch>)>,
    flags: Vec<LinuxSeccompFilterFlag>,
    listener: Option<(String, Option<String>)>,
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    names: Vec<String>,
    action: LinuxSeccompAction,
    errno: Option<u32>,
    arguments: Vec<Argument>,
    includes: Condition,
    excludes: Condition,
}

#[derive(Clone, Copy, Debug)]
struct Argument {
    index: usize,
    value: u64,
    value_two: u64,
    operator: LinuxSeccompOperator,
}

/// When a rule counts. As an inclusion all given parts must hold, as an exclusion one suffices.
#[derive(Clone, Debug, Default)]
struct Condition {
    /// One of these.
    processors: Vec<String>,
    /// As an inclusion: all of these; as an exclusion: one.
    capabilities: Vec<String>,
    /// This kernel or a later one.
    kernel: Option<(u32, u32)>,
}

impl Profile {
    fn resolve(
        self,
        host: &SeccompHost,
        capabilities: &HashSet<Capability>,
    ) -> Result<LinuxSeccomp> {
        let held: HashSet<String> =
            capabilities.iter().map(|capability| format!("CAP_{capability}")).collect();
        let native = libseccomp_name(&host.architecture);
        let mut plain = BTreeSet::new();
        let mut calls = Vec::new();
        for rule in &self.rules {
            let applies = rule.includes.holds(native, host.kernel, &held)
                && !rule.excludes.excludes(native, host.kernel, &held);
            if !applies {
                continue;
            }
            // One call to the runtime instead of dozens: order means nothing among these.
            let simple = rule.action == LinuxSeccompAction::ScmpActAllow
                && rule.errno.is_none()
                && rule.arguments.is_empty();
            if simple {
                plain.extend(rule.names.iter().cloned());
            } else {
                calls.push(rule.to_oci()?);
            }
        }
        if !plain.is_empty() {
            let mut allowed = LinuxSyscall::default();
            allowed.set_names(plain.into_iter().collect());
            allowed.set_action(LinuxSeccompAction::ScmpActAllow);
            calls.insert(0, allowed);
        }
        let mut seccomp = LinuxSeccomp::default();
        seccomp.set_default_action(self.default_action);
        seccomp.set_default_errno_ret(self.default_errno);
        let architectures = self.architectures(host)?;
        seccomp.set_architectures((!architectures.is_empty()).then_some(architectures));
        seccomp.set_flags((!self.flags.is_empty()).then(|| self.flags.clone()));
        if let Some((path, metadata)) = self.listener {
            seccomp.set_listener_path(Some(path.into()));
            seccomp.set_listener_metadata(metadata);
        }
        seccomp.set_syscalls((!calls.is_empty()).then_some(calls));
        Ok(seccomp)
    }

    fn architectures(&self, host: &SeccompHost) -> Result<Vec<Arch>> {
        if !self.architectures.is_empty() && !self.families.is_empty() {
            return Err(Error::new(
                ErrorKind::Invalid,
                "both \"architectures\" and \"archMap\" are given: use one of them",
            ));
        }
        if !self.architectures.is_empty() {
            return Ok(self.architectures.clone());
        }
        let Some(native) = arch_of(&host.architecture) else { return Ok(Vec::new()) };
        let family = self.families.iter().find(|(arch, _)| *arch == native);
        let members = family.map(|(arch, others)| {
            let runs = |other: &Arch| match other {
                Arch::ScmpArchX86 => host.ia32,
                Arch::ScmpArchX32 => host.x32,
                _ => true,
            };
            std::iter::once(*arch).chain(others.iter().copied().filter(runs)).collect()
        });
        Ok(members.unwrap_or_default())
    }
}

impl Rule {
    fn to_oci(&self) -> Result<LinuxSyscall> {
        let mut call = LinuxSyscall::default();
        call.set_names(self.names.clone());
        call.set_action(self.action);
        call.set_errno_ret(self.errno);
        if !self.arguments.is_empty() {
            let arguments =
                self.arguments.iter().copied().map(Argument::to_oci).collect::<Result<_>>()?;
            call.set_args(Some(arguments));
        }
        Ok(call)
    }
}

impl Argument {
    fn to_oci(self) -> Result<LinuxSeccompArg> {
        let mut argument =
            LinuxSeccompArgBuilder::default().index(self.index).value(self.value).op(self.operator);
        // With a mask the second value is what must be left, mostly 0.
        let masked = self.operator == LinuxSeccompOperator::ScmpCmpMaskedEq;
        if masked || self.value_two != 0 {
            argument = argument.value_two(self.value_two);
        }
        argument.build().map_err(|error| Error::caused(ErrorKind::Failed, "seccomp rule", error))
    }
}

impl Condition {
    fn holds(&self, processor: &str, kernel: (u32, u32), held: &HashSet<String>) -> bool {
        (self.processors.is_empty() || self.processors.iter().any(|name| name == processor))
            && self.capabilities.iter().all(|name| held.contains(name))
            && self.kernel.is_none_or(|least| kernel >= least)
    }

    fn excludes(&self, processor: &str, kernel: (u32, u32), held: &HashSet<String>) -> bool {
        self.processors.iter().any(|name| name == processor)
            || self.capabilities.iter().any(|name| held.contains(name))
            || self.kernel.is_some_and(|least| kernel >= least)
    }
}

/// Go's name of a processor as profiles write it.
fn libseccomp_name(architecture: &str) -> &str {
    match architecture {
        "386" => "x86",
        "mips64le" => "mipsel64",
        "mipsle" => "mipsel",
        other => other,
    }
}

fn arch_of(architecture: &str) -> Option<Arch> {
    Some(match architecture {
        "amd64" => Arch::ScmpArchX86_64,
        "386" => Arch::ScmpArchX86,
        "arm64" => Arch::ScmpArchAarch64,
        "arm" => Arch::ScmpArchArm,
        "mips" => Arch::ScmpArchMips,
        "mips64" => Arch::ScmpArchMips64,
        "mipsle" => Arch::ScmpArchMipsel,
        "mips64le" => Arch::ScmpArchMipsel64,
        "ppc64le" => Arch::ScmpArchPpc64le,
        "s390x" => Arch::ScmpArchS390x,
        "riscv64" => Arch::ScmpArchRiscv64,
        "loong64" => Arch::ScmpArchLoongarch64,
        _ => return None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
