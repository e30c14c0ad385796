//! What else than running there is: ps, rm, inspect, volumes.

use std::time::{Duration, Instant};

use super::machine::{Machine, base, need_containers};
use crate::support::image::layer;

#[test]
fn a_container_that_is_kept_can_be_looked_at_and_removed() {
    need_containers!();
    let machine = Machine::new();
    let run = |flags: &[&str], command: &[&str]| {
        let words = ["run", "--network", "none"];
        machine.creel(words.iter().chain(flags).chain(&["app"]).chain(command)).run()
    };
    run(&["--name", "web", "--label", "a=b"], &["sh", "-c", "exit 4"]).fails(4);
    let clash = run(&["--name", "web"], &["true"]).fails(125);
    clash.says("the container name \"web\" is already in use by");
    assert_eq!(machine.creel(["ps", "-q"]).run().success().stdout, "");
    let table = machine.creel(["ps", "-a"]).run().success().stdout;
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 2, "{table}");
    assert!(lines[0].starts_with("CONTAINER ID  IMAGE  COMMAND"), "{table}");
    assert!(lines[1].contains("Exited (4)") && lines[1].ends_with("web"), "{table}");
    let ids = machine.creel(["ps", "-aq", "--no-trunc"]).run().success().stdout;
    let id = ids.trim();
    assert_eq!(id.len(), 64);
    for name in ["web", "/web", id, &id[..12]] {
        let format = ["inspect", "-f", "{{.State.ExitCode}} {{.Name}} {{.Config.Labels.a}}", name];
        assert_eq!(machine.creel(format).run().success().stdout, "4 /web b\n");
    }
    assert_eq!(machine.creel(["inspect", "web"]).run().success().json()[0]["Id"], id);
    let format = "table {{.Names}}\\t{{.State}}";
    let shown = |more: &[&str]| {
        machine.creel(["ps", "--format", format].iter().chain(more)).run().success().stdout
    };
    assert_eq!(shown(&["-a"]), "NAMES  STATE\nweb    exited\n");
    assert_eq!(shown(&[]), "NAMES  STATE\n");
    for (filter, count) in [
        ("name=we", 1),
        ("status=exited", 1),
        ("exited=4", 1),
        ("exited=3", 0),
        ("label=a", 1),
        ("label=a=c", 0),
        ("ancestor=app", 1),
        ("id=x", 0),
    ] {
        let out = machine.creel(["ps", "-aq", "--filter", filter]).run().success().stdout;
        assert_eq!(out.lines().count(), count, "{filter}");
    }
    for bad in ["bogus=1", "status=bogus"] {
        machine.creel(["ps", "--filter", bad]).run().fails(1).says("invalid filter");
    }
    let missing = machine.creel(["inspect", "nobody"]).run().fails(1);
    assert_eq!(missing.stdout.trim(), "[]");
    missing.says("no such container: nobody");
    assert_eq!(machine.creel(["rm", "web"]).run().success().stdout, "web\n");
    machine.creel(["rm", "web"]).run().fails(1).says("no such container: web");
    machine.creel(["rm", "-f", "web"]).run().success();
    machine.nothing_left();
}

#[test]
fn inspect_tells_what_runs() {
    need_containers!();
    let machine = Machine::with(base().entrypoint(["/bin/echo", "a"]).env("KEEP", "1"));
    let flags = ["--name", "c", "-e", "OWN=2", "--expose", "80-81", "--expose", "53/udp"];
    let words = [&["--network=none"][..], &flags, &["app", "b"]].concat();
    machine.creel(words).run().success();
    let field = |format: &str| {
        let out = machine.creel(["inspect", "-f", format, "c"]).run().success().stdout;
        out.trim_end().to_owned()
    };
    assert_eq!(field("{{.Path}} {{.Args}}"), "/bin/echo [a b]");
    assert_eq!(field("{{.Config.Entrypoint}} {{.Config.Cmd}}"), "[/bin/echo a] [b]");
    assert_eq!(field("{{json .Config.Env}}"), r#"["PATH=/bin","KEEP=1","OWN=2"]"#);
    let id = field("{{.Id}}");
    assert_eq!(field("{{.Config.Hostname}}"), id[..12]);
    let ports = field("{{json .Config.ExposedPorts}}");
    assert_eq!(ports, r#"{"53/udp":{},"80/tcp":{},"81/tcp":{}}"#);
    machine.creel(["rm", "c"]).run().success();
    machine.nothing_left();
}

/// Whoever removes a container that is about to remove itself meets no error.
#[test]
fn two_may_remove_one_container() {
    need_containers!();
    let machine = Machine::new();
    for _ in 0..5 {
        let words =
            ["--rm", "--network=none", "--name", "c", "app", "sh", "-c", "echo up; sleep 1000"];
        let running = machine.creel(words).start();
        let deadline = Instant::now() + Duration::from_secs(60);
        while machine.creel(["ps", "--format", "{{.State}}"]).run().stdout != "running\n" {
            assert!(Instant::now() < deadline, "it does not come up");
        }
        let lanes = [(); 3].map(|()| machine.creel(["rm", "-f", "c"]).start());
        for lane in lanes {
            lane.wait().success();
        }
        running.wait().fails(137);
        machine.nothing_left();
    }
}

#[test]
fn what_runs_is_removed_by_force_alone() {
    need_containers!();
    let machine = Machine::new();
    let words = ["--name", "busy", "--network", "none", "app", "sleep", "1000"];
    let running = machine.creel(words).start();
    let deadline = Instant::now() + Duration::from_secs(30);
    while machine.creel(["ps", "--format", "{{.State}}"]).run().stdout != "running\n" {
        assert!(Instant::now() < deadline, "it does not come up");
    }
    machine.creel(["rm", "busy"]).run().fails(1).says("container busy is running");
    machine.creel(["rm", "-f", "busy"]).run().success();
    running.wait().fails(137);
    machine.nothing_left();
}

#[test]
fn ids_are_written_down() {
    need_containers!();
    let machine = Machine::new();
    let (cid, pid) = (machine.sandbox.path("cid"), machine.sandbox.path("pid"));
    let (cid_text, pid_text) = (cid.display().to_string(), pid.display().to_string());
    let flags = ["--cidfile", &cid_text, "--pidfile", &pid_text];
    let running = machine.run(&flags, &["sleep", "1000"]).start();
    let deadline = Instant::now() + Duration::from_secs(30);
    let process = loop {
        match std::fs::read_to_string(&pid) {
            Ok(text) if !text.is_empty() => break text,
            _ => assert!(Instant::now() < deadline, "no pid file"),
        }
    };
    // The runtime writes the file a moment before the program is there.
    let command = || std::fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap();
    while command() != "sleep\u{0}1000\u{0}" {
        assert!(Instant::now() < deadline, "another process: {}", command());
    }
    let id = std::fs::read_to_string(&cid).unwrap();
    assert_eq!(id.len(), 64);
    machine.creel(["rm", "-f", &id]).run().success();
    running.wait().fails(137);
    assert!(!pid.exists());
    machine.run(&["--cidfile", &cid_text], &["true"]).run().fails(125).says(&cid_text);
    let unused = machine.sandbox.path("unused").display().to_string();
    machine.run(&["--cidfile", &unused], &["no-such"]).run().fails(127);
    assert!(!std::path::Path::new(&unused).exists());
    machine.nothing_left();
}

fn with_data() -> Machine {
    Machine::with(
        base().config("Volumes", serde_json::json!({"/data": {}})).layer(
            layer()
                .dir("data")
                .owner(1000, 1001)
                .mode(0o750)
                .file("data/seed", "from the image\n")
                .owner(7, 8)
                .symlink("data/link", "/etc/passwd"),
        ),
    )
}

#[test]
fn volumes_are_seeded_once_and_kept() {
    need_containers!();
    let machine = with_data();
    let script = "cat /data/seed; stat -c '%u:%g %a' /data /data/seed; echo new > /data/seed";
    let first = machine.shell(&["-v", "db:/data"], script);
    assert_eq!(first, "from the image\n1000:1001 750\n7:8 644\n");
    let again =
        machine.shell(&["-v", "db:/data:ro"], "cat /data/seed; echo x > /data/y || echo ro");
    assert_eq!(again, "new\nro\n");
    assert_eq!(machine.shell(&["-v", "raw:/data:nocopy"], "ls /data"), "");
    assert_eq!(machine.creel(["volume", "ls", "-q"]).run().success().stdout, "db\nraw\n");
    machine.creel(["volume", "create", "--label", "a=b", "made"]).run().success();
    let list =
        |flags: &[&str]| machine.creel(["volume", "ls"].iter().chain(flags)).run().success().stdout;
    assert_eq!(list(&[]), "DRIVER  VOLUME NAME\nlocal   db\nlocal   made\nlocal   raw\n");
    assert_eq!(list(&["-q", "-f", "name=a"]), "made\nraw\n");
    assert_eq!(
        list(&["--filter", "label=a", "--format", "{{.Name}} {{.Labels}}"]),
        "made map[a:b]\n"
    );
    let format = ["volume", "inspect", "-f", "{{.Mountpoint}}", "db"];
    let place = machine.creel(format).run().success().stdout;
    assert_eq!(std::fs::read_to_string(format!("{}/seed", place.trim())).unwrap(), "new\n");
    assert_eq!(machine.creel(["volume", "inspect", "none"]).run().fails(1).stdout, "[]\n");
    machine.creel(["volume", "rm", "made"]).run().success();
    let part = ["--mount", "type=volume,src=db,dst=/x,volume-subpath=seed"];
    assert_eq!(machine.shell(&part, "cat /x"), "new\n");
    machine.creel(["volume", "rm", "db", "raw"]).run().success();
    machine.creel(["volume", "rm", "db"]).run().fails(1).says("no such volume: db");
    machine.nothing_left();
}

#[test]
fn volumes_without_a_name_go_with_their_container() {
    need_containers!();
    let machine = with_data();
    assert_eq!(machine.shell(&[], "cat /data/seed"), "from the image\n");
    assert_eq!(machine.creel(["volume", "ls", "-q"]).run().success().stdout, "");
    let kept = ["--network=none", "--name", "c", "app", "true"];
    machine.creel(kept).run().success();
    let name = machine.creel(["volume", "ls", "-q"]).run().success().stdout.trim().to_owned();
    assert_eq!(name.len(), 64);
    machine.creel(["volume", "rm", &name]).run().fails(1).says("in use by container c");
    machine.creel(["volume", "prune", "-f"]).run().success();
    machine.creel(["rm", "-v", "c"]).run().success();
    assert_eq!(machine.creel(["volume", "ls", "-q"]).run().success().stdout, "");
    machine.nothing_left();
}

#[test]
fn a_volume_of_a_link_stays_inside_the_image() {
    need_containers!();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "host").unwrap();
    let machine =
        Machine::with(base().layer(layer().symlink("data", &outside.path().display().to_string())));
    assert_eq!(machine.shell(&["-v", "v:/data"], "ls /data/"), "");
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
    machine.nothing_left();
}

#[test]
fn images_can_be_mounted() {
    need_containers!();
    let machine = Machine::new();
    machine.add("other", base().layer(layer().file("what", "other\n")));
    let flags = ["--mount", "type=image,src=other,dst=/mnt"];
    let script = "cat /mnt/what; echo x > /mnt/what || echo ro";
    assert_eq!(machine.shell(&flags, script), "other\nro\n");
    let writable = ["--mount", "type=image,src=other,dst=/mnt,rw=true"];
    assert_eq!(machine.shell(&writable, "echo x > /mnt/what; cat /mnt/what"), "x\n");
    assert_eq!(machine.shell(&flags, "cat /mnt/what"), "other\n");
    machine.nothing_left();
}
