//! What a completion is about, packed into the 64 bits that the kernel hands back with it.

const TAG_BITS: u32 = 4;
const GENERATION_BITS: u32 = 28;
const GENERATION_MASK: u32 = (1 << GENERATION_BITS) - 1;

/// Names one connection of one [`Net`](super::Net), and never its successor in the same slot.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ConnKey {
    pub(super) index: u32,
    generation: u32,
}

impl ConnKey {
    pub(super) fn new(index: usize, generation: u32) -> ConnKey {
        let index = u32::try_from(index).expect("more connections than a process has descriptors");
        ConnKey {
            index,
            generation: generation & GENERATION_MASK,
        }
    }

    /// The slot's number: small, dense and reused, so that a caller may keep its sessions in a vector.
    pub fn index(self) -> usize {
        self.index as usize
    }
}

/// Names one listener of one [`Net`](super::Net).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ListenerId(pub(super) u32);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Token {
    Receive(ConnKey),
    Send(ConnKey),
    Accept(ListenerId),
    /// The pause of a listener that had no descriptors left is over.
    AcceptAgain(ListenerId),
    /// The mailbox's eventfd was written.
    Mail,
    /// A cancel request: what it cancelled reports for itself.
    Cancel,
}

impl Token {
    pub fn pack(self) -> u64 {
        let (tag, generation, index) = match self {
            Token::Receive(key) => (0, key.generation, key.index),
            Token::Send(key) => (1, key.generation, key.index),
            Token::Accept(ListenerId(index)) => (2, 0, index),
            Token::AcceptAgain(ListenerId(index)) => (3, 0, index),
            Token::Mail => (4, 0, 0),
            Token::Cancel => (5, 0, 0),
        };
        (tag << (64 - TAG_BITS)) | (u64::from(generation) << 32) | u64::from(index)
    }

    pub fn unpack(bits: u64) -> Token {
        let index = bits as u32;
        let key = ConnKey {
            index,
            generation: (bits >> 32) as u32 & GENERATION_MASK,
        };
        match bits >> (64 - TAG_BITS) {
            0 => Token::Receive(key),
            1 => Token::Send(key),
            2 => Token::Accept(ListenerId(index)),
            3 => Token::AcceptAgain(ListenerId(index)),
            4 => Token::Mail,
            5 => Token::Cancel,
            tag => unreachable!("completion with tag {tag}, which was never submitted"),
        }
    }
}
