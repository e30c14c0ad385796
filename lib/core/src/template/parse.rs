//! From tokens to a tree.

use std::collections::HashMap;

use super::MAX_DEPTH;
use super::error::wrong_at;
use super::functions::is_function;
use super::lex::{Kind, Piece, Token, pieces};
use super::numbers::Number;
use crate::error::{Error, Result};

/// What stands up to an `end` or `else`, and which of them it was with its position.
type Block = (Vec<Node>, Option<(End, usize)>);

/// A part of a template.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Text(String),
    /// A pipeline whose value is printed, unless it declares or assigns.
    Print(Pipeline),
    If(Branch),
    With(Branch),
    Range(Branch),
    /// A named template, its argument, and where it stands.
    Template(String, Option<Pipeline>, usize),
    Break,
    Continue,
}

#[derive(Clone, Debug)]
pub(super) struct Branch {
    pub(super) pipeline: Pipeline,
    pub(super) then: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

/// Commands, each of which takes the value of the one before.
#[derive(Clone, Debug)]
pub(super) struct Pipeline {
    /// Variables that get the value.
    pub(super) variables: Vec<String>,
    /// Whether they are there already.
    pub(super) assigns: bool,
    pub(super) commands: Vec<Command>,
    pub(super) at: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Command {
    pub(super) operands: Vec<Operand>,
}

#[derive(Clone, Debug)]
pub(super) struct Operand {
    pub(super) term: Term,
    /// `.A.B` behind it.
    pub(super) fields: Vec<String>,
    pub(super) at: usize,
    /// As it stands in the template.
    pub(super) text: String,
}

#[derive(Clone, Debug)]
pub(super) enum Term {
    Dot,
    Nil,
    Bool(bool),
    Number(Number),
    Text(String),
    Function(String),
    Variable(String),
    Group(Box<Pipeline>),
}

pub(super) struct Parsed {
    pub(super) main: Vec<Node>,
    pub(super) named: HashMap<String, Vec<Node>>,
}

pub(super) fn parse(template: &str) -> Result<Parsed> {
    let mut parser = Parser {
        template,
        pieces: pieces(template)?.into_iter(),
        named: HashMap::new(),
        scope: vec![String::new()],
        depth: 0,
        loops: 0,
    };
    let (main, end) = parser.block()?;
    match end {
        None => Ok(Parsed { main, named: parser.named }),
        Some((end, at)) => {
            Err(wrong_at(template, at, format!("unexpected {{{{{}}}}}", end.name())))
        }
    }
}

/// What ends a block.
enum End {
    End,
    /// With what follows the word.
    Else(Vec<Token>),
}

impl End {
    fn name(&self) -> &'static str {
        match self {
            End::End => "end",
            End::Else(_) => "else",
        }
    }
}

struct Parser<'t> {
    template: &'t str,
    pieces: std::vec::IntoIter<Piece>,
    named: HashMap<String, Vec<Node>>,
    /// Variables that may be named here; the root has no name.
    scope: Vec<String>,
    depth: usize,
    /// Loops around this.
    loops: usize,
}

impl Parser<'_> {
    fn wrong(&self, at: usize, what: impl std::fmt::Display) -> Error {
        wrong_at(self.template, at, what)
    }

    fn deeper(&mut self, at: usize) -> Result<()> {
        self.depth += 1;
        match self.depth > MAX_DEPTH {
            true => Err(self.wrong(at, "it is nested too deeply")),
            false => Ok(()),
        }
    }

    fn block(&mut self) -> Result<Block> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.next() {
            let (tokens, at) = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Piece::Action(tokens, at) => (tokens, at),
            };
            let (word, rest) = match tokens.split_first() {
                Some((Token { kind: Kind::Word(word), .. }, rest)) => (word.as_str(), rest),
                _ => ("", &[][..]),
            };
            match word {
                "end" => {
                    self.nothing_behind(rest, "end")?;
                    return Ok((nodes, Some((End::End, at))));
                }
                "else" => return Ok((nodes, Some((End::Else(rest.to_vec()), at)))),
                "if" | "with" | "range" => nodes.push(self.control(word, rest, at)?),
                "define" => self.define(rest, at)?,
                "block" => nodes.push(self.inline(rest, at)?),
                "template" => nodes.push(self.call(rest, at)?),
                "break" | "continue" => {
                    self.nothing_behind(rest, word)?;
                    if self.loops == 0 {
                        return Err(self.wrong(at, format!("{{{{{word}}}}} outside {{{{range}}}}")));
                    }
                    nodes.push(if word == "break" { Node::Break } else { Node::Continue });
                }
                _ => nodes.push(Node::Print(self.pipeline(&tokens, at, "command")?)),
            }
        }
        Ok((nodes, None))
    }

    fn nothing_behind(&self, rest: &[Token], word: &str) -> Result<()> {
        match rest.first() {
            Some(token) => Err(self.unexpected(token, word)),
            None => Ok(()),
        }
    }

    fn control(&mut self, word: &str, tokens: &[Token], at: usize) -> Result<Node> {
        self.deeper(at)?;
        let known = self.scope.len();
        let pipeline = self.pipeline(tokens, at, word)?;
        let is_range = word == "range";
        let most = if is_range { 2 } else { 1 };
        if pipeline.variables.len() > most {
            return Err(self.wrong(at, format!("too many declarations in {word}")));
        }
        self.loops += usize::from(is_range);
        let (then, end) = self.block()?;
        self.loops -= usize::from(is_range);
        let otherwise = match end {
            None => return Err(self.wrong(at, format!("{{{{{word}}}}} without {{{{end}}}}"))),
            Some((End::End, _)) => Vec::new(),
            Some((End::Else(tokens), at)) => self.otherwise(word, &tokens, at)?,
        };
        self.scope.truncate(known);
        self.depth -= 1;
        let branch = Branch { pipeline, then, otherwise };
        Ok(match word {
            "if" => Node::If(branch),
            "with" => Node::With(branch),
            _ => Node::Range(branch),
        })
    }

    /// What follows an `else`, up to the end. `else if` and `else with` share the end.
    fn otherwise(&mut self, word: &str, tokens: &[Token], at: usize) -> Result<Vec<Node>> {
        if let Some((Token { kind: Kind::Word(next), .. }, rest)) = tokens.split_first()
            && next == word
            && word != "range"
        {
            return Ok(vec![self.control(next, rest, at)?]);
        }
        self.nothing_behind(tokens, "else")?;
        match self.block()? {
            (nodes, Some((End::End, _))) => Ok(nodes),
            (_, Some((End::Else(_), at))) => Err(self.wrong(at, "expected end; found {{else}}")),
            (_, None) => Err(self.wrong(at, format!("{{{{{word}}}}} without {{{{end}}}}"))),
        }
    }

    /// A template of its own, with its own variables, up to the end.
    fn own_template(&mut self, at: usize, word: &str) -> Result<Vec<Node>> {
        let scope = std::mem::replace(&mut self.scope, vec![String::new()]);
        let loops = std::mem::take(&mut self.loops);
        self.deeper(at)?;
        let (nodes, end) = self.block()?;
        self.depth -= 1;
        (self.scope, self.loops) = (scope, loops);
        match end {
            Some((End::End, _)) => Ok(nodes),
            Some((End::Else(_), at)) => {
                Err(self.wrong(at, format!("unexpected {{{{else}}}} in {word}")))
            }
            None => Err(self.wrong(at, format!("{{{{{word}}}}} without {{{{end}}}}"))),
        }
    }

    fn name<'k>(
        &self,
        tokens: &'k [Token],
        at: usize,
        word: &str,
    ) -> Result<(String, &'k [Token])> {
        match tokens.split_first() {
            Some((Token { kind: Kind::Text(name), .. }, rest)) => Ok((name.clone(), rest)),
            Some((other, _)) => Err(self.unexpected(other, word)),
            None => Err(self.wrong(at, format!("missing name of {{{{{word}}}}}"))),
        }
    }

    fn define(&mut self, tokens: &[Token], at: usize) -> Result<()> {
        let (name, rest) = self.name(tokens, at, "define")?;
        self.nothing_behind(rest, "define")?;
        if self.depth > 0 {
            return Err(self.wrong(at, "unexpected {{define}}"));
        }
        let nodes = self.own_template(at, "define")?;
        self.named.insert(name, nodes);
        Ok(())
    }

    /// `block`: a template that is defined where it is used.
    fn inline(&mut self, tokens: &[Token], at: usize) -> Result<Node> {
        let (name, rest) = self.name(tokens, at, "block")?;
        let pipeline = self.pipeline(rest, at, "block clause")?;
        let nodes = self.own_template(at, "block")?;
        self.named.entry(name.clone()).or_insert(nodes);
        Ok(Node::Template(name, Some(pipeline), at))
    }

    fn call(&mut self, tokens: &[Token], at: usize) -> Result<Node> {
        let (name, rest) = self.name(tokens, at, "template")?;
        let pipeline = match rest {
            [] => None,
            rest => Some(self.pipeline(rest, at, "template clause")?),
        };
        Ok(Node::Template(name, pipeline, at))
    }

    fn pipeline(&mut self, tokens: &[Token], at: usize, context: &str) -> Result<Pipeline> {
        let mut tokens = Tokens { rest: tokens };
        let pipeline = self.commands(&mut tokens, at, context)?;
        match tokens.rest.first() {
            Some(token) => Err(self.unexpected(token, context)),
            None => Ok(pipeline),
        }
    }

    /// Commands up to the end or a closing bracket.
    fn commands(&mut self, tokens: &mut Tokens<'_>, at: usize, context: &str) -> Result<Pipeline> {
        self.deeper(at)?;
        let (variables, assigns) = self.declarations(tokens, at, context)?;
        let mut commands = Vec::new();
        loop {
            let operands = self.operands(tokens, context)?;
            if operands.is_empty() {
                let what = if commands.is_empty() { context } else { "command" };
                return Err(self.wrong(at, format!("missing value for {what}")));
            }
            commands.push(Command { operands });
            match tokens.next_if(|kind| *kind == Kind::Pipe) {
                Some(_) => {}
                None => break,
            }
        }
        for later in &commands[1..] {
            let first = &later.operands[0];
            let value = matches!(
                first.term,
                Term::Bool(_) | Term::Dot | Term::Nil | Term::Number(_) | Term::Text(_)
            );
            if value && first.fields.is_empty() {
                let what = format!("non executable command in pipeline: {}", first.text);
                return Err(self.wrong(first.at, what));
            }
        }
        if !assigns {
            self.scope.extend(variables.iter().cloned());
        }
        self.depth -= 1;
        Ok(Pipeline { variables, assigns, commands, at })
    }

    /// `$x :=`, `$x =` and, for loops, `$i, $x :=`.
    fn declarations(
        &self,
        tokens: &mut Tokens<'_>,
        at: usize,
        context: &str,
    ) -> Result<(Vec<String>, bool)> {
        let kinds: Vec<&Kind> = tokens.rest.iter().take(4).map(|token| &token.kind).collect();
        let (names, length, assigns) = match kinds.as_slice() {
            [
                Kind::Variable(a),
                Kind::Comma,
                Kind::Variable(b),
                how @ (Kind::Declare | Kind::Assign),
                ..,
            ] => (vec![a.clone(), b.clone()], 4, **how == Kind::Assign),
            [Kind::Variable(a), how @ (Kind::Declare | Kind::Assign), ..] => {
                (vec![a.clone()], 2, **how == Kind::Assign)
            }
            _ => return Ok((Vec::new(), false)),
        };
        if names.len() > 1 && context != "range" {
            return Err(self.wrong(at, format!("too many declarations in {context}")));
        }
        if assigns {
            names.iter().try_for_each(|name| self.known(name, at))?;
        }
        tokens.rest = &tokens.rest[length..];
        Ok((names, assigns))
    }

    fn known(&self, name: &str, at: usize) -> Result<()> {
        match self.scope.iter().any(|known| known == name) {
            true => Ok(()),
            false => Err(self.wrong(at, format!("undefined variable \"${name}\""))),
        }
    }

    fn operands(&mut self, tokens: &mut Tokens<'_>, context: &str) -> Result<Vec<Operand>> {
        let mut operands: Vec<Operand> = Vec::new();
        while let Some(token) = tokens.next_if(|kind| !matches!(kind, Kind::Pipe | Kind::Close)) {
            if !operands.is_empty() && !token.spaced {
                return Err(self.unexpected(token, "operand"));
            }
            let term = self.term(token, tokens, context)?;
            let mut fields = match &token.kind {
                Kind::Field(name) => vec![name.clone()],
                _ => Vec::new(),
            };
            while let Some(next) = tokens.next_field() {
                fields.push(next);
            }
            if let (Term::Bool(_) | Term::Number(_) | Term::Text(_) | Term::Nil, [first, ..]) =
                (&term, fields.as_slice())
            {
                return Err(self.wrong(token.at, format!("unexpected . after term \".{first}\"")));
            }
            let end = tokens.rest.first().map_or(self.template.len(), |next| next.at);
            let text = self.template.get(token.at..end).unwrap_or_default();
            let text = text.split("}}").next().unwrap_or_default();
            let text = text.trim_end_matches([' ', '\t', '\r', '\n', '|', ')', '-']).to_owned();
            operands.push(Operand { term, fields, at: token.at, text });
        }
        Ok(operands)
    }

    fn term(&mut self, token: &Token, tokens: &mut Tokens<'_>, context: &str) -> Result<Term> {
        Ok(match &token.kind {
            Kind::Dot | Kind::Field(_) => Term::Dot,
            Kind::Number(number) => Term::Number(*number),
            Kind::Text(text) => Term::Text(text.clone()),
            Kind::Variable(name) => {
                self.known(name, token.at)?;
                Term::Variable(name.clone())
            }
            Kind::Word(word) => match word.as_str() {
                "true" | "false" => Term::Bool(word == "true"),
                "nil" => Term::Nil,
                name if is_function(name) => Term::Function(word.clone()),
                "if" | "else" | "end" | "range" | "with" | "define" | "block" | "template"
                | "break" | "continue" => return Err(self.unexpected(token, context)),
                name => {
                    return Err(self.wrong(token.at, format!("function {name:?} not defined")));
                }
            },
            Kind::Open => {
                let inner = self.commands(tokens, token.at, "parenthesized pipeline")?;
                if tokens.next_if(|kind| *kind == Kind::Close).is_none() {
                    return Err(self.wrong(token.at, "unclosed left paren"));
                }
                Term::Group(Box::new(inner))
            }
            _ => return Err(self.unexpected(token, context)),
        })
    }

    fn unexpected(&self, token: &Token, context: &str) -> Error {
        let shown = match &token.kind {
            Kind::Word(word) => format!("<{word}>"),
            Kind::Field(name) => format!("<.{name}>"),
            Kind::Dot => "<.>".to_owned(),
            Kind::Variable(name) => format!("<${name}>"),
            Kind::Text(text) => format!("{text:?}"),
            Kind::Number(Number::Int(number)) => format!("\"{number}\""),
            Kind::Number(Number::Float(number)) => format!("\"{number}\""),
            Kind::Pipe => "\"|\"".to_owned(),
            Kind::Open => "\"(\"".to_owned(),
            Kind::Close => "\")\"".to_owned(),
            Kind::Comma => "\",\"".to_owned(),
            Kind::Declare => "\":=\"".to_owned(),
            Kind::Assign => "\"=\"".to_owned(),
        };
        self.wrong(token.at, format!("unexpected {shown} in {context}"))
    }
}

struct Tokens<'k> {
    rest: &'k [Token],
}

impl<'k> Tokens<'k> {
    fn next_if(&mut self, wanted: impl FnOnce(&Kind) -> bool) -> Option<&'k Token> {
        let (first, rest) = self.rest.split_first()?;
        if !wanted(&first.kind) {
            return None;
        }
        self.rest = rest;
        Some(first)
    }

    /// The name of a field that follows at once.
    fn next_field(&mut self) -> Option<String> {
        let (first, rest) = self.rest.split_first()?;
        let Kind::Field(name) = &first.kind else { return None };
        if first.spaced {
            return None;
        }
        self.rest = rest;
        Some(name.clone())
    }
}
