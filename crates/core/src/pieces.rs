//! The data that was read of a body, in few pieces and little more memory than it has bytes.
//!
//! A frame is a slice of the buffer its connection read into, and keeps that whole buffer alive, be
//! the frame a byte long. Kept as they are, a thousand frames of one byte held megabytes. So small
//! frames are copied together.

use std::{fmt, mem};

use bytes::Bytes;

/// Frames of this size and more are kept as they are: a connection's buffer is at most a few times
/// as large, and what is not copied costs nothing. Smaller ones fill pieces of just this size.
const PIECE: usize = 4096;

/// The data that was read of a body, in order. Small frames are copied together, so that they do
/// not hold the buffers that they came in.
#[derive(Clone, Default)]
pub struct Pieces {
    sealed: Vec<Bytes>,
    /// What came in small frames since the last piece was sealed.
    tail: Vec<u8>,
    bytes: usize,
}

/// How far a reader is in [`Pieces`].
#[derive(Clone, Copy, Debug, Default)]
pub struct PiecesRead {
    /// Pieces that were read whole.
    pieces: usize,
    /// What was read of the next one, or of the tail.
    of_next: usize,
    bytes: usize,
}

impl PiecesRead {
    /// How many bytes were read.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Pieces {
    /// Adds the data of a frame.
    pub fn add(&mut self, data: &Bytes) {
        self.bytes += data.len();
        if data.len() >= PIECE {
            self.seal();
            self.sealed.push(data.clone());
            return;
        }
        let (fits, rest) = data.split_at(data.len().min(PIECE - self.tail.len()));
        self.tail.extend_from_slice(fits);
        if self.tail.len() == PIECE {
            self.seal();
        }
        self.tail.extend_from_slice(rest);
    }

    /// Makes a piece of what has no piece yet, and drops the room that it did not need.
    pub fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.sealed.push(mem::take(&mut self.tail).into_boxed_slice().into());
        }
    }

    /// How many bytes there are.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The pieces that were sealed.
    #[must_use]
    pub fn sealed(&self) -> &[Bytes] {
        &self.sealed
    }

    /// Some of what follows `at`, which goes on behind it; `None` when there is no more yet. What
    /// has no piece yet is copied.
    pub fn next(&self, at: &mut PiecesRead) -> Option<Bytes> {
        let mut next = Bytes::new();
        // A piece that was read whole while it was the tail has nothing left.
        while next.is_empty()
            && let Some(piece) = self.sealed.get(at.pieces)
        {
            next = piece.slice(at.of_next..);
            (at.pieces, at.of_next) = (at.pieces + 1, 0);
        }
        if next.is_empty() {
            next = Bytes::copy_from_slice(&self.tail[at.of_next..]);
            at.of_next = self.tail.len();
        }
        at.bytes += next.len();
        Some(next).filter(|next| !next.is_empty())
    }
}

impl fmt::Debug for Pieces {
    /// Never says contents.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pieces").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn small_frames_let_go_of_the_buffer_they_came_in() {
        let mut pieces = Pieces::default();
        let block = Bytes::from(vec![7; 64 * 1024]);
        (0..1000).for_each(|at| pieces.add(&block.slice(at..=at)));
        pieces.seal();
        assert!(block.is_unique(), "nothing but the test holds the block");
        assert_eq!((pieces.bytes(), pieces.sealed().len()), (1000, 1));
    }

    #[test]
    fn large_frames_are_not_copied() {
        let mut pieces = Pieces::default();
        let block = Bytes::from(vec![7; PIECE]);
        pieces.add(&block);
        assert_eq!(pieces.sealed()[0].as_ptr(), block.as_ptr());
    }

    proptest! {
        #[test]
        fn every_byte_is_kept_in_order_and_in_few_pieces(
            lengths in prop::collection::vec(prop_oneof![8 => 1usize..50, 4 => 1..PIECE, 1 => PIECE..3 * PIECE], 0..60),
            seals in prop::collection::vec(any::<bool>(), 60),
        ) {
            let (mut pieces, mut whole, mut asked) = (Pieces::default(), Vec::new(), 0);
            for (number, &length) in lengths.iter().enumerate() {
                let data: Vec<u8> = (0..length).map(|at| (number + at) as u8).collect();
                whole.extend_from_slice(&data);
                pieces.add(&data.into());
                if seals[number] && number % 20 == 0 {
                    pieces.seal();
                    asked += 1;
                }
            }
            pieces.seal();
            prop_assert_eq!(pieces.sealed().concat(), &whole[..]);
            prop_assert_eq!(pieces.bytes(), whole.len());
            prop_assert!(pieces.sealed().len() <= 2 * (whole.len() / PIECE) + asked + 1);
        }

        #[test]
        fn a_reader_gets_every_byte_once_wherever_it_reads(
            steps in prop::collection::vec((0..PIECE + 200, 0..3_u8), 0..60),
        ) {
            let (mut pieces, mut at) = (Pieces::default(), PiecesRead::default());
            let (mut whole, mut read) = (Vec::new(), Vec::new());
            for (number, (length, step)) in steps.into_iter().enumerate() {
                // Mostly small ones.
                let length = if number % 3 == 0 { length } else { length % 40 };
                let data: Vec<u8> = (0..length).map(|at| (number + at) as u8).collect();
                whole.extend_from_slice(&data);
                pieces.add(&data.into());
                match step {
                    0 => pieces.seal(),
                    1 => read.extend(pieces.next(&mut at).into_iter().flatten()),
                    _ => {}
                }
                prop_assert_eq!(at.bytes(), read.len());
            }
            while let Some(next) = pieces.next(&mut at) {
                prop_assert!(!next.is_empty());
                read.extend(next);
            }
            prop_assert_eq!(read, whole);
        }
    }
}
