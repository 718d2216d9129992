//! LZF, the compression of long strings in Redis's serialized values. Only reading: what we write stays uncompressed,
//! which every reader of the format accepts.

/// The bytes that `packed` stands for; `None` unless they are exactly `len`.
///
/// Memory grows with what is really there, not with what `len` promises.
pub fn decompress(packed: &[u8], len: usize) -> Option<Vec<u8>> {
    /// A control byte below it announces so many bytes and one more as they are; else it begins a copy.
    const LITERAL_BELOW: u8 = 32;
    /// A copy of this length has the rest of its length in a byte of its own.
    const LONG_COPY: usize = 7;
    /// The shortest copy, which the length 0 stands for (and never occurs: that is a literal).
    const COPY_LEN_MIN: usize = 2;

    let mut out = Vec::new();
    let mut packed = packed.iter().copied();
    while let Some(control) = packed.next() {
        if control < LITERAL_BELOW {
            for _ in 0..=control {
                out.push(packed.next()?);
            }
        } else {
            let mut copy_len = usize::from(control >> 5);
            if copy_len == LONG_COPY {
                copy_len += usize::from(packed.next()?);
            }
            let high = usize::from(control % LITERAL_BELOW) << 8;
            let distance = high + usize::from(packed.next()?) + 1;
            let start = out.len().checked_sub(distance)?;
            // One byte at a time: a copy may reach into what it writes.
            for at in start..start + copy_len + COPY_LEN_MIN {
                out.push(out[at]);
            }
        }
        if out.len() > len {
            return None;
        }
    }
    (out.len() == len).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::decompress;

    #[test]
    fn copies_may_overlap_themselves() {
        // The literal "a", then 98 bytes from one byte before.
        let packed = [0, b'a', 0xe0, 89, 0];
        assert_eq!(decompress(&packed, 99), Some(vec![b'a'; 99]));
    }

    #[test]
    fn what_is_damaged_is_refused() {
        assert_eq!(decompress(&[0, b'a', 0xe0, 89, 0], 98), None, "too long");
        assert_eq!(decompress(&[0, b'a', 0xe0, 89, 0], 100), None, "too short");
        assert_eq!(
            decompress(&[0, b'a', 0xe0, 89, 1], 99),
            None,
            "before the start"
        );
        assert_eq!(decompress(&[0, b'a', 0xe0], 99), None, "cut in a copy");
        assert_eq!(decompress(&[3, b'a'], 4), None, "cut in a literal");
    }
}
