//! The listpack against a plain vector, and against bytes that Redis wrote.

use super::{Item, Listpack, Pos};
use proptest::collection::vec;
use proptest::prelude::*;

/// Strings around each boundary of the encodings, and integers of each width.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let around = |at: usize| at - 2..at + 3;
    prop_oneof![
        8 => vec(any::<u8>(), 0..12),
        2 => vec(any::<u8>(), around(63)),
        1 => vec(any::<u8>(), around(127)),
        1 => vec(any::<u8>(), around(4095)),
        1 => vec(any::<u8>(), around(16_383)),
        8 => integer().prop_map(|number| number.to_string().into_bytes()),
        1 => "0[0-9]{0,3}|-0|\\+1|1 |9223372036854775808".prop_map(String::into_bytes),
    ]
}

fn integer() -> impl Strategy<Value = i64> {
    let bits = prop_oneof![Just(7), Just(12), Just(15), Just(23), Just(31), Just(63)];
    (bits, -2..3_i64, any::<bool>()).prop_map(|(bits, off, negative)| {
        let edge = if bits == 63 {
            i64::MAX - off.abs()
        } else {
            (1_i64 << bits) + off
        };
        if negative { -edge } else { edge }
    })
}

fn texts() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(text(), 0..24)
}

#[derive(Clone, Debug)]
enum Change {
    PushBack(Vec<u8>),
    PushFront(Vec<u8>),
    Insert(prop::sample::Index, Vec<u8>),
    Replace(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index, usize),
    Extend(Vec<Vec<u8>>),
    Append(Vec<Vec<u8>>),
    SplitOff(prop::sample::Index),
    Find(prop::sample::Index, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        text().prop_map(Change::PushBack),
        text().prop_map(Change::PushFront),
        (index(), text()).prop_map(|(at, text)| Change::Insert(at, text)),
        (index(), text()).prop_map(|(at, text)| Change::Replace(at, text)),
        (index(), 0..4_usize).prop_map(|(at, count)| Change::Remove(at, count)),
        vec(text(), 0..4).prop_map(Change::Extend),
        vec(text(), 0..4).prop_map(Change::Append),
        index().prop_map(Change::SplitOff),
        (index(), 1..4_usize).prop_map(|(at, step)| Change::Find(at, step)),
    ]
}

fn make(texts: &[Vec<u8>]) -> Listpack {
    texts.iter().map(Vec::as_slice).collect()
}

fn apply(listpack: &mut Listpack, model: &mut Vec<Vec<u8>>, change: Change) {
    match change {
        Change::PushBack(text) => {
            listpack.push_back(text.as_slice());
            model.push(text);
        }
        Change::PushFront(text) => {
            listpack.push_front(text.as_slice());
            model.insert(0, text);
        }
        Change::Insert(at, text) => {
            let at = at.index(model.len() + 1);
            listpack.insert(at, text.as_slice());
            model.insert(at, text);
        }
        Change::Replace(at, text) if !model.is_empty() => {
            let at = at.index(model.len());
            listpack.replace(at, text.as_slice());
            model[at] = text;
        }
        Change::Remove(at, count) => {
            let at = at.index(model.len() + 1);
            let end = (at + count).min(model.len());
            assert_eq!(listpack.remove(at, count), end - at);
            model.drain(at..end);
        }
        Change::Extend(texts) => {
            listpack.extend(texts.iter().map(Vec::as_slice));
            model.extend(texts);
        }
        Change::Append(texts) => {
            listpack.append(&make(&texts));
            model.extend(texts);
        }
        Change::SplitOff(at) => {
            let at = at.index(model.len() + 1);
            check(&listpack.split_off(at), &model.split_off(at));
        }
        Change::Find(at, step) if !model.is_empty() => {
            let wanted = &model[at.index(model.len())];
            let expected = (0..model.len())
                .step_by(step)
                .find(|i| model[*i] == *wanted);
            let found = listpack.find(wanted, step);
            assert_eq!(found, expected.and_then(|at| listpack.pos(at)));
        }
        Change::Replace(..) | Change::Find(..) => {}
    }
}

/// Every way to read the listpack gives what the model holds, and its bytes pass the check for strangers' bytes.
fn check(listpack: &Listpack, model: &[Vec<u8>]) {
    let read: Vec<_> = listpack.iter().map(Item::to_vec).collect();
    assert_eq!(read, model);
    let backwards: Vec<_> = listpack.iter().rev().map(Item::to_vec).collect();
    assert!(backwards.iter().eq(model.iter().rev()));
    assert_eq!(listpack.len(), model.len());
    assert_eq!(listpack.is_empty(), model.is_empty());
    assert_eq!(listpack.first().map(Item::to_vec), model.first().cloned());
    assert_eq!(listpack.last().map(Item::to_vec), model.last().cloned());
    for (index, text) in model.iter().enumerate() {
        assert_eq!(listpack.get(index).map(Item::to_vec).as_ref(), Some(text));
    }
    assert!(listpack.get(model.len()).is_none());
    let forward = std::iter::successors(listpack.first_pos(), |pos| listpack.next(*pos));
    let mut back: Vec<Pos> =
        std::iter::successors(listpack.last_pos(), |pos| listpack.previous(*pos)).collect();
    back.reverse();
    assert!(forward.eq(back));
    let again = Listpack::from_bytes(listpack.bytes().to_vec());
    assert_eq!(again.as_ref(), Some(listpack));
}

proptest! {
    #[test]
    fn it_is_a_vector_of_strings(changes in vec(change(), 1..40)) {
        let (mut listpack, mut model) = (Listpack::new(), Vec::new());
        for change in changes {
            apply(&mut listpack, &mut model, change);
            check(&listpack, &model);
        }
    }

    #[test]
    fn changes_at_a_position_are_changes_at_its_index(
        mut model in vec(text(), 1..20),
        at: prop::sample::Index,
        texts in vec(text(), 3),
        count in 0..4_usize,
    ) {
        let mut listpack = make(&model);
        let at = at.index(model.len());
        let pos = listpack.pos(at).expect("below the length");
        listpack.insert_after(pos, texts[0].as_slice());
        model.insert(at + 1, texts[0].clone());
        listpack.replace_at(pos, texts[1].as_slice());
        model[at].clone_from(&texts[1]);
        listpack.insert_before(pos, texts[2].as_slice());
        model.insert(at, texts[2].clone());
        check(&listpack, &model);
        prop_assert!(listpack.iter_from(pos).map(Item::to_vec).eq(model[at..].iter().cloned()));
        prop_assert!(listpack.iter_before(pos).map(Item::to_vec).eq(model[..at].iter().cloned()));
        let end = (at + count).min(model.len());
        prop_assert_eq!(listpack.remove_at(pos, count), end - at);
        model.drain(at..end);
        check(&listpack, &model);
    }

    /// What passes the check can be read, changed and cut without a panic.
    #[test]
    fn bytes_of_strangers_are_refused_or_whole(
        texts in texts(),
        flips in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut: prop::sample::Index,
        cuts: bool,
    ) {
        let mut bytes = make(&texts).bytes().to_vec();
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if cuts {
            bytes.truncate(cut.index(bytes.len()));
            let len = bytes.len() as u32;
            if let Some(place) = bytes.first_chunk_mut::<4>() {
                *place = len.to_le_bytes();
            }
        }
        if let Some(mut listpack) = Listpack::from_bytes(bytes) {
            let model: Vec<_> = listpack.iter().map(Item::to_vec).collect();
            check(&listpack, &model);
            let middle = model.len() / 2;
            listpack.insert(middle, 5_i64);
            listpack.remove(middle, 1);
            check(&listpack, &model);
        }
    }

    #[test]
    fn random_bytes_do_no_harm(body in vec(any::<u8>(), 0..40), count in 0..4_u16) {
        let mut bytes = ((body.len() + 7) as u32).to_le_bytes().to_vec();
        bytes.extend(count.to_le_bytes());
        bytes.extend(body);
        bytes.push(0xff);
        if let Some(listpack) = Listpack::from_bytes(bytes) {
            let model: Vec<_> = listpack.iter().map(Item::to_vec).collect();
            check(&listpack, &model);
        }
    }

    #[test]
    fn integers_keep_their_value(number in prop_oneof![integer(), any::<i64>()]) {
        let mut listpack = Listpack::new();
        listpack.push_back(number);
        listpack.push_back(number.to_string().as_bytes());
        let items: Vec<_> = listpack.iter().collect();
        prop_assert!(matches!(items[..], [Item::Int(a), Item::Int(b)] if a == number && b == number));
        prop_assert_eq!(items[0].len(), number.to_string().len());
    }
}

#[test]
fn bytes_are_those_of_redis() {
    // The listpack of `HSET h name redis-server year 2009 neg -5000 big 9223372036854775807 65 -1` in a DUMP of 7.0.15.
    let mut listpack = Listpack::new();
    let words = "name redis-server year 2009 neg -5000 big 9223372036854775807 65 -1";
    words
        .split(' ')
        .for_each(|word| listpack.push_back(word.as_bytes()));
    let expected = b"A\x00\x00\x00\x0a\x00\x84name\x05\x8credis-server\x0d\x84year\x05\xc7\xd9\x02\x83neg\x04\xf1x\xec\x03\x83big\x04\xf4\xff\xff\xff\xff\xff\xff\xff\x7f\x09A\x01\xdf\xff\x02\xff";
    assert_eq!(
        listpack.bytes().escape_ascii().to_string(),
        expected.escape_ascii().to_string()
    );
}

#[test]
fn a_count_beyond_the_header_is_counted() {
    const MANY: usize = 65_534;
    let mut listpack: Listpack = (0..MANY as i64).collect();
    assert_eq!(&listpack.bytes()[4..6], 65_534_u16.to_le_bytes());
    listpack.extend([1_i64, 2]);
    assert_eq!(&listpack.bytes()[4..6], u16::MAX.to_le_bytes());
    assert_eq!(listpack.len(), MANY + 2);
    assert_eq!(listpack.get(MANY + 1), Some(Item::Int(2)));
    listpack.remove(0, MANY);
    assert_eq!(listpack.len(), 2);
    assert_eq!(
        Listpack::from_bytes(listpack.bytes().to_vec()),
        Some(listpack)
    );
}

#[test]
fn an_integer_in_disguise_is_found_and_equal() {
    // The text "12" as a string, which no Redis writes but each one reads.
    let bytes = vec![11, 0, 0, 0, 1, 0, 0x82, b'1', b'2', 3, 0xff];
    let odd = Listpack::from_bytes(bytes).expect("well formed");
    let usual: Listpack = [12_i64].into_iter().collect();
    assert_ne!(odd.bytes(), usual.bytes());
    assert_eq!(odd, usual);
    assert!(odd.find(b"12", 1).is_some());
    assert!(usual.find(b"12", 1).is_some());
    assert!(usual.find(b"012", 1).is_none());
}

#[test]
fn a_listpack_gives_memory_back() {
    let mut listpack: Listpack = (0..1000_i64).collect();
    listpack.remove(2, 998);
    assert!(listpack.heap_bytes() <= 32, "{}", listpack.heap_bytes());
    assert_eq!(size_of::<Listpack>(), 24);
}
