//! Choice and merging of files, every rule for tables, rewriting, short names.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::config::Choice;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The files of a test: `user.conf`, `system.conf` and the drop-ins in `system.d`, `user.d`.
fn load(files: &[(&str, &str)]) -> (TempDir, Result<Registries>) {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for (name, text) in files {
        fs::create_dir_all(at(name).parent().unwrap()).unwrap();
        fs::write(at(name), text).unwrap();
    }
    let paths = ConfigPaths {
        registries_conf: Choice::FirstOf(vec![at("user.conf"), at("system.conf")]),
        registries_conf_dirs: vec![at("system.d"), at("user.d")],
        ..ConfigPaths::default()
    };
    let loaded = Registries::load(&paths);
    (dir, loaded)
}

fn conf(text: &str) -> Registries {
    load(&[("user.conf", text)]).1.unwrap()
}

fn error(files: &[(&str, &str)]) -> String {
    let (dir, loaded) = load(files);
    let error = loaded.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    error.chain().replace(&format!("{}/", dir.path().display()), "")
}

/// `host/repo[:tag]`, or with `@` the digest above.
fn name(text: &str) -> ImageName<'_> {
    let (registry, rest) = text.split_once('/').unwrap();
    let (rest, digest) = match rest.strip_suffix('@') {
        Some(rest) => (rest, Some(DIGEST)),
        None => (rest, None),
    };
    let (repository, tag) = match rest.split_once(':') {
        Some((repository, tag)) => (repository, Some(tag)),
        None => (rest, None),
    };
    ImageName { registry, repository, tag, digest }
}

/// The endpoints in short: `~` mirror, `!` insecure.
fn places(conf: &Registries, text: &str, purpose: Use) -> String {
    let endpoints = conf.endpoints(&name(text), purpose).unwrap();
    let shown = |endpoint: &Endpoint| {
        format!(
            "{}{}{}/{}",
            if endpoint.is_mirror { "~" } else { "" },
            if endpoint.insecure { "!" } else { "" },
            endpoint.registry,
            endpoint.repository
        )
    };
    endpoints.iter().map(shown).collect::<Vec<_>>().join(" ")
}

fn reads(conf: &Registries, text: &str) -> String {
    places(conf, text, Use::Read)
}

#[test]
fn without_files_every_name_is_its_own_place() {
    let (_dir, loaded) = load(&[]);
    let conf = loaded.unwrap();
    assert_eq!(reads(&conf, "docker.io/library/a:1"), "docker.io/library/a");
    assert_eq!(conf.short_name("a", false).unwrap(), ShortName::Unknown);
    assert_eq!(conf.credential_helpers(), [""; 0]);
}

#[test]
fn the_users_file_replaces_the_systems_and_drop_ins_add() {
    let table = |prefix: &str, location: &str| {
        format!("[[registry]]\nprefix = \"{prefix}\"\nlocation = \"{location}\"\n")
    };
    let system = "unqualified-search-registries = [\"system.io\"]\n".to_owned();
    let (dir, loaded) = load(&[
        ("system.conf", &(system.clone() + &table("a.io", "system.io"))),
        ("system.d/10.conf", &table("a.io", "ten.io")),
        ("system.d/20.conf", "[[registry]]\nlocation = \"a.io\"\ninsecure = true\n"),
        ("system.d/30.txt", "not toml"),
        ("system.d/40.conf/x", "a folder"),
        ("user.d/05.conf", &table("b.io", "user.io")),
    ]);
    let conf = loaded.unwrap();
    // The later table counts wholly: nothing of the earlier location is left.
    assert_eq!(reads(&conf, "a.io/x"), "!a.io/x");
    assert_eq!(reads(&conf, "b.io/x"), "user.io/x");
    assert!(matches!(conf.short_name("x", false).unwrap(), ShortName::Search { .. }));

    fs::write(dir.path().join("user.conf"), table("c.io", "mine.io")).unwrap();
    let paths = ConfigPaths {
        registries_conf: Choice::FirstOf(vec![
            dir.path().join("user.conf"),
            dir.path().join("system.conf"),
        ]),
        ..ConfigPaths::default()
    };
    let conf = Registries::load(&paths).unwrap();
    assert_eq!(reads(&conf, "c.io/x"), "mine.io/x");
    assert_eq!(reads(&conf, "a.io/x"), "a.io/x");
    assert_eq!(conf.short_name("x", false).unwrap(), ShortName::Unknown);
}

#[test]
fn an_explicit_file_must_exist() {
    let choice = Choice::Explicit("/nonexistent/registries.conf".into());
    let paths = ConfigPaths { registries_conf: choice, ..ConfigPaths::default() };
    assert_eq!(Registries::load(&paths).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn the_longest_prefix_is_replaced() {
    let conf = conf(
        r#"
        [[registry]]
        prefix = "a.io"
        location = "one.io/cache"
        [[registry]]
        prefix = "a.io/team"
        location = "two.io:5000/"
        [[registry]]
        prefix = "a.io/team/app:1"
        location = "three.io/app:1"
        [[registry]]
        location = "plain.io"
        "#,
    );
    for (asked, place) in [
        ("a.io/x", "one.io/cache/x"),
        ("a.io/teams/x:1", "one.io/cache/teams/x"),
        ("a.io/team/x:1", "two.io:5000/x"),
        ("a.io/team/app:1", "three.io/app"),
        ("a.io/team/app:1@", "three.io/app"),
        ("a.io/team/app:12", "two.io:5000/app"),
        ("plain.io/x@", "plain.io/x"),
        ("aa.io/x", "aa.io/x"),
        ("a.iox/x", "a.iox/x"),
    ] {
        assert_eq!(reads(&conf, asked), place, "{asked}");
    }
    // Whoever writes or lists means the registry that was named.
    assert_eq!(places(&conf, "a.io/x", Use::Write), "a.io/x");
    assert_eq!(places(&conf, "a.io/x", Use::List), "a.io/x");
}

#[test]
fn wildcards_stand_for_hosts() {
    let conf = conf(
        r#"
        [[registry]]
        prefix = "*.example.com"
        location = "mirror.io/example"
        [[registry]]
        prefix = "*.dev.example.com"
        insecure = true
        "#,
    );
    for (asked, place) in [
        ("a.example.com/x:1", "mirror.io/example/x"),
        ("a.b.example.com/x", "mirror.io/example/x"),
        ("a.dev.example.com/x", "!a.dev.example.com/x"),
        ("a.example.com.example.com/x", "mirror.io/example/x"),
        ("example.com/x", "example.com/x"),
        ("aexample.com/x", "aexample.com/x"),
        ("a.example.com.evil.io/x", "a.example.com.evil.io/x"),
        ("evil.io/a.example.com/x", "evil.io/a.example.com/x"),
    ] {
        assert_eq!(reads(&conf, asked), place, "{asked}");
    }
}

#[test]
fn locations_that_make_no_name() {
    let conf = conf(
        r#"
        [[registry]]
        prefix = "a.io/x"
        location = "b.io"
        [[registry]]
        prefix = "c.io/x:1"
        location = "d.io/x:2"
        [[registry]]
        prefix = "e.io"
        location = "f.io:5000"
        "#,
    );
    for (asked, made) in
        [("a.io/x:1", "b.io:1"), ("c.io/x:1", "d.io/x:2"), ("e.io:80/x", "f.io:5000:80/x")]
    {
        let error = conf.endpoints(&name(asked), Use::Read).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let text = error.chain();
        assert!(text.ends_with(&format!(" in {asked}: {made} names no image")), "{text}");
    }
    assert_eq!(reads(&conf, "a.io/x/y"), "b.io/y");
}

#[test]
fn mirrors_in_order_and_only_for_reading() {
    let conf = conf(
        r#"
        [[registry]]
        prefix = "a.io"
        location = "real.io"
        insecure = true
        [[registry.mirror]]
        location = "all.io/a"
        [[registry.mirror]]
        location = "digest.io"
        pull-from-mirror = "digest-only"
        insecure = true
        [[registry.mirror]]
        location = "tag.io"
        pull-from-mirror = "tag-only"
        [[registry.mirror]]
        location = "every.io"
        pull-from-mirror = "all"

        [[registry]]
        location = "b.io"
        mirror-by-digest-only = true
        [[registry.mirror]]
        location = "m.io"
        "#,
    );
    assert_eq!(reads(&conf, "a.io/x:1"), "~all.io/a/x ~tag.io/x ~every.io/x !real.io/x");
    assert_eq!(reads(&conf, "a.io/x"), "~all.io/a/x ~tag.io/x ~every.io/x !real.io/x");
    assert_eq!(reads(&conf, "a.io/x@"), "~all.io/a/x ~!digest.io/x ~every.io/x !real.io/x");
    assert_eq!(reads(&conf, "a.io/x:1@"), "~all.io/a/x ~!digest.io/x ~every.io/x !real.io/x");
    assert_eq!(places(&conf, "a.io/x:1", Use::Write), "!a.io/x");
    assert_eq!(places(&conf, "a.io/x:1", Use::List), "!a.io/x");
    assert_eq!(reads(&conf, "b.io/x:1"), "b.io/x");
    assert_eq!(reads(&conf, "b.io/x@"), "~m.io/x b.io/x");
}

#[test]
fn blocked_is_blocked_for_everything() {
    let (dir, loaded) = load(&[
        ("user.conf", "[[registry]]\nlocation = \"a.io/x\"\nblocked = true\n"),
        ("user.d/b.conf", "[[registry]]\nprefix = \"*.b.io\"\nblocked = true\n"),
    ]);
    let conf = loaded.unwrap();
    for (asked, prefix, file) in
        [("a.io/x/y:1", "a.io/x", "user.conf"), ("c.b.io/x", "*.b.io", "user.d/b.conf")]
    {
        for purpose in [Use::Read, Use::List, Use::Write] {
            let error = conf.endpoints(&name(asked), purpose).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Denied);
            let file = dir.path().join(file);
            assert_eq!(
                error.chain(),
                format!("registry {prefix} is blocked in {}", file.display())
            );
        }
    }
    assert_eq!(reads(&conf, "a.io/xy"), "a.io/xy");
}

#[test]
fn version_1() {
    let conf = conf(
        r#"
        [registries.search]
        registries = ["a.io", "b.io"]
        [registries.insecure]
        registries = ["c.io", "d.io"]
        [registries.block]
        registries = ["d.io"]
        "#,
    );
    assert_eq!(reads(&conf, "c.io/x"), "!c.io/x");
    assert_eq!(conf.endpoints(&name("d.io/x"), Use::Read).unwrap_err().kind(), ErrorKind::Denied);
    let ShortName::Search { candidates, .. } = conf.short_name("x", false).unwrap() else {
        unreachable!("there are registries to search")
    };
    assert_eq!(candidates, ["a.io/x", "b.io/x"]);

    let v1 = "[registries.insecure]\nregistries = [\"c.io\"]\n";
    let v2 = "[[registry]]\nlocation = \"c.io\"\n";
    assert_eq!(
        error(&[("user.conf", &format!("{v1}{v2}"))]),
        "user.conf: [registries.…] tables of version 1 are mixed with version 2"
    );
    assert_eq!(
        error(&[("user.d/a.conf", v1)]),
        "user.d/a.conf: a drop-in cannot use the [registries.…] tables of version 1"
    );
    // Empty lists of version 1, as some systems ship them, are no use of it.
    let empty = "[registries.search]\nregistries = []\n";
    assert!(load(&[("user.conf", &format!("{empty}{v2}"))]).1.is_ok());
}

#[test]
fn bad_files() {
    let registry = |text: &str| format!("[[registry]]\n{text}\n");
    let mirror = |text: &str| registry(&format!("location=\"a.io\"\n[[registry.mirror]]\n{text}"));
    for (text, why) in [
        (registry("insecure=true"), "a [[registry]] has neither prefix nor location"),
        (registry("prefix=\"a.io\""), "registry a.io has no location; only *.DOMAIN may have none"),
        (
            registry("location=\"https://a.io\""),
            "location \"https://a.io\" is a URL; leave out the part up to \"://\"",
        ),
        (registry("location=\"a b\""), "location \"a b\" is not HOST[:PORT][/PATH]"),
        (registry("location=\"/a\""), "location \"/a\" is not HOST[:PORT][/PATH]"),
        (
            registry("prefix=\"a.*.io\"\nlocation=\"b.io\""),
            "prefix \"a.*.io\" is not HOST[:PORT][/PATH] or *.DOMAIN",
        ),
        (
            registry("prefix=\"*.\"\nlocation=\"b.io\""),
            "prefix \"*.\" is not HOST[:PORT][/PATH] or *.DOMAIN",
        ),
        (
            registry("location=\"a.io\"\npull-from-mirror=\"all\""),
            "registry a.io has \"pull-from-mirror\", which belongs to its mirrors",
        ),
        (mirror("location=\"\""), "a mirror of registry a.io has no location"),
        (
            registry(
                "location=\"a.io\"\nmirror-by-digest-only=true\n[[registry.mirror]]\nlocation=\"m.io\"\npull-from-mirror=\"all\"",
            ),
            "registry a.io has \"mirror-by-digest-only\" and its mirror m.io \"pull-from-mirror\"; only one of them may be there",
        ),
        (
            registry("location=\"a.io\"") + &registry("location=\"a.io\"\ninsecure=true"),
            "registry a.io is there twice and \"insecure\" differs",
        ),
        (
            registry("prefix=\"b.io\"\nlocation=\"a.io\"")
                + &registry("location=\"a.io\"\nblocked=true"),
            "registry a.io is there twice and \"blocked\" differs",
        ),
        ("unqualified-search-registries=[\"\"]".into(), "\"\" is not a registry to search"),
        (
            "unqualified-search-registries=[\"http://a\"]".into(),
            "\"http://a\" is not a registry to search",
        ),
        (
            "[aliases]\n\"a.io/x\"=\"b.io/x\"".into(),
            "alias \"a.io/x\" is not a name without registry, tag and digest",
        ),
        (
            "[aliases]\n\"x:1\"=\"b.io/x\"".into(),
            "alias \"x:1\" is not a name without registry, tag and digest",
        ),
        (
            "[aliases]\nx=\"y\"".into(),
            "alias \"x\" stands for \"y\", which is not HOST/REPOSITORY without tag and digest",
        ),
        (
            "[aliases]\nx=\"b.io/x:1\"".into(),
            "alias \"x\" stands for \"b.io/x:1\", which is not HOST/REPOSITORY without tag and digest",
        ),
    ] {
        assert_eq!(error(&[("user.conf", &text)]), format!("user.conf: {why}"));
    }
    for (text, line) in [
        ("a = 1\nb = [\n", "line 2: unclosed array"),
        ("a = 1\na = 2\n", "line 2: duplicate key"),
        ("x = 1\nshort-name-mode = \"sometimes\"\n", "line 2: unknown variant `sometimes`"),
        ("[[registry]]\nlocation = 1\n", "line 2: invalid type"),
        (
            "[[registry]]\nlocation=\"a\"\n[[registry.mirror]]\ninsecure = true\n",
            "line 3: missing field `location`",
        ),
    ] {
        let error = error(&[("user.conf", text)]);
        assert!(error.starts_with(&format!("user.conf: {line}")), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
    assert!(
        load(&[("user.conf", "from-the-future = 1\n[[registry]]\nlocation=\"a.io\"\nnew=2")])
            .1
            .is_ok()
    );
}

#[test]
fn short_names() {
    let (dir, loaded) = load(&[
        (
            "user.conf",
            "unqualified-search-registries = [\"q.io\", \"docker.io\"]\ncredential-helpers = [\"a\"]\n[aliases]\ntool = \"t.io/team/tool\"\ngone = \"g.io/gone\"\n",
        ),
        (
            "user.d/x.conf",
            "short-name-mode = \"enforcing\"\ncredential-helpers = [\"b\"]\n[aliases]\ngone = \"\"\n\"my/app\" = \"localhost/my/app\"\n",
        ),
    ]);
    let conf = loaded.unwrap();
    assert_eq!(conf.credential_helpers(), ["b"]);
    let alias = |text: &str| ShortName::Alias(text.to_owned());
    assert_eq!(conf.short_name("tool", false).unwrap(), alias("t.io/team/tool"));
    assert_eq!(conf.short_name("my/app", false).unwrap(), alias("localhost/my/app"));
    let file = dir.path().join("user.conf");
    let search = |candidates: &[&str]| ShortName::Search {
        candidates: candidates.iter().map(|text| (*text).to_owned()).collect(),
        mode: ShortNameMode::Enforcing,
        file: file.clone(),
    };
    assert_eq!(
        conf.short_name("gone", true).unwrap(),
        search(&["q.io/gone", "docker.io/library/gone"])
    );
    assert_eq!(conf.short_name("a/b", true).unwrap(), search(&["q.io/a/b", "docker.io/a/b"]));
    let error = conf.short_name("a/b", false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    let expected = format!(
        "a/b could be q.io/a/b, docker.io/a/b; name one of them in full ({} lists the registries, \
         and short-name-mode is enforcing)",
        file.display()
    );
    assert_eq!(error.chain(), expected);
}

#[test]
fn a_drop_in_can_empty_the_list_and_one_registry_needs_no_choice() {
    let search = "unqualified-search-registries = [\"q.io\"]\nshort-name-mode = \"enforcing\"\n";
    let one = conf(search);
    assert!(matches!(one.short_name("x", false).unwrap(), ShortName::Search { .. }));
    let (_dir, loaded) =
        load(&[("user.conf", search), ("user.d/x.conf", "unqualified-search-registries = []\n")]);
    assert_eq!(loaded.unwrap().short_name("x", false).unwrap(), ShortName::Unknown);
}

#[test]
fn what_is_short() {
    for (name, short) in [
        ("a", true),
        ("a/b", true),
        ("a.b", true),
        ("a.b/c", false),
        ("a:1/c", false),
        ("localhost/c", false),
    ] {
        assert_eq!(is_short(name), short, "{name}");
    }
}

#[test]
fn endless_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.conf"), vec![b'#'; 5 << 20]).unwrap();
    let paths = ConfigPaths {
        registries_conf_dirs: vec![dir.path().to_path_buf()],
        ..ConfigPaths::default()
    };
    let error = Registries::load(&paths).unwrap_err().chain();
    assert!(error.ends_with("a.conf is larger than 4194304 bytes"), "{error}");
    let paths = ConfigPaths {
        registries_conf: Choice::Explicit(Path::new("/dev/zero").into()),
        ..ConfigPaths::default()
    };
    assert_eq!(Registries::load(&paths).unwrap_err().kind(), ErrorKind::Invalid);
}
