//! Reports as text or JSON.

use creel::run::{Listed, LogSettings, Status};
use creel::store::Volume;
use creel::template::{self, Schema};
use serde_json::{Value, json};

/// Docker's text for no time.
const NEVER: &str = "0001-01-01T00:00:00Z";
/// Characters of a command that a table shows.
const COMMAND: usize = 20;

/// What templates know of the types of what is shown here.
pub const SCHEMA: Schema = Schema {
    maps: &["Labels", "ExposedPorts", "Volumes", "Options", "Networks", "Ports"],
    lists: &["Args", "Cmd", "Entrypoint", "Env", "Mounts"],
    fields: &[],
};

/// Fills a template in from something that is inspected.
pub fn filled(template: &str, value: &Value) -> creel::Result<String> {
    match template {
        "json" => Ok(value.to_string()),
        _ => template::fill(template, value, &SCHEMA),
    }
}

/// A span of time in Docker's words.
pub fn duration(seconds: i64) -> String {
    let minutes = seconds / 60;
    let hours = (seconds + 1800) / 3600;
    match seconds {
        ..1 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..60 => format!("{seconds} seconds"),
        _ if minutes == 1 => "About a minute".to_owned(),
        _ if minutes < 60 => format!("{minutes} minutes"),
        _ if hours == 1 => "About an hour".to_owned(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if hours < 24 * 14 => format!("{} days", hours / 24),
        _ if hours < 24 * 60 => format!("{} weeks", hours / 24 / 7),
        _ if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    }
}

/// What a container does, in Docker's words.
pub fn status(listed: &Listed, since: &dyn Fn(&str) -> i64) -> String {
    let ago = |time: &Option<String>| {
        time.as_deref().map_or("some time".to_owned(), |time| duration(since(time)))
    };
    let state = &listed.state;
    match (state.status, state.exit_code) {
        (Status::Created, _) => "Created".to_owned(),
        (Status::Running, _) => format!("Up {}", ago(&state.started)),
        (Status::Paused, _) => format!("Up {} (Paused)", ago(&state.started)),
        (Status::Restarting, code) => {
            format!("Restarting ({}) {} ago", code.unwrap_or(-1), ago(&state.finished))
        }
        (Status::Exited, Some(code)) => format!("Exited ({code}) {} ago", ago(&state.finished)),
        (Status::Exited, None) => "Exited (unknown)".to_owned(),
    }
}

/// One container for a list: what each column of `ps` says.
pub fn row(listed: &Listed, whole: bool, since: &dyn Fn(&str) -> i64) -> Value {
    let record = &listed.record;
    let id = if whole { record.id.as_str() } else { record.id.get(..12).unwrap_or(&record.id) };
    let mut command = record.command.join(" ");
    if !whole && command.chars().count() > COMMAND {
        command = command.chars().take(COMMAND - 1).chain(['…']).collect();
    }
    let labels: Vec<String> =
        record.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    json!({
        "ID": id,
        "Image": record.image,
        "Command": format!("\"{command}\""),
        "CreatedAt": record.created,
        "RunningFor": format!("{} ago", duration(since(&record.created))),
        "Status": status(listed, since),
        "State": listed.state.status.word(),
        "Ports": if listed.state.status == Status::Running { record.exposed.join(", ") } else { String::new() },
        "Names": record.name,
        "Labels": labels.join(","),
        "Networks": record.network,
    })
}

/// Everything about one container, in Docker's names.
pub fn container(listed: &Listed) -> Value {
    let (record, state) = (&listed.record, &listed.state);
    let mounts: Vec<Value> = record
        .mounts
        .iter()
        .map(|mount| {
            json!({
                "Type": mount.kind,
                "Name": mount.name,
                "Source": mount.source,
                "Destination": mount.target,
                "RW": !mount.read_only,
            })
        })
        .collect();
    let (entrypoint, command) =
        record.command.split_at(record.entrypoint.min(record.command.len()));
    let exposed: serde_json::Map<String, Value> =
        record.exposed.iter().map(|port| (port.clone(), json!({}))).collect();
    let (path, arguments) = match record.command.split_first() {
        Some((path, arguments)) => (path.as_str(), arguments),
        None => ("", &[][..]),
    };
    json!({
        "Id": record.id,
        "Created": record.created,
        "Path": path,
        "Args": arguments,
        "State": {
            "Status": state.status.word(),
            "Running": state.status.is_up(),
            "Paused": state.status == Status::Paused,
            "Restarting": state.status == Status::Restarting,
            "Pid": state.pid.unwrap_or(0),
            "ExitCode": state.exit_code.unwrap_or(if state.status == Status::Exited { -1 } else { 0 }),
            "Error": state.error,
            "StartedAt": state.started.as_deref().unwrap_or(NEVER),
            "FinishedAt": state.finished.as_deref().unwrap_or(NEVER),
        },
        "Image": record.image_id,
        "RestartCount": state.restarts,
        "Name": format!("/{}", record.name),
        "Mounts": mounts,
        "HostConfig": {
            "AutoRemove": record.remove,
            "RestartPolicy": {
                "Name": record.restart.name(),
                "MaximumRetryCount": record.restart.retries(),
            },
            "LogConfig": {"Type": record.log.driver.name(), "Config": log_config(&record.log)},
            "NetworkMode": record.network,
            "Privileged": record.privileged,
        },
        "Config": {
            "Hostname": record.hostname,
            "User": record.user,
            "Tty": record.terminal,
            "OpenStdin": record.interactive,
            "Env": record.env,
            "Cmd": command,
            "Entrypoint": (!entrypoint.is_empty()).then_some(entrypoint),
            "ExposedPorts": exposed,
            "Image": record.image,
            "WorkingDir": record.workdir,
            "Labels": record.labels,
        },
        "NetworkSettings": {"IPAddress": record.address.map(|a| a.to_string()).unwrap_or_default()},
    })
}

fn log_config(log: &LogSettings) -> Value {
    let size = log.max_size.map(|size| ("max-size".to_owned(), json!(size.to_string())));
    let files = log.max_files.map(|files| ("max-file".to_owned(), json!(files.to_string())));
    Value::Object(size.into_iter().chain(files).collect())
}

/// Everything about one volume, in Docker's names.
pub fn volume(volume: &Volume, data: &std::path::Path) -> Value {
    json!({
        "CreatedAt": volume.created,
        "Driver": "local",
        "Labels": volume.labels,
        "Mountpoint": data,
        "Name": volume.name,
        "Options": Value::Null,
        "Scope": "local",
    })
}

/// What stands above the fields of volumes in a list.
pub fn volume_titles() -> Value {
    json!({
        "CreatedAt": "CREATED AT",
        "Driver": "DRIVER",
        "Labels": "LABELS",
        "Mountpoint": "MOUNTPOINT",
        "Name": "VOLUME NAME",
        "Options": "OPTIONS",
        "Scope": "SCOPE",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_time() {
        for (seconds, text) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (150, "2 minutes"),
            (3599, "59 minutes"),
            (3600, "About an hour"),
            (2 * 3600, "2 hours"),
            (48 * 3600, "2 days"),
            (24 * 14 * 3600, "2 weeks"),
            (24 * 60 * 3600, "2 months"),
            (24 * 365 * 2 * 3600, "2 years"),
        ] {
            assert_eq!(duration(seconds), text, "{seconds}");
        }
    }
}
