//! Checks whether two weights are equal.

use super::{Checkpoint, Part, Storage, Weight};
use crate::source::{Source, SourceError};

/// How many pieces of two large tensors are compared, spread from the first bytes to the last.
const PIECES: u64 = 16;

/// The bytes of a piece. Independent numbers practically never agree in one.
const PIECE: u64 = 4 << 10;

/// How thoroughly two weights are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Only whether the headers say that they share storage.
    Storage,
    /// Also whether they have the same bytes.
    Bytes,
}

impl Checkpoint {
    /// Whether `one` and `other` are one stored tensor under two names or, with [`Look::Bytes`], have the same bytes. Of large
    /// tensors only some pieces are compared, which is fast even over a network. Quantised weights are equal only if they
    /// are stored once. `None` if it cannot be known before the scan, as for two storages of a `.bin` file.
    pub fn are_alike(
        &self,
        source: &dyn Source,
        one: &Weight,
        other: &Weight,
        look: Look,
    ) -> Result<Option<bool>, SourceError> {
        let (Storage::Plain(one), Storage::Plain(other)) = (&one.storage, &other.storage) else {
            return Ok(Some(one.storage == other.storage));
        };
        if one.tensor.dtype != other.tensor.dtype || one.tensor.shape != other.tensor.shape {
            return Ok(Some(false));
        }
        if one == other || self.share_storage(one, other) {
            return Ok(Some(true));
        }
        if look == Look::Storage {
            return Ok(Some(false));
        }
        // The place of a pickled tensor in its file is known only when the whole file is on disk.
        if [one, other].iter().any(|part| self.shards[part.shard].is_pickle()) {
            return Ok(None);
        }
        for start in pieces(one.tensor.size()) {
            if self.piece(source, one, start)? != self.piece(source, other, start)? {
                return Ok(Some(false));
            }
        }
        Ok(Some(true))
    }

    fn share_storage(&self, one: &Part, other: &Part) -> bool {
        let first_name = |part: &Part| {
            let aliases = &self.shards[part.shard].aliases;
            let alias = aliases.iter().find(|(alias, _)| alias == part.stored_name());
            alias.map_or_else(|| part.stored_name().to_owned(), |(_, name)| name.clone())
        };
        one.shard == other.shard && first_name(one) == first_name(other)
    }

    fn piece(&self, source: &dyn Source, part: &Part, start: u64) -> Result<Vec<u8>, SourceError> {
        let shard = &self.shards[part.shard];
        let start = part.tensor.bytes.start + start;
        let end = part.tensor.bytes.end.min(start + PIECE);
        source.read(&shard.file, shard.data_start + start..shard.data_start + end)
    }
}

/// The offsets of the pieces in a tensor of `size` bytes.
fn pieces(size: u64) -> Vec<u64> {
    if size <= PIECES * PIECE {
        return (0..size.div_ceil(PIECE)).map(|piece| piece * PIECE).collect();
    }
    (0..PIECES).map(|piece| piece * ((size - PIECE) / (PIECES - 1))).chain([size - PIECE]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_reach_from_the_first_bytes_to_the_last() {
        assert_eq!(pieces(0), [0; 0]);
        assert_eq!(pieces(PIECE + 1), [0, PIECE]);
        for size in [PIECES * PIECE, PIECES * PIECE + 1, 1_234_567_890] {
            let pieces = pieces(size);
            assert!(pieces[0] == 0 && pieces.iter().all(|start| *start < size), "{pieces:?}");
            assert!(pieces[pieces.len() - 1] + PIECE >= size && pieces.len() as u64 <= PIECES + 1, "{pieces:?}");
        }
    }
}
