//! `creel-build`: text in, text out; files in, images out.

mod add;
mod agent;
mod archives;
mod bounds;
mod buildah;
mod cache;
mod call;
mod check;
mod commands;
mod contexts;
mod copy;
mod files;
mod flags;
mod ignoring;
mod image;
mod kill;
mod mounted;
mod oracle;
mod plan;
mod reaching;
mod result;
mod results;
pub mod run;
mod sources;
mod working;
