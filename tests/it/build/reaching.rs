//! What a build asks of registries: when base images are fetched, and who gets the credentials.

use super::result::{Made, build, built};
use crate::support::image::{image, layer};
use crate::support::program::Sandbox;
use crate::support::registry::TestRegistry;

/// Nothing listens on the port of this name.
const UNREACHABLE: &str = "127.0.0.1:9/none/base:1";

#[test]
fn newer_is_content_with_the_stores_image() {
    let sandbox = Sandbox::new();
    let file = format!("FROM {UNREACHABLE}\nLABEL a=b\n");
    sandbox.write("work/Dockerfile", &file);
    for pull in ["newer", "ifnewer", "always", "missing"] {
        let pull = format!("--pull={pull}");
        build(&sandbox, &["-q", "--retry", "0", &pull, "."]).fails(5).says("127.0.0.1:9");
    }
    built(&sandbox, "FROM scratch\nLABEL base=1\n", &["-t", UNREACHABLE]);
    sandbox.write("work/Dockerfile", &file);
    for (pull, code) in [
        ("--pull=newer", 0),
        ("--pull=ifnewer", 0),
        ("--pull=missing", 0),
        ("--pull=false", 0),
        ("--pull=never", 0),
        ("--pull=always", 5),
        ("--pull=true", 5),
        ("--pull", 5),
    ] {
        let out = build(&sandbox, &["--retry", "0", pull, "."]);
        assert_eq!(out.code(), Some(code), "{pull}: {}", out.stderr);
        let told = out.stderr.contains("as it is in the local store");
        assert_eq!(told, pull.ends_with("newer"), "{pull}: {}", out.stderr);
    }
}

#[test]
fn newer_takes_what_the_registry_has_now() {
    let (sandbox, registry) = (Sandbox::new(), TestRegistry::start());
    let name = name_at(&registry, "base:1");
    let push = |text: &str| {
        image().layer(layer().file("f", text)).build().push(&registry, "base", "1");
    };
    let file = format!("FROM {name}\nCMD [\"x\"]\n");
    let content = |pull: &str| {
        let made = built(&sandbox, &file, &[pull]);
        made.layers[0]["f"].clone()
    };
    push("old");
    assert_eq!(content("--pull=newer"), "644 0:0 \"old\"");
    push("new");
    assert_eq!(content("--pull=missing"), "644 0:0 \"old\"");
    assert_eq!(content("--pull=newer"), "644 0:0 \"new\"");
}

#[test]
fn credentials_go_to_registries_that_the_command_line_names() {
    let sandbox = Sandbox::new();
    let other = TestRegistry::builder().basic_auth("user", "word").start();
    let own = TestRegistry::builder().basic_auth("user", "word").start();
    sandbox.write("work/f", "f");
    let sent = |registry: &TestRegistry| {
        let requests = registry.requests();
        let sent = requests.iter().any(|request| request.authorization.is_some());
        registry.clear_log();
        sent
    };
    let name = name_at(&own, "app:1");
    let creds = ["-q", "--retry", "0", "--creds", "user:word"];
    for file in [
        format!("FROM {}\n", name_at(&other, "base:1")),
        format!("FROM scratch\nCOPY --from={} /x /x\n", name_at(&other, "base:1")),
        format!("FROM scratch\nRUN --mount=from={},target=/m true\n", name_at(&other, "base:1")),
    ] {
        sandbox.write("work/Dockerfile", &file);
        build(&sandbox, &[&creds[..], &["-t", &name, "--push", "."]].concat()).fails(4);
        assert!(!sent(&other) && !sent(&own), "{file}");
        let out = build(&sandbox, &[&creds[..], &["."]].concat()).fails(2);
        assert!(out.stderr.contains("--creds: no registry is named"), "{}", out.stderr);
        assert!(other.requests().is_empty(), "{file}");
    }
    sandbox.write("work/Dockerfile", "FROM scratch\nCOPY f /\n");
    build(&sandbox, &[&creds[..], &["-t", &name, "--push", "."]].concat()).success();
    assert!(sent(&own));
    let output = format!("type=registry,name={name}");
    build(&sandbox, &[&creds[..], &["-o", &output, "."]].concat()).success();
    assert!(sent(&own));
    // A base image of the registry that is pushed to.
    let file = format!("FROM {name}\nLABEL a=b\n");
    sandbox.copy(["rm", &name]).run().success();
    sandbox.write("work/Dockerfile", &file);
    build(&sandbox, &[&creds[..], &["-t", &name_at(&own, "next:1"), "."]].concat()).success();
    assert!(sent(&own));
    // Verbs with one image send them to its registry.
    sandbox.copy(["rm", &name]).run().success();
    sandbox.build(["from", "--creds", "user:word", "--name", "c", &name]).run().success();
    assert!(sent(&own));
    sandbox.build(["from", "--creds", "user:word", "scratch"]).run().fails(2);
    let next = own.image("next:2");
    sandbox.build(["commit", "--creds", "user:word", "c", &next]).run().success();
    assert!(sent(&own) && !sent(&other));
}

#[test]
fn a_base_image_that_a_context_names_may_ask_for_credentials() {
    let sandbox = Sandbox::new();
    let registry = TestRegistry::builder().basic_auth("user", "word").start();
    let base = image().layer(layer().file("f", "f")).build();
    base.push(&registry, "base", "1");
    let context = format!("base=docker-image://{}", name_at(&registry, "base:1"));
    sandbox.write("work/Dockerfile", "FROM base\n");
    let args = ["-q", "--creds", "user:word", "--build-context", &context, "."];
    let out = build(&sandbox, &args).success();
    assert_eq!(Made::of(&sandbox, out.stdout.trim()).layers.len(), 1);
}

/// The name of an image of a registry, as Dockerfiles and `-t` take it.
fn name_at(registry: &TestRegistry, name: &str) -> String {
    format!("{}/{name}", registry.host())
}
