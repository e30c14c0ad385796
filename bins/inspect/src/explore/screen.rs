//! The terminal while an image is explored.

use std::io::{self, BufWriter, Write};

use creel::error::{IoContext, Result};
use creel::sys::Output;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};

/// A screen of our own; when dropped, the terminal is as it was.
pub struct Screen {
    /// What draws on it.
    pub terminal: Terminal<CrosstermBackend<BufWriter<Output>>>,
}

impl Screen {
    /// Takes the terminal over.
    pub fn start() -> Result<Screen> {
        let starting = || "starting on the terminal";
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            before(panic);
        }));
        let started = (|| {
            enable_raw_mode()?;
            let mut out = BufWriter::new(Output::default());
            execute!(out, EnterAlternateScreen)?;
            Terminal::new(CrosstermBackend::new(out))
        })();
        match started {
            Ok(terminal) => Ok(Screen { terminal }),
            Err(error) => {
                restore();
                Err::<_, io::Error>(error).doing(starting)
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.terminal.show_cursor();
        restore();
    }
}

/// Gives the terminal back. It may be gone; nobody is left to care then.
pub fn restore() {
    let _ = disable_raw_mode();
    let mut out = Output::default();
    let _ = execute!(out, LeaveAlternateScreen).and_then(|()| out.flush());
}
