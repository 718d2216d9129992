//! Sessions of the debugger with `redis-server` and with this server: the same lines have to come back. And `redis-cli --ldb`.

use super::harness::Server;
use crate::common::redis::RedisServer;
use crate::common::resp::{Client, Reply};
use std::io::Write;
use std::process::{Command, Stdio};

struct Session {
    script: &'static str,
    /// What the user says, line by line.
    lines: &'static str,
}

const SESSIONS: &[Session] = &[
    Session {
        script: "local a = 1\nlocal b = 'two'\nlocal t = {1, 2, {y = {}}, 's'}\nredis.call('set', KEYS[1], ARGV[1])\n\
                 local r = redis.call('get', KEYS[1])\nreturn {a, b, r}\n\n",
        lines: "step|s|print|p a|p b|p t|print nosuch|p KEYS|p ARGV|n|p|list|list 2|list 2 1|l 0 1|l 3 -1|l x|WHOLE|break|break 5|b|\
                b 5|b 99|b x|b -5|b -5|b 5 6|b 0|trace|maxlen|maxlen 10|maxlen 100|maxlen 0|maxlen x|m 1 2|eval 1+1|eval a|\
                eval KEYS[1]|e return|e x = 1|e redis.call('get',KEYS[1])|e error('x')|e local q = 5|e {1,2,nil,4}|e )|e nil|\
                redis get k|redis set k2 v|r lpush k x|r nosuch|r get|redis|foo|s|s|p r|s|s",
    },
    Session {
        script: "redis.debug('hello', {1, 2}, nil, true, 1.5)\nlocal function f(n)\n  if n == 0 then\n    redis.breakpoint()\n\
                 \x20   return 1\n  end\n  local x = f(n - 1)\n  return x\nend\nf(2)\nreturn 'end'",
        lines: "c|t|p|p n|w|c",
    },
    Session {
        script: "redis.debug()\nlocal x = redis.debug('again')\nreturn redis.breakpoint()",
        lines: "s|s|s",
    },
    Session {
        script: "local x = redis.pcall('lpush','str','x')\nlocal y = redis.pcall('nosuch')\nlocal z = redis.call('hgetall','h')\n\
                 local w = redis.call('lrange','nolist',0,-1)\nlocal v = redis.call('get','nokey')\n\
                 local u = redis.call('mget','str','nokey')\nlocal big = redis.call('echo', string.rep('x', 400))\n\
                 local c = redis.call('mget','1','2','3','4','5','6','7','8','9','10','11','12')\n\
                 local i = redis.call('incr','n')\nlocal m = redis.call('echo','1','2','3')\nreturn 1",
        lines: "s|s|s|s|s|s|s|p big|s|s|s",
    },
    Session {
        script: "redis.setresp(3)\nlocal z = redis.call('hgetall','h')\nlocal s = redis.call('smembers','set')\n\
                 local d = redis.call('zscore','zs','m')\nlocal n = redis.call('get','nokey')\n\
                 local zz = redis.call('zrange','zs',0,-1,'withscores')\nreturn 1",
        lines: "s|s|s|s|s|s|p d|p s|p z|s",
    },
    Session {
        script: "local a = 1\nlocal b = nil\nreturn a + b",
        lines: "s|s|s",
    },
    Session {
        script: "local a = 1\nreturn a",
        lines: "s|abort",
    },
    Session {
        script: "redis.call('set', 'k', 'v') return 1",
        lines: "c",
    },
    Session {
        script: "local t = {}\nfor i = 1, 3 do\n  t[i] = i\nend\nfor k, v in pairs(t) do\n  t[k] = v\nend\nreturn t",
        lines: "s|p|s|p i|b 6|c|p k|p t|t|b 0|c",
    },
    Session {
        script: "local s = 'a\\r\\nb\\0c\\\"\\200'\nlocal n = {[1]='a',[3]='c'}\nlocal e = {{{{{{{{{{{{1}}}}}}}}}}}}\n\
                 local q = 1e20\nlocal r = 123456789\nlocal o = true\nlocal h = 1.5\nlocal j = {[1.5]=2}\nlocal k = 3.0\n\
                 local long = string.rep('ab', 200)\nreturn s",
        lines: "b 11|c|p|p s|p long|p|maxlen 0|p|c",
    },
    Session {
        script: "\n\n-- x\nlocal x = 1\n\nreturn x\n\n",
        lines: "whole|l|s|s",
    },
    Session {
        script: "#!lua\nlocal x = 1\nreturn x",
        lines: "whole|s|s",
    },
    Session {
        script: "local function g()\n  local inner = 2\n  return inner\nend\nlocal outer = 1\nlocal y = g()\nreturn y",
        lines: "b 3|c|p|p outer|p y|t|c",
    },
    Session {
        script: "local ok, e = pcall(function()\n  error('x')\nend)\nreturn e",
        lines: "s|s|s|s|s",
    },
    Session {
        script: "local co = coroutine.wrap(function()\n  local inner = 1\n  redis.call('get', 'str')\n  coroutine.yield(inner)\n\
                 \x20 return 2\nend)\nlocal a = co()\nlocal b = co()\nreturn {a, b}",
        lines: "b 3|c|p|n|n|n|n|n|n|n",
    },
    Session {
        script: "error('boom')",
        lines: "c",
    },
    Session {
        script: "local v = redis.call('get','a','b')",
        lines: "s",
    },
    Session {
        script: "local v = redis.call({})",
        lines: "s",
    },
    Session {
        script: "local v = redis.call()",
        lines: "s",
    },
    Session {
        script: "redis.call('subscribe','x')",
        lines: "s",
    },
    Session {
        script: "redis.sha1hex()\nreturn 1",
        lines: "s|s",
    },
    Session {
        script: "return redis.error_reply('x')",
        lines: "c",
    },
    Session {
        script: "return )",
        lines: "c",
    },
    Session {
        script: "local a = 1\nlocal b = 2",
        lines: "b 2|c|c",
    },
];

#[test]
fn sessions_are_those_of_redis() {
    let redis = RedisServer::start();
    let ours = Server::start(&["--lua-dialect", "redis"]);
    for mode in ["YES", "SYNC"] {
        for session in SESSIONS {
            let theirs = record(redis.client(), redis.client(), mode, session);
            let ours = record(ours.client(), ours.client(), mode, session);
            assert_eq!(theirs, ours, "{mode} {}", session.script);
        }
    }
}

/// Everything that the user reads, and what is left.
fn record(mut user: Client, mut other: Client, mode: &str, session: &Session) -> Vec<String> {
    for words in [
        "FLUSHALL",
        "SET str x",
        "HSET h f v",
        "SADD set m",
        "ZADD zs 1.5 m",
    ] {
        other.call(&words.split(' ').collect::<Vec<_>>());
    }
    let mut told = Vec::new();
    told.push(user.call(&["SCRIPT", "DEBUG", mode]).to_string());
    user.send(&["EVAL", session.script, "1", "k", "v1", "v2"]);
    let mut lines = session.lines.split('|').map(str::trim);
    loop {
        let answer = user.receive();
        told.push(answer.raw.escape_ascii().to_string());
        let is_over = match answer.reply {
            Reply::Array(lines) => lines.contains(&Reply::Simple("<endsession>".into())),
            other => panic!("{other:?} before the end of the session"),
        };
        if is_over {
            break;
        }
        let Some(line) = lines.next() else {
            panic!("the session goes on: {told:#?}");
        };
        told.push(format!("> {line}"));
        user.send(&line.split(' ').collect::<Vec<_>>());
    }
    told.push(user.receive().raw.escape_ascii().to_string());
    let closed = matches!(user.try_receive(), Ok(None) | Err(_));
    assert!(closed, "the connection ends with the session");
    told.push(other.call(&["GET", "k"]).to_string());
    told
}

#[test]
fn redis_cli_goes_through_a_script() {
    let server = Server::start(&["--lua-dialect", "redis"]);
    for (mode, left) in [
        ("--ldb", Reply::Null),
        ("--ldb-sync-mode", Reply::Bulk(b"v1".to_vec())),
    ] {
        let file = server.dir().join("script.lua");
        std::fs::write(&file, SESSIONS[0].script).expect("a file");
        let mut cli = Command::new("timeout")
            .args([
                "60",
                "redis-cli",
                "-p",
                &server.port.to_string(),
                mode,
                "--eval",
            ])
            .arg(&file)
            .args(["k", ",", "v1"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("redis-cli in the PATH");
        let mut input = cli.stdin.take().expect("piped");
        input
            .write_all(b"s\ns\np\nrestart\nb 5\nc\ntrace\neval KEYS[1]\nc\nquit\n")
            .expect("it reads");
        drop(input);
        let output = cli.wait_with_output().expect("it ends");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        for part in [
            "Lua debugging session started",
            "-> 1   local a = 1",
            "<value> a = 1",
            "<value> b = \"two\"",
            "* Stopped at 5, stop reason = break point",
            "->#5   local r = redis.call('get', KEYS[1])",
            "In top level:",
            "<retval> \"k\"",
            "3) \"v1\"",
            "(Lua debugging session ended",
        ] {
            assert!(text.contains(part), "{mode}: {part:?} is not in\n{text}");
        }
        let kept = server.client().call(&["GET", "k"]).reply;
        assert_eq!(kept, left, "{mode}");
        server.client().call(&["DEL", "k"]);
    }
}
