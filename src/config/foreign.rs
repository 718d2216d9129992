//! Options of Redis 7 that this server does not have, so that a `redis.conf` can be used as it is, with a word on what
//! of it does not apply.

/// Why an option of Redis that is missing here can be passed over; `None` if Redis does not have it either.
pub(super) fn ignored(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    let exact = IGNORED.iter().find(|(known, _)| *known == name);
    let family = || FAMILIES.iter().find(|(prefix, _)| name.starts_with(prefix));
    exact.or_else(family).map(|(_, reason)| *reason)
}

/// Why an option must not be passed over: without it the server would be more open than the file says.
pub(super) fn forbidden(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    let matched = |prefix: &str| match prefix.strip_suffix('-') {
        Some(_) => name.starts_with(prefix),
        None => name == prefix,
    };
    FORBIDDEN
        .iter()
        .find(|(prefix, _)| matched(prefix))
        .map(|(_, reason)| *reason)
}

const SNAPSHOTS: &str = "there are no RDB snapshots";
const JOURNAL: &str = "the journal replaces the append-only file, see 'durability'";
const ABSORBED: &str = "the journal is absorbed into tables all the time, see 'journal-max-size'";
const REPLICATION: &str = "there is no replication";
const CLUSTER: &str = "there is no cluster mode";
const PROCESS: &str = "the server runs in the foreground under whatever started it";
const THREADS: &str = "threads are set by 'shards'";
const ALLOCATION: &str = "memory is managed in another way";
const MODULES: &str = "there are no modules";

const FAMILIES: &[(&str, &str)] = &[
    ("rdb", SNAPSHOTS),
    ("aof-", JOURNAL),
    ("aof_", JOURNAL),
    ("append", JOURNAL),
    ("repl-", REPLICATION),
    ("replica", REPLICATION),
    ("slave", REPLICATION),
    ("min-replicas-", REPLICATION),
    ("min-slaves-", REPLICATION),
    ("cluster-", CLUSTER),
    ("io-threads", THREADS),
    ("active-defrag-", ALLOCATION),
    ("oom-score-adj", PROCESS),
    ("syslog-", "the log goes to standard output or 'logfile'"),
    ("shutdown-", "a stop always waits for the journal"),
];

const IGNORED: &[(&str, &str)] = &[
    ("activedefrag", ALLOCATION),
    ("always-show-logo", PROCESS),
    ("auto-aof-rewrite-min-size", ABSORBED),
    ("auto-aof-rewrite-percentage", ABSORBED),
    ("bgsave_cpulist", SNAPSHOTS),
    ("bind-source-addr", REPLICATION),
    ("bio_cpulist", THREADS),
    ("crash-log-enabled", PROCESS),
    ("crash-memcheck-enabled", PROCESS),
    ("daemonize", PROCESS),
    ("dbfilename", SNAPSHOTS),
    ("disable-thp", PROCESS),
    ("dynamic-hz", "'hz' is fixed"),
    (
        "hll-sparse-max-bytes",
        "there is one representation of a HyperLogLog",
    ),
    ("ignore-warnings", PROCESS),
    ("jemalloc-bg-thread", ALLOCATION),
    (
        "latency-tracking-info-percentiles",
        "the percentiles are 50, 99 and 99.9",
    ),
    ("masterauth", REPLICATION),
    ("masteruser", REPLICATION),
    (
        "maxmemory-clients",
        "clients are bounded one by one, see 'client-output-buffer-limit'",
    ),
    ("no-appendfsync-on-rewrite", JOURNAL),
    ("pidfile", PROCESS),
    ("proc-title-template", PROCESS),
    ("propagation-error-behavior", REPLICATION),
    ("sanitize-dump-payload", "payloads are always checked"),
    ("server_cpulist", THREADS),
    ("set-proc-title", PROCESS),
    ("socket-mark-id", PROCESS),
    ("stop-writes-on-bgsave-error", SNAPSHOTS),
    ("supervised", PROCESS),
    ("enable-debug-command", "DEBUG is limited to what is safe"),
    ("enable-module-command", MODULES),
    (
        "enable-protected-configs",
        "options that need a restart cannot be set by clients",
    ),
];

const FORBIDDEN: &[(&str, &str)] = &[
    ("tls-", "there is no TLS; put a proxy in front"),
    ("loadmodule", MODULES),
    ("replicaof", "this server cannot follow another"),
    ("slaveof", "this server cannot follow another"),
];
