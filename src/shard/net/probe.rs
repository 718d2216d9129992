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

/// What the executor asks for before it starts, however few shards there are.
const MEMLOCK_BYTES_MIN: u64 = 512 * 1024;

/// What the rings of one shard lock, measured with kernel 6.18.
const MEMLOCK_BYTES_PER_SHARD: u64 = 400 * 1024;

/// The capability of those for whom the kernel does not count locked memory.
const CAP_IPC_LOCK: u32 = 14;

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
    /// `RLIMIT_MEMLOCK` is too low for the shards.
    MemlockTooLow { limit_bytes: u64, needed_bytes: u64 },
    /// The limit would do, but others of the same user have locked too much of it.
    MemlockUsedUp { limit_bytes: u64 },
    /// `io_uring` works, but not this ring.
    Setup(io::Error),
}

/// Tries everything that so many shards need of the kernel.
pub fn probe(shards: usize) -> Result<(), NetError> {
    check_memlock(memlock_limit_bytes(), shards, may_lock_any_memory())?;
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

fn check_memlock(limit_bytes: u64, shards: usize, is_free: bool) -> Result<(), NetError> {
    let counted = if is_free { 0 } else { shards as u64 };
    let needed_bytes = (counted * MEMLOCK_BYTES_PER_SHARD).max(MEMLOCK_BYTES_MIN);
    if limit_bytes < needed_bytes {
        return Err(NetError::MemlockTooLow {
            limit_bytes,
            needed_bytes,
        });
    }
    Ok(())
}

/// Why a ring of the executor's or of ours could not be set up.
pub fn explain_setup(error: io::Error) -> NetError {
    explain(error, &Restrictions::read())
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
        Some(libc::ENOMEM) => NetError::MemlockUsedUp {
            limit_bytes: memlock_limit_bytes(),
        },
        _ => NetError::Setup(error),
    }
}

/// Whether the kernel lets this process lock as much memory as it likes.
fn may_lock_any_memory() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    effective.is_some_and(|mask| mask & 1 << CAP_IPC_LOCK != 0)
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
            NetError::MemlockTooLow {
                limit_bytes,
                needed_bytes,
            } => write!(
                out,
                "RLIMIT_MEMLOCK is {limit_bytes} bytes, at least {needed_bytes} are needed for the shards' rings; \
                 run fewer shards, or raise it with: {}",
                Cure(*needed_bytes)
            ),
            NetError::MemlockUsedUp { limit_bytes } => write!(
                out,
                "there is no more memory that may be locked for the rings. RLIMIT_MEMLOCK is {limit_bytes} bytes for all \
                 processes of this user together, those in containers and those that have just ended among them; each \
                 shard needs about {} KiB. Run fewer shards, or raise it with: {}",
                MEMLOCK_BYTES_PER_SHARD >> 10,
                Cure(limit_bytes.saturating_mul(2))
            ),
            NetError::Setup(error) => write!(out, "cannot set up the network ring: {error}"),
        }
    }
}

/// How to let the server lock so many bytes.
struct Cure(u64);

impl fmt::Display for Cure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cure(bytes) = self;
        let kib = bytes.div_ceil(1024);
        write!(
            out,
            "ulimit -l {kib}, for systemd: LimitMEMLOCK={kib}K, for Docker: --ulimit memlock={bytes}"
        )
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
            | NetError::MemlockTooLow { .. }
            | NetError::MemlockUsedUp { .. } => None,
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
        probe(2).unwrap();
    }

    #[test]
    fn more_shards_want_more_locked_memory_unless_it_is_free() {
        let needed =
            |limit_bytes, shards, is_free| match check_memlock(limit_bytes, shards, is_free) {
                Err(NetError::MemlockTooLow { needed_bytes, .. }) => Some(needed_bytes),
                _ => None,
            };
        assert_eq!(needed(8 << 20, 20, false), None);
        assert_eq!(needed(8 << 20, 21, false), Some(21 * 400 * 1024));
        assert_eq!(needed(8 << 20, 21, true), None);
        assert_eq!(needed(400 * 1024, 1, false), Some(512 * 1024));
        assert_eq!(needed(400 * 1024, 64, true), Some(512 * 1024));
    }
}
