//! Every record, from its description: random values are encoded by hand from the interface language alone and must
//! come back byte for byte from the generated reader and writer.

use proptest::prelude::*;
use quoll_jute::{
    Error, Limits, RECORDS, Reader, Writer,
    idl::{self, Class, Type},
};
use std::{collections::HashMap, fs};

fn classes() -> HashMap<String, Class> {
    let mut all = HashMap::new();
    for file in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/idl")).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        for class in idl::parse(&text).unwrap().into_iter().flat_map(|m| m.classes) {
            all.insert(class.name.clone(), class);
        }
    }
    all
}

/// Encodes random values of a type, taking its choices from `seed`.
fn encode(classes: &HashMap<String, Class>, ty: &Type, seed: &mut Choices, out: &mut Vec<u8>) {
    match ty {
        Type::Boolean => out.push(seed.next() & 1),
        Type::Int => out.extend((0..4).map(|_| seed.next())),
        Type::Long => out.extend((0..8).map(|_| seed.next())),
        Type::Ustring | Type::Buffer | Type::Vector(_) if seed.next().is_multiple_of(5) => {
            out.extend((-1i32).to_be_bytes());
        }
        Type::Ustring => {
            let text: String = (0..seed.next() % 9)
                .map(|_| ['a', '/', '\u{e9}', '\u{4e2d}', '\0'][usize::from(seed.next() % 5)])
                .collect();
            out.extend((text.len() as i32).to_be_bytes());
            out.extend(text.as_bytes());
        }
        Type::Buffer => {
            let len = seed.next() % 20;
            out.extend(i32::from(len).to_be_bytes());
            out.extend((0..len).map(|_| seed.next()));
        }
        Type::Vector(element) => {
            let count = seed.next() % 4;
            out.extend(i32::from(count).to_be_bytes());
            (0..count).for_each(|_| encode(classes, element, seed, out));
        }
        Type::Record(name) => {
            for field in &classes[name].fields {
                encode(classes, &field.ty, seed, out);
            }
        }
    }
}

struct Choices(std::vec::IntoIter<u8>);

impl Choices {
    fn next(&mut self) -> u8 {
        self.0.next().unwrap_or(1)
    }
}

proptest! {
    #[test]
    fn every_record_comes_back_as_it_was_written(seed in prop::collection::vec(any::<u8>(), 0..400)) {
        let classes = classes();
        prop_assert_eq!(classes.len(), RECORDS.len());
        for (name, recode) in RECORDS {
            let mut bytes = Vec::new();
            encode(&classes, &Type::Record((*name).to_string()), &mut Choices(seed.clone().into_iter()), &mut bytes);
            prop_assert_eq!(recode(&bytes), Ok(bytes.clone()), "{}", name);
            for cut in 0..bytes.len() {
                prop_assert!(matches!(recode(&bytes[..cut]), Err(Error::Eof { .. })), "{} cut at {}", name, cut);
            }
        }
    }

    #[test]
    fn no_bytes_make_a_reader_panic_and_what_it_reads_is_stable(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for (name, recode) in RECORDS {
            if let Ok(once) = recode(&bytes) {
                prop_assert_eq!(recode(&once), Ok(once.clone()), "{}", name);
            }
        }
    }

    #[test]
    fn small_lengths_and_hostile_counts_do_not_panic(words in prop::collection::vec(prop_oneof![-2i32..40, Just(i32::MAX), any::<i32>()], 0..60)) {
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
        for (_, recode) in RECORDS {
            let _ = recode(&bytes);
        }
    }
}

#[test]
fn null_and_empty_differ() {
    for (bytes, expected) in [(&[0xff; 4][..], None), (&[0; 4][..], Some(&[][..]))] {
        assert_eq!(Reader::new(bytes).buffer().unwrap(), expected);
        let mut out = Vec::new();
        Writer::new(&mut out).buffer(expected);
        assert_eq!(out, bytes);
    }
}

#[test]
fn lengths_out_of_bounds_are_refused_before_anything_is_taken() {
    let limits = Limits { length_max: 8 };
    let error = Reader::with_limits(b"\0\0\0\x09123456789", limits).buffer().unwrap_err();
    assert_eq!(error, Error::UnreasonableLength { offset: 0, length: 9, limit: 8 });
    assert!(Reader::with_limits(b"\0\0\0\x0812345678", limits).buffer().is_ok());
    let error = Reader::new(b"\xff\xff\xff\xfe").text().unwrap_err();
    assert!(matches!(error, Error::UnreasonableLength { length: -2, .. }));
}

/// A recorded server answers a create whose list has a count of −3 as one with an empty list.
#[test]
fn counts_below_minus_one_are_empty_vectors() {
    for bytes in [b"\x80\0\0\0", b"\xff\xff\xff\xfd"] {
        assert_eq!(Reader::new(bytes).vector(|r| r.int()), Ok(Some(vec![])));
    }
}

#[test]
fn text_is_written_as_upstream_does_and_read_with_replacement() {
    let mut out = Vec::new();
    Writer::new(&mut out).text(Some("a\u{1f600}"));
    assert_eq!(out, b"\0\0\0\x07a\xed\xa0\xbd\xed\xb8\x80");
    for (bytes, text) in [
        (&b"a\xff"[..], "a\u{fffd}"),
        // A recorded server gives these three bytes, a surrogate, back as one character.
        (b"a\xed\xa0\x80b", "a\u{fffd}b"),
        (b"\xed\xa0\xbd\xed\xb8\x80", "\u{fffd}\u{fffd}"),
        (b"\xed\xa0", "\u{fffd}"),
        (b"\xed\xa0a", "\u{fffd}\u{fffd}a"),
        (b"\xc0\x80", "\u{fffd}\u{fffd}"),
        (b"\xf0\x9f\x98", "\u{fffd}"),
        (b"\xf0\x9f\x98z", "\u{fffd}z"),
        (b"\xf5\x80", "\u{fffd}\u{fffd}"),
    ] {
        let framed = [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
        assert_eq!(Reader::new(&framed).text().unwrap().unwrap(), text, "{bytes:02x?}");
    }
}
