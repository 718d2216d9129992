//! Conversations of several clients with a server, told step by step in `conversations.txt`.

use super::resp::{Client, Reply, encode};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const TEXT: &str = include_str!("conversations.txt");

pub const CLIENTS: [char; 3] = ['a', 'b', 'c'];
/// The id of client `a`; the others follow. High enough that every server can get there.
const FIRST_ID: u64 = 100;

pub struct Conversation {
    pub title: &'static str,
    pub steps: Vec<Step>,
}

pub struct Step {
    pub client: char,
    pub request: Vec<String>,
}

/// What each client read after a step.
pub type Heard = BTreeMap<char, Vec<u8>>;

pub fn all() -> Vec<Conversation> {
    let mut all: Vec<Conversation> = Vec::new();
    for line in TEXT.lines().filter(|line| !line.is_empty()) {
        if let Some(title) = line.strip_prefix("## ") {
            all.push(Conversation {
                title,
                steps: Vec::new(),
            });
        } else if !line.starts_with("# ") {
            let (client, request) = line.split_once(' ').expect("a client and its request");
            let words = request.split(' ').map(with_ids).collect();
            all.last_mut().expect("a title").steps.push(Step {
                client: client.chars().next().expect("a letter"),
                request: words,
            });
        }
    }
    all
}

/// The id that a client has.
pub fn id_of(client: char) -> u64 {
    FIRST_ID + CLIENTS.iter().position(|c| *c == client).expect("a client") as u64
}

fn with_ids(word: &str) -> String {
    let mut word = word.to_owned();
    for client in CLIENTS {
        word = word.replace(&format!("{{{client}}}"), &id_of(client).to_string());
    }
    word
}

/// The clients of one conversation, connected to a server with the ids that the text has them have.
pub struct Party {
    streams: BTreeMap<char, TcpStream>,
    /// Ask the server for signs of life, to know that it is done with a step.
    controls: Vec<Client>,
}

impl Party {
    pub fn join(port: u16) -> Self {
        let streams = CLIENTS.map(|letter| (letter, connect_as(port, id_of(letter))));
        Self {
            streams: streams.into_iter().collect(),
            controls: vec![Client::connect(port).expect("the server listens")],
        }
    }

    /// Joins a server of several threads, among which the kernel spreads its clients: the clients that ask for signs of life
    /// are so many that some of them are with each thread.
    pub fn join_threads(port: u16) -> Self {
        const CONTROLS: usize = 24;
        let mut party = Self::join(port);
        let connect = || Client::connect(port).expect("the server listens");
        party.controls.resize_with(CONTROLS, connect);
        party
    }

    pub fn send(&mut self, step: &Step) {
        let stream = self.streams.get_mut(&step.client).expect("a client");
        // A client that has been cut off sends in vain.
        let _ = stream.write_all(&encode(&step.request));
    }

    /// Waits until the server is done with a step: a thread is once it has answered another client, and what it has for
    /// clients of another thread goes there, perhaps over a third.
    fn settle(&mut self) {
        const ROUNDS: usize = 4;
        for _ in 0..ROUNDS {
            for control in &mut self.controls {
                let pong = Reply::Simple("PONG".into());
                assert_eq!(control.call(&["PING"]).reply, pong);
            }
        }
    }

    /// What the server has to say after a step.
    pub fn hear_all(&mut self) -> Heard {
        self.settle();
        let read = |(letter, stream): (&char, &mut TcpStream)| {
            let mut bytes = Vec::new();
            stream.set_nonblocking(true).expect("a socket's mode");
            match stream.read_to_end(&mut bytes) {
                Err(error) if error.kind() != ErrorKind::WouldBlock => panic!("{error}"),
                _ => {}
            }
            stream.set_nonblocking(false).expect("a socket's mode");
            (*letter, bytes)
        };
        self.streams.iter_mut().map(read).collect()
    }

    /// Reads until the clients have as many bytes as they are expected to have, or `patience` is over.
    pub fn hear(&mut self, expected: &Heard, patience: Duration) -> Heard {
        let deadline = Instant::now() + patience;
        let mut heard = Heard::new();
        for (letter, stream) in &mut self.streams {
            let mut bytes = Vec::new();
            while bytes.len() < expected[letter].len() && Instant::now() < deadline {
                let wait = Duration::from_millis(20);
                stream.set_read_timeout(Some(wait)).expect("a timeout");
                let mut buffer = [0; 4096];
                match stream.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(len) => bytes.extend_from_slice(&buffer[..len]),
                    Err(_) => {}
                }
            }
            heard.insert(*letter, bytes);
        }
        heard
    }
}

/// A connection whose client has this id: others come and go before it.
fn connect_as(port: u16, id: u64) -> TcpStream {
    loop {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
        stream.set_nodelay(true).expect("a TCP socket");
        stream
            .write_all(b"*2\r\n$6\r\nCLIENT\r\n$2\r\nID\r\n")
            .expect("the server reads");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("the server answers");
            answer.push(byte[0]);
        }
        let text = String::from_utf8_lossy(&answer[1..answer.len() - 2]).into_owned();
        let has: u64 = text.parse().expect("an id");
        assert!(has <= id, "the server has given the id {id} away");
        if has == id {
            return stream;
        }
    }
}

/// What differs between what was heard after a step and what redis said.
pub fn difference(
    conversation: &Conversation,
    at: usize,
    heard: &Heard,
    expected: &Heard,
) -> Option<String> {
    // The greeting names the version.
    if heard == expected || conversation.steps[at].request[0] == "HELLO" {
        return None;
    }
    let shown = |heard: &Heard| -> String {
        let lines = heard
            .iter()
            .map(|(letter, bytes)| format!("    {letter} {}\n", bytes.escape_ascii()));
        lines.collect()
    };
    let lines = conversation.steps[..=at].iter();
    let lines: Vec<String> = lines
        .map(|step| format!("  {} {}", step.client, step.request.join(" ")))
        .collect();
    Some(format!(
        "{}\n{}\n  redis:\n{}  ours:\n{}",
        conversation.title,
        lines.join("\n"),
        shown(expected),
        shown(heard)
    ))
}
