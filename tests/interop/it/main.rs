//! What other implementations say about what Creel writes, sends and accepts.

mod layouts;
mod registries;
mod support;
