//! The size of a radix tree that is not there: Redis keeps the nodes of a stream in one, and XINFO tells of it.

use super::StreamId;

/// The nodes of a radix tree of these keys, which come in their order.
///
/// Each key ends in a leaf. Where keys part there is a node; and for the bytes between two such places, or before a leaf,
/// there is another. (The byte by which keys part belongs to the place where they do.)
pub fn nodes(keys: impl Iterator<Item = [u8; StreamId::BYTES]>) -> usize {
    let (mut leaves, mut branches, mut runs) = (0, 0, 0);
    // How many bytes deep keys part on the way to the last one so far.
    let mut way: Vec<usize> = Vec::new();
    let mut last: Option<[u8; StreamId::BYTES]> = None;
    for key in keys {
        leaves += 1;
        if let Some(last) = last {
            let common = last.iter().zip(&key).take_while(|(a, b)| a == b).count();
            let mut below = StreamId::BYTES;
            while let Some(branch) = way.pop_if(|branch| *branch > common) {
                runs += usize::from(branch + 1 < below);
                below = branch;
            }
            if way.last() != Some(&common) {
                way.push(common);
                branches += 1;
            }
            runs += usize::from(common + 1 < below);
        }
        last = Some(key);
    }
    if leaves == 0 {
        // The root.
        return 1;
    }
    let mut below = StreamId::BYTES;
    while let Some(branch) = way.pop() {
        runs += usize::from(branch + 1 < below);
        below = branch;
    }
    leaves + branches + runs + usize::from(below > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(ids: &[(u64, u64)]) -> usize {
        nodes(
            ids.iter()
                .map(|(ms, seq)| StreamId::new(*ms, *seq).to_bytes()),
        )
    }

    #[test]
    fn nodes_are_counted_as_redis_makes_them() {
        assert_eq!(count(&[]), 1);
        assert_eq!(count(&[(1, 1)]), 2);
        // A run, a place where they part at the last byte, two leaves.
        assert_eq!(count(&[(1, 1), (1, 2)]), 4);
        // They part in the eighth byte: a run before, and one behind each.
        assert_eq!(count(&[(1, 1), (2, 1)]), 6);
        // They part in the very first byte.
        assert_eq!(count(&[(1, 1), (u64::MAX, 1)]), 5);
        assert_eq!(count(&[(1, 1), (1, 2), (2, 1)]), 8);
    }
}
