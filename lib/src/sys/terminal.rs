//! The terminal on standard input.

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

use crate::error::{IoContext, Result};

/// While this lives, what is typed is not shown.
pub struct HiddenInput(Termios);

impl HiddenInput {
    /// Stops the terminal on standard input from showing what is typed.
    pub fn start() -> Result<HiddenInput> {
        let doing = || "hiding what is typed";
        let before = tcgetattr(std::io::stdin()).map_err(std::io::Error::from).doing(doing)?;
        let mut hidden = before.clone();
        hidden.local_flags.remove(LocalFlags::ECHO);
        let set = tcsetattr(std::io::stdin(), SetArg::TCSAFLUSH, &hidden);
        set.map_err(std::io::Error::from).doing(doing)?;
        Ok(HiddenInput(before))
    }
}

impl Drop for HiddenInput {
    fn drop(&mut self) {
        // The terminal may be gone; nobody is left to care then.
        let _ = tcsetattr(std::io::stdin(), SetArg::TCSAFLUSH, &self.0);
    }
}
