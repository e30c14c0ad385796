//! `explore`: an image in a terminal. Layers on the left, their files on the right.
//!
//! The state knows nothing of the terminal and the drawing nothing of keys; this file joins them.

mod draw;
mod rows;
mod screen;
mod state;

use std::io::IsTerminal;

use creel::Error;
use creel::error::{IoContext, Result};
use creel::inspect;
use creel::inspect::files::{Name, index_layers, read_content};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};

use crate::args::{Global, OneArgs};
use crate::place::{FoundImage, find_image, index_options};
use screen::Screen;
use state::{State, Wish};

/// Largest file that is opened.
const MAX_OPEN: u64 = 4 << 20;

pub async fn explore(global: &Global, args: OneArgs) -> Result<u8> {
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return Err(Error::usage("explore needs a terminal: `files`, `waste` and `report` do not"));
    }
    let found = find_image(global, &args).await?;
    let options = index_options(global, false)?;
    let layers = index_layers(&found.found.source, &found.image, &options).await?;
    let waste = inspect::waste(&found.image, &layers).ok();
    let name = found.found.at.to_string();
    let mut state = State::new(&name, &found.image, &layers, waste.as_ref());
    let mut screen = Screen::start()?;
    run(&mut screen, &mut state, &found).await.map(|()| 0)
}

async fn run(screen: &mut Screen, state: &mut State<'_>, found: &FoundImage) -> Result<()> {
    loop {
        screen.terminal.draw(|frame| draw::draw(frame, state)).doing(|| "drawing")?;
        let Event::Key(key) = event::read().doing(|| "reading keys")? else { continue };
        if key.kind == KeyEventKind::Release {
            continue;
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let wish = match key.code {
            KeyCode::Char('c') if control => Wish::Quit,
            code => state.key(code),
        };
        match wish {
            Wish::Nothing => {}
            Wish::Quit => return Ok(()),
            Wish::Open(path) => {
                let text = open(state, found, &path).await;
                state.show(&path, text.unwrap_or_else(|error| vec![error.chain()]));
            }
        }
    }
}

/// The lines of a file as it is in the layer that is chosen and those below.
async fn open(state: &State<'_>, found: &FoundImage, path: &[u8]) -> Result<Vec<String>> {
    let (number, entry) = state.merged().file(path)?;
    let Some(layer) = found.image.layers().get(number) else { return Ok(Vec::new()) };
    let (source, index) = (&found.found.source, &state.layers[number]);
    let bytes = read_content(source, &layer.descriptor, index, &entry, MAX_OPEN).await?;
    if bytes.contains(&0) {
        return Ok(dump(&bytes));
    }
    let lines = bytes.split(|&b| b == b'\n');
    Ok(lines.map(|line| Name::from(line).to_string().replace("\\t", "    ")).collect())
}

/// The begin of a binary file as numbers and letters.
fn dump(bytes: &[u8]) -> Vec<String> {
    const MOST: usize = 16 << 10;
    let rows = bytes[..bytes.len().min(MOST)].chunks(16).enumerate();
    rows.map(|(row, bytes)| {
        let numbers: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let letters: String = bytes
            .iter()
            .map(|&byte| if byte.is_ascii_graphic() { char::from(byte) } else { '.' })
            .collect();
        format!("{:06x}  {:47}  {letters}", row * 16, numbers.join(" "))
    })
    .collect()
}
