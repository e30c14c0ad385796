//! `creel-copy`, as a person or a script sees it.

mod auth;
mod config;
mod convert;
mod errors;
mod faults;
mod kill;
mod memory;
mod other_hosts;
mod parallel;
mod peers;
mod places;
mod referrers;
mod refusals;
mod requests;
mod resume;
mod select;
mod sync;
mod tls;
mod verbs;
mod words;
