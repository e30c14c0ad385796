//! `creel-copy`, as a person or a script sees it.

mod errors;
mod places;
mod requests;
mod select;
mod verbs;
