use std::fs;

use tracing::level_filters::LevelFilter;

use super::*;

/// Runs CONFIG SET and answers `OK` or the error, as a client sees it.
fn set(config: &Config, pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<(&[u8], &[u8])> = pairs
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
        .collect();
    config
        .set(&pairs)
        .map_or_else(|error| error.to_string(), |_| "OK".to_owned())
}

fn get(config: &Config, pattern: &str) -> Vec<(String, String)> {
    config.get(&[pattern.as_bytes()])
}

fn value(config: &Config, name: &str) -> String {
    get(config, name).remove(0).1
}

fn from_file(text: &str) -> Result<(Config, tempfile::TempDir), ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("aikv.conf");
    fs::write(&path, text).unwrap();
    let mut config = Config::default();
    config.load(&path)?;
    Ok((config, folder))
}

#[test]
fn every_default_reads_back_as_itself() {
    let config = Config::default();
    for spec in &OPTIONS {
        let shown = config.settings().display(spec);
        let again = config.settings().parse(spec, &shown).unwrap();
        assert_eq!(spec.kind.display(&again), shown, "{}", spec.name);
    }
}

#[test]
fn names_and_aliases_are_distinct() {
    let mut seen = HashSet::new();
    for (name, _) in table::names() {
        assert!(seen.insert(name), "{name} is declared twice");
        assert_eq!(name, name.to_ascii_lowercase());
    }
}

/// Each text was taken from redis-server 7.0.15.
#[test]
fn errors_are_those_of_redis() {
    let cases = "\
databases                  | 3            | can't set immutable config
hz                         | abc          | argument couldn't be parsed into an integer
hz                         | 010          | argument couldn't be parsed into an integer
tcp-keepalive              | -1           | argument must be between 0 and 2147483647 inclusive
maxmemory                  | 5xb          | argument must be a memory value
maxmemory                  | 5%           | argument must be a memory value
proto-max-bulk-len         | 10           | argument must be between 1048576 and 9223372036854775807 inclusive
latency-tracking           | maybe        | argument must be 'yes' or 'no'
client-output-buffer-limit | normal 1 2   | Wrong number of arguments in buffer limit configuration.
client-output-buffer-limit | foo 1 2 3    | Invalid client class specified in buffer limit configuration.
client-output-buffer-limit | normal 1 x 3 | Error in hard, soft or soft_seconds setting in buffer limit configuration.
notify-keyspace-events     | qq           | Invalid event class character. Use 'Ag$lshzxeKEtmdn'.";
    let failed = |name: &str, reason: &str| {
        format!("CONFIG SET failed (possibly related to argument '{name}') - {reason}")
    };
    let config = Config::default();
    for case in cases.lines() {
        let [name, raw, reason] = case.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            panic!("three columns: {case}");
        };
        assert_eq!(set(&config, &[(name, raw)]), failed(name, reason));
    }
    let unknown = "Unknown option or number of arguments for CONFIG SET - 'nosuch'";
    assert_eq!(set(&config, &[("nosuch", "1")]), unknown);
    assert_eq!(
        set(&config, &[("hz", "10"), ("hz", "11")]),
        failed("hz", "duplicate parameter")
    );
}

#[test]
fn set_changes_all_or_none() {
    let config = Config::default();
    assert_ne!(set(&config, &[("hz", "50"), ("timeout", "x")]), "OK");
    assert_ne!(set(&config, &[("hz", "50"), ("nosuch", "1")]), "OK");
    assert_eq!(config.settings().number(Opt::Hz), 10);
    assert_eq!(set(&config, &[("HZ", "50"), ("timeout", "7")]), "OK");
    assert_eq!(
        (
            config.settings().number(Opt::Hz),
            config.settings().number(Opt::Timeout)
        ),
        (50, 7)
    );
}

#[test]
fn a_listener_that_refuses_undoes_the_change() {
    let config = Config::default();
    config.on_change(
        Opt::Maxclients,
        Box::new(|settings| {
            if settings.number(Opt::Maxclients) > 20_000 {
                Err("too many".to_owned())
            } else {
                Ok(())
            }
        }),
    );
    assert_eq!(set(&config, &[("maxclients", "15000")]), "OK");
    assert_eq!(
        set(&config, &[("timeout", "3"), ("maxclients", "30000")]),
        "CONFIG SET failed (possibly related to argument 'maxclients') - too many"
    );
    assert_eq!(value(&config, "maxclients"), "15000");
    assert_eq!(value(&config, "timeout"), "0");
}

#[test]
fn get_answers_names_aliases_and_patterns_once() {
    let config = Config::default();
    assert_eq!(get(&config, "HZ"), [("HZ".to_owned(), "10".to_owned())]);
    assert_eq!(get(&config, "h[z]"), [("hz".to_owned(), "10".to_owned())]);
    assert_eq!(get(&config, "nosuch"), []);
    assert_eq!(config.get(&[b"hz", b"h?", b"HZ"]).len(), 1);
    let thresholds = get(&config, "*threshold");
    assert_eq!(
        thresholds
            .iter()
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>(),
        ["busy-reply-threshold", "latency-monitor-threshold"]
    );
    assert_eq!(set(&config, &[("lua-time-limit", "7")]), "OK");
    assert_eq!(value(&config, "busy-reply-threshold"), "7");
    assert_eq!(get(&config, "*").len(), table::names().count());
}

#[test]
fn what_benchmarks_and_clients_ask_for_is_there() {
    let config = Config::default();
    assert_eq!(value(&config, "save"), "");
    assert_eq!(value(&config, "appendonly"), "yes");
    assert_eq!(value(&config, "appendfsync"), "everysec");
    assert_eq!(
        value(&config, "client-output-buffer-limit"),
        "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"
    );
    assert_eq!(set(&config, &[("save", "")]), "OK");
    assert!(set(&config, &[("save", "900 1")]).ends_with("there are no RDB snapshots"));
    assert!(set(&config, &[("appendonly", "no")]).ends_with("every commit goes to the journal"));
}

#[test]
fn buffer_limits_that_are_not_named_stay() {
    let config = Config::default();
    assert_eq!(
        set(
            &config,
            &[("client-output-buffer-limit", "pubsub 1mb 1 2 replica 7 8 9")]
        ),
        "OK"
    );
    assert_eq!(
        value(&config, "client-output-buffer-limit"),
        "normal 0 0 0 slave 7 8 9 pubsub 1048576 1 2"
    );
    assert_eq!(
        config
            .settings()
            .buffer_limit(ClientClass::Pubsub)
            .hard_bytes,
        1 << 20
    );
}

#[test]
fn events_print_as_in_redis() {
    let config = Config::default();
    for (given, shown) in [
        ("AKEm", "AKEm"),
        ("Kn", "nK"),
        ("mKg", "gKm"),
        ("KEg$lshzxetd", "AKE"),
        ("", ""),
    ] {
        assert_eq!(set(&config, &[("notify-keyspace-events", given)]), "OK");
        assert_eq!(value(&config, "notify-keyspace-events"), shown);
    }
}

#[test]
fn choices_map_to_their_types() {
    let config = Config::default();
    for (raw, expected) in [
        ("always", Durability::Always),
        ("NO", Durability::No),
        ("everysec", Durability::Everysec),
    ] {
        assert_eq!(set(&config, &[("durability", raw)]), "OK");
        assert_eq!(config.settings().durability(), expected);
    }
    assert_eq!(
        set(
            &config,
            &[("lua-dialect", "redis"), ("script-undeclared-keys", "deny")]
        ),
        "OK"
    );
    assert_eq!(config.settings().dialect(), Dialect::Redis);
    assert_eq!(config.settings().undeclared_keys(), UndeclaredKeys::Deny);
    for (raw, expected) in [
        ("warning", LevelFilter::WARN),
        ("verbose", LevelFilter::DEBUG),
        ("error", LevelFilter::ERROR),
    ] {
        assert_eq!(set(&config, &[("loglevel", raw)]), "OK");
        assert_eq!(config.settings().log_level(), expected);
    }
}

#[test]
fn a_file_in_the_syntax_of_redis_is_read() {
    let text = "# head\nport 7000\nbind 127.0.0.1 ::1\n\nrequirepass \"a b\\\"c\\x41\"\n\
                client-output-buffer-limit pubsub 1mb 1 2\nsave 900 1\nappendonly no\nrdbcompression yes\n";
    let (config, _folder) = from_file(text).unwrap();
    assert_eq!(value(&config, "port"), "7000");
    assert_eq!(value(&config, "bind"), "127.0.0.1 ::1");
    assert_eq!(value(&config, "requirepass"), "a b\"cA");
    let warned: Vec<&str> = config
        .warnings()
        .iter()
        .filter_map(|warning| warning.split('\'').nth(1))
        .collect();
    assert_eq!(warned, ["save", "appendonly", "rdbcompression"]);
}

#[test]
fn a_wrong_line_is_named() {
    let cases = [
        (
            "hz 10\nhz ten\n",
            ":2: hz: argument couldn't be parsed into an integer (given: 'ten')",
        ),
        (
            "maxclient 5\n",
            ":1: unknown option 'maxclient' (is 'maxclients' meant?)",
        ),
        ("dir \"open\n", ":1: unbalanced quotes"),
        ("hz\n", ":1: 'hz' takes one value"),
        (
            "tls-port 6380\n",
            ":1: 'tls-port' is not supported: there is no TLS; put a proxy in front",
        ),
        ("include a b\n", ":1: 'include' takes one path"),
    ];
    for (text, expected) in cases {
        let error = from_file(text).err().expect(text).to_string();
        assert!(error.ends_with(expected), "{error}");
    }
}

#[test]
fn includes_are_read_beside_the_file_and_circles_end() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("main.conf"),
        "include more.conf\nhz 30\n",
    )
    .unwrap();
    fs::write(folder.path().join("more.conf"), "hz 20\ntimeout 9\n").unwrap();
    let mut config = Config::default();
    config.load(&folder.path().join("main.conf")).unwrap();
    assert_eq!(
        (
            value(&config, "hz").as_str(),
            value(&config, "timeout").as_str()
        ),
        ("30", "9")
    );

    fs::write(folder.path().join("more.conf"), "include main.conf\n").unwrap();
    let error = Config::default()
        .load(&folder.path().join("main.conf"))
        .unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("files include each other too deeply"),
        "{error}"
    );
}

#[test]
fn rewrite_keeps_comments_and_order_and_appends_the_rest() {
    let text = "# head\nport 7000\n\n# about hz\nhz 20\nsave 900 1\nmaxclients 500\nhz 21\n";
    let (config, _folder) = from_file(text).unwrap();
    assert_eq!(
        set(
            &config,
            &[("hz", "10"), ("timeout", "17"), ("requirepass", "a \"b\"")]
        ),
        "OK"
    );
    config.rewrite(&[]).unwrap();
    let path = config.file().unwrap();
    let rewritten = "# head\nport 7000\n\n# about hz\nhz 10\nsave 900 1\nmaxclients 500\n\n\
                     # Generated by CONFIG REWRITE\ntimeout 17\nrequirepass \"a \\\"b\\\"\"\n";
    assert_eq!(fs::read_to_string(path).unwrap(), rewritten);

    assert_eq!(
        set(
            &config,
            &[
                ("client-output-buffer-limit", "pubsub 1mb 1 2"),
                ("timeout", "0")
            ]
        ),
        "OK"
    );
    config.rewrite(&[]).unwrap();
    let again = fs::read_to_string(path).unwrap();
    assert_eq!(
        again,
        rewritten.replace("timeout 17", "timeout 0")
            + "client-output-buffer-limit pubsub 1mb 1 2\n"
    );
    assert_eq!(
        fs::read_dir(path.parent().unwrap()).unwrap().count(),
        1,
        "no temporary file is left"
    );

    let mut reread = Config::default();
    reread.load(path).unwrap();
    assert_eq!(reread.get(&[b"*"]), config.get(&[b"*"]));
}

#[test]
fn rewrite_needs_a_file() {
    let error = Config::default().rewrite(&[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "The server is running without a config file"
    );
}

fn line(args: &[&str]) -> Result<cli::Request, ConfigError> {
    cli::parse(
        std::iter::once("aikv")
            .chain(args.iter().copied())
            .map(Into::into),
    )
}

#[test]
fn the_command_line_overrules_the_file() {
    let (_, folder) = from_file("port 7000\nhz 20\ntimeout 5\n").unwrap();
    let path = folder.path().join("aikv.conf");
    let args = [
        path.to_str().unwrap(),
        "--option",
        "hz=30",
        "--port",
        "7001",
        "--log-level",
        "warning",
        "--save",
        "",
    ];
    let Ok(cli::Request::Serve(config)) = line(&args) else {
        panic!("not accepted")
    };
    for (name, expected) in [
        ("port", "7001"),
        ("hz", "30"),
        ("timeout", "5"),
        ("loglevel", "warning"),
    ] {
        assert_eq!(value(&config, name), expected);
    }
}

#[test]
fn a_wrong_command_line_is_one_clear_line() {
    let cases: [(&[&str], &str); 7] = [
        (
            &["--port", "abc"],
            "port: argument couldn't be parsed into an integer (given: 'abc')",
        ),
        (
            &["--prot", "1"],
            "unexpected argument '--prot' found (is '--port' meant?)",
        ),
        (&["--option", "nosuch=1"], "unknown option 'nosuch'"),
        (
            &["--option", "hz"],
            "--option takes NAME=VALUE (given: 'hz')",
        ),
        (
            &["--port"],
            "a value is required for '--port <VALUE>' but none was supplied",
        ),
        (
            &["check"],
            "the following required arguments were not provided <DIR>",
        ),
        (
            &["--durability", "often"],
            "durability: argument(s) must be one of the following: always, everysec, no (given: 'often')",
        ),
    ];
    for (args, expected) in cases {
        assert_eq!(
            line(args).err().expect("must be refused").to_string(),
            expected,
            "{args:?}"
        );
    }
}

#[test]
fn check_and_help_are_requests() {
    assert!(matches!(
        line(&["check", "d", "--repair"]),
        Ok(cli::Request::Check { repair: true, .. })
    ));
    let Ok(cli::Request::Print(help)) = line(&["--help"]) else {
        panic!("no help")
    };
    for spec in &OPTIONS {
        assert!(
            help.contains(&format!("--{} <VALUE>", spec.name)),
            "{} is not in the help",
            spec.name
        );
    }
    assert!(help.contains("[default: 6379]"));
}
