//! `creel-copy`, as a person or a script sees it.

mod auth;
mod errors;
mod faults;
mod kill;
mod parallel;
mod places;
mod requests;
mod resume;
mod select;
mod tls;
mod verbs;
