//! Laying out what is copied: files, archives, what came from elsewhere.

use super::super::transfer::{Chosen, Layout, Origin};
use super::archive::unpacked;
use super::elsewhere::Brought;
use crate::error::Result;
use crate::store::Writer;

/// What a source has become.
pub(in crate::build) enum Piece<'a> {
    /// Files of the step's own origin.
    Files(&'a [Chosen]),
    /// Something with an origin of its own.
    Brought(Brought),
}

/// Where pieces go, and how.
pub(in crate::build) struct Laying<'a> {
    /// Where archives are unpacked.
    pub(in crate::build) writer: &'a Writer,
    /// What files are of; its number is 0.
    pub(in crate::build) origin: Option<&'a Origin>,
    pub(in crate::build) target: &'a [u8],
    /// Whether files go into the target rather than become it.
    pub(in crate::build) into: bool,
    /// Whether the directories above files come along.
    pub(in crate::build) parents: bool,
    /// Whether archives among the files are unpacked.
    pub(in crate::build) unpack: bool,
    /// Whether an owner was asked for, for what archives hold as well.
    pub(in crate::build) owned: bool,
}

impl Laying<'_> {
    /// Lays pieces out in their order; the origins that follow number 0.
    pub(in crate::build) fn lay<'p>(
        &self,
        layout: &mut Layout<'_>,
        pieces: impl IntoIterator<Item = Piece<'p>>,
    ) -> Result<Vec<Origin>> {
        let mut others = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Files(chosen) => {
                    for chosen in chosen {
                        self.file(layout, &mut others, chosen)?;
                    }
                }
                Piece::Brought(Brought { origin, chosen, unpacked }) => {
                    others.push(origin);
                    for chosen in &chosen {
                        match unpacked {
                            true => self.archive(layout, others.len(), chosen)?,
                            false => self.plain(layout, others.len(), chosen)?,
                        }
                    }
                }
            }
        }
        Ok(others)
    }

    fn file(
        &self,
        layout: &mut Layout<'_>,
        others: &mut Vec<Origin>,
        chosen: &Chosen,
    ) -> Result<()> {
        let archive = match self.origin.filter(|_| self.unpack) {
            Some(origin) => unpacked(self.writer, origin, chosen)?,
            None => None,
        };
        match archive {
            Some((origin, whole)) => {
                others.push(origin);
                self.archive(layout, others.len(), &whole)
            }
            None => self.plain(layout, 0, chosen),
        }
    }

    fn archive(&self, layout: &mut Layout<'_>, number: usize, whole: &Chosen) -> Result<()> {
        layout.place_archive(number, whole, self.target, self.owned)
    }

    fn plain(&self, layout: &mut Layout<'_>, number: usize, chosen: &Chosen) -> Result<()> {
        layout.place(number, chosen, self.target, self.into, self.parents)
    }
}
