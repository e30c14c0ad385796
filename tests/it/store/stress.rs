//! Many processes at one store: nothing is lost, nothing leaks, nobody waits for ever.

use std::time::{Duration, Instant};

use super::soak;
use crate::run::machine::{GROUP, Machine, need_containers};
use crate::support::image::{Built, image, layer};

/// Images that share layers.
fn built(seed: u64) -> Built {
    let base = layer().dir("etc").noise("etc/base", 400_000, 100);
    let own = layer().noise("own", 200_000, seed).file("text", format!("{seed}"));
    image().layer(base).layer(own).build()
}

#[test]
fn pulling_tagging_running_checking_and_pruning_at_once() {
    need_containers!();
    let machine = Machine::new();
    let sandbox = &machine.sandbox;
    let images: Vec<Built> = (0..3).map(built).collect();
    for (number, built) in images.iter().enumerate() {
        built.write_layout(&sandbox.path(&format!("layout-{number}")), Some("x"));
    }
    let until = Instant::now() + Duration::from_secs(if soak() { 180 } else { 12 });
    let from =
        |number: usize| format!("oci:{}:x", sandbox.path(&format!("layout-{number}")).display());
    let images = &images;
    std::thread::scope(|scope| {
        for lane in 0..4_usize {
            scope.spawn(move || {
                for round in 0.. {
                    if Instant::now() > until {
                        return;
                    }
                    let number = (lane + round) % images.len();
                    let name = format!("store:lane-{lane}:{number}");
                    sandbox.copy([&from(number), &name]).run().success();
                    let digest = sandbox.copy(["digest", &name]).run().success().stdout;
                    assert_eq!(digest.trim(), images[number].root.digest);
                    let tag = format!("again-{number}");
                    sandbox.copy(["tag", &name, &tag]).run().success();
                    let other = format!("store:lane-{lane}:{tag}");
                    sandbox.copy([&other, &format!("oci:out-{lane}:{round}")]).run().success();
                    sandbox.copy(["rm", &name[6..]]).run().success();
                    sandbox.copy(["rm", &other[6..]]).run().success();
                }
            });
        }
        scope.spawn(|| {
            for round in 0.. {
                if Instant::now() > until {
                    return;
                }
                let script = format!("echo {round} > /file; cat /file /etc/group");
                let seen = machine.shell(&[], &script);
                assert_eq!(seen, format!("{round}\n{GROUP}"));
            }
        });
        for _ in 0..2 {
            scope.spawn(move || {
                while Instant::now() < until {
                    sandbox.copy(["prune"]).run().success();
                }
            });
        }
        scope.spawn(move || {
            while Instant::now() < until {
                sandbox.inspect(["check"]).run().success();
                sandbox.inspect(["images"]).run().success();
            }
        });
    });
    sandbox.inspect(["check"]).run().success();
    machine.nothing_left();
    sandbox.copy(["rm", "app"]).run().success();
    sandbox.copy(["prune"]).run().success();
    for part in ["tmp", "partial", "images", "layers", "blobs/sha256"] {
        let left = std::fs::read_dir(sandbox.store().join(part)).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{part}");
    }
}
