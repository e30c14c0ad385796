//! `creel-inspect`.

mod browser;
mod diff;
mod explore;
mod files;
mod hostile;
mod many;
mod old_rpm;
mod packages;
mod peers;
mod report;
mod schema;
mod screen;
mod tables;
mod trees;
mod validate;
mod waste;
