//! What mounted images keep.

use super::trees::{archive, packed, settings, whole};
use super::*;

fn trees_after_prune(store: &Store) -> u64 {
    store.prune(&PruneOptions::default()).unwrap();
    store.check(&silent()).unwrap().layers
}

#[test]
fn what_is_mounted_stays_until_it_is_forgotten_or_the_machine_restarts() {
    let place = place();
    let made = packed(&[archive(&[("a", 0o644, "content")])]);
    publish(&place.store, &made, &name("app")).unwrap();
    let needs = [made.manifest.digest().clone()];
    let target = Path::new("/mnt/somewhere");
    for by_restart in [false, true] {
        publish(&place.store, &made, &name("app")).unwrap();
        place.store.begin().unwrap().unpack(&whole(&made), &settings()).unwrap();
        let directory = place.store.note_mount(target, &needs).unwrap();
        let again = place.store.note_mount(target, &needs).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AlreadyExists);
        place.store.untag(&name("app")).unwrap();
        assert_eq!(trees_after_prune(&place.store), 1);
        assert_eq!(place.store.mounts().unwrap(), [target]);
        match by_restart {
            true => std::fs::write(directory.join(super::super::mounts::BOOT), "another").unwrap(),
            false => assert!(place.store.forget_mount(target).unwrap()),
        }
        assert_eq!(trees_after_prune(&place.store), 0);
        assert!(!place.store.forget_mount(target).unwrap());
    }
}
