//! The state as a screen. 80 columns and 24 rows are enough.

use creel::cli;
use creel::inspect::files::Name;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};

use super::rows::{Change, Row};
use super::state::{Focus, State, View};
use crate::render::printable;

/// Columns of the list of layers.
const LEFT: u16 = 34;
/// Rows of what is told about one layer.
const DETAILS: u16 = 6;
/// From this width on, files have modes and owners.
const WIDE: u16 = 60;

pub fn draw(frame: &mut Frame<'_>, state: &mut State<'_>) {
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(3), Constraint::Length(1)])
            .areas(frame.area());
    frame.render_widget(Line::from(printable(state.name)).style(bold()), head);
    frame.render_widget(Line::from(keys(state)).style(Style::new().fg(Color::Gray)), foot);
    state.height = usize::from(body.height.saturating_sub(2));
    let [left, right] =
        Layout::horizontal([Constraint::Length(LEFT), Constraint::Min(20)]).areas(body);
    let [list, details] =
        Layout::vertical([Constraint::Min(3), Constraint::Length(DETAILS)]).areas(left);
    layers(frame, state, list);
    detail(frame, state, details);
    match state.wasting {
        true => waste(frame, state, right),
        false => files(frame, state, right),
    }
    if let Some(view) = &state.view {
        open_file(frame, view, body);
    }
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

/// How the row under the cursor looks.
fn chosen(active: bool) -> Style {
    match active {
        true => Style::new().add_modifier(Modifier::REVERSED),
        false => Style::new().add_modifier(Modifier::UNDERLINED),
    }
}

fn keys(state: &State<'_>) -> String {
    if state.typing {
        return format!("filter: {}_   Enter keep  Esc clear", printable(&state.filter));
    }
    if state.view.is_some() {
        return "Up/Down PgUp/PgDn move  Esc close".to_owned();
    }
    let only = if state.only_changes { "all" } else { "changes" };
    let waste = if state.wasting { "files" } else { "waste" };
    format!("Tab side  Enter open  / filter  c {only}  e expand  w {waste}  q quit")
}

fn frame_of(title: String, active: bool) -> Block<'static> {
    let style = if active { Style::new().fg(Color::Cyan) } else { Style::new() };
    Block::bordered().title(title).border_style(style)
}

/// The part of a list that fits, with the cursor in it.
fn window(cursor: usize, count: usize, height: usize) -> std::ops::Range<usize> {
    let start = cursor.saturating_sub(height.saturating_sub(1) / 2);
    let start = start.min(count.saturating_sub(height));
    start..(start + height).min(count)
}

fn layers(frame: &mut Frame<'_>, state: &State<'_>, area: Rect) {
    let active = state.focus == Focus::Layers && !state.wasting;
    let range = window(state.layer, state.layers.len(), usize::from(area.height.saturating_sub(2)));
    let lines: Vec<Line<'_>> = range
        .map(|at| {
            let layer = &state.layers[at];
            let mark = if layer.broken.is_some() { "!" } else { " " };
            let by = printable(&state.made_by[at]);
            let text = format!("{:>3}{mark}{:>9} {by}", at + 1, cli::bytes(layer.file_bytes()));
            let style = if at == state.layer { chosen(active) } else { Style::new() };
            Line::from(text).style(style)
        })
        .collect();
    let block = frame_of(format!(" Layers ({}) ", state.layers.len()), active);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn detail(frame: &mut Frame<'_>, state: &State<'_>, area: Rect) {
    let mut lines = Vec::new();
    if let Some(layer) = state.layers.get(state.layer) {
        lines.push(Line::from(layer.digest.to_string()));
        let plain = layer.tar_bytes.map_or_else(
            || format!("{} in files", cli::bytes(layer.file_bytes())),
            |size| format!("{} tar", cli::bytes(size)),
        );
        lines.push(Line::from(format!("{} packed, {plain}", cli::bytes(layer.size))));
        if let Some(broken) = &layer.broken {
            lines.push(Line::from(printable(&broken.why)).style(Style::new().fg(Color::Red)));
        }
        let wasted = state.waste.and_then(|waste| waste.layers.get(state.layer));
        if let Some(wasted) = wasted {
            lines.push(Line::from(format!("{} wasted", cli::bytes(wasted.wasted_bytes))));
        }
    }
    if let Some(waste) = state.waste {
        lines.push(Line::from(format!("image: {:.2} % efficient", waste.efficiency * 100.0)));
    }
    frame.render_widget(Paragraph::new(lines).block(frame_of(" Layer ".to_owned(), false)), area);
}

fn files(frame: &mut Frame<'_>, state: &State<'_>, area: Rect) {
    let active = state.focus == Focus::Files;
    let height = usize::from(area.height.saturating_sub(2));
    let range = window(state.cursor, state.seen.len(), height);
    let lines: Vec<Line<'_>> = range
        .map(|at| {
            let row = &state.rows[state.seen[at]];
            let opened = state.open.contains(&row.path) || !state.filter.is_empty();
            let style = if at == state.cursor { chosen(active) } else { Style::new() };
            file(row, opened, area.width).style(style)
        })
        .collect();
    let mut title = format!(" Files up to layer {} ", state.layer + 1);
    if !state.filter.is_empty() {
        title = format!("{title}[{}] ", printable(&state.filter));
    }
    if state.only_changes {
        title.push_str("(changes) ");
    }
    frame.render_widget(Paragraph::new(lines).block(frame_of(title, active)), area);
}

fn file(row: &Row, opened: bool, width: u16) -> Line<'static> {
    let color = match row.change {
        Change::Added => Style::new().fg(Color::Green),
        Change::Modified => Style::new().fg(Color::Yellow),
        Change::Removed => Style::new().fg(Color::Red),
        Change::Same if row.changed_below => bold(),
        Change::Same => Style::new(),
    };
    // Also for those who see no colours.
    let mark = match row.change {
        Change::Added => '+',
        Change::Modified => '~',
        Change::Removed => '-',
        Change::Same => ' ',
    };
    let fold = match (row.is_directory, opened) {
        (true, true) => "v ",
        (true, false) => "> ",
        (false, _) => "  ",
    };
    let mut spans = Vec::new();
    if width >= WIDE {
        spans.push(Span::raw(format!("{} {:>9} ", row.mode, row.owner)));
    }
    spans.push(Span::raw(format!("{:>9} ", cli::bytes(row.size))));
    let indent = "  ".repeat(row.depth.min(40));
    spans.push(Span::styled(format!("{mark} {indent}{fold}{}", row.name), color));
    Line::from(spans)
}

fn waste(frame: &mut Frame<'_>, state: &State<'_>, area: Rect) {
    let Some(waste) = state.waste else { return };
    let height = usize::from(area.height.saturating_sub(2));
    let range = window(state.waste_cursor, waste.files.len(), height);
    let lines: Vec<Line<'_>> = range
        .map(|at| {
            let file = &waste.files[at];
            let text = format!("{:>9} {:>3}x {}", cli::bytes(file.bytes), file.count, file.path);
            let style = if at == state.waste_cursor { chosen(true) } else { Style::new() };
            Line::from(text).style(style)
        })
        .collect();
    let title = format!(" Waste: {} ", cli::bytes(waste.wasted_bytes));
    frame.render_widget(Paragraph::new(lines).block(frame_of(title, true)), area);
}

fn open_file(frame: &mut Frame<'_>, view: &View, area: Rect) {
    let lines = view.lines.iter().skip(view.top).take(usize::from(area.height));
    let lines: Vec<Line<'_>> = lines.map(|line| Line::from(line.as_str())).collect();
    let title = format!(" /{} ", Name::from(&view.title[..]));
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines).block(frame_of(title, true)), area);
}
