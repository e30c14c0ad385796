//! A small, safe part of Go's text/template, over JSON values.
//!
//! What people write after `--format`: fields, `range`, `if`, `with`, pipelines, variables of
//! `range`, and the functions `json`, `join`, `split`, `len`, `index`, `upper`, `lower`, `printf`,
//! `println`, `eq`, `ne`, `not`, `and`, `or`. A template cannot define anything, call anything else
//! or run for long.

mod parse;
mod print;

use serde_json::Value;

use self::parse::{Action, Command, Operand, Pipeline, parse};
use self::print::{format, print, truth};
use crate::error::{Error, Result};
use crate::spec::shown::escape_json;

/// Longest template.
const MAX_TEMPLATE: usize = 64 << 10;
/// Most steps of one run.
const MAX_STEPS: u64 = 5_000_000;
/// Longest result.
const MAX_OUTPUT: usize = 64 << 20;

/// Fills a template in.
///
/// # Errors
/// `Usage` for a template that is none, names a field that is not there, or takes too long.
pub fn fill(template: &str, data: &Value) -> Result<String> {
    if template.len() > MAX_TEMPLATE {
        return Err(wrong(format!("it is longer than {MAX_TEMPLATE} bytes")));
    }
    let actions = parse(template)?;
    let mut run = Run { root: data, steps: 0, out: String::new(), variables: Vec::new() };
    run.actions(&actions, data)?;
    Ok(run.out)
}

fn wrong(what: impl std::fmt::Display) -> Error {
    Error::usage(format!("the template cannot be used: {what}"))
}

struct Run<'a> {
    root: &'a Value,
    steps: u64,
    out: String,
    variables: Vec<(String, Value)>,
}

impl Run<'_> {
    fn actions(&mut self, actions: &[Action], dot: &Value) -> Result<()> {
        actions.iter().try_for_each(|action| self.action(action, dot))
    }

    fn action(&mut self, action: &Action, dot: &Value) -> Result<()> {
        self.steps += 1;
        if self.steps > MAX_STEPS || self.out.len() > MAX_OUTPUT {
            return Err(wrong("it takes too long or writes too much"));
        }
        match action {
            Action::Text(text) => self.out.push_str(text),
            Action::Print(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                self.out.push_str(&print(&value));
            }
            Action::If(condition, then, otherwise) => {
                let branch = if truth(&self.pipeline(condition, dot)?) { then } else { otherwise };
                self.actions(branch, dot)?;
            }
            Action::With(pipeline, then, otherwise) => {
                let value = self.pipeline(pipeline, dot)?;
                match truth(&value) {
                    true => self.actions(then, &value)?,
                    false => self.actions(otherwise, dot)?,
                }
            }
            Action::Range(names, pipeline, body, otherwise) => {
                let list = items(self.pipeline(pipeline, dot)?)?;
                if list.is_empty() {
                    return self.actions(otherwise, dot);
                }
                for (key, item) in list {
                    let depth = self.variables.len();
                    match names.as_slice() {
                        [value] => self.variables.push((value.clone(), item.clone())),
                        [index, value] => {
                            self.variables.push((index.clone(), key));
                            self.variables.push((value.clone(), item.clone()));
                        }
                        _ => {}
                    }
                    self.actions(body, &item)?;
                    self.variables.truncate(depth);
                }
            }
        }
        Ok(())
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value> {
        let mut last = None;
        for command in &pipeline.0 {
            last = Some(self.command(command, dot, last)?);
        }
        Ok(last.unwrap_or_default())
    }

    fn command(&mut self, command: &Command, dot: &Value, piped: Option<Value>) -> Result<Value> {
        self.steps += 1;
        let mut values = Vec::new();
        for operand in &command.operands {
            values.push(self.operand(operand, dot)?);
        }
        values.extend(piped);
        match &command.function {
            Some(name) => call(name, values),
            None if values.len() == 1 => Ok(values.swap_remove(0)),
            None => Err(wrong("a value is no function")),
        }
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value> {
        Ok(match operand {
            Operand::Literal(value) => value.clone(),
            Operand::Group(pipeline, fields) => {
                let value = self.pipeline(pipeline, dot)?;
                field(&value, fields)?.clone()
            }
            Operand::Dot(fields) => field(dot, fields)?.clone(),
            Operand::Variable(name, fields) if name.is_empty() => field(self.root, fields)?.clone(),
            Operand::Variable(name, fields) => {
                let found = self.variables.iter().rev().find(|(known, _)| known == name);
                let (_, value) = found.ok_or_else(|| wrong(format!("there is no ${name}")))?;
                field(value, fields)?.clone()
            }
        })
    }
}

fn field<'a>(value: &'a Value, fields: &[String]) -> Result<&'a Value> {
    let mut value = value;
    for name in fields {
        value = value.get(name.as_str()).ok_or_else(|| {
            let known: Vec<&str> =
                value.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
            match known.len() {
                0 => wrong(format!("there is no field .{name}")),
                _ => wrong(format!("there is no field .{name}, but: {}", known.join(", "))),
            }
        })?;
    }
    Ok(value)
}

/// The keys and values of what can be ranged over.
fn items(value: Value) -> Result<Vec<(Value, Value)>> {
    Ok(match value {
        Value::Null => Vec::new(),
        Value::Array(items) => {
            items.into_iter().enumerate().map(|(at, item)| (Value::from(at), item)).collect()
        }
        Value::Object(map) => {
            let mut all: Vec<_> = map.into_iter().map(|(key, v)| (Value::from(key), v)).collect();
            // As Go does it: in the order of the keys.
            all.sort_by(|(a, _), (b, _)| a.as_str().cmp(&b.as_str()));
            all
        }
        _ => return Err(wrong("range needs a list")),
    })
}

fn call(name: &str, values: Vec<Value>) -> Result<Value> {
    let need = |count: usize| match values.len() == count {
        true => Ok(()),
        false => Err(wrong(format!("{name} takes {count} values, not {}", values.len()))),
    };
    let text = |at: usize| values.get(at).map(print).unwrap_or_default();
    Ok(match name {
        "json" => {
            need(1)?;
            Value::from(escape_json(&values[0].to_string()).into_owned())
        }
        "join" => {
            need(2)?;
            let items = values[0].as_array().map(Vec::as_slice).unwrap_or_default();
            let parts: Vec<String> = items.iter().map(print).collect();
            Value::from(parts.join(&text(1)))
        }
        "split" => {
            need(2)?;
            text(0).split(text(1).as_str()).map(Value::from).collect()
        }
        "upper" | "lower" => {
            need(1)?;
            let text = text(0);
            Value::from(if name == "upper" { text.to_uppercase() } else { text.to_lowercase() })
        }
        "len" => {
            need(1)?;
            Value::from(match &values[0] {
                Value::String(text) => text.len(),
                Value::Array(items) => items.len(),
                Value::Object(map) => map.len(),
                _ => 0,
            })
        }
        "index" => index(&values)?,
        "printf" => Value::from(format(&values)?),
        "print" | "println" => {
            let words: Vec<String> = values.iter().map(print).collect();
            let end = if name == "println" { "\n" } else { "" };
            Value::from(words.join(" ") + end)
        }
        "eq" => match values.split_first() {
            Some((first, others)) => Value::from(others.contains(first)),
            None => return Err(wrong("eq takes values")),
        },
        "ne" => {
            need(2)?;
            Value::from(values[0] != values[1])
        }
        "not" => {
            need(1)?;
            Value::from(!truth(&values[0]))
        }
        "and" | "or" => {
            let stop = name == "or";
            let found = values.iter().find(|value| truth(value) == stop);
            found.or(values.last()).cloned().unwrap_or_default()
        }
        _ => return Err(wrong(format!("{name} is no function here"))),
    })
}

/// `index .Map "key"`, `index .List 0`: what is not there is empty.
fn index(values: &[Value]) -> Result<Value> {
    let Some((first, keys)) = values.split_first() else { return Err(wrong("index takes values")) };
    let mut value = first;
    for key in keys {
        let inner = match (value, key) {
            (Value::Object(map), key) => map.get(&print(key)),
            (Value::Array(items), key) => {
                key.as_u64().and_then(|at| items.get(usize::try_from(at).ok()?))
            }
            (Value::Null, _) => None,
            _ => return Err(wrong("index needs a list or a map")),
        };
        let Some(inner) = inner else { return Ok(Value::from("")) };
        value = inner;
    }
    Ok(value.clone())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filled(template: &str) -> String {
        let data = json!({
            "Name": "app", "Layers": ["a", "b"], "Labels": {"z": "1", "a": "2"}, "Nil": null,
            "Config": {"Env": ["PATH=/bin", "X=1"], "Cmd": null}, "Size": 12, "Yes": true,
        });
        fill(template, &data).unwrap_or_else(|error| error.chain())
    }

    #[test]
    fn what_people_write() {
        for (template, text) in [
            ("{{.Name}}", "app"),
            ("{{ .Name }}:{{.Size}} {{.Yes}}", "app:12 true"),
            ("{{.Layers}} {{.Labels}}", "[a b] map[a:2 z:1]"),
            ("{{json .Labels}}", r#"{"z":"1","a":"2"}"#),
            ("{{json .}}", &json!({
                "Name": "app", "Layers": ["a", "b"], "Labels": {"z": "1", "a": "2"}, "Nil": null,
                "Config": {"Env": ["PATH=/bin", "X=1"], "Cmd": null}, "Size": 12, "Yes": true,
            }).to_string()),
            ("{{range .Layers}}<{{.}}>{{end}}", "<a><b>"),
            ("{{range $i, $l := .Layers}}{{$i}}={{$l}} {{$.Name}};{{end}}", "0=a app;1=b app;"),
            ("{{range $k, $v := .Labels}}{{$k}}{{$v}}{{end}}", "a2z1"),
            ("{{range .Nil}}x{{else}}none{{end}}", "none"),
            ("{{join .Config.Env \",\"}}", "PATH=/bin,X=1"),
            ("{{.Layers | json}} {{.Name | upper | printf \"%s-%d\" \"x\"}}", "[\"a\",\"b\"] x-APP"),
            ("{{index .Labels \"z\"}}{{index .Labels \"none\"}}{{index .Layers 1}}", "1b"),
            ("{{if .Config.Cmd}}c{{else if .Yes}}y{{else}}n{{end}}", "y"),
            ("{{if and .Yes (eq .Name \"app\" \"b\")}}ok{{end}}", "ok"),
            ("{{with .Config}}{{len .Env}}{{end}}", "2"),
            ("a {{- .Name -}} \n b", "aappb"),
            ("{{/* nothing */}}{{`raw\"`}}{{\"q\\n\"}}", "raw\"q\n"),
            ("{{println .Name .Size}}", "app 12\n"),
            ("{{(index .Layers 0)}}", "a"),
        ] {
            assert_eq!(filled(template), text, "{template}");
        }
    }

    #[test]
    fn mistakes_are_told() {
        for (template, part) in [
            ("{{.Nam}}", "there is no field .Nam, but: Name, Layers"),
            ("{{.Name", "is not closed"),
            ("{{end}}", "end"),
            ("{{range .Layers}}", "no end"),
            ("{{exec \"rm\"}}", "exec is no function here"),
            ("{{join .Layers}}", "join takes 2 values"),
            ("{{template \"x\"}}", "template"),
            ("{{range .Name}}{{end}}", "range needs a list"),
            ("{{$x}}", "there is no $x"),
            ("{{((((.Name}}", "bracket"),
        ] {
            assert!(filled(template).contains(part), "{template}: {}", filled(template));
        }
        let deep = format!("{}1{}", "(".repeat(10_000), ")".repeat(10_000));
        assert!(filled(&format!("{{{{{deep}}}}}")).contains("nested"));
        let nested = "{{range .}}".repeat(12) + "x" + &"{{end}}".repeat(12);
        let wide = Value::from(vec![vec![0; 50]; 50]);
        let _ = fill(&nested, &wide);
        let list: Value = vec![vec![1; 3000]; 3000].into();
        assert!(fill("{{range .}}{{range .}}{{.}}{{end}}{{end}}", &list).is_err());
    }
}
