//! Building images: from the text of a Dockerfile to an image in the store.
//!
//! First the language, each stage a pure function over values: text → lines → typed instructions
//! ([`dockerfile`]) → graph of steps ([`graph`]), with variables filled in by [`expand`], names of
//! the context filtered by [`dockerignore`] and advice given by [`lint`]. Mistakes are
//! [`diagnostic`]s: all of them at once, each with its place in the text. Then [`build`](fn@build)
//! carries the graph out: `bases` finds images, `cache` what was made before, `transfer` makes
//! layers of files, `view` tells what is below, `image` keeps what the config says, `execute`
//! brings them together; [`fetch`] gets what is elsewhere, [`deliver`] takes results there.
//! Uses `store`, `snapshot`, `layer` and `runtime`, and `copy` for what comes and goes. Prints
//! nothing.

mod bases;
mod cache;
pub mod call;
pub mod check;
pub mod context;
pub mod deliver;
pub mod diagnostic;
pub mod dockerfile;
pub mod dockerignore;
mod execute;
pub mod expand;
pub mod fetch;
pub mod graph;
mod image;
pub mod lint;
pub mod source;
mod suggest;
mod transfer;
mod view;
pub mod working;

pub use bases::{Pull, Remote};
pub use cache::usage::{Kept, Kind as KeptKind, prune as prune_cache, usage as cache_usage};
pub use execute::{
    BuildEvent, BuildOptions, Built, Cancel, ContextDir, Credentials, Failure, Machine,
    NamedContext, OnFailure, Reporter, RunSettings, SecretSource, Squash, StepName, TreeExport,
    build,
};
