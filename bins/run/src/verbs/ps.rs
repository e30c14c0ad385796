//! `creel-run ps`.

use creel::cli;
use creel::error::{Error, Result};
use creel::run::{self, Listed};
use creel::template::Schema;
use serde_json::Value;

use super::line;
use crate::args::PsArgs;
use crate::context::Context;
use crate::render;

const COLUMNS: [(&str, &str); 7] = [
    ("CONTAINER ID", "ID"),
    ("IMAGE", "Image"),
    ("COMMAND", "Command"),
    ("CREATED", "RunningFor"),
    ("STATUS", "Status"),
    ("PORTS", "Ports"),
    ("NAMES", "Names"),
];

pub fn run(context: &Context, args: &PsArgs) -> Result<u8> {
    let filters = args.filter.iter().map(|text| Filter::parse(text)).collect::<Result<Vec<_>>>()?;
    let engine = context.engine(None)?;
    let last = if args.latest { Some(1) } else { args.last };
    let by_status = filters.iter().any(|filter| filter.key == "status" || filter.key == "exited");
    let all = args.all || last.is_some() || by_status;
    let mut listed = run::list(&engine)?;
    listed.retain(|one| (all || one.state.status.is_up()) && accepted(&filters, one));
    listed.truncate(last.unwrap_or(usize::MAX));
    print(args, &listed)?;
    Ok(0)
}

fn print(args: &PsArgs, listed: &[Listed]) -> Result<()> {
    let now = creel::run::seconds_since;
    let rows: Vec<Value> = listed.iter().map(|one| render::row(one, args.no_trunc, &now)).collect();
    let text = |row: &Value, key: &str| {
        row.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    if args.quiet {
        return rows.iter().try_for_each(|row| line(&text(row, "ID")));
    }
    match args.format.as_deref() {
        Some(format) if format != "table" => {
            let fields = render::row(&Listed::default(), true, &now);
            let names = fields.as_object().into_iter().flat_map(serde_json::Map::keys);
            let titles = names.map(|name| (name.clone(), Value::String(title(name)))).collect();
            let text =
                cli::formatted_rows(format, &rows, &Value::Object(titles), &Schema::default())?;
            cli::print(&text)
        }
        _ => {
            let cells: Vec<Vec<String>> = rows
                .iter()
                .map(|row| COLUMNS.iter().map(|(_, key)| text(row, key)).collect())
                .collect();
            cli::print(&cli::table(&COLUMNS.map(|(title, _)| title), &cells))
        }
    }
}

/// What stands above a column.
fn title(field: &str) -> String {
    match COLUMNS.iter().find(|(_, name)| *name == field) {
        Some((title, _)) => (*title).to_owned(),
        None if field == "CreatedAt" => "CREATED AT".to_owned(),
        None => field.to_uppercase(),
    }
}

/// One `--filter`.
struct Filter {
    key: String,
    value: String,
}

impl Filter {
    fn parse(text: &str) -> Result<Filter> {
        const KNOWN: [&str; 6] = ["id", "name", "label", "status", "exited", "ancestor"];
        // All of Docker's; some of them no container of ours is ever in.
        const STATES: [&str; 7] =
            ["created", "restarting", "running", "removing", "paused", "exited", "dead"];
        match text.split_once('=') {
            Some(("status", value)) if !STATES.contains(&value) => Err(Error::usage(format!(
                "invalid filter {text:?} (a status is {})",
                STATES.join(", ")
            ))),
            Some((key, value)) if KNOWN.contains(&key) => {
                Ok(Filter { key: key.to_owned(), value: value.to_owned() })
            }
            _ => Err(Error::usage(format!(
                "invalid filter {text:?} (there are {})",
                KNOWN.map(|key| format!("{key}=")).join(", ")
            ))),
        }
    }

    fn accepts(&self, listed: &Listed) -> bool {
        let (record, value) = (&listed.record, self.value.as_str());
        match self.key.as_str() {
            "id" => record.id.starts_with(value),
            "name" => record.name.contains(value.trim_start_matches('/')),
            "label" => match value.split_once('=') {
                Some((name, wanted)) => record.labels.get(name).is_some_and(|own| own == wanted),
                None => record.labels.contains_key(value),
            },
            "status" => {
                render::row(listed, true, &|_| 0).get("State").and_then(Value::as_str)
                    == Some(value)
            }
            "exited" => listed.state.exit_code.is_some_and(|code| code.to_string() == value),
            _ => record.image == value,
        }
    }
}

/// Filters of one kind are alternatives, those of different kinds must all accept.
fn accepted(filters: &[Filter], listed: &Listed) -> bool {
    filters
        .iter()
        .all(|filter| filters.iter().any(|other| other.key == filter.key && other.accepts(listed)))
}
