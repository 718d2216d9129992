//! One frame: a header of 32 bytes, then the payload. `docs/aidb-format.md` draws it.
//!
//! The checksum covers the payload first and the header after it, so that an appender can sum the payload before it
//! takes the lock under which the header's sequence number is given. It is mixed with the segment's salt: a value that
//! a client stores cannot be made to look like a frame, and neither does an old block of another file.

use crate::Sequence;

pub(crate) const HEADER_BYTES: usize = 32;

/// The largest payload of one frame. A batch past it is refused.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 30;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Kind {
    /// A write batch.
    Batch = 1,
    /// The journal was closed in good order: everything before this frame is synced.
    Close = 2,
    /// The last frame of a base or a table.
    End = 3,
    /// Where the frames of a table begin.
    Index = 4,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub payload_bytes: u32,
    pub sequence: Sequence,
    /// Every frame up to this one was on disk for certain when this one was appended.
    pub synced: Sequence,
    pub records: u32,
    pub kind: Kind,
}

impl Header {
    /// `payload_checksum` is the CRC32C of the payload alone.
    #[inline]
    pub(crate) fn encode(&self, payload_checksum: u32, salt: u32) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[4..8].copy_from_slice(&self.payload_bytes.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.synced.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.records.to_le_bytes());
        bytes[28..32].copy_from_slice(&(self.kind as u32).to_le_bytes());
        let checksum = crc32c::crc32c_append(payload_checksum, &bytes[4..]) ^ salt;
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The header's fields, if they can be those of a frame. Its checksum is not looked at; see [`is_intact`].
    pub(crate) fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Header> {
        let u32_at =
            |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let u64_at =
            |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let header = Header {
            payload_bytes: u32_at(4),
            sequence: u64_at(8),
            synced: u64_at(16),
            records: u32_at(24),
            kind: match u32_at(28) {
                1 => Kind::Batch,
                2 => Kind::Close,
                3 => Kind::End,
                4 => Kind::Index,
                _ => return None,
            },
        };
        let plausible =
            header.payload_bytes as usize <= PAYLOAD_BYTES_MAX && header.synced < header.sequence;
        plausible.then_some(header)
    }

    pub(crate) fn frame_bytes(&self) -> usize {
        HEADER_BYTES + self.payload_bytes as usize
    }
}

pub(crate) fn is_intact(header: &[u8; HEADER_BYTES], payload: &[u8], salt: u32) -> bool {
    let stored = u32::from_le_bytes(header[..4].try_into().expect("four bytes"));
    crc32c::crc32c_append(crc32c::crc32c(payload), &header[4..]) ^ salt == stored
}

/// Appends a whole frame to `out`; where time does not press.
pub(crate) fn push(out: &mut Vec<u8>, header: &Header, payload: &[u8], salt: u32) {
    debug_assert_eq!(header.payload_bytes as usize, payload.len());
    out.extend_from_slice(&header.encode(crc32c::crc32c(payload), salt));
    out.extend_from_slice(payload);
}

/// The whole and intact frame at the start of `bytes`.
pub(crate) fn decode(bytes: &[u8], salt: u32) -> Option<(Header, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    let header = Header::decode(head)?;
    let payload = rest.get(..header.payload_bytes as usize)?;
    is_intact(head, payload, salt).then_some((header, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random_frame(random: &mut fastrand::Rng) -> (Header, Vec<u8>, u32) {
        let payload: Vec<u8> = (0..random.usize(0..200)).map(|_| random.u8(..)).collect();
        let sequence = random.u64(1..);
        let header = Header {
            payload_bytes: payload.len() as u32,
            sequence,
            synced: random.u64(..sequence),
            records: random.u32(..),
            kind: [Kind::Batch, Kind::Close, Kind::End][random.usize(..3)],
        };
        (header, payload, random.u32(..))
    }

    #[test]
    fn a_frame_comes_back_as_it_went_in() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..1000 {
            let (header, payload, salt) = random_frame(&mut random);
            let mut bytes = Vec::new();
            push(&mut bytes, &header, &payload, salt);
            assert_eq!(bytes.len(), header.frame_bytes());
            assert_eq!(decode(&bytes, salt), Some((header, payload.as_slice())));
            assert_eq!(decode(&bytes, salt ^ 1), None);
            assert_eq!(decode(&bytes[..bytes.len() - 1], salt), None);
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let mut random = fastrand::Rng::with_seed(2);
        for _ in 0..20 {
            let (header, payload, salt) = random_frame(&mut random);
            let mut bytes = Vec::new();
            push(&mut bytes, &header, &payload, salt);
            for bit in 0..bytes.len() * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(decode(&bytes, salt), None, "bit {bit}");
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }
}
