//! What the kernel knows about this process.
//!
//! This file is `unsafe` for three calls of libc that fill a plain structure or answer a number; the standard library
//! has none of them.

use std::fs;

/// CPU time in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuTimes {
    pub user_s: f64,
    pub system_s: f64,
}

/// CPU time of all threads since the start.
pub fn cpu_times() -> CpuTimes {
    usage(libc::RUSAGE_SELF)
}

/// CPU time of the calling thread.
pub fn thread_cpu_times() -> CpuTimes {
    usage(libc::RUSAGE_THREAD)
}

/// Memory that is resident now, in bytes; zero where /proc is not mounted.
pub fn resident_bytes() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|statm| statm.split_whitespace().nth(1)?.parse::<u64>().ok())
        .unwrap_or_default();
    pages * configured(libc::_SC_PAGESIZE)
}

/// Memory of the machine, in bytes.
pub fn system_memory_bytes() -> u64 {
    configured(libc::_SC_PHYS_PAGES) * configured(libc::_SC_PAGESIZE)
}

/// System, release and machine, as INFO's `os` shows them.
pub fn os() -> String {
    let read =
        |name: &str| fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default();
    format!(
        "{} {} {}",
        read("ostype").trim(),
        read("osrelease").trim(),
        std::env::consts::ARCH
    )
}

fn usage(who: libc::c_int) -> CpuTimes {
    // SAFETY: `rusage` holds only integers, for which all zeros is a value, and the call writes nothing else.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(who, &raw mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    CpuTimes {
        user_s: seconds(usage.ru_utime),
        system_s: seconds(usage.ru_stime),
    }
}

fn configured(name: libc::c_int) -> u64 {
    // SAFETY: `sysconf` takes any number and answers -1 for one that it does not know.
    u64::try_from(unsafe { libc::sysconf(name) }).unwrap_or_default()
}

/// The processors that this process may run on.
pub fn allowed_cpus() -> Vec<usize> {
    // SAFETY: a `cpu_set_t` of zeros is an empty set; the call fills at most the size it is told.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) != 0 {
            return Vec::new();
        }
        set
    };
    let is_allowed = |cpu: &usize| {
        // SAFETY: the index is below CPU_SETSIZE, the number of bits in the set.
        unsafe { libc::CPU_ISSET(*cpu, &set) }
    };
    (0..libc::CPU_SETSIZE as usize).filter(is_allowed).collect()
}

/// Raises the limit of open files as far as is wanted and allowed; returns what is in force.
pub fn raise_descriptor_limit(wanted: u64) -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: both calls get a pointer to a whole `rlimit`.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) != 0 || limit.rlim_cur >= wanted {
            return limit.rlim_cur;
        }
        let raised = libc::rlimit {
            rlim_cur: wanted.min(limit.rlim_max),
            ..limit
        };
        if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) == 0 {
            raised.rlim_cur
        } else {
            limit.rlim_cur
        }
    }
}
