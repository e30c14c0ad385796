//! What holds for all four programs.

mod booleans;
mod streams;
mod text;
