//! What a build has made, read from the store's blobs without our library.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use crate::support::program::{Output, Sandbox};

/// An image in the store.
pub struct Made {
    pub manifest: Value,
    pub config: Value,
    /// The entries of every layer, lowest first: `path` to `mode uid:gid what`.
    pub layers: Vec<BTreeMap<String, String>>,
}

fn blob(store: &Path, digest: &str) -> Vec<u8> {
    let hex = digest.strip_prefix("sha256:").expect("a SHA-256 digest");
    std::fs::read(store.join("blobs/sha256").join(hex)).expect("a blob of the store")
}

impl Made {
    /// The image of a digest.
    pub fn of(sandbox: &Sandbox, digest: &str) -> Made {
        let store = sandbox.store();
        let json = |digest: &str| -> Value {
            serde_json::from_slice(&blob(&store, digest)).expect("JSON")
        };
        let manifest = json(digest);
        let config = json(manifest["config"]["digest"].as_str().expect("a config"));
        let layers = manifest["layers"].as_array().expect("layers").iter();
        let layers = layers.map(|layer| {
            let bytes = blob(&store, layer["digest"].as_str().expect("a digest"));
            let kind = layer["mediaType"].as_str().expect("a media type");
            match kind {
                kind if kind.ends_with("tar") => entries(&bytes[..]),
                kind if kind.ends_with("zstd") => {
                    entries(&zstd::decode_all(&bytes[..]).expect("zstd")[..])
                }
                _ => entries(flate2::read::GzDecoder::new(&bytes[..])),
            }
        });
        Made { layers: layers.collect(), manifest, config }
    }

    /// The newest layer, one line an entry.
    pub fn top(&self) -> Vec<String> {
        let top = self.layers.last().expect("a layer");
        top.iter().map(|(path, what)| format!("{path} {what}")).collect()
    }

    /// When the files of the newest layer were changed, in seconds since 1970.
    pub fn times(&self, sandbox: &Sandbox) -> BTreeMap<String, u64> {
        let layers = self.manifest["layers"].as_array().expect("layers");
        let top = layers.last().expect("a layer")["digest"].as_str().expect("a digest");
        let bytes = blob(&sandbox.store(), top);
        let mut archive = tar::Archive::new(&bytes[..]);
        let entries = archive.entries().expect("an archive").map(|entry| {
            let entry = entry.expect("an entry");
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            (path, entry.header().mtime().expect("a time"))
        });
        entries.collect()
    }

    /// The `created_by` of every line of history; a `-` in front of those without a layer.
    pub fn history(&self) -> Vec<String> {
        let lines = self.config["history"].as_array().expect("history").iter();
        lines
            .map(|line| {
                let text = line["created_by"].as_str().expect("created_by");
                match line["empty_layer"] == true {
                    true => format!("- {text}"),
                    false => text.to_owned(),
                }
            })
            .collect()
    }
}

fn entries(archive: impl Read) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for entry in tar::Archive::new(archive).entries().expect("an archive") {
        let mut entry = entry.expect("an entry");
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let header = entry.header();
        let link = entry.link_name_bytes().map(|to| String::from_utf8_lossy(&to).into_owned());
        let mode = header.mode().expect("a mode");
        let owner = format!("{}:{}", header.uid().expect("uid"), header.gid().expect("gid"));
        let kind = header.entry_type();
        let what = match (kind, link) {
            (tar::EntryType::Regular, _) => {
                let mut text = String::new();
                let read = entry.read_to_string(&mut text);
                format!("{:?}", read.map_or("(binary)".to_owned(), |_| text))
            }
            (tar::EntryType::Directory, _) => "dir".to_owned(),
            (tar::EntryType::Link, Some(to)) => format!("= {to}"),
            (tar::EntryType::Symlink, Some(to)) => format!("-> {to}"),
            (other, _) => format!("{other:?}"),
        };
        out.insert(path, format!("{mode:o} {owner} {what}"));
    }
    out
}

/// Builds what the arguments say, in the sandbox's directory.
pub fn build(sandbox: &Sandbox, args: &[&str]) -> Output {
    sandbox.build(["build"]).args(args).run()
}

/// Builds a Dockerfile on the context `.`; the image.
pub fn built(sandbox: &Sandbox, file: &str, args: &[&str]) -> Made {
    sandbox.write("work/Dockerfile", file);
    let out = build(sandbox, &[args, &["."]].concat()).success();
    Made::of(sandbox, out.stdout.trim())
}

/// How many steps of a build were made and found.
pub fn steps(sandbox: &Sandbox, file: &str, args: &[&str]) -> (u64, u64) {
    sandbox.write("work/Dockerfile", file);
    let out = build(sandbox, &[args, &["--json", "."]].concat()).success().json();
    (out["made"].as_u64().expect("a number"), out["cached"].as_u64().expect("a number"))
}

/// The files that a Dockerfile on the context `.` makes, all layers together, one line each.
pub fn tree(sandbox: &Sandbox, file: &str) -> Vec<String> {
    sandbox.write("work/Dockerfile", file);
    build(sandbox, &["-q", "-o", "type=tar,dest=../tree.tar", "."]).success();
    let archive = std::fs::File::open(sandbox.path("tree.tar")).expect("an archive");
    entries(archive).iter().map(|(path, what)| format!("{path} {what}")).collect()
}
