//! `creel-build`: text in, text out; files in, images out.

mod add;
mod agent;
mod bounds;
mod buildah;
mod cache;
mod call;
mod check;
mod contexts;
mod copy;
mod files;
mod flags;
mod image;
mod kill;
mod oracle;
mod plan;
mod result;
mod results;
pub mod run;
mod working;
