//! The ziplist, which older versions had where a listpack is now. Only read.
//!
//! ```text
//! ziplist  = length:u32le last:u32le count:u16le entry* 0xff     (last: where the last entry begins; count 0xffff: many)
//! entry    = previous encoding data                              (previous: the length of the entry before)
//! previous = u8 below 254 | 254 u32le
//! encoding = 0b00llllll | 0b01llllll l:u8 | 0x80 l:u32be         string
//!          | 0xc0 i16le | 0xd0 i32le | 0xe0 i64le | 0xf0 i24le | 0xfe i8
//!          | 0xf1..=0xfd                                         integer 0..=12
//! ```

use super::Reader;
use crate::value::listpack::{Item, Listpack};

const HEADER_LEN: usize = 10;
const END: u8 = 0xff;
const COUNT_UNKNOWN: u16 = u16::MAX;
const PREVIOUS_LONG: u8 = 254;

/// A ziplist's entries as a listpack; `None`: the bytes are not a ziplist from end to end.
pub fn read(bytes: &[u8]) -> Option<Listpack> {
    let mut reader = Reader::new(bytes, bytes.len());
    let len = u32::from_le_bytes(reader.chunk()?) as usize;
    let last = u32::from_le_bytes(reader.chunk()?) as usize;
    let count = u16::from_le_bytes(reader.chunk()?);
    if len != bytes.len() {
        return None;
    }
    let mut items = Listpack::new();
    let (mut seen, mut at, mut last_at, mut previous_len) = (0, HEADER_LEN, HEADER_LEN, 0);
    while *reader.rest().first()? != END {
        if previous(&mut reader)? != previous_len {
            return None;
        }
        let item = item(&mut reader)?;
        if !items.has_room(item.len()) {
            return None;
        }
        items.push_back(item);
        let next = bytes.len() - reader.rest().len();
        (previous_len, last_at, at) = (next - at, at, next);
        seen += 1;
    }
    let counted = count == COUNT_UNKNOWN || usize::from(count) == seen;
    (reader.rest().len() == 1 && last == last_at && counted).then_some(items)
}

fn previous(reader: &mut Reader<'_>) -> Option<usize> {
    match reader.byte()? {
        PREVIOUS_LONG => Some(u32::from_le_bytes(reader.chunk()?) as usize),
        END => None,
        short => Some(usize::from(short)),
    }
}

fn item<'a>(reader: &mut Reader<'a>) -> Option<Item<'a>> {
    let head = reader.byte()?;
    let number = match head {
        ..0xc0 => {
            let len = string_len(head, reader)?;
            return reader.bytes(len).map(Item::from);
        }
        0xc0 => i64::from(i16::from_le_bytes(reader.chunk()?)),
        0xd0 => i64::from(i32::from_le_bytes(reader.chunk()?)),
        0xe0 => i64::from_le_bytes(reader.chunk()?),
        0xf0 => {
            let [a, b, c] = reader.chunk()?;
            i64::from(i32::from_le_bytes([0, a, b, c]) >> 8)
        }
        0xfe => i64::from(i8::from_le_bytes(reader.chunk()?)),
        0xf1..=0xfd => i64::from(head - 0xf1),
        _ => return None,
    };
    Some(Item::Int(number))
}

fn string_len(head: u8, reader: &mut Reader<'_>) -> Option<usize> {
    Some(match head >> 6 {
        0 => usize::from(head),
        1 => usize::from(head & 0x3f) << 8 | usize::from(reader.byte()?),
        _ => u32::from_be_bytes(reader.chunk()?) as usize,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Three entries: "two", 12 and 1024.
    const ZIPLIST: &[u8] = b"\x16\0\0\0\x11\0\0\0\x03\0\x00\x03two\x05\xfd\x02\xc0\x00\x04\xff";

    #[test]
    fn entries_are_read() {
        let items = read(ZIPLIST).expect("well formed");
        let texts: Vec<_> = items.iter().map(Item::to_vec).collect();
        assert_eq!(texts, [b"two".to_vec(), b"12".to_vec(), b"1024".to_vec()]);
    }

    #[test]
    fn integers_of_all_widths_are_read() {
        for (bytes, number) in [
            (&b"\xfe\x80"[..], -128),
            (b"\xf0\xff\xff\xff", -1),
            (b"\xf0\x00\x00\x80", -0x80_0000),
            (b"\xd0\x00\x00\x00\x80", -0x8000_0000),
            (b"\xe0\x00\x00\x00\x00\x00\x00\x00\x80", i64::MIN),
            (b"\xf1", 0),
        ] {
            let read = item(&mut Reader::new(bytes, 100));
            assert_eq!(read, Some(Item::Int(number)), "{bytes:?}");
        }
    }

    proptest! {
        /// Whatever the bytes are, reading ends without a panic, and only whole ziplists pass.
        #[test]
        fn damage_is_survived(at in 0..ZIPLIST.len(), byte: u8, cut in 0..ZIPLIST.len()) {
            let mut bytes = ZIPLIST.to_vec();
            bytes[at] = byte;
            drop(read(&bytes));
            bytes.truncate(cut);
            prop_assert!(read(&bytes).is_none());
            let len = (bytes.len() as u32).to_le_bytes();
            if let Some(place) = bytes.first_chunk_mut() {
                *place = len;
            }
            prop_assert!(read(&bytes).is_none() || bytes.last() == Some(&END));
        }
    }
}
