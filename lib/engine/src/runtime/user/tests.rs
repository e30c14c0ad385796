use std::os::unix::fs::symlink;

use super::*;

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh
# a comment
daemon:x:1:1::/usr/sbin:/bin/false
web:x:1000:1000:Web:/home/web:/bin/sh
web:x:0:0:second:/root:/bin/sh
1000:x:0:0:trap:/root:/bin/sh
4294967296:x:0:0:trap:/root:/bin/sh
nohome:x:5:5
short:x:6
huge:x:4294967296:0::/:
minus:x:-1:0::/:
crlf:x:7:7::/crlf:/bin/sh\r
odd:x:8:8::/a\u{7}b:/bin/sh
relative:x:9:9::home:/bin/sh
last:x:10:10::/last:/bin/sh";

const GROUP: &str = "root:x:0:
wheel:x:10:root,web
audio:x:29:web
web:x:1000:
29:x:77:nobody
twice:x:10:web
bad:x:web
spaced:x:30: web , nobody ";

fn resolve(user: &str, further: &[&str]) -> Result<ResolvedUser> {
    let accounts = Accounts::new(PASSWD.as_bytes().to_vec(), GROUP.as_bytes().to_vec());
    let further: Vec<String> = further.iter().map(|group| (*group).to_owned()).collect();
    accounts.resolve(user, &further)
}

#[test]
fn docker_rules() {
    for (user, further, uid, groups, home) in [
        ("", &[][..], 0, &[0, 10][..], "/root"),
        ("root", &[], 0, &[0, 10], "/root"),
        ("daemon", &[], 1, &[1], "/usr/sbin"),
        ("web", &[], 1000, &[1000, 10, 29, 30], "/home/web"),
        // Digits are an ID, although a user has that name.
        ("1000", &[], 1000, &[1000, 10, 29, 30], "/home/web"),
        ("web:29", &[], 1000, &[29], "/home/web"),
        ("web:audio", &[], 1000, &[29], "/home/web"),
        ("1000:5000", &[], 1000, &[5000], "/home/web"),
        ("4242", &[], 4242, &[0], "/"),
        ("4242:4243", &["audio", "7", "4243"], 4242, &[4243, 29, 7], "/"),
        (":audio", &[], 0, &[29], "/root"),
        ("web:", &[], 1000, &[1000, 10, 29, 30], "/home/web"),
        ("nohome", &[], 5, &[5], "/"),
        ("crlf", &[], 7, &[7], "/crlf"),
        ("relative", &[], 9, &[9], "/"),
        ("odd", &[], 8, &[8], "/"),
        ("last", &[], 10, &[10], "/last"),
        ("2147483647", &[], 2_147_483_647, &[0], "/"),
    ] {
        let who = resolve(user, further).unwrap();
        assert_eq!(
            (who.uid, who.groups.as_slice(), who.home.as_str()),
            (uid, groups, home),
            "{user}"
        );
        assert_eq!(who.gid, who.groups[0], "{user}");
    }
}

#[test]
fn refused_users() {
    let range =
        |text: &str| format!("uids and gids must be in range 0-2147483647, but {text:?} was given");
    for (user, message) in [
        ("2147483648", range("2147483648")),
        ("4294967296", range("4294967296")),
        ("99999999999999999999", range("99999999999999999999")),
        ("-1", range("-1")),
        ("+5", range("+5")),
        ("web:-1", range("-1")),
        ("web:4294967296", range("4294967296")),
        (
            "nobody",
            "unable to find user \"nobody\": no matching entries in the image's passwd file".into(),
        ),
        (
            "web:none",
            "unable to find group \"none\": no matching entries in the image's group file".into(),
        ),
        ("a\nb", "\"a\\nb\" is not the name of a user or group".into()),
        ("a:b:c", "\"b:c\" is not the name of a user or group".into()),
    ] {
        assert_eq!(resolve(user, &[]).unwrap_err().chain(), message);
    }
    // Entries whose numbers do not fit are no entries.
    for user in ["huge", "minus", "short"] {
        assert_eq!(resolve(user, &[]).unwrap_err().kind(), ErrorKind::NotFound, "{user}");
    }
    assert_eq!(resolve("web", &["none"]).unwrap_err().kind(), ErrorKind::NotFound);
}

fn in_root(make: impl FnOnce(&std::path::Path)) -> Result<ResolvedUser> {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("root");
    std::fs::create_dir_all(root.join("etc")).unwrap();
    std::fs::write(place.path().join("secret"), "web:x:666:666::/:").unwrap();
    make(&root);
    Accounts::read(&Root::open(&root).unwrap())?.resolve("web", &[])
}

#[test]
fn links_stay_inside_the_root() {
    let uid = in_root(|root| {
        std::fs::create_dir(root.join("real")).unwrap();
        std::fs::write(root.join("real/passwd"), "web:x:5:5::/:").unwrap();
        symlink("/real/passwd", root.join("etc/passwd")).unwrap();
    });
    assert_eq!(uid.unwrap().uid, 5);
    for target in ["../../secret", "/secret", "../../../../../../secret"] {
        let error = in_root(|root| symlink(target, root.join("etc/passwd")).unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{target}");
    }
    let looped = in_root(|root| symlink("passwd", root.join("etc/passwd")).unwrap());
    assert!(looped.unwrap_err().chain().starts_with("reading /etc/passwd of the image: "));
}

#[test]
fn only_regular_files_of_a_sane_size_are_read() {
    let pipe = in_root(|root| {
        let dir = crate::sys::Dir::open(&root.join("etc")).unwrap();
        let device = crate::sys::Device::default();
        dir.make_node(b"passwd", crate::sys::FileKind::Fifo, 0o644, device).unwrap();
    });
    assert_eq!(pipe.unwrap_err().chain(), "reading /etc/passwd of the image: not a regular file");
    let directory = in_root(|root| std::fs::create_dir(root.join("etc/passwd")).unwrap());
    assert!(directory.unwrap_err().chain().contains("/etc/passwd of the image"));
    let huge = in_root(|root| {
        std::fs::write(root.join("etc/passwd"), "web:x:5:5::/:\n").unwrap();
        let file = File::options().write(true).open(root.join("etc/passwd")).unwrap();
        file.set_len(MAX_ACCOUNTS + 1).unwrap();
    });
    assert_eq!(
        huge.unwrap_err().chain(),
        "reading /etc/passwd of the image: larger than 16777216 bytes"
    );
    let missing = in_root(|root| std::fs::remove_dir(root.join("etc")).unwrap());
    assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
}
