use super::*;

fn base() -> &'static Path {
    Path::new("/home/me")
}

/// What a request says, on one line, without what is the default.
fn show(request: &MountRequest) -> String {
    let mut out = match &request.source {
        MountSource::Bind { path, create } => {
            format!("bind {}{}", path.display(), if *create { " create" } else { "" })
        }
        MountSource::Volume { name, no_copy, options, labels } => format!(
            "volume {}{}{}",
            name.as_deref().unwrap_or("-"),
            if *no_copy { " nocopy" } else { "" },
            if options.is_empty() && labels.is_empty() {
                String::new()
            } else {
                format!(" {options:?} {labels:?}")
            }
        ),
        MountSource::Tmpfs { size, mode } => format!("tmpfs {size:?} {mode:?}"),
        MountSource::Image { name, writable } => format!("image {name} {writable}"),
    };
    out.push_str(&format!(" on {}", request.target));
    for (set, word) in [
        (request.read_only, "ro"),
        (!request.recursive, "flat"),
        (request.writable_below, "writable-below"),
        (request.chown, "chown"),
    ] {
        if set {
            out.push_str(&format!(" {word}"));
        }
    }
    if let Some(propagation) = request.propagation {
        out.push_str(&format!(" {}", propagation.word()));
    }
    for word in &request.options {
        out.push_str(&format!(" {word}"));
    }
    if let Some(relabel) = request.relabel {
        out.push_str(&format!(" {relabel:?}"));
    }
    if let Some(map) = &request.idmap {
        out.push_str(&format!(" idmap {}/{}", map.users.len(), map.groups.len()));
    }
    if let Some(subpath) = &request.subpath {
        out.push_str(&format!(" part {subpath}"));
    }
    out
}

#[test]
fn volumes() {
    for (text, expected) in [
        ("/data", "volume - on /data"),
        ("name:/data", "volume name on /data"),
        ("/a:/b", "bind /a create on /b"),
        ("./x:/b", "bind /home/me/x create on /b"),
        ("..:/b/../c//", "bind /home create on /c"),
        ("/a:/b:ro", "bind /a create on /b ro"),
        ("/a:/b:rw,z", "bind /a create on /b Shared"),
        ("/a:/b:ro,rslave,noexec,Z,U", "bind /a create on /b ro chown rslave noexec Private"),
        ("/a:/b:bind,cached", "bind /a create on /b flat"),
        ("n:/b:nocopy", "volume n nocopy on /b"),
        ("/a:/b:idmap", "bind /a create on /b idmap 0/0"),
        ("/a:/b:idmap=uids=0-1-10#10-11-10;gids=0-5-1", "bind /a create on /b idmap 2/1"),
    ] {
        assert_eq!(show(&parse_volume(text, base()).unwrap()), expected, "{text}");
    }
}

#[test]
fn wrong_volumes() {
    for (text, message) in [
        ("", "invalid mount path: \"\" in \"\": mount path must be absolute"),
        ("/a:ro", "invalid volume specification: \"/a:ro\""),
        (":/b", "invalid volume specification: \":/b\""),
        ("/a:/b:ro:x", "invalid volume specification: \"/a:/b:ro:x\""),
        ("/a:/b:", "invalid volume specification: \"/a:/b:\""),
        ("/a:b", "invalid mount path: \"b\" in \"/a:b\": mount path must be absolute"),
        ("/a:/", "invalid specification \"/a:/\": destination can't be '/'"),
        ("/a:/x/..", "invalid specification \"/a:/x/..\": destination can't be '/'"),
        ("/a:/b:ro,rw", "invalid mode \"ro,rw\" in volume \"/a:/b:ro,rw\""),
        ("/a:/b:upperdir=/etc", "invalid mode \"upperdir=/etc\" in volume \"/a:/b:upperdir=/etc\""),
        ("/a:/b:nocopy", "invalid mode \"nocopy\" in volume \"/a:/b:nocopy\""),
        ("/a:/b:shared,slave", "invalid mode \"shared,slave\" in volume \"/a:/b:shared,slave\""),
        ("n:/b:shared", "invalid mode \"shared\" in volume \"n:/b:shared\""),
    ] {
        assert_eq!(parse_volume(text, base()).unwrap_err().chain(), message);
    }
    let error = parse_volume("a/b:/c", base()).unwrap_err().chain();
    assert!(error.starts_with("\"a/b\" includes invalid characters"), "{error}");
}

#[test]
fn mounts() {
    for (text, expected) in [
        ("type=bind,src=/a,dst=/b", "bind /a on /b"),
        ("type=bind,source=.,target=/b,readonly", "bind /home/me on /b ro"),
        ("type=bind,source=/a,target=/b,ro=0,bind-create-src", "bind /a create on /b"),
        (
            "type=bind,source=/a,target=/b,ro,bind-recursive=writable,bind-propagation=rshared",
            "bind /a on /b ro writable-below rshared",
        ),
        ("type=bind,source=/a,target=/b,bind-nonrecursive=true", "bind /a on /b flat"),
        ("type=bind,\"source=/a,b\",target=/b", "bind /a,b on /b"),
        ("dst=/b", "volume - on /b"),
        (
            "type=volume,src=v,dst=/b,volume-opt=size=1,volume-label=x,volume-nocopy",
            "volume v nocopy {\"size\": \"1\"} {\"x\": \"\"} on /b",
        ),
        ("src=v,dst=/b,volume-subpath=a/b", "volume v on /b part a/b"),
        ("type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=0700", "tmpfs Some(1048576) Some(448) on /t"),
        ("type=image,source=alpine,target=/i", "image alpine false on /i ro"),
        ("type=image,source=alpine,target=/i,rw,subpath=etc", "image alpine true on /i part etc"),
        (
            "type=bind,src=/a,dst=/b,relabel=private,U,idmap",
            "bind /a on /b chown Private idmap 0/0",
        ),
    ] {
        assert_eq!(show(&parse_mount(text, base()).unwrap()), expected, "{text}");
    }
}

#[test]
fn wrong_mounts() {
    for (text, message) in [
        ("type=bind,src=/a", "target is required"),
        ("type=bind,dst=/a", "source is required"),
        (
            "type=foo,dst=/a",
            "unsupported mount type \"foo\" (expected bind, volume, tmpfs or image)",
        ),
        (
            "type=bind,src=/a,dst=/b,volume-nocopy",
            "cannot mix 'volume-*' options with mount type 'bind'",
        ),
        ("dst=/b,bind-propagation=shared", "cannot mix 'bind-*' options with mount type 'volume'"),
        (
            "type=volume,dst=/b,tmpfs-size=1",
            "cannot mix 'tmpfs-*' options with mount type 'volume'",
        ),
        (
            "type=bind,src=/a,dst=/b,subpath=x",
            "cannot mix 'subpath' options with mount type 'bind'",
        ),
        ("type=bind,src=/a,dst=/b,foo=1", "unexpected key \"foo\""),
        ("type=bind,src=/a,dst=/b,ro=maybe", "invalid value for ro"),
        ("type=bind,src,dst=/b", "invalid field \"src\" must be a key=value pair"),
        ("type=bind,src=/a,dst=/b,bind-propagation=x", "invalid propagation value \"x\""),
        ("type=tmpfs,src=/a,dst=/b", "a tmpfs has no source"),
        ("type=tmpfs,dst=/b,tmpfs-mode=99", "invalid value for tmpfs-mode: \"99\""),
        ("type=bind,src=/a,dst=/b,ro,rw", "both ro and rw"),
        ("dst=/b,volume-driver=nfs", "unknown volume driver \"nfs\" (only local is there)"),
        (
            "type=bind,src=/a,dst=/b,bind-recursive=readonly",
            "option 'bind-recursive=readonly' requires 'readonly'",
        ),
    ] {
        let error = parse_mount(text, base()).unwrap_err().chain();
        assert_eq!(error, format!("{message} in mount {text:?}"));
    }
    assert!(parse_mount("type=bind,\"src=/a,dst=/b", base()).is_err());
    assert!(parse_mount("type=bind,src=\"/a\",dst=/b", base()).is_err());
}

#[test]
fn memory_file_systems() {
    let parsed = parse_tmpfs("/t:size=64m,exec,ro,mode=1770").unwrap();
    assert_eq!(show(&parsed), "tmpfs None None on /t ro size=64m exec mode=1770");
    assert_eq!(show(&parse_tmpfs("/t").unwrap()), "tmpfs None None on /t");
    for bad in ["t", "/", "/t:foo", "/t:size=", "/t:,", "/t:upperdir=/x"] {
        assert!(parse_tmpfs(bad).is_err(), "{bad}");
    }
}
