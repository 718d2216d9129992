//! A `redis-server` to compare with, from the `PATH`.

use super::resp::{Client, Reply};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The version whose replies are ours.
const VERSION: &str = "7.0.";
/// Where Redis saves and loads from.
const DUMP_NAME: &str = "dump.rdb";
const START_TIME_MAX: Duration = Duration::from_secs(20);

/// A server of its own for a test, in a directory of its own; ends with it.
pub struct RedisServer {
    child: Child,
    dir: PathBuf,
    pub port: u16,
}

impl RedisServer {
    /// Starts a server that keeps nothing on disk by itself and expires no key by itself.
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// Starts a server that loads an RDB file.
    pub fn start_from(dump: &Path) -> Self {
        Self::start_with(Some(dump))
    }

    fn start_with(dump: Option<&Path>) -> Self {
        let port = free_port();
        let dir = std::env::temp_dir().join(format!("redis-oracle-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a temporary directory");
        if let Some(dump) = dump {
            std::fs::copy(dump, dir.join(DUMP_NAME)).expect("a copy of the file");
        }
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(&dir)
            .args(["--enable-debug-command", "yes"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server 7.0 in the PATH");
        let server = Self { child, dir, port };
        let mut client = server.client();
        let info = client.call(&["INFO", "server"]);
        let text = String::from_utf8_lossy(&info.raw).into_owned();
        assert!(
            text.contains(&format!("redis_version:{VERSION}")),
            "the replies compared with are those of redis-server {VERSION}"
        );
        let quiet = client.call(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]);
        assert_eq!(quiet.reply, Reply::Simple("OK".into()));
        server
    }

    /// Has the server save what it holds, and tells where.
    pub fn save(&self) -> PathBuf {
        let saved = self.client().call(&["SAVE"]);
        assert_eq!(saved.reply, Reply::Simple("OK".into()));
        self.dir.join(DUMP_NAME)
    }

    pub fn client(&self) -> Client {
        let start = Instant::now();
        loop {
            match Client::connect(self.port) {
                Ok(client) => return client,
                Err(_) if start.elapsed() < START_TIME_MAX => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(error) => panic!("redis-server does not listen: {error}"),
            }
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("a bound address").port()
}
