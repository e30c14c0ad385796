//! Images with very many files: what is asked about them takes little memory.

use crate::support::image::{Layer, image, layer};
use crate::support::program::Sandbox;

/// What no program of ours may take.
const MOST: u64 = 100 << 20;

/// As many empty files with names as long as those of a Debian image.
fn files(count: usize, seed: usize) -> Layer {
    let mut layer = layer().zstd();
    for number in 0..count {
        let (a, b) = (number / 3000, number / 60 % 50);
        let name = format!("usr/share/{seed}{a:03}/package-{b:02}/documentation/file-{number:07}");
        layer = layer.file(&name, "");
    }
    layer
}

#[test]
fn three_hundred_thousand_files_fit_into_little_memory() {
    let sandbox = Sandbox::new();
    let built = image().layer(files(300_000, 1)).build();
    built.write_layout(&sandbox.work("l"), Some("1"));
    let last = "/usr/share/1099/package-49/documentation/file-0299999";
    // The second list is made from what the first one kept.
    for _ in 0..2 {
        let output = sandbox.inspect(["files", "-R", "oci:l:1"]).run().success();
        assert!(output.stdout.trim_end().ends_with(last), "{}", output.stdout.len());
        assert!(output.stdout.lines().count() > 300_000);
        assert!(output.peak_memory < MOST, "{}", output.peak_memory);
    }
    for words in [
        &["cat", "oci:l:1", last][..],
        &["grep", "nothing", "oci:l:1"],
        &["waste", "oci:l:1"],
        &["packages", "oci:l:1"],
        &["files", "-R", "--json", "oci:l:1"],
        &["diff", "oci:l:1", "oci:l:1"],
    ] {
        let output = sandbox.inspect(words).run();
        assert!(output.peak_memory < MOST, "{words:?}: {}", output.peak_memory);
    }
}

#[test]
fn a_list_that_is_too_long_is_refused_with_the_cure() {
    let sandbox = Sandbox::new();
    let built = image().layer(files(20_000, 1)).build();
    built.write_layout(&sandbox.work("l"), Some("1"));
    let output = sandbox.inspect(["--list-memory", "1", "files", "oci:l:1"]).run().fails(1);
    output.says("takes more than 1 MiB: allow more with --list-memory");
    sandbox.inspect(["--list-memory", "4", "files", "oci:l:1"]).run().success();
    // What was kept needs as much room.
    sandbox.inspect(["--list-memory", "1", "files", "oci:l:1"]).run().fails(1);
}
