//! Golden texts: one whole configuration, then what each option changes in it.

use std::collections::BTreeMap;

use super::*;
use crate::runtime::capabilities;
use crate::runtime::devices::HostDevice;
use crate::runtime::flags::*;
use crate::runtime::host::{CgroupVersion, Cgroups};
use crate::runtime::options::*;

fn host() -> HostFacts {
    HostFacts {
        architecture: "amd64".into(),
        kernel: (6, 1),
        ia32: true,
        x32: false,
        // The filter has tests of its own and would fill these texts.
        seccomp: false,
        hostname: "box".into(),
        apparmor: false,
        apparmor_profile: None,
        selinux: false,
        uid: 0,
        mapped_ids: u64::from(u32::MAX),
        capabilities: capabilities::from_mask(0x1ff_feff_ffff),
        hard_limits: BTreeMap::from([(LimitKind::Nofile, 20000), (LimitKind::Core, UNLIMITED)]),
        processors: 4,
        cpus: "0-3".into(),
        memory_nodes: "0".into(),
        cgroups: Cgroups {
            version: CgroupVersion::V2,
            controllers: ["cpu", "cpuset", "io", "memory", "pids"].map(str::to_owned).into(),
            systemd: false,
            writable: true,
            swap: true,
        },
        mqueue: true,
        thermal_paths: Vec::new(),
        devices: Vec::new(),
    }
}

fn image() -> ImageDefaults {
    ImageDefaults {
        entrypoint: vec!["/bin/app".into()],
        cmd: vec!["serve".into()],
        env: vec!["PATH=/bin".into(), "A=image".into(), "odd".into(), "=odd".into()],
        workdir: "/srv/../data".into(),
        labels: BTreeMap::from([("a".into(), "b".into())]),
        ..ImageDefaults::default()
    }
}

fn container() -> Container {
    Container {
        id: "0123456789abcdef".repeat(4),
        root: "/run/x/root".into(),
        user: ResolvedUser { home: "/root".into(), groups: vec![0, 10], ..Default::default() },
        files: BTreeMap::from([("/etc/hosts".into(), "/run/x/hosts".into())]),
        ..Container::default()
    }
}

fn text(options: &RunOptions, host: &HostFacts, container: &Container) -> String {
    let built = build(options, &image(), host, container).unwrap();
    String::from_utf8(to_json(&built.spec).unwrap()).unwrap()
}

/// One line for each value; things with a name of their own are listed under it.
fn flatten(value: &Value, path: &str, out: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| flatten(value, &format!("{path}.{key}"), out));
        }
        Value::Array(list) if list.iter().any(Value::is_object) => {
            for item in list {
                let name = ["destination", "path", "type"]
                    .iter()
                    .find_map(|key| item.get(key)?.as_str())
                    .filter(|_| path != ".linux.resources.devices");
                match name {
                    Some(name) => out.push(format!("{path} {name} {item}")),
                    None => out.push(format!("{path} {item}")),
                }
            }
        }
        _ => out.push(format!("{path} {value}")),
    }
}

fn lines(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    flatten(&serde_json::from_str(text).unwrap(), "", &mut out);
    out
}

/// What differs from the configuration without options.
fn check_on(options: RunOptions, host: &HostFacts, container: &Container, expected: &str) {
    let plain = lines(&text(&RunOptions::default(), &self::host(), &self::container()));
    let changed = lines(&text(&options, host, container));
    let mut out = String::new();
    for line in plain.iter().filter(|line| !changed.contains(line)) {
        out.push_str(&format!("- {line}\n"));
    }
    for line in changed.iter().filter(|line| !plain.contains(line)) {
        out.push_str(&format!("+ {line}\n"));
    }
    assert_eq!(out.trim_end(), expected.trim(), "\n{out}");
}

fn check(options: RunOptions, expected: &str) {
    check_on(options, &host(), &container(), expected);
}

#[test]
fn without_options() {
    let text = text(&RunOptions::default(), &host(), &container());
    let expected = r#"
.ociVersion "1.0.2"
.root.path "/run/x/root"
.root.readonly false
.mounts /proc {"destination":"/proc","type":"proc","source":"proc","options":["nosuid","noexec","nodev"]}
.mounts /dev {"destination":"/dev","type":"tmpfs","source":"tmpfs","options":["nosuid","strictatime","mode=755","size=65536k"]}
.mounts /dev/pts {"destination":"/dev/pts","type":"devpts","source":"devpts","options":["nosuid","noexec","newinstance","ptmxmode=0666","mode=0620","gid=5"]}
.mounts /sys {"destination":"/sys","type":"sysfs","source":"sysfs","options":["nosuid","noexec","nodev","ro"]}
.mounts /sys/fs/cgroup {"destination":"/sys/fs/cgroup","type":"cgroup","source":"cgroup","options":["ro","nosuid","noexec","nodev"]}
.mounts /dev/mqueue {"destination":"/dev/mqueue","type":"mqueue","source":"mqueue","options":["nosuid","noexec","nodev"]}
.mounts /dev/shm {"destination":"/dev/shm","type":"tmpfs","source":"shm","options":["nosuid","noexec","nodev","mode=1777","size=67108864"]}
.mounts /etc/hosts {"destination":"/etc/hosts","type":"bind","source":"/run/x/hosts","options":["rbind","rprivate"]}
.process.terminal false
.process.user.uid 0
.process.user.gid 0
.process.user.umask 18
.process.user.additionalGids [0,10]
.process.args ["/bin/app","serve"]
.process.env ["PATH=/bin","HOSTNAME=0123456789ab","A=image","HOME=/root"]
.process.cwd "/data"
.process.capabilities.bounding ["CAP_AUDIT_WRITE","CAP_CHOWN","CAP_DAC_OVERRIDE","CAP_FOWNER","CAP_FSETID","CAP_KILL","CAP_MKNOD","CAP_NET_BIND_SERVICE","CAP_NET_RAW","CAP_SETFCAP","CAP_SETGID","CAP_SETPCAP","CAP_SETUID","CAP_SYS_CHROOT"]
.process.capabilities.effective ["CAP_AUDIT_WRITE","CAP_CHOWN","CAP_DAC_OVERRIDE","CAP_FOWNER","CAP_FSETID","CAP_KILL","CAP_MKNOD","CAP_NET_BIND_SERVICE","CAP_NET_RAW","CAP_SETFCAP","CAP_SETGID","CAP_SETPCAP","CAP_SETUID","CAP_SYS_CHROOT"]
.process.capabilities.inheritable []
.process.capabilities.permitted ["CAP_AUDIT_WRITE","CAP_CHOWN","CAP_DAC_OVERRIDE","CAP_FOWNER","CAP_FSETID","CAP_KILL","CAP_MKNOD","CAP_NET_BIND_SERVICE","CAP_NET_RAW","CAP_SETFCAP","CAP_SETGID","CAP_SETPCAP","CAP_SETUID","CAP_SYS_CHROOT"]
.process.capabilities.ambient []
.process.rlimits RLIMIT_NOFILE {"type":"RLIMIT_NOFILE","hard":20000,"soft":20000}
.process.noNewPrivileges false
.hostname "0123456789ab"
.linux.sysctl.net.ipv4.ip_unprivileged_port_start "0"
.linux.sysctl.net.ipv4.ping_group_range "0 2147483647"
.linux.resources.devices {"allow":false,"access":"rwm"}
.linux.cgroupsPath "/creel/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
.linux.namespaces mount {"type":"mount"}
.linux.namespaces network {"type":"network"}
.linux.namespaces uts {"type":"uts"}
.linux.namespaces pid {"type":"pid"}
.linux.namespaces ipc {"type":"ipc"}
.linux.namespaces cgroup {"type":"cgroup"}
.linux.maskedPaths ["/proc/acpi","/proc/asound","/proc/interrupts","/proc/kcore","/proc/keys","/proc/latency_stats","/proc/sched_debug","/proc/scsi","/proc/timer_list","/proc/timer_stats","/sys/devices/virtual/powercap","/sys/firmware"]
.linux.readonlyPaths ["/proc/bus","/proc/fs","/proc/irq","/proc/sys","/proc/sysrq-trigger"]
"#;
    let out = lines(&text).join("\n");
    assert_eq!(out, expected.trim(), "\n{out}");
}

#[test]
fn words_and_places() {
    let options = RunOptions {
        command: vec!["-c".into(), "x \"y\"".into()],
        entrypoint: Some(vec!["sh".into()]),
        env: vec!["A=mine".into(), "B=".into(), "HOME=/h".into()],
        unset_env: ["HOSTNAME".to_owned()].into(),
        workdir: Some("/w/".into()),
        umask: Some(0o077),
        hostname: Some("web.example".into()),
        domainname: Some("nis".into()),
        init: Some("/usr/libexec/init".into()),
        oom_score_adj: Some(-5),
        annotations: BTreeMap::from([("b".into(), "2".into()), ("a".into(), "1".into())]),
        terminal: Some(TerminalSize { rows: 24, columns: 80 }),
        ..RunOptions::default()
    };
    check(
        options,
        r#"
- .process.terminal false
- .process.user.umask 18
- .process.args ["/bin/app","serve"]
- .process.env ["PATH=/bin","HOSTNAME=0123456789ab","A=image","HOME=/root"]
- .process.cwd "/data"
- .hostname "0123456789ab"
+ .mounts /sbin/docker-init {"destination":"/sbin/docker-init","type":"bind","source":"/usr/libexec/init","options":["bind","rprivate","ro"]}
+ .process.terminal true
+ .process.consoleSize.height 24
+ .process.consoleSize.width 80
+ .process.user.umask 63
+ .process.args ["/sbin/docker-init","--","sh","-c","x \"y\""]
+ .process.env ["PATH=/bin","TERM=xterm","A=mine","B=","HOME=/h"]
+ .process.cwd "/w"
+ .process.oomScoreAdj -5
+ .hostname "web.example"
+ .annotations.a "1"
+ .annotations.b "2"
+ .linux.sysctl.kernel.domainname "nis"
"#,
    );
}

#[test]
fn nothing_of_the_image_s_environment() {
    let options = RunOptions { unset_env_all: true, env: vec!["X=1".into()], ..Default::default() };
    check(
        options,
        r#"
- .process.env ["PATH=/bin","HOSTNAME=0123456789ab","A=image","HOME=/root"]
+ .process.env ["X=1"]
"#,
    );
}

#[test]
fn capabilities_and_security() {
    let mut security = SecurityOptions { no_new_privileges: true, ..Default::default() };
    security.unmask = vec!["/proc/t*".into(), "/proc/sys".into()];
    security.mask = vec!["/proc/uptime".into()];
    security.proc_options = vec!["hidepid=2".into()];
    security.writable_cgroups = true;
    let options = RunOptions {
        cap_add: parse_capabilities(&["sys_time"]).unwrap(),
        cap_drop: parse_capabilities(&["all"]).unwrap(),
        security,
        ..RunOptions::default()
    };
    check(
        options,
        r#"
- .mounts /proc {"destination":"/proc","type":"proc","source":"proc","options":["nosuid","noexec","nodev"]}
- .mounts /sys/fs/cgroup {"destination":"/sys/fs/cgroup","type":"cgroup","source":"cgroup","options":["ro","nosuid","noexec","nodev"]}
- .process.capabilities.bounding ["CAP_AUDIT_WRITE","CAP_CHOWN","CAP_DAC_OVERRIDE","CAP_FOWNER","CAP_FSETID","CAP_KILL","CAP_MKNOD","CAP_NET_BIND_SERVICE","CAP_NET_RAW","CAP_SETFCAP","CAP_SETGID","CAP_SETPCAP","CAP_SETUID","CAP_SYS_CHROOT"]
- .process.capabilities.effective ["CAP_AUDIT_WRITE","CAP_CHOWN","CAP_DAC_OVERRIDE","CAP_FOWNER","CAP_FSETID","CAP_KILL","CAP_MKNOD","CAP_NET_BIND_SERVICE","CAP_NET_RAW","CAP_SETFCAP","CAP_SETGID","CAP_SETPCAP","CAP_SETUID","CAP_SYS_CHROOT"]
- .process.capabilities.permitted ["CAP_AUDIT_WRITE","CAP_CHOWN","CAP_DAC_OVERRIDE","CAP_FOWNER","CAP_FSETID","CAP_KILL","CAP_MKNOD","CAP_NET_BIND_SERVICE","CAP_NET_RAW","CAP_SETFCAP","CAP_SETGID","CAP_SETPCAP","CAP_SETUID","CAP_SYS_CHROOT"]
- .process.noNewPrivileges false
- .linux.maskedPaths ["/proc/acpi","/proc/asound","/proc/interrupts","/proc/kcore","/proc/keys","/proc/latency_stats","/proc/sched_debug","/proc/scsi","/proc/timer_list","/proc/timer_stats","/sys/devices/virtual/powercap","/sys/firmware"]
- .linux.readonlyPaths ["/proc/bus","/proc/fs","/proc/irq","/proc/sys","/proc/sysrq-trigger"]
+ .mounts /proc {"destination":"/proc","type":"proc","source":"proc","options":["nosuid","noexec","nodev","hidepid=2"]}
+ .mounts /sys/fs/cgroup {"destination":"/sys/fs/cgroup","type":"cgroup","source":"cgroup","options":["nosuid","noexec","nodev"]}
+ .process.capabilities.bounding ["CAP_SYS_TIME"]
+ .process.capabilities.effective ["CAP_SYS_TIME"]
+ .process.capabilities.permitted ["CAP_SYS_TIME"]
+ .process.noNewPrivileges true
+ .linux.maskedPaths ["/proc/acpi","/proc/asound","/proc/interrupts","/proc/kcore","/proc/keys","/proc/latency_stats","/proc/sched_debug","/proc/scsi","/sys/devices/virtual/powercap","/sys/firmware","/proc/uptime"]
+ .linux.readonlyPaths ["/proc/bus","/proc/fs","/proc/irq","/proc/sysrq-trigger"]
"#,
    );
}

#[test]
fn privileged() {
    let device = HostDevice {
        path: "/dev/sda".into(),
        kind: 'b',
        major: 8,
        minor: 0,
        mode: 0o660,
        uid: 0,
        gid: 6,
    };
    let host = HostFacts { devices: vec![device], apparmor_profile: Some("p".into()), ..host() };
    let options = RunOptions { privileged: true, ..RunOptions::default() };
    check_on(
        options,
        &host,
        &container(),
        r#"
- .mounts /sys {"destination":"/sys","type":"sysfs","source":"sysfs","options":["nosuid","noexec","nodev","ro"]}
- .mounts /sys/fs/cgroup {"destination":"/sys/fs/cgroup","type":"cgroup","source":"cgroup","options":["ro","nosuid","noexec","nodev"]}
- .process.capabilities.bounding ["CAP_AUDIT_WRITE","CAP_CHOWN","CAP_DAC_OVERRIDE","CAP_FOWNER","CAP_FSETID","CAP_KILL","CAP_MKNOD","CAP_NET_BIND_SERVICE","CAP_NET_RAW","CAP_SETFCAP","CAP_SETGID","CAP_SETPCAP","CAP_SETUID","CAP_SYS_CHROOT"]
- .process.capabilities.effective ["CAP_AUDIT_WRITE","CAP_CHOWN","CAP_DAC_OVERRIDE","CAP_FOWNER","CAP_FSETID","CAP_KILL","CAP_MKNOD","CAP_NET_BIND_SERVICE","CAP_NET_RAW","CAP_SETFCAP","CAP_SETGID","CAP_SETPCAP","CAP_SETUID","CAP_SYS_CHROOT"]
- .process.capabilities.permitted ["CAP_AUDIT_WRITE","CAP_CHOWN","CAP_DAC_OVERRIDE","CAP_FOWNER","CAP_FSETID","CAP_KILL","CAP_MKNOD","CAP_NET_BIND_SERVICE","CAP_NET_RAW","CAP_SETFCAP","CAP_SETGID","CAP_SETPCAP","CAP_SETUID","CAP_SYS_CHROOT"]
- .linux.resources.devices {"allow":false,"access":"rwm"}
- .linux.maskedPaths ["/proc/acpi","/proc/asound","/proc/interrupts","/proc/kcore","/proc/keys","/proc/latency_stats","/proc/sched_debug","/proc/scsi","/proc/timer_list","/proc/timer_stats","/sys/devices/virtual/powercap","/sys/firmware"]
- .linux.readonlyPaths ["/proc/bus","/proc/fs","/proc/irq","/proc/sys","/proc/sysrq-trigger"]
+ .mounts /sys {"destination":"/sys","type":"sysfs","source":"sysfs","options":["nosuid","noexec","nodev"]}
+ .mounts /sys/fs/cgroup {"destination":"/sys/fs/cgroup","type":"cgroup","source":"cgroup","options":["nosuid","noexec","nodev"]}
+ .process.capabilities.bounding ["CAP_AUDIT_CONTROL","CAP_AUDIT_READ","CAP_AUDIT_WRITE","CAP_BLOCK_SUSPEND","CAP_BPF","CAP_CHECKPOINT_RESTORE","CAP_CHOWN","CAP_DAC_OVERRIDE","CAP_DAC_READ_SEARCH","CAP_FOWNER","CAP_FSETID","CAP_IPC_LOCK","CAP_IPC_OWNER","CAP_KILL","CAP_LEASE","CAP_LINUX_IMMUTABLE","CAP_MAC_ADMIN","CAP_MAC_OVERRIDE","CAP_MKNOD","CAP_NET_ADMIN","CAP_NET_BIND_SERVICE","CAP_NET_BROADCAST","CAP_NET_RAW","CAP_PERFMON","CAP_SETFCAP","CAP_SETGID","CAP_SETPCAP","CAP_SETUID","CAP_SYSLOG","CAP_SYS_ADMIN","CAP_SYS_BOOT","CAP_SYS_CHROOT","CAP_SYS_MODULE","CAP_SYS_NICE","CAP_SYS_PACCT","CAP_SYS_PTRACE","CAP_SYS_RAWIO","CAP_SYS_TIME","CAP_SYS_TTY_CONFIG","CAP_WAKE_ALARM"]
+ .process.capabilities.effective ["CAP_AUDIT_CONTROL","CAP_AUDIT_READ","CAP_AUDIT_WRITE","CAP_BLOCK_SUSPEND","CAP_BPF","CAP_CHECKPOINT_RESTORE","CAP_CHOWN","CAP_DAC_OVERRIDE","CAP_DAC_READ_SEARCH","CAP_FOWNER","CAP_FSETID","CAP_IPC_LOCK","CAP_IPC_OWNER","CAP_KILL","CAP_LEASE","CAP_LINUX_IMMUTABLE","CAP_MAC_ADMIN","CAP_MAC_OVERRIDE","CAP_MKNOD","CAP_NET_ADMIN","CAP_NET_BIND_SERVICE","CAP_NET_BROADCAST","CAP_NET_RAW","CAP_PERFMON","CAP_SETFCAP","CAP_SETGID","CAP_SETPCAP","CAP_SETUID","CAP_SYSLOG","CAP_SYS_ADMIN","CAP_SYS_BOOT","CAP_SYS_CHROOT","CAP_SYS_MODULE","CAP_SYS_NICE","CAP_SYS_PACCT","CAP_SYS_PTRACE","CAP_SYS_RAWIO","CAP_SYS_TIME","CAP_SYS_TTY_CONFIG","CAP_WAKE_ALARM"]
+ .process.capabilities.permitted ["CAP_AUDIT_CONTROL","CAP_AUDIT_READ","CAP_AUDIT_WRITE","CAP_BLOCK_SUSPEND","CAP_BPF","CAP_CHECKPOINT_RESTORE","CAP_CHOWN","CAP_DAC_OVERRIDE","CAP_DAC_READ_SEARCH","CAP_FOWNER","CAP_FSETID","CAP_IPC_LOCK","CAP_IPC_OWNER","CAP_KILL","CAP_LEASE","CAP_LINUX_IMMUTABLE","CAP_MAC_ADMIN","CAP_MAC_OVERRIDE","CAP_MKNOD","CAP_NET_ADMIN","CAP_NET_BIND_SERVICE","CAP_NET_BROADCAST","CAP_NET_RAW","CAP_PERFMON","CAP_SETFCAP","CAP_SETGID","CAP_SETPCAP","CAP_SETUID","CAP_SYSLOG","CAP_SYS_ADMIN","CAP_SYS_BOOT","CAP_SYS_CHROOT","CAP_SYS_MODULE","CAP_SYS_NICE","CAP_SYS_PACCT","CAP_SYS_PTRACE","CAP_SYS_RAWIO","CAP_SYS_TIME","CAP_SYS_TTY_CONFIG","CAP_WAKE_ALARM"]
+ .linux.resources.devices {"allow":true,"access":"rwm"}
+ .linux.devices /dev/sda {"path":"/dev/sda","type":"b","major":8,"minor":0,"fileMode":432,"uid":0,"gid":6}
"#,
    );
}

#[test]
fn mounts_in_order() {
    let base = std::path::Path::new("/home");
    let options = RunOptions {
        mounts: vec![
            parse_volume("/a:/x/y:ro,rslave", base).unwrap(),
            parse_volume("vol:/x", base).unwrap(),
            parse_mount("type=bind,src=/b,dst=/b,ro,bind-recursive=writable", base).unwrap(),
            parse_tmpfs("/t:exec,size=1m,ro").unwrap(),
            parse_mount("type=tmpfs,dst=/dev/shm,tmpfs-size=5,tmpfs-mode=0700", base).unwrap(),
            parse_volume("/hosts:/etc/hosts", base).unwrap(),
        ],
        ..RunOptions::default()
    };
    let mut container = container();
    container.sources.insert("/x".into(), "/vol/data".into());
    container.sources.insert("/a".into(), "/unused".into());
    check_on(
        options,
        &host(),
        &container,
        r#"
- .mounts /dev/shm {"destination":"/dev/shm","type":"tmpfs","source":"shm","options":["nosuid","noexec","nodev","mode=1777","size=67108864"]}
- .mounts /etc/hosts {"destination":"/etc/hosts","type":"bind","source":"/run/x/hosts","options":["rbind","rprivate"]}
+ .mounts /x {"destination":"/x","type":"bind","source":"/vol/data","options":["rbind","rprivate"]}
+ .mounts /b {"destination":"/b","type":"bind","source":"/b","options":["rbind","rprivate","ro"]}
+ .mounts /t {"destination":"/t","type":"tmpfs","source":"tmpfs","options":["nosuid","nodev","exec","size=1m","ro"]}
+ .mounts /x/y {"destination":"/x/y","type":"bind","source":"/a","options":["rbind","rslave","ro","rro"]}
+ .mounts /dev/shm {"destination":"/dev/shm","type":"tmpfs","source":"tmpfs","options":["noexec","nosuid","nodev","mode=700","size=5"]}
+ .mounts /etc/hosts {"destination":"/etc/hosts","type":"bind","source":"/hosts","options":["rbind","rprivate"]}
+ .linux.rootfsPropagation "rslave"
"#,
    );
}

#[test]
fn a_dev_of_their_own() {
    let base = std::path::Path::new("/");
    let mounts = vec![parse_volume("/dev:/dev:noexec", base).unwrap()];
    check(
        RunOptions { mounts, ..RunOptions::default() },
        r#"
- .mounts /dev {"destination":"/dev","type":"tmpfs","source":"tmpfs","options":["nosuid","strictatime","mode=755","size=65536k"]}
- .mounts /dev/pts {"destination":"/dev/pts","type":"devpts","source":"devpts","options":["nosuid","noexec","newinstance","ptmxmode=0666","mode=0620","gid=5"]}
- .mounts /dev/mqueue {"destination":"/dev/mqueue","type":"mqueue","source":"mqueue","options":["nosuid","noexec","nodev"]}
- .mounts /dev/shm {"destination":"/dev/shm","type":"tmpfs","source":"shm","options":["nosuid","noexec","nodev","mode=1777","size=67108864"]}
+ .mounts /dev {"destination":"/dev","type":"bind","source":"/dev","options":["rbind","rprivate","noexec"]}
"#,
    );
}

#[test]
fn a_terminal_beside_a_dev_of_their_own() {
    for target in ["/dev", "/dev/console"] {
        let text = format!("{target}:{target}");
        let mount = parse_volume(&text, std::path::Path::new("/")).unwrap();
        let mut options = RunOptions { mounts: vec![mount], ..RunOptions::default() };
        let rules = |options: &RunOptions| {
            let spec = build(options, &image(), &host(), &container()).unwrap().spec;
            let resources = spec.linux().as_ref().unwrap().resources().clone().unwrap();
            serde_json::to_string(resources.devices().as_ref().unwrap()).unwrap()
        };
        assert!(!rules(&options).contains("\"major\":5"), "{target}");
        options.terminal = Some(TerminalSize::default());
        assert!(rules(&options).contains("\"major\":5,\"minor\":1"), "{target}");
        options.mounts.clear();
        assert!(!rules(&options).contains("\"major\":5"), "{target}");
    }
}

/// The name that a container's programs see, and whether it has an init program.
#[test]
fn names_and_init_follow_what_is_shared() {
    let short = "0123456789ab";
    let init = || Some("/usr/libexec/init".into());
    let mode = |words: &str| match words {
        "host" => NamespaceMode::Host,
        _ => NamespaceMode::Private,
    };
    for (network, uts, pid, asked, name) in [
        ("own", "own", "own", None, short),
        ("host", "own", "own", None, "box"),
        ("own", "host", "host", None, "box"),
        ("host", "own", "host", Some("web"), "web"),
        ("own", "own", "host", Some("web"), "web"),
    ] {
        let options = RunOptions {
            hostname: asked.map(str::to_owned),
            init: init(),
            namespaces: Namespaces {
                network: mode(network),
                uts: mode(uts),
                pid: mode(pid),
                ..Namespaces::default()
            },
            ..RunOptions::default()
        };
        let text = text(&options, &host(), &container());
        assert!(text.contains(&format!("\"HOSTNAME={name}\"")), "{network} {uts}: {text}");
        let own_uts = format!("\"hostname\":\"{name}\"");
        assert_eq!(text.contains(&own_uts), uts == "own", "{network} {uts}");
        assert_eq!(text.contains("docker-init"), pid == "own", "{pid}");
    }
}

#[test]
fn a_domain_name_is_set_by_what_the_runtime_knows() {
    let mut options = RunOptions { domainname: Some("nis".into()), ..RunOptions::default() };
    let plain = text(&options, &host(), &container());
    assert!(plain.contains("\"kernel.domainname\":\"nis\"") && !plain.contains("\"domainname\""));
    // In a user namespace nobody may write that setting.
    let users = vec![parse_id_range("0:100000:65536").unwrap()];
    options.namespaces.user = UserMode::Mapped(IdMap { users, groups: vec![] });
    let mapped = text(&options, &host(), &container());
    assert!(mapped.contains("\"domainname\":\"nis\"") && !mapped.contains("kernel.domainname"));
    // What a person says of the setting itself counts.
    options.namespaces.user = UserMode::Host;
    options.sysctls.insert("kernel.domainname".into(), "other".into());
    assert!(text(&options, &host(), &container()).contains("\"kernel.domainname\":\"other\""));
}

#[test]
fn volumes_count_more_than_memory_of_a_read_only_root() {
    let mut container = container();
    container.sources.insert("/tmp".into(), "/vol/tmp".into());
    let mut image = image();
    image.volumes.insert("/tmp".into());
    let options = RunOptions { read_only: true, read_only_tmpfs: true, ..RunOptions::default() };
    let spec = build(&options, &image, &host(), &container).unwrap().spec;
    let at = |target: &str| {
        let mounts = spec.mounts().iter().flatten();
        let at = mounts.filter(|mount| mount.destination() == std::path::Path::new(target));
        at.map(|mount| mount.typ().clone().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(at("/tmp"), ["bind"]);
    assert_eq!(at("/run"), ["tmpfs"]);
}

#[test]
fn a_read_only_root() {
    let options = RunOptions {
        read_only: true,
        read_only_tmpfs: true,
        mounts: vec![parse_tmpfs("/tmp").unwrap()],
        shm_size: Some(1024),
        ..RunOptions::default()
    };
    check(
        options,
        r#"
- .root.readonly false
- .mounts /dev/shm {"destination":"/dev/shm","type":"tmpfs","source":"shm","options":["nosuid","noexec","nodev","mode=1777","size=67108864"]}
- .mounts /etc/hosts {"destination":"/etc/hosts","type":"bind","source":"/run/x/hosts","options":["rbind","rprivate"]}
+ .root.readonly true
+ .mounts /dev/shm {"destination":"/dev/shm","type":"tmpfs","source":"shm","options":["nosuid","noexec","nodev","mode=1777","size=1024"]}
+ .mounts /tmp {"destination":"/tmp","type":"tmpfs","source":"tmpfs","options":["noexec","nosuid","nodev"]}
+ .mounts /run {"destination":"/run","type":"tmpfs","source":"tmpfs","options":["nosuid","nodev","tmpcopyup"]}
+ .mounts /var/tmp {"destination":"/var/tmp","type":"tmpfs","source":"tmpfs","options":["nosuid","nodev","tmpcopyup"]}
+ .mounts /etc/hosts {"destination":"/etc/hosts","type":"bind","source":"/run/x/hosts","options":["rbind","rprivate","ro"]}
"#,
    );
}

#[test]
fn limits_under_v2() {
    let resources = Resources {
        memory: Some(64 << 20),
        memory_reservation: Some(32 << 20),
        memory_swappiness: Some(5),
        nano_cpus: Some(1_500_000_000),
        cpu_shares: Some(512),
        cpuset_cpus: Some("0-1".into()),
        pids: Some(100),
        blkio_weight: Some(300),
        read_bps: vec![DeviceRate { path: "/dev/sda".into(), rate: 1 << 20 }],
        oom_kill_disable: true,
        ..Resources::default()
    };
    let mut container = container();
    container.rated.insert("/dev/sda".into(), (8, 0));
    let options = RunOptions {
        resources,
        ulimits: vec![
            parse_ulimit("nofile=5:6").unwrap(),
            parse_ulimit("core=-1").unwrap(),
            parse_ulimit("nofile=10:30000").unwrap(),
        ],
        cgroup_parent: Some("/jobs".into()),
        ..RunOptions::default()
    };
    let warnings = build(&options, &image(), &host(), &container).unwrap().warnings;
    assert_eq!(
        warnings,
        [
            "--memory-swappiness does nothing under cgroup v2",
            "--oom-kill-disable does nothing under cgroup v2",
            "ulimit nofile is 20000 instead of 30000: this process may not raise it",
        ]
    );
    check_on(
        options,
        &host(),
        &container,
        r#"
- .process.rlimits RLIMIT_NOFILE {"type":"RLIMIT_NOFILE","hard":20000,"soft":20000}
- .linux.cgroupsPath "/creel/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
+ .process.rlimits RLIMIT_CORE {"type":"RLIMIT_CORE","hard":18446744073709551615,"soft":18446744073709551615}
+ .process.rlimits RLIMIT_NOFILE {"type":"RLIMIT_NOFILE","hard":20000,"soft":10}
+ .linux.resources.memory.limit 67108864
+ .linux.resources.memory.reservation 33554432
+ .linux.resources.memory.swap 134217728
+ .linux.resources.cpu.shares 512
+ .linux.resources.cpu.quota 150000
+ .linux.resources.cpu.period 100000
+ .linux.resources.cpu.cpus "0-1"
+ .linux.resources.pids.limit 100
+ .linux.resources.blockIO.weight 300
+ .linux.resources.blockIO.throttleReadBpsDevice {"major":8,"minor":0,"rate":1048576}
+ .linux.cgroupsPath "/jobs/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
"#,
    );
}

#[test]
fn limits_under_v1() {
    let mut host = host();
    host.cgroups.version = CgroupVersion::Hybrid;
    let options = RunOptions {
        resources: Resources {
            memory: Some(64 << 20),
            memory_swap: Some(-1),
            memory_swappiness: Some(5),
            oom_kill_disable: true,
            cpu_period: Some(50_000),
            cpu_quota: Some(25_000),
            ..Resources::default()
        },
        ..RunOptions::default()
    };
    check_on(
        options,
        &host,
        &container(),
        r#"
- .linux.namespaces cgroup {"type":"cgroup"}
+ .linux.resources.memory.limit 67108864
+ .linux.resources.memory.swap -1
+ .linux.resources.memory.swappiness 5
+ .linux.resources.memory.disableOOMKiller true
+ .linux.resources.cpu.quota 25000
+ .linux.resources.cpu.period 50000
"#,
    );
}

#[test]
fn hosts_that_do_not_count_swap() {
    let mut host = host();
    host.cgroups.swap = false;
    let with = |swap| RunOptions {
        resources: Resources { memory: Some(8 << 20), memory_swap: swap, ..Default::default() },
        ..RunOptions::default()
    };
    check_on(with(None), &host, &container(), "+ .linux.resources.memory.limit 8388608");
    check_on(with(Some(9 << 20)), &host, &container(), "+ .linux.resources.memory.limit 8388608");
    assert_eq!(
        check_options(&with(Some(9 << 20)), &host).unwrap(),
        ["this kernel does not limit swap: memory is limited without it"]
    );
}

#[test]
fn shared_namespaces() {
    let options = RunOptions {
        namespaces: Namespaces {
            ipc: IpcMode::Host,
            pid: NamespaceMode::Path("/proc/7/ns/pid".into()),
            uts: NamespaceMode::Host,
            cgroup: Some(NamespaceMode::Host),
            user: UserMode::Host,
            network: NamespaceMode::Host,
        },
        ..RunOptions::default()
    };
    check(
        options,
        r#"
- .mounts /dev/shm {"destination":"/dev/shm","type":"tmpfs","source":"shm","options":["nosuid","noexec","nodev","mode=1777","size=67108864"]}
- .process.env ["PATH=/bin","HOSTNAME=0123456789ab","A=image","HOME=/root"]
- .hostname "0123456789ab"
- .linux.sysctl.net.ipv4.ip_unprivileged_port_start "0"
- .linux.sysctl.net.ipv4.ping_group_range "0 2147483647"
- .linux.namespaces network {"type":"network"}
- .linux.namespaces uts {"type":"uts"}
- .linux.namespaces pid {"type":"pid"}
- .linux.namespaces ipc {"type":"ipc"}
- .linux.namespaces cgroup {"type":"cgroup"}
+ .mounts /dev/shm {"destination":"/dev/shm","type":"bind","source":"/dev/shm","options":["rbind","nosuid","noexec","nodev"]}
+ .process.env ["PATH=/bin","HOSTNAME=box","A=image","HOME=/root"]
+ .linux.namespaces /proc/7/ns/pid {"type":"pid","path":"/proc/7/ns/pid"}
"#,
    );
}

#[test]
fn a_network_that_was_made() {
    let container = Container { network: Some("/run/x/net".into()), ..container() };
    check_on(
        RunOptions::default(),
        &host(),
        &container,
        r#"
- .linux.namespaces network {"type":"network"}
+ .linux.namespaces /run/x/net {"type":"network","path":"/run/x/net"}
"#,
    );
}

#[test]
fn user_namespaces() {
    let users = vec![parse_id_range("0:100000:4").unwrap()];
    let options = RunOptions {
        namespaces: Namespaces {
            user: UserMode::Mapped(IdMap { users, groups: Vec::new() }),
            network: NamespaceMode::Host,
            ..Namespaces::default()
        },
        mounts: vec![parse_volume("/a:/a:ro,idmap", std::path::Path::new("/")).unwrap()],
        ..RunOptions::default()
    };
    let mut container = container();
    container.user.groups = vec![0];
    check_on(
        options,
        &host(),
        &container,
        r#"
- .mounts /dev/pts {"destination":"/dev/pts","type":"devpts","source":"devpts","options":["nosuid","noexec","newinstance","ptmxmode=0666","mode=0620","gid=5"]}
- .mounts /sys {"destination":"/sys","type":"sysfs","source":"sysfs","options":["nosuid","noexec","nodev","ro"]}
- .process.user.additionalGids [0,10]
- .process.env ["PATH=/bin","HOSTNAME=0123456789ab","A=image","HOME=/root"]
- .hostname "0123456789ab"
- .linux.sysctl.net.ipv4.ip_unprivileged_port_start "0"
- .linux.sysctl.net.ipv4.ping_group_range "0 2147483647"
- .linux.namespaces network {"type":"network"}
+ .mounts /dev/pts {"destination":"/dev/pts","type":"devpts","source":"devpts","options":["nosuid","noexec","newinstance","ptmxmode=0666","mode=0620"]}
+ .mounts /sys {"destination":"/sys","type":"bind","source":"/sys","options":["rbind","nosuid","noexec","nodev","ro"]}
+ .mounts /a {"destination":"/a","type":"bind","source":"/a","options":["rbind","rprivate","ro"]}
+ .process.user.additionalGids [0]
+ .process.env ["PATH=/bin","HOSTNAME=box","A=image","HOME=/root"]
+ .hostname "box"
+ .linux.uidMappings {"hostID":100000,"containerID":0,"size":4}
+ .linux.gidMappings {"hostID":100000,"containerID":0,"size":4}
+ .linux.namespaces user {"type":"user"}
"#,
    );
}

#[test]
fn namespaces_that_were_made_belong_together() {
    let users = vec![parse_id_range("0:100000:11").unwrap()];
    let user = UserMode::Mapped(IdMap { users, groups: Vec::new() });
    let namespaces = Namespaces { user, ..Namespaces::default() };
    let options = RunOptions { namespaces, ..RunOptions::default() };
    let mut container = Container { network: Some("/run/x/net".into()), ..container() };
    let alone = text(&options, &host(), &container);
    assert!(alone.contains(r#"{"destination":"/sys","type":"bind","source":"/sys","#), "{alone}");
    container.user_namespace = Some("/run/x/users".into());
    let together = text(&options, &host(), &container);
    assert!(together.contains(r#"{"type":"user","path":"/run/x/users"}"#), "{together}");
    assert!(together.contains(r#"{"destination":"/sys","type":"sysfs","#), "{together}");
}

#[test]
fn whoever_runs_is_in_the_mapping() {
    let users = vec![parse_id_range("0:100000:11").unwrap()];
    let user = UserMode::Mapped(IdMap { users, groups: Vec::new() });
    let namespaces = Namespaces { user, ..Namespaces::default() };
    let options = RunOptions { namespaces, ..RunOptions::default() };
    let refused = |uid, gid| {
        let mut container = container();
        (container.user.uid, container.user.gid) = (uid, gid);
        build(&options, &image(), &host(), &container).map(drop).map_err(|e| e.chain())
    };
    assert_eq!(refused(10, 10), Ok(()));
    let text = "is not mapped in the container's user namespace";
    assert_eq!(refused(11, 0), Err(format!("user ID 11 {text}")));
    assert_eq!(refused(0, 11), Err(format!("group ID 11 {text}")));
}

#[test]
fn without_rights_to_cgroups() {
    let mut host = host();
    host.cgroups.writable = false;
    host.mapped_ids = 1;
    check_on(
        RunOptions::default(),
        &host,
        &container(),
        r#"
- .mounts /dev/pts {"destination":"/dev/pts","type":"devpts","source":"devpts","options":["nosuid","noexec","newinstance","ptmxmode=0666","mode=0620","gid=5"]}
- .linux.sysctl.net.ipv4.ping_group_range "0 2147483647"
- .linux.resources.devices {"allow":false,"access":"rwm"}
- .linux.cgroupsPath "/creel/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
+ .mounts /dev/pts {"destination":"/dev/pts","type":"devpts","source":"devpts","options":["nosuid","noexec","newinstance","ptmxmode=0666","mode=0620"]}
"#,
    );
    host.cgroups.writable = true;
    host.cgroups.systemd = true;
    host.mapped_ids = 65536;
    check_on(
        RunOptions::default(),
        &host,
        &container(),
        r#"
- .linux.sysctl.net.ipv4.ping_group_range "0 2147483647"
- .linux.resources.devices {"allow":false,"access":"rwm"}
- .linux.cgroupsPath "/creel/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
+ .linux.cgroupsPath "user.slice:creel:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
"#,
    );
}

#[test]
fn devices_and_volumes() {
    let zero = HostDevice {
        path: "/dev/zero".into(),
        kind: 'c',
        major: 1,
        minor: 5,
        mode: 0o666,
        uid: 0,
        gid: 0,
    };
    let mut container = container();
    container.devices =
        vec![FoundDevice { target: "/dev/z".into(), device: zero, access: "r".into() }];
    container.sources.insert("/vol".into(), "/volumes/1".into());
    let options = RunOptions {
        device_rules: vec![parse_device_rule("c 42:* rw").unwrap()],
        ..RunOptions::default()
    };
    let image =
        ImageDefaults { volumes: ["/vol/", "/../vol2", "/"].map(str::to_owned).into(), ..image() };
    let built = build(&options, &image, &host(), &container).unwrap();
    let text = String::from_utf8(to_json(&built.spec).unwrap()).unwrap();
    let wanted = [".linux.devices", ".linux.resources.devices", "/volumes"];
    let found: Vec<String> =
        lines(&text).into_iter().filter(|line| wanted.iter().any(|w| line.contains(w))).collect();
    assert_eq!(found.join("\n"), r#"
.mounts /vol {"destination":"/vol","type":"bind","source":"/volumes/1","options":["rbind","rprivate"]}
.linux.resources.devices {"allow":false,"access":"rwm"}
.linux.resources.devices {"allow":true,"type":"c","major":1,"minor":5,"access":"r"}
.linux.resources.devices {"allow":true,"type":"c","major":42,"access":"rw"}
.linux.devices /dev/z {"path":"/dev/z","type":"c","major":1,"minor":5,"fileMode":438,"uid":0,"gid":0}
"#.trim(), "\n{}", found.join("\n"));
}

/// The error of a configuration that must not be.
fn refused(options: RunOptions) -> String {
    build(&options, &image(), &host(), &container()).unwrap_err().chain()
}

#[test]
fn contradictions() {
    let with = |change: fn(&mut RunOptions)| {
        let mut options = RunOptions::default();
        change(&mut options);
        refused(options)
    };
    for (change, message) in [
        (
            (|o| {
                o.hostname = Some("a".into());
                o.namespaces.uts = NamespaceMode::Host;
            }) as fn(&mut RunOptions),
            "conflicting options: hostname and the UTS mode",
        ),
        (|o| o.hostname = Some("a b".into()), "invalid hostname format: \"a b\""),
        (
            |o| {
                o.domainname = Some("nis".into());
                o.namespaces.uts = NamespaceMode::Host;
            },
            "conflicting options: domainname and the UTS mode",
        ),
        (
            |o| o.oom_score_adj = Some(1001),
            "invalid value 1001, range for oom score adj is [-1000, 1000]",
        ),
        (
            |o| o.mounts = vec![parse_tmpfs("/a").unwrap(), parse_tmpfs("/a/").unwrap()],
            "duplicate mount point: /a",
        ),
        (|o| o.resources.memory = Some(5 << 20), "minimum memory limit allowed is 6MB"),
        (
            |o| o.resources.memory_swap = Some(1 << 30),
            "you should always set the memory limit when using the memory-swap limit",
        ),
        (
            |o| o.resources.nano_cpus = Some(5_000_000_000),
            "range of CPUs is from 0.01 to 4.00, as there are only 4 CPUs available",
        ),
        (
            |o| {
                o.resources.nano_cpus = Some(1_000_000_000);
                o.resources.cpu_quota = Some(1000);
            },
            "conflicting options: cpus and cpu-period or cpu-quota",
        ),
        (|o| o.resources.blkio_weight = Some(5), "range of blkio weight is from 10 to 1000"),
        (
            |o| o.sysctls = BTreeMap::from([("kernel.core_pattern".into(), "|/x".into())]),
            "sysctl \"kernel.core_pattern\" is not allowed: it would change the whole host",
        ),
        (
            |o| {
                o.sysctls = BTreeMap::from([("net.core.somaxconn".into(), "1".into())]);
                o.namespaces.network = NamespaceMode::Host;
            },
            "sysctl \"net.core.somaxconn\" is not allowed with the host's network namespace",
        ),
        (|o| o.env = vec!["A=\0".into()], "environment variable \"A=\\0\" contains a NUL byte"),
        (
            |o| o.workdir = Some("a".into()),
            "the working directory \"a\" is invalid, it needs to be an absolute path",
        ),
        (
            |o| o.workdir = Some("/x/../proc/self/fd/7".into()),
            "\"/proc/self/fd/7\" cannot be the working directory",
        ),
        (
            |o| o.entrypoint = Some(vec![String::new()]),
            "no command specified, and the image has none",
        ),
        (
            |o| o.security.apparmor = Some("p".into()),
            "AppArmor profile \"p\": AppArmor is not enabled on this host",
        ),
        (
            |o| o.mounts = vec![parse_volume("v:/v", std::path::Path::new("/")).unwrap()],
            "nothing was prepared for the mount at /v",
        ),
        (
            |o| o.namespaces.pid = NamespaceMode::Container("c".into()),
            "--pid container:c: sharing another container's namespaces is not supported yet; ns:PATH \
             joins one by its path",
        ),
        (|o| o.cgroup_parent = Some("/a/../..".into()), "invalid cgroup-parent \"/a/../..\""),
    ] {
        assert_eq!(with(change), message);
    }
}

#[test]
fn limits_that_cannot_hold() {
    let options = RunOptions {
        resources: Resources { pids: Some(5), ..Resources::default() },
        ..RunOptions::default()
    };
    let mut host = host();
    let mut failure = |change: fn(&mut HostFacts)| {
        change(&mut host);
        check_options(&options, &host).unwrap_err().chain()
    };
    assert_eq!(
        failure(|host| host.cgroups.controllers = ["memory".to_owned()].into()),
        "--pids-limit cannot be enforced: the cgroup controller \"pids\" is not available"
    );
    assert_eq!(
        failure(|host| host.cgroups.writable = false),
        "--pids-limit cannot be enforced: this process may not make cgroups"
    );
    assert_eq!(
        failure(|host| host.cgroups.version = CgroupVersion::None),
        "--pids-limit cannot be enforced: no cgroup file system is mounted"
    );
    let unlimited = RunOptions {
        resources: Resources { pids: Some(-1), ..Resources::default() },
        ..RunOptions::default()
    };
    assert_eq!(check_options(&unlimited, &host).unwrap(), [""; 0]);
}

#[test]
fn the_same_bytes_every_time() {
    let options = RunOptions {
        sysctls: (0..20).map(|n| (format!("net.ipv4.a{n}"), "1".into())).collect(),
        annotations: (0..20).map(|n| (format!("k{n}"), "v".into())).collect(),
        ..RunOptions::default()
    };
    let first = text(&options, &host(), &container());
    for _ in 0..20 {
        assert_eq!(text(&options, &host(), &container()), first);
    }
}
