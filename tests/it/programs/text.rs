//! Text from images, files and registries, as the programs print it: nothing in it acts on a
//! terminal, and it can be read all the same.

use serde_json::{Value, json};

use crate::support::image::{ImageBuilder, image, layer};
use crate::support::program::{Output, Sandbox};
use crate::support::registry::TestRegistry;

/// A window title, a cursor movement, the clipboard (ended by ST), eight-bit controls, a text
/// direction, a new line of output, and a word by which it is found.
const EVIL: &str =
    "\u{1b}]0;evil\u{7}\u{1b}[2J\u{1b}]52;c;eA==\u{1b}\\\u{9b}1A\u{202e}\u{2066}\u{7f}\rz";

#[track_caller]
fn harmless(output: &Output) {
    for (stream, text) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        let bad = text.chars().find(|&c| {
            (c.is_control() && !matches!(c, '\n' | '\t'))
                || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        });
        assert_eq!(bad, None, "{stream} of {output}");
    }
}

/// An image that has it in every field that takes text.
fn evil() -> ImageBuilder {
    let text = |name: &str| format!("{name}{EVIL}");
    image()
        .layer(layer().file(&text("bin/f"), "x").symlink("link", EVIL).created_by(&text("RUN ")))
        .label(&text("key"), &text("value"))
        .annotation(&text("a"), &text("b"))
        .config("Cmd", json!(["/bin/true", text("")]))
        .config("Env", json!([text("X=")]))
        .config("User", json!(text("u")))
        .config("StopSignal", json!(text("S")))
        .config("ExposedPorts", json!({text("80"): {}}))
        .config("Volumes", json!({text("/v"): {}}))
        .config("OnBuild", json!([text("RUN ")]))
        .config_top("author", json!(text("me")))
        .platform_field("architecture", json!(text("amd64")))
        .platform_field("os.version", json!(text("1")))
}

#[test]
fn what_an_image_says_is_shown_escaped() {
    let sandbox = Sandbox::new();
    evil().build().write_layout(&sandbox.work("l"), Some("1"));
    image().layer(layer().file("f", "x")).build().write_layout(&sandbox.work("m"), Some("1"));
    let at = "oci:l:1";
    let platform = format!("linux/amd64{EVIL}");
    sandbox.copy([at, "store:evil", "--platform", &platform]).run();
    for (words, shown) in [
        (&[at][..], true),
        (&["--full", at], true),
        (&["--json", at], true),
        (&["--config", at], true),
        (&["--format", "{{.Labels}} {{.Env}}", at], true),
        (&["--format", "{{json .Labels}}", at], true),
        (&["--config", "--format", "{{index .config.Cmd 1}}", at], true),
        (&["layers", at], true),
        (&["history", at], true),
        (&["history", "--json", at], true),
        (&["files", "-R", at], true),
        (&["files", "-R", "--json", at], true),
        (&["files", "--full", "--layer=1", at], true),
        (&["waste", "--all", at], false),
        (&["waste", "--ci", at], false),
        (&["diff", "oci:m:1", at], true),
        (&["diff", "--json", "oci:m:1", at], true),
        (&["tree", at], false),
        (&["validate", at], false),
        (&["sbom", at], false),
        (&["report", at], true),
        (&["images"], false),
        (&["images", "--json"], false),
        (&["cat", at, EVIL], true),
        (&[&format!("oci:l:{EVIL}")], true),
        (&[EVIL, "--no-such-flag"], false),
        (&[&format!("--{EVIL}")], true),
    ] {
        let output = sandbox.inspect(words).run();
        harmless(&output);
        let all = format!("{}{}", output.stdout, output.stderr);
        assert!(!shown || all.contains("evil"), "it is not shown\n{output}");
        if words.contains(&"--json")
            || words.contains(&"sbom")
            || words.contains(&"{{json .Labels}}")
        {
            let value: Value = output.json();
            assert!(words.contains(&"images") || value.to_string().contains("z"), "{output}");
        }
    }
}

#[test]
fn json_means_the_same_as_before() {
    let sandbox = Sandbox::new();
    evil().build().write_layout(&sandbox.work("l"), Some("1"));
    let config = sandbox.inspect(["--config", "oci:l:1"]).run().success().json();
    assert_eq!(config["config"]["Labels"][format!("key{EVIL}")], format!("value{EVIL}"));
    let labels = sandbox.inspect(["--format", "{{json .Labels}}", "oci:l:1"]).run().success();
    assert_eq!(labels.json()[format!("key{EVIL}")], format!("value{EVIL}"));
    // Bytes that are asked for as such are those of the image.
    let raw = sandbox.inspect(["--config", "--raw", "oci:l:1"]).run().success().stdout;
    assert!(raw.contains('\u{202e}') && raw.contains('\u{9b}'), "{raw}");
}

#[test]
fn what_a_registry_says_is_shown_escaped() {
    let sandbox = Sandbox::new();
    let registry = TestRegistry::start();
    evil().build().push(&registry, "app", "1");
    for words in [
        &["tags", "--long", &registry.image("app")][..],
        &["tags", "--long", "--json", &registry.image("app")],
        &["--dry-run", &registry.image("app:1"), "oci:new:1"],
        &[&registry.image(&format!("app:{EVIL}")), "oci:new:1"],
        &["tags", &format!("oci:{EVIL}")],
        &["delete", &format!("oci:l:{EVIL}")],
        &["rm", &format!("app:{EVIL}")],
    ] {
        harmless(&sandbox.copy(words).run());
    }
}

#[test]
fn what_a_dockerfile_says_is_shown_escaped() {
    let sandbox = Sandbox::new();
    for dockerfile in [
        format!("FROM scratch\nLABEL a=\"{EVIL}\"\n"),
        format!("FROM scratch\nRNU {EVIL}\n"),
        format!("FROM scratch AS {EVIL}\nCOPY --from={EVIL} a b\n"),
        format!("FROM scratch\nMAINTAINER {EVIL}\nLABEL a=$UNDEFINED{EVIL}\n"),
        format!("FROM scratch\nCOPY {EVIL} /\n"),
        format!("FROM {EVIL}\n"),
        format!("FROM scratch\nCOPY <<{EVIL} /\nx\n{EVIL}\n"),
        format!("FROM scratch\nARG {EVIL}\nUSER {EVIL}\nWORKDIR /{EVIL}\nCMD [\"{EVIL}\"]\n"),
        format!("# syntax={EVIL}\n# check=skip={EVIL}\nFROM scratch\n{EVIL}\n"),
    ] {
        sandbox.write("work/Dockerfile", &dockerfile);
        for words in [
            &["check"][..],
            &["check", "--format", "lines"],
            &["check", "--format", "json"],
            &["check", "--format", "sarif"],
            &["--print-plan", "."],
            &["--print-plan", "--json", "."],
            &["--call", "outline", "."],
            &["--call", "targets", "."],
            &["--no-cache", "."],
            &["--no-cache", "--progress", "json", "."],
            &["--target", EVIL, "."],
        ] {
            harmless(&sandbox.build(words).run());
        }
    }
    sandbox.write("work/Dockerfile", format!("FROM scratch\nLABEL a=\"{EVIL}\"\n"));
    sandbox.build(["-t", "evil", "."]).run().success();
    for words in [&["from", "--name", "c", "evil"][..], &["inspect", "c"], &["containers"]] {
        harmless(&sandbox.build(words).run().success());
    }
    sandbox.write("work/Dockerfile", format!("FROM scratch\nRNU {EVIL}\n"));
    sandbox.build(["check"]).run().fails(1);
    let shown = sandbox.build(["check"]).run().stdout;
    assert!(shown.contains("2 | RNU \\u{1b}]0;evil\\u{7}\\u{1b}[2J"), "{shown}");
}

#[test]
fn the_marks_below_escaped_text_are_where_they_belong() {
    let sandbox = Sandbox::new();
    sandbox.write("work/Dockerfile", "FROM scratch\nLABEL \u{1b}=x \u{9b}y\n");
    let shown = sandbox.build(["check"]).run().fails(1).stdout;
    let lines: Vec<&str> = shown.lines().collect();
    let at = lines.iter().position(|line| line.starts_with("2 | ")).expect("an excerpt");
    let marks = lines[at + 1];
    let marked = &lines[at][marks.find('^').expect("marks")..=marks.rfind('^').expect("marks")];
    assert_eq!(marked, "\\u{9b}y", "{shown}");
}

#[test]
fn a_command_s_output_keeps_its_colours_alone() {
    use crate::support::peers::need;
    need!("root", "runc", "busybox");
    let sandbox = crate::build::run::sandbox().expect("a base");
    let script = r"printf 'one\033[31mred\033[0m\n\033[1mbold\nx\033[2J\033]0;evil\007\033[6n\302\2331A\377\342\200\256\n'";
    sandbox.write("work/Dockerfile", format!("FROM base\nRUN {script}\n"));
    let output = sandbox.build(["."]).run().success();
    for line in [
        "] one\u{1b}[31mred\u{1b}[0m\n",
        "] \u{1b}[1mbold\u{1b}[0m\n",
        "] x\\u{1b}[2J\\u{1b}]0;evil\\u{7}\\u{1b}[6n\\u{9b}1A\\xff\\u{202e}\n",
    ] {
        assert!(output.stderr.contains(line), "{line:?} in {:?}", output.stderr);
    }
    // The end of a quiet build's output is shown in the same way.
    sandbox.write("work/Dockerfile", format!("FROM base\nRUN {script}; false\n"));
    let output = sandbox.build(["-q", "."]).run().fails(1);
    assert!(output.stderr.contains("x\\u{1b}[2J\\u{1b}]0;evil\\u{7}"), "{:?}", output.stderr);
    let json = sandbox.build(["--progress", "json", "."]).run().fails(1);
    harmless(&json);
    assert!(json.stderr.contains(r"\u001b[31mred\u001b[0m"), "{json}");
}

#[test]
fn containers_of_such_images_are_listed_escaped() {
    crate::support::peers::need!("root", "runc", "busybox", "overlay");
    let sandbox = Sandbox::new();
    let base = crate::run::machine::base()
        .cmd(["/bin/true", EVIL])
        .platform_field("architecture", json!(format!("amd64{EVIL}")))
        .label(EVIL, EVIL);
    base.build().write_layout(&sandbox.work("l"), Some("1"));
    sandbox.copy(["--all", "oci:l:1", "store:app"]).run().success();
    let run =
        |words: &[&str]| sandbox.container(words).env("CREEL_STATE", sandbox.path("state")).run();
    harmless(&run(&["--network", "none", "--name", "c", "app"]).success());
    harmless(&run(&["--network", "none", "--name", "d", "app", EVIL]).fails(127));
    for words in [
        &["ps", "-a"][..],
        &["ps", "-a", "--no-trunc"],
        &["ps", "-a", "--format", "{{.Command}}"],
        &["ps", "-a", "--format", "json"],
        &["inspect", "c"],
        &["inspect", "-f", "{{.Config.Labels}}", "c"],
        &["inspect", EVIL],
    ] {
        let output = run(words);
        harmless(&output);
        assert!(format!("{}{}", output.stdout, output.stderr).contains("evil"), "{output}");
    }
    run(&["rm", "c"]).success();
    run(&["rm", "d"]);
}
