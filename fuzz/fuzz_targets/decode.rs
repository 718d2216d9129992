//! Any bytes, received whole or in pieces, mean the same requests and end in the same way.
#![no_main]

use aikv::resp::{Decoder, Limits, ProtocolError, Step};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&piece_len, bytes)) = data.split_first() else { return };
    let limits = Limits {
        max_bulk_len: 300,
        max_args: 40,
        max_inline: 64,
        authenticated: piece_len % 2 == 0,
    };
    let whole = decode(bytes, bytes.len().max(1), &limits);
    let pieces = decode(bytes, usize::from(piece_len) / 2 + 1, &limits);
    assert_eq!(whole, pieces);
});

type Outcome = (Vec<Vec<Vec<u8>>>, Option<ProtocolError>);

fn decode(bytes: &[u8], piece_len: usize, limits: &Limits) -> Outcome {
    let mut decoder = Decoder::new();
    let mut requests = Vec::new();
    let mut input = Vec::new();
    for piece in bytes.chunks(piece_len) {
        input.extend_from_slice(piece);
        loop {
            match decoder.next(&input, limits) {
                Ok(Step::Request { consumed }) => {
                    requests.push(decoder.args(&input).iter().map(<[u8]>::to_vec).collect());
                    input.drain(..consumed);
                }
                Ok(Step::Blank { consumed }) => {
                    assert!(consumed > 0);
                    input.drain(..consumed);
                }
                Ok(Step::Incomplete { missing }) => {
                    assert!(missing > 0);
                    break;
                }
                Err(error) => return (requests, Some(error)),
            }
        }
    }
    (requests, None)
}
