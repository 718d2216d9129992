//! A real Redis to compare with.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A `redis-server` of its own for one test; it ends with the value.
pub struct RedisServer {
    pub port: u16,
    process: Child,
    _directory: tempfile::TempDir,
}

impl RedisServer {
    pub fn start(options: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|socket| socket.local_addr())
            .expect("a free port")
            .port();
        let process = Command::new("redis-server")
            .args([
                "--bind",
                "127.0.0.1",
                "--port",
                &port.to_string(),
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .args(options)
            .current_dir(directory.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is needed to compare with");
        let server = Self {
            port,
            process,
            _directory: directory,
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        while let Err(error) = TcpStream::connect(("127.0.0.1", port)) {
            assert!(
                Instant::now() < deadline,
                "redis-server does not answer: {error}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.process.kill().expect("redis-server was running");
        self.process.wait().expect("redis-server ends");
    }
}
