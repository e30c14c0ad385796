//! Tests of the folder as a whole: hostile archives, other programs' archives, round trips.
//!
//! Those that need root say so and pass without it.

mod breakout;
mod diff;
mod forms;
mod hostile_tar;
mod limits;
mod mutants;
mod others;
mod overlay;
mod packing;
mod support;
mod verify;
