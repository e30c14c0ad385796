//! The default profile, as data.
//!
//! The names and conditions follow the default profile of Docker (Moby), so that programs meet in
//! our containers what they meet in Docker's.

use oci_spec::runtime::{Arch, Capability, LinuxSeccompAction, LinuxSeccompOperator};

use super::{Argument, Condition, Profile, Rule};

/// Harmless to the host, or already guarded by what a container is.
const ALWAYS: &str = "
    accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown
    chown32 clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime
    clock_gettime64 clock_nanosleep clock_nanosleep_time64 close close_range connect
    copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old
    epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit
    exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod
    fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr
    flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate
    ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake futimesat
    get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid getegid32 geteuid
    geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid
    getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit
    getrusage getsid getsockname getsockopt gettid gettimeofday getuid getuid32 getxattr
    getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel
    io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl
    ioprio_get ioprio_set ipc kill landlock_add_rule landlock_create_ruleset
    landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listmount listxattr
    listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 madvise
    map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat
    mlock mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive
    mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget
    msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat
    _newselect open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc
    pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64
    process_mrelease pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readahead readlink
    readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr
    removexattrat rename renameat renameat2 restart_syscall riscv_hwprobe rmdir rseq
    rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
    rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max
    sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler
    sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr
    sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop
    semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto set_robust_list
    set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32
    setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid
    setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid setsockopt setuid
    setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd
    signalfd4 sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs statfs64
    statmount statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time
    timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime
    timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime
    timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat
    uretprobe utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write
    writev
";

/// What a capability opens.
const BY_CAPABILITY: [(Capability, &str); 14] = [
    (Capability::DacReadSearch, "open_by_handle_at"),
    (
        Capability::SysAdmin,
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie \
         lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount \
         open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog \
         umount umount2 unshare",
    ),
    (Capability::SysBoot, "reboot"),
    (Capability::SysChroot, "chroot"),
    (Capability::SysModule, "delete_module init_module finit_module"),
    (Capability::SysPacct, "acct"),
    (
        Capability::SysPtrace,
        "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    ),
    (Capability::SysRawio, "iopl ioperm"),
    (Capability::SysTime, "settimeofday stime clock_settime clock_settime64"),
    (Capability::SysTtyConfig, "vhangup"),
    (Capability::SysNice, "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    (Capability::Syslog, "syslog"),
    (Capability::Bpf, "bpf"),
    (Capability::Perfmon, "perf_event_open"),
];

/// What only some processors have (names as in Go, `x86` and `x32` as in libseccomp).
const BY_PROCESSOR: [(&[&str], &str); 6] = [
    (&["ppc64le"], "sync_file_range2 swapcontext"),
    (
        &["arm", "arm64"],
        "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
    ),
    (&["amd64", "x32"], "arch_prctl"),
    (&["amd64", "x32", "x86"], "modify_ldt"),
    (&["s390", "s390x"], "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr"),
    (&["riscv64"], "riscv_flush_icache"),
];

/// The processors that a filter for the first must know too.
pub(super) const FAMILIES: [(Arch, &[Arch]); 9] = [
    (Arch::ScmpArchX86_64, &[Arch::ScmpArchX86, Arch::ScmpArchX32]),
    (Arch::ScmpArchAarch64, &[Arch::ScmpArchArm]),
    (Arch::ScmpArchMips64, &[Arch::ScmpArchMips, Arch::ScmpArchMips64n32]),
    (Arch::ScmpArchMips64n32, &[Arch::ScmpArchMips, Arch::ScmpArchMips64]),
    (Arch::ScmpArchMipsel64, &[Arch::ScmpArchMipsel, Arch::ScmpArchMipsel64n32]),
    (Arch::ScmpArchMipsel64n32, &[Arch::ScmpArchMipsel, Arch::ScmpArchMipsel64]),
    (Arch::ScmpArchS390x, &[Arch::ScmpArchS390]),
    (Arch::ScmpArchRiscv64, &[]),
    (Arch::ScmpArchLoongarch64, &[]),
];

/// `CLONE_NEW*`: a `clone` without any of them makes no namespace.
const NAMESPACE_FLAGS: u64 = 0x7e02_0000;

/// Execution domains that change nothing dangerous: Linux, 32 bits, either with old `uname`
/// numbers, and the question which one it is.
const PERSONALITIES: [u64; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// All socket families but `AF_ALG` (38) and `AF_VSOCK` (40).
const FAMILIES_OF_SOCKETS: [(LinuxSeccompOperator, u64); 3] = [
    (LinuxSeccompOperator::ScmpCmpLt, 38),
    (LinuxSeccompOperator::ScmpCmpEq, 39),
    (LinuxSeccompOperator::ScmpCmpGt, 40),
];

fn allow(names: &str) -> Rule {
    Rule {
        names: names.split_ascii_whitespace().map(str::to_owned).collect(),
        action: LinuxSeccompAction::ScmpActAllow,
        errno: None,
        arguments: Vec::new(),
        includes: Condition::default(),
        excludes: Condition::default(),
    }
}

fn allow_if(name: &str, index: usize, operator: LinuxSeccompOperator, value: u64) -> Rule {
    let argument = Argument { index, value, value_two: 0, operator };
    Rule { arguments: vec![argument], ..allow(name) }
}

fn on(processors: &[&str]) -> Condition {
    let processors = processors.iter().map(|name| (*name).to_owned()).collect();
    Condition { processors, ..Condition::default() }
}

fn with(capability: Capability) -> Condition {
    Condition { capabilities: vec![format!("CAP_{capability}")], ..Condition::default() }
}

/// The whole profile, before conditions are looked at.
pub(super) fn default_profile() -> Profile {
    let mut rules = vec![allow(ALWAYS)];
    // Before 4.8 tracing could get around a filter.
    let traced = Condition { kernel: Some((4, 8)), ..Condition::default() };
    rules.push(Rule { includes: traced, ..allow("process_vm_readv process_vm_writev ptrace") });
    rules.extend(FAMILIES_OF_SOCKETS.map(|(how, value)| allow_if("socket", 0, how, value)));
    let equal = LinuxSeccompOperator::ScmpCmpEq;
    rules.extend(PERSONALITIES.map(|value| allow_if("personality", 0, equal, value)));
    rules.extend(
        BY_PROCESSOR.map(|(processors, names)| Rule { includes: on(processors), ..allow(names) }),
    );
    rules.extend(
        BY_CAPABILITY
            .map(|(capability, names)| Rule { includes: with(capability), ..allow(names) }),
    );
    // On s390 the flags are the second argument.
    let s390: &[&str] = &["s390", "s390x"];
    let masked = LinuxSeccompOperator::ScmpCmpMaskedEq;
    let admin = with(Capability::SysAdmin);
    let elsewhere = Condition { capabilities: admin.capabilities.clone(), ..on(s390) };
    rules.push(Rule { excludes: elsewhere, ..allow_if("clone", 0, masked, NAMESPACE_FLAGS) });
    rules.push(Rule {
        includes: on(s390),
        excludes: admin.clone(),
        ..allow_if("clone", 1, masked, NAMESPACE_FLAGS)
    });
    // Its flags are in memory, where a filter cannot look; C libraries fall back to `clone`.
    rules.push(Rule {
        action: LinuxSeccompAction::ScmpActErrno,
        errno: Some(rustix::io::Errno::NOSYS.raw_os_error().cast_unsigned()),
        excludes: admin,
        ..allow("clone3")
    });
    Profile {
        default_action: LinuxSeccompAction::ScmpActErrno,
        default_errno: Some(rustix::io::Errno::PERM.raw_os_error().cast_unsigned()),
        architectures: Vec::new(),
        families: FAMILIES.iter().map(|(arch, others)| (*arch, others.to_vec())).collect(),
        flags: Vec::new(),
        listener: None,
        rules,
    }
}
