//! What the tests stand on. Nothing in here uses the library under test: its judgments are
//! made with other code (`sha2`, `serde_json`, `tar`, `hyper`), or by other programs.
//!
//! | module | gives |
//! |---|---|
//! | [`registry`] | `TestRegistry`: a strict OCI registry in the process, with faults and a log |
//! | [`http`] | `RecordingServer`: "the other host", logs every header it gets |
//! | [`raw`] | `RawServer`: answers that are not HTTP, or never end, or never come |
//! | [`image`] | `image()`, `index()`, `artifact()`, `schema1()`, `layer()`: images made in code, written to registries, layouts, archives |
//! | [`program`] | `Sandbox`: our programs in a home of their own |
//! | [`peers`] | `need!("skopeo")`, `skopeo(&sandbox, […])`, umoci, podman, buildah |
//! | [`server`] | `DockerRegistry` 2.8, `Dockerd`: the real ones |
//! | [`network`] | networks of a test's own, and machines beside it |
//! | [`git`] | git repositories, and a daemon that serves them |
//! | [`client`] | `get(url)`, `request(method, url)`: what really comes over the wire |
//! | [`content`] | `sha256()`, `noise()`, `Content` (bytes in memory or in a file), `Descriptor` |
//! | [`tls`] | certificates: good, expired, for another host, for clients |
//! | [`hosts`] | addresses and host names of a test's own |
//! | [`log`] | what a server was asked |
//!
//! A whole test:
//!
//! ```ignore
//! let reg = TestRegistry::start();
//! let app = image().layer(layer().file("etc/motd", "hi\n")).build();
//! app.push(&reg, "app", "1");
//! let cut = reg.inject(once("GET", Kind::Blob), Fault::DropAfter(10));
//! let sandbox = Sandbox::new();
//! sandbox.copy([reg.image("app:1"), reg.image("new:1")]).run().success();
//! assert_eq!(cut.fired(), 1);
//! assert_eq!(reg.manifest("new", "1").unwrap().digest, app.root.digest);
//! reg.assert_whole("new");
//! ```

pub mod client;
pub mod content;
pub mod git;
pub mod hosts;
pub mod http;
pub mod image;
pub mod log;
pub mod network;
pub mod peers;
pub mod program;
pub mod raw;
pub mod registry;
pub mod server;
pub mod tls;
