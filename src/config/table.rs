//! The table of options: the one place where an option is declared.

use super::kind::Kind;

/// What a change of the option does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Read once at the start; CONFIG SET refuses it.
    Startup,
    /// CONFIG SET changes it at once.
    Runtime,
    /// Accepted and reported because clients ask for it; changes nothing.
    Informational,
}

/// One row of the table.
#[derive(Debug)]
pub struct OptionSpec {
    pub id: Opt,
    pub group: &'static str,
    pub name: &'static str,
    /// Other names by which it can be read and set.
    pub aliases: &'static [&'static str],
    pub kind: Kind,
    pub default: &'static str,
    pub unit: &'static str,
    pub effect: Effect,
    pub help: &'static str,
}

macro_rules! options {
    ($($group:literal { $($id:ident $name:literal $(| $alias:literal)*
        : $kind:expr, $default:literal, $unit:literal, $effect:ident, $help:literal;)* })*) => {
        /// The options by name, for those who read a value.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Opt { $($($id),*),* }

        /// Every option, in the order of [`Opt`].
        pub static OPTIONS: [OptionSpec; [$($(Opt::$id),*),*].len()] = [$($(OptionSpec {
            id: Opt::$id,
            group: $group,
            name: $name,
            aliases: &[$($alias),*],
            kind: $kind,
            default: $default,
            unit: $unit,
            effect: Effect::$effect,
            help: $help,
        }),*),*];
    };
}

const ANY_COUNT: Kind = Kind::Integer {
    min: 0,
    max: i64::MAX,
};
const COUNT_31: Kind = Kind::Integer {
    min: 0,
    max: i32::MAX as i64,
};
const ANY_MEMORY: Kind = Kind::Memory {
    min: 0,
    max: i64::MAX,
};
const SYNC: Kind = Kind::Choice(&["always", "everysec", "no"]);
/// In the order of Redis, which its error message shows.
pub const EVICTION_POLICIES: &[&str] = &[
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "noeviction",
];
const LEVELS: Kind = Kind::Choice(&[
    "debug", "verbose", "notice", "warning", "trace", "info", "warn", "error",
]);

options! {
    "Network" {
        Port "port": Kind::Integer { min: 0, max: 65535 }, "6379", "", Startup,
            "TCP port to listen on; 0 takes a free one";
        Bind "bind": Kind::List, "127.0.0.1", "", Startup,
            "addresses to listen on; one with a leading '-' may be unavailable";
        Unixsocket "unixsocket": Kind::Text, "", "", Startup,
            "path of a Unix socket to listen on; empty for none";
        Unixsocketperm "unixsocketperm": Kind::Octal { max: 0o777 }, "0", "", Startup,
            "file mode of the Unix socket; 0 leaves it to the umask";
        TcpBacklog "tcp-backlog": COUNT_31, "511", "connections", Startup,
            "connections that may wait to be accepted";
        TcpKeepalive "tcp-keepalive": COUNT_31, "300", "s", Runtime,
            "idle time before a connection is probed; 0 never probes";
        Timeout "timeout": COUNT_31, "0", "s", Runtime,
            "idle time after which a client is closed; 0 never closes";
        Maxclients "maxclients": Kind::Integer { min: 1, max: u32::MAX as i64 }, "10000", "clients", Runtime,
            "clients that may be connected at the same time";
        Requirepass "requirepass": Kind::Text, "", "", Runtime,
            "password of the user `default`, which clients must give to AUTH; empty for none";
        Aclfile "aclfile": Kind::Text, "", "", Startup,
            "file of users and their rules, for ACL LOAD and ACL SAVE; empty: `user` lines of the configuration file";
        AcllogMaxLen "acllog-max-len": ANY_COUNT, "128", "entries", Runtime,
            "entries that ACL LOG keeps";
        AclPubsubDefault "acl-pubsub-default": Kind::Choice(&["allchannels", "resetchannels"]), "resetchannels", "", Runtime,
            "which channels a user that was just made may use";
        ProtectedMode "protected-mode": Kind::Flag, "yes", "", Runtime,
            "without a password only clients of this machine are served";
        ProtoMaxBulkLen "proto-max-bulk-len": Kind::Memory { min: 1 << 20, max: i64::MAX }, "512mb", "bytes", Runtime,
            "longest single argument that a client may send";
        ClientQueryBufferLimit "client-query-buffer-limit":
            Kind::Memory { min: 1 << 20, max: i64::MAX }, "1gb", "bytes", Runtime,
            "longest unfinished input of a client";
        ClientOutputBufferLimit "client-output-buffer-limit": Kind::BufferLimits,
            "normal 0 0 0 slave 256mb 64mb 60 pubsub 32mb 8mb 60", "", Runtime,
            "replies that may wait for a slow client: at once (hard), or for some seconds (soft)";
        TrackingTableMaxKeys "tracking-table-max-keys": ANY_COUNT, "1000000", "keys", Runtime,
            "keys whose copies in clients are tracked; beyond it copies become void; 0 for any number";
    }
    "Server" {
        Shards "shards": Kind::Integer { min: 0, max: 1024 }, "0", "shards", Startup,
            "threads that serve clients, each on its core; 0 takes one per core, or as many as a limit of CPU time pays for";
        Databases "databases": Kind::Integer { min: 1, max: i32::MAX as i64 }, "16", "databases", Startup,
            "number of databases that SELECT can choose from";
        Hz "hz": Kind::Integer { min: 1, max: 500 }, "10", "per second", Runtime,
            "how often the background work of a shard runs";
        ActiveExpireEffort "active-expire-effort": Kind::Integer { min: 1, max: 10 }, "1", "", Runtime,
            "how hard to look for expired keys that nobody asks for";
        NotifyKeyspaceEvents "notify-keyspace-events": Kind::KeyspaceEvents, "", "", Runtime,
            "which changes of keys are published as messages; empty for none";
    }
    "Storage" {
        Dir "dir": Kind::Text, "./data", "", Startup,
            "directory that holds the data";
        Durability "durability" | "appendfsync": SYNC, "everysec", "", Runtime,
            "when a commit is forced to disk: before its reply, once a second, or when the system likes";
        JournalSegmentSize "journal-segment-size": Kind::Memory { min: 1 << 20, max: 1 << 32 }, "64mb", "bytes", Startup,
            "size at which the journal begins a new file";
        JournalMaxSize "journal-max-size": Kind::Memory { min: 8 << 20, max: 1 << 40 }, "256mb", "bytes", Startup,
            "bound of the journal: it is absorbed into tables before, and who writes faster is slowed";
        BackupDir "backup-dir": Kind::Text, "backups", "", Runtime,
            "directory in which BGSAVE makes backups; one without a leading '/' is in the data directory";
        BackupKeep "backup-keep": Kind::Integer { min: 1, max: 10_000 }, "1", "backups", Runtime,
            "backups of BGSAVE that are kept; older ones are removed";
    }
    "Memory" {
        Maxmemory "maxmemory": ANY_MEMORY, "0", "bytes", Runtime,
            "memory above which keys are evicted, or commands that need more are refused; 0 for no limit";
        MaxmemoryPolicy "maxmemory-policy": Kind::Choice(EVICTION_POLICIES), "noeviction", "", Runtime,
            "which keys are evicted for want of memory: of all, or of those with a time to live";
        MaxmemorySamples "maxmemory-samples": Kind::Integer { min: 1, max: i32::MAX as i64 }, "5", "keys", Runtime,
            "keys that are looked at to evict one, 1024 at most; more of them choose better, and slower";
        MaxmemoryEvictionTenacity "maxmemory-eviction-tenacity": Kind::Integer { min: 0, max: 100 }, "10", "", Runtime,
            "how long a command may be kept waiting by eviction: half a millisecond for 10, without end for 100";
        LfuLogFactor "lfu-log-factor": COUNT_31, "10", "", Runtime,
            "how slowly the count of a key's uses grows, for the policies named lfu";
        LfuDecayTime "lfu-decay-time": COUNT_31, "1", "min", Runtime,
            "time without use after which the count of a key's uses goes down by one; 0 for never";
        HashMaxListpackEntries "hash-max-listpack-entries" | "hash-max-ziplist-entries":
            ANY_COUNT, "512", "fields", Runtime,
            "fields up to which a hash is kept in its compact form";
        HashMaxListpackValue "hash-max-listpack-value" | "hash-max-ziplist-value": ANY_COUNT, "64", "bytes", Runtime,
            "length of a field or value up to which a hash is kept in its compact form";
        ListMaxListpackSize "list-max-listpack-size" | "list-max-ziplist-size":
            Kind::Integer { min: i32::MIN as i64, max: i32::MAX as i64 }, "-2", "", Runtime,
            "elements in a node of a list, or -1 to -5 for 4 to 64 KiB";
        SetMaxIntsetEntries "set-max-intset-entries": ANY_COUNT, "512", "members", Runtime,
            "members up to which a set of integers is kept in its compact form";
        SetMaxListpackEntries "set-max-listpack-entries": ANY_COUNT, "128", "members", Informational,
            "members up to which a set is kept in its compact form";
        SetMaxListpackValue "set-max-listpack-value": ANY_COUNT, "64", "bytes", Informational,
            "length of a member up to which a set is kept in its compact form";
        ZsetMaxListpackEntries "zset-max-listpack-entries" | "zset-max-ziplist-entries":
            ANY_COUNT, "128", "members", Runtime,
            "members up to which a sorted set is kept in its compact form";
        ZsetMaxListpackValue "zset-max-listpack-value" | "zset-max-ziplist-value": ANY_COUNT, "64", "bytes", Runtime,
            "length of a member up to which a sorted set is kept in its compact form";
        HllSparseMaxBytes "hll-sparse-max-bytes": ANY_MEMORY, "3000", "bytes", Runtime,
            "size up to which a HyperLogLog is sparse";
        StreamNodeMaxBytes "stream-node-max-bytes": ANY_MEMORY, "4096", "bytes", Runtime,
            "size of a node of a stream; 0 for no limit";
        StreamNodeMaxEntries "stream-node-max-entries": ANY_COUNT, "100", "entries", Runtime,
            "entries in a node of a stream; 0 for no limit";
    }
    "Scripts" {
        LuaDialect "lua-dialect": Kind::Choice(&["aikv", "redis"]), "aikv", "", Runtime,
            "how values cross between Lua and Redis, unless the script's first line says";
        ScriptTimeout "script-timeout": ANY_COUNT, "0", "ms", Runtime,
            "time after which a script is killed and rolled back; 0 never kills";
        BusyReplyThreshold "busy-reply-threshold" | "lua-time-limit": ANY_COUNT, "5000", "ms", Runtime,
            "time after which clients that wait for a script's keys get BUSY; 0 lets them wait";
        ScriptMemoryLimit "script-memory-limit": Kind::Memory { min: 1 << 20, max: i64::MAX }, "256mb", "bytes", Startup,
            "memory that one script may use before it is ended and rolled back";
        ScriptSourceLimit "script-source-limit": Kind::Memory { min: 1 << 10, max: i64::MAX }, "256kb", "bytes", Startup,
            "length of a script or library beyond which it is refused: its shard serves nobody else while it is compiled";
        ScriptUndeclaredKeys "script-undeclared-keys": Kind::Choice(&["allow", "deny"]), "allow", "", Runtime,
            "whether a script may use keys that it did not declare";
        ScriptSliceUs "script-slice-us": Kind::Integer { min: 50, max: 1_000_000 }, "1000", "us", Startup,
            "time that a script may run before other clients of its shard get a turn";
        ScriptPoolSize "script-pool-size": Kind::Integer { min: 1, max: 4096 }, "64", "VMs", Startup,
            "Lua VMs in a shard, that is, its scripts which can be unfinished at the same time";
    }
    "Observing" {
        Loglevel "loglevel" | "log-level": LEVELS, "notice", "", Runtime,
            "how much is logged";
        Logfile "logfile": Kind::Text, "", "", Startup,
            "file that the log is appended to; empty for standard output";
        SlowlogLogSlowerThan "slowlog-log-slower-than": Kind::Integer { min: -1, max: i64::MAX }, "10000", "us", Runtime,
            "duration from which a command enters the slow log; -1 for none";
        SlowlogMaxLen "slowlog-max-len": ANY_COUNT, "128", "entries", Runtime,
            "entries that the slow log keeps";
        LatencyMonitorThreshold "latency-monitor-threshold": ANY_COUNT, "0", "ms", Runtime,
            "duration from which an event enters the latency history; 0 for none";
        LatencyTracking "latency-tracking": Kind::Flag, "yes", "", Runtime,
            "whether a histogram of its latencies is kept for each command";
    }
    "For clients that ask" {
        Appendonly "appendonly": Kind::Fixed("every commit goes to the journal"), "yes", "", Informational,
            "there is always a journal";
        Save "save": Kind::Fixed("there are no RDB snapshots"), "", "", Informational,
            "there are no RDB snapshots";
        ClusterEnabled "cluster-enabled": Kind::Fixed("there is no cluster mode"), "no", "", Informational,
            "there is no cluster mode";
        LazyfreeLazyEviction "lazyfree-lazy-eviction": Kind::Flag, "no", "", Informational,
            "large values are always freed in the background";
        LazyfreeLazyExpire "lazyfree-lazy-expire": Kind::Flag, "no", "", Informational,
            "large values are always freed in the background";
        LazyfreeLazyServerDel "lazyfree-lazy-server-del": Kind::Flag, "no", "", Informational,
            "large values are always freed in the background";
        LazyfreeLazyUserDel "lazyfree-lazy-user-del": Kind::Flag, "no", "", Informational,
            "large values are always freed in the background";
        LazyfreeLazyUserFlush "lazyfree-lazy-user-flush": Kind::Flag, "no", "", Informational,
            "large values are always freed in the background";
        ListCompressDepth "list-compress-depth": COUNT_31, "0", "nodes", Informational,
            "lists are not compressed";
        Activerehashing "activerehashing": Kind::Flag, "yes", "", Informational,
            "tables grow on their own";
    }
}

impl Opt {
    pub fn spec(self) -> &'static OptionSpec {
        &OPTIONS[self as usize]
    }
}

/// Finds an option by its name or an alias, in any case.
pub fn find(name: &str) -> Option<&'static OptionSpec> {
    names()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, spec)| spec)
}

/// Every name and alias with its option.
pub fn names() -> impl Iterator<Item = (&'static str, &'static OptionSpec)> {
    OPTIONS.iter().flat_map(|spec| {
        std::iter::once(spec.name)
            .chain(spec.aliases.iter().copied())
            .map(move |name| (name, spec))
    })
}

/// The name that a mistyped one probably meant.
pub fn nearest(name: &str) -> Option<&'static str> {
    const MOST_EDITS: usize = 2;
    let lower = name.to_ascii_lowercase();
    names()
        .map(|(known, _)| (edits(lower.as_bytes(), known.as_bytes()), known))
        .filter(|(distance, _)| *distance <= MOST_EDITS)
        .min()
        .map(|(_, known)| known)
}

/// Levenshtein distance.
fn edits(left: &[u8], right: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}
