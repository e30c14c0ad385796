//! Many at once: nobody disturbs anybody, nobody waits for the dead.

use std::process::{Command, Stdio};
use std::time::Duration;

use super::*;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Ten layers of which the first nine are shared.
fn layered(last: u8) -> Made {
    let layers: Vec<Vec<u8>> = (0..9_u8).chain([100 + last]).map(|n| vec![n; 2000]).collect();
    image(&layers.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

#[test]
fn many_pulls_of_the_same_and_of_what_they_share() {
    let place = place();
    std::thread::scope(|scope| {
        for n in 0..16_u8 {
            let root = &place.root;
            scope.spawn(move || {
                let store = Store::open(root).unwrap();
                publish(&store, &layered(n / 4), &name(&format!("app:{n}"))).unwrap();
                publish(&store, &layered(n / 4), &name("same")).unwrap();
            });
        }
    });
    assert_eq!(place.names().len(), 17);
    // Nine shared layers; a layer, a config and a manifest of each of the four images.
    assert_eq!(place.blob_count(), 9 + 4 * 3);
    assert!(place.findings().is_empty());
    assert_eq!(count(&place.root.join("tmp")), 0);
}

#[test]
fn pruning_all_the_time_takes_nothing_from_a_pull() {
    let place = place();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (root, done) = (&place.root, &done);
        let pulls: Vec<_> = (0..3_u8)
            .map(|n| {
                scope.spawn(move || {
                    let store = Store::open(root).unwrap();
                    let made = layered(n);
                    for round in 0..30 {
                        let writer = store.begin().unwrap();
                        // As a copy does: look first, bring what is missing.
                        for (what, bytes) in &made.leaves {
                            if writer.need(what).unwrap() != Holding::Whole {
                                writer.put_reader(Role::Leaf, what, &bytes[..]).unwrap();
                            }
                            writer.commit().unwrap();
                        }
                        put_manifest(&writer, &made.manifest).unwrap();
                        let name = name(&format!("app:{n}"));
                        let root = made.manifest.descriptor();
                        writer.publish(&[(name.clone(), root.clone())]).unwrap();
                        drop(writer);
                        assert_eq!(store.missing(&root).unwrap(), [], "round {round}");
                        store.untag(&name).unwrap();
                    }
                })
            })
            .collect();
        scope.spawn(move || {
            let store = Store::open(root).unwrap();
            while !done.load(Ordering::Relaxed) {
                store.prune(&PruneOptions::default()).unwrap();
            }
        });
        let ended: Vec<_> = pulls.into_iter().map(|pull| pull.join()).collect();
        done.store(true, Ordering::Relaxed);
        ended.into_iter().for_each(|pull| pull.unwrap());
    });
    place.store.prune(&PruneOptions::default()).unwrap();
    assert_eq!((place.blob_count(), place.findings().len()), (0, 0));
}

#[test]
fn writers_and_sweepers_do_not_trip_over_each_other() {
    let place = place();
    std::thread::scope(|scope| {
        for n in 0..4_u8 {
            let place = &place;
            scope.spawn(move || {
                for round in 0..40_u8 {
                    let writer = place.store.begin().unwrap();
                    let bytes = [n, round];
                    let what = Descriptor::of(MediaType::Empty, &bytes);
                    writer.put_reader(Role::Leaf, &what, &bytes[..]).unwrap();
                    place.store.sweep().unwrap();
                    writer.commit().unwrap();
                    assert_eq!(place.store.size_of(&what.digest).unwrap(), Some(2));
                }
            });
        }
    });
    place.store.sweep().unwrap();
    assert_eq!(count(&place.root.join("tmp")), 0);
}

#[test]
fn one_download_serves_all_who_want_it() {
    let place = place();
    let content = Bytes::from((0..3_000_000_u32).map(|n| (n % 251) as u8).collect::<Vec<_>>());
    let server = Server::new(content.clone(), Duration::from_millis(5));
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let writer = Arc::new(place.store.begin().unwrap());
                runtime().block_on(writer.put(Role::Leaf, server.blob(), None)).unwrap();
                writer.commit().unwrap();
            });
        }
    });
    assert_eq!(place.store.size_of(&Digest::sha256(&content)).unwrap(), Some(3_000_000));
    assert_eq!(server.asked.load(Ordering::SeqCst), 1);
    assert_eq!(count(&place.root.join("partial")), 0);
}

#[test]
fn a_stopped_download_holds_nobody_up() {
    let place = place();
    let content = Bytes::from(vec![5; 2_000_000]);
    let digest = Digest::sha256(&content);
    let writer = Arc::new(place.store.begin().unwrap());
    let stopped = Partials::new(&place.root).take(&digest, 2_000_000, &place.root).unwrap();
    let server = Server::new(content, Duration::ZERO);
    runtime().block_on(writer.put(Role::Leaf, server.blob(), None)).unwrap();
    writer.commit().unwrap();
    assert_eq!(place.store.size_of(&digest).unwrap(), Some(2_000_000));
    drop(stopped);
}

const SLOW_SIZE: u64 = 20_000_000;
/// For a process that is to be killed: the root.
const ROOT: &str = "CREEL_STORE_TEST_KILL";

/// Runs in a process of its own, when asked to.
#[test]
fn downloads_until_it_is_killed() {
    let Ok(root) = std::env::var(ROOT) else { return };
    let store = Store::open(Path::new(&root)).unwrap();
    let writer = Arc::new(store.begin().unwrap());
    let small = Blob::Bytes(Bytes::from_static(b"small"));
    runtime().block_on(writer.put(Role::Leaf, small, None)).unwrap();
    let server = Server::new(slow_content(), Duration::from_millis(10));
    runtime().block_on(writer.put(Role::Leaf, server.blob(), None)).unwrap();
}

fn slow_content() -> Bytes {
    vec![9; SLOW_SIZE as usize].into()
}

#[test]
fn a_killed_download_goes_on_and_its_owner_is_forgotten() {
    let place = place();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::many::downloads_until_it_is_killed", "-q"])
        .env(ROOT, &place.root)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let digest = Digest::sha256(&slow_content());
    let partials = Partials::new(&place.root);
    // Past the first note of the hash's state.
    while partials.received(&digest) < 12_000_000 {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(count(&place.root.join("tmp")), 1);
    let partial = partials.take(&digest, SLOW_SIZE, &place.root).unwrap();
    let kept = partial.position();
    assert!(kept >= 8_000_000, "{kept}");
    drop(partial);
    let writer = Arc::new(place.store.begin().unwrap());
    assert_eq!(count(&place.root.join("tmp")), 1, "only ours is left");
    let server = Server::new(slow_content(), Duration::ZERO);
    runtime().block_on(writer.put(Role::Leaf, server.blob(), None)).unwrap();
    writer.commit().unwrap();
    assert!(place.findings().is_empty());
    assert_eq!((place.blob_count(), count(&place.root.join("partial"))), (1, 0));
}
