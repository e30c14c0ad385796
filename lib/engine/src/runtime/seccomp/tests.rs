use super::*;
use crate::runtime::capabilities::DEFAULT;

fn host() -> SeccompHost {
    SeccompHost { architecture: "amd64".into(), kernel: (6, 1), ia32: true, x32: true }
}

fn default_filter(host: &SeccompHost, more: &[Capability]) -> LinuxSeccomp {
    let held = DEFAULT.iter().chain(more).copied().collect();
    resolve(&SeccompChoice::Default, host, &held).unwrap().unwrap()
}

/// The rules for one call, as text.
fn rules(filter: &LinuxSeccomp, name: &str) -> Vec<String> {
    let calls = filter.syscalls().iter().flatten();
    let named = calls.filter(|call| call.names().iter().any(|known| known == name));
    named
        .map(|call| {
            let arguments =
                call.args().iter().flatten().map(|a| {
                    format!(" {} {} {:#x} {:?}", a.index(), a.op(), a.value(), a.value_two())
                });
            let errno = call.errno_ret().map(|errno| format!(" {errno}")).unwrap_or_default();
            format!("{}{errno}{}", call.action(), arguments.collect::<String>())
        })
        .collect()
}

const ALLOW: &str = "SCMP_ACT_ALLOW";

#[test]
fn docker_defaults() {
    let filter = default_filter(&host(), &[]);
    assert_eq!(filter.default_action(), LinuxSeccompAction::ScmpActErrno);
    assert_eq!(filter.default_errno_ret(), Some(1));
    assert_eq!(
        filter.architectures().as_deref().unwrap(),
        [Arch::ScmpArchX86_64, Arch::ScmpArchX86, Arch::ScmpArchX32]
    );
    for allowed in ["read", "ptrace", "chroot", "arch_prctl", "modify_ldt", "openat2", "writev"] {
        assert_eq!(rules(&filter, allowed), [ALLOW], "{allowed}");
    }
    for denied in [
        "mount",
        "umount2",
        "pivot_root",
        "swapon",
        "reboot",
        "bpf",
        "setns",
        "unshare",
        "perf_event_open",
        "keyctl",
        "add_key",
        "kexec_load",
        "init_module",
        "userfaultfd",
        "io_uring_setup",
        "open_by_handle_at",
        "iopl",
        "settimeofday",
        "vhangup",
        "mbind",
        "syslog",
        "quotactl",
        "open_tree",
        "acct",
        "cacheflush",
        "sync_file_range2",
    ] {
        assert_eq!(rules(&filter, denied), [""; 0], "{denied}");
    }
    assert_eq!(rules(&filter, "clone3"), ["SCMP_ACT_ERRNO 38"]);
    assert_eq!(rules(&filter, "clone"), ["SCMP_ACT_ALLOW 0 SCMP_CMP_MASKED_EQ 0x7e020000 Some(0)"]);
    assert_eq!(
        rules(&filter, "socket"),
        [
            "SCMP_ACT_ALLOW 0 SCMP_CMP_LT 0x26 None",
            "SCMP_ACT_ALLOW 0 SCMP_CMP_EQ 0x27 None",
            "SCMP_ACT_ALLOW 0 SCMP_CMP_GT 0x28 None"
        ]
    );
    assert_eq!(rules(&filter, "personality").len(), 5);
    let names: usize = filter.syscalls().iter().flatten().map(|call| call.names().len()).sum();
    assert_eq!(names, 361 + 3 + 3 + 5 + 1 + 1 + 1 + 1 + 1);
}

#[test]
fn capabilities_open_calls() {
    let admin = default_filter(&host(), &[Capability::SysAdmin]);
    for name in ["mount", "clone", "clone3", "setns", "bpf", "syslog"] {
        assert_eq!(rules(&admin, name), [ALLOW], "{name}");
    }
    for (capability, name) in [
        (Capability::SysTime, "clock_settime64"),
        (Capability::SysNice, "mbind"),
        (Capability::Bpf, "bpf"),
        (Capability::Syslog, "syslog"),
        (Capability::DacReadSearch, "open_by_handle_at"),
    ] {
        assert_eq!(rules(&default_filter(&host(), &[capability]), name), [ALLOW], "{name}");
    }
    let none = resolve(&SeccompChoice::Default, &host(), &HashSet::new()).unwrap().unwrap();
    assert_eq!(rules(&none, "chroot"), [""; 0]);
}

#[test]
fn hosts_differ() {
    let old = default_filter(&SeccompHost { kernel: (4, 7), ..host() }, &[]);
    assert_eq!(rules(&old, "ptrace"), [""; 0]);
    let newer = default_filter(&SeccompHost { kernel: (4, 8), ..host() }, &[]);
    assert_eq!(rules(&newer, "ptrace"), [ALLOW]);
    let s390 = default_filter(&SeccompHost { architecture: "s390x".into(), ..host() }, &[]);
    assert_eq!(rules(&s390, "clone"), ["SCMP_ACT_ALLOW 1 SCMP_CMP_MASKED_EQ 0x7e020000 Some(0)"]);
    let arm = default_filter(&SeccompHost { architecture: "arm64".into(), ..host() }, &[]);
    assert_eq!(rules(&arm, "cacheflush"), [ALLOW]);
    assert_eq!(rules(&arm, "arch_prctl"), [""; 0]);
    assert_eq!(arm.architectures().as_deref().unwrap(), [Arch::ScmpArchAarch64, Arch::ScmpArchArm]);
    for (ia32, x32, known) in [
        (true, false, &[Arch::ScmpArchX86_64, Arch::ScmpArchX86][..]),
        (false, true, &[Arch::ScmpArchX86_64, Arch::ScmpArchX32]),
        (false, false, &[Arch::ScmpArchX86_64]),
    ] {
        let filter = default_filter(&SeccompHost { ia32, x32, ..host() }, &[]);
        assert_eq!(filter.architectures().as_deref().unwrap(), known);
    }
}

fn own(json: &str) -> Result<LinuxSeccomp> {
    let choice = SeccompChoice::Profile { name: "p.json".into(), json: json.into() };
    Ok(resolve(&choice, &host(), &HashSet::from([Capability::Chown]))?.unwrap())
}

#[test]
fn own_profiles() {
    let filter = own(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64"],"syscalls":[
        {"name":"chmod","action":"SCMP_ACT_ERRNO","args":null},
        {"names":["a","b"],"action":"SCMP_ACT_KILL","args":[{"index":1,"value":2,"op":"SCMP_CMP_GE"}],
         "includes":{"caps":["CAP_CHOWN"],"minKernel":"3.1"},"excludes":{}},
        {"names":["c"],"action":"SCMP_ACT_KILL","excludes":{"caps":["CAP_CHOWN"]}}]}"#,
    )
    .unwrap();
    assert_eq!(rules(&filter, "chmod"), ["SCMP_ACT_ERRNO"]);
    assert_eq!(rules(&filter, "b"), ["SCMP_ACT_KILL 1 SCMP_CMP_GE 0x2 None"]);
    assert_eq!(rules(&filter, "c"), [""; 0]);
    assert_eq!(filter.architectures().as_deref().unwrap(), [Arch::ScmpArchX86_64]);
    let unconfined = resolve(&SeccompChoice::Unconfined, &host(), &HashSet::new());
    assert_eq!(unconfined.unwrap(), None);
}

#[test]
fn broken_profiles() {
    for (json, part) in [
        ("{", "it is not valid JSON"),
        ("{}", "missing field `defaultAction`"),
        (r#"{"defaultAction":"SCMP_ACT_ALLOW","defaultAction":"SCMP_ACT_KILL"}"#, "is there twice"),
        (r#"{"defaultAction":"NO"}"#, "unknown variant `NO`"),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"a","names":["b"],"action":"SCMP_ACT_KILL"}]}"#,
            "both \"name\" and \"names\"",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],"archMap":[{"architecture":"SCMP_ARCH_X86"}]}"#,
            "both \"architectures\" and \"archMap\"",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"a","action":"SCMP_ACT_KILL","includes":{"minKernel":"x"}}]}"#,
            "invalid kernel version \"x\"",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"a","action":"SCMP_ACT_KILL","args":[{"index":6,"value":1,"op":"SCMP_CMP_EQ"}]}]}"#,
            "a call has 6 arguments",
        ),
    ] {
        let error = own(json).unwrap_err().chain();
        assert!(error.contains(part), "{error}");
    }
}
