//! The bytes of the file: a head, and one frame for each write.
//!
//! A frame is a mark of its own, its length, a check, and records. One that a crash has left half
//! written is the last one: no call has run under it, for its write did not return. A broken frame
//! with a whole one behind it is damage, which must not be taken for a crash: marks that were
//! stored would be forgotten.

use std::collections::HashMap;

use steadfast_core::FencingToken;

use crate::FenceMark;

/// What the file begins with: its kind and version.
pub(super) const HEAD: [u8; 8] = *b"sffence1";

const BEGIN: [u8; 4] = *b"\xf0sf\x0f";

/// Its begin, the length of its records, and the check of both of these.
const PREFIX: usize = 12;

/// A token, whether there is a number, the number, and the length of the name.
const RECORD: usize = 18;

/// The frame of these records. Names are at most 255 bytes long.
pub(super) fn frame<'a>(records: impl Iterator<Item = (&'a str, FenceMark)>) -> Vec<u8> {
    let mut frame = vec![0; PREFIX];
    for (name, mark) in records {
        let length = u8::try_from(name.len()).expect("a fence's name is at most 255 bytes long");
        frame.extend(mark.token().get().to_be_bytes());
        frame.push(mark.sequence().is_some().into());
        frame.extend(mark.sequence().unwrap_or_default().to_be_bytes());
        frame.push(length);
        frame.extend(name.as_bytes());
    }
    let length = u32::try_from(frame.len() - PREFIX).expect("far fewer calls wait than that");
    frame[..4].copy_from_slice(&BEGIN);
    frame[4..8].copy_from_slice(&length.to_be_bytes());
    let check = check(length, &frame[PREFIX..]);
    frame[8..PREFIX].copy_from_slice(&check.to_be_bytes());
    frame
}

/// Every record of the file, in order.
pub(super) fn read(
    bytes: &[u8],
    mut each: impl FnMut(&str, FenceMark),
) -> Result<(), &'static str> {
    let Some(mut rest) = bytes.strip_prefix(&HEAD) else {
        return Err("it is of another kind or version");
    };
    while let Some((records, after)) = split(rest) {
        read_records(records, &mut each).ok_or("a record cannot be read")?;
        rest = after;
    }
    // What is left was cut off by a crash, unless something whole comes behind it.
    let has_more = (1..rest.len()).any(|at| split(&rest[at..]).is_some());
    if has_more { Err("it is damaged") } else { Ok(()) }
}

/// So many bytes have these marks in a file.
pub(super) fn bytes_of(marks: &HashMap<Box<str>, FenceMark>) -> u64 {
    marks.keys().map(|name| (RECORD + name.len()) as u64).sum()
}

/// The records of the frame that the bytes begin with, and what comes behind it.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = bytes.strip_prefix(&BEGIN)?;
    let (length, rest) = rest.split_first_chunk()?;
    let (checked, rest) = rest.split_first_chunk()?;
    let length = u32::from_be_bytes(*length);
    let (records, rest) = rest.split_at_checked(length as usize)?;
    (check(length, records) == u32::from_be_bytes(*checked)).then_some((records, rest))
}

fn read_records(mut rest: &[u8], each: &mut impl FnMut(&str, FenceMark)) -> Option<()> {
    while !rest.is_empty() {
        let (token, after) = rest.split_first_chunk()?;
        let (is_numbered, after) = after.split_first()?;
        let (number, after) = after.split_first_chunk()?;
        let (length, after) = after.split_first()?;
        let (name, after) = after.split_at_checked(usize::from(*length))?;
        let mark = FenceMark::new(FencingToken::try_from(u64::from_be_bytes(*token)).ok()?);
        let mark = match is_numbered {
            0 => mark,
            1 => mark.numbered(u64::from_be_bytes(*number)),
            _ => return None,
        };
        each(std::str::from_utf8(name).ok()?, mark);
        rest = after;
    }
    Some(())
}

fn check(length: u32, records: &[u8]) -> u32 {
    let mut check = crc32fast::Hasher::new();
    check.update(&length.to_be_bytes());
    check.update(records);
    check.finalize()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn records(bytes: &[u8]) -> Result<Vec<(String, FenceMark)>, &'static str> {
        let mut records = Vec::new();
        read(bytes, |name, mark| records.push((name.to_owned(), mark))).map(|()| records)
    }

    fn a_record() -> impl Strategy<Value = (String, FenceMark)> {
        let token = (0..=FencingToken::MAX.get())
            .prop_map(|token| FenceMark::new(FencingToken::try_from(token).unwrap()));
        let mark = (token, prop::option::of(any::<u64>()))
            .prop_map(|(mark, number)| number.map_or(mark, |number| mark.numbered(number)));
        ("[a-z/é]{1,60}", mark)
    }

    fn file(frames: &[Vec<(String, FenceMark)>]) -> Vec<u8> {
        let framed = frames
            .iter()
            .map(|records| frame(records.iter().map(|(name, mark)| (name.as_str(), *mark))));
        HEAD.into_iter().chain(framed.flatten()).collect()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_and_a_torn_end_is_what_was_before_it(
            frames in prop::collection::vec(prop::collection::vec(a_record(), 1..4), 1..5),
            cut in any::<prop::sample::Index>(),
        ) {
            prop_assert_eq!(records(&file(&frames)), Ok(frames.concat()));
            let (last, before) = frames.split_last().unwrap();
            let (whole, torn) = (file(before), file(&frames));
            let end = whole.len() + cut.index(torn.len() - whole.len());
            prop_assert_eq!(records(&torn[..end]), Ok(before.concat()), "{:?}", last);
            // Blocks that were given to the file before their bytes reached it.
            let zeroed = [&torn[..end], &[0; 300][..]].concat();
            prop_assert_eq!(records(&zeroed), Ok(before.concat()));
        }

        #[test]
        fn damage_before_the_last_frame_is_seen(
            frames in prop::collection::vec(prop::collection::vec(a_record(), 1..3), 2..4),
            at in any::<prop::sample::Index>(),
            bit in 0..8_u32,
        ) {
            let mut bytes = file(&frames);
            let last = file(&frames[..frames.len() - 1]).len();
            bytes[at.index(last)] ^= 1 << bit;
            prop_assert!(records(&bytes).is_err());
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = records(&[&HEAD[..], &bytes].concat());
            let _ = records(&bytes);
        }
    }
}
