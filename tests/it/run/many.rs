//! Many runs: every byte arrives, and nothing piles up.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::machine::{Machine, need_containers};

const LANES: usize = 8;

/// A tenth of the long form.
fn runs() -> usize {
    if std::env::var_os("CREEL_SOAK").is_some() { 10_000 } else { 1000 }
}

/// The cgroups of these containers, in any hierarchy. Those of other tests are not our business.
fn groups(ids: &[String]) -> Vec<PathBuf> {
    let hierarchies = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    let parents = hierarchies.map(|entry| entry.path().join("creel"));
    let groups = parents.flat_map(|parent| ids.iter().map(move |id| parent.join(id)));
    groups.filter(|group| group.exists()).collect()
}

#[test]
fn output_is_whole_however_short_the_run() {
    need_containers!();
    let machine = Machine::new();
    let id_file = |number: usize| machine.sandbox.path(&format!("id-{number}"));
    let id = |number| fs::read_to_string(id_file(number)).expect("the file of the ID");
    let next = AtomicUsize::new(0);
    let lane = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= runs() {
                return;
            }
            // With and without an end of line, on both streams; some on a terminal.
            let end = if number.is_multiple_of(2) { "\\n" } else { "" };
            let script = format!("printf 'out {number}{end}'; printf 'err {number}{end}' >&2");
            let id_file = id_file(number).display().to_string();
            let id_flag = ["--cidfile", &id_file];
            if number.is_multiple_of(20) {
                let flags = [&id_flag[..], &["-t"]].concat();
                let out = machine.run(&flags, &["sh", "-c", &script]).run().success();
                assert_eq!(out.stdout, format!("out {number}\r\nerr {number}\r\n"));
                continue;
            }
            let out = machine.run(&id_flag, &["sh", "-c", &script]).run().success();
            let end = if number.is_multiple_of(2) { "\n" } else { "" };
            assert_eq!(out.stdout, format!("out {number}{end}"));
            assert_eq!(out.stderr, format!("err {number}{end}"));
        }
    };
    std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES).map(|_| scope.spawn(lane)).collect();
        // Others look at the same store meanwhile.
        while lanes.iter().any(|lane| !lane.is_finished()) {
            machine.creel(["ps", "-aq"]).run().success();
            machine.sandbox.copy(["prune"]).run().success();
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        lanes.into_iter().for_each(|lane| lane.join().expect("a lane"));
    });
    machine.nothing_left();
    let ids: Vec<String> = (0..runs()).map(id).collect();
    assert_eq!(groups(&ids), Vec::<PathBuf>::new());
}
