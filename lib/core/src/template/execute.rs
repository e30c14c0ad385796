//! A template at work.

use serde_json::Value as Json;

use super::error::{wrong, wrong_at};
use super::functions::{Call, call};
use super::numbers::Number;
use super::parse::{Branch, Command, Node, Operand, Pipeline, Term};
use super::print::print;
use super::schema::Schema;
use super::value::{NoField, Value, sorted};
use super::{MAX_DEPTH, MAX_OUTPUT, MAX_STEPS, Template};
use crate::error::{Error, Result};

/// Names of fields that an error tells.
const MAX_NAMES: usize = 40;

/// How a block ended.
#[derive(Clone, Copy, PartialEq)]
enum Flow {
    Next,
    Break,
    Continue,
}

pub(super) struct Run<'a> {
    template: &'a Template,
    data: &'a Json,
    schema: &'a Schema,
    /// Whether the titles of a table are made.
    titles: bool,
    steps: u64,
    depth: usize,
    out: String,
    /// Variables, innermost last; the root has no name.
    variables: Vec<(&'a str, Value<'a>)>,
}

impl<'a> Run<'a> {
    pub(super) fn new(template: &'a Template, data: &'a Json, schema: &'a Schema) -> Run<'a> {
        Run {
            template,
            data,
            schema,
            titles: false,
            steps: 0,
            depth: 0,
            out: String::new(),
            variables: Vec::new(),
        }
    }

    pub(super) fn making_titles(self) -> Run<'a> {
        Run { titles: true, ..self }
    }

    pub(super) fn run(mut self) -> Result<String> {
        let dot = Value::of(self.data, "", self.schema);
        self.variables.push(("", dot.clone()));
        self.block(&self.template.main, &dot)?;
        Ok(self.out)
    }

    fn wrong(&self, at: usize, what: impl std::fmt::Display) -> Error {
        wrong_at(&self.template.text, at, what)
    }

    fn step(&mut self) -> Result<()> {
        self.steps += 1;
        match self.steps > MAX_STEPS || self.out.len() > MAX_OUTPUT {
            true => Err(wrong("it takes too long or writes too much")),
            false => Ok(()),
        }
    }

    fn block(&mut self, nodes: &'a [Node], dot: &Value<'a>) -> Result<Flow> {
        let known = self.variables.len();
        for node in nodes {
            let flow = self.node(node, dot)?;
            if flow != Flow::Next {
                self.variables.truncate(known);
                return Ok(flow);
            }
        }
        self.variables.truncate(known);
        Ok(Flow::Next)
    }

    fn node(&mut self, node: &'a Node, dot: &Value<'a>) -> Result<Flow> {
        self.step()?;
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Print(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                if pipeline.variables.is_empty() {
                    self.out.push_str(&print(&value, self.schema));
                }
            }
            Node::If(branch) | Node::With(branch) => {
                let known = self.variables.len();
                let value = self.pipeline(&branch.pipeline, dot)?;
                let inner = if matches!(node, Node::With(_)) { &value } else { dot };
                let flow = match value.truth() {
                    true => self.block(&branch.then, inner)?,
                    false => self.block(&branch.otherwise, dot)?,
                };
                self.variables.truncate(known);
                return Ok(flow);
            }
            Node::Range(branch) => return self.range(branch, dot),
            Node::Template(name, pipeline, at) => self.named(name, pipeline.as_ref(), *at, dot)?,
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn named(
        &mut self,
        name: &str,
        pipeline: Option<&'a Pipeline>,
        at: usize,
        dot: &Value<'a>,
    ) -> Result<()> {
        let template: &'a Template = self.template;
        let nodes = template.named.get(name);
        let nodes =
            nodes.ok_or_else(|| self.wrong(at, format!("template {name:?} not defined")))?;
        let dot = match pipeline {
            Some(pipeline) => self.pipeline(pipeline, dot)?,
            None => Value::Missing,
        };
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.wrong(at, "exceeded maximum template depth"));
        }
        // A template sees none of its caller's variables.
        let outer = std::mem::replace(&mut self.variables, vec![("", dot.clone())]);
        self.block(nodes, &dot)?;
        self.variables = outer;
        self.depth -= 1;
        Ok(())
    }

    fn range(&mut self, branch: &'a Branch, dot: &Value<'a>) -> Result<Flow> {
        let known = self.variables.len();
        let over = self.pipeline(&branch.pipeline, dot)?;
        let names = &branch.pipeline.variables;
        let Some(items) = items(&over, self.schema) else {
            let shown = print(&over, self.schema);
            let what = format!("range can't iterate over {shown}");
            return Err(self.wrong(branch.pipeline.at, what));
        };
        let mut any = false;
        for (key, item) in items {
            any = true;
            self.step()?;
            match names.as_slice() {
                [value] => self.set(value, item.clone()),
                [index, value] => {
                    self.set(index, key);
                    self.set(value, item.clone());
                }
                _ => {}
            }
            if self.block(&branch.then, &item)? == Flow::Break {
                break;
            }
        }
        self.variables.truncate(known);
        match any {
            true => Ok(Flow::Next),
            false => self.block(&branch.otherwise, dot),
        }
    }

    /// Gives a variable that is there another value.
    fn set(&mut self, name: &str, value: Value<'a>) {
        if let Some(known) = self.variables.iter_mut().rev().find(|(known, _)| *known == name) {
            known.1 = value;
        }
    }

    fn pipeline(&mut self, pipeline: &'a Pipeline, dot: &Value<'a>) -> Result<Value<'a>> {
        let mut last = None;
        for command in &pipeline.commands {
            last = Some(self.command(command, dot, last)?);
        }
        let value = last.unwrap_or(Value::Missing);
        for name in &pipeline.variables {
            match pipeline.assigns {
                true => self.set(name, value.clone()),
                false => self.variables.push((name, value.clone())),
            }
        }
        Ok(value)
    }

    fn command(
        &mut self,
        command: &'a Command,
        dot: &Value<'a>,
        piped: Option<Value<'a>>,
    ) -> Result<Value<'a>> {
        self.step()?;
        let Some((first, rest)) = command.operands.split_first() else {
            return Ok(Value::Missing);
        };
        if let Term::Function(name) = &first.term {
            let value = self.function(name, first, rest, dot, piped)?;
            return self.fields(value, first);
        }
        if !rest.is_empty() || piped.is_some() {
            let what = format!("can't give argument to non-function {}", first.text);
            return Err(self.wrong(first.at, what));
        }
        if matches!(first.term, Term::Nil) {
            return Err(self.wrong(first.at, "nil is not a command"));
        }
        self.operand(first, dot)
    }

    fn function(
        &mut self,
        name: &'a str,
        first: &Operand,
        rest: &'a [Operand],
        dot: &Value<'a>,
        piped: Option<Value<'a>>,
    ) -> Result<Value<'a>> {
        let mut values = Vec::with_capacity(rest.len() + 1);
        for operand in rest {
            let value = self.operand(operand, dot)?;
            // `and` and `or` look no further than they need to.
            let decided = match name {
                "and" => !value.truth(),
                "or" => value.truth(),
                _ => false,
            };
            if decided {
                return Ok(value);
            }
            values.push(value);
        }
        values.extend(piped);
        let job = Call { name, values, schema: self.schema, titles: self.titles };
        let made = call(job).map_err(|what| self.wrong(first.at, what))?;
        match &made {
            Value::Text(text) if text.len() > MAX_OUTPUT => {
                Err(wrong("it takes too long or writes too much"))
            }
            _ => Ok(made),
        }
    }

    fn operand(&mut self, operand: &'a Operand, dot: &Value<'a>) -> Result<Value<'a>> {
        let value = match &operand.term {
            Term::Dot => dot.clone(),
            Term::Nil => Value::Missing,
            Term::Bool(truth) => Value::Bool(*truth),
            Term::Number(Number::Int(number)) => Value::Int(*number),
            Term::Number(Number::Float(number)) => Value::Float(*number),
            Term::Text(text) => Value::Text(text.as_str().into()),
            Term::Function(name) => self.function(name, operand, &[], dot, None)?,
            Term::Variable(name) => {
                let found = self.variables.iter().rev().find(|(known, _)| known == name);
                found.map_or(Value::Missing, |(_, value)| value.clone())
            }
            Term::Group(pipeline) => self.pipeline(pipeline, dot)?,
        };
        self.fields(value, operand)
    }

    fn fields(&self, mut value: Value<'a>, operand: &'a Operand) -> Result<Value<'a>> {
        for name in &operand.fields {
            value = value.field(name, self.schema).map_err(|why| {
                let problem = match why {
                    NoField::OfNull => format!("nil pointer evaluating .{name}"),
                    NoField::OfOther => {
                        format!("can't evaluate field {name} in type {}", value.type_name())
                    }
                    NoField::Unknown(known) => {
                        let more = if known.len() > MAX_NAMES { ", …" } else { "" };
                        let known = &known[..known.len().min(MAX_NAMES)];
                        format!(
                            "can't evaluate field {name} (known fields: {}{more})",
                            known.join(", ")
                        )
                    }
                };
                self.wrong(operand.at, format!("at <{}>: {problem}", operand.text))
            })?;
        }
        Ok(value)
    }
}

type Items<'v, 'a> = Box<dyn Iterator<Item = (Value<'a>, Value<'a>)> + 'v>;

/// What a loop comes to: indexes or keys, and values; `None` for what has none.
fn items<'v, 'a>(over: &'v Value<'a>, schema: &'a Schema) -> Option<Items<'v, 'a>> {
    Some(match over {
        Value::Missing | Value::Null => Box::new(std::iter::empty()),
        Value::Int(end) => {
            let end = usize::try_from(*end).unwrap_or(0);
            Box::new((0..end).map(|at| (Value::count(at), Value::count(at))))
        }
        Value::Map(object) => {
            let members = object.map(sorted).unwrap_or_default().into_iter();
            Box::new(
                members.map(|(key, part)| {
                    (Value::Text(key.as_str().into()), Value::of(part, "", schema))
                }),
            )
        }
        Value::Array(..) | Value::List(_) => {
            let elements = (0..).map_while(|at| over.element(at, schema));
            Box::new(elements.enumerate().map(|(at, item)| (Value::count(at), item)))
        }
        _ => return None,
    })
}
