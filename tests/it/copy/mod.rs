//! `creel-copy`, as a person or a script sees it.

mod config;
mod convert;
mod errors;
mod peers;
mod places;
mod referrers;
mod requests;
mod select;
mod sync;
mod verbs;
