//! What is missing is said, and CI does not let it pass.

use crate::support::peers::{find, have, is_host_limit};

#[test]
fn needs() {
    assert!(have(&["sh", "true"]));
    assert!(find("sh").is_some() && find("no-such-program").is_none());
    assert!(is_host_limit("cgroup-v2") && is_host_limit("quota"));
    assert!(!is_host_limit("skopeo") && !is_host_limit("root") && !is_host_limit("need"));
}

#[test]
fn a_missing_program() {
    let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    let result = std::panic::catch_unwind(|| have(&["sh", "no-such-program"]));
    match result {
        Ok(there) => assert!(!there && !in_ci),
        Err(_) => assert!(in_ci),
    }
}
