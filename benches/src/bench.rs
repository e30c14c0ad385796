//! What the rows share: a folder, two registries, and images made when first asked for.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use creel::spec::Digest;
use tempfile::TempDir;

use crate::Result;
use crate::content::Kind;
use crate::layout::{Encoding, Layer, Layout};
use crate::measure::{CommandLine, run};
use crate::place::Place;
use crate::registry::Registry;

/// How many images [`Bench::small`] makes.
pub(crate) const SMALL_IMAGES: usize = 50;
/// The repository, at the source, of everything.
pub(crate) const REPOSITORY: &str = "bench/image";

/// The surroundings of a run.
pub(crate) struct Bench {
    programs: PathBuf,
    rounds: Option<usize>,
    source: OnceCell<Registry>,
    destination: OnceCell<Registry>,
    // The last to be dropped: the registries work in it.
    folder: TempDir,
}

impl Bench {
    /// Works in a folder beside the programs, which is on a disk and not in memory.
    pub(crate) fn new(programs: PathBuf, rounds: Option<usize>) -> Result<Bench> {
        let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(&programs)?;
        std::fs::create_dir(folder.path().join("home"))?;
        Ok(Bench {
            folder,
            programs,
            rounds,
            source: OnceCell::new(),
            destination: OnceCell::new(),
        })
    }

    pub(crate) fn work(&self) -> &Path {
        self.folder.path()
    }

    /// How often a row is repeated: as asked for, or `usual`.
    pub(crate) fn rounds(&self, usual: usize) -> usize {
        self.rounds.unwrap_or(usual)
    }

    /// The registry that has the images.
    pub(crate) fn source(&self) -> Result<&Registry> {
        started(&self.source, &self.work().join("source"))
    }

    /// The registry that gets them; another process with a storage of its own, so that nothing
    /// can be mounted from one repository into another.
    pub(crate) fn destination(&self) -> Result<&Registry> {
        started(&self.destination, &self.work().join("destination"))
    }

    pub(crate) fn skopeo<I: AsRef<str>>(
        &self,
        arguments: impl IntoIterator<Item = I>,
    ) -> CommandLine {
        let arguments = arguments.into_iter().map(|argument| argument.as_ref().into());
        ["skopeo".into(), "--insecure-policy".into()].into_iter().chain(arguments).collect()
    }

    /// `skopeo copy` of what it takes for a plain-HTTP registry.
    pub(crate) fn skopeo_copy(&self, from: &str, to: &str) -> CommandLine {
        let plain = ["--src-tls-verify=false", "--dest-tls-verify=false"];
        self.skopeo(["copy", "--quiet"].into_iter().chain(plain).chain([from, to]))
    }

    /// buildah with a storage of its own below the folder.
    pub(crate) fn buildah<I: AsRef<str>>(
        &self,
        arguments: impl IntoIterator<Item = I>,
    ) -> CommandLine {
        let (root, run) = self.buildah_storage();
        let mut command: CommandLine = vec!["buildah".into()];
        command.extend(["--root".into(), root.into(), "--runroot".into(), run.into()]);
        command.extend(arguments.into_iter().map(|argument| argument.as_ref().into()));
        command
    }

    /// Puts an image into that storage, as it is; returns its name there.
    pub(crate) fn load_for_buildah(&self, image: &Image) -> Result<String> {
        let name = format!("localhost/bench:{}", image.tag);
        let (root, run_root) = self.buildah_storage();
        let from = format!("oci:{}:{}", image.layout.display(), image.tag);
        let place = format!("[{}+{}]{name}", root.display(), run_root.display());
        let to = format!("containers-storage:{place}");
        run(&self.skopeo(["copy", "--quiet", &from, &to]), self.work())?;
        Ok(name)
    }

    fn buildah_storage(&self) -> (PathBuf, PathBuf) {
        (self.work().join("buildah/root"), self.work().join("buildah/run"))
    }

    pub(crate) fn creel_copy<I: AsRef<str>>(
        &self,
        arguments: impl IntoIterator<Item = I>,
    ) -> CommandLine {
        self.creel("creel-copy", arguments)
    }

    pub(crate) fn creel_build<I: AsRef<str>>(
        &self,
        arguments: impl IntoIterator<Item = I>,
    ) -> CommandLine {
        self.creel("creel-build", arguments)
    }

    pub(crate) fn creel_inspect<I: AsRef<str>>(
        &self,
        arguments: impl IntoIterator<Item = I>,
    ) -> CommandLine {
        self.creel("creel-inspect", arguments)
    }

    pub(crate) fn creel_run<I: AsRef<str>>(
        &self,
        arguments: impl IntoIterator<Item = I>,
    ) -> CommandLine {
        self.creel("creel-run", arguments)
    }

    fn creel<I: AsRef<str>>(
        &self,
        program: &str,
        arguments: impl IntoIterator<Item = I>,
    ) -> CommandLine {
        let arguments = arguments.into_iter().map(|argument| argument.as_ref().into());
        [self.programs.join(program).into()].into_iter().chain(arguments).collect()
    }

    /// One layer of 16,000 files and 626 MB, about 230 MB as gzip.
    pub(crate) fn big(&self, encoding: Encoding) -> Result<Image> {
        let name = if matches!(encoding, Encoding::Tar) { "big-tar" } else { "big-gzip" };
        self.image(name, 609_000_000, |layout| {
            let layer = layout.layer(encoding, |tree| tree.files(16_000, 609_500_000, 0.12, 2))?;
            Ok(vec![layer])
        })
    }

    /// Forty layers of 8 MB.
    pub(crate) fn many_layers(&self) -> Result<Image> {
        self.image("many-layers", 40 * 7_790_000, |layout| {
            let layer = |seed| {
                layout.layer(Encoding::Gzip(6), |tree| tree.files(200, 7_800_000, 0.12, seed))
            };
            (100..140).map(layer).collect()
        })
    }

    /// One layer of 10,000 files of a few kilobytes.
    pub(crate) fn many_files(&self) -> Result<Image> {
        self.image("many-files", 39_900_000, |layout| {
            let fill = |tree: &mut crate::layout::Tree<'_>| tree.files(10_000, 40_000_000, 0.12, 4);
            Ok(vec![layout.layer(Encoding::Gzip(6), fill)?])
        })
    }

    /// One layer of 3 GiB that no compression makes smaller.
    pub(crate) fn huge(&self) -> Result<Image> {
        self.image("huge", 3 << 30, |layout| {
            let fill =
                |tree: &mut crate::layout::Tree<'_>| tree.file("huge", 3 << 30, Kind::Noise, 3);
            Ok(vec![layout.layer(Encoding::Gzip(0), fill)?])
        })
    }

    /// Fifty images, tagged 0 to 49: a common layer of 4 MB and one of 500 kB of their own.
    /// Returns their digests.
    pub(crate) fn small(&self) -> Result<(PathBuf, Vec<Digest>)> {
        let path = self.work().join("small");
        let mut layout = Layout::create(&path)?;
        let gzip = Encoding::Gzip(6);
        let base = layout.layer(gzip, |tree| tree.files(100, 4_000_000, 0.12, 200))?;
        let mut digests = Vec::new();
        for number in 0..SMALL_IMAGES {
            let seed = 201 + number as u64;
            let own = layout.layer(gzip, |tree| tree.files(20, 500_000, 0.12, seed))?;
            digests.push(layout.image(&number.to_string(), &[base.clone(), own])?);
        }
        layout.finish()?;
        Ok((path, digests))
    }

    /// Puts an image of a layout into the source registry, as it is.
    pub(crate) fn load(&self, layout: &Path, tag: &str, digest: &Digest) -> Result<()> {
        let source = self.source()?;
        let from = format!("oci:{}:{tag}", layout.display());
        let to = format!("docker://{}/{REPOSITORY}:{tag}", source.host());
        let mut load = self.skopeo_copy(&from, &to);
        load.insert(3, "--preserve-digests".into());
        run(&load, self.work())?;
        Place::Registry(source, REPOSITORY, tag).verify_is(digest)
    }

    fn image(
        &self,
        name: &'static str,
        bytes: u64,
        layers: impl FnOnce(&Layout) -> Result<Vec<Layer>>,
    ) -> Result<Image> {
        let path = self.work().join(name);
        let mut layout = Layout::create(&path)?;
        let layers = layers(&layout)?;
        let digest = layout.image(name, &layers)?;
        layout.finish()?;
        Ok(Image { tag: name, layout: path, digest, bytes })
    }
}

fn started<'a>(cell: &'a OnceCell<Registry>, folder: &Path) -> Result<&'a Registry> {
    if let Some(registry) = cell.get() {
        return Ok(registry);
    }
    let registry = Registry::start(folder)?;
    Ok(cell.get_or_init(|| registry))
}

/// An image in a layout of its own.
pub(crate) struct Image {
    /// Its name there, and its tag in the source registry.
    pub(crate) tag: &'static str,
    pub(crate) layout: PathBuf,
    pub(crate) digest: Digest,
    /// Its files have at least so many bytes.
    pub(crate) bytes: u64,
}

impl Image {
    /// Puts it into the source registry, and removes the layout. Returns its place there.
    pub(crate) fn load(&self, bench: &Bench) -> Result<String> {
        bench.load(&self.layout, self.tag, &self.digest)?;
        std::fs::remove_dir_all(&self.layout)?;
        Ok(format!("docker://{}/{REPOSITORY}:{}", bench.source()?.host(), self.tag))
    }
}
