//! Damage is found, named, and mended alone.

use super::*;
use crate::blob::BlobReader;

fn fetched(bytes: &Bytes) -> BlobReader {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(Blob::Bytes(bytes.clone()).into_reader()).unwrap()
}

/// Whatever `made` is made of.
fn find(made: &Made, what: &Descriptor) -> Result<BlobReader> {
    let manifest = (made.manifest.descriptor(), made.manifest.raw().clone());
    let all = made.leaves.iter().chain([&manifest]);
    let found = all.clone().find(|(here, _)| here.digest == what.digest);
    found.map(|(_, bytes)| fetched(bytes)).ok_or_else(|| Error::not_found("gone"))
}

#[test]
fn damaged_bytes_are_found_and_fetched_again() {
    let made = image(&[b"one", b"two"]);
    let digests: Vec<Digest> = made.leaves.iter().map(|(what, _)| what.digest.clone()).collect();
    let damages: [&[u8]; 4] = [b"", b"tw", b"twO", b"two!"];
    for digest in digests.iter().chain([made.manifest.digest()]) {
        for bytes in damages {
            let place = place();
            publish(&place.store, &made, &name("app")).unwrap();
            publish(&place.store, &image(&[b"other"]), &name("other")).unwrap();
            damage(&place.path_of(digest), bytes);
            let checked = place.store.check(&silent()).unwrap();
            assert_eq!((checked.names, checked.blobs), (2, 7));
            match &checked.findings[..] {
                [Finding::DamagedBlob { digest: found, needed_by, .. }] => {
                    assert_eq!(found, digest);
                    assert_eq!(*needed_by, ["docker.io/library/app:latest"]);
                }
                other => panic!("{other:?}"),
            }
            let mut asked = Vec::new();
            let mut fetch = |name: &str, what: &Descriptor| {
                asked.push((name.to_owned(), what.digest.clone()));
                find(&made, what)
            };
            let repaired = place.store.repair(&checked, &mut fetch).unwrap();
            assert_eq!(asked, [("docker.io/library/app:latest".to_owned(), digest.clone())]);
            assert_eq!(
                (&repaired.dropped[..], &repaired.fetched[..]),
                ([digest.clone()].as_slice(), [digest.clone()].as_slice())
            );
            assert!(repaired.left.is_empty() && place.findings().is_empty());
        }
    }
}

#[test]
fn what_is_missing_is_found_and_fetched_again() {
    let place = place();
    let (made, gone) = (image(&[b"one", b"two"]), image(&[b"three"]));
    let root = index(&[&made, &gone]);
    let writer = place.store.begin().unwrap();
    put(&writer, &made).unwrap();
    put_manifest(&writer, &root).unwrap();
    writer.publish(&[(name("app"), root.descriptor())]).unwrap();
    drop(writer);
    // Without its manifest nobody can tell what else is needed.
    for (what, _) in &made.leaves {
        std::fs::remove_file(place.path_of(&what.digest)).unwrap();
    }
    std::fs::remove_file(place.path_of(made.manifest.digest())).unwrap();
    let checked = place.store.check(&silent()).unwrap();
    let name = "docker.io/library/app:latest".to_owned();
    let what = made.manifest.descriptor();
    assert_eq!(checked.findings, [Finding::Missing { name: name.clone(), what: Box::new(what) }]);
    let two = &made.leaves[2].0;
    let mut once = |_: &str, what: &Descriptor| match what == two {
        true => Err(Error::not_found("nowhere to be had")),
        false => find(&made, what),
    };
    let repaired = place.store.repair(&checked, &mut once).unwrap();
    assert_eq!(repaired.fetched.len(), 3);
    assert_eq!(repaired.left, [(name.clone(), two.clone(), "nowhere to be had".to_owned())]);
    let checked = place.store.check(&silent()).unwrap();
    assert_eq!(checked.findings, [Finding::Missing { name, what: Box::new(two.clone()) }]);
    place.store.repair(&checked, &mut |_, what| find(&made, what)).unwrap();
    assert!(place.findings().is_empty());
}

#[test]
fn wrong_bytes_do_not_mend() {
    let place = place();
    let made = image(&[b"one"]);
    publish(&place.store, &made, &name("app")).unwrap();
    let layer = &made.leaves[1].0;
    damage(&place.path_of(&layer.digest), b"ONE");
    let checked = place.store.check(&silent()).unwrap();
    let mut wrong = |_: &str, _: &Descriptor| Ok(fetched(&Bytes::from_static(b"ONE")));
    let repaired = place.store.repair(&checked, &mut wrong).unwrap();
    assert_eq!((repaired.fetched.len(), repaired.left.len()), (0, 1));
    assert_eq!(place.store.size_of(&layer.digest).unwrap(), None, "so that a pull mends it");
    publish(&place.store, &made, &name("app")).unwrap();
    assert!(place.findings().is_empty());
}

#[test]
fn damaged_names_cost_one_image() {
    let place = place();
    let made = image(&[b"x"]);
    publish(&place.store, &made, &name("app")).unwrap();
    publish(&place.store, &made, &name("other")).unwrap();
    let file = place.store.image_path(&name("app"));
    let good = std::fs::read(&file).unwrap();
    let other = std::fs::read(place.store.image_path(&name("other"))).unwrap();
    for bytes in [&b""[..], b"{", b"[]", &good[..good.len() - 1], &other, b"\xff"] {
        std::fs::write(&file, bytes).unwrap();
        assert_eq!(place.names(), ["docker.io/library/other:latest"]);
        assert_eq!(place.store.resolve(&name("app")).unwrap_err().kind(), ErrorKind::Corrupt);
        let checked = place.store.check(&silent()).unwrap();
        assert!(
            matches!(&checked.findings[..], [Finding::DamagedName { file: found, .. }] if *found == file),
            "{:?}",
            checked.findings
        );
        let repaired = place.store.repair(&checked, &mut |_, _| unreachable!()).unwrap();
        assert_eq!(repaired.names, std::slice::from_ref(&file));
        assert!(place.findings().is_empty());
    }
    assert_eq!(place.blob_count(), 3);
}

#[test]
fn foreign_files_are_named_and_left_alone() {
    let place = place();
    publish(&place.store, &image(&[b"x"]), &name("app")).unwrap();
    let mut foreign = ["notes.txt", "blobs/md5", "blobs/sha256/short", "blobs/sha256/.nfs0"]
        .map(|path| place.root.join(path));
    for path in &foreign {
        std::fs::write(path, "not ours").unwrap();
    }
    std::os::unix::fs::symlink("/etc/passwd", place.path_of(&Digest::sha256(b"link"))).unwrap();
    let mut found: Vec<PathBuf> = place
        .findings()
        .into_iter()
        .map(|finding| match finding {
            Finding::Foreign { path } => path,
            other => panic!("{other:?}"),
        })
        .collect();
    found.sort();
    foreign.sort();
    let link = place.path_of(&Digest::sha256(b"link"));
    assert!(found.contains(&link));
    found.retain(|path| *path != link);
    assert_eq!(found, foreign);
    let checked = place.store.check(&silent()).unwrap();
    place.store.repair(&checked, &mut |_, _| unreachable!()).unwrap();
    place.store.prune(&PruneOptions::default()).unwrap();
    assert!(foreign.iter().all(|path| path.exists()) && link.is_symlink());
}

#[test]
fn every_byte_is_accounted_for() {
    let place = place();
    assert_eq!(place.store.usage().unwrap().bytes, 0);
    publish(&place.store, &image(&[&[1; 100_000], b"x"]), &name("app")).unwrap();
    let layer = place.root.join("layers/sha256-0/diff/etc");
    std::fs::create_dir_all(&layer).unwrap();
    std::fs::write(layer.join("a"), vec![2; 50_000]).unwrap();
    std::fs::hard_link(layer.join("a"), layer.join("b")).unwrap();
    std::os::unix::fs::symlink("/etc", layer.join("link")).unwrap();
    std::fs::write(place.root.join("stray"), vec![3; 10_000]).unwrap();
    let usage = place.store.usage().unwrap();
    let part = |name: &str| usage.parts.iter().find(|part| part.name == name).unwrap().clone();
    assert_eq!(part("blobs").files, 4);
    assert_eq!((part("layers").files, part("images").files), (2, 1));
    assert_eq!(part("layers").content, 50_000 + 4);
    assert!(part("other").bytes >= 10_000 && part("blobs").content > 100_001);
    let du = std::process::Command::new("du").args(["-s", "-x", "-B1"]).arg(&place.root).output();
    let du = String::from_utf8(du.unwrap().stdout).unwrap();
    assert_eq!(du.split_whitespace().next().unwrap(), usage.bytes.to_string());
}
