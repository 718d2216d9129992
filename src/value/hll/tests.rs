use super::*;
use proptest::prelude::*;

const SPARSE_LEN_MAX: usize = 3000;

fn add(bytes: &mut Vec<u8>, elements: &[&[u8]]) -> bool {
    let hll = Hll::new(bytes).expect("made here");
    let change = hll.add(elements.iter().copied(), SPARSE_LEN_MAX);
    match change.expect("made here") {
        Change::Nothing => return false,
        Change::Whole(whole) => *bytes = whole,
        Change::Pieces(pieces) => {
            for (at, piece) in pieces {
                bytes[at..at + piece.len()].copy_from_slice(&piece);
            }
        }
    }
    true
}

fn ranks(bytes: &[u8]) -> Vec<u8> {
    let mut union = Union::default();
    union
        .merge(Hll::new(bytes).expect("made here"))
        .expect("whole");
    union.ranks
}

/// What redis-server 7.0.15 answered to GET after PFADD.
#[test]
fn bytes_are_those_of_redis() {
    let mut bytes = empty();
    assert!(add(&mut bytes, &[b"a", b"b", b"c"]));
    let redis: &[u8] = b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80`\xf3\x80P\xb1\x84K\xfb\x80BZ";
    assert_eq!(bytes, redis);
    assert!(!add(&mut bytes, &[b"b", b"c"]));
    let hll = Hll::new(&bytes).expect("made here");
    assert_eq!(hll.count(), Ok(3));
    assert_eq!(
        hll.runs_as_text(),
        "Z:8436 v:1,1 Z:4274 v:2,1 Z:3068 v:1,1 Z:603"
    );
}

#[test]
fn counts_are_near() {
    let mut bytes = empty();
    let mut added = 0_i64;
    for step in [1, 10, 100, 1000, 10_000, 100_000] {
        let elements: Vec<Vec<u8>> = (added..added + step)
            .map(|n| n.to_string().into_bytes())
            .collect();
        let elements: Vec<&[u8]> = elements.iter().map(Vec::as_slice).collect();
        add(&mut bytes, &elements);
        added += step;
        let hll = Hll::new(&bytes).expect("made here");
        assert_eq!(hll.is_dense(), added > 10_000);
        let count = hll.count().expect("whole");
        // Three times the standard error of 1.04 / sqrt(16,384).
        let allowed = (added as f64 * 0.025).ceil() as u64;
        assert!(count.abs_diff(added) <= allowed, "{count} for {added}");
    }
}

#[test]
fn what_is_none_is_refused() {
    let mut dense = b"HYLL".to_vec();
    dense.resize(DENSE_LEN, 0);
    assert!(Hll::new(&dense).is_ok());
    for bytes in [
        b"".as_slice(),
        b"HYLL",
        b"HYLL\x02\0\0\0\0\0\0\0\0\0\0\0\x7f\xff",
        b"hyll\x01\0\0\0\0\0\0\0\0\0\0\0\x7f\xff",
        &dense[..DENSE_LEN - 1],
    ] {
        assert!(
            matches!(Hll::new(bytes), Err(HllError::NotOne)),
            "{bytes:?}"
        );
    }
}

#[test]
fn runs_that_do_not_add_up_are_seen() {
    let mut short = empty();
    short[HEADER_LEN] = 0x7e;
    let mut long = empty();
    long.push(0);
    for bytes in [&short, &long] {
        let hll = Hll::new(bytes).expect("begins as one");
        assert_eq!(hll.count(), Err(HllError::Corrupt));
        assert_eq!(hll.to_dense(), Err(HllError::Corrupt));
        assert_eq!(Union::default().merge(hll), Err(HllError::Corrupt));
    }
}

fn elements() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let few = prop::collection::vec(any::<Vec<u8>>(), 0..40);
    let many = prop::collection::vec(
        (0..30_000_u32).prop_map(|n| n.to_le_bytes().into()),
        0..4000,
    );
    prop_oneof![few, many]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the form and the steps, the registers are the highest ranks.
    #[test]
    fn registers_hold_the_highest_ranks(steps in prop::collection::vec(elements(), 1..4)) {
        let mut model = vec![0; REGISTERS];
        let (mut bytes, mut dense) = (empty(), empty());
        if let Ok(Change::Whole(whole)) = Hll::new(&dense).expect("made here").to_dense() {
            dense = whole;
        }
        for elements in &steps {
            let elements: Vec<&[u8]> = elements.iter().map(Vec::as_slice).collect();
            let mut raised = false;
            for place in elements.iter().map(|element| Place::of(element)) {
                raised |= model[place.index] < place.rank;
                model[place.index] = place.rank.max(model[place.index]);
            }
            prop_assert_eq!(add(&mut bytes, &elements), raised);
            prop_assert_eq!(add(&mut dense, &elements), raised);
            prop_assert_eq!(&ranks(&bytes), &model);
            prop_assert_eq!(&ranks(&dense), &model);
            let counts = [&bytes, &dense].map(|b| Hll::new(b).expect("made here").count());
            prop_assert_eq!(counts[0], counts[1]);
        }
    }

    /// A union has the registers of one to which everything was added, and taking up a search where the last one ended
    /// makes no difference to the bytes.
    #[test]
    fn unions_hold_everything(a in elements(), b in elements()) {
        let (mut first, mut second, mut both) = (empty(), empty(), empty());
        for (bytes, elements) in [(&mut first, &a), (&mut second, &b)] {
            let elements: Vec<&[u8]> = elements.iter().map(Vec::as_slice).collect();
            add(bytes, &elements);
            add(&mut both, &elements);
        }
        let mut union = Union::default();
        for bytes in [&first, &second] {
            union.merge(Hll::new(bytes).expect("made here")).expect("whole");
        }
        let mut from_scratch = Draft::new(&first, SPARSE_LEN_MAX);
        if union.any_dense {
            from_scratch.promote().expect("whole");
        }
        for (index, rank) in union.ranks.iter().copied().enumerate() {
            if rank > 0 {
                let place = Place { index, rank };
                from_scratch.raise(place, sparse::Start::default()).expect("whole");
            }
        }
        let merged = union.into_target(Hll::new(&first).expect("made here"), SPARSE_LEN_MAX);
        let merged = merged.expect("whole");
        prop_assert_eq!(ranks(&merged), ranks(&both));
        prop_assert_eq!(merged, from_scratch.finish());
    }

    /// Nonsense ends in an error or a change, never in a panic.
    #[test]
    fn nonsense_is_survived(runs: Vec<u8>, element: Vec<u8>) {
        let mut bytes = empty();
        bytes.truncate(HEADER_LEN);
        bytes.extend_from_slice(&runs);
        let hll = Hll::new(&bytes).expect("begins as one");
        let _ = hll.count();
        let _ = hll.to_dense();
        let _ = hll.runs_as_text();
        let _ = hll.add(std::iter::once(element.as_slice()), SPARSE_LEN_MAX);
        let _ = Union::default().merge(hll);
    }
}
