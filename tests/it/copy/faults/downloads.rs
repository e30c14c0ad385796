//! Bodies that break off, stall, lie about themselves or come from the wrong place.

use std::time::Duration;

use super::Fixture;
use crate::support::log::Kind;
use crate::support::registry::{Fault, always, once};

#[test]
fn cut_downloads_go_on_where_they_stopped() {
    let size = Fixture::new(300_000).size();
    for cut in [0, 1, size / 2, size - 1] {
        let f = Fixture::new(300_000);
        let fault = once("GET", Kind::Blob).path(f.layer());
        let dropped = f.registry.inject(fault, Fault::DropAfter(cut));
        f.pull().run().success();
        assert_eq!(dropped.fired(), 1);
        f.assert_pulled();
        let asked = f.layer_requests();
        let rest = (cut > 0).then(|| format!("bytes={cut}-{}", size - 1));
        assert_eq!(asked.len(), 2, "{}", f.registry.log_text());
        assert_eq!((asked[0].range.clone(), asked[1].range.clone()), (None, rest));
        assert_eq!((asked[0].sent, asked[1].sent), (cut, size - cut));
    }
}

#[test]
fn downloads_that_are_cut_again_and_again() {
    let f = Fixture::new(9 << 20);
    let dropped = f.registry.inject(always("GET", Kind::Blob), Fault::DropAfter(2 << 20));
    f.pull().args(["--retry-times", "1"]).run().success();
    // Progress restores patience: one retry is enough for any number of cuts.
    assert_eq!(dropped.fired(), 1 + 5);
    f.assert_pulled();

    let f = Fixture::new(2 << 20);
    f.registry.inject(always("GET", Kind::Blob).path(f.layer()), Fault::DropAfter(10));
    let failed = f.pull().args(["--retry-times", "3"]).run().fails(5);
    failed.says("giving up at byte 40 of").says(f.layer());
    assert_eq!(f.layer_requests().len(), 4);
    f.assert_nothing_named();
}

#[test]
fn a_slow_body_is_no_failure() {
    let f = Fixture::new(200_000);
    let slow = Fault::Slow { bytes: 10_000, pause: Duration::from_millis(10) };
    let paced = f.registry.inject(always("GET", Kind::Blob), slow);
    f.pull().args(["--stall-timeout", "2s", "--retry-times", "0"]).run().success();
    assert_eq!(paced.fired(), 2);
    f.assert_pulled();
}

#[test]
fn a_stalled_body_goes_on_where_it_stopped() {
    let f = Fixture::new(200_000);
    let when = once("GET", Kind::Blob).path(f.layer());
    let stalled = f.registry.inject(when, Fault::StallAfter(1000));
    f.pull().args(["--stall-timeout", "300ms"]).run().success();
    assert_eq!(stalled.fired(), 1);
    f.assert_pulled();
    let ranges: Vec<_> = f.layer_requests().into_iter().map(|r| r.range).collect();
    assert_eq!(ranges, [None, Some(format!("bytes=1000-{}", f.size() - 1))]);

    let f = Fixture::new(200_000);
    f.registry.inject(always("GET", Kind::Blob).path(f.layer()), Fault::StallAfter(1000));
    let failed = f.pull().args(["--stall-timeout", "300ms", "--retry-times", "1"]).run().fails(5);
    failed.says("no progress").says("giving up at byte 2000");
    f.assert_nothing_named();
}

#[test]
fn dripping_is_stalling() {
    let f = Fixture::new(200_000);
    let drip = Fault::Slow { bytes: 1, pause: Duration::from_millis(20) };
    f.registry.inject(always("GET", Kind::Blob).path(f.layer()), drip);
    let failed = f.pull().args(["--stall-timeout", "400ms", "--retry-times", "0"]).run().fails(5);
    failed.says("no progress");
}

#[test]
fn wrong_bytes_are_asked_for_once_more() {
    for fault in [Fault::FlipByte(1000), Fault::Shorten(1000), Fault::Lengthen(7)] {
        let f = Fixture::new(200_000);
        let spoiled = f.registry.inject(once("GET", Kind::Blob).path(f.layer()), fault.clone());
        f.pull().run().success();
        assert_eq!(spoiled.fired(), 1);
        f.assert_pulled();

        for target in [None, Some("store:x"), Some("TO")] {
            let f = Fixture::new(200_000);
            let always = always("GET", Kind::Blob).path("/app/").path(f.layer());
            let spoiled = f.registry.inject(always, fault.clone());
            let other = crate::support::registry::TestRegistry::start();
            match target {
                None => f.pull().run().fails(6).says(f.layer()),
                Some("TO") => f.to(&other.image("app:1")).run().fails(6).says(f.layer()),
                Some(target) => f.to(target).run().fails(6).says(f.layer()),
            };
            assert!((1..=2).contains(&spoiled.fired()), "{} times", spoiled.fired());
            f.assert_nothing_named();
            assert!(other.tags("app").is_empty());
            f.sandbox.copy(["digest", "store:x"]).run().fails(3);
        }
    }
}

#[test]
fn bodies_without_a_length() {
    let f = Fixture::new(200_000);
    f.registry.inject(always("GET", Kind::Blob), Fault::NoLength);
    f.pull().run().success();
    f.assert_pulled();

    // Too little is a cut; too much is wrong, and is noticed at the first byte too many.
    let f = Fixture::new(200_000);
    f.registry.inject(always("GET", Kind::Blob), Fault::NoLength);
    f.registry.inject(once("GET", Kind::Blob).path(f.layer()), Fault::Shorten(1000));
    f.pull().run().success();
    f.assert_pulled();
    assert_eq!(f.layer_requests()[1].range.as_deref().map(|r| &r[..11]), Some("bytes=1000-"));

    for fault in [Fault::Lengthen(1), Fault::Endless] {
        let f = Fixture::new(200_000);
        f.registry.inject(always("GET", Kind::Blob), Fault::NoLength);
        f.registry.inject(always("GET", Kind::Blob).path(f.layer()), fault);
        f.pull().run().fails(6).says(f.layer());
        f.assert_nothing_named();
        f.to("store:x").run().fails(6);
    }
}

#[test]
fn ranges_that_are_not_given() {
    // The whole again: what is known already is skipped.
    let f = Fixture::new(200_000);
    f.registry.inject(once("GET", Kind::Blob).path(f.layer()), Fault::DropAfter(100_000));
    let ignored = f.registry.inject(always("GET", Kind::Blob), Fault::IgnoreRange);
    f.pull().run().success();
    assert!(ignored.fired() >= 2);
    f.assert_pulled();
    let sent: Vec<u64> = f.layer_requests().iter().map(|r| r.sent).collect();
    assert_eq!(sent, [100_000, f.size()]);
}

#[test]
fn ranges_that_are_wrong() {
    let size = Fixture::new(200_000).size();
    for (fault, text) in [
        (Fault::set("Content-Range", "bytes 0-9/10"), "bytes 0-9/10"),
        (Fault::set("Content-Range", &format!("bytes 99999-{}/{size}", size - 1)), "99999"),
        (Fault::set("Content-Range", &format!("bytes 100000-{}/9999999", size - 1)), "9999999"),
        (Fault::unset("Content-Range"), "nothing"),
        (Fault::status(416), "ends before byte 100000"),
    ] {
        let f = Fixture::new(200_000);
        f.registry.inject(once("GET", Kind::Blob).path(f.layer()), Fault::DropAfter(100_000));
        let when = always("GET", Kind::Blob).path(f.layer()).after(1);
        let wrong = f.registry.inject(when, fault);
        let output = f.pull().run();
        assert!(wrong.fired() >= 1);
        // Beginning again from zero is as good as refusing.
        match output.code() {
            Some(0) => f.assert_pulled(),
            _ => {
                output.fails(6).says(text);
                f.assert_nothing_named();
            }
        }
    }
}
