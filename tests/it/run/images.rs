//! Which image runs, and how it gets here.

use super::machine::{Machine, base, busybox, need_containers};
use crate::support::image::{DockerSave, image, index, layer};
use crate::support::program::Sandbox;
use crate::support::registry::TestRegistry;

#[test]
fn the_image_says_what_runs() {
    need_containers!();
    let machine = Machine::with(
        base()
            .entrypoint(["/bin/echo", "entry"])
            .cmd(["default"])
            .env("COLOUR", "red")
            .config("WorkingDir", "/srv/deep".into())
            .config("User", "web".into()),
    );
    assert_eq!(machine.run(&[], &[]).run().success().stdout, "entry default\n");
    assert_eq!(machine.run(&[], &["own"]).run().success().stdout, "entry own\n");
    let flags = ["--entrypoint", "/bin/sh"];
    let script = "echo $COLOUR $PWD $(id -u):$(id -G) $HOME";
    let out = machine.run(&flags, &["-c", script]).run().success();
    assert_eq!(out.stdout, "red /srv/deep 1000:1001 29 44 /home/web\n");
}

#[test]
fn upper_layers_hide_lower_ones_and_changes_go_away() {
    need_containers!();
    let machine = Machine::with(
        base()
            .layer(layer().file("etc/a", "1\n").file("etc/b", "2\n").dir("d").file("d/x", "x"))
            .layer(layer().whiteout("etc/a").file("etc/b", "3\n").opaque("d").file("d/y", "y")),
    );
    let script = "ls /etc/a 2>/dev/null; cat /etc/b; ls /d; echo new > /etc/c; rm /etc/b";
    for _ in 0..2 {
        assert_eq!(machine.shell(&[], script), "3\ny\n");
    }
    machine.nothing_left();
}

#[test]
fn a_missing_image_is_fetched_once() {
    need_containers!();
    let registry = TestRegistry::start();
    base().build().push(&registry, "app", "1");
    let machine = Machine { sandbox: Sandbox::new() };
    let name = registry.image("app:1").trim_start_matches("docker://").to_owned();
    let run = |flags: &[&str]| {
        let words = ["--rm", "--network", "none"];
        let command = [name.as_str(), "echo", "hi"];
        machine.creel(words.iter().chain(flags).chain(&command)).run()
    };
    run(&["--pull", "never"]).fails(125).says("no such image in the store");
    assert_eq!(run(&[]).success().stdout, "hi\n");
    let asked = registry.requests().len();
    assert_eq!(run(&["--pull=missing"]).success().stderr, "");
    assert_eq!(registry.requests().len(), asked, "an image that is there was asked for");
    run(&["--pull=always", "-q"]).success();
    assert!(registry.requests().len() > asked);
    machine.nothing_left();
}

#[test]
fn an_archive_or_layout_can_be_run() {
    need_containers!();
    let machine = Machine { sandbox: Sandbox::new() };
    let archive = machine.sandbox.path("image.tar");
    base().docker().build().write_docker_archive(&archive, DockerSave::Classic, &["app:1"]);
    let layout = machine.sandbox.path("layout");
    base().env("FROM", "layout").build().write_layout(&layout, Some("x"));
    for (image, shown) in [
        (format!("docker-archive:{}:app:1", archive.display()), "\n"),
        (format!("oci:{}:x", layout.display()), "layout\n"),
    ] {
        let words = ["--rm", "--network=none", "-q", &image, "sh", "-c", "echo $FROM"];
        let out = machine.creel(words).run().success();
        assert_eq!((out.stdout.as_str(), out.stderr.as_str()), (shown, ""), "{image}");
    }
    machine.nothing_left();
}

#[test]
fn platforms_are_chosen_and_told_apart() {
    need_containers!();
    let foreign = image().platform("linux/s390x").layer(busybox()).env("PATH", "/bin");
    let machine = Machine { sandbox: Sandbox::new() };
    let layout = machine.sandbox.path("layout");
    let both = index().image(base()).image(foreign.clone());
    both.build().write_layout(&layout, Some("x"));
    let from = format!("oci:{}:x", layout.display());
    machine.sandbox.copy(["--all", &from, "store:app"]).run().success();
    assert_eq!(machine.shell(&[], "echo here"), "here\n");
    // Its files are this machine's all the same, so that it runs.
    let out = machine.run(&["--platform", "linux/s390x"], &["echo", "there"]).run().success();
    assert_eq!(out.stdout, "there\n");
    let never = ["--platform", "linux/arm64", "--pull", "never"];
    machine.run(&never, &["true"]).run().fails(125);
    machine.add("only", foreign);
    let words = ["--rm", "--network=none", "only", "true"];
    machine.creel(words).run().success().says("platform (linux/s390x) does not match");
}

#[test]
fn a_program_for_another_processor_is_named() {
    need_containers!();
    let mut elf = std::fs::read("/bin/busybox").unwrap();
    // e_machine: AArch64.
    elf[18..20].copy_from_slice(&183u16.to_le_bytes());
    let machine = Machine::with(base().layer(
        layer().file("bin/arm", elf).mode(0o755).file("bin/script", "#!/bin/bash\n").mode(0o755),
    ));
    machine.run(&[], &["arm"]).run().fails(126).says("built for arm64, this host is amd64");
    machine.run(&[], &["script"]).run().fails(126).says("/bin/bash");
}
