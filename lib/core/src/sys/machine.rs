//! What the kernel lets this process do.

use std::path::Path;

use rustix::fs::Access;

/// Whether the process's user may write at a path, as far as permissions and mounts tell.
pub fn is_writable(path: &Path) -> bool {
    rustix::fs::access(path, Access::WRITE_OK).is_ok()
}

/// Whether the kernel takes x32 calls. Must not be asked under a seccomp filter, which may end the
/// process for it.
#[cfg(target_arch = "x86_64")]
pub fn runs_x32() -> bool {
    const X32: libc::c_long = 0x4000_0000;
    // SAFETY: this call takes no arguments and touches no memory.
    #[allow(unsafe_code)]
    let number = unsafe { libc::syscall(X32 | libc::SYS_getpid) };
    number > 0
}

/// Other processors have no x32 calls.
#[cfg(not(target_arch = "x86_64"))]
pub fn runs_x32() -> bool {
    false
}

/// Tells one run of the machine from the next: what was written in an earlier one and not flushed
/// may be missing, what was mounted then is gone.
pub fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}
