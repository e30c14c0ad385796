//! Values of `RUN --mount`.

use super::*;

fn word(text: &str) -> Word {
    Word { text: text.to_owned(), span: Span::new(10, 10 + text.len()) }
}

fn mount(text: &str) -> Result<Mount, String> {
    let mut expand = |value: &str| Ok(value.replace("$x", "X"));
    Mount::parse(&word(text), &mut expand).map_err(|problem| {
        format!("{}-{}: {}", problem.span.start, problem.span.end, problem.message)
    })
}

#[test]
fn every_key() {
    let bind = mount("source=a,dst=/b,from=$x").unwrap();
    assert_eq!(
        (bind.kind, bind.read_only, bind.from.as_deref(), bind.target.as_deref()),
        (MountKind::Bind, true, Some("X"), Some("/b"))
    );
    assert!(!mount("target=/b,rw").unwrap().read_only);
    assert!(!mount("target=/b,ro=false").unwrap().read_only);
    let cache =
        mount("type=CACHE,destination=/c,id=$x,sharing=locked,mode=0700,uid=1,gid=2").unwrap();
    assert_eq!(
        (
            cache.kind,
            cache.read_only,
            cache.id.as_deref(),
            cache.sharing,
            cache.mode,
            cache.uid,
            cache.gid
        ),
        (MountKind::Cache, false, Some("X"), Some(Sharing::Locked), Some(0o700), Some(1), Some(2))
    );
    assert_eq!(mount("type=tmpfs,target=/t,size=128m").unwrap().size, Some(128 << 20));
    assert_eq!(mount("type=tmpfs,target=/t,size=1.5GiB").unwrap().size, Some(3 << 29));
    assert_eq!(mount("type=tmpfs,target=/t,size=10 kB").unwrap().size, Some(10 << 10));
    let secret = mount("type=secret,id=a,env=B,required,mode=440").unwrap();
    assert_eq!(
        (secret.required, secret.env.as_deref(), secret.mode),
        (true, Some("B"), Some(0o440))
    );
    assert!(mount("type=ssh,required=true").unwrap().required);
    assert_eq!(
        mount("type=bind,\"source=a,b\"\"c\",target=/x").unwrap().source.as_deref(),
        Some("a,b\"c")
    );
}

#[test]
fn mistakes() {
    for (text, expected) in [
        ("typ=tmpfs", "10-19: unexpected key 'typ' in 'typ=tmpfs' (did you mean type?)"),
        ("target=/a,type=tmp", "20-28: unsupported mount type \"tmp\" (did you mean tmpfs?)"),
        ("type=tmpf", "10-19: unsupported mount type \"tmpf\" (did you mean tmpfs?)"),
        (
            "type=cache,sharing=lock,target=/",
            "21-33: unsupported sharing value \"lock\" (did you mean locked?)",
        ),
        ("target", "10-16: invalid field 'target' must be a key=value pair"),
        ("target=/a,ro=maybe", "20-28: invalid value for ro: maybe"),
        ("target=/a,required", "20-28: unexpected key 'required' for mount type 'bind'"),
        ("target=/a,size=1", "20-26: unexpected key 'size' for mount type 'bind'"),
        ("type=tmpfs,target=/a,size=big", "31-39: invalid value for size: big"),
        ("target=/a,mode=0755", "10-29: mode not allowed for \"bind\" type mounts"),
        ("type=tmpfs,target=/a,uid=0", "10-36: uid not allowed for \"tmpfs\" type mounts"),
        ("type=cache,target=/a,mode=9", "31-37: invalid value 9 for mode"),
        ("type=cache,target=/a,uid=x", "31-36: invalid value x for uid"),
        ("type=secret,id=a,from=b", "10-33: secret mount should not have a from"),
        ("type=secret,id=a,sharing=shared", "10-41: secret mount should not define sharing"),
        ("type=secret", "10-21: invalid secret mount. one of source, target required"),
        ("type=secret,id=a,source=b", "10-35: both source and id can't be set"),
        ("target=/a,sharing=shared", "10-34: invalid cache sharing set for bind mount"),
        ("a\"b", "10-13: failed to parse csv mounts: bare \" in non-quoted field"),
        ("\"a", "10-12: failed to parse csv mounts: extraneous or missing \" in quoted-field"),
    ] {
        assert_eq!(mount(text), Err(expected.to_owned()), "{text}");
    }
}

#[test]
fn from_is_known_before_anything_is_expanded() {
    assert_eq!(Mount::check(&word("from=base,target=$x")).unwrap().as_deref(), Some("base"));
    assert_eq!(Mount::check(&word("target=/a")).unwrap(), None);
    assert_eq!(
        Mount::check(&word("target=/a,from=$x")).unwrap_err().message,
        "'from' doesn't support variable expansion, define alias stage instead"
    );
    assert_eq!(
        body("RUN --mount=from=$x,target=/a true").lines().next().unwrap(),
        "f:2:13: error: 'from' doesn't support variable expansion, define alias stage instead"
    );
}
