//! What the image shall say, changed field by field.

use std::collections::BTreeSet;

use super::super::dockerfile::parse_duration;
use super::super::graph::{is_signal, ports_of};
use super::words;
use super::{Working, WorkingRecord, with};
use crate::error::{Error, Result};
use crate::spec::{ContainerConfig, Healthcheck};
use crate::store::Store;

/// The shortest time between two checks that Docker takes (nanoseconds).
const SHORTEST: i64 = 1_000_000;

/// Changes in the words of `buildah config`. In the lists `NAME-` takes one away and `-` all of
/// them.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Who made the image.
    pub author: Option<String>,
    /// A note in the image (Docker's format alone).
    pub comment: Option<String>,
    /// Processor architecture.
    pub arch: Option<String>,
    /// Variant of the processor.
    pub variant: Option<String>,
    /// Operating system.
    pub os: Option<String>,
    /// Needed version of the operating system.
    pub os_version: Option<String>,
    /// Needed features of the operating system.
    pub os_features: Vec<String>,
    /// Default command: a list in JSON or words of a shell.
    pub cmd: Option<String>,
    /// Entrypoint: a list in JSON, or a command for `/bin/sh -c`.
    pub entrypoint: Option<String>,
    /// `NAME=value`, in which variables are filled in.
    pub env: Vec<String>,
    /// `NAME=value`.
    pub labels: Vec<String>,
    /// `NAME=value`.
    pub annotations: Vec<String>,
    /// Ports, ranges of ports.
    pub ports: Vec<String>,
    /// Directories that hold data.
    pub volumes: Vec<String>,
    /// Instructions for images built on this one.
    pub on_build: Vec<String>,
    /// `user[:group]`.
    pub user: Option<String>,
    /// Directory to start in.
    pub workdir: Option<String>,
    /// What `stop` sends first.
    pub stop_signal: Option<String>,
    /// What shell forms run in: words of a shell.
    pub shell: Option<String>,
    /// The check: `NONE`, `CMD …` or `CMD-SHELL …`.
    pub healthcheck: Option<String>,
    /// Between two checks.
    pub healthcheck_interval: Option<String>,
    /// Until a check counts as failed.
    pub healthcheck_timeout: Option<String>,
    /// After the start, in which failures do not count.
    pub healthcheck_start_period: Option<String>,
    /// Between two checks during that period.
    pub healthcheck_start_interval: Option<String>,
    /// Failures in a row that make a container unhealthy.
    pub healthcheck_retries: Option<i64>,
    /// What history says of the layer.
    pub created_by: Option<String>,
    /// The comment in the layer's line of history.
    pub history_comment: Option<String>,
    /// Host name of containers (Docker's format alone).
    pub hostname: Option<String>,
    /// Domain name of containers (Docker's format alone).
    pub domainname: Option<String>,
    /// Whether each change gets a line of history.
    pub add_history: bool,
}

/// Changes what the image of a container shall say; all of it or, after a mistake, nothing.
///
/// # Errors
/// `Usage` for values that mean nothing, naming the flag.
pub fn config(store: &Store, text: &str, changes: &Changes) -> Result<()> {
    with(store, text, |working| {
        let mut record = working.record.clone();
        let lines = apply(&mut record, changes)?;
        working.record = record;
        if changes.add_history {
            lines.into_iter().for_each(|line| working.note(&line));
        }
        working.save()
    })
}

impl Working {
    /// Notes a change that makes no layer, in the words of Docker's first builder.
    pub(super) fn note(&mut self, what: &str) {
        self.add_history(format!("/bin/sh -c #(nop) {what}"));
    }
}

/// Carries the changes out; the instructions that they amount to.
fn apply(record: &mut WorkingRecord, changes: &Changes) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    image_fields(record, changes);
    let container = &mut record.config.config;
    if let Some(user) = &changes.user {
        container.user.clone_from(user);
        lines.push(format!("USER {user}"));
    }
    if let Some(text) = &changes.workdir {
        container.working_dir.clone_from(text);
        lines.push(format!("WORKDIR {text}"));
    }
    if let Some(text) = &changes.shell {
        container.shell = list_of(text, "--shell")?;
        lines.push(format!("SHELL {text}"));
    }
    if let Some(signal) = &changes.stop_signal {
        if !signal.is_empty() && !is_signal(signal) {
            return Err(Error::usage(format!("--stop-signal: {signal:?} is no signal")));
        }
        container.stop_signal.clone_from(signal);
        lines.push(format!("STOPSIGNAL {signal}"));
    }
    if let Some(text) = &changes.entrypoint {
        container.entrypoint = match words::json(text) {
            Some(words) => words,
            None if text.trim().is_empty() => Vec::new(),
            None => vec!["/bin/sh".to_owned(), "-c".to_owned(), text.clone()],
        };
        lines.push(format!("ENTRYPOINT {text}"));
    }
    if let Some(text) = &changes.cmd {
        container.cmd = list_of(text, "--cmd")?;
        container.args_escaped = false;
        lines.push(format!("CMD {text}"));
    }
    env(container, changes, &mut lines)?;
    ports(container, &changes.ports, &mut lines)?;
    for text in &changes.volumes {
        members(&mut container.volumes, text, |text| Ok(vec![text.to_owned()]))?;
        lines.push(format!("VOLUME {text}"));
    }
    for text in &changes.on_build {
        match text.as_str() {
            "-" => container.on_build.clear(),
            trigger => container.on_build.push(trigger.to_owned()),
        }
        lines.push(format!("ONBUILD {text}"));
    }
    if let Some(check) = healthcheck(container.healthcheck.clone(), changes)? {
        lines.push(format!("HEALTHCHECK {}", check.test.join(" ")));
        container.healthcheck = Some(check);
    }
    for text in &changes.labels {
        pairs(&mut container.labels, text);
        lines.push(format!("LABEL {text}"));
    }
    for text in &changes.annotations {
        pairs(&mut record.annotations, text);
    }
    Ok(lines)
}

/// What is not about containers.
fn image_fields(record: &mut WorkingRecord, changes: &Changes) {
    let config = &mut record.config;
    let set = |field: &mut String, value: &Option<String>| {
        if let Some(value) = value {
            field.clone_from(value);
        }
    };
    let maybe = |field: &mut Option<String>, value: &Option<String>| {
        if let Some(value) = value {
            *field = Some(value.clone()).filter(|value| !value.is_empty());
        }
    };
    set(&mut config.architecture, &changes.arch);
    set(&mut config.os, &changes.os);
    set(&mut config.config.hostname, &changes.hostname);
    set(&mut config.config.domainname, &changes.domainname);
    set(&mut record.created_by, &changes.created_by);
    set(&mut record.history_comment, &changes.history_comment);
    maybe(&mut config.author, &changes.author);
    maybe(&mut config.comment, &changes.comment);
    maybe(&mut config.variant, &changes.variant);
    maybe(&mut config.os_version, &changes.os_version);
    for feature in &changes.os_features {
        match (feature.as_str(), feature.strip_suffix('-')) {
            ("-", _) => config.os_features.clear(),
            (_, Some(name)) => config.os_features.retain(|known| known != name),
            (name, None) if config.os_features.iter().any(|known| known == name) => {}
            (name, None) => config.os_features.push(name.to_owned()),
        }
    }
}

/// A list in JSON, or the words of a shell.
fn list_of(text: &str, flag: &str) -> Result<Vec<String>> {
    let words = words::json(text).or_else(|| words::split(text));
    words.ok_or_else(|| Error::usage(format!("{flag}: a quote in {text:?} does not end")))
}

fn env(container: &mut ContainerConfig, changes: &Changes, lines: &mut Vec<String>) -> Result<()> {
    let is = |entry: &str, name: &str| entry.split('=').next() == Some(name);
    for text in &changes.env {
        match text.split_once('=') {
            Some(("", _)) => {
                return Err(Error::usage(format!("--env: {text:?} names no variable")));
            }
            Some((name, value)) => {
                let entry = format!("{name}={}", words::filled(value, &container.env));
                match container.env.iter_mut().find(|known| is(known, name)) {
                    Some(known) => *known = entry,
                    None => container.env.push(entry),
                }
            }
            None if text == "-" => container.env.clear(),
            None => {
                let Some(name) = text.strip_suffix('-') else {
                    return Err(Error::usage(format!(
                        "--env: {text:?} is not NAME=VALUE ({text}- takes a variable away)"
                    )));
                };
                container.env.retain(|known| !is(known, name));
            }
        }
        lines.push(format!("ENV {text}"));
    }
    Ok(())
}

fn ports(container: &mut ContainerConfig, texts: &[String], lines: &mut Vec<String>) -> Result<()> {
    for text in texts {
        members(&mut container.exposed_ports, text, |text| {
            ports_of(text).map_err(|error| Error::usage(format!("--port: {error}")))
        })?;
        lines.push(format!("EXPOSE {text}"));
    }
    Ok(())
}

/// Adds to a set, or takes away from it.
fn members(
    set: &mut BTreeSet<String>,
    text: &str,
    read: impl Fn(&str) -> Result<Vec<String>>,
) -> Result<()> {
    match (text, text.strip_suffix('-')) {
        ("-", _) => set.clear(),
        (_, Some(text)) => {
            for member in read(text)? {
                set.remove(&member);
            }
        }
        (text, None) => set.extend(read(text)?),
    }
    Ok(())
}

fn pairs(map: &mut std::collections::BTreeMap<String, String>, text: &str) {
    match (text.split_once('='), text.strip_suffix('-')) {
        (Some((name, value)), _) => drop(map.insert(name.to_owned(), value.to_owned())),
        (None, Some("")) => map.clear(),
        (None, Some(name)) => drop(map.remove(name)),
        (None, None) => drop(map.insert(text.to_owned(), String::new())),
    }
}

/// The check as it is afterwards, if anything was said about it.
fn healthcheck(before: Option<Healthcheck>, changes: &Changes) -> Result<Option<Healthcheck>> {
    let mut check = before.unwrap_or_default();
    let mut changed = false;
    if let Some(text) = &changes.healthcheck {
        let words = words::split(text).filter(|words| !words.is_empty());
        let words = words.ok_or_else(|| {
            Error::usage(format!("--healthcheck: {text:?} is none of NONE, CMD and CMD-SHELL"))
        })?;
        check.test = match words[0].as_str() {
            "NONE" => vec!["NONE".to_owned()],
            "CMD" => words,
            "CMD-SHELL" => {
                let command = text.trim_start().trim_start_matches("CMD-SHELL").trim_start();
                vec!["CMD-SHELL".to_owned(), command.to_owned()]
            }
            _ => vec!["CMD-SHELL".to_owned(), text.clone()],
        };
        changed = true;
    }
    for (flag, text, field) in [
        ("interval", &changes.healthcheck_interval, &mut check.interval),
        ("timeout", &changes.healthcheck_timeout, &mut check.timeout),
        ("start-period", &changes.healthcheck_start_period, &mut check.start_period),
        ("start-interval", &changes.healthcheck_start_interval, &mut check.start_interval),
    ] {
        let Some(text) = text else { continue };
        let length = parse_duration(text).filter(|length| *length == 0 || *length >= SHORTEST);
        *field = length.ok_or_else(|| {
            let what = format!("--healthcheck-{flag}: {text:?} is no duration of 1ms or more");
            Error::usage(format!("{what} (as 30s, 1m30s or 500ms)"))
        })?;
        changed = true;
    }
    if let Some(retries) = changes.healthcheck_retries {
        if retries < 0 {
            return Err(Error::usage("--healthcheck-retries cannot be negative"));
        }
        check.retries = retries;
        changed = true;
    }
    Ok(changed.then_some(check))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn changed(change: impl Fn(&mut Changes)) -> Result<ContainerConfig> {
        let mut record = WorkingRecord::default();
        let container = &mut record.config.config;
        container.env = vec!["PATH=/bin".to_owned(), "A=1".to_owned()];
        container.labels.insert("l".to_owned(), "1".to_owned());
        container.exposed_ports.insert("80/tcp".to_owned());
        let mut changes = Changes::default();
        change(&mut changes);
        apply(&mut record, &changes)?;
        Ok(record.config.config)
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn lists_grow_and_shrink() {
        let env = |given: &[&str]| changed(|c| c.env = texts(given)).unwrap().env;
        assert_eq!(env(&["PATH=/x:$PATH", "B=2"]), ["PATH=/x:/bin", "A=1", "B=2"]);
        assert_eq!(env(&["A-"]), ["PATH=/bin"]);
        assert!(env(&["-"]).is_empty());
        let ports = |given: &[&str]| changed(|c| c.ports = texts(given)).unwrap().exposed_ports;
        assert_eq!(Vec::from_iter(ports(&["81", "53/udp"])), ["53/udp", "80/tcp", "81/tcp"]);
        assert_eq!(Vec::from_iter(ports(&["81-82", "80-"])), ["81/tcp", "82/tcp"]);
        let labels = |given: &[&str]| changed(|c| c.labels = texts(given)).unwrap().labels;
        assert_eq!(
            labels(&["m=a=b", "l-"]).into_iter().collect::<Vec<_>>(),
            [("m".to_owned(), "a=b".to_owned())]
        );
        assert!(labels(&["-"]).is_empty());
    }

    #[test]
    fn commands() {
        let cmd = |text: &str| changed(|c| c.cmd = Some(text.to_owned())).unwrap().cmd;
        assert_eq!(cmd("a 'b c'"), ["a", "b c"]);
        assert_eq!(cmd(r#"["a", "b c"]"#), ["a", "b c"]);
        assert!(cmd("").is_empty());
        let entry = |text: &str| changed(|c| c.entrypoint = Some(text.to_owned())).unwrap();
        assert_eq!(entry("a b").entrypoint, ["/bin/sh", "-c", "a b"]);
        assert_eq!(entry(r#"["a"]"#).entrypoint, ["a"]);
        assert!(entry("").entrypoint.is_empty());
    }

    #[test]
    fn checks() {
        let check = |text: &str| {
            changed(|c| c.healthcheck = Some(text.to_owned())).unwrap().healthcheck.unwrap().test
        };
        assert_eq!(check("NONE"), ["NONE"]);
        assert_eq!(check("CMD a 'b c'"), ["CMD", "a", "b c"]);
        assert_eq!(check("CMD-SHELL a || exit 1"), ["CMD-SHELL", "a || exit 1"]);
        let interval = changed(|c| c.healthcheck_interval = Some("1m30s".to_owned())).unwrap();
        assert_eq!(interval.healthcheck.unwrap().interval, 90_000_000_000);
        assert!(changed(|c| c.healthcheck_timeout = Some("5".to_owned())).is_err());
        assert!(changed(|c| c.stop_signal = Some("SIGNONE".to_owned())).is_err());
        assert!(changed(|c| c.env = texts(&["X"])).is_err());
    }
}
