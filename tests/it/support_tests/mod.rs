//! Tests of the test support itself: a judge must be honest before it judges.

mod auth;
mod faults;
mod images;
mod peers;
mod programs;
mod raw;
mod registry;
mod servers;
