//! The checksum at the end of what DUMP answers, and of RDB files: CRC-64 with Jones' polynomial.

/// The polynomial, its lowest bit first.
const POLYNOMIAL: u64 = 0x95ac_9329_ac4b_c9b5;

pub fn crc64(bytes: &[u8]) -> u64 {
    extend(0, bytes)
}

/// The checksum of what has the checksum `crc`, followed by `bytes`.
pub fn extend(mut crc: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<SLICES>();
    for word in words {
        let mixed = (crc ^ u64::from_le_bytes(*word)).to_le_bytes();
        let slices = mixed.iter().zip(TABLES.iter().rev());
        crc = slices.fold(0, |crc, (byte, table)| crc ^ table[usize::from(*byte)]);
    }
    for byte in rest {
        crc = crc >> 8 ^ TABLES[0][usize::from(crc as u8 ^ byte)];
    }
    crc
}

/// Bytes that one step takes.
const SLICES: usize = 8;

/// Table `n` is the checksum of a byte that `n` zeros follow.
static TABLES: [[u64; 256]; SLICES] = tables();

const fn tables() -> [[u64; 256]; SLICES] {
    let mut tables = [[0; 256]; SLICES];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = step(byte as u8);
        let mut slice = 0;
        while slice < SLICES {
            tables[slice][byte] = crc;
            crc = crc >> 8 ^ step(crc as u8);
            slice += 1;
        }
        byte += 1;
    }
    tables
}

/// The checksum of one byte.
const fn step(byte: u8) -> u64 {
    let mut crc = byte as u64;
    let mut bit = 0;
    while bit < 8 {
        crc = crc >> 1 ^ if crc & 1 == 1 { POLYNOMIAL } else { 0 };
        bit += 1;
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogued_check_value() {
        assert_eq!(crc64(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
    }

    #[test]
    fn eight_bytes_a_step_are_one_byte_a_step() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
        for len in 0..bytes.len() {
            let simple = bytes[..len]
                .iter()
                .fold(0, |crc, byte| crc >> 8 ^ step(crc as u8 ^ byte));
            assert_eq!(crc64(&bytes[..len]), simple, "{len} bytes");
        }
    }
}
