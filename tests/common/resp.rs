//! A client that reads replies twice: as bytes, and as what they mean.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    Simple(String),
    Error(String),
    Integer(i64),
    Bulk(Vec<u8>),
    Null,
    Array(Vec<Reply>),
    Map(Vec<Reply>),
    Set(Vec<Reply>),
    Push(Vec<Reply>),
    Double(String),
    BigNumber(String),
    Boolean(bool),
    Verbatim(Vec<u8>),
}

/// A reply with the bytes it came in.
#[derive(Clone, Debug)]
pub struct Answer {
    pub reply: Reply,
    pub raw: Vec<u8>,
}

impl Answer {
    /// Panics unless the bytes are exactly one reply.
    pub fn from_bytes(raw: Vec<u8>) -> Self {
        match parse(&raw) {
            Some((reply, len)) if len == raw.len() => Self { reply, raw },
            other => panic!("not one reply: {other:?} in {}", raw.escape_ascii()),
        }
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const SHOWN_BYTES: usize = 300;
        let shown = &self.raw[..self.raw.len().min(SHOWN_BYTES)];
        write!(f, "{}", shown.escape_ascii())
    }
}

/// A connection.
pub struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    pub fn connect(port: u16) -> std::io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self {
            stream,
            received: Vec::new(),
        })
    }

    pub fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Answer {
        self.send(args);
        self.receive()
    }

    pub fn send<A: AsRef<[u8]>>(&mut self, args: &[A]) {
        self.stream
            .write_all(&encode(args))
            .expect("the server reads");
    }

    /// Sends to a server that may end at any moment.
    pub fn try_send<A: AsRef<[u8]>>(&mut self, args: &[A]) -> std::io::Result<()> {
        self.stream.write_all(&encode(args))
    }

    pub fn receive(&mut self) -> Answer {
        let answer = self.try_receive().expect("the server answers");
        answer.expect("the server closed the connection")
    }

    /// The next reply; `None` where the connection ends before it.
    pub fn try_receive(&mut self) -> std::io::Result<Option<Answer>> {
        loop {
            if let Some((reply, len)) = parse(&self.received) {
                let raw = self.received.drain(..len).collect();
                return Ok(Some(Answer { reply, raw }));
            }
            let mut buffer = [0; 16_384];
            let len = self.stream.read(&mut buffer)?;
            if len == 0 {
                return Ok(None);
            }
            self.received.extend_from_slice(&buffer[..len]);
        }
    }

    /// The answer of a server that may end at any moment; `None` if it did.
    pub fn try_call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Option<Answer> {
        self.stream.write_all(&encode(args)).ok()?;
        self.try_receive().ok()?
    }

    /// Sends bytes that need not be a whole request.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server reads");
    }

    pub fn set_read_timeout(&self, most: Duration) {
        self.stream.set_read_timeout(Some(most)).expect("a timeout");
    }
}

/// A request.
pub fn encode<A: AsRef<[u8]>>(args: &[A]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        let arg = arg.as_ref();
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// The first reply in `bytes` and its length; `None` while it is incomplete.
pub fn parse(bytes: &[u8]) -> Option<(Reply, usize)> {
    let line_len = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let (kind, text) = bytes[..line_len].split_first().expect("a reply has a type");
    let text = String::from_utf8_lossy(text).into_owned();
    let after_line = line_len + 2;
    let number = || text.parse::<i64>().expect("a length or an integer");
    let simple = match kind {
        b'+' => Reply::Simple(text),
        b'-' => Reply::Error(text),
        b':' => Reply::Integer(number()),
        b'_' => Reply::Null,
        b',' => Reply::Double(text),
        b'(' => Reply::BigNumber(text),
        b'#' => Reply::Boolean(text == "t"),
        b'$' | b'=' => {
            let Ok(len) = usize::try_from(number()) else {
                return Some((Reply::Null, after_line));
            };
            let content = bytes.get(after_line..after_line + len)?.to_vec();
            bytes.get(after_line + len..after_line + len + 2)?;
            let reply = match kind {
                b'$' => Reply::Bulk(content),
                _ => Reply::Verbatim(content),
            };
            return Some((reply, after_line + len + 2));
        }
        b'*' | b'~' | b'>' | b'%' => {
            let Ok(len) = usize::try_from(number()) else {
                return Some((Reply::Null, after_line));
            };
            return parse_items(*kind, bytes, after_line, len);
        }
        other => panic!("no reply begins with {:?}", *other as char),
    };
    Some((simple, after_line))
}

fn parse_items(kind: u8, bytes: &[u8], start: usize, len: usize) -> Option<(Reply, usize)> {
    let count = if kind == b'%' { len * 2 } else { len };
    let (mut items, mut at) = (Vec::new(), start);
    for _ in 0..count {
        let (item, len) = parse(&bytes[at..])?;
        items.push(item);
        at += len;
    }
    let reply = match kind {
        b'*' => Reply::Array(items),
        b'~' => Reply::Set(items),
        b'>' => Reply::Push(items),
        _ => Reply::Map(items),
    };
    Some((reply, at))
}
