//! The files of the result, taken out: as an archive or into a directory.

use std::fs::File;
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};

use super::super::image::Draft;
use super::{BuildEvent, Builder};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::layer::{
    Ownership, PackOptions, Rights, UnpackOptions, UnpackReport, Unpacker, WhiteoutForm, pack,
};
use crate::sys::{self, Output, Root, Time};

const BUFFER: usize = 256 << 10;

/// Where the files of the result go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TreeExport {
    /// Into a tar file.
    Tar(PathBuf),
    /// To standard output, as tar.
    Stdout,
    /// Into a directory; with [`Rights::Keep`], set-id programs and devices too.
    Directory(PathBuf, Rights),
}

impl Builder<'_> {
    /// Takes the files of an image out.
    pub(super) fn export(&self, draft: &Draft, to: &TreeExport) -> Result<()> {
        self.in_own_mounts(|| {
            let mounted = self.mounted(draft)?;
            let root = Root::open(mounted.path())?;
            match to {
                TreeExport::Stdout => self.pack_tree(&root, &mut Output::default()),
                TreeExport::Tar(path) => {
                    let writing = || format!("writing {}", path.display());
                    let mut file = File::create(path).doing(writing)?;
                    self.pack_tree(&root, &mut file).doing(writing)
                }
                TreeExport::Directory(path, rights) => {
                    let writing = || format!("writing {}", path.display());
                    let report = self.copy_tree(&root, path, *rights).doing(writing)?;
                    self.tell_left_out(path, *rights, &report);
                    Ok(())
                }
            }
        })
    }

    pub(super) fn pack_tree(&self, root: &Root, out: &mut dyn Write) -> Result<()> {
        let latest = self.options.epoch.map(|secs| Time { secs, nanos: 0 });
        let packing = PackOptions { form: WhiteoutForm::Apply, latest, ..PackOptions::default() };
        pack(root, &packing, out).map(drop)
    }

    /// Through an archive in a pipe, so that whatever packs and unpacks layers copies trees too.
    pub(super) fn copy_tree(&self, root: &Root, to: &Path, rights: Rights) -> Result<UnpackReport> {
        std::fs::create_dir_all(to).doing(|| "making the directory")?;
        let target = Root::open(to)?;
        let (reader, mut writer) = std::io::pipe().doing(|| "making a pipe")?;
        let ownership = match sys::effective_uid() {
            0 => Ownership::Keep,
            _ => Ownership::Current,
        };
        let whiteouts = WhiteoutForm::Apply;
        let options = UnpackOptions { whiteouts, ownership, rights, ..UnpackOptions::default() };
        let lost = || Error::new(ErrorKind::Failed, "a thread ended unexpectedly");
        std::thread::scope(|scope| {
            let packing = scope.spawn(move || {
                let packed = self.pack_tree(root, &mut writer);
                drop(writer);
                packed
            });
            let reader = BufReader::with_capacity(BUFFER, reader);
            let unpacked = Unpacker::new(target, options).and_then(|to| to.unpack(reader));
            // What unpacking says is the cause where both fail.
            let packed = packing.join().unwrap_or_else(|_| Err(lost()));
            unpacked.and_then(|report| packed.map(|()| report))
        })
    }

    /// Warns of what the directory has not that the image has.
    fn tell_left_out(&self, path: &Path, rights: Rights, report: &UnpackReport) {
        let hint = match rights {
            Rights::Drop => " (keep-special=true keeps them)",
            Rights::Keep => "",
        };
        let warn = |what: String| {
            let text = format!("{}: {what}{hint}", path.display());
            self.reporter.event(BuildEvent::Warning(&text));
        };
        if report.stripped_files > 0 {
            let count = report.stripped_files;
            warn(format!("{count} files lost set-id bits or capabilities"));
        }
        if report.skipped_device_count > 0 {
            warn(format!("{} device nodes were left out", report.skipped_device_count));
        }
    }
}
