//! `kill -9` at any moment: whatever has a name is whole, and the next run finishes.

use std::path::Path;
use std::time::{Duration, Instant};

use super::faults::{assert_blobs_whole, assert_layout_whole};
use crate::support::image::{Built, image, layer};
use crate::support::log::Kind;
use crate::support::program::{Output, Sandbox};
use crate::support::registry::{Fault, TestRegistry, always};

fn rounds() -> u32 {
    if std::env::var_os("CREEL_SOAK").is_some_and(|value| value == "1") { 200 } else { 20 }
}

/// One kind of destination.
struct Target {
    name: fn(&Sandbox, &TestRegistry) -> String,
    /// Panics if something there has a name and is not whole.
    check: fn(&Sandbox, &TestRegistry, &Built),
}

fn built() -> Built {
    let mut image = image();
    for seed in 0..4 {
        image = image.layer(layer().noise("data", 1_500_000, seed));
    }
    image.build()
}

/// Copies and kills, for all rounds; prints how often bytes were on their way.
fn kill_again_and_again(what: &str, target: &Target) {
    let built = built();
    let from = TestRegistry::start();
    built.push(&from, "app", "1");
    let total: u64 = built.blobs.values().map(|blob| blob.size()).sum();
    let slow = || Fault::Slow { bytes: 64 << 10, pause: Duration::from_millis(10) };
    let sent = || -> u64 {
        let requests = from.requests().into_iter();
        requests.filter(|r| r.method == "GET" && r.kind == Kind::Blob).map(|r| r.sent).sum()
    };
    let source = from.image("app:1");
    from.inject(always("GET", Kind::Blob), slow());
    let begun = Instant::now();
    {
        let (sandbox, to) = (Sandbox::new(), TestRegistry::start());
        sandbox.copy([&source, &(target.name)(&sandbox, &to)]).run().success();
    }
    let duration = begun.elapsed();
    let mut landed = 0;
    for round in 0..rounds() {
        let (sandbox, to) = (Sandbox::new(), TestRegistry::start());
        let name = (target.name)(&sandbox, &to);
        from.clear_log();
        from.clear_faults();
        from.inject(always("GET", Kind::Blob), slow());
        // Multiples of the golden ratio spread evenly, in no order.
        let part = (f64::from(round) * 0.618_033_988_75).fract();
        let running = sandbox.copy([&source, &name]).start();
        let killed: Output = match round % 2 {
            0 => running.kill_after(duration.mul_f64(part)),
            _ => running.kill_when(|| sent() as f64 > total as f64 * 0.9 * part),
        };
        landed += u32::from(killed.code().is_none() && (1..total).contains(&sent()));
        (target.check)(&sandbox, &to, &built);
        from.clear_faults();
        sandbox.copy([&source, &name]).run().success();
        (target.check)(&sandbox, &to, &built);
        let output = sandbox.copy(["digest", &name]).run().success();
        assert_eq!(output.stdout.trim(), built.root.digest);
        assert_tidy(&sandbox);
    }
    println!("{what}: {landed} of {} kills landed while bytes moved", rounds());
    assert!(landed * 2 >= rounds(), "only {landed} kills landed while bytes moved");
}

/// Requires that nothing temporary is left.
#[track_caller]
fn assert_tidy(sandbox: &Sandbox) {
    for folder in ["store/tmp", "store/partial", "store/uploads", "tmp"] {
        assert_eq!(names(&sandbox.path(folder)), [""; 0], "{folder}");
    }
    let layout = names(&sandbox.path("out"));
    let fine = layout.is_empty() || layout == ["blobs", "index.json", "oci-layout"];
    assert!(fine, "{layout:?}");
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.expect("an entry").file_name().into_string().expect("text")
    };
    let mut names: Vec<String> = entries.map(name).collect();
    names.sort();
    names
}

#[test]
fn copies_to_a_layout() {
    let target = Target {
        name: |sandbox, _| format!("oci:{}:x", sandbox.path("out").display()),
        check: |sandbox, _, built| {
            let out = sandbox.path("out");
            assert_blobs_whole(&out);
            let index = std::fs::read_to_string(out.join("index.json")).unwrap_or_default();
            if index.contains(&built.root.digest) {
                assert_layout_whole(&out, built);
            }
        },
    };
    kill_again_and_again("layout", &target);
}

#[test]
fn copies_to_the_store() {
    let target = Target {
        name: |_, _| "store:app:1".to_owned(),
        check: |sandbox, _, built| {
            assert_blobs_whole(&sandbox.store());
            let code = sandbox.copy(["digest", "store:app:1"]).run().code();
            assert!(matches!(code, Some(0 | 3)), "{code:?}");
            if code == Some(0) {
                let back = sandbox.path("back");
                let target = format!("oci:{}:x", back.display());
                sandbox.copy(["store:app:1", &target]).run().success();
                assert_layout_whole(&back, built);
                std::fs::remove_dir_all(back).expect("removing");
            }
        },
    };
    kill_again_and_again("store", &target);
}

#[test]
fn copies_to_a_registry() {
    let target = Target {
        name: |_, to| to.image("app:1"),
        check: |_, to, _| to.assert_whole("app"),
    };
    kill_again_and_again("registry", &target);
}
