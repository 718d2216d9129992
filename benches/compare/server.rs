//! A server under measurement: its own directory, a free port, ended by its own pid.
//!
//! This file is `unsafe` for kill(2), the only way to ask another process to end well.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Result;
use crate::usage::{Syscalls, Usage};

const START_MAX: Duration = Duration::from_secs(10);
const STOP_MAX: Duration = Duration::from_secs(30);
const REWRITE_MAX: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(20);
/// A reply that takes longer means that the server hangs.
const REPLY_MAX: Duration = Duration::from_secs(30);
/// Commands that are sent before their replies are read.
const FILL_BATCH: u64 = 1_000;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Redis,
    Aikv,
}

impl Kind {
    /// By the name of the binary, so that redis-server can be compared with itself.
    fn of(binary: &Path) -> Self {
        let name = binary
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if ["redis", "valkey"].iter().any(|known| name.contains(known)) {
            Self::Redis
        } else {
            Self::Aikv
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis-server",
            Self::Aikv => "aikv",
        }
    }
}

pub struct Server {
    pub kind: Kind,
    pub port: u16,
    child: Child,
    // Removed after the child has ended: fields drop after `Drop::drop`.
    dir: TempDir,
}

impl Server {
    /// Starts a server with its journal synced once a second, as both have it in production.
    pub fn start(binary: &Path, cores: &str, shards: usize) -> Result<Self> {
        let kind = Kind::of(binary);
        let dir = tempfile::tempdir()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new("taskset");
        command
            .args(["-c", cores])
            .arg(binary)
            .args(["--port", &port.to_string()])
            .args(["--bind", "127.0.0.1"]);
        command.arg("--dir").arg(dir.path());
        match kind {
            Kind::Redis => command.args([
                "--appendonly",
                "yes",
                "--appendfsync",
                "everysec",
                "--save",
                "",
            ]),
            Kind::Aikv => {
                command.args(["--durability", "everysec", "--shards", &shards.to_string()])
            }
        };
        let log = fs::File::create(dir.path().join("log"))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut server = Self {
            kind,
            port,
            child,
            dir,
        };
        server.wait_until_it_answers()?;
        Ok(server)
    }

    /// What the server has used so far.
    pub fn usage(&self) -> Result<Usage> {
        Usage::of(self.child.id())
    }

    /// Counts the server's system calls from here on.
    pub fn count_syscalls(&self) -> Option<Syscalls> {
        Syscalls::count(self.child.id())
    }

    /// Answers with the SHA1 of the script.
    pub fn load_script(&self, script: &str) -> Result<String> {
        Client::connect(self.port)?.call(&["SCRIPT", "LOAD", script])
    }

    /// Resident memory of the process.
    pub fn resident_bytes(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|rest| rest.split_whitespace().next());
        Ok(kilobytes.ok_or("no VmRSS")?.parse::<u64>()? * 1024)
    }

    /// Waits until the server does not rewrite its journal, nor makes tables of it.
    pub fn wait_until_no_rewrite(&self) -> Result<()> {
        let mut client = Client::connect(self.port)?;
        let began = Instant::now();
        while began.elapsed() < REWRITE_MAX {
            let info = client.call(&["INFO", "persistence", "storage"])?;
            if !info.contains("_in_progress:1") {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        Err("the journal is rewritten all the time".into())
    }

    /// Runs a command many times; `%n` in its words is a number of twelve digits that counts up from 0.
    pub fn fill(&self, times: u64, command: &[&str]) -> Result<()> {
        let mut client = Client::connect(self.port)?;
        for first in (0..times).step_by(FILL_BATCH as usize) {
            let batch = first..(first + FILL_BATCH).min(times);
            for n in batch.clone() {
                let n = format!("{n:012}");
                let words: Vec<String> = command.iter().map(|w| w.replace("%n", &n)).collect();
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                client.send(&words);
            }
            client.flush()?;
            for _ in batch {
                client.reply()?;
            }
        }
        Ok(())
    }

    /// Runs the command once, because redis-benchmark counts errors as requests.
    pub fn probe(&self, command: &[String]) -> Result<()> {
        let words = command
            .iter()
            .map(|w| w.replace("__rand_int__", "000000000000"));
        let words: Vec<String> = words.collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Client::connect(self.port)?.call(&words).map(drop)
    }

    pub fn stop(mut self) -> Result<()> {
        // SAFETY: kill(2) takes no pointer, and the child has not been waited for, so its pid is still its own.
        unsafe { libc::kill(self.child.id().cast_signed(), libc::SIGTERM) };
        let began = Instant::now();
        while began.elapsed() < STOP_MAX {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        Err(format!(
            "{} did not end within {} s",
            self.kind.name(),
            STOP_MAX.as_secs()
        )
        .into())
    }

    fn wait_until_it_answers(&mut self) -> Result<()> {
        let began = Instant::now();
        while began.elapsed() < START_MAX {
            if Client::connect(self.port).is_ok_and(|mut client| client.call(&["PING"]).is_ok()) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
                return Err(format!(
                    "{} ended at once ({status}): {}",
                    self.kind.name(),
                    log.trim()
                )
                .into());
            }
            std::thread::sleep(POLL);
        }
        Err(format!(
            "{} did not answer within {} s",
            self.kind.name(),
            START_MAX.as_secs()
        )
        .into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if the child has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// As much of a client as is needed.
pub struct Client {
    reader: BufReader<TcpStream>,
    out: Vec<u8>,
}

impl Client {
    pub fn connect(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(REPLY_MAX))?;
        Ok(Self {
            reader: BufReader::new(stream),
            out: Vec::new(),
        })
    }

    pub fn call(&mut self, words: &[&str]) -> Result<String> {
        self.send(words);
        self.flush()?;
        self.reply()
    }

    fn send(&mut self, words: &[&str]) {
        self.out
            .extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            self.out
                .extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
        }
    }

    fn flush(&mut self) -> Result<()> {
        self.reader.get_mut().write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    /// Reads a reply; of an array only that it came. An error reply is an error.
    fn reply(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err("the server closed the connection".into());
        }
        let line = line.trim_end();
        match line.as_bytes().first() {
            Some(b'-') => Err(format!("the server answered {line}").into()),
            Some(b'$') => {
                let Ok(length) = line[1..].parse::<usize>() else {
                    return Ok(String::new());
                };
                let mut bytes = vec![0; length + 2];
                self.reader.read_exact(&mut bytes)?;
                bytes.truncate(length);
                Ok(String::from_utf8(bytes)?)
            }
            Some(b'*' | b'%' | b'~') => {
                for _ in 0..line[1..].parse::<usize>().unwrap_or(0) {
                    self.reply()?;
                }
                Ok(String::new())
            }
            _ => Ok(line.get(1..).unwrap_or_default().to_owned()),
        }
    }
}
