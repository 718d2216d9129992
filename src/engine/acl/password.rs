//! Passwords: kept as their SHA-256, and compared in a time that does not tell how much of them was right.

use sha2::{Digest, Sha256};
use std::hint::black_box;

const HASH_LEN: usize = 32;

/// The hash of a password.
#[derive(Clone, Copy)]
pub struct PasswordHash([u8; HASH_LEN]);

impl PasswordHash {
    pub fn of(password: &[u8]) -> Self {
        Self(Sha256::digest(password).into())
    }

    /// A hash as it is written down: 64 digits, letters in lower case.
    pub fn parse(hex: &[u8]) -> Option<Self> {
        if hex.len() != 2 * HASH_LEN {
            return None;
        }
        let mut hash = [0; HASH_LEN];
        for (byte, pair) in hash.iter_mut().zip(hex.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(hash))
    }

    pub fn hex(&self) -> String {
        use std::fmt::Write;
        self.0.iter().fold(String::new(), |mut hex, byte| {
            // Writing to a String does not fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }

    /// Whether both are of the same password. Takes the same time wherever they differ.
    pub fn is(&self, other: &Self) -> bool {
        let pairs = self.0.iter().zip(&other.0);
        let differences = pairs.fold(0, |all, (left, right)| black_box(all | (left ^ right)));
        black_box(differences) == 0
    }
}

fn digit(hex: u8) -> Option<u8> {
    match hex {
        b'0'..=b'9' => Some(hex - b'0'),
        b'a'..=b'f' => Some(hex - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_written_and_read() {
        let hash = PasswordHash::of(b"abc");
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash.hex(), hex);
        let read = PasswordHash::parse(hex.as_bytes()).expect("64 digits");
        assert!(read.is(&hash));
        assert!(!read.is(&PasswordHash::of(b"abd")));
        for wrong in [&hex[1..], &hex.to_uppercase(), &format!("{hex}0"), ""] {
            assert!(PasswordHash::parse(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }
}
