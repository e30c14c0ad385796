//! What the variables of one file may cost.

use super::ExpandError;

/// What all expansions of one file may cost together, in bytes written and characters compared.
const WHOLE_FILE: usize = 1 << 26;

/// The work that is left to do for one file.
#[derive(Debug)]
pub struct Budget {
    left: usize,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget { left: WHOLE_FILE }
    }
}

impl Budget {
    /// Pays for `cost` units of work, or says that the file wants too much.
    pub fn pay(&mut self, cost: usize) -> Result<(), ExpandError> {
        match self.left.checked_sub(cost) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                self.left = 0;
                Err(ExpandError::new("the variables of this file expand to too much text"))
            }
        }
    }

    /// Whether nothing is left: what was going on has failed.
    pub fn is_spent(&self) -> bool {
        self.left == 0
    }

    /// A budget of another size.
    #[cfg(test)]
    pub(super) fn of(left: usize) -> Budget {
        Budget { left }
    }

    /// What is left.
    #[cfg(test)]
    pub(super) fn left(&self) -> usize {
        self.left
    }
}
