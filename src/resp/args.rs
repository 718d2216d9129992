//! A command's arguments, the command's name first.

use smallvec::SmallVec;
use std::ops::Index;

/// Where an argument lies in its buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub start: usize,
    pub len: usize,
}

/// A view of arguments that lie in one buffer (a request as it was received) or anywhere (a script's strings).
#[derive(Clone, Copy)]
pub struct Args<'a> {
    repr: Repr<'a>,
}

#[derive(Clone, Copy)]
enum Repr<'a> {
    Spans { buffer: &'a [u8], spans: &'a [Span] },
    Slices(&'a [&'a [u8]]),
}

impl<'a> Args<'a> {
    #[inline]
    pub fn from_spans(buffer: &'a [u8], spans: &'a [Span]) -> Self {
        Self {
            repr: Repr::Spans { buffer, spans },
        }
    }

    #[inline]
    pub fn from_slices(slices: &'a [&'a [u8]]) -> Self {
        Self {
            repr: Repr::Slices(slices),
        }
    }

    #[inline]
    pub fn len(&self) -> usize {
        match self.repr {
            Repr::Spans { spans, .. } => spans.len(),
            Repr::Slices(slices) => slices.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Argument `index`; 0 is the command's name.
    ///
    /// Panics if there is none: a command's arity was checked before its handler asks.
    #[inline]
    pub fn get(&self, index: usize) -> &'a [u8] {
        match self.repr {
            Repr::Spans { buffer, spans } => {
                let Span { start, len } = spans[index];
                &buffer[start..start + len]
            }
            Repr::Slices(slices) => slices[index],
        }
    }

    /// Argument `index`, if there are so many.
    #[inline]
    pub fn try_get(&self, index: usize) -> Option<&'a [u8]> {
        (index < self.len()).then(|| self.get(index))
    }

    #[inline]
    pub fn iter(
        &self,
    ) -> impl DoubleEndedIterator<Item = &'a [u8]> + ExactSizeIterator + Clone + use<'a> {
        let args = *self;
        (0..args.len()).map(move |index| args.get(index))
    }

    /// The arguments from `first` on; none if there are fewer.
    #[inline]
    #[must_use]
    pub fn skip(&self, first: usize) -> Self {
        let first = first.min(self.len());
        let repr = match self.repr {
            Repr::Spans { buffer, spans } => Repr::Spans {
                buffer,
                spans: &spans[first..],
            },
            Repr::Slices(slices) => Repr::Slices(&slices[first..]),
        };
        Self { repr }
    }
}

impl Index<usize> for Args<'_> {
    type Output = [u8];

    #[inline]
    fn index(&self, index: usize) -> &[u8] {
        self.get(index)
    }
}

impl std::fmt::Debug for Args<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_list()
            .entries(
                self.iter()
                    .map(<[u8]>::escape_ascii)
                    .map(|text| text.to_string()),
            )
            .finish()
    }
}

/// Arguments that outlive the input they came from: queued by `MULTI`, held by a blocked client, sent to another shard.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct OwnedArgs {
    buffer: Box<[u8]>,
    spans: SmallVec<[Span; INLINE_SPANS]>,
}

/// Enough for `SET key value EX seconds` without a second allocation.
const INLINE_SPANS: usize = 5;

impl OwnedArgs {
    #[inline]
    pub fn as_args(&self) -> Args<'_> {
        Args::from_spans(&self.buffer, &self.spans)
    }

    /// What it occupies on the heap, for limits on what a client may queue.
    pub fn heap_bytes(&self) -> usize {
        let spans = if self.spans.spilled() {
            self.spans.capacity() * size_of::<Span>()
        } else {
            0
        };
        self.buffer.len() + spans
    }
}

impl From<Args<'_>> for OwnedArgs {
    fn from(args: Args<'_>) -> Self {
        let mut buffer = Vec::with_capacity(args.iter().map(<[u8]>::len).sum());
        let mut spans = SmallVec::with_capacity(args.len());
        for arg in args.iter() {
            spans.push(Span {
                start: buffer.len(),
                len: arg.len(),
            });
            buffer.extend_from_slice(arg);
        }
        Self {
            buffer: buffer.into_boxed_slice(),
            spans,
        }
    }
}

impl std::fmt::Debug for OwnedArgs {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_args().fmt(formatter)
    }
}
