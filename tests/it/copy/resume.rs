//! What was interrupted goes on in the next run, with the bytes that are there already.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::faults::{Fixture, assert_layout_whole};
use crate::support::image::{Built, image, layer};
use crate::support::log::Kind;
use crate::support::program::{Output, Running, Sandbox};
use crate::support::registry::{Fault, TestRegistry, always, once};

const SIZE: u64 = 30 << 20;
const MIB: u64 = 1 << 20;

/// A registry that falls silent in the middle of the layer, so that there is all the time to end a
/// program there.
fn halting() -> Fixture {
    let f = Fixture::new(SIZE);
    f.registry.inject(always("GET", Kind::Blob), Fault::StallAfter(24 * MIB));
    f
}

/// Whether most of what was sent is in the file of the partial download.
fn mostly_there(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.len() >= 20 * MIB)
}

fn layout(f: &Fixture) -> String {
    format!("oci:{}:x", f.sandbox.path("out").display())
}

/// The file with what was received of the layer.
fn partial(f: &Fixture) -> PathBuf {
    f.sandbox.store().join("partial").join(f.layer().replace(':', "-"))
}

/// Ends the program with SIGINT once `due`.
fn interrupt_when(running: Running, due: impl Fn() -> bool) -> Output {
    for _ in 0..60_000 {
        if due() {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    running.signal(Signal::SIGINT);
    running.wait()
}

/// Requires that `target` holds the image.
#[track_caller]
fn assert_there(f: &Fixture, target: &str) {
    let back = f.sandbox.path("back");
    let _ = std::fs::remove_dir_all(&back);
    f.sandbox.copy([target, &format!("oci:{}:x", back.display())]).run().success();
    assert_layout_whole(&back, &f.built);
}

/// Runs again and requires that the download went on behind `least` bytes.
#[track_caller]
fn assert_goes_on(f: &Fixture, target: &str, least: u64) {
    f.registry.clear_faults();
    f.registry.clear_log();
    f.to(target).run().success();
    let asked = f.layer_requests();
    assert_eq!(asked.len(), 1, "{}", f.registry.log_text());
    let range = asked[0].range.clone().expect("a range");
    let first = range.strip_prefix("bytes=").and_then(|r| r.split_once('-')).expect("a range").0;
    let first: u64 = first.parse().expect("a number");
    assert!(first >= least, "went on at {first}");
    assert_eq!(asked[0].sent, f.size() - first);
    assert_there(f, target);
    assert!(!partial(f).exists());
}

#[test]
fn a_killed_download_goes_on() {
    for to_store in [true, false] {
        let f = halting();
        let target = if to_store { "store:x".to_owned() } else { layout(&f) };
        let killed = f.to(&target).start().kill_when(|| mostly_there(&partial(&f)));
        assert_eq!(killed.code(), None);
        f.assert_nothing_named();
        f.sandbox.copy(["digest", &target]).run().fails(3);
        assert_goes_on(&f, &target, 8 * MIB);
    }
}

#[test]
fn an_interrupted_download_goes_on() {
    for to_store in [true, false] {
        let f = halting();
        let target = if to_store { "store:x".to_owned() } else { layout(&f) };
        let running = f.to(&target).start();
        let interrupted = interrupt_when(running, || mostly_there(&partial(&f))).fails(130);
        interrupted.says("interrupted");
        f.assert_nothing_named();
        f.sandbox.copy(["digest", &target]).run().fails(3);
        assert_goes_on(&f, &target, 8 * MIB);
    }
}

#[test]
fn a_download_to_another_file_system_goes_on() {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &std::path::Path| std::fs::metadata(path).map(|meta| meta.dev()).ok();
    let f = halting();
    let Ok(elsewhere) = tempfile::tempdir_in("/dev/shm") else { return };
    std::fs::create_dir_all(f.sandbox.store()).expect("a store");
    if device(elsewhere.path()) == device(&f.sandbox.store()) {
        return;
    }
    let out = elsewhere.path().join("out");
    let target = format!("oci:{}:x", out.display());
    let beside = out.join(".partial").join(f.layer().replace(':', "-"));
    let killed = f.to(&target).start().kill_when(|| mostly_there(&beside));
    assert_eq!(killed.code(), None);
    assert_goes_on(&f, &target, 8 * MIB);
    assert_layout_whole(&out, &f.built);
    assert!(!out.join(".partial").exists());
}

#[test]
fn a_partial_download_that_was_changed_is_not_used() {
    // As after a power cut: the note on the hash does not count, and bytes are not what they were.
    let change = |path: &PathBuf| {
        std::fs::remove_file(path.with_extension("state")).expect("the note");
        let mut bytes = std::fs::read(path).expect("a partial download");
        bytes[1000] ^= 1;
        std::fs::write(path, bytes).expect("writing");
    };
    let shorten = |path: &PathBuf| {
        let file = std::fs::OpenOptions::new().write(true).open(path).expect("opening");
        file.set_len(MIB).expect("truncating");
    };
    let lengthen = |path: &PathBuf| {
        let mut bytes = std::fs::read(path).expect("a partial download");
        bytes.resize(bytes.len() + 5000, 7);
        std::fs::write(path, bytes).expect("writing");
    };
    let changes: [&dyn Fn(&PathBuf); 3] = [&change, &shorten, &lengthen];
    for change in changes {
        let f = halting();
        let killed = f.to("store:x").start().kill_when(|| mostly_there(&partial(&f)));
        assert_eq!(killed.code(), None);
        change(&partial(&f));
        f.registry.clear_faults();
        f.to("store:x").run().success();
        assert_there(&f, "store:x");
    }
}

/// A layout with one large layer.
fn in_layout(sandbox: &Sandbox) -> (Built, String) {
    let built = image().layer(layer().noise("data", 10 * MIB, 3)).build();
    built.write_layout(&sandbox.path("in"), Some("1"));
    (built, format!("oci:{}:1", sandbox.path("in").display()))
}

/// An upload in pieces of a MiB that is killed after some of them.
fn killed_upload(to: &TestRegistry, sandbox: &Sandbox, source: &str) -> Vec<String> {
    to.inject(once("PATCH", Kind::Upload).after(4), Fault::Hang);
    let args = ["--retry-delay", "5ms", "--upload-piece", "1048576", source];
    let target = to.image("app:1");
    let first = sandbox.copy(args).arg(&target).start();
    let killed = first.kill_when(|| to.count("PATCH", Kind::Upload) >= 5);
    assert_eq!(killed.code(), None);
    assert!(to.tags("app").is_empty());
    to.clear_log();
    Vec::from(args.map(String::from)).into_iter().chain([target]).collect()
}

#[test]
fn a_killed_upload_goes_on() {
    let (to, sandbox) = (TestRegistry::start(), Sandbox::new());
    let (built, source) = in_layout(&sandbox);
    let args = killed_upload(&to, &sandbox, &source);
    sandbox.copy(&args).run().success();
    to.assert_whole("app");
    let patches: Vec<_> = to.requests().into_iter().filter(|r| r.method == "PATCH").collect();
    let received: u64 = patches.iter().map(|patch| patch.body_len).sum();
    let size = built.image().layers[0].descriptor.size;
    assert_eq!(received, size - 4 * MIB, "{}", to.log_text());
    assert_eq!(to.open_uploads("app"), 0);
    let notes = std::fs::read_dir(sandbox.store().join("uploads"));
    assert_eq!(notes.map_or(0, Iterator::count), 0, "no note is left");
}

#[test]
fn a_killed_upload_that_cannot_go_on_begins_again() {
    let busy = Fault::error(400, "BLOB_UPLOAD_INVALID", "somebody else is writing");
    for (method, fault) in [("GET", Fault::status(404)), ("PATCH", busy)] {
        let (to, sandbox) = (TestRegistry::start(), Sandbox::new());
        let (_, source) = in_layout(&sandbox);
        let args = killed_upload(&to, &sandbox, &source);
        let refused = to.inject(once(method, Kind::Upload), fault);
        sandbox.copy(&args).run().success();
        assert_eq!(refused.fired(), 1);
        to.assert_whole("app");
    }
}
