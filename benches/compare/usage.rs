//! What a server has used of the machine so far: both servers are counted by the same rules.
//!
//! The threads that serve requests are told from the rest: of redis-server its main thread (and those that do I/O for it),
//! of `AiKv` its shards with the kernel's workers of their rings. The rest are other threads, and children that have ended:
//! redis-server rewrites its journal in a child, `AiKv` in a thread.
//!
//! This file is `unsafe` for the clock of a process and the length of the kernel's ticks.

use std::fs;
use std::ops::Sub;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::Result;

#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// CPU time of the threads that serve requests.
    pub serving_ns: u64,
    /// CPU time of all threads, of those that have ended too, and of all children that have ended.
    pub whole_ns: u64,
    /// How often a serving thread went to sleep or lost its core.
    pub switches: u64,
}

impl Usage {
    pub fn of(pid: u32) -> Result<Self> {
        let mut usage = Self {
            whole_ns: process_ns(pid)? + ended_children_ns(pid)?,
            ..Self::default()
        };
        for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
            let thread = thread?;
            // A thread may end at any time; what it has used is in the sum of the process.
            if let Some((cpu_ns, switches)) = serving(pid, &thread.path()) {
                usage.serving_ns += cpu_ns;
                usage.switches += switches;
            }
        }
        Ok(usage)
    }
}

impl Sub for Usage {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            serving_ns: self.serving_ns - before.serving_ns,
            whole_ns: self.whole_ns - before.whole_ns,
            switches: self.switches - before.switches,
        }
    }
}

/// Counts the system calls of all threads of a process, until it is asked for them. `None` where perf is not there or may
/// not.
pub struct Syscalls(Child);

impl Syscalls {
    pub fn count(pid: u32) -> Option<Self> {
        let child = Command::new("perf")
            .args(["stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "-p"])
            .arg(pid.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        // It needs a moment to attach.
        std::thread::sleep(Duration::from_millis(300));
        child.ok().map(Self)
    }

    pub fn end(self) -> Option<u64> {
        // SAFETY: kill(2) takes no pointer, and the child has not been waited for, so its pid is still its own.
        unsafe { libc::kill(self.0.id().cast_signed(), libc::SIGINT) };
        let output = self.0.wait_with_output().ok()?;
        let text = String::from_utf8(output.stderr).ok()?;
        let line = text
            .lines()
            .find(|line| line.contains("raw_syscalls:sys_enter"))?;
        line.split(',').next()?.parse().ok()
    }
}

/// CPU time and switches of a thread, if it serves requests.
fn serving(pid: u32, thread: &Path) -> Option<(u64, u64)> {
    let name = fs::read_to_string(thread.join("comm")).ok()?;
    let is_main = thread.file_name()?.to_str()? == pid.to_string();
    let serves_redis = is_main && !name.starts_with("aikv");
    let named = ["shard-", "iou-wrk-", "io_thd_"];
    if !serves_redis && !named.iter().any(|prefix| name.starts_with(prefix)) {
        return None;
    }
    let times = fs::read_to_string(thread.join("schedstat")).ok()?;
    let cpu_ns = times.split_whitespace().next()?.parse().ok()?;
    let status = fs::read_to_string(thread.join("status")).ok()?;
    let switches = status
        .lines()
        .filter_map(|line| line.split_once("ctxt_switches:"))
        .filter_map(|(_, count)| count.trim().parse::<u64>().ok())
        .sum();
    Some((cpu_ns, switches))
}

/// CPU time of all threads so far, of threads that have ended too.
fn process_ns(pid: u32) -> Result<u64> {
    let (mut clock, mut time) = (
        0,
        libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        },
    );
    // SAFETY: both calls only write to the variables that they are given, which live until they return.
    let failed = unsafe {
        libc::clock_getcpuclockid(pid.cast_signed(), &raw mut clock) != 0
            || libc::clock_gettime(clock, &raw mut time) != 0
    };
    if failed {
        return Err("the server's CPU time cannot be read".into());
    }
    Ok(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// CPU time of the children that the process has waited for.
fn ended_children_ns(pid: u32) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name of the process, in brackets, may hold anything; `cutime` and `cstime` are fields 16 and 17, the state behind
    // the name is field 3.
    let (_, rest) = stat.rsplit_once(')').ok_or("/proc/PID/stat has no name")?;
    let fields = rest.split_whitespace().skip(13).take(2);
    let ticks: u64 = fields.map(|field| field.parse().unwrap_or(0)).sum();
    // SAFETY: takes no pointer.
    let ticks_per_s = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1) as u64;
    Ok(ticks * 1_000_000_000 / ticks_per_s)
}
