//! Profiles in Docker's JSON format.

use oci_spec::runtime::{Arch, LinuxSeccompAction, LinuxSeccompFilterFlag, LinuxSeccompOperator};
use serde::Deserialize;

use super::{Argument, Condition, Profile, Rule};
use crate::error::{Error, ErrorKind, Result};
use crate::spec::json::{null_is_default, parse_strict};

/// Largest profile, in bytes.
const MAX_PROFILE: usize = 4 << 20;

/// Most arguments that a call has.
const MAX_ARGUMENTS: usize = 6;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    default_action: LinuxSeccompAction,
    default_errno_ret: Option<u32>,
    #[serde(default, deserialize_with = "null_is_default")]
    architectures: Vec<Arch>,
    #[serde(default, deserialize_with = "null_is_default")]
    arch_map: Vec<Family>,
    #[serde(default, deserialize_with = "null_is_default")]
    flags: Vec<LinuxSeccompFilterFlag>,
    listener_path: Option<String>,
    listener_metadata: Option<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    syscalls: Vec<Call>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Family {
    architecture: Arch,
    #[serde(default, deserialize_with = "null_is_default")]
    sub_architectures: Vec<Arch>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Call {
    #[serde(default, deserialize_with = "null_is_default")]
    name: String,
    #[serde(default, deserialize_with = "null_is_default")]
    names: Vec<String>,
    action: LinuxSeccompAction,
    errno_ret: Option<u32>,
    #[serde(default, deserialize_with = "null_is_default")]
    args: Vec<CallArgument>,
    #[serde(default, deserialize_with = "null_is_default")]
    includes: Filter,
    #[serde(default, deserialize_with = "null_is_default")]
    excludes: Filter,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CallArgument {
    index: usize,
    value: u64,
    #[serde(default, deserialize_with = "null_is_default")]
    value_two: u64,
    op: LinuxSeccompOperator,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Filter {
    #[serde(deserialize_with = "null_is_default")]
    caps: Vec<String>,
    #[serde(deserialize_with = "null_is_default")]
    arches: Vec<String>,
    #[serde(deserialize_with = "null_is_default")]
    min_kernel: String,
}

/// Reads a profile.
pub(super) fn parse(json: &[u8]) -> Result<Profile> {
    if json.len() > MAX_PROFILE {
        return Err(Error::invalid(format!("larger than {MAX_PROFILE} bytes")));
    }
    let value = parse_strict(json, "it")?;
    let document: Document = serde_json::from_value(value)
        .map_err(|error| Error::caused(ErrorKind::Invalid, "not a seccomp profile", error))?;
    let families =
        document.arch_map.into_iter().map(|f| (f.architecture, f.sub_architectures)).collect();
    let rules = document.syscalls.into_iter().map(Rule::try_from).collect::<Result<_>>()?;
    Ok(Profile {
        default_action: document.default_action,
        default_errno: document.default_errno_ret,
        architectures: document.architectures,
        families,
        flags: document.flags,
        listener: document.listener_path.map(|path| (path, document.listener_metadata)),
        rules,
    })
}

impl TryFrom<Call> for Rule {
    type Error = Error;

    fn try_from(call: Call) -> Result<Rule> {
        let names = match (call.name.is_empty(), call.names.is_empty()) {
            (false, false) => {
                return Err(Error::invalid("both \"name\" and \"names\" are given in one rule"));
            }
            (false, true) => vec![call.name],
            (true, _) => call.names,
        };
        if call.args.len() > MAX_ARGUMENTS || call.args.iter().any(|a| a.index >= MAX_ARGUMENTS) {
            return Err(Error::invalid(format!("{names:?}: a call has {MAX_ARGUMENTS} arguments")));
        }
        let arguments = call.args.into_iter().map(|argument| Argument {
            index: argument.index,
            value: argument.value,
            value_two: argument.value_two,
            operator: argument.op,
        });
        Ok(Rule {
            arguments: arguments.collect(),
            includes: call.includes.try_into()?,
            excludes: call.excludes.try_into()?,
            action: call.action,
            errno: call.errno_ret,
            names,
        })
    }
}

impl TryFrom<Filter> for Condition {
    type Error = Error;

    fn try_from(filter: Filter) -> Result<Condition> {
        let text = &filter.min_kernel;
        let kernel = match text.as_str() {
            "" => None,
            _ => Some(
                text.split_once('.')
                    .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)))
                    .ok_or_else(|| Error::invalid(format!("invalid kernel version {text:?}")))?,
            ),
        };
        Ok(Condition { processors: filter.arches, capabilities: filter.caps, kernel })
    }
}
