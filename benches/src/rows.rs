//! The rows of the table: what is done, by whom, and what has to be reached.

use std::path::Path;

use crate::Result;
use crate::bench::{Bench, Image, REPOSITORY};
use crate::builds;
use crate::containers;
use crate::contest::{Contest, Samples, Who};
use crate::inspections;
use crate::layout::Encoding;
use crate::measure::{run, shown};
use crate::place::Place;
use crate::pull;

/// One row.
pub(crate) struct Row {
    /// How it is asked for.
    pub(crate) name: &'static str,
    /// What is done, in words.
    pub(crate) work: &'static str,
    /// What has to be reached.
    pub(crate) targets: &'static [Target],
    measure: fn(&Bench) -> Result<Measured>,
}

/// What ours has to reach.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// This part of the peer's median time.
    Ratio(f64),
    /// Under so many seconds in the median.
    Seconds(f64),
    /// Under so many MiB at the peak.
    Memory(u64),
    /// This part of the bytes that the peer produces.
    Bytes(f64),
    /// At most so many requests.
    Requests(usize),
}

/// What a row found out.
pub(crate) struct Measured {
    pub(crate) samples: Samples,
    /// Bytes that the peer and ours produced, where both compress.
    pub(crate) bytes: Option<(u64, u64)>,
    /// Requests that the peer and ours made, where those are counted.
    pub(crate) requests: Option<(usize, usize)>,
}

impl Measured {
    /// Times and peaks alone.
    pub(crate) fn of(samples: Samples) -> Measured {
        Measured { samples, bytes: None, requests: None }
    }
}

impl Row {
    /// Makes what the row needs, and measures.
    pub(crate) fn measure(&self, bench: &Bench) -> Result<Measured> {
        (self.measure)(bench)
    }
}

const FLAT: Target = Target::Memory(100);

/// All rows.
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "registry-to-oci",
        work: "626 MB in one layer: registry to `oci:`",
        targets: &[Target::Ratio(0.5), FLAT],
        measure: |bench| to_layout(bench, &bench.big(Encoding::Gzip(6))?, 7),
    },
    Row {
        name: "registry-to-registry",
        work: "626 MB in one layer: registry to another registry that has nothing",
        targets: &[Target::Ratio(1.0), FLAT],
        measure: |bench| to_registry(bench, &bench.big(Encoding::Gzip(6))?, 7),
    },
    Row {
        name: "registry-to-registry-unchanged",
        work: "626 MB in one layer: registry to another registry that has it already",
        targets: &[Target::Seconds(0.006)],
        measure: unchanged,
    },
    Row {
        name: "push-gzip",
        work: "626 MB in one uncompressed layer to a registry, as gzip: ours from `oci:`, buildah from its storage",
        targets: &[Target::Ratio(0.7), Target::Bytes(1.1), FLAT],
        measure: |bench| push(bench, "gzip"),
    },
    Row {
        name: "push-zstd",
        work: "626 MB in one uncompressed layer to a registry: ours as zstd from `oci:`, buildah as gzip from its storage",
        targets: &[Target::Ratio(0.25), Target::Bytes(1.1), FLAT],
        measure: |bench| push(bench, "zstd"),
    },
    Row {
        name: "many-layers-to-oci",
        work: "40 layers of 8 MB: registry to `oci:`",
        targets: &[Target::Ratio(0.5), FLAT],
        measure: |bench| to_layout(bench, &bench.many_layers()?, 7),
    },
    Row {
        name: "many-layers-to-registry",
        work: "40 layers of 8 MB: registry to another registry that has nothing",
        targets: &[Target::Ratio(1.0), FLAT],
        measure: |bench| to_registry(bench, &bench.many_layers()?, 7),
    },
    Row {
        name: "small-images",
        work: "50 small images: one `creel-copy sync` against 50 `skopeo copy`",
        targets: &[FLAT],
        measure: small_images,
    },
    Row {
        name: "memory",
        work: "3 GiB layer: registry to `oci:`",
        targets: &[FLAT],
        measure: |bench| to_layout(bench, &bench.huge()?, 1),
    },
    Row {
        name: "pull",
        work: "626 MB in one layer: registry to the store, unpacked, against `podman pull`",
        targets: &[Target::Ratio(0.25), FLAT],
        measure: |bench| pull::against_podman(bench, &bench.big(Encoding::Gzip(6))?, 5),
    },
    Row {
        name: "pull-many-layers",
        work: "40 layers of 8 MB: registry to the store, unpacked, against `podman pull`",
        targets: &[Target::Ratio(0.25), FLAT],
        measure: |bench| pull::against_podman(bench, &bench.many_layers()?, 5),
    },
    Row {
        name: "pull-many-files",
        work: "10,000 small files: registry to the store, unpacked, against `podman pull`",
        targets: &[Target::Ratio(0.25), FLAT],
        measure: |bench| pull::against_podman(bench, &bench.many_files()?, 5),
    },
    Row {
        name: "unpack",
        work: "626 MB in one layer: `oci:` to the store, unpacked, against `umoci unpack`",
        targets: &[Target::Ratio(0.35), FLAT],
        measure: |bench| pull::against_umoci(bench, &bench.big(Encoding::Gzip(6))?, 5),
    },
    Row {
        name: "thousand-names",
        work: "`images` with 1,000 names in the store",
        targets: &[Target::Seconds(0.03)],
        measure: pull::thousand_names,
    },
    Row {
        name: "inspect-remote",
        work: "`creel-inspect` of an image of an index at a registry, against `skopeo inspect`",
        targets: &[Target::Ratio(1.0), Target::Requests(3), FLAT],
        measure: inspections::remote,
    },
    Row {
        name: "inspect-files",
        work: "list of 16,000 files in one layer of 626 MB in `oci:`, nothing known, against `tar -tvzf`",
        targets: &[Target::Ratio(1.0), FLAT],
        measure: inspections::files,
    },
    Row {
        name: "inspect-files-again",
        work: "the same list from what was kept",
        targets: &[Target::Seconds(0.1), FLAT],
        measure: inspections::files_again,
    },
    Row {
        name: "inspect-diff",
        work: "two images of 40 layers of 8 MB, 5 of them different, against `umoci unpack` and `diff -r`",
        targets: &[Target::Ratio(0.5), FLAT],
        measure: inspections::diff,
    },
    Row {
        name: "build-cached",
        work: "six steps, all of them in the cache",
        targets: &[Target::Seconds(0.02), FLAT],
        measure: builds::cached,
    },
    Row {
        name: "build-cold",
        work: "six steps, two of them commands, all of them made",
        targets: &[Target::Ratio(0.3), FLAT],
        measure: builds::cold,
    },
    Row {
        name: "build-cached-20",
        work: "twenty steps, all of them in the cache",
        targets: &[Target::Seconds(0.02), FLAT],
        measure: builds::twenty_cached,
    },
    Row {
        name: "build-stages",
        work: "eight stages that do not need each other, a command in each",
        targets: &[Target::Ratio(0.3), FLAT],
        measure: builds::stages,
    },
    Row {
        name: "build-one-file",
        work: "`COPY` of one file of 626 MB, into the local store",
        targets: &[Target::Ratio(0.15), FLAT],
        measure: builds::one_file,
    },
    Row {
        name: "build-gigabyte",
        work: "`COPY` of one file of 1 GB, into the local store",
        targets: &[Target::Ratio(0.15), FLAT],
        measure: builds::gigabyte,
    },
    Row {
        name: "build-small-files",
        work: "`COPY` of 20,000 small files",
        targets: &[Target::Ratio(0.12), FLAT],
        measure: builds::small_files,
    },
    Row {
        name: "build-small-files-unchanged",
        work: "`COPY` of 20,000 small files, none of which has changed",
        targets: &[Target::Seconds(0.15), FLAT],
        measure: builds::small_files_unchanged,
    },
    Row {
        name: "build-100000-files",
        work: "`COPY` of 100,000 small files",
        targets: &[Target::Ratio(0.12), FLAT],
        measure: builds::very_many_files,
    },
    Row {
        name: "run-none-runc",
        work: "`run --rm --network none IMAGE true`, 1 layer, against `runc run` of the same config.json",
        targets: &[Target::Ratio(1.3), FLAT],
        measure: containers::against_runc,
    },
    Row {
        name: "run-none",
        work: "`run --rm --network none IMAGE true`, 1 layer, against podman",
        targets: &[Target::Ratio(0.2), FLAT],
        measure: |bench| containers::against_podman(bench, "none", 1),
    },
    Row {
        name: "run-host",
        work: "`run --rm --network host IMAGE true`, 1 layer, against podman",
        targets: &[Target::Ratio(0.2), FLAT],
        measure: |bench| containers::against_podman(bench, "host", 1),
    },
    Row {
        name: "run-bridge",
        work: "`run --rm --network bridge IMAGE true`, 1 layer, against podman",
        targets: &[Target::Ratio(0.3), FLAT],
        measure: |bench| containers::against_podman(bench, "bridge", 1),
    },
    Row {
        name: "run-none-100-layers",
        work: "`run --rm --network none IMAGE true`, 100 layers, against podman",
        targets: &[Target::Ratio(0.2), FLAT],
        measure: |bench| containers::against_podman(bench, "none", 100),
    },
    Row {
        name: "run-bridge-100-layers",
        work: "`run --rm --network bridge IMAGE true`, 100 layers, against podman",
        targets: &[Target::Ratio(0.3), FLAT],
        measure: |bench| containers::against_podman(bench, "bridge", 100),
    },
    Row {
        name: "version",
        work: "`--version`",
        targets: &[Target::Seconds(0.005)],
        measure: version,
    },
];

fn to_layout(bench: &Bench, image: &Image, rounds: usize) -> Result<Measured> {
    let from = image.load(bench)?;
    let layout = bench.work().join("layout");
    let to = format!("oci:{}:copy", layout.display());
    let contest = Contest {
        peer: vec![bench.skopeo_copy(&from, &to)],
        ours: vec![bench.creel_copy(["-q", &from, &to])],
        rounds: bench.rounds(rounds),
    };
    let check = |_, _: &str| Place::Layout(&layout, "copy").verify_is(&image.digest);
    let samples = contest.hold(bench, || remove(&layout), check)?;
    remove(&layout)?;
    bench.source()?.clear()?;
    Ok(Measured::of(samples))
}

fn to_registry(bench: &Bench, image: &Image, rounds: usize) -> Result<Measured> {
    let from = image.load(bench)?;
    let destination = bench.destination()?;
    let to = format!("docker://{}/copy:1", destination.host());
    let contest = Contest {
        peer: vec![bench.skopeo_copy(&from, &to)],
        ours: vec![bench.creel_copy(["-q", &from, &to])],
        rounds: bench.rounds(rounds),
    };
    let check = |_, _: &str| Place::Registry(destination, "copy", "1").verify_is(&image.digest);
    let samples = contest.hold(bench, || destination.clear(), check)?;
    bench.source()?.clear()?;
    Ok(Measured::of(samples))
}

/// Nothing has to move. That both do move it when it is not there is looked at first, because a
/// program that does nothing at all would win here.
fn unchanged(bench: &Bench) -> Result<Measured> {
    let image = bench.big(Encoding::Gzip(6))?;
    let from = image.load(bench)?;
    let destination = bench.destination()?;
    let to = format!("docker://{}/copy:1", destination.host());
    let (peer, ours) = (bench.skopeo_copy(&from, &to), bench.creel_copy(["-q", &from, &to]));
    let there = || Place::Registry(destination, "copy", "1").verify_is(&image.digest);
    for command in [&peer, &ours] {
        destination.clear()?;
        run(command, bench.work())?;
        there().map_err(|error| format!("{}: wrong result: {error}", shown(command)))?;
    }
    let contest = Contest { peer: vec![peer], ours: vec![ours], rounds: bench.rounds(21) };
    let samples = contest.hold(bench, || Ok(()), |_, _| there_by_name(bench, &image))?;
    there()?;
    bench.source()?.clear()?;
    Ok(Measured::of(samples))
}

/// The cheap half of the check: to hash everything after every round would only cost time.
fn there_by_name(bench: &Bench, image: &Image) -> Result<()> {
    let found = bench.destination()?.digest("copy", "1")?;
    if found == image.digest { Ok(()) } else { Err(format!("found {found}").into()) }
}

fn push(bench: &Bench, ours_as: &str) -> Result<Measured> {
    let image = bench.big(Encoding::Tar)?;
    let destination = bench.destination()?;
    let from = format!("oci:{}:{}", image.layout.display(), image.tag);
    let to = format!("docker://{}/push:1", destination.host());
    let name = bench.load_for_buildah(&image)?;
    let push = ["push", "--quiet", "--tls-verify=false", "--format", "oci", &name, &to];
    let contest = Contest {
        peer: vec![bench.buildah(push)],
        ours: vec![bench.creel_copy(["-q", "--compression", ours_as, &from, &to])],
        rounds: bench.rounds(5),
    };
    let (mut peer_bytes, mut our_bytes) = (0, 0);
    let check = |who, _: &str| {
        let pushed = Place::Registry(destination, "push", "1").verify()?;
        let (format, bytes) = match who {
            Who::Peer => ("gzip", &mut peer_bytes),
            Who::Ours => (ours_as, &mut our_bytes),
        };
        *bytes =
            pushed.verify_layers(&format!("application/vnd.oci.image.layer.v1.tar+{format}"))?;
        Ok(())
    };
    let samples = contest.hold(bench, || destination.clear(), check)?;
    run(&bench.buildah(["rmi", "--all"]), bench.work())?;
    remove(&image.layout)?;
    Ok(Measured { bytes: Some((peer_bytes, our_bytes)), ..Measured::of(samples) })
}

fn small_images(bench: &Bench) -> Result<Measured> {
    let (layout, digests) = bench.small()?;
    for (tag, digest) in digests.iter().enumerate() {
        bench.load(&layout, &tag.to_string(), digest)?;
    }
    let (source, destination) = (bench.source()?, bench.destination()?);
    let from = format!("{}/{REPOSITORY}", source.host());
    let below = format!("{}/mirror", destination.host());
    // Synced images keep the last part of their repository's name.
    let copied = "mirror/image";
    let copy = |tag| {
        let to = format!("docker://{}/{copied}:{tag}", destination.host());
        bench.skopeo_copy(&format!("docker://{from}:{tag}"), &to)
    };
    let sync = ["-q", "sync", "--src", "docker", "--dest", "docker", &from, &below];
    let contest = Contest {
        peer: (0..digests.len()).map(copy).collect(),
        ours: vec![bench.creel_copy(sync)],
        rounds: bench.rounds(5),
    };
    let check = |_, _: &str| {
        let mut tagged = digests.iter().enumerate();
        tagged.try_for_each(|(tag, digest)| {
            Place::Registry(destination, copied, &tag.to_string()).verify_is(digest)
        })
    };
    let samples = contest.hold(bench, || destination.clear(), check)?;
    remove(&layout)?;
    source.clear()?;
    Ok(Measured::of(samples))
}

fn version(bench: &Bench) -> Result<Measured> {
    let contest = Contest {
        peer: vec![vec!["skopeo".into(), "--version".into()]],
        ours: vec![bench.creel_copy(["--version"])],
        rounds: bench.rounds(41),
    };
    let check = |who, printed: &str| {
        let name = if who == Who::Peer { "skopeo" } else { "creel-copy" };
        let numbered =
            printed.split_whitespace().any(|word| word.starts_with(|c: char| c.is_ascii_digit()));
        if printed.starts_with(name) && numbered {
            return Ok(());
        }
        Err(format!("printed {printed:?}").into())
    };
    let samples = contest.hold(bench, || Ok(()), check)?;
    Ok(Measured::of(samples))
}

fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
