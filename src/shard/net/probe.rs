//! Whether this machine lets us use `io_uring`, and if not, who forbids it and how to allow it.
//!
//! It runs before the first glommio executor: that one panics with a misleading text where `io_uring` is denied.
//!
//! Unsafe: `getrlimit(2)` has no wrapper in the standard library.

use std::error::Error;
use std::fmt;
use std::fs;
use std::io;

use io_uring::{IoUring, Probe, opcode};

/// What glommio asks for before it starts, per process.
const MEMLOCK_BYTES_MIN: u64 = 512 * 1024;

/// Linux 6.1 is the first with deferred task work, provided buffer rings and multishot receive together.
const KERNEL_MIN: &str = "6.1";

const PROBE_ENTRIES: u32 = 2;

#[derive(Debug)]
pub enum NetError {
    /// `kernel.io_uring_disabled` forbids it; the value is 1 or 2.
    DisabledBySysctl(u8),
    /// A seccomp filter forbids it: Docker's default profile, some Kubernetes nodes, some sandboxes.
    DeniedBySeccomp,
    /// Denied by something else, such as a security module.
    Denied(io::Error),
    /// The kernel is too old, or has no `io_uring` at all.
    KernelTooOld(io::Error),
    /// `RLIMIT_MEMLOCK`, in bytes, is too low.
    MemlockTooLow(u64),
    /// `io_uring` works, but not this ring.
    Setup(io::Error),
}

/// Tries everything that [`Net`](super::Net) needs.
pub fn probe() -> Result<(), NetError> {
    let memlock_bytes = memlock_limit_bytes();
    if memlock_bytes < MEMLOCK_BYTES_MIN {
        return Err(NetError::MemlockTooLow(memlock_bytes));
    }
    let ring: IoUring = IoUring::builder()
        .setup_submit_all()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .build(PROBE_ENTRIES)
        .map_err(|error| explain(error, &Restrictions::read()))?;
    let mut known = Probe::new();
    ring.submitter()
        .register_probe(&mut known)
        .map_err(NetError::Setup)?;
    // Multishot receive came with kernel 6.0, as `SendZc` did; there is no way to ask for a flag of a request.
    let needed = [
        opcode::Send::CODE,
        opcode::RecvMulti::CODE,
        opcode::AcceptMulti::CODE,
        opcode::SendZc::CODE,
    ];
    if needed.into_iter().all(|code| known.is_supported(code))
        && ring.params().is_feature_skip_cqe_on_success()
    {
        return Ok(());
    }
    Err(NetError::KernelTooOld(io::Error::from_raw_os_error(
        libc::EOPNOTSUPP,
    )))
}

/// What the system says about who may use `io_uring`.
struct Restrictions {
    sysctl: u8,
    seccomp: bool,
}

impl Restrictions {
    fn read() -> Restrictions {
        let sysctl = fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let seccomp = status
            .lines()
            .find_map(|line| line.strip_prefix("Seccomp:"))
            .map(str::trim);
        Restrictions {
            sysctl: sysctl.trim().parse().unwrap_or(0),
            seccomp: matches!(seccomp, Some("1" | "2")),
        }
    }
}

fn explain(error: io::Error, restrictions: &Restrictions) -> NetError {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) if restrictions.sysctl > 0 => {
            NetError::DisabledBySysctl(restrictions.sysctl)
        }
        Some(libc::EPERM | libc::EACCES | libc::ENOSYS) if restrictions.seccomp => {
            NetError::DeniedBySeccomp
        }
        Some(libc::EPERM | libc::EACCES) => NetError::Denied(error),
        Some(libc::EINVAL | libc::ENOSYS) => NetError::KernelTooOld(error),
        Some(libc::ENOMEM) => NetError::MemlockTooLow(memlock_limit_bytes()),
        _ => NetError::Setup(error),
    }
}

fn memlock_limit_bytes() -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid place for the answer.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    if result == 0 {
        limit.rlim_cur
    } else {
        u64::MAX
    }
}

impl fmt::Display for NetError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NetError::DisabledBySysctl(value) => write!(
                out,
                "io_uring is disabled by the sysctl kernel.io_uring_disabled={value}; \
                 allow it with: sysctl -w kernel.io_uring_disabled=0"
            ),
            NetError::DeniedBySeccomp => out.write_str(
                "io_uring is denied by a seccomp filter (Docker's default profile does this); allow io_uring_setup, \
                 io_uring_enter and io_uring_register in the profile, for Docker: --security-opt seccomp=<profile>, \
                 for Kubernetes: securityContext.seccompProfile",
            ),
            NetError::Denied(error) => write!(
                out,
                "io_uring is denied ({error}), neither by kernel.io_uring_disabled nor by seccomp; \
                 look for a security module (SELinux, AppArmor) that forbids it"
            ),
            NetError::KernelTooOld(error) => write!(
                out,
                "this kernel lacks the io_uring features needed ({error}); Linux {KERNEL_MIN} or later is required"
            ),
            NetError::MemlockTooLow(bytes) => write!(
                out,
                "RLIMIT_MEMLOCK is {bytes} bytes, at least {MEMLOCK_BYTES_MIN} are needed; raise it with: \
                 ulimit -l {kib}, for systemd: LimitMEMLOCK={MEMLOCK_BYTES_MIN}, for Docker: --ulimit memlock={MEMLOCK_BYTES_MIN}",
                kib = MEMLOCK_BYTES_MIN / 1024
            ),
            NetError::Setup(error) => write!(out, "cannot set up the network ring: {error}"),
        }
    }
}

impl Error for NetError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            NetError::Denied(error) | NetError::KernelTooOld(error) | NetError::Setup(error) => {
                Some(error)
            }
            NetError::DisabledBySysctl(_)
            | NetError::DeniedBySeccomp
            | NetError::MemlockTooLow(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(errno: i32, sysctl: u8, seccomp: bool) -> String {
        explain(
            io::Error::from_raw_os_error(errno),
            &Restrictions { sysctl, seccomp },
        )
        .to_string()
    }

    #[test]
    fn each_refusal_names_its_cause_and_its_cure() {
        let cases = [
            (libc::EPERM, 2, true, "sysctl -w kernel.io_uring_disabled=0"),
            (libc::EPERM, 0, true, "--security-opt seccomp="),
            (libc::ENOSYS, 0, true, "--security-opt seccomp="),
            (libc::EPERM, 0, false, "security module"),
            (libc::EINVAL, 0, false, "Linux 6.1 or later"),
            (libc::ENOSYS, 0, false, "Linux 6.1 or later"),
            (libc::ENOMEM, 0, false, "LimitMEMLOCK="),
            (libc::EMFILE, 0, false, "cannot set up the network ring"),
        ];
        for (errno, sysctl, seccomp, cure) in cases {
            let text = text(errno, sysctl, seccomp);
            assert!(text.contains(cure), "errno {errno}: {text}");
        }
    }

    #[test]
    fn this_machine_is_fit() {
        probe().unwrap();
    }
}
