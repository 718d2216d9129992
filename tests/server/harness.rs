//! An `aikv` process for a test: in a directory of its own, on a free port, gone when the test ends.

use crate::common::resp::{Client, Reply};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const START_TIME_MAX: Duration = Duration::from_secs(20);
const STOP_TIME_MAX: Duration = Duration::from_secs(10);
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

pub struct Server {
    child: Child,
    dir: TempDir,
    options: Vec<String>,
    environment: &'static [(&'static str, &'static str)],
    pub port: u16,
}

impl Server {
    /// Starts with these options besides those that every test needs.
    pub fn start(options: &[&str]) -> Self {
        Self::start_in(&[], options)
    }

    /// Starts with these variables in its environment.
    pub fn start_in(
        environment: &'static [(&'static str, &'static str)],
        options: &[&str],
    ) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        let (child, port) = spawn(dir.path(), &options, environment);
        Self {
            child,
            dir,
            options,
            environment,
            port,
        }
    }

    pub fn client(&self) -> Client {
        let client = Client::connect(self.port).expect("the server accepts");
        client.set_read_timeout(ANSWER_TIME_MAX);
        client
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL: the process gets no chance to do anything.
    pub fn kill9(&mut self) {
        self.child.kill().expect("the server was running");
        self.child.wait().expect("the server ends");
    }

    /// SIGTERM; the exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "the server was running"
        );
        exit_code(&mut self.child)
    }

    /// Starts once more on the same directory, after [`Self::kill9`] or [`Self::terminate`].
    pub fn restart(&mut self) {
        (self.child, self.port) = spawn(self.dir.path(), &self.options, self.environment);
    }

    /// As [`Self::restart`], with more options, which overrule the others.
    pub fn restart_with(&mut self, options: &[&str]) {
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        let options = [&*self.options, &*options].concat();
        (self.child, self.port) = spawn(self.dir.path(), &options, self.environment);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a run of the binary that ends by itself left behind.
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs the binary with arguments that should not make it serve.
pub fn run_to_end(arguments: &[&str]) -> Ended {
    let mut child = Command::new(env!("CARGO_BIN_EXE_aikv"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let code = exit_code(&mut child);
    let output = child
        .wait_with_output()
        .expect("the output of an ended process");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("messages are text");
    Ended {
        code,
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// A path as an argument of the binary.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("a path of letters")
}

pub fn ok() -> Reply {
    Reply::Simple("OK".into())
}

pub fn bulk(text: impl Into<Vec<u8>>) -> Reply {
    Reply::Bulk(text.into())
}

/// The text of an error; panics at any other reply.
pub fn error_text(reply: Reply) -> String {
    match reply {
        Reply::Error(text) => text,
        other => panic!("not an error: {other:?}"),
    }
}

/// `EVAL` or `EVALSHA` (with a digest for the script).
pub fn script_args<'a>(
    command: &'a str,
    script: &'a str,
    keys: &[&'a str],
    args: &[&'a str],
) -> Vec<Vec<u8>> {
    let count = keys.len().to_string();
    let head = [command, script, &count].into_iter();
    head.chain(keys.iter().copied())
        .chain(args.iter().copied())
        .map(Vec::from)
        .collect()
}

pub fn eval(client: &mut Client, script: &str, keys: &[&str], args: &[&str]) -> Reply {
    client.call(&script_args("EVAL", script, keys, args)).reply
}

pub fn get(client: &mut Client, key: &str) -> Reply {
    client.call(&["GET", key]).reply
}

/// Asks until the answer is as wanted.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < ANSWER_TIME_MAX, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn spawn(dir: &Path, options: &[String], environment: &[(&str, &str)]) -> (Child, u16) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_aikv"))
        .args([
            "--port",
            "0",
            "--bind",
            "127.0.0.1",
            "--shards",
            "2",
            "--dir",
        ])
        .arg(dir)
        .args(options)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let stdout = child.stdout.take().expect("a piped output");
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || read_output(stdout, &sender));
    match receiver.recv_timeout(START_TIME_MAX) {
        Ok(port) => (child, port),
        Err(error) => {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the server did not get ready: {error}");
        }
    }
}

/// Tells the port once the banner is complete. Reads on until the end, so that the log never fills the pipe.
fn read_output(stdout: ChildStdout, ready: &mpsc::Sender<u16>) {
    let mut port = None;
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        let mut words = line.split_whitespace();
        match (words.next(), words.next(), port) {
            (Some("port"), Some(number), None) => port = number.parse().ok(),
            (Some("pid"), Some(_), Some(port)) => drop(ready.send(port)),
            _ => {}
        }
    }
}

/// Waits for the end of a process, but not for ever.
fn exit_code(child: &mut Child) -> Option<i32> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            return status.code();
        }
        if start.elapsed() > STOP_TIME_MAX {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the process did not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
