//! `creel-run`: real containers, as root, with runc.

mod beside;
mod flags;
mod foreground;
mod images;
mod isolation;
mod life;
pub mod machine;
mod many;
mod mounts;
mod network;
mod options;
mod peers;
mod terminal;
mod users;
mod verbs;
