//! A reply that is kept: for tests, for replies that wait (blocked clients, `EXEC`), for messages to other shards.

use super::reply::{Protocol, Reply};

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Simple(Vec<u8>),
    Error(Vec<u8>),
    Integer(i64),
    Bulk(Vec<u8>),
    Null,
    NullArray,
    Array(Vec<Value>),
    /// Key, value, key, value: always an even number.
    Map(Vec<Value>),
    Set(Vec<Value>),
    Push(Vec<Value>),
    Double(f64),
    /// A double in digits of its own.
    Decimal(String),
    BigNumber(String),
    Boolean(bool),
    Verbatim {
        format: String,
        bytes: Vec<u8>,
    },
}

impl Value {
    pub fn ok() -> Self {
        Self::simple("OK")
    }

    pub fn simple(text: &str) -> Self {
        Self::Simple(text.into())
    }

    pub fn error(text: &str) -> Self {
        Self::Error(text.into())
    }

    pub fn bulk(bytes: impl Into<Vec<u8>>) -> Self {
        Self::Bulk(bytes.into())
    }

    pub fn write_to(&self, reply: &mut dyn Reply) {
        let children = match self {
            Self::Simple(text) => return reply.simple_bytes(text),
            Self::Error(text) => return reply.error_bytes(text),
            Self::Integer(value) => return reply.integer(*value),
            Self::Bulk(bytes) => return reply.bulk(bytes),
            Self::Null => return reply.null(),
            Self::NullArray => return reply.null_array(),
            Self::Double(value) => return reply.double(*value),
            Self::Decimal(digits) => return reply.decimal(digits),
            Self::BigNumber(digits) => return reply.big_number(digits),
            Self::Boolean(value) => return reply.boolean(*value),
            Self::Verbatim { format, bytes } => return reply.verbatim(format, bytes),
            Self::Array(items) => {
                reply.array(items.len());
                items
            }
            Self::Map(items) => {
                debug_assert!(
                    items.len().is_multiple_of(2),
                    "a map without its last value"
                );
                reply.map(items.len() / 2);
                items
            }
            Self::Set(items) => {
                reply.set(items.len());
                items
            }
            Self::Push(items) => {
                reply.push(items.len());
                items
            }
        };
        for child in children {
            child.write_to(reply);
        }
    }
}

/// Keeps what a handler answers, as [`Value`]s. It keeps what was meant: a map stays a map under RESP2 too, and
/// becomes an array only when it is written to a RESP2 destination.
#[derive(Debug, Default)]
pub struct Recorder {
    protocol: Protocol,
    finished: Vec<Value>,
    /// Announced aggregates that still lack elements, outermost first.
    open: Vec<Open>,
}

impl Recorder {
    pub fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            ..Self::default()
        }
    }

    /// Every complete top-level reply, in order.
    ///
    /// Panics if an announced aggregate lacks elements: the handler that did so would have broken its connection.
    pub fn into_values(self) -> Vec<Value> {
        assert!(self.open.is_empty(), "an aggregate reply lacks elements");
        self.finished
    }

    /// The only reply.
    ///
    /// Panics if there was none or more than one.
    pub fn into_value(self) -> Value {
        let mut values = self.into_values();
        assert_eq!(values.len(), 1, "one reply was expected");
        values.remove(0)
    }

    fn record(&mut self, mut value: Value) {
        while let Some(parent) = self.open.last_mut() {
            parent.items.push(value);
            if parent.items.len() < parent.len {
                return;
            }
            let Some(complete) = self.open.pop() else {
                return;
            };
            value = (complete.make)(complete.items);
        }
        self.finished.push(value);
    }

    fn announce(&mut self, len: usize, make: fn(Vec<Value>) -> Value) {
        if len == 0 {
            self.record(make(Vec::new()));
        } else {
            self.open.push(Open {
                len,
                items: Vec::new(),
                make,
            });
        }
    }
}

impl Reply for Recorder {
    fn protocol(&self) -> Protocol {
        self.protocol
    }

    fn simple_bytes(&mut self, text: &[u8]) {
        self.record(Value::Simple(text.to_vec()));
    }

    fn integer(&mut self, value: i64) {
        self.record(Value::Integer(value));
    }

    fn bulk(&mut self, bytes: &[u8]) {
        self.record(Value::Bulk(bytes.to_vec()));
    }

    fn null(&mut self) {
        self.record(Value::Null);
    }

    fn null_array(&mut self) {
        self.record(Value::NullArray);
    }

    fn array(&mut self, len: usize) {
        self.announce(len, Value::Array);
    }

    fn map(&mut self, pairs: usize) {
        self.announce(pairs * 2, Value::Map);
    }

    fn set(&mut self, len: usize) {
        self.announce(len, Value::Set);
    }

    fn push(&mut self, len: usize) {
        self.announce(len, Value::Push);
    }

    fn double(&mut self, value: f64) {
        self.record(Value::Double(value));
    }

    fn decimal(&mut self, digits: &str) {
        self.record(Value::Decimal(digits.to_owned()));
    }

    fn big_number(&mut self, digits: &str) {
        self.record(Value::BigNumber(digits.to_owned()));
    }

    fn boolean(&mut self, value: bool) {
        self.record(Value::Boolean(value));
    }

    fn verbatim(&mut self, format: &str, bytes: &[u8]) {
        self.record(Value::Verbatim {
            format: format.to_owned(),
            bytes: bytes.to_vec(),
        });
    }

    fn error_bytes(&mut self, text: &[u8]) {
        self.record(Value::Error(text.to_vec()));
    }
}

#[derive(Debug)]
struct Open {
    len: usize,
    items: Vec<Value>,
    make: fn(Vec<Value>) -> Value,
}
