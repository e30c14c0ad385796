//! What is being looked at, and what keys do to it.

use std::collections::BTreeSet;

use creel::inspect::Waste;
use creel::inspect::files::{LayerIndex, Merged};
use creel::spec::Image;
use ratatui::crossterm::event::KeyCode;

use super::rows::{Row, rows, visible};

/// Which side the keys move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Focus {
    Layers,
    Files,
}

/// What a key asks of the outside.
pub enum Wish {
    Nothing,
    Quit,
    Open(Vec<u8>),
}

/// A file that is open.
pub struct View {
    pub title: Vec<u8>,
    pub lines: Vec<String>,
    pub top: usize,
}

pub struct State<'a> {
    pub name: &'a str,
    pub layers: &'a [LayerIndex],
    pub made_by: Vec<String>,
    pub waste: Option<&'a Waste>,
    pub focus: Focus,
    pub layer: usize,
    /// All rows for the chosen layer, and which of them are seen.
    pub rows: Vec<Row>,
    pub seen: Vec<usize>,
    pub cursor: usize,
    pub open: BTreeSet<Vec<u8>>,
    pub filter: String,
    pub typing: bool,
    pub only_changes: bool,
    pub wasting: bool,
    pub waste_cursor: usize,
    pub view: Option<View>,
    /// Rows of the list, as it was last drawn.
    pub height: usize,
}

impl<'a> State<'a> {
    pub fn new(
        name: &'a str,
        image: &Image,
        layers: &'a [LayerIndex],
        waste: Option<&'a Waste>,
    ) -> State<'a> {
        let mut made_by = vec![String::new(); layers.len()];
        for step in image.steps() {
            let by = step.history.and_then(|line| line.created_by.clone());
            if let (Some(place), Some(by)) = (step.layer.and_then(|at| made_by.get_mut(at)), by) {
                *place = by;
            }
        }
        let mut state = State {
            name,
            layers,
            made_by,
            waste,
            focus: Focus::Layers,
            layer: layers.len().saturating_sub(1),
            rows: Vec::new(),
            seen: Vec::new(),
            cursor: 0,
            open: BTreeSet::new(),
            filter: String::new(),
            typing: false,
            only_changes: false,
            wasting: false,
            waste_cursor: 0,
            view: None,
            height: 20,
        };
        state.choose(state.layer);
        state
    }

    /// The tree up to the chosen layer.
    pub fn merged(&self) -> Merged<'a> {
        let end = (self.layer + 1).min(self.layers.len());
        Merged::new(&self.layers[..end])
    }

    fn choose(&mut self, layer: usize) {
        self.layer = layer;
        self.rows = if layer < self.layers.len() { rows(self.layers, layer) } else { Vec::new() };
        self.cursor = 0;
        self.sift();
    }

    fn sift(&mut self) {
        self.seen = visible(&self.rows, &self.open, &self.filter, self.only_changes);
        self.cursor = self.cursor.min(self.seen.len().saturating_sub(1));
    }

    pub fn row(&self) -> Option<&Row> {
        self.rows.get(*self.seen.get(self.cursor)?)
    }

    /// Opens a file's lines over everything else.
    pub fn show(&mut self, path: &[u8], lines: Vec<String>) {
        self.view = Some(View { title: path.to_vec(), lines, top: 0 });
    }

    pub fn key(&mut self, key: KeyCode) -> Wish {
        if self.typing {
            self.filter_key(key);
            return Wish::Nothing;
        }
        if self.view.is_some() {
            self.view_key(key);
            return Wish::Nothing;
        }
        match key {
            KeyCode::Char('q') => return Wish::Quit,
            KeyCode::Esc if self.wasting => self.wasting = false,
            KeyCode::Esc if !self.filter.is_empty() => {
                self.filter.clear();
                self.sift();
            }
            KeyCode::Esc => return Wish::Quit,
            KeyCode::Char('w') => self.wasting = !self.wasting && self.waste.is_some(),
            KeyCode::Tab | KeyCode::BackTab => {
                self.focus = match self.focus {
                    Focus::Layers => Focus::Files,
                    Focus::Files => Focus::Layers,
                };
            }
            KeyCode::Char('/' | 'f') => {
                (self.typing, self.focus, self.wasting) = (true, Focus::Files, false);
            }
            KeyCode::Char('c') => {
                self.only_changes = !self.only_changes;
                self.sift();
            }
            KeyCode::Char('e') => {
                let directories = self.rows.iter().filter(|row| row.is_directory);
                let all: BTreeSet<Vec<u8>> = directories.map(|row| row.path.clone()).collect();
                self.open = if self.open.is_empty() { all } else { BTreeSet::new() };
                self.sift();
            }
            KeyCode::Enter | KeyCode::Right | KeyCode::Left | KeyCode::Char(' ' | 'l' | 'h') => {
                return self.enter(key);
            }
            _ => self.travel(key),
        }
        Wish::Nothing
    }

    /// Opens and closes directories, opens files.
    fn enter(&mut self, key: KeyCode) -> Wish {
        if self.wasting {
            return Wish::Nothing;
        }
        if self.focus == Focus::Layers {
            self.focus = Focus::Files;
            return Wish::Nothing;
        }
        let close = matches!(key, KeyCode::Left | KeyCode::Char('h'));
        let Some(row) = self.row() else { return Wish::Nothing };
        let (path, is_directory) = (row.path.clone(), row.is_directory);
        if !is_directory && !close {
            return match row.change {
                super::rows::Change::Removed => Wish::Nothing,
                _ => Wish::Open(path),
            };
        }
        let opened = self.open.contains(&path);
        match (close, opened) {
            (true, true) => drop(self.open.remove(&path)),
            (true, false) => return self.leave(&path),
            (false, true) if key != KeyCode::Right => drop(self.open.remove(&path)),
            (false, _) => drop(self.open.insert(path)),
        }
        self.sift();
        Wish::Nothing
    }

    /// Goes to the directory that a path is in.
    fn leave(&mut self, path: &[u8]) -> Wish {
        let parent = path.iter().rposition(|&b| b == b'/').map_or(&path[..0], |at| &path[..at]);
        let found = self.seen.iter().position(|&at| self.rows[at].path == parent);
        self.cursor = found.unwrap_or(self.cursor);
        Wish::Nothing
    }

    fn travel(&mut self, key: KeyCode) {
        let page = self.height.max(2) - 1;
        let waste = self.waste.map_or(0, |waste| waste.files.len());
        let (cursor, count) = match (self.wasting, self.focus) {
            (true, _) => (self.waste_cursor, waste),
            (false, Focus::Layers) => (self.layer, self.layers.len()),
            (false, Focus::Files) => (self.cursor, self.seen.len()),
        };
        let Some(next) = moved(cursor, count, page, key) else { return };
        match (self.wasting, self.focus) {
            (true, _) => self.waste_cursor = next,
            (false, Focus::Layers) if next != self.layer => self.choose(next),
            (false, Focus::Layers) => {}
            (false, Focus::Files) => self.cursor = next,
        }
    }

    fn filter_key(&mut self, key: KeyCode) {
        match key {
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => {
                self.typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(character) if self.filter.len() < 200 => self.filter.push(character),
            _ => {}
        }
        self.cursor = 0;
        self.sift();
    }

    fn view_key(&mut self, key: KeyCode) {
        let page = self.height.max(2) - 1;
        let Some(view) = &mut self.view else { return };
        match key {
            KeyCode::Esc | KeyCode::Char('q') | KeyCode::Left | KeyCode::Enter => self.view = None,
            _ => view.top = moved(view.top, view.lines.len(), page, key).unwrap_or(view.top),
        }
    }
}

/// Where a key moves to among `count` rows.
fn moved(at: usize, count: usize, page: usize, key: KeyCode) -> Option<usize> {
    let last = count.checked_sub(1)?;
    Some(match key {
        KeyCode::Up | KeyCode::Char('k') => at.saturating_sub(1),
        KeyCode::Down | KeyCode::Char('j') => (at + 1).min(last),
        KeyCode::PageUp => at.saturating_sub(page),
        KeyCode::PageDown => (at + page).min(last),
        KeyCode::Home | KeyCode::Char('g') => 0,
        KeyCode::End | KeyCode::Char('G') => last,
        _ => return None,
    })
}
