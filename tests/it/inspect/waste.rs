//! `waste`: dive's numbers and dive's gate.

use crate::support::image::{Built, Layer, image, layer};
use crate::support::program::Sandbox;

/// Every case of dive's count, with sizes that tell which of them was met:
/// a file overwritten, a file deleted, a directory deleted, an opaque directory.
fn wasteful() -> Built {
    image()
        .layer(
            layer()
                .file("big", vec![b'a'; 1000])
                .file("small", vec![b'b'; 100])
                .dir("dir")
                .file("dir/one", vec![b'c'; 30])
                .file("dir/two", vec![b'd'; 7])
                .dir("opaque")
                .file("opaque/x", vec![b'e'; 5000])
                .created_by("RUN base"),
        )
        .layer(
            layer()
                .file("big", vec![b'f'; 1500])
                .whiteout("small")
                .whiteout("dir")
                .opaque("opaque")
                .file("other", vec![b'g'; 400])
                .created_by("RUN wasteful"),
        )
        .build()
}

fn place(sandbox: &Sandbox) -> &'static str {
    wasteful().write_layout(&sandbox.work("l"), Some("1"));
    "oci:l:1"
}

#[test]
fn the_numbers_are_those_of_dive() {
    let sandbox = Sandbox::new();
    let report = sandbox.inspect(["waste", "--json", place(&sandbox)]).run().success().json();
    // /big 1000 + 1500, /small 100 + 0; /dir is met once, with the 37 bytes below it: its own entry
    // is no leaf of the first layer.
    assert_eq!(report["wastedBytes"], 2600);
    // Least: big 1000, small 0, dir/one 30, dir/two 7, dir 37, opaque/x 5000, opaque 0, other 400.
    let expected = 6474.0 / (2500.0 + 100.0 + 30.0 + 7.0 + 37.0 + 5000.0 + 400.0);
    assert!((report["efficiency"].as_f64().unwrap() - expected).abs() < 1e-12, "{report}");
    assert_eq!(report["userBytes"], 1900);
    let files = report["files"].as_array().unwrap();
    assert_eq!(files.len(), 2, "{report}");
    assert_eq!(files[0]["path"], "/big");
    assert_eq!(files[0]["layers"], serde_json::json!([1, 2]));
    assert_eq!((&files[1]["path"], &files[1]["bytes"]), (&"/small".into(), &100.into()));
    let layers = report["layers"].as_array().unwrap();
    assert_eq!(
        (&layers[0]["wastedBytes"], &layers[1]["wastedBytes"]),
        (&1100.into(), &1500.into())
    );
    assert_eq!(layers[1]["createdBy"], "RUN wasteful");
}

#[test]
fn people_see_who_is_to_blame() {
    let sandbox = Sandbox::new();
    let text = sandbox.inspect(["waste", place(&sandbox)]).run().success().stdout;
    assert!(text.starts_with("efficiency   80.18 %\nwasted       2.60 kB of 8.04 kB"), "{text}");
    assert!(text.contains("2      1.90 kB  1.50 kB  RUN wasteful"), "{text}");
    assert!(text.contains("2      2.50 kB  1,2     /big"), "{text}");
}

#[test]
fn the_gate_is_that_of_dive() {
    let sandbox = Sandbox::new();
    let at = place(&sandbox);
    let output = sandbox.inspect(["waste", "--ci", at]).run().fails(1);
    let expected = "\
Analysis:
  efficiency:        80.18 %
  wastedBytes:       2600 bytes (2.60 kB)
  userWastedPercent: 136.84 %

Inefficient Files:
  Count  Wasted Space  File Path
  2      2.50 kB       /big
  2      100 B         /small

Evaluation:
  FAIL  highestUserWastedPercent (too many bytes wasted, relative to the user bytes added (%-user-wasted-bytes=1.37 > threshold=0.1))
  SKIP  highestWastedBytes (disabled)
  FAIL  lowestEfficiency (image efficiency is too low (efficiency=0.80 < threshold=0.9))

FAIL [pass:0 fail:2 skip:1]
";
    assert_eq!(output.stdout, expected);
    let rules = "rules:\n  lowestEfficiency: 0.8\n  highestWastedBytes: 3kB\n  \
                 highestUserWastedPercent: disabled\n  other: 1\n";
    sandbox.write("work/.dive-ci", rules);
    let output = sandbox.inspect(["waste", "--ci", at]).run().success();
    assert!(output.stdout.ends_with("\nPASS [pass:2 fail:0 skip:1]\n"), "{output}");
    // A flag counts more than the file.
    let flag = ["waste", "--ci", "--highestWastedBytes=1kB", "--json", at];
    let report = sandbox.inspect(flag).run().fails(1).json();
    assert_eq!(report["rules"][1]["status"], "FAIL");
    sandbox.write("work/strict", "rules:\n  lowestEfficiency: \"0.99\"\n");
    sandbox.inspect(["waste", "--ci", "--ci-config", "strict", at]).run().fails(1);
    sandbox.inspect(["waste", "--ci", "--ci-config", "none", at]).run().fails(3);
    sandbox.inspect(["waste", "--ci", "--lowest-efficiency=2", at]).run().fails(2);
}

#[test]
fn an_image_without_waste_passes() {
    let sandbox = Sandbox::new();
    let built = image().layer(layer().file("a", "1")).build();
    built.write_layout(&sandbox.work("l"), Some("1"));
    let text = sandbox.inspect(["waste", "--ci", "oci:l:1"]).run().success().stdout;
    assert!(text.contains("userWastedPercent: 0 %") && text.contains("(None)"), "{text}");
}

/// The sizes and paths of dive's own test image (`.data/test-docker-image.tar`), whose numbers its
/// tests state: 0.9844212134184309, 1220598, 66237, 32025, 0.4834911001404049.
#[test]
fn the_image_of_dives_tests_gets_the_numbers_of_dives_tests() {
    let example = || layer().dir("root").dir("root/example");
    let some = |layer: Layer, name: &str| layer.file(name, vec![b's'; 6405]);
    let built = image()
        .layer(layer().noise("bin/busybox", 1_220_598 - 66_237, 1))
        .layer(some(layer(), "somefile.txt"))
        .layer(example().dir("root/example/really").dir("root/example/really/nested"))
        .layer(some(example(), "root/example/somefile1.txt"))
        .layer(some(example(), "root/example/somefile1.txt").mode(0o444))
        .layer(some(example(), "root/example/somefile2.txt"))
        .layer(some(example(), "root/example/somefile3.txt"))
        .layer(some(example().whiteout("root/example/somefile3.txt"), "root/saved.txt"))
        .layer(some(layer().dir("root"), "root/.saved.txt"))
        .layer(layer().dir("root").whiteout("root/example"))
        .layer(
            layer()
                .dir("root/.data")
                .file("root/.data/tag.sh", vec![b't'; 917])
                .file("root/.data/test.sh", vec![b't'; 1270]),
        )
        .layer(some(layer().dir("tmp"), "tmp/saved.again1.txt"))
        .layer(some(layer().dir("root/.data"), "root/.data/saved.again2.txt"))
        .layer(some(layer().dir("root"), "root/saved.txt"))
        .build();
    let sandbox = Sandbox::new();
    built.write_layout(&sandbox.work("l"), Some("1"));
    // As text: readers of JSON may be off by the last digit.
    let report = sandbox.inspect(["waste", "--json", "oci:l:1"]).run().success().stdout;
    for part in [
        "\"imageBytes\": 1220598,",
        "\"userBytes\": 66237,",
        "\"wastedBytes\": 32025,",
        "\"efficiency\": 0.9844212134184309,",
        "\"userWastedRatio\": 0.4834911001404049,",
    ] {
        assert!(report.contains(part), "{part}\n{report}");
    }
}
