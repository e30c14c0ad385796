//! The one integration test binary.

mod build;
mod copy;
mod inspect;
mod programs;
mod run;
mod store;
mod structure;
mod suite;
#[allow(dead_code, unused_imports, reason = "support offers whole tools, used or not")]
mod support;
mod support_tests;
