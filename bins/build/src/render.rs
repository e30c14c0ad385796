//! Reports as text or JSON.

pub(crate) use creel::cli::{print, print_json, takes_color};
