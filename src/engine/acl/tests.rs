//! Each way around the rules of a user, tried; and what becomes of clients when the rules change.

use crate::config::Config;
use crate::engine::testing::{Party, Server, words};
use crate::engine::{Client, Flow};

/// The operator, and two others.
const A: usize = 0;
const B: usize = 1;
const C: usize = 2;

const NO_KEY: &str =
    "-NOPERM this user has no permissions to access one of the keys used as arguments ";
const NO_CHANNEL: &str =
    "-NOPERM this user has no permissions to access one of the channels used as arguments ";

fn line(party: &mut Party, who: usize, line: &str) -> String {
    request(party, who, &words(line))
}

fn request(party: &mut Party, who: usize, request: &[&[u8]]) -> String {
    party.run(who, request);
    party.finish_scripts(who);
    heard(party, who)
}

fn heard(party: &mut Party, who: usize) -> String {
    String::from_utf8_lossy(&party.hear(who)).replace("\r\n", " ")
}

/// Two shards; B is a user who may do everything with its own keys and channels.
fn party() -> Party {
    let mut party = Party::of(2, 1);
    line(
        &mut party,
        A,
        "ACL SETUSER bob on >secret +@all ~mine:* &mine:*",
    );
    assert_eq!(line(&mut party, B, "AUTH bob secret"), "+OK ");
    line(&mut party, A, "SET theirs value");
    party
}

#[test]
fn keys_of_others_are_out_of_reach() {
    let mut party = party();
    for request in [
        "GET theirs",
        "SET theirs x",
        "MGET mine:a theirs",
        "MSET mine:a 1 theirs 2",
        "COPY theirs mine:a",
        "COPY mine:a theirs",
        "RENAME theirs mine:a",
        "RENAMENX mine:a theirs",
        "OBJECT ENCODING theirs",
        "OBJECT FREQ theirs",
        "MEMORY USAGE theirs",
        "DEBUG OBJECT theirs",
        "DUMP theirs",
        "TYPE theirs",
        "EXISTS theirs",
        "TOUCH theirs",
        "SORT mine:a STORE theirs",
        "SORT mine:a STORE mine:b STORE theirs",
        "GEORADIUS mine:a 0 0 1 m STORE mine:b STORE theirs",
        "GEORADIUS mine:a 0 0 1 m STOREDIST theirs",
        "ZUNIONSTORE mine:a 1 theirs",
        "ZUNIONSTORE theirs 1 mine:a",
        "XREAD STREAMS theirs 0",
        "XREADGROUP GROUP STREAMS c STREAMS theirs >",
        "BLPOP mine:a theirs 0",
        "BLMOVE mine:a theirs LEFT LEFT 0",
        "WATCH theirs",
        "EVAL return 1 theirs",
        "EVAL_RO return 1 theirs",
        "FCALL f 1 theirs",
        "PFCOUNT theirs",
        "BITOP NOT mine:a theirs",
        "LMPOP 1 theirs LEFT",
    ] {
        assert_eq!(line(&mut party, B, request), NO_KEY, "{request}");
    }
    for (request, option) in [
        ("SORT mine:a BY the*", "BY"),
        ("SORT mine:a GET the*", "GET"),
        ("SORT_RO mine:a BY nosort GET theirs", "GET"),
    ] {
        let denied =
            format!("-ERR {option} option of SORT denied due to insufficient ACL permissions. ");
        assert_eq!(line(&mut party, B, request), denied, "{request}");
    }
    assert_eq!(line(&mut party, A, "GET theirs"), "$5 value ");
    // As in Redis, commands that walk tell names, and no values.
    assert_eq!(line(&mut party, B, "KEYS *"), "*1 $6 theirs ");
}

#[test]
fn scripts_and_functions_may_do_what_their_caller_may() {
    let mut party = party();
    let no_key = "The user executing the script can't access at least one of the keys mentioned in the command arguments";
    for script in [
        "return redis.call('GET', 'theirs')",
        "return redis.call('SET', 'theirs', 'x')",
        "return redis.call('RENAME', 'theirs', 'mine:a')",
        "return redis.call('SORT', 'mine:a', 'STORE', 'theirs')",
        "return redis.pcall('GET', 'theirs')",
        "redis.setresp(3) return redis.call('MGET', 'mine:a', 'theirs')",
    ] {
        let reply = request(&mut party, B, &[b"EVAL", script.as_bytes(), b"0"]);
        assert!(
            reply.starts_with("-ERR ") && reply.contains(no_key),
            "{reply}"
        );
    }
    let script = b"return redis.call('PUBLISH', 'theirs', 'x')";
    let reply = request(&mut party, B, &[b"EVAL", script, b"0"]);
    assert!(reply.contains("can't publish to the channel"), "{reply}");
    let script = b"return redis.call('SORT', 'mine:a', 'BY', 'w*')";
    let reply = request(&mut party, B, &[b"EVAL", script, b"0"]);
    assert!(reply.contains("BY option of SORT denied"), "{reply}");

    let code = b"#!lua name=lib\nredis.register_function('read', function(keys, args) return redis.call('GET', args[1]) end)";
    request(&mut party, A, &[b"FUNCTION", b"LOAD", code]);
    let reply = line(&mut party, B, "FCALL read 0 theirs");
    assert!(reply.contains(no_key), "{reply}");
    assert_eq!(line(&mut party, A, "FCALL read 0 theirs"), "$5 value ");

    // A command is asked for as well, and so is the question itself.
    line(&mut party, A, "ACL SETUSER bob -get -flushall");
    let reply = line(&mut party, B, "FCALL read 0 mine:a");
    assert!(
        reply.contains("can't run this command or subcommand"),
        "{reply}"
    );
    let script = b"return {redis.acl_check_cmd('GET', 'mine:a'), redis.acl_check_cmd('SET', 'mine:a', 'x'), \
                   redis.acl_check_cmd('SET', 'theirs', 'x'), redis.acl_check_cmd('FLUSHALL')}";
    let reply = request(&mut party, B, &[b"EVAL", script, b"0"]);
    assert_eq!(reply, "*4 $-1 :1 $-1 $-1 ");
    assert_eq!(line(&mut party, A, "GET theirs"), "$5 value ");
}

#[test]
fn exec_asks_again() {
    let mut party = party();
    line(&mut party, B, "MULTI");
    assert_eq!(line(&mut party, B, "SET mine:a 1"), "+QUEUED ");
    assert_eq!(line(&mut party, B, "EVAL return 0"), "+QUEUED ");
    assert_eq!(line(&mut party, B, "PUBLISH mine:c x"), "+QUEUED ");
    assert_eq!(line(&mut party, B, "GET mine:a"), "+QUEUED ");
    line(
        &mut party,
        A,
        "ACL SETUSER bob -eval resetkeys ~other resetchannels",
    );
    let changed = "-NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. \
                   This command is no longer allowed for the following reason: ";
    let (key, command, channel) = (
        "no permission to touch the specified keys",
        "no permission to execute the command or subcommand",
        "no permission to access one of the channels used as arguments to the command",
    );
    let expected =
        format!("*4 {changed}{key} {changed}{command} {changed}{channel} {changed}{key} ");
    assert_eq!(line(&mut party, B, "EXEC"), expected);
    assert_eq!(line(&mut party, A, "EXISTS mine:a"), ":0 ");

    // What may not even be queued spoils the transaction, and so does EXEC itself.
    line(&mut party, B, "MULTI");
    assert_eq!(line(&mut party, B, "GET mine:a"), NO_KEY);
    let aborted = "-EXECABORT Transaction discarded because of previous errors. ";
    assert_eq!(line(&mut party, B, "EXEC"), aborted);
    line(&mut party, B, "MULTI");
    line(&mut party, A, "ACL SETUSER bob -exec");
    let refused = "-EXECABORT Transaction discarded because of: NOPERM this user has no permissions to run the 'exec' command ";
    assert_eq!(line(&mut party, B, "EXEC"), refused);
    assert_eq!(
        line(&mut party, B, "DISCARD"),
        "-ERR DISCARD without MULTI "
    );
}

#[test]
fn who_waits_for_data_is_asked_again() {
    let mut party = party();
    assert_eq!(line(&mut party, B, "BLPOP mine:list 0"), "");
    line(&mut party, A, "ACL SETUSER bob +get");
    assert_eq!(heard(&mut party, B), "", "nothing was taken away");
    line(&mut party, A, "ACL SETUSER bob resetkeys");
    assert_eq!(heard(&mut party, B), NO_KEY);
    line(&mut party, A, "RPUSH mine:list x");
    assert_eq!(line(&mut party, A, "LLEN mine:list"), ":1 ");
}

#[test]
fn subscribers_are_cut_off_when_they_may_no_longer_listen() {
    for change in [
        "ACL SETUSER bob resetchannels &else",
        "ACL SETUSER bob reset",
        "ACL DELUSER bob",
    ] {
        let mut party = party();
        assert_eq!(line(&mut party, B, "SUBSCRIBE theirs"), NO_CHANNEL);
        assert_eq!(line(&mut party, B, "PSUBSCRIBE mine:a*"), NO_CHANNEL);
        assert_eq!(line(&mut party, B, "SSUBSCRIBE theirs"), NO_CHANNEL);
        assert_eq!(line(&mut party, B, "PUBLISH theirs x"), NO_CHANNEL);
        assert_eq!(line(&mut party, B, "SPUBLISH theirs x"), NO_CHANNEL);
        line(&mut party, B, "SUBSCRIBE mine:a");
        line(&mut party, A, "ACL SETUSER bob +get &more");
        assert_eq!(
            line(&mut party, A, "PUBLISH mine:a x"),
            ":1 ",
            "still there"
        );
        heard(&mut party, B);
        line(&mut party, A, change);
        assert_eq!(line(&mut party, A, "PUBLISH mine:a x"), ":0 ", "{change}");
        assert_eq!(heard(&mut party, B), "");
        assert_eq!(party.run(B, &words("PING")), Flow::Close, "{change}");
    }
}

/// The message is in the mailbox of the subscriber's shard behind the news of the change, or it is seen with it.
#[test]
fn a_message_is_not_told_between_the_change_and_its_news() {
    let mut party = party();
    line(&mut party, B, "SUBSCRIBE mine:a");
    let mut operator = party.server.connect(1);
    let reply = party
        .server
        .reply(&mut operator, "ACL SETUSER bob resetchannels");
    assert_eq!(reply, "+OK\r\n");
    // Nobody has read the mail yet.
    let publish = party.server.reply(&mut operator, "PUBLISH mine:a x");
    assert_eq!(publish, ":1\r\n", "it is counted, as it is still there");
    party.settle(1);
    let heard = heard(&mut party, B);
    assert!(!heard.contains("message"), "{heard}");
}

#[test]
fn a_user_that_is_removed_can_do_nothing_more() {
    let mut party = party();
    line(&mut party, C, "AUTH bob secret");
    assert_eq!(line(&mut party, A, "ACL DELUSER bob nobody"), ":1 ");
    for who in [B, C] {
        assert_eq!(party.run(who, &words("PING")), Flow::Close);
    }
    // A client that the news has not reached holds a user without rights, also if there is a new one of its name.
    let mut server = Server::start(1, &[]);
    let (mut operator, mut client) = (server.connect(0), server.connect(0));
    server.reply(&mut operator, "ACL SETUSER bob on nopass +@all ~*");
    server.reply(&mut client, "AUTH bob x");
    server.reply(&mut operator, "ACL DELUSER bob");
    server.reply(&mut operator, "ACL SETUSER bob on nopass +@all ~*");
    let reply = server.reply(&mut client, "GET a");
    assert_eq!(
        reply,
        "-NOPERM this user has no permissions to run the 'get' command\r\n"
    );
    // Whoever removes its own user reads the answer first.
    server.reply(&mut client, "AUTH bob x");
    let removed = server.run(&mut client, &words("ACL DELUSER bob"));
    assert_eq!(removed, (Flow::Close, ":1\r\n".to_owned()));
}

#[test]
fn monitors_and_slow_logs_show_no_rules() {
    let mut server = Server::start(1, &[("slowlog-log-slower-than", "0")]);
    let mut client = server.connect(0);
    server.reply(&mut client, "ACL SETUSER bob on >secret");
    server.reply(&mut client, "ACL GETUSER bob");
    let slow = server.reply(&mut client, "SLOWLOG GET");
    assert!(slow.contains("(redacted)"), "{slow}");
    assert!(!slow.contains("secret") && !slow.contains("bob"), "{slow}");
    server.reply(
        &mut client,
        "ACL SETUSER bob nopass +@all -@admin -monitor ~*",
    );
    server.reply(&mut client, "AUTH bob x");
    for refused in [
        "MONITOR",
        "CONFIG GET requirepass",
        "ACL LIST",
        "CLIENT LIST",
    ] {
        let reply = server.reply(&mut client, refused);
        assert!(reply.starts_with("-NOPERM"), "{refused}: {reply}");
    }
}

#[test]
fn a_password_is_asked_for() {
    let mut server = Server::start(1, &[("requirepass", "first")]);
    let mut client = server.connect(0);
    let denied = "-NOAUTH Authentication required.\r\n";
    assert_eq!(server.reply(&mut client, "GET a"), denied);
    assert_eq!(server.reply(&mut client, "MULTI"), denied);
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    for attempt in [
        "AUTH firs",
        "AUTH firstt",
        "AUTH default x",
        "AUTH nobody first",
    ] {
        assert_eq!(server.reply(&mut client, attempt), wrong, "{attempt}");
    }
    let log = server.reply(&mut client, "HELLO 3 AUTH default x");
    assert_eq!(log, wrong);
    assert_eq!(server.reply(&mut client, "AUTH first"), "+OK\r\n");
    let log = server.reply(&mut client, "ACL LOG");
    assert_eq!(log.matches("\r\nauth\r\n").count(), 3, "{log}");
    for told in [
        "\r\nHELLO\r\n",
        "\r\nnobody\r\n",
        "\r\nAUTH\r\n",
        "user=default",
    ] {
        assert!(log.contains(told), "{told}: {log}");
    }
    server.reply(&mut client, "CONFIG SET requirepass second");
    let mut other = server.connect(0);
    assert_eq!(server.reply(&mut other, "AUTH first"), wrong);
    assert_eq!(
        server.reply(&mut client, "GET a"),
        "$-1\r\n",
        "who is in stays"
    );
    assert_eq!(server.reply(&mut client, "RESET"), "+RESET\r\n");
    assert_eq!(server.reply(&mut client, "GET a"), denied);
    assert_eq!(server.reply(&mut other, "AUTH second"), "+OK\r\n");
    server.reply(&mut other, "ACL SETUSER default nopass");
    assert_eq!(
        server.reply(&mut client, "GET a"),
        "$-1\r\n",
        "nobody asks any more"
    );
}

#[test]
fn clients_are_shown_with_their_users_and_killed_by_them() {
    let mut party = party();
    line(&mut party, C, "AUTH bob secret");
    let list = line(&mut party, A, "CLIENT LIST");
    assert_eq!(list.matches(" user=bob ").count(), 2, "{list}");
    assert_eq!(line(&mut party, A, "CLIENT KILL USER bob"), ":2 ");
    for who in [B, C] {
        assert_eq!(party.run(who, &words("PING")), Flow::Close);
    }
    assert_eq!(line(&mut party, A, "PING"), "+PONG ");
}

fn configured(text: &str) -> (tempfile::TempDir, Config) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("aikv.conf");
    std::fs::write(&path, text).expect("a file");
    let mut config = Config::default();
    config.load(&path).expect("a configuration");
    (dir, config)
}

fn opened(config: &Config) -> Result<Vec<String>, String> {
    let registry = crate::engine::registry::Registry::new();
    let acl = super::Acl::open(&registry, config)?;
    let text = |line: Vec<u8>| String::from_utf8_lossy(&line).into_owned();
    Ok(acl.lines().into_iter().map(text).collect())
}

#[test]
fn users_of_the_configuration_are_there_and_faults_are_named() {
    let (_dir, config) = configured(
        "requirepass x\nuser ann on nopass (~a* +get) +@read -get &c\nuser default off\n",
    );
    assert_eq!(
        opened(&config).expect("users"),
        [
            "user ann on nopass resetchannels &c -@all +@read -get (~a* resetchannels -@all +get)",
            "user default off resetchannels -@all"
        ]
    );
    for (text, fault) in [
        (
            "user ann +nope\n",
            "user 'ann': Unknown command or category name in ACL",
        ),
        ("user ann on\nuser ann on\n", "user 'ann' is declared twice"),
        ("user ann (+get\n", "user 'ann': a parenthesis is left open"),
        (
            "user ann on\naclfile users.acl\n",
            "users are declared in the configuration and in 'aclfile': one of them has to go",
        ),
    ] {
        let (_dir, config) = configured(text);
        assert_eq!(opened(&config), Err(fault.to_owned()));
    }
}

fn with_file(text: &str) -> (tempfile::TempDir, Server, Client) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("users.acl");
    std::fs::write(&path, text).expect("a file");
    let options = [
        ("aclfile", path.to_str().expect("text")),
        ("requirepass", "x"),
    ];
    let mut server = Server::start(1, &options);
    let client = server.connect(0);
    (dir, server, client)
}

#[test]
fn a_file_of_users_is_loaded_and_saved() {
    let (dir, mut server, mut client) =
        with_file("user ann on >one ~* +@all\n\nuser bob on nopass +get ~b\n");
    // The file says nothing of the default user, so it has the password of the configuration.
    assert!(server.reply(&mut client, "PING").starts_with("-NOAUTH"));
    assert_eq!(server.reply(&mut client, "AUTH ann one"), "+OK\r\n");
    let mut bob = server.connect(0);
    assert_eq!(server.reply(&mut bob, "AUTH bob any"), "+OK\r\n");
    server.reply(&mut client, "ACL SETUSER eve +get");
    assert_eq!(server.reply(&mut client, "ACL SAVE"), "+OK\r\n");
    let path = dir.path().join("users.acl");
    let saved = std::fs::read_to_string(&path).expect("the file");
    let hash = super::password::PasswordHash::of(b"one").hex();
    assert!(
        saved.contains(&format!("user ann on #{hash} ~* resetchannels +@all\n")),
        "{saved}"
    );
    assert!(
        saved.contains("user eve off resetchannels -@all +get\n"),
        "{saved}"
    );
    assert!(!saved.contains(">one"));
    // Faults are told, all of them, and change nothing.
    let faulty = saved.clone() + "nonsense\nuser eve on\nuser joe +nope on &a allchannels &b\n";
    std::fs::write(&path, faulty).expect("a file");
    let reply = server.reply(&mut client, "ACL LOAD");
    for told in [
        ":5: line should start with user keyword and include a username. ",
        ":6: Duplicate user 'eve' found. ",
        ":7: Error in applying operation '+nope': Unknown command or category name in ACL. ",
        ":7: Adding a pattern after the * pattern (or the 'allchannels' flag)",
        "WARNING: ACL errors detected, no change to the previously active ACL rules was performed\r\n",
    ] {
        assert!(reply.contains(told), "{told}: {reply}");
    }
    assert!(server.reply(&mut client, "ACL USERS").contains("eve"));
    // Who is no longer in the file is sent away.
    std::fs::write(&path, "user ann on nopass ~* +@all\n").expect("a file");
    assert_eq!(server.reply(&mut client, "ACL LOAD"), "+OK\r\n");
    assert_eq!(
        server.reply(&mut client, "ACL USERS"),
        "*2\r\n$3\r\nann\r\n$7\r\ndefault\r\n"
    );
    assert!(server.reply(&mut bob, "GET b").starts_with("-NOPERM"));
    let mut stranger = server.connect(0);
    assert_eq!(server.reply(&mut stranger, "AUTH x"), "+OK\r\n");
}

#[test]
fn a_rewritten_configuration_declares_the_users() {
    let (dir, config) = configured("# users\nuser ann on >one +get ~a\nhz 20\n");
    let path = dir.path().join("aikv.conf");
    let mut server = Server::start_with(config);
    let mut client = server.connect(0);
    server.reply(&mut client, "ACL SETUSER ann on +set");
    server.reply(&mut client, "ACL SETUSER bob");
    assert_eq!(server.reply(&mut client, "CONFIG REWRITE"), "+OK\r\n");
    let hash = super::password::PasswordHash::of(b"one").hex();
    let expected = format!(
        "# users\nuser ann on #{hash} ~a resetchannels -@all +get +set\nuser bob off resetchannels -@all\n\
         user default on nopass ~* &* +@all\nhz 20\n"
    );
    assert_eq!(std::fs::read_to_string(&path).expect("a file"), expected);
    let mut again = Config::default();
    again.load(&path).expect("a configuration");
    assert_eq!(opened(&again).expect("users").len(), 3);
}

#[test]
fn renamed_commands_keep_their_rules_and_their_secrets() {
    let (_dir, config) = configured(
        "rename-command FLUSHALL \"\"\nrename-command config Secret\nrename-command AUTH login\nslowlog-log-slower-than 0\n",
    );
    let mut server = Server::start_with(config);
    let mut client = server.connect(0);
    for gone in ["FLUSHALL", "CONFIG GET hz", "AUTH x y"] {
        let reply = server.reply(&mut client, gone);
        assert!(reply.starts_with("-ERR unknown command"), "{reply}");
    }
    let script = b"return redis.call('flushall')";
    let (_, reply) = server.run(&mut client, &[b"EVAL", script, b"0"]);
    assert!(reply.contains("Unknown Redis command"), "{reply}");
    let reply = server.reply(&mut client, "SECRET GET hz");
    assert_eq!(reply, "*2\r\n$2\r\nhz\r\n$2\r\n10\r\n");
    let reply = server.reply(
        &mut client,
        "ACL SETUSER bob on >pw +@all -config|get -flushall",
    );
    assert_eq!(reply, "+OK\r\n");
    assert_eq!(server.reply(&mut client, "LOGIN bob pw"), "+OK\r\n");
    let slow = server.reply(&mut client, "SLOWLOG GET 1");
    assert!(
        slow.contains("(redacted)") && !slow.contains("bob"),
        "{slow}"
    );
    assert_eq!(
        server.reply(&mut client, "SECRET GET hz"),
        "-NOPERM this user has no permissions to run the 'config|get' command\r\n"
    );
    let listed = server.reply(&mut client, "COMMAND LIST FILTERBY PATTERN f*");
    assert!(
        listed.contains("flushdb") && !listed.contains("flushall"),
        "{listed}"
    );
}
