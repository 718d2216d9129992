use super::info::human_size;
use super::latency::{HISTORY_MAX, Sample, event};
use super::*;

fn entry(args: Vec<Vec<u8>>) -> SlowLogEntry {
    SlowLogEntry {
        id: 0,
        unix_time_s: 1,
        duration_us: 2,
        args,
        client_addr: "127.0.0.1:1".to_owned(),
        client_name: String::new(),
    }
}

#[test]
fn totals_sum_the_shards_and_a_reset_leaves_gauges() {
    let observer = Observer::new(2, 1);
    for shard in 0..2 {
        let stats = observer.shard(shard);
        stats.keyspace_hits.add(3);
        stats.connected_clients.raise();
        stats.command(0).ran(1_500, shard == 1);
        stats.command(0).rejected();
    }
    let command = observer.command(0);
    assert_eq!(
        (
            command.calls,
            command.duration_us(),
            command.rejected,
            command.failed
        ),
        (2, 3, 2, 1)
    );
    assert_eq!(observer.totals().keyspace_hits, 6);
    observer.reset();
    assert!(observer.command(0).is_empty());
    assert_eq!(
        (
            observer.totals().keyspace_hits,
            observer.totals().connected_clients
        ),
        (0, 2)
    );
}

#[test]
fn a_duration_falls_into_the_bucket_that_just_holds_it() {
    for (duration_ns, upper_us) in [
        (0, 1),
        (1_024, 1),
        (1_025, 2),
        (2_048, 2),
        (30_000, 32),
        (33_000, 65),
    ] {
        let observer = Observer::new(1, 1);
        observer.shard(0).command(0).track_latency(duration_ns);
        assert_eq!(
            observer.command(0).cumulative_us(),
            [(upper_us, 1)],
            "{duration_ns} ns"
        );
    }
    let observer = Observer::new(1, 1);
    observer.shard(0).command(0).track_latency(u64::MAX);
    assert_eq!(
        observer.command(0).cumulative_us().len(),
        1,
        "the last bucket holds everything longer"
    );
}

#[test]
fn percentiles_come_from_the_histogram() {
    let observer = Observer::new(1, 1);
    let stats = observer.shard(0).command(0);
    (0..98).for_each(|_| stats.track_latency(1_000));
    (0..2).for_each(|_| stats.track_latency(1_000_000));
    let totals = observer.command(0);
    assert_eq!(totals.percentile_ns(50.0), 1_024);
    assert_eq!(totals.percentile_ns(99.0), 1 << 20);
    assert_eq!(totals.cumulative_us(), [(1, 98), (1_048, 100)]);
}

#[test]
fn the_slow_log_is_bounded_and_newest_first() {
    let log = SlowLog::default();
    for _ in 0..5 {
        log.record(entry(vec![b"GET".to_vec()]), 3);
    }
    assert_eq!(
        log.newest(None)
            .iter()
            .map(|entry| entry.id)
            .collect::<Vec<_>>(),
        [4, 3, 2]
    );
    assert_eq!(log.newest(Some(1)).len(), 1);
    log.reset();
    assert!(log.is_empty());
    log.record(entry(Vec::new()), 3);
    assert_eq!(log.newest(None)[0].id, 5, "ids go on after a reset");
    log.record(entry(Vec::new()), 0);
    assert!(log.is_empty());
}

#[test]
fn the_slow_log_shortens_arguments_as_redis_does() {
    let log = SlowLog::default();
    log.record(entry(vec![vec![b'x'; 200]; 40]), 10);
    let args = log.newest(None).remove(0).args;
    assert_eq!(args.len(), 32);
    assert_eq!(args[31], b"... (9 more arguments)");
    assert_eq!(
        args[0],
        [vec![b'x'; 128], b"... (72 more bytes)".to_vec()].concat()
    );

    log.record(entry(vec![vec![b'x'; 128]; 32]), 10);
    assert_eq!(log.newest(None)[0].args, vec![vec![b'x'; 128]; 32]);
}

#[test]
fn a_negative_threshold_turns_the_slow_log_off() {
    assert!(SlowLog::wants(0, 0) && SlowLog::wants(10, 10));
    assert!(!SlowLog::wants(9, 10) && !SlowLog::wants(u64::MAX, -1));
}

#[test]
fn the_latency_history_is_bounded_and_keeps_the_worst_of_a_second() {
    let latency = Latency::default();
    let note = |unix_time_s, latency_ms| {
        latency.note(
            event::SCRIPT,
            Sample {
                unix_time_s,
                latency_ms,
            },
            10,
        );
    };
    note(1, 9);
    assert!(latency.latest().is_empty(), "below the threshold");
    note(1, 20);
    note(1, 15);
    assert_eq!(
        latency.history(event::SCRIPT),
        [Sample {
            unix_time_s: 1,
            latency_ms: 20
        }]
    );
    (2..=1 + HISTORY_MAX as u64).for_each(|second| note(second, 10));
    assert_eq!(latency.history(event::SCRIPT).len(), HISTORY_MAX);
    let latest = latency.latest().remove(0);
    assert_eq!(
        (latest.last.latency_ms, latest.max_ms),
        (10, 20),
        "the worst outlives its sample"
    );
    assert!(latency.doctor(10).contains("160 spikes"));
    assert_eq!(latency.reset(&["nosuch"]), 0);
    assert_eq!(latency.reset(&[]), 1);
    assert!(latency.history(event::SCRIPT).is_empty());
}

#[test]
fn kinds_of_errors_are_bounded() {
    let errors = ErrorStats::default();
    errors.count(b"ERR no such key");
    errors.count(b"ERR");
    (0..200).for_each(|kind| errors.count(format!("KIND{kind} x").as_bytes()));
    assert_eq!(errors.total(), 202);
    assert!(errors.all().contains(&("ERR".to_owned(), 2)));
    assert_eq!(errors.all().len(), 129);
}

#[test]
fn rates_follow_the_counts() {
    let observer = Observer::new(1, 0);
    for tick in 0..=16 {
        observer.shard(0).commands_processed.add(100);
        observer.sample(tick * 100);
    }
    assert_eq!(observer.rates.lock().commands_per_second(), 1_000);
}

fn shown(args: &[&str]) -> Vec<&'static str> {
    let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
    let selection = Selection::parse(&args);
    let asked = [
        "server",
        "modules",
        "commandstats",
        "latencystats",
        "keyspace",
    ];
    asked
        .into_iter()
        .filter(|section| selection.has(section))
        .collect()
}

#[test]
fn sections_are_chosen_as_in_redis() {
    assert_eq!(shown(&[]), ["server", "modules", "keyspace"]);
    assert_eq!(shown(&["default"]), shown(&[]));
    assert_eq!(shown(&["ALL"]).len(), 5);
    assert_eq!(shown(&["everything"]), shown(&["all"]));
    assert_eq!(
        shown(&["commandstats", "nosuch", "Server"]),
        ["server", "commandstats"]
    );
    assert!(shown(&["nosuch"]).is_empty());
}

#[test]
fn info_is_written_as_redis_writes_it() {
    let observer = Observer::new(1, 2);
    observer.shard(0).command(1).ran(2_500, true);
    observer.shard(0).command(1).track_latency(2_500);
    observer.errors.count(b"WRONGTYPE x");
    let mut info = InfoBuilder::new(Selection::parse(&[
        b"memory",
        b"commandstats",
        b"errorstats",
        b"latencystats",
    ]));
    info.section("Memory", |section| {
        section.size("used_memory", 1_536);
    });
    info.section("Server", |_| panic!("was not asked for"));
    observer.write_commandstats(&mut info, &["get", "set"]);
    observer.write_errorstats(&mut info);
    observer.write_latencystats(&mut info, &["get", "set"]);
    assert_eq!(
        info.finish(),
        "# Memory\r\nused_memory:1536\r\nused_memory_human:1.50K\r\n\r\n\
         # Commandstats\r\ncmdstat_set:calls=1,usec=2,usec_per_call=2.50,rejected_calls=0,failed_calls=1\r\n\r\n\
         # Errorstats\r\nerrorstat_WRONGTYPE:count=1\r\n\r\n\
         # Latencystats\r\nlatency_percentiles_usec_set:p50=4.096,p99=4.096,p99.9=4.096\r\n"
    );
}

#[test]
fn sizes_are_readable() {
    for (bytes, expected) in [
        (0, "0B"),
        (1_023, "1023B"),
        (1_024, "1.00K"),
        (6_922_240, "6.60M"),
    ] {
        assert_eq!(human_size(bytes), expected);
    }
}

#[test]
fn the_kernel_answers() {
    assert!(process::resident_bytes() > 0);
    assert!(process::system_memory_bytes() > process::resident_bytes());
    assert!(process::cpu_times().user_s >= 0.0);
    assert!(process::os().starts_with("Linux "));
}
