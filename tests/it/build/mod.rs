//! `creel-build`: text in, text out.

mod call;
mod check;
mod files;
mod oracle;
mod plan;
