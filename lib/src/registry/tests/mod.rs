//! The client against servers: scripted ones for what servers do wrong, and a real registry for
//! how many requests things take.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod distribution;
mod images;
mod live;
