//! What goes and what stays.

use std::time::{Duration, SystemTime};

use super::*;

const ALL: PruneOptions = PruneOptions { older_than: None, max_size: None, dry_run: false };

#[test]
fn only_what_nothing_refers_to_goes() {
    let place = place();
    let (kept, gone) = (image(&[b"shared", b"kept"]), image(&[b"shared", b"gone!"]));
    publish(&place.store, &kept, &name("kept")).unwrap();
    publish(&place.store, &gone, &name("gone")).unwrap();
    let foreign = place.root.join("blobs/sha256/README");
    std::fs::write(&foreign, "not ours").unwrap();
    place.store.untag(&name("gone")).unwrap();
    let dry = place.store.prune(&PruneOptions { dry_run: true, ..ALL }).unwrap();
    assert_eq!(place.blob_count(), 7);
    let pruned = place.store.prune(&ALL).unwrap();
    assert_eq!(pruned, dry);
    let config = gone.leaves[0].0.size;
    let bytes = config + gone.manifest.raw().len() as u64 + 5;
    assert_eq!((pruned.blobs, pruned.bytes, pruned.names.len()), (3, bytes, 0));
    assert_eq!(place.store.holding(&kept.manifest.descriptor()).unwrap(), Holding::Whole);
    assert!(foreign.exists());
    assert_eq!(place.findings(), [Finding::Foreign { path: foreign }]);
    assert_eq!(place.store.prune(&ALL).unwrap(), Pruned::default());
}

#[test]
fn removing_an_image_leaves_what_others_need() {
    let place = place();
    let (kept, gone) = (image(&[b"shared", b"kept"]), image(&[b"shared", b"gone"]));
    publish(&place.store, &kept, &name("kept")).unwrap();
    publish(&place.store, &gone, &name("gone")).unwrap();
    let writer = place.store.begin().unwrap();
    writer
        .put_reader(Role::Leaf, &Descriptor::of(MediaType::Empty, b"loose"), &b"loose"[..])
        .unwrap();
    writer.commit().unwrap();
    drop(writer);
    let removed = place.store.remove(&name("gone")).unwrap();
    assert_eq!(removed.names, ["docker.io/library/gone:latest"]);
    assert_eq!((removed.blobs, place.blob_count()), (3, 5), "what is loose is not its business");
    assert_eq!(place.store.holding(&kept.manifest.descriptor()).unwrap(), Holding::Whole);
    assert_eq!(place.store.remove(&name("gone")).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn untagged_results_go_and_signatures_stay_with_their_image() {
    let place = place();
    let (tagged, result) = (image(&[b"tagged"]), image(&[b"result"]));
    publish(&place.store, &tagged, &name("app")).unwrap();
    publish(&place.store, &result, &untagged(&result.manifest)).unwrap();
    let signed = signature(&tagged.manifest);
    let twice = signature(&signed.manifest);
    let other = signature(&result.manifest);
    for made in [&signed, &twice, &other] {
        publish(&place.store, made, &untagged(&made.manifest)).unwrap();
    }
    let pruned = place.store.prune(&ALL).unwrap();
    let mut expected =
        vec![untagged(&result.manifest).to_string(), untagged(&other.manifest).to_string()];
    expected.sort();
    assert_eq!(pruned.names, expected);
    assert_eq!(place.names().len(), 3);
    place.store.remove(&name("app")).unwrap();
    assert_eq!(place.store.prune(&ALL).unwrap().names.len(), 2);
    assert_eq!((place.names().len(), place.blob_count()), (0, 0));
}

#[test]
fn what_is_young_stays_when_asked() {
    let place = place();
    let result = image(&[b"result"]);
    publish(&place.store, &result, &untagged(&result.manifest)).unwrap();
    let writer = place.store.begin().unwrap();
    writer.put_reader(Role::Leaf, &Descriptor::of(MediaType::Empty, b"old"), &b"old"[..]).unwrap();
    writer.commit().unwrap();
    drop(writer);
    let old = std::fs::File::open(place.path_of(&Digest::sha256(b"old"))).unwrap();
    let hour = Duration::from_secs(3600);
    let prune = || place.store.prune(&PruneOptions { older_than: Some(hour), ..ALL }).unwrap();
    // A clock that jumps makes nothing old.
    old.set_modified(SystemTime::now() + hour * 24).unwrap();
    assert_eq!(prune(), Pruned::default());
    old.set_modified(SystemTime::now() - hour * 2).unwrap();
    let pruned = prune();
    assert_eq!((pruned.names.len(), pruned.blobs, pruned.bytes), (0, 1, 3));
    assert_eq!(place.names().len(), 1);
}

#[test]
fn the_oldest_names_go_to_make_room() {
    let place = place();
    for (at, text) in ["old", "middle", "new"].iter().enumerate() {
        publish(&place.store, &image(&[&[at as u8; 10_000]]), &name(text)).unwrap();
        let path = place.store.image_path(&name(text));
        let mut image = place.store.image(&name(text)).unwrap().unwrap();
        image.updated = format!("202{at}-01-01T00:00:00Z");
        std::fs::write(path, serde_json::to_vec(&image).unwrap()).unwrap();
    }
    let limit = |max_size| PruneOptions { max_size: Some(max_size), ..ALL };
    assert_eq!(place.store.prune(&limit(40_000)).unwrap().names.len(), 0);
    let pruned = place.store.prune(&limit(25_000)).unwrap();
    assert_eq!(pruned.names, ["docker.io/library/old:latest"]);
    assert!(place.findings().is_empty());
    // What was used lately stays, whatever room it takes.
    publish(&place.store, &image(&[b"young"]), &name("young")).unwrap();
    let aged = PruneOptions { older_than: Some(Duration::from_secs(3600)), ..limit(0) };
    let pruned = place.store.prune(&aged).unwrap();
    assert_eq!(pruned.names, ["docker.io/library/new:latest", "docker.io/library/middle:latest"]);
    assert_eq!(place.names(), ["docker.io/library/young:latest"]);
    assert_eq!(place.store.prune(&limit(0)).unwrap().names.len(), 1);
    assert_eq!(place.blob_count(), 0);
}

#[test]
fn what_a_living_writer_needs_stays() {
    let place = place();
    let made = image(&[b"one", b"two"]);
    publish(&place.store, &made, &name("app")).unwrap();
    place.store.untag(&name("app")).unwrap();
    let writer = place.store.begin().unwrap();
    // The manifest alone is asked for; what it needs is meant as well.
    writer.need(&made.manifest.descriptor()).unwrap();
    let loose = Descriptor::of(MediaType::Empty, b"loose");
    writer.put_reader(Role::Leaf, &loose, &b"loose"[..]).unwrap();
    writer.commit().unwrap();
    assert_eq!(place.store.prune(&ALL).unwrap().blobs, 0);
    writer.publish(&[(name("again"), made.manifest.descriptor())]).unwrap();
    drop(writer);
    assert_eq!(place.store.prune(&ALL).unwrap().blobs, 1);
    assert_eq!(place.store.holding(&made.manifest.descriptor()).unwrap(), Holding::Whole);
}

#[test]
fn what_a_container_needs_stays() {
    let place = place();
    let made = image(&[b"x"]);
    publish(&place.store, &made, &name("app")).unwrap();
    let record = place.root.join("containers/c1");
    std::fs::create_dir_all(&record).unwrap();
    std::fs::write(record.join("needs"), format!("{}\n", made.manifest.digest())).unwrap();
    place.store.remove(&name("app")).unwrap();
    place.store.prune(&ALL).unwrap();
    assert_eq!(place.store.holding(&made.manifest.descriptor()).unwrap(), Holding::Whole);
    std::fs::remove_dir_all(record).unwrap();
    assert_eq!(place.store.prune(&ALL).unwrap().blobs, 3);
}

#[test]
fn a_manifest_that_another_image_calls_a_layer_still_leads_on() {
    let place = place();
    let good = image(&[b"good"]);
    publish(&place.store, &good, &name("zz-good")).unwrap();
    let bad = image(&[good.manifest.raw()]);
    publish(&place.store, &bad, &name("aa-bad")).unwrap();
    assert_eq!(place.store.prune(&ALL).unwrap().blobs, 0);
    place.store.remove(&name("aa-bad")).unwrap();
    assert_eq!(place.store.holding(&good.manifest.descriptor()).unwrap(), Holding::Whole);
}

#[test]
fn nothing_goes_when_something_in_use_cannot_be_read() {
    let made = image(&[b"x"]);
    for bytes in [&b"\0"[..], b"{", &made.manifest.raw()[1..]] {
        let place = place();
        publish(&place.store, &made, &name("app")).unwrap();
        let mut padded = bytes.to_vec();
        padded.resize(made.manifest.raw().len(), b' ');
        damage(&place.path_of(made.manifest.digest()), &padded);
        let error = place.store.prune(&ALL).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.chain().contains("nothing was removed"), "{error:?}");
        assert_eq!(place.blob_count(), 3);
    }
    let place = place();
    publish(&place.store, &made, &name("app")).unwrap();
    std::fs::write(place.store.image_path(&name("app")), "{").unwrap();
    assert_eq!(place.store.prune(&ALL).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(place.blob_count(), 3);
}

#[test]
fn cut_transfers_go_unless_somebody_is_at_them() {
    let place = place();
    publish(&place.store, &image(&[b"x"]), &name("app")).unwrap();
    let partials = Partials::new(&place.root);
    let take = |bytes: &[u8]| partials.take(&Digest::sha256(bytes), 100, &place.root).unwrap();
    let busy = take(b"busy");
    let idle = take(b"idle");
    let path = idle.path().to_owned();
    drop(idle);
    std::fs::write(&path, "1234").unwrap();
    std::fs::write(path.with_extension("state"), "12").unwrap();
    std::fs::create_dir_all(place.store.uploads()).unwrap();
    std::fs::write(place.store.uploads().join("note.json"), "123").unwrap();
    let pruned = place.store.prune(&ALL).unwrap();
    assert_eq!((pruned.partials, pruned.bytes), (1, 9));
    assert!(busy.path().exists() && !path.exists());
    assert_eq!(count(&place.root.join("partial")), 1);
    assert_eq!(count(&place.store.uploads()), 0);
}
